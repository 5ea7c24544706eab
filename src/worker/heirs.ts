/*
 * Threads that stand by, owner's side: each waits, with everything loaded, for a slot whose thread is dead, repairs it and polls on in its place, without the
 * owner thread having to hear of it first. Before it: pool.ts. After it: `standBy` in poller.ts, hold.ts.
 *
 * Concepts. A thread that stands by is a task of the pool, which has an end when the pool stops or when the slot that it took is stopped. That it has taken a
 * slot is told by a message; another thread stands by then. Threads: the owner thread.
 */

import { nativeAddon } from '../native/load.ts';
import type { DatapathMemory } from '../wasm/memory.ts';
import { orphan } from './hold.ts';

/** What the task of a thread returns that stood by and took no slot. */
export const STOOD_BY = -1;

/** What a thread says that stands by from now on. */
export interface Standing {
  heir: number;
}

/** What one says that has taken a slot over. */
export interface Succession extends Standing {
  slot: number;
  packetsLost: number;
}

/** A slot that was taken over. */
export interface Heir {
  readonly packetsLost: number;
  /** The task that polls it now. */
  readonly ended: Promise<number>;
}

export interface HeirsHost {
  readonly memory: DatapathMemory;
  /** Starts the task of a thread that stands by. */
  standBy(heir: number): Promise<number>;
}

export class Heirs {
  /** Counter that those which stand by wait for; -1 when there are none. */
  readonly bell: number;
  readonly #host: HeirsHost;
  readonly #count: number;
  /** Says to those which stand by that they are to end. */
  readonly #ending: Int32Array;
  readonly #waiting = new Map<number, Promise<number>>();
  readonly #standing = new Set<number>();
  readonly #taken = new Map<number, Heir[]>();
  readonly #expecting = new Map<number, (heir: Heir) => void>();
  #last = 0;
  #isRunning = false;

  constructor(host: HeirsHost, count: number, ending: Int32Array) {
    this.#host = host;
    this.#ending = ending;
    const bell = count > 0 ? (nativeAddon()?.openWake() ?? -1) : -1;
    this.bell = bell;
    this.#count = bell < 0 ? 0 : count;
  }

  /** Dead threads are replaced by those which stand by, and by nobody else. */
  get areThere(): boolean {
    return this.#count > 0;
  }

  start(): void {
    this.#isRunning = true;
    Atomics.store(this.#ending, 0, 0);
    while (this.#waiting.size < this.#count) this.#add();
  }

  #add(): void {
    const heir = ++this.#last;
    const ended = this.#host.standBy(heir);
    this.#waiting.set(heir, ended);
    const leaves = (): void => {
      this.#standing.delete(heir);
      if (this.#waiting.delete(heir) && this.#isRunning) this.#add();
    };
    // killed while it stood by, or at its end without having taken anything
    ended.then((received) => (received === STOOD_BY ? leaves() : undefined), leaves);
  }

  /** Threads that wait, with everything loaded. */
  get standing(): number {
    return this.#standing.size;
  }

  /** A message of one of them. */
  heard(message: Standing | Succession): void {
    const ended = this.#waiting.get(message.heir);
    if (ended === undefined) return;
    if ('slot' in message) this.#succeeded(message, ended);
    else this.#standing.add(message.heir);
  }

  #succeeded({ heir, slot, packetsLost }: Succession, ended: Promise<number>): void {
    this.#waiting.delete(heir);
    this.#standing.delete(heir);
    if (this.#isRunning) this.#add();
    const expecting = this.#expecting.get(slot);
    this.#expecting.delete(slot);
    if (expecting !== undefined) expecting({ ended, packetsLost });
    else this.#taken.set(slot, [...(this.#taken.get(slot) ?? []), { ended, packetsLost }]);
  }

  /** Resolves with the thread that took the slot over from the one that had it before. */
  of(slot: number): Promise<Heir> {
    const heir = this.#taken.get(slot)?.shift();
    if (heir !== undefined) return Promise.resolve(heir);
    orphan(this.#host.memory, slot);
    nativeAddon()?.wake(this.bell);
    return new Promise((resolve) => this.#expecting.set(slot, resolve));
  }

  /** Those which stand by end when they find time: once no slot can become an orphan any more. */
  stop(): void {
    this.#isRunning = false;
    if (!this.areThere) return;
    Atomics.store(this.#ending, 0, 1);
    nativeAddon()?.wake(this.bell);
  }

  close(): void {
    if (this.bell >= 0) nativeAddon()?.closeWake(this.bell);
  }
}
