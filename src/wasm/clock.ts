/*
 * The two clocks of the datapath, read by the host and written into memory for the module, which has none: CLOCK_REALTIME in ns for
 * packets, CLOCK_MONOTONIC in ms for flows. performance.now() starts with its thread, so an offset makes every thread's monotonic time
 * the system's.
 */
import * as C from '../../assembly/constants.ts';
import type { DatapathMemory } from './memory.ts';

/** The two clocks cannot be read at once: the readings that were closest to each other are those that tell. */
const READINGS = 8;
const monotonicOffsetMs = Math.max(
  ...Array.from({ length: READINGS }, () => Number(process.hrtime.bigint()) / 1e6 - performance.now()),
);

/** So much is CLOCK_REALTIME ahead of CLOCK_MONOTONIC, us: as it was when this thread began. */
export const realtimeOffsetUs = Math.floor((performance.timeOrigin - monotonicOffsetMs) * 1000);

/** CLOCK_MONOTONIC, ms, with a fraction. */
export function monotonicMs(): number {
  return performance.now() + monotonicOffsetMs;
}

/** CLOCK_REALTIME, ns, to about a quarter of a microsecond. */
export function realtimeNs(): number {
  return (performance.timeOrigin + performance.now()) * 1e6;
}

/** The time that was last written into the worker's area: CLOCK_MONOTONIC, ms, with a fraction. */
export function toldMs(memory: DatapathMemory, area: number): number {
  return (memory.u64(area + C.WORKER_TIME_NS) / 1000 - realtimeOffsetUs) / 1000;
}

/** Writes the time into the calling worker's area; before each poll. Returns CLOCK_MONOTONIC, ms. */
export function tellTime(memory: DatapathMemory, area: number): number {
  const now = performance.now();
  memory.setU64(area + C.WORKER_TIME_NS, Math.floor((performance.timeOrigin + now) * 1e6));
  memory.setU64(area + C.WORKER_TIME_MS, Math.floor(now + monotonicOffsetMs));
  return now + monotonicOffsetMs;
}
