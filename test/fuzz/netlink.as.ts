/*
 * Netlink attributes, policies and messages in AssemblyScript, for tests and fuzzing: what the host compares with TypeScript (walkAttrs,
 * walkMessages, rebuild, the exports of policy.ts), and loops that hold every case of netlink-cases.as.ts against the laws:
 *
 *   cursor    every attribute lies inside the bytes; what the builder makes of all of them is walked alike
 *   policy    the answer is 0 or a refusal with a reason; the table points at the last attribute of its type, inside the bytes
 *   messages  every message lies inside the bytes
 *
 * The input ends where the memory ends, so a read behind it traps. A case is its seed and its number; the same numbers give the same bytes.
 * One thread; the host owns the memory and says where everything is.
 */
import { POLICY_MAX_TYPE } from '../../assembly/constants';
import {
  attrFind,
  attrNext,
  attrOk,
  attrPayload,
  attrPayloadSize,
  attrRest,
  putAttr,
} from '../../assembly/netlink/attribute';
import { messageSize } from '../../assembly/netlink/header';
import { messageNext, messageOk, messageRest } from '../../assembly/netlink/message';
import { parsePolicy, refusedAttr, refusedReason } from '../../assembly/netlink/policy';

import { generateAttrs, generateMessages } from './netlink-cases.as';

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
export { generateAttrs, generateMessages } from './netlink-cases.as';

const SCRATCH_SIZE: u32 = 8192;

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
