/*
 * Bit fields: VLAN tags and MPLS label stack entries, whose fields are parts of one big-endian word.
 *
 * The word is handled as a number; where it lies is the caller's business.
 */

import { OdpFieldError } from './errors.ts';
import { EQUALS, type TextScanner } from './scanner.ts';
import type { Masked, MplsEntry, NumberMatch, VlanKey, VlanMatch } from './types.ts';

/** The bit of a TCI that says that a tag is there (VLAN_CFI_MASK). */
export const VLAN_PRESENT = 0x1000;
export const VLAN_VID_MASK = 0x0fff;
const VLAN_PCP_SHIFT = 13;

/** A word and its mask. */
export interface MaskedWord {
  value: number;
  mask: number;
}

interface BitField {
  name: string;
  shift: number;
  /** Largest value. */
  max: number;
  /** What stands before the mask in text. */
  maskPrefix: string;
}

const VLAN_FIELDS: readonly BitField[] = [
  { name: 'vid', shift: 0, max: VLAN_VID_MASK, maskPrefix: '0x' },
  { name: 'pcp', shift: VLAN_PCP_SHIFT, max: 7, maskPrefix: '0x' },
];

const MPLS_FIELDS: readonly BitField[] = [
  { name: 'label', shift: 12, max: 0xfffff, maskPrefix: '0x' },
  { name: 'tc', shift: 9, max: 7, maskPrefix: '' },
  { name: 'ttl', shift: 0, max: 255, maskPrefix: '0x' },
  { name: 'bos', shift: 8, max: 1, maskPrefix: '' },
];

export const MPLS_MASK_FULL = 0xffffffff;

function partOf(word: number, field: BitField): number {
  return (word >>> field.shift) & field.max;
}

function insert(word: number, field: BitField, part: number): number {
  return ((word & ~(field.max << field.shift)) | (part << field.shift)) >>> 0;
}

/** Reads `name=value[/mask]` into the word if it comes next. */
function scanField(scanner: TextScanner, field: BitField, word: MaskedWord): boolean {
  if (!scanner.takeName(field.name, EQUALS)) return false;
  word.value = insert(word.value, field, scanner.number(field.max));
  word.mask = insert(word.mask, field, scanner.take('/') ? scanner.number(field.max) : field.max);
  return true;
}

function encodeField(field: BitField, typed: NumberMatch, owner: string, word: MaskedWord): void {
  const { value, mask } = typeof typed === 'object' ? typed : { value: typed, mask: field.max };
  for (const part of [value, mask]) {
    if (!Number.isInteger(part) || part < 0 || part > field.max) {
      throw new OdpFieldError(`${owner}.${field.name}`, `${part} is not an integer from 0 to ${field.max}`);
    }
  }
  word.value = insert(word.value, field, value);
  word.mask = insert(word.mask, field, mask);
}

function decodeField(field: BitField, word: MaskedWord): NumberMatch {
  const value = partOf(word.value, field);
  const mask = partOf(word.mask, field);
  return mask === field.max ? value : { value, mask };
}

// ---------------------------------------------------------------------------------------------------- VLAN

/** Text of a TCI between the parentheses: `vid=5,pcp=0`, with `,cfi=0` when the tag is not there. */
export function formatTci(tci: number, mask = 0xffff): string {
  const parts: string[] = [];
  for (const field of VLAN_FIELDS) {
    const bits = partOf(mask, field);
    if (bits === 0) continue;
    const suffix = bits === field.max ? '' : `/${field.maskPrefix}${bits.toString(16)}`;
    parts.push(`${field.name}=${partOf(tci, field)}${suffix}`);
  }
  if ((mask & VLAN_PRESENT) === 0) parts.push('cfi=0/0');
  else if ((tci & VLAN_PRESENT) === 0) parts.push('cfi=0');
  return parts.join(',');
}

/** As formatTci, as Open vSwitch writes a dumped tag: also values outside the mask, and `cfi` without its mask. */
export function formatDumpedTci(tci: number, mask: number, verbose: boolean): string {
  const parts: string[] = [];
  for (const field of VLAN_FIELDS) {
    const bits = partOf(mask, field);
    const value = partOf(tci, field);
    if (!verbose && bits === 0 && value === 0) continue;
    parts.push(`${field.name}=${value}${bits === field.max ? '' : `/0x${bits.toString(16)}`}`);
  }
  if ((tci & VLAN_PRESENT) === 0) parts.push('cfi=0');
  return parts.join(',');
}

/** Reads what formatTci writes, up to and with the closing parenthesis. */
export function scanTci(scanner: TextScanner): MaskedWord {
  const word = { value: VLAN_PRESENT, mask: VLAN_PRESENT };
  while (!scanner.take(')')) {
    if (scanner.take('cfi=')) {
      const present = scanner.number(1) === 1;
      const matched = !scanner.take('/') || scanner.number(1) === 1;
      word.value = present ? word.value | VLAN_PRESENT : word.value & ~VLAN_PRESENT;
      word.mask = matched ? word.mask | VLAN_PRESENT : word.mask & ~VLAN_PRESENT;
    } else if (!scanField(scanner, VLAN_FIELDS[0], word) && !scanField(scanner, VLAN_FIELDS[1], word)) {
      throw scanner.error('vid=, pcp= or cfi=');
    }
    if (!scanner.take(',') && !scanner.peek(')')) throw scanner.error("',' or ')'");
  }
  return word;
}

/** TCI word of a typed tag. */
export function encodeTci(tag: VlanMatch, owner: string): MaskedWord {
  const word = {
    value: tag.cfi === undefined || tag.cfi === true ? VLAN_PRESENT : 0,
    mask: tag.cfi === 'any' ? 0 : VLAN_PRESENT,
  };
  if (tag.vid !== undefined) encodeField(VLAN_FIELDS[0], tag.vid, owner, word);
  if (tag.pcp !== undefined) encodeField(VLAN_FIELDS[1], tag.pcp, owner, word);
  return word;
}

export function decodeTci(tci: number): Omit<VlanKey, 'tpid'> {
  const tag = { vid: partOf(tci, VLAN_FIELDS[0]), pcp: partOf(tci, VLAN_FIELDS[1]) };
  return (tci & VLAN_PRESENT) === 0 ? { ...tag, cfi: false } : tag;
}

export function decodeMaskedTci(word: MaskedWord): VlanMatch {
  const tag: VlanMatch = {};
  if (partOf(word.mask, VLAN_FIELDS[0]) !== 0) tag.vid = decodeField(VLAN_FIELDS[0], word);
  if (partOf(word.mask, VLAN_FIELDS[1]) !== 0) tag.pcp = decodeField(VLAN_FIELDS[1], word);
  if ((word.mask & VLAN_PRESENT) === 0) tag.cfi = 'any';
  else if ((word.value & VLAN_PRESENT) === 0) tag.cfi = false;
  return tag;
}

// ---------------------------------------------------------------------------------------------------- MPLS

/** Text of label stack entries between the parentheses: `label=1,tc=0,ttl=64,bos=1`, all masks shown if any is partial. */
export function formatMpls(entries: readonly MaskedWord[]): string {
  const exact = entries.every((entry) => entry.mask >>> 0 === MPLS_MASK_FULL);
  return entries
    .flatMap((entry) =>
      MPLS_FIELDS.map((field) => {
        const suffix = exact ? '' : `/${field.maskPrefix}${partOf(entry.mask, field).toString(16)}`;
        return `${field.name}=${partOf(entry.value, field)}${suffix}`;
      }),
    )
    .join(',');
}

/** Reads what formatMpls writes, up to and with the closing parenthesis; `label=` or a repeated field starts the next entry. */
export function scanMpls(scanner: TextScanner, countMax: number): MaskedWord[] {
  const entries: MaskedWord[] = [];
  let seen = new Set<BitField>();
  while (!scanner.take(')')) {
    const field = MPLS_FIELDS.find((entry) => scanner.peek(`${entry.name}=`));
    if (field === undefined) throw scanner.error('label=, tc=, ttl= or bos=');
    if (entries.length === 0 || seen.has(field) || field === MPLS_FIELDS[0]) {
      if (entries.length === countMax) throw scanner.error(`at most ${countMax} label stack entries`);
      entries.push({ value: 0, mask: 0 });
      seen = new Set();
    }
    seen.add(field);
    scanField(scanner, field, entries[entries.length - 1]);
    if (!scanner.take(',') && !scanner.peek(')')) throw scanner.error("',' or ')'");
  }
  return entries;
}

export function encodeMplsEntry(typed: Masked<MplsEntry>, owner: string): MaskedWord {
  const word = { value: 0, mask: 0 };
  for (const field of MPLS_FIELDS) {
    const part = typed[field.name as keyof MplsEntry];
    if (part !== undefined) encodeField(field, part, owner, word);
  }
  return word;
}

export function decodeMplsEntry(word: number): MplsEntry {
  const [label, tc, ttl, bos] = MPLS_FIELDS.map((field) => partOf(word, field));
  return { label, tc, ttl, bos };
}

/** Typed entry under a mask; fields whose value and mask are zero are left out. */
export function decodeMaskedMplsEntry(word: MaskedWord): Masked<MplsEntry> {
  const typed: Masked<MplsEntry> = {};
  for (const field of MPLS_FIELDS) {
    if (partOf(word.mask, field) === 0 && partOf(word.value, field) === 0) continue;
    typed[field.name as keyof MplsEntry] = decodeField(field, word);
  }
  return typed;
}
