/*
 * The fields that ovs-ofctl prints, found in our flow key.
 *
 * ourField looks a field of theirs up in the flat key and writes it in their notation; ourNames lists the fields that our
 * typed key says the packet has. A comparison goes both ways with these two: each field of theirs has our value, each field
 * of ours is printed by them.
 */
import * as K from '../../assembly/constants.ts';
import { formatIpv4, formatIpv6, formatMac } from '../../src/odp/addresses.ts';
import { decodeKey } from '../../src/odp/key.ts';
import type { FlowKey } from '../../src/odp/types.ts';

const VLAN_PRESENT = 0x1000;

type Reader = (flat: Uint8Array) => string;

/** Every field of theirs, read from our flat key and written in their notation. */
const READERS: Readonly<Record<string, Reader>> = {
  dl_src: macAt(K.KEY_ETH_SRC),
  dl_dst: macAt(K.KEY_ETH_DST),
  dl_type: (flat) => hex(be16(flat, K.KEY_ETH_TYPE), 4),
  dl_vlan: vlanPart(K.KEY_VLAN_TCI, 0, 0xfff),
  dl_vlan_pcp: vlanPart(K.KEY_VLAN_TCI, 13, 7),
  dl_vlan1: vlanPart(K.KEY_CVLAN_TCI, 0, 0xfff),
  dl_vlan_pcp1: vlanPart(K.KEY_CVLAN_TCI, 13, 7),
  vlan_tci: (flat) => hex(be16(flat, K.KEY_VLAN_TCI), 4),
  vlan_tci1: (flat) => hex(be16(flat, K.KEY_CVLAN_TCI), 4),
  nw_src: ipv4At(K.KEY_IPV4_SRC),
  nw_dst: ipv4At(K.KEY_IPV4_DST),
  ipv6_src: ipv6At(K.KEY_IPV6_SRC),
  ipv6_dst: ipv6At(K.KEY_IPV6_DST),
  ipv6_label: (flat) => hex(be32(flat, K.KEY_IPV6_LABEL), 5),
  nw_proto: decimalAt(K.KEY_IP_PROTO, 1),
  nw_tos: (flat) => String(flat[K.KEY_IP_TOS] & 0xfc),
  nw_ecn: (flat) => String(flat[K.KEY_IP_TOS] & 3),
  nw_ttl: decimalAt(K.KEY_IP_TTL, 1),
  nw_frag: (flat) => ['no', 'first', 'later'][flat[K.KEY_IP_FRAG]] ?? 'bad',
  tp_src: decimalAt(K.KEY_TP_SRC, 2),
  tp_dst: decimalAt(K.KEY_TP_DST, 2),
  icmp_type: decimalAt(K.KEY_TP_SRC, 2),
  icmp_code: decimalAt(K.KEY_TP_DST, 2),
  tcp_flags: (flat) => hex(be16(flat, K.KEY_TCP_FLAGS), 3),
  arp_spa: ipv4At(K.KEY_IPV4_SRC),
  arp_tpa: ipv4At(K.KEY_IPV4_DST),
  arp_op: decimalAt(K.KEY_IP_PROTO, 1),
  arp_sha: macAt(K.KEY_ARP_SHA),
  arp_tha: macAt(K.KEY_ARP_THA),
  nd_target: ipv6At(K.KEY_ND_TARGET),
  nd_sll: macAt(K.KEY_ND_SLL),
  nd_tll: macAt(K.KEY_ND_TLL),
  mpls_label: (flat) => String(be32(flat, K.KEY_MPLS_LSE0) >>> 12),
  mpls_tc: (flat) => String((be32(flat, K.KEY_MPLS_LSE0) >>> 9) & 7),
  mpls_ttl: (flat) => String(be32(flat, K.KEY_MPLS_LSE0) & 0xff),
  mpls_bos: (flat) => String((be32(flat, K.KEY_MPLS_LSE0) >>> 8) & 1),
  mpls_lse1: decimalAt(K.KEY_MPLS_LSE1, 4),
  mpls_lse2: decimalAt(K.KEY_MPLS_LSE2, 4),
  nsh_flags: decimalAt(K.KEY_NSH_FLAGS, 1),
  nsh_ttl: decimalAt(K.KEY_NSH_TTL, 1),
  nsh_mdtype: decimalAt(K.KEY_NSH_MDTYPE, 1),
  nsh_np: decimalAt(K.KEY_NSH_NP, 1),
  nsh_spi: (flat) => hex(be32(flat, K.KEY_NSH_PATH_HDR) >>> 8, 0),
  nsh_si: decimalAt(K.KEY_NSH_PATH_HDR + 3, 1),
  nsh_c1: (flat) => hex(be32(flat, K.KEY_NSH_CONTEXT), 0),
  nsh_c2: (flat) => hex(be32(flat, K.KEY_NSH_CONTEXT + 4), 0),
  nsh_c3: (flat) => hex(be32(flat, K.KEY_NSH_CONTEXT + 8), 0),
  nsh_c4: (flat) => hex(be32(flat, K.KEY_NSH_CONTEXT + 12), 0),
};

/** Names in extract-differences.ts, where they are not the same: there fields are whole and shared as in the key. */
const KEY_NAMES: Readonly<Record<string, string>> = {
  dl_vlan: 'vlan_tci',
  dl_vlan_pcp: 'vlan_tci',
  dl_vlan1: 'vlan_tci1',
  dl_vlan_pcp1: 'vlan_tci1',
  nw_ecn: 'nw_tos',
  icmp_type: 'tp_src',
  icmp_code: 'tp_dst',
  arp_spa: 'nw_src',
  arp_tpa: 'nw_dst',
  arp_op: 'nw_proto',
  nd_sll: 'arp_sha',
  nd_tll: 'arp_tha',
  mpls_label: 'mpls_lse0',
  mpls_tc: 'mpls_lse0',
  mpls_ttl: 'mpls_lse0',
  mpls_bos: 'mpls_lse0',
  nsh_spi: 'nsh_path_hdr',
  nsh_si: 'nsh_path_hdr',
};

/** The name of a field of theirs in extract-differences.ts. */
export function keyName(name: string): string {
  return KEY_NAMES[name] ?? name;
}

/** Whether ovs-ofctl may print a field of this name. */
export function isOfctlField(name: string): boolean {
  return Object.hasOwn(READERS, name);
}

/** Our value of a field of theirs, in their notation. */
export function ourField(name: string, flat: Uint8Array): string {
  return READERS[name](flat);
}

const NAMES: { readonly [Field in keyof FlowKey]?: readonly string[] } = {
  eth: ['dl_src', 'dl_dst'],
  ethType: ['dl_type'],
  vlan: ['dl_vlan', 'dl_vlan_pcp'],
  cvlan: ['dl_vlan1', 'dl_vlan_pcp1'],
  ipv4: ['nw_src', 'nw_dst', 'nw_proto', 'nw_tos', 'nw_ecn', 'nw_ttl', 'nw_frag'],
  ipv6: ['ipv6_src', 'ipv6_dst', 'ipv6_label', 'nw_proto', 'nw_tos', 'nw_ecn', 'nw_ttl', 'nw_frag'],
  tcp: ['tp_src', 'tp_dst'],
  tcpFlags: ['tcp_flags'],
  udp: ['tp_src', 'tp_dst'],
  sctp: ['tp_src', 'tp_dst'],
  icmp: ['icmp_type', 'icmp_code'],
  icmpv6: ['icmp_type', 'icmp_code'],
  igmp: ['tp_src', 'tp_dst'],
  arp: ['arp_spa', 'arp_tpa', 'arp_op', 'arp_sha', 'arp_tha'],
  nd: ['nd_target', 'nd_sll', 'nd_tll'],
  nsh: ['nsh_flags', 'nsh_ttl', 'nsh_mdtype', 'nsh_np', 'nsh_spi', 'nsh_si'],
};
const NSH_CONTEXT = ['nsh_c1', 'nsh_c2', 'nsh_c3', 'nsh_c4'];
const MPLS_NAMES = [['mpls_label', 'mpls_tc', 'mpls_ttl', 'mpls_bos'], ['mpls_lse1'], ['mpls_lse2']];

/** Fields of ours that ovs-ofctl never prints; they cannot be compared with it. */
const NOT_PRINTED: ReadonlySet<string> = new Set(['inPort', 'recircId', 'ndExt', 'ipv6Exthdrs']);

/**
 * Their names of the fields that our key says the packet has. Not among them is what ovs-ofctl never prints: the port, the
 * tag protocol identifiers, the reserved word and first option type of ND, and the set of IPv6 extension headers.
 */
export function ourNames(flat: Uint8Array): string[] {
  const key = decodeKey(flat);
  const names: string[] = [];
  for (const field of Object.keys(key) as (keyof FlowKey)[]) {
    const listed = NAMES[field];
    if (listed !== undefined) names.push(...listed);
    else if (field !== 'mpls' && !NOT_PRINTED.has(field)) throw new Error(`no names for our field ${field}`);
  }
  if (key.nsh?.mdtype === 1) names.push(...NSH_CONTEXT);
  for (let index = 0; index < (key.mpls?.length ?? 0); index += 1) names.push(...MPLS_NAMES[index]);
  return names;
}

function vlanPart(at: number, shift: number, mask: number): Reader {
  return (flat) => ((be16(flat, at) & VLAN_PRESENT) === 0 ? 'none' : String((be16(flat, at) >>> shift) & mask));
}

function macAt(at: number): Reader {
  return (flat) => formatMac(flat, at);
}

function ipv4At(at: number): Reader {
  return (flat) => formatIpv4(flat, at);
}

function ipv6At(at: number): Reader {
  return (flat) => formatIpv6(flat, at);
}

/** A big-endian number of 1, 2 or 4 bytes. */
function decimalAt(at: number, size: 1 | 2 | 4): Reader {
  if (size === 1) return (flat) => String(flat[at]);
  return (flat) => String(size === 2 ? be16(flat, at) : be32(flat, at));
}

function be16(flat: Uint8Array, at: number): number {
  return (flat[at] << 8) | flat[at + 1];
}

function be32(flat: Uint8Array, at: number): number {
  return ((be16(flat, at) << 16) | be16(flat, at + 2)) >>> 0;
}

/** `0x` and at least this many digits. */
export function hex(value: number, digits: number): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}
