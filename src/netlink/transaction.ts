/*
 * TransactionBatch: many requests in one region of memory, and what became of each; and the two drivers that run a batch on a channel, one
 * that blocks the thread and one for the event loop. Before it: NetlinkSocket.transactMany and everything built on it; after it: the addon,
 * which sends the requests in datagrams within all limits and matches replies by sequence number.
 *
 * Ownership: the batch owns its memory unless it was given views (of WASM memory, say), which it then never replaces. No object is made per
 * message: requests are built in place, results are read by index. `reply(i)` is a view, valid until the batch is cleared or run again.
 * Threads: one at a time. What can be lost: a transaction whose answer was lost is sent again, so requests must be idempotent.
 */
import { DatapathError } from '../errors.ts';
import {
  type ByteView,
  CONFIRM_EACH,
  CONFIRM_LAST,
  TRANSACTION_ERRNO,
  TRANSACTION_FLAGS,
  TRANSACTION_OFFSET,
  TRANSACTION_OVERFLOW,
  TRANSACTION_RESENT,
  TRANSACTION_ROW_WORDS,
  TRANSACTION_SIZE,
} from '../native/netlink.ts';
import { MessageBuffer } from './buffer.ts';
import { type Channel, PROBE_MS, RETRY_MS } from './channel.ts';
import { NLA_HDRLEN, NLA_TYPE_MASK, NLMSG_HDRLEN, NLMSG_LEN } from './constants.ts';
import {
  EAGAIN,
  ECANCELED,
  EINPROGRESS,
  EINVAL,
  EMSGSIZE,
  ETIMEDOUT,
  netlinkError,
  type Refusal,
  systemError,
  timeoutError,
} from './errors.ts';
import { MessageCursor } from './message.ts';

/** A peer that does not answer for so long is taken for dead; the kernel answers at once, but may wait for a lock. */
export const TRANSACTION_TIMEOUT_MS = 60_000;
const COUNT_DEFAULT = 1024;
const REPLY_SIZE_DEFAULT = 256 * 1024;
const REQUEST_SIZE_DEFAULT = 4096;

export interface TransactionBatchOptions {
  /** Requests at most; default 1024, or what `rows` has room for. */
  readonly countMax?: number;
  /** Bytes for all replies together; default 256 KiB. A refused request takes some 40 to 200 bytes of it, an acknowledged one none. */
  readonly replySize?: number;
  /** Memory to use instead of the batch's own, for example WASM memory; it is never replaced. */
  readonly requests?: ByteView;
  readonly replies?: ByteView;
  /** TRANSACTION_ROW_WORDS words a request. */
  readonly rows?: Int32Array;
  /**
   * 'each' (default): every request is acknowledged. 'last': only the last one of a datagram; errors come anyway. About twice as fast, and
   * only sound towards the kernel, which answers in order.
   */
  readonly confirm?: 'each' | 'last';
  /** Limits of one datagram: bytes and requests; 0 (default) leaves it to the addon. */
  readonly batchSize?: number;
  readonly batchCount?: number;
  /** What errors call it. */
  readonly operation?: string;
}

export interface TransactOptions {
  /** Milliseconds for the whole of it; -1 waits for ever. Default TRANSACTION_TIMEOUT_MS. */
  readonly timeoutMs?: number;
}

export interface TransactAsyncOptions extends TransactOptions {
  readonly signal?: AbortSignal;
}

export interface TransactOneOptions extends TransactOptions {
  /** Bytes for the reply; default 64 KiB. */
  readonly replySize?: number;
  /** What errors call it. */
  readonly operation?: string;
}

/** More than any reply of the kernel to a single request. */
export const REPLY_SIZE = 64 * 1024;

export class TransactionBatch {
  operation: string;
  readonly replies: ByteView;
  readonly rows: Int32Array;
  readonly confirm: number;
  readonly batchSize: number;
  readonly batchCount: number;
  private readonly countMax: number;
  /** Where each request begins; an array of numbers, because errors ask for it by index. */
  private readonly starts: Int32Array;
  private readonly buffer: MessageBuffer;
  private added = 0;

  constructor(options: TransactionBatchOptions = {}) {
    const { rows, requests, replies } = options;
    const rowsMax = rows === undefined ? COUNT_DEFAULT : Math.floor(rows.length / TRANSACTION_ROW_WORDS);
    this.countMax = options.countMax ?? rowsMax;
    if (this.countMax < 1 || (rows !== undefined && this.countMax > rowsMax)) {
      throw new RangeError(`countMax ${this.countMax}: rows have room for ${rowsMax}`);
    }
    this.rows = rows ?? new Int32Array(this.countMax * TRANSACTION_ROW_WORDS);
    this.starts = new Int32Array(this.countMax);
    this.buffer = requests === undefined ? new MessageBuffer(REQUEST_SIZE_DEFAULT) : MessageBuffer.over(requests);
    this.replies = replies ?? new Uint8Array(options.replySize ?? REPLY_SIZE_DEFAULT);
    this.confirm = options.confirm === 'last' ? CONFIRM_LAST : CONFIRM_EACH;
    this.batchSize = options.batchSize ?? 0;
    this.batchCount = options.batchCount ?? 0;
    this.operation = options.operation ?? 'netlink transaction';
  }

  /** Requests in it. */
  get count(): number {
    return this.added;
  }

  /** The requests as they stand in memory: a view, valid until one is added. */
  get requests(): ByteView {
    return this.buffer.bytes;
  }

  /** Forgets all requests and results. */
  clear(): void {
    this.added = 0;
    this.buffer.clear();
  }

  /**
   * Adds a request that `build` writes behind the content of the buffer (beginMessage ... endMessage). Sequence, port id and the flags
   * REQUEST and ACK are written when it is sent. When `build` throws, or there is no room (ERR_NETLINK_TOO_LARGE), the batch is as before.
   */
  add(build: (buffer: MessageBuffer) => void): this {
    const { buffer } = this;
    if (this.added === this.countMax) throw new RangeError(`the batch is full: ${this.countMax} requests`);
    const start = buffer.size;
    try {
      build(buffer);
      buffer.align();
      buffer.check();
      const size = buffer.size - start;
      if (size < NLMSG_HDRLEN) throw new RangeError(`a message of ${size} bytes has no header`);
    } catch (error) {
      buffer.error = undefined;
      buffer.trim(start);
      throw error;
    }
    this.starts[this.added++] = start;
    return this;
  }

  /** Adds the message of `size` bytes that was written behind the others, in memory that the batch was given. */
  addInPlace(size: number): this {
    return this.add((buffer) => {
      if (buffer.claim(size) < 0) throw new RangeError(`${size} bytes are not inside of the memory for requests`);
    });
  }

  /** Adds a copy of one whole message; its length is written too. */
  addMessage(message: ByteView): this {
    return this.add((buffer) => {
      if (message.length < NLMSG_HDRLEN) throw new RangeError(`a message of ${message.length} bytes has no header`);
      buffer.setU32(buffer.append(message) + NLMSG_LEN, message.length);
    });
  }

  /** 0: done; else the positive errno that the peer refused it with, or that kept it from being decided (ETIMEDOUT, ECONNREFUSED, ...). */
  errno(index: number): number {
    return this.rows[this.row(index) + TRANSACTION_ERRNO];
  }

  /** Where the reply begins in `replies`, and its bytes: whole messages; of a refused request its NLMSG_ERROR message. */
  replyOffset(index: number): number {
    return this.rows[this.row(index) + TRANSACTION_OFFSET];
  }
  replySize(index: number): number {
    return this.overflowed(index) ? 0 : this.rows[this.row(index) + TRANSACTION_SIZE];
  }

  /** View of the reply messages, empty when there was only an acknowledgement; valid until the batch is cleared or run again. */
  reply(index: number): ByteView {
    const offset = this.replyOffset(index);
    return this.replies.subarray(offset, offset + this.replySize(index));
  }

  /** Whether the reply did not fit: the transaction is decided, but its reply is gone. */
  overflowed(index: number): boolean {
    return (this.rows[this.row(index) + TRANSACTION_FLAGS] & TRANSACTION_OVERFLOW) !== 0;
  }

  /** Whether it was sent more than once, because its answer was lost. */
  resent(index: number): boolean {
    return (this.rows[this.row(index) + TRANSACTION_FLAGS] & TRANSACTION_RESENT) !== 0;
  }

  /** What was wrong with it, with what the kernel said; undefined when it was done and its reply is there. */
  error(index: number): DatapathError | undefined {
    const errno = this.errno(index);
    if (errno !== 0) return netlinkError(errno, this.operation, this.refusal(index));
    if (!this.overflowed(index)) return undefined;
    const size = this.rows[this.row(index) + TRANSACTION_SIZE];
    const text = `${this.operation}: done, but its reply of ${size} bytes did not fit: give a larger \`replySize\``;
    return new DatapathError('ERR_NETLINK_TOO_LARGE', text, { errno: EMSGSIZE, operation: this.operation });
  }

  private refusal(index: number): Refusal {
    const reply = new MessageCursor(this.reply(index));
    if (!reply.next() || !reply.isError) return {};
    const ack = reply.extendedAck();
    const { bytes } = this.buffer;
    const at = this.starts[index] + (ack.offset ?? bytes.length);
    if (at + NLA_HDRLEN > bytes.length) return ack;
    return { ...ack, attributeType: this.buffer.u16(at + 2) & NLA_TYPE_MASK };
  }

  /** Transactions that were refused or not decided. */
  failures(): number {
    let count = 0;
    for (let i = 0; i < this.added; i++) if (this.rows[i * TRANSACTION_ROW_WORDS + TRANSACTION_ERRNO] !== 0) count++;
    return count;
  }

  private row(index: number): number {
    if (!(index >= 0 && index < this.added)) throw new RangeError(`transaction ${index} of ${this.added}`);
    return index * TRANSACTION_ROW_WORDS;
  }
}

/** Runs the batch and waits for it. Throws when not all of it was decided: every row tells how far it came. */
export function runBatch(channel: Channel, batch: TransactionBatch, options: TransactOptions): void {
  if (!begin(channel, batch)) return;
  const deadline = deadlineOf(options.timeoutMs);
  const sliceMax = channel.options.peer > 0 ? PROBE_MS : Number.POSITIVE_INFINITY;
  for (;;) {
    const leftMs = deadline - performance.now();
    const slice = Math.min(Math.max(leftMs, 0), sliceMax);
    if (advance(channel, batch, Number.isFinite(slice) ? Math.ceil(slice) : -1)) return;
    if (deadline <= performance.now()) throw abandon(channel, batch, ETIMEDOUT, timeoutError(batch.operation));
    if (checkPeer(channel, batch)) return;
  }
}

/** The same on the event loop. */
export async function runBatchAsync(
  channel: Channel,
  batch: TransactionBatch,
  options: TransactAsyncOptions,
): Promise<void> {
  const { signal } = options;
  const giveUp = (): Error => abandon(channel, batch, ETIMEDOUT, timeoutError(batch.operation, signal?.reason));
  if (signal?.aborted) throw timeoutError(batch.operation, signal.reason);
  if (!begin(channel, batch)) return;
  const deadline = deadlineOf(options.timeoutMs);
  let heardAt = performance.now();
  while (!advance(channel, batch, 0)) {
    if (signal?.aborted || deadline <= performance.now()) throw giveUp();
    const waitMs = Math.min(RETRY_MS, deadline - performance.now());
    const heard = await channel.readable(Math.max(waitMs, 0), signal).catch((error: Error) => {
      throw abandon(channel, batch, ECANCELED, error);
    });
    if (heard) heardAt = performance.now();
    else if (performance.now() - heardAt >= PROBE_MS) {
      if (checkPeer(channel, batch)) return;
      heardAt = performance.now();
    }
  }
}

/** False when there is nothing to do. */
function begin(channel: Channel, batch: TransactionBatch): boolean {
  if (batch.count === 0) return false;
  const { requests, rows, confirm, batchSize, batchCount, operation } = batch;
  const size = requests.length;
  const result = channel.native.beginTransactions(requests, size, rows, confirm, batchSize, batchCount);
  if (result === -EINVAL) throw new RangeError(`${operation}: the requests are no well-formed messages`);
  if (result < 0) throw systemError(-result, operation);
  return true;
}

/** Whether everything is decided. */
function advance(channel: Channel, batch: TransactionBatch, timeoutMs: number): boolean {
  const result = channel.native.continueTransactions(batch.requests, batch.replies, batch.rows, timeoutMs);
  if (result === 0) return true;
  if (result === -EAGAIN) return false;
  throw systemError(-result, batch.operation);
}

/** Throws when the peer is gone, unless what it answered before decides everything: true. */
function checkPeer(channel: Channel, batch: TransactionBatch): boolean {
  const errno = channel.probe();
  if (errno === 0) return false;
  if (advance(channel, batch, 0)) return true;
  throw abandon(channel, batch, errno, systemError(errno, `${batch.operation}: the peer is gone`));
}

/** Marks what is left with `errno` and makes its replies strangers; returns the error to throw. */
function abandon(channel: Channel, batch: TransactionBatch, errno: number, error: Error): Error {
  for (let i = 0; i < batch.count; i++) {
    const row = i * TRANSACTION_ROW_WORDS + TRANSACTION_ERRNO;
    if (batch.rows[row] === EINPROGRESS) batch.rows[row] = errno;
  }
  if (!channel.closed) channel.native.cancelTransactions(batch.rows);
  return error;
}

function deadlineOf(timeoutMs: number = TRANSACTION_TIMEOUT_MS): number {
  return timeoutMs < 0 ? Number.POSITIVE_INFINITY : performance.now() + timeoutMs;
}

/** A batch for one request. */
export function oneRequest({ replySize = REPLY_SIZE, operation }: TransactOneOptions): TransactionBatch {
  return new TransactionBatch({ countMax: 1, replySize, operation });
}

/** A copy of the reply to the one request of the batch; throws what it was refused with. */
export function onlyReply(batch: TransactionBatch): Uint8Array {
  const error = batch.error(0);
  if (error !== undefined) throw error;
  return batch.reply(0).slice();
}
