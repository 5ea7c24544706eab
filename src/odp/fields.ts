/*
 * The field table: every key attribute, where its fields stand in the flat key and in the Netlink attribute, and how they
 * are written. The codecs (groups.ts, key.ts, match.ts, key-text.ts, key-parse.ts, actions.ts) are driven by it; VLAN tags and MPLS entries, whose
 * fields are parts of a word, are in bitfields.ts.
 *
 * Offsets come from assembly/constants.ts, attribute numbers and layouts from linux/openvswitch.h. Attributes that a set
 * action can carry as one flat structure have `wire`.
 */

import {
  KEY_ARP_SHA,
  KEY_ARP_THA,
  KEY_CT_LABELS,
  KEY_CT_MARK,
  KEY_CT_ORIG_DST,
  KEY_CT_ORIG_PROTO,
  KEY_CT_ORIG_SRC,
  KEY_CT_ORIG_TP_DST,
  KEY_CT_ORIG_TP_SRC,
  KEY_CT_STATE,
  KEY_CT_ZONE,
  KEY_DP_HASH,
  KEY_ETH_DST,
  KEY_ETH_SRC,
  KEY_ETH_TYPE,
  KEY_IN_PORT,
  KEY_IP_FRAG,
  KEY_IP_PROTO,
  KEY_IP_TOS,
  KEY_IP_TTL,
  KEY_IPV4_DST,
  KEY_IPV4_SRC,
  KEY_IPV6_DST,
  KEY_IPV6_EXTHDRS,
  KEY_IPV6_LABEL,
  KEY_IPV6_SRC,
  KEY_ND_OPTIONS_TYPE,
  KEY_ND_RESERVED,
  KEY_ND_SLL,
  KEY_ND_TARGET,
  KEY_ND_TLL,
  KEY_NSH_CONTEXT,
  KEY_NSH_FLAGS,
  KEY_NSH_MDTYPE,
  KEY_NSH_NP,
  KEY_NSH_PATH_HDR,
  KEY_NSH_TTL,
  KEY_PACKET_TYPE,
  KEY_RECIRC_ID,
  KEY_SKB_MARK,
  KEY_SKB_PRIORITY,
  KEY_TCP_FLAGS,
  KEY_TP_DST,
  KEY_TP_SRC,
} from '../../assembly/constants.ts';
import { fragmentKind, type ValueKind } from './kinds.ts';
import type { FieldName } from './types.ts';
import {
  be16,
  be16hex,
  be32hex,
  ctState,
  ethType,
  flowLabel,
  icmpByte,
  ipv4Kind,
  ipv6Kind,
  macKind,
  nshByte,
  nshContext,
  nshSpi,
  port,
  rawU16,
  tcpFlags,
  u8,
  u8hex,
  u16hex,
  u32hex,
  u128,
} from './value-kinds.ts';

/** One field within a flat key or an attribute payload. */
export interface Slot {
  /** Name in the typed form. */
  name: string;
  /** Name in text. */
  text: string;
  /** Another name that text may use. */
  alias?: string;
  /** Byte offset. */
  at: number;
  kind: ValueKind;
}

export interface KeyAttribute {
  name: FieldName;
  /** Name in text; empty for what only the flat key knows. */
  text: string;
  /** OVS_KEY_ATTR_*; 0 for what only the flat key knows. */
  number: number;
  /** The one field of the attribute has no name of its own: `in_port(1)`. */
  single: boolean;
  flat: readonly Slot[];
  /** Layout of the attribute payload, when it is one flat structure. */
  wire?: readonly Slot[];
  /** Bytes of the payload. */
  wireSize: number;
  /** Runs of bytes that payload and flat key have in common. Where a field is wider in one of them, the low bytes count. */
  runs: readonly Run[];
  /** The bits that the fields have in a payload; where no field is, all. `isNarrow`: there are others. */
  bits: Uint8Array;
  isNarrow: boolean;
  /** Fields are wider in the flat key: a byte of an ICMP type or code is a port there. */
  isWider: boolean;
}

/** From where in the payload to where in the flat key, how many bytes. */
export type Run = readonly [wire: number, flat: number, size: number];

/** [name, text, flat offset, kind, offset in the attribute, kind there if it differs] */
type Row = readonly [string, string, number, ValueKind, number, ValueKind?];

function attribute(
  name: FieldName,
  text: string,
  number: number,
  wireSize: number,
  rows: readonly Row[],
): KeyAttribute {
  const flat = rows.map((row): Slot => ({ name: row[0], text: row[1], at: row[2], kind: row[3] }));
  const wire = rows.map((row): Slot => ({ name: row[0], text: row[1], at: row[4], kind: row[5] ?? row[3] }));
  const single = rows.length === 1 && rows[0][0] === '';
  const layout = wireSize === 0 ? { wire: undefined, runs: [] } : { wire, runs: runsOf(wire, flat) };
  const bits = bitsOf(layout.wire ?? [], wireSize);
  const isWider = wireSize !== 0 && wire.some(({ kind }, index) => kind.size < flat[index].kind.size);
  const isNarrow = bits.some((byte) => byte !== 0xff);
  return { name, text, number, single, flat, ...layout, wireSize, bits, isNarrow, isWider };
}

function runsOf(wire: readonly Slot[], flat: readonly Slot[]): Run[] {
  const runs: Run[] = [];
  for (const [index, { at, kind }] of wire.entries()) {
    const target = flat[index];
    const size = Math.min(kind.size, target.kind.size);
    const [from, to] = [at + kind.size - size, target.at + target.kind.size - size];
    const last = runs.at(-1);
    if (last !== undefined && last[0] + last[2] === from && last[1] + last[2] === to)
      runs[runs.length - 1] = [last[0], last[1], last[2] + size];
    else runs.push([from, to, size]);
  }
  return runs;
}

function bitsOf(wire: readonly Slot[], size: number): Uint8Array {
  const bits = new Uint8Array(size).fill(0xff);
  for (const { at, kind } of wire) bits.set(kind.full, at);
  return bits;
}

function single(name: FieldName, text: string, number: number, at: number, kind: ValueKind): KeyAttribute {
  return attribute(name, text, number, kind.size, [['', '', at, kind, 0]]);
}

function ports(name: FieldName, number: number): KeyAttribute {
  return attribute(name, name, number, 4, [
    ['src', 'src', KEY_TP_SRC, be16, 0],
    ['dst', 'dst', KEY_TP_DST, be16, 2],
  ]);
}

function icmp(name: FieldName, text: string, number: number): KeyAttribute {
  return attribute(name, text, number, number === 0 ? 0 : 2, [
    ['type', 'type', KEY_TP_SRC, icmpByte, 0, u8],
    ['code', 'code', KEY_TP_DST, icmpByte, 1, u8],
  ]);
}

function ctTuple(name: FieldName, number: number, address: ValueKind, wireSize: number): KeyAttribute {
  const { size } = address;
  const tuple = attribute(name, name === 'ctTuple4' ? 'ct_tuple4' : 'ct_tuple6', number, wireSize, [
    ['src', 'src', KEY_CT_ORIG_SRC, address, 0],
    ['dst', 'dst', KEY_CT_ORIG_DST, address, size],
    ['proto', 'proto', KEY_CT_ORIG_PROTO, u8, 2 * size + 4],
    ['tpSrc', 'tp_src', KEY_CT_ORIG_TP_SRC, be16, 2 * size],
    ['tpDst', 'tp_dst', KEY_CT_ORIG_TP_DST, be16, 2 * size + 2],
  ]);
  if (name === 'ctTuple4') return tuple;
  // Open vSwitch prints other names for the ports of the IPv6 tuple than it reads.
  const rename = (slot: Slot): Slot =>
    slot.name === 'tpSrc'
      ? { ...slot, text: 'src_port', alias: 'tp_src' }
      : slot.name === 'tpDst'
        ? { ...slot, text: 'dst_port', alias: 'tp_dst' }
        : slot;
  return { ...tuple, flat: tuple.flat.map(rename), wire: tuple.wire?.map(rename) };
}

/** Every attribute by its typed name. */
export const ATTRIBUTES: { readonly [K in FieldName]: KeyAttribute } = {
  recircId: single('recircId', 'recirc_id', 20, KEY_RECIRC_ID, u32hex),
  dpHash: single('dpHash', 'dp_hash', 19, KEY_DP_HASH, u32hex),
  skbPriority: single('skbPriority', 'skb_priority', 2, KEY_SKB_PRIORITY, u32hex),
  inPort: single('inPort', 'in_port', 3, KEY_IN_PORT, port),
  skbMark: single('skbMark', 'skb_mark', 15, KEY_SKB_MARK, u32hex),
  ctState: single('ctState', 'ct_state', 22, KEY_CT_STATE, ctState),
  ctZone: single('ctZone', 'ct_zone', 23, KEY_CT_ZONE, u16hex),
  ctMark: single('ctMark', 'ct_mark', 24, KEY_CT_MARK, u32hex),
  ctLabel: single('ctLabel', 'ct_label', 25, KEY_CT_LABELS, u128),
  ctTuple4: ctTuple('ctTuple4', 26, ipv4Kind, 16),
  ctTuple6: ctTuple('ctTuple6', 27, ipv6Kind, 40),
  packetType: attribute('packetType', 'packet_type', 29, 4, [
    ['ns', 'ns', KEY_PACKET_TYPE, be16, 0],
    ['id', 'id', KEY_PACKET_TYPE + 2, be16hex, 2],
  ]),
  eth: attribute('eth', 'eth', 4, 12, [
    ['src', 'src', KEY_ETH_SRC, macKind, 0],
    ['dst', 'dst', KEY_ETH_DST, macKind, 6],
  ]),
  ethType: single('ethType', 'eth_type', 6, KEY_ETH_TYPE, ethType),
  ipv4: attribute('ipv4', 'ipv4', 7, 12, [
    ['src', 'src', KEY_IPV4_SRC, ipv4Kind, 0],
    ['dst', 'dst', KEY_IPV4_DST, ipv4Kind, 4],
    ['proto', 'proto', KEY_IP_PROTO, u8, 8],
    ['tos', 'tos', KEY_IP_TOS, u8hex, 9],
    ['ttl', 'ttl', KEY_IP_TTL, u8, 10],
    ['frag', 'frag', KEY_IP_FRAG, fragmentKind, 11],
  ]),
  ipv6: attribute('ipv6', 'ipv6', 8, 40, [
    ['src', 'src', KEY_IPV6_SRC, ipv6Kind, 0],
    ['dst', 'dst', KEY_IPV6_DST, ipv6Kind, 16],
    ['label', 'label', KEY_IPV6_LABEL, flowLabel, 32],
    ['proto', 'proto', KEY_IP_PROTO, u8, 36],
    ['tclass', 'tclass', KEY_IP_TOS, u8hex, 37],
    ['hlimit', 'hlimit', KEY_IP_TTL, u8, 38],
    ['frag', 'frag', KEY_IP_FRAG, fragmentKind, 39],
  ]),
  ipv6Exthdrs: single('ipv6Exthdrs', 'key32', 32, KEY_IPV6_EXTHDRS, rawU16),
  tcp: ports('tcp', 9),
  tcpFlags: single('tcpFlags', 'tcp_flags', 18, KEY_TCP_FLAGS, tcpFlags),
  udp: ports('udp', 10),
  sctp: ports('sctp', 17),
  icmp: icmp('icmp', 'icmp', 11),
  icmpv6: icmp('icmpv6', 'icmpv6', 12),
  igmp: icmp('igmp', '', 0),
  arp: attribute('arp', 'arp', 13, 24, [
    ['sip', 'sip', KEY_IPV4_SRC, ipv4Kind, 0],
    ['tip', 'tip', KEY_IPV4_DST, ipv4Kind, 4],
    ['op', 'op', KEY_IP_PROTO, u8, 8, be16],
    ['sha', 'sha', KEY_ARP_SHA, macKind, 10],
    ['tha', 'tha', KEY_ARP_THA, macKind, 16],
  ]),
  nd: attribute('nd', 'nd', 14, 28, [
    ['target', 'target', KEY_ND_TARGET, ipv6Kind, 0],
    ['sll', 'sll', KEY_ND_SLL, macKind, 16],
    ['tll', 'tll', KEY_ND_TLL, macKind, 22],
  ]),
  ndExt: attribute('ndExt', 'nd_ext', 30, 8, [
    ['reserved', 'nd_reserved', KEY_ND_RESERVED, be32hex, 0],
    ['optionsType', 'nd_options_type', KEY_ND_OPTIONS_TYPE, u8, 4],
  ]),
  nsh: attribute('nsh', 'nsh', 28, 0, [
    ['flags', 'flags', KEY_NSH_FLAGS, nshByte, 0],
    ['ttl', 'ttl', KEY_NSH_TTL, nshByte, 0],
    ['mdtype', 'mdtype', KEY_NSH_MDTYPE, nshByte, 0],
    ['np', 'np', KEY_NSH_NP, nshByte, 0],
    ['spi', 'spi', KEY_NSH_PATH_HDR, nshSpi, 0],
    ['si', 'si', KEY_NSH_PATH_HDR + 3, nshByte, 0],
    ['c1', 'c1', KEY_NSH_CONTEXT, nshContext, 0],
    ['c2', 'c2', KEY_NSH_CONTEXT + 4, nshContext, 0],
    ['c3', 'c3', KEY_NSH_CONTEXT + 8, nshContext, 0],
    ['c4', 'c4', KEY_NSH_CONTEXT + 12, nshContext, 0],
  ]),
};

/** The fields of NSH over its BASE and MD1 attributes, one behind the other. */
export const NSH_SLOTS: readonly Slot[] = ATTRIBUTES.nsh.flat.map((slot) => ({ ...slot, at: slot.at - KEY_NSH_FLAGS }));
export const NSH_BASE_SIZE = 8;
export const NSH_MD1_SIZE = 16;

/** Metadata in the order of text and of the kernel's attributes. */
export const METADATA: readonly KeyAttribute[] = [
  ATTRIBUTES.recircId,
  ATTRIBUTES.dpHash,
  ATTRIBUTES.skbPriority,
  ATTRIBUTES.inPort,
  ATTRIBUTES.skbMark,
  ATTRIBUTES.ctState,
  ATTRIBUTES.ctZone,
  ATTRIBUTES.ctMark,
  ATTRIBUTES.ctLabel,
];

/** Attributes by their name in text. */
export const ATTRIBUTES_BY_TEXT: ReadonlyMap<string, KeyAttribute> = new Map(
  Object.values(ATTRIBUTES)
    .filter((entry) => entry.text !== '')
    .map((entry) => [entry.text, entry]),
);

/** Attributes that a set action can carry, by number. */
export const ATTRIBUTES_BY_NUMBER: ReadonlyMap<number, KeyAttribute> = new Map(
  Object.values(ATTRIBUTES)
    .filter((entry) => entry.wire !== undefined)
    .map((entry) => [entry.number, entry]),
);
