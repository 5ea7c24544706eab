/*
 * What XDP programs have forwarded and no worker's row holds yet, for statistics; and the invariants of hot flows. Before it: flow/stats.ts, check.ts. After it:
 * hot-flows.ts, which folds these counts into rows. Threads: any for sums, which are a moment's view; the holder of the writer lock for the check.
 */
import {
  HOT_ENTRY_HEAD,
  HOT_ENTRY_SIZEOF,
  HOT_PAIRS,
  HOT_RECORD_COUNT,
  HOT_RECORD_GENERATION,
  HOT_RECORD_IN_PORT,
  HOT_RECORD_PORT,
  PORT_ROW_RX_BYTES,
  PORT_ROW_RX_PACKETS,
  PORT_ROW_TX_BYTES,
  PORT_ROW_TX_PACKETS,
  SB_HOT,
} from '../constants';
import { flowAt } from '../flow/slot';
import { sb } from '../memory/layout';
import {
  entryCount,
  faultOf,
  HEAD_WRITING,
  recordAt,
  recordOf,
  recordsInUse,
  unfoldedBytes,
  unfoldedPackets,
  usedMsOfRecord,
} from './hot-flows';

/** Adds what was forwarded of a flow and is in no row yet to packets, bytes and time of use (u64 each) at `out`. */
export function addHotFlow(flow: usize, out: usize): void {
  const record = recordOf(flow);
  if (record == 0) return;
  const packets = unfoldedPackets(record);
  if (packets == 0) return;
  store<u64>(out, load<u64>(out) + packets);
  store<u64>(out, load<u64>(out, 8) + unfoldedBytes(record), 8);
  store<u64>(out, max<u64>(load<u64>(out, 16), usedMsOfRecord(record)), 16);
}

/** When a program forwarded a packet of the flow, ms of CLOCK_MONOTONIC; 0: not since it was folded last. */
export function hotUsedMsOf(flow: usize): u64 {
  const record = recordOf(flow);
  if (record == 0) return 0;
  return unfoldedPackets(record) == 0 ? 0 : usedMsOfRecord(record);
}

/** Packets that are in no row yet, of all flows. */
export function hotPackets(): u64 {
  const hot: usize = load<u32>(sb(SB_HOT));
  if (hot == 0) return 0;
  let sum: u64 = 0;
  const used = recordsInUse(hot);
  for (let slot: u32 = 0; slot < used; slot++) sum += unfoldedPackets(recordAt(hot, slot));
  return sum;
}

/** Adds what came in by a port, or went out by it, and is in no row yet to the PORT_ROW_* sums at `out`. */
export function addHotPort(portNo: u32, out: usize): void {
  const hot: usize = load<u32>(sb(SB_HOT));
  if (hot == 0) return;
  const used = recordsInUse(hot);
  for (let slot: u32 = 0; slot < used; slot++) {
    const record = recordAt(hot, slot);
    const packets = unfoldedPackets(record);
    if (packets == 0) continue;
    if (load<u32>(record, HOT_RECORD_IN_PORT) == portNo) {
      store<u64>(out, load<u64>(out, PORT_ROW_RX_PACKETS) + packets, PORT_ROW_RX_PACKETS);
      store<u64>(out, load<u64>(out, PORT_ROW_RX_BYTES) + unfoldedBytes(record), PORT_ROW_RX_BYTES);
    }
    if (load<u32>(record, HOT_RECORD_PORT) == portNo) {
      store<u64>(out, load<u64>(out, PORT_ROW_TX_PACKETS) + packets, PORT_ROW_TX_PACKETS);
      store<u64>(out, load<u64>(out, PORT_ROW_TX_BYTES) + unfoldedBytes(record), PORT_ROW_TX_BYTES);
    }
  }
}

/**
 * 0 when every record that counts is that of a flow which sends to its port; otherwise 60: the flow is gone; 61: it does something else; 62: an entry names no
 * record. The caller holds the writer lock, and no worker polls.
 */
export function checkHot(): u32 {
  const hot: usize = load<u32>(sb(SB_HOT));
  if (hot == 0) return 0;
  const used = recordsInUse(hot);
  for (let slot: u32 = 0; slot < used; slot++) {
    const record = recordAt(hot, slot);
    const fault = (load<u32>(record, HOT_RECORD_GENERATION) & 1) == 0 ? 0 : faultOf(record, flowAt(slot));
    if (fault != 0) return fault;
  }
  const entries = entryCount(hot);
  for (let i: u32 = 0; i < entries; i++) {
    const head = load<u64>(load<u32>(hot, HOT_PAIRS) + i * HOT_ENTRY_SIZEOF, HOT_ENTRY_HEAD);
    if (head != 0 && head < HEAD_WRITING && <u32>head >= load<u32>(hot, HOT_RECORD_COUNT)) return 62;
  }
  return 0;
}
