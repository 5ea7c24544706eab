/*
 * Checksums that follow a change of a few bytes, without a look at the rest of the packet.
 *
 * Before it: the set actions, which know what a field was and what it becomes. After it: nothing. Pure arithmetic on values,
 * no memory; any thread.
 *
 * Internet checksum (RFC 1624, equation 3): a delta collects, for each changed word, the complement of the old one plus the
 * new one; applyDelta folds it into the checksum. Words may be of 16, 32 or 64 bits, and in either byte order so long as all of
 * a packet's are in the same: the one's complement sum does not mind. An error that was in the checksum stays in it.
 *
 * CRC32c (SCTP): the CRC of a difference is the difference of the CRCs, and the bytes behind the changed ones are zeros in
 * that difference; passing over n zeros is a multiplication by x^8n, so the cost grows with the logarithm of the packet.
 */

/** CRC32c polynomial, the highest power in the lowest bit. */
const CRC32C_POLYNOMIAL: u32 = 0x82f63b78;
const CRC32C_ONE: u32 = 0x80000000;
const CRC32C_X8: u32 = 0x00800000;

@inline
export function delta16(before: u32, after: u32): u64 {
  return <u64>~before + <u64>after; // of 32 bits, so that it is never 0: a sum that comes out as 0 then does so as in the kernel
}

@inline
export function delta32(before: u32, after: u32): u64 {
  return <u64>~before + <u64>after;
}

@inline
export function delta64(before: u64, after: u64): u64 {
  return delta32(<u32>before, <u32>after) + delta32(<u32>(before >> 32), <u32>(after >> 32));
}

/** The checksum that `check` becomes. Adding a sum to itself with its halves changed over leaves the folded half on top. */
@inline
export function applyDelta(check: u32, delta: u64): u32 {
  const sum = delta + <u64>(check ^ 0xffff);
  const half = <u32>((sum + rotl<u64>(sum, 32)) >> 32);
  return ((half + rotl<u32>(half, 16)) >> 16) ^ 0xffff;
}

/** The same for a sum that is not complemented: the pseudo header's, of a checksum that is still to be made. */
@inline
export function applyDeltaToSum(sum: u32, delta: u64): u32 {
  return applyDelta(sum ^ 0xffff, delta) ^ 0xffff;
}

/**
 * The folded sum of `size` bytes and of `seed`, not complemented, in the byte order of memory. Sixteen bytes at a time: each of four lanes
 * takes two words of them, which 64 KiB do not overflow.
 */
export function sumOf(data: usize, size: u32, seed: u32): u32 {
  let lanes = i32x4.splat(0);
  const vectors = size & ~15;
  for (let at: u32 = 0; at < vectors; at += 16)
    lanes = i32x4.add(lanes, i32x4.extadd_pairwise_i16x8_u(v128.load(data + at)));
  let sum: u64 = <u64>seed;
  sum += <u64>(<u32>i32x4.extract_lane(lanes, 0)) + <u64>(<u32>i32x4.extract_lane(lanes, 1));
  sum += <u64>(<u32>i32x4.extract_lane(lanes, 2)) + <u64>(<u32>i32x4.extract_lane(lanes, 3));
  let at = vectors;
  for (; at + 2 <= size; at += 2) sum += load<u16>(data + at);
  if (at < size) sum += load<u8>(data + at);
  return fold(sum);
}

/** A sum as one word. */
export function fold(sum: u64): u32 {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return <u32>((sum & 0xffff) + (sum >> 16));
}

/** The CRC32c that `crc` becomes when the first 32 bits of the `size` covered bytes change by `difference` (old XOR new). */
export function applyCrcDifference(crc: u32, difference: u32, size: u32): u32 {
  return difference == 0 ? crc : crc ^ multiply(difference, powerOfX8(size));
}

/** x^8n modulo the polynomial. */
function powerOfX8(n: u32): u32 {
  let result = CRC32C_ONE;
  let base = CRC32C_X8;
  while (n != 0) {
    if (n & 1) result = multiply(result, base);
    n >>= 1;
    if (n != 0) base = multiply(base, base);
  }
  return result;
}

/** Product of two polynomials over GF(2) modulo CRC32C_POLYNOMIAL. */
function multiply(a: u32, b: u32): u32 {
  let product: u32 = 0;
  while (a != 0) {
    if (a & CRC32C_ONE) product ^= b;
    a <<= 1;
    b = (b >> 1) ^ (b & 1 ? CRC32C_POLYNOMIAL : 0);
  }
  return product;
}
