/*
 * CPUs of a thread: which it may run on, and staying on one. Before it: poller.ts, for its own thread; whoever is told CPUs by a user. After it: the addon,
 * /proc. Where one of them is missing threads run where the scheduler puts them.
 */
import { readFileSync } from 'node:fs';
import { nativeAddon } from '../native/load.ts';

/** CPUs that the calling thread may run on; empty: not known. */
export function allowedCpus(): number[] {
  try {
    const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/thread-self/status', 'latin1'));
    return list === null ? [] : list[1].split(',').flatMap(range);
  } catch {
    return []; // another system
  }
}

/** `3` or `0-3`. */
function range(text: string): number[] {
  const [first, last = first] = text.split('-').map(Number);
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/** The CPU that worker `slot`, from 1 on, stays on: `cpus` are dealt out in turn. undefined: wherever the scheduler puts it. */
export function cpuOf(cpus: readonly number[], slot: number): number | undefined {
  return slot === 0 || cpus.length === 0 ? undefined : cpus[(slot - 1) % cpus.length];
}

/** What Open vSwitch calls the core of worker `slot`: its CPU, or its number when it has none of its own. */
export function coreOf(cpus: readonly number[], slot: number): number {
  return cpuOf(cpus, slot) ?? slot;
}

/** Where this thread may run when it does not stay on a CPU; undefined: it does not. */
let before: number[] | undefined;

/** The calling thread stays on this CPU from now on; -1: it runs where it could before. */
export function stayOn(cpu: number): void {
  if (cpu < 0 && before === undefined) return;
  before ??= allowedCpus();
  const cpus = cpu < 0 ? before : [cpu];
  if (cpu < 0) before = undefined;
  if (cpus.length > 0) nativeAddon()?.setAffinity(cpus);
}
