/*
 * Real interfaces, end to end: two hosts in network namespaces do to each other whatever hosts do (test/support/lab-exercise.mjs), through a Linux
 * bridge and through the datapath over each kind of port. The outcomes are the same, every packet is accounted for, and the interfaces
 * have counted what we have.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import type { PortStats } from '../src/datapath/stats.ts';
import type { DatapathStats } from '../src/index.ts';
import { expectAccounted } from './support/datapath.ts';
import { runInLab, whyNoLab } from './support/lab.ts';
import { requireProgram } from './support/require.ts';

interface LinkCounts {
  rx: { packets: number; bytes: number };
  tx: { packets: number; bytes: number };
}

interface Exercise {
  outcomes: Record<string, unknown>;
  stats: DatapathStats;
  /** What the account of each port's frames says: 0, nothing is wrong. */
  broken: number[];
  ports: { name: string; stats: PortStats; link: LinkCounts }[];
}

const whyNot = whyNoLab() ?? requireProgram('ethtool') ?? requireProgram('python3');
const BACKENDS = [
  ...['afpacket', 'afpacket,tx=socket', 'afpacket,ring=copied', 'afpacket,queues=2'],
  ...['afxdp', 'afxdp,mode=generic', 'afxdp,offload=on', 'tap', 'tap,queues=2'],
];
const RUNS = [
  ...BACKENDS.map((backend) => [backend, 'learning']),
  ...['afpacket', 'afpacket,queues=2', 'afxdp', 'afxdp,offload=on', 'tap'].map((backend) => [backend, 'static']),
];
/** What is not asked of ports whose frames are short. */
const JUMBO = ['jumbo', 'tcp jumbo'];

describe.skipIf(whyNot)(`two hosts${whyNot ? `: ${whyNot}` : ''}`, () => {
  let bridged: Exercise;
  beforeAll(async () => {
    bridged = await runInLab<Exercise>('lab-exercise', 'bridge');
  });

  it('have what they need: the bridge is an oracle', () => {
    expect(bridged.outcomes).toMatchObject({ arpAndPing: true, jumbo: true, 'tcp fd00::2': { whole: true } });
    expect(bridged.outcomes.raw).toHaveLength(6);
  });

  it.each(RUNS)('over %s by the handler %s see what they see through a Linux bridge', async (backend, handler) => {
    const { outcomes, stats, ports, broken } = await runInLab<Exercise>('lab-exercise', backend, handler);
    const asked = Object.entries(bridged.outcomes).filter(
      ([name]) => !(backend.startsWith('afxdp') && JUMBO.includes(name)),
    );
    expect(outcomes).toEqual(Object.fromEntries(asked));
    expectAccounted(stats);
    expect(broken).toEqual([0, 0]);
    for (const { link, stats: own } of ports) {
      expect(own.txDropped).toBe(0);
      expect({ packets: own.txPackets, bytes: own.txBytes }).toEqual({
        packets: link.tx.packets,
        bytes: link.tx.bytes,
      });
      // what the host said before the port was there, and after it was gone, the port has not seen
      expect(link.rx.packets - own.rxPackets).toBeGreaterThanOrEqual(0);
      expect(link.rx.packets - own.rxPackets).toBeLessThan(20);
    }
  });
});
