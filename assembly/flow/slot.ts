/*
 * Flow slots: taken from those that are free, retired when a flow is removed, free again when nobody can hold the flow any more.
 *
 * A slot is a line that lookups read (FLOW_*), a cold line (FLOW_COLD_*) and a statistics row a worker; its parts are found by its number. In a free
 * slot the rows are zero and nothing hangs on it: what a removed flow had in the arena is released when its epoch has passed.
 *
 * Before it: table.ts. Threads: holders of the writer lock, but for coldOf and slotOf.
 */
import {
  FLOW_COLD_BASE,
  FLOW_COLD_EPOCH,
  FLOW_COLD_NAME,
  FLOW_COLD_NEXT,
  FLOW_KEY_MORE,
  FLOW_ROW_SIZEOF,
  FLOW_SIZEOF,
  NAME_KEY,
  SB_FLOW_FREE,
  SB_FLOW_FRESH,
  SB_FLOW_RETIRED_COUNT,
  SB_FLOW_RETIRED_HEAD,
  SB_FLOW_RETIRED_TAIL,
} from '../constants';
import { coolFlow } from '../io/hot-flows';
import { advance, passed, retirementEpoch } from '../memory/epoch';
import { flowRowsOf, flows, flowsCapacity, flowsCold, sb, workers } from '../memory/layout';
import { release } from '../memory/slab';

/** Retired slots looked at by one call, so that no single write pays for many. */
const RECLAIM_MAX: u32 = 64;

@inline
export function coldOf(flow: usize): usize {
  return flowsCold + (flow - flows);
}

@inline
export function slotOf(flow: usize): u32 {
  return <u32>(flow - flows) / FLOW_SIZEOF;
}

@inline
export function flowAt(slot: u32): usize {
  return flows + slot * FLOW_SIZEOF;
}

/** A free slot, 0 when there is none. */
export function takeSlot(): usize {
  const flow: usize = load<u32>(sb(SB_FLOW_FREE));
  if (flow != 0) {
    store<u32>(sb(SB_FLOW_FREE), load<u32>(coldOf(flow), FLOW_COLD_NEXT));
    return flow;
  }
  const index = load<u32>(sb(SB_FLOW_FRESH));
  if (index == flowsCapacity) return 0;
  store<u32>(sb(SB_FLOW_FRESH), index + 1);
  return flowAt(index);
}

export function freeSlot(flow: usize): void {
  store<u32>(coldOf(flow), load<u32>(sb(SB_FLOW_FREE)), FLOW_COLD_NEXT);
  store<u32>(sb(SB_FLOW_FREE), <u32>flow);
}

/** Queues a slot that is no flow any more: it is free when nobody can hold it. */
export function retireSlot(flow: usize): void {
  const cold = coldOf(flow);
  store<u32>(cold, retirementEpoch(), FLOW_COLD_EPOCH);
  store<u32>(cold, 0, FLOW_COLD_NEXT);
  const tail: usize = load<u32>(sb(SB_FLOW_RETIRED_TAIL));
  if (tail == 0) store<u32>(sb(SB_FLOW_RETIRED_HEAD), <u32>flow);
  else store<u32>(coldOf(tail), <u32>flow, FLOW_COLD_NEXT);
  store<u32>(sb(SB_FLOW_RETIRED_TAIL), <u32>flow);
  store<u32>(sb(SB_FLOW_RETIRED_COUNT), load<u32>(sb(SB_FLOW_RETIRED_COUNT)) + 1);
}

/** Frees retired slots whose epoch has passed, at most RECLAIM_MAX of them. */
export function reclaimFlows(): void {
  for (let i: u32 = 0; i < RECLAIM_MAX; i++) {
    const flow: usize = load<u32>(sb(SB_FLOW_RETIRED_HEAD));
    if (flow == 0) return;
    const cold = coldOf(flow);
    const epoch = load<u32>(cold, FLOW_COLD_EPOCH);
    if (epoch == retirementEpoch()) advance();
    if (!passed(epoch)) return;
    const next = load<u32>(cold, FLOW_COLD_NEXT);
    store<u32>(sb(SB_FLOW_RETIRED_HEAD), next);
    if (next == 0) store<u32>(sb(SB_FLOW_RETIRED_TAIL), 0);
    store<u32>(sb(SB_FLOW_RETIRED_COUNT), load<u32>(sb(SB_FLOW_RETIRED_COUNT)) - 1);
    coolFlow(flow); // a program that ran when the flow went, or a worker that made it hot in that moment
    for (let slot: u32 = 0; slot < workers; slot++) {
      memory.fill(flowRowsOf(slot) + slotOf(flow) * FLOW_ROW_SIZEOF, 0, FLOW_ROW_SIZEOF);
    }
    releaseAt(flow + FLOW_KEY_MORE);
    releaseAt(cold + FLOW_COLD_NAME + NAME_KEY);
    releaseAt(cold + FLOW_COLD_BASE);
    freeSlot(flow);
  }
}

/** Releases the block whose address is at `place`, if there is one. */
export function releaseAt(place: usize): void {
  const block: usize = load<u32>(place);
  if (block == 0) return;
  store<u32>(place, 0);
  release(block);
}
