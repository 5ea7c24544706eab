/*
 * The exact-match cache: hash of the whole key -> flow, private to a worker. Before it: flow/hash.ts. After it, for what it does not
 * know: flow/classifier.ts, which tells it.
 *
 * Concepts. An entry is a signature and the address of a flow, nothing else. A hit is decided by comparing the packet with
 * the flow itself, under the flow's mask; so the cache holds no key, an entry can never be wrong, and it needs no
 * invalidation: when a flow is removed, or its slot holds another flow by now, the comparison fails and the classifier is asked. With
 * N nominal entries there are N/8 buckets of 12 ways: at N flows 8 of 12 are used on average, and what does not fit goes to the
 * bucket's neighbour.
 * Replacement. A free way is used at once. A full pair gives up an entry only every EVICT_RELUCTANCE-th time, so that a
 * working set far larger than the cache does not spend its time replacing entries that it will not see again.
 *
 * Ownership and threads: one worker reads and writes it. The host may clear it while that worker is not running.
 */
import {
  BUCKET_HAND,
  BUCKET_SPILLED,
  BUCKET_WAYS,
  COUNTER_EMC_INSERTS,
  FLOW_KEY_MORE,
  FLOW_SUBTABLE,
  OPTION_EMC,
  PACKET_KEY,
  PORTS_MAX,
  PORT_FLAGS,
  PORT_FLAG_NO_EMC,
  PORT_SIZEOF,
  SB_OPTIONS,
  SUBTABLE_LIST,
  SUBTABLE_LIST_COUNT,
  SUBTABLE_MASK,
  WORKER_EMC_RELUCTANCE,
} from '../constants';
import { area, emc, emcBucketMask, ports, sb } from '../memory/layout';
import { clear, freeWays, match, place, refAt, signatureOf } from './bucket';
import { count } from './counters';
import { equalInline, equalList } from './hash';

const EVICT_RELUCTANCE: u32 = 16;

/** Whether packets that came by this port are looked up here. */
@inline
export function usesCache(portNo: u32): bool {
  if ((load<u32>(sb(SB_OPTIONS)) & OPTION_EMC) == 0) return false;
  return portNo >= <u32>PORTS_MAX || (load<u32>(ports + portNo * PORT_SIZEOF, PORT_FLAGS) & PORT_FLAG_NO_EMC) == 0;
}

@inline
export function bucketOf(hash: u32): usize {
  return emc + ((hash & emcBucketMask) << 6);
}

/** Where goes what finds no way in its home bucket: the other bucket of a pair, whatever address the cache begins at. */
@inline
function neighbourOf(hash: u32): usize {
  return bucketOf(hash ^ 1);
}

/** First candidate for `hash` in its home bucket: address of a flow, 0 when there is none. */
@inline
export function candidate(hash: u32): usize {
  const bucket = bucketOf(hash);
  const ways = match(bucket, signatureOf(hash));
  return ways == 0 ? 0 : load<u32>(bucket + (ctz(ways) << 2), 16);
}

/** True when the flow is alive and its match covers the packet. */
@inline
export function covers(flow: usize, packet: usize): bool {
  return coversKey(flow, load<u32>(packet, PACKET_KEY));
}

/** The same for a key; a rule of the rule table begins like a flow and may stand in for one. */
@inline
export function coversKey(flow: usize, key: usize): bool {
  const subtable: usize = atomic.load<u32>(flow, FLOW_SUBTABLE);
  if (subtable == 0) return false;
  const a = v128.and(v128.load(key), v128.load(subtable, SUBTABLE_MASK));
  const b = v128.and(v128.load(key, 16), v128.load(subtable, SUBTABLE_MASK + 16));
  const c = v128.and(v128.load(key, 32), v128.load(subtable, SUBTABLE_MASK + 32));
  if (!equalInline(a, b, c, flow)) return false;
  const listCount = load<u32>(subtable, SUBTABLE_LIST_COUNT);
  return (
    listCount == 0 || equalList(key, load<u32>(subtable, SUBTABLE_LIST), listCount, load<u32>(flow, FLOW_KEY_MORE))
  );
}

/** The full search, for a packet whose first candidate was not it: every way with the signature, then the neighbour. */
export function lookup(packet: usize, hash: u32): usize {
  const home = bucketOf(hash);
  const flow = lookupBucket(home, packet, hash);
  if (flow != 0 || load<u8>(home, BUCKET_SPILLED) == 0) return flow;
  return lookupBucket(neighbourOf(hash), packet, hash);
}

function lookupBucket(bucket: usize, packet: usize, hash: u32): usize {
  for (let ways = match(bucket, signatureOf(hash)); ways != 0; ways &= ways - 1) {
    const way = ctz(ways);
    const flow: usize = refAt(bucket, way);
    if (covers(flow, packet)) return flow;
    if (atomic.load<u32>(flow, FLOW_SUBTABLE) == 0) clear(bucket, way);
  }
  return 0;
}

/** Remembers that packets with `hash` belong to `flow`. */
export function insert(hash: u32, flow: u32): void {
  const home = bucketOf(hash);
  const signature = signatureOf(hash);
  let bucket = home;
  let free = freeWays(home);
  if (free == 0) {
    bucket = neighbourOf(hash);
    free = freeWays(bucket);
    if (free != 0) store<u8>(home, 1, BUCKET_SPILLED);
  }
  if (free != 0) {
    place(bucket, ctz(free), signature, flow);
  } else {
    const reluctance = load<u32>(area, WORKER_EMC_RELUCTANCE) + 1;
    store<u32>(area, reluctance, WORKER_EMC_RELUCTANCE);
    if (reluctance % EVICT_RELUCTANCE != 0) return;
    const way = <u32>load<u8>(home, BUCKET_HAND);
    store<u8>(home, <u8>(way + 1 == <u32>BUCKET_WAYS ? 0 : way + 1), BUCKET_HAND);
    place(home, way, signature, flow);
  }
  count(COUNTER_EMC_INSERTS, 1);
}
