/*
 * A bucket: twelve one-byte signatures and twelve references in one cache line, the brick of the cache and of every subtable.
 *
 *     0        12    13       14   16                                             64
 *     | sig x 12 | hand | spilled | 0 | ref u32 x 12                               |
 *
 * A lookup compares all signatures at once and follows only those that are equal (one in 255 by accident). A signature is never 0; 0 marks
 * a free way. One writer at a time (a subtable: the writer lock; a cache: its worker), any number of readers: a writer stores
 * the reference first and the signature last, removes the signature first, and never moves an entry inside a live table.
 */
import { BUCKET_REFS } from '../constants';

const WAYS_MASK: u32 = 0xfff;

/** Signature of a hash: its top byte, 0 replaced. Bucket numbers use the low bits. */
@inline
export function signatureOf(hash: u32): u32 {
  const s = hash >> 24;
  return s + u32(s == 0);
}

/** Bitmap of the ways that hold `signature`. */
@inline
export function match(bucket: usize, signature: u32): u32 {
  return <u32>i8x16.bitmask(i8x16.eq(v128.load(bucket), i8x16.splat(<i8>signature))) & WAYS_MASK;
}

/** Bitmap of the free ways. */
@inline
export function freeWays(bucket: usize): u32 {
  return <u32>i8x16.bitmask(i8x16.eq(v128.load(bucket), i8x16.splat(0))) & WAYS_MASK;
}

/** Bitmap of the used ways. */
@inline
export function usedWays(bucket: usize): u32 {
  return freeWays(bucket) ^ WAYS_MASK;
}

@inline
export function refAt(bucket: usize, way: u32): u32 {
  return atomic.load<u32>(bucket + (way << 2), BUCKET_REFS);
}

@inline
export function place(bucket: usize, way: u32, signature: u32, ref: u32): void {
  atomic.store<u32>(bucket + (way << 2), ref, BUCKET_REFS);
  atomic.store<u8>(bucket + way, <u8>signature);
}

@inline
export function clear(bucket: usize, way: u32): void {
  atomic.store<u8>(bucket + way, 0);
}
