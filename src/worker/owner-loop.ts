/*
 * The background work of the owner thread, in turns on its event loop: soon again when a turn brought something, else after a while, or when a ring of the
 * calling thread has something. Before it: Datapath.start. After it: idle.ts. Threads: the owner thread.
 */
import type { DatapathMemory } from '../wasm/memory.ts';
import { IdleWait } from './idle.ts';

/** How often ports are served when nothing happens. */
const SERVICE_MS = 5;

export class OwnerLoop {
  readonly #memory: DatapathMemory;
  /** Does what there is to do; true when there was something. */
  readonly #work: () => boolean;
  #timer: NodeJS.Timeout | undefined;
  #idle: IdleWait | undefined;
  #isRunning = false;

  constructor(memory: DatapathMemory, work: () => boolean) {
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
    if (this.#work() || this.#idle?.arm() === false) setImmediate(() => this.#turn());
    else this.#timer = setTimeout(() => this.#turn(), SERVICE_MS);
  }

  stop(): void {
    this.#isRunning = false;
    clearTimeout(this.#timer);
    this.#idle?.close();
    this.#idle = undefined;
  }
}
