/*
 * Group codec: all fields of one attribute at once, driven by its slots.
 *
 * Works alike on the flat key (attribute.flat) and on an attribute payload (attribute.wire). Key and mask are written at the
 * slots' offsets; bytes between them are left alone. Owns no memory.
 */

import { OdpFieldError } from './errors.ts';
import type { KeyAttribute, Slot } from './fields.ts';
import type { FieldMatch, FieldValue } from './kinds.ts';
import type { TextScanner } from './scanner.ts';

/** The bytes of one slot, as a view. */
export function slotBytes(bytes: Uint8Array, slot: Slot): Uint8Array {
  return bytes.subarray(slot.at, slot.at + slot.kind.size);
}

export function isZero(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}

/** True when any field of the group has a bit set. */
export function groupHasBits(slots: readonly Slot[], bytes: Uint8Array): boolean {
  return slots.some((slot) => !isZero(slotBytes(bytes, slot)));
}

/** Sets every field of the group to its full mask. */
export function fillGroup(slots: readonly Slot[], mask: Uint8Array): void {
  for (const slot of slots) mask.set(slot.kind.full, slot.at);
}

/** Text between the parentheses: `src=1,dst=2/0xff00`. Without a mask all fields are written, else those with mask bits. */
export function formatGroup(slots: readonly Slot[], key: Uint8Array, mask?: Uint8Array): string {
  const parts: string[] = [];
  for (const slot of slots) {
    const bits = mask === undefined ? undefined : slotBytes(mask, slot);
    const alone = slot.text === '';
    if (bits !== undefined && isZero(bits) && !alone) continue;
    parts.push((alone ? '' : `${slot.text}=`) + formatSlot(slot, slotBytes(key, slot), bits));
  }
  return parts.join(',');
}

function formatSlot(slot: Slot, value: Uint8Array, mask: Uint8Array | undefined): string {
  return mask === undefined || slot.kind.isExact(mask) ? slot.kind.format(value) : slot.kind.formatMasked(value, mask);
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
    scanSlot(scanner, slots[0], key, mask);
    scanner.expect(')');
    return;
  }
  while (!scanner.take(')')) {
    const slot = slots.find(
      (entry) => scanner.take(`${entry.text}=`) || (entry.alias && scanner.take(`${entry.alias}=`)),
    );
    if (slot === undefined) throw scanner.error(`one of ${slots.map((entry) => `${entry.text}=`).join(' ')}`);
    scanSlot(scanner, slot, key, mask);
    if (!scanner.take(',') && !scanner.peek(')')) throw scanner.error("',' or ')'");
  }
}

function scanSlot(scanner: TextScanner, slot: Slot, key: Uint8Array, mask: Uint8Array): void {
  const bytes = slot.kind.scan(scanner);
  key.set(bytes.value, slot.at);
  mask.set(bytes.mask, slot.at);
}

/** Typed form of exact fields. */
export function decodeGroup(attribute: KeyAttribute, slots: readonly Slot[], key: Uint8Array): unknown {
  if (attribute.single) return slots[0].kind.toTyped(slotBytes(key, slots[0]));
  const typed: Record<string, FieldValue> = {};
  for (const slot of slots) typed[slot.name] = slot.kind.toTyped(slotBytes(key, slot));
  return typed;
}

/** Typed form of masked fields; those whose value and mask are zero are left out. */
export function decodeMaskedGroup(
  attribute: KeyAttribute,
  slots: readonly Slot[],
  key: Uint8Array,
  mask: Uint8Array,
): unknown {
  if (attribute.single) return slots[0].kind.toTypedMatch(slotBytes(key, slots[0]), slotBytes(mask, slots[0]));
  const typed: Record<string, FieldMatch> = {};
  for (const slot of slots) {
    const value = slotBytes(key, slot);
    const bits = slotBytes(mask, slot);
    if (!isZero(bits) || !isZero(value)) typed[slot.name] = slot.kind.toTypedMatch(value, bits);
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
    encodeSlot(slots[0], attribute.name, typed, key, mask);
    return;
  }
  if (typeof typed !== 'object' || typed === null) throw new OdpFieldError(attribute.name, 'an object was expected');
  const fields = typed as Record<string, unknown>;
  for (const name of Object.keys(fields)) {
    if (!slots.some((slot) => slot.name === name))
      throw new OdpFieldError(`${attribute.name}.${name}`, 'unknown field');
  }
  for (const slot of slots) {
    const field = `${attribute.name}.${slot.name}`;
    if (fields[slot.name] !== undefined) encodeSlot(slot, field, fields[slot.name], key, mask);
    else if (whole) throw new OdpFieldError(field, 'missing');
  }
}

function encodeSlot(slot: Slot, field: string, typed: unknown, key: Uint8Array, mask: Uint8Array): void {
  const bytes = slot.kind.fromTyped(typed, field);
  key.set(bytes.value, slot.at);
  mask.set(bytes.mask, slot.at);
}
