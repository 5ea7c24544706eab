/*
 * Ports and datapaths that messages make and remove, and the drivers that follow them: what stands in datapath.ports is what the vports say.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import * as OVS from '../assembly/netlink/openvswitch.ts';
import { datapathRequest } from '../src/dpif/messages/datapath.ts';
import { firstReply } from '../src/dpif/messages/request.ts';
import { readVport, type VportRequest, vportRequest } from '../src/dpif/messages/vport.ts';
import { type Datapath, type DatapathEvent, type DatapathOptions, MemoryPort, udpFrame } from '../src/index.ts';
import { findDatapath } from '../src/kernel/registry.ts';
import { WasmTransport } from '../src/transport/wasm.ts';
import { openDatapath, until } from './support/datapath.ts';

const { OVS_VPORT_TYPE_NETDEV: NETDEV, OVS_VPORT_TYPE_INTERNAL: INTERNAL } = OVS;
const [ENODEV, EEXIST, EBUSY] = [19, 17, 16];
const FRAME = udpFrame({ src: '10.0.0.1', dst: '10.0.0.2', srcPort: 1, dstPort: 2 });

/** A datapath and somebody who drives it by messages. */
async function withClient(
  name: string,
  look: (datapath: Datapath, ask: (request: VportRequest) => ReturnType<typeof readVport>) => Promise<void>,
  options: DatapathOptions = {},
): Promise<void> {
  await using datapath = await openDatapath({ name, ...options });
  using transport = new WasmTransport();
  const { dpIfindex } = datapath.door;
  await look(datapath, (request) => {
    const bytes = vportRequest(transport.family('ovs_vport'), { dpIfindex, ...request });
    return readVport(firstReply(transport.transact(bytes), 'vport'), 'vport');
  });
}

const add = (name: string, more: Partial<VportRequest> = {}): VportRequest => {
  return { command: 'new', name, type: NETDEV, upcallPids: [1], ...more };
};

describe('ports by message', () => {
  it('are there for the program as those that it adds itself, and the other way round', async () => {
    await withClient('both-ways', async (datapath, ask) => {
      const own = datapath.ports.add('own');
      expect(ask({ command: 'get', name: 'own' })).toMatchObject({ portNo: own.portNo, type: NETDEV, upcallPids: [1] });
      datapath.ports.declare('theirs', 'memory', { slots: 4 });
      expect(datapath.ports.get('theirs')).toBeUndefined();
      const { portNo } = ask(add('theirs'));
      const theirs = datapath.ports.get('theirs') as MemoryPort;
      expect(theirs).toBeInstanceOf(MemoryPort);
      expect(theirs.portNo).toBe(portNo);

      datapath.flows.put(`in_port(${own.portNo}),eth(),eth_type(0x0800)`, String(portNo));
      datapath.process(own, [FRAME]);
      expect(theirs.receive()).toEqual([FRAME]);
      expect(ask({ command: 'get', portNo }).stats).toMatchObject({ txPackets: 1n, txBytes: BigInt(FRAME.length) });
      expect(() => ask(add('own'))).toThrow(expect.objectContaining({ errno: EEXIST }));
      expect(() => ask(add('third', { portNo }))).toThrow(expect.objectContaining({ errno: EBUSY }));
      expect(() => ask(add('nowhere'))).toThrow(expect.objectContaining({ errno: ENODEV }));
    });
  });

  it('lose their drivers with their vports, and get them again', async () => {
    await withClient('again', async (datapath, ask) => {
      const own = datapath.ports.add('own', { portNo: 3 });
      datapath.flows.put('in_port(3),eth(),eth_type(0x0800)', '3');
      ask({ command: 'del', portNo: 3 });
      expect(datapath.ports.count).toBe(0);
      own.send(FRAME);
      expect(datapath.poll()).toBe(0);
      // the device is still declared: another vport of it has a new driver, and begins to count anew
      const { portNo } = ask(add('own', { portNo: 7 }));
      expect(datapath.ports.get('own')?.portNo).toBe(portNo);
      expect(datapath.ports.get(7)?.stats().rxPackets).toBe(0);
      await datapath.ports.remove('own');
      expect(() => ask({ command: 'get', portNo })).toThrow(expect.objectContaining({ errno: ENODEV }));
      expect(() => ask(add('own'))).toThrow(expect.objectContaining({ errno: ENODEV }));
      expect(datapath.ports.add('own', { portNo: 7 }).portNo).toBe(7);
      expect(await datapath.ports.undeclare('own')).toBe(true);
      expect(datapath.ports.count).toBe(0);
    });
  });

  it('have files that are open when they are, and written when they are gone', async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'ports-'));
    try {
      await withClient('files', async (datapath, ask) => {
        datapath.ports.declare('capture', 'pcap', { tx: path.join(folder, 'tx.pcap') });
        const { portNo } = ask(add('capture'));
        await until(() => datapath.ports.get(portNo) !== undefined, 'the file is open');
        ask({ command: 'del', portNo });
        // the next vport of this number waits until the file is closed
        datapath.ports.declare('after', 'memory');
        ask(add('after', { portNo }));
        await until(() => datapath.ports.get(portNo)?.name === 'after', 'the next driver is open');
        // one that goes while it is opened is not left behind
        ask(add('capture', { portNo: 50 }));
        ask({ command: 'del', portNo: 50 });
        await new Promise((resolve) => setTimeout(resolve, 20));
        expect(datapath.ports.get(50)).toBeUndefined();
        expect((await datapath.ports.addType('x', 'null', {}, { portNo: 50 })).portNo).toBe(50);
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('are down when their driver cannot be opened, which is told', async () => {
    const events: DatapathEvent[] = [];
    const onEvent = (event: DatapathEvent): void => void events.push(event);
    await withClient(
      'failing',
      async (datapath, ask) => {
        datapath.ports.declare('nofile', 'pcap', { rx: '/nonexistent.pcap' });
        const { portNo } = ask(add('nofile'));
        await until(() => events.length > 0, 'somebody is told');
        expect(events).toMatchObject([{ type: 'port-failed', name: 'nofile' }]);
        expect(ask({ command: 'get', portNo }).name).toBe('nofile');
        expect(datapath.ports.count).toBe(0);
        // who adds it himself is told by the error, and nothing is left of it
        await expect(datapath.ports.addType('mine', 'pcap', { rx: '/nonexistent.pcap' })).rejects.toThrow(
          'nonexistent',
        );
        expect(() => ask({ command: 'get', name: 'mine' })).toThrow(expect.objectContaining({ errno: ENODEV }));
        expect(events.length).toBe(1);
      },
      { onEvent },
    );
  });

  it('of type internal have no driver, and their number is taken', async () => {
    await withClient('internal', async (datapath, ask) => {
      const { portNo } = ask(add('int0', { type: INTERNAL }));
      expect(portNo).toBe(1);
      expect(datapath.ports.count).toBe(0);
      expect(datapath.ports.add('own').portNo).toBe(2);
      expect(() => datapath.ports.add('int0')).toThrow('there is a port int0 already');
      expect(() => datapath.ports.add('other', { portNo })).toThrow(
        expect.objectContaining({ code: 'ERR_PORT_EXISTS' }),
      );
    });
  });

  it('have names that devices can have', async () => {
    await using datapath = await openDatapath();
    for (const name of ['', '.', '..', 'a b', 'a/b', 'a:b', 'sixteencharacter']) {
      expect(() => datapath.ports.add(name), name).toThrow(RangeError);
    }
    expect(datapath.ports.add('fifteen-letters').name).toBe('fifteen-letters');
  });
});

describe('datapaths by message', () => {
  it('close for the program that has opened one when a message removes it', async () => {
    using transport = new WasmTransport();
    const family = transport.family('ovs_datapath');
    const datapath = await openDatapath({ name: 'removed' });
    datapath.ports.add('a');
    expect(findDatapath('removed')).toBe(datapath);
    transport.transact(datapathRequest(family, { command: 'del', name: 'removed' }));
    expect(findDatapath('removed')).toBeUndefined();
    expect(() => datapath.poll()).toThrow(expect.objectContaining({ code: 'ERR_DATAPATH_CLOSED' }));
    await datapath.close();
    expect(datapath.ports.count).toBe(0);
  });

  it('of one name and one ifindex are found once; a second works for who has it', async () => {
    await using first = await openDatapath({ name: 'twice' });
    await using second = await openDatapath({ name: 'twice' });
    expect(findDatapath('twice')).toBe(first);
    expect(second.ports.add('a').portNo).toBe(1);
    for (const name of ['', 'a b', 'x%d', 'sixteencharacter'])
      await expect(openDatapath({ name })).rejects.toThrow(RangeError);
  });
});
