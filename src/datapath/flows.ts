/*
 * The flow table as the host sees it. Before it: programs and handlers. After it: assembly/flow/table.ts.
 *
 * A match may be given typed, as `ovs-dpctl` text, or flat (key and mask of KEY_SIZE bytes); actions likewise. Reading gives typed records on
 * demand from copies, so nothing that is returned changes later.
 * Threads: the owner thread; workers go on meanwhile.
 */
import * as C from '../../assembly/constants.ts';
import { errnoError } from '../errors.ts';
import {
  type Action,
  decodeActions,
  decodeMatch,
  encodeMatch,
  type FlowMatch,
  formatActions,
  formatMatch,
  parseMatch,
} from '../odp/index.ts';
import type { DatapathMemory } from '../wasm/memory.ts';
import { type ActionsInput, holdActions, holdMask } from './handles.ts';

/** A match in flat form. */
export interface FlatMatch {
  key: Uint8Array;
  mask: Uint8Array;
}

export type MatchInput = FlowMatch | FlatMatch | string;

export interface FlowPutOptions {
  /** Fail with ERR_FLOW_EXISTS when there is such a flow. Without either: create or replace. */
  create?: boolean;
  /** Fail with ERR_NO_SUCH_FLOW when there is no such flow. */
  modify?: boolean;
  /** Removed when unused for so long, ms. Default: the datapath's. */
  idleTimeoutMs?: number;
  /** Removed so long after it was put, ms. Default: the datapath's. */
  hardTimeoutMs?: number;
}

export interface FlowStats {
  packets: number;
  bytes: number;
  /** CLOCK_MONOTONIC ms of the last packet, undefined when there was none. */
  usedMs: number | undefined;
  /** OR of the TCP flags seen (12 bits, host order). */
  tcpFlags: number;
}

const PUT_CREATE = 1;
const PUT_MODIFY = 2;
const FLOW_STATS_SIZE = 32;

/** One flow, copied out at one moment. */
export class Flow {
  readonly key: Uint8Array;
  readonly mask: Uint8Array;
  readonly actionBytes: Uint8Array;
  readonly stats: FlowStats;

  constructor(key: Uint8Array, mask: Uint8Array, actions: Uint8Array, stats: FlowStats) {
    this.key = key;
    this.mask = mask;
    this.actionBytes = actions;
    this.stats = stats;
  }

  get match(): FlowMatch {
    return decodeMatch(this.key, this.mask);
  }

  get actions(): Action[] {
    return decodeActions(this.actionBytes);
  }

  /** The line of `ovs-dpctl dump-flows`; `nowMs` is CLOCK_MONOTONIC. */
  format(nowMs: number): string {
    const { packets, bytes, usedMs } = this.stats;
    const used = usedMs === undefined ? 'never' : `${(Math.max(0, nowMs - usedMs) / 1000).toFixed(3)}s`;
    const actions = formatActions(this.actionBytes);
    return `${formatMatch(this.key, this.mask)}, packets:${packets}, bytes:${bytes}, used:${used}, actions:${actions}`;
  }
}

export class Flows {
  readonly #memory: DatapathMemory;
  readonly #scratch: number;

  constructor(memory: DatapathMemory) {
    this.#memory = memory;
    this.#scratch = memory.allocate(4 * C.KEY_SIZE + 64, 'the flow table');
  }

  /** Flows in the table. */
  get count(): number {
    return this.#memory.superblock(C.SB_FLOW_COUNT);
  }

  /** Subtables that lookups visit: distinct masks in use. */
  get masks(): number {
    return this.#memory.superblock(C.SB_SUBTABLE_COUNT);
  }

  /**
   * Puts a flow. Throws DatapathError: ERR_FLOW_EXISTS, ERR_NO_SUCH_FLOW, ERR_TABLE_FULL, ERR_OUT_OF_MEMORY, ERR_MASKS_EXHAUSTED,
   * ERR_INVALID_ACTIONS; OdpFieldError or OdpSyntaxError for a match that makes no sense.
   */
  put(match: MatchInput, actions: ActionsInput, options: FlowPutOptions = {}): void {
    const flat = flatten(match);
    const mask = holdMask(this.#memory, flat.mask);
    try {
      const handle = holdActions(this.#memory, actions, flat);
      try {
        this.#memory.bytes.set(flat.key, this.#scratch);
        const flags = (options.create ? PUT_CREATE : 0) | (options.modify ? PUT_MODIFY : 0);
        const idleMs = options.idleTimeoutMs ?? 0;
        const hardMs = options.hardTimeoutMs ?? 0;
        const result =
          this.#memory.wasm.putFlow(this.#scratch, mask.address, handle.address, flags, idleMs, hardMs) >>> 0;
        if (result < C.SUPERBLOCK) throw errnoError(result, 'flow put');
      } finally {
        handle.release();
      }
    } finally {
      mask.release();
    }
  }

  /** The flow with exactly this match, undefined when there is none. */
  get(match: MatchInput): Flow | undefined {
    const address = this.#find(match);
    return address === 0 ? undefined : this.#read(address);
  }

  /** The flow that a packet with this exact key (KEY_SIZE bytes) hits, undefined when it would be a miss. */
  lookup(key: Uint8Array): Flow | undefined {
    if (key.length !== C.KEY_SIZE) throw new TypeError(`a flat key has ${C.KEY_SIZE} bytes, not ${key.length}`);
    this.#memory.bytes.set(key, this.#scratch);
    const address = this.#memory.wasm.findFlow(this.#scratch) >>> 0;
    return address === 0 ? undefined : this.#read(address);
  }

  /** Removes the flow with exactly this match. False when there was none. */
  delete(match: MatchInput): boolean {
    const address = this.#find(match);
    return address !== 0 && this.#memory.wasm.removeFlowAt(address) === 0;
  }

  /** Removes every flow that matches at least what `match` says, with the same values. Returns how many. */
  deleteWhere(match: MatchInput): number {
    const { key, mask } = flatten(match);
    this.#memory.bytes.set(key, this.#scratch);
    this.#memory.bytes.set(mask, this.#scratch + C.KEY_SIZE);
    return this.#memory.wasm.removeWhere(this.#scratch, this.#scratch + C.KEY_SIZE, this.#scratch + 2 * C.KEY_SIZE);
  }

  /** Removes all flows. Returns how many. */
  flush(): number {
    return this.#memory.wasm.flushFlows();
  }

  /** All flows, in no order. Flows that come and go meanwhile may or may not be among them; none comes twice. */
  async *dump(): AsyncGenerator<Flow, void, undefined> {
    const base = this.#memory.superblock(C.SB_FLOWS);
    const YIELD_EVERY = 1024;
    let index = 0;
    for (let n = 1; ; n++) {
      const address = this.#memory.wasm.nextFlow(index) >>> 0;
      if (address === 0) return;
      index = (address - base) / C.FLOW_SIZEOF + 1;
      const flow = this.#read(address);
      if (flow !== undefined) yield flow;
      if (n % YIELD_EVERY === 0) await new Promise(setImmediate);
    }
  }

  [Symbol.asyncIterator](): AsyncGenerator<Flow, void, undefined> {
    return this.dump();
  }

  /** Address of the flow with exactly this match, 0 none. */
  #find(match: MatchInput): number {
    const { key, mask } = flatten(match);
    this.#memory.bytes.set(key, this.#scratch);
    this.#memory.bytes.set(mask, this.#scratch + C.KEY_SIZE);
    return this.#memory.wasm.findExact(this.#scratch, this.#scratch + C.KEY_SIZE) >>> 0;
  }

  #read(address: number): Flow | undefined {
    this.#memory.wasm.enter(); // what the flow refers to is not freed while it is copied
    try {
      return this.#copyOut(address);
    } finally {
      this.#memory.wasm.leave();
    }
  }

  #copyOut(address: number): Flow | undefined {
    const memory = this.#memory;
    const out = this.#scratch + 4 * C.KEY_SIZE;
    if (memory.wasm.readMatch(address, this.#scratch, this.#scratch + C.KEY_SIZE) !== 0) return undefined;
    const actions = memory.u32(address + C.FLOW_ACTIONS);
    memory.wasm.sumFlow(address, out);
    const usedMs = memory.u64(out + 16);
    const flags = memory.u32(out + FLOW_STATS_SIZE - 8);
    return new Flow(
      memory.copy(this.#scratch, C.KEY_SIZE),
      memory.copy(this.#scratch + C.KEY_SIZE, C.KEY_SIZE),
      memory.copy(actions + C.ACTIONS_ATTRS, memory.u32(actions + C.ACTIONS_SIZE)),
      {
        packets: memory.u64(out),
        bytes: memory.u64(out + 8),
        usedMs: usedMs === 0 ? undefined : usedMs,
        tcpFlags: ((flags & 0xff) << 8) | (flags >>> 8),
      },
    );
  }
}

/** Any form of a match as key and mask. */
export function flatten(match: MatchInput): FlatMatch {
  if (typeof match === 'string') return parseMatch(match);
  if ('key' in match && match.key instanceof Uint8Array) {
    if (match.key.length !== C.KEY_SIZE || match.mask.length !== C.KEY_SIZE) {
      throw new TypeError(`a flat key and its mask have ${C.KEY_SIZE} bytes each`);
    }
    return match as FlatMatch;
  }
  return encodeMatch(match as FlowMatch);
}
