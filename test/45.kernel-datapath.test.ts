/*
 * The family ovs_datapath of the WASM kernel: made, shown, changed, dumped, removed, and who may.
 */
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import { FAMILY_DATAPATH, GROUP_DATAPATH, OVS_DATAPATH_VERSION } from '../assembly/kernel/families.ts';
import * as OVS from '../assembly/netlink/openvswitch.ts';
import { type AttributeBuilder, MessageCursor, NLM_F_DUMP, NLM_F_ECHO } from '../src/netlink/index.ts';
import { BUILDS, bareDatapath } from './support/datapath.ts';
import { type KernelFrame, KernelSocket, message, type RequestParts } from './support/kernel-socket.ts';

const EPERM = 1;
const ENODEV = 19;
const IFINDEX = 7;

function request(command: number, attributes?: (a: AttributeBuilder) => void, ifindex = IFINDEX): RequestParts {
  return { family: FAMILY_DATAPATH, version: OVS_DATAPATH_VERSION, command, ifindex, attributes };
}
const named = (name: string) => (a: AttributeBuilder) => void a.string(OVS.OVS_DP_ATTR_NAME, name);
const create = request(OVS.OVS_DP_CMD_NEW, (a) => {
  a.string(OVS.OVS_DP_ATTR_NAME, 'dp0').u32(OVS.OVS_DP_ATTR_UPCALL_PID, 0).u32(OVS.OVS_DP_ATTR_USER_FEATURES, 3);
});

function shown({ bytes }: KernelFrame) {
  const cursor = new MessageCursor(bytes);
  cursor.next();
  const attributes = cursor.attributes(8);
  const types: number[] = [];
  const values: Record<string, number | string> = {};
  while (attributes.next()) {
    types.push(attributes.type);
    if (attributes.type === OVS.OVS_DP_ATTR_NAME) values.name = attributes.string();
    if (attributes.type === OVS.OVS_DP_ATTR_USER_FEATURES) values.features = attributes.u32();
    if (attributes.type === OVS.OVS_DP_ATTR_MASKS_CACHE_SIZE) values.masksCacheSize = attributes.u32();
  }
  const ifindex = new DataView(bytes.buffer, bytes.byteOffset).getInt32(20, true);
  return {
    type: cursor.type,
    command: cursor.command,
    version: cursor.version,
    flags: cursor.flags,
    ifindex,
    types,
    ...values,
  };
}

describe.each(BUILDS)('ovs_datapath, %s', (build) => {
  it('makes, shows, dumps and removes a datapath', async () => {
    await using datapath = bareDatapath({ build, dpIfindex: IFINDEX });
    const socket = new KernelSocket(datapath.memory);
    expect(socket.ask(request(OVS.OVS_DP_CMD_GET)).errno).toBe(ENODEV);

    datapath.memory.setU32(C.SUPERBLOCK + C.SB_DP_LISTENERS, 1);
    const made = socket.ask({ ...create, flags: NLM_F_ECHO });
    expect(made.errno).toBe(0);
    expect(made.frames.map(({ group, portId }) => [group, portId])).toEqual([
      [GROUP_DATAPATH, socket.portId],
      [0, socket.portId],
    ]);
    expect(made.frames[0].bytes).toEqual(made.frames[1].bytes);
    expect(socket.ask(create).errno).toBe(C.EEXIST);

    const { frames } = socket.ask(request(OVS.OVS_DP_CMD_GET, named('dp0'), 0));
    expect(shown(frames[0])).toEqual({
      ...{ type: FAMILY_DATAPATH, command: OVS.OVS_DP_CMD_GET, version: 2, flags: 0, ifindex: IFINDEX },
      ...{ types: [1, 3, 4, 5, 7], name: 'dp0', features: 3, masksCacheSize: 256 },
    });

    const dump = socket.send(message({ ...request(OVS.OVS_DP_CMD_GET, undefined, 0), flags: NLM_F_DUMP }));
    expect(dump.length).toBe(2);
    expect(shown(dump[0])).toMatchObject({ name: 'dp0', flags: 2 });
    expect([...dump[1].bytes.subarray(0, 8)]).toEqual([20, 0, 0, 0, 3, 0, 2, 0]);

    expect(socket.ask(request(OVS.OVS_DP_CMD_DEL)).errno).toBe(0);
    expect(socket.ask(request(OVS.OVS_DP_CMD_DEL)).errno).toBe(ENODEV);
  });

  it('takes its meters and bonds with it, as the kernel does, and all the memory that they took', async () => {
    await using datapath = bareDatapath({ build, dpIfindex: IFINDEX });
    const socket = new KernelSocket(datapath.memory);
    const { meters, bonds } = datapath;
    const rest: number[] = [];
    for (let turn = 0; turn < 40; turn++) {
      expect(socket.ask(create).errno).toBe(0);
      for (let id = 0; id < 100; id++) {
        expect(meters.get(id)).toBeUndefined();
        meters.set(id, { unit: 'pktps', bands: [{ rate: 1000, burst: 1000 }] });
      }
      for (let id = 0; id < C.BONDS_MAX; id++) {
        expect(bonds.bytes(id)).toBeUndefined();
        bonds.set(id, new Array<number>(C.BOND_BUCKETS).fill(1));
      }
      expect(socket.ask(request(OVS.OVS_DP_CMD_DEL)).errno).toBe(0);
      rest.push(datapath.stats().memory.arenaTouched);
    }
    expect(meters.get(1)).toBeUndefined();
    expect(bonds.bytes(1)).toBeUndefined();
    expect(rest.at(-1)).toBe(rest[3]);
    expect(datapath.check()).toBe(0);
  });

  it('lets administrators change it and everybody look', async () => {
    await using datapath = bareDatapath({ build, dpIfindex: IFINDEX });
    const nobody = new KernelSocket(datapath.memory, 1000, 0);
    expect(nobody.ask(create).errno).toBe(EPERM);
    expect(nobody.ask(request(OVS.OVS_DP_CMD_GET)).errno).toBe(ENODEV);
  });
});
