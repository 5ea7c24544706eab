/*
 * FamilyServer: generic Netlink families offered by this process over NETLINK_USERSOCK, as the kernel offers its own.
 *
 * Concepts. The server owns one socket that is connected to nobody; its port id is its address, and clients connect to it instead of to port 0.
 * Everything else is as towards the kernel: nlctrl at GENL_ID_CTRL tells ids, requests are checked as family.ts and dispatch.ts say, dumps are
 * multi-part. Two things differ, as the kernel keeps multicast on this protocol for the privileged: clients subscribe by a message (control.ts),
 * and notifications come to each subscriber by unicast from the server's port. Port ids are per network namespace, and so is the server.
 *
 * Before it: whoever defines families. After it: clients, in this process or another: NetlinkSocket with `peer`, libmnl, Open vSwitch's programs
 * with their connect() redirected.
 *
 * Ownership. A received datagram is copied once and belongs to its requests. Threads: the thread that opened it, on its event loop. The server
 * keeps the process alive until it is closed, unless `unref` was called.
 *
 * What can be lost: see peer.ts. What a client sends can refuse that client at most: handlers that throw are answered for, queues have limits, and
 * what is kept for a socket is let go when the socket is gone: at the first datagram that cannot be sent, or within SWEEP_MS.
 */
import { constants } from 'node:os';
import { DatapathError } from '../../errors.ts';
import { nativeAddon, nativeUnavailableReason } from '../../native/load.ts';
import * as R from '../../native/netlink.ts';
import * as K from '../constants.ts';
import { systemError } from '../errors.ts';
import { controlFamily, describeFamily, describeGroup, sockoptFamily } from './control.ts';
import { isAdministrator, type Sender } from './credentials.ts';
import { Dispatcher } from './dispatch.ts';
import { type Family, type ParsedRequest, refuse, type WriteAttributes } from './family.ts';
import { type PacketQueue, PacketQueues } from './packets.ts';
import { Peer, type PeerHost } from './peer.ts';
import { FamilyRegistry, type RegisteredFamily } from './registry.ts';
import { Reply } from './reply.ts';
import { netlinkSockets } from './sockets.ts';

const { ENOENT, ENOPROTOOPT, EPERM, ENOBUFS } = constants.errno;

/** Bytes of the largest datagram of requests: a packet of 64 KiB to execute, and its key. A longer one is answered as far as it goes. */
const SLOT_SIZE = 80 * 1024;
const SLOT_COUNT = 8;
/** Rounds of receiving before the event loop goes on. */
const ROUNDS_MAX = 4;
const RECEIVE_BUFFER_SIZE = 4 << 20;
/** How often it is looked whether the sockets of clients are still there. */
const SWEEP_MS = 5_000;

/** The part of the shim's socket that a server uses. */
export type ServerSocket = Pick<
  R.NativeNetlinkSocket,
  'portId' | 'send' | 'receive' | 'watch' | 'unwatch' | 'ref' | 'unref' | 'close' | 'passCredentials'
>;

export interface FamilyServerOptions {
  /** Address of the server; default: the kernel chooses one. */
  readonly portId?: number;
  readonly receiveBufferSize?: number;
  readonly families?: readonly Family[];
  /** Who may use operations with the flag `admin`; default: isAdministrator of credentials.ts. */
  readonly isAdministrator?: (sender: Sender) => boolean;
  /** Let CAP_NET_ADMIN without uid 0 count as well; credentials.ts says when that is safe. */
  readonly adminByCapability?: boolean;
  /** A handler threw what is no refusal; the client got EIO. Default: a warning of the process. */
  readonly onFailure?: (error: unknown, request: ParsedRequest<unknown>) => void;
}

export interface FamilyServerStatistics {
  /** Datagrams received, and messages in them that asked for an operation. */
  datagrams: number;
  requests: number;
  /** Requests answered with an errno. */
  refused: number;
  /** Handlers that threw what is no refusal. */
  failures: number;
  /** Notifications sent, a subscriber each. */
  notifications: number;
  /** Notifications and requests dropped: a client did not read. */
  lost: number;
  /** Datagrams too long, cut by the receive slot. */
  truncated: number;
  /** Clients that something is kept for. */
  clients: number;
}

export class FamilyServer implements Disposable {
  readonly portId: number;
  readonly #socket: ServerSocket;
  readonly #registry = new FamilyRegistry();
  readonly #dispatcher: Dispatcher;
  readonly #peers = new Map<number, Peer>();
  readonly #packets: PacketQueues;
  readonly #host: PeerHost;
  readonly #control: RegisteredFamily;
  readonly #isAdmin: (sender: Sender) => boolean;
  readonly #slots = new Uint8Array(SLOT_SIZE * SLOT_COUNT);
  readonly #rows = new Int32Array(R.RECEIVE_ROW_WORDS * SLOT_COUNT);
  readonly #counts = { datagrams: 0, failures: 0, notifications: 0, lost: 0, truncated: 0 };
  readonly #sweep: NodeJS.Timeout;
  #closed = false;

  /** Opens the server's socket. Throws ERR_NATIVE_UNAVAILABLE, or ERR_NETLINK_SYSTEM (EADDRINUSE: the port id is taken). */
  static open(options: FamilyServerOptions = {}): FamilyServer {
    const addon = nativeAddon();
    if (addon === undefined) {
      throw new DatapathError(
        'ERR_NATIVE_UNAVAILABLE',
        `a family server needs the addon: ${nativeUnavailableReason()}`,
      );
    }
    const socket = addon.NetlinkSocket.open({
      protocol: K.NETLINK_USERSOCK,
      portId: options.portId ?? 0,
      peer: -1,
      receiveBufferSize: options.receiveBufferSize ?? RECEIVE_BUFFER_SIZE,
    });
    if (typeof socket === 'number') throw systemError(-socket, 'family server');
    return new FamilyServer(socket, options);
  }

  /** Over a socket that `open` would make; the server owns it. */
  constructor(socket: ServerSocket, options: FamilyServerOptions = {}) {
    this.#socket = socket;
    this.portId = socket.portId;
    this.#host = {
      requestsSize: 0,
      transmit: (bytes, portId) => socket.send(bytes, 0, bytes.length, 0, portId),
      dispatch: (peer, request) => this.#dispatcher.dispatch(peer, request),
      idle: (peer) => this.#peers.delete(peer.portId),
      gone: (peer) => this.#forget(peer),
    };
    const { adminByCapability = false } = options;
    this.#isAdmin = options.isAdministrator ?? ((sender) => isAdministrator(sender, adminByCapability));
    this.#packets = new PacketQueues(this.#host.transmit);
    this.#dispatcher = this.#makeDispatcher(options);
    this.#control = this.#registry.add(controlFamily(this.#registry), true);
    this.#registry.add(sockoptFamily((sender, option, value) => this.#setOption(sender, option, value)));
    for (const family of options.families ?? []) this.register(family);
    socket.passCredentials(true);
    socket.watch(() => this.#receive());
    this.#sweep = setInterval(() => this.sweep(), SWEEP_MS).unref();
  }

  /** Offers a family, and tells the subscribers of nlctrl. Returns its id. TypeError when the name is taken. */
  register(family: Family): number {
    const registered = this.#registry.add(family);
    this.#tell(this.#control, 'notify', K.CTRL_CMD_NEWFAMILY, describeFamily(registered));
    for (const [name, group] of registered.groups) {
      this.#tell(this.#control, 'notify', K.CTRL_CMD_NEWMCAST_GRP, describeGroup(registered, name, group));
    }
    return registered.id;
  }

  /** Takes a family away: its dumps end without an answer, its subscriptions are let go, the subscribers of nlctrl are told. */
  unregister(name: string): void {
    const registered = this.#registered(name);
    this.#registry.remove(registered);
    for (const [group, id] of registered.groups) {
      for (const peer of this.#peers.values()) peer.groups.delete(id);
      this.#tell(this.#control, 'notify', K.CTRL_CMD_DELMCAST_GRP, describeGroup(registered, group, id));
    }
    for (const peer of this.#peers.values()) peer.endDump(registered.id);
    this.#tell(this.#control, 'notify', K.CTRL_CMD_DELFAMILY, describeFamily(registered));
  }

  /** Notifies the subscribers of a family's group of something that no request caused. Returns how many got it. */
  notify(family: string, group: string, command: number, write?: WriteAttributes, header?: Uint8Array): number {
    return this.#tell(this.#registered(family), group, command, write, header);
  }

  /** Subscribers of a group: whether a notification is worth making. */
  subscriberCount(family: string, group: string): number {
    const id = this.#registered(family).groupId(group);
    return [...this.#peers.values()].filter((peer) => peer.groups.has(id)).length;
  }

  /** The id of a family. */
  idOf(family: string): number {
    return this.#registered(family).id;
  }

  /** The queue of packets to a client's socket, made when there is none; see packets.ts. */
  subscribePackets(portId: number): PacketQueue {
    const queue = this.#packets.subscribe(portId);
    queue.inode ??= netlinkSockets(K.NETLINK_USERSOCK).get(portId);
    return queue;
  }

  unsubscribePackets(portId: number): void {
    this.#packets.unsubscribe(portId);
  }

  /** Lets go what is kept for sockets that do not exist any more; done by itself every five seconds. */
  sweep(): void {
    const keeping = [...this.#peers.values()].filter((peer) => !peer.isDefault);
    if (keeping.length === 0 && this.#packets.count === 0) return;
    const sockets = netlinkSockets(K.NETLINK_USERSOCK);
    if (sockets.size === 0) return;
    for (const peer of keeping) {
      const inode = sockets.get(peer.portId);
      if (inode === undefined || (peer.inode !== undefined && peer.inode !== inode)) this.#forget(peer);
      else peer.inode = inode;
    }
    this.#packets.sweep(sockets);
  }

  statistics(): FamilyServerStatistics {
    const { requests, refused } = this.#dispatcher;
    return { ...this.#counts, requests, refused, clients: this.#peers.size };
  }

  ref(): void {
    this.#socket.ref();
  }

  unref(): void {
    this.#socket.unref();
  }

  /** Idempotent. Subscribers of nlctrl are told that the families are gone. */
  close(): void {
    if (this.#closed) return;
    for (const { family } of this.#registry.all()) if (family !== this.#control.family) this.unregister(family.name);
    this.#closed = true;
    clearInterval(this.#sweep);
    for (const peer of this.#peers.values()) peer.close();
    this.#peers.clear();
    this.#packets.close();
    this.#socket.unwatch();
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #makeDispatcher(options: FamilyServerOptions): Dispatcher {
    const { onFailure = warn } = options;
    return new Dispatcher({
      registry: this.#registry,
      isAdministrator: (datagram) => {
        datagram.admin ??= this.#isAdmin(datagram.sender);
        return datagram.admin;
      },
      notifyGroup: (group, bytes, except) => this.#notifyGroup(group, bytes, except),
      onFailure: (error, request) => {
        this.#counts.failures++;
        try {
          onFailure(error, request);
        } catch (another) {
          warn(another, request);
        }
      },
    });
  }

  #registered(name: string): RegisteredFamily {
    const registered = this.#registry.byName(name);
    if (registered === undefined) throw new TypeError(`the server has no family ${name}`);
    return registered;
  }

  #receive(): void {
    for (let round = 0; round < ROUNDS_MAX && !this.#closed; round++) {
      const count = this.#socket.receive(this.#slots, 0, SLOT_SIZE, SLOT_COUNT, this.#rows, 0);
      if (count === -ENOBUFS) continue;
      for (let index = 0; index < count && !this.#closed; index++) this.#take(index * R.RECEIVE_ROW_WORDS);
      if (count < SLOT_COUNT) return;
    }
  }

  /** Hands the datagram that the row at `row` describes to its peer. */
  #take(row: number): void {
    const rows = this.#rows;
    const portId = rows[row + R.RECEIVE_PORT_ID] >>> 0;
    this.#counts.datagrams++;
    if (portId === 0 || rows[row + R.RECEIVE_GROUP] !== 0) return;
    if ((rows[row + R.RECEIVE_FLAGS] & R.RECEIVE_TRUNCATED) !== 0) this.#counts.truncated++;
    const start = rows[row + R.RECEIVE_OFFSET];
    const size = Math.min(SLOT_SIZE, rows[row + R.RECEIVE_SIZE]);
    const sender = { portId, pid: rows[row + R.RECEIVE_PID], uid: rows[row + R.RECEIVE_UID] };
    if (!this.#peer(portId).receive({ bytes: this.#slots.slice(start, start + size), sender })) this.#counts.lost++;
  }

  #peer(portId: number): Peer {
    let peer = this.#peers.get(portId);
    if (peer === undefined) {
      peer = new Peer(portId, this.#host);
      this.#peers.set(portId, peer);
    }
    return peer;
  }

  #forget(peer: Peer): void {
    peer.close();
    if (this.#peers.get(peer.portId) === peer) this.#peers.delete(peer.portId);
  }

  #tell(
    registered: RegisteredFamily,
    group: string,
    command: number,
    write?: WriteAttributes,
    header?: Uint8Array,
  ): number {
    const reply = new Reply(registered, 0, 0).notify(group, command, write, header);
    return this.#notifyGroup(registered.groupId(group), reply.buffer.bytes, undefined);
  }

  #notifyGroup(group: number, bytes: Uint8Array<ArrayBufferLike>, except: Peer | undefined): number {
    let count = 0;
    for (const peer of this.#peers.values()) {
      if (peer === except || !peer.groups.has(group)) continue;
      if (peer.notify(bytes)) count++;
      else this.#counts.lost++;
    }
    this.#counts.notifications += count;
    return count;
  }

  /** What netlink_sockopt does: the answer of the kernel's setsockopt to the same option. */
  #setOption(sender: Sender, option: number, value: number): void {
    const peer = this.#peer(sender.portId);
    switch (option) {
      case K.NETLINK_ADD_MEMBERSHIP: {
        const found = this.#registry.byGroup(value);
        if (found === undefined) throw refuse(ENOENT, 'no such multicast group');
        if (found.admin && !this.#isAdmin(sender)) throw refuse(EPERM, 'the group is for administrators');
        peer.groups.add(value);
        peer.inode ??= netlinkSockets(K.NETLINK_USERSOCK).get(peer.portId);
        return;
      }
      case K.NETLINK_DROP_MEMBERSHIP:
        peer.groups.delete(value);
        return;
      case K.NETLINK_CAP_ACK:
        peer.cappedAck = value !== 0;
        return;
      case K.NETLINK_EXT_ACK:
        peer.extendedAck = value !== 0;
        return;
      default:
        throw refuse(ENOPROTOOPT);
    }
  }
}

function warn(error: unknown, request: ParsedRequest<unknown>): void {
  const warning = error instanceof Error ? error : new Error(String(error));
  process.emitWarning(`the handler of command ${request.command} failed: ${warning.message}`, {
    code: 'ERR_NETLINK_HANDLER',
  });
}
