/*
 * The family ovs_flow of the WASM kernel, case by case: what a message about a flow holds, how flows are called that no message put, what is
 * refused and leaves everything as it was, and dumps of a table that changes meanwhile.
 */
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import { FAMILY_DATAPATH, GROUP_FLOW } from '../assembly/kernel/families.ts';
import * as OVS from '../assembly/netlink/openvswitch.ts';
import type { Datapath, DatapathOptions } from '../src/index.ts';
import { NLM_F_CREATE, NLM_F_ECHO } from '../src/netlink/index.ts';
import { monotonicMs } from '../src/wasm/clock.ts';
import { attribute, concat, le32 } from './support/action-list.ts';
import { BUILDS, openDatapath, SEED } from './support/datapath.ts';
import { FLOW, type FlowParts, FlowSocket, flowRequest } from './support/flow-requests.ts';
import { Random } from './support/frames.ts';
import { KernelSocket } from './support/kernel-socket.ts';

const [EPERM, ENOENT, ENOMEM, EEXIST, ENODEV, EINVAL, ENOSPC] = [1, 2, 12, 17, 19, 22, 28];
const { KEY, ACTIONS, STATS, TCP_FLAGS, USED, MASK, UFID } = {
  ...{ KEY: 1, ACTIONS: 2, STATS: 3, TCP_FLAGS: 4, USED: 5, MASK: 7, UFID: 9 },
};
const ALL = 0xffffffff;

const mac = (last: number) => [2, 0, 0, 0, 0, last];
const keyOf = (number: number): Uint8Array =>
  concat(attribute(3, le32(1)), attribute(4, [...mac(number & 255), ...mac(number >> 8)]), attribute(6, [0x12, 0x34]));
/** Matches port, type and the source address. */
const MASK_SOURCE = concat(
  attribute(3, le32(ALL)),
  attribute(4, [255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0]),
  attribute(6, [255, 255]),
);
const output = (port: number): Uint8Array => attribute(1, le32(port));
const ufidOf = (number: number): Uint8Array => new Uint8Array(16).fill(number & 255).fill(number >> 8, 0, 1);

const frameOf = (source: number, target: number, tcpFlags?: number): Uint8Array => {
  const bytes = new Uint8Array(60);
  bytes.set([...mac(target), ...mac(source), 0x12, 0x34]);
  if (tcpFlags === undefined) return bytes;
  bytes.set([0x08, 0x00, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 80, 1, 187], 12);
  bytes.set([0x50, tcpFlags], 46);
  return bytes;
};

interface World {
  datapath: Datapath;
  client: FlowSocket;
  put(number: number, parts?: FlowParts, flags?: number): ReturnType<FlowSocket['ask']>;
}

async function world(options: DatapathOptions, look: (world: World) => void | Promise<void>): Promise<void> {
  await using datapath = await openDatapath(options);
  const client = new FlowSocket(datapath);
  const put = (number: number, parts: FlowParts = {}, flags = NLM_F_CREATE | NLM_F_ECHO) =>
    client.ask(FLOW.NEW, { key: keyOf(number), actions: output(2), ...parts }, flags);
  await look({ datapath, client, put });
  expect(datapath.check()).toBe(0);
}

describe.each(BUILDS)('ovs_flow, %s', (build) => {
  it('shows name, key, mask, use and actions in the order of the kernel', () =>
    world({ build }, ({ datapath, client, put }) => {
      const port = datapath.ports.add('in', { portNo: 1 });
      expect(put(1).flows[0]!.types).toEqual([KEY, MASK, ACTIONS]);
      expect(put(2, { ufid: ufidOf(2), mask: MASK_SOURCE }).flows[0]!.types).toEqual([UFID, KEY, MASK, ACTIONS]);
      port.send(frameOf(2, 9));
      port.send(frameOf(2, 9));
      const before = Math.floor(monotonicMs());
      datapath.poll();
      const { flows } = client.ask(FLOW.GET, { ufid: ufidOf(2) });
      expect(flows[0]).toMatchObject({ types: [UFID, KEY, MASK, USED, STATS, ACTIONS], packets: 2, bytes: 120 });
      expect(flows[0]!.usedMs).toBeGreaterThanOrEqual(before);
      expect(flows[0]!.usedMs).toBeLessThanOrEqual(datapath.memory.u64(C.SUPERBLOCK + C.SB_TIME_MS));
      expect(flows[0]).toMatchObject({ command: FLOW.GET, ifindex: client.ifindex, flags: 0 });
    }));

  it('shows the lower TCP flags that were seen, and clears them with the counts', () =>
    world({ build }, ({ datapath, client }) => {
      const port = datapath.ports.add('in', { portNo: 1 });
      datapath.flows.put('in_port(1),eth_type(0x0800),ipv4(proto=6,frag=no),tcp()', '2');
      const [shown] = client.dump();
      for (const flags of [0x02, 0x10]) port.send(frameOf(1, 2, flags));
      datapath.poll();
      const name = { ufid: shown!.ufid };
      expect(client.ask(FLOW.GET, name).flows[0]).toMatchObject({ tcpFlags: 0x12, packets: 2 });
      const cleared = client.ask(FLOW.SET, { ...name, clear: true }, NLM_F_ECHO);
      expect(cleared.flows[0]).toMatchObject({ packets: 2, command: FLOW.SET });
      expect(client.ask(FLOW.GET, name).flows[0]!.types).toEqual([UFID, KEY, MASK, ACTIONS]);
      port.send(frameOf(1, 2, 0x08));
      datapath.poll();
      expect(client.ask(FLOW.GET, name).flows[0]).toMatchObject({ tcpFlags: 0x08, packets: 1, bytes: 60 });
      expect(client.ask(FLOW.GET, name).flows[0]!.types).toContain(TCP_FLAGS);
    }));

  it('leaves out what UFID_FLAGS say', () =>
    world({ build }, ({ client, put }) => {
      put(1, { ufid: ufidOf(1) });
      put(2);
      const types = (ufidFlags: number) => client.dump(1 << 16, ufidFlags).map((flow) => flow.types);
      expect(types(OVS.OVS_UFID_F_OMIT_KEY)).toEqual([
        [UFID, MASK, ACTIONS],
        [KEY, MASK, ACTIONS],
      ]);
      expect(types(OVS.OVS_UFID_F_OMIT_MASK | OVS.OVS_UFID_F_OMIT_ACTIONS)).toEqual([[UFID, KEY], [KEY]]);
      expect(types(7)).toEqual([[UFID], [KEY]]);
    }));

  it('calls a flow that no message put by a UFID of its own', () =>
    world({ build }, ({ datapath, client }) => {
      const match = 'in_port(1),eth_type(0x0800)';
      datapath.flows.put(match, '2');
      const [flow] = client.dump();
      expect(flow!.types).toEqual([UFID, KEY, MASK, ACTIONS]);
      expect(client.ask(FLOW.SET, { ufid: flow!.ufid, key: flow!.key, actions: output(3) }).errno).toBe(0);
      expect(datapath.flows.get(match)!.actionBytes).toEqual(output(3));
      expect(client.ask(FLOW.DEL, { ufid: flow!.ufid }).errno).toBe(0);
      datapath.flows.put(match, '2');
      expect(client.ask(FLOW.GET, { ufid: flow!.ufid }).errno).toBe(ENOENT);
      expect(client.dump()[0]!.ufid).not.toEqual(flow!.ufid);
    }));

  it('does not age what a message put', () =>
    world({ build, idleTimeoutMs: 1, hardTimeoutMs: 1 }, ({ datapath, put }) => {
      put(1);
      datapath.flows.put('in_port(5)', '2');
      expect(datapath.memory.wasm.sweepFlows(0, 64, BigInt(2 ** 50), 1, 1, 0)).toBe(1);
      expect(datapath.flows.count).toBe(1);
    }));

  it('refuses in the order of the kernel', () =>
    world({ build }, ({ datapath, client, put }) => {
      const elsewhere = (command: number, parts: FlowParts) =>
        client.socket.ask(flowRequest(command, parts, client.ifindex + 77)).errno;
      const [key, actions] = [keyOf(1), output(2)];
      expect(client.ask(FLOW.NEW, { key }).errno).toBe(EINVAL);
      expect(client.ask(FLOW.NEW, { actions }).errno).toBe(EINVAL);
      expect(elsewhere(FLOW.NEW, { key, actions: attribute(99, []) })).toBe(EINVAL);
      expect(elsewhere(FLOW.NEW, { key, actions })).toBe(ENODEV);
      expect(elsewhere(FLOW.GET, { key: actions })).toBe(EINVAL);
      for (const command of [FLOW.GET, FLOW.SET, FLOW.DEL]) expect(elsewhere(command, { key })).toBe(ENODEV);
      expect(elsewhere(FLOW.DEL, {})).toBe(ENODEV);
      expect(client.ask(FLOW.GET, {}).errno).toBe(EINVAL);
      expect(client.ask(FLOW.SET, { ufid: ufidOf(1), actions }).errno).toBe(EINVAL);
      expect(client.ask(FLOW.GET, { ufid: ufidOf(1), key: actions }).errno).toBe(EINVAL);
      expect(put(1).errno).toBe(0);
      expect(put(1).errno).toBe(EEXIST);
      const nobody = new KernelSocket(datapath.memory, 99, 0);
      for (const command of [FLOW.NEW, FLOW.SET, FLOW.DEL])
        expect(nobody.ask(flowRequest(command, { key, actions }, client.ifindex)).errno).toBe(EPERM);
      expect(nobody.ask(flowRequest(FLOW.GET, { key }, client.ifindex)).errno).toBe(0);
    }));

  it('tells the group and whoever asks for an echo', () =>
    world({ build }, ({ client, put }) => {
      expect(put(1, {}, NLM_F_CREATE).flows.length).toBe(0);
      client.socket.listen(GROUP_FLOW);
      expect(put(2, {}, NLM_F_CREATE).groups).toEqual([GROUP_FLOW]);
      const both = client.ask(FLOW.DEL, { key: keyOf(2) }, NLM_F_ECHO);
      expect(both.groups.length).toBe(2);
      expect(both.flows[0]).toEqual(both.flows[1]);
      expect(client.ask(FLOW.DEL, {}, NLM_F_ECHO).groups).toEqual([]);
    }));

  it('leaves everything as it was when slots or memory are used up', () =>
    world({ build, flows: 8, arenaSize: 8 << 20 }, ({ datapath, client, put }) => {
      for (let i = 0; i < 8; i++) expect(put(i, { ufid: ufidOf(i) }).errno).toBe(0);
      expect(put(9, { ufid: ufidOf(9) }).errno).toBe(ENOSPC);
      expect(client.ask(FLOW.DEL, { ufid: ufidOf(0) }).errno).toBe(0);
      const { memory } = datapath;
      const blocks: number[] = [];
      for (let size = 4 << 20; size >= 16; size >>= 1) {
        for (let block = memory.wasm.allocateBlock(size); block !== 0; block = memory.wasm.allocateBlock(size))
          blocks.push(block);
      }
      expect(put(9, { mask: MASK_SOURCE }).errno).toBe(ENOMEM);
      const long = concat(...Array.from({ length: 40 }, (_, port) => output(port)));
      expect(client.ask(FLOW.SET, { ufid: ufidOf(1), key: keyOf(1), actions: long }).errno).toBe(ENOMEM);
      expect(client.ask(FLOW.SET, { ufid: ufidOf(1), clear: true }).errno).toBe(ENOMEM);
      expect(client.ask(FLOW.GET, { ufid: ufidOf(1) }).flows[0]!.actions).toEqual(output(2));
      expect(datapath.check()).toBe(0);
      for (const block of blocks) memory.wasm.releaseBlock(block);
      expect(put(9).errno).toBe(0);
    }));

  it('leaves out of a dump a list of actions that fits no part, and shows it when asked', () =>
    world({ build, arenaSize: 32 << 20 }, ({ client, put }) => {
      const long = concat(...Array.from({ length: 4000 }, (_, i) => output(i % 1000)));
      put(1, { ufid: ufidOf(1) });
      put(2, { ufid: ufidOf(2), actions: long });
      put(3, { ufid: ufidOf(3) });
      const shown = client.dump(16384);
      expect(shown.map((flow) => flow.actions?.length)).toEqual([8, undefined, 8]);
      expect(client.ask(FLOW.GET, { ufid: ufidOf(2) }).flows[0]!.actions).toEqual(long);
    }));

  it(`dumps a flow that stays once, whatever comes and goes, SEED=${SEED}`, () =>
    world({ build, flows: 512 }, ({ datapath, client, put }) => {
      const random = new Random(SEED);
      const other = new FlowSocket(datapath);
      const stay = new Set<number>();
      const others: number[] = [];
      for (let i = 0; i < 256; i++) {
        put(i, { ufid: ufidOf(i) });
        if (i % 2 === 0) stay.add(i);
        else others.push(i);
      }
      for (let round = 0; round < 8; round++) {
        const seen = new Map<string, number>();
        const shown = client.dump(4000, 7, () => {
          for (let i = 0; i < 20; i++) {
            const number = random.pick(others);
            const parts = { ufid: ufidOf(number), key: keyOf(number), actions: output(3) };
            if (other.ask(FLOW.DEL, { ufid: parts.ufid }).errno !== 0) other.ask(FLOW.NEW, parts);
          }
        });
        for (const { ufid } of shown) seen.set(String(ufid), (seen.get(String(ufid)) ?? 0) + 1);
        for (const number of stay) expect(seen.get(String(ufidOf(number)))).toBe(1);
      }
    }));

  it('ends a dump when the datapath goes', () =>
    world({ build }, ({ datapath, client, put }) => {
      for (let i = 0; i < 40; i++) put(i);
      const { socket } = client;
      const other = new KernelSocket(datapath.memory);
      socket.startDump(flowRequest(FLOW.GET, {}, client.ifindex), 4000);
      expect(socket.dumping).toBe(true);
      other.done({ family: FAMILY_DATAPATH, version: 2, command: OVS.OVS_DP_CMD_DEL, ifindex: client.ifindex });
      expect(socket.finishDump(4000)).toEqual([]);
      expect(socket.doneErrno).toBe(ENODEV);
      expect(socket.startDump(flowRequest(FLOW.GET, {}, client.ifindex), 4000)).toEqual([]);
      expect(socket.doneErrno).toBe(ENODEV);
    }));

  it('finds every UFID again after a writer died', () =>
    world({ build, workers: 1 }, ({ datapath, client, put }) => {
      const { memory } = datapath;
      for (let i = 0; i < 100; i++) put(i, { ufid: ufidOf(i) });
      const table = memory.superblock(C.SB_UFID_TABLE);
      memory.bytes.fill(0, table & ~63, (table & ~63) + 64); // some entries of the index
      memory.setU32(C.SUPERBLOCK + C.SB_UFID_COUNT, 7);
      memory.setU32(C.SUPERBLOCK + C.SB_WRITER, (77 << 8) | 2);
      memory.wasm.recoverWorker(1);
      expect(datapath.check()).toBe(0);
      for (let i = 0; i < 100; i++) expect(client.ask(FLOW.DEL, { ufid: ufidOf(i) }).errno).toBe(0);
    }));
});
