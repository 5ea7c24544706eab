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

/** What was counted in a while, and how long the worker was busy. */
interface Window {
  received: number;
  transmitted: number;
  down: number;
  busyNs: number;
}

interface Down {
  up: Window[];
  down: Window[];
  upAgain: Window[];
  broken: number[];
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
/** A worker that tries again and again is busy all the time, 50 times as long as with these few packets; a busy machine may make it a few times as long. */
const COST_MAX = 10;
const whyNot = whyNoLab();

describe.skipIf(whyNot)(`interfaces${whyNot ? `: ${whyNot}` : ''}`, () => {
  it.each(['afpacket', 'afpacket,ring=copied', 'afxdp', 'afxdp,mode=generic', 'afxdp,offload=on'])(
    'change under %s, and the port follows',
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

  it.each(['afpacket', 'afpacket,tx=socket', 'afxdp', 'afxdp,mode=generic'])(
    'that are down cost no more than others under %s: what was to go out is dropped by name, once',
    async (backend) => {
      const { up, down, upAgain, broken, stats, check } = await runInLab<Down>('lab-down', backend);
      const cost = ({ busyNs, received }: Window): number => busyNs / received;
      expect(down.every(({ received, transmitted, down: dropped }) => received > 0 && transmitted + dropped > 0)).toBe(
        true,
      );
      expect(down.reduce((sum, { transmitted }) => sum + transmitted, 0)).toBe(0);
      expect([...up, ...upAgain].reduce((sum, window) => sum + window.down, 0)).toBe(0);
      expect(upAgain.every(({ transmitted }) => transmitted > 0)).toBe(true);
      expect(Math.min(...down.map(cost))).toBeLessThan(COST_MAX * Math.max(...up.map(cost)));
      expect(broken).toEqual([0, 0]);
      expectAccounted(stats);
      expect(check).toBe(0);
    },
  );

  it.each(['afpacket', 'afpacket,ring=copied', 'afxdp', 'afxdp,offload=on'])(
    'change under full load over %s, and forwarding goes on',
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
