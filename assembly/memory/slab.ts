/*
 * The arena's allocator: blocks in size classes, four classes to each doubling, freed blocks kept in a list a class.
 *
 *     block   | class u32 | epoch u32 | next u32 | owner u32 | payload ...
 *             16 bytes before the payload; payloads of 64 bytes and more start on a cache line
 *
 * Concepts. Sizes in use repeat (a table doubles, an action list is rewritten), so blocks are never split or joined: after warming up
 * the arena stops growing whatever the churn. Freeing has two forms: `release` at once, for what readers never saw, and `retire`, which
 * waits for the epoch (memory/epoch.ts) in a queue through the block's own header; readers only look at payloads.
 *
 * Ownership. Whoever allocated. A retired block may name an owner, a subtable descriptor that becomes free with it.
 * Threads. Holders of the writer lock. What can be lost. Nothing: `allocate` answers 0 when the arena is full, and callers
 * answer ENOMEM and leave everything as it was.
 */
import {
  SB_ARENA,
  SB_ARENA_NEXT,
  SB_ARENA_SIZE,
  SB_ARENA_USED,
  SB_FREE_LISTS,
  SB_RETIRED_COUNT,
  SB_RETIRED_HEAD,
  SB_RETIRED_TAIL,
} from '../constants';
import { freeSubtable } from '../flow/subtable';
import { advance, passed, retirementEpoch } from './epoch';
import { sb } from './layout';

const HEADER: u32 = 16;
const BLOCK_CLASS: u32 = 16; // offsets back from the payload
const BLOCK_EPOCH: u32 = 12;
const BLOCK_NEXT: u32 = 8;
const BLOCK_OWNER: u32 = 4;
/** Retired blocks looked at by one call, so that no single write pays for many. */
const RECLAIM_MAX: u32 = 32;

/** Payload bytes of a class: 16, 32, 48, 64, then four steps to each doubling: 80, 96, 112, 128, 160, ... */
function classSize(index: u32): u32 {
  if (index < 4) return (index + 1) << 4;
  return (5 + (index & 3)) << ((index >> 2) + 3);
}

/** The smallest class that holds `size` bytes. */
function classOf(size: u32): u32 {
  if (size <= 64) return size == 0 ? 0 : (size - 1) >> 4;
  const top = 31 - clz<u32>(size - 1); // size is in (2^top, 2^(top+1)]
  return 4 + ((top - 6) << 2) + ((size - 1 - (1 << top)) >> (top - 2));
}

@inline
function freeList(index: u32): usize {
  return sb(SB_FREE_LISTS + (index << 2));
}

/** A payload of at least `size` bytes, not cleared; 0 when the arena is full. */
export function allocate(size: u32): usize {
  if (size > 0x7fff0000) return 0;
  const index = classOf(size);
  const payloadSize = classSize(index);
  const list = freeList(index);
  let payload: usize = load<u32>(list);
  if (payload == 0) {
    reclaim();
    payload = load<u32>(list);
  }
  if (payload != 0) {
    store<u32>(list, load<u32>(payload - BLOCK_NEXT));
  } else {
    payload = fresh(payloadSize);
    if (payload == 0) return 0;
    store<u32>(payload - BLOCK_CLASS, index);
  }
  store<u32>(payload - BLOCK_OWNER, 0);
  store<u32>(sb(SB_ARENA_USED), load<u32>(sb(SB_ARENA_USED)) + payloadSize + HEADER);
  return payload;
}

function fresh(payloadSize: u32): usize {
  const next = <u64>load<u32>(sb(SB_ARENA_NEXT)) + HEADER;
  const aligned = payloadSize >= 64 ? (next + 63) & ~63 : (next + 15) & ~15;
  const end = <u64>load<u32>(sb(SB_ARENA)) + load<u32>(sb(SB_ARENA_SIZE));
  if (aligned + payloadSize > end) return 0;
  store<u32>(sb(SB_ARENA_NEXT), <u32>(aligned + payloadSize));
  return <usize>aligned;
}

/** Gives back a block that no reader has seen, or whose epoch has passed. */
export function release(payload: usize): void {
  if (payload == 0) return;
  const index = load<u32>(payload - BLOCK_CLASS);
  store<u32>(payload - BLOCK_NEXT, load<u32>(freeList(index)));
  store<u32>(freeList(index), <u32>payload);
  store<u32>(sb(SB_ARENA_USED), load<u32>(sb(SB_ARENA_USED)) - classSize(index) - HEADER);
}

/** Gives back a block that readers may still look at, and with it the descriptor `owner` (0: none). */
export function retire(payload: usize, owner: u32): void {
  if (payload == 0) return;
  store<u32>(payload - BLOCK_EPOCH, retirementEpoch());
  store<u32>(payload - BLOCK_NEXT, 0);
  store<u32>(payload - BLOCK_OWNER, owner);
  const tail = load<u32>(sb(SB_RETIRED_TAIL));
  if (tail == 0) store<u32>(sb(SB_RETIRED_HEAD), <u32>payload);
  else store<u32>(tail - BLOCK_NEXT, <u32>payload);
  store<u32>(sb(SB_RETIRED_TAIL), <u32>payload);
  store<u32>(sb(SB_RETIRED_COUNT), load<u32>(sb(SB_RETIRED_COUNT)) + 1);
}

/** Frees retired blocks whose epoch has passed, at most RECLAIM_MAX of them. */
export function reclaim(): void {
  for (let i: u32 = 0; i < RECLAIM_MAX; i++) {
    const payload: usize = load<u32>(sb(SB_RETIRED_HEAD));
    if (payload == 0) return;
    const epoch = load<u32>(payload - BLOCK_EPOCH);
    if (epoch == retirementEpoch()) advance();
    if (!passed(epoch)) return;
    const next = load<u32>(payload - BLOCK_NEXT);
    store<u32>(sb(SB_RETIRED_HEAD), next);
    if (next == 0) store<u32>(sb(SB_RETIRED_TAIL), 0);
    store<u32>(sb(SB_RETIRED_COUNT), load<u32>(sb(SB_RETIRED_COUNT)) - 1);
    const owner = load<u32>(payload - BLOCK_OWNER);
    if (owner != 0) freeSubtable(owner);
    release(payload);
  }
}

/** For repairs: the end and the length of the queue of retired blocks follow from its beginning. */
export function repairRetired(): void {
  let last: u32 = 0;
  let count: u32 = 0;
  for (let payload = load<u32>(sb(SB_RETIRED_HEAD)); payload != 0; payload = load<u32>(payload - BLOCK_NEXT)) {
    last = payload;
    count++;
  }
  store<u32>(sb(SB_RETIRED_TAIL), last);
  store<u32>(sb(SB_RETIRED_COUNT), count);
}
