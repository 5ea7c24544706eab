/*
 * Ageing: removes flows that are past their timeouts. The datapath never expires flows by itself (nor does the kernel's); this component does, on the
 * owner thread, a slice of the table at a time, so that no call is long. Every slot is looked at once a round.
 */
import * as C from '../../assembly/constants.ts';
import { monotonicMs } from '../wasm/clock.ts';
import type { DatapathMemory } from '../wasm/memory.ts';

export interface AgeingOptions {
  /** Default idle timeout of flows without their own, ms; 0 = never. */
  idleTimeoutMs: number;
  /** Default hard timeout of flows without their own, ms; 0 = never. */
  hardTimeoutMs: number;
}

/** A round over a full table takes this many steps. */
const STEPS_A_ROUND = 16;
const SLOTS_MIN = 4096;

export class Ageing {
  idleTimeoutMs: number;
  hardTimeoutMs: number;
  /** Flows removed so far. */
  expired = 0;
  readonly #memory: DatapathMemory;
  #cursor = 0;

  constructor(memory: DatapathMemory, options: AgeingOptions) {
    this.#memory = memory;
    this.idleTimeoutMs = options.idleTimeoutMs;
    this.hardTimeoutMs = options.hardTimeoutMs;
  }

  /** Looks at the next slice of the table. Returns how many flows were removed. */
  step(): number {
    const used = this.#memory.superblock(C.SB_FLOW_FRESH);
    const first = this.#cursor;
    const slots = Math.max(SLOTS_MIN, Math.ceil(used / STEPS_A_ROUND));
    this.#cursor = first + slots >= used ? 0 : first + slots;
    return this.#sweep(first, slots);
  }

  /** Looks at the whole table once. */
  round(): number {
    return this.#sweep(0, this.#memory.superblock(C.SB_FLOW_FRESH));
  }

  #sweep(first: number, slots: number): number {
    const now = BigInt(Math.floor(monotonicMs()));
    const removed = this.#memory.wasm.sweepFlows(first, slots, now, this.idleTimeoutMs, this.hardTimeoutMs, 0);
    this.expired += removed;
    return removed;
  }
}
