/*
 * `wdp bench lookup`: the whole in-memory path on the calling thread. A master ring of frames arrives on port 1, each frame copied out as a NIC would deliver
 * it; its key is extracted, hashed and found, and it goes out of port 2, which counts it. Every packet must hit.
 *
 * How it is measured. Flows are installed first, one round is verified to hit, and the datapath runs for a while unmeasured, at least
 * one round, until V8 has compiled the module with its better compiler. Then `repeat` windows of `seconds` each are timed around the calls
 * into the module and nothing else; the median window is reported, with the range. Afterwards each flow's packets are added up and must be
 * the hits that the datapath counted.
 */
import * as C from '../../assembly/constants.ts';
import { Datapath } from '../datapath/datapath.ts';
import type { ActionsHandle, MaskHandle } from '../datapath/handles.ts';
import type { DatapathStats } from '../datapath/stats.ts';
import { DatapathError, errnoError } from '../errors.ts';
import { tellTime } from '../wasm/clock.ts';
import { type FlowSums, sumFlows } from './flow-sums.ts';
import { MasterRing, ringSize } from './master-ring.ts';
import { type BenchReport, counted, grouped, medianBy, provenance, round, table } from './report.ts';
import { captureWorkload, type FrameOrder, frameOrder, generatedWorkload, type Workload } from './workload.ts';

export interface LookupOptions {
  /** Frames of a capture instead of generated ones. */
  pcap?: string | undefined;
  flows: number;
  subtables: number;
  emc: boolean;
  /** Entries of the cache, a power of two; default: at least the flows, as far as that is allowed. */
  emcEntries?: number | undefined;
  /** Length of a window. */
  seconds: number;
  /** Time unmeasured before the first window, s. */
  warmup: number;
  /** Windows. */
  repeat: number;
  /** What every flow does, as `ovs-dpctl` text or attributes; default: output to the port that counts, number 2. */
  actions?: string | undefined;
  order: FrameOrder;
  /** Of the order of the frames and of the datapath's hashes. */
  seed: number;
}

export interface LookupReport extends BenchReport {
  bench: 'lookup';
  /** In the reported window. */
  packets: number;
  mpps: number;
  mppsMin: number;
  mppsMax: number;
  /** Packets by the processor time of this process: differs from `mpps` when others had its core. */
  mppsOnCpu: number;
  nsPerPacket: number;
  windows: number;
  hits: { emc: number; megaflow: number };
  misses: number;
  /** What every flow does. */
  actions: string;
  /** Subtables visited a packet that the cache did not know. */
  subtablesPerHit: number;
  flows: number;
  subtables: number;
  frames: number;
  emc: boolean;
  emcEntries: number;
  order: FrameOrder;
  bytesPerFlow: number;
  /** Of this process: the flows, the cache, the master ring, Node.js. */
  residentBytes: number;
}

interface Window {
  seconds: number;
  cpuSeconds: number;
  packets: number;
  before: DatapathStats;
  after: DatapathStats;
}

const RX_PORT = 1;
const TX_PORT = 2;
/** Batches a call into the module, fewer where they take long. */
const BREATHS = 256;
const CALL_MS = 5;
const UPCALL_FRAMES = 64;
const MIB = 1048576;

/** Runs the benchmark. Throws DatapathError when a packet did not hit or was not counted. */
export async function runLookup(options: LookupOptions): Promise<LookupReport> {
  const workload = options.pcap === undefined ? generated(options) : await captureWorkload(options.pcap);
  const emcEntries = options.emcEntries ?? cacheFor(workload.count);
  await using datapath = await open(workload, emcEntries, options);
  const order = frameOrder(workload.count, options.order, options.seed);
  const { memory } = datapath;
  const ring = new MasterRing(memory, inOrder(workload, order), workload.count, workload.alignedSizes);
  await ring.addPort(datapath.ports, RX_PORT, 0);
  await datapath.ports.addType('out', 'null', {}, { portNo: TX_PORT });
  installFlows(datapath, workload, ring, order, options.actions ?? String(TX_PORT));

  const breaths = warmUp(datapath, workload.count, options.warmup);
  const forwards = options.actions === undefined;
  verify(datapath, forwards);
  const windows = Array.from({ length: options.repeat }, () => measure(datapath, options.seconds, breaths));
  const { checksum } = verify(datapath, forwards);
  return report(options, workload, emcEntries, windows, checksum);
}

function generated({ flows, subtables }: LookupOptions): Workload {
  if (subtables > flows) throw new RangeError(`${subtables} subtables need at least as many flows, not ${flows}`);
  return generatedWorkload(flows, subtables);
}

/** The next power of two, as far as the cache's limits go. */
function cacheFor(flows: number): number {
  return Math.min(C.EMC_ENTRIES_MAX, Math.max(C.EMC_ENTRIES_MIN, 2 ** Math.ceil(Math.log2(flows))));
}

function open(workload: Workload, emcEntries: number, { emc, seed }: LookupOptions): Promise<Datapath> {
  return Datapath.open({
    flows: workload.count,
    emc,
    emcEntries,
    upcallFrames: UPCALL_FRAMES,
    // blocks are rounded up by a quarter at most
    arenaSize: 64 * MIB + workload.count * 64 + Math.ceil(1.25 * ringSize(workload.count, workload.alignedSizes)),
    idleTimeoutMs: 0,
    seed: BigInt(seed),
  });
}

function* inOrder(workload: Workload, order: Uint32Array): Generator<Uint8Array> {
  for (const i of order) yield workload.frame(i);
}

/** Installs the flow of each frame in the order of the flows, which is not the order in which the frames come. */
function installFlows(
  datapath: Datapath,
  workload: Workload,
  ring: MasterRing,
  order: Uint32Array,
  text: string,
): void {
  const { memory } = datapath;
  const actions = datapath.actions(text);
  const masks = new MaskCache(datapath);
  const positions = new Uint32Array(order.length);
  order.forEach((frame, position) => {
    positions[frame] = position;
  });
  for (let i = 0; i < order.length; i++) {
    const { address, size } = ring.frame(positions[i]);
    const key = memory.wasm.extractKey(address, size, RX_PORT) >>> 0;
    const mask = masks.hold(workload.mask(i, memory.slice(key, C.KEY_SIZE)));
    putFlow(datapath, key, mask, actions);
  }
  masks.release();
  actions.release();
}

function putFlow(datapath: Datapath, key: number, mask: MaskHandle, actions: ActionsHandle): void {
  const flow = datapath.memory.wasm.putFlow(key, mask.address, actions.address, 0, 0, 0) >>> 0;
  if (flow < C.SUPERBLOCK) throw errnoError(flow, 'flow put');
}

/** Masks that are held: by the array they came in, or else by their bytes. */
class MaskCache {
  readonly #datapath: Datapath;
  readonly #byArray = new WeakMap<Uint8Array, MaskHandle>();
  readonly #byBytes = new Map<string, MaskHandle>();

  constructor(datapath: Datapath) {
    this.#datapath = datapath;
  }

  hold(mask: Uint8Array): MaskHandle {
    let held = this.#byArray.get(mask);
    if (held !== undefined) return held;
    const bytes = Buffer.from(mask).toString('latin1');
    held = this.#byBytes.get(bytes) ?? this.#datapath.mask(mask);
    this.#byBytes.set(bytes, held);
    this.#byArray.set(mask, held);
    return held;
  }

  release(): void {
    for (const held of this.#byBytes.values()) held.release();
  }
}

/** Runs unmeasured, a round and the given time at least. Returns the batches that a call of some milliseconds takes. */
function warmUp(datapath: Datapath, frames: number, seconds: number): number {
  const { memory } = datapath;
  const start = performance.now();
  let breaths = 1;
  const run = (packets: number): void => {
    for (let left = packets; left > 0; ) {
      tellTime(memory, memory.workerArea(0));
      const before = performance.now();
      left -= memory.wasm.poll(breaths);
      const callMs = performance.now() - before;
      if (callMs < CALL_MS / 2 && breaths < BREATHS) breaths *= 2;
      else if (callMs > CALL_MS * 2 && breaths > 1) breaths /= 2;
    }
  };
  run(frames);
  memory.wasm.sortSubtables();
  do run(frames);
  while (performance.now() - start < seconds * 1000);
  return breaths;
}

/** One window: nothing but polling between the two readings of the clock. */
function measure(datapath: Datapath, seconds: number, breaths: number): Window {
  const { memory } = datapath;
  const { wasm } = memory;
  const area = memory.workerArea(0);
  wasm.sortSubtables();
  const before = datapath.stats();
  const cpuBefore = process.cpuUsage();
  const start = performance.now();
  const end = start + seconds * 1000;
  let packets = 0;
  let now = start;
  do {
    tellTime(memory, area);
    packets += wasm.poll(breaths);
    now = performance.now();
  } while (now < end);
  const cpu = process.cpuUsage(cpuBefore);
  const cpuSeconds = (cpu.user + cpu.system) / 1e6;
  return { seconds: (now - start) / 1000, cpuSeconds, packets, before, after: datapath.stats() };
}

/** Everything so far was a hit, went out if that is all that flows do, and is counted in exactly one flow. */
function verify(datapath: Datapath, forwards: boolean): FlowSums {
  const { received, hits, misses, transmitted, drops, flows } = datapath.stats();
  const dropped = Object.values(drops).reduce((sum, count) => sum + count, 0);
  const sums = sumFlows(datapath.memory);
  const found = hits.emc + hits.megaflow;
  const lost = forwards && (dropped !== 0 || transmitted !== received);
  if (misses !== 0 || found !== received || lost) {
    throw new DatapathError(
      'ERR_OPERATION',
      `of ${received} packets ${found} hit, ${misses} missed, ${dropped} were dropped`,
    );
  }
  if (sums.flows !== flows || sums.packets !== found) {
    throw new DatapathError(
      'ERR_OPERATION',
      `${sums.flows} flows counted ${sums.packets} packets, the datapath ${flows} and ${found}`,
    );
  }
  return sums;
}

function report(
  options: LookupOptions,
  workload: Workload,
  emcEntries: number,
  windows: readonly Window[],
  checksum: string,
): LookupReport {
  const rate = ({ packets, seconds }: Window): number => packets / seconds / 1e6;
  const middle = medianBy(windows, rate);
  const { before, after, packets, seconds, cpuSeconds } = middle;
  const rates = windows.map(rate);
  const megaflow = after.hits.megaflow - before.hits.megaflow;
  const visits = after.subtableLookups - before.subtableLookups;
  return {
    bench: 'lookup',
    seconds: round(seconds, 3),
    packets,
    mpps: round(rate(middle), 4),
    mppsMin: round(Math.min(...rates), 4),
    mppsMax: round(Math.max(...rates), 4),
    mppsOnCpu: round(packets / cpuSeconds / 1e6, 4),
    nsPerPacket: round((seconds * 1e9) / packets, 2),
    windows: windows.length,
    hits: { emc: after.hits.emc - before.hits.emc, megaflow },
    misses: after.misses - before.misses,
    subtablesPerHit: megaflow === 0 ? 0 : round(visits / megaflow, 2),
    flows: after.flows,
    subtables: after.masks,
    frames: workload.count,
    emc: options.emc,
    emcEntries,
    order: options.order,
    actions: options.actions ?? String(TX_PORT),
    bytesPerFlow: round(after.memory.flowTable / after.flows, 1),
    residentBytes: process.memoryUsage.rss(),
    checksum,
    ...provenance(),
  };
}

/** The report as a table for people. */
export function lookupTable(report: LookupReport): string {
  const { hits, packets } = report;
  const share = (count: number): string => `${grouped(count)} (${((100 * count) / packets).toFixed(1)} %)`;
  const cache = report.emc ? `cache of ${grouped(report.emcEntries)} entries` : 'no cache';
  const title = `lookup: ${counted(report.flows, 'flow')}, ${counted(report.subtables, 'subtable')}, ${cache}, ${report.order} frames, actions ${report.actions}`;
  const rows = [
    [
      'Mpps',
      `${report.mpps.toFixed(2)} (${report.mppsMin.toFixed(2)} - ${report.mppsMax.toFixed(2)} in ${counted(report.windows, 'window')})`,
    ],
    ['Mpps on CPU', report.mppsOnCpu.toFixed(2)],
    ['ns a packet', report.nsPerPacket.toFixed(1)],
    ['packets', `${grouped(packets)} in ${report.seconds.toFixed(2)} s`],
    ['cache hits', share(hits.emc)],
    ['megaflow hits', `${share(hits.megaflow)}, ${report.subtablesPerHit} subtables visited each`],
    ['misses', grouped(report.misses)],
    ['bytes a flow', report.bytesPerFlow.toFixed(1)],
    ['resident', `${grouped(report.residentBytes / MIB)} MiB, with the master ring and Node.js`],
  ] as const;
  return table(title, rows, report);
}
