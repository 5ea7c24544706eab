/*
 * Requests about flows, from text, carried out many at a time.
 *
 * Concepts. A FlowBatch takes requests in order and hands them to the datapath BATCH_COUNT at a time, or when it is told to; what became of each is told
 * in the same order. Names of ports in a text are looked up in the datapath when the first one comes, and again when one is unknown, because a port may
 * have been added meanwhile.
 * Before it: flow-commands.ts, flow-files.ts. After it: Dpif.operate. Thread: the caller's.
 */
import { constants } from 'node:os';
import type { Dpif } from '../dpif/dpif.ts';
import { DPIF_FP_CREATE, type FlowDel, type FlowPut, type FlowStats } from '../dpif/types.ts';
import { encodeActions } from '../odp/actions.ts';
import { parseActions } from '../odp/actions-text.ts';
import { AttributeMemory } from '../odp/attribute-memory.ts';
import { type KeyText, parseKeyAttributes } from '../odp/attributes-text.ts';
import { OdpSyntaxError } from '../odp/errors.ts';
import { monotonicMs } from '../wasm/clock.ts';
import type { DpctlContext } from './context.ts';
import { statsObject, statsText } from './flow-text.ts';
import { errnoOf } from './problem.ts';

const { ENOENT, EEXIST } = constants.errno;

/** The Netlink layer sends some hundred requests at once; more only delays what is told of the first. */
const BATCH_COUNT = 256;

/** Names and numbers of the ports of a datapath. */
export class PortNames {
  readonly #dpif: Dpif;
  #numbers: Map<string, number> | undefined;

  constructor(dpif: Dpif) {
    this.#dpif = dpif;
  }

  get numbers(): ReadonlyMap<string, number> {
    this.#numbers ??= new Map([...this.#dpif.ports()].map(({ name, portNo }) => [name, portNo]));
    return this.#numbers;
  }

  readonly numberOf = (name: string): number | undefined => {
    if (!this.numbers.has(name)) this.refresh();
    return this.numbers.get(name);
  };

  refresh(): void {
    this.#numbers = undefined;
  }
}

/** Lists of actions whose bytes are kept: flows have few. */
const LISTS_MAX = 64;

interface Entry {
  readonly op: FlowPut | FlowDel;
  /** Where the request was written: `FILE:LINE: `, or nothing. */
  readonly place: string;
}

export class FlowBatch {
  readonly #context: DpctlContext;
  readonly #dpif: Dpif;
  readonly #ports: PortNames;
  #entries: Entry[] = [];
  /** What lines of a file have in common is read once: attributes of keys, lists of actions without names of ports. */
  readonly #memory = new AttributeMemory();
  readonly #lists = new Map<string, Uint8Array>();

  constructor(context: DpctlContext, dpif: Dpif) {
    this.#context = context;
    this.#dpif = dpif;
    this.#ports = new PortNames(dpif);
  }

  /** A flow to install or change; `flags`: DPIF_FP_*. A text that cannot be read is a failure, and no request. */
  put(flow: string, actions: string, flags: number, place = ''): void {
    const parsed = this.#parse(flow, place);
    const list = parsed && this.#parseActions(actions, place);
    if (parsed === undefined || list === undefined) return;
    const { key, mask, ufid } = parsed;
    this.#add({ type: 'flow_put', flags, key, mask, actions: list, ...(ufid && { ufid }), ...this.#wantStats }, place);
  }

  /** A flow to remove, by its UFID if the text begins with one. */
  delete(flow: string, place = ''): void {
    const parsed = this.#parse(flow, place);
    if (parsed === undefined) return;
    const { key, ufid } = parsed;
    const identity = ufid === undefined ? { key } : key.length === 0 ? { ufid } : { key, ufid };
    this.#add({ type: 'flow_del', ...identity, ...this.#wantStats }, place);
  }

  /** Tells of a request that is none, in its turn. */
  fail(what: string, reason?: unknown, mend?: string): void {
    this.flush();
    this.#context.fail(what, reason, mend);
  }

  /** Carries out what waits, and tells what became of it. */
  flush(): void {
    const entries = this.#entries;
    if (entries.length === 0) return;
    this.#entries = [];
    this.#dpif.operate(entries.map(({ op }) => op));
    for (const { op, place } of entries) {
      if (op.error !== undefined) this.#tell(op, place);
      else if (op.stats !== undefined) this.#writeStats(op.stats);
    }
  }

  get #wantStats(): { wantStats?: true } {
    return this.#context.options.statistics ? { wantStats: true } : {};
  }

  #add(op: FlowPut | FlowDel, place: string): void {
    this.#entries.push({ op, place });
    if (this.#entries.length >= BATCH_COUNT) this.flush();
  }

  #tell(op: FlowPut | FlowDel, place: string): void {
    const errno = errnoOf(op.error);
    if (op.type === 'flow_del') {
      const mend = errno === ENOENT && op.ufid === undefined ? 'perhaps you need to specify a UFID?' : undefined;
      this.#context.fail(`${place}deleting flow`, op.error, mend);
      return;
    }
    const isCreating = (op.flags & DPIF_FP_CREATE) !== 0;
    let mend: string | undefined;
    if (errno === EEXIST && isCreating) mend = 'there is this flow already, or one that it overlaps';
    if (errno === ENOENT && !isCreating) mend = 'there is no such flow; --may-create makes it';
    this.#context.fail(`${place}updating flow table`, op.error, mend);
  }

  #writeStats(stats: FlowStats): void {
    const nowMs = monotonicMs();
    if (this.#context.options.json) this.#context.writeObject(statsObject(stats, nowMs));
    else this.#context.write(`${statsText(stats, nowMs)}\n`);
  }

  #parse(text: string, place: string): KeyText | undefined {
    try {
      return parseKeyAttributes(text, { portNumber: this.#ports.numberOf, memory: this.#memory });
    } catch (error) {
      this.fail(`${place}parsing flow key`, error);
      return undefined;
    }
  }

  /** Most lists have numbers only, and need no names. */
  #parseActions(text: string, place: string): Uint8Array | undefined {
    const known = this.#lists.get(text);
    if (known !== undefined) return known;
    try {
      const list = encodeActions(parseActions(text, { likeDpctl: true }));
      if (this.#lists.size === LISTS_MAX) this.#lists.clear();
      this.#lists.set(text, list);
      return list;
    } catch (error) {
      if (!(error instanceof OdpSyntaxError)) return this.#failActions(error, place);
    }
    this.#ports.refresh();
    try {
      return encodeActions(parseActions(text, { likeDpctl: true, names: this.#ports.numbers }));
    } catch (error) {
      return this.#failActions(error, place);
    }
  }

  #failActions(error: unknown, place: string): undefined {
    this.fail(`${place}parsing actions`, error);
  }
}
