/*
 * What lab programs print about ports, and how the counters of the interfaces and ours must agree.
 */
import { expect } from 'vitest';
import type { PortStats } from '../../src/datapath/stats.ts';

export interface CountedPort {
  name: string;
  stats: PortStats;
  link: { rx: { packets: number }; tx: { packets: number; bytes: number } };
  kernelDrops: number;
  /** What the account of the port's frames says: 0, nothing is wrong. */
  broken: number;
}

/** What the hosts say before the ports are there. */
const UNSEEN_MAX = 10;

/** To the packet. */
export function expectCountersOfInterfaces(ports: readonly CountedPort[]): void {
  for (const { name, stats, link } of ports) {
    expect(stats.txDropped, name).toBe(0);
    expect(stats.txPackets, name).toBe(link.tx.packets);
    expect(stats.txBytes, name).toBe(link.tx.bytes);
  }
  expectReceived(ports);
}

/** The same when workers died: packets of a batch that is counted as lost may have gone out before the death. */
export function expectCountersAfterDeaths(ports: readonly CountedPort[], workerLost: number): void {
  for (const { name, stats, link } of ports) {
    const uncounted = link.tx.packets - stats.txPackets;
    expect(uncounted, name).toBeGreaterThanOrEqual(0);
    expect(uncounted, name).toBeLessThanOrEqual(workerLost);
  }
  expectReceived(ports);
}

function expectReceived(ports: readonly CountedPort[]): void {
  for (const { name, stats, link, kernelDrops, broken } of ports) {
    expect(broken, name).toBe(0);
    const unseen = link.rx.packets - stats.rxPackets - kernelDrops;
    expect(unseen, name).toBeGreaterThanOrEqual(0);
    expect(unseen, name).toBeLessThan(UNSEEN_MAX);
  }
}
