/*
 * Datapaths for tests: both builds, small sizes, nothing that happens by the clock, and the equations that hold in every run.
 *
 * The seed of a run comes from SEED or from chance, and stands in the names of the tests that use it.
 */
import { expect } from 'vitest';
import { allHits, receiveDrops } from '../../src/datapath/stats.ts';
import { Datapath, type DatapathOptions, type DatapathStats } from '../../src/index.ts';
import type { WasmBuild } from '../../src/wasm/load.ts';

export const BUILDS: readonly WasmBuild[] = ['release', 'debug'];
export const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2147483647));
const MIB = 1048576;

/** The debug build checks more and is slower: a quarter of the steps are enough for it. */
export function stepsOf(build: WasmBuild, steps: number): number {
  return build === 'debug' ? Math.ceil(steps / 4) : steps;
}

/** A small datapath whose flows never age; its hashes follow from SEED. */
export function openDatapath(options: DatapathOptions = {}): Promise<Datapath> {
  return Datapath.open({ ...SMALL, ...options });
}

/** The memory of such a datapath, which a message still has to make. */
export function bareDatapath(options: DatapathOptions = {}): Datapath {
  return Datapath.bare({ ...SMALL, ...options });
}

const SMALL: DatapathOptions = {
  flows: 4096,
  emcEntries: 8192,
  upcallFrames: 256,
  arenaSize: 64 * MIB,
  idleTimeoutMs: 0,
  seed: BigInt.asUintN(64, BigInt(SEED) * 0x9e3779b97f4a7c15n),
};

/**
 * Every packet has its place: the equations of src/datapath/stats.ts. Holds while the workers stand still. `direct` is how many lists were
 * executed by a call of `execute`, which counts none.
 */
export function expectAccounted(stats: DatapathStats, direct = 0): void {
  const { received, recirculated, hits, misses, answered, upcallsPending, drops, upcalls } = stats;
  const found = allHits(hits);
  expect(found + misses + receiveDrops(drops), 'received').toBe(received + recirculated + stats.segmented);
  const dropped = Object.entries(drops).reduce((sum, [name, n]) => sum + (name.startsWith('upcall') ? n : 0), 0);
  expect(answered + upcallsPending + dropped, 'misses').toBe(misses);
  expect(upcallsPending, 'upcalls pending').toBeGreaterThanOrEqual(0);
  if (drops.workerLost > 0) return;
  const kept = ENDS.reduce((sum, name) => sum + drops[name], 0);
  const ended = stats.transmitted + upcalls.action + upcalls.actionLost + stats.psampled + recirculated + kept;
  expect(ended, 'hits, executed and copies').toBe(found + stats.executed + direct + stats.copies);
}

const ENDS = [
  ...(['flow', 'explicit', 'action', 'meter', 'ttl', 'recursion'] as const),
  ...(['noPort', 'txFull', 'txLong', 'txDown', 'noEthernet'] as const),
];

/** Lets timers and promises of the datapath run until `done` says so. */
export async function until(done: () => boolean, what: string, limitMs = 600_000): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!done()) {
    if (performance.now() > deadline) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
