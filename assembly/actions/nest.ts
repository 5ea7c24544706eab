/*
 * Copies of packets: what CLONE, SAMPLE, CHECK_PKT_LEN and RECIRC need so that the packet goes on as it was.
 *
 * Before it: execute.ts and recirculate.ts. Concepts. As in the kernel, a copy for what is executed at once comes from the place of the
 * current level, of which there are CLONES_MAX; deeper than that the work is put off: the packet is copied into one of DEFERRED_MAX
 * places and executed when everything else of the received packet is done. A copy has its own bytes, descriptor and key, and
 * its full headroom again.
 *
 * Ownership. Levels, places and the queue are this worker's and empty between two received packets. What is put off refers to an action
 * list that is valid until then (the list of a flow inside the reader's section, or of the caller of `execute`).
 */
import {
  CLONES_MAX,
  DEFERRED_MAX,
  DROP_RECURSION,
  HEADROOM,
  KEY_RECIRC_ID,
  KEY_SIZE,
  OFFLOAD_SIZEOF,
  PACKET_DATA,
  PACKET_FLOW,
  PACKET_HEAD,
  PACKET_KEY,
  PACKET_RECIRC_ID,
  PACKET_SCRATCH,
  PACKET_SIZEOF,
  PACKET_TAIL,
  WORKER_DEFERRED_RATES,
} from '../constants';
import { countDrop } from '../flow/counters';
import { isOffloaded, offloadOf } from '../io/offload';
import { area, BUFFER_STRIDE, buffers, COPIES, keys, packets } from '../memory/layout';
import { dataOf, keyOf, sizeOf } from './packet';

/** How deep in nested lists and recirculation the current packet is. */
let level: u32 = 0;
/** Packets put off so far, for the received packet at hand. */
let queued: u32 = 0;

/** Before each received packet: also after a trap in the one before. */
export function resetLevels(): void {
  level = 0;
  queued = 0;
}

@inline
export function descend(): void {
  level++;
}

@inline
export function ascend(): void {
  level--;
}

/** What needs a copy cannot be executed at once. */
@inline
export function isDeepest(): bool {
  return level >= <u32>CLONES_MAX;
}

/** A copy in the place of this level; valid until the next one here. */
export function copyOf(packet: usize): usize {
  return copyTo(packet, level);
}

function copyTo(packet: usize, place: u32): usize {
  const position = COPIES + place;
  const copy = packets + position * PACKET_SIZEOF;
  const key = keys + position * KEY_SIZE;
  const buffer = buffers + position * BUFFER_STRIDE;
  memory.copy(copy, packet, PACKET_SIZEOF);
  memory.copy(key, keyOf(packet), KEY_SIZE);
  memory.copy(buffer + HEADROOM, dataOf(packet), sizeOf(packet));
  store<u32>(copy, <u32>buffer + HEADROOM, PACKET_DATA);
  store<u32>(copy, <u32>buffer, PACKET_HEAD);
  store<u32>(copy, <u32>buffer + BUFFER_STRIDE, PACKET_TAIL);
  store<u32>(copy, <u32>key, PACKET_KEY);
  if (isOffloaded(packet)) memory.copy(offloadOf(copy), offloadOf(packet), OFFLOAD_SIZEOF);
  return copy;
}

/**
 * Puts a list off, or with `attrs` 0 the lookup with `recircId`; `rate` is what deferredRate() will say. Without a place for it, it is dropped:
 * DROP_RECURSION.
 */
export function defer(packet: usize, attrs: usize, size: u32, recircId: u32, rate: u32): void {
  if (queued == <u32>DEFERRED_MAX) return countDrop(DROP_RECURSION);
  const copy = copyTo(packet, CLONES_MAX + queued);
  store<u32>(area + (queued << 2), rate, WORKER_DEFERRED_RATES);
  queued++;
  store<u32>(copy, <u32>attrs, PACKET_FLOW);
  store<u32>(copy, size, PACKET_SCRATCH);
  if (attrs == 0) setRecircId(copy, recircId);
}

/** The n-th packet that was put off, 0 when there are no more. PACKET_FLOW is its list, 0 for a lookup, PACKET_SCRATCH the list's size. */
export function deferred(n: u32): usize {
  return n < queued ? packets + (COPIES + CLONES_MAX + n) * PACKET_SIZEOF : 0;
}

/** The probability of the SAMPLE around the n-th that was put off. */
export function deferredRate(n: u32): u32 {
  return load<u32>(area + (n << 2), WORKER_DEFERRED_RATES);
}

export function setRecircId(packet: usize, recircId: u32): void {
  store<u32>(packet, recircId, PACKET_RECIRC_ID);
  store<u32>(keyOf(packet), recircId, KEY_RECIRC_ID);
}
