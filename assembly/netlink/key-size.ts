/*
 * How many bytes putKey will write: the rules of presence of key-put.ts and tunnel-put.ts once more, without the writing.
 *
 * Before it: putKey, when the room left is small, and whoever must know a message's size before writing it. Reads key and
 * mask, keeps nothing; any thread. A test holds it against what putKey wrote, for every key it makes.
 */
import {
  KEY_CT_ORIG_PROTO,
  KEY_CVLAN_TCI,
  KEY_ETH_TYPE,
  KEY_IN_PORT,
  KEY_IP_FRAG,
  KEY_IP_PROTO,
  KEY_MPLS_COUNT,
  KEY_NSH_MDTYPE,
  KEY_PACKET_TYPE,
  KEY_TP_SRC,
  KEY_TUN_DST,
  KEY_TUN_FLAGS,
  KEY_TUN_OPTS_SIZE,
  KEY_TUN_PROTO,
  KEY_TUN_SRC,
  KEY_TUN_TOS,
  KEY_TUN_TP_DST,
  KEY_TUN_TP_SRC,
  KEY_VLAN_TCI,
  MPLS_DEPTH_MAX,
} from '../constants';
import {
  ETH_P_802_2_WIRE,
  ETH_P_ARP_WIRE,
  ETH_P_IPV6_WIRE,
  ETH_P_IP_WIRE,
  ETH_P_NSH_WIRE,
  ETH_P_RARP_WIRE,
  isMplsType,
  isVlanType,
} from '../packet/ethernet';
import { FRAG_LATER } from '../packet/ipv4';
import { NEXTHDR_ICMP } from '../packet/ipv6';
import { IPPROTO_ICMP, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from '../packet/l4';
import { attrTotalSize } from './attribute';
import {
  ERSPAN_METADATA_SIZEOF,
  NSH_M_TYPE1,
  OVS_KEY_ARP_SIZEOF,
  OVS_KEY_CT_LABELS_SIZEOF,
  OVS_KEY_CT_TUPLE_IPV4_SIZEOF,
  OVS_KEY_CT_TUPLE_IPV6_SIZEOF,
  OVS_KEY_ETHERNET_SIZEOF,
  OVS_KEY_IPV4_SIZEOF,
  OVS_KEY_IPV6_SIZEOF,
  OVS_KEY_ND_SIZEOF,
  OVS_NSH_KEY_BASE_SIZEOF,
  OVS_NSH_KEY_MD1_SIZEOF,
  TUNNEL_CSUM,
  TUNNEL_DONT_FRAGMENT,
  TUNNEL_ERSPAN_OPT,
  TUNNEL_GENEVE_OPT,
  TUNNEL_KEY,
  TUNNEL_OAM,
  TUNNEL_VXLAN_OPT,
} from './openvswitch';
import { TUN_PROTO_IPV4, TUN_PROTO_IPV6 } from './tunnel-put';

/** The kernel's DP_MAX_PORTS: as an input port it means "none". */
export const IN_PORT_NONE: u32 = 65535;
export const ICMPV6_SOLICITATION_WIRE: u32 = 135 << 8;
export const ICMPV6_ADVERTISEMENT_WIRE: u32 = 136 << 8;

/** An attribute with nothing in it, and one of up to four bytes. */
const EMPTY: u32 = 4;
const WORD: u32 = 8;
/** recirc_id, dp_hash, priority, skb_mark, ct_state, ct_zone, ct_mark. */
const METADATA_WORDS: u32 = 7;

/** Bytes that putKey needs for this key, or for this mask of it. */
export function keySize(key: usize, mask: usize): u32 {
  let size = METADATA_WORDS * WORD + attrTotalSize(OVS_KEY_CT_LABELS_SIZEOF) + attrTotalSize(OVS_KEY_ETHERNET_SIZEOF);
  if (hasInPort(key, mask)) size += WORD;
  if (load<u8>(key, KEY_TUN_PROTO) != 0 || mask != key) size += tunnelSize(key, mask);

  const type = <u32>load<u16>(key, KEY_ETH_TYPE);
  if (load<u8>(key, KEY_CT_ORIG_PROTO) != 0) {
    if (type == ETH_P_IP_WIRE) size += attrTotalSize(OVS_KEY_CT_TUPLE_IPV4_SIZEOF);
    if (type == ETH_P_IPV6_WIRE) size += attrTotalSize(OVS_KEY_CT_TUPLE_IPV6_SIZEOF);
  }

  if (load<u32>(key, KEY_PACKET_TYPE) != 0) {
    return size - attrTotalSize(OVS_KEY_ETHERNET_SIZEOF) + networkSize(key, mask, type);
  }
  const tagType = isVlanType(type);
  const tagged = load<u16>(key, KEY_VLAN_TCI) != 0;
  if (tagged || tagType) size += 2 * WORD + EMPTY;
  if (tagType && !tagged) return size;
  const innerTagged = load<u16>(key, KEY_CVLAN_TCI) != 0;
  if (tagged && (innerTagged || tagType)) size += 2 * WORD + EMPTY;
  if (tagType && !innerTagged) return size;
  return size + networkSize(key, mask, type);
}

/** Whether OVS_KEY_ATTR_IN_PORT is there: a key without a port has it in its mask only if all of it is to match. */
export function hasInPort(key: usize, mask: usize): bool {
  if (load<u32>(key, KEY_IN_PORT) < IN_PORT_NONE) return true;
  return mask != key && load<u16>(mask, KEY_IN_PORT) == 0xffff;
}

/** How many label stack entries are written: those of the key, and for a mask all of them or none. */
export function mplsCount(key: usize, mask: usize): u32 {
  if (load<u8>(mask, KEY_MPLS_COUNT) == 0) return 0;
  return min(<u32>load<u8>(key, KEY_MPLS_COUNT), <u32>MPLS_DEPTH_MAX);
}

function tunnelSize(key: usize, mask: usize): u32 {
  const flags = <u32>load<u16>(mask, KEY_TUN_FLAGS);
  const proto = <u32>load<u8>(key, KEY_TUN_PROTO);
  let size = EMPTY + WORD;
  if (flags & TUNNEL_KEY) size += attrTotalSize(8);
  if (proto == TUN_PROTO_IPV4) {
    if (load<u32>(mask, KEY_TUN_SRC) != 0) size += WORD;
    if (load<u32>(mask, KEY_TUN_DST) != 0) size += WORD;
  } else if (proto == TUN_PROTO_IPV6) {
    if (v128.any_true(v128.load(mask, KEY_TUN_SRC))) size += attrTotalSize(16);
    if (v128.any_true(v128.load(mask, KEY_TUN_DST))) size += attrTotalSize(16);
  }
  if (load<u8>(mask, KEY_TUN_TOS) != 0) size += WORD;
  if (load<u16>(mask, KEY_TUN_TP_SRC) != 0) size += WORD;
  if (load<u16>(mask, KEY_TUN_TP_DST) != 0) size += WORD;
  if (flags & TUNNEL_DONT_FRAGMENT) size += EMPTY;
  if (flags & TUNNEL_CSUM) size += EMPTY;
  if (flags & TUNNEL_OAM) size += EMPTY;
  const optionsSize = <u32>load<u8>(key, KEY_TUN_OPTS_SIZE);
  if (optionsSize == 0) return size;
  if (flags & TUNNEL_GENEVE_OPT) return size + attrTotalSize(optionsSize);
  if (flags & TUNNEL_VXLAN_OPT) return size + EMPTY + WORD;
  return flags & TUNNEL_ERSPAN_OPT ? size + attrTotalSize(ERSPAN_METADATA_SIZEOF) : size;
}

function networkSize(key: usize, mask: usize, type: u32): u32 {
  if (type == ETH_P_802_2_WIRE && load<u32>(key, KEY_PACKET_TYPE) == 0)
    return mask != key && load<u16>(mask, KEY_ETH_TYPE) != 0 ? WORD : 0;
  if (type == ETH_P_IP_WIRE) {
    return WORD + attrTotalSize(OVS_KEY_IPV4_SIZEOF) + transportSize(key, IPPROTO_ICMP);
  }
  if (type == ETH_P_IPV6_WIRE) {
    return WORD + attrTotalSize(OVS_KEY_IPV6_SIZEOF) + WORD + transportSize(key, NEXTHDR_ICMP);
  }
  if (type == ETH_P_ARP_WIRE || type == ETH_P_RARP_WIRE) return WORD + attrTotalSize(OVS_KEY_ARP_SIZEOF);
  if (isMplsType(type)) return WORD + attrTotalSize(mplsCount(key, mask) << 2);
  if (type != ETH_P_NSH_WIRE) return WORD;
  const size = WORD + EMPTY + attrTotalSize(OVS_NSH_KEY_BASE_SIZEOF);
  const context = mask != key || load<u8>(mask, KEY_NSH_MDTYPE) == NSH_M_TYPE1;
  return context ? size + attrTotalSize(OVS_NSH_KEY_MD1_SIZEOF) : size;
}

function transportSize(key: usize, icmp: u32): u32 {
  if (load<u8>(key, KEY_IP_FRAG) == FRAG_LATER) return 0;
  const proto = <u32>load<u8>(key, KEY_IP_PROTO);
  if (proto == IPPROTO_TCP) return 2 * WORD;
  if (proto == IPPROTO_UDP || proto == IPPROTO_SCTP) return WORD;
  if (proto != icmp) return 0;
  const type = <u32>load<u16>(key, KEY_TP_SRC);
  const nd = type == ICMPV6_SOLICITATION_WIRE || type == ICMPV6_ADVERTISEMENT_WIRE;
  return nd && icmp == NEXTHDR_ICMP ? WORD + attrTotalSize(OVS_KEY_ND_SIZEOF) : WORD;
}
