/*
 * A table of the kernel, followed: first all that is there, then every change, and after a loss of notifications the difference. Before it: a dump
 * request and groups. After it: the program's loop, which sees `added`, `changed` and `removed`, each once.
 *
 *     for await (const item of resync({ protocol: NETLINK_ROUTE, groups: [RTNLGRP_LINK], dump: request, key, isRemoval })) ...
 *
 * Concepts. The subscription comes first, then the dump; what is notified meanwhile is kept, one message a key, and laid over the dump: the last
 * word on a key wins, since whatever was notified before the dump reached it is in the dump as well. Whatever comes later is later than the dump.
 * So nothing is lost, and nothing that is older is told after something newer. A dump during which the table changed
 * (NLM_F_DUMP_INTR), or which overran, is read again. After an overrun of notifications what is still in the buffer is thrown away, as it is older
 * than the dump that follows; then only the difference is told.
 *
 * Each time the table is whole comes an item `{ resynchronised: true }`, the first time as well. `state` is the table as told so far.
 *
 * Ownership: items are copies, kept in `state`. Memory: the table, twice during a dump. Threads: the one that made it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { DatapathError } from '../errors.ts';
import { MessageCursor } from './message.ts';
import { type Notification, type SubscribeOptions, Subscription } from './multicast.ts';
import { NetlinkSocket } from './socket.ts';

export interface ResyncOptions<K> extends SubscribeOptions {
  readonly protocol: number;
  readonly groups: readonly number[];
  /** The request whose dump is the table: a whole message. */
  readonly dump: Uint8Array;
  /** What identifies the object of a message, of the dump or notified; undefined: the message is not about this table. Compared as in a Map. */
  readonly key: (message: MessageCursor) => K | undefined;
  /** Whether a notification says that the object is gone. */
  readonly isRemoval: (message: MessageCursor) => boolean;
  /** Whether two messages say the same of an object; default: the bytes behind nlmsghdr are the same. */
  readonly equal?: (one: Uint8Array, other: Uint8Array) => boolean;
  /** How often a dump is begun before ERR_NETLINK_INTERRUPTED is thrown; default 100, with growing pauses of up to 64 ms. */
  readonly attemptsMax?: number;
}

/** One object came, changed or went; `bytes` is the message that says so, of one that went without a message the last one about it. */
export interface TableChange<K> {
  readonly resynchronised?: undefined;
  readonly change: 'added' | 'changed' | 'removed';
  readonly key: K;
  readonly bytes: Uint8Array;
}

/** The table is whole: what was told so far is what is there. */
export interface Resynchronised {
  readonly resynchronised: true;
  readonly cause: 'start' | 'overrun';
  /** Objects in the table. */
  readonly count: number;
  /** Dumps that it took. */
  readonly dumps: number;
}

export type ResyncItem<K> = TableChange<K> | Resynchronised;

const ATTEMPTS_MAX = 100;
const PAUSE_MAX_MS = 64;
/** Messages of a dump between two looks at the notifications. */
const LOOK_EVERY = 32;
/** A buffer holds at most one datagram in so many bytes: what the kernel charges for the smallest. */
const CHARGE_MIN = 256;
const HEADER_SIZE = 16;

export function resync<K>(options: ResyncOptions<K>): Resync<K> {
  return new Resync(options);
}

/** What was notified during a dump, by key; undefined: it is gone. */
type Overlay<K> = Map<K, Uint8Array | undefined>;

export class Resync<K> implements AsyncIterableIterator<ResyncItem<K>>, Disposable {
  /** The table as far as it was told. */
  readonly state: ReadonlyMap<K, Uint8Array>;
  readonly #state = new Map<K, Uint8Array>();
  readonly #options: ResyncOptions<K>;
  readonly #subscription: Subscription;
  readonly #items: AsyncGenerator<ResyncItem<K>, undefined>;
  readonly #equal: (one: Uint8Array, other: Uint8Array) => boolean;

  constructor(options: ResyncOptions<K>) {
    this.#options = options;
    this.#equal = options.equal ?? samePayload;
    this.#subscription = new Subscription(options.protocol, options.groups, options);
    this.state = this.#state;
    this.#items = this.#run();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<ResyncItem<K>, undefined>> {
    return this.#items.next();
  }

  async return(): Promise<IteratorResult<ResyncItem<K>, undefined>> {
    this.close();
    return this.#items.return(undefined);
  }

  /** Leaves the groups and gives up a dump under way; a `next` that waits is done. Idempotent. */
  close(): void {
    this.#subscription.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async *#run(): AsyncGenerator<ResyncItem<K>, undefined> {
    try {
      await this.#subscription.ready;
      for (let cause: Resynchronised['cause'] = 'start'; ; cause = 'overrun') {
        const { table, dumps } = await this.#readTable();
        if (this.#subscription.closed) break;
        yield* this.#difference(table);
        yield { resynchronised: true, cause, count: table.size, dumps };
        if (!(yield* this.#follow())) break;
      }
      this.#options.signal?.throwIfAborted();
      return undefined;
    } finally {
      this.close();
    }
  }

  /** Tells changes as they are notified. True after an overrun, false when the subscription has ended. */
  async *#follow(): AsyncGenerator<ResyncItem<K>, boolean> {
    for await (const item of { [Symbol.asyncIterator]: () => ({ next: () => this.#subscription.next() }) }) {
      if (item.overrun) return true;
      const { key, bytes } = this.#read(item);
      if (key === undefined) continue;
      const change = bytes === undefined ? this.#remove(key, item.bytes) : this.#put(key, bytes);
      if (change !== undefined) yield change;
    }
    return false;
  }

  *#difference(table: ReadonlyMap<K, Uint8Array>): Generator<TableChange<K>> {
    for (const [key, bytes] of this.#state) {
      if (table.has(key)) continue;
      this.#state.delete(key);
      yield { change: 'removed', key, bytes };
    }
    for (const [key, bytes] of table) {
      const change = this.#put(key, bytes);
      if (change !== undefined) yield change;
    }
  }

  #put(key: K, bytes: Uint8Array): TableChange<K> | undefined {
    const known = this.#state.get(key);
    if (known !== undefined && this.#equal(known, bytes)) return undefined;
    this.#state.set(key, bytes);
    return { change: known === undefined ? 'added' : 'changed', key, bytes };
  }

  #remove(key: K, bytes: Uint8Array): TableChange<K> | undefined {
    return this.#state.delete(key) ? { change: 'removed', key, bytes } : undefined;
  }

  /** A dump that nothing disturbed, with what was notified meanwhile laid over it. */
  async #readTable(): Promise<{ table: Map<K, Uint8Array>; dumps: number }> {
    const { attemptsMax = ATTEMPTS_MAX } = this.#options;
    for (let dumps = 1; dumps <= attemptsMax; dumps++) {
      const table = new Map<K, Uint8Array>();
      const overlay: Overlay<K> = new Map();
      this.#collect(undefined);
      const whole = await this.#readDump(table, overlay);
      if (this.#subscription.closed) return { table, dumps };
      if (whole && this.#collect(overlay)) {
        for (const [key, bytes] of overlay) {
          if (bytes === undefined) table.delete(key);
          else table.set(key, bytes);
        }
        return { table, dumps };
      }
      await sleep(Math.min(PAUSE_MAX_MS, dumps));
    }
    const message = `the table changed during each of ${attemptsMax} dumps`;
    throw new DatapathError('ERR_NETLINK_INTERRUPTED', message, { operation: 'resync' });
  }

  /** False when it has to be read again. */
  async #readDump(table: Map<K, Uint8Array>, overlay: Overlay<K>): Promise<boolean> {
    const { protocol, peer = 0, dump: request, key, signal } = this.#options;
    using socket = NetlinkSocket.open(protocol, { peer });
    const dump = socket.dump(request, { operation: 'resync', ...(signal === undefined ? {} : { signal }) });
    try {
      let count = 0;
      for await (const message of dump) {
        if (this.#subscription.closed) return false;
        const found = key(message);
        if (found !== undefined) table.set(found, message.message());
        if (++count % LOOK_EVERY === 0 && !this.#collect(overlay)) return false;
      }
      return !dump.interrupted;
    } catch (error) {
      if (error instanceof DatapathError && AGAIN.has(error.code)) return false;
      throw error;
    }
  }

  /**
   * Takes the notifications that are there into the overlay, or throws them away. False when some were lost. As many as the buffer can hold at
   * most: what comes after that came after the call.
   */
  #collect(overlay: Overlay<K> | undefined): boolean {
    let whole = true;
    const countMax = this.#subscription.closed ? 0 : Math.ceil(this.#subscription.receiveBufferSize / CHARGE_MIN);
    for (let count = 0; count < countMax; count++) {
      const item = this.#subscription.take();
      if (item === undefined) break;
      if (item.overrun) whole = false;
      else if (overlay !== undefined) {
        const { key, bytes } = this.#read(item);
        if (key !== undefined) overlay.set(key, bytes);
      }
    }
    return whole;
  }

  /** `bytes` undefined: the object is gone. */
  #read(item: Notification): { key: K | undefined; bytes: Uint8Array | undefined } {
    const cursor = new MessageCursor(item.bytes);
    if (!cursor.next()) return { key: undefined, bytes: undefined };
    return { key: this.#options.key(cursor), bytes: this.#options.isRemoval(cursor) ? undefined : item.bytes };
  }
}

const AGAIN: ReadonlySet<string> = new Set(['ERR_NETLINK_OVERRUN', 'ERR_NETLINK_INTERRUPTED']);

function samePayload(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one.subarray(HEADER_SIZE), other.subarray(HEADER_SIZE)) === 0;
}
