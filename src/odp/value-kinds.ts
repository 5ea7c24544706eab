/*
 * The value kinds that the fields of flow keys have, by size, byte order and spelling. The field table (fields.ts) and the tunnel text
 * (tunnel-text.ts) say which field has which.
 */

import {
  formatIpv4,
  formatIpv6,
  formatMac,
  IPV4_SIZE,
  IPV6_SIZE,
  MAC_SIZE,
  prefixMask,
  scanIpv4,
  scanIpv6,
  scanMac,
} from './addresses.ts';
import { flagsKind } from './flags.ts';
import { formatBytes, scanBytes } from './hex.ts';
import { addressKind, numberKind, type ValueKind } from './kinds.ts';

export const u8 = numberKind({ size: 1, order: 'be', base: 'dec' });
export const u8hex = numberKind({ size: 1, order: 'be', base: 'hex' });
export const be16 = numberKind({ size: 2, order: 'be', base: 'dec' });
export const be16hex = numberKind({ size: 2, order: 'be', base: 'hex' });
export const be32hex = numberKind({ size: 4, order: 'be', base: 'hex' });
export const u16hex = numberKind({ size: 2, order: 'le', base: 'hex' });
export const u32hex = numberKind({ size: 4, order: 'le', base: 'hex' });
export const port = numberKind({ size: 4, order: 'le', base: 'dec' });
export const ethType = numberKind({ size: 2, order: 'be', base: 'hex', digits: 4 });
export const flowLabel = numberKind({ size: 4, order: 'be', base: 'hex', width: 20 });
export const u128 = numberKind({ size: 16, order: 'le', base: 'hex' });
/** ICMP type and code: a byte on the wire, the low byte of a port in the flat key; its full mask covers the whole port. */
export const icmpByte: ValueKind = narrow(numberKind({ size: 2, order: 'be', base: 'dec', width: 8 }));
export const nshByte = numberKind({ size: 1, order: 'be', base: 'dec', maskedDigits: 2 });
export const nshSpi = numberKind({ size: 3, order: 'be', base: 'hex', digits: 1, maskDigits: 8 });
export const nshContext = numberKind({ size: 4, order: 'be', base: 'hex', digits: 1, maskDigits: 8 });

export const macKind = addressKind({
  size: MAC_SIZE,
  what: 'a MAC address',
  format: formatMac,
  scan: scanMac,
});
export const ipv4Kind = addressKind({
  size: IPV4_SIZE,
  what: 'an IPv4 address',
  format: formatIpv4,
  scan: scanIpv4,
  prefix: (bits) => prefixMask(bits, IPV4_SIZE),
});
export const ipv6Kind = addressKind({
  size: IPV6_SIZE,
  what: 'an IPv6 address',
  format: formatIpv6,
  scan: scanIpv6,
  prefix: (bits) => prefixMask(bits, IPV6_SIZE),
});
const CT_STATE = {
  size: 4,
  order: 'le',
  names: ['new', 'est', 'rel', 'rpl', 'inv', 'trk', 'snat', 'dnat'],
  brackets: false,
} as const;
/** The kernel refuses a mask with more than its eight bits; Open vSwitch asks for 32 before it takes a mask for whole. */
export const ctState = flagsKind({ ...CT_STATE, width: 8, showsMask: true });
/** As set() has it: there a number is a whole value of 32 bits. */
export const ctStateSet = flagsKind({ ...CT_STATE, width: 32 });
export const tcpFlags = flagsKind({
  size: 2,
  order: 'be',
  width: 12,
  names: ['fin', 'syn', 'rst', 'psh', 'ack', 'urg', 'ece', 'cwr', 'ns'],
  brackets: true,
});

/** A kind of two bytes whose value fits the low one and whose full mask is both. */
function narrow(kind: ValueKind): ValueKind {
  const widen = (mask: Uint8Array, at: number) => {
    if (mask[at + 1] === 0xff) mask[at] = 0xff;
  };
  const low = (mask: Uint8Array, at: number) => Uint8Array.of(0, mask[at + 1]);
  const pair = (value: Uint8Array, at: number) => value.subarray(at, at + 2);
  return {
    ...kind,
    full: Uint8Array.of(0xff, 0xff),
    formatMasked: (value, mask, at = 0) => kind.formatMasked(pair(value, at), low(mask, at)),
    toTypedMatch: (value, mask, at = 0) => kind.toTypedMatch(pair(value, at), low(mask, at)),
    scan: (scanner, value, mask, at) => {
      kind.scan(scanner, value, mask, at);
      widen(mask, at);
    },
    fromTyped: (input, field, value, mask, at) => {
      kind.fromTyped(input, field, value, mask, at);
      widen(mask, at);
    },
  };
}

/** What Open vSwitch has no spelling for: bytes one by one, the mask always written. */
export const rawU16: ValueKind = {
  ...u16hex,
  isExact: () => false,
  format: (value, at = 0) => formatBytes(value.subarray(at, at + 2)),
  formatMasked: (value, mask, at = 0) =>
    `${formatBytes(value.subarray(at, at + 2))}/${formatBytes(mask.subarray(at, at + 2))}`,
  scan: (scanner, value, mask, at) => {
    const pair = scanBytes(scanner, 2);
    value.set(pair.key, at);
    mask.set(pair.mask, at);
  },
};
