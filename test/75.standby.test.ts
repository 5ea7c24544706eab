/*
 * Threads that stand by (src/worker/heirs.ts): a worker whose thread dies is followed at once by one of them, without the owner thread, which
 * here hears of nothing for as long as a test likes; whichever thread dies, and however many at once, and with none of them it still is replaced.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import type { Datapath, DatapathEvent, DatapathOptions } from '../src/index.ts';
import { nativeAddon, nativeUnavailableReason } from '../src/native/load.ts';
import { WorkerPool } from '../src/worker/pool.ts';
import { expectAccounted, openDatapath, until } from './support/datapath.ts';

type Lost = Extract<DatapathEvent, { type: 'worker-lost' }>;

const FLOWS = 500;
const PATIENCE_MS = 20_000;
const whyNot = nativeUnavailableReason();
const open: Datapath[] = [];
afterEach(async () => {
  for (const datapath of open.splice(0)) await datapath.close();
});

/** A datapath whose workers each receive from a generator of their own. */
async function forwarding(options: DatapathOptions): Promise<{ datapath: Datapath; lost: Lost[] }> {
  const lost: Lost[] = [];
  const onEvent = (event: DatapathEvent): void => void (event.type === 'worker-lost' && lost.push(event));
  const datapath = await openDatapath({ ...options, onEvent });
  open.push(datapath);
  for (let worker = 1; worker <= datapath.options.workers; worker++) {
    await datapath.ports.addType(`g${worker}`, 'generator', { flows: FLOWS }, { worker, portNo: worker });
    datapath.flows.put(`in_port(${worker})`, '100');
  }
  await datapath.ports.addType('sink', 'null', {}, { portNo: 100 });
  await datapath.start();
  return { datapath, lost };
}

const word = ({ memory }: Datapath, slot: number, offset: number): number =>
  Atomics.load(memory.int32, (memory.workerArea(slot) + offset) >>> 2);
const generation = (datapath: Datapath, slot: number): number => word(datapath, slot, C.WORKER_GENERATION);
const isPolling = (datapath: Datapath, slot: number): boolean =>
  word(datapath, slot, C.WORKER_STATE) === C.WORKER_POLLING;

/** Waits without giving the owner thread's events a chance. */
function untilWithoutEvents(condition: () => boolean): boolean {
  const nap = new Int32Array(new SharedArrayBuffer(4));
  const end = performance.now() + PATIENCE_MS;
  while (!condition() && performance.now() < end) Atomics.wait(nap, 0, 0, 1);
  return condition();
}

/** Both are followed: each slot was taken once more, and polls. */
const areFollowed = (datapath: Datapath, before: readonly number[]): boolean =>
  before.every((taken, i) => generation(datapath, i + 1) > taken && isPolling(datapath, i + 1));

const SCHED_RR = 2;
/** Threads of this process that run before all ordinary ones. proc(5): the policy is the 41st field. */
function urgentThreads(): number {
  const policyOf = (id: string): number => {
    try {
      return Number(readFileSync(`/proc/self/task/${id}/stat`, 'latin1').split(') ')[1].split(' ')[38]);
    } catch {
      return 0; // it has ended
    }
  };
  return readdirSync('/proc/self/task').filter((id) => policyOf(id) === SCHED_RR).length;
}

const generations = (datapath: Datapath): number[] =>
  Array.from({ length: datapath.options.workers }, (_, i) => generation(datapath, i + 1));

/** Resolves when all workers poll and receive. */
async function untilForwarding(datapath: Datapath): Promise<void> {
  for (let slot = 1; slot <= datapath.options.workers; slot++)
    await until(() => isPolling(datapath, slot), `worker ${slot} polls`);
  const received = (): number[] => [...datapath.ports].map((port) => port.stats().rxPackets).slice(0, -1);
  const before = received();
  await until(() => received().every((packets, i) => packets > before[i]), 'packets come in by all of them');
}

/** One more thread than there are slots is ready: it waits for the bell. */
const untilOneStandsBy = (datapath: Datapath): Promise<unknown> =>
  until(() => (datapath.pool?.standing ?? 0) > 0, 'a thread stands by');

async function expectNothingLostButCounted(datapath: Datapath, lost: readonly Lost[], deaths: number): Promise<void> {
  await until(() => lost.length === deaths, 'all deaths are told');
  await untilForwarding(datapath);
  await datapath.stop();
  const stats = datapath.stats();
  expect(stats.workersLost).toBe(deaths);
  expect(stats.drops.workerLost).toBe(lost.reduce((sum, { packetsLost }) => sum + packetsLost, 0));
  expectAccounted(stats);
  expect(datapath.check()).toBe(0);
}

describe.skipIf(whyNot)(`a thread that stands by${whyNot ? `: ${whyNot}` : ''}`, () => {
  it('follows a killed worker while the owner thread hears of nothing', async () => {
    const { datapath, lost } = await forwarding({ workers: 1 });
    await untilForwarding(datapath);
    await untilOneStandsBy(datapath);
    const before = generations(datapath);
    const killed = datapath.pool!.kill(1);
    expect(untilWithoutEvents(() => areFollowed(datapath, before))).toBe(true);
    const { received } = datapath.stats();
    expect(untilWithoutEvents(() => datapath.stats().received > received)).toBe(true);
    expect(lost).toEqual([]);
    await killed;
    await expectNothingLostButCounted(datapath, lost, 1);
  });

  it('follows one that traps', async () => {
    const { datapath, lost } = await forwarding({ workers: 1 });
    await untilForwarding(datapath);
    await untilOneStandsBy(datapath);
    const before = generations(datapath);
    datapath.memory.setU32(datapath.memory.workerArea(1) + C.WORKER_SABOTAGE, 1);
    expect(untilWithoutEvents(() => areFollowed(datapath, before))).toBe(true);
    await expectNothingLostButCounted(datapath, lost, 1);
    expect(lost[0].packetsLost).toBeGreaterThan(0);
  });

  it('follows each of two that die at once, when there are two', async () => {
    const { datapath, lost } = await forwarding({ workers: 2, standby: 2 });
    await untilForwarding(datapath);
    await until(() => datapath.pool!.standing === 2, 'two threads stand by');
    const before = generations(datapath);
    const killed = [datapath.pool!.kill(1), datapath.pool!.kill(2)];
    expect(untilWithoutEvents(() => areFollowed(datapath, before))).toBe(true);
    await Promise.all(killed);
    await expectNothingLostButCounted(datapath, lost, 2);
  });

  it('is itself followed when it dies, and so are more workers than there are of them', async () => {
    const { datapath, lost } = await forwarding({ workers: 3 });
    await untilForwarding(datapath);
    await untilOneStandsBy(datapath);
    await datapath.pool!.kill(0);
    await Promise.all([1, 2, 3].map((slot) => datapath.pool!.kill(slot)));
    await until(() => lost.length === 3, 'three deaths are told');
    await untilOneStandsBy(datapath);
    await expectNothingLostButCounted(datapath, lost, 3);
  });

  it('goes before all others, where it may, until it has taken over', async (context) => {
    const addon = nativeAddon()!;
    const errno = addon.setUrgent(true);
    addon.setUrgent(false);
    if (errno !== 0) return context.skip(`SCHED_RR needs CAP_SYS_NICE: errno ${errno}`);
    expect(urgentThreads()).toBe(0);
    const { datapath, lost } = await forwarding({ workers: 1 });
    for (let deaths = 1; deaths <= 3; deaths++) {
      await untilOneStandsBy(datapath);
      await until(() => urgentThreads() === 1, 'nobody but that one goes before others');
      await datapath.pool!.kill(1);
      await until(() => lost.length === deaths, 'its death is told');
    }
    await untilOneStandsBy(datapath);
    await until(() => urgentThreads() === 1, 'nobody but that one goes before others');
    await expectNothingLostButCounted(datapath, lost, 3);
    await until(() => urgentThreads() === 0, 'nobody stands by');
  });

  it('goes on after the datapath was stopped and started again', async () => {
    const { datapath, lost } = await forwarding({ workers: 1 });
    for (let turn = 0; turn < 5; turn++) {
      await datapath.stop();
      await datapath.start();
    }
    await untilOneStandsBy(datapath);
    const before = generations(datapath);
    const killed = datapath.pool!.kill(1);
    expect(untilWithoutEvents(() => areFollowed(datapath, before))).toBe(true);
    await killed;
    await expectNothingLostButCounted(datapath, lost, 1);
  });

  it('repairs a slot whose worker dies while the datapath is being stopped', async () => {
    const { datapath, lost } = await forwarding({ workers: 1 });
    await untilForwarding(datapath);
    const killed = datapath.pool!.kill(1);
    await datapath.stop();
    await killed;
    expectAccounted(datapath.stats());
    expect(datapath.stats().workersLost).toBe(lost.length);
    await datapath.start();
    await untilForwarding(datapath);
  });

  it('is none of those that batches run in', async () => {
    const datapath = await openDatapath({ workers: 2 });
    open.push(datapath);
    const port = datapath.ports.add('in', { worker: 2 });
    const pool = new WorkerPool(datapath.memory, { pollers: 1, standby: 1, affinity: () => [], onEvent: () => {} });
    await pool.start();
    await until(() => pool.standing === 1, 'a thread stands by');
    for (let turn = 0; turn < 3; turn++) {
      port.send(new Uint8Array(60));
      expect(await pool.batch(2)).toBe(1);
    }
    expect(pool.standing).toBe(1);
    await pool.close();
  });
});

describe('without a thread that stands by', () => {
  it('a killed worker is replaced by a new one', async () => {
    const { datapath, lost } = await forwarding({ workers: 2, standby: 0 });
    for (let deaths = 1; deaths <= 4; deaths++) {
      await untilForwarding(datapath);
      await datapath.pool!.kill(1 + (deaths % 2));
      await until(() => lost.length === deaths, `death ${deaths} is told`);
    }
    expect(datapath.pool!.standing).toBe(0);
    await expectNothingLostButCounted(datapath, lost, 4);
  });
});
