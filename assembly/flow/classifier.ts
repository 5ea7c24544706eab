/*
 * The classifier: tuple-space search over the subtables for the packets of a batch that the cache did not know. Before it:
 * flow/emc.ts. After it: the pipeline executes the flow, or sends a miss.
 *
 * Concepts. `unresolved` is a bitmap of positions in the batch. Subtables are visited in their order; each visit masks and hashes every
 * packet still unresolved, looks into one bucket, and compares the flows whose signature is equal; it ends as soon as the bitmap is
 * empty. The first match wins: whoever installs flows makes sure that they do not contradict each other, as in the kernel.
 * Passes. In a table that fits the second-level cache a packet is finished at once, and the processor overlaps neighbouring packets
 * by itself. A larger table takes three passes (hash and touch the bucket; find the candidate and touch it; compare), so that the cache
 * misses of 32 packets are waited for together.
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
  PACKET_HASH,
  PACKET_SIZEOF,
  SUBTABLE_INDEX,
  SUBTABLE_LIST,
  SUBTABLE_LIST_COUNT,
  SUBTABLE_MASK,
  SUBTABLE_TABLE,
} from '../constants';
import { keys, packets, secrets, subtableHits } from '../memory/layout';
import { match, refAt, signatureOf } from './bucket';
import { count } from './counters';
import { equalInline, equalList, finish, hashList, nh } from './hash';
import { orderRef } from './order';
import { tableBucketMask, tableBuckets } from './subtable';

/** Tables of 2^STAGED_LOG2 buckets and more (512 KiB) are visited in three passes. */
const STAGED_LOG2: u32 = 13;

/** What the touching passes read: kept so that the loads are not removed. */
export let touched: u32 = 0;

/** Sets PACKET_FLOW of every packet in `unresolved` that a flow covers, and returns the bitmap of the others. */
export function classify(unresolved: u32): u32 {
  const order = orderRef();
  const end = order + 8 + (atomic.load<u32>(order) << 2);
  let visits: u32 = 0;
  for (let at = order + 8; at < end && unresolved != 0; at += 4) {
    const subtable: usize = load<u32>(at);
    visits += popcnt(unresolved);
    const table = atomic.load<u32>(subtable, SUBTABLE_TABLE);
    const left = (table & 63) < STAGED_LOG2 ? visit(subtable, table, unresolved) : visitStaged(subtable, table, unresolved);
    if (left != unresolved) {
      const hits = subtableHits + (load<u32>(subtable, SUBTABLE_INDEX) << 2);
      store<u32>(hits, load<u32>(hits) + popcnt(unresolved ^ left));
      unresolved = left;
    }
  }
  count(COUNTER_SUBTABLE_LOOKUPS, visits);
  return unresolved;
}

function visit(subtable: usize, table: u32, unresolved: u32): u32 {
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

  for (let todo = unresolved; todo != 0; todo &= todo - 1) {
    const position = ctz(todo);
    const key = keys + position * KEY_SIZE;
    const a = v128.and(v128.load(key), m0);
    const b = v128.and(v128.load(key, 16), m1);
    const c = v128.and(v128.load(key, 32), m2);
    let sum = nh(v128.xor(a, s0), v128.xor(b, s1), v128.xor(c, s2));
    if (listCount != 0) sum += hashList(key, list, listCount);
    const hash = finish(sum);
    const signature = signatureOf(hash);

    let flow: usize = 0;
    for (let probe: u32 = 0; probe <= bucketMask; probe++) {
      const bucket = buckets + (((hash + probe) & bucketMask) << 6);
      for (let ways = match(bucket, signature); ways != 0; ways &= ways - 1) {
        const candidate: usize = refAt(bucket, ctz(ways));
        if (equalInline(a, b, c, candidate) && atomic.load<u32>(candidate, FLOW_SUBTABLE) == <u32>subtable) {
          if (listCount == 0 || equalList(key, list, listCount, load<u32>(candidate, FLOW_KEY_MORE))) {
            flow = candidate;
            break;
          }
        }
      }
      if (flow != 0 || load<u8>(bucket, BUCKET_SPILLED) == 0) break;
    }
    if (flow != 0) {
      store<u32>(packets + position * PACKET_SIZEOF, <u32>flow, PACKET_FLOW);
      unresolved ^= 1 << position;
    }
  }
  return unresolved;
}

/** Hash of a key under the subtable's mask: writers and the staged visit use the same. */
export function hashMasked(subtable: usize, key: usize): u32 {
  const a = v128.and(v128.load(key), v128.load(subtable, SUBTABLE_MASK));
  const b = v128.and(v128.load(key, 16), v128.load(subtable, SUBTABLE_MASK + 16));
  const c = v128.and(v128.load(key, 32), v128.load(subtable, SUBTABLE_MASK + 32));
  let sum = nh(v128.xor(a, v128.load(secrets)), v128.xor(b, v128.load(secrets, 16)), v128.xor(c, v128.load(secrets, 32)));
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
  const buckets = tableBuckets(table);
  const bucketMask = tableBucketMask(table);
  let touching: u32 = 0;
  for (let todo = unresolved; todo != 0; todo &= todo - 1) {
    const position = ctz(todo);
    const hash = hashMasked(subtable, keys + position * KEY_SIZE);
    store<u32>(packets + position * PACKET_SIZEOF, hash, PACKET_HASH + 4);
    touching += load<u32>(buckets + ((hash & bucketMask) << 6));
  }
  for (let todo = unresolved; todo != 0; todo &= todo - 1) {
    const hash = load<u32>(packets + ctz(todo) * PACKET_SIZEOF, PACKET_HASH + 4);
    const bucket = buckets + ((hash & bucketMask) << 6);
    const ways = match(bucket, signatureOf(hash));
    if (ways != 0) touching += load<u32>(refAt(bucket, ctz(ways)));
  }
  touched += touching;
  for (let todo = unresolved; todo != 0; todo &= todo - 1) {
    const position = ctz(todo);
    const packet = packets + position * PACKET_SIZEOF;
    const flow = findIn(subtable, table, keys + position * KEY_SIZE, load<u32>(packet, PACKET_HASH + 4));
    if (flow != 0) {
      store<u32>(packet, <u32>flow, PACKET_FLOW);
      unresolved ^= 1 << position;
    }
  }
  return unresolved;
}

/** The flow that covers `key`, 0 none: the slow single form, for control. */
export function findCovering(key: usize): usize {
  const order = orderRef();
  const end = order + 8 + (atomic.load<u32>(order) << 2);
  for (let at = order + 8; at < end; at += 4) {
    const subtable: usize = load<u32>(at);
    const flow = findIn(subtable, atomic.load<u32>(subtable, SUBTABLE_TABLE), key, hashMasked(subtable, key));
    if (flow != 0) return flow;
  }
  return 0;
}
