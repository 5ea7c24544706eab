/*
 * Queues distributed and redistributed over workers: the plan against all plans there are, the order of packets while a queue changes hands at the worst
 * moments, and real interfaces of several queues with workers that stop, begin and die meanwhile (test/support/lab-queues.mjs). SEED sets the seed.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import type { Datapath, DatapathStats } from '../src/index.ts';
import type { Receiver } from '../src/ports/distribution.ts';
import { flowTuple, udpFrame } from '../src/ports/frames.ts';
import { type PlannedQueue, plan } from '../src/ports/queue-plan.ts';
import { DatapathMemory } from '../src/wasm/memory.ts';
import { BUILDS, expectAccounted, openDatapath, SEED } from './support/datapath.ts';
import { runInLab, whyNoLab } from './support/lab.ts';
import { type CountedPort, expectCountersAfterDeaths } from './support/lab-counters.ts';
import { PacketRing, RING_PORT } from './support/packet-rings.ts';

/** What a queue weighs that nobody sends to. */
const LOOK = 0.001;
/** Least that a plan must gain, and what rounding may add. */
const GAIN_MIN = 0.01;
const EPSILON = 1e-9;

function loads(queues: readonly PlannedQueue[], planned: readonly number[], workers: readonly number[]): number[] {
  return workers.map((worker) =>
    queues.reduce((sum, { usage }, i) => sum + (planned[i] === worker ? usage + LOOK : 0), 0),
  );
}

/** The least that the busiest worker can have, of all distributions. */
function best(queues: readonly PlannedQueue[], workers: readonly number[]): number {
  const tryFrom = (i: number, planned: readonly number[]): number => {
    if (i === queues.length) return Math.max(...loads(queues, planned, workers));
    const choices = queues[i].isFixed ? [queues[i].worker] : workers;
    return Math.min(...choices.map((worker) => tryFrom(i + 1, [...planned, worker])));
  };
  return tryFrom(0, []);
}

describe('a plan', () => {
  const queue = fc.record({
    worker: fc.integer({ min: 1, max: 4 }),
    usage: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1, noNaN: true })),
    isFixed: fc.constant(false),
  });
  const some = { queues: fc.array(queue, { maxLength: 6 }), pollers: fc.integer({ min: 1, max: 3 }) };

  it(`has no worker that is busier than 4/3 of the best there is, and leaves nothing to those that stop, SEED=${SEED}`, () => {
    fc.assert(
      fc.property(fc.record(some), ({ queues, pollers }) => {
        const workers = Array.from({ length: pollers }, (_, i) => i + 1);
        const planned = plan(queues, workers);
        expect(planned.every((worker) => workers.includes(worker))).toBe(true);
        const most = Math.max(...loads(queues, planned, workers));
        expect(most * (1 - GAIN_MIN)).toBeLessThanOrEqual(best(queues, workers) * (4 / 3) + EPSILON);
        expect(
          plan(
            queues.map((each, i) => ({ ...each, worker: planned[i] })),
            workers,
          ),
        ).toEqual(planned);
      }),
      { seed: SEED },
    );
  });

  it('leaves what is fixed, counts it, and moves nothing without a gain', () => {
    const at = (worker: number, usage: number, isFixed = false): PlannedQueue => ({ worker, usage, isFixed });
    expect(plan([at(1, 0.9, true), at(1, 0.2), at(1, 0.3)], [1, 2])).toEqual([1, 2, 2]);
    expect(plan([at(2, 0.5), at(1, 0.5)], [1, 2])).toEqual([2, 1]);
    expect(plan([at(1, 0), at(1, 0), at(1, 0), at(2, 0)], [1, 2])).toEqual([1, 2, 1, 2]);
    expect(plan([at(0, 0.99, true), at(1, 0.4), at(1, 0.4)], [1, 2])).toEqual([0, 1, 2]);
    expect(plan([], [1, 2])).toEqual([]);
  });
});

const WORKERS = 3;

/** Three workers on this thread, and a queue of port 7, filled as the kernel would fill it; numbered frames come out of `out`. */
async function workersOnThisThread(build: (typeof BUILDS)[number]) {
  const datapath = await openDatapath({ build, workers: WORKERS });
  const { memory } = datapath;
  const out = datapath.ports.add('out', { portNo: 1, frameSize: 128 });
  await datapath.ports.addType('ring', 'null', {}, { portNo: RING_PORT });
  const ring = new PacketRing(datapath, { worker: 1, frameSize: 128 });
  datapath.flows.put(`in_port(${RING_PORT})`, '1');
  const workers = Array.from({ length: WORKERS }, (_, i) => DatapathMemory.attach(memory.module, memory.memory, i + 1));
  let filled = 0;
  /** The kernel receives `count` frames, as far as there is room. */
  const fill = (count: number): void => {
    for (let i = 0; i < count; i++) {
      const frame = udpFrame(flowTuple(0), 64);
      frame.set([filled & 255, filled >> 8], 50);
      if (!ring.receive(frame)) return;
      filled++;
    }
  };
  const numbers = (): number[] => out.receive().map((frame) => frame[50] | (frame[51] << 8));
  return { datapath, workers, fill, numbers, filled: () => filled };
}

type Step = { do: 'fill' | 'move' | 'poll' | 'settle'; n: number };

describe.each(BUILDS)('a queue, %s', (build) => {
  it(`gives its packets in their order, whoever polls it, SEED=${SEED}`, async () => {
    const step: fc.Arbitrary<Step> = fc.record({
      do: fc.constantFrom('fill', 'move', 'poll', 'settle'),
      n: fc.integer({ min: 1, max: 40 }),
    });
    const { datapath, workers, fill, numbers, filled } = await workersOnThisThread(build);
    let expected = 0;
    /** A worker that polls and does not settle has frames in hand, which nobody else may take in the meantime. */
    const take = (received: readonly number[]): void => {
      for (const number of received) expect(number).toBe(expected++ & 65535);
    };
    const run = ({ do: what, n }: Step): void => {
      const slot = 1 + (n % WORKERS);
      if (what === 'fill') fill(n);
      else if (what === 'move') expect(datapath.memory.wasm.moveQueue(RING_PORT, 0, slot)).toBe(0);
      else if (what === 'poll') workers[slot - 1].wasm.poll(4);
      else workers[slot - 1].wasm.settle();
      take(numbers());
    };
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => steps.forEach(run)),
      { seed: SEED, numRuns: 50 },
    );
    for (let i = 0; i < 100; i++) for (const { wasm } of workers) wasm.poll(4);
    for (const { wasm } of workers) wasm.settle();
    take(numbers());
    expect(expected).toBe(filled());
    expectAccounted(datapath.stats());
    for (const { wasm } of workers) wasm.detach();
    await datapath.close();
  });
});

interface Queues {
  counted: Record<'moves' | 'spread' | 'pollers' | 'kills', number>;
  /** When the load was over. */
  list: Receiver[];
  refused: Record<string, string>;
  /** Of each queue, when one worker was left. */
  workers: number[];
  lost: number[];
  ports: CountedPort[];
  stats: DatapathStats;
  check: number;
}

const whyNot = whyNoLab();
const BACKENDS = ['afpacket,queues=4', 'afpacket,queues=4,ring=copied', 'afxdp', 'afxdp,mode=generic'];

describe.skipIf(whyNot)(`queues of interfaces${whyNot ? `: ${whyNot}` : ''}`, () => {
  it.each(BACKENDS)('over %s move under full load, and every packet is counted', async (backend) => {
    const { counted, list, refused, workers, lost, ports, stats, check } = await runInLab<Queues>(
      'lab-queues',
      backend,
      '2',
    );
    expect(Math.min(...Object.values(counted))).toBeGreaterThan(0);
    expect(list.map(({ port, queue }) => `${port} ${queue}`)).toEqual(
      ['h1', 'h2'].flatMap((name) => [0, 1, 2, 3].map((n) => `${name} ${n}`)),
    );
    // generic XDP takes the first two queues of a veth for one
    expect(list.filter(({ port, packets }) => port === 'h1' && packets > 0)).toHaveLength(
      backend.includes('generic') ? 3 : 4,
    );
    expect(workers).toEqual(new Array(8).fill(1));
    expect(refused).toEqual({
      noQueues: 'ERR_QUEUE_FIXED: port replay has no queues: it stays with worker 3',
      noQueue: 'ERR_NO_SUCH_QUEUE: port h1 has queues 0 to 3, not 4',
      noWorker: 'ERR_WORKER: worker 4 polls nothing: workers 1 to 3 poll',
      noPort: 'ERR_NO_SUCH_PORT: no port h3',
      leftBehind: 'ERR_QUEUE_FIXED: port replay has no queues: it stays with worker 3, which must go on',
    });
    expect(stats.drops.workerLost).toBe(lost.reduce((sum, packets) => sum + packets, 0));
    expectCountersAfterDeaths(ports, stats.drops.workerLost);
    expectAccounted(stats);
    expect(check).toBe(0);
  });
});

describe('distribution', () => {
  const of = (datapath: Datapath): string[] => datapath.queues.list().map(({ port, worker }) => `${port} ${worker}`);

  it('leaves ports without queues alone, and says so', async () => {
    await using datapath = await openDatapath({ workers: 2 });
    datapath.ports.add('here', {});
    await datapath.ports.addType('g', 'generator', { flows: 1 }, { worker: 2 });
    await datapath.ports.addType('sink', 'null');
    expect(of(datapath)).toEqual(['here 0', 'g 2']);
    expect(await datapath.queues.spread()).toEqual([]);
    await expect(datapath.setPollers(0)).rejects.toThrow('pollers must be an integer from 1 to 2, not 0');
    await expect(datapath.setPollers(1)).rejects.toMatchObject({ code: 'ERR_QUEUE_FIXED', errno: C.EOPNOTSUPP });
    expect(datapath.pollers).toBe(2);
    await datapath.ports.remove('g');
    await datapath.setPollers(1);
    await expect(datapath.ports.addType('g', 'generator', {}, { worker: 2 })).rejects.toMatchObject({
      code: 'ERR_WORKER',
    });
    await datapath.ports.addType('g', 'generator', { flows: 1 });
    expect(of(datapath)).toEqual(['here 0', 'g 1']);
  });
});
