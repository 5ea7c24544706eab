/*
 * The two clocks of the datapath, read by the host and written into memory for the module, which has none: CLOCK_REALTIME in ns for
 * packets, CLOCK_MONOTONIC in ms for flows. performance.now() starts with its thread, so an offset makes every thread's monotonic time
 * the system's.
 */
import * as C from '../../assembly/constants.ts';
import type { DatapathMemory } from './memory.ts';

const monotonicOffsetMs = Number(process.hrtime.bigint() / 1000n) / 1000 - performance.now();

/** CLOCK_MONOTONIC, ms, with a fraction. */
export function monotonicMs(): number {
  return performance.now() + monotonicOffsetMs;
}

/** CLOCK_REALTIME, ns, to about a quarter of a microsecond. */
export function realtimeNs(): number {
  return (performance.timeOrigin + performance.now()) * 1e6;
}

/** Writes the time into the calling worker's area; before each poll. Returns CLOCK_MONOTONIC, ms. */
export function tellTime(memory: DatapathMemory, area: number): number {
  const now = performance.now();
  memory.setU64(area + C.WORKER_TIME_NS, Math.floor((performance.timeOrigin + now) * 1e6));
  memory.setU64(area + C.WORKER_TIME_MS, Math.floor(now + monotonicOffsetMs));
  return now + monotonicOffsetMs;
}
