/*
 * `wdp bench flow-setup`: how many new flows a second. Every packet belongs to a flow of its own: it misses, its upcall goes through the ring, a table
 * of sixteen rules decides it (bench/setup-rules.ts), its flow is installed under an exact mask, and the packet goes out of a port that counts it.
 *
 * How it is measured. `flows` frames are replayed once, which is a round; the flow table is flushed between rounds. The first round is not measured (V8
 * compiles, memory is touched for the first time); of the `repeat` others the median is reported, with the range. The load is
 * closed-loop: a batch is received when fewer upcalls than the window are waiting, so the rate is what is sustained with nothing lost. A last
 * pass over the same frames must hit the installed flows, every one.
 *
 * Latency: from before the batch is received to when its packets have been executed; a batch (32 packets on the thread that receives, 64 upcalls
 * in JavaScript) counts as a whole, so each figure is an upper bound.
 */
import * as C from '../../assembly/constants.ts';
import { Datapath } from '../datapath/datapath.ts';
import type { DatapathStats } from '../datapath/stats.ts';
import { DatapathError } from '../errors.ts';
import { exactMask } from '../odp/index.ts';
import { flowTuple, udpFrame } from '../ports/frames.ts';
import type { UpcallBatch } from '../upcall/batch.ts';
import type { UpcallHandler } from '../upcall/handler.ts';
import { RuleTable } from '../upcall/rule-table.ts';
import { realtimeNs, tellTime } from '../wasm/clock.ts';
import { sumFlows } from './flow-sums.ts';
import { Histogram, type Percentiles } from './histogram.ts';
import { alignedSize, MasterRing, ringSize } from './master-ring.ts';
import { type BenchReport, counted, grouped, medianBy, provenance, round, table } from './report.ts';
import { SetupPool } from './setup-pool.ts';
import { LinearHandler, setupRules } from './setup-rules.ts';

export interface FlowSetupOptions {
  flows: number;
  /** Who decides: the rule table in WASM, or the same table in JavaScript. */
  handler: 'wasm' | 'js';
  /** 0: everything on the calling thread. 1: a pool thread polls; the JavaScript handler stays on the calling thread. */
  workers: 0 | 1;
  /** Rounds measured. */
  repeat: number;
  /** With a pool thread: upcalls that may wait before it receives more. */
  window: number;
  /** Upcalls that fit the ring, a power of two. */
  upcallFrames: number;
  /** Of the datapath's hashes. */
  seed: number;
}

export interface FlowSetupReport extends BenchReport {
  bench: 'flow-setup';
  handler: 'wasm' | 'js';
  workers: 0 | 1;
  rules: number;
  /** In the reported round. */
  setups: number;
  setupsPerSecond: number;
  setupsPerSecondMin: number;
  setupsPerSecondMax: number;
  rounds: number;
  latencyUs: Percentiles;
  /** Packets of all measured rounds that did not go out. */
  lost: number;
  flows: number;
  window: number;
  upcallFrames: number;
  bytesPerFlow: number;
  /** Of this process: the flows, the rings, Node.js. */
  residentBytes: number;
}

interface Round {
  seconds: number;
  setups: number;
  lost: number;
  latencyUs: Percentiles;
}

const RX_PORT = 1;
const TX_PORT = 2;
const FRAME_SIZE = 60;
const MIB = 1048576;
/** Batches that the calling thread receives before its JavaScript handler answers: as many upcalls as one batch of them holds. */
const BREATHS_JS = C.UPCALL_TAKE_MAX / C.BATCH_MAX;

/** Runs the benchmark. Throws DatapathError when a packet was not accounted for or a flow is missing. */
export async function runFlowSetup(options: FlowSetupOptions): Promise<FlowSetupReport> {
  if (options.window + C.BATCH_MAX > options.upcallFrames) {
    throw new RangeError(
      `a window of ${options.window} upcalls and a batch do not fit a ring of ${options.upcallFrames}`,
    );
  }
  await using datapath = await open(options);
  const { memory } = datapath;
  const ring = new MasterRing(memory, frames(options.flows), options.flows, options.flows * alignedSize(FRAME_SIZE));
  await ring.addPort(datapath.ports, RX_PORT, options.workers);
  await datapath.ports.addType('out', 'null', {}, { portNo: TX_PORT });
  const setup = new Setup(datapath, ring, options);
  try {
    await datapath.onUpcall(setup.handler);
    const rounds: Round[] = [];
    await setup.round();
    for (let i = 0; i < options.repeat; i++) {
      datapath.flows.flush();
      rounds.push(await setup.round());
    }
    const before = datapath.stats();
    await setup.secondPass();
    return report(options, rounds, before, sumFlows(memory).checksum);
  } finally {
    await setup.close();
  }
}

function open({ flows, workers, upcallFrames, seed }: FlowSetupOptions): Promise<Datapath> {
  const ring = ringSize(flows, flows * alignedSize(FRAME_SIZE));
  return Datapath.open({
    flows,
    workers,
    upcallFrames,
    // blocks are rounded up by a quarter at most
    arenaSize: 64 * MIB + flows * 64 + Math.ceil(1.25 * ring),
    idleTimeoutMs: 0,
    seed: BigInt(seed),
  });
}

function* frames(count: number): Generator<Uint8Array> {
  for (let i = 0; i < count; i++) yield udpFrame(flowTuple(i), FRAME_SIZE);
}

/** The rounds, by handler and thread. */
class Setup {
  readonly handler: UpcallHandler;
  readonly #datapath: Datapath;
  readonly #ring: MasterRing;
  readonly #options: FlowSetupOptions;
  readonly #pool: SetupPool | undefined;
  readonly #latencies: Histogram;
  readonly #observer: BatchObserver | undefined;

  constructor(datapath: Datapath, ring: MasterRing, options: FlowSetupOptions) {
    this.#datapath = datapath;
    this.#ring = ring;
    this.#options = options;
    this.#pool = options.workers === 1 ? new SetupPool(datapath.memory) : undefined;
    const { address, size } = ring.frame(0);
    const { memory } = datapath;
    const exact = exactMask(memory.copy(memory.wasm.extractKey(address, size, RX_PORT) >>> 0, C.KEY_SIZE));
    if (options.handler === 'wasm') {
      this.handler = new RuleHandler(exact);
      this.#latencies = new Histogram(this.#pool?.latencies);
    } else {
      this.#latencies = new Histogram();
      const observer = this.#pool === undefined ? undefined : new BatchObserver(this.#latencies);
      this.handler = new LinearHandler(setupRules(), exact, (batch) => observer?.begin(batch));
      this.#observer = observer;
    }
  }

  /** Replays the frames once; the flow table was empty. */
  async round(): Promise<Round> {
    const { flows } = this.#options;
    const before = this.#datapath.stats();
    this.#ring.rewind(1);
    this.#latencies.clear();
    const ms = this.#pool === undefined ? this.#here() : await this.#inPool(this.#pool);
    const after = this.#datapath.stats();
    const transmitted = after.transmitted - before.transmitted;
    const setups = after.installed - before.installed;
    verifyRound(before, after, flows);
    return { seconds: ms / 1000, setups, lost: flows - transmitted, latencyUs: this.#latencies.percentilesUs() };
  }

  /** Everything on this thread. */
  #here(): number {
    const { memory } = this.#datapath;
    const { wasm } = memory;
    const area = memory.workerArea(0);
    const start = performance.now();
    let now = start;
    while (!this.#ring.done) {
      const before = now;
      let received: number;
      if (this.#options.handler === 'wasm') {
        tellTime(memory, area);
        received = wasm.poll(1);
      } else {
        received = this.#datapath.poll(BREATHS_JS);
      }
      now = performance.now();
      this.#latencies.add((now - before) * 1e6, received);
    }
    return now - start;
  }

  async #inPool(pool: SetupPool): Promise<number> {
    const { window, handler } = this.#options;
    const task = { slot: 1, window, doneWord: this.#ring.doneWord };
    if (handler === 'wasm') return pool.round(task);
    const ms = await pool.round(task, () => {
      this.#datapath.poll();
    });
    this.#observer?.end();
    return ms;
  }

  /** The frames once more: now every one must hit. */
  async secondPass(): Promise<void> {
    const before = this.#datapath.stats();
    this.#ring.rewind(1);
    if (this.#pool === undefined) while (!this.#ring.done) this.#datapath.poll();
    else await this.#inPool(this.#pool);
    const after = this.#datapath.stats();
    const hits = after.hits.emc - before.hits.emc + after.hits.megaflow - before.hits.megaflow;
    const { flows } = this.#options;
    const { packets } = sumFlows(this.#datapath.memory);
    if (hits === flows && packets === flows) return;
    throw new DatapathError(
      'ERR_OPERATION',
      `of ${flows} flows set up ${hits} were hit and ${packets} packets counted afterwards`,
    );
  }

  async close(): Promise<void> {
    await this.#pool?.close();
  }
}

/** Every packet missed, and was answered or is among the drops. */
function verifyRound(before: DatapathStats, after: DatapathStats, flows: number): void {
  const missed = after.misses - before.misses;
  const received = after.received - before.received;
  const dropped =
    Object.values(after.drops).reduce((sum, count) => sum + count, 0) -
    Object.values(before.drops).reduce((sum, count) => sum + count, 0);
  const transmitted = after.transmitted - before.transmitted;
  if (received === flows && missed === flows && transmitted + dropped === flows) return;
  throw new DatapathError(
    'ERR_OPERATION',
    `of ${flows} packets ${received} came, ${missed} missed, ${transmitted} went out, ${dropped} were dropped`,
  );
}

/** Decides in WASM, on the thread that polls. */
class RuleHandler implements UpcallHandler {
  readonly name = 'rules';
  readonly answersInWorkers = true;
  readonly #exact: Uint8Array;
  #table: RuleTable | undefined;

  constructor(exact: Uint8Array) {
    this.#exact = exact;
  }

  attach(datapath: Datapath): void {
    this.#table = new RuleTable(datapath.memory, setupRules(), this.#exact);
    this.#table.install();
  }

  handle(): void {
    throw new DatapathError('ERR_HANDLER', 'the rules of the benchmark are decided by the workers');
  }

  close(): void {
    this.#table?.release();
  }
}

/** Latencies of upcalls from a pool thread: a batch has been executed when the handler is given the next. */
class BatchObserver {
  readonly #latencies: Histogram;
  readonly #receivedNs = new Float64Array(C.UPCALL_TAKE_MAX);
  #count = 0;

  constructor(latencies: Histogram) {
    this.#latencies = latencies;
  }

  begin(batch: UpcallBatch): void {
    this.end();
    this.#count = batch.count;
    for (let i = 0; i < batch.count; i++) this.#receivedNs[i] = batch.timeNs(i);
  }

  end(): void {
    const now = realtimeNs();
    let same = 0;
    for (let i = 0; i < this.#count; i++) {
      same++;
      if (i + 1 < this.#count && this.#receivedNs[i + 1] === this.#receivedNs[i]) continue;
      this.#latencies.add(now - this.#receivedNs[i], same);
      same = 0;
    }
    this.#count = 0;
  }
}

function report(
  options: FlowSetupOptions,
  rounds: readonly Round[],
  stats: DatapathStats,
  checksum: string,
): FlowSetupReport {
  const rate = ({ setups, seconds }: Round): number => setups / seconds;
  const middle = medianBy(rounds, rate);
  const rates = rounds.map(rate);
  const { p50, p99, max } = middle.latencyUs;
  return {
    bench: 'flow-setup',
    handler: options.handler,
    workers: options.workers,
    rules: setupRules().length,
    seconds: round(middle.seconds, 4),
    setups: middle.setups,
    setupsPerSecond: Math.round(rate(middle)),
    setupsPerSecondMin: Math.round(Math.min(...rates)),
    setupsPerSecondMax: Math.round(Math.max(...rates)),
    rounds: rounds.length,
    latencyUs: { p50: round(p50, 1), p99: round(p99, 1), max: round(max, 1) },
    lost: rounds.reduce((sum, { lost }) => sum + lost, 0),
    flows: stats.flows,
    window: options.window,
    upcallFrames: options.upcallFrames,
    bytesPerFlow: round(stats.memory.flowTable / stats.flows, 1),
    residentBytes: process.memoryUsage.rss(),
    checksum,
    ...provenance(),
  };
}

/** The report as a table for people. */
export function flowSetupTable(report: FlowSetupReport): string {
  const { latencyUs, setupsPerSecondMin: low, setupsPerSecondMax: high } = report;
  const where = report.workers === 0 ? 'on the calling thread' : 'a pool thread polls';
  const title = `flow-setup: ${counted(report.flows, 'flow')}, ${report.rules} rules decided in ${report.handler === 'js' ? 'JavaScript' : 'WASM'}, ${where}`;
  const rows = [
    [
      'setups a second',
      `${grouped(report.setupsPerSecond)} (${grouped(low)} - ${grouped(high)} in ${counted(report.rounds, 'round')})`,
    ],
    ['setups', `${grouped(report.setups)} in ${report.seconds.toFixed(3)} s`],
    ['latency, us', `p50 ${latencyUs.p50}, p99 ${latencyUs.p99}, max ${latencyUs.max}`],
    ['lost', grouped(report.lost)],
    ['bytes a flow', report.bytesPerFlow.toFixed(1)],
    ['resident', `${grouped(report.residentBytes / MIB)} MiB, with the master ring and Node.js`],
  ] as const;
  return table(title, rows, report);
}
