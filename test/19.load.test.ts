/*
 * As much as a host can send, through a datapath of one worker (test/support/lab-load.mjs), over each kind of port: what the interfaces counted and what we
 * have counted agree to the packet, memory stays as it is, and a worker that is killed over and over is replaced and takes nothing with it but what it had
 * in hand. LOAD_SECONDS sets how long, 600 for the long run.
 */
import { describe, expect, it } from 'vitest';
import type { DatapathStats } from '../src/index.ts';
import { expectAccounted } from './support/datapath.ts';
import { runInLab, whyNoLab } from './support/lab.ts';
import { type CountedPort, expectCountersAfterDeaths, expectCountersOfInterfaces } from './support/lab-counters.ts';

interface Load {
  /** Packets a second that came in. */
  rate: number;
  kills: { polls: number; receives: number }[];
  memory: number[];
  lost: number[];
  ports: CountedPort[];
  flows: number;
  stats: DatapathStats;
  check: number;
}

const SECONDS = Number(process.env.LOAD_SECONDS ?? 3);
const KILLS = 4;
/** Flows of the sender. What the hosts said on their own has flows as well. */
const FLOWS = 1000;
/** Growth of the resident size after warming up that is no leak, KiB: garbage that waits for its collector, threads that replace others. */
const GROWTH_MAX_KIB = 32_768;
const BACKENDS = [
  'afpacket',
  'afpacket,tx=socket',
  'afpacket,ring=copied',
  'afxdp',
  'afxdp,mode=generic',
  'afxdp,offload=on',
];
const whyNot = whyNoLab();

describe.skipIf(whyNot)(`load${whyNot ? `: ${whyNot}` : ''}`, () => {
  it.each(BACKENDS)(
    'over %s is counted as the interfaces count it',
    { timeout: 1_200_000 + SECONDS * 2000 },
    async (backend) => {
      const load = await runInLab<Load>('lab-load', backend, String(SECONDS));
      expect(load.stats.received).toBeGreaterThan(FLOWS);
      expect(load.flows).toBeGreaterThanOrEqual(FLOWS);
      expectCountersOfInterfaces(load.ports);
      expectAccounted(load.stats);
      expect(load.check).toBe(0);
      expect(load.memory[load.memory.length - 1] - load.memory[0]).toBeLessThan(GROWTH_MAX_KIB);
    },
  );

  it.each(BACKENDS)('over %s goes on when the worker is killed', async (backend) => {
    const load = await runInLab<Load>('lab-load', backend, '1', String(KILLS));
    const { stats } = load;
    expect(load.kills.length).toBeGreaterThan(0);
    expect(stats.workersLost).toBe(load.kills.length);
    expect(stats.drops.workerLost).toBe(load.lost.reduce((sum, packets) => sum + packets, 0));
    expect(Math.max(...load.lost)).toBeLessThanOrEqual(32);
    expect(load.flows).toBeGreaterThanOrEqual(FLOWS);
    expectCountersAfterDeaths(load.ports, stats.drops.workerLost);
    expectAccounted(stats);
    expect(load.check).toBe(0);
  });
});
