/*
 * The sleep of a worker slot, until something can be received on its rings or somebody wakes it, and the round after it: what comes to a thread that slept has been
 * forwarded when JavaScript hears of it. Before it: poller.ts; for the owner thread owner-loop.ts. After it: native/sleeper.cc.
 *
 * Concepts. What is waited for is what `prepareSleep` says. A poller waits inside of the call; the owner thread, slot 0, waits in its event loop. Without the
 * addon there are no rings, and the caller's timer is all there is. Threads: the one that has the slot. Nothing here is allocated a round.
 */
import type { NativeSleeper } from '../native/io.ts';
import { nativeAddon } from '../native/load.ts';
import { realtimeOffsetUs } from '../wasm/clock.ts';
import type { DatapathMemory } from '../wasm/memory.ts';
import { closeWake, openWake } from './wake.ts';

/** So long after the last packet a thread polls on instead of sleeping: about what falling asleep and waking cost. */
export const SPIN_MS = 0.05;

/** Undefined without the addon. */
function sleeperOf(memory: DatapathMemory, slot: number): NativeSleeper | undefined {
  const addon = nativeAddon();
  if (addon === undefined) return undefined;
  return new addon.Sleeper(memory.bytes, memory.workerArea(slot), memory.wasm.poll, realtimeOffsetUs);
}

/** Of a poller. */
export class Sleep {
  readonly #memory: DatapathMemory;
  readonly #native: NativeSleeper;

  /** Undefined without the addon. */
  static open(memory: DatapathMemory, slot: number): Sleep | undefined {
    const native = sleeperOf(memory, slot);
    return native && new Sleep(memory, native);
  }

  private constructor(memory: DatapathMemory, native: NativeSleeper) {
    this.#memory = memory;
    this.#native = native;
  }

  /** Waits, unless something is there already. Returns the packets that the round after it received. */
  sleep(): number {
    const limitUs = this.#memory.wasm.prepareSleep();
    return limitUs === 0 ? 0 : this.#native.sleep(limitUs);
  }
}

/** Of the owner thread. */
export class IdleWait {
  readonly #memory: DatapathMemory;
  readonly #native: NativeSleeper;

  /** Undefined without the addon. `woken` is called once for each `arm`, at most, with the packets of the round or what it threw. */
  static open(memory: DatapathMemory, woken: (received: number, thrown?: unknown) => void): IdleWait | undefined {
    const native = sleeperOf(memory, 0);
    if (native === undefined || !openWake(memory, 0)) return undefined;
    native.watch(woken);
    return new IdleWait(memory, native);
  }

  private constructor(memory: DatapathMemory, native: NativeSleeper) {
    this.#memory = memory;
    this.#native = native;
  }

  /** Waits from now on. How long at most, in ms; 0 when something is there already. */
  arm(): number {
    const limitUs = this.#memory.wasm.prepareSleep();
    if (limitUs !== 0) this.#native.arm();
    return limitUs / 1000;
  }

  disarm(): void {
    this.#native.disarm();
  }

  close(): void {
    this.#native.disarm();
    this.#native.close();
    closeWake(this.#memory, 0);
  }
}
