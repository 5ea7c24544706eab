/*
 * Checksums that were left to be made and super-frames that were left to be cut (virtio_net_hdr), on their way to a port that takes plain frames and
 * to a handler: byte for byte what the kernel makes of the same frames at an interface whose offloads are off. SEED sets the seed.
 */
import { describe, expect, it } from 'vitest';
import type { DatapathStats } from '../src/index.ts';
import { expectAccounted, SEED } from './support/datapath.ts';
import { runInLab, whyNoLab } from './support/lab.ts';
import { requireProgram } from './support/require.ts';

interface Outcome {
  /** Cases that the kernel would not send: none. */
  refused: [number, number][];
  results: { name: string; kernel: string[]; ours: string[] }[];
  stats: DatapathStats;
}

const CASES = 150;
const whyNot = whyNoLab() ?? requireProgram('ethtool') ?? requireProgram('python3');

describe.skipIf(whyNot)(`offloads${whyNot ? `: ${whyNot}` : ''}, SEED=${SEED}`, () => {
  it.each(['miss', 'output', 'push', 'check'])('are carried out as by the kernel: %s', async (way) => {
    const { refused, results, stats } = await runInLab<Outcome>('lab-segments', String(SEED), String(CASES), way);
    expect(refused).toEqual([]);
    for (const { name, kernel, ours } of results) {
      if (way !== 'check') expect(kernel.length, name).toBeGreaterThan(0);
      expect(ours, name).toEqual(kernel);
    }
    expectAccounted(stats);
    const passed = results.filter(({ kernel }) => kernel.length > 0);
    expect(passed.length).toBeGreaterThan(CASES / 5);
    if (way === 'check') expect(passed.length).toBeLessThan(CASES);
    const extra = passed.reduce((sum, { kernel }) => sum + kernel.length - 1, 0);
    expect(way === 'miss' ? stats.segmented : stats.copies).toBe(extra);
    expect(extra).toBeGreaterThan(CASES);
  });
});
