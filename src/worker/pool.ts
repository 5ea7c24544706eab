/*
 * The worker pool: piscina pools whose threads share the datapath's memory. Before it: Datapath.start. After it: worker/poller.ts.
 *
 * Concepts. One poller a slot, each one long task, in as many slots, from 1 on, as are to poll; batches from the embedding program are short tasks on a
 * slot of their own, in threads of their own. A poller that traps or whose thread is killed has its slot repaired (its epoch withdrawn, its packets
 * accounted for, its lock freed) and is followed by another; flows, statistics and queued upcalls are all in the shared memory and stay. Who repairs and
 * goes on is a thread that stands by (heirs.ts), because a thread takes longer to start than a ring takes to overflow; without the addon, or when none are
 * wanted, it is the owner thread that repairs, and a new task that goes on.
 *
 * Threads: the owner thread. `atomics: 'disabled'` because a poller never returns to piscina's own waiting; `stop` is a word in memory,
 * because aborting a running task would kill its thread.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import * as C from '../../assembly/constants.ts';
import type { DatapathEvent } from '../datapath/options.ts';
import { DatapathError } from '../errors.ts';
import { packageRoot } from '../native/package-root.ts';
import type { DatapathMemory } from '../wasm/memory.ts';
import { cpuOf } from './affinity.ts';
import { type Heir, Heirs, type Standing, type Succession } from './heirs.ts';
import { disown } from './hold.ts';
import type { PoolData, PoolTask } from './poller.ts';
import { Pump } from './pump.ts';
import { closeWake, openWake, wakeWorker } from './wake.ts';

export interface PoolOptions {
  /** Worker slots that pollers take: 1 .. pollers. */
  pollers: number;
  /** Threads that wait for another one to die. */
  standby: number;
  /** CPUs that pollers stay on, in turn: asked when one is started. */
  affinity: () => readonly number[];
  onEvent: (event: DatapathEvent) => void;
}

type Threads = Piscina<PoolTask, number>;

export class WorkerPool {
  readonly #memory: DatapathMemory;
  readonly #options: PoolOptions;
  /** Threads of pollers and of those that stand by; made when the first poller is started. */
  #threads: Threads | undefined;
  /** Those of batches. */
  #batchThreads: Threads | undefined;
  readonly #ending = new Int32Array(new SharedArrayBuffer(4));
  readonly #heirs: Heirs;
  readonly #pollers = new Map<number, Promise<void>>();
  readonly #batches = new Map<number, Promise<number>>();
  #active: number;
  #isRunning = false;

  constructor(memory: DatapathMemory, options: PoolOptions) {
    this.#memory = memory;
    this.#options = options;
    this.#active = options.pollers;
    const standBy = (heir: number): Promise<number> => this.#standBy(heir);
    this.#heirs = new Heirs({ memory, standBy }, options.standby, this.#ending);
    for (let slot = 1; slot <= options.pollers; slot++) openWake(memory, slot);
  }

  #makeThreads(min: number, max: number): Threads {
    const { module, memory } = this.#memory;
    const workerData: PoolData = { module, memory, ending: this.#ending };
    const threads = new Piscina<PoolTask, number>({
      filename: workerFile(),
      minThreads: min,
      maxThreads: max,
      idleTimeout: Number.POSITIVE_INFINITY,
      atomics: 'disabled',
      execArgv: [],
      workerData,
    });
    // a killed thread rejects its task, where it is dealt with
    threads.on('error', () => {});
    threads.on('message', (message: Standing | Succession) => this.#heirs.heard(message));
    return threads;
  }

  #run(task: PoolTask): Promise<number> {
    const { pollers, standby } = this.#options;
    this.#threads ??= this.#makeThreads(pollers + standby, pollers + standby);
    return this.#threads.run(task);
  }

  /** Slots that poll, or will when the pool is started: 1 to this one. */
  get active(): number {
    return this.#active;
  }

  /** Threads that stand by, with everything loaded. */
  get standing(): number {
    return this.#heirs.standing;
  }

  /** Starts a poller in every active slot; resolves when all of them poll. */
  async start(): Promise<void> {
    this.#isRunning = true;
    const polling = this.#startFrom(1);
    this.#heirs.start();
    await polling;
  }

  async #startFrom(first: number): Promise<void> {
    const slots = Array.from({ length: this.#active - first + 1 }, (_, i) => first + i);
    for (const slot of slots) Atomics.store(this.#memory.int32, this.#stopWord(slot), 0);
    for (const slot of slots) this.#pollers.set(slot, this.#keepPolling(slot));
    await Promise.all(slots.map((slot) => this.#waitUntilPolling(slot)));
  }

  /** Has slots 1 to `count` poll and no others; resolves when that is so. Nothing may be left to those that stop. */
  async setActive(count: number): Promise<void> {
    const before = this.#active;
    this.#active = count;
    if (!this.#isRunning) return;
    if (count > before) await this.#startFrom(before + 1);
    else await this.#stopFrom(count + 1);
  }

  async #keepPolling(slot: number): Promise<void> {
    for (let polling = this.#poll(slot); ; ) {
      try {
        await polling;
        return;
      } catch (reason) {
        const next = this.#heirs.areThere ? await this.#heirs.of(slot) : this.#replace(slot);
        this.#options.onEvent({ type: 'worker-lost', worker: slot, packetsLost: next.packetsLost, reason });
        polling = next.ended;
      }
    }
  }

  #poll(slot: number): Promise<number> {
    return this.#run({ kind: 'poll', slot, cpu: this.#cpuOf(slot), bell: this.#heirs.bell });
  }

  #standBy(heir: number): Promise<number> {
    const [slots, cpus] = [this.#options.pollers, this.#options.affinity()];
    return this.#run({ kind: 'standby', heir, slots, cpus, bell: this.#heirs.bell });
  }

  /** Repairs the slot of a dead thread, and has another poll it, unless the pool is being stopped. */
  #replace(slot: number): Heir {
    const packetsLost = this.#recover(slot);
    const isWanted = this.#isRunning && slot <= this.#active;
    return { packetsLost, ended: isWanted ? this.#poll(slot) : Promise.resolve(0) };
  }

  /** What the dead worker had queued goes out, then its slot is repaired. Returns the packets that are lost. */
  #recover(slot: number): number {
    Pump.open(this.#memory, slot)?.kick();
    const packetsLost = this.#memory.wasm.recoverWorker(slot);
    disown(this.#memory, slot);
    return packetsLost;
  }

  #stopWord(slot: number): number {
    return (this.#memory.workerArea(slot) + C.WORKER_STOP) >>> 2;
  }

  #cpuOf(slot: number): number {
    return cpuOf(this.#options.affinity(), slot) ?? -1;
  }

  async #waitUntilPolling(slot: number): Promise<void> {
    const state = (this.#memory.workerArea(slot) + C.WORKER_STATE) >>> 2;
    const deadline = performance.now() + 10_000;
    while (Atomics.load(this.#memory.int32, state) !== C.WORKER_POLLING) {
      if (performance.now() > deadline)
        throw new DatapathError('ERR_WORKER', `worker ${slot} did not start within 10 s`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /** One batch task on a slot that no poller has; batches of one slot follow each other. Resolves with the packets received. */
  batch(slot: number): Promise<number> {
    if (this.#pollers.has(slot))
      throw new DatapathError('ERR_WORKER', `worker ${slot} is polling: its ports need no batch`);
    const before = this.#batches.get(slot) ?? Promise.resolve(0);
    const next = before.then(() => this.#runBatch(slot));
    this.#batches.set(
      slot,
      next.catch(() => 0),
    );
    return next;
  }

  async #runBatch(slot: number): Promise<number> {
    try {
      this.#batchThreads ??= this.#makeThreads(1, this.#options.pollers);
      return await this.#batchThreads.run({ kind: 'batch', slot, cpu: this.#cpuOf(slot), bell: -1 });
    } catch (reason) {
      const packetsLost = this.#recover(slot);
      this.#options.onEvent({ type: 'worker-lost', worker: slot, packetsLost, reason });
      throw new DatapathError('ERR_WORKER', `the batch on worker ${slot} was lost with ${packetsLost} packets`, {
        cause: reason,
      });
    }
  }

  /** Kills the thread that polls `slot`, or with 0 one that stands by, as a crash would: for tests of what happens then. */
  async kill(slot: number): Promise<void> {
    const threads = this.#threads?.threads ?? [];
    const holders = Array.from({ length: this.#options.pollers }, (_, i) => this.#holderOf(i + 1));
    const isMeant = (id: number): boolean => (slot === 0 ? !holders.includes(id) : id === holders[slot - 1]);
    await threads.find(({ threadId }) => isMeant(threadId))?.terminate();
  }

  #holderOf(slot: number): number {
    return this.#memory.u32(this.#memory.workerArea(slot) + C.WORKER_THREAD);
  }

  /** Stops all pollers after their batch and waits for them. */
  async stop(): Promise<void> {
    this.#isRunning = false;
    await this.#stopFrom(1);
    this.#heirs.stop();
  }

  async #stopFrom(first: number): Promise<void> {
    const slots = [...this.#pollers.keys()].filter((slot) => slot >= first);
    for (const slot of slots) {
      Atomics.store(this.#memory.int32, this.#stopWord(slot), 1);
      Atomics.notify(this.#memory.int32, this.#stopWord(slot));
      wakeWorker(this.#memory, slot);
    }
    await Promise.all(slots.map((slot) => this.#pollers.get(slot)));
    for (const slot of slots) this.#pollers.delete(slot);
  }

  async close(): Promise<void> {
    await this.stop();
    await Promise.all(this.#batches.values());
    await Promise.all([this.#threads?.destroy(), this.#batchThreads?.destroy()]);
    for (let slot = 1; slot <= this.#options.pollers; slot++) closeWake(this.#memory, slot);
    this.#heirs.close();
  }
}

/** Threads run the built JavaScript (scripts/bundle.mjs): Node 20 cannot load TypeScript in a worker. */
function workerFile(): string {
  const beside = fileURLToPath(new URL('./poller.cjs', import.meta.url));
  const file = existsSync(beside) ? beside : path.join(packageRoot(), 'dist', 'src', 'worker', 'poller.cjs');
  if (!existsSync(file)) throw new DatapathError('ERR_WORKER', `${file} is missing: run \`npm run build\``);
  return file;
}
