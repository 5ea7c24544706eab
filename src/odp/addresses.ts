/*
 * Addresses: MAC, IPv4 and IPv6 between text and bytes in wire order.
 *
 * IPv6 text is what Open vSwitch prints (RFC 5952): lower case, the first longest run of two or more zero groups as `::`,
 * and dotted decimal for the last four bytes of IPv4-mapped and IPv4-compatible addresses.
 */

import { OdpFieldError } from './errors.ts';
import { HEX_OF_BYTE } from './hex.ts';
import { hexDigit } from './scanner.ts';

export const MAC_SIZE = 6;
export const IPV4_SIZE = 4;
export const IPV6_SIZE = 16;

/** `00:11:22:aa:bb:cc` of the six bytes at `offset`. */
export function formatMac(bytes: Uint8Array, offset = 0): string {
  let text = HEX_OF_BYTE[bytes[offset]];
  for (let i = 1; i < MAC_SIZE; i++) text += `:${HEX_OF_BYTE[bytes[offset + i]]}`;
  return text;
}

/** `10.0.0.1` of the four bytes at `offset`. */
export function formatIpv4(bytes: Uint8Array, offset = 0): string {
  return `${bytes[offset]}.${bytes[offset + 1]}.${bytes[offset + 2]}.${bytes[offset + 3]}`;
}

/** `2001:db8::1` of the sixteen bytes at `offset`. */
export function formatIpv6(bytes: Uint8Array, offset = 0): string {
  const groups: number[] = [];
  for (let i = 0; i < 8; i++) groups.push((bytes[offset + 2 * i] << 8) | bytes[offset + 2 * i + 1]);
  const run = longestZeroRun(groups);
  if (run.start === 0 && (run.count === 6 || (run.count === 5 && groups[5] === 0xffff))) {
    return `${run.count === 6 ? '::' : '::ffff:'}${formatIpv4(bytes, offset + 12)}`;
  }
  const hex = groups.map((group) => group.toString(16));
  if (run.count < 2) return hex.join(':');
  return `${hex.slice(0, run.start).join(':')}::${hex.slice(run.start + run.count).join(':')}`;
}

function longestZeroRun(groups: readonly number[]): { start: number; count: number } {
  let best = { start: 0, count: 0 };
  let start = 0;
  for (let i = 0; i <= groups.length; i++) {
    if (i < groups.length && groups[i] === 0) continue;
    if (i - start > best.count) best = { start, count: i - start };
    start = i + 1;
  }
  return best;
}

const COLON = 0x3a;
const DOT = 0x2e;
const IPV6_CHARACTERS = /[0-9a-fA-F:.]+/y;

/** Reads MAC text at `position` into `bytes`; the position behind it, or -1 when there is none. */
export function scanMac(text: string, position: number, bytes: Uint8Array, at: number): number {
  let next = position;
  for (let i = 0; i < MAC_SIZE; i++) {
    if (i > 0 && text.charCodeAt(next++) !== COLON) return -1;
    const high = hexDigit(text.charCodeAt(next));
    if (high >= 16) return -1;
    const low = hexDigit(text.charCodeAt(next + 1));
    bytes[at + i] = low >= 16 ? high : high * 16 + low;
    next += low >= 16 ? 1 : 2;
  }
  const after = text.charCodeAt(next);
  return hexDigit(after) < 16 || after === COLON ? -1 : next;
}

/** Reads IPv4 text at `position` into `bytes`; the position behind it, or -1 when there is none. */
export function scanIpv4(text: string, position: number, bytes: Uint8Array, at: number): number {
  let next = position;
  for (let i = 0; i < IPV4_SIZE; i++) {
    if (i > 0 && text.charCodeAt(next++) !== DOT) return -1;
    const start = next;
    let value = 0;
    for (; next < start + 4; next++) {
      const digit = hexDigit(text.charCodeAt(next));
      if (digit > 9) break;
      value = value * 10 + digit;
    }
    if (next === start || next > start + 3 || value > 255) return -1;
    bytes[at + i] = value;
  }
  const after = text.charCodeAt(next);
  return hexDigit(after) < 10 || after === DOT ? -1 : next;
}

/** Reads IPv6 text at `position` into `bytes`; the position behind it, or -1 when there is none. */
export function scanIpv6(text: string, position: number, bytes: Uint8Array, at: number): number {
  IPV6_CHARACTERS.lastIndex = position;
  const found = IPV6_CHARACTERS.exec(text);
  const address = found === null ? undefined : tryIpv6(found[0]);
  if (address === undefined) return -1;
  bytes.set(address, at);
  return IPV6_CHARACTERS.lastIndex;
}

function scanWhole(text: string, size: number, scan: typeof scanMac): Uint8Array | undefined {
  const bytes = new Uint8Array(size);
  return scan(text, 0, bytes, 0) === text.length ? bytes : undefined;
}

/** The six bytes of MAC text, or undefined when it is none. */
export function tryMac(text: string): Uint8Array | undefined {
  return scanWhole(text, MAC_SIZE, scanMac);
}

/** The four bytes of IPv4 text, or undefined when it is none. */
export function tryIpv4(text: string): Uint8Array | undefined {
  return scanWhole(text, IPV4_SIZE, scanIpv4);
}

/** The sixteen bytes of IPv6 text, or undefined when it is none. */
export function tryIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = ipv6Groups(halves[0], halves.length === 1);
  const tail = halves.length === 2 ? ipv6Groups(halves[1], true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail];
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}

/** Groups of one side of `::`; the last may be dotted decimal when `last` says that it ends the address. */
function ipv6Groups(text: string, last: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
      continue;
    }
    const dotted = last && i === parts.length - 1 ? tryIpv4(part) : undefined;
    if (dotted === undefined) return undefined;
    groups.push((dotted[0] << 8) | dotted[1], (dotted[2] << 8) | dotted[3]);
  }
  return groups;
}

/** The six bytes of MAC text. Throws OdpFieldError. */
export function parseMac(text: string): Uint8Array {
  return required(tryMac(text), 'MAC address', text);
}

/** The four bytes of IPv4 text. Throws OdpFieldError. */
export function parseIpv4(text: string): Uint8Array {
  return required(tryIpv4(text), 'IPv4 address', text);
}

/** The sixteen bytes of IPv6 text. Throws OdpFieldError. */
export function parseIpv6(text: string): Uint8Array {
  return required(tryIpv6(text), 'IPv6 address', text);
}

function required(bytes: Uint8Array | undefined, what: string, text: string): Uint8Array {
  if (bytes === undefined) throw new OdpFieldError(what, `${JSON.stringify(text)} is none`);
  return bytes;
}

/** A mask of `size` bytes whose first `bits` bits are one, or undefined when there are not that many. */
export function prefixMask(bits: number, size: number): Uint8Array | undefined {
  if (!Number.isInteger(bits) || bits < 0 || bits > size * 8) return undefined;
  const mask = new Uint8Array(size);
  for (let i = 0; i < bits; i++) mask[i >> 3] |= 0x80 >> (i & 7);
  return mask;
}
