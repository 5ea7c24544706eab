/*
 * Statistics, summed over the workers: of a flow, of a port, of the datapath. Rows are written by their own workers without locks, so a
 * sum is a moment's view; it is exact when the workers stand still. That is also why a flow's counts are not cleared: what they were is noted, and
 * taken off from then on.
 */
import {
  BASE_BYTES,
  BASE_PACKETS,
  BASE_SIZEOF,
  COUNTERS,
  COUNTER_HOT_HITS,
  COUNTER_RECEIVED,
  COUNTER_TRANSMITTED,
  DROP_REASONS,
  ENOMEM,
  EXPLICIT_REASONS,
  FLOW_COLD_BASE,
  FLOW_ROW_BYTES,
  FLOW_ROW_PACKETS,
  FLOW_ROW_SIZEOF,
  FLOW_ROW_TCP_FLAGS,
  FLOW_ROW_USED_MS,
  PORT_ROW_SIZEOF,
  SB_VPORTS,
  VPORT_BASE,
  VPORT_SIZEOF,
  WORKER_COUNTERS,
  WORKER_DROPS,
  WORKER_EXPLICIT_DROPS,
} from '../constants';
import { addHotFlow, addHotPort, hotPackets, hotUsedMsOf } from '../io/hot-sums';
import { AREA_PORT_ROWS, areaOf, flowRowsOf, sb, workers } from '../memory/layout';
import { allocate, retire } from '../memory/slab';
import { coldOf, slotOf } from './slot';

/** Writes packets u64, bytes u64, used u64 (ms, CLOCK_MONOTONIC, 0 never), TCP flags u64 of a flow to `out`, all since they were cleared. */
export function sumFlow(flow: usize, out: usize): void {
  sumRows(flow, out);
  const base: usize = atomic.load<u32>(coldOf(flow), FLOW_COLD_BASE);
  if (base == 0) return;
  const packets = load<u64>(out) - load<u64>(base, BASE_PACKETS);
  store<u64>(out, packets);
  store<u64>(out, load<u64>(out, 8) - load<u64>(base, BASE_BYTES), 8);
  if (packets == 0) v128.store(out, i64x2.splat(0), 16);
}

function sumRows(flow: usize, out: usize): void {
  let packets: u64 = 0;
  let bytes: u64 = 0;
  let usedMs: u64 = 0;
  let flags: u64 = 0;
  for (let slot: u32 = 0; slot < workers; slot++) {
    const row = flowRowsOf(slot) + slotOf(flow) * FLOW_ROW_SIZEOF;
    packets += load<u64>(row, FLOW_ROW_PACKETS);
    bytes += load<u64>(row, FLOW_ROW_BYTES);
    usedMs = max<u64>(usedMs, load<u64>(row, FLOW_ROW_USED_MS));
    flags |= load<u16>(row, FLOW_ROW_TCP_FLAGS);
  }
  store<u64>(out, packets);
  store<u64>(out, bytes, 8);
  store<u64>(out, usedMs, 16);
  store<u64>(out, flags, 24);
  addHotFlow(flow, out);
}

/**
 * Clears what sumFlow says of a flow; the caller holds the writer lock. 0, or -ENOMEM. TCP flags have no count to take off: they are cleared in the rows, where a
 * worker that counts a packet in this very moment may put old ones back.
 */
export function clearStats(flow: usize, scratch: usize): i32 {
  const base = allocate(BASE_SIZEOF);
  if (base == 0) return -ENOMEM;
  sumRows(flow, scratch);
  store<u64>(base, load<u64>(scratch), BASE_PACKETS);
  store<u64>(base, load<u64>(scratch, 8), BASE_BYTES);
  for (let slot: u32 = 0; slot < workers; slot++) {
    store<u16>(flowRowsOf(slot) + slotOf(flow) * FLOW_ROW_SIZEOF, 0, FLOW_ROW_TCP_FLAGS);
  }
  const place = coldOf(flow) + FLOW_COLD_BASE;
  const before = load<u32>(place);
  atomic.store<u32>(place, <u32>base);
  retire(before, 0);
  return 0;
}

/** When a flow was last used, ms of CLOCK_MONOTONIC; 0 never. */
export function usedMsOf(flow: usize): u64 {
  let usedMs = hotUsedMsOf(flow);
  for (let slot: u32 = 0; slot < workers; slot++) {
    usedMs = max<u64>(usedMs, load<u64>(flowRowsOf(slot) + slotOf(flow) * FLOW_ROW_SIZEOF, FLOW_ROW_USED_MS));
  }
  return usedMs;
}

/** Writes the PORT_ROW_* sums of a port since it was made to `out` (PORT_ROW_SIZEOF bytes). */
export function sumPort(port: u32, out: usize): void {
  sumWords(AREA_PORT_ROWS + port * PORT_ROW_SIZEOF, PORT_ROW_SIZEOF / 8, out);
  addHotPort(port, out);
  const base = <usize>load<u32>(sb(SB_VPORTS)) + port * VPORT_SIZEOF + VPORT_BASE;
  for (let i: u32 = 0; i < <u32>PORT_ROW_SIZEOF; i += 8) store<u64>(out + i, load<u64>(out + i) - load<u64>(base + i));
}

/** Writes u64[COUNTERS], u64[DROP_REASONS] and u64[EXPLICIT_REASONS] to `out`. */
export function sumCounters(out: usize): void {
  sumWords(WORKER_COUNTERS, COUNTERS, out);
  const hot = hotPackets();
  addTo(out, COUNTER_RECEIVED, hot);
  addTo(out, COUNTER_HOT_HITS, hot);
  addTo(out, COUNTER_TRANSMITTED, hot);
  sumWords(WORKER_DROPS, DROP_REASONS, out + COUNTERS * 8);
  sumWords(WORKER_EXPLICIT_DROPS, EXPLICIT_REASONS, out + (COUNTERS + DROP_REASONS) * 8);
}

@inline
function addTo(out: usize, counter: u32, n: u64): void {
  store<u64>(out + (counter << 3), load<u64>(out + (counter << 3)) + n);
}

function sumWords(offset: u32, count: u32, out: usize): void {
  for (let i: u32 = 0; i < count; i++) {
    let sum: u64 = 0;
    for (let slot: u32 = 0; slot < workers; slot++) sum += load<u64>(areaOf(slot) + offset + (i << 3));
    store<u64>(out + (i << 3), sum);
  }
}
