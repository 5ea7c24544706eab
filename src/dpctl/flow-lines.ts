/*
 * Flows as lines of `ovs-dpctl dump-flows`, many at a time. What flows have in common, the form of their keys (KeyLines) and their actions, is formatted once.
 *
 * Before it: a dump, or one flow that was asked for. After it: the context's output. One object a dump; it keeps no views of flows.
 */
import type { DpifFlow, FlowStats } from '../dpif/types.ts';
import { formatActions } from '../odp/actions-text.ts';
import { KeyLines } from '../odp/key-lines.ts';
import { TextBytes } from '../odp/text-bytes.ts';
import { formatUfid } from '../odp/ufid.ts';
import type { DpctlContext } from './context.ts';
import { flagsText, statsText } from './flow-text.ts';

export interface FlowTextOptions {
  /** Print UFIDs, wildcarded fields and where the flow is, as -m does. */
  readonly verbose: boolean;
  /** Names of ports by number, instead of their numbers. */
  readonly names: ReadonlyMap<number, string> | undefined;
  /** CLOCK_MONOTONIC, whole milliseconds. */
  readonly nowMs: number;
}

/** As much as a pipe holds. */
const PIECE_SIZE = 64 * 1024;
const EMPTY = new Uint8Array(0);
const U32_MAX = 0xffffffff;
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

  /** Writes the lines that were added since the last time, if there are enough of them, or `all`. */
  writeTo(context: DpctlContext, all = true): void {
    if (all || this.#out.size >= PIECE_SIZE) context.writeBytes(this.#out.takeBytes());
  }

  /** As statsText, which is asked where a number does not fit. */
  #putStats(stats: FlowStats): void {
    const out = this.#out;
    const { nowMs } = this.#options;
    const [packets, bytes, usedMs] = [Number(stats.packets), Number(stats.bytes), Number(stats.usedMs)];
    const idleMs = nowMs - usedMs;
    if (packets > U32_MAX || bytes > U32_MAX || idleMs < 0 || !Number.isInteger(idleMs)) {
      out.putText(`, ${statsText(stats, nowMs)}`);
      return;
    }
    out.putBytes(PACKETS);
    out.putDecimal(packets);
    out.putBytes(BYTES);
    out.putDecimal(bytes);
    if (usedMs === 0) out.putBytes(NEVER_USED);
    else {
      out.putBytes(USED);
      out.putThousandths(idleMs);
      out.putBytes(SECONDS);
    }
    if (stats.tcpFlags !== 0) out.putText(`, flags:${flagsText(stats.tcpFlags)}`);
  }

  #actions(bytes: Uint8Array): ActionList {
    const lists = this.#lists;
    for (let i = 0; i < lists.length; i++) {
      const list = lists[i];
      if (!areEqual(list.bytes, bytes)) continue;
      if (i > 0) [lists[i], lists[i - 1]] = [lists[i - 1], list];
      return list;
    }
    const list = this.#format(bytes);
    if (lists.length === LISTS_MAX) lists.pop();
    lists.unshift(list);
    return list;
  }

  #format(bytes: Uint8Array): ActionList {
    const { names } = this.#options;
    return { bytes: bytes.slice(), text: Buffer.from(formatActions(bytes, names === undefined ? {} : { names })) };
  }
}

function areEqual(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false;
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return false;
  return true;
}

function placeText({ offloaded, dpLayer }: DpifFlow['attrs']): string {
  const layer = dpLayer === undefined ? '' : `, dp:${dpLayer}`;
  return offloaded ? `, offloaded:${dpLayer === 'ovs' ? 'partial' : 'yes'}${layer}` : layer;
}
