/*
 * A table of buckets (flow/bucket.ts): references by their hash, a power of two of buckets. The body of every subtable and of the index of UFIDs.
 *
 * Concepts. An entry that finds its home bucket full goes to the next one that has a free way, and every full bucket it passed counts it in SPILLED,
 * so a lookup goes on only where something was passed on. A table is one word: the address of its buckets, which are on cache lines, and below it the
 * logarithm of their number. Whoever keeps that word doubles the table when it isFull, which copies the references into a new one.
 *
 * Ownership. The table's keeper's, who also knows the hash of each reference. Threads. Writers hold the writer lock; readers may look at a
 * table meanwhile, and keep the old one until their epoch ends when it is replaced.
 */
import { BUCKET_SIZEOF, BUCKET_SPILLED } from '../constants';
import { allocate } from '../memory/slab';
import { clear, freeWays, match, place, refAt, signatureOf } from './bucket';

export const SPILLED_MAX: u32 = 255;
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

/** Behind the last bucket. */
@inline
export function tableEnd(table: u32): usize {
  return tableBuckets(table) + ((tableBucketMask(table) + 1) << 6);
}

/** An empty table of 2^log2 buckets; 0 when the arena is full. */
export function makeTable(log2: u32): u32 {
  const size: u32 = BUCKET_SIZEOF << log2;
  const buckets = allocate(size);
  if (buckets == 0) return 0;
  memory.fill(buckets, 0, size);
  return <u32>buckets | log2;
}

/** Holds so many references that it should be doubled before another one. */
@inline
export function isFull(table: u32, count: u32): bool {
  return count >= (tableBucketMask(table) + 1) * FULL_WAYS;
}

export function placeRef(table: u32, hash: u32, ref: u32): void {
  const mask = tableBucketMask(table);
  for (let at = hash; ; at++) {
    const bucket = tableBuckets(table) + ((at & mask) << 6);
    const free = freeWays(bucket);
    if (free != 0) {
      place(bucket, ctz(free), signatureOf(hash), ref);
      return;
    }
    const spilled = <u32>load<u8>(bucket, BUCKET_SPILLED);
    if (spilled < SPILLED_MAX) atomic.store<u8>(bucket, <u8>(spilled + 1), BUCKET_SPILLED);
  }
}

/** Takes out a reference that is there. */
export function removeRef(table: u32, hash: u32, ref: u32): void {
  const mask = tableBucketMask(table);
  for (let at = hash; ; at++) {
    const bucket = tableBuckets(table) + ((at & mask) << 6);
    const way = wayOf(bucket, signatureOf(hash), ref);
    if (way >= 0) {
      clear(bucket, <u32>way);
      return;
    }
    const spilled = <u32>load<u8>(bucket, BUCKET_SPILLED);
    if (spilled < SPILLED_MAX) atomic.store<u8>(bucket, <u8>(spilled - 1), BUCKET_SPILLED);
  }
}

function wayOf(bucket: usize, signature: u32, ref: u32): i32 {
  for (let ways = match(bucket, signature); ways != 0; ways &= ways - 1) {
    if (refAt(bucket, ctz(ways)) == ref) return ctz(ways);
  }
  return -1;
}
