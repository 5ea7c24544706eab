/*
 * AttributeBuilder: writes Netlink attributes behind what a MessageBuffer holds. attributes.ts has the cursor, and shows both in use.
 *
 * The first error is kept and everything after it does nothing: a value out of its range, an attribute that is too large, a buffer that has no
 * room. `finish` throws it. Ownership: it writes into the buffer and copies what it is given. Threads: whoever has the object.
 */
import { DatapathError } from '../errors.ts';
import type { ByteView } from '../native/netlink.ts';
import type { MessageBuffer } from './buffer.ts';
import { NLA_F_NESTED, NLA_HDRLEN, NLA_TYPE_MASK } from './constants.ts';

/** Bytes of the largest payload: the size field has 16 bits. */
export const ATTRIBUTE_PAYLOAD_MAX = 0xffff - NLA_HDRLEN;

/** struct nla_bitfield32. */
export interface Bitfield32 {
  value: number;
  /** The bits of `value` that are meant. */
  selector: number;
}

const encoder = new TextEncoder();

export class AttributeBuilder {
  /** The first error: of a value out of its range, of an attribute too large, or of the buffer. */
  error: Error | undefined;
  private readonly buffer: MessageBuffer;

  /** Writes behind the content of `buffer`, whose size must be a multiple of four (the headers of all families are). */
  constructor(buffer: MessageBuffer) {
    if (buffer.size % 4 !== 0) throw new RangeError('attributes begin at a multiple of four bytes');
    this.buffer = buffer;
  }

  u8(type: number, value: number): this {
    return this.integer(type, 1, value, 0, 0xff);
  }

  u16(type: number, value: number): this {
    return this.integer(type, 2, value, 0, 0xffff);
  }

  u32(type: number, value: number): this {
    return this.integer(type, 4, value, 0, 0xffffffff);
  }

  u64(type: number, value: bigint): this {
    return this.long(type, value, BigInt.asUintN(64, value));
  }

  s8(type: number, value: number): this {
    return this.integer(type, 1, value, -0x80, 0x7f);
  }

  s16(type: number, value: number): this {
    return this.integer(type, 2, value, -0x8000, 0x7fff);
  }

  s32(type: number, value: number): this {
    return this.integer(type, 4, value, -0x80000000, 0x7fffffff);
  }

  s64(type: number, value: bigint): this {
    return this.long(type, value, BigInt.asIntN(64, value));
  }

  be16(type: number, value: number): this {
    return this.inRange(type, value, 0, 0xffff) ? this.u16(type, swap16(value)) : this;
  }

  be32(type: number, value: number): this {
    return this.inRange(type, value, 0, 0xffffffff) ? this.u32(type, swap32(value)) : this;
  }

  be64(type: number, value: bigint): this {
    if (BigInt.asUintN(64, value) !== value) return this.outOfRange(type, value);
    return this.u64(type, swap64(value));
  }

  /** NLA_UINT: four bytes where they are enough. */
  uint(type: number, value: bigint): this {
    return BigInt.asUintN(32, value) === value ? this.u32(type, Number(value)) : this.u64(type, value);
  }

  /** NLA_SINT. */
  sint(type: number, value: bigint): this {
    return BigInt.asIntN(32, value) === value ? this.s32(type, Number(value)) : this.s64(type, value);
  }

  flag(type: number): this {
    this.header(type, 0);
    return this;
  }

  /** UTF-8 with a NUL at its end. */
  string(type: number, value: string): this {
    if (value.includes('\0')) return this.fail(new RangeError(`attribute ${type}: a string with a NUL inside`));
    const bytes = encoder.encode(value);
    this.buffer.set(this.header(type, bytes.length + 1), bytes);
    return this;
  }

  binary(type: number, value: ByteView): this {
    return this.bytes(type, value, NLA_TYPE_MASK);
  }

  bitfield32(type: number, { value, selector }: Bitfield32): this {
    if (!this.inRange(type, value, 0, 0xffffffff) || !this.inRange(type, selector, 0, 0xffffffff)) return this;
    const at = this.header(type, 8);
    this.buffer.setU32(at, value);
    if (at >= 0) this.buffer.setU32(at + 4, selector);
    return this;
  }

  /** Any payload under any type: its flag bits are written as given. */
  raw(type: number, payload: ByteView): this {
    return this.bytes(type, payload, 0xffff);
  }

  /** An attribute that holds what `write` writes. */
  nest(type: number, write: (inner: this) => void, flags: number = NLA_F_NESTED): this {
    const start = this.nestStart(type, flags);
    write(this);
    return this.nestEnd(start);
  }

  /** Opens an attribute that holds attributes; keep what it returns for nestEnd. `flags` 0 writes it as before Linux 5.2. */
  nestStart(type: number, flags: number = NLA_F_NESTED): number {
    const payload = this.header(this.isType(type, NLA_TYPE_MASK) ? type | flags : type, 0, 0xffff);
    return payload < 0 ? -1 : payload - NLA_HDRLEN;
  }

  nestEnd(start: number): this {
    if (start < 0 || this.error !== undefined) return this;
    const size = this.buffer.size - start;
    if (size > NLA_HDRLEN + ATTRIBUTE_PAYLOAD_MAX) {
      return this.fail(tooLarge(this.buffer.u16(start + 2) & NLA_TYPE_MASK, size - NLA_HDRLEN));
    }
    this.buffer.setU16(start, size);
    return this;
  }

  /** Throws the first error. */
  finish(): void {
    if (this.error !== undefined) throw this.error;
    this.buffer.check();
  }

  private integer(type: number, size: number, value: number, min: number, max: number): this {
    if (!this.inRange(type, value, min, max)) return this;
    const at = this.header(type, size);
    if (size === 1) this.buffer.setU8(at, value);
    else if (size === 2) this.buffer.setU16(at, value);
    else this.buffer.setU32(at, value);
    return this;
  }

  private long(type: number, value: bigint, same: bigint): this {
    if (same !== value) return this.outOfRange(type, value);
    const at = this.header(type, 8);
    if (at < 0) return this;
    this.buffer.setU32(at, Number(value & 0xffffffffn));
    this.buffer.setU32(at + 4, Number((value >> 32n) & 0xffffffffn));
    return this;
  }

  private bytes(type: number, payload: ByteView, typeMax: number): this {
    if (!this.canTake(type, payload.length, typeMax)) return this;
    const size = NLA_HDRLEN + payload.length;
    this.start(type, size, this.buffer.append(payload, NLA_HDRLEN, -size & 3));
    return this;
  }

  /** Room for the attribute, its header written and the rest zeroed. Returns where the payload begins, -1 when there was an error. */
  private header(type: number, payloadSize: number, typeMax: number = NLA_TYPE_MASK): number {
    if (!this.canTake(type, payloadSize, typeMax)) return -1;
    const size = NLA_HDRLEN + payloadSize;
    return this.start(type, size, this.buffer.put((size + 3) & ~3));
  }

  /** Writes the header of the attribute at `at`, -1: there was no room. Returns where the payload begins. */
  private start(type: number, size: number, at: number): number {
    if (at < 0) {
      this.error = this.buffer.error;
      return -1;
    }
    this.buffer.setU32(at, size | (type << 16));
    return at + NLA_HDRLEN;
  }

  private canTake(type: number, payloadSize: number, typeMax: number): boolean {
    if (this.error !== undefined || !this.isType(type, typeMax)) return false;
    if (payloadSize <= ATTRIBUTE_PAYLOAD_MAX) return true;
    this.fail(tooLarge(type & NLA_TYPE_MASK, payloadSize));
    return false;
  }

  private isType(type: number, max: number): boolean {
    if (Number.isInteger(type) && type >= 0 && type <= max) return true;
    this.fail(new RangeError(`${type} is no attribute type (0 to ${max})`));
    return false;
  }

  private inRange(type: number, value: number, min: number, max: number): boolean {
    if (Number.isInteger(value) && value >= min && value <= max) return true;
    this.outOfRange(type, value);
    return false;
  }

  private outOfRange(type: number, value: number | bigint): this {
    return this.fail(new RangeError(`attribute ${type}: ${value} is out of its range`));
  }

  private fail(error: Error): this {
    this.error ??= error;
    return this;
  }
}

function tooLarge(attributeType: number, payloadSize: number): DatapathError {
  const message = `attribute ${attributeType}: a payload of ${payloadSize} bytes, ${ATTRIBUTE_PAYLOAD_MAX} are possible`;
  return new DatapathError('ERR_NETLINK_TOO_LARGE', message, { attributeType });
}

export function swap16(value: number): number {
  return ((value & 0xff) << 8) | (value >>> 8);
}

export function swap32(value: number): number {
  return ((swap16(value & 0xffff) << 16) | swap16(value >>> 16)) >>> 0;
}

export function swap64(value: bigint): bigint {
  const low = swap32(Number(value & 0xffffffffn));
  const high = swap32(Number((value >> 32n) & 0xffffffffn));
  return (BigInt(low) << 32n) | BigInt(high);
}
