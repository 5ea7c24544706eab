/*
 * Transmit: hands a frame to a port. Before it: an OUTPUT action, or the pipeline for a list that is one OUTPUT. After it: the host
 * empties the ring, or kicks the queue.
 *
 * The frame is copied before this returns, so the caller may go on changing it; unless the caller says that this is its last, and it lies in
 * a kernel ring that keeps it. Each worker has its own ring or queue in each port: no lock. What does not go out is counted by name.
 */
import {
  COUNTER_COPIES,
  COUNTER_TRANSMITTED,
  DROP_NO_PORT,
  DROP_TX_FULL,
  DROP_TX_LONG,
  PACKET_DATA,
  PACKET_SIZE,
  PACKET_TIME_NS,
  PACKET_WIRE_SIZE,
  PORTS_MAX,
  PORT_FLAGS,
  PORT_FLAG_BACKPRESSURE,
  PORT_ROW_TX_BYTES,
  PORT_ROW_TX_DROPPED,
  PORT_ROW_TX_PACKETS,
  PORT_SIZEOF,
  PORT_STATE,
  PORT_TX_KIND,
  PORT_TX_RINGS,
  PORT_UP,
  RING_SLOTS,
  TX_QUEUES,
  TX_RING,
} from '../constants';
import { ports, worker } from '../memory/layout';
import { count, countDrop, countPort } from '../flow/counters';
import { complete, isOffloaded, isSuperFrame } from './offload';
import { sendTo } from './queue';
import { framesStay } from './receive';
import { frameCapacity, pushFrame, queued } from './ring';
import { beginSegments, segment } from './segment';

@inline
export function portAt(portNo: u32): usize {
  return ports + portNo * PORT_SIZEOF;
}

/** Sends the first `size` bytes of the frame out of port `portNo`. Counts everything itself. */
export function transmit(packet: usize, portNo: u32, size: u32): void {
  if (deliver(packet, portNo, size, false)) countSent(portNo, 1, size);
}

/**
 * Hands `size` bytes of the frame over, to which nothing happens afterwards if it is the `last`. False when they did not go out, which is
 * counted; what went out is for the caller to count.
 */
@inline
export function deliver(packet: usize, portNo: u32, size: u32, last: bool): bool {
  if (portNo >= <u32>PORTS_MAX || load<u32>(portAt(portNo), PORT_STATE) != PORT_UP) {
    countDrop(DROP_NO_PORT);
    return false;
  }
  const port = portAt(portNo);
  const kind = load<u32>(port, PORT_TX_KIND);
  if (kind == TX_QUEUES) return sendTo(ringOf(port), packet, size, last && framesStay);
  return (
    kind != TX_RING ||
    (isOffloaded(packet) ? pushPlain(port, portNo, packet, size) : pushTo(port, portNo, packet, size))
  );
}

export function countSent(portNo: u32, packets: u64, bytes: u64): void {
  countPort(portNo, PORT_ROW_TX_PACKETS, packets);
  countPort(portNo, PORT_ROW_TX_BYTES, bytes);
  count(COUNTER_TRANSMITTED, packets);
}

/** This worker's ring or queue of the port. */
@inline
function ringOf(port: usize): usize {
  return load<u32>(load<u32>(port, PORT_TX_RINGS) + (worker << 2));
}

function pushTo(port: usize, portNo: u32, packet: usize, size: u32): bool {
  const ring = ringOf(port);
  const wireSize = max<u32>(load<u32>(packet, PACKET_WIRE_SIZE), size);
  if (pushFrame(ring, load<u32>(packet, PACKET_DATA), size, wireSize, load<u64>(packet, PACKET_TIME_NS))) return true;
  countPort(portNo, PORT_ROW_TX_DROPPED, 1);
  countDrop(size > frameCapacity(ring) ? DROP_TX_LONG : DROP_TX_FULL);
  return false;
}

/**
 * To a port that takes frames as they are on a wire: the checksum is made first, a super-frame goes as its segments, of which the caller counts
 * one. A super-frame that is none is longer than any wire takes.
 */
function pushPlain(port: usize, portNo: u32, packet: usize, size: u32): bool {
  if (!isSuperFrame(packet)) {
    complete(packet);
    return pushTo(port, portNo, packet, size);
  }
  const n = beginSegments(packet, size);
  if (n == 0) {
    countPort(portNo, PORT_ROW_TX_DROPPED, 1);
    countDrop(DROP_TX_LONG);
    return false;
  }
  let sent: u32 = 0;
  let bytes: u64 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const part = segment(i);
    const partSize = load<u32>(part, PACKET_SIZE);
    if (!pushTo(port, portNo, part, partSize)) continue;
    sent++;
    bytes += partSize;
  }
  count(COUNTER_COPIES, n - 1);
  if (sent == 0) return false;
  countSent(portNo, sent - 1, bytes - size);
  return true;
}

/** True when some port that must not lose frames has less than half of this worker's ring free: replaying ports wait then. */
export function congested(portCount: u32): bool {
  for (let portNo: u32 = 0; portNo < portCount; portNo++) {
    const port = portAt(portNo);
    if (load<u32>(port, PORT_STATE) != PORT_UP || (load<u32>(port, PORT_FLAGS) & PORT_FLAG_BACKPRESSURE) == 0) continue;
    const ring = ringOf(port);
    if (queued(ring) << 1 > load<u32>(ring, RING_SLOTS)) return true;
  }
  return false;
}
