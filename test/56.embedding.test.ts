/*
 * Embedding without pollers: batches on a pool thread now and then, and a trap on the calling thread.
 */
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import { Datapath, flood } from '../src/index.ts';
import { flowTuple, udpFrame } from '../src/ports/frames.ts';

describe('batch tasks', () => {
  it('process what waits, on a pool thread, and answer its misses here', async () => {
    const datapath = await Datapath.open({ flows: 4096, workers: 2 });
    const a = datapath.ports.add('a', { worker: 1 });
    const b = datapath.ports.add('b', { worker: 2 });
    await datapath.onUpcall(flood());
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 40; i++) expect(a.send(udpFrame(flowTuple(i)))).toBe(true);
      for (let i = 0; i < 10; i++) expect(b.send(udpFrame(flowTuple(i)))).toBe(true);
      const received = await Promise.all([datapath.batch(1), datapath.batch(2), datapath.batch(1)]);
      expect(received).toEqual([40, 10, 0]);
      expect(b.receive().length).toBe(40);
      expect(a.receive().length).toBe(10);
    }
    const stats = datapath.stats();
    expect(stats.received).toBe(1000);
    expect(stats.received).toBe(stats.hits.emc + stats.hits.megaflow + stats.misses);
    expect(stats.hits.emc).toBeGreaterThan(800); // the slot's cache stays warm between batches
    await datapath.close();
    expect(datapath.check()).toBe(0);
  });

  it('refuse what makes no sense', async () => {
    const datapath = await Datapath.open({ flows: 4096, workers: 1 });
    datapath.ports.add('a', { worker: 1 });
    await expect(datapath.batch(0)).rejects.toThrow(RangeError);
    await expect(datapath.batch(2)).rejects.toThrow(RangeError);
    await datapath.start();
    await expect(datapath.batch(1)).rejects.toMatchObject({ code: 'ERR_WORKER' });
    await datapath.close();
    await expect(datapath.batch(1)).rejects.toMatchObject({ code: 'ERR_DATAPATH_CLOSED' });
  });
});

describe('a trap on the calling thread', () => {
  it('is an error for the caller, and its packets are accounted for', async () => {
    const datapath = await Datapath.open({ flows: 4096 });
    const a = datapath.ports.add('a');
    datapath.ports.add('b');
    await datapath.onUpcall(flood());
    for (let i = 0; i < 10; i++) a.send(udpFrame(flowTuple(i)));
    datapath.memory.setU32(datapath.memory.workerArea(0) + C.WORKER_SABOTAGE, 1);
    expect(() => datapath.poll()).toThrow('10 packets were lost');
    datapath.process(a, [udpFrame(flowTuple(1))]);
    const stats = datapath.stats();
    expect(stats.received).toBe(11);
    expect(stats.drops.workerLost).toBe(10);
    expect(stats.hits.emc + stats.hits.megaflow + stats.misses).toBe(1);
    expect(datapath.check()).toBe(0);
    await datapath.close();
  });
});
