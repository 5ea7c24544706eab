/*
 * TextBytes: text that is put together as bytes, and is written as they are or becomes a string once, when there is a large piece of it. For dumps: a string for
 * every field, and one for every two of them that are joined, cost more than all the rest.
 *
 * What is put is ASCII, but for `putText`, which takes any text. Owns its memory, which grows. Before it: line-form.ts, dpctl/flow-lines.ts.
 */
import { IPV4_SIZE, MAC_SIZE } from './addresses.ts';

const ZERO = 0x30;
const COLON = 0x3a;
const DOT = 0x2e;
const LETTER_A = 0x61;
const SIZE_FIRST = 128 * 1024;
/** Larger than what any of the put functions of fixed size may add. */
const MARGIN = 64;

const DIGITS = Uint8Array.from({ length: 16 }, (_, digit) => (digit < 10 ? ZERO + digit : LETTER_A + digit - 10));

export class TextBytes {
  #bytes = Buffer.allocUnsafe(SIZE_FIRST);
  #size = 0;
  #epoch = 0;

  get size(): number {
    return this.#size;
  }

  /** How often what was put was taken away. */
  get epoch(): number {
    return this.#epoch;
  }

  /** What was put since the last time, as a string. */
  take(): string {
    return this.takeBytes().toString('utf8');
  }

  /** The same as bytes: a view, valid until something is put. */
  takeBytes(): Buffer {
    const bytes = this.#bytes.subarray(0, this.#size);
    this.#size = 0;
    this.#epoch += 1;
    return bytes;
  }

  /** Takes back what was put behind the first `size` bytes. */
  cut(size: number): void {
    this.#size = size;
  }

  putText(text: string): void {
    this.#reserve(text.length * 3);
    this.#size += this.#bytes.write(text, this.#size);
  }

  putBytes(bytes: Uint8Array): void {
    const { length } = bytes;
    this.#reserve(length);
    const out = this.#bytes;
    let at = this.#size;
    for (let i = 0; i < length; i++) out[at++] = bytes[i];
    this.#size = at;
  }

  /** Once more what is there from `from` to before `end`. */
  putAgain(from: number, end: number): void {
    this.#reserve(end - from);
    this.#bytes.copyWithin(this.#size, from, end);
    this.#size += end - from;
  }

  /** An integer from 0 to 2^32 - 1. */
  putDecimal(value: number): void {
    this.#reserve(0);
    this.#size = this.#decimal(this.#size, value);
  }

  /** A count of thousandths, below 2^42, as `12.345`. */
  putThousandths(value: number): void {
    this.putDecimal(Math.floor(value / 1000));
    const rest = value % 1000;
    this.#bytes[this.#size] = DOT;
    this.#bytes[this.#size + 1] = ZERO + Math.floor(rest / 100);
    this.#bytes[this.#size + 2] = ZERO + (Math.floor(rest / 10) % 10);
    this.#bytes[this.#size + 3] = ZERO + (rest % 10);
    this.#size += 4;
  }

  #decimal(start: number, value: number): number {
    const out = this.#bytes;
    let end = start + 1;
    for (let limit = 10; limit <= value; limit *= 10) end++;
    let rest = value;
    for (let at = end - 1; at >= start; at--) {
      const tens = Math.floor(rest / 10);
      out[at] = ZERO + rest - tens * 10;
      rest = tens;
    }
    return end;
  }

  /** With `0x`, and at least so many digits; zero with no digits asked for is `0`. */
  putHex(value: number, digits: number): void {
    this.#reserve(0);
    const out = this.#bytes;
    let at = this.#size;
    out[at++] = ZERO;
    if (value !== 0 || digits !== 0) {
      out[at++] = 0x78;
      let shift = 4 * (Math.max(digits, 1) - 1);
      while (shift < 28 && value >>> (shift + 4) !== 0) shift += 4;
      for (; shift >= 0; shift -= 4) out[at++] = DIGITS[(value >>> shift) & 15];
    }
    this.#size = at;
  }

  putMac(bytes: Uint8Array, from: number): void {
    this.#reserve(0);
    const out = this.#bytes;
    let at = this.#size;
    for (let i = 0; i < MAC_SIZE; i++) {
      if (i > 0) out[at++] = COLON;
      const byte = bytes[from + i];
      out[at++] = DIGITS[byte >>> 4];
      out[at++] = DIGITS[byte & 15];
    }
    this.#size = at;
  }

  putIpv4(bytes: Uint8Array, from: number): void {
    this.#reserve(0);
    for (let i = 0; i < IPV4_SIZE; i++) {
      if (i > 0) this.#bytes[this.#size++] = DOT;
      this.#size = this.#decimal(this.#size, bytes[from + i]);
    }
  }

  /** Makes room for so many bytes and MARGIN more. */
  #reserve(size: number): void {
    const wanted = this.#size + size + MARGIN;
    if (wanted <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(wanted, 2 * this.#bytes.length));
    larger.set(this.#bytes.subarray(0, this.#size));
    this.#bytes = larger;
  }
}
