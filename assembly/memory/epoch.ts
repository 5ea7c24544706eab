/*
 * Epochs: when memory that a writer has unlinked may be used again.
 *
 * Concepts. Before a batch a worker copies the global epoch into its own word; after its last batch it writes 0 ("not reading"). What
 * a writer unlinks is tagged with the global epoch of that moment. It may be freed when the global epoch has moved on and every
 * worker that reads has copied a later one: no reader can still hold an address it found before the unlinking. This is the kernel's
 * RCU in small, and Fraser's epoch scheme without the limbo lists.
 *
 * Threads. `enter` and `leave`: a worker on its own word. The rest: holders of the writer lock. All words are accessed with sequentially
 * consistent atomics: a worker's store of its epoch is ordered before its loads of the table, a writer's unlinking before its
 * loads of the epochs.
 *
 * What can go wrong. A worker that hangs inside a batch keeps retired memory from being reused (nothing else); the host
 * withdraws its epoch when it replaces it.
 */
import { SB_EPOCH, WORKER_EPOCH } from '../constants';
import { area, areaOf, sb, workers } from './layout';

@inline
export function enter(): void {
  atomic.store<u32>(area + WORKER_EPOCH, atomic.load<u32>(sb(SB_EPOCH)));
}

@inline
export function leave(): void {
  atomic.store<u32>(area + WORKER_EPOCH, 0);
}

/** The tag for what is unlinked now. */
@inline
export function retirementEpoch(): u32 {
  return atomic.load<u32>(sb(SB_EPOCH));
}

/** Moves the global epoch on; 0 is never used. */
export function advance(): void {
  const next = atomic.load<u32>(sb(SB_EPOCH)) + 1;
  atomic.store<u32>(sb(SB_EPOCH), next == 0 ? 1 : next);
}

/** True when no reader can hold what was retired in `epoch`. Epochs are compared by their distance, so they may wrap. */
export function passed(epoch: u32): bool {
  if (<i32>(atomic.load<u32>(sb(SB_EPOCH)) - epoch) <= 0) return false;
  for (let slot: u32 = 0; slot < workers; slot++) {
    const seen = atomic.load<u32>(areaOf(slot) + WORKER_EPOCH);
    if (seen != 0 && <i32>(seen - epoch) <= 0) return false;
  }
  return true;
}
