/*
 * EXECUTE and the port ids of upcalls, case by case: what is refused, what passes on from message to upcall, and which Netlink port id an upcall
 * is for. A port id of 0, and one that no socket has, is nobody: the upcall is lost, and counted.
 */
import { describe, expect, it } from 'vitest';
import { FAMILY_DATAPATH } from '../assembly/kernel/families.ts';
import * as OVS from '../assembly/netlink/openvswitch.ts';
import { parseAttributes } from './reference/flow-attributes.ts';
import { attribute, concat, le32 } from './support/action-list.ts';
import { BUILDS } from './support/datapath.ts';
import { flowRequest, shownFlow } from './support/flow-requests.ts';
import { messagesOf } from './support/kernel-socket.ts';
import { PacketSocket, UPCALL_PID } from './support/packet-socket.ts';

const [EINVAL, ENODEV, ERANGE] = [22, 19, 34];
const ATTR = { PACKET: 1, KEY: 2, ACTIONS: 3, MRU: 9, LEN: 10, HASH: 11 } as const;
const UNALIGNED = OVS.OVS_DP_F_UNALIGNED;
const PER_CPU = OVS.OVS_DP_F_DISPATCH_UPCALL_PER_CPU;

const frame = (target = 2, size = 60): Uint8Array => {
  const bytes = new Uint8Array(size);
  bytes.set([2, 0, 0, 0, 0, target, 2, 0, 0, 0, 0, 1, 0x12, 0x34]);
  return bytes;
};
const inPort = (port: number) => attribute(3, le32(port));
const output = (port: number) => attribute(1, le32(port));
const userspace = (pid: number, ...more: Uint8Array[]) => attribute(2, concat(attribute(1, le32(pid)), ...more));
const recirc = (id: number) => attribute(7, le32(id));

interface Parts {
  packet?: Uint8Array;
  key?: Uint8Array;
  actions?: Uint8Array;
  more?: Uint8Array;
}

const request = ({ packet = frame(), key = inPort(1), actions = output(2), more = new Uint8Array(0) }: Parts) =>
  concat(attribute(ATTR.PACKET, packet), attribute(ATTR.KEY, key), attribute(ATTR.ACTIONS, actions), more);

/** Attributes of an upcall by type. */
const upcallParts = (message: Uint8Array) =>
  new Map(
    parseAttributes(concat(message.subarray(24), new Uint8Array(-message.length & 3))).map((a) => [a.type, a.payload]),
  );

async function world(build: 'release' | 'debug', look: (socket: PacketSocket) => void, workers = 0): Promise<void> {
  await using socket = await PacketSocket.open({ build, workers, arenaSize: (96 + 32 * workers) * 1048576 });
  look(socket);
  expect(socket.datapath.check()).toBe(0);
}

describe.each(BUILDS)('ovs_packet, %s', (build) => {
  it('executes, and counts what it did', () =>
    world(build, (socket) => {
      const { errno, frames, upcalls } = socket.execute(request({ actions: concat(output(2), output(3)) }));
      expect([errno, frames.map(({ port }) => port), upcalls.length]).toEqual([0, [2, 3], 0]);
      expect(frames[0]!.data).toEqual(frame());
      expect(socket.datapath.stats()).toMatchObject({ executed: 1, transmitted: 2, received: 0 });
    }));

  it('refuses what lacks something, in the order of the kernel', () =>
    world(build, (socket) => {
      const whole = { packet: ATTR.PACKET, key: ATTR.KEY, actions: ATTR.ACTIONS };
      for (const type of Object.values(whole)) {
        const parts = parseAttributes(request({})).filter((a) => a.type !== type);
        expect(socket.execute(concat(...parts.map((a) => attribute(a.type, a.payload)))).errno).toBe(EINVAL);
      }
      expect(socket.execute(request({ packet: frame().subarray(0, 13) })).errno).toBe(ERANGE);
      expect(socket.execute(request({ key: attribute(99, []) })).errno).toBe(EINVAL);
      expect(socket.execute(request({ actions: attribute(99, []) }), 77).errno).toBe(EINVAL);
      expect(socket.execute(request({}), 77).errno).toBe(ENODEV);
    }));

  it('passes metadata, MRU and hash on to upcalls, and to no later packet', () =>
    world(build, (socket) => {
      const more = concat(attribute(ATTR.MRU, [0xdc, 0x05]), attribute(ATTR.HASH, [1, 2, 3, 4, 3, 0, 0, 0]));
      const key = concat(inPort(1), attribute(15, le32(0xabcd)), attribute(20, le32(7)));
      const first = socket.execute(request({ key, actions: userspace(UPCALL_PID), more }));
      const parts = upcallParts(first.upcalls[0]!);
      expect(parts.get(ATTR.MRU)).toEqual(Uint8Array.of(0xdc, 0x05));
      expect(parts.get(ATTR.HASH)).toEqual(Uint8Array.of(1, 2, 3, 4, 3, 0, 0, 0));
      const shown = new Map(parseAttributes(parts.get(ATTR.KEY)!).map((a) => [a.type, a.payload]));
      expect(shown.get(15)).toEqual(le32(0xabcd));
      expect(shown.get(20)).toEqual(le32(7));
      const next = upcallParts(socket.execute(request({ actions: userspace(UPCALL_PID) })).upcalls[0]!);
      expect(next.has(ATTR.MRU)).toBe(false);
      expect(next.get(ATTR.HASH)).toEqual(new Uint8Array(8));
    }));

  it('pads the message of an upcall for programs that want it so', () =>
    world(build, (socket) => {
      const odd = request({ packet: frame(2, 61), actions: userspace(UPCALL_PID) });
      const unaligned = socket.execute(odd).upcalls[0]!;
      expect(unaligned.length % 4).toBe(1);
      expect(socket.changeDatapath(0)).toBe(0);
      const padded = socket.execute(odd).upcalls[0]!;
      expect(padded.length).toBe(unaligned.length + 3);
      expect(new DataView(padded.buffer, padded.byteOffset).getUint32(0, true)).toBe(padded.length);
      expect(padded.subarray(4, unaligned.length)).toEqual(unaligned.subarray(4));
    }));
});

describe.each(BUILDS)('port ids of upcalls, %s', (build) => {
  const misses = (socket: PacketSocket, count: number): number[] => {
    for (let i = 0; i < count; i++) socket.ports[0]!.send(frame(i));
    socket.datapath.memory.wasm.poll(8);
    return socket.sent().portIds;
  };

  it('are those of the port, one for each packet by its hash', () =>
    world(
      build,
      (socket) => {
        expect(misses(socket, 3)).toEqual([UPCALL_PID, UPCALL_PID, UPCALL_PID]);
        socket.hold(11, 12, 13, 14);
        expect(socket.setPortIds(1, 11, 12, 13)).toBe(0);
        const first = misses(socket, 50);
        expect(new Set(first)).toEqual(new Set([11, 12, 13]));
        expect(misses(socket, 50)).toEqual(first);
        expect(socket.execute(request({ actions: recirc(3) })).portIds.every((id) => [11, 12, 13].includes(id))).toBe(
          true,
        );
        expect(socket.setPortIds(0, 14)).toBe(0);
        expect(socket.execute(request({ key: inPort(77), actions: recirc(3) })).portIds).toEqual([14]);
      },
      3,
    ));

  it('are those of the actions', () =>
    world(build, (socket) => {
      socket.hold(5, 6);
      const actions = concat(userspace(5), userspace(6, attribute(2, [1, 2])));
      expect(socket.execute(request({ actions })).portIds).toEqual([5, 6]);
    }));

  it('are those of the workers with DISPATCH_UPCALL_PER_CPU, whatever ports and actions say', () =>
    world(build, (socket) => {
      socket.hold(21);
      expect(socket.changeDatapath(UNALIGNED | PER_CPU, [21, 22])).toBe(0);
      expect(misses(socket, 2)).toEqual([21, 21]);
      expect(socket.execute(request({ actions: userspace(5) })).portIds).toEqual([21]);
      expect(socket.changeDatapath(UNALIGNED)).toBe(0);
      expect(misses(socket, 1)).toEqual([UPCALL_PID]);
    }));

  /** n_lost of the datapath. */
  const lost = (socket: PacketSocket): number => {
    const command = OVS.OVS_DP_CMD_GET;
    const { frames } = socket.socket.ask({ family: FAMILY_DATAPATH, version: 2, command, ifindex: socket.ifindex });
    const stats = parseAttributes(messagesOf(frames[0]!)[0]!.subarray(24)).find(({ type }) => type === 3)!.payload;
    return Number(new DataView(stats.buffer, stats.byteOffset).getBigUint64(16, true));
  };

  it('are nobody when they are 0: the upcall is lost', () =>
    world(build, (socket) => {
      expect(socket.setPortIds(1, 0)).toBe(0);
      expect(misses(socket, 4)).toEqual([]);
      expect(socket.execute(request({ actions: userspace(0) })).errno).toBe(EINVAL);
      expect(socket.changeDatapath(UNALIGNED | PER_CPU)).toBe(0);
      expect(misses(socket, 1)).toEqual([]);
      const { errno, upcalls, frames } = socket.execute(request({ actions: concat(userspace(5), output(2)) }));
      expect([errno, upcalls.length, frames.length]).toEqual([0, 0, 1]);
      const stats = socket.datapath.stats();
      expect(stats.drops.upcallNoPortId).toBe(5);
      expect(stats.upcalls.actionLost).toBe(1);
      expect(lost(socket)).toBe(6);
    }));

  it('are nobody while no socket has them: lost before it is opened and after it is closed', () =>
    world(build, (socket) => {
      const actions = concat(userspace(5), output(2), userspace(UPCALL_PID));
      const outcome = () => {
        const before = lost(socket);
        const { errno, frames, portIds } = socket.execute(request({ actions }));
        expect([errno, frames.length]).toEqual([0, 1]);
        return [...misses(socket, 2), ...portIds, lost(socket) - before];
      };
      expect(socket.setPortIds(1, 5)).toBe(0);
      expect(outcome()).toEqual([UPCALL_PID, 3]);
      const close = socket.hold(5, 6);
      expect(outcome()).toEqual([5, 5, 5, UPCALL_PID, 0]);
      close();
      expect(outcome()).toEqual([UPCALL_PID, 3]);
      socket.hold(7);
      expect(outcome()).toEqual([UPCALL_PID, 3]);
      const { drops, upcalls } = socket.datapath.stats();
      expect([drops.upcallNoPortId, upcalls.actionLost]).toEqual([6, 3]);
    }));

  it('leave the flows of messages alone', () =>
    world(build, (socket) => {
      const key = concat(inPort(1), attribute(4, frame().subarray(0, 12)), attribute(6, [0x12, 0x34]));
      const parts = { key, actions: concat(recirc(9)) };
      expect(socket.socket.ask(flowRequest(OVS.OVS_FLOW_CMD_NEW, parts, socket.ifindex)).errno).toBe(0);
      expect(socket.execute(request({ actions: recirc(0) })).portIds.length).toBe(1);
      const { frames } = socket.socket.ask(flowRequest(OVS.OVS_FLOW_CMD_GET, { key }, socket.ifindex));
      expect(shownFlow(messagesOf(frames[0]!)[0]!).packets).toBe(0);
    }));
});
