/*
 * Workers that die: killed from outside at any moment, or trapping in mid-batch. Flows and statistics stay, a replacement polls, the packets in
 * the dead hands are counted, and the equations hold to the packet. SEED sets the seed, KILLS the number of deaths in each run.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import {
  type Datapath,
  type DatapathEvent,
  exactMask,
  type MemoryPort,
  type UpcallHandler,
  type UpcallHost,
} from '../src/index.ts';
import { makeHandler } from '../src/upcall/registry.ts';
import { BUILDS, expectAccounted, openDatapath, SEED, until } from './support/datapath.ts';
import * as L from './support/frames.ts';

const KILLS = Number(process.env.KILLS ?? 12);
const FLOWS = 500;

type Lost = Extract<DatapathEvent, { type: 'worker-lost' }>;

async function openWithWorkers(
  options: Parameters<typeof openDatapath>[0],
): Promise<{ datapath: Datapath; lost: Lost[] }> {
  const lost: Lost[] = [];
  const datapath = await openDatapath({
    ...options,
    onEvent: (event) => {
      if (event.type === 'worker-lost') lost.push(event);
    },
  });
  return { datapath, lost };
}

const received = (datapath: Datapath): number => datapath.stats().received;

/** Every worker polls, and the next packets come in. */
async function untilForwarding(datapath: Datapath): Promise<void> {
  const { memory, options } = datapath;
  for (let slot = 1; slot <= options.workers; slot++) {
    await until(
      () => memory.u32(memory.workerArea(slot) + C.WORKER_STATE) === C.WORKER_POLLING,
      `worker ${slot} polls`,
    );
  }
  const before = received(datapath);
  await until(() => received(datapath) > before + 1000, 'packets go on coming in');
}

async function killAgainAndAgain(datapath: Datapath, lost: Lost[], random: L.Random): Promise<void> {
  for (let kill = 1; kill <= KILLS; kill++) {
    await untilForwarding(datapath);
    await new Promise((resolve) => setTimeout(resolve, random.below(5)));
    await datapath.pool!.kill(1 + random.below(datapath.options.workers));
    await until(() => lost.length === kill, `death ${kill} is noticed`);
  }
  await untilForwarding(datapath);
}

function expectLossesCounted(datapath: Datapath, lost: readonly Lost[], deaths: number): void {
  const stats = datapath.stats();
  expect(stats.workersLost).toBe(deaths);
  expect(stats.drops.workerLost).toBe(lost.reduce((sum, { packetsLost }) => sum + packetsLost, 0));
  expect(lost.every(({ packetsLost }) => packetsLost <= C.BATCH_MAX)).toBe(true);
  expectAccounted(stats);
  expect(datapath.check()).toBe(0);
}

/** Answers each miss, installs nothing: all traffic is misses. */
function answering(): UpcallHandler {
  let datapath: UpcallHost;
  return {
    name: 'answering',
    attach(attached) {
      datapath = attached;
    },
    handle(batch) {
      const actions = datapath.actions('9'); // held until the datapath goes
      for (let i = 0; i < batch.count; i++) batch.answer(i, actions);
    },
  };
}

describe.each(BUILDS)('a killed worker, %s', (build) => {
  it(`leaves flows that go on forwarding, SEED=${SEED}`, async () => {
    const { datapath, lost } = await openWithWorkers({ build, workers: 2 });
    for (const worker of [1, 2]) await datapath.ports.addType(`g${worker}`, 'generator', { flows: FLOWS }, { worker });
    await datapath.ports.addType('sink', 'null', {}, { portNo: 9 });
    await datapath.onUpcall((upcall) => ({ actions: '9', mask: exactMask(upcall.flatKey) }));
    await datapath.start();
    await until(() => datapath.flows.count === 2 * FLOWS, 'all flows are installed');
    await killAgainAndAgain(datapath, lost, new L.Random(SEED));
    await datapath.stop();
    expectLossesCounted(datapath, lost, KILLS);
    expect(datapath.flows.count).toBe(2 * FLOWS);
    for await (const flow of datapath.flows) expect(flow.stats.packets).toBeGreaterThan(0);
    await datapath.close();
  });

  it(`loses no miss that was queued, SEED=${SEED}`, async () => {
    const { datapath, lost } = await openWithWorkers({ build, workers: 1, upcallFrames: 1024 });
    await datapath.ports.addType('g', 'generator', { flows: FLOWS, size: '60-3000' });
    await datapath.ports.addType('sink', 'null', {}, { portNo: 9 });
    await datapath.onUpcall(answering());
    await datapath.start();
    await killAgainAndAgain(datapath, lost, new L.Random(SEED));
    await datapath.stop();
    while (datapath.stats().upcallsPending > 0) datapath.poll();
    expectLossesCounted(datapath, lost, KILLS);
    expect(datapath.stats().upcallsPending).toBe(0);
    expect(datapath.memory.wasm.outstanding(1)).toBe(0);
    await datapath.close();
  });

  it('gives the lock back that it held', async () => {
    const { datapath, lost } = await openWithWorkers({ build, workers: 1 });
    await datapath.ports.addType('g', 'generator', { flows: FLOWS });
    await datapath.start();
    await untilForwarding(datapath);
    datapath.memory.setU32(C.SUPERBLOCK + C.SB_WRITER, 1 + 1);
    await datapath.pool!.kill(1);
    await until(() => lost.length === 1, 'the death is noticed');
    expect(datapath.memory.superblock(C.SB_WRITER)).toBe(0);
    datapath.flows.put('in_port(1)', 'drop');
    await untilForwarding(datapath);
    await datapath.close();
  });

  it('does not keep removed flows from being used again', async () => {
    const { datapath, lost } = await openWithWorkers({ build, workers: 1, flows: 64 });
    const { memory } = datapath;
    await datapath.start();
    await until(() => memory.u32(memory.workerArea(1) + C.WORKER_STATE) === C.WORKER_POLLING, 'the worker polls');
    await datapath.pool!.kill(1);
    await until(() => lost.length === 1, 'the death is noticed');
    await datapath.stop();
    for (let i = 0; i < 1000; i++) {
      datapath.flows.put(`in_port(${i})`, '1');
      if (i >= 60) expect(datapath.flows.delete(`in_port(${i - 60})`)).toBe(true);
    }
    expect(datapath.check()).toBe(0);
    await datapath.close();
  });
});

/** Sends numbered frames to a memory port of worker 1; what comes out of port 2 is read back. */
class Stream {
  readonly #in: MemoryPort;
  readonly #out: MemoryPort;
  sent = 0;
  readonly numbers: number[] = [];

  constructor(datapath: Datapath) {
    this.#in = datapath.ports.add('in', { worker: 1, portNo: 1, slots: 256, frameSize: 256 });
    this.#out = datapath.ports.add('out', { portNo: 2, slots: 1024, frameSize: 256 });
    datapath.flows.put('in_port(1)', '2');
  }

  pump(): void {
    for (let i = 0; i < 64; i++) {
      const frame = L.ethernet(0x0800, L.ipv4({}, L.udp({}, L.bytes(L.filler(20), L.be32(this.sent)))));
      if (!this.#in.send(frame)) break;
      this.sent++;
    }
    this.read();
  }

  read(): void {
    this.#out.drain((data) =>
      this.numbers.push(new DataView(data.buffer, data.byteOffset + data.length - 4, 4).getUint32(0)),
    );
  }

  get pending(): number {
    return this.#in.pending;
  }
}

describe.each(BUILDS)('a trapping worker, %s', (build) => {
  it('loses its batch and nothing else, in order', async () => {
    const { datapath, lost } = await openWithWorkers({ build, workers: 1 });
    const { memory } = datapath;
    const stream = new Stream(datapath);
    await datapath.start();
    for (let trap = 1; trap <= KILLS; trap++) {
      memory.setU32(memory.workerArea(1) + C.WORKER_SABOTAGE, trap % 5 === 0 ? 1 : trap);
      await until(() => {
        stream.pump();
        return lost.length === trap;
      }, `trap ${trap} is noticed`);
      expect(lost[trap - 1].reason).toBeInstanceOf(Error);
      expect(lost[trap - 1].packetsLost).toBeGreaterThan(0);
    }
    await until(() => {
      stream.read();
      return stream.pending === 0;
    }, 'the ring is empty');
    await datapath.stop();
    stream.read();
    const packetsLost = lost.reduce((sum, loss) => sum + loss.packetsLost, 0);
    expect(received(datapath)).toBe(stream.sent);
    expect(stream.numbers.length).toBe(stream.sent - packetsLost);
    expect(stream.numbers).toEqual([...new Set(stream.numbers)].sort((a, b) => a - b));
    expectLossesCounted(datapath, lost, KILLS);
    await datapath.close();
  });

  it('counts the short frames of its batch once', async () => {
    const { datapath, lost } = await openWithWorkers({ build, workers: 1 });
    const port = datapath.ports.add('in', { worker: 1 });
    await datapath.start();
    for (let trap = 1; trap <= 4; trap++) {
      datapath.memory.setU32(datapath.memory.workerArea(1) + C.WORKER_SABOTAGE, 2);
      await until(() => {
        port.send(new Uint8Array(10));
        port.send(new Uint8Array(64));
        return lost.length === trap;
      }, 'the trap is noticed');
    }
    await until(() => port.pending === 0, 'the ring is empty');
    await datapath.stop();
    expectLossesCounted(datapath, lost, 4);
    expect(datapath.stats().drops.rxShort).toBeGreaterThan(0);
    await datapath.close();
  });

  it('that answers its own ring goes on answering', async () => {
    const { datapath, lost } = await openWithWorkers({ build, workers: 1, flows: 1024 });
    await datapath.ports.addType('g', 'generator', { flows: 5000, size: '60-3000' });
    await datapath.ports.addType('sink', 'null', {}, { portNo: 9 });
    const folder = mkdtempSync(path.join(tmpdir(), 'wdp-rules-'));
    // the first rule makes every flow one of a source address; there are more of them than slots
    const rules = 'priority=9 in_port(1),eth_type(0x0800),ipv4(src=192.0.2.1) actions:drop\nin_port(1) actions:9\n';
    writeFileSync(path.join(folder, 'rules'), rules);
    await datapath.onUpcall(await makeHandler(`static:${path.join(folder, 'rules')}`));
    rmSync(folder, { recursive: true });
    await datapath.start();
    for (let trap = 1; trap <= KILLS; trap++) {
      datapath.memory.setU32(datapath.memory.workerArea(1) + C.WORKER_SABOTAGE, trap);
      await until(() => {
        datapath.flows.flush();
        return lost.length === trap;
      }, `trap ${trap} is noticed`);
    }
    const before = datapath.stats().answered;
    await until(() => datapath.stats().answered > before + 1000, 'misses are answered');
    await datapath.stop();
    expectLossesCounted(datapath, lost, KILLS);
    expect(datapath.stats().upcallsPending).toBe(0);
    await datapath.close();
  });

  it('leaves an empty ring when it answered that itself', async () => {
    await using datapath = await openDatapath({ build });
    const { memory } = datapath;
    memory.setOption(C.OPTION_HANDLER, true);
    memory.setOption(C.OPTION_RULES, true); // and no rules: nobody answers
    const ports = ['a', 'b', 'c'].map((name) => datapath.ports.add(name));
    const frame = L.ethernet(0x0800, L.ipv4({}, L.udp({}, L.filler(20))));
    for (let round = 1; round <= 3; round++) {
      for (const port of ports) for (let i = 0; i < 30; i++) port.send(frame);
      memory.wasm.poll(16);
      expect(memory.wasm.take(0, 40)).toBe(40);
      memory.wasm.recoverWorker(0);
      expect(memory.wasm.outstanding(0)).toBe(0);
      expect(datapath.stats().drops.upcallStale).toBe(90 * round);
    }
    memory.setOption(C.OPTION_RULES, false);
    for (const port of ports) for (let i = 0; i < 50; i++) port.send(frame);
    memory.wasm.poll(16);
    expect(memory.wasm.outstanding(0)).toBe(150);
    expect(memory.wasm.purge(0)).toBe(150);
    expectAccounted(datapath.stats());
  });

  it('gives the chunks of the copy area back', async () => {
    await using datapath = await openDatapath({ build });
    const { memory } = datapath;
    memory.setOption(C.OPTION_HANDLER, true);
    const port = datapath.ports.add('in', { frameSize: 9216 });
    const long = L.ethernet(0x0800, L.ipv4({}, L.udp({}, L.filler(9000))));
    for (let i = 0; i < 3; i++) port.send(long);
    memory.wasm.poll(4);
    // as if it had died with all the others in its hands
    const busy = memory.upcallRing(0) + C.UPCALL_COPY_BUSY;
    for (let chunk = 0; chunk < C.UPCALL_COPY_CHUNKS; chunk++) memory.setU32(busy + chunk * 4, 1);
    memory.wasm.recoverWorker(0);
    for (let i = 0; i < C.UPCALL_COPY_CHUNKS; i++) port.send(long);
    memory.wasm.poll(4);
    expect(memory.wasm.outstanding(0)).toBe(C.UPCALL_COPY_CHUNKS);
    expect(datapath.stats().drops.upcallRingFull).toBe(3);
    expectAccounted(datapath.stats());
  });
});

describe('a thread that ends while it is loading', () => {
  it('does not take the process with it', () => {
    const script = path.join(import.meta.dirname, 'support', 'short-lives.mjs');
    const { status, signal, stdout, stderr } = spawnSync(process.execPath, [script], { encoding: 'utf8' });
    expect({ status, signal, stdout }, stderr).toEqual({ status: 0, signal: null, stdout: 'ok\n' });
  });
});
