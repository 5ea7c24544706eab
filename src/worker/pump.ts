/*
 * Pump: between two rounds of a worker slot, the system calls that its queues wait for; and its sleep when there is nothing to do. Before it:
 * `poll` in the module. After it: native/pump.cc, then `settle` in the module.
 *
 * Threads: the one that has the slot. Nothing here is allocated a round.
 */
import * as C from '../../assembly/constants.ts';
import type { NativePump } from '../native/io.ts';
import { nativeAddon } from '../native/load.ts';
import type { DatapathMemory } from '../wasm/memory.ts';

export class Pump {
  readonly #memory: DatapathMemory;
  readonly #native: NativePump;
  readonly #touched: number;
  readonly #touchedList: number;
  readonly #pollCount: number;
  readonly #pollSet: number;
  readonly #sleeping: number;

  /** The pump of a slot; undefined without the native addon, where no port has queues. */
  static open(memory: DatapathMemory, slot: number): Pump | undefined {
    const addon = nativeAddon();
    return addon === undefined ? undefined : new Pump(memory, slot, new addon.Pump(memory.bytes));
  }

  private constructor(memory: DatapathMemory, slot: number, native: NativePump) {
    const area = memory.workerArea(slot);
    this.#memory = memory;
    this.#native = native;
    this.#touched = (area + C.WORKER_TOUCHED) >>> 2;
    this.#touchedList = memory.u32(area + C.WORKER_TOUCHED_LIST);
    this.#pollCount = (area + C.WORKER_POLL_COUNT) >>> 2;
    this.#pollSet = memory.u32(area + C.WORKER_POLL_SET);
    this.#sleeping = (area + C.WORKER_SLEEPING) >>> 2;
  }

  /** Kicks and settles what the round touched. True when there was something. */
  turn(): boolean {
    const count = this.#memory.words[this.#touched];
    if (count === 0) return false;
    this.#native.kick(this.#touchedList, count);
    this.#memory.wasm.settle();
    return true;
  }

  /** Kicks what a slot whose thread is dead had queued; recovery settles it. */
  kick(): void {
    const count = this.#memory.words[this.#touched];
    if (count > 0) this.#native.kick(this.#touchedList, count);
  }

  /** For who waits in another way: how long `sleep` would at most, in us; 0 when there is something already. `awake` ends it. */
  prepare(): number {
    return this.#memory.wasm.prepareSleep();
  }

  /** After `prepare`: what `sleep` would wait for. */
  descriptors(): number[] {
    const first = this.#pollSet >>> 2;
    return Array.from({ length: this.#memory.words[this.#pollCount] }, (_, i) => this.#memory.words[first + 2 * i]);
  }

  /** After `prepare`: takes away what woke it and is not a packet, a count of the event counter or an error. */
  awake(): void {
    if (Atomics.exchange(this.#memory.int32, this.#sleeping, 0) !== 0)
      this.#native.sleep(this.#pollSet, this.#memory.words[this.#pollCount], 0);
  }

  /** Waits until something can be received or the slot's event counter is written to, unless something is there already. */
  sleep(): void {
    const limitUs = this.#memory.wasm.prepareSleep();
    if (limitUs === 0) return;
    this.#native.sleep(this.#pollSet, this.#memory.words[this.#pollCount], limitUs);
    Atomics.store(this.#memory.int32, this.#sleeping, 0);
  }
}
