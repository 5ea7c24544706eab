/*
 * Flows as lines of `ovs-dpctl dump-flows`, many at a time. What flows have in common, the form of their keys (KeyLines) and their actions, is formatted once.
 *
 * Before it: a dump, or one flow that was asked for. After it: whoever prints lines. One object a dump; it keeps no views of flows.
 */
import type { DpifFlow, FlowStats } from '../dpif/types.ts';
import { formatActions } from '../odp/actions-text.ts';
import { KeyLines } from '../odp/key-lines.ts';
import { TextBytes } from '../odp/text-bytes.ts';
import { formatUfid } from '../odp/ufid.ts';
import { flagsText, statsText } from './flow-text.ts';

export interface FlowTextOptions {
  /** Print UFIDs, wildcarded fields and where the flow is, as -m does. */
  readonly verbose: boolean;
  /** Names of ports by number, instead of their numbers. */
  readonly names: ReadonlyMap<number, string> | undefined;
  /** CLOCK_MONOTONIC, whole milliseconds. */
  readonly nowMs: number;
}

const EMPTY = new Uint8Array(0);
const U32_MAX = 0xffffffffn;
/** Lists of actions whose text is kept: flows have few. */
const LISTS_MAX = 16;
const PACKETS = Buffer.from(', packets:');
const BYTES = Buffer.from(', bytes:');
const NEVER_USED = Buffer.from(', used:never');
const USED = Buffer.from(', used:');
const SECONDS = Buffer.from('s');
const ACTIONS = Buffer.from(', actions:');

interface ActionList {
  readonly bytes: Uint8Array;
  readonly text: Uint8Array;
}

export class FlowLines {
  readonly #options: FlowTextOptions;
  readonly #keys: KeyLines;
  readonly #out = new TextBytes();
  /** Lists of actions and their texts, the last ones used first. */
  readonly #lists: ActionList[] = [];

  constructor(options: FlowTextOptions) {
    const { verbose, names } = options;
    this.#options = options;
    this.#keys = new KeyLines(names === undefined ? { verbose } : { verbose, portName: (port) => names.get(port) });
  }

  /** Adds the line of a flow. */
  add({ key = EMPTY, mask, actions = EMPTY, ufid, stats, attrs, extraInfo }: DpifFlow): void {
    const { verbose } = this.#options;
    const out = this.#out;
    if (verbose && ufid !== undefined) out.putText(`${formatUfid(ufid)}, `);
    this.#keys.put(out, key, mask);
    this.#putStats(stats);
    if (verbose) out.putText(placeText(attrs));
    out.putBytes(ACTIONS);
    out.putBytes(this.#actions(actions).text);
    out.putText(verbose && extraInfo !== undefined ? `, dp-extra-info:${extraInfo}\n` : '\n');
  }

  /** Adds a line that is no flow. */
  addText(text: string): void {
    this.#out.putText(text);
  }

  /** The lines that were added since the last time. */
  take(): string {
    return this.#out.take();
  }

  /** As statsText, which is asked where a number does not fit. */
  #putStats(stats: FlowStats): void {
    const out = this.#out;
    const { nowMs } = this.#options;
    const idleMs = nowMs - Number(stats.usedMs);
    if (stats.packets > U32_MAX || stats.bytes > U32_MAX || idleMs < 0 || !Number.isInteger(idleMs)) {
      out.putText(`, ${statsText(stats, nowMs)}`);
      return;
    }
    out.putBytes(PACKETS);
    out.putDecimal(Number(stats.packets));
    out.putBytes(BYTES);
    out.putDecimal(Number(stats.bytes));
    if (stats.usedMs === 0n) out.putBytes(NEVER_USED);
    else {
      out.putBytes(USED);
      out.putThousandths(idleMs);
      out.putBytes(SECONDS);
    }
    if (stats.tcpFlags !== 0) out.putText(`, flags:${flagsText(stats.tcpFlags)}`);
  }

  #actions(bytes: Uint8Array): ActionList {
    const lists = this.#lists;
    const found = lists.findIndex((list) => Buffer.compare(list.bytes, bytes) === 0);
    if (found === 0) return lists[0];
    const [list = this.#format(bytes)] = found < 0 ? [] : lists.splice(found, 1);
    lists.unshift(list);
    if (lists.length > LISTS_MAX) lists.pop();
    return list;
  }

  #format(bytes: Uint8Array): ActionList {
    const { names } = this.#options;
    return { bytes: bytes.slice(), text: Buffer.from(formatActions(bytes, names === undefined ? {} : { names })) };
  }
}

function placeText({ offloaded, dpLayer }: DpifFlow['attrs']): string {
  const layer = dpLayer === undefined ? '' : `, dp:${dpLayer}`;
  return offloaded ? `, offloaded:${dpLayer === 'ovs' ? 'partial' : 'yes'}${layer}` : layer;
}
