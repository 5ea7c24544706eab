/*
 * The sleep of the owner thread, which is its event loop: a callback when something can be received on the rings of slot 0, or somebody wakes the slot. Before
 * it: Datapath's background work, when a turn brought nothing. After it: a PollSet on the loop, and worker/pump.ts for what errors leave behind.
 *
 * Concepts. What is waited for is what `prepareSleep` says, as for the pollers. The set stays watched between two waits, and calls that come while nobody
 * waits are passed over. Without the addon there are no rings, and the caller's timer is all there is. Threads: the owner thread.
 */
import { nativeAddon } from '../native/load.ts';
import type { NativePollSet } from '../native/poll-set.ts';
import type { DatapathMemory } from '../wasm/memory.ts';
import { Pump } from './pump.ts';
import { closeWake, openWake } from './wake.ts';

export class IdleWait {
  readonly #memory: DatapathMemory;
  readonly #onReady: () => void;
  readonly #set: NativePollSet;
  readonly #pump: Pump;
  /** Descriptors in the set; one that was closed meanwhile is not, and is added again if its number is. */
  readonly #watched = new Set<number>();
  #isWaiting = false;

  /** Undefined without the addon. `onReady` is called once for each `arm`, at most. */
  static open(memory: DatapathMemory, onReady: () => void): IdleWait | undefined {
    const addon = nativeAddon();
    const pump = Pump.open(memory, 0);
    if (addon === undefined || pump === undefined || !openWake(memory, 0)) return undefined;
    return new IdleWait(memory, onReady, new addon.PollSet(), pump);
  }

  private constructor(memory: DatapathMemory, onReady: () => void, set: NativePollSet, pump: Pump) {
    this.#memory = memory;
    this.#onReady = onReady;
    this.#set = set;
    this.#pump = pump;
    set.watch(() => this.#ready());
    set.unref();
  }

  /** Waits from now on. How long at most, in ms; 0 when something is there already. */
  arm(): number {
    const limitUs = this.#pump.prepare();
    if (limitUs === 0) return 0;
    const fds = this.#pump.descriptors();
    for (const fd of this.#watched) if (!fds.includes(fd)) this.#forget(fd);
    for (const fd of fds) {
      this.#set.add(fd, 0);
      this.#watched.add(fd);
    }
    this.#isWaiting = true;
    return limitUs / 1000;
  }

  #forget(fd: number): void {
    this.#watched.delete(fd);
    this.#set.remove(fd);
  }

  disarm(): void {
    this.#isWaiting = false;
    this.#pump.awake();
  }

  #ready(): void {
    if (!this.#isWaiting) return;
    this.disarm();
    this.#onReady();
  }

  close(): void {
    this.disarm();
    this.#set.close();
    closeWake(this.#memory, 0);
  }
}
