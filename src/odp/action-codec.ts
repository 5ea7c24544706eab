/*
 * What an action codec is: four functions that write and read one action as attribute and as text, and the tools they share.
 *
 * The families (action-plain.ts, action-headers.ts, action-userspace.ts, action-ct.ts, action-nested.ts, action-tunnel.ts) export their codecs,
 * action-table.ts joins them, actions.ts and actions-text.ts drive them. A writer belongs to one call.
 */

import { ACTIONS_SIZE_MAX } from '../../assembly/constants.ts';
import type { Action, ActionOf, ActionType } from './action-types.ts';
import { formatIpv4, formatIpv6, formatMac, tryIpv4, tryIpv6, tryMac } from './addresses.ts';
import { type Attribute, checkSize } from './attributes.ts';
import { OdpFieldError } from './errors.ts';
import { bytesOfHex, formatHex, hexBytes } from './hex.ts';
import type { TextScanner } from './scanner.ts';

/**
 * Lists may be this deep inside each other; Open vSwitch reads as many (MAX_ODP_NESTED counts one more), the kernel executes fewer.
 */
export const ACTION_NESTING_MAX = 31;

export interface WriteContext {
  writer: AttributeWriter;
  /** Writes a nested list as the payload of the attribute that is open. */
  list(actions: readonly Action[], field: string): void;
}

export interface ReadContext {
  /** Reads a nested list; `offset` is where `payload` starts in the outermost bytes. */
  list(payload: Uint8Array, offset: number): Action[];
}

export interface FormatContext {
  /** Write what ovs-dpctl's own spelling leaves out, so that every byte comes back. */
  readonly exact: boolean;
  port(number: number): string;
  list(actions: readonly Action[]): string;
}

export interface ScanContext {
  readonly scanner: TextScanner;
  /** Do as ovs-dpctl where it changes what the text says. */
  readonly likeDpctl: boolean;
  /** A port number or name; undefined when neither comes next. */
  port(): number | undefined;
  /** Actions up to the closing parenthesis, which is left standing. */
  list(): Action[];
}

export interface ActionCodec<A> {
  /** The words that open it in text. */
  words: readonly string[];
  /** Writes the payload of the attribute. */
  write(action: A, context: WriteContext): void;
  /** Undefined: the typed form would not bring the same bytes back. */
  read(attribute: Attribute, context: ReadContext): A | undefined;
  format(action: A, context: FormatContext): string;
  /** `word` has been read. */
  scan(context: ScanContext, word: string): A;
}

export type Codecs<T extends ActionType> = { readonly [K in T]: ActionCodec<ActionOf<K>> };

/** Attributes as a growing piece of memory. */
export class AttributeWriter {
  #bytes = new Uint8Array(256);
  size = 0;

  /** Makes room for `size` more bytes, zeroed, and returns where they start. */
  #reserve(size: number): number {
    const start = this.size;
    this.size += size;
    if (this.size > this.#bytes.length) {
      const bytes = new Uint8Array(Math.max(2 * this.#bytes.length, this.size));
      bytes.set(this.#bytes.subarray(0, start));
      this.#bytes = bytes;
    }
    return start;
  }

  /** Starts an attribute; what follows up to close() is its payload. */
  open(type: number): number {
    const start = this.#reserve(4);
    this.#bytes[start + 2] = type;
    this.#bytes[start + 3] = type >> 8;
    return start;
  }

  close(start: number, field: string): void {
    const size = this.size - start;
    if (size - 4 > ACTIONS_SIZE_MAX) throw tooLong(field, size - 4);
    this.#bytes[start] = size;
    this.#bytes[start + 1] = size >> 8;
    this.#reserve(-size & 3);
  }

  u16(value: number): void {
    const at = this.#reserve(2);
    this.#bytes[at] = value;
    this.#bytes[at + 1] = value >> 8;
  }

  u32(value: number): void {
    this.u16(value & 0xffff);
    this.u16(value >>> 16);
  }

  be16(value: number): void {
    const at = this.#reserve(2);
    this.#bytes[at] = value >> 8;
    this.#bytes[at + 1] = value;
  }

  be32(value: number): void {
    this.be16(value >>> 16);
    this.be16(value & 0xffff);
  }

  raw(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** A whole attribute. */
  put(type: number, payload: Uint8Array, field: string): void {
    const start = this.open(type);
    this.raw(payload);
    this.close(start, field);
  }

  putU16(type: number, value: number): void {
    const start = this.open(type);
    this.u16(value);
    this.close(start, '');
  }

  putU32(type: number, value: number): void {
    const start = this.open(type);
    this.u32(value);
    this.close(start, '');
  }

  putFlag(type: number): void {
    this.close(this.open(type), '');
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.size);
  }
}

export function tooLong(field: string, size: number): OdpFieldError {
  return new OdpFieldError(field, `${size} bytes, at most ${ACTIONS_SIZE_MAX}`);
}

/** `value`, if it is an integer from 0 to `max`. Throws OdpFieldError. */
export function integer(value: unknown, max: number, field: string): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw new OdpFieldError(field, `${String(value)} is not an integer from 0 to ${max}`);
}

export function u8(value: unknown, field: string): number {
  return integer(value, 0xff, field);
}

export function u16(value: unknown, field: string): number {
  return integer(value, 0xffff, field);
}

export function u32(value: unknown, field: string): number {
  return integer(value, 0xffffffff, field);
}

/** `value`, if it is bytes, at most `max` of them. Throws OdpFieldError. */
export function bytesOf(value: unknown, max: number, field: string): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new OdpFieldError(field, 'a Uint8Array was expected');
  if (value.length > max) throw new OdpFieldError(field, `${value.length} bytes, at most ${max}`);
  return value;
}

/** A u16 payload in host order. */
export function readU16(attribute: Attribute, name: string): number {
  checkSize(attribute, name, 2);
  return attribute.payload[0] | (attribute.payload[1] << 8);
}

/** The unsigned integer in `bytes`. */
export function readBigInt(bytes: Uint8Array, order: 'be' | 'le'): bigint {
  const digits = hexBytes(order === 'be' ? bytes : bytes.toReversed());
  return BigInt(`0x${digits}`);
}

/** `value` as an unsigned integer of `size` bytes. */
export function writeBigInt(value: bigint, size: number, order: 'be' | 'le'): Uint8Array {
  const bytes = bytesOfHex(value.toString(16).padStart(2 * size, '0'));
  return order === 'be' ? bytes : bytes.reverse();
}

export function isSameBytes(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false;
  for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) return false;
  return true;
}

// ---------------------------------------------------------------------------------------------------- text

/** C's `%#x`: zero has no prefix. */
export function hexNumber(value: number): string {
  return value === 0 ? '0' : `0x${value.toString(16)}`;
}

/** One hexadecimal number without leading zeros, as Open vSwitch writes bytes; all digits when they must come back. */
export function hexString(bytes: Uint8Array, exact = false): string {
  return exact ? `0x${hexBytes(bytes)}` : formatHex(bytes);
}

const HEX_PAIRS = /[0-9a-fA-F \t\r\n]*/y;
const HEX_NUMBER = /0(?:[xX][0-9a-fA-F]*)?/y;

/** Bytes in hexadecimal, blanks between them allowed, up to and with the closing parenthesis. */
export function scanHexBytes(scanner: TextScanner): Uint8Array {
  const start = scanner.position;
  const groups = (scanner.match(HEX_PAIRS) ?? '').split(/[ \t\r\n]+/);
  if (groups.some((group) => group.length % 2 !== 0)) throw scanner.error('pairs of hexadecimal digits', start);
  scanner.expect(')');
  return bytesOfHex(groups.join(''));
}

/** What hexString writes; an odd number of digits has lost a zero in front, and `0` all bytes. */
export function scanHexString(scanner: TextScanner): Uint8Array {
  const text = scanner.match(HEX_NUMBER);
  if (text === undefined) throw scanner.error('0x and hexadecimal digits');
  const digits = text.slice(2);
  return bytesOfHex(digits.length % 2 === 0 ? digits : `0${digits}`);
}

/** `(N)` */
export function scanParenthesized(scanner: TextScanner, max: number): number {
  scanner.expect('(');
  const value = scanner.number(max);
  scanner.expect(')');
  return value;
}

/** A port number or name. */
export function scanPort(context: ScanContext): number {
  const port = context.port();
  if (port === undefined) throw context.scanner.error('a port');
  return port;
}

const MAC = /[0-9a-fA-F:]+/y;
const IPV4 = /[0-9.]+/y;
const IPV6 = /[0-9a-fA-F:.]+/y;

export function scanMac(scanner: TextScanner): string {
  return formatMac(scanAddress(scanner, MAC, tryMac, 'a MAC address'));
}

export function scanIpv4(scanner: TextScanner): string {
  return formatIpv4(scanAddress(scanner, IPV4, tryIpv4, 'an IPv4 address'));
}

export function scanIpv6(scanner: TextScanner): string {
  return formatIpv6(scanAddress(scanner, IPV6, tryIpv6, 'an IPv6 address'));
}

function scanAddress(
  scanner: TextScanner,
  pattern: RegExp,
  parse: (text: string) => Uint8Array | undefined,
  what: string,
): Uint8Array {
  const start = scanner.position;
  const bytes = parse(scanner.match(pattern) ?? '');
  if (bytes === undefined) throw scanner.error(what, start);
  return bytes;
}
