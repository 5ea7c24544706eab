/*
 * The writer lock: one word in memory; who holds it is recorded, so that a lock left behind by a dead worker can be told and taken over.
 *
 *     0, or worker + 1 in the low byte and, above it, a number that changes with every turn of that worker
 *
 * Everything that changes the flow table, the subtables, the action lists or the arena runs between `lock` and `unlock`; lookups never
 * come here. Any thread. Sections are short (a table that doubles is the longest), so a waiter spins first and then naps; nobody has
 * to be woken.
 *
 * A worker that is killed inside a section leaves the lock behind. The host learns of its end by an event, which cannot come while the owner
 * thread waits here; so the owner thread, when one and the same turn has lasted NAPS_MAX naps (some six seconds, against less
 * than a second for the longest section), takes the lock from it and repairs what was left half done (memory/repair.ts).
 */
import { SB_WRITER } from '../constants';
import { sb, worker } from './layout';
import { repair } from './repair';

const SPINS: u32 = 200;
const SHORT_NAP_NS: i64 = 50000;
const LONG_NAP_NS: i64 = 1000000;
const SHORT_NAPS: u32 = 1000;
const NAPS_MAX: u32 = 6000;

/** Turns of this instance. */
let turn: u32 = 0;

export function lock(): void {
  turn++;
  const mine = (turn << 8) | (worker + 1);
  let watched: u32 = 0;
  let naps: u32 = 0;
  for (let spins: u32 = 0; ; spins++) {
    const holder = atomic.load<u32>(sb(SB_WRITER));
    if (holder == 0 && atomic.cmpxchg<u32>(sb(SB_WRITER), 0, mine) == 0) return;
    if (spins <= SPINS) continue;
    naps = holder == watched ? naps + 1 : 0;
    watched = holder;
    if (worker == 0 && naps > NAPS_MAX && takeFrom(holder, mine)) return;
    atomic.wait<i32>(sb(SB_WRITER), <i32>holder, naps < SHORT_NAPS ? SHORT_NAP_NS : LONG_NAP_NS);
  }
}

@inline
export function unlock(): void {
  atomic.store<u32>(sb(SB_WRITER), 0);
}

/** Takes the lock over from a holder that is dead, and repairs. False when it was not the holder any more. */
function takeFrom(holder: u32, mine: u32): bool {
  if (holder == 0 || atomic.cmpxchg<u32>(sb(SB_WRITER), holder, mine) != holder) return false;
  repair();
  return true;
}

/** For the host, when it knows that worker `slot` is dead: whatever it held is repaired and free. */
export function releaseLockOf(slot: u32): void {
  const holder = atomic.load<u32>(sb(SB_WRITER));
  turn++;
  if ((holder & 0xff) == slot + 1 && takeFrom(holder, (turn << 8) | (worker + 1))) unlock();
}
