/*
 * What runs in a pool thread: a poller, one long task that polls a worker slot's ports until it is told to stop; a batch, one short task that empties the
 * rings of a slot once; or standing by, which waits for a slot whose thread is dead and becomes its poller. Before it: worker/pool.ts. After it:
 * assembly/pipeline.ts.
 *
 * A thread that traps leaves its slot as an orphan (hold.ts), or marked for the owner thread to repair, and rejects its task.
 * Nothing here runs per packet, and nothing is allocated per turn.
 */
import { parentPort, workerData } from 'node:worker_threads';
import * as C from '../../assembly/constants.ts';
import { nativeAddon } from '../native/load.ts';
import { tellTime, toldMs } from '../wasm/clock.ts';
import { DatapathMemory } from '../wasm/memory.ts';
import { cpuOf, stayOn } from './affinity.ts';
import { STOOD_BY, type Standing, type Succession } from './heirs.ts';
import { Hold } from './hold.ts';
import { Sleep, SPIN_MS } from './idle.ts';
import { Pump } from './pump.ts';

export interface PoolData {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  /** One word: threads that stand by are to end. */
  ending: Int32Array;
}

interface WorkTask {
  kind: 'poll' | 'batch';
  slot: number;
  /** CPU to stay on; -1: any. */
  cpu: number;
  /** Counter that threads which stand by wait for; -1: nobody does. */
  bell: number;
}

interface StandbyTask {
  kind: 'standby';
  heir: number;
  /** Slots that it can take: 1 to this one. */
  slots: number;
  /** CPUs that pollers stay on, in turn. */
  cpus: readonly number[];
  bell: number;
}

export type PoolTask = WorkTask | StandbyTask;

/** Batches a call into the module: between calls the time is told and the stop word looked at. */
const BREATHS = 64;
/** Without the addon nothing wakes the thread: so long it naps. */
const NAP_MS = 0.2;
/** A thread that stands by looks so often whether it is to go on, even if nobody tells it: a thread that is terminated is not woken. */
const STANDBY_MS = 500;
const NS_PER_MS = 1e6;

/** What batch tasks of this thread have attached to; a slot's cache stays warm from one batch to the next. */
const attached = new Map<number, DatapathMemory>();

/** The task of the pool. Resolves with the packets that were received: by a poller until it was stopped, by a batch until its rings were empty. */
export default function run(task: PoolTask): number {
  if (task.kind !== 'standby') return work(task);
  try {
    return standBy(task);
  } finally {
    nativeAddon()?.setUrgent(false); // the pool gives the thread other tasks
  }
}

function work({ kind, slot, cpu, bell }: WorkTask): number {
  stayOn(cpu);
  const known = kind === 'batch' ? attached.get(slot) : undefined;
  const datapath = known ?? memoryOfPool();
  const hold = Hold.take(datapath, slot, bell);
  if (known === undefined) datapath.attach(slot);
  if (kind === 'batch') attached.set(slot, datapath);
  return go(datapath, hold, () => (kind === 'poll' ? poll(datapath, slot) : drain(datapath, slot)));
}

/** Waits until a slot is an orphan, repairs it and polls it. */
function standBy({ heir, slots, cpus, bell }: StandbyTask): number {
  const datapath = memoryOfPool();
  const { ending } = poolData();
  const addon = nativeAddon()!;
  addon.setUrgent(true); // as far as it may: who dies while others want the processors is followed at once
  say({ heir });
  for (;;) {
    const hold = Hold.takeOrphan(datapath, slots, bell);
    if (hold !== undefined) {
      addon.wake(bell); // another slot may be an orphan
      return inherit(datapath, hold, heir, cpus);
    }
    if (Atomics.load(ending, 0) !== 0) break;
    addon.awaitWake(bell, STANDBY_MS);
  }
  addon.wake(bell); // the others are to end too
  return STOOD_BY;
}

function inherit(datapath: DatapathMemory, hold: Hold, heir: number, cpus: readonly number[]): number {
  const { slot } = hold;
  stayOn(cpuOf(cpus, slot) ?? -1);
  datapath.attach(slot);
  const pump = Pump.open(datapath, slot);
  pump?.kick(); // what the dead one had queued goes out
  const packetsLost = datapath.wasm.recoverWorker(slot);
  say({ heir, slot, packetsLost });
  return go(datapath, hold, () => {
    const received = round(datapath, datapath.workerArea(slot), pump);
    nativeAddon()?.setUrgent(false);
    return received + poll(datapath, slot);
  });
}

function say(message: Standing | Succession): void {
  parentPort?.postMessage(message);
}

function go(datapath: DatapathMemory, hold: Hold, work: () => number): number {
  try {
    hold.polls();
    const received = work();
    datapath.wasm.detach();
    hold.release();
    return received;
  } catch (error) {
    attached.delete(hold.slot);
    hold.abandon();
    throw error;
  }
}

function memoryOfPool(): DatapathMemory {
  const { module, memory } = poolData();
  return DatapathMemory.over(module, memory);
}

/** Piscina hands a pool's own workerData on as the second element of the thread's. */
function poolData(): PoolData {
  return (Array.isArray(workerData) ? workerData[1] : workerData) as PoolData;
}

function poll(datapath: DatapathMemory, slot: number): number {
  const area = datapath.workerArea(slot);
  const stop = (area + C.WORKER_STOP) >>> 2;
  const hasWake = datapath.u32(area + C.WORKER_WAKE) !== 0;
  const pump = Pump.open(datapath, slot);
  const sleep = hasWake ? Sleep.open(datapath, slot) : undefined;
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
    if (n > 0) lastMs = nowMs;
    const isTired = n === 0 && nowMs - lastMs >= SPIN_MS;
    if (isTired && sleep === undefined) Atomics.wait(datapath.int32, stop, 0, NAP_MS);
    const woken = isTired && sleep !== undefined ? sleep.sleep() : 0;
    if (woken > 0) lastMs = toldMs(datapath, area);
    received += n + woken;
    isBusy = n + woken > 0;
  }
  return received;
}

function round(datapath: DatapathMemory, area: number, pump: Pump | undefined): number {
  tellTime(datapath, area);
  const received = datapath.wasm.poll(BREATHS);
  pump?.turn();
  return received;
}

function drain(datapath: DatapathMemory, slot: number): number {
  const pump = Pump.open(datapath, slot);
  const area = datapath.workerArea(slot);
  let received = 0;
  for (;;) {
    const n = round(datapath, area, pump);
    if (n === 0) return received;
    received += n;
  }
}
