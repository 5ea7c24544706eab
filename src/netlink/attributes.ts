/*
 * Netlink attributes as bytes: a cursor in, a builder (attribute-builder.ts) out.
 *
 * An attribute is a u16 size (header included), a u16 type with two flag bits, and a payload, padded to four bytes; the last of a list needs no
 * padding. Both keep the first error and go quiet, so a message is read or written flat and checked once at its end:
 *
 *     const cursor = new AttributeCursor(bytes);             const builder = new AttributeBuilder(buffer);
 *     while (cursor.next()) {                                builder.u32(1, 7).string(2, 'eth0');
 *       if (cursor.type === 1) port = cursor.u32();          builder.nest(3, (inner) => inner.flag(4));
 *     }                                                      builder.finish();
 *     cursor.check();
 *
 * Before it: message.ts, which finds where the attributes of a message begin. After it: policy-values.ts, which does the same by a table.
 * assembly/netlink/attribute.ts is the same in the datapath. Ownership: the cursor reads the caller's bytes and copies what it hands out, except
 * `view` and `nested`. Threads: whoever has the object.
 */
import { DatapathError } from '../errors.ts';
import type { ByteView } from '../native/netlink.ts';
import { type Bitfield32, swap16, swap32, swap64 } from './attribute-builder.ts';
import { NLA_F_NESTED, NLA_F_NET_BYTEORDER, NLA_HDRLEN, NLA_TYPE_MASK } from './constants.ts';

/** One attribute as it came, for instance of a type that a policy does not know. */
export interface Attribute {
  /** Without the flags. */
  type: number;
  isNested: boolean;
  isNetByteOrder: boolean;
  /** A copy. */
  payload: Uint8Array<ArrayBuffer>;
  /** Where it begins, from the start of the message. */
  offset: number;
}

export { AttributeBuilder, type Bitfield32 } from './attribute-builder.ts';

const decoder = new TextDecoder();

export class AttributeCursor {
  /** The first error, also of cursors that `nested` gave. */
  error: DatapathError | undefined;
  private readonly source: ByteView;
  private readonly end: number;
  private readonly base: number;
  private readonly parent: AttributeCursor | undefined;
  private at = 0;
  private following: number;
  private payloadEnd = 0;
  private rawType = 0;

  /**
   * Walks the attributes in `bytes` from `offset`, `size` bytes of them. `base` is where in `bytes` the message begins: offsets in errors and
   * answers count from there.
   */
  constructor(bytes: ByteView, offset = 0, size = bytes.length - offset, base = 0, parent?: AttributeCursor) {
    if (offset < 0 || size < 0 || offset + size > bytes.length)
      throw new RangeError('the attributes lie outside of the bytes');
    this.source = bytes;
    this.following = offset;
    this.end = offset + size;
    this.base = base;
    this.parent = parent;
  }

  /** Goes to the next attribute. False at the end and from the first error on. */
  next(): boolean {
    const { source: bytes, following: at, end } = this;
    if (this.error !== undefined || at >= end) return false;
    if (end - at < NLA_HDRLEN) return this.malformed(at, undefined, `${end - at} bytes left over after attributes`);
    const size = bytes[at] | (bytes[at + 1] << 8);
    const rawType = bytes[at + 2] | (bytes[at + 3] << 8);
    if (size < NLA_HDRLEN || size > end - at) {
      return this.malformed(at, rawType & NLA_TYPE_MASK, `length ${size} of ${end - at} bytes left`);
    }
    this.at = at;
    this.rawType = rawType;
    this.payloadEnd = at + size;
    this.following = at + ((size + 3) & ~3);
    return true;
  }

  /** Throws the first error: ERR_NETLINK_MALFORMED with attributeType and attributeOffset. */
  check(): void {
    if (this.error !== undefined) throw this.error;
  }

  /** Without the flags. */
  get type(): number {
    return this.rawType & NLA_TYPE_MASK;
  }

  get isNested(): boolean {
    return (this.rawType & NLA_F_NESTED) !== 0;
  }

  get isNetByteOrder(): boolean {
    return (this.rawType & NLA_F_NET_BYTEORDER) !== 0;
  }

  /** Where the attribute begins, from the start of the message. */
  get offset(): number {
    return this.at - this.base;
  }

  get payloadSize(): number {
    return this.payloadEnd - this.at - NLA_HDRLEN;
  }

  // Integers: 0 and an error when the payload is too short; of a longer one the first bytes, as in the kernel.

  u8(): number {
    return this.holds(1) ? this.source[this.at + NLA_HDRLEN] : 0;
  }

  u16(): number {
    return this.holds(2) ? this.read16(this.at + NLA_HDRLEN) : 0;
  }

  u32(): number {
    return this.holds(4) ? this.read32(this.at + NLA_HDRLEN) : 0;
  }

  u64(): bigint {
    if (!this.holds(8)) return 0n;
    return this.read64(this.at + NLA_HDRLEN);
  }

  /** The u64 at `offset` of the payload, for structures. */
  u64At(offset: number): bigint {
    return this.holds(offset + 8) ? this.read64(this.at + NLA_HDRLEN + offset) : 0n;
  }

  s8(): number {
    return (this.u8() << 24) >> 24;
  }

  s16(): number {
    return (this.u16() << 16) >> 16;
  }

  s32(): number {
    return this.u32() | 0;
  }

  s64(): bigint {
    return BigInt.asIntN(64, this.u64());
  }

  be16(): number {
    return swap16(this.u16());
  }

  be32(): number {
    return swap32(this.u32());
  }

  be64(): bigint {
    return swap64(this.u64());
  }

  /** NLA_UINT: a u64, or a u32 where that was enough. */
  uint(): bigint {
    return this.payloadSize >= 8 ? this.u64() : BigInt(this.u32());
  }

  /** NLA_SINT. */
  sint(): bigint {
    return this.payloadSize >= 8 ? this.s64() : BigInt(this.s32());
  }

  bitfield32(): Bitfield32 {
    if (!this.holds(8)) return { value: 0, selector: 0 };
    const payload = this.at + NLA_HDRLEN;
    return { value: this.read32(payload), selector: this.read32(payload + 4) };
  }

  /** UTF-8 up to the first NUL or the end. */
  string(): string {
    const bytes = this.source.slice(this.at + NLA_HDRLEN, this.payloadEnd);
    const end = bytes.indexOf(0);
    return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
  }

  /** A copy of the payload. */
  bytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.view());
  }

  /** The payload itself: a view of the caller's bytes. */
  view(): ByteView {
    return this.source.subarray(this.at + NLA_HDRLEN, this.payloadEnd);
  }

  /** A cursor over the attributes inside. Its errors are also this one's. */
  nested(): AttributeCursor {
    return new AttributeCursor(this.source, this.at + NLA_HDRLEN, this.payloadSize, this.base, this);
  }

  /** The attribute as a value of its own. */
  attribute(): Attribute {
    const { type, isNested, isNetByteOrder, offset } = this;
    return { type, isNested, isNetByteOrder, payload: this.bytes(), offset };
  }

  private holds(size: number): boolean {
    if (this.payloadSize >= size) return true;
    return this.malformed(this.at, this.type, `payload of ${this.payloadSize} bytes, ${size} expected`);
  }

  private read16(at: number): number {
    return this.source[at] | (this.source[at + 1] << 8);
  }

  private read32(at: number): number {
    const { source } = this;
    return (source[at] | (source[at + 1] << 8) | (source[at + 2] << 16) | (source[at + 3] << 24)) >>> 0;
  }

  /** Most fit a number, and one bigint costs less than three. */
  private read64(at: number): bigint {
    const [low, high] = [this.read32(at), this.read32(at + 4)];
    return high === 0 ? BigInt(low) : (BigInt(high) << 32n) | BigInt(low);
  }

  private malformed(at: number, attributeType: number | undefined, problem: string): false {
    const attributeOffset = at - this.base;
    const what = attributeType === undefined ? '' : `attribute ${attributeType} `;
    const details = { attributeOffset, ...(attributeType === undefined ? {} : { attributeType }) };
    const error = new DatapathError(
      'ERR_NETLINK_MALFORMED',
      `${what}at offset ${attributeOffset}: ${problem}`,
      details,
    );
    for (let cursor: AttributeCursor | undefined = this; cursor !== undefined; cursor = cursor.parent)
      cursor.error ??= error;
    return false;
  }
}
