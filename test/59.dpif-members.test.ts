/*
 * A Dpif where things go wrong or several have to do with one datapath, on the provider `netdev`: a table that is full, a datapath that goes while it is open, a port
 * that goes under a flow, two programs, a handler that is too slow; what a provider of a program gets and must have. On the kernel's datapath the same is in
 * support/dpif-suite.mjs and dpif-switch.mjs.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { Dpif, type DpifProvider, parseDatapathName, registerProvider, unregisterProvider } from '../src/dpif/index.ts';
import { DPIF_FP_CREATE, DPIF_FP_MODIFY, type DpifOp, type FlowPut } from '../src/dpif/types.ts';
import { encodeActions, encodeMatchAttributes, learning, parseActions, parseMatch, udpFrame } from '../src/index.ts';
import type { MemoryPort } from '../src/ports/memory.ts';
import { expectAccounted, openDatapath, until } from './support/datapath.ts';

const [ENOENT, EEXIST, ENODEV, EINVAL, ENOSPC, EOPNOTSUPP, EAFNOSUPPORT] = [2, 17, 19, 22, 28, 95, 97];
const frameTo = (port: number) => udpFrame({ src: '10.0.0.1', dst: '10.0.0.2', srcPort: 1024, dstPort: port });
const actions = (text: string) => encodeActions(parseActions(text));
const matchOf = (text: string) => encodeMatchAttributes(parseMatch(text));
const udpTo = (port: number) => matchOf(`in_port(1),eth(),eth_type(0x0800),ipv4(proto=17,frag=no),udp(dst=${port})`);
const putOf = (port: number, flags = DPIF_FP_CREATE): FlowPut => ({
  type: 'flow_put',
  flags,
  ...udpTo(port),
  actions: actions('2'),
});
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);
const portsOf = (dpif: Dpif) => [...dpif.flowDump()].length;

describe('a Dpif', () => {
  it('whose flow table is full says so of each flow that it refuses, and goes on when there is room', async () => {
    await using _ = await openDatapath({ name: 'full', dpIfindex: 101, flows: 64 });
    using dpif = Dpif.open('netdev@full');
    const ops: DpifOp[] = numbers(70).map((i) => putOf(i));
    ops.push(
      { type: 'flow_get', key: udpTo(3).key },
      { type: 'flow_del', key: udpTo(4).key },
      putOf(1000),
      putOf(1001),
    );
    dpif.operate(ops);
    const errnos = ops.map(({ error }) => error?.errno);
    expect(errnos).toEqual([...Array(64), ...Array(6).fill(ENOSPC), undefined, undefined, undefined, ENOSPC]);
    expect(ops[64]!.error).toMatchObject({ code: 'ERR_TABLE_FULL' });
    expect(ops[64]!.error!.message).toBe(
      'netdev@full: flow put: the flow table, or its list of masks, is full (ENOSPC)',
    );
    dpif.flowPut(putOf(1000, DPIF_FP_MODIFY)); // what is there can be changed
    const more: DpifOp[] = [putOf(1002)];
    await dpif.operateAsync(more);
    expect(more[0]!.error?.errno).toBe(ENOSPC);
    expect(dpif.stats().flows).toBe(64n);
    dpif.flowFlush();
    dpif.flowPut(putOf(1002));
    expect(portsOf(dpif)).toBe(1);
  });

  it('whose datapath goes while it is open has the errno and the words for it, whatever it is asked', async () => {
    const datapath = await openDatapath({ name: 'gone', dpIfindex: 102 });
    using dpif = Dpif.open('netdev@gone');
    dpif.portPoll();
    dpif.flowPut(putOf(1));
    const dump = dpif.flowDump();
    const reader = dump.thread();
    const waited = dpif.portPollWait();
    Dpif.open('netdev@gone').destroy();
    await waited;
    expect(dpif.portPoll()).toBe('changed');
    expect(reader.next(10)).toEqual([]);
    expect(() => dump.close()).toThrow(expect.objectContaining({ errno: ENODEV }));
    const steps: Record<string, () => unknown> = {
      stats: () => dpif.stats(),
      setFeatures: () => dpif.setFeatures(2),
      ports: () => [...dpif.ports()],
      portAdd: () => dpif.portAdd({ name: 'x', type: 'null' }),
      portDel: () => dpif.portDel(1),
      portStats: () => dpif.portStats(0),
      flowFlush: () => dpif.flowFlush(),
      flowPut: () => dpif.flowPut(putOf(1)),
      flowGet: () => dpif.flowGet({ key: udpTo(1).key }),
      flowDel: () => dpif.flowDel({ key: udpTo(1).key }),
      execute: () => dpif.execute({ packet: frameTo(1), key: matchOf('in_port(1)').key, actions: actions('2') }),
      flowDump: () => [...dpif.flowDump()],
      meterGet: () => dpif.meterGet(1),
      meterSet: () => dpif.meterSet(1, { unit: 'pktps', bands: [{ rate: 1, burst: 1 }] }),
      cacheSize: () => dpif.cacheSize(0),
      destroy: () => dpif.destroy(),
    };
    for (const [name, step] of Object.entries(steps)) {
      expect(step, name).toThrow(expect.objectContaining({ errno: ENODEV }));
      expect(step, name).toThrow(/gone|no such port/);
    }
    expect([dpif.portQueryByName('gone'), dpif.portQueryByNumber(0)]).toEqual([undefined, undefined]);
    await expect(dpif.operateAsync([putOf(1)]).then(() => dpif.flowPut(putOf(1)))).rejects.toThrow(
      /the datapath is gone/,
    );
    await expect(
      (async () => {
        for await (const _ of dpif.portsAsync());
      })(),
    ).rejects.toThrow(/gone/);
    expect(Dpif.enumerate('netdev')).not.toContain('gone');
    await datapath.close();
  });

  it('that loses a port under a flow keeps the flow, which drops until the port comes again', async () => {
    await using datapath = await openDatapath({ name: 'under', dpIfindex: 103 });
    const [left] = [datapath.ports.add('left')] as MemoryPort[];
    using dpif = Dpif.open('netdev@under');
    expect(dpif.portAdd({ name: 'right', type: 'memory' })).toBe(2);
    dpif.flowPut(putOf(1));
    datapath.process(left!, [frameTo(1), frameTo(1)]);
    expect((datapath.ports.get('right') as MemoryPort).receive()).toHaveLength(2);
    dpif.portDel(2);
    datapath.process(left!, [frameTo(1), frameTo(1), frameTo(1)]);
    expect(portsOf(dpif)).toBe(1);
    expect(dpif.flowGet({ key: udpTo(1).key }).flow?.stats.packets).toBe(5n);
    expect(datapath.stats().drops.noPort).toBe(3);
    expect(() => dpif.portDel(2)).toThrow(expect.objectContaining({ code: 'ERR_NO_SUCH_PORT', errno: ENODEV }));
    await until(() => datapath.ports.get('right') === undefined, 'the driver is closed');
    expect(dpif.portAdd({ name: 'right', type: 'memory' }, 2)).toBe(2);
    datapath.process(left!, [frameTo(1)]);
    expect((datapath.ports.get('right') as MemoryPort).receive()).toHaveLength(1);
    expectAccounted(datapath.stats());
    // and the port that packets came by: nobody has it any more, and its flow is there still
    dpif.portDel(1);
    expect(portsOf(dpif)).toBe(1);
    expect(datapath.check()).toBe(0);
  });

  it('is one of several programs: each sees what the other does, and no flow is there twice or half', async () => {
    await using datapath = await openDatapath({ name: 'two', dpIfindex: 104, flows: 8192 });
    using one = Dpif.open('netdev@two');
    using two = Dpif.open('two'.replace(/^/, 'netdev@'));
    one.portPoll();
    two.portPoll();
    one.portAdd({ name: 'a', type: 'null' });
    expect([one.portPoll(), two.portPoll()]).toEqual([{ name: 'a' }, { name: 'a' }]);
    const [mine, yours]: FlowPut[][] = [0, 500].map((from) => numbers(1000).map((i) => putOf(from + i)));
    await Promise.all([one.operateAsync(mine!), two.operateAsync(yours!)]);
    const refused = [...mine!, ...yours!].filter(({ error }) => error !== undefined);
    expect(refused.every(({ error }) => error?.errno === EEXIST)).toBe(true);
    expect(refused).toHaveLength(500);
    expect([one.stats().flows, two.stats().flows]).toEqual([1500n, 1500n]);
    // one dumps while the other deletes every second flow: what stays is seen once, what goes once at most
    const seen = new Map<string, number>();
    let step = 0;
    for (const { key } of one.flowDump()) {
      const text = Buffer.from(key!).toString('hex');
      seen.set(text, (seen.get(text) ?? 0) + 1);
      if (step < 750) two.flowDel({ key: udpTo(2 * step++).key });
    }
    expect([...seen.values()].every((times) => times === 1)).toBe(true);
    const left = [...two.flowDump()].map(({ key }) => Buffer.from(key!).toString('hex'));
    expect(left).toHaveLength(750);
    expect(left.every((text) => seen.has(text))).toBe(true);
    expect(() => one.flowDel({ key: udpTo(0).key })).toThrow(expect.objectContaining({ errno: ENOENT }));
    one.flowFlush();
    expect(portsOf(two)).toBe(0);
    two.portDel(1);
    expect(one.portPoll()).toEqual({ name: 'a' });
    expect(one.portQueryByName('a')).toBeUndefined();
    expect(datapath.check()).toBe(0);
  });

  it('with a handler that is too slow loses upcalls of the port that floods, by number, and none of another', async () => {
    await using datapath = await openDatapath({
      name: 'slow',
      dpIfindex: 105,
      upcallFrames: 256,
      upcallTimeoutMs: 60_000,
    });
    const [flooding, quiet] = ['flooding', 'quiet'].map((name) => datapath.ports.add(name, { slots: 1024 }));
    using dpif = Dpif.open('netdev@slow');
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const counts = [0, 0, 0];
    await dpif.onUpcall({
      name: 'thinking',
      handle(batch) {
        for (let i = 0; i < batch.count; i++) counts[batch.inPort(i)]!++;
        return held;
      },
    });
    for (let i = 0; i < 1000; i++) flooding!.send(frameTo(i));
    for (let i = 0; i < 20; i++) datapath.poll();
    for (let i = 0; i < 5; i++) quiet!.send(frameTo(i));
    for (let i = 0; i < 20; i++) datapath.poll();
    const { lost, missed } = dpif.stats();
    expect(missed).toBe(1005n);
    expect(Number(lost)).toBeGreaterThan(1000 - 256 - 64);
    expect(counts[1]).toBeLessThanOrEqual(64); // one batch is out
    release();
    await until(() => counts[2] === 5 && counts[1]! + Number(lost) >= 1000, 'everything is served that was not lost');
    expect(counts[1]! + Number(lost)).toBe(1000);
    expect([flooding!.stats().upcallsLost, quiet!.stats().upcallsLost]).toEqual([Number(lost), 0]);
    await dpif.onUpcall(learning());
    datapath.process(quiet!, [frameTo(1)]);
    expect(flooding!.receive().length).toBe(1);
    await dpif.onUpcall(undefined);
  });

  it('gives way to the event loop in a dump, a list of operations and a list of ports', async () => {
    await using _ = await openDatapath({ name: 'turns', dpIfindex: 106, flows: 32_768 });
    using dpif = Dpif.open('netdev@turns');
    for (const i of numbers(200)) dpif.portAdd({ name: `n${i}`, type: 'internal' });
    let turns = 0;
    const during = async (work: () => Promise<void>): Promise<number> => {
      turns = 0;
      let isOver = false;
      const count = (): void => {
        turns++;
        if (!isOver) setImmediate(count);
      };
      setImmediate(count);
      await work();
      isOver = true;
      return turns;
    };
    const ops = numbers(20_000).map((i) => putOf(i));
    expect(await during(() => dpif.operateAsync(ops))).toBeGreaterThan(10);
    expect(ops.every(({ error }) => error === undefined)).toBe(true);
    let flows = 0;
    expect(
      await during(async () => {
        for await (const _ of dpif.flowDump()) flows++;
      }),
    ).toBeGreaterThan(10);
    let ports = 0;
    await during(async () => {
      for await (const _ of dpif.portsAsync()) ports++;
    });
    expect([flows, ports]).toEqual([20_000, 201]);
    const aborted = AbortSignal.abort(new Error('enough'));
    await expect(dpif.operateAsync([putOf(1)], aborted)).rejects.toThrow(/given up/);
    // three readers share a dump
    const dump = dpif.flowDump({ terse: true });
    const readers = [dump.thread(), dump.thread(), dump.thread()];
    const seen = readers.map(() => 0);
    for (let more = true; more; ) {
      const parts = await Promise.all(readers.map((reader) => reader.nextAsync(100)));
      parts.forEach((part, i) => {
        seen[i]! += part.length;
      });
      more = parts.some(({ length }) => length > 0);
    }
    dump.close();
    expect(seen.reduce((a, b) => a + b)).toBe(20_000);
    expect(seen.every((count) => count > 0)).toBe(true);
  });

  it('has what the members say that answer for little', async () => {
    await using datapath = await openDatapath({ name: 'little', dpIfindex: 107 });
    using dpif = Dpif.open('netdev@little');
    expect(dpif.queueToPriority(7)).toBe(7);
    expect([dpif.numberHandlersRequired(), dpif.datapathVersion(), dpif.run()]).toEqual([0, '<built-in>', false]);
    expect([dpif.cacheLevels(), dpif.cacheName(0), dpif.cacheSize(0)]).toEqual([1, 'masks-cache', 256]);
    dpif.setCacheSize(0, 300);
    expect(dpif.cacheSize(0)).toBe(512); // a power of two
    expect(() => dpif.cacheSize(1)).toThrow(expect.objectContaining({ errno: EINVAL }));
    expect(dpif.features()).toBe(3);
    dpif.setFeatures(1);
    expect(Dpif.open('netdev@little').features()).toBe(1);
    expect(() => dpif.setFeatures(0x40000000)).toThrow(expect.objectContaining({ errno: EOPNOTSUPP }));
    for (const step of [
      () => dpif.recv(0),
      () => dpif.recvSet(true),
      () => dpif.handlersSet(2),
      () => [...dpif.ctDump()],
      () => dpif.ctFlush(),
    ])
      expect(step).toThrow(expect.objectContaining({ errno: EOPNOTSUPP }));
    expect(() => dpif.ctGetLimits()).toThrow(expect.objectContaining({ errno: ENOENT }));
    dpif.recvPurge();
    expect(dpif.upcallStats()).toBeUndefined();
    const ports = ['system', 'internal', 'null'].map((type) => Dpif.portOpenType('netdev', type));
    expect(ports).toEqual(['afpacket', 'tap', 'null']);
    expect(Dpif.portOpenType('system', 'vxlan')).toBe('vxlan');
    dpif.setConfig({ 'emc-insert-inv-prob': '0', 'smc-enable': 'true' });
    const [left] = [datapath.ports.add('left'), datapath.ports.add('right')] as MemoryPort[];
    dpif.flowPut(putOf(1));
    const emcHits = () => datapath.stats().hits.emc;
    datapath.process(left!, [frameTo(1), frameTo(1)]);
    expect(emcHits()).toBe(0);
    dpif.setConfig({ 'emc-insert-inv-prob': '100' });
    for (let i = 0; i < 10; i++) datapath.process(left!, [frameTo(1)]);
    expect(emcHits()).toBeGreaterThan(0);
  });
});

describe('a provider of a program', () => {
  const registered: string[] = [];
  const register = (provider: DpifProvider): void => {
    registerProvider(provider);
    registered.push(provider.type);
  };
  afterEach(() => {
    for (const type of registered.splice(0)) unregisterProvider(type);
  });

  const nothing = { close() {}, portDump: () => ({ *[Symbol.iterator]() {} }) };
  const provider = (type: string, more: Partial<DpifProvider> = {}): DpifProvider => ({
    type,
    cleanupRequired: false,
    enumerate: () => ['b', 'a'],
    open: (name) => ({ ...nothing, name }) as never,
    ...more,
  });

  it('is initialised once, listed, and opened by its type', () => {
    let inits = 0;
    register(provider('mine', { init: () => void inits++, portOpenType: (type) => `my-${type}` }));
    expect(inits).toBe(1);
    expect(Dpif.types()).toContain('mine');
    expect(Dpif.enumerate('mine')).toEqual(['b', 'a']);
    expect(Dpif.portOpenType('mine', 'x')).toBe('my-x');
    using dpif = Dpif.open('mine@some@thing');
    expect([dpif.type, dpif.baseName, dpif.fullName]).toEqual(['mine', 'some@thing', 'mine@some@thing']);
    // what it lacks is EOPNOTSUPP, or what is said beside the member
    expect(() => dpif.portSetConfig(1, {})).toThrow(expect.objectContaining({ errno: EOPNOTSUPP }));
    expect(() => dpif.meterFeatures()).toThrow(expect.objectContaining({ errno: EOPNOTSUPP }));
    expect(() => dpif.setFeatures(1)).toThrow(expect.objectContaining({ errno: EOPNOTSUPP }));
    expect([dpif.portGetPid(1), dpif.features(), dpif.cacheLevels(), dpif.run()]).toEqual([0, 0, 0, false]);
    expect([dpif.numberHandlersRequired(), dpif.datapathVersion()]).toEqual([undefined, undefined]);
    dpif.setConfig({ any: 'thing' });
  });

  it('whose init fails is none; nor is one whose type is taken or cannot be', () => {
    const fails = (): void => {
      throw new Error('no hardware');
    };
    expect(() => register(provider('broken', { init: fails }))).toThrow('no hardware');
    expect(Dpif.types()).not.toContain('broken');
    for (const type of ['system', 'netdev', '', 'a b', 'a@b'])
      expect(() => register(provider(type))).toThrow(TypeError);
    expect(unregisterProvider('broken')).toBe(false);
  });

  it('a name without a type is of the kernel, and an unknown type says what there is', () => {
    const opened: string[] = [];
    const open = (name: string) => {
      opened.push(name);
      return { ...nothing, name } as never;
    };
    register(provider('other', { open }));
    Dpif.open('other@x').close();
    expect(opened).toEqual(['x']);
    expect(() => Dpif.open('nosuch@x')).toThrow(
      expect.objectContaining({
        code: 'ERR_NO_SUCH_PROVIDER',
        errno: EAFNOSUPPORT,
        message: expect.stringContaining('netdev'),
      }),
    );
    expect(['x', '@x', 'netdev@', 'a@b@c'].map(parseDatapathName)).toEqual([
      { type: 'system', name: 'x' },
      { type: 'system', name: 'x' },
      { type: 'netdev', name: '' },
      { type: 'a', name: 'b@c' },
    ]);
  });
});
