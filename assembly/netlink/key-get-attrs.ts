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
import { NLA_HDRLEN, NLA_TYPE_MASK } from './attribute';
import {
  OVS_KEY_ARP_SIZEOF,
  OVS_KEY_ATTR_IPV6_EXTHDRS,
  OVS_KEY_CT_LABELS_SIZEOF,
  OVS_KEY_CT_TUPLE_IPV4_SIZEOF,
  OVS_KEY_CT_TUPLE_IPV6_SIZEOF,
  OVS_KEY_ETHERNET_SIZEOF,
  OVS_KEY_IPV4_SIZEOF,
  OVS_KEY_IPV6_SIZEOF,
  OVS_KEY_ND_SIZEOF,
} from './openvswitch';

/** Forms of a list. */
export const FORM_KEY: u32 = 0;
export const FORM_MASK: u32 = 1;
export const FORM_EXACT: u32 = 2;

/** What sortAttrs and its callers give instead of a set of types when the list is refused. */
export const SEEN_BAD: u64 = u64.MAX_VALUE;

/** Answers of keyAttrSize that no payload has. */
export const SIZE_ANY: u32 = 0xfffe;
const SIZE_UNKNOWN: u32 = 0xffff;

/** Types that a list may have are below this. */
const TYPES: u32 = OVS_KEY_ATTR_IPV6_EXTHDRS + 1;

const A: u16 = <u16>SIZE_ANY;
const N: u16 = <u16>SIZE_UNKNOWN;
const IPV4: u16 = <u16>OVS_KEY_IPV4_SIZEOF;
const IPV6: u16 = <u16>OVS_KEY_IPV6_SIZEOF;

/** Sizes by type, in the order of enum ovs_key_attr. Type 0 has none, and is refused later. */
// biome-ignore format: rows of four
const SIZES = memory.data<u16>([
  0, A, 4, 4, // ENCAP, PRIORITY, IN_PORT
  <u16>OVS_KEY_ETHERNET_SIZEOF, 2, 2, IPV4, // ETHERNET, VLAN, ETHERTYPE, IPV4
  IPV6, 4, 4, 2, // IPV6, TCP, UDP, ICMP
  2, <u16>OVS_KEY_ARP_SIZEOF, <u16>OVS_KEY_ND_SIZEOF, 4, // ICMPV6, ARP, ND, SKB_MARK
  A, 4, 2, 4, // TUNNEL, SCTP, TCP_FLAGS, DP_HASH
  4, A, 4, 2, // RECIRC_ID, MPLS, CT_STATE, CT_ZONE
  4, <u16>OVS_KEY_CT_LABELS_SIZEOF, <u16>OVS_KEY_CT_TUPLE_IPV4_SIZEOF, <u16>OVS_KEY_CT_TUPLE_IPV6_SIZEOF,
  A, N, N, N, // NSH, and what only userspace has
  2, // IPV6_EXTHDRS
]);

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
@inline
export function keyAttrSize(type: u32): u32 {
  return type < TYPES ? load<u16>(SIZES + (type << 1)) : SIZE_UNKNOWN;
}

/** Nothing but zeros. */
@inline
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
  for (;;) {
    const rest = <i32>(end - a);
    if (rest < <i32>NLA_HDRLEN) break;
    const header = load<u32>(a); // size and type
    const attrSize = header & 0xffff;
    if (attrSize < NLA_HDRLEN || <i32>attrSize > rest) break;
    const type = (header >> 16) & NLA_TYPE_MASK;
    const payloadSize = attrSize - NLA_HDRLEN;
    const wanted = keyAttrSize(type);
    if ((wanted != payloadSize && wanted != SIZE_ANY) || seen & bit(type)) {
      refuse(match, a);
      return SEEN_BAD;
    }
    const next = a + ((attrSize + 3) & ~3);
    if (!(form == FORM_MASK ? isZero(a + NLA_HDRLEN, payloadSize) : form == FORM_EXACT && payloadSize == 0)) {
      seen |= bit(type);
      store<u32>(match + ((<usize>type) << 2), <u32>a, MATCH_TABLE);
    }
    a = next;
  }
  if (a == end) return seen;
  refuse(match, a < end ? a : attrs);
  return SEEN_BAD;
}
