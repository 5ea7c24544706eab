/*
 * Netlink attributes as bytes: u16 length (header and payload), u16 type, payload, padding to four bytes; host order
 * (little-endian). A cursor in, a builder out; actions.ts is their user.
 *
 * Views handed out by the cursor share the bytes handed in.
 */

import { OdpAttributeError } from './errors.ts';

export const ATTRIBUTE_HEADER_SIZE = 4;
/** The two flag bits NLA_F_NESTED and NLA_F_NET_BYTEORDER are no part of the number. */
const TYPE_MASK = 0x3fff;

export interface Attribute {
  number: number;
  /** View of the payload. */
  payload: Uint8Array;
  /** Where the attribute starts, from the start of the outermost bytes. */
  offset: number;
}

/** Walks the attributes in `bytes`; `name` and `base` (offset of `bytes` in the message) serve errors. */
export function* walkAttributes(bytes: Uint8Array, name: string, base = 0): Generator<Attribute> {
  let at = 0;
  while (at < bytes.length) {
    if (bytes.length - at < ATTRIBUTE_HEADER_SIZE)
      throw new OdpAttributeError(name, base + at, 'cut within the header');
    const size = bytes[at] | (bytes[at + 1] << 8);
    const number = (bytes[at + 2] | (bytes[at + 3] << 8)) & TYPE_MASK;
    if (size < ATTRIBUTE_HEADER_SIZE || size > bytes.length - at) {
      throw new OdpAttributeError(`${name} ${number}`, base + at, `length ${size} of ${bytes.length - at} bytes left`);
    }
    yield { number, payload: bytes.subarray(at + ATTRIBUTE_HEADER_SIZE, at + size), offset: base + at };
    at += align4(size);
  }
}

function align4(size: number): number {
  return (size + 3) & ~3;
}

/** One attribute with its padding. */
export function attributeBytes(number: number, payload: Uint8Array): Uint8Array {
  const size = ATTRIBUTE_HEADER_SIZE + payload.length;
  const bytes = new Uint8Array(align4(size));
  bytes.set([size & 0xff, size >> 8, number & 0xff, number >> 8]);
  bytes.set(payload, ATTRIBUTE_HEADER_SIZE);
  return bytes;
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** A u32 payload. */
export function u32Bytes(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24);
}

export function readU32(bytes: Uint8Array, at = 0): number {
  return (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;
}

/** Throws unless the payload has `size` bytes. */
export function checkSize(attribute: Attribute, name: string, size: number): void {
  if (attribute.payload.length === size) return;
  throw new OdpAttributeError(name, attribute.offset, `payload of ${attribute.payload.length} bytes, ${size} expected`);
}
