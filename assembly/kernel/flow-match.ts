/*
 * What a request of ovs_flow says of flows: key, mask and name; and which flow it means. Before it: flow.ts. After it: the flow table.
 *
 * Concepts. Key and mask are read into the socket's scratch, where they stay until the handler returns. A flow is meant by its UFID, if the request has one
 * that is none too long; else by its key, which must be the flow's own, unmasked. The kernel compares keys only as far as the fields reach that
 * the request names (struct sw_flow_match.range); what of that can be seen is in `reach`.
 *
 * Threads: handlers; the finders need the writer lock.
 */
import {
  FLOW_SUBTABLE,
  KEY_CT_LABELS,
  KEY_CT_MARK,
  KEY_CT_ZONE,
  KEY_SIZE,
  KEY_SKB_PRIORITY,
  MATCH_SEEN,
  MATCH_SIZEOF,
  NAME_SIZEOF,
  SOCKET_SCRATCH_SIZE,
  SUBTABLE_TABLE,
  UFID_SIZE_MAX,
} from '../constants';
import { findIn, hashMasked } from '../flow/classifier';
import { findUfid, isNamedByKey, nameUfid, unmaskKey } from '../flow/name';
import { orderRef } from '../flow/order';
import { readMatchLocked } from '../flow/table';
import { attrPayload, attrPayloadSize } from '../netlink/attribute';
import { parseKey, parseMatch } from '../netlink/key-get';
import { bit } from '../netlink/key-get-attrs';
import {
  OVS_FLOW_ATTR_KEY,
  OVS_FLOW_ATTR_MASK,
  OVS_FLOW_ATTR_UFID,
  OVS_KEY_ATTR_ARP,
  OVS_KEY_ATTR_CT_LABELS,
  OVS_KEY_ATTR_CT_MARK,
  OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV4,
  OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV6,
  OVS_KEY_ATTR_CT_ZONE,
  OVS_KEY_ATTR_ICMP,
  OVS_KEY_ATTR_ICMPV6,
  OVS_KEY_ATTR_IPV4,
  OVS_KEY_ATTR_IPV6,
  OVS_KEY_ATTR_MPLS,
  OVS_KEY_ATTR_ND,
  OVS_KEY_ATTR_NSH,
  OVS_KEY_ATTR_PRIORITY,
  OVS_KEY_ATTR_SCTP,
  OVS_KEY_ATTR_SKB_MARK,
  OVS_KEY_ATTR_TCP,
  OVS_KEY_ATTR_TCP_FLAGS,
  OVS_KEY_ATTR_TUNNEL,
  OVS_KEY_ATTR_UDP,
} from '../netlink/openvswitch';
import { attr, scratch } from './request';

// Where things stand in the socket's scratch.
const KEY: usize = 0;
const MASK: usize = KEY + KEY_SIZE;
/** Key of a flow that is looked at. */
const OTHER: usize = MASK + KEY_SIZE;
const OTHER_MASK: usize = OTHER + KEY_SIZE;
const MATCH: usize = OTHER_MASK + KEY_SIZE;
const NAME: usize = MATCH + MATCH_SIZEOF;
const STATS: usize = NAME + NAME_SIZEOF;
assert(STATS + 32 <= <usize>SOCKET_SCRATCH_SIZE && STATS % 8 == 0);

@inline
export function keyAt(): usize {
  return scratch() + KEY;
}

@inline
export function maskAt(): usize {
  return scratch() + MASK;
}

@inline
export function otherAt(): usize {
  return scratch() + OTHER;
}

@inline
export function otherMaskAt(): usize {
  return scratch() + OTHER_MASK;
}

@inline
export function nameAt(): usize {
  return scratch() + NAME;
}

/** Room for what sumFlow writes. */
@inline
export function statsAt(): usize {
  return scratch() + STATS;
}

/** Reads KEY and MASK, or KEY as its own mask. 0, or -EINVAL. */
export function readMatch(): i32 {
  const key = attr(OVS_FLOW_ATTR_KEY);
  const mask = attr(OVS_FLOW_ATTR_MASK);
  const maskAttrs: usize = mask == 0 ? 0 : attrPayload(mask);
  const maskSize = mask == 0 ? 0 : attrPayloadSize(mask);
  const match = scratch() + MATCH;
  return parseMatch(attrPayload(key), attrPayloadSize(key), maskAttrs, maskSize, keyAt(), maskAt(), match);
}

/** Reads KEY alone. 0, or -EINVAL. */
export function readKey(): i32 {
  const key = attr(OVS_FLOW_ATTR_KEY);
  return parseKey(attrPayload(key), attrPayloadSize(key), keyAt(), scratch() + MATCH);
}

/** Reads UFID into the name. False when there is none, or it is too long to be one. */
export function readUfidName(): bool {
  const ufid = attr(OVS_FLOW_ATTR_UFID);
  if (ufid == 0 || attrPayloadSize(ufid) - 1 >= <u32>UFID_SIZE_MAX) return false;
  nameUfid(nameAt(), attrPayload(ufid), attrPayloadSize(ufid));
  return true;
}

/** The flow that the request means, 0 none. */
@inline
export function findMeant(byUfid: bool): usize {
  return byUfid ? findUfid(nameAt()) : findByKey();
}

/** The flow that is named by the key of the request, 0 none. */
export function findByKey(): usize {
  const key = keyAt();
  const order = orderRef();
  const end = order + 8 + (load<u32>(order) << 2);
  for (let at = order + 8; at < end; at += 4) {
    const subtable: usize = load<u32>(at);
    const flow = findIn(subtable, load<u32>(subtable, SUBTABLE_TABLE), key, hashMasked(subtable, key));
    if (flow != 0 && isNamedByKey(flow) && isMeant(flow)) return flow;
  }
  return 0;
}

/** The request's key is what a flow, which covers it or has its UFID, is called by: its unmasked key, or the masked one of a flow with a UFID. */
export function isMeant(flow: usize): bool {
  const other = otherAt();
  const byKey = isNamedByKey(flow);
  readMatchLocked(flow, load<u32>(flow, FLOW_SUBTABLE), other);
  if (byKey) unmaskKey(flow, other);
  reach(other, load<u64>(scratch() + MATCH, MATCH_SEEN), byKey);
  return memory.compare(other, keyAt(), KEY_SIZE) == 0;
}

const TUPLES: u64 = bit(OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV4) | bit(OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV6);
const HEADERS: u64 =
  bit(OVS_KEY_ATTR_IPV4) |
  bit(OVS_KEY_ATTR_IPV6) |
  bit(OVS_KEY_ATTR_ARP) |
  bit(OVS_KEY_ATTR_ND) |
  bit(OVS_KEY_ATTR_NSH) |
  bit(OVS_KEY_ATTR_MPLS) |
  bit(OVS_KEY_ATTR_TCP) |
  bit(OVS_KEY_ATTR_TCP_FLAGS) |
  bit(OVS_KEY_ATTR_UDP) |
  bit(OVS_KEY_ATTR_SCTP) |
  bit(OVS_KEY_ATTR_ICMP) |
  bit(OVS_KEY_ATTR_ICMPV6);

/**
 * Takes out of a flow's key what lies, in the order of the kernel's struct sw_flow_key, beyond the last field that the request `names`: conntrack
 * mark and labels are its end, the zone stands before the headers' fields. With a UFID, what lies before the first is out too.
 */
function reach(other: usize, names: u64, fromStart: bool): void {
  const tunnel = bit(OVS_KEY_ATTR_TUNNEL);
  if (!fromStart && (names & (bit(OVS_KEY_ATTR_PRIORITY) | bit(OVS_KEY_ATTR_SKB_MARK) | tunnel)) == 0) {
    store<u64>(other, 0, KEY_SKB_PRIORITY); // and the mark behind it
  }
  if (names & bit(OVS_KEY_ATTR_CT_LABELS)) return;
  v128.store(other, i64x2.splat(0), KEY_CT_LABELS);
  if (names & (bit(OVS_KEY_ATTR_CT_MARK) | TUPLES)) return;
  store<u32>(other, 0, KEY_CT_MARK);
  if ((names & (bit(OVS_KEY_ATTR_CT_ZONE) | HEADERS)) == 0) store<u16>(other, 0, KEY_CT_ZONE);
}
