/*
 * Addresses: MAC, IPv4 and IPv6 between text and bytes in wire order.
 *
 * IPv6 text is what Open vSwitch prints (RFC 5952): lower case, the first longest run of two or more zero groups as `::`,
 * and dotted decimal for the last four bytes of IPv4-mapped and IPv4-compatible addresses.
 */

import { OdpFieldError } from './errors.ts';

export const MAC_SIZE = 6;
export const IPV4_SIZE = 4;
export const IPV6_SIZE = 16;

/** `00:11:22:aa:bb:cc` of the six bytes at `offset`. */
export function formatMac(bytes: Uint8Array, offset = 0): string {
  let text = '';
  for (let i = 0; i < MAC_SIZE; i++) {
    const hex = bytes[offset + i].toString(16);
    text += (i === 0 ? '' : ':') + (hex.length === 1 ? `0${hex}` : hex);
  }
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

/** The six bytes of MAC text, or undefined when it is none. */
export function tryMac(text: string): Uint8Array | undefined {
  if (!/^[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}$/.test(text)) return undefined;
  return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));
}

/** The four bytes of IPv4 text, or undefined when it is none. */
export function tryIpv4(text: string): Uint8Array | undefined {
  if (!/^[0-9]{1,3}(\.[0-9]{1,3}){3}$/.test(text)) return undefined;
  const parts = text.split('.').map(Number);
  return parts.some((part) => part > 255) ? undefined : Uint8Array.from(parts);
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
