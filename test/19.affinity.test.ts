/*
 * What is set for a port while it is there: receive queues pinned to cores, the exact-match cache by port; and queues of real interfaces on real threads
 * (test/support/lab-affinity.mjs). Beside ovs-vswitchd: 19.affinity-oracle. SEED sets the seed.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Dpif } from '../src/dpif/index.ts';
import type { Datapath, DatapathEvent, MemoryPort } from '../src/index.ts';
import { flowTuple, udpFrame } from '../src/ports/frames.ts';
import { readPortConfig } from '../src/ports/port-config.ts';
import { openWorkers, type PlannedQueue, plan } from '../src/ports/queue-plan.ts';
import { QueueBlocks } from '../src/ports/queues.ts';
import { BUILDS, openDatapath, SEED } from './support/datapath.ts';
import { runInLab, whyNoLab } from './support/lab.ts';
import { type CountedPort, expectCountersOfInterfaces } from './support/lab-counters.ts';
import { openQueues, packetQueue } from './support/packet-rings.ts';
import { withQueues } from './support/queue-ports.ts';

const ENODEV = 19;

describe('a plan with pins', () => {
  const queue = fc.record({
    worker: fc.integer({ min: 1, max: 4 }),
    usage: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1, noNaN: true })),
    isFixed: fc.constantFrom(true, false, false),
    pin: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined, freq: 2 }),
  });

  it(`has each queue where it is pinned, and no other on an isolated worker, SEED=${SEED}`, () => {
    const some = fc.record({
      all: fc.array(queue, { maxLength: 8 }),
      pollers: fc.integer({ min: 1, max: 4 }),
      isolates: fc.boolean(),
    });
    let kept = 0;
    fc.assert(
      fc.property(some, ({ all, pollers, isolates }) => {
        const workers = Array.from({ length: pollers }, (_, i) => i + 1);
        const queues: PlannedQueue[] = all.filter(({ pin = 1 }) => pin <= pollers);
        const planned = plan(queues, workers, isolates);
        const open = openWorkers(queues, workers, isolates);
        const pins = new Set(queues.map(({ pin }) => pin));
        for (const [i, { worker, isFixed, pin }] of queues.entries()) {
          if (pin !== undefined) expect(planned[i]).toBe(pin);
          else if (isFixed) expect(planned[i]).toBe(worker);
          else expect(open).toContain(planned[i]);
          if (pin === undefined && !isFixed && open.length < pollers) kept++;
        }
        const isNobodyLeft = workers.every((worker) => pins.has(worker));
        if (isolates && !isNobodyLeft) expect(open.some((worker) => pins.has(worker))).toBe(false);
        else expect(open).toEqual(workers);
        const settled = queues.map((each, i) => ({ ...each, worker: planned[i]! }));
        expect(plan(settled, workers, isolates)).toEqual(planned);
      }),
      { seed: SEED, numRuns: 500 },
    );
    // queues that were kept from somebody
    expect(kept).toBeGreaterThan(100);
  });
});

describe('what is set for a port', () => {
  const at = (datapath: Datapath): Record<string, number> =>
    Object.fromEntries(datapath.queues.list().map(({ port, queue, worker }) => [`${port} ${queue}`, worker]));

  it('is told by commands, survives what moves queues, and goes with the port', async () => {
    const events: DatapathEvent[] = [];
    const { datapath, ask } = await withQueues(events);
    const { queues } = datapath;
    expect(await ask('wdp/port-config', 'p0')).toBe('pmd-rxq-affinity=\nemc-enable=true\n');
    const set = (...pairs: string[]) => ask('wdp/port-config', 'p0', ...pairs);
    expect(await set('pmd-rxq-affinity=2:3,0:9', 'emc-enable=false', 'unheard=of')).toBe(
      'pmd-rxq-affinity=2:3,0:9\nemc-enable=false\n',
    );
    await queues.uphold();
    expect(at(datapath)['p0 2']).toBe(3);
    expect(Object.values(at(datapath)).filter((worker) => worker === 3)).toHaveLength(1);
    expect(events).toEqual([{ type: 'queue-not-pinned', port: 'p0', queue: 0, core: 9 }]);
    expect(queues.list().find(({ port, queue }) => port === 'p0' && queue === 2)).toMatchObject({
      fixed: 'pinned',
      core: 3,
    });

    await expect(ask('wdp/rxq-move', 'p0', '2', '1')).rejects.toThrow('queue 2 of port p0 is pinned to core 3');
    await expect(ask('wdp/rxq-move', 'p1', '0', '3')).rejects.toThrow('worker 3 is isolated');
    await ask('wdp/rxq-move', 'p0', '0', '4');
    expect(at(datapath)['p0 0']).toBe(4);
    await queues.spread();
    await datapath.setPollers(2);
    expect(events.slice(1)).toEqual([{ type: 'queue-not-pinned', port: 'p0', queue: 2, core: 3 }]);
    expect(Object.values(at(datapath)).every((worker) => worker <= 2)).toBe(true);
    await datapath.setPollers(4);
    expect([at(datapath)['p0 2'], ...queues.isolated()]).toEqual([3, 3]);

    // more queues than pollers that are not isolated: nobody is left out
    await set('pmd-rxq-affinity=0:1,1:2,2:3,3:4');
    await queues.uphold();
    expect(events.slice(2)).toEqual([{ type: 'all-isolated' }]);
    expect(await ask('dpif-netdev/pmd-rxq-show')).toMatch(/^(?!.*isolated : false)/s);
    expect(await ask('wdp/rxq-isolate', 'false')).toBe('workers that queues are pinned to poll others too\n');
    await queues.uphold();
    expect(await ask('dpif-netdev/pmd-rxq-show')).not.toContain('isolated : true');
    await expect(ask('wdp/rxq-isolate', 'no')).rejects.toThrow('it is true or false');
    expect(await ask('wdp/rxq-isolate', 'true')).toBe('workers that queues are pinned to poll nothing else\n');

    await expect(set('pmd-rxq-affinity=0:1,x')).rejects.toThrow(
      'port set 1: pmd-rxq-affinity is a list of QUEUE:CORE, such as 0:2,1:3; "x" is none (EINVAL)',
    );
    await expect(set('pmd-rxq-affinity')).rejects.toThrow('"pmd-rxq-affinity" is not key=value');
    await expect(ask('wdp/port-config', 'p9')).rejects.toThrow('there is no port p9');
    expect(await ask('wdp/port-config', '1')).toBe('pmd-rxq-affinity=0:1,1:2,2:3,3:4\nemc-enable=true\n');

    await datapath.ports.remove('p0');
    await datapath.ports.addType('p0', 'null', {}, { portNo: 1 });
    expect(await ask('wdp/port-config', 'p0')).toBe('pmd-rxq-affinity=\nemc-enable=true\n');
    expect([...queues.isolated()]).toEqual([]);
    await datapath.close();
  });

  it('names cores by the CPUs that workers stay on, the first of those that share one', async () => {
    const datapath = await openDatapath({ workers: 3, affinity: [5, 6] });
    await datapath.ports.addType('p', 'null', {}, { portNo: 1 });
    const blocks = new QueueBlocks(datapath.memory, 'the test');
    openQueues(
      blocks,
      1,
      blocks.receiveTable([3, 3].map((worker) => packetQueue(blocks, { portNo: 1, worker }).queue)),
      3,
    );
    using dpif = Dpif.open(`netdev@${datapath.name}`);
    dpif.portSetConfig(1, { 'pmd-rxq-affinity': '0:5,1:6' });
    await datapath.queues.uphold();
    expect(Object.values(at(datapath))).toEqual([1, 2]);
    dpif.portSetConfig(1, { 'pmd-rxq-affinity': '0:1,1:2' }); // these are workers, not cores
    await datapath.queues.uphold();
    expect([...datapath.queues.isolated()]).toEqual([]);
    await datapath.setAffinity([]);
    expect([...datapath.queues.isolated()]).toEqual([1, 2]);
    await datapath.close();
  });

  it('is refused for a port that there is not, with nothing changed', async () => {
    await using datapath = await openDatapath({ name: 'none' });
    using dpif = Dpif.open('netdev@none');
    expect(() => dpif.portSetConfig(5, { 'pmd-rxq-affinity': 'x' })).toThrow(
      expect.objectContaining({ errno: ENODEV, code: 'ERR_NO_SUCH_PORT' }),
    );
    expect(datapath.ports.config(5)).toEqual(readPortConfig({}));
  });
});

describe.each(BUILDS)('the exact-match cache of a port, %s', (build) => {
  it('is used unless it is switched off for the port that a packet came by, after a recirculation too', async () => {
    await using datapath = await openDatapath({ name: 'emc', build });
    using dpif = Dpif.open('netdev@emc');
    const [on, off] = ['on', 'off'].map((name) => datapath.ports.add(name)) as [MemoryPort, MemoryPort];
    for (const { portNo } of [on, off]) {
      datapath.flows.put(`recirc_id(0),in_port(${portNo}),eth(),eth_type(0x0800),ipv4(frag=no)`, 'recirc(0x1)');
      datapath.flows.put(`recirc_id(0x1),in_port(${portNo}),eth(),eth_type(0x0800),ipv4(frag=no)`, String(portNo));
    }
    const frame = udpFrame(flowTuple(1), 64);
    const hits = (port: MemoryPort): [number, number] => {
      const before = datapath.stats().hits;
      datapath.process(port, Array(10).fill(frame));
      const { emc, megaflow } = datapath.stats().hits;
      return [emc - before.emc, megaflow - before.megaflow];
    };
    const rounds = () => [hits(on), hits(off)].map(([emc, megaflow]) => [emc > 0, emc + megaflow]);
    rounds();
    expect(rounds()).toEqual([
      [true, 20],
      [true, 20],
    ]);
    dpif.portSetConfig(off.portNo, { 'emc-enable': 'FALSE' });
    rounds();
    expect([hits(on), hits(off)]).toEqual([
      [20, 0],
      [0, 20],
    ]);
    for (const config of [{ 'emc-enable': 'maybe' }, {}] as Record<string, string>[]) {
      dpif.portSetConfig(off.portNo, { 'emc-enable': 'false' });
      dpif.portSetConfig(off.portNo, config);
      rounds();
      expect(hits(off)).toEqual([20, 0]);
    }
    // what was set goes with the port
    dpif.portSetConfig(off.portNo, { 'emc-enable': 'false' });
    await datapath.ports.remove('off');
    const again = datapath.ports.add('off', { portNo: off.portNo });
    hits(again);
    hits(again);
    expect(hits(again)).toEqual([20, 0]);
  });
});

interface Affinity {
  /** What each queue of h1 gave, and the worker that took it, with two pinned. */
  pinned: { queue: number; worker: number; packets: number }[];
  /** Packets of each worker meanwhile. */
  received: number[];
  isolated: number[];
  /** Workers of the queues when the interface has gone and come again, when one worker polls, and when all do. */
  again: number[];
  fewer: number[];
  back: number[];
  /** What the program was told when one worker polled, and at any other time. */
  unmet: DatapathEvent[];
  events: DatapathEvent[];
  /** Workers that poll queues when none is pinned. */
  free: number;
  stillIsolated: number[];
  ports: CountedPort[];
  check: number;
}

const whyNot = whyNoLab();
const BACKENDS = ['afpacket,queues=4', 'afxdp'];

describe.skipIf(whyNot)(`queues of interfaces that are pinned${whyNot ? `: ${whyNot}` : ''}`, () => {
  it.each(BACKENDS)('over %s go to the workers of their cores, and nothing else does', async (backend) => {
    const seen = await runInLab<Affinity>('lab-affinity', backend);
    expect(seen.isolated).toEqual([1, 2]);
    expect(seen.pinned.map(({ worker }) => worker)).toEqual([2, 1, 3, 3]);
    const [first, second, third, fourth] = seen.pinned.map(({ packets }) => packets) as [
      number,
      number,
      number,
      number,
    ];
    expect(Math.min(first, second, third, fourth)).toBeGreaterThan(0);
    expect(seen.received).toEqual([second, first, third + fourth]);
    expect([seen.again, seen.back]).toEqual([
      [2, 1, 3, 3],
      [2, 1, 3, 3],
    ]);
    expect(seen.fewer).toEqual([1, 1, 1, 1]);
    expect(seen.unmet).toEqual([{ type: 'queue-not-pinned', port: 'h1', queue: 0, core: 2 }, { type: 'all-isolated' }]);
    expect([seen.free, seen.stillIsolated, seen.events]).toEqual([3, [], []]);
    expectCountersOfInterfaces(seen.ports);
    expect(seen.check).toBe(0);
  });
});
