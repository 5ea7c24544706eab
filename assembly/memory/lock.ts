/*
 * The writer lock: one word in memory; who holds it is recorded, so that the host can tell a lock left behind by a dead worker.
 *
 * Everything that changes the flow table, the subtables, the action lists or the arena runs between `lock` and `unlock`; lookups never
 * come here. Any thread. Sections are short (a table that doubles is the longest), so a waiter spins first and then naps; nobody has
 * to be woken.
 */
import { SB_WRITER } from '../constants';
import { sb, worker } from './layout';

const SPINS: u32 = 200;
const NAP_NS: i64 = 50000;

export function lock(): void {
  const mine = worker + 1;
  for (let spins: u32 = 0; ; spins++) {
    const owner = atomic.load<u32>(sb(SB_WRITER));
    if (owner == 0 && atomic.cmpxchg<u32>(sb(SB_WRITER), 0, mine) == 0) return;
    if (spins > SPINS) atomic.wait<i32>(sb(SB_WRITER), <i32>owner, NAP_NS);
  }
}

@inline
export function unlock(): void {
  atomic.store<u32>(sb(SB_WRITER), 0);
}
