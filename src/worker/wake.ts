/*
 * Waking workers that sleep on readiness: an event counter a slot, whose descriptor stands in the slot's area. Before it: whoever gives a worker
 * something to do (a frame for a memory port, the stop word). After it: worker/pump.ts in the worker. Threads: any may wake.
 */
import * as C from '../../assembly/constants.ts';
import { nativeAddon } from '../native/load.ts';
import type { DatapathMemory } from '../wasm/memory.ts';
import { isHeld } from './hold.ts';

function wakeWord(memory: DatapathMemory, slot: number): number {
  return (memory.workerArea(slot) + C.WORKER_WAKE) >>> 2;
}

/** Makes the event counter of a slot. False without the native addon: there is none, and the worker naps. */
export function openWake(memory: DatapathMemory, slot: number): boolean {
  const fd = nativeAddon()?.openWake() ?? -1;
  if (fd >= 0) Atomics.store(memory.int32, wakeWord(memory, slot), fd + 1);
  return fd >= 0;
}

/** Once no thread has the slot. */
export function closeWake(memory: DatapathMemory, slot: number): void {
  const fd = Atomics.exchange(memory.int32, wakeWord(memory, slot), 0) - 1;
  if (fd >= 0) nativeAddon()?.closeWake(fd);
}

/** Wakes the worker if it sleeps. What it is to see must be in memory before. */
export function wakeWorker(memory: DatapathMemory, slot: number): void {
  const area = memory.workerArea(slot);
  if (Atomics.load(memory.int32, (area + C.WORKER_SLEEPING) >>> 2) === 0) return;
  const fd = Atomics.load(memory.int32, wakeWord(memory, slot)) - 1;
  if (fd >= 0) nativeAddon()?.wake(fd);
}

const PAUSE_MS = 1;

/** Resolves when every poller has begun and ended a round since the call: none has anything in hand that it found before. */
export async function quiesce(memory: DatapathMemory, workerSlots: number): Promise<void> {
  const turns = (slot: number): number => Atomics.load(memory.int32, (memory.workerArea(slot) + C.WORKER_TURNS) >>> 2);
  for (let slot = 1; slot < workerSlots; slot++) {
    const before = turns(slot);
    // a round may be under way, so the end of the next one is waited for, which is when another begins
    while (isHeld(memory, slot) && ((turns(slot) - before) | 0) < 2) {
      wakeWorker(memory, slot);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}
