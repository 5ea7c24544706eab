/*
 * Order over wires: numbered frames of a few flows through a datapath of two workers, between which queues move back and forth under load
 * (test/support/lab-order.mjs). Whoever polls, each flow arrives in its order, and what does not arrive is in some counter.
 */
import { describe, expect, it } from 'vitest';
import type { DatapathStats } from '../src/index.ts';
import { expectAccounted } from './support/datapath.ts';
import { runInLab, whyNoLab } from './support/lab.ts';
import { type CountedPort, expectCountersOfInterfaces } from './support/lab-counters.ts';

interface Order {
  /** Times that a queue changed its worker. */
  moves: number;
  /** Frames of each flow. */
  sent: number[];
  received: {
    counts: number[];
    lateCount: number;
    /** Of the first ones that came too late: the number before, its own. */
    late: [number, number][];
    kernelDrops: number;
  };
  ports: CountedPort[];
  stats: DatapathStats;
  check: number;
}

const SECONDS = process.env.ORDER_SECONDS ?? '2';
/** What the hosts say of themselves beside the frames. */
const OTHERS_MAX = 50;
const whyNot = whyNoLab();
const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);

describe.skipIf(whyNot)(`order${whyNot ? `: ${whyNot}` : ''}`, () => {
  it.each(['afpacket,queues=4', 'afpacket,queues=4,tx=socket', 'afxdp', 'afxdp,mode=generic'])(
    'over %s is kept while queues move between workers',
    { timeout: 1_200_000 + 4000 * Number(SECONDS) },
    async (backend) => {
      const { moves, sent, received, ports, stats, check } = await runInLab<Order>('lab-order', backend, SECONDS);
      expect(moves).toBeGreaterThan(20);
      expect(Math.min(...received.counts)).toBeGreaterThan(100);
      expect(received.late).toEqual([]);
      expect(received.lateCount).toBe(0);
      expectCountersOfInterfaces(ports);
      const [from, to] = ports;
      const missing = to.link.tx.packets - sum(received.counts) - received.kernelDrops;
      expect(missing).toBeGreaterThanOrEqual(0);
      expect(missing).toBeLessThan(OTHERS_MAX);
      expect(sum(sent)).toBeGreaterThanOrEqual(from.stats.rxPackets - OTHERS_MAX);
      expectAccounted(stats);
      expect(check).toBe(0);
    },
  );
});
