/*
 * Recirculation through the pipeline: lookups with a recirc_id, keys made anew, misses that go up, statistics, and the depth at which it
 * ends, which is the kernel's (a virtual machine says so). SEED sets the seed.
 */
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import type { Datapath, MemoryPort } from '../src/index.ts';
import { KERNEL_FAMILY, kernelTransact, whyNoKernel } from './kernel-vm/kernel.ts';
import { referenceExtractAll } from './reference/extract.ts';
import { attribute, be16, concat, le32 } from './support/action-list.ts';
import { BUILDS, expectAccounted } from './support/datapath.ts';
import { Executor } from './support/executor.ts';
import * as L from './support/frames.ts';
import { openForUpcalls, refuse, take } from './support/upcall-frames.ts';

const ETH_TYPE = 0x88b5;
const RECIRC_ID = 100;
const FRAMES = 200;

const output = (port: number): Uint8Array => attribute(1, le32(port));
const recirc = (id: number): Uint8Array => attribute(7, le32(id));

/** A flow for everything from port 1 with this recirc_id. `list` is not validated. */
function put(datapath: Datapath, recircId: number, list: Uint8Array): void {
  const { memory } = datapath;
  const [key, mask] = [new Uint8Array(C.KEY_SIZE), new Uint8Array(C.KEY_SIZE)];
  new DataView(key.buffer).setUint32(C.KEY_IN_PORT, 1, true);
  new DataView(key.buffer).setUint32(C.KEY_RECIRC_ID, recircId, true);
  mask.fill(255, C.KEY_IN_PORT, C.KEY_RECIRC_ID + 4);
  // a list of the same size that nobody else has, overwritten before a packet sees it
  const stand = Array.from({ length: list.length / 4 - 2 }, () => attribute(5, []));
  const actions = datapath.actions(concat(...stand, attribute(13, le32(1000 + recircId))));
  memory.bytes.set(list, actions.address + C.ACTIONS_ATTRS);
  const scratch = memory.allocate(C.KEY_SIZE, 'a key');
  memory.bytes.set(key, scratch);
  const held = datapath.mask(mask);
  const flow = memory.wasm.putFlow(scratch, held.address, actions.address, 0, 0, 0) >>> 0;
  if (flow < C.SUPERBLOCK) throw new Error(`flow put: errno ${flow}`);
}

async function open(options: object): Promise<{ datapath: Datapath; ports: MemoryPort[] }> {
  const datapath = await openForUpcalls(options);
  return { datapath, ports: [1, 2, 3].map((portNo) => datapath.ports.add(`p${portNo}`, { portNo })) };
}

function udp(number: number): Uint8Array {
  return L.ethernet(0x0800, L.ipv4({ proto: 17 }, L.udp({ src: number }, L.filler(20))));
}

function send(datapath: Datapath, port: MemoryPort, frames: readonly Uint8Array[]): void {
  for (const frame of frames) port.send(frame);
  while (port.pending > 0) datapath.memory.wasm.poll(4);
}

describe.each(BUILDS)('recirculation, %s', (build) => {
  it.each([true, false])('looks the packet up again, cache %s', async (emc) => {
    const { datapath, ports } = await open({ build, emc });
    await using _ = datapath;
    put(datapath, 0, concat(output(3), recirc(7)));
    put(datapath, 7, recirc(8));
    put(datapath, 8, output(2));
    const frames = Array.from({ length: FRAMES }, (_, i) => udp(i % 8));
    send(datapath, ports[0], frames);
    const stats = datapath.stats();
    const { received, recirculated, transmitted, copies } = stats;
    expect({ received, recirculated, transmitted, copies }).toEqual({
      ...{ received: FRAMES, recirculated: 2 * FRAMES, transmitted: 2 * FRAMES, copies: FRAMES },
    });
    expect(stats.hits.emc + stats.hits.megaflow).toBe(3 * FRAMES);
    if (emc) expect(stats.hits.emc).toBeGreaterThan(2 * FRAMES);
    expect(ports[1].receive()).toEqual(frames);
    for await (const flow of datapath.flows) expect(flow.stats.packets).toBe(FRAMES);
    expectAccounted(stats);
  });

  it('makes the key anew from what actions left, and sends a miss with it', async () => {
    const { datapath, ports } = await open({ build });
    await using _ = datapath;
    const lse = [0x12, 0x34, 0x51, 0x40];
    const mark = attribute(3, attribute(15, le32(77)));
    const pushes = concat(
      attribute(9, Uint8Array.of(...lse, 0x88, 0x47, 0, 0)),
      attribute(4, Uint8Array.of(0x81, 0, 0x10, 9)),
    );
    put(datapath, 0, concat(mark, pushes, recirc(5)));
    const frame = udp(9);
    send(datapath, ports[0], [frame]);
    const [upcall] = take(datapath);
    const tagged = [...frame.subarray(0, 12), 0x81, 0, 0, 9, 0x88, 0x47, ...lse, ...frame.subarray(14)];
    expect([...upcall.packet]).toEqual(tagged);
    const wanted = Buffer.from(referenceExtractAll(Uint8Array.from(tagged), 1).key);
    wanted.writeUInt32LE(5, C.KEY_RECIRC_ID);
    wanted.writeUInt32LE(77, C.KEY_SKB_MARK);
    expect(Buffer.from(upcall.key).toString('hex')).toBe(wanted.toString('hex'));
    refuse(datapath, [upcall]);
    const { received, recirculated, misses, hits } = datapath.stats();
    expect({ received, recirculated, misses, hits }).toEqual({
      ...{ received: 1, recirculated: 1, misses: 1, hits: { emc: 0, megaflow: 1, offload: 0 } },
    });
    expectAccounted(datapath.stats());
  });

  it('leaves the packet as it was for the actions behind it', async () => {
    const { datapath, ports } = await open({ build });
    await using _ = datapath;
    put(datapath, 0, concat(recirc(5), output(2)));
    put(datapath, 5, concat(attribute(4, Uint8Array.of(0x81, 0, 0x10, 9)), output(3)));
    const frame = udp(1);
    send(datapath, ports[0], [frame]);
    expect([...ports[1].receive()[0]]).toEqual([...frame]);
    expect(ports[2].receive()[0]).toHaveLength(frame.length + 4);
    expectAccounted(datapath.stats());
  });
});

it('ends where the kernel ends it', async ({ skip }) => {
  const reason = whyNoKernel();
  skip(reason !== undefined, reason);
  const frame = L.ethernet(ETH_TYPE, L.filler(50));
  const loop = concat(output(2), recirc(RECIRC_ID));
  const start = concat(recirc(RECIRC_ID), output(3));
  const ethernet = (byte: number): Uint8Array => attribute(4, new Uint8Array(12).fill(byte));
  const match = (full: Uint8Array, type: Uint8Array, byte: number): Uint8Array =>
    concat(attribute(20, full), attribute(3, byte === 0 ? le32(1) : le32(0xffffffff)), ethernet(0), attribute(6, type));
  const flow = concat(
    attribute(1, match(le32(RECIRC_ID), be16(ETH_TYPE), 0)),
    attribute(7, match(le32(0xffffffff), be16(0xffff), 255)),
    attribute(2, loop),
  );
  const packet = concat(attribute(1, frame), attribute(2, attribute(3, le32(1))), attribute(3, start));
  const [made, executed] = await kernelTransact([
    { family: KERNEL_FAMILY.flow, command: 1, flags: 4, attributes: flow },
    { family: KERNEL_FAMILY.packet, command: 3, flags: 0, attributes: packet },
  ]);
  expect([made.errno, executed.errno]).toEqual([0, 0]);
  await using executor = await Executor.open();
  put(executor.datapath, RECIRC_ID, loop);
  const ours = executor.execute(frame, start);
  const count = (frames: readonly { port: number }[], port: number): number =>
    frames.filter((one) => one.port === port).length;
  expect(count(executed.frames, 2)).toBeGreaterThan(10);
  expect([2, 3].map((port) => count(ours.frames, port))).toEqual([2, 3].map((port) => count(executed.frames, port)));
  expect(ours.drops).toEqual({ recursion: 1 });
  executor.verify(1);
});
