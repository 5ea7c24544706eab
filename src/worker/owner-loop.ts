/*
 * The background work of the owner thread, in turns on its event loop: soon again when a turn brought something, else after a while, or when a ring of the
 * calling thread has something. Before it: Datapath.start. After it: idle.ts.
 *
 * Concepts. What wakes the thread by itself need not be looked at: rings of kernel sockets and of memory ports (the poll set), upcalls of pollers (the
 * bell, upcall/dispatcher.ts). So a datapath with nothing to do turns ever less often. What nobody wakes the thread for is looked at more often: files
 * that are written, samples, replays. Without the addon there is no poll set, and everything is looked at. Threads: the owner thread.
 */
import type { DatapathMemory } from '../wasm/memory.ts';
import { IdleWait } from './idle.ts';

/** How often what wakes nobody is looked at; and the first wait after something has happened, when more is likely and caches are warm. */
const SERVICE_MS = 5;
/** So long waits become, each twice the one before: as often slices of the flow table are aged, and changes of interfaces noticed. */
const IDLE_MS = 100;

export interface OwnerWork {
  /** Does what there is to do; true when there was something. */
  turn(): boolean;
  /** There is something that wakes nobody. */
  needsService(): boolean;
}

export class OwnerLoop {
  readonly #memory: DatapathMemory;
  readonly #work: OwnerWork;
  #timer: NodeJS.Timeout | undefined;
  #idle: IdleWait | undefined;
  #waitedMs = 0;
  #isRunning = false;

  constructor(memory: DatapathMemory, work: OwnerWork) {
    this.#memory = memory;
    this.#work = work;
  }

  /** The first turn is taken at once. */
  start(): void {
    this.#isRunning = true;
    this.#idle = IdleWait.open(this.#memory, () => {
      clearTimeout(this.#timer);
      this.#turn();
    });
    this.#turn();
  }

  #turn(): void {
    if (!this.#isRunning) return;
    this.#idle?.disarm();
    this.#waitedMs = this.#work.turn() ? 0 : this.#waitMs();
    if (this.#waitedMs === 0) setImmediate(() => this.#turn());
    else this.#timer = setTimeout(() => this.#turn(), this.#waitedMs);
  }

  /** How long nothing is to be done, if nothing wakes the thread before. */
  #waitMs(): number {
    const limitMs = this.#idle?.arm() ?? SERVICE_MS;
    if (limitMs === 0) return 0;
    if (this.#work.needsService()) return SERVICE_MS;
    return Math.max(Math.min(limitMs, 2 * this.#waitedMs, IDLE_MS), SERVICE_MS);
  }

  stop(): void {
    this.#isRunning = false;
    clearTimeout(this.#timer);
    this.#idle?.close();
    this.#idle = undefined;
  }
}
