/*
 * A flow as ovs-dpctl prints it, and as an object for programs. The lines of many flows are in flow-lines.ts. Pure; the caller reads the clock.
 */
import type { DpifFlow, FlowAttrs, FlowStats } from '../dpif/types.ts';
import { decodeActions } from '../odp/actions.ts';
import { formatActions } from '../odp/actions-text.ts';
import { type FormatKeyOptions, formatKeyAttributes } from '../odp/attributes-text.ts';
import { decodeMatch } from '../odp/match.ts';
import { decodeMatchAttributes } from '../odp/match-decode.ts';
import { formatUfid } from '../odp/ufid.ts';

const EMPTY = new Uint8Array(0);

export interface FlowTextOptions {
  /** Print UFIDs, wildcarded fields and where the flow is, as -m does. */
  readonly verbose: boolean;
  /** Names of ports by number, instead of their numbers. */
  readonly names: ReadonlyMap<number, string> | undefined;
  /** CLOCK_MONOTONIC, whole milliseconds. */
  readonly nowMs: number;
}

/** Letters of TCP flags, in the order in which Open vSwitch prints them; the other bits are printed as numbers. */
const TCP_FLAGS: readonly (readonly [bit: number, text: string])[] = [
  [0x002, 'S'],
  [0x001, 'F'],
  [0x008, 'P'],
  [0x004, 'R'],
  [0x020, 'U'],
  [0x010, '.'],
  [0x040, 'E'],
  [0x080, 'C'],
  [0x100, 'N'],
  [0x200, '[200]'],
  [0x400, '[400]'],
  [0x800, '[800]'],
];

/** The line of a flow, and its end. Throws OdpAttributeError when a list is cut. */
export function flowText(
  { key = EMPTY, mask, actions = EMPTY, ufid, stats, attrs, extraInfo }: DpifFlow,
  options: FlowTextOptions,
): string {
  const { verbose, names, nowMs } = options;
  const identity = verbose && ufid !== undefined ? `${formatUfid(ufid)}, ` : '';
  const match = formatKeyAttributes(key, mask, keyOptions(options));
  const place = verbose ? placeText(attrs) : '';
  const list = formatActions(actions, names === undefined ? {} : { names });
  const extra = verbose && extraInfo !== undefined ? `, dp-extra-info:${extraInfo}` : '';
  return `${identity}${match}, ${statsText(stats, nowMs)}${place}, actions:${list}${extra}\n`;
}

export function keyOptions({ verbose, names }: FlowTextOptions): FormatKeyOptions {
  return names === undefined ? { verbose } : { verbose, portName: (port) => names.get(port) };
}

/** `packets:N, bytes:N, used:N.NNNs` or `used:never`, and the TCP flags if there were any. */
export function statsText({ packets, bytes, usedMs, tcpFlags }: FlowStats, nowMs: number): string {
  return `packets:${packets}, bytes:${bytes}, used:${usedText(Number(usedMs), nowMs)}${flagsText(tcpFlags)}`;
}

/** How long ago it was used; a worker may have used it since the time was read. */
export function usedText(usedMs: number, nowMs: number): string {
  return usedMs === 0 ? 'never' : `${(Math.max(0, nowMs - usedMs) / 1000).toFixed(3)}s`;
}

/** TCP flags with what goes before them; nothing when there were none. */
export function flagsText(flags: number): string {
  let text = '';
  for (const [bit, letter] of TCP_FLAGS) if (flags & bit) text += letter;
  return flags === 0 ? '' : `, flags:${text}`;
}

/** Where the flow is, with what goes before it. */
export function placeText({ offloaded, dpLayer }: FlowAttrs): string {
  const layer = dpLayer === undefined ? '' : `, dp:${dpLayer}`;
  return offloaded ? `, offloaded:${dpLayer === 'ovs' ? 'partial' : 'yes'}${layer}` : layer;
}

/** The flow for programs: typed key and actions, counters as numbers, the time since it was used in seconds, null when it never was. */
export function flowObject(
  { key = EMPTY, mask, actions = EMPTY, ufid, stats, attrs }: DpifFlow,
  nowMs: number,
): object {
  const { key: flat, mask: flatMask } = decodeMatchAttributes(key, mask);
  return {
    ...(ufid !== undefined && { ufid: formatUfid(ufid) }),
    match: decodeMatch(flat, flatMask),
    ...statsObject(stats, nowMs),
    ...attrs,
    actions: decodeActions(actions),
  };
}

export function statsObject({ packets, bytes, usedMs, tcpFlags }: FlowStats, nowMs: number): object {
  const used = usedMs === 0n ? null : Math.max(0, Math.round(nowMs - Number(usedMs))) / 1000;
  return { packets: Number(packets), bytes: Number(bytes), used, tcpFlags };
}
