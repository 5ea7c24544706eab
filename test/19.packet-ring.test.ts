/*
 * The AF_PACKET driver over a ring that the test fills as the kernel would, and as no kernel would: frames handled in place and given back in order, tags put
 * back, long frames taken from their buffers; headers scribbled over, after which every frame is still accounted for; and more than can be carried, where known flows
 * come before new ones. SEED sets the seed.
 */
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import { type Datapath, parseRules, staticRules } from '../src/index.ts';
import { flowTuple, udpFrame } from '../src/ports/frames.ts';
import type { MemoryPort } from '../src/ports/memory.ts';
import { BUILDS, expectAccounted, openDatapath, SEED } from './support/datapath.ts';
import { MAC, PacketRing, RING_PORT } from './support/packet-rings.ts';

const open: Datapath[] = [];

afterEach(async () => {
  for (const datapath of open.splice(0)) await datapath.close();
});

/** A port of number 7 over a ring in ordinary memory, and a memory port that all its packets go out of. */
class Ring extends PacketRing {
  readonly datapath: Datapath;
  readonly out: MemoryPort;

  constructor(datapath: Datapath, frames: number, frameSize: number) {
    super(datapath, { frames, frameSize });
    this.datapath = datapath;
    this.out = datapath.ports.add('out', { frameSize: 65_535, slots: 256 });
  }

  poll(): Uint8Array[] {
    // a round may bring nothing but frames that are refused, and the one after the last settles
    for (let idle = 0; idle < 3; idle++) if (this.datapath.poll() > 0) idle = 0;
    return this.out.receive();
  }
}

async function ringOf(build: (typeof BUILDS)[number], frames = 64, frameSize = 1700): Promise<Ring> {
  const datapath = await openDatapath({ build });
  open.push(datapath);
  await datapath.onUpcall(() => ({ actions: String(datapath.ports.get('out')!.portNo) }));
  await datapath.ports.addType('ring', 'null', {}, { portNo: RING_PORT });
  return new Ring(datapath, frames, frameSize);
}

describe.each(BUILDS)('a ring of the kernel, %s', (build) => {
  it('is taken in order, round and round, and given back', async () => {
    const ring = await ringOf(build);
    const all = Array.from({ length: 400 }, (_, i) => udpFrame(flowTuple(i), 60 + i));
    for (let next = 0; next < all.length; ) {
      const some = all.slice(next, next + 1 + (next % ring.frames.length));
      for (const frame of some) ring.fill(frame);
      next += some.length;
      expect(ring.poll()).toEqual(some);
      for (let i = 0; i < ring.frames.length; i++) expect(ring.status(i)).toBe(C.TP_STATUS_KERNEL);
    }
    expectAccounted(ring.datapath.stats());
  });

  it('has its tags put back', async () => {
    const ring = await ringOf(build);
    const frame = udpFrame(flowTuple(1), 80);
    const tagged = (tag: number[]): Uint8Array => Uint8Array.of(...frame.slice(0, 12), ...tag, ...frame.slice(12));
    ring.fill(frame, { status: C.TP_STATUS_VLAN_VALID, tci: 0xa005 });
    ring.fill(frame, { status: C.TP_STATUS_VLAN_VALID | C.TP_STATUS_VLAN_TPID_VALID, tci: 6, tpid: 0x88a8 });
    expect(ring.poll()).toEqual([tagged([0x81, 0, 0xa0, 5]), tagged([0x88, 0xa8, 0, 6])]);
  });

  it('takes a frame that is longer than its own from a buffer, and drops it by name when it is not there', async () => {
    const ring = await ringOf(build);
    const { memory } = ring.datapath;
    const long = udpFrame(flowTuple(2), 9000);
    const fillLong = (): void =>
      ring.fill(long.subarray(0, 1000), { status: C.TP_STATUS_COPY, size: long.length, snapSize: 1000 });
    // as the shim leaves them: one received, of two that were asked for
    const buffer = memory.u32(ring.queue + C.RXQ_FETCH_BUFFERS) + C.RXQ_FETCH_FRAME;
    memory.slice(buffer - C.VNET_SIZEOF, C.VNET_SIZEOF).fill(0);
    memory.bytes.set(long, buffer);
    memory.setU32(ring.queue + C.RXQ_FETCHED, 2);
    memory.setU32(ring.queue + C.RXQ_FETCH_SIZES, long.length);
    ring.fill(udpFrame(flowTuple(1)));
    fillLong();
    fillLong();
    ring.fill(udpFrame(flowTuple(3)));
    fillLong(); // asked for, of a socket that is none
    ring.fill(udpFrame(flowTuple(4)));
    expect(ring.poll()).toEqual([udpFrame(flowTuple(1)), long, udpFrame(flowTuple(3)), udpFrame(flowTuple(4))]);
    expect(ring.datapath.stats().drops.rxTruncated).toBe(2);
    expectAccounted(ring.datapath.stats());
  });

  it('refuses frames that are cut off, and headers that point elsewhere', async () => {
    const ring = await ringOf(build);
    const frame = udpFrame(flowTuple(1), 100);
    ring.fill(frame, { size: 200, snapSize: 100 });
    for (const mac of [0, 31, 41, 65_535]) ring.fill(frame, { mac });
    for (const snapSize of [0xffffffff, 0x80000000, 65_536, 2000]) ring.fill(frame, { size: snapSize, snapSize });
    ring.fill(frame, { size: 3 });
    ring.fill(frame);
    expect(ring.poll()).toEqual([frame]);
    expect(ring.datapath.stats().drops).toMatchObject({ rxTruncated: 1, rxDescriptor: 8, rxShort: 1 });
    expectAccounted(ring.datapath.stats());
  });

  it(`survives any header, SEED=${SEED}`, async () => {
    const ring = await ringOf(build, 64, 300);
    const { memory } = ring.datapath;
    const header = fc.uint8Array({ minLength: C.TP2_SIZEOF, maxLength: C.TP2_SIZEOF });
    const vnet = fc.uint8Array({ minLength: C.VNET_SIZEOF, maxLength: C.VNET_SIZEOF });
    const sane = fc.boolean();
    let next = 0;
    const scribble = (bytes: Uint8Array, offload: Uint8Array, isSane: boolean): void => {
      const at = ring.frames[next++ % ring.frames.length];
      memory.bytes.set(udpFrame(flowTuple(next), 200), at + MAC);
      memory.bytes.set(offload, at + MAC - C.VNET_SIZEOF);
      memory.bytes.set(bytes, at);
      if (isSane) {
        memory.setU32(at + C.TP2_MAC, MAC);
        memory.setU32(at + C.TP2_SNAPLEN, 200);
        memory.setU32(at + C.TP2_LEN, 200);
      }
      const status = memory.u32(at + C.TP2_STATUS) & ~C.TP_STATUS_COPY;
      memory.setU32(at + C.TP2_STATUS, status | C.TP_STATUS_USER);
    };
    const cases = fc.sample(fc.tuple(header, vnet, sane), { seed: SEED, numRuns: build === 'debug' ? 4000 : 16_000 });
    for (const [index, [bytes, offload, isSane]] of cases.entries()) {
      scribble(bytes, offload, isSane);
      if (index % 50 === 49) ring.poll();
    }
    ring.poll();
    const stats = ring.datapath.stats();
    expect(stats.received).toBe(cases.length);
    expect(stats.drops.rxDescriptor).toBeGreaterThan(cases.length / 4);
    expectAccounted(stats);
    expect(ring.datapath.check()).toBe(0);
  });

  it('gives back what a lost worker had in hand', async () => {
    const ring = await ringOf(build);
    const { memory } = ring.datapath;
    for (let i = 0; i < 40; i++) ring.fill(udpFrame(flowTuple(i)));
    memory.setU32(memory.workerArea(0) + C.WORKER_SABOTAGE, 1);
    expect(() => ring.datapath.poll()).toThrow('trapped on the calling thread');
    expect(ring.datapath.stats().drops.workerLost).toBe(32);
    expect(ring.poll()).toHaveLength(8);
    for (let i = 0; i < ring.frames.length; i++) expect(ring.status(i)).toBe(C.TP_STATUS_KERNEL);
    expect(memory.u32(ring.queue + C.RXQ_OWNER)).toBe(0);
  });
});

/** Every flow matches the ports, so that each is one of its own. */
const RULES = `priority=1 in_port(${RING_PORT}),eth_type(0x0800),ipv4(proto=17),udp(src=9,dst=9) actions:drop\nactions:drop`;

describe.each(BUILDS)('more than a datapath with rules can carry, %s', (build) => {
  async function pressed(): Promise<{ ring: Ring; round: (ms: number) => number }> {
    const ring = await ringOf(build, 512, 100);
    await ring.datapath.onUpcall(staticRules(parseRules(RULES, 'test')));
    ring.fill(udpFrame(flowTuple(0)));
    ring.poll();
    const { memory } = ring.datapath;
    // the time is what the host told last, so the rounds are the test's own
    const round = (ms: number): number => {
      memory.setU64(memory.workerArea(0) + C.WORKER_TIME_MS, ms);
      memory.wasm.poll(64);
      return ring.datapath.stats().flows;
    };
    return { ring, round };
  }

  it('new flows take a part of each millisecond while known ones fill the batches, and all of it afterwards', async () => {
    const { ring, round } = await pressed();
    const news = 240;
    for (let i = 1; i <= news; i++) for (const flow of [0, i]) ring.fill(udpFrame(flowTuple(flow)));
    const before = ring.datapath.stats().flows;
    const perMs = C.UPCALL_PRESSED_MAX;
    expect(Array.from({ length: 4 }, () => round(1e6) - before)).toEqual([16, perMs, perMs, perMs]);
    expect(round(1e6 + 1) - before).toBe(2 * perMs);
    ring.poll();
    expect(ring.datapath.stats()).toMatchObject({
      flows: before + news,
      misses: news + 1,
      drops: { upcallRingFull: 0 },
    });
    expectAccounted(ring.datapath.stats());
  });

  it('where nothing is known, all that is new is answered', async () => {
    const { ring, round } = await pressed();
    for (let i = 1; i <= 64; i++) ring.fill(udpFrame(flowTuple(i)));
    const before = ring.datapath.stats().flows;
    expect([round(1e6), round(1e6)].map((flows) => flows - before)).toEqual([32, 64]);
  });
});
