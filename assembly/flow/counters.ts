/*
 * Counters of this worker: what each stage did, drops by reason, statistics of ports. Written by the worker alone with plain stores,
 * summed over workers by whoever asks (flow/stats.ts).
 */
import { PORT_ROW_SIZEOF, WORKER_COUNTERS, WORKER_DROPS } from '../constants';
import { area, portRows } from '../memory/layout';

@inline
export function count(counter: u32, n: u64): void {
  const p = area + WORKER_COUNTERS + (counter << 3);
  store<u64>(p, load<u64>(p) + n);
}

export function countDrops(reason: u32, n: u64): void {
  const p = area + WORKER_DROPS + (reason << 3);
  store<u64>(p, load<u64>(p) + n);
}

export function countDrop(reason: u32): void {
  countDrops(reason, 1);
}

/** Adds `n` to a PORT_ROW_* statistic of a port. */
@inline
export function countPort(port: u32, statistic: u32, n: u64): void {
  const p = portRows + port * PORT_ROW_SIZEOF + statistic;
  store<u64>(p, load<u64>(p) + n);
}
