/*
 * THE SPINE. A batch of packets, from a port to the ports:
 *
 *     receive -> extract -> hash -> cache -> classifier -> act -> transmit
 *                                                \-> miss -> upcall ring -> a handler -> answer: install and execute
 *
 * Concepts. `poll` goes round the ports of this worker; each takes one breath: at most BATCH_MAX packets, every stage run over all of
 * them before the next begins. Bitmaps of positions say who is still in: `valid` have a key, `unresolved` no flow yet. What touches a kernel
 * ring ends the call after one round, so that the host can have it kicked; the next call begins by settling it (io/queue.ts).
 *
 * Ownership. The batch (descriptors, keys, buffers) is this worker's. Flows are shared: they are read inside an epoch that begins with the
 * breath and ends with the next one, so nothing that a breath looks at is freed under it.
 *
 * Threads. One worker slot a thread; `poll` is the only entry.
 *
 * What can be lost. Nothing without a name. WORKER_IN_FLIGHT says how many packets are received and not yet counted as anything else, so that
 * the host can account for them when the thread dies there (a thread dies at a call or at the head of a loop: what is stored side by
 * side is not torn apart). received + recirculated = EMC hits + megaflow hits + misses + frames too short or too long + packets lost with a
 * worker; misses = upcalls + those dropped on the way to the ring; and what actions did with the hits: actions/execute.ts.
 */
import {
  ACTIONS_ATTRS,
  ACTIONS_KIND,
  ACTIONS_KIND_OUTPUT,
  ACTIONS_PORT,
  ACTIONS_SIZE,
  BATCH_MAX,
  COUNTER_BATCHES,
  COUNTER_EMC_HITS,
  COUNTER_MEGAFLOW_HITS,
  COUNTER_MISSES,
  DROP_RX_LONG,
  DROP_RX_SHORT,
  FLOW_ACTIONS,
  FRAME_SIZE_MAX,
  KEY_SIZE,
  KEY_TCP_FLAGS,
  OPTION_RULES,
  PACKET_FLOW,
  PACKET_HASH,
  PACKET_KEY,
  PACKET_SIZE,
  PACKET_SIZEOF,
  PORT_FLAGS,
  PORT_FLAG_HOT,
  PORT_ROW_RX_DROPPED,
  PORT_RX_KIND,
  RX_INDEX_SHIFT,
  RX_REPLAY,
  SB_FLOW_COUNT,
  SB_OPTIONS,
  SB_PORT_COUNT,
  UPCALL_PRESSED_MAX,
  UPCALL_TAKE_MAX,
  WORKER_IN_FLIGHT,
  WORKER_RECEIVER,
  WORKER_RX_COUNT,
  WORKER_RX_NEXT,
  WORKER_SABOTAGE,
  WORKER_STOP,
  WORKER_TIME_MS,
  WORKER_TOUCHED,
  WORKER_TURNS,
} from './constants';
import { execute } from './actions/execute';
import { classify } from './flow/classifier';
import { count, countDrops, countInFlow, countPort, rowOf } from './flow/counters';
import { bucketOf, candidate, covers, insert, lookup, usesCache } from './flow/emc';
import { extract } from './flow/extract';
import { hashPacket } from './flow/hash';
import { offer } from './io/hot-flows';
import { findPartial, markOffloaded, offloaded, resetOffloaded, soft } from './io/offload';
import { RX_PORT_MASK } from './io/port';
import { settle } from './io/queue';
import { finishReceive, framesStay, receive } from './io/receive';
import { congested, countSent, deliver, portAt } from './io/transmit';
import { enter, leave } from './memory/epoch';
import { area, keys, packets, POSITIONS, rxPorts, sb, worker } from './memory/layout';
import { ringBell, upcallMiss } from './upcall/produce';
import { answerByRules } from './upcall/rules';

/** With more flows than this, lookups first touch what they will read, for all packets of the batch. */
const TOUCH_FLOWS: u32 = 4096;

/** What the touching passes read: kept so that the loads are not removed. */
export let touched: u32 = 0;

/** In this round, and in the one before it, a kernel ring filled a batch, with packets of known flows in it: more comes than can be carried. */
let isPressed: bool = false;
let wasPressed: bool = false;
/** The millisecond of the last answer under pressure, and how many more may be given in it. */
let pressedMs: u64 = 0;
let answersLeft: u32 = 0;

/** Takes up to `breaths` batches from this worker's ports, in turn. Returns the number of packets received. */
export function poll(breaths: u32): u32 {
  let received: u32 = 0;
  let idle: u32 = 0;
  const rules = (load<u32>(sb(SB_OPTIONS)) & OPTION_RULES) != 0;
  atomic.store<u32>(area, load<u32>(area, WORKER_TURNS) + 1, WORKER_TURNS);
  wasPressed = isPressed;
  isPressed = false;
  settle();
  for (let i: u32 = 0; i < breaths && load<u32>(area, WORKER_STOP) == 0; i++) {
    const portCount = load<u32>(area, WORKER_RX_COUNT);
    if (idle >= portCount) break; // a whole round brought nothing
    if (i >= portCount && load<u32>(area, WORKER_TOUCHED) != 0) break;
    enter();
    const next = load<u32>(area, WORKER_RX_NEXT);
    const turn = next < portCount ? next : 0;
    store<u32>(area, turn + 1, WORKER_RX_NEXT);
    const n = breathe(load<u32>(rxPorts + (turn << 2)));
    received += n;
    idle = n == 0 ? idle + 1 : 0;
    if (rules) answerOwn();
  }
  leave();
  return received;
}

/** One batch of one port, or of one queue of it. */
function breathe(receiver: u32): u32 {
  const portNo = receiver & RX_PORT_MASK;
  const port = portAt(portNo);
  if (load<u32>(port, PORT_RX_KIND) == RX_REPLAY && congested(load<u32>(sb(SB_PORT_COUNT)))) return 0;
  resetOffloaded();
  store<u32>(area, receiver, WORKER_RECEIVER);
  const n = receive(port, portNo, receiver >> RX_INDEX_SHIFT);
  if (n == 0) return 0;
  sabotage();

  const valid = extractAll(portNo, n);
  if (offloaded != 0) markOffloaded(valid);
  if (soft) findPartial(valid);
  const useCache = usesCache(portNo);
  let unresolved = useCache ? findCached(valid) : valid;
  const afterCache = unresolved;
  if (unresolved != 0) unresolved = classify(unresolved);
  if (useCache) remember(afterCache ^ unresolved);
  act(valid ^ unresolved, isHot(port) ? valid ^ afterCache : 0);
  count(COUNTER_BATCHES, 1);
  count(COUNTER_EMC_HITS, popcnt(valid ^ afterCache));
  count(COUNTER_MEGAFLOW_HITS, popcnt(afterCache ^ unresolved));
  store<u32>(area, popcnt(unresolved), WORKER_IN_FLIGHT);
  if (unresolved != 0) miss(unresolved);
  if (n == BATCH_MAX && framesStay && valid != unresolved) isPressed = true;
  finishReceive(port, n);
  return n;
}

/** Makes the keys, and counts what has none. Returns the bitmap of the packets that have one: neither too short nor too long. */
function extractAll(portNo: u32, n: u32): u32 {
  let valid: u32 = 0;
  let long: u32 = 0;
  let packet = packets;
  for (let i: u32 = 0; i < n; i++, packet += PACKET_SIZEOF) {
    if (load<u32>(packet, PACKET_SIZE) > <u32>FRAME_SIZE_MAX) long++;
    else if (extract(packet) == 0) valid |= 1 << i;
  }
  const refused = n - popcnt(valid);
  if (refused != 0) {
    countPort(portNo, PORT_ROW_RX_DROPPED, refused);
    countDrops(DROP_RX_SHORT, refused - long);
    countDrops(DROP_RX_LONG, long);
    store<u32>(area, n - refused, WORKER_IN_FLIGHT);
  }
  return valid;
}

/** Hash, cache, comparison. Returns the bitmap of the packets that the cache does not know. */
function findCached(valid: u32): u32 {
  return load<u32>(sb(SB_FLOW_COUNT)) > TOUCH_FLOWS ? findCachedStaged(valid) : findCachedAtOnce(valid);
}

/** Few flows: everything is near, and each packet is finished before the next. */
function findCachedAtOnce(valid: u32): u32 {
  let unresolved: u32 = 0;
  for (let todo = valid; todo != 0; todo &= todo - 1) {
    const packet = packets + ctz(todo) * PACKET_SIZEOF;
    const hash = hashPacket(packet);
    store<u32>(packet, hash, PACKET_HASH);
    let flow = candidate(hash);
    if (flow == 0 || !covers(flow, packet)) flow = lookup(packet, hash);
    store<u32>(packet, <u32>flow, PACKET_FLOW);
    if (flow == 0) unresolved |= todo & -todo;
  }
  return unresolved;
}

/** Many flows: hash and touch the bucket; find the candidate and touch it and its row; compare. The cache misses of the batch overlap. */
function findCachedStaged(valid: u32): u32 {
  let touching: u32 = 0;
  for (let todo = valid; todo != 0; todo &= todo - 1) {
    const packet = packets + ctz(todo) * PACKET_SIZEOF;
    const hash = hashPacket(packet);
    store<u32>(packet, hash, PACKET_HASH);
    touching += load<u32>(bucketOf(hash));
  }
  for (let todo = valid; todo != 0; todo &= todo - 1) {
    const packet = packets + ctz(todo) * PACKET_SIZEOF;
    const flow = candidate(load<u32>(packet, PACKET_HASH));
    store<u32>(packet, <u32>flow, PACKET_FLOW);
    if (flow != 0) touching += load<u32>(flow) + load<u32>(rowOf(flow));
  }
  touched += touching;
  let unresolved: u32 = 0;
  for (let todo = valid; todo != 0; todo &= todo - 1) {
    const packet = packets + ctz(todo) * PACKET_SIZEOF;
    const flow: usize = load<u32>(packet, PACKET_FLOW);
    if (flow != 0 && covers(flow, packet)) continue;
    const other = lookup(packet, load<u32>(packet, PACKET_HASH));
    store<u32>(packet, <u32>other, PACKET_FLOW);
    if (other == 0) unresolved |= todo & -todo;
  }
  return unresolved;
}

/** What the classifier found goes into the cache. */
function remember(found: u32): void {
  for (let todo = found; todo != 0; todo &= todo - 1) {
    const packet = packets + ctz(todo) * PACKET_SIZEOF;
    insert(load<u32>(packet, PACKET_HASH), load<u32>(packet, PACKET_FLOW));
  }
}

/** An XDP program of the port forwards what the cache knows. */
@inline
function isHot(port: usize): bool {
  return (load<u32>(port, PORT_FLAGS) & PORT_FLAG_HOT) != 0;
}

/**
 * Counts each packet in its flow and executes the flow's actions on it, in the order of arrival. What a run of packets sends to one port is
 * counted once for the run. Those of `warm` may be forwarded by an XDP program the next time.
 */
function act(found: u32, warm: u32): void {
  const nowMs = load<u64>(area, WORKER_TIME_MS);
  let port: u32 = 0;
  let sent: u64 = 0;
  let bytes: u64 = 0;
  for (let todo = found; todo != 0; todo &= todo - 1) {
    const packet = packets + ctz(todo) * PACKET_SIZEOF;
    const flow: usize = load<u32>(packet, PACKET_FLOW);
    const size = load<u32>(packet, PACKET_SIZE);
    countInFlow(rowOf(flow), size, nowMs, load<u16>(load<u32>(packet, PACKET_KEY), KEY_TCP_FLAGS));
    const actions: usize = atomic.load<u32>(flow, FLOW_ACTIONS);
    if (load<u32>(actions, ACTIONS_KIND) != ACTIONS_KIND_OUTPUT) {
      execute(packet, actions + ACTIONS_ATTRS, load<u32>(actions, ACTIONS_SIZE));
      continue;
    }
    const output = load<u32>(actions, ACTIONS_PORT);
    if (!deliver(packet, output, size, true)) continue;
    if ((warm & todo & -todo) != 0) offer(packet, flow, actions, output);
    if (output != port) {
      if (sent != 0) countSent(port, sent, bytes);
      port = output;
      sent = 0;
      bytes = 0;
    }
    sent++;
    bytes += size;
  }
  if (sent != 0) countSent(port, sent, bytes);
}

function miss(unresolved: u32): void {
  for (let todo = unresolved; todo != 0; todo &= todo - 1) {
    upcallMiss(packets + ctz(todo) * PACKET_SIZEOF);
    count(COUNTER_MISSES, 1);
    store<u32>(area, load<u32>(area, WORKER_IN_FLIGHT) - 1, WORKER_IN_FLIGHT);
  }
  ringBell();
}

/**
 * The static handler on the worker's own thread: the misses of this breath are answered before the next. Under pressure a part of its time is spent on that, and
 * no more: known flows come first, and misses that find the ring full are lost as they would be with a handler elsewhere.
 */
function answerOwn(): void {
  if (!isPressed && !wasPressed) {
    while (answerByRules(worker, UPCALL_TAKE_MAX) != 0) {}
    return;
  }
  const nowMs = load<u64>(area, WORKER_TIME_MS);
  if (nowMs != pressedMs) {
    pressedMs = nowMs;
    answersLeft = UPCALL_PRESSED_MAX;
  }
  if (answersLeft != 0) answersLeft -= answerByRules(worker, answersLeft);
}

/** Fault injection: the host may ask for a trap in the n-th breath from now (WORKER_SABOTAGE), to prove that nothing is lost by it. */
@inline
function sabotage(): void {
  const left = load<u32>(area, WORKER_SABOTAGE);
  if (left == 0) return;
  store<u32>(area, left - 1, WORKER_SABOTAGE);
  if (left == 1) unreachable();
}

/** Ties the fixed fields of the batch's descriptors to their keys; called when a worker attaches. */
export function initBatch(): void {
  for (let i: u32 = 0; i < POSITIONS; i++) {
    const packet = packets + i * PACKET_SIZEOF;
    memory.fill(packet, 0, PACKET_SIZEOF);
    store<u32>(packet, <u32>(keys + i * KEY_SIZE), PACKET_KEY);
    memory.fill(keys + i * KEY_SIZE, 0, KEY_SIZE);
  }
}
