/*
 * Value kinds: how one field of a key is written as text and as a typed value.
 *
 * A kind works on the bytes of one field at an offset, in a flat key or in an attribute; value and mask stand at the same
 * offset of two buffers. The field table (fields.ts) says which kind a field has and where it is; the group codec (groups.ts)
 * walks the fields. Nothing keeps a reference to the buffers.
 */

import { OdpFieldError } from './errors.ts';
import type { TextScanner } from './scanner.ts';

/** A typed value of one field. */
export type FieldValue = number | bigint | string;

/** A typed value with its mask: plain when exact, `{ value, mask }` for numbers, `address/mask` for addresses. */
export type FieldMatch = FieldValue | { value: FieldValue; mask: FieldValue };

export interface ValueKind {
  /** Bytes of the field. */
  readonly size: number;
  /** The mask that matches the whole field. */
  readonly full: Uint8Array;
  /** True when text shows no mask. */
  isExact(mask: Uint8Array, at?: number): boolean;
  format(value: Uint8Array, at?: number): string;
  /** Text of a value whose mask is not the full one. */
  formatMasked(value: Uint8Array, mask: Uint8Array, at?: number): string;
  /** Reads a value and, if given, its mask (else the full one) into the buffers. */
  scan(scanner: TextScanner, value: Uint8Array, mask: Uint8Array, at: number): void;
  toTyped(value: Uint8Array, at?: number): FieldValue;
  toTypedMatch(value: Uint8Array, mask: Uint8Array, at?: number): FieldMatch;
  /** Takes a typed value with or without a mask into the buffers; `field` names it in errors. */
  fromTyped(typed: unknown, field: string, value: Uint8Array, mask: Uint8Array, at: number): void;
}

export interface NumberShape {
  size: number;
  order: 'be' | 'le';
  base: 'dec' | 'hex';
  /** Bits in use, from the low end; default all. */
  width?: number;
  /** Hexadecimal digits to pad to; 0 and no padding prints zero as `0`. */
  digits?: number;
  /** As `digits`, for the mask. */
  maskDigits?: number;
  /** Write the value in hexadecimal of this many digits when it is masked. */
  maskedDigits?: number;
}

type Order = NumberShape['order'];

/** Hexadecimal with `0x`; zero without padding is `0`. */
export function hex(value: number | bigint, digits = 0): string {
  if (digits === 0 && Number(value) === 0) return '0';
  const text = value.toString(16);
  return text.length >= digits ? `0x${text}` : `0x${text.padStart(digits, '0')}`;
}

/** The unsigned integer of at most 4 bytes at `at`. */
function readNumber(bytes: Uint8Array, at: number, size: number, order: Order): number {
  let value = 0;
  if (order === 'be') for (let i = 0; i < size; i++) value = value * 256 + bytes[at + i];
  else for (let i = size - 1; i >= 0; i--) value = value * 256 + bytes[at + i];
  return value;
}

function writeNumber(bytes: Uint8Array, at: number, size: number, order: Order, value: number): void {
  let rest = value;
  for (let i = 0; i < size; i++) {
    bytes[order === 'le' ? at + i : at + size - 1 - i] = rest & 0xff;
    rest >>>= 8;
  }
}

/** The unsigned integer in `bytes`. */
export function readInteger(bytes: Uint8Array, order: Order): bigint {
  let value = 0n;
  for (let i = 0; i < bytes.length; i++) {
    value = (value << 8n) | BigInt(bytes[order === 'be' ? i : bytes.length - 1 - i]);
  }
  return value;
}

/** `value` as an unsigned integer of `size` bytes. */
export function writeInteger(value: bigint, size: number, order: Order): Uint8Array {
  const bytes = new Uint8Array(size);
  let rest = value;
  for (let i = 0; i < size; i++) {
    bytes[order === 'le' ? i : size - 1 - i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}

/** How integers of one width are read, written and scanned: numbers up to 4 bytes, bigints above. */
interface Access<T extends number | bigint> {
  max: T;
  read(bytes: Uint8Array, at: number): T;
  write(bytes: Uint8Array, at: number, value: T): void;
  scan(scanner: TextScanner): T;
  /** The value of a typed integer, undefined when it is none from 0 to max. */
  valid(input: unknown): T | undefined;
}

function narrowAccess({ size, order, width = size * 8 }: NumberShape): Access<number> {
  const max = 2 ** width - 1;
  return {
    max,
    read: (bytes, at) => readNumber(bytes, at, size, order),
    write: (bytes, at, value) => writeNumber(bytes, at, size, order, value),
    scan: (scanner) => scanner.number(max),
    valid: (input) => {
      const value = typeof input === 'bigint' ? Number(input) : input;
      return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max ? value : undefined;
    },
  };
}

function wideAccess({ size, order, width = size * 8 }: NumberShape): Access<bigint> {
  const max = (1n << BigInt(width)) - 1n;
  return {
    max,
    read: (bytes, at) => readInteger(bytes.subarray(at, at + size), order),
    write: (bytes, at, value) => bytes.set(writeInteger(value, size, order), at),
    scan: (scanner) => scanner.bigNumber(max),
    valid: (input) => {
      const integer = typeof input === 'bigint' || (typeof input === 'number' && Number.isSafeInteger(input));
      const value = integer ? BigInt(input) : -1n;
      return value >= 0n && value <= max ? value : undefined;
    },
  };
}

/** An unsigned integer; wider than 4 bytes it is a bigint in typed form. */
export function numberKind(shape: NumberShape): ValueKind {
  return shape.size <= 4 ? integerKind(shape, narrowAccess(shape)) : integerKind(shape, wideAccess(shape));
}

function integerKind<T extends number | bigint>(shape: NumberShape, access: Access<T>): ValueKind {
  const { size, base, digits = 0, maskDigits = digits, maskedDigits } = shape;
  const { max, read, write, scan } = access;
  const full = new Uint8Array(size);
  write(full, 0, max);
  const isExact = (mask: Uint8Array, at = 0) => {
    for (let i = 0; i < size; i++) if ((mask[at + i] & full[i]) !== full[i]) return false;
    return true;
  };
  const format = (value: Uint8Array, at = 0) =>
    base === 'hex' ? hex(read(value, at), digits) : String(read(value, at));
  const checked = (input: unknown, field: string) => {
    const value = access.valid(input);
    if (value !== undefined) return value;
    throw new OdpFieldError(field, `${String(input)} is not an integer from 0 to ${max}`);
  };
  return {
    size,
    full,
    isExact,
    format,
    formatMasked: (value, mask, at = 0) => {
      const text = maskedDigits === undefined ? format(value, at) : hex(read(value, at), maskedDigits);
      return `${text}/${hex(read(mask, at), maskedDigits ?? maskDigits)}`;
    },
    scan: (scanner, value, mask, at) => {
      write(value, at, scan(scanner));
      write(mask, at, scanner.take('/') ? scan(scanner) : max);
    },
    toTyped: (value, at = 0) => read(value, at),
    toTypedMatch: (value, mask, at = 0) =>
      isExact(mask, at) ? read(value, at) : { value: read(value, at), mask: read(mask, at) },
    fromTyped: (input, field, value, mask, at) => {
      const pair = typeof input === 'object' && input !== null;
      const typed = pair ? (input as { value: unknown; mask: unknown }) : { value: input, mask: max };
      write(value, at, checked(typed.value, field));
      write(mask, at, checked(typed.mask, `${field} mask`));
    },
  };
}

export interface AddressShape {
  size: number;
  what: string;
  format(bytes: Uint8Array, at: number): string;
  /** Reads an address from the middle of a text; the position behind it, or -1. */
  scan(text: string, position: number, bytes: Uint8Array, at: number): number;
  /** Reads a prefix length as a mask, where the address has such. */
  prefix?(bits: number): Uint8Array | undefined;
}

const SLASH = 0x2f;
const PREFIX = /^[0-9]{1,3}$/;
const PREFIX_AT_END = /[0-9]{1,3}(?![0-9a-fA-F.:])/y;

/** A MAC, IPv4 or IPv6 address. */
export function addressKind(shape: AddressShape): ValueKind {
  const { size, format } = shape;
  const full = new Uint8Array(size).fill(0xff);
  const isExact = (mask: Uint8Array, at = 0) => {
    for (let i = at; i < at + size; i++) if (mask[i] !== 0xff) return false;
    return true;
  };
  /** False when `text` from `start` on is no mask. */
  const readMask = (text: string, start: number, mask: Uint8Array, at: number): boolean => {
    const rest = shape.prefix === undefined ? '' : text.slice(start);
    if (!PREFIX.test(rest)) return shape.scan(text, start, mask, at) === text.length;
    const bits = shape.prefix?.(Number(rest));
    if (bits !== undefined) mask.set(bits, at);
    return bits !== undefined;
  };
  const formatMasked = (value: Uint8Array, mask: Uint8Array, at = 0) => `${format(value, at)}/${format(mask, at)}`;
  const scanAddress = (scanner: TextScanner, bytes: Uint8Array, at: number, what: string) => {
    const end = shape.scan(scanner.text, scanner.position, bytes, at);
    if (end < 0) throw scanner.error(what);
    scanner.position = end;
  };
  const scanMask = (scanner: TextScanner, mask: Uint8Array, at: number) => {
    const start = scanner.position;
    const bits = shape.prefix && scanner.match(PREFIX_AT_END);
    const bytes = bits === undefined ? undefined : shape.prefix?.(Number(bits));
    if (bits !== undefined && bytes === undefined) throw scanner.error(`the mask of ${shape.what}`, start);
    if (bytes !== undefined) mask.set(bytes, at);
    else scanAddress(scanner, mask, at, `the mask of ${shape.what}`);
  };
  return {
    size,
    full,
    isExact,
    format: (value, at = 0) => format(value, at),
    formatMasked,
    scan: (scanner, value, mask, at) => {
      scanAddress(scanner, value, at, shape.what);
      if (scanner.take('/')) scanMask(scanner, mask, at);
      else mask.fill(0xff, at, at + size);
    },
    toTyped: (value, at = 0) => format(value, at),
    toTypedMatch: (value, mask, at = 0) => (isExact(mask, at) ? format(value, at) : formatMasked(value, mask, at)),
    fromTyped: (input, field, value, mask, at) => {
      const end = typeof input === 'string' ? shape.scan(input, 0, value, at) : -1;
      if (end >= 0 && end === (input as string).length) mask.fill(0xff, at, at + size);
      else if (end < 0 || (input as string).charCodeAt(end) !== SLASH || !readMask(input as string, end + 1, mask, at))
        throw new OdpFieldError(field, `${JSON.stringify(input)} is not ${shape.what}`);
    },
  };
}

const FRAGMENTS = ['no', 'first', 'later'];

/** Name of a fragment type; keys have no other than these three. */
function fragmentName(type: number): string {
  return FRAGMENTS[type] ?? '<error>';
}

/** A fragment type, with or without a mask. */
const MASKED_FRAGMENT = /^(no|first|later)(?:\/(0x[0-9a-f]{1,2}|[0-9]{1,3}))?$/;

/**
 * The fragment type: `no`, `first` or `later` (0, 1, 2 of enum ovs_frag_type), in a match mostly whole or not at all. Under a part of a
 * mask it is `first/0x1`, typed and as text; Open vSwitch can only say of it that it is an error.
 */
export const fragmentKind: ValueKind = {
  size: 1,
  full: Uint8Array.of(0xff),
  isExact: (mask, at = 0) => mask[at] === 0xff,
  format: (value, at = 0) => fragmentName(value[at]),
  formatMasked: (value, mask, at = 0) => `${fragmentName(value[at])}/${hex(mask[at])}`,
  scan: (scanner, value, mask, at) => {
    const index = FRAGMENTS.findIndex((name) => scanner.take(name));
    if (index < 0) throw scanner.error('no, first or later');
    value[at] = index;
    mask[at] = scanner.take('/') ? scanner.number(0xff) : 0xff;
  },
  toTyped: (value, at = 0) => {
    if (value[at] >= FRAGMENTS.length) throw new OdpFieldError('frag', `${value[at]} is no fragment type`);
    return FRAGMENTS[value[at]];
  },
  toTypedMatch: (value, mask, at = 0) => {
    const name = fragmentKind.toTyped(value, at);
    return mask[at] === 0xff ? name : `${name}/${hex(mask[at])}`;
  },
  fromTyped: (input, field, value, mask, at) => {
    const parts = MASKED_FRAGMENT.exec(String(input));
    const bits = Number(parts?.[2] ?? 0xff);
    if (parts === null || bits > 0xff)
      throw new OdpFieldError(field, `${JSON.stringify(input)} is not no, first or later, or one of them with a mask`);
    value[at] = FRAGMENTS.indexOf(parts[1]);
    mask[at] = bits;
  },
};
