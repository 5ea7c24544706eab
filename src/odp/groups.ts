/*
 * Group codec: all fields of one attribute at once, driven by its slots.
 *
 * Works alike on the flat key (attribute.flat) and on an attribute payload (attribute.wire). Key and mask are written at the
 * slots' offsets; bytes between them are left alone. Owns no memory.
 */

import { OdpFieldError } from './errors.ts';
import type { KeyAttribute, Slot } from './fields.ts';
import type { FieldMatch, FieldValue } from './kinds.ts';
import { EQUALS, type TextScanner } from './scanner.ts';

export function isZeroAt(bytes: Uint8Array, at: number, size: number): boolean {
  for (let i = at; i < at + size; i++) if (bytes[i] !== 0) return false;
  return true;
}

/** True when any field of the group has a bit set. */
export function groupHasBits(slots: readonly Slot[], bytes: Uint8Array): boolean {
  for (const slot of slots) if (!isZeroAt(bytes, slot.at, slot.kind.size)) return true;
  return false;
}

/** Sets every field of the group to its full mask. */
export function fillGroup(slots: readonly Slot[], mask: Uint8Array): void {
  for (const slot of slots) mask.set(slot.kind.full, slot.at);
}

/**
 * Text between the parentheses: `src=1,dst=2/0xff00`. Without a mask all fields are written, else those with mask bits, or all
 * when `verbose` (a fragment type never without its mask). The group begins at `keyAt` in `key` and at `maskAt` in `mask`.
 */
export function formatGroup(
  slots: readonly Slot[],
  key: Uint8Array,
  mask?: Uint8Array,
  verbose = false,
  keyAt = 0,
  maskAt = 0,
): string {
  let text = '';
  for (const { kind, at, text: name } of slots) {
    if (name !== '') {
      if (mask !== undefined && (!verbose || name === 'frag') && isZeroAt(mask, maskAt + at, kind.size)) continue;
      text += text === '' ? `${name}=` : `,${name}=`;
    }
    if (mask === undefined || kind.isExact(mask, maskAt + at)) text += kind.format(key, keyAt + at);
    else if (keyAt === maskAt) text += kind.formatMasked(key, mask, keyAt + at);
    else text += kind.formatMasked(key.subarray(keyAt), mask.subarray(maskAt), at);
  }
  return text;
}

/** Reads what formatGroup writes, up to and with the closing parenthesis; fields in any order, the last one given counts. */
export function scanGroup(
  scanner: TextScanner,
  attribute: KeyAttribute,
  slots: readonly Slot[],
  key: Uint8Array,
  mask: Uint8Array,
): void {
  if (attribute.single) {
    slots[0].kind.scan(scanner, key, mask, slots[0].at);
    scanner.expect(')');
    return;
  }
  scanFields(scanner, slots, key, mask);
}

/** As scanGroup, for fields that have names. */
export function scanFields(scanner: TextScanner, slots: readonly Slot[], key: Uint8Array, mask: Uint8Array): void {
  // Most texts have the fields in order, so the one behind the last is tried first.
  let next = 0;
  while (!scanner.take(')')) {
    const index = scanSlotName(scanner, slots, next);
    const slot = slots[index];
    next = index + 1;
    slot.kind.scan(scanner, key, mask, slot.at);
    if (!scanner.take(',') && !scanner.peek(')')) throw scanner.error("',' or ')'");
  }
}

/** The index of the slot whose name comes next, `first` tried first. */
function scanSlotName(scanner: TextScanner, slots: readonly Slot[], first: number): number {
  for (let i = 0; i < slots.length; i++) {
    const index = (first + i) % slots.length;
    const { text, alias } = slots[index];
    if (scanner.takeName(text, EQUALS) || (alias !== undefined && scanner.takeName(alias, EQUALS))) return index;
  }
  throw scanner.error(`one of ${slots.map((entry) => `${entry.text}=`).join(' ')}`);
}

/** Typed form of exact fields. */
export function decodeGroup(attribute: KeyAttribute, slots: readonly Slot[], key: Uint8Array): unknown {
  return attribute.single ? slots[0].kind.toTyped(key, slots[0].at) : decodeFields(slots, key);
}

/** As decodeGroup, for fields that have names. */
export function decodeFields(slots: readonly Slot[], key: Uint8Array): Record<string, FieldValue> {
  const typed: Record<string, FieldValue> = {};
  for (const slot of slots) typed[slot.name] = slot.kind.toTyped(key, slot.at);
  return typed;
}

/** Typed form of masked fields; those whose value and mask are zero are left out. */
export function decodeMaskedGroup(
  attribute: KeyAttribute,
  slots: readonly Slot[],
  key: Uint8Array,
  mask: Uint8Array,
): unknown {
  if (attribute.single) return slots[0].kind.toTypedMatch(key, mask, slots[0].at);
  return decodeMaskedFields(slots, key, mask);
}

/** As decodeMaskedGroup, for fields that have names. */
export function decodeMaskedFields(
  slots: readonly Slot[],
  key: Uint8Array,
  mask: Uint8Array,
): Record<string, FieldMatch> {
  const typed: Record<string, FieldMatch> = {};
  for (const slot of slots) {
    const { at, kind } = slot;
    if (isZeroAt(mask, at, kind.size) && isZeroAt(key, at, kind.size)) continue;
    typed[slot.name] = kind.toTypedMatch(key, mask, at);
  }
  return typed;
}

/**
 * Writes typed fields and their masks. Absent fields stay zero in both, unless `whole` demands every field. Unknown names
 * and values out of range throw OdpFieldError.
 */
export function encodeGroup(
  attribute: KeyAttribute,
  slots: readonly Slot[],
  typed: unknown,
  key: Uint8Array,
  mask: Uint8Array,
  whole = false,
): void {
  if (attribute.single) {
    slots[0].kind.fromTyped(typed, attribute.name, key, mask, slots[0].at);
    return;
  }
  encodeFields(attribute.name, slots, typed, key, mask, whole);
}

/** As encodeGroup, for fields that have names; `owner` stands before them in errors. */
export function encodeFields(
  owner: string,
  slots: readonly Slot[],
  typed: unknown,
  key: Uint8Array,
  mask: Uint8Array,
  whole = false,
): void {
  if (typeof typed !== 'object' || typed === null) throw new OdpFieldError(owner, 'an object was expected');
  const fields = typed as Record<string, unknown>;
  for (const name of Object.keys(fields)) {
    if (!slots.some((slot) => slot.name === name)) throw new OdpFieldError(`${owner}.${name}`, 'unknown field');
  }
  for (const slot of slots) {
    const field = `${owner}.${slot.name}`;
    if (fields[slot.name] !== undefined) slot.kind.fromTyped(fields[slot.name], field, key, mask, slot.at);
    else if (whole) throw new OdpFieldError(field, 'missing');
  }
}
