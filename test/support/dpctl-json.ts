/*
 * What a control command prints with --json, held against the text that ovs-dpctl prints for the same: every number and every name of the text must be in the
 * objects, and follow from them.
 *
 * For tests only.
 */
import { expect } from 'vitest';
import { ctText, limitsText } from '../../src/dpctl/ct-text.ts';
import { statsObject, statsText } from '../../src/dpctl/flow-text.ts';
import type { CtEntry, CtLimit, FlowStats } from '../../src/dpif/types.ts';
import { parseHexBytes } from '../../src/odp/hex.ts';
import {
  decodeActions,
  decodeMatch,
  decodeMatchAttributes,
  encodeActions,
  parseActions,
  parseKeyAttributes,
} from '../../src/odp/index.ts';
import { jsonText } from '../../src/odp/json.ts';

type Counters = Record<string, number>;

/** What is told of a datapath. */
interface Shown {
  name: string;
  type: string;
  hits: number;
  missed: number;
  lost: number;
  flows: number;
  masks: number;
  maskHits: number;
  /** Linux 6.2 and later tell. */
  cacheHits?: number;
  caches: { name: string; size: number }[];
  ports: { portNo: number; name: string; type: string; options: Record<string, string>; stats?: Counters }[];
}

/** Fails unless `json`, what `words` print with --json, says what `text` says. */
export function expectSameInJson(words: readonly string[], json: string, text: string): void {
  const objects = json
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as object);
  const line = `--json ${words.join(' ')}`;
  const command = words.find((word) => word in TEXTS);
  if (command !== undefined) expect(TEXTS[command](objects as never[]), line).toBe(comparable(text));
  else expect(objects.map(withoutTime), line).toEqual(text.split('\n').filter(Boolean).map(flowOf).map(withoutTime));
}

/** Two commands, one after the other, tell other times. */
function comparable(text: string): string {
  return text
    .replaceAll(/ \([\d.]+ .iB\)/g, '')
    .replaceAll(/timeout=\d+/g, 'timeout=N')
    .replaceAll(/used:\d+\.\d{3}s/g, 'used:N');
}

/** Nor does the text tell a recirc_id of zero that is matched from one that is not. */
function withoutTime(flow: object): object {
  const { used, match } = flow as { used: number | null; match: { recircId?: number } };
  const { recircId, ...rest } = match;
  return { ...flow, used: used === null ? null : 'N', match: { ...rest, recircId: recircId || undefined } };
}

/** Texts that follow from the objects alone. */
const TEXTS: { readonly [command: string]: (objects: never[]) => string } = {
  'dump-dps': (all: Shown[]) => all.map(({ name }) => `${name}\n`).join(''),
  show: (all: Shown[]) => all.map(shownText).join(''),
  'cache-get-size': (all: Shown[]) => all.map(({ name, caches }) => `${name}:\n${cacheText(caches)}`).join(''),
  'mod-flow': (all: (FlowStats & { used: number | null })[]) =>
    all.map((stats) => `${comparable(statsText({ ...stats, usedMs: stats.used === null ? 0n : 1n }, 1))}\n`).join(''),
  'dump-conntrack': (all: CtEntry[]) =>
    all
      .map((entry) => ctText(typed(entry), { verbose: false, statistics: true }))
      .map((connection) => `${comparable(connection)}\n`)
      .join(''),
  'ct-get-limits': (all: { limits: CtLimit[] }[]) => all.map(({ limits }) => `${limitsText(limits)}\n`).join(''),
  'ct-stats-show': (all: Counters[]) => all.map(connectionsText).join(''),
};

/** Bytes are strings in JSON. */
function typed(value: CtEntry): CtEntry {
  const bytes = ['src', 'dst', 'labels'];
  return JSON.parse(JSON.stringify(value), (name, part: unknown) =>
    bytes.includes(name) && typeof part === 'string' ? parseHexBytes(part) : part,
  ) as CtEntry;
}

function shownText({ name, hits, missed, lost, flows, masks, maskHits, cacheHits, caches, ports }: Shown): string {
  const share = (count: number): number => (hits + missed === 0 ? 0 : count / (hits + missed));
  const lines = ports.map(({ portNo, name, type, options, stats }) => {
    const texts = Object.entries(options)
      .sort()
      .map(([key, value], i) => `${i === 0 ? ':' : ','} ${key}=${value}`);
    const kind = type === 'system' ? '' : ` (${type}${texts.join('')})`;
    return `  port ${portNo}: ${name}${kind}\n${stats === undefined ? '' : portStatsText(stats)}`;
  });
  return (
    `${name}:\n  lookups: hit:${hits} missed:${missed} lost:${lost}\n  flows: ${flows}\n` +
    `  masks: hit:${maskHits} total:${masks} hit/pkt:${share(maskHits).toFixed(2)}\n` +
    (cacheHits === undefined ? '' : `  cache: hit:${cacheHits} hit-rate:${(100 * share(cacheHits)).toFixed(2)}%\n`) +
    cacheText(caches) +
    lines.join('')
  );
}

const cacheText = (caches: Shown['caches']): string =>
  `  caches:\n${caches.map(({ name, size }) => `    ${name}: size:${size}\n`).join('')}`;

function portStatsText(s: Counters): string {
  return (
    `    RX packets:${s.rxPackets} errors:${s.rxErrors} dropped:${s.rxDropped} overruns:${s.rxOverErrors} frame:${s.rxFrameErrors}\n` +
    `    TX packets:${s.txPackets} errors:${s.txErrors} dropped:${s.txDropped} aborted:${s.txAbortedErrors} carrier:${s.txCarrierErrors}\n` +
    `    collisions:${s.collisions}\n    RX bytes:${s.rxBytes}  TX bytes:${s.txBytes}\n`
  );
}

function connectionsText(stats: Counters): string {
  const names = ['TCP', 'UDP', 'ICMP'].filter((name) => (stats[name.toLowerCase()] ?? 0) > 0);
  return `Connections Stats:\n    Total: ${stats.total}\n${names.map((name) => `  ${name}: ${stats[name.toLowerCase()]}\n`).join('')}`;
}

/** The object of a line of dump-flows. */
function flowOf(line: string): object {
  const [, ufid, key, packets, bytes, used, flags, actions] = FLOW.exec(line)!;
  const { key: flat, mask } = decodeMatchAttributes(parseKeyAttributes(key).key, parseKeyAttributes(key).mask);
  const usedMs = used === 'never' ? 0n : 1n;
  const stats = { packets: BigInt(packets), bytes: BigInt(bytes), usedMs, tcpFlags: flagsOf(flags) };
  const object = {
    ...(ufid && { ufid }),
    match: decodeMatch(flat, mask),
    ...statsObject(stats, 1),
    ...{ offloaded: false, dpLayer: 'ovs' },
    actions: decodeActions(encodeActions(parseActions(actions, { likeDpctl: true }))),
  };
  return JSON.parse(jsonText(object)) as object;
}

/** With -m, because what is not matched belongs to some keys all the same. */
const FLOW =
  /^(?:(ufid:\S+), )?(.*), packets:(\d+), bytes:(\d+), used:(never|\S+?)(?:, flags:(\S+))?, dp:ovs, actions:(.*)$/;
const FLAG_BITS: Readonly<Record<string, number>> = { F: 1, S: 2, R: 4, P: 8, '.': 16, U: 32, E: 64, C: 128 };

function flagsOf(text = ''): number {
  return [...text].reduce((bits, letter) => bits | FLAG_BITS[letter], 0);
}
