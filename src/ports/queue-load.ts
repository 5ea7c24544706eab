/*
 * What each receiver costs the worker that polls it, over the last minute. Before it: distribution.ts. After it: the counters of queues and workers.
 *
 * Concepts. A worker measures how long its rounds took that received something; between two samples that time is divided among its receivers by the
 * packets that each of them gave. So a packet counts for the same wherever it came from, and a receiver that moves takes its history along. Owner thread.
 */
import * as C from '../../assembly/constants.ts';
import type { DatapathMemory } from '../wasm/memory.ts';

/** A queue of a port, or a port that has none. */
export interface LoadedReceiver {
  /** Tells it from all others. */
  readonly key: string;
  readonly worker: number;
  /** That it has given since it was opened. */
  readonly packets: number;
}

/** How far back the load is known, and how often it is kept. */
export const LOAD_SECONDS = 60;
const SAMPLE_MS = 5000;

interface Seen {
  packets: number;
  busyNs: number;
}

interface Sample {
  readonly timeMs: number;
  readonly busyNs: ReadonlyMap<string, number>;
}

export class QueueLoad {
  readonly #memory: DatapathMemory;
  readonly #seen = new Map<string, Seen>();
  readonly #workerBusyNs: number[];
  readonly #history: Sample[] = [];
  #keptMs: number;

  constructor(memory: DatapathMemory, workerSlots: number) {
    this.#memory = memory;
    this.#workerBusyNs = new Array<number>(workerSlots).fill(0);
    this.#keptMs = performance.now();
    this.#history.push({ timeMs: this.#keptMs, busyNs: new Map() });
  }

  /** Divides what the workers did since the last time. To be called before receivers change their workers, and every few seconds. */
  sample(receivers: readonly LoadedReceiver[]): void {
    const given = receivers.map(({ key, packets }) => Math.max(packets - (this.#seen.get(key)?.packets ?? 0), 0));
    for (const [worker, before] of this.#workerBusyNs.entries()) {
      const busyNs = this.#memory.u64(this.#memory.workerArea(worker) + C.WORKER_BUSY_NS);
      const total = receivers.reduce((sum, receiver, i) => sum + (receiver.worker === worker ? given[i] : 0), 0);
      for (const [i, receiver] of receivers.entries()) {
        if (receiver.worker !== worker) continue;
        const seen = this.#seen.get(receiver.key) ?? { packets: 0, busyNs: 0 };
        const share = total === 0 ? 0 : ((busyNs - before) * given[i]) / total;
        this.#seen.set(receiver.key, { packets: receiver.packets, busyNs: seen.busyNs + share });
      }
      // time without packets is not lost: it belongs to those that the next sample finds
      if (total > 0) this.#workerBusyNs[worker] = busyNs;
    }
    this.#forget(new Set(receivers.map(({ key }) => key)));
    this.#keep();
  }

  #forget(present: ReadonlySet<string>): void {
    for (const key of this.#seen.keys()) if (!present.has(key)) this.#seen.delete(key);
  }

  #keep(): void {
    const timeMs = performance.now();
    if (timeMs - this.#keptMs < SAMPLE_MS) return;
    this.#keptMs = timeMs;
    this.#history.push({ timeMs, busyNs: new Map([...this.#seen].map(([key, { busyNs }]) => [key, busyNs])) });
    if (timeMs - this.#history[0].timeMs > LOAD_SECONDS * 1000) this.#history.shift();
  }

  /** Share of a worker's time that the receiver took, 0 to 1, in the last minute or since the datapath was opened. */
  usage(key: string): number {
    const { timeMs, busyNs } = this.#history[0];
    const before = busyNs.get(key) ?? 0;
    const spentNs = (this.#seen.get(key)?.busyNs ?? before) - before;
    return Math.max(spentNs, 0) / ((performance.now() - timeMs) * 1e6);
  }
}
