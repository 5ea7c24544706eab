/*
 * The attributes of a key or of a mask, sorted by type: what key-get.ts and its family look things up in.
 *
 * Before it: key-get.ts, with a list that somebody else wrote. After it: the readers of each group of headers, which trust
 * that an attribute in the table has the size that its structure needs (check once, then trust).
 *
 * Concepts. A list is read in one of three forms. A KEY and a MASK are what they say; attributes of a mask that are all zero
 * count as absent. EXACT is the mask that a flow without one gets: the key's own attributes with all bits set, which no one
 * writes down; readers or `ones(form)` into what they load. The table is not cleared between a key and its mask, and a tag of
 * a mask without VLAN or ETHERTYPE finds those of the key there, as in the kernel.
 *
 * Ownership and threads. Reads the list inside its bounds, writes MATCH_SIZEOF bytes of the caller's; any thread.
 */
import { EINVAL, MATCH_FAULT, MATCH_MISSING, MATCH_TABLE } from '../constants';
import { attrNext, attrOk, attrPayload, attrPayloadSize, attrType, NLA_HDRLEN } from './attribute';
import {
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
  OVS_KEY_ATTR_TUNNEL,
  OVS_KEY_ATTR_UDP,
  OVS_KEY_ATTR_VLAN,
  OVS_KEY_CT_LABELS_SIZEOF,
  OVS_KEY_CT_TUPLE_IPV4_SIZEOF,
  OVS_KEY_CT_TUPLE_IPV6_SIZEOF,
  OVS_KEY_ETHERNET_SIZEOF,
  OVS_KEY_ICMP_SIZEOF,
  OVS_KEY_IPV4_SIZEOF,
  OVS_KEY_IPV6_SIZEOF,
  OVS_KEY_ND_SIZEOF,
  OVS_KEY_PORTS_SIZEOF,
} from './openvswitch';

/** Forms of a list. */
export const FORM_KEY: u32 = 0;
export const FORM_MASK: u32 = 1;
export const FORM_EXACT: u32 = 2;

/** What sortAttrs and its callers give instead of a set of types when the list is refused. */
export const SEEN_BAD: u64 = u64.MAX_VALUE;

/** Answers of keyAttrSize that are no size. */
export const SIZE_ANY: u32 = 0xfffe;
const SIZE_UNKNOWN: u32 = 0xffff;

/** The bit of a type in a set. */
@inline
export function bit(type: u32): u64 {
  return (<u64>1) << type;
}

/** What a reader of this form ors into everything it loads. */
@inline
export function ones(form: u32): u64 {
  return form == FORM_EXACT ? u64.MAX_VALUE : 0;
}

@inline
export function ones128(form: u32): v128 {
  return i64x2.splat(<i64>ones(form));
}

/** Payload of the attribute of this type, which was seen. */
@inline
export function payloadOf(match: usize, type: u32): usize {
  return <usize>load<u32>(match + ((<usize>type) << 2), MATCH_TABLE) + NLA_HDRLEN;
}

/** Bytes of payload that a key attribute must have, SIZE_ANY if it is looked at elsewhere. */
export function keyAttrSize(type: u32): u32 {
  switch (<i32>type) {
    case OVS_KEY_ATTR_ENCAP:
    case OVS_KEY_ATTR_TUNNEL:
    case OVS_KEY_ATTR_NSH:
    case OVS_KEY_ATTR_MPLS:
      return SIZE_ANY;
    case OVS_KEY_ATTR_PRIORITY:
    case OVS_KEY_ATTR_IN_PORT:
    case OVS_KEY_ATTR_SKB_MARK:
    case OVS_KEY_ATTR_DP_HASH:
    case OVS_KEY_ATTR_RECIRC_ID:
    case OVS_KEY_ATTR_CT_STATE:
    case OVS_KEY_ATTR_CT_MARK:
      return 4;
    case OVS_KEY_ATTR_VLAN:
    case OVS_KEY_ATTR_ETHERTYPE:
    case OVS_KEY_ATTR_TCP_FLAGS:
    case OVS_KEY_ATTR_CT_ZONE:
    case OVS_KEY_ATTR_IPV6_EXTHDRS:
      return 2;
    case OVS_KEY_ATTR_ICMP:
    case OVS_KEY_ATTR_ICMPV6:
      return OVS_KEY_ICMP_SIZEOF;
    case OVS_KEY_ATTR_TCP:
    case OVS_KEY_ATTR_UDP:
    case OVS_KEY_ATTR_SCTP:
      return OVS_KEY_PORTS_SIZEOF;
    case OVS_KEY_ATTR_ETHERNET:
      return OVS_KEY_ETHERNET_SIZEOF;
    case OVS_KEY_ATTR_IPV4:
      return OVS_KEY_IPV4_SIZEOF;
    case OVS_KEY_ATTR_IPV6:
      return OVS_KEY_IPV6_SIZEOF;
    case OVS_KEY_ATTR_ARP:
      return OVS_KEY_ARP_SIZEOF;
    case OVS_KEY_ATTR_ND:
      return OVS_KEY_ND_SIZEOF;
    case OVS_KEY_ATTR_CT_LABELS:
      return OVS_KEY_CT_LABELS_SIZEOF;
    case OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV4:
      return OVS_KEY_CT_TUPLE_IPV4_SIZEOF;
    case OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV6:
      return OVS_KEY_CT_TUPLE_IPV6_SIZEOF;
    case 0:
      return 0;
    default:
      return SIZE_UNKNOWN;
  }
}

export function isZero(at: usize, size: u32): bool {
  const end = at + size;
  for (; at + 8 <= end; at += 8) if (load<u64>(at) != 0) return false;
  if (at + 4 <= end) {
    if (load<u32>(at) != 0) return false;
    at += 4;
  }
  for (; at < end; at++) if (load<u8>(at) != 0) return false;
  return true;
}

/** Notes the attribute at fault. */
export function refuse(match: usize, attr: usize): i32 {
  store<u32>(match, <u32>attr, MATCH_FAULT);
  return -EINVAL;
}

/** Notes the type of an attribute that is not there. */
export function refuseWithout(match: usize, type: u32): i32 {
  store<u32>(match, type, MATCH_MISSING);
  return -EINVAL;
}

/**
 * Enters the attributes of a list into the table; `seen` are those of the lists around it. Returns the types seen so far, or
 * SEEN_BAD: an unknown type, one that was seen before, a wrong size, or bytes left over (the padding of the last one too must
 * be there).
 */
export function sortAttrs(match: usize, attrs: usize, size: u32, seen: u64, form: u32): u64 {
  const end = attrs + size;
  let a = attrs;
  for (; attrOk(a, end); a = attrNext(a)) {
    const type = attrType(a);
    const payloadSize = attrPayloadSize(a);
    const wanted = keyAttrSize(type);
    if ((wanted != payloadSize && wanted != SIZE_ANY) || seen & bit(type)) {
      refuse(match, a);
      return SEEN_BAD;
    }
    if (form == FORM_MASK ? isZero(attrPayload(a), payloadSize) : form == FORM_EXACT && payloadSize == 0) continue;
    seen |= bit(type);
    store<u32>(match + ((<usize>type) << 2), <u32>a, MATCH_TABLE);
  }
  if (a == end) return seen;
  refuse(match, a < end ? a : attrs);
  return SEEN_BAD;
}
