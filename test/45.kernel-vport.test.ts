/*
 * The family ovs_vport of the WASM kernel. The errno values, the attributes and their order were recorded from Linux 6.1 with the same requests.
 */
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import { FAMILY_DATAPATH, FAMILY_VPORT, GROUP_VPORT } from '../assembly/kernel/families.ts';
import * as OVS from '../assembly/netlink/openvswitch.ts';
import type { Datapath } from '../src/index.ts';
import { type AttributeBuilder, NLM_F_DUMP, NLM_F_ECHO } from '../src/netlink/index.ts';
import { BUILDS, bareDatapath } from './support/datapath.ts';
import { KernelSocket, message, type RequestParts, shownVport } from './support/kernel-socket.ts';

const EINVAL = 22;
const [ENODEV, EBUSY, EEXIST, EFBIG, EOPNOTSUPP, EAFNOSUPPORT] = [19, 16, 17, 27, 95, 97];
const IFINDEX = 2;
const { OVS_VPORT_TYPE_NETDEV: NETDEV, OVS_VPORT_TYPE_INTERNAL: INTERNAL } = OVS;

function request(command: number, attributes?: (a: AttributeBuilder) => void, ifindex = IFINDEX): RequestParts {
  return { family: FAMILY_VPORT, command, ifindex, attributes };
}

interface Wanted {
  portNo?: number;
  type?: number;
  name?: string;
  ids?: number[] | Uint8Array;
  ifindex?: number;
  dp?: number;
}

function add({ portNo, type, name, ids = [0], ifindex, dp }: Wanted): RequestParts {
  return request(
    OVS.OVS_VPORT_CMD_NEW,
    (a) => {
      if (portNo !== undefined) a.u32(OVS.OVS_VPORT_ATTR_PORT_NO, portNo);
      if (type !== undefined) a.u32(OVS.OVS_VPORT_ATTR_TYPE, type);
      if (name !== undefined) a.string(OVS.OVS_VPORT_ATTR_NAME, name);
      a.binary(OVS.OVS_VPORT_ATTR_UPCALL_PID, ids instanceof Uint8Array ? ids : words(ids));
      if (ifindex !== undefined) a.u32(OVS.OVS_VPORT_ATTR_IFINDEX, ifindex);
    },
    dp,
  );
}

const words = (values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);
const numbered = (portNo: number) => (a: AttributeBuilder) => void a.u32(OVS.OVS_VPORT_ATTR_PORT_NO, portNo);
const named = (name: string) => (a: AttributeBuilder) => void a.string(OVS.OVS_VPORT_ATTR_NAME, name);

/** A datapath dp0 with the devices lo, veth0, veth1 and veth2, and a socket that has made it. */
async function withDatapath(build: 'release' | 'debug', look: (socket: KernelSocket, datapath: Datapath) => void) {
  await using datapath = bareDatapath({ build, dpIfindex: IFINDEX });
  const socket = new KernelSocket(datapath.memory);
  socket.addDevice('lo', 1, C.DEVICE_UNFIT);
  for (const i of [0, 1, 2]) socket.addDevice(`veth${i}`, 100 + i, C.DEVICE_ETHERNET);
  const attributes = (a: AttributeBuilder): void => {
    a.string(OVS.OVS_DP_ATTR_NAME, 'dp0').u32(OVS.OVS_DP_ATTR_UPCALL_PID, 0);
    a.u32(OVS.OVS_DP_ATTR_USER_FEATURES, OVS.OVS_DP_F_UNALIGNED | OVS.OVS_DP_F_VPORT_PIDS);
  };
  socket.done({ family: FAMILY_DATAPATH, version: 2, command: OVS.OVS_DP_CMD_NEW, attributes });
  socket.listen(GROUP_VPORT);
  look(socket, datapath);
}

describe.each(BUILDS)('ovs_vport, %s', (build) => {
  it('adds ports of both types and gives them numbers', async () => {
    await withDatapath(build, (socket) => {
      const [made] = socket.done({ ...add({ type: NETDEV, name: 'veth0', ids: [7] }), flags: NLM_F_ECHO });
      expect(shownVport(made)).toEqual({
        ...{ command: OVS.OVS_VPORT_CMD_NEW, flags: 0, ifindex: IFINDEX, types: [1, 2, 3, 8, 6, 5] },
        ...{ portNo: 1, type: NETDEV, name: 'veth0', device: 100, ids: [7], stats: [0, 0, 0, 0, 0, 0, 0, 0] },
      });
      const device = socket.memory.superblock(C.SB_IFINDEX_NEXT);
      const [internal] = socket.done({ ...add({ portNo: 7, type: INTERNAL, name: 'int0' }), flags: NLM_F_ECHO });
      expect(shownVport(internal)).toMatchObject({ portNo: 7, type: INTERNAL, name: 'int0', device });
      const [lowest] = socket.done({ ...add({ type: INTERNAL, name: 'int%d' }), flags: NLM_F_ECHO });
      expect(shownVport(lowest)).toMatchObject({ portNo: 2, name: 'int1' });
      const [wanted] = socket.done({ ...add({ type: INTERNAL, name: 'int9', ifindex: 900 }), flags: NLM_F_ECHO });
      expect(shownVport(wanted)).toMatchObject({ portNo: 3, device: 900 });
    });
  });

  it('refuses what the kernel refuses, with its errno', async () => {
    await withDatapath(build, (socket) => {
      const cases: [string, Wanted, number][] = [
        ['nothing given', {}, EINVAL],
        ['no type', { name: 'x' }, EINVAL],
        ['no name', { type: INTERNAL }, EINVAL],
        ['no such device', { type: NETDEV, name: 'nodev' }, ENODEV],
        ['a device without a name', { type: NETDEV, name: '' }, ENODEV],
        ['loopback', { type: NETDEV, name: 'lo' }, EINVAL],
        ['a device of the datapath itself', { type: NETDEV, name: 'dp0' }, EINVAL],
        ['a taken name', { type: INTERNAL, name: 'dp0' }, EEXIST],
        ["a device's name", { type: INTERNAL, name: 'veth1' }, EEXIST],
        ['a name with a blank', { type: INTERNAL, name: 'a b' }, EINVAL],
        ['two numbers in a name', { type: INTERNAL, name: 'v%dx%d' }, EINVAL],
        ['another format in a name', { type: INTERNAL, name: 'v%s' }, EINVAL],
        ['the number 65535', { portNo: 65535, type: INTERNAL, name: 'x' }, EFBIG],
        ['the number 65536 of no datapath', { portNo: 65536, type: INTERNAL, name: 'x', dp: 99 }, EFBIG],
        ['no such datapath', { type: INTERNAL, name: 'x', dp: 99 }, ENODEV],
        ['type 0', { type: 0, name: 'x' }, EAFNOSUPPORT],
        ['type 77', { type: 77, name: 'x' }, EAFNOSUPPORT],
        ['a tunnel', { type: OVS.OVS_VPORT_TYPE_GRE, name: 'x' }, EAFNOSUPPORT],
        ['no port id', { type: INTERNAL, name: 'x', ids: [] }, EINVAL],
        ['half a port id', { type: INTERNAL, name: 'x', ids: new Uint8Array(6) }, EINVAL],
        ['more port ids than workers', { type: INTERNAL, name: 'x', ids: [1, 2] }, EINVAL],
        ['bad port ids before no device', { type: NETDEV, name: 'nodev', ids: new Uint8Array(6) }, EINVAL],
        ['an ifindex for a device', { type: NETDEV, name: 'veth1', ifindex: 7 }, EOPNOTSUPP],
        ['a taken ifindex', { type: INTERNAL, name: 'x', ifindex: 101 }, EBUSY],
      ];
      for (const [what, wanted, errno] of cases) expect([what, socket.ask(add(wanted)).errno]).toEqual([what, errno]);

      socket.done(add({ portNo: 4, type: NETDEV, name: 'veth0' }));
      expect(socket.ask(add({ type: NETDEV, name: 'veth0' })).errno).toBe(EEXIST);
      expect(socket.ask(add({ portNo: 4, type: NETDEV, name: 'veth1' })).errno).toBe(EBUSY);
    });
  });

  it('finds a port by name before number, and changes and removes it', async () => {
    await withDatapath(build, (socket) => {
      socket.done(add({ portNo: 4, type: NETDEV, name: 'veth0' }));
      const cases: [string, RequestParts, number][] = [
        ['by name', request(3, named('veth0'), 0), 0],
        ['by name and a wrong number', request(3, (a) => a.u32(1, 99).string(3, 'veth0'), 0), 0],
        ['by name in another datapath', request(3, named('veth0'), 99), ENODEV],
        ['by a name that is none', request(3, named('veth9'), 0), ENODEV],
        ['by number', request(3, numbered(0)), 0],
        ['by a number that is none', request(3, numbered(5)), ENODEV],
        ['by a number beyond all', request(3, numbered(70000), 99), EFBIG],
        ['by nothing', request(3), EINVAL],
        ['by ifindex', request(3, (a) => a.u32(8, 1)), EOPNOTSUPP],
        ['set: another type', request(4, (a) => a.u32(1, 4).u32(2, INTERNAL)), EINVAL],
        ['set: options', request(4, (a) => a.u32(1, 4).binary(4, new Uint8Array(0))), EOPNOTSUPP],
        ['set: five bytes of port ids', request(4, (a) => a.u32(1, 4).binary(5, new Uint8Array(5))), EINVAL],
        ['del: the port of the datapath', request(2, numbered(0)), EINVAL],
      ];
      for (const [what, parts, errno] of cases) expect([what, socket.ask(parts).errno]).toEqual([what, errno]);
      const [changed] = socket.done({ ...request(4, (a) => a.u32(1, 4).u32(5, 9)), flags: NLM_F_ECHO });
      expect(shownVport(changed)).toMatchObject({ command: OVS.OVS_VPORT_CMD_SET, ids: [9] });
      const [gone] = socket.done({ ...request(2, numbered(4)), flags: NLM_F_ECHO });
      expect(shownVport(gone)).toMatchObject({ command: OVS.OVS_VPORT_CMD_DEL, name: 'veth0' });
      expect(socket.ask(request(2, numbered(4))).errno).toBe(ENODEV);
      socket.done(add({ portNo: 4, type: NETDEV, name: 'veth0' }));
    });
  });

  it('notifies the group, and the requester only if it asks for no echo', async () => {
    await withDatapath(build, (socket) => {
      const silent = socket.send(message({ ...add({ type: NETDEV, name: 'veth0' }), seq: 77 }));
      expect(silent.map(({ group, portId }) => [group, portId])).toEqual([[GROUP_VPORT, 0]]);
      const header = new DataView(silent[0].bytes.buffer);
      expect([header.getUint32(8, true), header.getUint32(12, true)]).toEqual([77, socket.portId]);
      const echoed = socket.send(message({ ...add({ type: NETDEV, name: 'veth1' }), flags: NLM_F_ECHO }));
      expect(echoed.map(({ group, portId }) => [group, portId])).toEqual([
        [GROUP_VPORT, socket.portId],
        [0, socket.portId],
      ]);
    });
  });

  it('loses the port of a device that goes away, and says so to the group', async () => {
    await withDatapath(build, (socket) => {
      socket.done(add({ portNo: 4, type: NETDEV, name: 'veth0' }));
      const [notice, ...others] = socket.removeDevice('veth0');
      expect(others).toEqual([]);
      expect([notice.group, notice.portId]).toEqual([GROUP_VPORT, 0]);
      expect([...notice.bytes.subarray(6, 16)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
      expect(shownVport(notice)).toMatchObject({ command: OVS.OVS_VPORT_CMD_DEL, portNo: 4, name: 'veth0' });
      expect(socket.ask(request(3, numbered(4))).errno).toBe(ENODEV);
      expect(socket.ask(add({ type: NETDEV, name: 'veth0' })).errno).toBe(ENODEV);
      expect(socket.removeDevice('veth1')).toEqual([]);
    });
  });

  it('dumps ports by number, in parts, while others come and go', async () => {
    await withDatapath(build, (socket) => {
      for (let i = 1; i <= 40; i++) socket.done(add({ portNo: i * 10, type: INTERNAL, name: `int${i}` }));
      const all = socket.send(message({ ...request(3), flags: NLM_F_DUMP }));
      const numbers = all.slice(0, -1).flatMap((frame) => socket.messages(frame).map((one) => shownVport(one).portNo));
      expect(numbers).toEqual(Array.from({ length: 41 }, (_, i) => i * 10));
      expect([...all[all.length - 1].bytes.subarray(0, 8)]).toEqual([20, 0, 0, 0, 3, 0, 2, 0]);

      // a part that holds three ports, then changes before and behind the place where it stands
      const other = new KernelSocket(socket.memory, 99);
      const seen = other.startDump(request(3), 500).map((one) => shownVport(one).portNo);
      expect(seen).toEqual([0, 10, 20]);
      socket.done(request(2, numbered(10)));
      socket.done(request(2, numbered(30)));
      socket.done(add({ portNo: 5, type: INTERNAL, name: 'before' }));
      socket.done(add({ portNo: 35, type: INTERNAL, name: 'behind' }));
      const rest = other.finishDump(500).map((one) => shownVport(one).portNo);
      expect(rest.slice(0, 3)).toEqual([35, 40, 50]);
      expect(rest.at(-1)).toBe(400);

      expect(other.startDump(request(3, undefined, 99), 500)).toEqual([]);
      expect(other.doneErrno).toBe(ENODEV);
    });
  });

  it('counts from when a port was made', async () => {
    await withDatapath(build, (socket, datapath) => {
      socket.done(add({ portNo: 4, type: NETDEV, name: 'veth0' }));
      const { wasm } = datapath.memory;
      const area = datapath.memory.workerArea(0);
      expect(wasm.openPort(4, C.RX_NONE, 0, C.TX_NULL, 0, 0, 0)).toBe(0);
      datapath.memory.setU64(portRow(area, 4) + C.PORT_ROW_RX_PACKETS, 5);
      datapath.memory.setU64(portRow(area, 4) + C.PORT_ROW_TX_BYTES, 6);
      const [shown] = socket.done(request(3, numbered(4)));
      expect(shownVport(shown).stats).toEqual([5, 0, 0, 6, 0, 0, 0, 0]);
      socket.done(request(2, numbered(4)));
      expect(wasm.openPort(4, C.RX_NONE, 0, C.TX_NULL, 0, 0, 0)).toBe(-EBUSY);
      expect(wasm.closePort(4)).toBe(0);
      socket.done(add({ portNo: 4, type: INTERNAL, name: 'int0' }));
      datapath.memory.setU64(portRow(area, 4) + C.PORT_ROW_RX_PACKETS, 8);
      const [again] = socket.done(request(3, numbered(4)));
      // what an internal device sends is what the datapath receives
      expect(shownVport(again).stats).toEqual([0, 3, 0, 0, 0, 0, 0, 0]);
    });
  });
});

/** A port's statistics on a worker: behind the descriptors and keys of its batch. */
function portRow(area: number, portNo: number): number {
  const positions = C.BATCH_MAX + 1 + C.CLONES_MAX + C.DEFERRED_MAX + 1;
  return area + C.WORKER_CONTROL_SIZE + positions * (C.PACKET_SIZEOF + C.KEY_SIZE) + portNo * C.PORT_ROW_SIZEOF;
}
