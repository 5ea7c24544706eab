/*
 * Names of flows: what messages call a flow by, as in the kernel a UFID of 1 to 16 bytes, or its key as it was given, before the mask.
 *
 * Concepts. A name is NAME_SIZEOF bytes in the flow's cold line. From a UFID the index, a table of buckets, leads to the flow. Of an unmasked key
 * only what the mask leaves out is kept, because the rest is the flow's masked key: nothing at all for a flow that matches all of its key. It is
 * looked for subtable by subtable. A flow that no message put has neither and costs nothing here: its UFID is made of the number of its slot and
 * of how often that was used, so whoever dumps it can ask for it again, and it is another one when the slot is used again.
 *
 * Ownership. The index is this file's. What is left out of a key is a block of the arena that belongs to the slot (flow/slot.ts).
 * Threads. Holders of the writer lock; readName, readUnmasked also inside an epoch.
 */
import {
  BUCKET_SIZEOF,
  BUCKET_SPILLED,
  ENOMEM,
  FLOW_COLD_NAME,
  FLOW_COLD_SERIAL,
  FLOW_SUBTABLE,
  REST_FIRST,
  REST_WORDS,
  KEY_SIZE,
  KEY_WORDS,
  NAME_IS_KEY,
  NAME_IS_SLOT,
  NAME_KEY,
  NAME_KIND,
  NAME_UFID,
  SB_FLOW_FRESH,
  SB_UFID_COUNT,
  SB_UFID_TABLE,
  UFID_SIZE_MAX,
} from '../constants';
import { sb, secrets } from '../memory/layout';
import { allocate, release } from '../memory/slab';
import { match, refAt, signatureOf, usedWays } from './bucket';
import { isFull, makeTable, placeRef, removeRef, tableBucketMask, tableBuckets, tableEnd } from './bucket-table';
import { finish, nhWord } from './hash';
import { coldOf, flowAt, slotOf } from './slot';

/** The first half of the UFID of a flow that no message put: `wdp-slot`. The second half is its slot and its serial. */
const SLOT_UFID: u64 = 0x746f6c732d706477;

@inline
export function nameOf(flow: usize): usize {
  return coldOf(flow) + FLOW_COLD_NAME;
}

@inline
export function kindOf(flow: usize): u32 {
  return load<u32>(nameOf(flow), NAME_KIND);
}

@inline
export function isNamedByKey(flow: usize): bool {
  return kindOf(flow) == NAME_IS_KEY;
}

/** Size of the UFID of a flow that is not named by its key. */
@inline
export function ufidSizeOf(flow: usize): u32 {
  const kind = kindOf(flow);
  return kind == NAME_IS_SLOT ? UFID_SIZE_MAX : kind;
}

/** Writes the UFID of a flow that is not named by its key, UFID_SIZE_MAX bytes with zeros behind it. */
export function readUfid(flow: usize, out: usize): void {
  if (kindOf(flow) != NAME_IS_SLOT) {
    v128.store(out, v128.load(nameOf(flow), NAME_UFID));
    return;
  }
  store<u64>(out, SLOT_UFID);
  store<u32>(out, slotOf(flow), 8);
  store<u32>(out, load<u32>(coldOf(flow), FLOW_COLD_SERIAL), 12);
}

// ------------------------------------------------------------------------------------------------ UFIDs

/** Makes the name of a UFID of `size` bytes, 1 to UFID_SIZE_MAX. */
export function nameUfid(name: usize, ufid: usize, size: u32): void {
  v128.store(name, i64x2.splat(0), NAME_UFID);
  memory.copy(name + NAME_UFID, ufid, size);
  store<u32>(name, size, NAME_KIND);
  store<u32>(name, 0, NAME_KEY);
}

@inline
function isUfid(kind: u32): bool {
  return kind - 1 < <u32>UFID_SIZE_MAX;
}

function hashUfid(name: usize): u32 {
  const low = nhWord(load<u64>(name, NAME_UFID), load<u64>(secrets));
  const high = nhWord(load<u64>(name, NAME_UFID + 8), load<u64>(secrets, 8));
  return finish(low + high + nhWord(load<u32>(name, NAME_KIND), load<u64>(secrets, 16)));
}

@inline
function sameUfid(flow: usize, name: usize): bool {
  const other = nameOf(flow);
  const difference = v128.xor(v128.load(name, NAME_UFID), v128.load(other, NAME_UFID));
  return load<u32>(other, NAME_KIND) == load<u32>(name, NAME_KIND) && !v128.any_true(difference);
}

/** The flow of this name, which is that of a UFID; 0 none. */
export function findUfid(name: usize): usize {
  const table = load<u32>(sb(SB_UFID_TABLE));
  const flow: usize = table == 0 ? 0 : findIn(table, name);
  if (flow != 0 || load<u32>(name, NAME_KIND) != UFID_SIZE_MAX || load<u64>(name, NAME_UFID) != SLOT_UFID) return flow;
  return findSlot(load<u32>(name, NAME_UFID + 8), load<u32>(name, NAME_UFID + 12));
}

function findIn(table: u32, name: usize): usize {
  const hash = hashUfid(name);
  const mask = tableBucketMask(table);
  for (let probe: u32 = 0; probe <= mask; probe++) {
    const bucket = tableBuckets(table) + (((hash + probe) & mask) << 6);
    for (let ways = match(bucket, signatureOf(hash)); ways != 0; ways &= ways - 1) {
      const flow: usize = refAt(bucket, ctz(ways));
      if (sameUfid(flow, name)) return flow;
    }
    if (load<u8>(bucket, BUCKET_SPILLED) == 0) break;
  }
  return 0;
}

function findSlot(slot: u32, serial: u32): usize {
  if (slot >= load<u32>(sb(SB_FLOW_FRESH))) return 0;
  const flow = flowAt(slot);
  if (load<u32>(flow, FLOW_SUBTABLE) == 0 || kindOf(flow) != NAME_IS_SLOT) return 0;
  return load<u32>(coldOf(flow), FLOW_COLD_SERIAL) == serial ? flow : 0;
}

/** Makes sure that a flow of this name can be entered; `name` may be 0. False when the index had to grow and the arena is full. */
export function makeRoomFor(name: usize): bool {
  if (name == 0 || !isUfid(load<u32>(name, NAME_KIND))) return true;
  const table = load<u32>(sb(SB_UFID_TABLE));
  if (table != 0 && !isFull(table, load<u32>(sb(SB_UFID_COUNT)))) return true;
  const bigger = makeTable(table == 0 ? 0 : (table & 63) + 1);
  if (bigger == 0) return false;
  if (table != 0) {
    for (let bucket = tableBuckets(table); bucket < tableEnd(table); bucket += BUCKET_SIZEOF) {
      for (let ways = usedWays(bucket); ways != 0; ways &= ways - 1) {
        const flow = refAt(bucket, ctz(ways));
        placeRef(bigger, hashUfid(nameOf(flow)), flow);
      }
    }
  }
  store<u32>(sb(SB_UFID_TABLE), bigger);
  if (table != 0) release(tableBuckets(table));
  return true;
}

/** Enters a flow that has its name into the index, which has room. */
export function enterName(flow: usize): void {
  if (!isUfid(kindOf(flow))) return;
  placeRef(load<u32>(sb(SB_UFID_TABLE)), hashUfid(nameOf(flow)), <u32>flow);
  store<u32>(sb(SB_UFID_COUNT), load<u32>(sb(SB_UFID_COUNT)) + 1);
}

/** Takes a flow out of the index. Without any flow there is no index. */
export function removeName(flow: usize): void {
  if (!isUfid(kindOf(flow))) return;
  const table = load<u32>(sb(SB_UFID_TABLE));
  removeRef(table, hashUfid(nameOf(flow)), <u32>flow);
  const count = load<u32>(sb(SB_UFID_COUNT)) - 1;
  store<u32>(sb(SB_UFID_COUNT), count);
  if (count != 0) return;
  store<u32>(sb(SB_UFID_TABLE), 0);
  release(tableBuckets(table));
}

/** For repairs: empties the index; every flow is entered again. */
export function emptyIndex(): void {
  const table = load<u32>(sb(SB_UFID_TABLE));
  store<u32>(sb(SB_UFID_COUNT), 0);
  if (table != 0) memory.fill(tableBuckets(table), 0, <u32>(tableEnd(table) - tableBuckets(table)));
}

// ------------------------------------------------------------------------------------------------ unmasked keys

/** Makes the name of `key` under `mask` (KEY_SIZE bytes each). 0, or -ENOMEM. Who does not give the name to a flow releases NAME_KEY. */
export function nameKey(name: usize, key: usize, mask: usize): i32 {
  v128.store(name, i64x2.splat(0), NAME_UFID);
  store<u32>(name, NAME_IS_KEY, NAME_KIND);
  store<u32>(name, 0, NAME_KEY);
  let count: u32 = 0;
  for (let at: u32 = 0; at < <u32>KEY_SIZE; at += 8) count += u32(restOf(key, mask, at) != 0);
  if (count == 0) return 0;
  const rest = allocate(REST_FIRST + (count << 3));
  if (rest == 0) return -ENOMEM;
  v128.store(rest, i64x2.splat(0), REST_WORDS);
  let to = rest + REST_FIRST;
  for (let i: u32 = 0; i < <u32>KEY_WORDS; i++) {
    const word = restOf(key, mask, i << 3);
    if (word == 0) continue;
    const bits = rest + REST_WORDS + ((i >> 6) << 3);
    store<u64>(bits, load<u64>(bits) | ((<u64>1) << (i & 63)));
    store<u64>(to, word);
    to += 8;
  }
  store<u32>(name, <u32>rest, NAME_KEY);
  return 0;
}

@inline
function restOf(key: usize, mask: usize, at: u32): u64 {
  return load<u64>(key + at) & ~load<u64>(mask + at);
}

/** Turns the masked key of a flow that is named by its key, at `key`, into the unmasked one. */
export function unmaskKey(flow: usize, key: usize): void {
  const rest: usize = load<u32>(nameOf(flow), NAME_KEY);
  if (rest == 0) return;
  let from = rest + REST_FIRST;
  for (let half: u32 = 0; half < 2; half++) {
    for (let bits = load<u64>(rest + REST_WORDS + (half << 3)); bits != 0; bits &= bits - 1) {
      const word = key + (((half << 6) + <u32>ctz(bits)) << 3);
      store<u64>(word, load<u64>(word) | load<u64>(from));
      from += 8;
    }
  }
}
