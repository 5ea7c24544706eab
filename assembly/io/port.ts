/*
 * Ports: opening, closing, and which worker polls what. Before it: the host, which allocates a port's rings in the arena. After it:
 * io/receive.ts and io/transmit.ts read the descriptor.
 *
 * Threads: the owner thread, one call at a time; silencePort: the holder of the writer lock. A worker may be polling meanwhile: PORT_STATE is
 * stored last when a port opens and cleared first when it closes, and the rings are retired, not freed. Queues of kernel rings are the host's
 * to take back, when no worker can have them in hand any more.
 */
import {
  EBUSY,
  EINVAL,
  ENODEV,
  PORTS_MAX,
  PORT_FLAGS,
  PORT_FREE,
  PORT_HOT_SIZE,
  PORT_RX,
  PORT_RX_KIND,
  PORT_SILENT,
  PORT_SIZEOF,
  PORT_STATE,
  PORT_TX_KIND,
  PORT_TX_RINGS,
  PORT_UP,
  PORT_WORKER,
  RXQ_WORKER,
  RX_INDEX_SHIFT,
  RX_NONE,
  RX_QUEUES,
  SB_PORT_COUNT,
  TX_RING,
  WORKER_RX_COUNT,
} from '../constants';
import { AREA_RX_PORTS, areaOf, ports, sb, workers } from '../memory/layout';
import { lock, unlock } from '../memory/lock';
import { retire } from '../memory/slab';
import { coolPort, coolPortLocked } from './hot-flows';
import { queueCount, queueOf } from './queue';
import { portAt } from './transmit';

/** The port of what a worker polls. */
export const RX_PORT_MASK: u32 = (1 << RX_INDEX_SHIFT) - 1;

/** Opens port `portNo`. `rx`, `txRings`: arena blocks, the port's from now on. Queues name their workers, else it is `slot`. 0, -EINVAL, -EBUSY. */
export function openPort(portNo: u32, rxKind: u32, rx: usize, txKind: u32, txRings: usize, slot: u32, flags: u32): i32 {
  if (portNo >= <u32>PORTS_MAX || slot >= workers) return -EINVAL;
  const port = ports + portNo * PORT_SIZEOF;
  if (load<u32>(port, PORT_STATE) != PORT_FREE) return -EBUSY;
  store<u32>(port, <u32>rx, PORT_RX);
  store<u32>(port, txKind, PORT_TX_KIND);
  store<u32>(port, <u32>txRings, PORT_TX_RINGS);
  store<u32>(port, slot, PORT_WORKER);
  store<u32>(port, flags, PORT_FLAGS);
  store<u32>(port, 0, PORT_HOT_SIZE);
  atomic.store<u32>(port, rxKind, PORT_RX_KIND);
  atomic.store<u32>(port, PORT_UP, PORT_STATE);
  if (portNo >= load<u32>(sb(SB_PORT_COUNT))) store<u32>(sb(SB_PORT_COUNT), portNo + 1);
  assignReceivers();
  return 0;
}

/** Closes a port: nothing is received from it or sent to it from the next batch on. 0, or -ENODEV. */
export function closePort(portNo: u32): i32 {
  if (portNo >= <u32>PORTS_MAX) return -ENODEV;
  const port = ports + portNo * PORT_SIZEOF;
  if (load<u32>(port, PORT_STATE) == PORT_FREE) return -ENODEV;
  const kind = load<u32>(port, PORT_RX_KIND);
  atomic.store<u32>(port, 0, PORT_HOT_SIZE);
  atomic.store<u32>(port, PORT_FREE, PORT_STATE);
  atomic.store<u32>(port, RX_NONE, PORT_RX_KIND);
  coolPort(portNo);
  assignReceivers();
  if (kind == RX_QUEUES) return 0;
  lock();
  retire(load<u32>(port, PORT_RX), 0);
  if (load<u32>(port, PORT_TX_KIND) == TX_RING) retireRings(load<u32>(port, PORT_TX_RINGS));
  unlock();
  return 0;
}

/** Nothing is received from the port or sent to it from the next batch on; its rings stay until it is closed. */
export function silencePort(portNo: u32): void {
  const port = ports + portNo * PORT_SIZEOF;
  if (load<u32>(port, PORT_STATE) != PORT_UP) return;
  atomic.store<u32>(port, 0, PORT_HOT_SIZE);
  atomic.store<u32>(port, PORT_SILENT, PORT_STATE);
  assignReceivers();
  coolPortLocked(portNo);
}

/** A ring a worker, and the list of them; the caller holds the writer lock. */
export function retireRings(rings: usize): void {
  for (let slot: u32 = 0; slot < workers; slot++) retire(load<u32>(rings + (slot << 2)), 0);
  retire(rings, 0);
}

/**
 * Gives queue `index` of a port to worker `slot`, which takes from it when the worker before has settled (RXQ_OWNER): nothing is lost, and what goes out
 * goes out in order. The host wakes the worker. 0, -ENODEV, -EINVAL.
 */
export function moveQueue(portNo: u32, index: u32, slot: u32): i32 {
  if (portNo >= <u32>PORTS_MAX || load<u32>(portAt(portNo), PORT_STATE) == PORT_FREE) return -ENODEV;
  if (slot >= workers || index >= queueCount(portAt(portNo))) return -EINVAL;
  atomic.store<u32>(queueOf(portAt(portNo), index), slot, RXQ_WORKER);
  assignReceivers();
  return 0;
}

/** Writes the lists of what each worker polls. A port may be polled twice or not at all in the round that is under way, a queue not at all. */
function assignReceivers(): void {
  for (let slot: u32 = 0; slot < workers; slot++) assignTo(slot);
}

function assignTo(slot: u32): void {
  const list = areaOf(slot) + AREA_RX_PORTS;
  const count = load<u32>(sb(SB_PORT_COUNT));
  let n: u32 = 0;
  for (let portNo: u32 = 0; portNo < count; portNo++) {
    const port = portAt(portNo);
    const kind = load<u32>(port, PORT_RX_KIND);
    if (load<u32>(port, PORT_STATE) != PORT_UP || kind == RX_NONE) continue;
    if (kind != RX_QUEUES) {
      if (load<u32>(port, PORT_WORKER) == slot && n < <u32>PORTS_MAX) store<u32>(list + (n++ << 2), portNo);
      continue;
    }
    for (let index: u32 = 0; index < queueCount(port); index++) {
      if (load<u32>(queueOf(port, index), RXQ_WORKER) == slot && n < <u32>PORTS_MAX)
        store<u32>(list + (n++ << 2), portNo | (index << RX_INDEX_SHIFT));
    }
  }
  atomic.store<u32>(areaOf(slot), n, WORKER_RX_COUNT);
}
