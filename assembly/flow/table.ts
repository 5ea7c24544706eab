/*
 * The flow table: what may be done to flows: put, replace, remove, flush, expire, read. Before it: handlers' answers, the host, and messages
 * (kernel/flow.ts). After it: slot.ts, subtable.ts, name.ts.
 *
 * Concepts. A flow is a slot hung into the table of its subtable, and into the index of UFIDs if a message gave it one. A slot is filled before
 * FLOW_SUBTABLE is stored, which makes it a flow, and only then hung up; removal clears FLOW_SUBTABLE first. A removed slot waits for its epoch.
 * A failing put leaves everything as it was. A flow that a message put is removed by a message only: it has no timeouts.
 *
 * Ownership. A flow holds a reference to its subtable and to its action list. Threads. Any: everything here takes the writer lock by itself, but for
 * createFlow, replaceActions and dropFlow, whose callers hold it.
 */
import {
  EEXIST,
  ENOENT,
  ENOMEM,
  ENOSPC,
  FLOW_ACTIONS,
  FLOW_COLD_CREATED_MS,
  FLOW_COLD_HARD_MS,
  FLOW_COLD_IDLE_MS,
  FLOW_COLD_NAME,
  FLOW_COLD_SERIAL,
  FLOW_HASH,
  FLOW_INLINE_WORDS,
  FLOW_KEY,
  FLOW_KEY_MORE,
  FLOW_SIZEOF,
  FLOW_SUBTABLE,
  KEY_SIZE,
  NAME_IS_SLOT,
  NAME_SIZEOF,
  SB_FLOW_COUNT,
  SB_FLOW_FRESH,
  SB_FLOW_RETIRED_HEAD,
  SB_TIME_MS,
  SUBTABLE_LIST,
  SUBTABLE_LIST_COUNT,
  SUBTABLE_MASK,
  SUBTABLE_REFS,
  SUBTABLE_TABLE,
  WORKER_EPOCH,
  WORD_MASK,
  WORD_OFFSET,
  WORD_SIZEOF,
} from '../constants';
import { coolFlow } from '../io/hot-flows';
import { area, flows, flowsCapacity, sb } from '../memory/layout';
import { lock, unlock } from '../memory/lock';
import { allocate, reclaim, release } from '../memory/slab';
import { holdActions, releaseActions } from './action-list';
import { findIn, hashMasked } from './classifier';
import { enterName, kindOf, makeRoomFor, removeName } from './name';
import { coldOf, flowAt, freeSlot, reclaimFlows, retireSlot, slotOf, takeSlot } from './slot';
import { usedMsOf } from './stats';
import { addFlow, makeRoom, releaseMask, removeFlow } from './subtable';

/** Put only when there is no such flow (EEXIST otherwise). */
export const PUT_CREATE: u32 = 1;
/** Put only when there is such a flow (ENOENT otherwise): its actions are replaced. Both or neither bit: either. */
export const PUT_MODIFY: u32 = 2;
/** How long a put waits for retired slots: a poller passes its batch boundary in microseconds, unless it is not scheduled. */
const GRACE_NAPS: u32 = 100;
const GRACE_NAP_NS: i64 = 100000;

/** Whether the last put of this instance made a flow, or found one and replaced its actions. */
export let putCreated: bool = false;

/**
 * Puts a flow that matches `key` under the mask of `subtable` and does `actions` (both references of the caller's; the flow takes its own).
 * Returns the flow's address, or an errno (they are below the first address): EEXIST, ENOENT, ENOSPC no slot left, ENOMEM. When all slots are
 * taken and some only wait for their epoch, it waits for them, some milliseconds at most.
 */
export function putFlow(key: usize, subtable: usize, actions: usize, flags: u32, idleMs: u32, hardMs: u32): u32 {
  let result = tryPut(key, subtable, actions, flags, idleMs, hardMs);
  for (let naps: u32 = 0; result == ENOSPC && awaitSlots(naps); naps++) {
    result = tryPut(key, subtable, actions, flags, idleMs, hardMs);
  }
  return result;
}

/** After ENOSPC: naps, if slots are retired, this worker is not itself among the readers that they wait for, and it has not napped long enough. */
export function awaitSlots(naps: u32): bool {
  if (naps == GRACE_NAPS || load<u32>(sb(SB_FLOW_RETIRED_HEAD)) == 0 || load<u32>(area, WORKER_EPOCH) != 0)
    return false;
  atomic.wait<i32>(area + WORKER_EPOCH, 0, GRACE_NAP_NS);
  return true;
}

function tryPut(key: usize, subtable: usize, actions: usize, flags: u32, idleMs: u32, hardMs: u32): u32 {
  lock();
  reclaimFlows();
  reclaim();
  const hash = hashMasked(subtable, key);
  const existing = findIn(subtable, load<u32>(subtable, SUBTABLE_TABLE), key, hash);
  putCreated = existing == 0;
  let result: u32;
  if (existing != 0) result = flags == PUT_CREATE ? EEXIST : replaceActions(existing, actions);
  else result = flags == PUT_MODIFY ? ENOENT : createFlow(key, subtable, actions, hash, 0, idleMs, hardMs);
  unlock();
  return result;
}

/** Gives a flow another action list, of which it takes its own reference. Returns the flow. */
export function replaceActions(flow: usize, actions: usize): u32 {
  const before: usize = load<u32>(flow, FLOW_ACTIONS);
  if (before != actions) {
    holdActions(actions);
    atomic.store<u32>(flow, <u32>actions, FLOW_ACTIONS);
    coolFlow(flow);
    releaseActions(before);
  }
  return <u32>flow;
}

/**
 * Makes a flow that is not there; `hash` is hashMasked's. `name` (NAME_SIZEOF bytes, 0 none) becomes the flow's, what hangs on it included. Returns the
 * flow's address, or ENOSPC or ENOMEM.
 */
export function createFlow(
  key: usize,
  subtable: usize,
  actions: usize,
  hash: u32,
  name: usize,
  idleMs: u32,
  hardMs: u32,
): u32 {
  const listCount = load<u32>(subtable, SUBTABLE_LIST_COUNT);
  const more: usize = listCount == 0 ? 0 : allocate(listCount << 3);
  if (listCount != 0 && more == 0) return ENOMEM;
  const flow = takeSlot();
  if (flow == 0) {
    release(more);
    return ENOSPC;
  }
  // before the slot is a flow: a reader with an old entry in its cache may meet it from then on
  if (!makeRoomFor(name) || !makeRoom(subtable)) {
    release(more);
    freeSlot(flow);
    return ENOMEM;
  }
  for (let i: u32 = 0; i < 48; i += 16) {
    const masked = v128.and(v128.load(key + i), v128.load(subtable + i, SUBTABLE_MASK));
    v128.store(flow + i, masked, FLOW_KEY);
  }
  let word: usize = load<u32>(subtable, SUBTABLE_LIST);
  for (let i: u32 = 0; i < listCount; i++, word += WORD_SIZEOF) {
    store<u64>(more + (i << 3), load<u64>(key + load<u32>(word, WORD_OFFSET)) & load<u64>(word, WORD_MASK));
  }
  store<u32>(flow, <u32>more, FLOW_KEY_MORE);
  store<u32>(flow, hash, FLOW_HASH);
  store<u32>(flow, <u32>actions, FLOW_ACTIONS);
  const cold = coldOf(flow);
  store<u64>(cold, load<u64>(sb(SB_TIME_MS)), FLOW_COLD_CREATED_MS);
  store<u32>(cold, idleMs, FLOW_COLD_IDLE_MS);
  store<u32>(cold, hardMs, FLOW_COLD_HARD_MS);
  store<u32>(cold, load<u32>(cold, FLOW_COLD_SERIAL) + 1, FLOW_COLD_SERIAL);
  if (name == 0) memory.fill(cold + FLOW_COLD_NAME, 0, NAME_SIZEOF);
  else memory.copy(cold + FLOW_COLD_NAME, name, NAME_SIZEOF);
  // references first: if this writer dies in between, there is one too many, never one too few
  holdActions(actions);
  store<u32>(subtable, load<u32>(subtable, SUBTABLE_REFS) + 1, SUBTABLE_REFS);
  atomic.store<u32>(flow, <u32>subtable, FLOW_SUBTABLE);
  addFlow(subtable, flow);
  enterName(flow);
  store<u32>(sb(SB_FLOW_COUNT), load<u32>(sb(SB_FLOW_COUNT)) + 1);
  return <u32>flow;
}

/** Removes a flow. 0, or -ENOENT when the address is not a flow (any more). */
export function removeFlowAt(flow: usize): i32 {
  lock();
  const done = flow >= flows && slotOf(flow) < flowsCapacity && (flow - flows) % FLOW_SIZEOF == 0 && dropFlow(flow);
  reclaimFlows();
  unlock();
  return done ? 0 : -ENOENT;
}

/** Removes the flow in this slot. False when there is none (any more). */
export function dropFlow(flow: usize): bool {
  const subtable: usize = load<u32>(flow, FLOW_SUBTABLE);
  if (subtable == 0) return false;
  atomic.store<u32>(flow, 0, FLOW_SUBTABLE);
  coolFlow(flow);
  removeFlow(subtable, flow);
  removeName(flow);
  releaseActions(load<u32>(flow, FLOW_ACTIONS));
  releaseMask(subtable);
  store<u32>(sb(SB_FLOW_COUNT), load<u32>(sb(SB_FLOW_COUNT)) - 1);
  retireSlot(flow);
  return true;
}

/** Removes every flow. Returns how many. */
export function flushFlows(): u32 {
  return sweepFlows(0, flowsCapacity, 0, 0, 0, true);
}

/**
 * Removes every flow whose match says the same as `key` in all bits of `mask` (KEY_SIZE bytes each; a flow that does not look at one of these
 * bits is not removed). `scratch`: 2 * KEY_SIZE bytes. Returns how many.
 */
export function removeWhere(key: usize, mask: usize, scratch: usize): u32 {
  const fresh = load<u32>(sb(SB_FLOW_FRESH));
  let removed: u32 = 0;
  for (let i: u32 = 0; i < fresh; i++) {
    const flow = flowAt(i);
    if (readMatch(flow, scratch, scratch + KEY_SIZE) == 0 && saysTheSame(key, mask, scratch))
      removed += u32(removeFlowAt(flow) == 0);
  }
  return removed;
}

function saysTheSame(key: usize, mask: usize, flowMatch: usize): bool {
  let difference: u64 = 0;
  for (let at: u32 = 0; at < <u32>KEY_SIZE; at += 8) {
    const bits = load<u64>(mask + at);
    difference |= ((load<u64>(key + at) ^ load<u64>(flowMatch + at)) | ~load<u64>(flowMatch + KEY_SIZE + at)) & bits;
  }
  return difference == 0;
}

/**
 * Ageing: looks at `slots` slots from `first` on and removes the flows that are past their timeouts at `nowMs` (0 = no timeout; a flow's
 * own timeouts go before the defaults). Returns how many were removed. The lock is taken for each removal alone.
 */
export function sweepFlows(first: u32, slots: u32, nowMs: u64, idleMs: u32, hardMs: u32, all: bool): u32 {
  const fresh = load<u32>(sb(SB_FLOW_FRESH));
  const end = min<u64>(<u64>first + slots, fresh);
  let removed: u32 = 0;
  for (let i = first; i < <u32>end; i++) {
    const flow = flowAt(i);
    if (atomic.load<u32>(flow, FLOW_SUBTABLE) == 0) continue;
    if ((all || expired(flow, nowMs, idleMs, hardMs)) && removeFlowAt(flow) == 0) removed++;
  }
  if (removed == 0 && load<u32>(sb(SB_FLOW_RETIRED_HEAD)) != 0) {
    lock();
    reclaimFlows();
    unlock();
  }
  return removed;
}

function expired(flow: usize, nowMs: u64, idleDefaultMs: u32, hardDefaultMs: u32): bool {
  if (kindOf(flow) != NAME_IS_SLOT) return false;
  const cold = coldOf(flow);
  const createdMs = load<u64>(cold, FLOW_COLD_CREATED_MS);
  const ownHardMs = load<u32>(cold, FLOW_COLD_HARD_MS);
  const hardMs = ownHardMs != 0 ? ownHardMs : hardDefaultMs;
  if (hardMs != 0 && nowMs >= createdMs + hardMs) return true;
  const ownIdleMs = load<u32>(cold, FLOW_COLD_IDLE_MS);
  const idleMs = ownIdleMs != 0 ? ownIdleMs : idleDefaultMs;
  if (idleMs == 0) return false;
  const usedMs = usedMsOf(flow);
  return nowMs >= (usedMs > createdMs ? usedMs : createdMs) + idleMs;
}

/** Address of the first flow at or after slot `index`, 0 when there is none: iteration while others write. */
export function nextFlow(index: u32): usize {
  const fresh = load<u32>(sb(SB_FLOW_FRESH));
  for (let i = index; i < fresh; i++) {
    const flow = flowAt(i);
    if (atomic.load<u32>(flow, FLOW_SUBTABLE) != 0) return flow;
  }
  return 0;
}

/** Writes a flow's masked key and its mask, KEY_SIZE bytes each. 0, or -ENOENT when it was removed meanwhile. */
export function readMatch(flow: usize, key: usize, mask: usize): i32 {
  lock();
  const subtable: usize = load<u32>(flow, FLOW_SUBTABLE);
  if (subtable != 0) {
    readMatchLocked(flow, subtable, key);
    readMask(subtable, mask);
  }
  unlock();
  return subtable == 0 ? -ENOENT : 0;
}

/** The masked key of a flow of `subtable`; the caller holds the lock. */
export function readMatchLocked(flow: usize, subtable: usize, key: usize): void {
  memory.fill(key, 0, KEY_SIZE);
  memory.copy(key, flow + FLOW_KEY, FLOW_INLINE_WORDS << 3);
  const more: usize = load<u32>(flow, FLOW_KEY_MORE);
  let word: usize = load<u32>(subtable, SUBTABLE_LIST);
  const count = load<u32>(subtable, SUBTABLE_LIST_COUNT);
  for (let i: u32 = 0; i < count; i++, word += WORD_SIZEOF) {
    store<u64>(key + load<u32>(word, WORD_OFFSET), load<u64>(more + (i << 3)));
  }
}

export function readMask(subtable: usize, mask: usize): void {
  memory.fill(mask, 0, KEY_SIZE);
  memory.copy(mask, subtable + SUBTABLE_MASK, FLOW_INLINE_WORDS << 3);
  let word: usize = load<u32>(subtable, SUBTABLE_LIST);
  const count = load<u32>(subtable, SUBTABLE_LIST_COUNT);
  for (let i: u32 = 0; i < count; i++, word += WORD_SIZEOF) {
    store<u64>(mask + load<u32>(word, WORD_OFFSET), load<u64>(word, WORD_MASK));
  }
}
