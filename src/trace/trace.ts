/*
 * Tracing: what a rule file does to one packet, step by step, and why.
 *
 * Before it: rules and a packet, or a key, for which a packet is composed. After it: a Trace, plain data, for trace/text.ts or JSON.
 *
 * Concepts. Two datapaths. In the one (`full`) stand the rules and the flows that they install; it decides each pass as a worker decides a miss, and at
 * the end executes the first flow's whole list at once, with the flows of later passes in place: that is the `result`, for a packet that finds its
 * flows installed (the first of its kind is looked up again as it came up to be decided: not cut by a TRUNC before its RECIRC). The
 * other (`single`) has no flows. It executes the same list one action at a time (trace/tracer.ts), so that the packet can be looked at in
 * between. `differs` is there when that came to something else than the whole list at once: nesting or recirculation deeper than
 * the datapath goes, or more passes than are traced.
 *
 * Ownership and threads. Any thread; both datapaths are closed before the promise is settled.
 */

import * as C from '../../assembly/constants.ts';
import { DatapathError } from '../errors.ts';
import { hexBytes } from '../odp/hex.ts';
import { encodeActions } from '../odp/index.ts';
import { readBe32 } from '../odp/layers.ts';
import { integer } from '../ranges.ts';
import { type Rule, RuleTable } from '../upcall/rule-table.ts';
import { REST } from '../upcall/static.ts';
import { composePacket } from './compose.ts';
import { type Effects, Executor } from './executor.ts';
import { differingFields } from './fields.ts';
import { describeLayers } from './layers.ts';
import { Tracer } from './tracer.ts';
import type { Trace, TraceResult } from './types.ts';

export interface TraceOptions {
  /** Number of the port that the packet came in by, 0 to 1023. Default 1. */
  inPort?: number;
}

/**
 * Traces a packet. Throws RangeError for an impossible port, DatapathError for rules that no datapath takes (ERR_INVALID_ACTIONS, ERR_OUT_OF_MEMORY).
 */
export function tracePacket(rules: readonly Rule[], packet: Uint8Array, options: TraceOptions = {}): Promise<Trace> {
  const { inPort = 1 } = options;
  integer('inPort', inPort, 0, C.PORTS_MAX - 1);
  return trace(rules, packet, inPort);
}

/** Traces a flat key (KEY_SIZE bytes) with a packet that is composed for it. Throws as tracePacket. */
export function traceKey(rules: readonly Rule[], key: Uint8Array): Promise<Trace> {
  if (key.length !== C.KEY_SIZE) throw new TypeError(`a flat key has ${C.KEY_SIZE} bytes, not ${key.length}`);
  return trace(rules, composePacket(key), 0, key);
}

async function trace(rules: readonly Rule[], packet: Uint8Array, inPort: number, key?: Uint8Array): Promise<Trace> {
  const full = await Executor.open();
  const single = await Executor.open();
  try {
    const table = makeTable(full, rules);
    const from = key === undefined ? 'packet' : 'key';
    const notComposed = take(full, packet, inPort, key);
    if (notComposed === undefined || take(single, packet, inPort, key) === undefined) {
      const drop = packet.length > C.FRAME_SIZE_MAX ? 'rxLong' : 'rxShort';
      const result = { outputs: [], upcalls: [], lostCount: 0, missCount: 0, psampleCount: 0, drops: { [drop]: 1 } };
      return { packet: { bytes: packet, layers: describeLayers(packet) }, from, notComposed: [], result };
    }
    const start = full.save();
    const tracer = new Tracer(full, single, table);
    const view = tracer.view();
    const pass = tracer.pass();
    full.restore(start);
    const flow = full.datapath.flows.lookup(start.key);
    const result = resultOf(full.run(flow?.actionBytes ?? new Uint8Array(0)));
    const differs = isSame(result, tracer.tally) ? {} : { differs: tracer.tally };
    return { packet: view, from, notComposed, pass, result, ...differs };
  } finally {
    await full.datapath.close();
    await single.datapath.close();
  }
}

/** The rules, validated one by one, so that an error says which. */
function makeTable(full: Executor, rules: readonly Rule[]): RuleTable {
  for (const { actions, match, source } of rules) {
    try {
      full.datapath.actions(actions, match).release();
    } catch (cause) {
      if (!(cause instanceof DatapathError) || source === undefined) throw cause;
      const message = `the rule in line ${source.line} (${source.text}): ${cause.message}`;
      throw new DatapathError(cause.code, message, { ...cause, cause });
    }
  }
  return new RuleTable(full.datapath.memory, [...rules, REST]);
}

/** What is not read from a packet: from the marks to the packet type, and the tunnel. */
const METADATA_PARTS = [
  [C.KEY_IN_PORT, C.KEY_ETH_DST],
  [C.KEY_SKB_PRIORITY, C.KEY_NSH_FLAGS],
  [C.KEY_TUN_ID, C.KEY_SIZE],
] as const;

/**
 * The packet comes in. With a `key` it has that key then, whatever extraction says, apart from what is no field of text or attributes; returns the names
 * of the fields in which the two differ, or undefined when the packet is too short or too long.
 */
function take(executor: Executor, packet: Uint8Array, inPort: number, key?: Uint8Array): string[] | undefined {
  if (executor.load(packet, inPort) === undefined) return undefined;
  if (key === undefined) return [];
  if (readBe32(key, C.KEY_PACKET_TYPE) !== 0) {
    // without its Ethernet header, and with the key that such a packet has
    executor.run(encodeActions([{ type: 'popEth' }, { type: 'recirc', id: 0 }]));
  }
  const extracted = executor.key;
  for (const [from, to] of METADATA_PARTS) extracted.set(key.subarray(from, to), from);
  const wanted = key.slice();
  // what older kernels and kernels at all have no attribute for is the packet's when the key leaves it out
  const [exthdrs, end] = [C.KEY_IPV6_EXTHDRS, C.KEY_IPV6_EXTHDRS + 2];
  if (wanted[exthdrs] === 0 && wanted[exthdrs + 1] === 0) wanted.set(extracted.subarray(exthdrs, end), exthdrs);
  if ((wanted[C.KEY_FLAGS] & C.KEY_FLAG_ND_EXT) === 0) {
    wanted.set(extracted.subarray(C.KEY_ND_RESERVED, C.KEY_ND_OPTIONS_TYPE + 1), C.KEY_ND_RESERVED);
    wanted[C.KEY_FLAGS] = extracted[C.KEY_FLAGS];
  }
  executor.setKey(wanted);
  return differingFields(wanted, extracted);
}

function resultOf({ explicit: _, ...effects }: Effects): TraceResult {
  const drops = Object.entries(effects.drops).filter(([name]) => !name.startsWith('upcall'));
  return { ...effects, drops: Object.fromEntries(drops) };
}

/** The same packets to the same places, in any order, and the same drops. */
function isSame(a: TraceResult, b: TraceResult): boolean {
  const textOf = ({ outputs, upcalls, lostCount, missCount, psampleCount, drops }: TraceResult): string => {
    const sent = outputs.map(({ port, packet }) => `${port} ${hexBytes(packet)}`);
    const up = upcalls.map((packet) => hexBytes(packet));
    return JSON.stringify([sent.sort(), up.sort(), lostCount, missCount, psampleCount, Object.entries(drops).sort()]);
  };
  return textOf(a) === textOf(b);
}
