/*
 * Having a worker slot: which thread has it stands in the slot (WORKER_THREAD), and when that thread ends, whatever ends it, the slot is an orphan and the
 * threads that stand by are told, before the dead thread is even torn down. Before it: poller.ts. After it: native/lifeline.cc, worker/heirs.ts.
 *
 * Concepts. An orphan is nobody's until a thread that stands by takes it (one of them can); it is repaired by that thread before anything else, and while
 * that lasts the slot counts as one that has things in hand (`quiesce`). Without the addon, or without a bell, there are no orphans: the owner thread
 * hears of a death by its event, and repairs the slot itself. Threads: the one that has the slot.
 */
import { threadId } from 'node:worker_threads';
import * as C from '../../assembly/constants.ts';
import type { NativeLifeline } from '../native/io.ts';
import { nativeAddon } from '../native/load.ts';
import type { DatapathMemory } from '../wasm/memory.ts';

export class Hold {
  readonly slot: number;
  readonly #memory: DatapathMemory;
  readonly #bell: number;
  readonly #lifeline: NativeLifeline | undefined;

  /** Takes a slot that nobody has. `bell`: counter that threads which stand by wait for, -1 none do. */
  static take(memory: DatapathMemory, slot: number, bell: number): Hold {
    const hold = new Hold(memory, slot, bell);
    Atomics.store(memory.int32, holderOf(memory, slot), threadId);
    return hold;
  }

  /** Takes an orphan among slots 1 to `slots`; undefined when there is none. */
  static takeOrphan(memory: DatapathMemory, slots: number, bell: number): Hold | undefined {
    for (let slot = 1; slot <= slots; slot++) {
      if (!isOrphan(memory, slot)) continue;
      const hold = new Hold(memory, slot, bell);
      if (hold.#seize()) return hold;
      hold.#lifeline?.close();
    }
    return undefined;
  }

  private constructor(memory: DatapathMemory, slot: number, bell: number) {
    this.slot = slot;
    this.#memory = memory;
    this.#bell = bell;
    const [holder, state] = [4 * holderOf(memory, slot), 4 * stateOf(memory, slot)];
    const addon = bell < 0 ? undefined : nativeAddon();
    this.#lifeline = addon && new addon.Lifeline(memory.bytes, holder, threadId, state, C.WORKER_ORPHANED, bell);
  }

  /** False when another thread was faster, even if it is through already. */
  #seize(): boolean {
    const { int32 } = this.#memory;
    const holder = holderOf(this.#memory, this.slot);
    if (Atomics.compareExchange(int32, holder, 0, threadId) !== 0) return false;
    if (Atomics.load(int32, stateOf(this.#memory, this.slot)) === C.WORKER_ORPHANED) return true;
    Atomics.compareExchange(int32, holder, threadId, 0);
    return false;
  }

  /** The thread polls. */
  polls(): void {
    Atomics.store(this.#memory.int32, stateOf(this.#memory, this.slot), C.WORKER_POLLING);
  }

  /** The thread has left the slot as it is to be. */
  release(): void {
    this.#lifeline?.close();
    Atomics.store(this.#memory.int32, holderOf(this.#memory, this.slot), 0);
  }

  /** The thread has trapped: somebody must repair the slot. */
  abandon(): void {
    const isHeard = this.#lifeline !== undefined;
    const state = isHeard ? C.WORKER_ORPHANED : C.WORKER_TRAPPED;
    Atomics.store(this.#memory.int32, stateOf(this.#memory, this.slot), state);
    this.release();
    if (isHeard) nativeAddon()?.wake(this.#bell);
  }
}

const holderOf = (memory: DatapathMemory, slot: number): number => (memory.workerArea(slot) + C.WORKER_THREAD) >>> 2;
const stateOf = (memory: DatapathMemory, slot: number): number => (memory.workerArea(slot) + C.WORKER_STATE) >>> 2;

/** Nobody has the slot, and it is to be repaired by whoever takes it. */
function isOrphan(memory: DatapathMemory, slot: number): boolean {
  const isFree = Atomics.load(memory.int32, holderOf(memory, slot)) === 0;
  return isFree && Atomics.load(memory.int32, stateOf(memory, slot)) === C.WORKER_ORPHANED;
}

/** For the owner thread: a thread that was to have the slot died before it had it. */
export function orphan(memory: DatapathMemory, slot: number): void {
  if (Atomics.load(memory.int32, holderOf(memory, slot)) !== 0) return;
  Atomics.compareExchange(memory.int32, stateOf(memory, slot), C.WORKER_FREE, C.WORKER_ORPHANED);
}

/** A thread has the slot, or has left it with things in hand that nobody has repaired yet. */
export function isHeld(memory: DatapathMemory, slot: number): boolean {
  const state = Atomics.load(memory.int32, stateOf(memory, slot));
  const isBroken = state === C.WORKER_TRAPPED || state === C.WORKER_ORPHANED;
  return isBroken || Atomics.load(memory.int32, holderOf(memory, slot)) !== 0;
}

/** For the owner thread, which has repaired the slot of a dead thread. */
export function disown(memory: DatapathMemory, slot: number): void {
  Atomics.store(memory.int32, holderOf(memory, slot), 0);
}
