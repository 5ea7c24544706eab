/*
 * A flat flow key as nested OVS_KEY_ATTR_* attributes, in the kernel's order and with the kernel's rules of presence.
 *
 * Before it: an upcall (the key of the packet) or a reply about a flow (its key, then its mask). After it: whoever reads the
 * message; Open vSwitch hashes the very bytes of a key into a flow's identity, so a key must always give the same bytes.
 *
 * Concepts. Which attributes there are depends on the key alone; their values come from the key, or from the mask when the
 * mask is to be written. A mask has TUNNEL always, and 0xffff as TPID of a tag. Fields without a kernel attribute
 * (packet_type, ND options) are not written. Conntrack attributes are always there: the reference is a kernel with zones,
 * marks and labels built in, as Debian's.
 *
 * Ownership and threads. Reads the key and the mask, writes the caller's buffer, keeps nothing; any thread.
 */
import {
  KEY_ARP_SHA,
  KEY_ARP_THA,
  KEY_CT_LABELS,
  KEY_CT_MARK,
  KEY_CT_ORIG_DST,
  KEY_CT_ORIG_PROTO,
  KEY_CT_ORIG_SRC,
  KEY_CT_ORIG_TP_SRC,
  KEY_CT_STATE,
  KEY_CT_ZONE,
  KEY_CVLAN_TCI,
  KEY_CVLAN_TPID,
  KEY_DP_HASH,
  KEY_ETH_DST,
  KEY_ETH_SRC,
  KEY_ETH_TYPE,
  KEY_IN_PORT,
  KEY_IPV4_SRC,
  KEY_IPV6_DST,
  KEY_IPV6_EXTHDRS,
  KEY_IPV6_LABEL,
  KEY_IPV6_SRC,
  KEY_IP_FRAG,
  KEY_IP_PROTO,
  KEY_MPLS_LSE0,
  KEY_ND_SLL,
  KEY_ND_TARGET,
  KEY_ND_TLL,
  KEY_NSH_CONTEXT,
  KEY_NSH_FLAGS,
  KEY_NSH_MDTYPE,
  KEY_PACKET_TYPE,
  KEY_RECIRC_ID,
  KEY_SKB_MARK,
  KEY_SKB_PRIORITY,
  KEY_TCP_FLAGS,
  KEY_TP_DST,
  KEY_TP_SRC,
  KEY_TUN_PROTO,
  KEY_VLAN_TCI,
  KEY_VLAN_TPID,
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
import { NLA_HDRLEN } from './attribute';
import { hasInPort, ICMPV6_ADVERTISEMENT_WIRE, ICMPV6_SOLICITATION_WIRE, keySize, mplsCount } from './key-size';
import {
  NSH_M_TYPE1,
  OVS_KEY_ARP_SIZEOF,
  OVS_KEY_ATTR_ARP,
  OVS_KEY_ATTR_CT_LABELS,
  OVS_KEY_ATTR_CT_MARK,
  OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV4,
  OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV6,
  OVS_KEY_ATTR_CT_STATE,
  OVS_KEY_ATTR_CT_ZONE,
  OVS_KEY_ATTR_DP_HASH,
  OVS_KEY_ATTR_ENCAP,
  OVS_KEY_ATTR_ETHERNET,
  OVS_KEY_ATTR_ETHERTYPE,
  OVS_KEY_ATTR_ICMP,
  OVS_KEY_ATTR_ICMPV6,
  OVS_KEY_ATTR_IN_PORT,
  OVS_KEY_ATTR_IPV4,
  OVS_KEY_ATTR_IPV6,
  OVS_KEY_ATTR_IPV6_EXTHDRS,
  OVS_KEY_ATTR_MPLS,
  OVS_KEY_ATTR_ND,
  OVS_KEY_ATTR_NSH,
  OVS_KEY_ATTR_PRIORITY,
  OVS_KEY_ATTR_RECIRC_ID,
  OVS_KEY_ATTR_SCTP,
  OVS_KEY_ATTR_SKB_MARK,
  OVS_KEY_ATTR_TCP,
  OVS_KEY_ATTR_TCP_FLAGS,
  OVS_KEY_ATTR_UDP,
  OVS_KEY_ATTR_VLAN,
  OVS_KEY_CT_LABELS_SIZEOF,
  OVS_KEY_CT_TUPLE_IPV4_SIZEOF,
  OVS_KEY_CT_TUPLE_IPV6_SIZEOF,
  OVS_KEY_ETHERNET_SIZEOF,
  OVS_KEY_IPV4_SIZEOF,
  OVS_KEY_IPV6_SIZEOF,
  OVS_KEY_ND_SIZEOF,
  OVS_NSH_KEY_ATTR_BASE,
  OVS_NSH_KEY_ATTR_MD1,
  OVS_NSH_KEY_BASE_SIZEOF,
  OVS_NSH_KEY_MD1_SIZEOF,
} from './openvswitch';
import { putTunnel } from './tunnel-put';

/** No key or mask takes more bytes than this; with so much room the size need not be computed first. */
export const KEY_ATTRS_SIZE_MAX: u32 = 656;

const IN_PORT_MASK_HIGH: u32 = 0xffff0000;
const TPID_MASK_WIRE: u32 = 0xffff;

/**
 * Writes the attributes of `key` at `buf`, or those of its mask if `mask` is another address than `key`. The enclosing
 * OVS_FLOW_ATTR_KEY, OVS_FLOW_ATTR_MASK or OVS_PACKET_ATTR_KEY is the caller's. Returns the address after the last
 * attribute, or 0 with nothing written if they do not fit below `limit`.
 */
export function putKey(buf: usize, limit: usize, key: usize, mask: usize): usize {
  if (buf == 0 || limit < buf) return 0;
  const room = <u32>(limit - buf);
  if (room < KEY_ATTRS_SIZE_MAX && room < keySize(key, mask)) return 0;
  return putLink(putMetadata(buf, key, mask), key, mask);
}

// The attributes below are written without a look at the limit: putKey made sure of the room.

@inline
function attrHeader(type: u32, payloadSize: u32): u32 {
  return (type << 16) | (NLA_HDRLEN + payloadSize);
}

@inline
function writeU32(at: usize, type: u32, value: u32): usize {
  store<u64>(at, ((<u64>value) << 32) | <u64>attrHeader(type, 4));
  return at + 8;
}

/** A u16 or be16 with its padding. */
@inline
function writeU16(at: usize, type: u32, value: u32): usize {
  store<u64>(at, ((<u64>value) << 32) | <u64>attrHeader(type, 2));
  return at + 8;
}

@inline
function copyAddress(to: usize, from: usize): void {
  store<u32>(to, load<u32>(from));
  store<u16>(to, load<u16>(from, 4), 4);
}

function putMetadata(at: usize, key: usize, mask: usize): usize {
  at = writeU32(at, OVS_KEY_ATTR_RECIRC_ID, load<u32>(mask, KEY_RECIRC_ID));
  at = writeU32(at, OVS_KEY_ATTR_DP_HASH, load<u32>(mask, KEY_DP_HASH));
  at = writeU32(at, OVS_KEY_ATTR_PRIORITY, load<u32>(mask, KEY_SKB_PRIORITY));
  if (load<u8>(key, KEY_TUN_PROTO) != 0 || mask != key) at = putTunnel(at, key, mask);
  at = putInPort(at, key, mask);
  at = writeU32(at, OVS_KEY_ATTR_SKB_MARK, load<u32>(mask, KEY_SKB_MARK));
  at = writeU32(at, OVS_KEY_ATTR_CT_STATE, load<u32>(mask, KEY_CT_STATE));
  at = writeU16(at, OVS_KEY_ATTR_CT_ZONE, load<u16>(mask, KEY_CT_ZONE));
  at = writeU32(at, OVS_KEY_ATTR_CT_MARK, load<u32>(mask, KEY_CT_MARK));
  store<u32>(at, attrHeader(OVS_KEY_ATTR_CT_LABELS, OVS_KEY_CT_LABELS_SIZEOF));
  v128.store(at, v128.load(mask, KEY_CT_LABELS), 4);
  at += NLA_HDRLEN + OVS_KEY_CT_LABELS_SIZEOF;
  return load<u8>(key, KEY_CT_ORIG_PROTO) != 0 ? putCtTuple(at, key, mask) : at;
}

/** The kernel's input port has 16 bits: the upper half is zero in a key and all ones in a mask. */
@inline
function putInPort(at: usize, key: usize, mask: usize): usize {
  if (!hasInPort(key, mask)) return at;
  const inPort = load<u32>(mask, KEY_IN_PORT);
  return writeU32(at, OVS_KEY_ATTR_IN_PORT, mask == key ? inPort : inPort | IN_PORT_MASK_HIGH);
}

function putCtTuple(at: usize, key: usize, mask: usize): usize {
  const type = <u32>load<u16>(key, KEY_ETH_TYPE);
  const ports = load<u32>(mask, KEY_CT_ORIG_TP_SRC);
  const proto = <u32>load<u8>(mask, KEY_CT_ORIG_PROTO);
  if (type == ETH_P_IP_WIRE) {
    store<u32>(at, attrHeader(OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV4, OVS_KEY_CT_TUPLE_IPV4_SIZEOF));
    store<u32>(at, load<u32>(mask, KEY_CT_ORIG_SRC), 4);
    store<u32>(at, load<u32>(mask, KEY_CT_ORIG_DST), 8);
    store<u32>(at, ports, 12);
    store<u32>(at, proto, 16);
    return at + NLA_HDRLEN + OVS_KEY_CT_TUPLE_IPV4_SIZEOF;
  }
  if (type == ETH_P_IPV6_WIRE) {
    store<u32>(at, attrHeader(OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV6, OVS_KEY_CT_TUPLE_IPV6_SIZEOF));
    v128.store(at, v128.load(mask, KEY_CT_ORIG_SRC), 4);
    v128.store(at, v128.load(mask, KEY_CT_ORIG_DST), 20);
    store<u32>(at, ports, 36);
    store<u32>(at, proto, 40);
    return at + NLA_HDRLEN + OVS_KEY_CT_TUPLE_IPV6_SIZEOF;
  }
  return at;
}

/** Ethernet addresses, then the network header inside up to two ENCAP attributes, one a tag. Without an Ethernet header only the latter. */
function putLink(at: usize, key: usize, mask: usize): usize {
  if (load<u32>(key, KEY_PACKET_TYPE) != 0) return putNetwork(at, key, mask);
  store<u32>(at, attrHeader(OVS_KEY_ATTR_ETHERNET, OVS_KEY_ETHERNET_SIZEOF));
  copyAddress(at + 4, mask + KEY_ETH_SRC);
  copyAddress(at + 10, mask + KEY_ETH_DST);
  at += NLA_HDRLEN + OVS_KEY_ETHERNET_SIZEOF;

  // A type that is a TPID is a tag cut off by the end of the frame, or a third one.
  const tagType = isVlanType(load<u16>(key, KEY_ETH_TYPE));
  const tagged = load<u16>(key, KEY_VLAN_TCI) != 0;
  if (!tagged && !tagType) return putNetwork(at, key, mask);
  const encap = putTag(at, key, mask, KEY_VLAN_TPID, KEY_VLAN_TCI);
  at = encap + NLA_HDRLEN;
  if (tagged) {
    const innerTagged = load<u16>(key, KEY_CVLAN_TCI) != 0;
    if (innerTagged || tagType) {
      const innerEncap = putTag(at, key, mask, KEY_CVLAN_TPID, KEY_CVLAN_TCI);
      at = innerEncap + NLA_HDRLEN;
      if (innerTagged) at = putNetwork(at, key, mask);
      closeEncap(innerEncap, at);
    } else {
      at = putNetwork(at, key, mask);
    }
  }
  closeEncap(encap, at);
  return at;
}

/** Returns where the ENCAP attribute begins. */
@inline
function putTag(at: usize, key: usize, mask: usize, tpidOffset: u32, tciOffset: u32): usize {
  at = writeU16(at, OVS_KEY_ATTR_ETHERTYPE, mask == key ? <u32>load<u16>(mask + tpidOffset) : TPID_MASK_WIRE);
  return writeU16(at, OVS_KEY_ATTR_VLAN, load<u16>(mask + tciOffset));
}

@inline
function closeEncap(encap: usize, end: usize): void {
  store<u32>(encap, (OVS_KEY_ATTR_ENCAP << 16) | <u32>(end - encap));
}

/**
 * The innermost Ethernet type and what it announces. An 802.2 frame has no type in a key, and a mask for it only if any; without an Ethernet header
 * the kernel writes the number that stands for it.
 */
function putNetwork(at: usize, key: usize, mask: usize): usize {
  const type = <u32>load<u16>(key, KEY_ETH_TYPE);
  const typeValue = <u32>load<u16>(mask, KEY_ETH_TYPE);
  if (type == ETH_P_802_2_WIRE && load<u32>(key, KEY_PACKET_TYPE) == 0) {
    return mask != key && typeValue != 0 ? writeU16(at, OVS_KEY_ATTR_ETHERTYPE, typeValue) : at;
  }
  at = writeU16(at, OVS_KEY_ATTR_ETHERTYPE, typeValue);
  if (type == ETH_P_IP_WIRE) return putTransport(putIpv4(at, mask), key, mask, IPPROTO_ICMP);
  if (type == ETH_P_IPV6_WIRE) return putTransport(putIpv6(at, mask), key, mask, NEXTHDR_ICMP);
  if (type == ETH_P_ARP_WIRE || type == ETH_P_RARP_WIRE) return putArp(at, mask);
  if (isMplsType(type)) return putMpls(at, key, mask);
  if (type == ETH_P_NSH_WIRE) return putNsh(at, key, mask);
  return at;
}

/** Protocol, ToS, TTL and fragment type lie in the key as in ovs_key_ipv4 and ovs_key_ipv6. */
@inline
function putIpv4(at: usize, mask: usize): usize {
  store<u32>(at, attrHeader(OVS_KEY_ATTR_IPV4, OVS_KEY_IPV4_SIZEOF));
  store<u64>(at, load<u64>(mask, KEY_IPV4_SRC), 4);
  store<u32>(at, load<u32>(mask, KEY_IP_PROTO), 12);
  return at + NLA_HDRLEN + OVS_KEY_IPV4_SIZEOF;
}

@inline
function putIpv6(at: usize, mask: usize): usize {
  store<u32>(at, attrHeader(OVS_KEY_ATTR_IPV6, OVS_KEY_IPV6_SIZEOF));
  v128.store(at, v128.load(mask, KEY_IPV6_SRC), 4);
  v128.store(at, v128.load(mask, KEY_IPV6_DST), 20);
  store<u32>(at, load<u32>(mask, KEY_IPV6_LABEL), 36);
  store<u32>(at, load<u32>(mask, KEY_IP_PROTO), 40);
  return writeU16(at + NLA_HDRLEN + OVS_KEY_IPV6_SIZEOF, OVS_KEY_ATTR_IPV6_EXTHDRS, load<u16>(mask, KEY_IPV6_EXTHDRS));
}

function putTransport(at: usize, key: usize, mask: usize, icmp: u32): usize {
  if (load<u8>(key, KEY_IP_FRAG) == FRAG_LATER) return at;
  const proto = <u32>load<u8>(key, KEY_IP_PROTO);
  const ports = load<u32>(mask, KEY_TP_SRC);
  if (proto == IPPROTO_UDP) return writeU32(at, OVS_KEY_ATTR_UDP, ports);
  if (proto == IPPROTO_TCP) {
    at = writeU32(at, OVS_KEY_ATTR_TCP, ports);
    return writeU16(at, OVS_KEY_ATTR_TCP_FLAGS, load<u16>(mask, KEY_TCP_FLAGS));
  }
  if (proto == IPPROTO_SCTP) return writeU32(at, OVS_KEY_ATTR_SCTP, ports);
  if (proto != icmp) return at;
  // Type and code are the low bytes of big-endian fields.
  const typeCode = <u32>load<u8>(mask, KEY_TP_SRC + 1) | ((<u32>load<u8>(mask, KEY_TP_DST + 1)) << 8);
  if (icmp == IPPROTO_ICMP) return writeU16(at, OVS_KEY_ATTR_ICMP, typeCode);
  at = writeU16(at, OVS_KEY_ATTR_ICMPV6, typeCode);
  const type = <u32>load<u16>(key, KEY_TP_SRC);
  if (type != ICMPV6_SOLICITATION_WIRE && type != ICMPV6_ADVERTISEMENT_WIRE) return at;
  return putNd(at, mask);
}

function putNd(at: usize, mask: usize): usize {
  store<u32>(at, attrHeader(OVS_KEY_ATTR_ND, OVS_KEY_ND_SIZEOF));
  v128.store(at, v128.load(mask, KEY_ND_TARGET), 4);
  copyAddress(at + 20, mask + KEY_ND_SLL);
  copyAddress(at + 26, mask + KEY_ND_TLL);
  return at + NLA_HDRLEN + OVS_KEY_ND_SIZEOF;
}

/** The opcode is one byte in the key and two on the wire; two bytes of padding end the structure. */
function putArp(at: usize, mask: usize): usize {
  store<u32>(at, attrHeader(OVS_KEY_ATTR_ARP, OVS_KEY_ARP_SIZEOF));
  store<u64>(at, load<u64>(mask, KEY_IPV4_SRC), 4);
  store<u16>(at, <u16>((<u32>load<u8>(mask, KEY_IP_PROTO)) << 8), 12);
  copyAddress(at + 14, mask + KEY_ARP_SHA);
  copyAddress(at + 20, mask + KEY_ARP_THA);
  store<u16>(at, 0, 26);
  return at + NLA_HDRLEN + OVS_KEY_ARP_SIZEOF;
}

function putMpls(at: usize, key: usize, mask: usize): usize {
  const size = mplsCount(key, mask) << 2;
  store<u32>(at, attrHeader(OVS_KEY_ATTR_MPLS, size));
  for (let offset: u32 = 0; offset < size; offset += 4) {
    store<u32>(at + offset, load<u32>(mask + offset, KEY_MPLS_LSE0), 4);
  }
  return at + NLA_HDRLEN + size;
}

function putNsh(at: usize, key: usize, mask: usize): usize {
  const nsh = at;
  at += NLA_HDRLEN;
  store<u32>(at, attrHeader(OVS_NSH_KEY_ATTR_BASE, OVS_NSH_KEY_BASE_SIZEOF));
  store<u64>(at, load<u64>(mask, KEY_NSH_FLAGS), 4);
  at += NLA_HDRLEN + OVS_NSH_KEY_BASE_SIZEOF;
  if (mask != key || load<u8>(mask, KEY_NSH_MDTYPE) == NSH_M_TYPE1) {
    store<u32>(at, attrHeader(OVS_NSH_KEY_ATTR_MD1, OVS_NSH_KEY_MD1_SIZEOF));
    v128.store(at, v128.load(mask, KEY_NSH_CONTEXT), 4);
    at += NLA_HDRLEN + OVS_NSH_KEY_MD1_SIZEOF;
  }
  store<u32>(nsh, (OVS_KEY_ATTR_NSH << 16) | <u32>(at - nsh));
  return at;
}
