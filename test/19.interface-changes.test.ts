/*
 * Interfaces that go down, change their MTU or name, are deleted, made anew, moved to another namespace, or lose their namespace, while others forward
 * (test/support/lab-changes.mjs): the port follows, the others lose nothing, and nobody spins. And all of
 * that under full load (test/support/lab-churn.mjs).
 */
import { describe, expect, it } from 'vitest';
import type { DatapathStats } from '../src/index.ts';
import { expectAccounted } from './support/datapath.ts';
import { runInLab, whyNoLab } from './support/lab.ts';

interface Changes {
  outcomes: Record<string, unknown> & { loadWhileGone: number; idleLoad: number };
  stats: DatapathStats;
  check: number;
}

interface Churn {
  outcomes: string[];
  described: string[];
  /** What the account of each port's frames says: 0, nothing is wrong. */
  broken: number[];
  stats: DatapathStats;
  check: number;
}

/** Most of a processor that a process with nothing to do may take, on a machine that is busy otherwise. */
const IDLE_LOAD_MAX = 0.2;
const whyNot = whyNoLab();

describe.skipIf(whyNot)(`interfaces${whyNot ? `: ${whyNot}` : ''}`, () => {
  it.each(['afpacket', 'afpacket,ring=copied', 'afxdp', 'afxdp,mode=generic', 'afxdp,offload=on'])(
    'change under %s, and the port follows',
    { timeout: 60_000 },
    async (backend) => {
      const { outcomes, stats, check } = await runInLab<Changes>('lab-changes', backend);
      const { loadWhileGone, idleLoad, ...steps } = outcomes;
      expect(steps).toEqual({
        before: [true, true],
        down: false,
        upAgain: true,
        ...(backend.startsWith('afxdp') ? { mtuRaised: { long: false, short: true, counted: true } } : { jumbo: true }),
        renamed: true,
        deleted: [true, false],
        madeAnew: [true, true],
        moved: [true, false],
        movedBack: [true, true],
        namespaceDeleted: true,
        othersLost: 0,
        after: true,
      });
      expect(loadWhileGone).toBeLessThan(IDLE_LOAD_MAX);
      expect(idleLoad).toBeLessThan(IDLE_LOAD_MAX);
      expect(stats.drops.txDown).toBeGreaterThan(0);
      expect(stats.drops.noPort).toBeGreaterThan(0);
      expectAccounted(stats);
      expect(check).toBe(0);
    },
  );

  it.each(['afpacket', 'afpacket,ring=copied', 'afxdp', 'afxdp,offload=on'])(
    'change under full load over %s, and forwarding goes on',
    { timeout: 120_000 },
    async (backend) => {
      const { outcomes, described, broken, stats, check } = await runInLab<Churn>('lab-churn', backend, '1');
      expect(outcomes).toEqual([
        ...['down', 'mtu', 'rename'].flatMap((what) => [`${what} h1: true`, `${what} h2: true`]),
        'remake h2: true',
      ]);
      expect(described.join()).not.toContain('is gone');
      expect(broken).toEqual([0, 0]);
      expect(stats.drops.txDown).toBeGreaterThan(0);
      expect(stats.drops.noPort).toBeGreaterThan(0);
      expectAccounted(stats);
      expect(check).toBe(0);
    },
  );
});
