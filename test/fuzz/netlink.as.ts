/*
 * Netlink attributes, policies and messages in AssemblyScript, for tests and fuzzing: what the host compares with TypeScript (walkAttrs,
 * walkMessages, rebuild, the exports of policy.ts), a generator of good and spoiled input, and loops that hold every case against the laws:
 *
 *   cursor    every attribute lies inside the bytes; what the builder makes of all of them is walked alike
 *   policy    the answer is 0 or a refusal with a reason; the table points at the last attribute of its type, inside the bytes
 *   messages  every message lies inside the bytes
 *
 * The input ends where the memory ends, so a read behind it traps. A case is its seed and its number; the same numbers give the same bytes.
 * One thread; the host owns the memory and says where everything is.
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
import {
  attrFind,
  attrNext,
  attrOk,
  attrPayload,
  attrPayloadSize,
  attrRest,
  nestEnd,
  putAttr,
  reserveAttr,
} from '../../assembly/netlink/attribute';
import { messageSize } from '../../assembly/netlink/header';
import { messageNext, messageOk, messageRest } from '../../assembly/netlink/message';
import { parsePolicy, refusedAttr, refusedReason } from '../../assembly/netlink/policy';

export { putAck } from '../../assembly/netlink/message';
export {
  beginPolicy,
  missingNest,
  missingType,
  parsePolicy,
  refusedAttr,
  refusedReason,
  setMask,
  setNested,
  setRange,
  setRequired,
  setRule,
} from '../../assembly/netlink/policy';

const SCRATCH_SIZE: u32 = 8192;
const DEPTH_MAX: u32 = 12;

// ---------------------------------------------------------------------------------------------------- what the host compares

/** Writes [offset, size, raw type] of each attribute, u32s, and the bytes left over last. Returns how many words. */
export function walkAttrs(attrs: usize, size: u32, out: usize): u32 {
  const end = attrs + size;
  let at = out;
  let a = attrs;
  for (; attrOk(a, end); a = attrNext(a)) {
    store<u32>(at, <u32>(a - attrs));
    store<u32>(at, attrPayloadSize(a), 4);
    store<u32>(at, load<u16>(a, 2), 8);
    at += 12;
  }
  store<u32>(at, attrRest(a, end));
  return <u32>(at - out + 4) >> 2;
}

/** Writes [offset, size, type, flags, seq, pid] of each message, and the bytes left over last. */
export function walkMessages(datagram: usize, size: u32, out: usize): u32 {
  const end = datagram + size;
  let at = out;
  let m = datagram;
  for (; messageOk(m, end); m = messageNext(m)) {
    store<u32>(at, <u32>(m - datagram));
    store<u32>(at, messageSize(m), 4);
    store<u32>(at, load<u16>(m, 4), 8);
    store<u32>(at, load<u16>(m, 6), 12);
    store<u64>(at, load<u64>(m, 8), 16);
    at += 24;
  }
  store<u32>(at, messageRest(m, end));
  return <u32>(at - out + 4) >> 2;
}

/** Writes every attribute again with the builder. Returns the bytes written; 0 when there was no room or nothing to write. */
export function rebuild(attrs: usize, size: u32, out: usize, limit: usize): u32 {
  const end = attrs + size;
  let at = out;
  for (let a = attrs; attrOk(a, end); a = attrNext(a)) {
    at = putAttr(at, limit, load<u16>(a, 2), attrPayload(a), attrPayloadSize(a));
  }
  return at == 0 ? 0 : <u32>(at - out);
}

// ---------------------------------------------------------------------------------------------------- the generator

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

// ---------------------------------------------------------------------------------------------------- the laws, over many cases

/** Each loop returns 0, or 1 + the number of the first case that broke a law. */
export function fuzzCursor(
  policy: usize,
  seed: u32,
  first: u32,
  count: u32,
  scratch: usize,
  out: usize,
  limit: usize,
): u32 {
  for (let index = first; index < first + count; index++) {
    const size = generateAttrs(policy, seed, index, scratch, limit);
    if (!cursorLaw(limit - size, size, out)) return index + 1;
  }
  return 0;
}

function cursorLaw(attrs: usize, size: u32, out: usize): bool {
  const end = attrs + size;
  const written = rebuild(attrs, size, out, out + SCRATCH_SIZE);
  const outEnd = out + written;
  let b = out;
  for (let a = attrs; attrOk(a, end); a = attrNext(a)) {
    const payloadSize = attrPayloadSize(a);
    if (attrPayload(a) + payloadSize > end) return false;
    if (!attrOk(b, outEnd) || load<u32>(a) != load<u32>(b)) return false;
    if (memory.compare(attrPayload(a), attrPayload(b), payloadSize) != 0) return false;
    b = attrNext(b);
  }
  return b == outEnd;
}

export function fuzzPolicy(
  policy: usize,
  seed: u32,
  first: u32,
  count: u32,
  scratch: usize,
  table: usize,
  limit: usize,
): u32 {
  for (let index = first; index < first + count; index++) {
    const size = generateAttrs(policy, seed, index, scratch, limit);
    const errno = parsePolicy(policy, limit - size, size, table, modeOf(index));
    if (!policyLaw(policy, errno, limit - size, size, table)) return index + 1;
  }
  return 0;
}

/** Liberal, deprecated strict, strict, and any set. */
export function modeOf(index: u32): u32 {
  const which = index & 7;
  return which == 0 ? 0 : which == 1 ? 1 : which == 2 ? 3 : which == 3 ? (index >> 3) & 31 : 31;
}

function policyLaw(policy: usize, errno: i32, attrs: usize, size: u32, table: usize): bool {
  const end = attrs + size;
  const at = refusedAttr();
  if (errno != 0) {
    const known = errno == -22 || errno == -34;
    return known && refusedReason() - 1 < 13 && (at == 0 || (at >= attrs && at + 4 <= end && attrOk(at, end)));
  }
  if (refusedReason() != 0 || at != 0) return false;
  const maxType = load<u32>(policy, POLICY_MAX_TYPE);
  for (let type: u32 = 1; type <= maxType; type++) {
    if (load<u32>(table + ((<usize>type) << 2)) != <u32>attrFind(attrs, size, type)) return false;
  }
  return load<u32>(table) == 0;
}

export function fuzzMessages(
  policy: usize,
  seed: u32,
  first: u32,
  count: u32,
  scratch: usize,
  out: usize,
  limit: usize,
): u32 {
  for (let index = first; index < first + count; index++) {
    const size = generateMessages(policy, seed, index, scratch, limit);
    const end = limit;
    let m = limit - size;
    for (; messageOk(m, end); m = messageNext(m)) {
      if (m + messageSize(m) > end) return index + 1;
      if (!cursorLaw(m + 16, messageSize(m) - 16, out)) return index + 1;
    }
    if (messageRest(m, end) > size) return index + 1;
  }
  return 0;
}

/** Walks or parses the same bytes again and again, for a measurement. Returns a sum. */
export function repeatCursor(attrs: usize, size: u32, rounds: u32): u32 {
  const end = attrs + size;
  let sum: u32 = 0;
  for (; rounds > 0; rounds--) {
    for (let a = attrs; attrOk(a, end); a = attrNext(a)) sum += load<u16>(a, 2) + attrPayloadSize(a);
  }
  return sum;
}

export function repeatPolicy(policy: usize, attrs: usize, size: u32, table: usize, rounds: u32): u32 {
  let sum: u32 = 0;
  for (; rounds > 0; rounds--) sum += parsePolicy(policy, attrs, size, table, 31) + load<u32>(table, 4);
  return sum;
}
