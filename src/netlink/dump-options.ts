/*
 * What a dump is begun with, and what another thread needs of it. dump.ts says what they mean.
 */
import type { NativeSocketHandle } from '../native/netlink.ts';

export interface DumpOptions {
  /** How often to begin again when the table changed while it was read; default 0: it is only reported (`interrupted`). */
  readonly retry?: number;
  /** Milliseconds of silence after which the dump, or sending its request, is given up; -1: never. Default TRANSACTION_TIMEOUT_MS. */
  readonly timeoutMs?: number;
  /** Ends the waiting of asynchronous reading. */
  readonly signal?: AbortSignal;
  /** What errors call it. */
  readonly operation?: string;
}

/** A dump for another thread; it can be posted, and is adopted once. */
export interface DumpHandle {
  readonly socket: NativeSocketHandle;
  readonly sequence: number;
  readonly state: SharedArrayBuffer;
  readonly operation: string;
}
