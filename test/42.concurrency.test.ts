/*
 * Readers and writers at once, on real threads: two pollers forward at full speed while this thread and another one put, replace and remove
 * flows. Flows that nobody touches must be hit by each of their packets; those that are only replaced too; what is missed may only be
 * what comes and goes. In the end every packet has its place, all invariants hold and all memory has come back.
 * SEED sets the seed, SECONDS how long each run takes.
 */
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import type { ActionsHandle, Datapath, MaskHandle, UpcallBatch, UpcallHandler } from '../src/index.ts';
import { flowTuple, udpFrame } from '../src/ports/frames.ts';
import { WorkerPool } from '../src/worker/pool.ts';
import { referenceExtract } from './reference/extract.ts';
import { BUILDS, expectAccounted, openDatapath, SEED } from './support/datapath.ts';
import { Random } from './support/frames.ts';

const SECONDS = Number(process.env.SECONDS ?? 2.5);
/**
 * Flow numbers: what happens to each range, which port its packets leave by, and how long they are: a packet that some other flow's actions
 * were executed on would show in the bytes of a port.
 */
interface Range {
  first: number;
  count: number;
  port: number;
  size: number;
}
const STABLE: Range = { first: 0, count: 700, port: 11, size: 60 };
const REPLACED: Range = { first: 700, count: 300, port: 12, size: 80 };
const CHURNED: Range = { first: 1000, count: 500, port: 13, size: 100 };
const FOREIGN: Range = { first: 1500, count: 500, port: 14, size: 120 };
const RANGES = [STABLE, REPLACED, CHURNED, FOREIGN];
const POLLERS = [1, 2];
const WRITER_SLOT = 3;
const SRC_BASE = 0x0a000000;

const keyOf = (i: number): Uint8Array => referenceExtract(udpFrame(flowTuple(i)), 0);
const numberOf = (key: Uint8Array): number =>
  new DataView(key.buffer, key.byteOffset).getUint32(C.KEY_IPV4_SRC) - SRC_BASE;
const within = ({ first, count }: Range, i: number): boolean => i >= first && i < first + count;

/** Masks that all look at the source address: flows never overlap, whatever else a mask has. The last ones have words in a list. */
function masksOf(variants: number): Uint8Array[] {
  const more: [number, number][] = [
    [0, 0],
    [C.KEY_TP_SRC, 2],
    [C.KEY_IP_TTL, 1],
    [C.KEY_IPV6_SRC, 16],
    [C.KEY_ARP_SHA, 6],
    [C.KEY_TUN_ID, 8],
    [C.KEY_ETH_SRC, 6],
  ];
  return more.slice(0, variants).map(([at, size]) => {
    return new Uint8Array(C.KEY_SIZE).fill(255, C.KEY_IPV4_SRC, C.KEY_IPV4_SRC + 4).fill(255, at, at + size);
  });
}

interface WriterResult {
  puts: number;
  removes: number;
  failures: number;
  broken: number;
}

class Arena {
  readonly datapath: Datapath;
  readonly random = new Random(SEED);
  readonly masks: Uint8Array[];
  readonly held: (ActionsHandle | MaskHandle)[] = [];
  readonly strangers: number[] = [];
  readonly #stop = new Int32Array(new SharedArrayBuffer(4));
  #writer: Promise<WriterResult> | undefined;

  constructor(datapath: Datapath) {
    this.datapath = datapath;
    this.masks = masksOf(7);
  }

  async setUp(): Promise<void> {
    const { datapath } = this;
    for (const { first, count, port, size } of RANGES) {
      for (const worker of POLLERS) {
        const options = { flows: count, first, size: `${size}`, seed: SEED % 1000 };
        await datapath.ports.addType(`g${worker}-${first}`, 'generator', options, { worker });
      }
      await datapath.ports.addType(`n${port}`, 'null', {}, { portNo: port });
    }
    for (let i = 0; i < STABLE.count; i++) this.put(STABLE.first + i, `${STABLE.port}`);
    for (let i = 0; i < REPLACED.count; i++) this.put(REPLACED.first + i, `${REPLACED.port}`);
    await datapath.onUpcall(this.#handler());
  }

  /** Mask of flow i: stays the same, so that putting it again replaces its actions. */
  maskOf(i: number): Uint8Array {
    return this.masks[i % this.masks.length];
  }

  put(i: number, actions: string): void {
    this.datapath.flows.put({ key: keyOf(i), mask: this.maskOf(i) }, actions);
  }

  /** Installs some of the churned flows and remembers misses that may not be. */
  #handler(): UpcallHandler {
    const actions = this.datapath.actions(`${CHURNED.port}`);
    const masks = this.masks.map((mask) => this.datapath.mask(mask));
    this.held.push(actions, ...masks);
    return {
      name: 'churn',
      handle: (batch: UpcallBatch) => {
        for (let i = 0; i < batch.count; i++) {
          const n = numberOf(batch.key(i));
          if (within(CHURNED, n) && this.random.oneIn(8)) batch.answer(i, actions, masks[n % masks.length]);
          else if (!within(CHURNED, n) && !within(FOREIGN, n)) this.strangers.push(n);
        }
      },
    };
  }

  startWriter(): void {
    const { memory } = this.datapath;
    const keys = memory.allocate(FOREIGN.count * C.KEY_SIZE, 'keys');
    for (let i = 0; i < FOREIGN.count; i++) memory.bytes.set(keyOf(FOREIGN.first + i), keys + i * C.KEY_SIZE);
    const masks = masksOf(5).map((mask) => this.datapath.mask(mask));
    const lists = [this.datapath.actions(`${FOREIGN.port}`), this.datapath.actions(`set(skb_mark(7)),${FOREIGN.port}`)];
    this.held.push(...masks, ...lists);
    const worker = new Worker(new URL('./support/writer-thread.mjs', import.meta.url), {
      workerData: {
        ...{
          module: memory.module,
          memory: memory.memory,
          slot: WRITER_SLOT,
          keys,
          count: FOREIGN.count,
          stop: this.#stop,
          seed: SEED,
        },
        masks: masks.map(({ address }) => address),
        lists: lists.map(({ address }) => address),
      },
    });
    this.#writer = new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
  }

  async stopWriter(): Promise<WriterResult> {
    Atomics.store(this.#stop, 0, 1);
    return this.#writer!;
  }

  /** A few hundred changes of this thread, then the upcalls. */
  churn(): void {
    const { flows } = this.datapath;
    for (let i = 0; i < 200; i++) {
      const n = CHURNED.first + this.random.below(CHURNED.count);
      const what = this.random.below(16);
      if (what < 7) this.put(n, this.#anyList(CHURNED));
      else if (what < 12) flows.delete({ key: keyOf(n), mask: this.maskOf(n) });
      else this.#replace(REPLACED.first + this.random.below(REPLACED.count));
    }
    if (this.random.oneIn(20)) this.#deleteSome();
    if (this.random.oneIn(10)) this.datapath.memory.wasm.sortSubtables();
    this.datapath.poll();
  }

  #replace(n: number): void {
    this.put(n, this.random.oneIn(4) ? `${REPLACED.port},${REPLACED.port}` : this.#anyList(REPLACED));
  }

  /** The range's port, mostly with an action before it: lists of one size come and go in all ranges, and share their blocks. */
  #anyList({ port }: Range): string {
    return this.random.oneIn(4) ? `${port}` : `set(skb_mark(${this.random.below(50)})),${port}`;
  }

  /** All churned flows of one last byte of the address, and nothing of the other ranges. */
  #deleteSome(): void {
    const n = CHURNED.first + this.random.below(CHURNED.count);
    const mask = new Uint8Array(C.KEY_SIZE).fill(255, C.KEY_IPV4_SRC, C.KEY_IPV4_SRC + 4);
    this.datapath.flows.deleteWhere({ key: keyOf(n), mask });
  }

  async dumpHasAllThatStay(): Promise<void> {
    const seen = new Map<number, number>();
    for await (const { key } of this.datapath.flows) seen.set(numberOf(key), (seen.get(numberOf(key)) ?? 0) + 1);
    for (const range of [STABLE, REPLACED]) {
      const counts = Array.from({ length: range.count }, (_, i) => seen.get(range.first + i));
      expect(counts).toEqual(counts.map(() => 1));
    }
  }
}

/** Each packet of a range was counted in its flow: as often as the generators' rounds say. Returns the sum. */
function expectEveryPacketHit(datapath: Datapath, arena: Arena, range: Range): number {
  const received = POLLERS.map((worker) => datapath.ports.get(`g${worker}-${range.first}`)!.stats().rxPackets);
  const least = received.reduce((sum, n) => sum + Math.floor(n / range.count), 0);
  const most = received.reduce((sum, n) => sum + Math.ceil(n / range.count), 0);
  let sum = 0;
  const wrong: [number, number][] = [];
  for (let i = range.first; i < range.first + range.count; i++) {
    const { packets, bytes } = datapath.flows.get({ key: keyOf(i), mask: arena.maskOf(i) })!.stats;
    if (packets < least || packets > most || bytes !== packets * range.size) wrong.push([i, packets]);
    sum += packets;
  }
  expect(wrong, `between ${least} and ${most}`).toEqual([]);
  return sum;
}

/** Everything that was removed has come back, and no flow but those that stand is left. */
function expectNothingLeft(datapath: Datapath, held: readonly { release(): void }[]): void {
  const { memory } = datapath;
  datapath.flows.flush();
  for (const handle of held) handle.release();
  for (
    let i = 0;
    i < 5000 && memory.superblock(C.SB_FLOW_RETIRED_COUNT) + memory.superblock(C.SB_RETIRED_COUNT) > 1;
    i++
  ) {
    memory.wasm.sweepFlows(0, 0, 0n, 0, 0, 0);
    memory.wasm.sortSubtables();
  }
  expect(memory.superblock(C.SB_FLOW_RETIRED_COUNT)).toBe(0);
  expect(memory.superblock(C.SB_RETIRED_COUNT)).toBeLessThanOrEqual(1);
  expect(datapath.stats()).toMatchObject({ flows: 0, masks: 0, actionLists: 0 });
  expect(datapath.check()).toBe(0);
}

describe.each(BUILDS)('readers and writers at once, %s', (build) => {
  it.each([true, false])(`cache %s, SEED=${SEED}`, async (emc) => {
    await using datapath = await openDatapath({
      build,
      emc,
      workers: WRITER_SLOT,
      flows: 262_144,
      arenaSize: 512 * 1048576,
    });
    const arena = new Arena(datapath);
    await arena.setUp();
    const pool = new WorkerPool(datapath.memory, {
      pollers: POLLERS.length,
      standby: 1,
      affinity: () => [],
      onEvent: (event) => expect(event).toBeUndefined(),
    });
    await pool.start();
    arena.startWriter();
    const end = performance.now() + SECONDS * 1000;
    let touchedWarm = 0;
    for (let turn = 0; performance.now() < end; turn++) {
      arena.churn();
      if (performance.now() < end - SECONDS * 500) touchedWarm = datapath.stats().memory.arenaTouched;
      if (turn % 16 === 0) await arena.dumpHasAllThatStay();
    }
    const writer = await arena.stopWriter();
    await pool.close();
    while (datapath.poll() > 0 || datapath.stats().upcallsPending > 0);

    expect(writer).toMatchObject({ failures: 0, broken: 0 });
    expect(writer.removes).toBeGreaterThan(1000);
    expect(datapath.check()).toBe(0);
    expect(arena.strangers, 'misses of flows that were there').toEqual([]);
    const stats = datapath.stats();
    expectAccounted(stats);
    expect(stats.misses).toBeGreaterThan(0);
    const stable = expectEveryPacketHit(datapath, arena, STABLE);
    const replaced = expectEveryPacketHit(datapath, arena, REPLACED);
    for (const { port, size } of RANGES) {
      const { txPackets, txBytes } = datapath.ports.get(port)!.stats();
      expect(txBytes, `bytes of port ${port}`).toBe(txPackets * size);
    }
    const sent = (portNo: number): number => datapath.ports.get(portNo)!.stats().txPackets;
    expect(sent(STABLE.port)).toBe(stable);
    expect(sent(REPLACED.port)).toBeGreaterThanOrEqual(replaced);
    const others = sent(CHURNED.port) - stats.answered + sent(FOREIGN.port);
    expect(stats.hits.emc + stats.hits.megaflow).toBe(stable + replaced + others);
    expect(stats.memory.arenaTouched, 'the arena does not grow with the churn').toBeLessThan(
      touchedWarm * 1.5 + 1048576,
    );
    console.log(
      `42: ${build}, cache ${emc}: ${stats.received} packets, ${writer.puts + writer.removes} changes by the other writer, ${stats.misses} misses`,
    );
    expectNothingLeft(datapath, arena.held);
  });
});
