/*
 * The background work of the owner thread, in turns on its event loop: again at once while turns bring something and for a short while after, else after a while, or
 * when a ring of the calling thread has something. Before it: Datapath.start. After it: idle.ts, which has taken a round when it wakes the loop.
 *
 * Concepts. What wakes the thread by itself need not be looked at: rings of kernel sockets and of memory ports (the poll set), upcalls of pollers (the
 * bell, upcall/dispatcher.ts). So a datapath with nothing to do turns seldom. What nobody wakes the thread for is looked at more often: files
 * that are written, samples, replays. Without the addon there is no poll set, and everything is looked at.
 * Between two turns the event loop serves whoever else has something to do on this thread. A timer that is set goes on when the thread is woken before; it is early
 * then, never late. Threads: the owner thread.
 */
import { monotonicMs } from '../wasm/clock.ts';
import type { DatapathMemory } from '../wasm/memory.ts';
import { IdleWait, SPIN_MS } from './idle.ts';

/** How often what wakes nobody is looked at. */
const SERVICE_MS = 5;
/** Turns that nothing calls for: as often slices of the flow table are aged, and changes of interfaces noticed. */
const IDLE_MS = 100;

export interface OwnerWork {
  /** Receives, and does what else there is to do; true when there was something. */
  turn(): boolean;
  /** What else there is, after a round that received something; true when there was. */
  afterRound(received: number): boolean;
  /** The round has thrown. Throws. */
  roundFailed(cause: unknown): never;
  /** There is something that wakes nobody. */
  needsService(): boolean;
}

export class OwnerLoop {
  readonly #memory: DatapathMemory;
  readonly #work: OwnerWork;
  #timer: NodeJS.Timeout | undefined;
  /** When the timer is due. */
  #dueMs = 0;
  #isDueAtOnce = false;
  #busyMs = 0;
  #idle: IdleWait | undefined;
  #isRunning = false;

  constructor(memory: DatapathMemory, work: OwnerWork) {
    this.#memory = memory;
    this.#work = work;
  }

  /** The first turn is taken at once. */
  start(): void {
    this.#isRunning = true;
    this.#idle = IdleWait.open(this.#memory, (received, thrown) => this.#woken(received, thrown));
    this.#turn();
  }

  readonly #atOnce = (): void => {
    this.#isDueAtOnce = false;
    if (this.#isRunning) this.#turn();
  };

  readonly #atTime = (): void => {
    this.#timer = undefined;
    if (!this.#isRunning || this.#isDueAtOnce) return;
    this.#idle?.disarm();
    this.#turn();
  };

  #turn(): void {
    this.#plan(this.#work.turn());
  }

  #woken(received: number, thrown: unknown): void {
    if (!this.#isRunning) return;
    if (thrown !== undefined) this.#work.roundFailed(thrown);
    this.#plan(this.#work.afterRound(received));
  }

  /** When the next turn is taken. */
  #plan(wasBusy: boolean): void {
    if (!this.#isRunning) return;
    const nowMs = monotonicMs();
    if (wasBusy) this.#busyMs = nowMs;
    if (nowMs - this.#busyMs < SPIN_MS) return this.#turnAtOnce();
    const limitMs = this.#idle?.arm() ?? SERVICE_MS;
    if (limitMs === 0) return this.#turnAtOnce();
    this.#turnIn(this.#work.needsService() ? SERVICE_MS : Math.min(limitMs, IDLE_MS), nowMs);
  }

  #turnAtOnce(): void {
    if (this.#isDueAtOnce) return;
    this.#isDueAtOnce = true;
    setImmediate(this.#atOnce);
  }

  #turnIn(ms: number, nowMs: number): void {
    if (this.#timer !== undefined && this.#dueMs <= nowMs + ms) return;
    clearTimeout(this.#timer);
    this.#dueMs = nowMs + ms;
    this.#timer = setTimeout(this.#atTime, ms);
  }

  stop(): void {
    this.#isRunning = false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#idle?.close();
    this.#idle = undefined;
  }
}
