/*
 * dump-conntrack, flush-conntrack, ct-stats-show, ct-bkts: tracked connections of a datapath. Before it: command-table.ts. After it: Dpif; ct-text.ts prints
 * connections, ct-tuple.ts reads descriptions of them.
 */
import { constants } from 'node:os';
import type { Dpif } from '../dpif/dpif.ts';
import type { CtEntry, CtTuple } from '../dpif/types.ts';
import type { DpctlContext } from './context.ts';
import { isZone } from './ct-limits.ts';
import { ctObject, ctText, TCP_STATE_ORDER, tcpStateGroup } from './ct-text.ts';
import { isWholeTuple, matchesTuple, parseCtTuple } from './ct-tuple.ts';
import { withOptionalDatapath } from './datapaths.ts';

const { EINVAL } = constants.errno;
const TCP = 6;

/** Protocols that ct-stats-show lists, in its order; ICMPv6 is in the total only, as in ovs-dpctl. */
const LISTED: readonly (readonly [protocol: number, name: string])[] = [
  [TCP, 'TCP'],
  [17, 'UDP'],
  [136, 'UDPLITE'],
  [132, 'SCTP'],
  [1, 'ICMP'],
  [33, 'DCCP'],
  [2, 'IGMP'],
];
const ICMPV6 = 58;

/** `zone=N` at the end of the arguments. */
interface ZoneArgument {
  readonly rest: readonly string[];
  readonly zone: number | undefined;
}

/** Undefined, and a failure, when it is no zone. */
function takeZone(context: DpctlContext, args: readonly string[]): ZoneArgument | undefined {
  const text = args.find((arg) => arg.startsWith('zone='))?.slice('zone='.length);
  if (text !== undefined && !isZone(text)) {
    context.fail('failed to parse zone', EINVAL);
    return undefined;
  }
  const rest = args.filter((arg) => !arg.startsWith('zone='));
  return { rest, zone: text === undefined ? undefined : Number(text) };
}

export async function dumpConntrack(context: DpctlContext, args: readonly string[]): Promise<void> {
  const taken = takeZone(context, args);
  if (taken === undefined) return;
  const { verbosity, statistics, json } = context.options;
  await withOptionalDatapath(context, taken.rest, 1, (dpif) =>
    walkConnections(context, dpif, taken.zone, (entry) => {
      if (json) context.writeObject(ctObject(entry));
      else context.write(`${ctText(entry, { verbose: verbosity > 0, statistics })}\n`);
    }),
  );
}

/** Calls `use` for each connection. A dump that breaks off is a failure. */
async function walkConnections(
  context: DpctlContext,
  dpif: Dpif,
  zone: number | undefined,
  use: (entry: CtEntry) => void,
): Promise<void> {
  try {
    for (const entry of dpif.ctDump(zone)) {
      use(entry);
      await context.turn();
    }
  } catch (error) {
    context.fail('dumping conntrack entry', error);
  }
}

export async function flushConntrack(context: DpctlContext, args: readonly string[]): Promise<void> {
  const tuples = args.filter((arg) => arg === '' || (arg.includes('=') && !arg.startsWith('zone=')));
  const taken = takeZone(
    context,
    args.filter((arg) => !tuples.includes(arg)),
  );
  if (taken === undefined) return;
  let parsed: Partial<CtTuple>[];
  try {
    parsed = tuples.map(parseCtTuple);
  } catch (error) {
    return context.fail('failed to flush conntrack', error);
  }
  const [origin = {}, reply = {}, more] = parsed;
  if (more !== undefined || taken.rest.length > 1) return context.fail('invalid arguments', EINVAL);
  await withOptionalDatapath(context, taken.rest, 1, async (dpif) => {
    try {
      await flush(context, dpif, taken.zone, origin, reply);
    } catch (error) {
      context.fail('failed to flush conntrack', error);
    }
  });
}

/** One connection is named as it is; a description is looked for among all connections. */
async function flush(
  context: DpctlContext,
  dpif: Dpif,
  zone: number | undefined,
  origin: Partial<CtTuple>,
  reply: Partial<CtTuple>,
): Promise<void> {
  const inZone = zone === undefined ? {} : { zone };
  const isOpen = (tuple: Partial<CtTuple>): boolean => Object.keys(tuple).length === 0;
  if (isOpen(origin) && isOpen(reply)) return dpif.ctFlush(inZone);
  if (isWholeTuple(origin) && isOpen(reply)) return dpif.ctFlush({ ...inZone, tuple: origin });
  const found: CtEntry[] = [];
  await walkConnections(context, dpif, zone, (entry) => {
    if (matchesTuple(entry.origin, origin) && matchesTuple(entry.reply, reply)) found.push(entry);
  });
  for (const entry of found) dpif.ctFlush({ zone: entry.zone, tuple: entry.origin });
}

export async function ctStatsShow(context: DpctlContext, args: readonly string[]): Promise<void> {
  const taken = takeZone(
    context,
    args.filter((arg) => arg !== 'verbose'),
  );
  if (taken === undefined) return;
  const verbose = context.options.verbosity > 0 || args.includes('verbose');
  await withOptionalDatapath(context, taken.rest, 1, async (dpif) => {
    const protocols = new Map<number, number>();
    const states = new Map<string, number>();
    const count = <K>(counts: Map<K, number>, key: K): void => void counts.set(key, (counts.get(key) ?? 0) + 1);
    await walkConnections(context, dpif, taken.zone, ({ origin, tcp }) => {
      count(protocols, origin.protocol);
      if (tcp !== undefined) count(states, tcpStateGroup(tcp.state));
    });
    if (context.options.json) context.writeObject(statsObject(protocols, states));
    else context.write(statsText(protocols, states, verbose));
  });
}

function total(protocols: ReadonlyMap<number, number>): number {
  return [...protocols.values()].reduce((sum, count) => sum + count, 0);
}

function others(protocols: ReadonlyMap<number, number>): number {
  const known = [...LISTED.map(([protocol]) => protocol), ICMPV6];
  return total(new Map([...protocols].filter(([protocol]) => !known.includes(protocol))));
}

function statsText(
  protocols: ReadonlyMap<number, number>,
  states: ReadonlyMap<string, number>,
  verbose: boolean,
): string {
  const lines = [`Connections Stats:\n    Total: ${total(protocols)}\n`];
  for (const [protocol, name] of LISTED) {
    const count = protocols.get(protocol);
    if (count === undefined) continue;
    lines.push(`  ${name}: ${count}\n`);
    if (protocol !== TCP || !verbose) continue;
    lines.push('    Conn per TCP states:\n');
    for (const state of TCP_STATE_ORDER) if (states.has(state)) lines.push(`\t  [${state}]=${states.get(state)}\n`);
  }
  if (others(protocols) > 0) lines.push(`  Other: ${others(protocols)}\n`);
  return lines.join('');
}

function statsObject(protocols: ReadonlyMap<number, number>, states: ReadonlyMap<string, number>): object {
  const named = [...LISTED, [ICMPV6, 'ICMPV6'] as const].map(([protocol, name]) => [
    name.toLowerCase(),
    protocols.get(protocol) ?? 0,
  ]);
  return {
    total: total(protocols),
    ...Object.fromEntries(named),
    other: others(protocols),
    tcpStates: Object.fromEntries(states),
  };
}

/** No datapath here tells its buckets: that of the kernel has them, and keeps them to itself. */
export async function ctBuckets(context: DpctlContext, args: readonly string[]): Promise<void> {
  await withOptionalDatapath(
    context,
    args.filter((arg) => !arg.startsWith('gt=')),
    1,
    () => context.write('Command is available for UserSpace ConnTracker only.\n'),
  );
}
