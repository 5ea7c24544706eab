/*
 * What a set action carries: one key attribute, whole (SET) or as value followed by mask (SET_MASKED).
 *
 * Used by actions.ts for bytes and by actions-text.ts for text; the layouts come from the field table.
 */

import { MPLS_DEPTH_MAX } from '../../assembly/constants.ts';
import { type Attribute, attributeBytes, concatBytes, walkAttributes } from './attributes.ts';
import {
  decodeMaskedMplsEntry,
  decodeMplsEntry,
  encodeMplsEntry,
  formatMpls,
  type MaskedWord,
  MPLS_MASK_FULL,
  scanMpls,
} from './bitfields.ts';
import { OdpAttributeError, OdpFieldError } from './errors.ts';
import { ATTRIBUTES, ATTRIBUTES_BY_NUMBER, ATTRIBUTES_BY_TEXT, type KeyAttribute, type Slot } from './fields.ts';
import { decodeGroup, decodeMaskedGroup, encodeGroup, formatGroup, scanGroup } from './groups.ts';
import { readBe32, writeBe32 } from './layers.ts';
import type { TextScanner } from './scanner.ts';
import type { FieldName, FlowFields, Masked, MplsEntry } from './types.ts';

type Settable = Omit<FlowFields, 'igmp' | 'nsh'> & { mpls: MplsEntry[] };

/** Exactly one header or metadata field, all parts of it given. */
export type SetField = { [K in keyof Settable]: { [P in K]: Settable[P] } }[keyof Settable];

type SettableMasked = { [K in Exclude<keyof Settable, 'mpls'>]: Masked<Settable[K]> } & { mpls: Masked<MplsEntry>[] };

/** Exactly one header or metadata field; parts that are absent stay as they are in the packet. */
export type SetMaskedField = { [K in keyof SettableMasked]: { [P in K]: SettableMasked[P] } }[keyof SettableMasked];

const MPLS_NUMBER = 21;
const LSE_SIZE = 4;

/** One key attribute as it stands in a set action. `mask` is undefined in a plain SET. */
export interface SetPayload {
  number: number;
  value: Uint8Array;
  mask?: Uint8Array;
}

/** Payload of a SET action: the one key attribute. */
export function encodeSet(field: SetField): Uint8Array {
  const { number, value } = encodePayload(field, true);
  return attributeBytes(number, value);
}

/** Payload of a SET_MASKED action: the one key attribute, value then mask. */
export function encodeSetMasked(field: SetMaskedField): Uint8Array {
  const { number, value, mask } = encodePayload(field, false);
  return attributeBytes(number, concatBytes([value, mask]));
}

function encodePayload(field: SetField | SetMaskedField, whole: boolean): Required<SetPayload> {
  const names = Object.keys(field);
  if (names.length !== 1) throw new OdpFieldError('set', `exactly one field is needed, not ${names.length}`);
  const name = names[0];
  const typed = (field as Record<string, unknown>)[name];
  if (name === 'mpls') return encodeMpls(typed as Masked<MplsEntry>[], whole);
  const { entry, wire } = layoutOf(ATTRIBUTES[name as FieldName], name);
  const value = new Uint8Array(entry.wireSize);
  const mask = new Uint8Array(entry.wireSize);
  encodeGroup(entry, wire, typed, value, mask, whole);
  if (whole && wire.some((slot) => !slot.kind.isExact(mask.subarray(slot.at, slot.at + slot.kind.size)))) {
    throw new OdpFieldError(name, 'a mask needs setMasked');
  }
  return { number: entry.number, value, mask };
}

function layoutOf(entry: KeyAttribute | undefined, name: string): { entry: KeyAttribute; wire: readonly Slot[] } {
  if (entry?.wire === undefined) throw new OdpFieldError(name, 'cannot be set');
  return { entry, wire: entry.wire };
}

function encodeMpls(entries: Masked<MplsEntry>[], whole: boolean): Required<SetPayload> {
  if (entries.length === 0 || entries.length > MPLS_DEPTH_MAX) {
    throw new OdpFieldError('mpls', `1 to ${MPLS_DEPTH_MAX} entries are needed, not ${entries.length}`);
  }
  const words = entries.map((entry, index) => encodeMplsEntry(entry, `mpls[${index}]`));
  if (whole && words.some((word) => word.mask >>> 0 !== MPLS_MASK_FULL)) {
    throw new OdpFieldError('mpls', 'label, tc, ttl and bos are needed without masks');
  }
  return mplsPayload(words);
}

function mplsPayload(words: readonly MaskedWord[]): Required<SetPayload> {
  const value = new Uint8Array(words.length * LSE_SIZE);
  const mask = new Uint8Array(words.length * LSE_SIZE);
  for (const [index, word] of words.entries()) {
    writeBe32(value, index * LSE_SIZE, word.value);
    writeBe32(mask, index * LSE_SIZE, word.mask);
  }
  return { number: MPLS_NUMBER, value, mask };
}

function mplsWordsOf(payload: SetPayload): MaskedWord[] {
  return Array.from({ length: payload.value.length / LSE_SIZE }, (_, index) => ({
    value: readBe32(payload.value, index * LSE_SIZE),
    mask: payload.mask === undefined ? MPLS_MASK_FULL : readBe32(payload.mask, index * LSE_SIZE),
  }));
}

/** The key attribute in a SET or SET_MASKED action, undefined when it is none that has a typed form. */
function readSet(attribute: Attribute, masked: boolean): SetPayload | undefined {
  const inner = [...walkAttributes(attribute.payload, 'OVS_KEY_ATTR', attribute.offset + 4)];
  if (inner.length !== 1)
    throw new OdpAttributeError('SET', attribute.offset, `${inner.length} key attributes, 1 expected`);
  const { number, payload, offset } = inner[0];
  const entry = ATTRIBUTES_BY_NUMBER.get(number);
  const factor = masked ? 2 : 1;
  const size = payload.length / factor;
  if (number === MPLS_NUMBER) {
    if (size === 0 || size % LSE_SIZE !== 0 || size > MPLS_DEPTH_MAX * LSE_SIZE) {
      throw new OdpAttributeError('SET MPLS', offset, `payload of ${payload.length} bytes`);
    }
  } else if (entry === undefined) {
    return undefined;
  } else if (size !== entry.wireSize) {
    const expected = entry.wireSize * factor;
    throw new OdpAttributeError(
      `SET ${entry.text}`,
      offset,
      `payload of ${payload.length} bytes, ${expected} expected`,
    );
  }
  return { number, value: payload.subarray(0, size), mask: masked ? payload.subarray(size) : undefined };
}

/** Typed field of a SET action, undefined when the bytes would not come back the same. */
export function decodeSet(attribute: Attribute): SetField | undefined {
  const payload = readSet(attribute, false);
  if (payload === undefined) return undefined;
  const field = decodePayload(payload) as SetField | undefined;
  return field !== undefined && isSame(() => encodeSet(field), attribute) ? field : undefined;
}

/** Typed field of a SET_MASKED action, undefined when the bytes would not come back the same. */
export function decodeSetMasked(attribute: Attribute): SetMaskedField | undefined {
  const payload = readSet(attribute, true);
  if (payload === undefined) return undefined;
  const field = decodePayload(payload) as SetMaskedField | undefined;
  return field !== undefined && isSame(() => encodeSetMasked(field), attribute) ? field : undefined;
}

/** Non-zero padding or bits that no field has keep an attribute from having a typed form. */
function isSame(encode: () => Uint8Array, attribute: Attribute): boolean {
  const bytes = tryTyped(encode);
  return (
    bytes !== undefined &&
    bytes.length === attribute.payload.length &&
    bytes.every((byte, index) => byte === attribute.payload[index])
  );
}

function tryTyped<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch (error) {
    if (error instanceof OdpFieldError) return undefined;
    throw error;
  }
}

function decodePayload(payload: SetPayload): Record<string, unknown> | undefined {
  const { number, value, mask } = payload;
  if (number === MPLS_NUMBER) {
    const words = mplsWordsOf(payload);
    return {
      mpls: words.map((word) => (mask === undefined ? decodeMplsEntry(word.value) : decodeMaskedMplsEntry(word))),
    };
  }
  const { entry, wire } = layoutOf(ATTRIBUTES_BY_NUMBER.get(number), String(number));
  return tryTyped(() => ({
    [entry.name]: mask === undefined ? decodeGroup(entry, wire, value) : decodeMaskedGroup(entry, wire, value, mask),
  }));
}

/** Text inside `set(...)`. */
export function formatSet(field: SetField | SetMaskedField, masked: boolean): string {
  const payload = encodePayload(field, !masked);
  if (payload.number === MPLS_NUMBER) return `mpls(${formatMpls(mplsWordsOf(payload))})`;
  const { entry, wire } = layoutOf(ATTRIBUTES_BY_NUMBER.get(payload.number), 'set');
  if (!masked && entry === ATTRIBUTES.ctState)
    return `ct_state(${ATTRIBUTES.ctMark.flat[0].kind.format(payload.value)})`;
  return `${entry.text}(${formatGroup(wire, payload.value, masked ? payload.mask : undefined)})`;
}

/** Reads what formatSet writes. All-ones masks make a SET, as in ovs-dpctl; all else is a SET_MASKED. */
export function scanSet(scanner: TextScanner): { masked: boolean; field: SetField | SetMaskedField } {
  const start = scanner.position;
  const name = scanner.word();
  const entry = name === undefined ? undefined : ATTRIBUTES_BY_TEXT.get(name);
  if (name !== 'mpls' && entry?.wire === undefined) throw scanner.error('a field that can be set', start);
  scanner.expect('(');
  const payload = name === 'mpls' ? mplsPayload(scanMpls(scanner, MPLS_DEPTH_MAX)) : scanPayload(scanner, entry);
  if (payload.value.length === 0) throw scanner.error('label=, tc=, ttl= or bos=', scanner.position - 1);
  const exact = payload.mask.every((byte) => byte === 0xff);
  const field = decodePayload(exact ? { number: payload.number, value: payload.value } : payload);
  if (field === undefined) throw scanner.error('values and masks that can be set', start);
  return { masked: !exact, field: field as SetField | SetMaskedField };
}

function scanPayload(scanner: TextScanner, attribute: KeyAttribute | undefined): Required<SetPayload> {
  const { entry, wire } = layoutOf(attribute, 'set');
  const value = new Uint8Array(entry.wireSize);
  const mask = new Uint8Array(entry.wireSize);
  scanGroup(scanner, entry, wire, value, mask);
  return { number: entry.number, value, mask };
}
