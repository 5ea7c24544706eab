/*
 * Pump: between two rounds of a worker slot, the system calls that its queues wait for. Before it: `poll` in the module. After it: native/pump.cc, then `settle` in the module.
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
}
