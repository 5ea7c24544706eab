/*
 * The classifier: tuple-space search over the subtables for the packets of a batch that the cache did not know. Before it:
 * flow/emc.ts. After it: the pipeline executes the flow, or sends a miss.
 *
 * Concepts. `unresolved` is a bitmap of positions in the batch. Subtables are visited in their order; each visit masks and hashes every
 * packet still unresolved, looks into one bucket, and compares the flows whose signature is equal; it ends as soon as the bitmap is
 * empty. The first match wins: whoever installs flows makes sure that they do not contradict each other, as in the kernel.
 * Passes. With few flows everything is near: a packet is finished before the next, and the processor overlaps neighbouring packets by
 * itself. With many, or with masks that reach past the inline words, three passes: hash and ask the bucket who may be in this subtable, without a branch that
 * depends on the answer; touch the flows of those, and their rows; compare. So the cache misses of the batch are waited for together.
 *
 * Ownership. Reads subtables and flows, never writes them; hit counters and PACKET_FLOW are this worker's. Threads. Any worker, inside
 * an epoch (memory/epoch.ts); writers may be at work meanwhile: see flow/subtable.ts for what they promise.
 */
import {
  BUCKET_SPILLED,
  COUNTER_SUBTABLE_LOOKUPS,
  FLOW_KEY_MORE,
  FLOW_SUBTABLE,
  KEY_SIZE,
  PACKET_FLOW,
  PACKET_SCRATCH,
  PACKET_SIZEOF,
  SB_FLOW_COUNT,
  SUBTABLE_INDEX,
  SUBTABLE_LIST,
  SUBTABLE_LIST_COUNT,
  SUBTABLE_MASK,
  SUBTABLE_TABLE,
} from '../constants';
import { flowRows, flows, keys, packets, sb, secrets, subtableHits } from '../memory/layout';
import { match, refAt, signatureOf } from './bucket';
import { tableBucketMask, tableBuckets } from './bucket-table';
import { count } from './counters';
import { equalInline, equalList, finish, hashList, nh } from './hash';
import { orderRef } from './order';

/** With more flows than this, flows, rows and buckets do not fit the second-level cache beside the packets. */
const NEAR_FLOWS: u32 = 4096;

/** What the touching passes read: kept so that the loads are not removed. */
export let touched: u32 = 0;

/** Sets PACKET_FLOW of every packet in `unresolved` that a flow covers, and returns the bitmap of the others. */
export function classify(unresolved: u32): u32 {
  const order = orderRef();
  const end = order + 8 + (atomic.load<u32>(order) << 2);
  const near = load<u32>(sb(SB_FLOW_COUNT)) <= NEAR_FLOWS;
  let visits: u32 = 0;
  for (let at = order + 8; at < end && unresolved != 0; at += 4) {
    const subtable: usize = load<u32>(at);
    visits += popcnt(unresolved);
    const table = atomic.load<u32>(subtable, SUBTABLE_TABLE);
    const atOnce = near && load<u32>(subtable, SUBTABLE_LIST_COUNT) == 0;
    const left = atOnce ? visitAtOnce(subtable, table, unresolved) : visitStaged(subtable, table, unresolved);
    if (left != unresolved) {
      const hits = subtableHits + (load<u32>(subtable, SUBTABLE_INDEX) << 2);
      store<u32>(hits, load<u32>(hits) + popcnt(unresolved ^ left));
      unresolved = left;
    }
  }
  count(COUNTER_SUBTABLE_LOOKUPS, visits);
  return unresolved;
}

/** For masks within the inline words. Nearly every visit ends at a bucket without the signature. */
function visitAtOnce(subtable: usize, table: u32, unresolved: u32): u32 {
  const m0 = v128.load(subtable, SUBTABLE_MASK);
  const m1 = v128.load(subtable, SUBTABLE_MASK + 16);
  const m2 = v128.load(subtable, SUBTABLE_MASK + 32);
  const s0 = v128.load(secrets);
  const s1 = v128.load(secrets, 16);
  const s2 = v128.load(secrets, 32);
  const buckets = tableBuckets(table);
  const bucketMask = tableBucketMask(table);
  for (let todo = unresolved; todo != 0; todo &= todo - 1) {
    const position = ctz(todo);
    const key = keys + position * KEY_SIZE;
    const a = v128.and(v128.load(key), m0);
    const b = v128.and(v128.load(key, 16), m1);
    const c = v128.and(v128.load(key, 32), m2);
    const hash = finish(nh(v128.xor(a, s0), v128.xor(b, s1), v128.xor(c, s2)));
    const bucket = buckets + ((hash & bucketMask) << 6);
    const ways = match(bucket, signatureOf(hash));
    if (ways == 0 && load<u8>(bucket, BUCKET_SPILLED) == 0) continue;
    let flow: usize = ways == 0 ? 0 : refAt(bucket, ctz(ways));
    if (flow == 0 || !equalInline(a, b, c, flow) || atomic.load<u32>(flow, FLOW_SUBTABLE) != <u32>subtable) {
      flow = findIn(subtable, table, key, hash);
      if (flow == 0) continue;
    }
    store<u32>(packets + position * PACKET_SIZEOF, <u32>flow, PACKET_FLOW);
    unresolved ^= 1 << position;
  }
  return unresolved;
}

/** Hash of a key under the subtable's mask: writers and the staged visit use the same. */
export function hashMasked(subtable: usize, key: usize): u32 {
  const a = v128.and(v128.load(key), v128.load(subtable, SUBTABLE_MASK));
  const b = v128.and(v128.load(key, 16), v128.load(subtable, SUBTABLE_MASK + 16));
  const c = v128.and(v128.load(key, 32), v128.load(subtable, SUBTABLE_MASK + 32));
  let sum = nh(
    v128.xor(a, v128.load(secrets)),
    v128.xor(b, v128.load(secrets, 16)),
    v128.xor(c, v128.load(secrets, 32)),
  );
  const listCount = load<u32>(subtable, SUBTABLE_LIST_COUNT);
  if (listCount != 0) sum += hashList(key, load<u32>(subtable, SUBTABLE_LIST), listCount);
  return finish(sum);
}

/** The flow of `subtable` that covers `key`, 0 none. `hash` is hashMasked's. */
export function findIn(subtable: usize, table: u32, key: usize, hash: u32): usize {
  const a = v128.and(v128.load(key), v128.load(subtable, SUBTABLE_MASK));
  const b = v128.and(v128.load(key, 16), v128.load(subtable, SUBTABLE_MASK + 16));
  const c = v128.and(v128.load(key, 32), v128.load(subtable, SUBTABLE_MASK + 32));
  const list: usize = load<u32>(subtable, SUBTABLE_LIST);
  const listCount = load<u32>(subtable, SUBTABLE_LIST_COUNT);
  const bucketMask = tableBucketMask(table);
  for (let probe: u32 = 0; probe <= bucketMask; probe++) {
    const bucket = tableBuckets(table) + (((hash + probe) & bucketMask) << 6);
    for (let ways = match(bucket, signatureOf(hash)); ways != 0; ways &= ways - 1) {
      const flow: usize = refAt(bucket, ctz(ways));
      if (atomic.load<u32>(flow, FLOW_SUBTABLE) != <u32>subtable || !equalInline(a, b, c, flow)) continue;
      if (listCount == 0 || equalList(key, list, listCount, load<u32>(flow, FLOW_KEY_MORE))) return flow;
    }
    if (load<u8>(bucket, BUCKET_SPILLED) == 0) break;
  }
  return 0;
}

function visitStaged(subtable: usize, table: u32, unresolved: u32): u32 {
  const maybe = suspects(subtable, table, unresolved);
  touchFlows(table, maybe);
  for (let todo = maybe; todo != 0; todo &= todo - 1) {
    const position = ctz(todo);
    const packet = packets + position * PACKET_SIZEOF;
    const flow = findIn(subtable, table, keys + position * KEY_SIZE, load<u32>(packet, PACKET_SCRATCH));
    if (flow == 0) continue;
    store<u32>(packet, <u32>flow, PACKET_FLOW);
    unresolved ^= 1 << position;
  }
  return unresolved;
}

/** The packets whose home bucket holds their signature or has passed entries on; their hashes are left in their descriptors. */
function suspects(subtable: usize, table: u32, unresolved: u32): u32 {
  const m0 = v128.load(subtable, SUBTABLE_MASK);
  const m1 = v128.load(subtable, SUBTABLE_MASK + 16);
  const m2 = v128.load(subtable, SUBTABLE_MASK + 32);
  const s0 = v128.load(secrets);
  const s1 = v128.load(secrets, 16);
  const s2 = v128.load(secrets, 32);
  const list: usize = load<u32>(subtable, SUBTABLE_LIST);
  const listCount = load<u32>(subtable, SUBTABLE_LIST_COUNT);
  const buckets = tableBuckets(table);
  const bucketMask = tableBucketMask(table);
  let maybe: u32 = 0;
  for (let todo = unresolved; todo != 0; todo &= todo - 1) {
    const position = ctz(todo);
    const key = keys + position * KEY_SIZE;
    const a = v128.xor(v128.and(v128.load(key), m0), s0);
    const b = v128.xor(v128.and(v128.load(key, 16), m1), s1);
    const c = v128.xor(v128.and(v128.load(key, 32), m2), s2);
    let sum = nh(a, b, c);
    if (listCount != 0) sum += hashList(key, list, listCount);
    const hash = finish(sum);
    store<u32>(packets + position * PACKET_SIZEOF, hash, PACKET_SCRATCH);
    const bucket = buckets + ((hash & bucketMask) << 6);
    const found = match(bucket, signatureOf(hash)) | load<u8>(bucket, BUCKET_SPILLED);
    maybe |= u32(found != 0) << position;
  }
  return maybe;
}

/** Touches the first candidate of each packet, and its row, which is written when the packet is counted. */
function touchFlows(table: u32, maybe: u32): void {
  const buckets = tableBuckets(table);
  const bucketMask = tableBucketMask(table);
  let touching: u32 = 0;
  for (let todo = maybe; todo != 0; todo &= todo - 1) {
    const hash = load<u32>(packets + ctz(todo) * PACKET_SIZEOF, PACKET_SCRATCH);
    const bucket = buckets + ((hash & bucketMask) << 6);
    const ways = match(bucket, signatureOf(hash));
    if (ways == 0) continue;
    const flow: usize = refAt(bucket, ctz(ways));
    touching += load<u32>(flow) + load<u32>(flowRows + ((flow - flows) >> 1));
  }
  touched += touching;
}

/** The flow that covers `key`, 0 none: one packet by itself, for control, and with `counting` for packets that come again. */
export function findCovering(key: usize, counting: bool): usize {
  const order = orderRef();
  const end = order + 8 + (atomic.load<u32>(order) << 2);
  for (let at = order + 8; at < end; at += 4) {
    const subtable: usize = load<u32>(at);
    if (counting) count(COUNTER_SUBTABLE_LOOKUPS, 1);
    const flow = findIn(subtable, atomic.load<u32>(subtable, SUBTABLE_TABLE), key, hashMasked(subtable, key));
    if (flow == 0) continue;
    if (counting) {
      const hits = subtableHits + (load<u32>(subtable, SUBTABLE_INDEX) << 2);
      store<u32>(hits, load<u32>(hits) + 1);
    }
    return flow;
  }
  return 0;
}
