/*
 * MessageBuffer: the bytes of a message while it is made, with room before and behind them (ofpbuf and sk_buff in small).
 *
 *     storage   | headroom |  bytes (size)  | tailroom |
 *               push <----|                |----> put
 *               pull ---->|                |<---- trim
 *
 * Before it: nobody. After it: AttributeBuilder and beginMessage write into it, a socket or the datapath reads `bytes`.
 *
 * Ownership. It has a storage of its own, which grows, or works over the caller's (`MessageBuffer.over`), which may be shared WASM memory and
 * never grows. A request for room that cannot be had is kept in `error`; from then on put and push answer -1 and change nothing, so a message
 * is written flat and checked once (`check`, or the builder's `finish`). Threads: whoever has the object; it has no lock.
 */
import { DatapathError } from '../errors.ts';
import type { ByteView } from '../native/netlink.ts';

/** Bytes of content that a growing buffer may reach: larger than any datagram that a socket takes. */
export const BUFFER_SIZE_MAX = 64 * 1024 * 1024;
const CAPACITY_DEFAULT = 512;
/** Bytes up to which a loop is faster than a call of the engine: headers, integers, UFIDs. */
const SMALL = 32;

export class MessageBuffer {
  /** The first request for room that failed. */
  error: DatapathError | undefined;
  private store: ByteView;
  private readonly fixed: boolean;
  private start: number;
  private end: number;
  private reserved: number;

  /** An empty buffer of its own: `capacity` and `headroom` in bytes; it grows as needed. */
  constructor(capacity = CAPACITY_DEFAULT, headroom = 0, over?: ByteView) {
    if (!isSize(headroom) || !isSize(capacity)) throw new RangeError('a buffer takes sizes in bytes');
    this.fixed = over !== undefined;
    this.store = over ?? new Uint8Array(headroom + capacity);
    if (headroom > this.store.length) throw new RangeError('the headroom is larger than the buffer');
    this.reserved = this.start = this.end = headroom;
  }

  /** An empty buffer over the caller's bytes, with `headroom` bytes kept free before its content. It never grows. */
  static over(view: ByteView, headroom = 0): MessageBuffer {
    return new MessageBuffer(0, headroom, view);
  }

  /** The content: a view, valid until the next change. */
  get bytes(): ByteView {
    return this.store.subarray(this.start, this.end);
  }

  get size(): number {
    return this.end - this.start;
  }

  get headroom(): number {
    return this.start;
  }

  get tailroom(): number {
    return this.store.length - this.end;
  }

  /** Adds `size` zeroed bytes behind the content. Returns their offset in it, or -1 (see `error`). */
  put(size: number): number {
    const at = this.room(size);
    if (at >= 0) this.zero(this.start + at, this.end);
    return at;
  }

  /** Makes `size` bytes behind the content a part of it, as they are: somebody wrote them there. Returns their offset, or -1. */
  claim(size: number): number {
    if (!isSize(size)) throw new RangeError(`claim of ${size} bytes`);
    if (this.error !== undefined || size > this.tailroom) return -1;
    this.end += size;
    return this.end - size - this.start;
  }

  /** Adds `size` zeroed bytes before the content, whose offsets move by as much. Returns 0, or -1 (see `error`). */
  push(size: number): number {
    if (!isSize(size)) throw new RangeError(`push of ${size} bytes`);
    if (this.error !== undefined || (size > this.start && !this.grow(size, 0))) return -1;
    this.start -= size;
    this.store.fill(0, this.start, this.start + size);
    return 0;
  }

  /** Takes `size` bytes from the front of the content; they become headroom. */
  pull(size: number): void {
    if (!isSize(size) || size > this.size) throw new RangeError(`pull of ${size} bytes of ${this.size}`);
    this.start += size;
  }

  /** Cuts the content to its first `size` bytes. */
  trim(size: number): void {
    if (!isSize(size) || size > this.size) throw new RangeError(`trim to ${size} bytes of ${this.size}`);
    this.end = this.start + size;
  }

  /** Keeps `headroom` bytes free before the content of an empty buffer, now and after each `clear`. */
  reserve(headroom: number): void {
    if (!isSize(headroom)) throw new RangeError(`a headroom of ${headroom} bytes`);
    if (this.size > 0) throw new TypeError('only an empty buffer can reserve headroom');
    if (headroom > this.store.length) {
      this.start = this.end = 0;
      if (!this.grow(0, headroom)) return;
    }
    this.reserved = this.start = this.end = headroom;
  }

  /** Empties it, and forgets the error. */
  clear(): void {
    this.start = this.end = this.reserved;
    this.error = undefined;
  }

  /** Throws the error that was kept. */
  check(): void {
    if (this.error !== undefined) throw this.error;
  }

  /** Adds the bytes, with `before` zeroed bytes before them and `behind` of them behind; returns the offset of all that, or -1. */
  append(bytes: ByteView, before = 0, behind = 0): number {
    const at = this.room(before + bytes.length + behind);
    if (at < 0) return at;
    const start = this.start + at + before;
    this.zero(start - before, start);
    this.copy(start, bytes);
    this.zero(this.end - behind, this.end);
    return at;
  }

  /** Pads the content with zeros to a multiple of four. Returns its size, or -1. */
  align(): number {
    const rest = -this.size & 3;
    return this.put(rest) < 0 ? -1 : this.size;
  }

  /** Overwrites the content at `at`. As all setters, it does nothing for an `at` of -1: a put that found no room. */
  set(at: number, bytes: ByteView): void {
    if (at >= 0) this.copy(this.place(at, bytes.length), bytes);
  }

  setU8(at: number, value: number): void {
    if (at >= 0) this.store[this.place(at, 1)] = value;
  }

  setU16(at: number, value: number): void {
    if (at < 0) return;
    const place = this.place(at, 2);
    this.store[place] = value;
    this.store[place + 1] = value >>> 8;
  }

  setU32(at: number, value: number): void {
    if (at < 0) return;
    const place = this.place(at, 4);
    this.store[place] = value;
    this.store[place + 1] = value >>> 8;
    this.store[place + 2] = value >>> 16;
    this.store[place + 3] = value >>> 24;
  }

  u16(at: number): number {
    const place = this.place(at, 2);
    return this.store[place] | (this.store[place + 1] << 8);
  }

  /** Adds `size` bytes of whatever value. Returns their offset, or -1. */
  private room(size: number): number {
    if (!isSize(size)) throw new RangeError(`put of ${size} bytes`);
    if (this.error !== undefined || (size > this.tailroom && !this.grow(0, size))) return -1;
    const at = this.size;
    this.end += size;
    return at;
  }

  private zero(from: number, to: number): void {
    if (to - from > SMALL) this.store.fill(0, from, to);
    else for (let place = from; place < to; place++) this.store[place] = 0;
  }

  private copy(place: number, bytes: ByteView): void {
    const { length } = bytes;
    if (length > SMALL) this.store.set(bytes, place);
    else for (let i = 0; i < length; i++) this.store[place + i] = bytes[i];
  }

  private place(at: number, size: number): number {
    if (at + size > this.size) throw new RangeError(`offset ${at} is outside of ${this.size} bytes`);
    return this.start + at;
  }

  /** Room for `front` more bytes before or `back` more behind the content, and as much again as the content has. */
  private grow(front: number, back: number): boolean {
    const { size } = this;
    if (this.fixed || size + front + back > BUFFER_SIZE_MAX) {
      const limit = this.fixed ? this.store.length : BUFFER_SIZE_MAX;
      this.error = new DatapathError('ERR_NETLINK_TOO_LARGE', `the message does not fit into ${limit} bytes`);
      return false;
    }
    const headroom = front > this.start ? front + size : this.start;
    const tailroom = back > this.tailroom ? back + size : this.tailroom;
    const store = new Uint8Array(headroom + size + tailroom);
    store.set(this.bytes, headroom);
    this.start = headroom;
    this.end = headroom + size;
    this.store = store;
    return true;
  }
}

function isSize(size: number): boolean {
  return Number.isInteger(size) && size >= 0;
}
