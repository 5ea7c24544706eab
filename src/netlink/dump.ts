/*
 * Dump: a whole table of the kernel or of another process, read datagram by datagram. Before it: NetlinkSocket.dump, which says on which
 * channel it runs; after it: the addon, and MessageCursor for what is in the datagrams.
 *
 * Concepts: a dump ends with NLMSG_DONE, with NLMSG_ERROR, or when there was nothing to hear for `timeoutMs`. When the table changed while
 * it was read, `interrupted` becomes true: entries may be missing or there twice. With `retry` nothing is handed out before the whole table
 * is there, and an interrupted or overrun dump starts again, so many times at most.
 *
 * Ownership: the cursor that `next` returns reads the dump's own buffer and is valid until the next call. The dump owns its channel until
 * it ends or is closed; one that ends well gives it back clean, every other closes it: nobody ever gets a socket with a dump's rest in it.
 *
 * Threads: one, but for `share`: other threads adopt the handle and read the same dump with buffers of their own (`receiveNext`, or `next`,
 * whose buffer is the adopted dump's own); each datagram goes to one of them. How the dump stands is in a few shared words, so all learn of
 * the end, whoever read it. No lock is taken. `close` before the end abandons the dump for all.
 *
 * What can be lost: nothing but by an overrun, which is ERR_NETLINK_OVERRUN.
 */
import { DatapathError } from '../errors.ts';
import {
  type ByteView,
  RECEIVE_FLAGS,
  RECEIVE_PORT_ID,
  RECEIVE_ROW_WORDS,
  RECEIVE_SIZE,
  RECEIVE_TRUNCATED,
} from '../native/netlink.ts';
import { Channel, PROBE_MS, RETRY_MS } from './channel.ts';
import {
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_FLAGS,
  NLMSG_HDRLEN,
  NLMSG_LEN,
  NLMSG_MIN_TYPE,
  NLMSG_PID,
  NLMSG_SEQ,
} from './constants.ts';
import { DumpHeaders } from './dump-headers.ts';
import type { DumpHandle, DumpOptions } from './dump-options.ts';
import { DumpState } from './dump-state.ts';
import {
  EAGAIN,
  ECANCELED,
  EINTR,
  EMSGSIZE,
  ENOBUFS,
  malformedError,
  netlinkError,
  systemError,
  timeoutError,
} from './errors.ts';
import { MessageCursor } from './message.ts';
import { channelOptions } from './socket-options.ts';
import { TRANSACTION_TIMEOUT_MS } from './transaction.ts';

/** The kernel fills datagrams of a dump up to 32 KiB; larger ones are seen before they are taken, and the buffer grows. */
const BUFFER_SIZE = 32 * 1024;

export type { DumpHandle, DumpOptions } from './dump-options.ts';

type Release = (clean: boolean) => void;

export class Dump implements Disposable {
  private readonly channel: Channel;
  private readonly release: Release;
  private readonly operation: string;
  private readonly timeoutMs: number;
  private readonly signal: AbortSignal | undefined;
  private readonly request: Uint8Array;
  private sequence: number;
  private readonly state: DumpState;
  private released = false;
  private retriesLeft: number;
  /** With `retry`: the table so far. */
  private readonly held: ByteView[] | undefined;
  private failure: DatapathError | undefined;
  private buffer: ByteView = new Uint8Array(0);
  private cursor = new MessageCursor(this.buffer);
  private readonly headers = new DumpHeaders();
  private readonly row = new Int32Array(RECEIVE_ROW_WORDS);
  private silentSince = performance.now();
  private probedAt = 0;

  private constructor(
    channel: Channel,
    request: Uint8Array,
    options: DumpOptions,
    release: Release,
    from?: DumpHandle,
  ) {
    const { retry = 0, timeoutMs = TRANSACTION_TIMEOUT_MS, signal, operation = 'netlink dump' } = options;
    this.channel = channel;
    this.release = release;
    this.operation = operation;
    this.timeoutMs = timeoutMs;
    this.signal = signal;
    this.request = request;
    this.sequence = from?.sequence ?? 0;
    this.state = new DumpState(from?.state);
    this.retriesLeft = retry;
    this.held = retry > 0 ? [] : undefined;
  }

  /** Sends the request on the channel, which is the dump's from now on; `release` gets it back at the end. */
  static start(channel: Channel, request: Uint8Array, options: DumpOptions, release: Release): Dump {
    const dump = new Dump(channel, request.slice(), options, release);
    try {
      dump.send();
    } catch (error) {
      dump.letGo(false);
      throw error;
    }
    return dump;
  }

  /** The dump of a handle that `share` made, in another thread; once. */
  static adopt(handle: DumpHandle, options: Omit<DumpOptions, 'retry'> = {}): Dump {
    const { protocol, portId, peer } = handle.socket;
    const channel = Channel.adopt(handle.socket, channelOptions(protocol, { portId, peer }));
    const close = (): void => channel.close();
    return new Dump(channel, new Uint8Array(0), { operation: handle.operation, ...options }, close, handle);
  }

  /** A handle of this dump for another thread. */
  share(): DumpHandle {
    if (this.held !== undefined) throw new TypeError('a dump with `retry` has one consumer');
    const socket = this.channel.share();
    return { socket, sequence: this.sequence, state: this.state.share(), operation: this.operation };
  }

  /** Whether the table changed while it was read. Final when the dump has ended. */
  get interrupted(): boolean {
    return this.state.interrupted;
  }

  /** Whether the end was read, an error came, or it was closed; the last messages may still be to be had. */
  get ended(): boolean {
    return !this.state.running;
  }

  /** The next message, waited for; undefined after the last one. Throws at the end when the dump failed. */
  next(): MessageCursor | undefined {
    while (!this.cursor.next()) if (!this.refill()) return undefined;
    return this.cursor;
  }

  /** The same on the event loop. */
  async nextAsync(): Promise<MessageCursor | undefined> {
    while (!this.cursor.next()) if (!(await this.refillAsync())) return undefined;
    return this.cursor;
  }

  /** All the messages of the next datagram at once, but for those that `next` went past; undefined after the last one. A view, valid until the next step. */
  nextDatagram(): ByteView | undefined {
    return this.cursor.rest() ?? (this.refill() ? this.cursor.rest() : undefined);
  }

  async nextDatagramAsync(): Promise<ByteView | undefined> {
    return this.cursor.rest() ?? ((await this.refillAsync()) ? this.cursor.rest() : undefined);
  }

  *[Symbol.iterator](): Generator<MessageCursor, void, undefined> {
    try {
      for (let message = this.next(); message !== undefined; message = this.next()) yield message;
    } finally {
      this.close();
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<MessageCursor, void, undefined> {
    try {
      for (let message = await this.nextAsync(); message !== undefined; message = await this.nextAsync()) yield message;
    } finally {
      this.close();
    }
  }

  /**
   * The messages of the next datagram, waited for, in the caller's buffer; undefined after the last. A buffer that is too small is refused
   * with ERR_NETLINK_TOO_LARGE before anything is taken, and the dump goes on with a larger one.
   */
  receiveNext(buffer: ByteView): MessageCursor | undefined {
    if (this.held !== undefined) throw new TypeError('a dump with `retry` has its own buffers');
    for (;;) {
      if (this.ended) return this.finish();
      const size = this.take(buffer);
      if (size > 0) return new MessageCursor(buffer, 0, size);
      if (size < 0) this.pause();
    }
  }

  /** Idempotent. Before the end it abandons the dump and closes the kernel socket under it. */
  close(): void {
    this.state.abandon();
    this.letGo(false);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  private send(): void {
    const { native } = this.channel;
    if (this.request.length < NLMSG_HDRLEN)
      throw new RangeError(`a request of ${this.request.length} bytes has no header`);
    this.sequence = native.allocateSequence(1);
    const header = new DataView(this.request.buffer);
    header.setUint32(NLMSG_LEN, this.request.length, true);
    const flags = header.getUint16(NLMSG_FLAGS, true) | NLM_F_REQUEST | NLM_F_ACK | NLM_F_DUMP;
    header.setUint16(NLMSG_FLAGS, flags, true);
    header.setUint32(NLMSG_SEQ, this.sequence, true);
    header.setUint32(NLMSG_PID, native.portId, true);
    const result = native.send(this.request, 0, this.request.length, this.timeoutMs);
    if (result === -EAGAIN) throw timeoutError(this.operation);
    if (result < 0) throw systemError(-result, this.operation);
  }

  /** False after the last message. */
  private refill(): boolean {
    for (;;) {
      const more = this.step();
      if (more !== undefined) return more;
      this.pause();
    }
  }

  private async refillAsync(): Promise<boolean> {
    for (;;) {
      const more = this.step();
      if (more !== undefined) return more;
      await this.pauseAsync();
    }
  }

  /** Takes what is there. True: the cursor has messages; false: there are no more; undefined: one must wait. */
  private step(): boolean | undefined {
    for (;;) {
      if (this.ended) return this.handOut();
      const waiting = this.channel.closed ? -ECANCELED : this.channel.native.peekSize();
      if (waiting > this.buffer.length) this.buffer = new Uint8Array(Math.max(waiting, BUFFER_SIZE));
      const size = this.take(this.buffer, waiting);
      if (size < 0) return undefined;
      if (size === 0) continue;
      if (this.held === undefined) return this.show(this.buffer, size);
      this.held.push(this.buffer.slice(0, size));
    }
  }

  /** At the end: what was held back, then nothing. */
  private handOut(): boolean {
    const chunk = this.failure === undefined ? this.held?.shift() : undefined;
    if (chunk !== undefined) return this.show(chunk, chunk.length);
    this.finish();
    return false;
  }

  private show(bytes: ByteView, size: number): boolean {
    this.cursor = new MessageCursor(bytes, 0, size);
    return true;
  }

  /**
   * Takes one datagram into the buffer and leaves there only the messages of the table. Returns their bytes: 0 when it had none or the dump
   * is over, -1 when there is nothing to take.
   */
  private take(buffer: ByteView, waiting = this.channel.closed ? -ECANCELED : this.channel.native.peekSize()): number {
    if (waiting === -EAGAIN) return -1;
    if (waiting < 0) return this.broken(-waiting);
    if (waiting > buffer.length) throw systemError(EMSGSIZE, `${this.operation}: a datagram of ${waiting} bytes`);
    const { row } = this;
    const count = this.channel.native.receive(buffer, 0, buffer.length, 1, row, 0);
    if (count === 0 || count === -EAGAIN) return -1;
    if (count < 0) return this.broken(-count);
    this.silentSince = performance.now();
    if (row[RECEIVE_PORT_ID] >>> 0 !== this.channel.answerer) return 0;
    if (row[RECEIVE_FLAGS] & RECEIVE_TRUNCATED) return this.broken(EMSGSIZE);
    return this.sift(buffer, row[RECEIVE_SIZE]);
  }

  /** Moves the messages of the table to the front and reads the others. Returns the bytes of the former. */
  private sift(buffer: ByteView, size: number): number {
    let kept = this.headers.tableSize(buffer, size, this.sequence);
    if (kept === size && size > 0) return kept;
    const cursor = new MessageCursor(buffer, kept, size - kept);
    while (cursor.next()) {
      if (cursor.seq !== this.sequence) continue;
      if (cursor.flags & NLM_F_DUMP_INTR) this.state.interrupted = true;
      const { type } = cursor;
      if (type < NLMSG_MIN_TYPE) {
        if (type !== NLMSG_DONE && type !== NLMSG_ERROR) continue;
        this.end(cursor);
        return kept;
      }
      const taken = Math.min((cursor.size + 3) & ~3, size - cursor.offset);
      if (kept !== cursor.offset) buffer.copyWithin(kept, cursor.offset, cursor.offset + taken);
      kept += taken;
    }
    if (cursor.error !== undefined) this.fail(malformedError(this.operation, cursor.error.message), 0, false);
    else if (size === 0) this.fail(malformedError(this.operation, 'at offset 0: an empty datagram'), 0, false);
    return kept;
  }

  private end(last: MessageCursor): void {
    const errno = last.errno();
    if (errno !== 0) return this.fail(netlinkError(errno, this.operation, last.extendedAck()), errno, true);
    if (this.held !== undefined && this.interrupted) return this.again(EINTR);
    this.state.end();
    this.letGo(true);
  }

  /** The socket failed: returns 0, the phase says the rest. */
  private broken(errno: number): number {
    if (this.ended) return 0; // another consumer read the end and closed
    if (errno === ENOBUFS && this.held !== undefined) this.again(errno);
    else this.fail(systemError(errno, this.operation), errno, false);
    return 0;
  }

  private again(errno: number): void {
    if (this.retriesLeft-- === 0) {
      const text = `${this.operation}: the table changed each time while it was read`;
      const error = new DatapathError('ERR_NETLINK_INTERRUPTED', text, { errno, operation: this.operation });
      return this.fail(error, errno, errno === EINTR);
    }
    this.held!.length = 0;
    this.state.interrupted = false;
    try {
      this.send();
    } catch (error) {
      this.fail(error as DatapathError, (error as DatapathError).errno ?? 0, false);
    }
  }

  private fail(error: DatapathError, errno: number, clean: boolean): void {
    this.failure = error;
    this.state.fail(errno);
    this.letGo(clean);
  }

  private letGo(clean: boolean): void {
    if (this.released) return;
    this.released = true;
    this.release(clean && !this.state.shared && !this.channel.unread);
  }

  /** Undefined when the dump is over, or what it failed with thrown. */
  private finish(): undefined {
    this.letGo(false);
    if (this.failure !== undefined) throw this.failure;
    if (!this.state.failed) return undefined;
    const { errno } = this.state;
    throw errno === 0
      ? malformedError(this.operation, 'read by another consumer')
      : netlinkError(errno, this.operation);
  }

  /** How long one may wait before something else must be looked at. */
  private waitMs(): number {
    const limit = this.timeoutMs < 0 ? Number.POSITIVE_INFINITY : this.silentSince + this.timeoutMs - performance.now();
    const slice = this.state.shared ? RETRY_MS : this.channel.options.peer > 0 ? PROBE_MS : Number.POSITIVE_INFINITY;
    const waitMs = Math.min(slice, Math.max(limit, 0));
    return Number.isFinite(waitMs) ? Math.ceil(waitMs) : -1;
  }

  private pause(): void {
    const result = this.channel.native.wait(this.waitMs());
    if (result < 0) this.broken(-result);
    else if (result === 0) this.silence();
  }

  private async pauseAsync(): Promise<void> {
    try {
      if (!(await this.channel.readable(this.waitMs(), this.signal))) this.silence();
    } catch (error) {
      if (!this.ended) this.fail(error as DatapathError, ECANCELED, false);
    }
  }

  /** Nothing came: is the peer still there, and is it time to give up? */
  private silence(): void {
    if (this.ended) return;
    const now = performance.now();
    if (this.signal?.aborted) return this.fail(timeoutError(this.operation, this.signal.reason), ECANCELED, false);
    if (this.timeoutMs >= 0 && now - this.silentSince >= this.timeoutMs) {
      const error = timeoutError(this.operation);
      return this.fail(error, error.errno!, false);
    }
    if (now - Math.max(this.silentSince, this.probedAt) < PROBE_MS) return;
    this.probedAt = now;
    const errno = this.channel.probe();
    if (errno === 0 || this.channel.unread) return; // what it said before it went comes first
    this.fail(systemError(errno, `${this.operation}: the peer is gone`), errno, false);
  }
}
