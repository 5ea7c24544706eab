/*
 * Value kinds: how one field of a key is written as text and as a typed value.
 *
 * A kind works on the bytes of one field, as they stand in the flat key or in an attribute. The field table (fields.ts) says
 * which kind a field has and where it is; the group codec (groups.ts) walks the fields. Bytes handed in are only read; bytes
 * handed out are new.
 */

import { OdpFieldError } from './errors.ts';
import type { TextScanner } from './scanner.ts';

/** A typed value of one field. */
export type FieldValue = number | bigint | string;

/** A typed value with its mask: plain when exact, `{ value, mask }` for numbers, `address/mask` for addresses. */
export type FieldMatch = FieldValue | { value: FieldValue; mask: FieldValue };

/** Value and mask bytes of one field. */
export interface MaskedBytes {
  value: Uint8Array;
  mask: Uint8Array;
}

export interface ValueKind {
  /** Bytes of the field. */
  readonly size: number;
  /** The mask that matches the whole field. */
  readonly full: Uint8Array;
  isExact(mask: Uint8Array): boolean;
  format(value: Uint8Array): string;
  /** Text of a value whose mask is not the full one. */
  formatMasked(value: Uint8Array, mask: Uint8Array): string;
  /** Reads a value and, if given, its mask. */
  scan(scanner: TextScanner): MaskedBytes;
  toTyped(value: Uint8Array): FieldValue;
  toTypedMatch(value: Uint8Array, mask: Uint8Array): FieldMatch;
  /** Takes a typed value with or without a mask; `field` names it in errors. */
  fromTyped(typed: unknown, field: string): MaskedBytes;
}

export interface NumberShape {
  size: number;
  order: 'be' | 'le';
  base: 'dec' | 'hex';
  /** Bits in use, from the low end; default all. */
  width?: number;
  /** Hexadecimal digits to pad to; 0 and no padding prints zero as `0`. */
  digits?: number;
  /** Write the value in hexadecimal of this many digits when it is masked. */
  maskedDigits?: number;
  /** Typed values are bigint (fields wider than 32 bits). */
  wide?: boolean;
}

/** The unsigned integer in `bytes`. */
export function readInteger(bytes: Uint8Array, order: 'be' | 'le'): bigint {
  let value = 0n;
  for (let i = 0; i < bytes.length; i++) {
    value = (value << 8n) | BigInt(bytes[order === 'be' ? i : bytes.length - 1 - i]);
  }
  return value;
}

/** `value` as an unsigned integer of `size` bytes. */
export function writeInteger(value: bigint, size: number, order: 'be' | 'le'): Uint8Array {
  const bytes = new Uint8Array(size);
  let rest = value;
  for (let i = 0; i < size; i++) {
    bytes[order === 'le' ? i : size - 1 - i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}

/** Hexadecimal with `0x`; zero without padding is `0`. */
function hex(value: bigint, digits: number): string {
  return value === 0n && digits === 0 ? '0' : `0x${value.toString(16).padStart(digits, '0')}`;
}

/** An unsigned integer. */
export function numberKind(shape: NumberShape): ValueKind {
  const { size, order, digits = 0, maskedDigits } = shape;
  const max = (1n << BigInt(shape.width ?? size * 8)) - 1n;
  const read = (bytes: Uint8Array) => readInteger(bytes, order);
  const write = (value: bigint) => writeInteger(value, size, order);
  const typed = (bytes: Uint8Array) => (shape.wide ? read(bytes) : Number(read(bytes)));
  const isExact = (mask: Uint8Array) => (read(mask) & max) === max;
  const format = (value: Uint8Array) => (shape.base === 'hex' ? hex(read(value), digits) : read(value).toString());
  return {
    size,
    full: write(max),
    isExact,
    format,
    formatMasked: (value, mask) => {
      const text = maskedDigits === undefined ? format(value) : hex(read(value), maskedDigits);
      return `${text}/${hex(read(mask), maskedDigits ?? digits)}`;
    },
    scan: (scanner) => {
      const value = write(scanner.bigNumber(max));
      return { value, mask: write(scanner.take('/') ? scanner.bigNumber(max) : max) };
    },
    toTyped: typed,
    toTypedMatch: (value, mask) => (isExact(mask) ? typed(value) : { value: typed(value), mask: typed(mask) }),
    fromTyped: (input, field) => {
      const { value, mask } =
        typeof input === 'object' && input !== null
          ? (input as { value: unknown; mask: unknown })
          : { value: input, mask: max };
      return { value: write(integerOf(value, max, field)), mask: write(integerOf(mask, max, `${field} mask`)) };
    },
  };
}

function integerOf(input: unknown, max: bigint, field: string): bigint {
  const valid = typeof input === 'bigint' || (typeof input === 'number' && Number.isSafeInteger(input));
  const value = valid ? BigInt(input) : -1n;
  if (value < 0n || value > max) throw new OdpFieldError(field, `${String(input)} is not an integer from 0 to ${max}`);
  return value;
}

export interface AddressShape {
  size: number;
  what: string;
  format(bytes: Uint8Array): string;
  parse(text: string): Uint8Array | undefined;
  /** What may be part of such an address, as a sticky expression. */
  pattern: RegExp;
  /** Reads a prefix length as a mask, where the address has such. */
  prefix?(bits: number): Uint8Array | undefined;
}

/** A MAC, IPv4 or IPv6 address. */
export function addressKind(shape: AddressShape): ValueKind {
  const { size, format } = shape;
  const full = new Uint8Array(size).fill(0xff);
  const isExact = (mask: Uint8Array) => mask.every((byte) => byte === 0xff);
  const parseMask = (text: string) =>
    shape.prefix && /^[0-9]{1,3}$/.test(text) ? shape.prefix(Number(text)) : shape.parse(text);
  const formatMasked = (value: Uint8Array, mask: Uint8Array) => `${format(value)}/${format(mask)}`;
  const scanPart = (scanner: TextScanner, parse: (text: string) => Uint8Array | undefined, what: string) => {
    const start = scanner.position;
    const bytes = parse(scanner.match(shape.pattern) ?? '');
    if (bytes === undefined) throw scanner.error(what, start);
    return bytes;
  };
  return {
    size,
    full,
    isExact,
    format,
    formatMasked,
    scan: (scanner) => {
      const value = scanPart(scanner, shape.parse, shape.what);
      return {
        value,
        mask: scanner.take('/') ? scanPart(scanner, parseMask, `the mask of ${shape.what}`) : full.slice(),
      };
    },
    toTyped: format,
    toTypedMatch: (value, mask) => (isExact(mask) ? format(value) : formatMasked(value, mask)),
    fromTyped: (input, field) => {
      const parts = typeof input === 'string' ? input.split('/') : [];
      const value = parts.length === 1 || parts.length === 2 ? shape.parse(parts[0]) : undefined;
      const mask = parts.length === 2 ? parseMask(parts[1]) : full.slice();
      if (value === undefined || mask === undefined) {
        throw new OdpFieldError(field, `${JSON.stringify(input)} is not ${shape.what}`);
      }
      return { value, mask };
    },
  };
}

const FRAGMENTS = ['no', 'first', 'later'];

/** The fragment type: `no`, `first` or `later` (0, 1, 2 of enum ovs_frag_type); it is matched whole or not at all. */
export const fragmentKind: ValueKind = {
  size: 1,
  full: Uint8Array.of(0xff),
  isExact: (mask) => mask[0] === 0xff,
  format: (value) => FRAGMENTS[value[0]] ?? '<error>',
  formatMasked: (value, mask) => (mask[0] === 0 ? `${FRAGMENTS[value[0]] ?? '<error>'}/0` : '<error>'),
  scan: (scanner) => {
    const index = FRAGMENTS.findIndex((name) => scanner.take(name));
    if (index < 0) throw scanner.error('no, first or later');
    return { value: Uint8Array.of(index), mask: Uint8Array.of(scanner.take('/0') ? 0 : 0xff) };
  },
  toTyped: (value) => {
    if (value[0] >= FRAGMENTS.length) throw new OdpFieldError('frag', `${value[0]} is no fragment type`);
    return FRAGMENTS[value[0]];
  },
  toTypedMatch: (value, mask) => {
    if (mask[0] !== 0xff) throw new OdpFieldError('frag', `mask 0x${mask[0].toString(16)} is not all-ones`);
    return fragmentKind.toTyped(value);
  },
  fromTyped: (input, field) => {
    const index = FRAGMENTS.indexOf(String(input));
    if (index < 0) throw new OdpFieldError(field, `${JSON.stringify(input)} is not no, first or later`);
    return { value: Uint8Array.of(index), mask: Uint8Array.of(0xff) };
  },
};
