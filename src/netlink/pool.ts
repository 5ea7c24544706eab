/*
 * NetlinkPool: idle sockets of one protocol, ready for the next transaction or dump; and `transact`, `transactMany` and `dump` that need no
 * socket.
 *
 * Before it: whoever has a request and no reason to keep a socket; after it: NetlinkSocket, connected to the kernel. Ownership: a taken
 * socket is the caller's until it is given back. The pool keeps those that are as good as new and closes all others: with something unread,
 * in the middle of anything, or known to somebody. Threads: each thread has pools of its own. Idle sockets do not keep the process alive.
 * What can be lost: nothing.
 */
import type { ByteView } from '../native/netlink.ts';
import { MAX_LINKS } from './constants.ts';
import type { Dump, DumpOptions } from './dump.ts';
import { NetlinkSocket } from './socket.ts';
import type { TransactAsyncOptions, TransactionBatch, TransactOneOptions, TransactOptions } from './transaction.ts';

/** Idle sockets that a pool keeps: as many as one thread could well use at once, few enough to forget about. */
export const POOL_IDLE_MAX = 16;

export class NetlinkPool {
  readonly protocol: number;
  private readonly idle: NetlinkSocket[] = [];

  constructor(protocol: number) {
    if (!Number.isInteger(protocol) || protocol < 0 || protocol >= MAX_LINKS) {
      throw new RangeError(`protocol ${protocol}: 0 to ${MAX_LINKS - 1}`);
    }
    this.protocol = protocol;
  }

  /** Sockets that wait for use. */
  get idleCount(): number {
    return this.idle.length;
  }

  /** The one that was given back last, else a new one. */
  take(): NetlinkSocket {
    return this.idle.pop() ?? NetlinkSocket.open(this.protocol);
  }

  /** Gives a socket back, which is not to be used any more. */
  give(socket: NetlinkSocket): void {
    if (this.idle.includes(socket)) throw new TypeError('the socket was given back already');
    if (this.idle.length < POOL_IDLE_MAX && socket.protocol === this.protocol && socket.pristine)
      this.idle.push(socket);
    else socket.close();
  }

  transact(request: ByteView, options?: TransactOneOptions): Uint8Array {
    const socket = this.take();
    try {
      return socket.transact(request, options);
    } finally {
      this.give(socket);
    }
  }

  transactMany(batch: TransactionBatch, options?: TransactOptions): number {
    const socket = this.take();
    try {
      return socket.transactMany(batch, options);
    } finally {
      this.give(socket);
    }
  }

  async transactManyAsync(batch: TransactionBatch, options?: TransactAsyncOptions): Promise<number> {
    const socket = this.take();
    try {
      return await socket.transactManyAsync(batch, options);
    } finally {
      this.give(socket);
    }
  }

  /** The dump takes the kernel socket out of one of these, and gives it back when it ends well and was not replaced meanwhile. */
  dump(request: ByteView, options?: DumpOptions): Dump {
    const socket = this.take();
    try {
      return socket.dump(request, options);
    } finally {
      this.give(socket);
    }
  }

  /** Closes the idle sockets. */
  close(): void {
    for (const socket of this.idle.splice(0)) socket.close();
  }
}

const pools = new Map<number, NetlinkPool>();

/** The calling thread's pool of a protocol. */
export function netlinkPool(protocol: number): NetlinkPool {
  let pool = pools.get(protocol);
  if (pool === undefined) {
    pool = new NetlinkPool(protocol);
    pools.set(protocol, pool);
  }
  return pool;
}

/** One transaction with the kernel: the messages of its reply, a copy. */
export function transact(protocol: number, request: ByteView, options?: TransactOneOptions): Uint8Array {
  return netlinkPool(protocol).transact(request, options);
}

/** All transactions of a batch with the kernel. Returns how many were refused. */
export function transactMany(protocol: number, batch: TransactionBatch, options?: TransactOptions): number {
  return netlinkPool(protocol).transactMany(batch, options);
}

/** A dump of a table of the kernel. */
export function dump(protocol: number, request: ByteView, options?: DumpOptions): Dump {
  return netlinkPool(protocol).dump(request, options);
}
