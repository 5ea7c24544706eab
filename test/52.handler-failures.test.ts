/*
 * Handlers that fail: throw, reject, never answer, answer too late or with what is no answer; and tables that are full. Each packet is
 * dropped by name, the next batch is served, flows that stand go on.
 */
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import {
  type Datapath,
  type DatapathEvent,
  exactMask,
  type MemoryPort,
  type UpcallBatch,
  type UpcallHandler,
  type UpcallHost,
} from '../src/index.ts';
import { BUILDS, expectAccounted, openDatapath, until } from './support/datapath.ts';
import * as L from './support/frames.ts';

function udp(number: number): Uint8Array {
  return L.ethernet(
    0x0800,
    L.ipv4({ proto: 17, src: L.be32(0x0a000000 + number) }, L.udp({ src: number & 0xffff }, L.filler(18))),
  );
}

const frames = (count: number, first = 0): Uint8Array[] => Array.from({ length: count }, (_, i) => udp(first + i));

interface Bench {
  datapath: Datapath;
  a: MemoryPort;
  b: MemoryPort;
  events: DatapathEvent[];
}

async function openBench(options: Parameters<typeof openDatapath>[0]): Promise<Bench> {
  const events: DatapathEvent[] = [];
  const datapath = await openDatapath({ ...options, onEvent: (event) => events.push(event) });
  return { datapath, a: datapath.ports.add('a'), b: datapath.ports.add('b'), events };
}

const handler = (handle: UpcallHandler['handle']): UpcallHandler => ({ name: 'test', handle });

/** Forwards to port 2 and installs the exact flow. */
function forwarding(): UpcallHandler {
  let datapath: UpcallHost;
  return {
    name: 'forwarding',
    attach(attached) {
      datapath = attached;
    },
    handle(batch) {
      for (let i = 0; i < batch.count; i++)
        batch.answer(i, datapath.actions('2'), datapath.mask(exactMask(batch.key(i))));
    },
  };
}

/** The handler after the failing one gets its packets through. */
async function expectNextWorks({ datapath, a, b }: Bench, first: number): Promise<void> {
  await datapath.onUpcall(forwarding());
  const before = datapath.stats().answered;
  datapath.process(a, frames(10, first));
  expect(b.receive().length).toBe(10);
  expect(datapath.stats().answered - before).toBe(10);
  expectAccounted(datapath.stats());
  expect(datapath.check()).toBe(0);
}

describe.each(BUILDS)('a handler, %s', (build) => {
  it('that throws loses its batch, and the next batch is its own again', async () => {
    const bench = await openBench({ build });
    const { datapath, a, events } = bench;
    let calls = 0;
    await datapath.onUpcall(
      handler((batch) => {
        batch.drop(0);
        if (++calls % 2 === 1) throw new Error('no idea');
      }),
    );
    datapath.process(a, frames(100));
    expect(datapath.stats().drops.upcallError + datapath.stats().drops.upcallHandler).toBe(100);
    expect(datapath.stats().drops.upcallError).toBeGreaterThan(0);
    expect(events.filter(({ type }) => type === 'handler-error').length).toBe(Math.ceil(calls / 2));
    await expectNextWorks(bench, 1000);
    await datapath.close();
  });

  it('that rejects loses its batch', async () => {
    const bench = await openBench({ build });
    const { datapath, a, events } = bench;
    await datapath.onUpcall(handler(() => Promise.reject(new Error('later'))));
    datapath.process(a, frames(30));
    await until(() => datapath.stats().drops.upcallError === 30, 'the batch is dropped');
    expect(events).toMatchObject([{ type: 'handler-error', worker: 0, reason: new Error('later') }]);
    await expectNextWorks(bench, 1000);
    await datapath.close();
  });

  it('that never answers loses its batch in time', async () => {
    const bench = await openBench({ build, upcallTimeoutMs: 5 });
    const { datapath, a, events } = bench;
    await datapath.onUpcall(handler(() => new Promise(() => {})));
    datapath.process(a, frames(20));
    expect(datapath.stats().upcallsPending).toBe(20);
    expect(datapath.exhausted).toBe(false);
    await until(() => datapath.stats().drops.upcallTimeout === 20, 'the batch is dropped');
    expect(events).toEqual([{ type: 'handler-timeout', worker: 0, upcalls: 20 }]);
    await expectNextWorks(bench, 1000);
    await datapath.close();
  });

  it('that answers after its time finds the batch closed and changes nothing', async () => {
    const bench = await openBench({ build, upcallTimeoutMs: 5 });
    const { datapath, a, b } = bench;
    let finish = (): void => {};
    let late: UpcallBatch | undefined;
    await datapath.onUpcall(
      handler((batch) => {
        late = batch;
        return new Promise((resolve) => {
          finish = resolve;
        });
      }),
    );
    datapath.process(a, frames(20));
    await until(() => datapath.stats().drops.upcallTimeout === 20, 'the batch is dropped');
    const actions = datapath.actions('2');
    expect(() => late!.answer(0, actions)).toThrow(RangeError);
    expect(() => late!.packet(0)).toThrow(RangeError);
    finish();
    await new Promise(setImmediate);
    expect(b.receive()).toEqual([]);
    expectAccounted(datapath.stats());
    await expectNextWorks(bench, 1000);
    await datapath.close();
  });

  it('that answers later, in time, is served batch after batch', async () => {
    const { datapath, a, b } = await openBench({ build, upcallTimeoutMs: 60_000 });
    const actions = datapath.actions('2');
    await datapath.onUpcall(
      handler(async (batch) => {
        await new Promise(setImmediate);
        for (let i = 0; i < batch.count; i++) batch.answer(i, actions);
      }),
    );
    datapath.process(a, frames(150));
    await until(() => datapath.poll() === 0 && datapath.stats().answered === 150, 'all are answered');
    expect(b.receive().length).toBe(150);
    await datapath.close();
    expectAccounted(datapath.stats());
  });

  it('is asked for an upcall that is there', async () => {
    const { datapath, a } = await openBench({ build });
    const wrong: unknown[] = [];
    const actions = datapath.actions('2');
    await datapath.onUpcall(
      handler((batch) => {
        for (const index of [-1, batch.count, 64, 0.5, Number.NaN, 2 ** 32]) {
          for (const use of [
            () => batch.answer(index, actions),
            () => batch.drop(index),
            () => batch.key(index),
            () => batch.packet(index),
          ]) {
            try {
              use();
              wrong.push(index);
            } catch (error) {
              if (!(error instanceof RangeError)) wrong.push(error);
            }
          }
        }
      }),
    );
    datapath.process(a, frames(3));
    expect(wrong).toEqual([]);
    expect(datapath.stats().drops.upcallHandler).toBe(3);
    await datapath.close();
  });

  it('that answers with released handles is refused', async () => {
    const { datapath, a, b } = await openBench({ build });
    const actions = datapath.actions('2');
    const mask = datapath.mask(new Uint8Array(C.KEY_SIZE).fill(255, 0, 4));
    const refused: unknown[] = [];
    await datapath.onUpcall(
      handler((batch) => {
        const released = [datapath.actions('1,1,1'), datapath.mask(new Uint8Array(C.KEY_SIZE).fill(1, 0, 4))] as const;
        for (const handle of released) handle.release();
        for (const use of [() => batch.answer(0, released[0]), () => batch.answer(0, actions, released[1])]) {
          try {
            use();
          } catch (error) {
            refused.push(error);
          }
        }
        batch.answer(0, actions, mask);
      }),
    );
    datapath.process(a, [udp(1)]);
    expect(refused).toEqual([expect.any(TypeError), expect.any(TypeError)]);
    expect(b.receive()).toEqual([udp(1)]);
    expect(datapath.flows.count).toBe(1);
    expect(datapath.check()).toBe(0);
    await datapath.close();
  });

  it('may let a handle go as soon as it has returned', async () => {
    const { datapath, a, b } = await openBench({ build });
    await datapath.onUpcall(({ packet }) => ({ actions: `2,set(skb_mark(${packet[29]}))`, install: false }));
    for (let round = 0; round < 8; round++) datapath.process(a, frames(400, round * 400));
    expect(b.receive().length).toBeGreaterThan(0);
    expect(datapath.check()).toBe(0);
    await datapath.close();
  });

  it('of functions may use more action lists than are kept, also in one batch', async () => {
    const { datapath, a, b } = await openBench({ build });
    await datapath.onUpcall(({ packet }) => {
      const number = (packet[28] << 8) | packet[29];
      // the first list is the oldest and is used again in every batch
      return { actions: number % 16 === 0 ? '2' : `set(skb_mark(${number})),2,2`, install: false };
    });
    for (let first = 0; first < 3000; first += 150) {
      datapath.process(a, frames(150, first));
      const expected = frames(150, first).reduce((sum, _, i) => sum + ((first + i) % 16 === 0 ? 1 : 2), 0);
      expect(b.receive().length).toBe(expected);
    }
    expect(datapath.stats().actionLists).toBeLessThanOrEqual(1024 + 64);
    expect(datapath.check()).toBe(0);
    await datapath.close();
  });

  it('is replaced while its batch is out: the batch is given up, the next one works', async () => {
    const bench = await openBench({ build, upcallTimeoutMs: 600_000 });
    const { datapath, a } = bench;
    await datapath.onUpcall(handler(() => new Promise(() => {})));
    datapath.process(a, frames(20));
    await expectNextWorks(bench, 1000);
    expect(datapath.stats().drops.upcallStale).toBe(20);
    await datapath.close();
  });

  it('closes with a batch out: it is counted as stale', async () => {
    const { datapath, a } = await openBench({ build, upcallTimeoutMs: 600_000 });
    await datapath.onUpcall(handler(() => new Promise(() => {})));
    datapath.process(a, frames(100));
    await datapath.close();
    expect(datapath.stats().drops.upcallStale).toBe(100);
    expectAccounted(datapath.stats());
  });
});

/** A handler that installs for each packet a flow of its own; masks by number when asked for. */
function installing(masks: 'one' | 'many'): UpcallHandler {
  return perPacketHandler((packet) => {
    const mask = exactMask(packet);
    if (masks === 'many')
      mask.set([packet[C.KEY_IPV4_SRC + 2] | 1, packet[C.KEY_IPV4_SRC + 3] | 128], C.KEY_IPV4_SRC + 2);
    return mask;
  });
}

function perPacketHandler(maskOf: (key: Uint8Array) => Uint8Array): UpcallHandler {
  let datapath: UpcallHost;
  return {
    name: 'installing',
    attach(attached) {
      datapath = attached;
    },
    handle(batch) {
      const actions = datapath.actions('2');
      for (let i = 0; i < batch.count; i++) batch.answer(i, actions, datapath.mask(maskOf(batch.key(i))));
    },
  };
}

describe.each(BUILDS)('a full table, %s', (build) => {
  it('refuses flows with a typed error, forwards by those it has, and takes more when some are gone', async () => {
    const { datapath, a, b, events } = await openBench({ build, flows: 64 });
    await datapath.onUpcall(installing('one'));
    for (let i = 0; i < 100; i++) datapath.process(a, [udp(i)]);
    expect(b.receive().length, 'every packet is executed').toBe(100);
    expect(datapath.stats()).toMatchObject({ flows: 64, answered: 100, installed: 64 });
    expect(events.length).toBe(36);
    expect(events[0]).toEqual({ type: 'flow-put-failed', worker: 0, errno: C.ENOSPC });
    expect(() => datapath.flows.put('in_port(3)', '2', { create: true })).toThrow(
      expect.objectContaining({ code: 'ERR_TABLE_FULL', errno: C.ENOSPC, operation: 'flow put' }),
    );
    const missed = datapath.stats().misses;
    datapath.process(a, frames(64));
    expect(datapath.stats().misses).toBe(missed);
    expect(b.receive().length).toBe(64);
    expect(datapath.check()).toBe(0);
    expect(datapath.flows.flush()).toBe(64);
    datapath.flows.put('in_port(3)', '2');
    expect(datapath.flows.count).toBe(1);
    await datapath.close();
  });

  it('of masks refuses the next one', async () => {
    await using datapath = await openDatapath({ build, flows: C.SUBTABLES_MAX + 10, arenaSize: 64 * 1048576 });
    const masks: { release(): void }[] = [];
    const maskOf = (i: number): Uint8Array => {
      const mask = new Uint8Array(C.KEY_SIZE);
      new DataView(mask.buffer).setUint32(C.KEY_IPV4_SRC, i + 1);
      return mask;
    };
    for (let i = 0; i < C.SUBTABLES_MAX; i++) masks.push(datapath.mask(maskOf(i)));
    const full = expect.objectContaining({ code: 'ERR_MASKS_EXHAUSTED', errno: C.ENOSPC });
    expect(() => datapath.mask(maskOf(C.SUBTABLES_MAX))).toThrow(full);
    expect(() => datapath.flows.put({ key: maskOf(0), mask: maskOf(C.SUBTABLES_MAX) }, '2')).toThrow(full);
    datapath.flows.put({ key: maskOf(0), mask: maskOf(0) }, '2');
    masks[1].release();
    datapath.memory.wasm.sortSubtables();
    masks.push(datapath.mask(maskOf(C.SUBTABLES_MAX)));
    expect(datapath.check()).toBe(0);
    for (const mask of masks) mask.release();
    expect(datapath.flows.masks).toBe(1);
    expect(datapath.check()).toBe(0);
  });

  it('of memory refuses what needs some, and goes on with what stands', async () => {
    const { datapath, a, b, events } = await openBench({ build, flows: 100_000, arenaSize: 12 * 1048576 });
    await datapath.onUpcall(installing('one'));
    const { memory } = datapath;
    const hoard: number[] = [];
    datapath.process(a, frames(16));
    const blockSizes = [65536, 4096, 512, 64, 16];
    for (const size of blockSizes) {
      for (let block = memory.wasm.allocateBlock(size); block !== 0; block = memory.wasm.allocateBlock(size))
        hoard.push(block);
    }
    expect(() => datapath.flows.put('in_port(9)', '1,2,3')).toThrow(
      expect.objectContaining({ code: 'ERR_OUT_OF_MEMORY', errno: C.ENOMEM }),
    );
    expect(() => datapath.actions('1,2,1,2')).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_MEMORY' }));
    expect(() => datapath.ports.add('c')).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_MEMORY' }));
    expect(datapath.ports.get('c')).toBeUndefined();
    b.receive();
    datapath.process(a, frames(16));
    expect(b.receive().length, 'flows that stand forward').toBe(16);
    for (let i = 0; i < 20; i++) datapath.process(a, frames(100, 1000));
    expect(events.every(({ type }) => type === 'handler-error' || type === 'flow-put-failed')).toBe(true);
    expect(events.length).toBeGreaterThan(0);
    expectAccounted(datapath.stats());
    expect(datapath.check()).toBe(0);
    for (const block of hoard) memory.wasm.releaseBlock(block);
    const before = datapath.stats().answered;
    datapath.process(a, frames(10, 5000));
    expect(datapath.stats().answered - before).toBe(10);
    await datapath.close();
  });
});
