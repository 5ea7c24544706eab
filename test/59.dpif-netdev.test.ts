/*
 * The provider `netdev`: a Dpif over the WASM datapaths of this process. What the messages mean is compared with the kernel in 48.conformance; this is
 * that Dpif does with them what it does with the kernel's (57 and 58), and what is particular to this provider.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DatapathError, Dpif } from '../src/dpif/index.ts';
import { DPIF_FP_CREATE, DPIF_FP_MODIFY } from '../src/dpif/types.ts';
import {
  decodeMatchAttributes,
  encodeActions,
  encodeMatchAttributes,
  flood,
  formatMatch,
  parseActions,
  parseKeyAttributes,
  parseMatch,
  udpFrame,
} from '../src/index.ts';
import { nativeUnavailableReason } from '../src/native/load.ts';
import type { MemoryPort } from '../src/ports/memory.ts';
import { allowedCpus } from '../src/worker/affinity.ts';
import { openDatapath, until } from './support/datapath.ts';

const whyNoCpus =
  nativeUnavailableReason() ?? (allowedCpus().length < 2 ? 'this process may run on one CPU only' : undefined);
const frame = udpFrame({ src: '10.0.0.1', dst: '10.0.0.2', srcPort: 1024, dstPort: 53 });
const matchAttributes = (text: string) => encodeMatchAttributes(parseMatch(text));
const actions = (text: string) => encodeActions(parseActions(text));

describe('netdev', () => {
  it('makes, lists, opens and destroys datapaths', () => {
    const made = Dpif.open('netdev@made', { create: true });
    expect(Dpif.types()).toContain('netdev');
    expect(Dpif.enumerate('netdev')).toContain('made');
    expect(() => Dpif.open('netdev@made', { create: true })).toThrow(
      expect.objectContaining({ code: 'ERR_DATAPATH_EXISTS', errno: 17 }),
    );
    using again = Dpif.createAndOpen('netdev@made');
    expect(again.fullName).toBe('netdev@made');
    expect([...again.ports()]).toEqual([{ portNo: 0, name: 'made', type: 'internal' }]);
    expect(again.datapathVersion()).toBe('<built-in>');
    made.destroy();
    made.close();
    expect(Dpif.enumerate('netdev')).not.toContain('made');
    expect(() => again.stats()).toThrow(expect.objectContaining({ errno: 19 }));
    expect(() => Dpif.open('netdev@made')).toThrow(expect.objectContaining({ code: 'ERR_NO_SUCH_DATAPATH' }));
  });

  it('adds and removes ports with their drivers, and tells of it', async () => {
    await using datapath = await openDatapath({ name: 'ports', dpIfindex: 81 });
    using dpif = Dpif.open('netdev@ports');
    expect(dpif.portPoll()).toBe('changed');
    expect(dpif.portAdd({ name: 'n1', type: 'null' })).toBe(1);
    expect(dpif.portAdd({ name: 'm7', type: 'memory', options: { slots: '16' } }, 7)).toBe(7);
    expect(dpif.portAdd({ name: 'in', type: 'internal' })).toBe(2);
    expect([...dpif.ports()]).toEqual([
      { portNo: 0, name: 'ports', type: 'internal' },
      { portNo: 1, name: 'n1', type: 'null' },
      { portNo: 2, name: 'in', type: 'internal' },
      { portNo: 7, name: 'm7', type: 'memory' },
    ]);
    expect(datapath.ports.get('m7')?.portNo).toBe(7);
    const changes = [dpif.portPoll(), dpif.portPoll(), dpif.portPoll(), dpif.portPoll()];
    expect(changes).toEqual([{ name: 'n1' }, { name: 'm7' }, { name: 'in' }, undefined]);
    expect(() => dpif.portAdd({ name: 'x', type: 'null' }, 7)).toThrow(expect.objectContaining({ errno: 16 }));
    expect(() => dpif.portAdd({ name: 'x', type: 'unheard' })).toThrow(
      expect.objectContaining({ code: 'ERR_PORT_TYPE' }),
    );
    expect(() => dpif.portDel(0)).toThrow(expect.objectContaining({ errno: 22 }));
    dpif.portDel(7);
    expect(dpif.portQueryByName('m7')).toBeUndefined();
    expect(datapath.ports.get('m7')).toBeUndefined();
    expect(dpif.portAdd({ name: 'm7', type: 'memory' })).toBe(3);
  });

  it('says once that anything may have changed when it was not asked for long, and then names again', () => {
    using dpif = Dpif.createAndOpen('netdev@unasked');
    using other = Dpif.open('netdev@unasked');
    expect([dpif.portPoll(), dpif.portPoll()]).toEqual(['changed', undefined]);
    for (let i = 0; i < 1500; i++) other.portDel(other.portAdd({ name: `n${i}`, type: 'internal' }));
    const told: unknown[] = [];
    for (let change = dpif.portPoll(); change !== undefined; change = dpif.portPoll()) told.push(change);
    expect([told.indexOf('changed'), told.at(-1)]).toEqual([told.length - 1, 'changed']);
    expect(told.length).toBeLessThan(3000);
    other.portAdd({ name: 'after', type: 'internal' });
    expect([dpif.portPoll(), dpif.portPoll()]).toEqual([{ name: 'after' }, undefined]);
    dpif.destroy();
  });

  it('sends the packets of a list that it gets help with as those of one that it carries out', async () => {
    await using datapath = await openDatapath({ name: 'helped', dpIfindex: 97 });
    const ports = ['one', 'two'].map((name) => datapath.ports.add(name));
    using dpif = Dpif.open('netdev@helped');
    // what a key says of headers counts for nothing: those of the packet do
    const keys = ['', ',eth()', ',eth(),eth_type(0x86dd),ipv6(proto=6)'].map(
      (headers) => matchAttributes(`skb_priority(3),in_port(1),skb_mark(9)${headers}`).key,
    );
    keys.push(parseKeyAttributes('skb_priority(3),in_port(1),skb_mark(9)').key);
    const lists = [
      '2,push_vlan(vid=7,pcp=3),2,pop_vlan,set(eth(dst=02:00:00:00:00:99)),1',
      'clone(set(ipv4(ttl=9)),2),1,set(udp(dst=77)),2,trunc(30),1,2',
      'check_pkt_len(size=50,gt(2),le(push_vlan(vid=2,pcp=0),1)),push_mpls(label=5,tc=0,ttl=3,bos=1,eth_type=0x8847),1',
      'hash(l4(0)),2,set(skb_mark(0x5)),1',
    ];
    for (const [key, text] of keys.flatMap((each) => lists.map((text) => [each, text] as const))) {
      const seen = [false, true].map((needsHelp) => {
        dpif.execute({ packet: frame, key, actions: actions(text), needsHelp });
        datapath.poll();
        return ports.map((port) => port.receive().map((bytes) => Buffer.from(bytes).toString('hex')));
      });
      expect(seen[0]!.flat().length, text).toBeGreaterThan(0);
      expect(seen[1], text).toEqual(seen[0]);
    }
  });

  it('puts, gets, dumps and deletes flows, and executes', async () => {
    await using datapath = await openDatapath({ name: 'flows', dpIfindex: 82 });
    const [left, right] = [datapath.ports.add('left'), datapath.ports.add('right')] as MemoryPort[];
    using dpif = Dpif.open('netdev@flows');
    const match = matchAttributes('in_port(1),eth(),eth_type(0x0800),ipv4(frag=no)');
    dpif.flowPut({ flags: DPIF_FP_CREATE, ...match, actions: actions('2') });
    const again = { flags: DPIF_FP_CREATE, ...match, actions: actions('drop') } as const;
    expect(() => dpif.flowPut(again)).toThrow(expect.objectContaining({ errno: 17 }));
    datapath.process(left!, [frame, frame]);
    expect(right!.receive()).toHaveLength(2);
    const [flow] = [...dpif.flowDump()];
    expect(flow!.stats).toMatchObject({ packets: 2n, bytes: BigInt(2 * frame.length) });
    expect(flow!.actions).toEqual(actions('2'));
    expect(dpif.stats()).toMatchObject({ hits: 2n, missed: 0n, flows: 1n });
    const change = { flags: DPIF_FP_MODIFY, ...match, actions: actions('drop') } as const;
    dpif.flowPut(change);
    datapath.process(left!, [frame]);
    expect(right!.receive()).toHaveLength(0);
    dpif.execute({ packet: frame, key: matchAttributes('in_port(1)').key, actions: actions('2') });
    expect(right!.receive()).toHaveLength(1);
    dpif.flowFlush();
    expect([...dpif.flowDump()]).toEqual([]);
    expect(dpif.portStats(2)).toMatchObject({ txPackets: 3n });
    expect(datapath.check()).toBe(0);
  });

  it('dumps flows as messages too, which flows of the same reader come before', async () => {
    await using _ = await openDatapath({ name: 'told', dpIfindex: 86 });
    using dpif = Dpif.open('netdev@told');
    const ports = Array.from({ length: 500 }, (_, port) => port);
    for (const port of ports) {
      const match = matchAttributes(`in_port(${port}),eth(),eth_type(0x0800),ipv4(frag=no)`);
      dpif.flowPut({ flags: DPIF_FP_CREATE, ...match, actions: actions('2') });
    }
    const thread = dpif.flowDump().thread();
    const seen = thread.next(3).map(({ key }) => Buffer.from(key!).toString('hex'));
    let datagrams = 0;
    for (let some = thread.nextMessages!(); some !== undefined; some = thread.nextMessages!()) {
      datagrams += 1;
      while (some.next()) seen.push(Buffer.from(some.flow()!.key!).toString('hex'));
    }
    expect(datagrams).toBeGreaterThan(1);
    expect(seen.length).toBe(500);
    expect(new Set(seen)).toEqual(new Set([...dpif.flowDump()].map(({ key }) => Buffer.from(key!).toString('hex'))));
  });

  it('takes flows of packets without an Ethernet header, in the form of userspace', async () => {
    await using datapath = await openDatapath({ name: 'bare', dpIfindex: 85 });
    const [left, right] = [datapath.ports.add('left'), datapath.ports.add('right')] as MemoryPort[];
    using dpif = Dpif.open('netdev@bare');
    const bare = matchAttributes('recirc_id(1),in_port(1),packet_type(ns=1,id=0x800),eth_type(0x0800),ipv4(frag=no)');
    const any = matchAttributes('in_port(1),eth(),eth_type(0x0800),ipv4(frag=no)');
    dpif.flowPut({ flags: DPIF_FP_CREATE, ...any, actions: actions('pop_eth,recirc(1)') });
    dpif.flowPut({
      flags: DPIF_FP_CREATE,
      ...bare,
      actions: actions('push_eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),2'),
    });
    datapath.process(left!, [frame]);
    expect(right!.receive()).toHaveLength(1);
    expect(dpif.flowGet({ key: bare.key }).flow?.stats.packets).toBe(1n);
    const keys = [...dpif.flowDump()].map(({ key, mask }) => decodeMatchAttributes(key!, mask));
    expect(keys.map(({ key, mask }) => formatMatch(key, mask)).sort()[1]).toContain('packet_type(ns=1,id=0x800)');
    dpif.execute({
      packet: frame.subarray(14),
      key: bare.key,
      actions: actions('push_eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),2'),
    });
    expect(right!.receive()).toHaveLength(1);
  });

  it('calls back for upcalls while that is enabled', async () => {
    await using datapath = await openDatapath({ name: 'callback', dpIfindex: 83 });
    const [left, right] = [datapath.ports.add('left'), datapath.ports.add('right')] as MemoryPort[];
    using dpif = Dpif.open('netdev@callback');
    const seen: [string, number][] = [];
    dpif.registerUpcallCb(({ type, portNo }) => {
      seen.push([type, portNo]);
      return { actions: actions('2'), mask: matchAttributes('in_port(1),eth(),eth_type(0x0800),ipv4(frag=no)').mask };
    });
    await until(() => datapath.handler !== undefined, 'the function is the handler');
    datapath.process(left!, [frame]);
    expect(seen).toEqual([]);
    dpif.enableUpcall();
    datapath.process(left!, [frame]);
    datapath.process(left!, [frame]);
    expect(seen).toEqual([['miss', 1]]);
    expect(right!.receive()).toHaveLength(2);
    dpif.disableUpcall();
    dpif.flowFlush();
    datapath.process(left!, [frame]);
    expect(seen).toHaveLength(1);
    expect(datapath.stats().drops.upcallHandler).toBe(2);
    dpif.registerUpcallCb(undefined);
    await until(() => datapath.handler === undefined, 'the function is the handler no more');
    dpif.registerUpcallCb(() => undefined);
    await until(() => datapath.handler !== undefined, 'another one is');
  });

  it('calls back for actions that name its port id; what they send to ids that nobody has is lost', async () => {
    await using datapath = await openDatapath({ name: 'ids', dpIfindex: 90 });
    const [left] = [datapath.ports.add('left')] as MemoryPort[];
    using dpif = Dpif.open('netdev@ids');
    expect([dpif.portGetPid(1), dpif.portGetPid(undefined)]).toEqual([datapath.portId, datapath.portId]);
    const seen: (number[] | undefined)[] = [];
    dpif.registerUpcallCb(({ userdata }) => void seen.push(userdata && [...userdata]));
    dpif.enableUpcall();
    await until(() => datapath.handler !== undefined, 'the function is the handler');
    const list = `userspace(pid=${dpif.portGetPid(1)},userdata(01)),userspace(pid=4242,userdata(02))`;
    dpif.flowPut({
      flags: DPIF_FP_CREATE,
      ...matchAttributes('in_port(1),eth(),eth_type(0x0800),ipv4()'),
      actions: actions(list),
    });
    datapath.process(left!, [frame, frame, frame]);
    expect(seen).toEqual([[1], [1], [1]]);
    expect(dpif.stats()).toMatchObject({ hits: 3n, missed: 0n, lost: 3n });
    expect(datapath.stats().upcalls).toMatchObject({ action: 3, actionLost: 3 });
  });

  it('does not replace a handler of the program, nor remove it', async () => {
    await using datapath = await openDatapath({ name: 'taken', dpIfindex: 85 });
    using dpif = Dpif.open('netdev@taken');
    const handler = flood();
    await datapath.onUpcall(handler);
    expect(() => dpif.registerUpcallCb(() => undefined)).toThrow(expect.objectContaining({ errno: 16 }));
    dpif.registerUpcallCb(undefined);
    expect(datapath.handler).toBe(handler);
  });

  it('lets go of its handler while the datapath closes', async () => {
    const datapath = await openDatapath({ name: 'both', dpIfindex: 91 });
    const dpif = Dpif.open('netdev@both');
    let closed = 0;
    const handler = { name: 'closing', handle: (): void => {}, close: () => closed++ };
    await dpif.onUpcall(handler);
    const removed = dpif.onUpcall(undefined);
    const refused = expect(datapath.onUpcall(handler)).rejects.toMatchObject({ code: 'ERR_DATAPATH_CLOSED' });
    await Promise.all([datapath.close(), removed, refused]);
    expect(closed).toBe(1);
    expect(datapath.running).toBe(false);
    dpif.close();
  });

  it('has no port whose driver cannot be opened', async () => {
    await using datapath = await openDatapath({ name: 'noport', dpIfindex: 86 });
    using dpif = Dpif.open('netdev@noport');
    const missing = { name: 'nosuch', type: 'afpacket' };
    expect(() => dpif.portAdd(missing)).toThrow(DatapathError);
    expect(dpif.portExists('nosuch')).toBe(false);
    expect(dpif.portAdd({ name: 'nosuch', type: 'null' })).toBe(1);
    expect(datapath.ports.count).toBe(1);
  });

  it('has nothing to wait for', async () => {
    await using datapath = await openDatapath({ name: 'idle', dpIfindex: 87 });
    using dpif = Dpif.open(`netdev@${datapath.name}`);
    expect(dpif.run()).toBe(false);
    const stop = new AbortController();
    const waited = dpif.wait(stop.signal);
    stop.abort();
    await expect(waited).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }));
  });

  it('has as many poll threads as one asks for, of those that the datapath was opened for', async () => {
    await using datapath = await openDatapath({ name: 'threads', dpIfindex: 84, workers: 2 });
    using dpif = Dpif.open('netdev@threads');
    await expect(dpif.pollThreadsSet(3)).rejects.toThrow(expect.objectContaining({ errno: 22 }));
    for (const count of [1, 2]) {
      await dpif.pollThreadsSet(count);
      expect([datapath.running, datapath.pollers]).toEqual([true, count]);
    }
    await dpif.pollThreadsSet(0);
    expect(datapath.running).toBe(false);
  });

  it.skipIf(whyNoCpus)(`keeps each poll thread on a CPU (${whyNoCpus ?? 'runs'})`, async () => {
    await using datapath = await openDatapath({ name: 'cpus', dpIfindex: 89, workers: 2 });
    using dpif = Dpif.open('netdev@cpus');
    const [first, second] = allowedCpus();
    for (const cpus of [[second, first], [first], []]) {
      await dpif.pollThreadsSet(2, cpus);
      const onOne = Array.from({ length: cpus.length && 2 }, (_, i) => String(cpus[i % cpus.length]));
      expect(pinnedThreads()).toEqual(onOne.sort());
      expect(datapath.options.affinity).toEqual(cpus);
    }
    await expect(dpif.pollThreadsSet(2, [first, 1000])).rejects.toThrow(/CPU 1000.*there are/);
  });

  it('tells before flows are purged, while they are still there', async () => {
    await using datapath = await openDatapath({ name: 'purge', dpIfindex: 88, workers: 1 });
    using dpif = Dpif.open('netdev@purge');
    dpif.flowPut({
      flags: DPIF_FP_CREATE,
      ...matchAttributes('in_port(1),eth()'),
      actions: actions('2'),
    });
    const calls: [number, number][] = [];
    dpif.registerDpPurgeCb((pmdId) => calls.push([pmdId, [...dpif.flowDump()].length]));
    await dpif.pollThreadsSet(1);
    await dpif.pollThreadsSet(0);
    expect(calls).toEqual([]); // the flows of a thread that ends are not its own
    expect(datapath.flows.count).toBe(1);
    dpif.destroy();
    expect(calls).toEqual([[0x7fffffff, 1]]); // NON_PMD_CORE_ID
  });
});

/** CPUs of those threads of this process that stay on one. */
function pinnedThreads(): string[] {
  const statuses = readdirSync('/proc/self/task').map((id) => readFileSync(`/proc/self/task/${id}/status`, 'latin1'));
  return statuses.flatMap((text) => /^Cpus_allowed_list:\s*(\d+)$/m.exec(text)?.[1] ?? []).sort();
}
