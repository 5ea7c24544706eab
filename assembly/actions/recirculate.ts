/*
 * RECIRC: the packet is looked up again, with the action's recirc_id in its key and with what actions made of it.
 *
 * Before it: execute.ts. After it: the flow's list, executed one level deeper, or upcall/produce.ts. Such a lookup is a hit or a miss like
 * the first (cache, classifier, statistics of the flow), and COUNTER_RECIRCULATED counts it. Threads: a worker inside its reader's section.
 */
import {
  ACTIONS_ATTRS,
  ACTIONS_SIZE,
  COUNTER_EMC_HITS,
  COUNTER_MEGAFLOW_HITS,
  COUNTER_MISSES,
  COUNTER_RECIRCULATED,
  FLOW_ACTIONS,
  KEY_IN_PORT,
  KEY_TCP_FLAGS,
  PACKET_FLAGS,
  PACKET_FLAG_KEY_STALE,
  PACKET_HASH,
  WORKER_TIME_MS,
} from '../constants';
import { findCovering } from '../flow/classifier';
import { count, countInFlow, rowOf } from '../flow/counters';
import { insert, lookup, usesCache } from '../flow/emc';
import { extractAgain } from '../flow/extract';
import { hashPacket } from '../flow/hash';
import { area } from '../memory/layout';
import { ringBell, upcallMiss } from '../upcall/produce';
import { run } from './execute';
import { givenHash } from './given';
import { ascend, copyOf, defer, descend, isDeepest, setRecircId } from './nest';
import { clearHash, keyOf, lengthOf } from './packet';

/** Looks the packet up, or a copy of it when it is not `last` to use it; `rate` as for defer(). False if it has no key any more. */
export function recirculate(packet: usize, recircId: u32, last: bool, rate: u32): bool {
  if (load<u16>(packet, PACKET_FLAGS) & PACKET_FLAG_KEY_STALE && extractAgain(packet) != 0) return false;
  if (isDeepest()) {
    defer(packet, 0, 0, recircId, rate);
    return true;
  }
  const target = last ? packet : copyOf(packet);
  setRecircId(target, recircId);
  pass(target);
  return true;
}

/** One more pass of a packet whose key is right; what the pass does with it is the pass's own business. */
export function pass(packet: usize): void {
  const useCache = usesCache(load<u32>(keyOf(packet), KEY_IN_PORT));
  const hash = hashPacket(packet);
  // as in the kernel, a given hash that is neither of software nor of ports is made anew
  if (givenHash >> 32 == 0) clearHash(packet);
  store<u32>(packet, hash, PACKET_HASH);
  let flow: usize = useCache ? lookup(packet, hash) : 0;
  const cached = flow != 0;
  if (!cached) {
    flow = findCovering(keyOf(packet), true);
    if (flow != 0 && useCache) insert(hash, <u32>flow);
  }
  if (flow == 0) {
    upcallMiss(packet);
    count(COUNTER_RECIRCULATED, 1);
    count(COUNTER_MISSES, 1);
    ringBell();
    return;
  }
  count(COUNTER_RECIRCULATED, 1);
  count(cached ? COUNTER_EMC_HITS : COUNTER_MEGAFLOW_HITS, 1);
  const tcpFlags = load<u16>(keyOf(packet), KEY_TCP_FLAGS);
  countInFlow(rowOf(flow), lengthOf(packet), load<u64>(area, WORKER_TIME_MS), tcpFlags);
  const actions: usize = atomic.load<u32>(flow, FLOW_ACTIONS);
  descend();
  run(packet, actions + ACTIONS_ATTRS, load<u32>(actions, ACTIONS_SIZE), true);
  ascend();
}
