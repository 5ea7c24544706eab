/*
 * Input for the fuzz targets: attributes mostly as a policy wants them, and messages around them, half of them spoiled. A case is a seed and a
 * number; the same numbers give the same bytes, whatever was there before. Before it: netlink.as.ts. The caller owns all memory; one thread.
 */
import {
  KIND_BE64,
  KIND_BITFIELD32,
  KIND_MSECS,
  KIND_NESTED,
  KIND_NESTED_ARRAY,
  KIND_NUL_STRING,
  KIND_SINT,
  KIND_STRING,
  POLICY_KIND,
  POLICY_MAX,
  POLICY_MAX_TYPE,
  POLICY_MIN,
  POLICY_NESTED,
  POLICY_ROW_SIZEOF,
} from '../../assembly/constants';
import { nestEnd, reserveAttr } from '../../assembly/netlink/attribute';

const SCRATCH_SIZE: u32 = 8192;
const DEPTH_MAX: u32 = 12;

let state: u64 = 0;
let deep: u32 = 0;

/** splitmix64. */
function random(): u64 {
  state += 0x9e37_79b9_7f4a_7c15;
  let z = state;
  z = (z ^ (z >> 30)) * 0xbf58_476d_1ce4_e5b9;
  z = (z ^ (z >> 27)) * 0x94d0_49bb_1331_11eb;
  return z ^ (z >> 31);
}

function below(count: u32): u32 {
  return <u32>(((random() & 0xffff_ffff) * <u64>count) >> 32);
}

function fill(at: usize, size: u32): void {
  for (let i: u32 = 0; i < size; i++) store<u8>(at + i, <u8>(random() >> 56));
}

/** A number that a rule may or may not allow. */
function value(row: usize): u64 {
  switch (below(8)) {
    case 0:
      return 0;
    case 1:
      return ~(<u64>0);
    case 2:
      return load<u64>(row, POLICY_MIN);
    case 3:
      return load<u64>(row, POLICY_MAX);
    case 4:
      return load<u64>(row, POLICY_MIN) - 1;
    case 5:
      return load<u64>(row, POLICY_MAX) + 1;
    case 6:
      return below(256);
    default:
      return random();
  }
}

/** The payload of one attribute of this kind; returns where it ends. `room` is at least 64. */
function payload(row: usize, kind: i32, at: usize): usize {
  if (kind != 0 && kind <= KIND_SINT) {
    const size =
      kind <= KIND_BE64 ? <u32>(0x8428_4218_4210 >> ((<u64>kind) << 2)) & 15 : kind == KIND_MSECS ? 8 : 4 << below(2);
    const number = value(row);
    store<u32>(at, 0, 8);
    store<u64>(at, kind > 8 && kind <= KIND_BE64 ? bswap(number) >> (64 - ((<u64>size) << 3)) : number);
    return at + (below(16) == 0 ? below(12) : size);
  }
  if (kind == KIND_STRING || kind == KIND_NUL_STRING) {
    const size = below(20);
    for (let i: u32 = 0; i < size; i++) store<u8>(at + i, below(12) == 0 ? 0 : <u8>(97 + below(26)));
    if (size != 0 && below(2) == 0) store<u8>(at + size - 1, 0);
    return at + size;
  }
  if (kind == KIND_BITFIELD32) {
    const selector = value(row);
    store<u32>(at, 0, 8);
    store<u32>(at, <u32>(below(4) == 0 ? value(row) : selector & random()));
    store<u32>(at, <u32>selector, 4);
    return at + (below(8) == 0 ? below(12) : <u32>8);
  }
  const size = below(2) == 0 ? 0 : below(24);
  fill(at, size);
  return at + size;
}

/** A list of attributes, mostly as the policy wants them. */
function list(policy: usize, at: usize, limit: usize, depth: u32): usize {
  const maxType = load<u32>(policy, POLICY_MAX_TYPE);
  if (depth < deep) return nest(policy, policy + POLICY_ROW_SIZEOF, 1, KIND_NESTED, at, limit, depth);
  for (let count = below(depth == 0 ? 8 : 4); count > 0 && <u32>(limit - at) > 64; count--) {
    const strange = below(24) == 0;
    const type = strange ? below(0x4000) : below(maxType + 2);
    const row = policy + <usize>(type <= maxType ? type : <u32>0) * POLICY_ROW_SIZEOF;
    const kind: i32 = type == 0 || type > maxType ? <i32>below(24) : <i32>load<u8>(row, POLICY_KIND);
    if ((kind == KIND_NESTED || kind == KIND_NESTED_ARRAY) && depth < DEPTH_MAX) {
      at = nest(policy, row, type, kind, at, limit, depth);
      continue;
    }
    const end = payload(row, kind, at + 4);
    const flags: u32 = below(32) == 0 ? below(4) << 14 : 0;
    store<u16>(at, <u16>(end - at));
    store<u16>(at, <u16>(type | flags), 2);
    store<u32>(end, below(32) == 0 ? <u32>random() : 0);
    at = (end + 3) & ~3;
  }
  return at;
}

function nest(policy: usize, row: usize, type: u32, kind: i32, at: usize, limit: usize, depth: u32): usize {
  if (<u32>(limit - at) <= 64) return at;
  const inner: usize = row == policy ? 0 : load<u32>(row, POLICY_NESTED);
  const by = inner == 0 ? policy : inner;
  const flag: u32 = below(24) == 0 ? 0 : 0x8000;
  const start = at;
  at = reserveAttr(at, limit, type | flag, 0);
  if (kind == KIND_NESTED) at = list(by, at, limit, depth + 1);
  else {
    for (let i = below(3); i > 0 && <u32>(limit - at) > 64; i--) {
      const entry = at;
      at = reserveAttr(at, limit, i | 0x8000, 0);
      if (below(8) == 0) {
        store<u64>(at, random());
        at += below(5);
      } else {
        at = list(by, at, limit, depth + 1);
      }
      nestEnd(entry, at);
      at = (at + 3) & ~3;
    }
  }
  nestEnd(start, at);
  return at;
}

/** Spoils what lies at `at`; returns the size that is left of it. */
function spoil(at: usize, size: u32): u32 {
  for (let count = below(4); count > 0 && size > 4; count--) {
    const place = at + (below(size) & ~(below(4) == 0 ? 0 : 3));
    switch (below(6)) {
      case 0:
        store<u8>(place, <u8>below(5));
        break;
      case 1:
        store<u16>(place, <u16>(65531 + below(5)));
        break;
      case 2:
        store<u16>(place, <u16>(load<u16>(place) + below(9) - 4));
        break;
      case 3:
        store<u8>(place, <u8>((<u32>1) << below(8)), 3);
        break;
      case 4:
        store<u8>(place, load<u8>(place) ^ <u8>((<u32>1) << below(8)));
        break;
      default:
        store<u8>(place, <u8>below(256));
    }
  }
  return below(3) == 0 ? below(size + 1) : size;
}

function begin(seed: u32, index: u32): void {
  state = ((<u64>seed) << 32) | index;
  state = random();
  deep = below(96) == 0 ? 1 + below(64) : 0;
}

/** Moves `size` bytes so that they end at `limit`. Returns the size. */
function place(scratch: usize, size: u32, limit: usize): u32 {
  memory.copy(limit - size, scratch, size);
  return size;
}

/** Writes the case `index` of `seed`, attributes for the policy, so that it ends at `limit`. Returns its size. */
export function generateAttrs(policy: usize, seed: u32, index: u32, scratch: usize, limit: usize): u32 {
  begin(seed, index);
  let size = <u32>(list(policy, scratch, scratch + SCRATCH_SIZE - 64, 0) - scratch);
  if (below(2) == 0) size = spoil(scratch, size);
  else if (size > 4 && below(4) == 0) size -= below(4);
  return place(scratch, size, limit);
}

/** The same with messages. */
export function generateMessages(policy: usize, seed: u32, index: u32, scratch: usize, limit: usize): u32 {
  begin(seed, index);
  deep = 0;
  let at = scratch;
  const end = scratch + SCRATCH_SIZE - 64;
  for (let count = below(4); count > 0 && <u32>(end - at) > 256; count--) {
    const start = at;
    fill(at, 16);
    store<u16>(at, <u16>(below(3) == 0 ? below(5) : below(64)), 4);
    at += 16;
    if (below(2) == 0) {
      store<u32>(at, 0 - below(200));
      fill(at + 4, 16);
      at += below(2) == 0 ? 20 : 4;
    }
    at = list(policy, at, end, 1);
    store<u32>(start, <u32>(at - start));
    if (below(8) == 0) store<u32>(start, <u32>(below(2) == 0 ? random() : below(64)));
  }
  let size = <u32>(at - scratch);
  if (below(2) == 0) size = spoil(scratch, size);
  return place(scratch, size, limit);
}
