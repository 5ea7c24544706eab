/*
 * show, dump-dps, cache-get-size, cache-set-size: what there is and how it is doing. Before it: commands.ts. After it: Dpif.
 */
import { constants } from 'node:os';
import type { Dpif } from '../dpif/dpif.ts';
import { tunnelKind } from '../dpif/port-types.ts';
import type { DpifPort, PortStats } from '../dpif/types.ts';
import type { DpctlContext } from './context.ts';
import { forEachDatapath, withDatapath } from './datapaths.ts';
import { fixed } from './fixed.ts';
import { problemText } from './problem.ts';

const { EINVAL, EOPNOTSUPP } = constants.errno;
const UNITS = ['KiB', 'MiB', 'GiB', 'TiB'];
const U32_MAX = 0xffffffff;

export async function dumpDps(context: DpctlContext): Promise<void> {
  await forEachDatapath(context, ({ fullName, type, baseName }) => {
    if (context.options.json) context.writeObject({ name: fullName, type, baseName });
    else context.write(`${fullName}\n`);
  });
}

export async function show(context: DpctlContext, names: readonly string[]): Promise<void> {
  const use = (dpif: Dpif): void =>
    context.options.json ? context.writeObject(datapathObject(context, dpif)) : showDatapath(context, dpif);
  if (names.length === 0) await forEachDatapath(context, use);
  for (const name of names) await withDatapath(context, name, use, `opening datapath ${name} failed`);
}

function showDatapath(context: DpctlContext, dpif: Dpif): void {
  context.write(`${dpif.fullName}:\n${statsLines(dpif)}${cacheLines(dpif)}`);
  for (const port of sortedPorts(dpif)) {
    const stats = context.options.statistics ? portStatsLines(dpif, port) : '';
    context.write(`  port ${port.portNo}: ${port.name}${kindText(dpif, port)}\n${stats}`);
  }
}

function statsLines(dpif: Dpif): string {
  const { hits, missed, lost, flows, masks, maskHits = 0n, cacheHits } = dpif.stats();
  const packets = Number(hits + missed);
  const perPacket = (count: bigint): number => (packets === 0 ? 0 : Number(count) / packets);
  let text = `  lookups: hit:${hits} missed:${missed} lost:${lost}\n  flows: ${flows}\n`;
  if (masks === undefined) return text;
  text += `  masks: hit:${maskHits} total:${masks} hit/pkt:${fixed(perPacket(maskHits), 2)}\n`;
  if (cacheHits === undefined) return text;
  return `${text}  cache: hit:${cacheHits} hit-rate:${fixed(perPacket(cacheHits) * 100, 2)}%\n`;
}

function caches(dpif: Dpif): { name: string; size: number }[] {
  return Array.from({ length: dpif.cacheLevels() }, (_, level) => ({
    name: dpif.cacheName(level),
    size: dpif.cacheSize(level),
  }));
}

function cacheLines(dpif: Dpif): string {
  const lines = caches(dpif).map(({ name, size }) => `    ${name}: size:${size}\n`);
  return lines.length === 0 ? '' : `  caches:\n${lines.join('')}`;
}

/** By number. One that goes away while it is looked at is left out. */
function sortedPorts(dpif: Dpif): DpifPort[] {
  const numbers = [...dpif.ports()].map(({ portNo }) => portNo).sort((one, other) => one - other);
  return numbers.map((portNo) => dpif.portQueryByNumber(portNo)).filter((port) => port !== undefined);
}

/** ` (internal)`, ` (vxlan: key=flow, ...)`; nothing for a plain network device. */
function kindText(dpif: Dpif, { portNo, type }: DpifPort): string {
  if (type === 'system') return '';
  try {
    const options = Object.entries(dpif.portOptions(portNo)).sort(([one], [other]) => (one < other ? -1 : 1));
    const texts = options.map(([key, value], i) => `${i === 0 ? ':' : ','} ${key}=${value}`);
    return ` (${type}${texts.join('')})`;
  } catch (error) {
    return ` (${type}, could not retrieve configuration${problemText(error)})`;
  }
}

/** Of a tunnel, ovs-dpctl knows packets and bytes only. */
function shownStats(dpif: Dpif, { portNo, type }: DpifPort): PortStats {
  const stats = dpif.portStats(portNo);
  if (tunnelKind(type) === undefined) return stats;
  const { rxPackets, txPackets, rxBytes, txBytes } = stats;
  return { rxPackets, txPackets, rxBytes, txBytes } as PortStats;
}

function portStatsLines(dpif: Dpif, port: DpifPort): string {
  let stats: PortStats;
  try {
    stats = shownStats(dpif, port);
  } catch (error) {
    return `    could not retrieve stats${problemText(error)}\n`;
  }
  const s = Object.fromEntries(Object.entries(stats).map(([name, value]) => [name, String(value ?? '?')]));
  const at = (name: keyof PortStats): string => s[name] ?? '?';
  return (
    `    RX packets:${at('rxPackets')} errors:${at('rxErrors')} dropped:${at('rxDropped')} ` +
    `overruns:${at('rxOverErrors')} frame:${at('rxFrameErrors')}\n` +
    `    TX packets:${at('txPackets')} errors:${at('txErrors')} dropped:${at('txDropped')} ` +
    `aborted:${at('txAbortedErrors')} carrier:${at('txCarrierErrors')}\n` +
    `    collisions:${at('collisions')}\n` +
    `    RX bytes:${at('rxBytes')}${sizeText(stats.rxBytes)}  TX bytes:${at('txBytes')}${sizeText(stats.txBytes)}\n`
  );
}

/** ` (1.5 MiB)`; nothing below a KiB. */
function sizeText(bytes: bigint | undefined): string {
  let size = Number(bytes ?? 0n) / 1024;
  if (size < 1) return '';
  let unit = 0;
  for (; size >= 1024 && unit < UNITS.length - 1; unit++) size /= 1024;
  return ` (${fixed(size, 1)} ${UNITS[unit]})`;
}

function datapathObject(context: DpctlContext, dpif: Dpif): object {
  const ports = sortedPorts(dpif).map((port) => ({
    ...port,
    ...optionsObject(dpif, port),
    ...(context.options.statistics && { stats: numbers(dpif.portStats(port.portNo)) }),
  }));
  return { name: dpif.fullName, ...numbers(dpif.stats()), caches: caches(dpif), ports };
}

/** Options, or what is wrong with the port. */
function optionsObject(dpif: Dpif, { portNo, type }: DpifPort): object {
  try {
    return { options: type === 'system' ? {} : dpif.portOptions(portNo) };
  } catch (error) {
    return { options: {}, error: (error as Error).message };
  }
}

/** Counters as numbers. */
function numbers(counters: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(counters).map(([name, value]) => [name, typeof value === 'bigint' ? Number(value) : value]),
  );
}

export async function cacheGetSize(context: DpctlContext, [name]: readonly string[]): Promise<void> {
  const use = (dpif: Dpif): void => {
    if (context.options.json) context.writeObject({ name: dpif.fullName, caches: caches(dpif) });
    else context.write(`${dpif.fullName}:\n${cacheLines(dpif)}`);
  };
  if (name === undefined) await forEachDatapath(context, use);
  else await withDatapath(context, name, use, `Opening datapath ${name} failed`);
}

export async function cacheSetSize(context: DpctlContext, args: readonly string[]): Promise<void> {
  const [name, cache, text] = args;
  const size = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(size <= U32_MAX)) return context.fail('size is malformed', EINVAL);
  await withDatapath(
    context,
    name,
    (dpif) => {
      const known = caches(dpif).map((found) => found.name);
      const level = known.indexOf(cache);
      if (known.length === 0) context.fail('Setting caches not supported', EOPNOTSUPP);
      else if (level < 0)
        context.fail(`Cache name "${cache}" not found on dpif`, EINVAL, `there is ${known.join(', ')}`);
      else setCacheSize(context, dpif, level, size);
    },
    `Opening datapath ${name} failed`,
  );
}

function setCacheSize(context: DpctlContext, dpif: Dpif, level: number, size: number): void {
  try {
    dpif.setCacheSize(level, size);
    context.write(`Setting cache size successful, new size ${dpif.cacheSize(level)}\n`);
  } catch (error) {
    context.fail('Setting cache size failed', error);
  }
}
