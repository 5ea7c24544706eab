/*
 * Statistics of a flow as ovs-dpctl prints them, and flows as objects for programs. Lines of flows are in flow-lines.ts. Pure; the caller reads the clock.
 */
import type { DpifFlow, FlowStats } from '../dpif/types.ts';
import { decodeActions } from '../odp/actions.ts';
import { decodeMatch } from '../odp/match.ts';
import { decodeMatchAttributes } from '../odp/match-decode.ts';
import { formatUfid } from '../odp/ufid.ts';

const EMPTY = new Uint8Array(0);

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

/** `packets:N, bytes:N, used:N.NNNs` or `used:never`, and the TCP flags if there were any. */
export function statsText({ packets, bytes, usedMs, tcpFlags }: FlowStats, nowMs: number): string {
  // a worker may have used it since the time was read
  const idleMs = Math.max(0, nowMs - Number(usedMs));
  const used = usedMs === 0n ? 'never' : `${(idleMs / 1000).toFixed(3)}s`;
  return `packets:${packets}, bytes:${bytes}, used:${used}${tcpFlags === 0 ? '' : `, flags:${flagsText(tcpFlags)}`}`;
}

export function flagsText(flags: number): string {
  let text = '';
  for (const [bit, letter] of TCP_FLAGS) if (flags & bit) text += letter;
  return text;
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
