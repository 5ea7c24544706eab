/*
 * The transport to the WASM datapaths of this process: transactions, batches, dumps, notifications, and whom a message is for when there are several.
 * What the datapaths answer is compared with the kernel's elsewhere (48.conformance); here it is how answers come to whom they are for.
 */
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import * as OVS from '../assembly/netlink/openvswitch.ts';
import { datapathRequest, readDatapath } from '../src/dpif/messages/datapath.ts';
import { flowDumpRequest, putFlowPut, readFlow } from '../src/dpif/messages/flow.ts';
import { firstReply } from '../src/dpif/messages/request.ts';
import { readVport, type VportRequest, vportRequest } from '../src/dpif/messages/vport.ts';
import { encodeMatchAttributes, match, parseMatch } from '../src/index.ts';
import { TransactionBatch } from '../src/netlink/index.ts';
import { WasmTransport } from '../src/transport/wasm.ts';
import { openDatapath } from './support/datapath.ts';

const [ENODEV, EEXIST, EINVAL] = [19, 17, 22];
const [FLOWS, BATCH] = [5000, 256];

/** The match of flow number `index`: one destination port. */
function flowKey(index: number): { key: Uint8Array; mask: Uint8Array } {
  return encodeMatchAttributes(
    parseMatch(`in_port(1),eth(),eth_type(0x0800),ipv4(proto=17,frag=no),udp(dst=${index + 1})`),
  );
}

const output = new Uint8Array([8, 0, OVS.OVS_ACTION_ATTR_OUTPUT, 0, 1, 0, 0, 0]);

describe('the transport to WASM datapaths', () => {
  it('puts flows in batches, tells of each that was refused, and dumps what is there', async () => {
    await using datapath = await openDatapath({ name: 'batches', flows: 8192, dpIfindex: 71 });
    using transport = new WasmTransport();
    const family = transport.family('ovs_flow');
    const batch = new TransactionBatch({ countMax: BATCH });
    for (let first = 0; first < FLOWS; first += BATCH) {
      batch.clear();
      for (let i = first; i < Math.min(first + BATCH, FLOWS); i++) {
        const op = { type: 'flow_put', flags: 1, ...flowKey(i), actions: output } as const;
        batch.add((buffer) => putFlowPut(buffer, family, 71, op));
      }
      expect(transport.transactMany(batch)).toBe(0);
    }
    expect(datapath.stats().flows).toBe(FLOWS);

    // the last batch again, with one that is new in the middle
    batch.clear();
    for (const i of [0, FLOWS, 1]) {
      const op = { type: 'flow_put', flags: 1, ...flowKey(i), actions: output, wantStats: true } as const;
      batch.add((buffer) => putFlowPut(buffer, family, 71, op));
    }
    expect(await transport.transactManyAsync(batch)).toBe(2);
    expect([0, 1, 2].map((i) => batch.errno(i))).toEqual([EEXIST, 0, EEXIST]);
    expect(batch.error(0)?.errno).toBe(EEXIST);
    expect(readFlow(firstReply(batch.reply(1), 'echo')).actions).toEqual(output);

    const seen = new Set<string>();
    using dump = transport.dump(flowDumpRequest(family, 71, false));
    for (const message of dump) seen.add(Buffer.from(readFlow(message).key!).toString('hex'));
    expect(seen.size).toBe(FLOWS + 1);
    let later = 0;
    for await (const _ of transport.dump(flowDumpRequest(family, 71, true))) later++;
    expect(later).toBe(FLOWS + 1);
    expect(datapath.check()).toBe(0);
  });

  it('has other requests between the parts of a dump, and dumps left alone give their memory back', async () => {
    await using datapath = await openDatapath({ name: 'between', dpIfindex: 72 });
    using transport = new WasmTransport();
    const family = transport.family('ovs_flow');
    for (let i = 0; i < 1000; i++)
      datapath.flows.put(
        match()
          .inPort(i + 1)
          .build(),
        '1',
      );
    const arenaUsed = () => datapath.memory.superblock(C.SB_ARENA_USED);
    const used = arenaUsed();
    const dump = transport.dump(flowDumpRequest(family, 72, false));
    let count = 0;
    for (const _ of dump) {
      if (count++ % 100 === 0)
        transport.transact(datapathRequest(transport.family('ovs_datapath'), { command: 'get', dpIfindex: 72 }));
    }
    expect(count).toBe(1000);
    for (let i = 0; i < 50; i++) {
      using left = transport.dump(flowDumpRequest(family, 72, false));
      expect(left.next()).toBeDefined();
    }
    // what the transport keeps is its socket; that of the last dump waits for readers to have passed
    expect(arenaUsed() - used).toBeLessThan(3 * C.SOCKET_SIZEOF);
  });

  it('finds the datapath by ifindex, by name, by a port of it; refuses for nobody in the kernel words', async () => {
    await using one = await openDatapath({ name: 'one', dpIfindex: 73 });
    await using two = await openDatapath({ name: 'two', dpIfindex: 74 });
    one.ports.add('left');
    two.ports.add('right');
    using transport = new WasmTransport();
    const [dp, vport] = [transport.family('ovs_datapath'), transport.family('ovs_vport')];
    const get = (request: object) => {
      const reply = transport.transact(datapathRequest(dp, { command: 'get', ...request }));
      return readDatapath(firstReply(reply, 'get'), 'get');
    };
    expect(get({ name: 'two' }).dpIfindex).toBe(74);
    expect(get({ dpIfindex: 73 }).name).toBe('one');
    expect(() => get({ name: 'three' })).toThrow(expect.objectContaining({ errno: ENODEV }));
    expect(() => get({ dpIfindex: 75 })).toThrow(expect.objectContaining({ errno: ENODEV }));
    const port = transport.transact(vportRequest(vport, { command: 'get', dpIfindex: 0, name: 'right' }));
    expect(readVport(firstReply(port, 'get'), 'get')).toMatchObject({ name: 'right', portNo: 1 });
    const noPort = () => transport.transact(vportRequest(vport, { command: 'get', dpIfindex: 0, name: 'middle' }));
    expect(noPort).toThrow(expect.objectContaining({ errno: ENODEV }));
    const names = [...transport.dump(datapathRequest(dp, { command: 'get' }))].length;
    expect(names).toBeGreaterThanOrEqual(2);
  });

  it('finds the datapath by the number of any of its internal ports, which stays its own number', async () => {
    await using one = await openDatapath({ name: 'one', dpIfindex: 76 });
    await using two = await openDatapath({ name: 'two', dpIfindex: 77 });
    using transport = new WasmTransport();
    const [dp, vport] = [transport.family('ovs_datapath'), transport.family('ovs_vport')];
    const ask = (request: Omit<VportRequest, 'upcallPids'>) =>
      readVport(firstReply(transport.transact(vportRequest(vport, { upcallPids: [0], ...request })), 'vport'), 'vport');
    const add = (dpIfindex: number, name: string, type: number) => ask({ command: 'new', dpIfindex, name, type });
    const numbers = [one, two].map(({ door: { dpIfindex }, name }) => {
      expect(ask({ command: 'get', dpIfindex, portNo: 0 })).toMatchObject({ name, dpIfindex, ifindex: dpIfindex });
      const internal = [`${name}-a`, `${name}-b`].map((port) => add(dpIfindex, port, OVS.OVS_VPORT_TYPE_INTERNAL));
      for (const { ifindex } of internal) {
        const request = datapathRequest(dp, { command: 'get', dpIfindex: ifindex });
        const found = readDatapath(firstReply(transport.transact(request), 'get'), 'get');
        expect([found.name, found.dpIfindex]).toEqual([name, dpIfindex]);
        expect(ask({ command: 'get', dpIfindex: ifindex, portNo: 2 })).toMatchObject({ name: `${name}-b`, dpIfindex });
        // what a name finds, as in the kernel, must be in the datapath of this very number
        const byName = () => ask({ command: 'get', dpIfindex: ifindex, name: `${name}-b` });
        expect(byName).toThrow(expect.objectContaining({ errno: ENODEV }));
      }
      ask({ command: 'del', dpIfindex, portNo: 1 });
      const gone = datapathRequest(dp, { command: 'get', dpIfindex: internal[0]!.ifindex! });
      expect(() => transport.transact(gone)).toThrow(expect.objectContaining({ errno: ENODEV }));
      return internal.map(({ ifindex }) => ifindex!);
    });
    expect(new Set(numbers.flat()).size).toBe(4);
    // a port that is no internal one names nothing
    const memory = one.ports.add('outside');
    const { ifindex } = ask({ command: 'get', dpIfindex: 76, name: memory.name });
    const request = datapathRequest(dp, { command: 'get', dpIfindex: ifindex });
    expect(() => transport.transact(request)).toThrow(expect.objectContaining({ errno: ENODEV }));
  });

  it('makes and removes datapaths by message, and tells whoever listens', async () => {
    using transport = new WasmTransport();
    const family = transport.family('ovs_datapath');
    using heard = transport.subscribe([...family.groups.values()]);
    const make = () => transport.transact(datapathRequest(family, { command: 'new', name: 'made', upcallPid: 0 }));
    const made = readDatapath(firstReply(make(), 'new'), 'new');
    expect(made.name).toBe('made');
    expect(make).toThrow(expect.objectContaining({ errno: EEXIST }));
    const noName = () => transport.transact(datapathRequest(family, { command: 'new', upcallPid: 0 }));
    expect(noName).toThrow(expect.objectContaining({ errno: EINVAL }));
    transport.transact(datapathRequest(family, { command: 'del', name: 'made' }));
    expect(() => transport.transact(datapathRequest(family, { command: 'get', name: 'made' }))).toThrow(
      expect.objectContaining({ errno: ENODEV }),
    );
    const first = await heard.next();
    expect(first.done).toBe(false);
    expect(heard.take()).toBeDefined();
    expect(heard.take()).toBeUndefined();
  });
});
