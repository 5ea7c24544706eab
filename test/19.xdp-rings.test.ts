/*
 * The AF_XDP driver over rings whose other side the test plays, as the kernel would and as no kernel would: frames go round, descriptors and completions
 * that name what is not the kernel's are refused, and in the end every frame has one owner. SEED sets the seed.
 */
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import type { Datapath } from '../src/index.ts';
import { flowTuple, udpFrame } from '../src/ports/frames.ts';
import { XSK_FRAME_SIZE } from '../src/ports/xsk.ts';
import { BUILDS, expectAccounted, openDatapath, SEED } from './support/datapath.ts';
import { RX_FRAMES, TX_FRAMES, XdpRings } from './support/xdp-rings.ts';

const open: Datapath[] = [];

afterEach(async () => {
  for (const datapath of open.splice(0)) await datapath.close();
});

async function socketOf(build: (typeof BUILDS)[number]): Promise<XdpRings> {
  const datapath = await openDatapath({ build });
  open.push(datapath);
  return new XdpRings(datapath);
}

describe.each(BUILDS)('AF_XDP rings, %s', (build) => {
  it('receive in order, round and round, and give every frame back', async () => {
    const socket = await socketOf(build);
    for (let round = 0, next = 0; round < 60; round++) {
      const frames = Array.from({ length: 1 + ((round * 7) % RX_FRAMES) }, () =>
        udpFrame(flowTuple(next++), 60 + (next % 1500)),
      );
      for (const frame of frames) expect(socket.receive(frame)).toBe(true);
      expect(socket.poll()).toEqual(frames);
      expect(socket.check).toBe(0);
    }
    expectAccounted(socket.datapath.stats());
  });

  it('send copies, and use what has come back', async () => {
    const socket = await socketOf(build);
    expect(socket.free).toBe(TX_FRAMES);
    for (let round = 0; round < 40; round++) {
      const frames = Array.from({ length: 1 + (round % TX_FRAMES) }, (_, i) => udpFrame(flowTuple(i), 60 + 20 * round));
      for (const frame of frames) socket.out.send(frame);
      socket.poll();
      expect(socket.send()).toEqual(frames);
      socket.poll();
      expect(socket.check).toBe(0);
    }
    socket.out.send(udpFrame(flowTuple(1)));
    socket.poll(); // takes back the last
    socket.send();
    expectAccounted(socket.datapath.stats());
  });

  it('have another way when no frame comes back', async () => {
    const socket = await socketOf(build);
    for (let i = 0; i < TX_FRAMES + 5; i++) socket.out.send(udpFrame(flowTuple(i)));
    socket.poll();
    expect(socket.send(false)).toHaveLength(TX_FRAMES);
    // the other way is a socket that is none
    expect(socket.datapath.stats().drops.txFull).toBe(5);
    expect(socket.free).toBe(0);
    expect(socket.check).toBe(0);
    expectAccounted(socket.datapath.stats());
  });

  it('refuse descriptors of frames that are not the kernel’s to give, and bytes that are not in a frame', async () => {
    const socket = await socketOf(build);
    socket.takeFilled();
    const total = (RX_FRAMES + TX_FRAMES) * XSK_FRAME_SIZE;
    const free = socket.datapath.memory.u32(socket.datapath.memory.u32(socket.xsk.address + C.XSK_FREE));
    for (const address of [total, total * 1000, 2 ** 40, 2 ** 52, free * XSK_FRAME_SIZE]) socket.describe(address, 60);
    const own = (RX_FRAMES + TX_FRAMES - 1) * XSK_FRAME_SIZE;
    for (const size of [XSK_FRAME_SIZE - 255, 65_536, 0xffffffff]) socket.describe(own + 256, size);
    expect(socket.poll()).toEqual([]);
    expect(socket.datapath.stats().drops.rxDescriptor).toBe(8);
    expect(socket.receive(udpFrame(flowTuple(1)))).toBe(true);
    expect(socket.poll()).toHaveLength(1);
    expect(socket.check).toBe(0);
    expectAccounted(socket.datapath.stats());
  });

  it(`survive any descriptor and any completion, SEED=${SEED}`, async () => {
    const socket = await socketOf(build);
    const address = fc.oneof(
      fc.integer({ min: 0, max: (RX_FRAMES + TX_FRAMES) * XSK_FRAME_SIZE }),
      fc.integer({ min: 0, max: 2 ** 52 }),
    );
    const size = fc.oneof(fc.integer({ min: 0, max: 3000 }), fc.integer({ min: 0, max: 0xffffffff }));
    const step = fc.tuple(fc.constantFrom('describe', 'complete', 'receive', 'send'), address, size);
    let described = 0;
    for (const [what, at, bytes] of fc.sample(step, { seed: SEED, numRuns: build === 'debug' ? 4000 : 20_000 })) {
      if (what === 'complete') socket.complete(at);
      if (what === 'describe') socket.describe(at, bytes);
      if (what === 'receive') described += socket.receive(udpFrame(flowTuple(bytes % 1000))) ? 1 : 0;
      if (what === 'describe') described += 1;
      if (what === 'send') socket.out.send(udpFrame(flowTuple(bytes % 1000)));
      socket.poll();
      if (what === 'send') socket.send(bytes % 2 === 0);
      expect(socket.check).toBe(0);
    }
    const stats = socket.datapath.stats();
    const { rxPackets } = socket.datapath.ports.get('out')!.stats();
    expect(stats.received - rxPackets).toBe(described);
    expect(stats.drops.rxDescriptor).toBeGreaterThan(0);
    expectAccounted(stats);
    expect(socket.datapath.check()).toBe(0);
  });

  it('give back what a lost worker had in hand', async () => {
    const socket = await socketOf(build);
    const { memory } = socket.datapath;
    for (let i = 0; i < 40; i++) socket.receive(udpFrame(flowTuple(i)));
    memory.setU32(memory.workerArea(0) + C.WORKER_SABOTAGE, 1);
    expect(() => socket.datapath.poll()).toThrow('trapped on the calling thread');
    expect(socket.datapath.stats().drops.workerLost).toBe(32);
    expect(socket.poll()).toHaveLength(8);
    expect(socket.check).toBe(0);
    expect(memory.u32(socket.xsk.address + C.RXQ_OWNER)).toBe(0);
  });
});
