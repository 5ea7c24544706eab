/*
 * The dispatcher: takes upcalls from the rings and has the handler answer them. Before it: assembly/upcall/. After it: the handler; then the
 * answers of the batch are carried out with one call.
 *
 * Concepts. One batch a ring is out at a time. A handler that answers at once is served in a loop until the rings are empty; one that returns a
 * promise has its ring set aside until the promise settles or its time is up, and the other rings go on. On the calling thread's own
 * ring this runs after each `poll`; for pollers a loop waits on the bell word that they ring after a batch with misses.
 *
 * Threads: the owner thread. What can be lost: the batch of a handler that throws, rejects, or does not answer in time: counted.
 */
import * as C from '../../assembly/constants.ts';
import type { DatapathEvent } from '../datapath/options.ts';
import type { DatapathMemory } from '../wasm/memory.ts';
import { UpcallBatch } from './batch.ts';
import type { UpcallHandler } from './handler.ts';

/** The bell is waited for so long at most, though it is rung for everything: by pollers, when a promise settles, to stop. */
const BELL_WAIT_MS = 1000;
const BELL = (C.SUPERBLOCK + C.SB_UPCALL_BELL) >>> 2;

interface Ring {
  batch: UpcallBatch;
  /** The handler's promise is under way. */
  busy: boolean;
  /** Stops waiting for that promise: its batch is counted as stale. */
  giveUp?: () => void;
}

export interface DispatcherOptions {
  /** Address of each worker's ring, by worker. */
  rings: readonly number[];
  timeoutMs: number;
  /** Carries out the answers of the first `count` frames of a worker's last take, and gives the frames back. Returns 0, or the errno of a put that failed. */
  carryOut: (worker: number, count: number, handler: UpcallHandler | undefined) => number;
  /** Called when the answers of a batch were carried out: ports write what they were sent before the next batch needs the room. */
  afterBatch: () => void;
  onEvent: (event: DatapathEvent) => void;
}

export class Dispatcher {
  readonly #memory: DatapathMemory;
  readonly #rings: Ring[];
  readonly #options: DispatcherOptions;
  #handler: UpcallHandler | undefined;
  #running = false;
  #loop: Promise<void> | undefined;

  constructor(memory: DatapathMemory, options: DispatcherOptions) {
    this.#memory = memory;
    this.#options = options;
    this.#rings = options.rings.map((ring, worker) => ({
      batch: new UpcallBatch(memory, worker, ring + C.UPCALL_LIST),
      busy: false,
    }));
  }

  get handler(): UpcallHandler | undefined {
    return this.#handler;
  }

  /** A batch that the one before has not answered is given up: its handles may be gone. */
  set handler(handler: UpcallHandler | undefined) {
    this.#giveUpWaiting();
    this.#handler = handler;
  }

  #giveUpWaiting(): void {
    for (const ring of this.#rings) ring.giveUp?.();
  }

  /** Answers what waits in the rings, as far as the handler answers at once. Returns the number of upcalls given to it. */
  dispatch(): number {
    const handler = this.#handler;
    if (handler === undefined) return 0;
    let total = 0;
    for (let round = 1; round > 0; total += round) {
      round = 0;
      for (const ring of this.#rings) if (!ring.busy) round += this.#serve(ring, handler);
    }
    return total;
  }

  #serve(ring: Ring, handler: UpcallHandler): number {
    const count = this.#memory.wasm.take(ring.batch.worker, C.UPCALL_TAKE_MAX);
    if (count === 0) return 0;
    ring.batch.begin(count);
    let result: void | Promise<void>;
    try {
      result = handler.handle(ring.batch);
    } catch (reason) {
      this.#fail(ring, reason);
      return count;
    }
    if (result === undefined) this.#carryOut(ring);
    else this.#await(ring, result);
    return count;
  }

  #carryOut(ring: Ring): void {
    const { count, worker } = ring.batch;
    ring.batch.end();
    const errno = this.#options.carryOut(worker, count, this.#handler);
    if (errno !== 0) this.#options.onEvent({ type: 'flow-put-failed', worker, errno });
    this.#options.afterBatch();
  }

  /** The handler may still hold the batch: it keeps the closed one, and the ring gets another. */
  #giveUp(ring: Ring, reason: number): number {
    const { count, worker } = ring.batch;
    ring.batch.end();
    ring.batch = new UpcallBatch(this.#memory, worker, this.#options.rings[worker] + C.UPCALL_LIST);
    this.#memory.wasm.dropTaken(worker, count, reason);
    return count;
  }

  #fail(ring: Ring, reason: unknown): void {
    this.#giveUp(ring, C.DROP_UPCALL_ERROR);
    this.#options.onEvent({ type: 'handler-error', worker: ring.batch.worker, reason });
  }

  #await(ring: Ring, promise: Promise<void>): void {
    ring.busy = true;
    let settled = false;
    const settle = (finish: () => void): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      finish();
      ring.busy = false;
      ring.giveUp = undefined;
      this.#ringBell();
    };
    ring.giveUp = () => settle(() => this.#giveUp(ring, C.DROP_UPCALL_STALE));
    const timer = setTimeout(() => {
      settle(() => {
        const upcalls = this.#giveUp(ring, C.DROP_UPCALL_TIMEOUT);
        this.#options.onEvent({ type: 'handler-timeout', worker: ring.batch.worker, upcalls });
      });
    }, this.#options.timeoutMs);
    promise.then(
      () => settle(() => this.#carryOut(ring)),
      (reason: unknown) => settle(() => this.#fail(ring, reason)),
    );
  }

  /** Some ring's batch is with a handler that has not answered yet. */
  get waiting(): boolean {
    return this.#rings.some((ring) => ring.busy);
  }

  /** Serves the rings of pollers until `stop`. */
  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#running = false;
    this.#ringBell();
    await this.#loop;
    this.#loop = undefined;
  }

  #ringBell(): void {
    Atomics.add(this.#memory.int32, BELL, 1);
    Atomics.notify(this.#memory.int32, BELL);
  }

  async #run(): Promise<void> {
    while (this.#running) {
      const rung = Atomics.load(this.#memory.int32, BELL);
      if (this.dispatch() > 0) {
        await new Promise(setImmediate);
        continue;
      }
      await this.#waitForBell(rung);
    }
  }

  /** The timer does two things: it bounds the wait, and it keeps the event loop alive, which a pending waitAsync does not. */
  async #waitForBell(rung: number): Promise<void> {
    const wait = Atomics.waitAsync(this.#memory.int32, BELL, rung, BELL_WAIT_MS);
    if (!wait.async) return;
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise((resolve) => {
      timer = setTimeout(resolve, BELL_WAIT_MS);
    });
    await Promise.race([wait.value, timeout]);
    clearTimeout(timer);
  }

  /** Counts what nobody will answer: batches out with a handler, and everything queued. */
  abandon(): void {
    this.#giveUpWaiting();
    for (const ring of this.#rings) this.#memory.wasm.purge(ring.batch.worker);
  }
}
