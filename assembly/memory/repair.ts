/*
 * Repair: what a writer that died inside its section left half done is made whole. Before it: memory/lock.ts, which has taken the dead
 * writer's lock. Not on any packet's way; readers go on meanwhile.
 *
 * Concepts. Writers order their stores so that a death in between leaves too much, never too little: references are counted before
 * a flow shows itself and given back after it is gone; blocks are linked by one store. What remains is recomputed here from what is certain:
 *
 *     a flow    is a slot whose FLOW_SUBTABLE names the subtable in whose table it stands
 *     a table   is built anew from its flows, so that the marks of spilled entries are right; so is the index of UFIDs
 *     the rest  of the slots is retired, and becomes free when no reader can hold it
 *     counts    of flows, of subtables in the order, of retired blocks follow from the structures
 *
 * What can be lost: the flow that was being put, and at most a few blocks of the arena.
 * Threads: the holder of the writer lock.
 */
import {
  FLOW_ACTIONS,
  FLOW_COLD_EPOCH,
  FLOW_SUBTABLE,
  SB_FLOW_COUNT,
  SB_FLOW_FREE,
  SB_FLOW_FRESH,
  SB_FLOW_RETIRED_COUNT,
  SB_FLOW_RETIRED_HEAD,
  SB_FLOW_RETIRED_TAIL,
  SB_MASK_INDEX,
  SB_SUBTABLE_COUNT,
  SUBTABLES_MAX,
  SUBTABLE_FLOWS,
  SUBTABLE_NEXT,
} from '../constants';
import { releaseActions } from '../flow/action-list';
import { appendToOrder, orderRef } from '../flow/order';
import { rebuildTable, releaseMask } from '../flow/subtable';
import { emptyIndex, enterName } from '../flow/name';
import { coldOf, flowAt, retireSlot } from '../flow/slot';
import { coolFlow } from '../io/hot-flows';
import { sb } from './layout';
import { repairRetired } from './slab';

/** FLOW_COLD_EPOCH of a flow that was seen in its table; epochs of live flows mean nothing otherwise. */
const SEEN: u32 = 1;

export function repair(): void {
  repairRetired();
  const fresh = load<u32>(sb(SB_FLOW_FRESH));
  for (let i: u32 = 0; i < fresh; i++) {
    const flow = flowAt(i);
    if (load<u32>(flow, FLOW_SUBTABLE) != 0) store<u32>(coldOf(flow), 0, FLOW_COLD_EPOCH);
  }
  store<u32>(sb(SB_FLOW_COUNT), repairSubtables());
  store<u32>(sb(SB_SUBTABLE_COUNT), load<u32>(orderRef()));
  repairSlots(fresh);
}

/** Builds every table anew and marks the flows in it. Returns the number of flows. */
function repairSubtables(): u32 {
  const index: usize = load<u32>(sb(SB_MASK_INDEX));
  let total: u32 = 0;
  for (let chain: u32 = 0; chain < 2 * SUBTABLES_MAX; chain++) {
    for (let s: usize = load<u32>(index + (chain << 2)); s != 0; s = load<u32>(s, SUBTABLE_NEXT)) {
      rebuildTable(s);
      total += load<u32>(s, SUBTABLE_FLOWS);
      if (load<u32>(s, SUBTABLE_FLOWS) != 0) appendToOrder(s);
    }
  }
  return total;
}

/** Called for each flow that stands in the table of the subtable it names. */
export function markSeen(flow: usize): void {
  store<u32>(coldOf(flow), SEEN, FLOW_COLD_EPOCH);
}

/** Retires every slot that is not a flow, and the flow that was not hung up yet; enters the others into the index of UFIDs. */
function repairSlots(fresh: u32): void {
  emptyIndex();
  store<u32>(sb(SB_FLOW_FREE), 0);
  store<u32>(sb(SB_FLOW_RETIRED_HEAD), 0);
  store<u32>(sb(SB_FLOW_RETIRED_TAIL), 0);
  store<u32>(sb(SB_FLOW_RETIRED_COUNT), 0);
  for (let i: u32 = 0; i < fresh; i++) {
    const flow = flowAt(i);
    const subtable: usize = load<u32>(flow, FLOW_SUBTABLE);
    if (subtable != 0 && load<u32>(coldOf(flow), FLOW_COLD_EPOCH) == SEEN) {
      enterName(flow);
      continue;
    }
    coolFlow(flow);
    if (subtable != 0) {
      atomic.store<u32>(flow, 0, FLOW_SUBTABLE);
      releaseActions(load<u32>(flow, FLOW_ACTIONS));
      releaseMask(subtable);
    }
    retireSlot(flow);
  }
}
