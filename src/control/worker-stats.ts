/*
 * What each thread of a datapath counted, and since when: the numbers behind dpif-netdev/pmd-*. Before it: pmd-commands.ts. After it: the counters in
 * worker areas, which only their threads write; a reading may be some packets apart from one counter to the next.
 *
 * Clearing keeps what was counted till then and subtracts it, as in Open vSwitch: counters in memory only grow. Owner thread.
 */
import * as C from '../../assembly/constants.ts';
import type { Datapath } from '../datapath/datapath.ts';
import { cpuOf } from '../worker/affinity.ts';

/** Upcalls that the thread itself could not queue; what handlers lose later is not the thread's. */
const FAILED_UPCALLS = [
  C.DROP_UPCALL_RING_FULL,
  C.DROP_UPCALL_PORT_SHARE,
  C.DROP_UPCALL_NO_HANDLER,
  C.DROP_UPCALL_TOO_LONG,
];

export interface WorkerStats {
  /** 0: the owner thread. */
  readonly worker: number;
  /** The CPU it stays on, undefined when it may be on any. */
  readonly cpu: number | undefined;
  /** Since the counters began, or were cleared. */
  readonly seconds: number;
  readonly received: number;
  readonly recirculated: number;
  readonly emcHits: number;
  readonly megaflowHits: number;
  readonly subtableLookups: number;
  readonly misses: number;
  readonly failedUpcalls: number;
  readonly transmitted: number;
}

type Counters = Omit<WorkerStats, 'worker' | 'cpu' | 'seconds'>;

export class WorkerStatsReader {
  readonly datapath: Datapath;
  readonly #cleared: { counters: Counters; timeMs: number }[];

  constructor(datapath: Datapath) {
    this.datapath = datapath;
    const timeMs = performance.now();
    this.#cleared = this.workers.map(() => ({ counters: NOTHING, timeMs }));
  }

  /** The numbers of all workers, the owner thread first. */
  get workers(): number[] {
    return Array.from({ length: this.datapath.options.workers + 1 }, (_, worker) => worker);
  }

  read(worker: number): WorkerStats {
    const { counters, timeMs } = this.#cleared[worker];
    const now = this.#counters(worker);
    const since = Object.fromEntries(
      Object.entries(now).map(([name, count]) => [name, count - counters[name as keyof Counters]]),
    ) as unknown as Counters;
    const cpu = cpuOf(this.datapath.options.affinity, worker);
    return { worker, cpu, seconds: (performance.now() - timeMs) / 1000, ...since };
  }

  clear(worker: number): void {
    this.#cleared[worker] = { counters: this.#counters(worker), timeMs: performance.now() };
  }

  #counters(worker: number): Counters {
    const { memory } = this.datapath;
    const area = memory.workerArea(worker);
    const counter = (index: number): number => memory.u64(area + C.WORKER_COUNTERS + index * 8);
    return {
      // what XDP programs received was nobody's work
      received: counter(C.COUNTER_RECEIVED) - counter(C.COUNTER_HOT_HITS),
      recirculated: counter(C.COUNTER_RECIRCULATED),
      emcHits: counter(C.COUNTER_EMC_HITS),
      megaflowHits: counter(C.COUNTER_MEGAFLOW_HITS),
      subtableLookups: counter(C.COUNTER_SUBTABLE_LOOKUPS),
      misses: counter(C.COUNTER_MISSES),
      failedUpcalls: FAILED_UPCALLS.reduce((sum, reason) => sum + memory.u64(area + C.WORKER_DROPS + reason * 8), 0),
      transmitted: counter(C.COUNTER_TRANSMITTED) - counter(C.COUNTER_HOT_HITS),
    };
  }
}

const NOTHING: Counters = {
  received: 0,
  recirculated: 0,
  emcHits: 0,
  megaflowHits: 0,
  subtableLookups: 0,
  misses: 0,
  failedUpcalls: 0,
  transmitted: 0,
};
