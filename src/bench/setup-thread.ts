/*
 * What runs in the pool thread of `wdp bench flow-setup --workers 1`: polls a worker slot as worker/poller.ts does, but only while fewer upcalls than the
 * window allows are waiting, a batch a call, and with a clock. So the load is what the handler can take, and nothing needs to be lost.
 *
 * One task is one round: every frame of the replay received and every upcall answered. It waits for the word `GO`, so that starting the
 * thread is not measured.
 */
import { workerData } from 'node:worker_threads';
import { tellTime } from '../wasm/clock.ts';
import { DatapathMemory } from '../wasm/memory.ts';
import { Histogram } from './histogram.ts';

export interface SetupThreadData {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  /** Words of SETUP_*. */
  control: Int32Array<SharedArrayBuffer>;
  /** A histogram of the time from receive to the end of the call that received. */
  latencies: Float64Array<SharedArrayBuffer>;
}

export interface SetupThreadTask {
  slot: number;
  /** Upcalls that may wait. */
  window: number;
  /** Address of the word that is 1 when all frames were delivered. */
  doneWord: number;
}

export const SETUP_READY = 0;
export const SETUP_GO = 1;
export const SETUP_DONE = 2;
export const SETUP_WORDS = 4;

const SPINS_MAX = 2000;
const NAP_MS = 0.05;

/** One round. Returns the milliseconds from the first frame to the last answer. */
export default function run(task: SetupThreadTask): number {
  const data = threadData();
  const { control } = data;
  const datapath = DatapathMemory.attach(data.module, data.memory, task.slot);
  try {
    Atomics.store(control, SETUP_READY, 1);
    Atomics.notify(control, SETUP_READY);
    Atomics.wait(control, SETUP_GO, 0);
    return round(datapath, task, control, new Histogram(data.latencies));
  } finally {
    datapath.wasm.detach();
    Atomics.store(control, SETUP_DONE, 1);
  }
}

/** Piscina hands a pool's own workerData on as the second element of the thread's. */
function threadData(): SetupThreadData {
  return (Array.isArray(workerData) ? workerData[1] : workerData) as SetupThreadData;
}

function round(datapath: DatapathMemory, task: SetupThreadTask, control: Int32Array, latencies: Histogram): number {
  const { wasm } = datapath;
  const area = datapath.workerArea(task.slot);
  const start = performance.now();
  let spins = 0;
  while (Atomics.load(datapath.int32, task.doneWord >>> 2) === 0) {
    if (wasm.outstanding(task.slot) >= task.window) {
      spins++;
      if (spins > SPINS_MAX) Atomics.wait(control, SETUP_GO, 1, NAP_MS);
      continue;
    }
    spins = 0;
    tellTime(datapath, area);
    const before = performance.now();
    const received = wasm.poll(1);
    latencies.add((performance.now() - before) * 1e6, received);
  }
  while (wasm.outstanding(task.slot) > 0) Atomics.wait(control, SETUP_GO, 1, NAP_MS);
  return performance.now() - start;
}
