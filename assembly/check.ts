/*
 * `check` walks every structure of the flow table and verifies its invariants: the tests call it after each step, and `wdp` in
 * debug runs. Not on any packet's way. Needs the writer lock, which it takes.
 */
import {
  ACTIONS_NEXT,
  ACTIONS_REFS,
  BATCH_MAX,
  FLOW_ACTIONS,
  FLOW_COLD_BASE,
  FLOW_HASH,
  FLOW_INLINE_WORDS,
  FLOW_SUBTABLE,
  KEY_SIZE,
  NAME_IS_SLOT,
  NAME_KEY,
  NAME_KIND,
  NAME_UFID,
  PACKET_FLAGS,
  PACKET_FLAG_KEY_COLD,
  PACKET_SIZEOF,
  SB_ACTION_COUNT,
  SB_ACTION_INDEX,
  SB_FLOW_COUNT,
  SB_FLOW_FREE,
  SB_FLOW_FRESH,
  SB_FLOW_RETIRED_COUNT,
  SB_FLOW_RETIRED_HEAD,
  SB_MASK_INDEX,
  SB_UFID_COUNT,
  SB_UFID_TABLE,
  SUBTABLES_MAX,
  SUBTABLE_FLOWS,
  SUBTABLE_LIST,
  SUBTABLE_LIST_COUNT,
  SUBTABLE_MASK,
  SUBTABLE_NEXT,
  SUBTABLE_REFS,
  SUBTABLE_TABLE,
  FLOW_COLD_NEXT,
  WORD_MASK,
  WORD_OFFSET,
  WORD_SIZEOF,
} from './constants';
import { ACTION_BUCKETS, keys, packets, sb } from './memory/layout';
import { lock, unlock } from './memory/lock';
import { refAt, usedWays } from './flow/bucket';
import { tableBucketMask, tableBuckets, tableEnd } from './flow/bucket-table';
import { findIn, hashMasked } from './flow/classifier';
import { findUfid, isNamedByKey, kindOf, nameOf, readUfid, ufidSizeOf, unmaskKey } from './flow/name';
import { isOrdered } from './flow/order';
import { coldOf, flowAt } from './flow/slot';
import { readMatchLocked } from './flow/table';
import { checkHot } from './io/hot-sums';

/** 0 when everything holds, else the number of the first broken invariant. Uses the key of the calling worker's spare position. */
export function check(): u32 {
  lock();
  store<u16>(packets + BATCH_MAX * PACKET_SIZEOF, PACKET_FLAG_KEY_COLD, PACKET_FLAGS);
  let broken = checkSlots();
  if (broken == 0) broken = checkSubtables();
  if (broken == 0) broken = checkActions();
  if (broken == 0) broken = checkNames();
  if (broken == 0) broken = checkHot();
  unlock();
  return broken;
}

/** 1: a live flow cannot be found under its own key; 2: its hash is not its key's; 3: slots do not add up; 4: a free slot is a flow; 5: it holds a block. */
function checkSlots(): u32 {
  const fresh = load<u32>(sb(SB_FLOW_FRESH));
  const key = keys + BATCH_MAX * KEY_SIZE;
  let live: u32 = 0;
  for (let i: u32 = 0; i < fresh; i++) {
    const flow = flowAt(i);
    const subtable: usize = load<u32>(flow, FLOW_SUBTABLE);
    if (subtable == 0) continue;
    live++;
    readMatchLocked(flow, subtable, key);
    const hash = hashMasked(subtable, key);
    if (hash != load<u32>(flow, FLOW_HASH)) return 2;
    if (findIn(subtable, load<u32>(subtable, SUBTABLE_TABLE), key, hash) != flow) return 1;
  }
  let free: u32 = 0;
  for (let flow: usize = load<u32>(sb(SB_FLOW_FREE)); flow != 0; flow = load<u32>(coldOf(flow), FLOW_COLD_NEXT)) {
    if (load<u32>(flow, FLOW_SUBTABLE) != 0 || free++ > fresh) return 4;
    if (load<u32>(nameOf(flow), NAME_KEY) != 0 || load<u32>(coldOf(flow), FLOW_COLD_BASE) != 0) return 5;
  }
  let retired: u32 = 0;
  for (
    let flow: usize = load<u32>(sb(SB_FLOW_RETIRED_HEAD));
    flow != 0;
    flow = load<u32>(coldOf(flow), FLOW_COLD_NEXT)
  ) {
    if (load<u32>(flow, FLOW_SUBTABLE) != 0 || retired++ > fresh) return 4;
  }
  if (live != load<u32>(sb(SB_FLOW_COUNT)) || retired != load<u32>(sb(SB_FLOW_RETIRED_COUNT))) return 3;
  return live + free + retired == fresh ? 0 : 3;
}

/** 10: a table holds another number of flows than its subtable says; 11: a flow of another subtable; 12: not in the order; 13: too few references. */
function checkSubtables(): u32 {
  const index: usize = load<u32>(sb(SB_MASK_INDEX));
  let total: u32 = 0;
  for (let chain: u32 = 0; chain < 2 * SUBTABLES_MAX; chain++) {
    for (let s: usize = load<u32>(index + (chain << 2)); s != 0; s = load<u32>(s, SUBTABLE_NEXT)) {
      const table = load<u32>(s, SUBTABLE_TABLE);
      let count: u32 = 0;
      for (let b: u32 = 0; b <= tableBucketMask(table); b++) {
        const bucket = tableBuckets(table) + (b << 6);
        for (let ways = usedWays(bucket); ways != 0; ways &= ways - 1) {
          if (load<u32>(refAt(bucket, ctz(ways)), FLOW_SUBTABLE) != <u32>s) return 11;
          count++;
        }
      }
      if (count != load<u32>(s, SUBTABLE_FLOWS)) return 10;
      if (count != 0 && !isOrdered(s)) return 12;
      if (load<u32>(s, SUBTABLE_REFS) < count) return 13;
      total += count;
    }
  }
  return total == load<u32>(sb(SB_FLOW_COUNT)) ? 0 : 10;
}

/** 20: lists in the index are not as many as counted; 21: a list without references; 22: fewer references than flows. */
function checkActions(): u32 {
  const index: usize = load<u32>(sb(SB_ACTION_INDEX));
  let lists: u32 = 0;
  let refs: u64 = 0;
  for (let chain: u32 = 0; chain < ACTION_BUCKETS; chain++) {
    for (let a: usize = load<u32>(index + (chain << 2)); a != 0; a = load<u32>(a, ACTIONS_NEXT)) {
      if (load<u32>(a, ACTIONS_REFS) == 0) return 21;
      refs += load<u32>(a, ACTIONS_REFS);
      lists++;
    }
  }
  if (lists != load<u32>(sb(SB_ACTION_COUNT))) return 20;
  const fresh = load<u32>(sb(SB_FLOW_FRESH));
  let used: u64 = 0;
  for (let i: u32 = 0; i < fresh; i++) {
    const flow = flowAt(i);
    if (load<u32>(flow, FLOW_SUBTABLE) != 0 && load<u32>(flow, FLOW_ACTIONS) != 0) used++;
  }
  return refs < used ? 22 : 0;
}

/** 30: a flow is not found by its UFID; 31: the index holds others; 32: what is kept of an unmasked key is nothing, or under the mask; 33: UFIDs are not as many as counted. */
function checkNames(): u32 {
  const fresh = load<u32>(sb(SB_FLOW_FRESH));
  const ufid = keys + BATCH_MAX * KEY_SIZE;
  let named: u32 = 0;
  for (let i: u32 = 0; i < fresh; i++) {
    const flow = flowAt(i);
    if (load<u32>(flow, FLOW_SUBTABLE) == 0) continue;
    if (isNamedByKey(flow)) {
      if (!checkRest(flow)) return 32;
      continue;
    }
    named += u32(kindOf(flow) != NAME_IS_SLOT);
    readUfid(flow, ufid + NAME_UFID);
    store<u32>(ufid, ufidSizeOf(flow), NAME_KIND);
    if (findUfid(ufid) != flow) return 30;
  }
  if (named != load<u32>(sb(SB_UFID_COUNT))) return 33;
  const table = load<u32>(sb(SB_UFID_TABLE));
  if (table == 0) return named == 0 ? 0 : 31;
  let held: u32 = 0;
  for (let bucket = tableBuckets(table); bucket < tableEnd(table); bucket += 64) held += popcnt(usedWays(bucket));
  return held == named ? 0 : 31;
}

function checkRest(flow: usize): bool {
  if (load<u32>(nameOf(flow), NAME_KEY) == 0) return true;
  const rest = keys + BATCH_MAX * KEY_SIZE;
  memory.fill(rest, 0, KEY_SIZE);
  unmaskKey(flow, rest);
  let bits: u64 = 0;
  for (let at: u32 = 0; at < <u32>KEY_SIZE; at += 8) {
    if ((load<u64>(rest + at) & maskWord(load<u32>(flow, FLOW_SUBTABLE), at)) != 0) return false;
    bits |= load<u64>(rest + at);
  }
  return bits != 0;
}

/** The word of a mask at this offset of the key. */
function maskWord(subtable: usize, at: u32): u64 {
  if (at < (<u32>FLOW_INLINE_WORDS) << 3) return load<u64>(subtable + at, SUBTABLE_MASK);
  const list: usize = load<u32>(subtable, SUBTABLE_LIST);
  const end = list + load<u32>(subtable, SUBTABLE_LIST_COUNT) * WORD_SIZEOF;
  for (let word = list; word < end; word += WORD_SIZEOF) {
    if (load<u32>(word, WORD_OFFSET) == at) return load<u64>(word, WORD_MASK);
  }
  return 0;
}
