/*
 * Netlink attributes as values: a list as its attributes, and an attribute or a list as bytes. All codecs of this folder stand on it.
 *
 * Headers are read by the cursor of src/netlink; what is added is the error, which names the list, and the array, because decoders pass
 * attributes around. Written are byte strings that are put into each other, not a message with AttributeBuilder: keys, masks and
 * actions are values that a caller puts into whatever message, and of text their order and nesting are not known before its end.
 *
 * Views handed out share the bytes handed in. A view costs as much as reading an attribute of the usual size, so that who reads many uses
 * `bytes` from `start` on and makes none.
 */

import { AttributeCursor } from '../netlink/attributes.ts';
import { OdpAttributeError } from './errors.ts';

export const ATTRIBUTE_HEADER_SIZE = 4;

export class Attribute {
  /** Without the two flag bits. */
  readonly number: number;
  /** Where the attribute starts, from the start of the outermost bytes. */
  readonly offset: number;
  /** The list, and where in it the payload begins. */
  readonly bytes: Uint8Array;
  readonly start: number;
  /** Bytes of the payload. */
  readonly size: number;

  constructor(number: number, offset: number, bytes: Uint8Array, start: number, size: number) {
    this.number = number;
    this.offset = offset;
    this.bytes = bytes;
    this.start = start;
    this.size = size;
  }

  /** A view of the payload. */
  get payload(): Uint8Array {
    return this.bytes.subarray(this.start, this.start + this.size);
  }
}

/** The attributes in `bytes`; `name` and `base` (offset of `bytes` in the message) serve errors. Throws OdpAttributeError. */
export function walkAttributes(bytes: Uint8Array, name: string, base = 0): Attribute[] {
  const found: Attribute[] = [];
  const cursor = new AttributeCursor(bytes);
  while (cursor.next()) {
    const at = cursor.offset;
    found.push(new Attribute(cursor.type, base + at, bytes, at + ATTRIBUTE_HEADER_SIZE, cursor.payloadSize));
  }
  if (cursor.error === undefined) return found;
  const { attributeType, attributeOffset = 0 } = cursor.error;
  if (attributeType === undefined) throw new OdpAttributeError(name, base + attributeOffset, 'cut within the header');
  const [size, left] = [bytes[attributeOffset] | (bytes[attributeOffset + 1] << 8), bytes.length - attributeOffset];
  throw new OdpAttributeError(
    `${name} ${attributeType}`,
    base + attributeOffset,
    `length ${size} of ${left} bytes left`,
  );
}

function align4(size: number): number {
  return (size + 3) & ~3;
}

/** One attribute with its padding. */
export function attributeBytes(number: number, payload: Uint8Array): Uint8Array {
  const size = ATTRIBUTE_HEADER_SIZE + payload.length;
  const bytes = new Uint8Array(align4(size));
  bytes[0] = size;
  bytes[1] = size >> 8;
  bytes[2] = number;
  bytes[3] = number >> 8;
  bytes.set(payload, ATTRIBUTE_HEADER_SIZE);
  return bytes;
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let at = 0;
  for (const part of parts) at += part.length;
  const bytes = new Uint8Array(at);
  at = 0;
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
  if (attribute.size === size) return;
  throw new OdpAttributeError(name, attribute.offset, `payload of ${attribute.size} bytes, ${size} expected`);
}
