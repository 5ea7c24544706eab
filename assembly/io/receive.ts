/*
 * Receive: fills the batch from one port. Before it: the pipeline picks the port. After it: flow/extract.ts.
 *
 * A driver fills PACKET_DATA, SIZE, HEAD, TAIL, WIRE_SIZE, TIME_NS of up to BATCH_MAX positions and answers how many; when the batch is done
 * `finishReceive` gives the frames back. Frames of kernel rings stay longer, until their queue is settled (io/queue.ts): `framesStay`.
 *
 * What can be lost. A driver admits its frames in one go with the stores that make them the worker's: no call and no loop stands between, which is where
 * a thread can be killed. Before, they are still in their ring; from then on they are counted as received, and lost when the worker dies.
 *
 * Threads: the worker that polls the port.
 */
import {
  BATCH_MAX,
  COUNTER_RECEIVED,
  FRAME_SIZE_MAX,
  HEADROOM,
  PACKET_CUT,
  PACKET_DATA,
  PACKET_HEAD,
  PACKET_IN_PORT,
  PACKET_RECIRC_ID,
  PACKET_SIZE,
  PACKET_SIZEOF,
  PACKET_TAIL,
  PACKET_TIME_NS,
  PACKET_WIRE_SIZE,
  PORT_ROW_RX_BYTES,
  PORT_ROW_RX_DROPPED,
  PORT_ROW_RX_PACKETS,
  PORT_RX,
  PORT_RX_KIND,
  REPLAY_COUNT,
  REPLAY_DESCRIPTORS,
  REPLAY_DESCRIPTOR_SIZEOF,
  REPLAY_DONE,
  REPLAY_FAST,
  REPLAY_FRAME,
  REPLAY_FRAME_SIZE,
  REPLAY_FRAME_TIME_NS,
  REPLAY_FRAME_WIRE_SIZE,
  REPLAY_INTERVAL_NS,
  REPLAY_LOOPS,
  REPLAY_MODE,
  REPLAY_NEXT,
  REPLAY_ORIGIN_NS,
  REPLAY_PACED,
  REPLAY_PERIOD_NS,
  REPLAY_START_NS,
  REPLAY_TIMED,
  RING_CONSUMER,
  RING_STRIDE,
  RX_QUEUES,
  RX_REPLAY,
  RX_RING,
  SLOT_FRAME,
  SLOT_SIZE,
  SLOT_TIME_NS,
  SLOT_WIRE_SIZE,
  WORKER_BATCH,
  WORKER_IN_FLIGHT,
  WORKER_TIME_NS,
} from '../constants';
import { count, countDrop, countPort } from '../flow/counters';
import { area, BUFFER_STRIDE, buffers, packets } from '../memory/layout';
import { copyFrame } from './copy';
import { queueOf, receiveFrom } from './queue';
import { queued, slotAt } from './ring';

/** The frames of the batch at hand stay where they are until the queues are settled: what is sent need not be copied. */
export let framesStay: bool = false;

/** Fills the batch from the port, or from its queue number `index` if it has queues. Returns the number of packets. */
export function receive(port: usize, portNo: u32, index: u32): u32 {
  const kind = load<u32>(port, PORT_RX_KIND);
  const rx: usize = load<u32>(port, PORT_RX);
  framesStay = false;
  if (kind == RX_REPLAY) return receiveReplay(rx, portNo);
  if (kind == RX_RING) return receiveRing(rx, portNo);
  if (kind != RX_QUEUES) return 0;
  framesStay = true;
  return receiveFrom(queueOf(port, index), portNo);
}

/** Gives the frames of the batch back to where they came from. */
export function finishReceive(port: usize, n: u32): void {
  if (load<u32>(port, PORT_RX_KIND) != RX_RING) return;
  const ring: usize = load<u32>(port, PORT_RX);
  atomic.store<u32>(ring, load<u32>(ring, RING_CONSUMER) + n, RING_CONSUMER);
  store<u32>(area, 0, WORKER_BATCH);
}

/** A position of the batch: `size` bytes at `data`, in a buffer from `head` to `tail`. */
@inline
export function fill(
  packet: usize,
  portNo: u32,
  data: usize,
  size: u32,
  head: usize,
  tail: usize,
  wireSize: u32,
  timeNs: u64,
): void {
  store<u32>(packet, <u32>data, PACKET_DATA);
  store<u32>(packet, size, PACKET_SIZE);
  store<u32>(packet, <u32>head, PACKET_HEAD);
  store<u32>(packet, <u32>tail, PACKET_TAIL);
  store<u32>(packet, portNo, PACKET_IN_PORT);
  store<u32>(packet, wireSize, PACKET_WIRE_SIZE);
  store<u64>(packet, timeNs, PACKET_TIME_NS);
  store<u64>(packet, 0, PACKET_CUT); // and PACKET_RECIRC_ID
}

// PACKET_RECIRC_ID follows PACKET_CUT: one store clears both
assert(PACKET_RECIRC_ID == PACKET_CUT + 4);

/** `n` frames of `bytes` bytes are received, and in the hands of this worker. */
@inline
export function admit(portNo: u32, n: u32, bytes: u64): void {
  store<u32>(area, n, WORKER_IN_FLIGHT);
  count(COUNTER_RECEIVED, n);
  countPort(portNo, PORT_ROW_RX_PACKETS, n);
  countPort(portNo, PORT_ROW_RX_BYTES, bytes);
}

/** One of them never becomes a packet of the batch. */
@inline
export function refuse(portNo: u32, reason: u32): void {
  store<u32>(area, load<u32>(area, WORKER_IN_FLIGHT) - 1, WORKER_IN_FLIGHT);
  countDrop(reason);
  countPort(portNo, PORT_ROW_RX_DROPPED, 1);
}

function receiveRing(ring: usize, portNo: u32): u32 {
  let bytes: u64 = 0;
  const n = min<u32>(queued(ring), BATCH_MAX);
  const consumer = load<u32>(ring, RING_CONSUMER);
  for (let i: u32 = 0; i < n; i++) {
    const slot = slotAt(ring, consumer + i);
    const tail = slot + load<u32>(ring, RING_STRIDE);
    const room = <u32>(tail - slot) - SLOT_FRAME;
    // the producer is another thread, perhaps another program: its size is believed only as far as the slot goes
    const size = min<u32>(load<u32>(slot, SLOT_SIZE), room);
    fill(
      packets + i * PACKET_SIZEOF,
      portNo,
      slot + SLOT_FRAME,
      size,
      slot + SLOT_FRAME - HEADROOM,
      tail,
      load<u32>(slot, SLOT_WIRE_SIZE),
      load<u64>(slot, SLOT_TIME_NS),
    );
    bytes += size;
  }
  if (n == 0) return 0;
  admit(portNo, n, bytes);
  store<u32>(area, n, WORKER_BATCH);
  return n;
}

/** How many frames of the replay are due now. */
function due(replay: usize): u32 {
  const next = load<u32>(replay, REPLAY_NEXT);
  const left = min<u32>(load<u32>(replay, REPLAY_COUNT) - next, BATCH_MAX);
  const mode = load<u32>(replay, REPLAY_MODE);
  if (mode == REPLAY_FAST) return left;
  const nowNs = load<u64>(area, WORKER_TIME_NS);
  let startNs = load<u64>(replay, REPLAY_START_NS);
  if (startNs == 0) {
    startNs = nowNs;
    store<u64>(replay, nowNs, REPLAY_START_NS);
  }
  const elapsedNs = nowNs > startNs ? nowNs - startNs : 0;
  if (mode == REPLAY_PACED) {
    // in paced mode the origin counts the frames of earlier rounds
    const allowed = (elapsedNs << 10) / load<u64>(replay, REPLAY_INTERVAL_NS) + 1;
    const sent = load<u64>(replay, REPLAY_ORIGIN_NS) + next;
    return allowed > sent ? <u32>min<u64>(left, allowed - sent) : 0;
  }
  const limitNs = load<u64>(replay, REPLAY_ORIGIN_NS) + elapsedNs;
  let descriptor = load<u32>(replay, REPLAY_DESCRIPTORS) + next * REPLAY_DESCRIPTOR_SIZEOF;
  let n: u32 = 0;
  while (n < left && load<u64>(descriptor, REPLAY_FRAME_TIME_NS) <= limitNs) {
    n++;
    descriptor += REPLAY_DESCRIPTOR_SIZEOF;
  }
  return n;
}

function receiveReplay(replay: usize, portNo: u32): u32 {
  if (load<u32>(replay, REPLAY_DONE) != 0) return 0;
  const n = due(replay);
  let descriptor: usize =
    load<u32>(replay, REPLAY_DESCRIPTORS) + load<u32>(replay, REPLAY_NEXT) * REPLAY_DESCRIPTOR_SIZEOF;
  const nowNs = load<u64>(area, WORKER_TIME_NS);
  let bytes: u64 = 0;
  let buffer = buffers + HEADROOM;
  for (let i: u32 = 0; i < n; i++) {
    const size = load<u32>(descriptor, REPLAY_FRAME_SIZE);
    // a frame that is too long is dropped by its size; what would not fit the buffer is not copied
    copyFrame(buffer, load<u32>(descriptor, REPLAY_FRAME), min<u32>(size, FRAME_SIZE_MAX));
    const head = buffer - HEADROOM;
    const wireSize = load<u32>(descriptor, REPLAY_FRAME_WIRE_SIZE);
    fill(packets + i * PACKET_SIZEOF, portNo, buffer, size, head, head + BUFFER_STRIDE, wireSize, nowNs);
    descriptor += REPLAY_DESCRIPTOR_SIZEOF;
    buffer += BUFFER_STRIDE;
    bytes += size;
  }
  if (n == 0) return 0;
  admit(portNo, n, bytes);
  advanceReplay(replay, n);
  return n;
}

@inline
function advanceReplay(replay: usize, n: u32): void {
  const count = load<u32>(replay, REPLAY_COUNT);
  let next = load<u32>(replay, REPLAY_NEXT) + n;
  if (next == count) {
    const loops = load<u32>(replay, REPLAY_LOOPS);
    if (loops == 1) {
      atomic.store<u32>(replay, 1, REPLAY_DONE);
    } else {
      if (loops != 0) store<u32>(replay, loops - 1, REPLAY_LOOPS);
      next = 0;
      const mode = load<u32>(replay, REPLAY_MODE);
      if (mode == REPLAY_TIMED)
        store<u64>(replay, load<u64>(replay, REPLAY_START_NS) + load<u64>(replay, REPLAY_PERIOD_NS), REPLAY_START_NS);
      if (mode == REPLAY_PACED) store<u64>(replay, load<u64>(replay, REPLAY_ORIGIN_NS) + count, REPLAY_ORIGIN_NS);
    }
  }
  store<u32>(replay, next, REPLAY_NEXT);
}
