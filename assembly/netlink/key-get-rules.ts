/*
 * Which attributes a key must have, given its Ethernet type and protocol, and which its mask may have.
 *
 * Before it: key-get.ts, after key and mask were read. After it: nothing. Reads the flat key and mask; any thread.
 *
 * A mask may have what the key has; a header's attribute only if the mask matches the whole Ethernet type, or protocol, that
 * announces the header. TUNNEL, IN_PORT and ETHERTYPE may always be there.
 */
import { KEY_ETH_TYPE, KEY_IP_FRAG, KEY_IP_PROTO, KEY_TP_SRC, MATCH_SEEN } from '../constants';
import {
  ETH_P_ARP_WIRE,
  ETH_P_IPV6_WIRE,
  ETH_P_IP_WIRE,
  ETH_P_NSH_WIRE,
  ETH_P_RARP_WIRE,
  isMplsType,
} from '../packet/ethernet';
import { FRAG_LATER } from '../packet/ipv4';
import { NEXTHDR_ICMP } from '../packet/ipv6';
import { IPPROTO_ICMP, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from '../packet/l4';
import { NLA_HDRLEN } from './attribute';
import { payloadOf, refuse, refuseWithout } from './key-get-attrs';
import { ICMPV6_ADVERTISEMENT_WIRE, ICMPV6_SOLICITATION_WIRE } from './key-size';
import {
  OVS_KEY_ATTR_ARP,
  OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV4,
  OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV6,
  OVS_KEY_ATTR_ETHERTYPE,
  OVS_KEY_ATTR_ICMP,
  OVS_KEY_ATTR_ICMPV6,
  OVS_KEY_ATTR_IN_PORT,
  OVS_KEY_ATTR_IPV4,
  OVS_KEY_ATTR_IPV6,
  OVS_KEY_ATTR_MPLS,
  OVS_KEY_ATTR_ND,
  OVS_KEY_ATTR_NSH,
  OVS_KEY_ATTR_SCTP,
  OVS_KEY_ATTR_TCP,
  OVS_KEY_ATTR_TCP_FLAGS,
  OVS_KEY_ATTR_TUNNEL,
  OVS_KEY_ATTR_UDP,
} from './openvswitch';

const ONE: u64 = 1;
const IPV4: u64 = ONE << OVS_KEY_ATTR_IPV4;
const IPV6: u64 = ONE << OVS_KEY_ATTR_IPV6;
const TUPLE_IPV4: u64 = ONE << OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV4;
const TUPLE_IPV6: u64 = ONE << OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV6;
const TCP: u64 = (ONE << OVS_KEY_ATTR_TCP) | (ONE << OVS_KEY_ATTR_TCP_FLAGS);
const UDP: u64 = ONE << OVS_KEY_ATTR_UDP;
const SCTP: u64 = ONE << OVS_KEY_ATTR_SCTP;
const ICMP: u64 = ONE << OVS_KEY_ATTR_ICMP;
const ICMPV6: u64 = ONE << OVS_KEY_ATTR_ICMPV6;
const ARP: u64 = ONE << OVS_KEY_ATTR_ARP;
const ND: u64 = ONE << OVS_KEY_ATTR_ND;
const MPLS: u64 = ONE << OVS_KEY_ATTR_MPLS;
const NSH: u64 = ONE << OVS_KEY_ATTR_NSH;

/** What a mask may have only if the rules below say so. */
const ON_CONDITION: u64 =
  IPV4 | TUPLE_IPV4 | IPV6 | TUPLE_IPV6 | TCP | UDP | SCTP | ICMP | ICMPV6 | ARP | ND | MPLS | NSH;
const ALWAYS: u64 = (ONE << OVS_KEY_ATTR_TUNNEL) | (ONE << OVS_KEY_ATTR_IN_PORT) | (ONE << OVS_KEY_ATTR_ETHERTYPE);

/** A field of a mask that matches all of an Ethernet type or an ICMP type. */
const TYPE_EXACT: u32 = 0xffff;
const ICMP_TYPE_EXACT: u32 = 0xff00;

/** The header attributes that the key's type asks for, without those of the transport header. */
function networkOf(type: u32): u64 {
  if (type == ETH_P_IP_WIRE) return IPV4;
  if (type == ETH_P_IPV6_WIRE) return IPV6;
  if (type == ETH_P_ARP_WIRE || type == ETH_P_RARP_WIRE) return ARP;
  if (type == ETH_P_NSH_WIRE) return NSH;
  return isMplsType(type) ? MPLS : 0;
}

function transportOf(key: usize, type: u32): u64 {
  if ((type != ETH_P_IP_WIRE && type != ETH_P_IPV6_WIRE) || load<u8>(key, KEY_IP_FRAG) == FRAG_LATER) return 0;
  const proto = <u32>load<u8>(key, KEY_IP_PROTO);
  if (proto == IPPROTO_TCP) return TCP;
  if (proto == IPPROTO_UDP) return UDP;
  if (proto == IPPROTO_SCTP) return SCTP;
  if (type == ETH_P_IP_WIRE) return proto == IPPROTO_ICMP ? ICMP : 0;
  return proto == NEXTHDR_ICMP ? ICMPV6 : 0;
}

@inline
function isDiscovery(key: usize): bool {
  const type = <u32>load<u16>(key, KEY_TP_SRC);
  return type == ICMPV6_SOLICITATION_WIRE || type == ICMPV6_ADVERTISEMENT_WIRE;
}

/** 0 or -EINVAL. MATCH_SEEN holds the key's attributes, `maskSeen` those of the mask. */
export function checkComposition(match: usize, maskSeen: u64, key: usize, mask: usize): i32 {
  const keySeen = load<u64>(match, MATCH_SEEN);
  const type = <u32>load<u16>(key, KEY_ETH_TYPE);
  const network = networkOf(type);
  const transport = transportOf(key, type);
  const discovery = transport == ICMPV6 && isDiscovery(key) ? ND : 0;

  const missing = (network | transport | discovery) & ~keySeen;
  if (missing != 0) return refuseWithout(match, <u32>ctz(missing));

  let allowed = (keySeen & ~ON_CONDITION) | ALWAYS;
  if (load<u16>(mask, KEY_ETH_TYPE) == TYPE_EXACT) {
    allowed |= network;
    if (network == IPV4) allowed |= TUPLE_IPV4;
    if (network == IPV6 && discovery == 0) allowed |= TUPLE_IPV6;
  }
  if (load<u8>(mask, KEY_IP_PROTO) == 0xff) allowed |= transport;
  if (load<u16>(mask, KEY_TP_SRC) == ICMP_TYPE_EXACT) allowed |= discovery;
  const surplus = maskSeen & ~allowed;
  return surplus == 0 ? 0 : refuse(match, payloadOf(match, <u32>ctz(surplus)) - NLA_HDRLEN);
}
