/*
 * Control: what the host asks for that is not a packet. Each function takes the writer lock around the pieces that need it, so that the host may
 * call from any thread; none is on a packet's way.
 */
import {
  EINVAL,
  EMSGSIZE,
  ENOMEM,
  ACTIONS_SIZE_MAX,
  BATCH_MAX,
  KEY_SIZE,
  OPTION_FOREIGN,
  PACKET_DATA,
  PACKET_IN_PORT,
  PACKET_RECIRC_ID,
  PACKET_SIZE,
  PACKET_SIZEOF,
  SB_IFINDEX_NEXT,
  SB_OPTIONS,
  SB_PACKET_FAMILY,
  SB_RULES,
  SB_SAMPLE_RINGS,
  SUBTABLE_TABLE,
} from './constants';
import { validateActions } from './actions/validate';
import { acquireActions, releaseActions } from './flow/action-list';
import { findCovering, findIn, hashMasked } from './flow/classifier';
import { extract } from './flow/extract';
import { initOrder, sortOrder } from './flow/order';
import { acquireMask, findMask, releaseMask } from './flow/subtable';
import { retireRings } from './io/port';
import { FAMILY_PACKET } from './kernel/families';
import { writePolicies } from './kernel/policies';
import { create as createLayout, keys, packets, sb } from './memory/layout';
import { lock, unlock } from './memory/lock';
import { allocate, reclaim, release, retire } from './memory/slab';
import { attach } from './memory/worker';

/** Creates the datapath in this memory (sizes as in memory/layout.ts) and attaches the caller as worker 0. 0, -EINVAL, -ENOMEM. */
export function create(
  flowSlots: u32,
  workerSlots: u32,
  emcEntries: u32,
  upcallFrames: u32,
  arenaSize: u32,
  seed: u64,
  dpIfindex: u32,
): i32 {
  const status = createLayout(flowSlots, workerSlots, emcEntries, upcallFrames, arenaSize, seed, dpIfindex);
  if (status != 0) return status;
  attach(0);
  writePolicies();
  store<u32>(sb(SB_PACKET_FAMILY), FAMILY_PACKET);
  store<u32>(sb(SB_IFINDEX_NEXT), dpIfindex + 1);
  return initOrder() ? 0 : -ENOMEM;
}

/** A block of the arena for the host (rings, replays, scratch); 0 when the arena is full. */
export function allocateBlock(size: u32): usize {
  lock();
  const block = allocate(size);
  unlock();
  return block;
}

/** Gives back a block that no worker has seen. */
export function releaseBlock(block: usize): void {
  lock();
  release(block);
  unlock();
}

/** Gives back a block that workers may still be reading. */
export function retireBlock(block: usize): void {
  lock();
  retire(block, 0);
  unlock();
}

/** The subtable of a mask (KEY_SIZE bytes), held for the caller; 0: too many masks, or the arena is full. */
export function holdMask(mask: usize): usize {
  lock();
  reclaim();
  const subtable = acquireMask(mask);
  unlock();
  return subtable;
}

export function dropMask(subtable: usize): void {
  lock();
  releaseMask(subtable);
  unlock();
}

/**
 * The block of an action list, validated against `key` and `mask` (0: without a flow) and held for the caller. Returns its address, or an
 * errno (below any address): EINVAL, EMSGSIZE, ENOMEM and what validation says. With OPTION_FOREIGN the datapath validates that the list is for.
 */
export function holdActionList(attrs: usize, size: u32, key: usize, mask: usize): u32 {
  if (size > <u32>ACTIONS_SIZE_MAX) return EMSGSIZE;
  if (size % 4 != 0) return EINVAL;
  const isForeign = (load<u32>(sb(SB_OPTIONS)) & OPTION_FOREIGN) != 0;
  const status = isForeign ? 0 : validateActions(attrs, size, key, mask);
  if (status != 0) return <u32>-status;
  lock();
  reclaim();
  const block = acquireActions(attrs, size);
  unlock();
  return block == 0 ? ENOMEM : <u32>block;
}

export function dropActionList(block: usize): void {
  lock();
  releaseActions(block);
  unlock();
}

/** The flow that covers `key`, 0 none. */
export function findFlow(key: usize): usize {
  lock();
  const flow = findCovering(key, false);
  unlock();
  return flow;
}

/** The flow with exactly this match (KEY_SIZE bytes each), 0 none. */
export function findExact(key: usize, mask: usize): usize {
  lock();
  const subtable = findMask(mask);
  const flow: usize =
    subtable == 0 ? 0 : findIn(subtable, load<u32>(subtable, SUBTABLE_TABLE), key, hashMasked(subtable, key));
  unlock();
  return flow;
}

/** Reorders the subtables by their hits; the owner calls it about once a second. */
export function sortSubtables(): void {
  lock();
  sortOrder();
  reclaim();
  unlock();
}

/** Replaces the rule table (an arena block, 0 none); the old one is retired. */
export function setRules(rules: usize): void {
  lock();
  const before = load<u32>(sb(SB_RULES));
  atomic.store<u32>(sb(SB_RULES), <u32>rules);
  retire(before, 0);
  unlock();
}

/** Replaces the rings that PSAMPLE writes to (a block with the address of each worker's, 0 nobody listens); the old ones are retired. */
export function setSampleRings(rings: usize): void {
  lock();
  const before = load<u32>(sb(SB_SAMPLE_RINGS));
  atomic.store<u32>(sb(SB_SAMPLE_RINGS), <u32>rings);
  if (before != 0) retireRings(before);
  unlock();
}

/** Extracts the key of a frame with the calling worker's spare position. Returns the key's address, 0 when the frame is too short. */
export function extractKey(data: usize, size: u32, inPort: u32): usize {
  const packet = packets + BATCH_MAX * PACKET_SIZEOF;
  store<u32>(packet, <u32>data, PACKET_DATA);
  store<u32>(packet, size, PACKET_SIZE);
  store<u32>(packet, inPort, PACKET_IN_PORT);
  store<u32>(packet, 0, PACKET_RECIRC_ID);
  return extract(packet) == 0 ? keys + BATCH_MAX * KEY_SIZE : 0;
}

/** The descriptor of the spare position: PACKET_L3 and the like after extractKey. */
export function sparePacket(): usize {
  return packets + BATCH_MAX * PACKET_SIZEOF;
}
