/*
 * A ring of frames in memory: what a memory port receives from and what ports with a host side transmit to.
 *
 *     slot     | size u32 | wire size u32 | time u64 | ... 64 | headroom 128 | frame ...   |
 *
 * Single producer, single consumer; each side owns one position and only reads the other's. A received frame is handled in its slot, so
 * the slot is given back only after the batch; the headroom of the slot lets actions push tags without copying.
 *
 * Ownership: the arena block belongs to the port. Threads: one producer, one consumer, whoever they are.
 */
import {
  RING_CONSUMER,
  RING_DATA,
  RING_PRODUCER,
  RING_SLOTS,
  RING_STRIDE,
  SLOT_FRAME,
  SLOT_SIZE,
  SLOT_TIME_NS,
  SLOT_WIRE_SIZE,
} from '../constants';

/** Bytes of a ring of `slots` (a power of two) whose frames hold up to `frameSize` bytes. */
export function ringSize(slots: u32, frameSize: u32): u32 {
  return RING_DATA + slots * strideOf(frameSize);
}

/** An odd number of cache lines, so that the first lines of neighbouring frames use different cache sets. */
function strideOf(frameSize: u32): u32 {
  const lines = (SLOT_FRAME + frameSize + 63) / 64;
  return (lines | 1) * 64;
}

export function initRing(ring: usize, slots: u32, frameSize: u32): void {
  memory.fill(ring, 0, RING_DATA);
  store<u32>(ring, slots, RING_SLOTS);
  store<u32>(ring, strideOf(frameSize), RING_STRIDE);
}

@inline
export function slotAt(ring: usize, position: u32): usize {
  return ring + RING_DATA + (position & (load<u32>(ring, RING_SLOTS) - 1)) * load<u32>(ring, RING_STRIDE);
}

@inline
export function queued(ring: usize): u32 {
  return atomic.load<u32>(ring, RING_PRODUCER) - atomic.load<u32>(ring, RING_CONSUMER);
}

/** Bytes that fit behind the headroom of a slot. */
@inline
export function frameCapacity(ring: usize): u32 {
  return load<u32>(ring, RING_STRIDE) - SLOT_FRAME;
}

/** The next slot to fill, 0 when the ring is full. publish() hands it over. */
@inline
export function claim(ring: usize): usize {
  const producer = load<u32>(ring, RING_PRODUCER);
  const full = producer - atomic.load<u32>(ring, RING_CONSUMER) >= load<u32>(ring, RING_SLOTS);
  return full ? 0 : slotAt(ring, producer);
}

@inline
export function publish(ring: usize): void {
  atomic.store<u32>(ring, load<u32>(ring, RING_PRODUCER) + 1, RING_PRODUCER);
}

/** Copies a frame into the next slot. False when the ring is full or the frame too long. */
export function pushFrame(ring: usize, data: usize, size: u32, wireSize: u32, timeNs: u64): bool {
  const slot = claim(ring);
  if (slot == 0 || size > frameCapacity(ring)) return false;
  store<u32>(slot, size, SLOT_SIZE);
  store<u32>(slot, wireSize, SLOT_WIRE_SIZE);
  store<u64>(slot, timeNs, SLOT_TIME_NS);
  memory.copy(slot + SLOT_FRAME, data, size);
  publish(ring);
  return true;
}
