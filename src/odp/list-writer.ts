/*
 * ListWriter: an attribute list in the making, attribute behind attribute and nest in nest, in bytes that serve one list after the other.
 *
 * Before it: the codecs that write keys often (key-attributes.ts, attributes-text.ts). After it: whoever gets the copy that `take` makes.
 * AttributeBuilder of src/netlink writes messages, checks what it is given and keeps errors; here the codec knows what it writes.
 * Threads: each has its own module, and a writer is used from its beginning to `take` without a break.
 */
import { ATTRIBUTE_HEADER_SIZE } from './attributes.ts';

const CAPACITY = 1024;

export class ListWriter {
  /** Where payloads are written to; another array after `reserve`, `put` and `nestStart`. */
  bytes = new Uint8Array(CAPACITY);
  /** Bytes of the list so far. */
  size = 0;

  /** Begins a new list. */
  begin(): void {
    this.size = 0;
  }

  /** An attribute with a payload of zeros. Returns where the payload is. */
  reserve(number: number, payloadSize: number): number {
    const at = this.size;
    const size = ATTRIBUTE_HEADER_SIZE + payloadSize;
    const end = at + ((size + 3) & ~3);
    if (end > this.bytes.length) this.#grow(end);
    const { bytes } = this;
    bytes[at] = size;
    bytes[at + 1] = size >> 8;
    bytes[at + 2] = number;
    bytes[at + 3] = number >> 8;
    for (let i = at + ATTRIBUTE_HEADER_SIZE; i < end; i++) bytes[i] = 0;
    this.size = end;
    return at + ATTRIBUTE_HEADER_SIZE;
  }

  /** An attribute with this payload: `size` bytes of `from`, from `start` on. */
  put(number: number, from: Uint8Array, start = 0, size = from.length): void {
    const at = this.reserve(number, size);
    const { bytes } = this;
    for (let i = 0; i < size; i++) bytes[at + i] = from[start + i];
  }

  /** Opens an attribute that holds attributes; nestEnd wants what it returns. */
  nestStart(number: number): number {
    return this.reserve(number, 0) - ATTRIBUTE_HEADER_SIZE;
  }

  nestEnd(start: number): void {
    const size = this.size - start;
    this.bytes[start] = size;
    this.bytes[start + 1] = size >> 8;
  }

  /** Whole attributes. */
  append(attributes: Uint8Array): void {
    const { length } = attributes;
    if (this.size + length > this.bytes.length) this.#grow(this.size + length);
    const { bytes, size } = this;
    for (let i = 0; i < length; i++) bytes[size + i] = attributes[i];
    this.size = size + length;
  }

  /** A copy of what stands from `start` on. */
  copyFrom(start: number): Uint8Array {
    return this.bytes.slice(start, this.size);
  }

  /** A copy of the list. */
  take(): Uint8Array {
    return this.bytes.slice(0, this.size);
  }

  /** Copies of two lists, in one allocation: that costs more than the bytes. */
  static takeTwo(a: ListWriter, b: ListWriter): [Uint8Array, Uint8Array] {
    const bytes = new Uint8Array(a.size + b.size);
    for (let i = 0; i < a.size; i++) bytes[i] = a.bytes[i];
    for (let i = 0; i < b.size; i++) bytes[a.size + i] = b.bytes[i];
    return [bytes.subarray(0, a.size), bytes.subarray(a.size)];
  }

  #grow(size: number): void {
    const larger = new Uint8Array(Math.max(size, 2 * this.bytes.length));
    larger.set(this.bytes);
    this.bytes = larger;
  }
}
