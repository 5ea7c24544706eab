/*
 * One client of a FamilyServer, that is one socket, by its port id: the requests that wait for their turn, answers that found no room in its
 * socket, its dump, its groups, and what was lost.
 *
 * Before it: the server's socket. After it: the dispatcher, one request at a time and in order; the server's socket again.
 *
 * What can be lost. Answers never: one that finds no room is kept, the requests behind it wait, and it is tried again a little later (a sender of
 * Netlink is not told when there is room). A client that goes on sending while it does not read loses requests at REQUESTS_SIZE_MAX, or at
 * ALL_REQUESTS_SIZE_MAX with others like it.
 * Notifications are dropped when there is no room. Both are counted, and the client gets NLMSG_OVERRUN with the count as soon as there is
 * room; notifications begin again behind it. Of a socket that is gone (ECONNREFUSED) everything is let go.
 */
import { constants } from 'node:os';
import * as K from '../constants.ts';
import { overrunMessage } from './acknowledge.ts';
import type { Sender } from './credentials.ts';
import type { Dump } from './dump.ts';

const { EAGAIN, ENOBUFS } = constants.errno;

/** Bytes of requests that wait for one client, and for all of them together. */
const REQUESTS_SIZE_MAX = 1 << 20;
const ALL_REQUESTS_SIZE_MAX = 64 << 20;
const RETRY_MIN_MS = 1;
const RETRY_MAX_MS = 64;

/** A received datagram; what was asked about its sender is remembered with it. */
export interface RequestDatagram {
  readonly bytes: Uint8Array;
  readonly sender: Sender;
  admin?: boolean;
}

/** One message of a datagram. */
export interface RequestMessage {
  readonly datagram: RequestDatagram;
  /** The message, nlmsg_len bytes. */
  readonly bytes: Uint8Array;
}

/** What a peer needs of its server. */
export interface PeerHost {
  /** Bytes of requests that wait for all peers; they keep it. */
  requestsSize: number;
  /** Sends without waiting. Returns 0 or -errno. */
  transmit(bytes: Uint8Array<ArrayBufferLike>, portId: number): number;
  /** Answers a request by `peer.send`. Never throws or rejects. */
  dispatch(peer: Peer, request: RequestMessage): void | Promise<void>;
  /** The peer has nothing to do and may be forgotten. */
  idle(peer: Peer): void;
  /** Its socket does not exist any more. */
  gone(peer: Peer): void;
}

export class Peer {
  readonly portId: number;
  /** Ids of the groups it subscribed to. */
  readonly groups = new Set<number>();
  cappedAck = false;
  extendedAck = true;
  /** Inode of its socket, once it was looked up: another socket may get the same port id later. */
  inode: number | undefined;
  /** Notifications and requests dropped in all. */
  lost = 0;
  readonly #host: PeerHost;
  #requests: RequestDatagram[] = [];
  #requestsSize = 0;
  /** Offset of the next message in the first datagram. */
  #at = 0;
  #parked: Uint8Array[] = [];
  #dump: Dump | undefined;
  #dumpFamily = 0;
  /** Of `lost`, what the client does not know of. */
  #untold = 0;
  #handling = false;
  #dumping = false;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;
  #immediate: NodeJS.Immediate | undefined;
  #retryMs = RETRY_MIN_MS;

  constructor(portId: number, host: PeerHost) {
    this.portId = portId;
    this.#host = host;
  }

  get dumpRunning(): boolean {
    return this.#dump !== undefined;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Nothing is kept for it but what every new client has. */
  get isDefault(): boolean {
    const busy = this.#handling || this.#requests.length > 0 || this.#parked.length > 0 || this.#dump !== undefined;
    return !busy && this.#untold === 0 && this.groups.size === 0 && !this.cappedAck && this.extendedAck;
  }

  /** Takes a datagram of requests; false when it was dropped, as too much waits already. */
  receive(datagram: RequestDatagram): boolean {
    const { length: size } = datagram.bytes;
    const isTooMuch = this.#host.requestsSize + size > ALL_REQUESTS_SIZE_MAX;
    if (isTooMuch || this.#requestsSize + size > REQUESTS_SIZE_MAX) {
      this.#lose();
      return false;
    }
    this.#requests.push(datagram);
    this.#account(size);
    this.pump();
    return true;
  }

  /** Sends an answer, now or when there is room. The bytes may be used again afterwards. */
  send(bytes: Uint8Array<ArrayBufferLike>): void {
    if (this.#closed) return;
    if (this.#parked.length > 0 || !this.#transmit(bytes)) {
      this.#parked.push(bytes.slice());
      this.#retryLater();
    }
  }

  /** Sends a notification if there is room. */
  notify(bytes: Uint8Array<ArrayBufferLike>): boolean {
    if (this.#closed) return false;
    if (this.#flush() && this.#transmit(bytes)) return !this.#closed;
    this.#lose();
    return false;
  }

  /** Begins a dump: its first datagram goes out at once, before the next request is handled. */
  startDump(dump: Dump, familyId: number): void {
    this.#dump = dump;
    this.#dumpFamily = familyId;
    this.#advanceDump(dump);
  }

  /** Gives up its dump, if there is one (of that family). */
  endDump(familyId = this.#dumpFamily): void {
    if (familyId !== this.#dumpFamily) return;
    this.#dump?.abandon();
    this.#dump = undefined;
  }

  /** Goes on with whatever can go on. */
  pump(): void {
    while (!this.#closed && !this.#handling) {
      if (!this.#flush()) return this.#retryLater();
      const request = this.#nextRequest();
      if (request === undefined) break;
      const pending = this.#host.dispatch(this, request);
      if (pending === undefined) continue;
      this.#handling = true;
      pending.then(() => {
        this.#handling = false;
        this.pump();
      });
    }
    if (this.#closed) return;
    if (this.#dump !== undefined) this.#advanceDumpSoon();
    if (this.isDefault) this.#host.idle(this);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
    this.endDump();
    this.#account(-this.#requestsSize);
    this.#requests = [];
    this.#parked = [];
    this.groups.clear();
  }

  #account(size: number): void {
    this.#requestsSize += size;
    this.#host.requestsSize += size;
  }

  #nextRequest(): RequestMessage | undefined {
    for (let datagram = this.#requests[0]; datagram !== undefined; datagram = this.#requests[0]) {
      const { bytes } = datagram;
      const at = this.#at;
      const rest = bytes.length - at;
      const size = rest < K.NLMSG_HDRLEN ? 0 : new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(0, true);
      if (size >= K.NLMSG_HDRLEN && size <= rest) {
        this.#at = at + ((size + 3) & ~3);
        return { datagram, bytes: bytes.subarray(at, at + size) };
      }
      // The end of the datagram, or a length that lies: as the kernel, without a word.
      this.#requests.shift();
      this.#account(-bytes.length);
      this.#at = 0;
    }
    return undefined;
  }

  /** One datagram of the dump a turn of the event loop: other clients come in between. */
  #advanceDumpSoon(): void {
    if (this.#immediate !== undefined || this.#dumping || this.#parked.length > 0) return;
    this.#immediate = setImmediate(() => {
      this.#immediate = undefined;
      if (this.#closed || !this.#flush()) return this.#retryLater();
      if (this.#dump !== undefined) this.#advanceDump(this.#dump);
      this.pump();
    });
  }

  #advanceDump(dump: Dump): void {
    const over = dump.advance();
    if (typeof over === 'boolean') return this.#dumpAdvanced(dump, over);
    this.#dumping = true;
    over.then((last) => {
      this.#dumping = false;
      this.#dumpAdvanced(dump, last);
      this.pump();
    });
  }

  #dumpAdvanced(dump: Dump, over: boolean): void {
    if (over && this.#dump === dump) this.#dump = undefined;
  }

  /** Sends what waits; false when there is no room for all of it. */
  #flush(): boolean {
    while (this.#parked.length > 0 && !this.#closed) {
      if (!this.#transmit(this.#parked[0])) return false;
      this.#parked.shift();
    }
    if (this.#untold > 0 && !this.#closed) {
      if (!this.#transmit(overrunMessage(this.portId, this.#untold))) return false;
      this.#untold = 0;
    }
    return true;
  }

  /** False when there is no room. A socket that is gone takes everything. */
  #transmit(bytes: Uint8Array<ArrayBufferLike>): boolean {
    const errno = -this.#host.transmit(bytes, this.portId);
    if (errno === EAGAIN || errno === ENOBUFS) return false;
    this.#retryMs = RETRY_MIN_MS;
    if (errno !== 0) this.#host.gone(this);
    return true;
  }

  #lose(): void {
    this.lost++;
    this.#untold++;
    this.#retryLater();
  }

  #retryLater(): void {
    if (this.#closed || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.pump();
    }, this.#retryMs);
    this.#timer.unref();
    this.#retryMs = Math.min(RETRY_MAX_MS, this.#retryMs * 2);
  }
}
