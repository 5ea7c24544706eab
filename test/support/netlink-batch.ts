/*
 * Transactions on the shim in tests: requests side by side in shared WASM memory, run, and read back as objects.
 */
import * as N from '../../src/native/netlink.ts';
import { type Header, header, wasmView } from './netlink-shim.ts';

export const EINPROGRESS = 115;

export interface BatchOptions {
  confirm?: number;
  batchSize?: number;
  batchCount?: number;
  repliesSize?: number;
}

export interface Outcome {
  errno: number;
  flags: number;
  size: number;
  reply: Header[];
  bytes: Uint8Array;
}

export class Batch {
  readonly requests: Uint8Array;
  readonly replies: Uint8Array;
  readonly rows: Int32Array;
  readonly socket: N.NativeNetlinkSocket;
  readonly begun: number;

  constructor(socket: N.NativeNetlinkSocket, messages: readonly Uint8Array[], options: BatchOptions = {}) {
    const size = messages.reduce((sum, bytes) => sum + bytes.length, 0);
    const repliesSize = options.repliesSize ?? 1 << 20;
    const memory = wasmView(Math.ceil((size + repliesSize) / 65536) + 1);
    this.requests = memory.subarray(4, 4 + size);
    this.replies = new Uint8Array(memory.buffer, 8 + size, repliesSize);
    this.rows = new Int32Array((messages.length + 1) * N.TRANSACTION_ROW_WORDS).fill(-7);
    this.socket = socket;
    let at = 0;
    for (const bytes of messages) {
      this.requests.set(bytes, at);
      at += bytes.length;
    }
    const { confirm = N.CONFIRM_EACH, batchSize = 0, batchCount = 0 } = options;
    this.begun = socket.beginTransactions(this.requests, size, this.rows, confirm, batchSize, batchCount);
  }

  go(timeoutMs: number): number {
    return this.socket.continueTransactions(this.requests, this.replies, this.rows, timeoutMs);
  }

  cancel(): void {
    this.socket.cancelTransactions(this.rows);
  }

  errnos(): number[] {
    return Array.from({ length: this.begun }, (_, i) => this.rows[i * 4] ?? -1);
  }

  outcome(index: number): Outcome {
    const [errno = 0, offset = 0, size = 0, flags = 0] = this.rows.subarray(index * 4);
    const overflow = (flags & N.TRANSACTION_OVERFLOW) !== 0;
    const bytes = overflow ? new Uint8Array() : this.replies.slice(offset, offset + size);
    const reply: Header[] = [];
    for (let at = 0; at < bytes.length; at += ((reply.at(-1)?.size ?? 0) + 3) & ~3) reply.push(header(bytes, at));
    return { errno, flags, size, reply, bytes };
  }
}
