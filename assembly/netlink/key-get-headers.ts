/*
 * The headers of a key: link, network, transport. The mirror of key-put.ts.
 *
 * Before it: key-get.ts, with the attributes of all lists in the table. After it: key-get-rules.ts, which asks whether those
 * that the key needs were there. Reads the attributes, writes the key or the mask; any thread.
 *
 * An attribute that does not belong to the key's Ethernet type or protocol is read all the same; where it shares a field with
 * one that does, the order here decides, and it is the kernel's.
 */
import {
  EINVAL,
  KEY_ARP_SHA,
  KEY_ARP_THA,
  KEY_ETH_DST,
  KEY_ETH_SRC,
  KEY_ETH_TYPE,
  KEY_IP_PROTO,
  KEY_IPV4_SRC,
  KEY_IPV6_DST,
  KEY_IPV6_EXTHDRS,
  KEY_IPV6_LABEL,
  KEY_IPV6_SRC,
  KEY_MPLS_COUNT,
  KEY_MPLS_LSE0,
  KEY_ND_SLL,
  KEY_ND_TARGET,
  KEY_ND_TLL,
  KEY_PACKET_TYPE,
  KEY_TCP_FLAGS,
  KEY_TP_DST,
  KEY_TP_SRC,
  MPLS_DEPTH_MAX,
} from '../constants';
import { ETH_P_802_2_WIRE, ETH_P_ARP_WIRE, ETH_P_RARP_WIRE, isEthernetType } from '../packet/ethernet';
import { FRAG_LATER } from '../packet/ipv4';
import { IPV6_LABEL_WIRE } from '../packet/ipv6';
import { attrPayloadSize, NLA_HDRLEN } from './attribute';
import { bit, FORM_EXACT, FORM_KEY, ones, ones128, payloadOf, refuse, refuseWithout } from './key-get-attrs';
import { checkNsh, readNsh } from './key-get-nsh';
import {
  OVS_KEY_ATTR_ARP,
  OVS_KEY_ATTR_ENCAP,
  OVS_KEY_ATTR_ETHERNET,
  OVS_KEY_ATTR_ETHERTYPE,
  OVS_KEY_ATTR_ICMP,
  OVS_KEY_ATTR_ICMPV6,
  OVS_KEY_ATTR_IPV4,
  OVS_KEY_ATTR_IPV6,
  OVS_KEY_ATTR_IPV6_EXTHDRS,
  OVS_KEY_ATTR_MPLS,
  OVS_KEY_ATTR_ND,
  OVS_KEY_ATTR_NSH,
  OVS_KEY_ATTR_SCTP,
  OVS_KEY_ATTR_TCP,
  OVS_KEY_ATTR_TCP_FLAGS,
  OVS_KEY_ATTR_UDP,
  OVS_KEY_ATTR_VLAN,
} from './openvswitch';

// Offsets in ovs_key_ipv4, ovs_key_ipv6 and ovs_key_arp; protocol, ToS, TTL and fragment type lie as in the key.
const IPV4_PROTO: usize = 8;
const IPV4_FRAG: usize = 11;
const IPV6_DST: usize = 16;
const IPV6_LABEL: usize = 32;
const IPV6_PROTO: usize = 36;
const IPV6_FRAG: usize = 39;
const ARP_OP: usize = 8;
const ARP_SHA: usize = 10;
const ARP_THA: usize = 16;
const ND_SLL: usize = 16;
const ND_TLL: usize = 22;
/** KEY_PACKET_TYPE of a packet without an Ethernet header: this, and its Ethernet type in the upper half. */
const ETHERTYPE_NAMESPACE: u32 = 0x0100;
/** The high byte of an ARP opcode on the wire. */
const ARP_OP_HIGH: u32 = 0x00ff;

const ONE: u64 = 1;
/** Type 0, and what belongs to a tag. */
const TAG_TYPES: u64 = ONE | (ONE << OVS_KEY_ATTR_VLAN) | (ONE << OVS_KEY_ATTR_ENCAP);
/** Headers that few flows have, in order of their layers. */
const OTHER_NETWORK_TYPES: u64 =
  (ONE << OVS_KEY_ATTR_IPV6) |
  (ONE << OVS_KEY_ATTR_IPV6_EXTHDRS) |
  (ONE << OVS_KEY_ATTR_ARP) |
  (ONE << OVS_KEY_ATTR_NSH) |
  (ONE << OVS_KEY_ATTR_MPLS);
const OTHER_TRANSPORT_TYPES: u64 =
  (ONE << OVS_KEY_ATTR_SCTP) | (ONE << OVS_KEY_ATTR_ICMP) | (ONE << OVS_KEY_ATTR_ICMPV6) | (ONE << OVS_KEY_ATTR_ND);
const HEADER_TYPES: u64 =
  OTHER_NETWORK_TYPES |
  OTHER_TRANSPORT_TYPES |
  (ONE << OVS_KEY_ATTR_IPV4) |
  (ONE << OVS_KEY_ATTR_TCP) |
  (ONE << OVS_KEY_ATTR_TCP_FLAGS) |
  (ONE << OVS_KEY_ATTR_UDP);

@inline
function copyAddress(to: usize, from: usize, form: u32): void {
  store<u32>(to, load<u32>(from) | <u32>ones(form));
  store<u16>(to, load<u16>(from, 4) | <u16>ones(form), 4);
}

/** `to` is the key or the mask to write. 0 or -EINVAL. */
@inline
export function readHeaders(match: usize, seen: u64, form: u32, to: usize): i32 {
  if (seen & TAG_TYPES) return refuseTag(match, seen);
  if (seen & bit(OVS_KEY_ATTR_ETHERNET)) {
    const addresses = payloadOf(match, OVS_KEY_ATTR_ETHERNET);
    copyAddress(to + KEY_ETH_SRC, addresses, form);
    copyAddress(to + KEY_ETH_DST, addresses + 6, form);
  }
  const error = readType(match, seen, form, to);
  if (error != 0 || (seen & HEADER_TYPES) == 0) return error;
  if (seen & bit(OVS_KEY_ATTR_IPV4)) {
    const ipv4 = payloadOf(match, OVS_KEY_ATTR_IPV4);
    if (form == FORM_KEY && load<u8>(ipv4, IPV4_FRAG) > FRAG_LATER) return refuse(match, ipv4 - NLA_HDRLEN);
    store<u64>(to, load<u64>(ipv4) | ones(form), KEY_IPV4_SRC);
    store<u32>(to, load<u32>(ipv4, IPV4_PROTO) | <u32>ones(form), KEY_IP_PROTO);
  }
  if (seen & OTHER_NETWORK_TYPES && readNetwork(match, seen, form, to) != 0) return -EINVAL;
  readPorts(match, seen, form, OVS_KEY_ATTR_TCP, to);
  if (seen & bit(OVS_KEY_ATTR_TCP_FLAGS)) {
    const flags = load<u16>(payloadOf(match, OVS_KEY_ATTR_TCP_FLAGS));
    store<u16>(to, flags | <u16>ones(form), KEY_TCP_FLAGS);
  }
  readPorts(match, seen, form, OVS_KEY_ATTR_UDP, to);
  if (seen & OTHER_TRANSPORT_TYPES) readTransport(match, seen, form, to);
  return 0;
}

/** What is left of the tags here is not a tag's. */
function refuseTag(match: usize, seen: u64): i32 {
  if (seen & 1) return refuse(match, payloadOf(match, 0) - NLA_HDRLEN);
  const type: u32 = seen & bit(OVS_KEY_ATTR_VLAN) ? OVS_KEY_ATTR_VLAN : OVS_KEY_ATTR_ENCAP;
  return refuse(match, payloadOf(match, type) - NLA_HDRLEN);
}

/** Without a type a frame is an 802.2 frame, and a packet without Ethernet header is nothing at all. */
@inline
export function readType(match: usize, seen: u64, form: u32, to: usize): i32 {
  if (!(seen & bit(OVS_KEY_ATTR_ETHERTYPE))) {
    if (form != FORM_KEY) return 0;
    if (!(seen & bit(OVS_KEY_ATTR_ETHERNET))) return refuseWithout(match, OVS_KEY_ATTR_ETHERNET);
    store<u16>(to, <u16>ETH_P_802_2_WIRE, KEY_ETH_TYPE);
    return 0;
  }
  const attr = payloadOf(match, OVS_KEY_ATTR_ETHERTYPE);
  const type = form == FORM_KEY ? <u32>load<u16>(attr) : 0xffff;
  if (!isEthernetType(type)) return refuse(match, attr - NLA_HDRLEN);
  store<u16>(to, <u16>type, KEY_ETH_TYPE);
  if (form == FORM_KEY && !(seen & bit(OVS_KEY_ATTR_ETHERNET))) {
    store<u32>(to, ETHERTYPE_NAMESPACE | (type << 16), KEY_PACKET_TYPE);
  }
  return 0;
}

function readNetwork(match: usize, seen: u64, form: u32, to: usize): i32 {
  const all = <u32>ones(form);
  if (seen & bit(OVS_KEY_ATTR_IPV6)) {
    const ipv6 = payloadOf(match, OVS_KEY_ATTR_IPV6);
    const label = load<u32>(ipv6, IPV6_LABEL);
    if (form == FORM_KEY && (load<u8>(ipv6, IPV6_FRAG) > FRAG_LATER || label & ~IPV6_LABEL_WIRE)) {
      return refuse(match, ipv6 - NLA_HDRLEN);
    }
    store<u32>(to, label | all, KEY_IPV6_LABEL);
    store<u32>(to, load<u32>(ipv6, IPV6_PROTO) | all, KEY_IP_PROTO);
    v128.store(to, v128.or(v128.load(ipv6), ones128(form)), KEY_IPV6_SRC);
    v128.store(to, v128.or(v128.load(ipv6, IPV6_DST), ones128(form)), KEY_IPV6_DST);
  }
  if (seen & bit(OVS_KEY_ATTR_IPV6_EXTHDRS)) {
    store<u16>(to, load<u16>(payloadOf(match, OVS_KEY_ATTR_IPV6_EXTHDRS)) | <u16>all, KEY_IPV6_EXTHDRS);
  }
  if (seen & bit(OVS_KEY_ATTR_ARP)) {
    const arp = payloadOf(match, OVS_KEY_ATTR_ARP);
    if (form == FORM_KEY && load<u16>(arp, ARP_OP) & ARP_OP_HIGH) return refuse(match, arp - NLA_HDRLEN);
    store<u64>(to, load<u64>(arp) | ones(form), KEY_IPV4_SRC);
    store<u8>(to, load<u8>(arp, ARP_OP + 1) | <u8>all, KEY_IP_PROTO);
    copyAddress(to + KEY_ARP_SHA, arp + ARP_SHA, form);
    copyAddress(to + KEY_ARP_THA, arp + ARP_THA, form);
  }
  if (seen & bit(OVS_KEY_ATTR_NSH)) {
    const nsh = payloadOf(match, OVS_KEY_ATTR_NSH);
    const size = attrPayloadSize(nsh - NLA_HDRLEN);
    const fault: usize = form == FORM_EXACT ? 0 : checkNsh(nsh, size, form);
    if (fault != 0) return refuse(match, fault);
    readNsh(nsh, size, form, to);
  }
  return seen & bit(OVS_KEY_ATTR_MPLS) ? readMpls(match, form, to) : 0;
}

function readMpls(match: usize, form: u32, to: usize): i32 {
  const stack = payloadOf(match, OVS_KEY_ATTR_MPLS);
  const size = attrPayloadSize(stack - NLA_HDRLEN);
  if (size == 0 || size % 4 != 0 || size > (<u32>MPLS_DEPTH_MAX) << 2) return refuse(match, stack - NLA_HDRLEN);
  for (let at: usize = 0; at < size; at += 4) {
    store<u32>(to + at, load<u32>(stack + at) | <u32>ones(form), KEY_MPLS_LSE0);
  }
  store<u8>(to, form == FORM_KEY ? <u8>(size >> 2) : 0xff, KEY_MPLS_COUNT);
  return 0;
}

@inline
function readPorts(match: usize, seen: u64, form: u32, type: u32, to: usize): void {
  if (seen & bit(type)) store<u32>(to, load<u32>(payloadOf(match, type)) | <u32>ones(form), KEY_TP_SRC);
}

/** Type and code are the low bytes of big-endian fields. */
@inline
function readTypeCode(match: usize, seen: u64, form: u32, type: u32, to: usize): void {
  if (!(seen & bit(type))) return;
  const typeCode = payloadOf(match, type);
  store<u16>(to, <u16>((<u32>load<u8>(typeCode) | (<u32>ones(form) & 0xff)) << 8), KEY_TP_SRC);
  store<u16>(to, <u16>((<u32>load<u8>(typeCode, 1) | (<u32>ones(form) & 0xff)) << 8), KEY_TP_DST);
}

/** Its fields lie where those of ND do, which a key may have without any use for them. */
@inline
function isArpType(type: u32): bool {
  return type == ETH_P_ARP_WIRE || type == ETH_P_RARP_WIRE;
}

function readTransport(match: usize, seen: u64, form: u32, to: usize): void {
  readPorts(match, seen, form, OVS_KEY_ATTR_SCTP, to);
  readTypeCode(match, seen, form, OVS_KEY_ATTR_ICMP, to);
  readTypeCode(match, seen, form, OVS_KEY_ATTR_ICMPV6, to);
  if (!(seen & bit(OVS_KEY_ATTR_ND)) || (form == FORM_KEY && isArpType(load<u16>(to, KEY_ETH_TYPE)))) return;
  const nd = payloadOf(match, OVS_KEY_ATTR_ND);
  v128.store(to, v128.or(v128.load(nd), ones128(form)), KEY_ND_TARGET);
  copyAddress(to + KEY_ND_SLL, nd + ND_SLL, form);
  copyAddress(to + KEY_ND_TLL, nd + ND_TLL, form);
}
