/*
 * Flag kinds: fields whose bits have names, ct_state and tcp_flags.
 *
 * Exact values are written `new|est`, masked ones `+new-est`, both lowest bit first. A bit without a name is written as its
 * hexadecimal value, in brackets where Open vSwitch has a bracket for it (TCP) or where the mask form needs one.
 */

import { numberKind, type ValueKind } from './kinds.ts';
import type { TextScanner } from './scanner.ts';

export interface FlagShape {
  size: number;
  order: 'be' | 'le';
  width: number;
  names: readonly string[];
  /** Unnamed bits of an exact value are written one by one in brackets, not as one number. */
  brackets: boolean;
  /** Text shows the mask unless it has all bits of the field, also those beyond the width. */
  showsMask?: boolean;
}

const BRACKET = /\[[0-9a-f]{1,8}\]/y;

/** A field of named bits; typed values are numbers. */
export function flagsKind(shape: FlagShape): ValueKind {
  const { size, order, width } = shape;
  const number = numberKind({ size, order, base: 'hex', width });
  const read = (bytes: Uint8Array, at: number) => Number(number.toTyped(bytes, at));
  const isWhole = (mask: Uint8Array, at = 0) => {
    for (let i = at; i < at + size; i++) if (mask[i] !== 0xff) return false;
    return true;
  };
  return {
    ...number,
    isExact: shape.showsMask ? isWhole : number.isExact,
    format: (value, at = 0) => formatExact(shape, read(value, at)),
    formatMasked: (value, mask, at = 0) =>
      read(mask, at) === 0 ? '0/0' : formatSigned(shape, read(value, at), read(mask, at)),
    scan: (scanner, value, mask, at) => {
      const flags = scanFlags(shape, scanner);
      number.fromTyped(flags, 'flags', value, mask, at);
    },
  };
}

/** Reads `+new-est`, `new|est`, a number, or a number and its mask. */
export function scanFlags(shape: FlagShape, scanner: TextScanner): { value: number; mask: number } {
  if (scanner.peek('+') || scanner.peek('-')) return scanSigned(shape, scanner);
  const first = scanFlag(shape, scanner, true);
  if (first.numeric && scanner.take('/')) return { value: first.bits, mask: scanner.number(maxOf(shape)) };
  let bits = first.bits;
  while (scanner.take('|')) bits = (bits | scanFlag(shape, scanner, true).bits) >>> 0;
  return { value: bits, mask: maxOf(shape) };
}

function maxOf(shape: FlagShape): number {
  return 0xffffffff >>> (32 - shape.width);
}

export function formatExact(shape: FlagShape, value: number): string {
  if (value === 0) return '0';
  const parts: string[] = [];
  let rest = value;
  for (let i = 0; i < (shape.brackets ? shape.width : shape.names.length); i++) {
    const bit = (1 << i) >>> 0;
    if ((rest & bit) === 0) continue;
    parts.push(flagName(shape, i));
    rest = (rest ^ bit) >>> 0;
  }
  if (rest !== 0) parts.push(`0x${rest.toString(16)}`);
  return parts.join('|');
}

export function formatSigned(shape: FlagShape, value: number, mask: number): string {
  let text = '';
  for (let i = 0; i < shape.size * 8; i++) {
    const bit = (1 << i) >>> 0;
    if ((mask & bit) !== 0) text += ((value & bit) === 0 ? '-' : '+') + flagName(shape, i);
  }
  return text;
}

function flagName(shape: FlagShape, index: number): string {
  return shape.names[index] ?? `[${((1 << index) >>> 0).toString(16)}]`;
}

function scanSigned(shape: FlagShape, scanner: TextScanner): { value: number; mask: number } {
  let value = 0;
  let mask = 0;
  while (scanner.peek('+') || scanner.peek('-')) {
    const set = scanner.take('+') || !scanner.take('-');
    const start = scanner.position;
    const { bits } = scanFlag(shape, scanner, false);
    if ((mask & bits) !== 0) throw scanner.error('each flag once', start);
    mask = (mask | bits) >>> 0;
    if (set) value = (value | bits) >>> 0;
  }
  return { value, mask };
}

function scanFlag(shape: FlagShape, scanner: TextScanner, numbers: boolean): { bits: number; numeric: boolean } {
  const start = scanner.position;
  const name = scanner.word();
  if (name !== undefined) {
    const index = shape.names.indexOf(name);
    if (index < 0) throw scanner.error(`one of ${shape.names.join(' ')}`, start);
    return { bits: (1 << index) >>> 0, numeric: false };
  }
  const bracket = scanner.match(BRACKET);
  if (bracket !== undefined) {
    const bits = Number.parseInt(bracket.slice(1), 16);
    const single = bits !== 0 && (bits & (bits - 1)) === 0;
    if (!single || bits > maxOf(shape)) throw scanner.error('one bit of the field', start);
    return { bits, numeric: false };
  }
  if (!numbers) throw scanner.error('a flag name');
  return { bits: scanner.number(maxOf(shape)), numeric: true };
}
