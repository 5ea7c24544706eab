/*
 * Counters of this worker: what each stage did, drops by reason, statistics of ports. Written by the worker alone with plain stores,
 * summed over workers by whoever asks (flow/stats.ts).
 */
import {
  FLOW_ROW_BYTES,
  FLOW_ROW_PACKETS,
  FLOW_ROW_TCP_FLAGS,
  FLOW_ROW_USED_MS,
  PORT_ROW_SIZEOF,
  WORKER_COUNTERS,
  WORKER_DROPS,
  WORKER_EXPLICIT_DROPS,
} from '../constants';
import { area, flowRows, flows, portRows } from '../memory/layout';

@inline
export function count(counter: u32, n: u64): void {
  const p = area + WORKER_COUNTERS + (counter << 3);
  store<u64>(p, load<u64>(p) + n);
}

@inline
export function countDrops(reason: u32, n: u64): void {
  const p = area + WORKER_DROPS + (reason << 3);
  store<u64>(p, load<u64>(p) + n);
}

@inline
export function countDrop(reason: u32): void {
  countDrops(reason, 1);
}

/** A DROP action's reason, below EXPLICIT_REASONS. */
export function countExplicit(reason: u32): void {
  const p = area + WORKER_EXPLICIT_DROPS + (reason << 3);
  store<u64>(p, load<u64>(p) + 1);
}

/** Adds `n` to a PORT_ROW_* statistic of a port. */
@inline
export function countPort(port: u32, statistic: u32, n: u64): void {
  const p = portRows + port * PORT_ROW_SIZEOF + statistic;
  store<u64>(p, load<u64>(p) + n);
}

/** This worker's statistics row of a flow. */
@inline
export function rowOf(flow: usize): usize {
  return flowRows + ((flow - flows) >> 1);
}

@inline
export function countInFlow(row: usize, size: u32, nowMs: u64, tcpFlags: u16): void {
  store<u64>(row, load<u64>(row, FLOW_ROW_PACKETS) + 1, FLOW_ROW_PACKETS);
  store<u64>(row, load<u64>(row, FLOW_ROW_BYTES) + size, FLOW_ROW_BYTES);
  store<u64>(row, nowMs, FLOW_ROW_USED_MS);
  store<u16>(row, load<u16>(row, FLOW_ROW_TCP_FLAGS) | tcpFlags, FLOW_ROW_TCP_FLAGS);
}
