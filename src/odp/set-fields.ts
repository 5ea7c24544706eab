/*
 * What a set action carries: one key attribute, whole (SET) or as value followed by mask (SET_MASKED).
 *
 * Used by action-set.ts for bytes and for text. Fields that are one flat structure come from the field table; MPLS, a VLAN tag, NSH and tunnels
 * are in set-special.ts. Owns no memory; views do not leave.
 */

import { isSameBytes } from './action-codec.ts';
import { type Attribute, attributeBytes, concatBytes, walkAttributes } from './attributes.ts';
import { OdpAttributeError, OdpFieldError } from './errors.ts';
import { ATTRIBUTES, ATTRIBUTES_BY_NUMBER, ATTRIBUTES_BY_TEXT, type KeyAttribute, type Slot } from './fields.ts';
import { decodeGroup, decodeMaskedGroup, encodeGroup, formatGroup, scanGroup } from './groups.ts';
import type { TextScanner } from './scanner.ts';
import { SPECIAL_FIELDS } from './set-special.ts';
import type { FieldName, FlowFields, Masked, MplsEntry, TunnelKey, VlanKey, VlanMatch } from './types.ts';
import { ctStateSet } from './value-kinds.ts';

type Flat = Omit<FlowFields, 'igmp' | 'nsh' | 'ipv6Exthdrs'>;
type Settable = Flat & { tunnel: TunnelKey; mpls: MplsEntry[]; vlan: Omit<VlanKey, 'tpid'> };

/** Exactly one header or metadata field, all parts of it given. */
export type SetField = { [K in keyof Settable]: { [P in K]: Settable[P] } }[keyof Settable];

type SettableMasked = { [K in keyof Flat]: Masked<Flat[K]> } & {
  mpls: Masked<MplsEntry>[];
  vlan: Omit<VlanMatch, 'tpid'>;
  nsh: Masked<FlowFields['nsh']>;
};

/** Exactly one header or metadata field; parts that are absent stay as they are in the packet. */
export type SetMaskedField = { [K in keyof SettableMasked]: { [P in K]: SettableMasked[P] } }[keyof SettableMasked];

/** Value and mask of one field, of the same size. */
export interface SetBytes {
  value: Uint8Array;
  mask: Uint8Array;
}

/** How one key attribute is written in a set action. */
export interface SetCodec {
  /** Name in the typed form. */
  name: string;
  /** Name in text. */
  text: string;
  /** OVS_KEY_ATTR_* */
  number: number;
  /** There is only the one action of it, whatever the masks. */
  use?: 'set' | 'setMasked';
  /** Bytes that a value may have. */
  sizes: readonly number[];
  /** `whole` demands every part, without masks. */
  encode(typed: unknown, whole: boolean): SetBytes;
  /** `mask` is undefined in a SET. */
  decode(value: Uint8Array, mask: Uint8Array | undefined): unknown;
  format(value: Uint8Array, mask: Uint8Array | undefined): string;
  /** Up to and with the closing parenthesis. */
  scan(scanner: TextScanner): SetBytes;
  /** Payload of a SET_MASKED and back, where it is not the value and then the mask. */
  join?(bytes: SetBytes): Uint8Array;
  split?(attribute: Attribute): SetBytes | undefined;
  /** The payload of a SET without what has no meaning in it, such as the order of its attributes; absent: all of it has. */
  canonical?(payload: Uint8Array): Uint8Array;
}

/** The codec of an attribute that is one flat structure. */
function flatCodec(entry: KeyAttribute, wire: readonly Slot[]): SetCodec {
  const { name, text, number, wireSize } = entry;
  return {
    name,
    text,
    number,
    sizes: [wireSize],
    encode: (typed, whole) => {
      const bytes = { value: new Uint8Array(wireSize), mask: new Uint8Array(wireSize) };
      encodeGroup(entry, wire, typed, bytes.value, bytes.mask, whole);
      const exact = wire.every((slot) => slot.kind.isExact(bytes.mask.subarray(slot.at, slot.at + slot.kind.size)));
      if (whole && !exact) throw new OdpFieldError(name, 'a mask needs setMasked');
      return bytes;
    },
    decode: (value, mask) =>
      mask === undefined ? decodeGroup(entry, wire, value) : decodeMaskedGroup(entry, wire, value, mask),
    format: (value, mask) =>
      // Open vSwitch has no names for the bits of a state that is set whole.
      mask === undefined && entry === ATTRIBUTES.ctState
        ? ATTRIBUTES.ctMark.flat[0].kind.format(value)
        : formatGroup(wire, value, mask),
    scan: (scanner) => {
      const bytes = { value: new Uint8Array(wireSize), mask: new Uint8Array(wireSize) };
      scanGroup(scanner, entry, wire, bytes.value, bytes.mask);
      return bytes;
    },
  };
}

const SPECIAL_BY_NAME = new Map(SPECIAL_FIELDS.map((codec) => [codec.name, codec]));
const SPECIAL_BY_TEXT = new Map(SPECIAL_FIELDS.map((codec) => [codec.text, codec]));
const SPECIAL_BY_NUMBER = new Map(SPECIAL_FIELDS.map((codec) => [codec.number, codec]));
const FLAT = new Map<KeyAttribute, SetCodec>();

function flat(entry: KeyAttribute | undefined): SetCodec | undefined {
  if (entry?.wire === undefined) return undefined;
  let codec = FLAT.get(entry);
  if (codec === undefined) {
    const wire = entry === ATTRIBUTES.ctState ? entry.wire.map((slot) => ({ ...slot, kind: ctStateSet })) : entry.wire;
    codec = flatCodec(entry, wire);
    FLAT.set(entry, codec);
  }
  return codec;
}

/** Payload of a SET action: the one key attribute. */
export function encodeSet(field: SetField): Uint8Array {
  const { codec, typed } = codecOfField(field);
  if (codec.use === 'setMasked') throw new OdpFieldError(codec.name, 'needs setMasked');
  return attributeBytes(codec.number, codec.encode(typed, true).value);
}

/** Payload of a SET_MASKED action: the one key attribute, value then mask. */
export function encodeSetMasked(field: SetMaskedField): Uint8Array {
  const { codec, typed } = codecOfField(field);
  if (codec.use === 'set') throw new OdpFieldError(codec.name, 'needs set');
  const bytes = codec.encode(typed, false);
  return attributeBytes(codec.number, codec.join?.(bytes) ?? concatBytes([bytes.value, bytes.mask]));
}

function codecOfField(field: SetField | SetMaskedField): { codec: SetCodec; typed: unknown } {
  const names = typeof field === 'object' && field !== null ? Object.keys(field) : [];
  if (names.length !== 1) throw new OdpFieldError('set', `exactly one field is needed, not ${names.length}`);
  const name = names[0];
  const entry = Object.hasOwn(ATTRIBUTES, name) ? ATTRIBUTES[name as FieldName] : undefined;
  const codec = SPECIAL_BY_NAME.get(name) ?? flat(entry);
  if (codec === undefined) throw new OdpFieldError(name, 'cannot be set');
  return { codec, typed: (field as Record<string, unknown>)[name] };
}

/** Typed field of a SET action, undefined when the bytes would not come back the same. */
export function decodeSet(attribute: Attribute): SetField | undefined {
  return decode(attribute, false) as SetField | undefined;
}

/** Typed field of a SET_MASKED action, undefined when the bytes would not come back the same. */
export function decodeSetMasked(attribute: Attribute): SetMaskedField | undefined {
  return decode(attribute, true) as SetMaskedField | undefined;
}

/** Non-zero padding or bits that no field has keep an attribute from having a typed form. */
function decode(attribute: Attribute, masked: boolean): object | undefined {
  const inner = [...walkAttributes(attribute.payload, 'OVS_KEY_ATTR', attribute.offset + 4)];
  if (inner.length !== 1)
    throw new OdpAttributeError('SET', attribute.offset, `${inner.length} key attributes, 1 expected`);
  const { number, payload } = inner[0];
  const codec = SPECIAL_BY_NUMBER.get(number) ?? flat(ATTRIBUTES_BY_NUMBER.get(number));
  if (codec === undefined || (codec.use !== undefined && (codec.use === 'setMasked') !== masked)) return undefined;
  const bytes = codec.split === undefined ? split(codec, inner[0], masked) : codec.split(inner[0]);
  if (bytes === undefined || payload.length === 0) return undefined;
  const typed = tryTyped(() => codec.decode(bytes.value, masked ? bytes.mask : undefined));
  const again = tryTyped(() => codec.encode(typed, !masked));
  if (again === undefined || (masked && !isSameBytes(again.mask, bytes.mask))) return undefined;
  const canonical = codec.canonical ?? ((value: Uint8Array) => value);
  return isSameBytes(canonical(again.value), canonical(bytes.value)) ? { [codec.name]: typed } : undefined;
}

/** Undefined for a masked value with one byte too many, which the kernel takes and keeps. */
function split(codec: SetCodec, { payload, offset }: Attribute, masked: boolean): SetBytes | undefined {
  const factor = masked ? 2 : 1;
  const size = payload.length / factor;
  if (codec.sizes.includes(size - 0.5)) return undefined;
  if (!codec.sizes.includes(size)) {
    const expected = codec.sizes.map((wanted) => wanted * factor).join(' or ');
    throw new OdpAttributeError(
      `SET ${codec.text}`,
      offset,
      `payload of ${payload.length} bytes, ${expected} expected`,
    );
  }
  return { value: payload.subarray(0, size), mask: payload.subarray(size) };
}

function tryTyped<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch (error) {
    if (error instanceof OdpFieldError || error instanceof OdpAttributeError) return undefined;
    throw error;
  }
}

/** Text inside `set(...)`. */
export function formatSet(field: SetField | SetMaskedField, masked: boolean): string {
  const { codec, typed } = codecOfField(field);
  const { value, mask } = codec.encode(typed, !masked);
  return `${codec.text}(${codec.format(value, masked ? mask : undefined)})`;
}

/** Reads what formatSet writes. All-ones masks make a SET, as in ovs-dpctl; all else is a SET_MASKED. */
export function scanSet(scanner: TextScanner): { masked: boolean; field: SetField | SetMaskedField } {
  const start = scanner.position;
  const name = scanner.word() ?? '';
  const codec = SPECIAL_BY_TEXT.get(name) ?? flat(ATTRIBUTES_BY_TEXT.get(name));
  if (codec === undefined) throw scanner.error('a field that can be set', start);
  scanner.expect('(');
  const { value, mask } = codec.scan(scanner);
  const masked = codec.use === undefined ? mask.some((byte) => byte !== 0xff) : codec.use === 'setMasked';
  const typed = tryTyped(() => codec.decode(value, masked ? mask : undefined));
  if (typed === undefined) throw scanner.error('values and masks that can be set', start);
  return { masked, field: { [codec.name]: typed } as unknown as SetField | SetMaskedField };
}
