/*
 * Queues: what lies between the datapath and a kernel ring. Before it: io/receive.ts and io/transmit.ts, which find a port's queues. After
 * it: one driver a kind of queue (io/afpacket.ts, io/afxdp.ts), and the shim, which makes the system calls (native/pump.cc).
 *
 * Concepts. A worker goes in rounds: `poll` receives and queues what goes out, the host has the shim kick every queue that was touched, and
 * `settle` gives back the frames that were received and empties what was sent. So a received frame stays where it is until it is sent, and
 * goes out from there without a copy. A receive queue gives one batch a round.
 *
 * Ownership. Queues are blocks of the arena that belong to their port. A receive queue is in the hands of one worker from the first frame
 * that it gives until that worker settles (RXQ_OWNER), so it may change its worker at any time. A transmit queue is its worker's alone.
 * What can be lost. Nothing without a name: frames that the kernel does not take are counted when they are settled, and what a dead worker
 * held is given back by `recoverQueues`.
 */
import {
  DROP_TX_DOWN,
  DROP_TX_FULL,
  DROP_TX_LONG,
  EMSGSIZE,
  ENETDOWN,
  ENODEV,
  ENXIO,
  PORT_RX,
  PORT_RX_KIND,
  QUEUE_FD,
  QUEUE_KIND,
  QUEUE_KIND_PACKET_TX,
  QUEUE_KIND_TAP_TX,
  QUEUE_KIND_XDP_RX,
  QUEUE_KIND_XDP_TX,
  QUEUE_TABLE_COUNT,
  QUEUE_TABLE_REFS,
  QUEUE_TOUCHED,
  REPLAY_DONE,
  RXQ_ERRNO,
  RXQ_OWNER,
  RXQ_PACKETS,
  RX_INDEX_SHIFT,
  RX_QUEUES,
  RX_REPLAY,
  RX_RING,
  WORKER_POLL_COUNT,
  WORKER_RX_COUNT,
  WORKER_SLEEPING,
  WORKER_STOP,
  WORKER_TOUCHED,
  WORKER_WAKE,
} from '../constants';
import { AREA_TOUCHED, area, areaOf, pollSet, rxPorts, touchedQueues, worker } from '../memory/layout';
import { giveBackPackets, hasPackets, queuePacket, receivePackets, settlePackets } from './afpacket';
import { giveBackXdp, hasXdp, queueXdp, receiveXdp, recoverXdp, settleXdpTransmit } from './afxdp';
import { RX_PORT_MASK } from './port';
import { queued } from './ring';
import { portAt } from './transmit';

/** A sleeper looks up so often even if nothing wakes it, and so often while a replay waits for its time. */
const SLEEP_MAX_US: u32 = 500000;
const NAP_US: u32 = 200;
const POLLIN: u32 = 1;

/** Receive queues of a port. */
@inline
export function queueCount(port: usize): u32 {
  return load<u32>(port, PORT_RX_KIND) == RX_QUEUES ? load<u32>(load<u32>(port, PORT_RX), QUEUE_TABLE_COUNT) : 0;
}

/** The receive queue number `index` of a port that has queues. */
@inline
export function queueOf(port: usize, index: u32): usize {
  return load<u32>(load<u32>(port, PORT_RX) + (index << 2), QUEUE_TABLE_REFS);
}

/** The queue is to be kicked and settled in this round. */
@inline
export function touch(queue: usize): void {
  if (load<u32>(queue, QUEUE_TOUCHED) != 0) return;
  store<u32>(queue, 1, QUEUE_TOUCHED);
  const n = load<u32>(area, WORKER_TOUCHED);
  store<u32>(touchedQueues + (n << 2), <u32>queue);
  store<u32>(area, n + 1, WORKER_TOUCHED);
}

/** True when nobody had the receive queue in hand; this worker has it now, until it settles. */
@inline
export function own(queue: usize): bool {
  if (atomic.cmpxchg<u32>(queue + RXQ_OWNER, 0, worker + 1) != 0) return false;
  touch(queue);
  return true;
}

/** Ends the round after the kicks: received frames go back to the kernel, transmit queues are empty again. */
export function settle(): void {
  const n = load<u32>(area, WORKER_TOUCHED);
  for (let i: u32 = 0; i < n; i++) settleOne(load<u32>(touchedQueues + (i << 2)));
  store<u32>(area, 0, WORKER_TOUCHED);
}

/** What slot `slot`, whose thread is dead, had in hand; the host has kicked its transmit queues. */
export function recoverQueues(slot: u32): void {
  const control = areaOf(slot);
  const list = control + AREA_TOUCHED;
  for (let i: u32 = 0; i < load<u32>(control, WORKER_TOUCHED); i++) {
    const queue: usize = load<u32>(list + (i << 2));
    const kind = load<u32>(queue, QUEUE_KIND);
    // it may have settled the queue, and another worker may have it by now
    if (!isTransmit(kind) && atomic.load<u32>(queue, RXQ_OWNER) != slot + 1) continue;
    if (kind == QUEUE_KIND_XDP_RX) recoverXdp(queue);
    settleOne(queue);
  }
  store<u32>(control, 0, WORKER_TOUCHED);
}

@inline
function isTransmit(kind: u32): bool {
  return kind == QUEUE_KIND_PACKET_TX || kind == QUEUE_KIND_TAP_TX || kind == QUEUE_KIND_XDP_TX;
}

function settleOne(queue: usize): void {
  store<u32>(queue, 0, QUEUE_TOUCHED);
  const kind = load<u32>(queue, QUEUE_KIND);
  if (kind == QUEUE_KIND_PACKET_TX || kind == QUEUE_KIND_TAP_TX) return settlePackets(queue);
  if (kind == QUEUE_KIND_XDP_TX) return settleXdpTransmit(queue);
  if (kind == QUEUE_KIND_XDP_RX) giveBackXdp(queue);
  else giveBackPackets(queue);
  atomic.store<u32>(queue, 0, RXQ_OWNER);
}

/** Fills the batch from a receive queue, of whatever kind. Returns the number of packets. */
@inline
export function receiveFrom(queue: usize, portNo: u32): u32 {
  const isXdp = load<u32>(queue, QUEUE_KIND) == QUEUE_KIND_XDP_RX;
  const n = isXdp ? receiveXdp(queue, portNo) : receivePackets(queue, portNo);
  if (n != 0) store<u64>(queue, load<u64>(queue, RXQ_PACKETS) + n, RXQ_PACKETS);
  return n;
}

/** Queues a packet for the next kick on a transmit queue of whatever kind. False when there is no room, which is counted. */
@inline
export function sendTo(queue: usize, packet: usize, size: u32, stays: bool): bool {
  if (load<u32>(queue, QUEUE_KIND) == QUEUE_KIND_XDP_TX) return queueXdp(queue, packet, size, stays);
  return queuePacket(queue, packet, size, stays);
}

/**
 * Before the worker sleeps: writes what it waits for into its poll set (struct pollfd, WORKER_POLL_COUNT of them), the counter that wakes it
 * first. Returns how long it may sleep at most, in us; 0: something is there already.
 */
export function prepareSleep(): u32 {
  settle();
  atomic.store<u32>(area, 1, WORKER_SLEEPING);
  store<u32>(area, 0, WORKER_POLL_COUNT);
  if (load<u32>(area, WORKER_WAKE) != 0) waitFor(load<u32>(area, WORKER_WAKE) - 1);
  let limitUs = load<u32>(area, WORKER_STOP) != 0 ? 0 : SLEEP_MAX_US;
  const count = load<u32>(area, WORKER_RX_COUNT);
  for (let i: u32 = 0; i < count && limitUs != 0; i++) {
    const receiver = load<u32>(rxPorts + (i << 2));
    limitUs = min<u32>(limitUs, sleepOn(portAt(receiver & RX_PORT_MASK), receiver >> RX_INDEX_SHIFT));
  }
  if (limitUs == 0) atomic.store<u32>(area, 0, WORKER_SLEEPING);
  return limitUs;
}

/** How long the worker may sleep as far as this port is concerned; what wakes it is added to the poll set. */
function sleepOn(port: usize, index: u32): u32 {
  const kind = load<u32>(port, PORT_RX_KIND);
  const rx: usize = load<u32>(port, PORT_RX);
  if (kind == RX_RING) return queued(rx) != 0 ? 0 : SLEEP_MAX_US;
  if (kind == RX_REPLAY) return load<u32>(rx, REPLAY_DONE) != 0 ? SLEEP_MAX_US : NAP_US;
  if (kind != RX_QUEUES) return SLEEP_MAX_US;
  const queue = queueOf(port, index);
  const isXdp = load<u32>(queue, QUEUE_KIND) == QUEUE_KIND_XDP_RX;
  if (isXdp ? hasXdp(queue) : hasPackets(queue)) return 0;
  if (load<u32>(queue, RXQ_ERRNO) == 0) waitFor(load<u32>(queue, QUEUE_FD));
  return SLEEP_MAX_US;
}

function waitFor(fd: u32): void {
  const n = load<u32>(area, WORKER_POLL_COUNT);
  store<u32>(pollSet + (n << 3), fd);
  store<u32>(pollSet + (n << 3), POLLIN, 4); // and revents
  store<u32>(area, n + 1, WORKER_POLL_COUNT);
}

/** The drop that an errno of a refused frame stands for. */
@inline
export function dropOf(errno: u32): u32 {
  if (errno == EMSGSIZE) return DROP_TX_LONG;
  if (errno == ENETDOWN || errno == ENXIO || errno == ENODEV) return DROP_TX_DOWN;
  return DROP_TX_FULL;
}
