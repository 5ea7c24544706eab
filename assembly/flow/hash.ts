/*
 * Hashing of flow keys: for the cache over nearly the whole key, for a subtable over the masked key.
 *
 * The sum of products of NH (Black, Halevi, Krawczyk, Krovetz, Rogaway, "UMAC", CRYPTO '99), with xor in place of addition: each half-word of
 * the key meets a secret, is multiplied with its partner 32 x 32 -> 64, and the products are added. All products are independent of each other, SIMD does
 * two at once, and a difference in any half-word is multiplied by a secret: without knowing the secrets nobody can construct
 * keys that collide, as they can for a chain of xor and multiply (where a flipped top bit stays a flipped top bit). One
 * multiply-mix at the end spreads the sum.
 *
 * Pure, but for the secrets (memory/layout.ts), which nobody writes after creation. Any thread.
 */
import {
  FLOW_KEY,
  KEY_ETH_TYPE,
  KEY_HOT_WORDS,
  KEY_WORDS,
  PACKET_FLAGS,
  PACKET_FLAG_KEY_COLD,
  PACKET_KEY,
  WORD_MASK,
  WORD_OFFSET,
  WORD_SECRET,
  WORD_SIZEOF,
} from '../constants';
import { secrets } from '../memory/layout';

const ETH_P_IP_BE: u16 = 0x0008; // 0x0800 as loaded from the wire

/** Sum of the products of three vectors: lanes of `a` with lanes of `b`, the halves of `c` with each other. */
@inline
export function nh(a: v128, b: v128, c: v128): u64 {
  const ab = i64x2.add(i64x2.extmul_low_i32x4_u(a, b), i64x2.extmul_high_i32x4_u(a, b));
  const s = i64x2.add(ab, i64x2.extmul_low_i32x4_u(c, i64x2.shuffle(c, c, 1, 0)));
  return i64x2.extract_lane(s, 0) + i64x2.extract_lane(s, 1);
}

/** One word with its secret. */
@inline
export function nhWord(word: u64, secret: u64): u64 {
  const x = word ^ secret;
  return (x & 0xffffffff) * (x >> 32);
}

@inline
export function finish(sum: u64): u32 {
  return <u32>(((sum ^ (sum >> 32)) * 0x9fb21c651e98df25) >> 32);
}

/**
 * Hash of a packet's key for the cache. Left out are the fields that change from packet to packet of one connection
 * (tos, ttl, TCP flags): flows that differ only there share a bucket and a signature, and the comparison tells them apart.
 */
@inline
export function hashPacket(packet: usize): u32 {
  const key: usize = load<u32>(packet, PACKET_KEY);
  const s = secrets;
  const a = v128.xor(v128.load(key), v128.load(s));
  const b = v128.and(v128.load(key, 16), i64x2(-1, <i64>0xffffffffff0000ff));
  const c = v128.and(v128.load(key, 32), i64x2(-1, <i64>0xffffffffffff0000));
  let sum = nh(a, v128.xor(b, v128.load(s, 16)), v128.xor(c, v128.load(s, 32)));
  const cold = load<u16>(packet, PACKET_FLAGS) & PACKET_FLAG_KEY_COLD;
  if (load<u16>(key, KEY_ETH_TYPE) != ETH_P_IP_BE || cold != 0) sum += hashBeyond(key, cold != 0);
  return finish(sum);
}

/** Words 6..15, and the cold ones when they are in use. */
function hashBeyond(key: usize, cold: bool): u64 {
  const s = secrets;
  const end: u32 = cold ? KEY_WORDS : KEY_HOT_WORDS;
  let sum: u64 = 0;
  for (let i: u32 = 6; i < end; i++) sum += nhWord(load<u64>(key + (i << 3)), load<u64>(s + (i << 3)));
  return sum;
}

/** What the words of a subtable's list add to the sum. */
export function hashList(key: usize, list: usize, count: u32): u64 {
  let sum: u64 = 0;
  const end = list + count * WORD_SIZEOF;
  for (let w = list; w < end; w += WORD_SIZEOF) {
    sum += nhWord(load<u64>(key + load<u32>(w, WORD_OFFSET)) & load<u64>(w, WORD_MASK), load<u64>(w, WORD_SECRET));
  }
  return sum;
}

/** True when the masked words of the list equal `more`, the same words of a flow. */
export function equalList(key: usize, list: usize, count: u32, more: usize): bool {
  let difference: u64 = 0;
  const end = list + count * WORD_SIZEOF;
  for (let w = list; w < end; w += WORD_SIZEOF, more += 8) {
    difference |= (load<u64>(key + load<u32>(w, WORD_OFFSET)) & load<u64>(w, WORD_MASK)) ^ load<u64>(more);
  }
  return difference == 0;
}

/** True when the three masked vectors equal the inline words of the flow. */
@inline
export function equalInline(a: v128, b: v128, c: v128, flow: usize): bool {
  const d = v128.or(
    v128.or(v128.xor(a, v128.load(flow, FLOW_KEY)), v128.xor(b, v128.load(flow, FLOW_KEY + 16))),
    v128.xor(c, v128.load(flow, FLOW_KEY + 32)),
  );
  return !v128.any_true(d);
}
