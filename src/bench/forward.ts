/*
 * `wdp bench forward`: a datapath of two ports over real interfaces, one in, one out, nothing else. Somebody else sends and counts what arrives:
 * bench/forward has a generator with a sink, and a plain C forwarder to hold the figures against.
 *
 * How it is measured. One worker polls both ports; a rule decides the first packet, and all others hit its flow. The window begins with the first packet and
 * is `seconds` long. Busy time is by the clock, that of the rounds that received something: where neighbours have the worker's core, theirs is in it. Afterwards every packet must be accounted for, or the benchmark fails. Main thread, and a worker.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Datapath } from '../datapath/datapath.ts';
import { allHits, type DatapathStats, receiveDrops } from '../datapath/stats.ts';
import { DatapathError } from '../errors.ts';
import { AfXdpPort } from '../ports/afxdp.ts';
import { parseRules, staticRules } from '../upcall/static.ts';
import { sumFlows } from './flow-sums.ts';
import { type BenchReport, grouped, provenance, round, table } from './report.ts';

export interface ForwardOptions {
  /** Interfaces. */
  rx: string;
  tx: string;
  type: 'afpacket' | 'afxdp';
  /** Options of both ports, as a SPEC has them: `tx=socket`. */
  portOptions?: string | undefined;
  /** Length of the window, from the first packet on. */
  seconds: number;
  /** So long the first packet is waited for, s. */
  wait: number;
  /** CPU of the worker; undefined: any. */
  cpu?: number | undefined;
}

export interface ForwardReport extends BenchReport {
  bench: 'forward';
  rx: string;
  tx: string;
  type: 'afpacket' | 'afxdp';
  /** What the port of `rx` is: the kernel's ring, and its mode. */
  backend: string;
  /** Packets of the window that came in by `rx`, went out by `tx`, and were dropped: by the datapath, and before that by the kernel because the ring was full. */
  received: number;
  forwarded: number;
  dropped: number;
  kernelDrops: number;
  /** Forwarded a second. */
  pps: number;
  /** Time in rounds that received something, a packet. */
  busyNsPerPacket: number;
  /** The same, a second of the window: 1 is a worker that is never idle. */
  busyShare: number;
}

interface Reading {
  atMs: number;
  stats: DatapathStats;
  received: number;
  forwarded: number;
  dropped: number;
  kernelDrops: number;
}

const RX_PORT = 1;
const TX_PORT = 2;
const RULES = `in_port(${RX_PORT}) actions:${TX_PORT}\nin_port(${TX_PORT}) actions:${RX_PORT}`;
const WORKER = 1;
/** How often is looked for the first packet. */
const LOOK_MS = 2;
const MS = 1000;

/** Runs the benchmark; `onReady` is called when packets may come. Throws ERR_OPERATION when none came or one is unaccounted for. */
export async function runForward(options: ForwardOptions, onReady: () => void = () => {}): Promise<ForwardReport> {
  const affinity = options.cpu === undefined ? [] : [options.cpu];
  await using datapath = await Datapath.open({ workers: 1, affinity, idleTimeoutMs: 0 });
  const extra = options.portOptions === undefined ? '' : `,${options.portOptions}`;
  const spec = (name: string): string => `${name},type=${options.type}${extra}`;
  await datapath.ports.addSpec(spec(options.rx), { portNo: RX_PORT });
  await datapath.ports.addSpec(spec(options.tx), { portNo: TX_PORT });
  await datapath.onUpcall(staticRules(parseRules(RULES, 'bench forward'), 'bench forward'));
  await datapath.start();
  onReady();
  await firstPacket(datapath, options);
  const before = read(datapath);
  await sleep(options.seconds * MS);
  const after = read(datapath);
  await datapath.stop();
  verify(datapath.stats());
  return report(options, datapath, before, after);
}

async function firstPacket(datapath: Datapath, { rx, wait }: ForwardOptions): Promise<void> {
  const deadline = performance.now() + wait * MS;
  while (datapath.ports.get(RX_PORT)?.stats().rxPackets === 0) {
    if (performance.now() > deadline)
      throw new DatapathError('ERR_OPERATION', `bench forward: no packet came in by ${rx} within ${wait} s`);
    await sleep(LOOK_MS);
  }
}

function read(datapath: Datapath): Reading {
  const stats = datapath.stats();
  const [rx, tx] = [RX_PORT, TX_PORT].map((portNo) => datapath.ports.get(portNo));
  return {
    atMs: performance.now(),
    stats,
    received: rx?.stats().rxPackets ?? 0,
    forwarded: tx?.stats().txPackets ?? 0,
    dropped: Object.values(stats.drops).reduce((sum, count) => sum + count, 0),
    kernelDrops: rx?.kernelDrops ?? 0,
  };
}

/** The first of the equations of DatapathStats. */
function verify({ received, recirculated, segmented, hits, misses, drops }: DatapathStats): void {
  const inward = received + recirculated + segmented;
  const found = allHits(hits) + misses + receiveDrops(drops);
  if (inward !== found)
    throw new DatapathError('ERR_OPERATION', `bench forward: of ${inward} packets ${found} are accounted for`);
}

function report(options: ForwardOptions, datapath: Datapath, before: Reading, after: Reading): ForwardReport {
  const seconds = (after.atMs - before.atMs) / MS;
  const received = after.received - before.received;
  const forwarded = after.forwarded - before.forwarded;
  const busyNs = after.stats.busyNs[WORKER] - before.stats.busyNs[WORKER];
  if (forwarded === 0) throw new DatapathError('ERR_OPERATION', `bench forward: nothing went out by ${options.tx}`);
  return {
    bench: 'forward',
    rx: options.rx,
    tx: options.tx,
    type: options.type,
    backend: backendOf(datapath),
    seconds: round(seconds, 3),
    received,
    forwarded,
    dropped: after.dropped - before.dropped,
    kernelDrops: after.kernelDrops - before.kernelDrops,
    pps: Math.round(forwarded / seconds),
    busyNsPerPacket: round(busyNs / received, 1),
    busyShare: round(busyNs / 1e9 / seconds, 3),
    checksum: sumFlows(datapath.memory).checksum,
    ...provenance(),
  };
}

function backendOf(datapath: Datapath): string {
  const port = datapath.ports.get(RX_PORT);
  return port instanceof AfXdpPort ? `afxdp ${port.mode}` : 'afpacket';
}

/** The report as a table for people. */
export function forwardTable(report: ForwardReport): string {
  const title = `forward: ${report.rx} to ${report.tx}, ${report.backend}`;
  const rows = [
    ['packets/s', grouped(report.pps)],
    ['busy ns a packet', `${report.busyNsPerPacket.toFixed(0)}, ${(100 * report.busyShare).toFixed(0)} % of the time`],
    ['received', `${grouped(report.received)} in ${report.seconds.toFixed(2)} s`],
    ['forwarded', grouped(report.forwarded)],
    ['dropped', `${grouped(report.dropped)}, and by the kernel ${grouped(report.kernelDrops)}`],
  ] as const;
  return table(title, rows, report);
}
