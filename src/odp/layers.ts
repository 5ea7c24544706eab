/*
 * Layers: which attributes a flat key has after its Ethernet type, and where tags and labels stand in it.
 *
 * Under a mask an attribute counts only when what leads to it (Ethernet type, protocol, ND type) is matched whole, as the
 * kernel demands.
 */

import {
  KEY_CT_ORIG_PROTO,
  KEY_CVLAN_TCI,
  KEY_CVLAN_TPID,
  KEY_ETH_TYPE,
  KEY_FLAG_ND_EXT,
  KEY_FLAGS,
  KEY_IP_FRAG,
  KEY_IP_PROTO,
  KEY_IPV6_EXTHDRS,
  KEY_MPLS_LSE0,
  KEY_ND_OPTIONS_TYPE,
  KEY_ND_RESERVED,
  KEY_SIZE,
  KEY_TP_DST,
  KEY_TP_SRC,
  KEY_VLAN_TCI,
  KEY_VLAN_TPID,
  MPLS_DEPTH_MAX,
} from '../../assembly/constants.ts';
import { VLAN_PRESENT } from './bitfields.ts';
import { OdpFieldError } from './errors.ts';
import { ATTRIBUTES, type KeyAttribute } from './fields.ts';
import { groupHasBits } from './groups.ts';
import type { FieldName } from './types.ts';

export const ETH_P_IP = 0x0800;
export const ETH_P_ARP = 0x0806;
export const ETH_P_RARP = 0x8035;
export const ETH_P_IPV6 = 0x86dd;
export const ETH_P_8021Q = 0x8100;
export const ETH_P_8021AD = 0x88a8;
export const ETH_P_MPLS_UC = 0x8847;
export const ETH_P_MPLS_MC = 0x8848;
export const ETH_P_NSH = 0x894f;

const IPPROTO_ICMP = 1;
const IPPROTO_IGMP = 2;
const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;
const IPPROTO_ICMPV6 = 58;
const IPPROTO_SCTP = 132;
/** Of enum ovs_frag_type, whose last value is FRAG_LATER. */
export const FRAG_FIRST = 1;
export const FRAG_LATER = 2;
const ND_SOLICIT = 135;
const ND_ADVERT = 136;

/** Offsets of the tags in a flat key, outer first. */
export const TAGS: readonly { tpid: number; tci: number }[] = [
  { tpid: KEY_VLAN_TPID, tci: KEY_VLAN_TCI },
  { tpid: KEY_CVLAN_TPID, tci: KEY_CVLAN_TCI },
];

export function readBe16(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1];
}

export function writeBe16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value & 0xff;
}

export function readBe32(bytes: Uint8Array, at: number): number {
  return ((readBe16(bytes, at) << 16) | readBe16(bytes, at + 2)) >>> 0;
}

export function writeBe32(bytes: Uint8Array, at: number, value: number): void {
  writeBe16(bytes, at, value >>> 16);
  writeBe16(bytes, at + 2, value & 0xffff);
}

/** Offset of the label stack entry `index`. */
export function mplsOffset(index: number): number {
  return KEY_MPLS_LSE0 + 4 * index;
}

/** Number of label stack entries that a mask has bits in, counted to the last one. */
export function mplsMaskDepth(mask: Uint8Array): number {
  for (let i = MPLS_DEPTH_MAX; i > 0; i--) if (readBe32(mask, mplsOffset(i - 1)) !== 0) return i;
  return 0;
}

/** Throws unless the bytes have the size of a flat key. */
export function checkKeySize(bytes: Uint8Array, what: string): void {
  if (bytes.length !== KEY_SIZE) throw new OdpFieldError(what, `${bytes.length} bytes, a flat key has ${KEY_SIZE}`);
}

export function isVlanType(type: number): boolean {
  return type === ETH_P_8021Q || type === ETH_P_8021AD;
}

/** What a flat key or match says of one tag. */
export type TagState = 'any' | 'none' | 'cut' | 'tag';

/** `cut`: no tag, and the Ethernet type announces one: the frame ended there. `none`: no tag, another type. `any` (matches only): nothing is demanded. */
export function tagState(key: Uint8Array, mask: Uint8Array | undefined, index: number): TagState {
  const { tpid, tci } = TAGS[index];
  const tciMask = mask === undefined ? 0xffff : readBe16(mask, tci);
  const tpidMask = mask === undefined ? 0xffff : readBe16(mask, tpid);
  if (tciMask === 0 && tpidMask === 0) return 'any';
  const value = readBe16(key, tci) & tciMask;
  if (value !== 0 || (tciMask & VLAN_PRESENT) === 0) return 'tag';
  return isVlanType(fixedEthType(key, mask) ?? 0) ? 'cut' : 'none';
}

/** True when the field is matched whole, or when there is no mask. */
function isExact16(mask: Uint8Array | undefined, at: number): boolean {
  return mask === undefined || readBe16(mask, at) === 0xffff;
}

/** The Ethernet type that the key or match stands for, undefined when the match does not fix it. */
export function fixedEthType(key: Uint8Array, mask?: Uint8Array): number | undefined {
  return isExact16(mask, KEY_ETH_TYPE) ? readBe16(key, KEY_ETH_TYPE) : undefined;
}

export function isMplsType(type: number | undefined): boolean {
  return type === ETH_P_MPLS_UC || type === ETH_P_MPLS_MC;
}

/** Attributes of headers, one behind the other. Made once: keys are asked for them often. */
export type Layers = readonly KeyAttribute[];

const A = ATTRIBUTES;
const NONE: Layers = [];
const TCP: Layers = [A.tcp, A.tcpFlags];
const UDP: Layers = [A.udp];
const SCTP: Layers = [A.sctp];
const ICMP: Layers = [A.icmp];
const IGMP: Layers = [A.igmp];
const ICMPV6: Layers = [A.icmpv6];
const ND: Layers = [A.icmpv6, A.nd];
const ND_EXTENDED: Layers = [A.icmpv6, A.nd, A.ndExt];
const ARP: Layers = [A.arp];
const NSH: Layers = [A.nsh];

/** What comes of `head` before each of the transports. */
function before(head: Layers, transports: readonly Layers[]): ReadonlyMap<Layers, Layers> {
  return new Map(transports.map((transport) => [transport, [...head, ...transport]]));
}

const IPV4 = before([A.ipv4], [NONE, TCP, UDP, SCTP, ICMP, IGMP]);
const IPV6_TRANSPORTS = [NONE, TCP, UDP, SCTP, ICMPV6, ND, ND_EXTENDED];
const IPV6 = before([A.ipv6], IPV6_TRANSPORTS);
const IPV6_EXTENDED = before([A.ipv6, A.ipv6Exthdrs], IPV6_TRANSPORTS);

/**
 * Attributes after the Ethernet type in wire order; MPLS, which is no plain attribute, is not among them. The extension headers
 * of an exact IPv6 key are only when there are some, or when `whole`.
 */
export function layersOf(key: Uint8Array, mask?: Uint8Array, whole = false): Layers {
  switch (fixedEthType(key, mask)) {
    case ETH_P_IP:
      return IPV4.get(transportOf(key, mask, false)) ?? NONE;
    case ETH_P_IPV6: {
      const extended = whole || mask !== undefined || readBe16(key, KEY_IPV6_EXTHDRS) !== 0;
      return (extended ? IPV6_EXTENDED : IPV6).get(transportOf(key, mask, true)) ?? NONE;
    }
    case ETH_P_ARP:
    case ETH_P_RARP:
      return ARP;
    case ETH_P_NSH:
      return NSH;
    default:
      return NONE;
  }
}

function transportOf(key: Uint8Array, mask: Uint8Array | undefined, ipv6: boolean): Layers {
  if (mask !== undefined && mask[KEY_IP_PROTO] !== 0xff) return NONE;
  if (key[KEY_IP_FRAG] === FRAG_LATER && (mask === undefined || (mask[KEY_IP_FRAG] & FRAG_LATER) !== 0)) return NONE;
  switch (key[KEY_IP_PROTO]) {
    case IPPROTO_TCP:
      return TCP;
    case IPPROTO_UDP:
      return UDP;
    case IPPROTO_SCTP:
      return SCTP;
    case IPPROTO_ICMP:
      return ipv6 ? NONE : ICMP;
    case IPPROTO_IGMP:
      return ipv6 ? NONE : IGMP;
    case IPPROTO_ICMPV6:
      return ipv6 ? discoveryOf(key, mask) : NONE;
    default:
      return NONE;
  }
}

function discoveryOf(key: Uint8Array, mask: Uint8Array | undefined): Layers {
  const type = readBe16(key, KEY_TP_SRC);
  const exact = mask === undefined || (mask[KEY_TP_SRC + 1] === 0xff && mask[KEY_TP_DST + 1] === 0xff);
  if (!exact || (type !== ND_SOLICIT && type !== ND_ADVERT) || readBe16(key, KEY_TP_DST) !== 0) return ICMPV6;
  const extended =
    mask === undefined
      ? (key[KEY_FLAGS] & KEY_FLAG_ND_EXT) !== 0 || groupHasBits(ATTRIBUTES.ndExt.flat, key)
      : readBe32(mask, KEY_ND_RESERVED) !== 0 || mask[KEY_ND_OPTIONS_TYPE] !== 0;
  return extended ? ND_EXTENDED : ND;
}

/** The mask that matches all of a key. Nobody may write to it. */
export const WHOLE_MASK: Uint8Array = new Uint8Array(KEY_SIZE).fill(0xff);

/** The original tuple that goes with the Ethernet type. */
export function ctTupleOfType(key: Uint8Array, mask?: Uint8Array): KeyAttribute | undefined {
  const type = fixedEthType(key, mask);
  return type === ETH_P_IP ? ATTRIBUTES.ctTuple4 : type === ETH_P_IPV6 ? ATTRIBUTES.ctTuple6 : undefined;
}

/** The original tuple of the key or match, undefined when it has none. */
export function ctTupleOf(key: Uint8Array, mask?: Uint8Array): KeyAttribute | undefined {
  const tuple = ctTupleOfType(key, mask);
  if (tuple === undefined) return undefined;
  const present = mask === undefined ? key[KEY_CT_ORIG_PROTO] !== 0 : groupHasBits(tuple.flat, mask);
  return present ? tuple : undefined;
}

const PREREQUISITES: { readonly [K in FieldName | 'mpls']?: string } = {
  ipv4: 'eth_type(0x0800)',
  ipv6: 'eth_type(0x86dd)',
  ipv6Exthdrs: 'eth_type(0x86dd)',
  arp: 'eth_type(0x0806)',
  nsh: 'eth_type(0x894f)',
  mpls: 'eth_type(0x8847)',
  ctTuple4: 'eth_type(0x0800)',
  ctTuple6: 'eth_type(0x86dd)',
  tcp: 'ipv4(proto=6) or ipv6(proto=6), not frag=later',
  tcpFlags: 'ipv4(proto=6) or ipv6(proto=6), not frag=later',
  udp: 'ipv4(proto=17) or ipv6(proto=17), not frag=later',
  sctp: 'ipv4(proto=132) or ipv6(proto=132), not frag=later',
  icmp: 'ipv4(proto=1), not frag=later',
  igmp: 'ipv4(proto=2), not frag=later',
  icmpv6: 'ipv6(proto=58), not frag=later',
  nd: 'icmpv6(type=135,code=0) or icmpv6(type=136,code=0)',
  ndExt: 'icmpv6(type=135,code=0) or icmpv6(type=136,code=0)',
};

/**
 * What must be matched (whole) before `name` can be, if it is not: the text of the prerequisite, else undefined. `layers` is what
 * layersOf says of key and mask, for who asks of several names.
 */
export function missingPrerequisite(
  name: FieldName | 'mpls',
  key: Uint8Array,
  mask: Uint8Array,
  layers: Layers,
): string | undefined {
  const requirement = PREREQUISITES[name];
  if (requirement === undefined) return undefined;
  const type = fixedEthType(key, mask);
  const met =
    name === 'mpls'
      ? isMplsType(type)
      : name === 'ctTuple4'
        ? type === ETH_P_IP
        : name === 'ctTuple6'
          ? type === ETH_P_IPV6
          : layers.some((layer) => layer.name === (name === 'ndExt' ? 'nd' : name));
  return met ? undefined : requirement;
}
