/*
 * Transmit: hands a frame to a port. Before it: an OUTPUT action, or the pipeline for a list that is one OUTPUT. After it: the host
 * empties the ring.
 *
 * The frame is copied before this returns, so the caller may go on changing it. Each worker has its own ring in each port: no lock.
 * What does not go out is counted by name: no such port, ring full.
 */
import {
  COUNTER_TRANSMITTED,
  DROP_NO_PORT,
  DROP_TX_FULL,
  DROP_TX_LONG,
  PACKET_CUT,
  PACKET_DATA,
  PACKET_SIZE,
  PACKET_TIME_NS,
  PACKET_WIRE_SIZE,
  PORTS_MAX,
  PORT_FLAGS,
  PORT_FLAG_BACKPRESSURE,
  PORT_ROW_SIZEOF,
  PORT_ROW_TX_BYTES,
  PORT_ROW_TX_DROPPED,
  PORT_ROW_TX_PACKETS,
  PORT_SIZEOF,
  PORT_STATE,
  PORT_TX_KIND,
  PORT_TX_RINGS,
  RING_SLOTS,
  TX_RING,
} from '../constants';
import { portRows, ports, worker } from '../memory/layout';
import { count, countDrop, countPort } from '../flow/counters';
import { frameCapacity, pushFrame, queued } from './ring';

@inline
export function portAt(portNo: u32): usize {
  return ports + portNo * PORT_SIZEOF;
}

/** Sends the frame out of port `portNo`, cut to PACKET_CUT bytes when that is not 0. Counts everything itself. */
export function transmit(packet: usize, portNo: u32): void {
  if (portNo >= <u32>PORTS_MAX || load<u32>(portAt(portNo), PORT_STATE) == 0) {
    countDrop(DROP_NO_PORT);
    return;
  }
  const port = portAt(portNo);
  const cut = load<u32>(packet, PACKET_CUT);
  let size = load<u32>(packet, PACKET_SIZE);
  if (cut != 0 && cut < size) size = cut;
  if (load<u32>(port, PORT_TX_KIND) == TX_RING && !pushTo(port, packet, size)) {
    countPort(portNo, PORT_ROW_TX_DROPPED, 1);
    countDrop(size > frameCapacity(ringOf(port)) ? DROP_TX_LONG : DROP_TX_FULL);
    return;
  }
  const row = portRows + portNo * PORT_ROW_SIZEOF;
  store<u64>(row, load<u64>(row, PORT_ROW_TX_PACKETS) + 1, PORT_ROW_TX_PACKETS);
  store<u64>(row, load<u64>(row, PORT_ROW_TX_BYTES) + size, PORT_ROW_TX_BYTES);
  count(COUNTER_TRANSMITTED, 1);
}

@inline
function ringOf(port: usize): usize {
  return load<u32>(load<u32>(port, PORT_TX_RINGS) + (worker << 2));
}

function pushTo(port: usize, packet: usize, size: u32): bool {
  const wireSize = max<u32>(load<u32>(packet, PACKET_WIRE_SIZE), size);
  return pushFrame(ringOf(port), load<u32>(packet, PACKET_DATA), size, wireSize, load<u64>(packet, PACKET_TIME_NS));
}

/** True when some port that must not lose frames has less than half of this worker's ring free: replaying ports wait then. */
export function congested(portCount: u32): bool {
  for (let portNo: u32 = 0; portNo < portCount; portNo++) {
    const port = portAt(portNo);
    if (load<u32>(port, PORT_STATE) == 0 || (load<u32>(port, PORT_FLAGS) & PORT_FLAG_BACKPRESSURE) == 0) continue;
    const ring = ringOf(port);
    if (queued(ring) << 1 > load<u32>(ring, RING_SLOTS)) return true;
  }
  return false;
}
