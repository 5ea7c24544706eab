/*
 * Subtables: all flows that share one mask. Concepts / Ownership / Threads.
 *
 * Concepts. A mask is normalised into the six inline words (0..5, which hold a whole IPv4 flow) and a list of (offset, mask, secret) for
 * every further word that it covers. The flows hang in a table of buckets (flow/bucket.ts), a power of two of them; an entry that finds
 * its home bucket full goes to the next one that has a free way, and every full bucket it passed counts it in SPILLED, so a lookup goes on
 * only where something was passed on. A table is doubled when nine of twelve ways are used: the new one is built aside and
 * published by one store (address and size in one word), the old one retired. Subtables with flows stand in the order, an array that
 * lookups walk; it is replaced as a whole when one leaves it or when it is sorted, and appended to in place.
 *
 * Ownership. A descriptor belongs to its references: one a flow and one a holder (`acquireMask`). Without any it leaves the mask index, and
 * its table, list and descriptor are freed when the epoch has passed.
 *
 * Threads. Everything here needs the writer lock; the classifier reads SUBTABLE_TABLE, the order, the list and the mask without it.
 */
import {
  BUCKET_SIZEOF,
  BUCKET_SPILLED,
  FLOW_HASH,
  FLOW_INLINE_WORDS,
  FLOW_SUBTABLE,
  KEY_WORDS,
  SB_MASK_INDEX,
  SB_SUBTABLES,
  SB_SUBTABLE_FREE,
  SB_SUBTABLE_FRESH,
  SUBTABLES_MAX,
  SUBTABLE_FLOWS,
  SUBTABLE_HASH,
  SUBTABLE_INDEX,
  SUBTABLE_LIST,
  SUBTABLE_LIST_COUNT,
  SUBTABLE_MASK,
  SUBTABLE_NEXT,
  SUBTABLE_REFS,
  SUBTABLE_SIZEOF,
  SUBTABLE_TABLE,
  WORD_MASK,
  WORD_OFFSET,
  WORD_SECRET,
  WORD_SIZEOF,
} from '../constants';
import { sb, secrets } from '../memory/layout';
import { markSeen } from '../memory/repair';
import { allocate, release, retire } from '../memory/slab';
import { clear, freeWays, match, place, refAt, signatureOf, usedWays } from './bucket';
import { finish, nhWord } from './hash';
import { appendToOrder, isOrdered, removeFromOrder } from './order';

const SPILLED_MAX: u32 = 255;
/** Ways used a bucket, on average, at which a table doubles. */
const FULL_WAYS: u32 = 9;

@inline
export function tableBuckets(table: u32): usize {
  return table & ~63;
}

@inline
export function tableBucketMask(table: u32): u32 {
  return (1 << (table & 63)) - 1;
}

// ------------------------------------------------------------------------------------------------ masks

@inline
function maskChain(hash: u32): usize {
  return load<u32>(sb(SB_MASK_INDEX)) + ((hash & (2 * SUBTABLES_MAX - 1)) << 2);
}

function hashMask(mask: usize): u32 {
  let sum: u64 = 0;
  for (let i: u32 = 0; i < <u32>KEY_WORDS; i++)
    sum += nhWord(load<u64>(mask + (i << 3)), load<u64>(secrets + (i << 3)));
  return finish(sum);
}

function sameMask(subtable: usize, mask: usize): bool {
  if (memory.compare(subtable + SUBTABLE_MASK, mask, FLOW_INLINE_WORDS << 3) != 0) return false;
  let entry: usize = load<u32>(subtable, SUBTABLE_LIST);
  const end = entry + load<u32>(subtable, SUBTABLE_LIST_COUNT) * WORD_SIZEOF;
  for (let i: u32 = FLOW_INLINE_WORDS; i < <u32>KEY_WORDS; i++) {
    const word = load<u64>(mask + (i << 3));
    if (word == 0) continue;
    if (entry == end || load<u32>(entry, WORD_OFFSET) != i << 3 || load<u64>(entry, WORD_MASK) != word) return false;
    entry += WORD_SIZEOF;
  }
  return entry == end;
}

/** The subtable of `mask` (KEY_SIZE bytes), without a reference; 0 when there is none. */
export function findMask(mask: usize): usize {
  const hash = hashMask(mask);
  for (let s: usize = load<u32>(maskChain(hash)); s != 0; s = load<u32>(s, SUBTABLE_NEXT)) {
    if (load<u32>(s, SUBTABLE_HASH) == hash && sameMask(s, mask)) return s;
  }
  return 0;
}

/** The subtable of `mask`, made when there is none, with one more reference. 0: SUBTABLES_MAX reached or the arena is full. */
export function acquireMask(mask: usize): usize {
  let subtable = findMask(mask);
  if (subtable == 0) {
    subtable = makeSubtable(mask);
    if (subtable == 0) return 0;
  }
  store<u32>(subtable, load<u32>(subtable, SUBTABLE_REFS) + 1, SUBTABLE_REFS);
  return subtable;
}

function makeSubtable(mask: usize): usize {
  let words: u32 = 0;
  for (let i: u32 = FLOW_INLINE_WORDS; i < <u32>KEY_WORDS; i++) words += u32(load<u64>(mask + (i << 3)) != 0);
  const buckets = makeBuckets(0);
  const list: usize = words == 0 ? 0 : allocate(words * WORD_SIZEOF);
  const subtable = buckets != 0 && (words == 0 || list != 0) ? takeDescriptor() : 0;
  if (subtable == 0) {
    release(buckets);
    release(list);
    return 0;
  }
  memory.copy(subtable + SUBTABLE_MASK, mask, FLOW_INLINE_WORDS << 3);
  let entry = list;
  for (let i: u32 = FLOW_INLINE_WORDS; i < <u32>KEY_WORDS; i++) {
    const word = load<u64>(mask + (i << 3));
    if (word == 0) continue;
    store<u64>(entry, word, WORD_MASK);
    store<u64>(entry, load<u64>(secrets + (i << 3)), WORD_SECRET);
    store<u32>(entry, i << 3, WORD_OFFSET);
    entry += WORD_SIZEOF;
  }
  store<u32>(subtable, <u32>list, SUBTABLE_LIST);
  store<u32>(subtable, words, SUBTABLE_LIST_COUNT);
  store<u32>(subtable, 0, SUBTABLE_FLOWS);
  store<u32>(subtable, 0, SUBTABLE_REFS);
  atomic.store<u32>(subtable, <u32>buckets, SUBTABLE_TABLE);
  const hash = hashMask(mask);
  store<u32>(subtable, hash, SUBTABLE_HASH);
  store<u32>(subtable, load<u32>(maskChain(hash)), SUBTABLE_NEXT);
  store<u32>(maskChain(hash), <u32>subtable);
  return subtable;
}

function takeDescriptor(): usize {
  let subtable: usize = load<u32>(sb(SB_SUBTABLE_FREE));
  if (subtable != 0) {
    store<u32>(sb(SB_SUBTABLE_FREE), load<u32>(subtable, SUBTABLE_NEXT));
    return subtable;
  }
  const index = load<u32>(sb(SB_SUBTABLE_FRESH));
  if (index == <u32>SUBTABLES_MAX) return 0;
  store<u32>(sb(SB_SUBTABLE_FRESH), index + 1);
  subtable = load<u32>(sb(SB_SUBTABLES)) + index * SUBTABLE_SIZEOF;
  store<u32>(subtable, index, SUBTABLE_INDEX);
  return subtable;
}

/** Called by the slab when nobody can read the descriptor any more. */
export function freeSubtable(subtable: usize): void {
  store<u32>(subtable, load<u32>(sb(SB_SUBTABLE_FREE)), SUBTABLE_NEXT);
  store<u32>(sb(SB_SUBTABLE_FREE), <u32>subtable);
}

/** Gives one reference back. */
export function releaseMask(subtable: usize): void {
  const refs = load<u32>(subtable, SUBTABLE_REFS) - 1;
  store<u32>(subtable, refs, SUBTABLE_REFS);
  if (refs == 0 && !isOrdered(subtable)) dropSubtable(subtable);
}

/** Frees a subtable that has no references and that lookups do not visit any more. */
export function dropSubtable(subtable: usize): void {
  let link = maskChain(load<u32>(subtable, SUBTABLE_HASH));
  while (load<u32>(link) != <u32>subtable) link = load<u32>(link) + SUBTABLE_NEXT;
  store<u32>(link, load<u32>(subtable, SUBTABLE_NEXT));
  retire(load<u32>(subtable, SUBTABLE_LIST), 0);
  retire(tableBuckets(load<u32>(subtable, SUBTABLE_TABLE)), <u32>subtable);
}

// ------------------------------------------------------------------------------------------------ tables

function makeBuckets(log2: u32): usize {
  const size: u32 = BUCKET_SIZEOF << log2;
  const buckets = allocate(size);
  if (buckets != 0) memory.fill(buckets, 0, size);
  return buckets;
}

/** Makes sure that one more flow can be added; false when the table had to grow and the arena is full. */
export function makeRoom(subtable: usize): bool {
  const count = load<u32>(subtable, SUBTABLE_FLOWS);
  const table = load<u32>(subtable, SUBTABLE_TABLE);
  if (count >= (tableBucketMask(table) + 1) * FULL_WAYS && !grow(subtable)) return false;
  return count != 0 || appendToOrder(subtable);
}

/** Puts a flow into the table, which has room. */
export function addFlow(subtable: usize, flow: usize): void {
  store<u32>(subtable, load<u32>(subtable, SUBTABLE_FLOWS) + 1, SUBTABLE_FLOWS);
  placeFlow(load<u32>(subtable, SUBTABLE_TABLE), flow);
}

function placeFlow(table: u32, flow: usize): void {
  const hash = load<u32>(flow, FLOW_HASH);
  const mask = tableBucketMask(table);
  for (let at = hash; ; at++) {
    const bucket = tableBuckets(table) + ((at & mask) << 6);
    const free = freeWays(bucket);
    if (free != 0) {
      place(bucket, ctz(free), signatureOf(hash), <u32>flow);
      return;
    }
    const spilled = <u32>load<u8>(bucket, BUCKET_SPILLED);
    if (spilled < SPILLED_MAX) atomic.store<u8>(bucket, <u8>(spilled + 1), BUCKET_SPILLED);
  }
}

/** Takes a flow out of the table; readers do not find it any more, but may still hold it. */
export function removeFlow(subtable: usize, flow: usize): void {
  const table = load<u32>(subtable, SUBTABLE_TABLE);
  const hash = load<u32>(flow, FLOW_HASH);
  const mask = tableBucketMask(table);
  for (let at = hash; ; at++) {
    const bucket = tableBuckets(table) + ((at & mask) << 6);
    const way = wayOf(bucket, signatureOf(hash), flow);
    if (way >= 0) {
      clear(bucket, <u32>way);
      break;
    }
    const spilled = <u32>load<u8>(bucket, BUCKET_SPILLED);
    if (spilled < SPILLED_MAX) atomic.store<u8>(bucket, <u8>(spilled - 1), BUCKET_SPILLED);
  }
  const count = load<u32>(subtable, SUBTABLE_FLOWS) - 1;
  store<u32>(subtable, count, SUBTABLE_FLOWS);
  if (count == 0) removeFromOrder(subtable);
}

function wayOf(bucket: usize, signature: u32, flow: usize): i32 {
  for (let ways = match(bucket, signature); ways != 0; ways &= ways - 1) {
    if (refAt(bucket, ctz(ways)) == <u32>flow) return ctz(ways);
  }
  return -1;
}

function grow(subtable: usize): bool {
  const table = load<u32>(subtable, SUBTABLE_TABLE);
  const log2 = (table & 63) + 1;
  const buckets = makeBuckets(log2);
  if (buckets == 0) return false;
  const bigger = <u32>buckets | log2;
  const end = tableBuckets(table) + ((tableBucketMask(table) + 1) << 6);
  for (let bucket = tableBuckets(table); bucket < end; bucket += BUCKET_SIZEOF) {
    for (let ways = usedWays(bucket); ways != 0; ways &= ways - 1) placeFlow(bigger, refAt(bucket, ctz(ways)));
  }
  atomic.store<u32>(subtable, bigger, SUBTABLE_TABLE);
  retire(tableBuckets(table), 0);
  return true;
}

/**
 * For repairs: a new table of the same size with the flows of the old one that name this subtable, and their count. Without room for it the old one
 * stays, with every bucket marked as spilled: right, if slow.
 */
export function rebuildTable(subtable: usize): void {
  const table = load<u32>(subtable, SUBTABLE_TABLE);
  const log2 = table & 63;
  const buckets = makeBuckets(log2);
  const end = tableBuckets(table) + ((tableBucketMask(table) + 1) << 6);
  let count: u32 = 0;
  for (let bucket = tableBuckets(table); bucket < end; bucket += BUCKET_SIZEOF) {
    if (buckets == 0) store<u8>(bucket, <u8>SPILLED_MAX, BUCKET_SPILLED);
    for (let ways = usedWays(bucket); ways != 0; ways &= ways - 1) {
      const flow: usize = refAt(bucket, ctz(ways));
      if (load<u32>(flow, FLOW_SUBTABLE) != <u32>subtable) {
        clear(bucket, ctz(ways));
        continue;
      }
      markSeen(flow);
      count++;
      if (buckets != 0) placeFlow(<u32>buckets | log2, flow);
    }
  }
  store<u32>(subtable, count, SUBTABLE_FLOWS);
  if (buckets == 0) return;
  atomic.store<u32>(subtable, <u32>buckets | log2, SUBTABLE_TABLE);
  retire(tableBuckets(table), 0);
}
