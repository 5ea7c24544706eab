/*
 * Key and mask of a flow, or the metadata of a packet, from OVS_KEY_ATTR_* attributes. The mirror of key-put.ts.
 *
 * Before it: whoever got a message that says which packets a flow is for, or what to take a packet for. After it: the flow
 * table, or extraction. What is refused and what is not, is what the kernel's ovs_nla_get_match does; it knows one errno.
 *
 * Concepts. Lists are sorted into a table (key-get-attrs.ts), tags opened (key-get-vlan.ts), each group of headers read by its
 * file into the key and then, the same way, into the mask; at last the rules of composition are asked (key-get-rules.ts).
 * A flow without a mask matches all that its key says, and nothing that it does not say.
 *
 * Ownership and threads. Reads the lists inside their bounds, whatever is in them; writes key and mask (KEY_SIZE bytes each)
 * and `match` (MATCH_SIZEOF bytes), which are the caller's and mean nothing after a refusal, except MATCH_FAULT and
 * MATCH_MISSING: one of them names what was wrong, unless a whole list was. Any thread.
 */
import {
  EINVAL,
  KEY_CVLAN_TCI,
  KEY_ETH_TYPE,
  KEY_PACKET_TYPE,
  KEY_RECIRC_ID,
  KEY_SIZE,
  KEY_TUN_PROTO,
  KEY_VLAN_TCI,
  MATCH_FAULT,
  MATCH_MISSING,
  MATCH_SEEN,
} from '../constants';
import { ETH_P_IPV6_WIRE, ETH_P_IP_WIRE } from '../packet/ethernet';
import { NLA_HDRLEN } from './attribute';
import { bit, FORM_EXACT, FORM_KEY, FORM_MASK, payloadOf, refuse, SEEN_BAD, sortAttrs } from './key-get-attrs';
import { readHeaders, readType } from './key-get-headers';
import { readMetadata } from './key-get-metadata';
import { checkComposition } from './key-get-rules';
import { openTags } from './key-get-vlan';
import {
  OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV4,
  OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV6,
  OVS_KEY_ATTR_ETHERNET,
  OVS_KEY_ATTR_ETHERTYPE,
} from './openvswitch';

const TCI_EXACT: u16 = 0xffff;
const PACKET_TYPE_NAMESPACE: u32 = 0x0000ffff;

/**
 * Reads the lists of OVS_FLOW_ATTR_KEY and OVS_FLOW_ATTR_MASK; `maskAttrs` 0 is a flow without a mask, which is not the same as
 * one with an empty mask. The key is as it was given, not yet under its mask. 0, or -EINVAL.
 */
export function parseMatch(
  keyAttrs: usize,
  keySize: u32,
  maskAttrs: usize,
  maskSize: u32,
  key: usize,
  mask: usize,
  match: usize,
): i32 {
  clearKey(key);
  clearKey(mask);
  clearMatch(match);
  const keySeen = readList(match, keyAttrs, keySize, FORM_KEY, key, key);
  if (keySeen == SEEN_BAD) return -EINVAL;
  store<u64>(match, keySeen, MATCH_SEEN);

  // There is always a match on whether the frame has tags.
  store<u16>(mask, TCI_EXACT, KEY_VLAN_TCI);
  store<u16>(mask, TCI_EXACT, KEY_CVLAN_TCI);
  const maskSeen =
    maskAttrs == 0
      ? readList(match, keyAttrs, keySize, FORM_EXACT, mask, key)
      : readList(match, maskAttrs, maskSize, FORM_MASK, mask, key);
  if (maskSeen == SEEN_BAD) return -EINVAL;
  matchPacketType(key, mask);
  return checkComposition(match, maskSeen, key, mask);
}

/**
 * Reads the list of OVS_FLOW_ATTR_KEY alone, of a request that asks for a flow: what a key must have is asked, what it might have too much is
 * not, because there is no mask for it. 0, or -EINVAL.
 */
export function parseKey(attrs: usize, size: u32, key: usize, match: usize): i32 {
  clearKey(key);
  clearMatch(match);
  const seen = readList(match, attrs, size, FORM_KEY, key, key);
  if (seen == SEEN_BAD) return -EINVAL;
  store<u64>(match, seen, MATCH_SEEN);
  return checkComposition(match, 0, key, key);
}

/** KEY_SIZE zeros; for so few bytes memory.fill costs more, it is a call out of the module. */
function clearKey(key: usize): void {
  const zero = i64x2.splat(0);
  const end = key + KEY_SIZE;
  for (; key < end; key += 64) {
    v128.store(key, zero);
    v128.store(key, zero, 16);
    v128.store(key, zero, 32);
    v128.store(key, zero, 48);
  }
}

assert(KEY_SIZE % 64 == 0);

/** No fault and nothing missing. The table needs no clearing: what is looked up in it was entered. */
@inline
function clearMatch(match: usize): void {
  store<u64>(match, 0);
  store<u64>(match, 0, MATCH_SEEN);
}

assert(MATCH_FAULT == 0 && MATCH_MISSING == 4 && MATCH_SEEN == 8);

/** Reads one list into `to`, the key or the mask. The types of attributes that it had, or SEEN_BAD. */
@inline
function readList(match: usize, attrs: usize, size: u32, form: u32, to: usize, key: usize): u64 {
  let seen = sortAttrs(match, attrs, size, 0, form);
  if (seen == SEEN_BAD) return SEEN_BAD;
  seen = openTags(match, seen, form, to, key);
  if (seen == SEEN_BAD) return SEEN_BAD;
  if (readMetadata(match, seen, form, to, key) != 0) return SEEN_BAD;
  return readHeaders(match, seen, form, to) == 0 ? seen : SEEN_BAD;
}

/**
 * Whether a packet has an Ethernet header is matched where packets without one can turn up: behind a tunnel, or when they come
 * round again. Elsewhere the mask stays narrower, which lookups are thankful for.
 */
function matchPacketType(key: usize, mask: usize): void {
  const fresh = load<u32>(key, KEY_RECIRC_ID) == 0 && load<u32>(mask, KEY_RECIRC_ID) == u32.MAX_VALUE;
  if (fresh && load<u8>(key, KEY_TUN_PROTO) == 0 && load<u32>(key, KEY_PACKET_TYPE) == 0) return;
  store<u32>(mask, PACKET_TYPE_NAMESPACE | ((<u32>load<u16>(mask, KEY_ETH_TYPE)) << 16), KEY_PACKET_TYPE);
}

/**
 * Reads the metadata of OVS_PACKET_ATTR_KEY; the headers in it are the packet's own business and only their sizes are looked
 * at. A packet without ETHERNET and with ETHERTYPE has no Ethernet header. 0, or -EINVAL.
 */
export function parseMetadata(attrs: usize, size: u32, key: usize, match: usize): i32 {
  clearKey(key);
  clearMatch(match);
  const seen = sortAttrs(match, attrs, size, 0, FORM_KEY);
  if (seen == SEEN_BAD) return -EINVAL;
  store<u64>(match, seen, MATCH_SEEN);
  const error = readMetadata(match, seen, FORM_KEY, key, key);
  if (error != 0) return error;
  const plain = bit(OVS_KEY_ATTR_ETHERNET) | bit(OVS_KEY_ATTR_ETHERTYPE);
  return (seen & plain) == bit(OVS_KEY_ATTR_ETHERTYPE) ? readType(match, seen, FORM_KEY, key) : 0;
}

/** After extraction: the tuple of a connection must be of the packet's own kind. `match` is parseMetadata's. */
export function checkTuple(key: usize, match: usize): i32 {
  const seen = load<u64>(match, MATCH_SEEN);
  const type = <u32>load<u16>(key, KEY_ETH_TYPE);
  if (seen & bit(OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV4) && type != ETH_P_IP_WIRE) {
    return refuse(match, payloadOf(match, OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV4) - NLA_HDRLEN);
  }
  if (seen & bit(OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV6) && type != ETH_P_IPV6_WIRE) {
    return refuse(match, payloadOf(match, OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV6) - NLA_HDRLEN);
  }
  return 0;
}
