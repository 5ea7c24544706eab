/*
 * Answers: what a handler decided about a taken frame is carried out. Before it: upcall/consume.ts and the handler, who wrote the answer
 * into the frame: UPCALL_ANSWER_MASK (0: install nothing) and UPCALL_ANSWER_ACTIONS (0: drop this packet).
 *
 * The usual answer, actions and a mask for this very key, costs no message: the key is copied from the frame into a flow, then the
 * packet is copied out of the frame and the actions are executed on it. Threads: the consumer of the ring.
 */
import {
  ACTIONS_ATTRS,
  ACTIONS_SIZE,
  BATCH_MAX,
  COUNTER_ANSWERED,
  COUNTER_EXECUTED,
  COUNTER_INSTALLED,
  DROP_UPCALL_HANDLER,
  HEADROOM,
  KEY_RECIRC_ID,
  KEY_SIZE,
  PACKET_CUT,
  PACKET_DATA,
  PACKET_FLOW,
  PACKET_HASH,
  PACKET_HEAD,
  PACKET_IN_PORT,
  PACKET_KEY,
  PACKET_L3,
  PACKET_RECIRC_ID,
  PACKET_SIZE,
  PACKET_SIZEOF,
  PACKET_TAIL,
  PACKET_TIME_NS,
  PACKET_WIRE_SIZE,
  UPCALL_ANSWER_ACTIONS,
  UPCALL_ANSWER_MASK,
  UPCALL_COMMAND,
  UPCALL_IN_PORT,
  UPCALL_KEY,
  UPCALL_LIST,
  UPCALL_OFFSETS,
  UPCALL_PACKET,
  UPCALL_PACKET_SIZE,
  UPCALL_TIME_NS,
  UPCALL_WIRE_SIZE,
  WORKER_EPOCH,
} from '../constants';
import { execute } from '../actions/execute';
import { count, countDrop } from '../flow/counters';
import { putCreated, putFlow } from '../flow/table';
import { enter, leave } from '../memory/epoch';
import { area, BUFFER_STRIDE, buffers, flows, keys, packets } from '../memory/layout';
import { OVS_PACKET_CMD_MISS } from '../netlink/openvswitch';
import { give, ringOf } from './consume';

/** Carries out the answers of the first `n` frames of the last take and gives the frames back. Returns the errno of the last put that failed, or 0. */
export function answerTaken(slot: u32, n: u32, idleMs: u32, hardMs: u32): u32 {
  const ring = ringOf(slot);
  let failure: u32 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const status = answer(slot, load<u32>(ring + (i << 2), UPCALL_LIST), idleMs, hardMs);
    if (status != 0) failure = status;
  }
  return failure;
}

/** Carries out the answer in one taken frame and gives it back. Returns 0 or the errno of a put that failed (the packet is executed anyway). */
export function answer(slot: u32, frame: usize, idleMs: u32, hardMs: u32): u32 {
  const actions: usize = load<u32>(frame, UPCALL_ANSWER_ACTIONS);
  const mask: usize = load<u32>(frame, UPCALL_ANSWER_MASK);
  const miss = load<u32>(frame, UPCALL_COMMAND) == OVS_PACKET_CMD_MISS;
  let status: u32 = 0;
  if (actions != 0) {
    if (mask != 0) {
      const flow = putFlow(frame + UPCALL_KEY, mask, actions, 0, idleMs, hardMs);
      if (flow < <u32>flows) status = flow;
      else if (putCreated) count(COUNTER_INSTALLED, 1);
    }
    executeFrame(frame, actions + ACTIONS_ATTRS, load<u32>(actions, ACTIONS_SIZE));
  }
  give(slot, frame); // before it is counted: a frame that a dead worker has not given back is counted as stale
  if (miss && actions != 0) count(COUNTER_ANSWERED, 1);
  else if (miss) countDrop(DROP_UPCALL_HANDLER);
  return status;
}

/** Executes actions on a copy of the frame's packet; they may recirculate it, so this is a section of a reader. */
export function executeFrame(frame: usize, attrs: usize, size: u32): void {
  const reading = load<u32>(area, WORKER_EPOCH) != 0;
  if (!reading) enter();
  const packet = packets + BATCH_MAX * PACKET_SIZEOF;
  const key = keys + BATCH_MAX * KEY_SIZE;
  const data = buffers + BATCH_MAX * BUFFER_STRIDE + HEADROOM;
  const packetSize = load<u32>(frame, UPCALL_PACKET_SIZE);
  memory.copy(data, load<u32>(frame, UPCALL_PACKET), packetSize);
  memory.copy(key, frame + UPCALL_KEY, KEY_SIZE);
  store<u32>(packet, <u32>data, PACKET_DATA);
  store<u32>(packet, packetSize, PACKET_SIZE);
  store<u32>(packet, <u32>(data - HEADROOM), PACKET_HEAD);
  store<u32>(packet, <u32>(data - HEADROOM + BUFFER_STRIDE), PACKET_TAIL);
  store<u32>(packet, <u32>key, PACKET_KEY);
  store<u32>(packet, load<u32>(frame, UPCALL_IN_PORT), PACKET_IN_PORT);
  store<u32>(packet, 0, PACKET_HASH);
  store<u32>(packet, 0, PACKET_FLOW);
  store<u32>(packet, load<u32>(frame, UPCALL_WIRE_SIZE), PACKET_WIRE_SIZE);
  store<u64>(packet, load<u64>(frame, UPCALL_TIME_NS), PACKET_TIME_NS);
  store<u64>(packet, load<u64>(frame, UPCALL_OFFSETS), PACKET_L3);
  store<u32>(packet, 0, PACKET_CUT);
  store<u32>(packet, load<u32>(key, KEY_RECIRC_ID), PACKET_RECIRC_ID);
  execute(packet, attrs, size);
  count(COUNTER_EXECUTED, 1);
  if (!reading) leave();
}
