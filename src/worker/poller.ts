/*
 * What runs in a pool thread: a poller, one long task that polls a worker slot's ports until it is told to stop, or a batch, one short task
 * that empties the rings of a slot once. Before it: worker/pool.ts. After it: assembly/pipeline.ts.
 *
 * A thread that traps writes WORKER_TRAPPED into its slot and rejects its task; the pool repairs the slot and starts another.
 * Nothing here runs per packet, and nothing is allocated per turn.
 */
import { threadId, workerData } from 'node:worker_threads';
import * as C from '../../assembly/constants.ts';
import { tellTime } from '../wasm/clock.ts';
import { DatapathMemory } from '../wasm/memory.ts';
import { stayOn } from './affinity.ts';
import { Pump } from './pump.ts';

export interface PoolData {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
}

export interface PoolTask {
  kind: 'poll' | 'batch';
  slot: number;
  /** CPU to stay on; -1: any. */
  cpu: number;
}

/** Batches a call into the module: between calls the time is told and the stop word looked at. */
const BREATHS = 64;
/** So long after the last packet the thread sleeps instead of spinning: about what falling asleep and waking cost. */
const SPIN_MS = 0.05;
/** Without the addon nothing wakes the thread: so long it naps. */
const NAP_MS = 0.2;
const NS_PER_MS = 1e6;

/** What batch tasks of this thread have attached to; a slot's cache stays warm from one batch to the next. */
const attached = new Map<number, DatapathMemory>();

/** The task of the pool. A poller resolves with the packets it received when it was stopped; a batch when its rings are empty. */
export default function run(task: PoolTask): number {
  stayOn(task.cpu);
  const datapath = attachTo(task);
  const area = datapath.workerArea(task.slot);
  const state = (area + C.WORKER_STATE) >>> 2;
  try {
    datapath.setU32(area + C.WORKER_THREAD, threadId);
    Atomics.store(datapath.int32, state, C.WORKER_POLLING);
    const received = task.kind === 'poll' ? poll(datapath, task.slot) : drain(datapath, task.slot);
    datapath.wasm.detach();
    return received;
  } catch (error) {
    attached.delete(task.slot);
    Atomics.store(datapath.int32, state, C.WORKER_TRAPPED);
    throw error;
  }
}

function attachTo({ kind, slot }: PoolTask): DatapathMemory {
  const { module, memory } = workerPoolData();
  const known = attached.get(slot);
  if (kind === 'batch' && known !== undefined) return known;
  const datapath = DatapathMemory.attach(module, memory, slot);
  if (kind === 'batch') attached.set(slot, datapath);
  return datapath;
}

/** Piscina hands a pool's own workerData on as the second element of the thread's. */
function workerPoolData(): PoolData {
  return (Array.isArray(workerData) ? workerData[1] : workerData) as PoolData;
}

function poll(datapath: DatapathMemory, slot: number): number {
  const area = datapath.workerArea(slot);
  const stop = (area + C.WORKER_STOP) >>> 2;
  const hasWake = datapath.u32(area + C.WORKER_WAKE) !== 0;
  const pump = Pump.open(datapath, slot);
  let received = 0;
  let busyNs = datapath.u64(area + C.WORKER_BUSY_NS);
  let lastMs = 0; // when the last round that received something began
  let isBusy = false;
  while (Atomics.load(datapath.int32, stop) === 0) {
    const nowMs = tellTime(datapath, area);
    if (isBusy) {
      busyNs += (nowMs - lastMs) * NS_PER_MS;
      datapath.setU64(area + C.WORKER_BUSY_NS, Math.floor(busyNs));
    }
    const n = datapath.wasm.poll(BREATHS);
    pump?.turn();
    received += n;
    isBusy = n > 0;
    if (isBusy) lastMs = nowMs;
    else if (nowMs - lastMs < SPIN_MS) continue;
    else if (pump !== undefined && hasWake) pump.sleep();
    else Atomics.wait(datapath.int32, stop, 0, NAP_MS);
  }
  return received;
}

function drain(datapath: DatapathMemory, slot: number): number {
  const pump = Pump.open(datapath, slot);
  const area = datapath.workerArea(slot);
  let received = 0;
  for (;;) {
    tellTime(datapath, area);
    const n = datapath.wasm.poll(BREATHS);
    pump?.turn();
    if (n === 0) return received;
    received += n;
  }
}
