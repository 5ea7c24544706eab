/*
 * Every limit, at it and one past it: what a datapath is opened with, ports, action lists, frames. What is past a limit is refused with a typed
 * error and changes nothing.
 */
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import { Datapath, type DatapathOptions } from '../src/index.ts';
import { attribute, concat, encodeActions, le32 } from './support/action-list.ts';
import { BUILDS, expectAccounted, openDatapath } from './support/datapath.ts';
import * as L from './support/frames.ts';

const MIB = 1048576;

async function opens(options: DatapathOptions): Promise<void> {
  await using datapath = await openDatapath(options);
  expect(datapath.check()).toBe(0);
}

/** [option, values that open, values that do not]. */
const OPTIONS: [keyof DatapathOptions, number[], unknown[]][] = [
  ['flows', [1, 2, 1_048_577], [0, -1, 1.5, Number.NaN, C.FLOWS_MAX + 1, 2 ** 32 + 1, '7']],
  ['workers', [0, 1, C.WORKERS_MAX - 1], [-1, C.WORKERS_MAX, 0.5]],
  [
    'emcEntries',
    [C.EMC_ENTRIES_MIN, C.EMC_ENTRIES_MAX],
    [0, C.EMC_ENTRIES_MIN / 2, C.EMC_ENTRIES_MIN + 1, C.EMC_ENTRIES_MAX * 2],
  ],
  ['upcallFrames', [64, 65_536], [0, 32, 65, 131_072]],
  ['arenaSize', [65_536, 65_537, 512 * MIB], [0, 65_535, 4096 * MIB]],
  ['memoryLimit', [64 * MIB, 4096 * MIB], [MIB - 1, 4096 * MIB + 1]],
  ['dpIfindex', [1, 2_147_483_647], [0, -1, 2_147_483_648]],
  ['idleTimeoutMs', [0, 2_147_483_647], [-1, 2_147_483_648, 0.5]],
  ['hardTimeoutMs', [0, 2_147_483_647], [-1, 2_147_483_648]],
  ['upcallTimeoutMs', [1, 2_147_483_647], [0, 2_147_483_648]],
];

describe.each(BUILDS)('a datapath, %s', (build) => {
  it.each(OPTIONS)('takes %s up to its limits and not past them', async (name, good, bad) => {
    const small = name === 'memoryLimit' ? { arenaSize: MIB } : {};
    for (const value of good) await opens({ build, ...small, [name]: value });
    for (const value of bad)
      await expect(openDatapath({ build, [name]: value }), `${name}: ${value}`).rejects.toThrow(RangeError);
  });

  it('refuses a capacity that its memory limit does not hold', async () => {
    const tooMuch = expect.objectContaining({ code: 'ERR_OUT_OF_MEMORY', errno: C.ENOMEM });
    await expect(openDatapath({ build, memoryLimit: MIB })).rejects.toThrow(tooMuch);
    await expect(openDatapath({ build, memoryLimit: 64 * MIB, arenaSize: 64 * MIB })).rejects.toThrow(tooMuch);
    await expect(openDatapath({ build, flows: C.FLOWS_MAX, workers: 15 })).rejects.toThrow(tooMuch);
    await expect(openDatapath({ build, arenaSize: 4095 * MIB })).rejects.toThrow(tooMuch);
  });

  it('opens with the least memory that its capacity needs, and not with a page less', async () => {
    const capacity = { build, flows: 1000, arenaSize: MIB };
    let pages = 0;
    {
      await using datapath = await openDatapath(capacity);
      pages = datapath.memory.bytes.length / 65_536;
    }
    await opens({ ...capacity, memoryLimit: pages * 65_536 });
    await expect(openDatapath({ ...capacity, memoryLimit: (pages - 1) * 65_536 })).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_OUT_OF_MEMORY' }),
    );
  });

  it('uses memory up to the last bytes of 4 GiB', async () => {
    await using datapath = await Datapath.open({ build, flows: 1000, idleTimeoutMs: 0, arenaSize: 3900 * MIB });
    const { memory } = datapath;
    // classes grow by a quarter at most: blocks of 512 MiB and then smaller ones come near the end
    let last = 0;
    for (const size of [512 * MIB, 64 * MIB, 8 * MIB, MIB, 65_536]) {
      for (
        let block = memory.wasm.allocateBlock(size) >>> 0;
        block !== 0;
        block = memory.wasm.allocateBlock(size) >>> 0
      )
        last = Math.max(last, block + size);
    }
    expect(last).toBeGreaterThan(2 ** 31);
    const end = memory.superblock(C.SB_ARENA) + memory.superblock(C.SB_ARENA_SIZE);
    expect(end - last).toBeLessThan(131_072);
    memory.bytes.fill(7, end - 64, end);
    datapath.flows.put('in_port(1)', '2');
    expect(datapath.check()).toBe(0);
  });

  it('closes once, and refuses work then', async () => {
    const datapath = await openDatapath({ build });
    await Promise.all([datapath.close(), datapath.close()]);
    expect(() => datapath.poll()).toThrow(expect.objectContaining({ code: 'ERR_DATAPATH_CLOSED' }));
    await expect(datapath.start()).rejects.toThrow(expect.objectContaining({ code: 'ERR_DATAPATH_CLOSED' }));
    await expect(datapath.onUpcall(undefined)).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_DATAPATH_CLOSED' }),
    );
  });
});

describe.each(BUILDS)('ports, %s', (build) => {
  it('have numbers from 1 to 1023', async () => {
    await using datapath = await openDatapath({ build });
    for (const portNo of [0, -1, C.PORTS_MAX, 1.5, Number.NaN]) {
      expect(() => datapath.ports.add('x', { portNo, slots: 2 }), String(portNo)).toThrow(RangeError);
    }
    datapath.ports.add('last', { portNo: C.PORTS_MAX - 1, slots: 2 });
    datapath.ports.add('first', { portNo: 1, slots: 2 });
    expect(() => datapath.ports.add('again', { portNo: 1, slots: 2 })).toThrow(
      expect.objectContaining({ code: 'ERR_PORT_EXISTS' }),
    );
    expect(() => datapath.ports.add('first', { slots: 2 })).toThrow(
      expect.objectContaining({ code: 'ERR_PORT_EXISTS' }),
    );
    await expect(datapath.ports.remove('nobody')).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_NO_SUCH_PORT' }),
    );
  });

  it('are 1023 at most, all of them work, and a removed one makes room', async () => {
    await using datapath = await openDatapath({ build });
    const ports = Array.from({ length: C.PORTS_MAX - 1 }, (_, i) =>
      datapath.ports.add(`p${i}`, { slots: 2, frameSize: 64 }),
    );
    expect(() => datapath.ports.add('one-more', { slots: 2 })).toThrow(
      expect.objectContaining({ code: 'ERR_PORTS_EXHAUSTED' }),
    );
    datapath.flows.put({ key: new Uint8Array(C.KEY_SIZE), mask: new Uint8Array(C.KEY_SIZE) }, `1,${C.PORTS_MAX - 1}`);
    const frame = L.ethernet(0x88b5, L.filler(46));
    for (const port of ports) datapath.process(port, [frame]);
    expect(ports[0].stats().txPackets + ports[0].stats().txDropped).toBe(ports.length);
    expect(ports.every((port) => port.stats().rxPackets === 1)).toBe(true);
    expectAccounted(datapath.stats());
    await datapath.ports.remove(500);
    expect(datapath.ports.add('one-more', { slots: 2 }).portNo).toBe(500);
  });

  it('take frames up to their size, and the datapath up to 65,535 bytes', async () => {
    await using datapath = await openDatapath({ build });
    const [a, b] = ['a', 'b'].map((name) => datapath.ports.add(name, { slots: 4, frameSize: 65_535 }));
    const small = datapath.ports.add('small', { slots: 4, frameSize: 1500 });
    datapath.flows.put('in_port(1)', '2,3');
    const frame = (size: number): Uint8Array => L.ethernet(0x88b5, L.filler(size - 14));
    for (const size of [14, 60, 1500, 65_535]) {
      datapath.process(a, [frame(size)]);
      expect(b.receive()).toEqual([frame(size)]);
    }
    expect(small.receive().map((data) => data.length)).toEqual([14, 60, 1500]);
    expect(datapath.stats().drops.txLong).toBe(1);
    expect(() => a.send(frame(70_000))).toThrow(RangeError);
    datapath.process(a, [new Uint8Array(13), new Uint8Array(0)]);
    expect(datapath.stats().drops.rxShort).toBe(2);
    expectAccounted(datapath.stats());
  });

  it('lose by name what their ring does not hold', async () => {
    await using datapath = await openDatapath({ build });
    const a = datapath.ports.add('a');
    const b = datapath.ports.add('b', { slots: 4 });
    datapath.flows.put('in_port(1)', '2');
    const frames = Array.from({ length: 10 }, () => L.ethernet(0x88b5, L.filler(46)));
    datapath.process(a, frames);
    expect(b.receive().length).toBe(4);
    expect(b.stats()).toMatchObject({ txPackets: 4, txDropped: 6 });
    expect(datapath.stats().drops.txFull).toBe(6);
    await datapath.ports.remove('b');
    datapath.process(a, frames);
    expect(datapath.stats().drops.noPort).toBe(10);
  });
});

/** The kernel's: a port that does not exist here is no mistake in a list. */
const DP_MAX_PORTS = 65_535;

describe.each(BUILDS)('action lists, %s', (build) => {
  it('are as long as an attribute can be', async () => {
    await using datapath = await openDatapath({ build });
    const a = datapath.ports.add('a');
    const count = Math.floor(C.ACTIONS_SIZE_MAX / 8);
    const longest = encodeActions(Array.from({ length: count }, () => ({ kind: 'output', port: 9 }) as const));
    expect(longest.length).toBe(C.ACTIONS_SIZE_MAX - 3);
    datapath.flows.put('in_port(1)', longest);
    expect(datapath.flows.get('in_port(1)')!.actionBytes).toEqual(longest);
    datapath.process(a, [L.ethernet(0x88b5, L.filler(46))]);
    expect(datapath.stats().drops.noPort).toBe(count);
    for (const tooLong of [concat(longest, attribute(5, [])), new Uint8Array(70_000)]) {
      expect(() => datapath.flows.put('in_port(2)', tooLong)).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ACTIONS', errno: C.EMSGSIZE }),
      );
    }
    expect(() => datapath.flows.put('in_port(2)', attribute(1, le32(DP_MAX_PORTS)))).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ACTIONS', errno: C.EINVAL }),
    );
    datapath.flows.put('in_port(2)', attribute(1, le32(DP_MAX_PORTS - 1)));
    expect(() => datapath.flows.put('in_port(2)', longest.subarray(0, 7))).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ACTIONS' }),
    );
    expect(datapath.flows.count).toBe(2);
    expect(datapath.check()).toBe(0);
  });

  it('and keys of a wrong size are refused before anything is touched', async () => {
    await using datapath = await openDatapath({ build });
    const right = new Uint8Array(C.KEY_SIZE);
    for (const size of [0, C.KEY_SIZE - 1, C.KEY_SIZE + 1]) {
      const wrong = new Uint8Array(size);
      expect(() => datapath.flows.put({ key: wrong, mask: right }, '1')).toThrow(TypeError);
      expect(() => datapath.flows.put({ key: right, mask: wrong }, '1')).toThrow(TypeError);
      expect(() => datapath.mask(wrong)).toThrow(TypeError);
      expect(() => datapath.actions('1', { key: right, mask: wrong })).toThrow(TypeError);
      expect(() => datapath.flows.lookup(wrong), `lookup of ${size} bytes`).toThrow(TypeError);
    }
    expect(datapath.flows.count).toBe(0);
    expect(datapath.flows.masks).toBe(0);
  });
});

describe('a full table with pollers', () => {
  it('waits for slots that are only waiting for their epoch, and still says when it is full', async () => {
    await using datapath = await openDatapath({ flows: 64, workers: 1, idleTimeoutMs: 0 });
    await datapath.ports.addSpec('g,type=generator,flows=50');
    await datapath.ports.addSpec('n,type=null');
    await datapath.onUpcall(() => ({ actions: '2', install: false }));
    await datapath.start();
    const match = (i: number): string =>
      `in_port(9),eth_type(0x0800),ipv4(src=10.${i >> 16}.${(i >> 8) & 255}.${i & 255})`;
    for (let i = 0; i < 64; i++) datapath.flows.put(match(i), '2');
    for (let i = 64; i < 3000; i++) {
      datapath.flows.delete(match(i - 64));
      datapath.flows.put(match(i), '2'); // the only free slot was in use a moment ago
    }
    expect(() => datapath.flows.put(match(3000), '2')).toThrow(expect.objectContaining({ code: 'ERR_TABLE_FULL' }));
    expect(datapath.flows.count).toBe(64);
    await datapath.stop();
    expect(datapath.check()).toBe(0);
  });
});
