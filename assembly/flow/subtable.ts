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
  KEY_SIZE,
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
import { clear, refAt, usedWays } from './bucket';
import { isFull, makeTable, placeRef, removeRef, SPILLED_MAX, tableBuckets, tableEnd } from './bucket-table';
import { finish, nh } from './hash';
import { appendToOrder, isOrdered, removeFromOrder } from './order';

// ------------------------------------------------------------------------------------------------ masks

@inline
function maskChain(hash: u32): usize {
  return load<u32>(sb(SB_MASK_INDEX)) + ((hash & (2 * SUBTABLES_MAX - 1)) << 2);
}

// hashMask takes three vectors at a time
assert(KEY_SIZE % 48 == 0);

function hashMask(mask: usize): u32 {
  let sum: u64 = 0;
  for (let at: u32 = 0; at < <u32>KEY_SIZE; at += 48) {
    const a = v128.xor(v128.load(mask + at), v128.load(secrets + at));
    const b = v128.xor(v128.load(mask + at, 16), v128.load(secrets + at, 16));
    sum += nh(a, b, v128.xor(v128.load(mask + at, 32), v128.load(secrets + at, 32)));
  }
  return finish(sum);
}

function sameMask(subtable: usize, mask: usize): bool {
  let difference = v128.xor(v128.load(mask), v128.load(subtable, SUBTABLE_MASK));
  difference = v128.or(difference, v128.xor(v128.load(mask, 16), v128.load(subtable, SUBTABLE_MASK + 16)));
  difference = v128.or(difference, v128.xor(v128.load(mask, 32), v128.load(subtable, SUBTABLE_MASK + 32)));
  if (v128.any_true(difference)) return false;
  let entry: usize = load<u32>(subtable, SUBTABLE_LIST);
  const end = entry + load<u32>(subtable, SUBTABLE_LIST_COUNT) * WORD_SIZEOF;
  for (let at: u32 = FLOW_INLINE_WORDS << 3; at < <u32>KEY_SIZE; at += 16) {
    if (!v128.any_true(v128.load(mask + at))) continue;
    for (let i = at; i < at + 16; i += 8) {
      const word = load<u64>(mask + i);
      if (word == 0) continue;
      if (entry == end || load<u32>(entry, WORD_OFFSET) != i || load<u64>(entry, WORD_MASK) != word) return false;
      entry += WORD_SIZEOF;
    }
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
  const table = makeTable(0);
  const list: usize = words == 0 ? 0 : allocate(words * WORD_SIZEOF);
  const subtable = table != 0 && (words == 0 || list != 0) ? takeDescriptor() : 0;
  if (subtable == 0) {
    release(tableBuckets(table));
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
  atomic.store<u32>(subtable, table, SUBTABLE_TABLE);
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

/** Makes sure that one more flow can be added; false when the table had to grow and the arena is full. */
export function makeRoom(subtable: usize): bool {
  const count = load<u32>(subtable, SUBTABLE_FLOWS);
  if (isFull(load<u32>(subtable, SUBTABLE_TABLE), count) && !grow(subtable)) return false;
  return count != 0 || appendToOrder(subtable);
}

/** Puts a flow into the table, which has room. */
export function addFlow(subtable: usize, flow: usize): void {
  store<u32>(subtable, load<u32>(subtable, SUBTABLE_FLOWS) + 1, SUBTABLE_FLOWS);
  placeRef(load<u32>(subtable, SUBTABLE_TABLE), load<u32>(flow, FLOW_HASH), <u32>flow);
}

/** Takes a flow out of the table; readers do not find it any more, but may still hold it. */
export function removeFlow(subtable: usize, flow: usize): void {
  removeRef(load<u32>(subtable, SUBTABLE_TABLE), load<u32>(flow, FLOW_HASH), <u32>flow);
  const count = load<u32>(subtable, SUBTABLE_FLOWS) - 1;
  store<u32>(subtable, count, SUBTABLE_FLOWS);
  if (count == 0) removeFromOrder(subtable);
}

function grow(subtable: usize): bool {
  const table = load<u32>(subtable, SUBTABLE_TABLE);
  const bigger = makeTable((table & 63) + 1);
  if (bigger == 0) return false;
  for (let bucket = tableBuckets(table); bucket < tableEnd(table); bucket += BUCKET_SIZEOF) {
    for (let ways = usedWays(bucket); ways != 0; ways &= ways - 1) {
      const flow = refAt(bucket, ctz(ways));
      placeRef(bigger, load<u32>(flow, FLOW_HASH), flow);
    }
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
  const next = makeTable(table & 63);
  let count: u32 = 0;
  for (let bucket = tableBuckets(table); bucket < tableEnd(table); bucket += BUCKET_SIZEOF) {
    if (next == 0) store<u8>(bucket, <u8>SPILLED_MAX, BUCKET_SPILLED);
    for (let ways = usedWays(bucket); ways != 0; ways &= ways - 1) {
      const flow: usize = refAt(bucket, ctz(ways));
      if (load<u32>(flow, FLOW_SUBTABLE) != <u32>subtable) {
        clear(bucket, ctz(ways));
        continue;
      }
      markSeen(flow);
      count++;
      if (next != 0) placeRef(next, load<u32>(flow, FLOW_HASH), <u32>flow);
    }
  }
  store<u32>(subtable, count, SUBTABLE_FLOWS);
  if (next == 0) return;
  atomic.store<u32>(subtable, next, SUBTABLE_TABLE);
  retire(tableBuckets(table), 0);
}
