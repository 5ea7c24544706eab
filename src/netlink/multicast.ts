/*
 * Notifications as an async iterator. Before it: the kernel, or a FamilyServer, which tells everybody who subscribed to a group. After it: the
 * program's loop; resync.ts, which keeps a table up to date.
 *
 *     for await (const item of subscribe(NETLINK_ROUTE, [RTNLGRP_LINK])) {
 *       if (item.overrun) ...everything may have changed...
 *       else ...item.type, item.bytes...
 *     }
 *
 * Concepts. The subscription exists from the call on. Back-pressure: nothing is read that nobody asked for; at most one datagram is held here,
 * the rest waits in the kernel's buffer (`receiveBufferSize`), and when that is full the kernel drops. Then comes an item `{ overrun: true }`.
 * Messages from before the loss may still come behind it: whoever reads the state anew first takes what is there (`take` until undefined).
 *
 * Ownership: the bytes of an item are a copy. `return` (leaving the loop), `close` and an aborted signal close the socket, also while a `next`
 * waits. A waiting `next` keeps the process alive, an idle subscription does not. Threads: the one that made it.
 */
import { DatapathError } from '../errors.ts';
import * as K from './constants.ts';
import type { Datagram } from './datagram.ts';
import { MessageCursor } from './message.ts';
import { setPeerOptions } from './peer-options.ts';
import { NetlinkSocket } from './socket.ts';

export interface SubscribeOptions {
  /** Port id of a server in user space; default the kernel. Its notifications begin when the first `next`, or `ready`, has resolved. */
  readonly peer?: number;
  /** Bytes; default 1 MiB. The smaller, the earlier an overrun. */
  readonly receiveBufferSize?: number;
  /** Hear all network namespaces; `nsid` of an item says which. */
  readonly listenAllNamespaces?: boolean;
  /** Ends the iteration by throwing its reason. */
  readonly signal?: AbortSignal;
}

/** One message. */
export interface Notification {
  readonly overrun?: undefined;
  /** nlmsg_type, nlmsg_flags and nlmsg_seq; 0 where datagrams are no messages (NETLINK_KOBJECT_UEVENT). */
  readonly type: number;
  readonly flags: number;
  readonly seq: number;
  /** Sender: 0 is the kernel. */
  readonly portId: number;
  /** Group that it was sent to; 0 from a server in user space, which sends to each subscriber. */
  readonly group: number;
  /** Namespace of the sender with `listenAllNamespaces`, -1 the own one. */
  readonly nsid: number;
  /** The message, headers included; of NETLINK_KOBJECT_UEVENT the datagram. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Messages were lost: the buffer was full. */
export interface Overrun {
  readonly overrun: true;
  /** How many, where the sender counts them: a server in user space. */
  readonly count?: number;
}

export type SubscriptionItem = Notification | Overrun;

/** Subscribes to the groups, by their ids. Throws ERR_NETLINK_NO_SUCH_GROUP, ERR_NETLINK_PERMISSION. */
export function subscribe(protocol: number, groups: readonly number[], options: SubscribeOptions = {}): Subscription {
  return new Subscription(protocol, groups, options);
}

export class Subscription implements AsyncIterableIterator<SubscriptionItem>, Disposable {
  /** Resolves when the groups are joined; at the kernel's they are at once. */
  readonly ready: Promise<void>;
  readonly #socket: NetlinkSocket;
  readonly #signal: AbortSignal | undefined;
  readonly #isRaw: boolean;
  readonly #onAbort = (): void => this.close();
  /** Wakes a `next` that waits. */
  readonly #ended = new AbortController();
  #early: Datagram[] = [];
  #datagram: Datagram | undefined;
  #cursor: MessageCursor | undefined;
  #turn: Promise<unknown>;

  constructor(protocol: number, groups: readonly number[], options: SubscribeOptions) {
    const { peer = 0, signal, receiveBufferSize, listenAllNamespaces } = options;
    signal?.throwIfAborted();
    this.#signal = signal;
    this.#isRaw = protocol === K.NETLINK_KOBJECT_UEVENT;
    this.#socket = NetlinkSocket.open(protocol, {
      peer,
      ...(receiveBufferSize === undefined ? {} : { receiveBufferSize }),
      ...(listenAllNamespaces === undefined ? {} : { listenAllNamespaces }),
    });
    if (peer === 0) this.#join(groups);
    this.ready = peer === 0 ? Promise.resolve() : this.#joinPeer(groups);
    this.ready.catch(() => undefined);
    this.#turn = this.ready;
    signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  get closed(): boolean {
    return this.#socket.closed;
  }

  /** Bytes that the kernel granted. */
  get receiveBufferSize(): number {
    return this.#socket.receiveBufferSize;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next item, waited for. Calls are answered in their order. */
  next(): Promise<IteratorResult<SubscriptionItem, undefined>> {
    const result = this.#turn.then(() => this.#next());
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async return(): Promise<IteratorResult<SubscriptionItem, undefined>> {
    this.close();
    return { done: true, value: undefined };
  }

  /** The next item if there is one, without waiting. */
  take(): SubscriptionItem | undefined {
    while (!this.closed) {
      const message = this.#message();
      if (message !== undefined) return message;
      try {
        this.#datagram = this.#early.shift() ?? this.#socket.receive();
      } catch (error) {
        if (error instanceof DatapathError && error.code === 'ERR_NETLINK_OVERRUN') return { overrun: true };
        throw error;
      }
      if (this.#datagram === undefined) return undefined;
      this.#cursor = new MessageCursor(this.#datagram.bytes);
    }
    return undefined;
  }

  /** Leaves the groups. Idempotent. */
  close(): void {
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#socket.close();
    this.#ended.abort();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #join(groups: readonly number[]): void {
    try {
      for (const group of groups) this.#socket.join(group);
    } catch (error) {
      this.#socket.close();
      throw error;
    }
  }

  async #joinPeer(groups: readonly number[]): Promise<void> {
    try {
      this.#early = await setPeerOptions(
        this.#socket,
        groups.map((group) => [K.NETLINK_ADD_MEMBERSHIP, group]),
      );
    } catch (error) {
      this.close();
      throw error;
    }
  }

  async #next(): Promise<IteratorResult<SubscriptionItem, undefined>> {
    while (!this.closed) {
      const item = this.take();
      if (item !== undefined) return { done: false, value: item };
      await this.#socket.readable(this.#ended.signal).catch((error) => {
        if (!this.closed) throw error;
      });
    }
    this.#signal?.throwIfAborted();
    return { done: true, value: undefined };
  }

  /** The next message of the datagram at hand. */
  #message(): SubscriptionItem | undefined {
    const { portId = 0, group = 0, nsid = -1, bytes } = this.#datagram ?? {};
    if (bytes === undefined || this.#cursor === undefined) return undefined;
    if (this.#isRaw) {
      this.#datagram = undefined;
      return { type: 0, flags: 0, seq: 0, portId, group, nsid, bytes };
    }
    const cursor = this.#cursor;
    if (!cursor.next()) {
      this.#datagram = undefined;
      return undefined;
    }
    if (cursor.type === K.NLMSG_OVERRUN) return overrunOf(cursor);
    const { type, flags, seq } = cursor;
    return { type, flags, seq, portId, group, nsid, bytes: cursor.message() };
  }
}

function overrunOf(cursor: MessageCursor): Overrun {
  if (cursor.payloadSize < 4) return { overrun: true };
  const { buffer, byteOffset } = cursor.bytes;
  return { overrun: true, count: new DataView(buffer, byteOffset).getUint32(cursor.payloadOffset, true) };
}
