/*
 * Worker slots: taking one, leaving it, and repairing what a dead worker left behind.
 *
 * Threads. `attach` and `detach`: the thread that takes the slot. `recoverWorker`: the owner thread, when it is certain
 * that the thread of that slot runs no more.
 *
 * What can be lost. The packets that were in the dead worker's hands: WORKER_IN_FLIGHT of them, counted as DROP_WORKER_LOST. Flows,
 * statistics, queued upcalls and frames still in rings stay.
 */
import {
  DROP_WORKER_LOST,
  PORT_RX,
  PORT_RX_KIND,
  RING_CONSUMER,
  RX_RING,
  SB_WORKERS_LOST,
  WORKER_ATTACHED,
  WORKER_BATCH,
  WORKER_DROPS,
  WORKER_EPOCH,
  WORKER_FREE,
  WORKER_GENERATION,
  WORKER_IN_FLIGHT,
  WORKER_POLL_SET,
  WORKER_RECEIVER,
  WORKER_SLEEPING,
  WORKER_STATE,
  WORKER_TOUCHED_LIST,
} from '../constants';
import { releaseMetersOf } from '../actions/meter-table';
import { RX_PORT_MASK } from '../io/port';
import { recoverHot } from '../io/hot-flows';
import { recoverQueues } from '../io/queue';
import { portAt } from '../io/transmit';
import { initBatch } from '../pipeline';
import { recoverRing } from '../upcall/consume';
import { releaseLockOf } from './lock';
import { area, areaOf, attachTo, emc, emcBucketMask, pollSet, sb, touchedQueues, workers } from './layout';

/** Makes this instance worker `slot`. 0, or -EINVAL. The slot's counters, ring and flows' rows go on where they were. */
export function attach(slot: u32): i32 {
  const status = attachTo(slot);
  if (status != 0) return status;
  memory.fill(emc, 0, (emcBucketMask + 1) << 6);
  initBatch();
  store<u32>(area, <u32>pollSet, WORKER_POLL_SET);
  store<u32>(area, <u32>touchedQueues, WORKER_TOUCHED_LIST);
  store<u32>(area, load<u32>(area, WORKER_GENERATION) + 1, WORKER_GENERATION);
  atomic.store<u32>(area, WORKER_ATTACHED, WORKER_STATE);
  return 0;
}

export function detach(): void {
  atomic.store<u32>(area, 0, WORKER_EPOCH);
  atomic.store<u32>(area, WORKER_FREE, WORKER_STATE);
}

/** Repairs slot `slot` after its thread died: withdraws its epoch, accounts for its packets, frees its lock. Returns the packets lost. */
export function recoverWorker(slot: u32): u32 {
  if (slot >= workers) return 0;
  const dead = areaOf(slot);
  const inFlight = load<u32>(dead, WORKER_IN_FLIGHT);
  const lost = dead + WORKER_DROPS + DROP_WORKER_LOST * 8;
  store<u64>(lost, load<u64>(lost) + inFlight);
  store<u32>(dead, 0, WORKER_IN_FLIGHT);
  passOver(dead, load<u32>(dead, WORKER_BATCH));
  store<u32>(dead, 0, WORKER_BATCH);
  recoverQueues(slot);
  recoverHot(slot);
  atomic.store<u32>(dead, 0, WORKER_SLEEPING);
  atomic.store<u32>(dead, 0, WORKER_EPOCH);
  recoverRing(slot);
  releaseLockOf(slot);
  releaseMetersOf(slot);
  atomic.store<u32>(dead, WORKER_FREE, WORKER_STATE);
  atomic.add<u32>(sb(SB_WORKERS_LOST), 1);
  return inFlight;
}

/** Frames that are handled in place and were never given back: the batch that died is not received again. */
function passOver(dead: usize, frames: u32): void {
  if (frames == 0) return;
  const port = portAt(load<u32>(dead, WORKER_RECEIVER) & RX_PORT_MASK);
  if (load<u32>(port, PORT_RX_KIND) != RX_RING) return;
  const ring: usize = load<u32>(port, PORT_RX);
  atomic.store<u32>(ring, load<u32>(ring, RING_CONSUMER) + frames, RING_CONSUMER);
}
