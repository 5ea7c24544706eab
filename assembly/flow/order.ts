/*
 * The order in which the classifier visits subtables: most hits first.
 *
 *     order   | count u32 | capacity u32 | subtable u32 ...
 *
 * One array in the arena, published by its address. Appending stores the new element and then the count; removing and sorting build a
 * new array and retire the old one, because an element that moved inside a live array could be missed by a reader. When the arena has
 * no room for that, an empty subtable simply stays in the order (it costs a visit and matches nothing).
 *
 * Threads. Writers hold the writer lock. Hit counters belong to the workers; `sortOrder` reads and halves them from outside, which may
 * lose a few hits and matters to nobody.
 */
import { SB_SUBTABLE_COUNT, SB_SUBTABLE_ORDER_REF, SUBTABLE_FLOWS, SUBTABLE_INDEX, SUBTABLE_REFS } from '../constants';
import { AREA_SUBTABLE_HITS, areaOf, sb, workers } from '../memory/layout';
import { allocate, retire } from '../memory/slab';
import { dropSubtable } from './subtable';

const HEADER: u32 = 8;
const CAPACITY_MIN: u32 = 14;

@inline
export function orderRef(): usize {
  return atomic.load<u32>(sb(SB_SUBTABLE_ORDER_REF));
}

/** Makes the first, empty order of a new datapath. */
export function initOrder(): bool {
  const order = makeOrder(CAPACITY_MIN);
  if (order != 0) publish(order, 0);
  return order != 0;
}

function makeOrder(capacity: u32): usize {
  const order = allocate(HEADER + (capacity << 2));
  if (order != 0) store<u32>(order, capacity, 4);
  return order;
}

function publish(order: usize, count: u32): void {
  store<u32>(order, count);
  atomic.store<u32>(sb(SB_SUBTABLE_ORDER_REF), <u32>order);
  store<u32>(sb(SB_SUBTABLE_COUNT), count);
}

export function appendToOrder(subtable: usize): bool {
  let order = orderRef();
  const count = load<u32>(order);
  if (indexIn(order, subtable) < count) return true; // stayed when it became empty
  if (count == load<u32>(order, 4)) {
    const bigger = makeOrder(count * 2);
    if (bigger == 0) return false;
    memory.copy(bigger + HEADER, order + HEADER, count << 2);
    publish(bigger, count);
    retire(order, 0);
    order = bigger;
  }
  store<u32>(order + (count << 2), <u32>subtable, HEADER);
  atomic.store<u32>(order, count + 1);
  store<u32>(sb(SB_SUBTABLE_COUNT), count + 1);
  return true;
}

function indexIn(order: usize, subtable: usize): u32 {
  const count = load<u32>(order);
  let i: u32 = 0;
  while (i < count && load<u32>(order + (i << 2), HEADER) != <u32>subtable) i++;
  return i;
}

/** Lookups visit it: it has flows, or the arena had no room for an order without it. */
export function isOrdered(subtable: usize): bool {
  const order = orderRef();
  return indexIn(order, subtable) < load<u32>(order);
}

/** The last one takes its place, as in the kernel's array of masks: where flows overlap it matters which mask comes first. */
export function removeFromOrder(subtable: usize): void {
  const order = orderRef();
  const count = load<u32>(order);
  const at = indexIn(order, subtable);
  if (at == count) return;
  const next = makeOrder(count - 1 < CAPACITY_MIN ? CAPACITY_MIN : load<u32>(order, 4));
  if (next == 0) return;
  memory.copy(next + HEADER, order + HEADER, (count - 1) << 2);
  if (at != count - 1) store<u32>(next + HEADER + (at << 2), load<u32>(order + HEADER + ((count - 1) << 2)));
  publish(next, count - 1);
  retire(order, 0);
}

/** Hits of a subtable on all workers since the last sorting but for half of what was before. */
function hitsOf(subtable: usize): u32 {
  let hits: u32 = 0;
  for (let slot: u32 = 0; slot < workers; slot++) {
    hits += load<u32>(areaOf(slot) + AREA_SUBTABLE_HITS + (load<u32>(subtable, SUBTABLE_INDEX) << 2));
  }
  return hits;
}

function halveHits(subtable: usize): void {
  for (let slot: u32 = 0; slot < workers; slot++) {
    const p = areaOf(slot) + AREA_SUBTABLE_HITS + (load<u32>(subtable, SUBTABLE_INDEX) << 2);
    store<u32>(p, load<u32>(p) >> 1);
  }
}

/** Sorts the order by hits (Shell's sort over a copy) and publishes it when it changed. Empty subtables are dropped. */
export function sortOrder(): void {
  const order = orderRef();
  const count = load<u32>(order);
  const next = makeOrder(load<u32>(order, 4));
  if (next == 0) return;
  const first = next + HEADER;
  let kept: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const subtable = load<u32>(order + (i << 2), HEADER);
    if (load<u32>(subtable, SUBTABLE_FLOWS) != 0) store<u32>(first + (kept++ << 2), subtable);
  }
  const dropped = kept != count;
  for (let gap = kept >> 1; gap != 0; gap >>= 1) {
    for (let i = gap; i < kept; i++) {
      const moving = load<u32>(first + (i << 2));
      const hits = hitsOf(moving);
      let at = i;
      for (; at >= gap && hitsOf(load<u32>(first + ((at - gap) << 2))) < hits; at -= gap) {
        store<u32>(first + (at << 2), load<u32>(first + ((at - gap) << 2)));
      }
      store<u32>(first + (at << 2), moving);
    }
  }
  for (let i: u32 = 0; i < kept; i++) halveHits(load<u32>(first + (i << 2)));
  publish(next, kept);
  if (dropped) dropUnreferenced(order, count);
  retire(order, 0);
}

function dropUnreferenced(order: usize, count: u32): void {
  for (let i: u32 = 0; i < count; i++) {
    const subtable = load<u32>(order + (i << 2), HEADER);
    if (load<u32>(subtable, SUBTABLE_REFS) == 0) dropSubtable(subtable);
  }
}
