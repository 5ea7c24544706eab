/*
 * Cache and classifier against a model: packets through memory ports, flows that come, change and go between them. Every packet must do what
 * the model's flow says, every counter must be the model's: of flows, of ports, of the datapath. SEED sets the seed.
 */
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import type { Datapath, MemoryPort } from '../src/index.ts';
import { flowTuple, udpFrame } from '../src/ports/frames.ts';
import type { WasmBuild } from '../src/wasm/load.ts';
import { ModelClassifier } from './reference/classifier.ts';
import { referenceExtract } from './reference/extract.ts';
import type { ModelFlow } from './reference/flow-table.ts';
import { encodeActions } from './support/action-list.ts';
import { BUILDS, expectAccounted, openDatapath, SEED, stepsOf } from './support/datapath.ts';
import { Random } from './support/frames.ts';
import { CLASSES, classFrame, classMasks, numberOf } from './support/traffic.ts';

const OUT_PORTS = [2, 3, 4];
const LISTS = [[], [2], [3], [4], [3, 2], [2, 3, 4], [4, 4]];

interface Expected {
  hits: number;
  misses: number;
  /** Numbers of the frames that each port must send, in order. */
  out: Map<number, number[]>;
}

/** A datapath, its model, and what the ports must have sent since the last comparison. */
class Bench {
  readonly datapath: Datapath;
  readonly model = new ModelClassifier();
  readonly random: Random;
  readonly masks: Uint8Array[];
  readonly expected: Expected = { hits: 0, misses: 0, out: new Map(OUT_PORTS.map((port) => [port, []])) };
  readonly #in: MemoryPort;
  #number = 0;

  constructor(datapath: Datapath, seed: number) {
    this.datapath = datapath;
    this.random = new Random(seed);
    this.masks = classMasks(this.random);
    this.#in = datapath.ports.add('in', { portNo: 1 });
    for (const portNo of OUT_PORTS) datapath.ports.add(`out${portNo}`, { portNo, slots: 1024, frameSize: 512 });
  }

  /** Puts the flow of a random frame, or changes it when it is there. */
  put(): void {
    const kind = this.random.below(CLASSES);
    const key = referenceExtract(classFrame(this.random, kind, 0), 1);
    const actions = encodeActions(this.random.pick(LISTS).map((port) => ({ kind: 'output', port })));
    this.datapath.flows.put({ key, mask: this.masks[kind] }, actions);
    this.model.put(key, this.masks[kind], actions);
  }

  remove(): void {
    const flow = this.random.pick(this.model.flows);
    if (flow === undefined) return;
    expect(this.datapath.flows.delete(flow)).toBe(true);
    this.model.delete(flow);
  }

  send(count: number): void {
    const frames = Array.from({ length: count }, () =>
      classFrame(this.random, this.random.below(CLASSES), this.#number++),
    );
    for (const frame of frames) {
      const flow = this.model.receive(referenceExtract(frame, 1), frame.length);
      if (flow === undefined) this.expected.misses++;
      else this.expected.hits++;
      for (const port of outputsOf(flow)) this.expected.out.get(port)!.push(numberOf(frame));
    }
    this.datapath.process(this.#in, frames);
  }

  compareOutput(): void {
    for (const [portNo, numbers] of this.expected.out) {
      const port = this.datapath.ports.get(portNo) as MemoryPort;
      expect(port.receive().map(numberOf), `frames of port ${portNo}`).toEqual(numbers);
      numbers.length = 0;
    }
  }

  compareCounters(): void {
    const stats = this.datapath.stats();
    expectAccounted(stats);
    expect(stats.hits.emc + stats.hits.megaflow).toBe(this.expected.hits);
    expect(stats.misses).toBe(this.expected.misses);
    expect(stats.drops.upcallNoHandler).toBe(this.expected.misses);
    expect(stats.flows).toBe(this.model.count);
    for (const flow of this.model.flows) expectFlowStats(this.datapath, flow);
  }
}

function outputsOf(flow: ModelFlow | undefined): number[] {
  if (flow === undefined) return [];
  return Array.from({ length: flow.actions.length / 8 }, (_, i) =>
    new DataView(flow.actions.buffer, flow.actions.byteOffset).getUint32(i * 8 + 4, true),
  );
}

function expectFlowStats(datapath: Datapath, flow: ModelFlow): void {
  const found = datapath.flows.get(flow);
  const { packets, bytes, tcpFlags, usedMs } = found!.stats;
  expect({ packets, bytes, tcpFlags }).toEqual({ packets: flow.packets, bytes: flow.bytes, tcpFlags: flow.tcpFlags });
  expect(usedMs === undefined, 'used').toBe(packets === 0);
}

async function churn(build: WasmBuild, options: { emc: boolean; flows: number }, rounds: number): Promise<Datapath> {
  const datapath = await openDatapath({ build, ...options });
  const bench = new Bench(datapath, SEED);
  for (let round = 0; round < rounds; round++) {
    const changes = bench.random.below(30);
    for (let i = 0; i < changes; i++) {
      const full = bench.model.count >= options.flows - 4;
      if (full || bench.random.oneIn(3)) bench.remove();
      else bench.put();
    }
    bench.send(1 + bench.random.below(150));
    bench.compareOutput();
    if (bench.random.oneIn(10)) datapath.memory.wasm.sortSubtables();
    if (round % 20 === 0) expect(datapath.check()).toBe(0);
  }
  bench.compareCounters();
  expect(datapath.check()).toBe(0);
  return datapath;
}

describe.each(BUILDS)('cache and classifier, %s', (build) => {
  it(`give every packet its flow while flows come and go, cache on, SEED=${SEED}`, async () => {
    await using datapath = await churn(build, { emc: true, flows: 200 }, stepsOf(build, 400));
    const { hits } = datapath.stats();
    expect(hits.emc).toBeGreaterThan(hits.megaflow / 10);
  });

  it(`give every packet its flow while flows come and go, cache off, SEED=${SEED}`, async () => {
    await using datapath = await churn(build, { emc: false, flows: 4096 }, stepsOf(build, 400));
    expect(datapath.stats().hits.emc).toBe(0);
  });

  it.each([8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576])(
    'work with a cache of %i entries',
    async (emcEntries) => {
      await using datapath = await openDatapath({ build, emcEntries });
      const bench = new Bench(datapath, SEED + emcEntries);
      for (let i = 0; i < 300; i++) bench.put();
      for (let i = 0; i < 4; i++) {
        bench.send(400);
        bench.compareOutput();
      }
      bench.compareCounters();
      expect(datapath.stats().hits.emc).toBeGreaterThan(0);
    },
  );

  it('sort the subtables by their hits', async () => {
    await using datapath = await openDatapath({ build, emc: false });
    const { memory } = datapath;
    const port = datapath.ports.add('in', { portNo: 1 });
    const random = new Random(SEED);
    const masks = classMasks(random);
    // a bit of the source address tells them apart in the inline words
    for (const [kind, mask] of masks.entries()) mask[C.KEY_ETH_SRC] |= 1 << kind;
    const counts = masks.map((_, kind) => 40 + ((kind * 5) % CLASSES) * 20);
    for (const [kind, mask] of masks.entries()) {
      for (let i = 0; i < counts[kind]; i++) {
        const frame = classFrame(random, kind, i);
        datapath.flows.put({ key: referenceExtract(frame, 1), mask }, '');
        datapath.process(port, [frame]);
      }
    }
    memory.wasm.sortSubtables();
    const order = memory.superblock(C.SB_SUBTABLE_ORDER_REF);
    expect(memory.u32(order)).toBe(masks.length);
    const kinds = Array.from({ length: masks.length }, (_, i) => {
      const subtable = memory.u32(order + 8 + i * 4);
      return masks.findIndex(
        (mask) => Buffer.compare(mask.subarray(0, 48), memory.slice(subtable + C.SUBTABLE_MASK, 48)) === 0,
      );
    });
    const hits = kinds.map((kind) => counts[kind]);
    expect(hits).toEqual([...hits].sort((a, b) => b - a));
    expect(datapath.stats().misses).toBe(0);
  });
});

/** Exact flows of the generator's frames in one subtable, and one round of its packets: each must be hit once. */
async function fill(datapath: Datapath, count: number, from: number): Promise<void> {
  const { memory } = datapath;
  const mask = new Uint8Array(C.KEY_SIZE)
    .fill(255, C.KEY_IPV4_SRC, C.KEY_IPV4_DST + 4)
    .fill(255, C.KEY_TP_SRC, C.KEY_TP_DST + 2);
  const subtable = datapath.mask(mask);
  const list = datapath.actions('');
  const scratch = memory.allocate(C.KEY_SIZE, 'a key');
  for (let i = from; i < from + count; i++) {
    memory.bytes.set(referenceExtract(udpFrame(flowTuple(i)), 1), scratch);
    const result = memory.wasm.putFlow(scratch, subtable.address, list.address, 1, 0, 0) >>> 0;
    if (result < C.SUPERBLOCK) throw new Error(`flow ${i}: errno ${result}`);
  }
  memory.wasm.releaseBlock(scratch);
  subtable.release();
  list.release();
}

async function everyFlowHitOnce(datapath: Datapath, count: number): Promise<void> {
  const before = datapath.stats();
  const port = await datapath.ports.addType(`g${before.received}`, 'generator', { flows: count, loop: 1 });
  while (datapath.poll() > 0);
  const after = datapath.stats();
  expect(after.received - before.received).toBe(count);
  expect(after.misses - before.misses).toBe(0);
  await datapath.ports.remove(port.portNo);
  expectAccounted(after);
}

describe.each(BUILDS)('one subtable, %s', (build) => {
  // nine of twelve ways of 8,192 buckets: the fullest that a table becomes; then beyond it
  const FULL = 73_728;
  const FLOWS = build === 'debug' ? FULL : 131_072;

  it.each([true, false])('finds each of more than 70,000 flows, cache %s', async (emc) => {
    await using datapath = await openDatapath({ build, emc, flows: FLOWS, arenaSize: 128 * 1048576 });
    await fill(datapath, FULL, 0);
    expect(datapath.check()).toBe(0);
    await everyFlowHitOnce(datapath, FULL);
    await fill(datapath, FLOWS - FULL, FULL);
    await everyFlowHitOnce(datapath, FLOWS);
    expect(datapath.check()).toBe(0);
    for await (const flow of datapath.flows) {
      const i = new DataView(flow.key.buffer).getUint32(C.KEY_IPV4_SRC) - 0x0a000000;
      if (flow.stats.packets !== (i < FULL ? 2 : 1)) expect([i, flow.stats.packets]).toEqual([i, i < FULL ? 2 : 1]);
    }
  });

  it(`finds the rest when half are removed from a full one, SEED=${SEED}`, async () => {
    await using datapath = await openDatapath({ build, flows: FULL, arenaSize: 128 * 1048576 });
    await fill(datapath, FULL, 0);
    const { memory } = datapath;
    const first = memory.superblock(C.SB_FLOWS);
    const random = new Random(SEED);
    let removed = 0;
    for (let i = 0; i < FULL; i++)
      if (random.oneIn(2)) removed += memory.wasm.removeFlowAt(first + i * C.FLOW_SIZEOF) === 0 ? 1 : 0;
    expect(datapath.check()).toBe(0);
    await datapath.ports.addType('g', 'generator', { flows: FULL, loop: 1 });
    while (datapath.poll() > 0);
    expect(datapath.stats().misses).toBe(removed);
    expect(datapath.flows.flush()).toBe(FULL - removed);
    expect(datapath.check()).toBe(0);
  });
});

describe.each(BUILDS)('a cache that overflows everywhere, %s build', (build) => {
  it('writes neither before nor behind itself', async () => {
    const [emcEntries, upcallFrames] = [8192, 64];
    await using datapath = await openDatapath({ build, emcEntries, upcallFrames });
    const { memory } = datapath;
    const orderSize = 4 * upcallFrames;
    const copies = C.UPCALL_COPY_CHUNKS * C.UPCALL_COPY_CHUNK_SIZE;
    const order = memory.upcallRing(0) + C.UPCALL_HEAD_SIZE + upcallFrames * C.UPCALL_FRAME_SIZE + copies;
    const first = Math.ceil((order + orderSize) / 64) * 64;
    const behind = first + emcEntries * 8;
    const around = (): string =>
      Buffer.concat([memory.slice(order, first - order), memory.slice(behind, C.HEADROOM)]).toString('hex');
    const before = around();
    datapath.flows.put(
      { key: new Uint8Array(C.KEY_SIZE), mask: new Uint8Array(C.KEY_SIZE) },
      encodeActions([{ kind: 'output', port: 2 }]),
    );
    await datapath.ports.addType('g', 'generator', { flows: 4 * emcEntries, loop: 1 });
    while (datapath.poll() > 0);
    const full = memory
      .slice(first, emcEntries * 8)
      .every((byte, i) => i % C.BUCKET_SIZEOF >= C.BUCKET_WAYS || byte !== 0);
    expect(full, 'every way is used').toBe(true);
    expect(around()).toBe(before);
    expect(datapath.check()).toBe(0);
  });
});
