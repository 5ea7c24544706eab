/*
 * What a control command prints with --json, held against the text that ovs-dpctl prints for the same: every number and every name of the text must be in the
 * objects, and follow from them.
 *
 * For tests only.
 */
import { expect } from 'vitest';
import { limitsText } from '../../src/dpctl/ct-text.ts';
import { statsObject, statsText } from '../../src/dpctl/flow-text.ts';
import type { CtLimit, FlowStats } from '../../src/dpif/types.ts';
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

interface Tuple {
  src: string;
  dst: string;
  srcPort?: number;
  dstPort?: number;
  icmpId?: number;
  icmpType?: number;
  icmpCode?: number;
}

/** What is told of a tracked connection. */
export interface Connection {
  protocol: string;
  origin: Tuple;
  reply: Tuple;
  parent?: Tuple;
  zone: number;
  id?: number;
  status?: string[];
  timeoutS?: number;
  mark?: number;
  labels?: string;
  tcp?: { state: string; windowScale: [number, number]; flags: [string[], string[]] };
  sctp?: { state: string; tags: [number, number] };
  helper?: string;
  counters?: { origin: Counters; reply: Counters };
  startNs?: string;
  stopNs?: string;
}

/** Fails unless `json`, what `words` print with --json, says what `text` says. */
export function expectSameInJson(words: readonly string[], json: string, text: string): void {
  const objects = json
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as object);
  const line = `--json ${words.join(' ')}`;
  const command = words.find((word) => word in TEXTS);
  const isVerbose = words.some((word) => /^-\w*m/.test(word) || word === '--more');
  if (command !== undefined) expect(TEXTS[command](objects as never[], isVerbose), line).toBe(comparable(text));
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
const TEXTS: { readonly [command: string]: (objects: never[], isVerbose: boolean) => string } = {
  'dump-dps': (all: Shown[]) => all.map(({ name }) => `${name}\n`).join(''),
  show: (all: Shown[]) => all.map(shownText).join(''),
  'cache-get-size': (all: Shown[]) => all.map(({ name, caches }) => `${name}:\n${cacheText(caches)}`).join(''),
  'mod-flow': (all: (FlowStats & { used: number | null })[]) =>
    all.map((stats) => `${comparable(statsText({ ...stats, usedMs: stats.used === null ? 0n : 1n }, 1))}\n`).join(''),
  'dump-conntrack': (all: Connection[], isVerbose) =>
    all.map((connection) => `${comparable(connectionText(connection, isVerbose))}\n`).join(''),
  'ct-get-limits': (all: { limits: CtLimit[] }[]) => all.map(({ limits }) => `${limitsText(limits)}\n`).join(''),
  'ct-stats-show': (all: Counters[]) => all.map(connectionsText).join(''),
};

/** The line of a connection with -s, and, when it is verbose, with -m. */
export function connectionText(connection: Connection, isVerbose: boolean): string {
  const {
    protocol,
    origin,
    reply,
    counters,
    zone,
    timeoutS,
    mark,
    labels,
    id,
    status,
    tcp,
    sctp,
    helper,
    parent,
    startNs,
    stopNs,
  } = connection;
  const direction = (tuple: Tuple, counted?: Counters): string => {
    const isCounted = counted !== undefined && counted.packets + counted.bytes > 0;
    return `(${tupleText(tuple)}${isCounted ? `,packets=${counted.packets},bytes=${counted.bytes}` : ''})`;
  };
  const flags = (names: string[] = []): string => names.join('|') || '0';
  const parts = [protocol, `orig=${direction(origin, counters?.origin)}`, `reply=${direction(reply, counters?.reply)}`];
  const add = (condition: unknown, part: string): void => void (condition && parts.push(part));
  add(startNs, `start=${timeText(startNs)}`);
  add(stopNs, `stop=${timeText(stopNs)}`);
  add(isVerbose, `id=${id}`);
  add(zone, `zone=${zone}`);
  add(isVerbose, `status=${flags(status)}`);
  parts.push(`timeout=${timeoutS ?? 0}`);
  add(mark, `mark=${mark}`);
  add(labels !== undefined && labels !== '0', `labels=${labels}`);
  const scales = tcp?.windowScale ?? [0, 0];
  const scaleText = scales.some(Boolean) ? `,wscale_orig=${scales[0]},wscale_reply=${scales[1]}` : '';
  const coalesced = ({ FIN_WAIT_2: 'TIME_WAIT', SYN_RECV: 'ESTABLISHED' } as Record<string, string>)[tcp?.state ?? ''];
  add(tcp && !isVerbose, `protoinfo=(state=${coalesced ?? tcp?.state})`);
  add(
    tcp && isVerbose,
    `protoinfo=(state_orig=${tcp?.state},state_reply=${tcp?.state}${scaleText},flags_orig=${flags(tcp?.flags[0])},flags_reply=${flags(tcp?.flags[1])})`,
  );
  add(sctp, `protoinfo=(state=${sctp?.state},vtag_orig=${sctp?.tags[0]},vtag_reply=${sctp?.tags[1]})`);
  add(helper, `helper=${helper}`);
  if (isVerbose && parent) parts.push(`parent=(${tupleText(parent)})`);
  return parts.join();
}

/** Of nanoseconds since 1970, in local time. */
function timeText(ns = '0'): string {
  const date = new Date(Number(BigInt(ns) / 1_000_000n));
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, -1);
}

function tupleText({ src, dst, srcPort, dstPort, icmpId, icmpType, icmpCode }: Tuple): string {
  const rest =
    srcPort === undefined ? `id=${icmpId},type=${icmpType},code=${icmpCode}` : `sport=${srcPort},dport=${dstPort}`;
  return `src=${src},dst=${dst},${rest}`;
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
  const at = (name: string): number | string => s[name] ?? '?';
  return (
    `    RX packets:${at('rxPackets')} errors:${at('rxErrors')} dropped:${at('rxDropped')} overruns:${at('rxOverErrors')} frame:${at('rxFrameErrors')}\n` +
    `    TX packets:${at('txPackets')} errors:${at('txErrors')} dropped:${at('txDropped')} aborted:${at('txAbortedErrors')} carrier:${at('txCarrierErrors')}\n` +
    `    collisions:${at('collisions')}\n    RX bytes:${at('rxBytes')}  TX bytes:${at('txBytes')}\n`
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
