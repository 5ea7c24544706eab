/*
 * The sleep of a slot and the round after it: what has come is forwarded when JavaScript hears of it, once for each time that it waits; what the round throws
 * comes with it; the clock that the shim tells is that of everybody else. Nothing is timed here; bench/forward has the figures.
 */
import { spawnSync } from 'node:child_process';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import { Datapath, flood } from '../src/index.ts';
import { nativeAddon, nativeUnavailableReason } from '../src/native/load.ts';
import { flowTuple, udpFrame } from '../src/ports/frames.ts';
import type { MemoryPort } from '../src/ports/memory.ts';
import { monotonicMs, realtimeNs, realtimeOffsetUs, toldMs } from '../src/wasm/clock.ts';
import { IdleWait } from '../src/worker/idle.ts';
import { closeWake, openWake, wakeWorker } from '../src/worker/wake.ts';

const reason = nativeUnavailableReason();
const index = new URL('../dist/src/index.js', import.meta.url).href;
/** Several turns of the event loop: what is ready has called back by then. */
const turns = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
};

let datapath: Datapath;
let a: MemoryPort;
let b: MemoryPort;
const frame = udpFrame(flowTuple(1));
const areaOf = (): number => datapath.memory.workerArea(0);

beforeEach(async () => {
  datapath = await Datapath.open({ flows: 4096 });
  a = datapath.ports.add('a');
  b = datapath.ports.add('b');
  await datapath.onUpcall(flood());
  datapath.process(a, [frame]); // its flow is there from now on
  b.receive();
});
afterEach(() => datapath.close());

describe.skipIf(reason)(`waiting in the event loop (${reason ?? 'runs'})`, () => {
  let calls: { received: number; thrown: unknown; forwarded: number }[];
  let idle: IdleWait;

  beforeEach(() => {
    calls = [];
    const woken = (received: number, thrown?: unknown): void =>
      void calls.push({ received, thrown, forwarded: b.receive().length });
    idle = IdleWait.open(datapath.memory, woken)!;
  });
  afterEach(() => idle.close());

  it('ends, once, with a round that has forwarded what came', async () => {
    for (let round = 1; round <= 3; round++) {
      expect(idle.arm()).toBeGreaterThan(0);
      await turns();
      expect(calls.length).toBe(round - 1);
      a.send(frame);
      await turns();
      expect(calls.slice(round - 1)).toEqual([{ received: 1, thrown: undefined, forwarded: 1 }]);
    }
  });

  it('ends when somebody wakes the slot, and that is over then', async () => {
    idle.arm();
    wakeWorker(datapath.memory, 0);
    await turns();
    expect(calls).toEqual([{ received: 0, thrown: undefined, forwarded: 0 }]);
    idle.arm();
    await turns();
    expect(calls.length).toBe(1);
  });

  it('does not begin when something is there', async () => {
    a.send(frame);
    expect(idle.arm()).toBe(0);
    await turns();
    expect(calls).toEqual([]);
  });

  it('is nothing that anybody hears of once it was ended otherwise', async () => {
    idle.arm();
    a.send(frame);
    idle.disarm();
    await turns();
    expect(calls).toEqual([]);
    expect(datapath.memory.u32(areaOf() + C.WORKER_SLEEPING)).toBe(0);
    expect(datapath.poll()).toBe(1);
  });

  it('ends with what the round throws, and what it had in hand is accounted for', async () => {
    const { wasm } = datapath.memory;
    datapath.memory.setU32(areaOf() + C.WORKER_SABOTAGE, 1);
    idle.arm();
    for (let i = 0; i < 3; i++) a.send(frame);
    await turns();
    expect(calls).toEqual([{ received: 0, thrown: expect.any(WebAssembly.RuntimeError), forwarded: 0 }]);
    expect(wasm.recoverWorker(0)).toBe(3);
    idle.arm();
    a.send(frame);
    await turns();
    expect(calls.slice(1)).toEqual([{ received: 1, thrown: undefined, forwarded: 1 }]);
    expect(datapath.stats().drops.workerLost).toBe(3);
  });

  it('tells the time as everybody does', async () => {
    const [beforeMs, beforeNs] = [monotonicMs(), realtimeNs()];
    idle.arm();
    a.send(frame);
    await turns();
    expect(calls.length).toBe(1);
    const [afterMs, afterNs] = [monotonicMs(), realtimeNs()];
    const { memory } = datapath;
    const us = 1e-3; // what rounding may take away
    expect(toldMs(memory, areaOf())).toBeGreaterThanOrEqual(beforeMs - 2 * us);
    expect(toldMs(memory, areaOf())).toBeLessThanOrEqual(afterMs + 2 * us);
    expect(memory.u64(areaOf() + C.WORKER_TIME_MS)).toBeGreaterThanOrEqual(Math.floor(beforeMs));
    expect(memory.u64(areaOf() + C.WORKER_TIME_MS)).toBeLessThanOrEqual(afterMs);
    expect(memory.u64(areaOf() + C.WORKER_TIME_NS)).toBeGreaterThanOrEqual(beforeNs - 2000);
    expect(memory.u64(areaOf() + C.WORKER_TIME_NS)).toBeLessThanOrEqual(afterNs + 2000);
  });
});

describe.skipIf(reason)(`waiting inside of a call (${reason ?? 'runs'})`, () => {
  const sleeper = () => {
    const { memory } = datapath;
    return new (nativeAddon()!.Sleeper)(memory.bytes, areaOf(), memory.wasm.poll, realtimeOffsetUs);
  };
  beforeEach(() => void openWake(datapath.memory, 0));
  afterEach(() => closeWake(datapath.memory, 0));

  it('ends with a round that has forwarded what came', () => {
    const slot = sleeper();
    for (let round = 0; round < 3; round++) {
      expect(datapath.memory.wasm.prepareSleep()).toBeGreaterThan(0);
      a.send(frame);
      expect(slot.sleep(10_000_000)).toBe(1);
      expect(b.receive().length).toBe(1);
      expect(datapath.memory.u32(areaOf() + C.WORKER_SLEEPING)).toBe(0);
    }
  });

  it('ends without one when nothing came', () => {
    datapath.memory.wasm.prepareSleep();
    const { memory } = datapath;
    const roundsBefore = memory.u32(areaOf() + C.WORKER_TURNS);
    expect(sleeper().sleep(1)).toBe(0);
    expect(memory.u32(areaOf() + C.WORKER_TURNS)).toBe(roundsBefore);
    expect(memory.u32(areaOf() + C.WORKER_SLEEPING)).toBe(0);
  });

  it('throws what the round throws', () => {
    datapath.memory.wasm.prepareSleep();
    datapath.memory.setU32(areaOf() + C.WORKER_SABOTAGE, 1);
    a.send(frame);
    expect(() => sleeper().sleep(10_000_000)).toThrow(WebAssembly.RuntimeError);
    expect(datapath.memory.wasm.recoverWorker(0)).toBe(1);
  });

  it('refuses what is no slot', () => {
    const { bytes, wasm } = datapath.memory;
    const { Sleeper } = nativeAddon()!;
    const wrong = (...args: unknown[]): unknown => new (Sleeper as new (...all: unknown[]) => unknown)(...args);
    expect(() => wrong('memory', 0, wasm.poll, 0)).toThrow(TypeError);
    expect(() => wrong(bytes, 0, 'poll', 0)).toThrow(TypeError);
    expect(() => wrong(bytes, 4, wasm.poll, 0)).toThrow(RangeError);
    expect(() => wrong(bytes, bytes.length - C.WORKER_CONTROL_SIZE + 8, wasm.poll, 0)).toThrow(RangeError);
    expect(() => wrong(bytes, 0, wasm.poll, Number.NaN)).toThrow(RangeError);
    expect(() => sleeper().sleep(-1)).toThrow(RangeError);
  });
});

describe.skipIf(reason)(`a datapath that runs in the event loop (${reason ?? 'runs'})`, () => {
  it('forwards what wakes it, and says what trapped', () => {
    const script = `
      import { Datapath, flood } from '${index}';
      const datapath = await Datapath.open({ flows: 4096 });
      const [a, b] = ['a', 'b'].map((name) => datapath.ports.add(name));
      await datapath.onUpcall(flood());
      await datapath.start();
      const frame = new Uint8Array(60).fill(2);
      const received = async () => {
        for (;;) {
          const count = b.receive().length;
          if (count > 0) return count;
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
      };
      const counts = [];
      for (let i = 0; i < 5; i++) {
        a.send(frame);
        counts.push(await received());
      }
      const uncaught = new Promise((resolve) => process.once('uncaughtException', resolve));
      datapath.memory.setU32(datapath.memory.workerArea(0) + ${C.WORKER_SABOTAGE}, 1);
      a.send(frame);
      const { code, message } = await uncaught;
      await datapath.close();
      console.log(JSON.stringify({ counts, code, message, lost: datapath.stats().drops.workerLost, check: datapath.check() }));`;
    const run = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
      timeout: 600_000,
    });
    expect(run.stderr).toBe('');
    expect(JSON.parse(run.stdout)).toEqual({
      counts: [1, 1, 1, 1, 1],
      code: 'ERR_WASM',
      message: 'the datapath trapped on the calling thread; 1 packets were lost',
      lost: 1,
      check: 0,
    });
  });

  it('goes with its thread, whatever that does', async () => {
    const script = `
      const { parentPort } = require('node:worker_threads');
      import('${index}').then(async ({ Datapath, flood }) => {
        const datapath = await Datapath.open({ flows: 4096 });
        const port = datapath.ports.add('a');
        datapath.ports.add('b');
        await datapath.onUpcall(flood());
        await datapath.start();
        const frame = new Uint8Array(60);
        parentPort.postMessage('runs');
        setInterval(() => port.send(frame), 1);
      });`;
    for (let i = 0; i < 8; i++) {
      const thread = new Worker(script, { eval: true });
      await new Promise((resolve, reject) => thread.once('message', resolve).once('error', reject));
      for (let pause = 0; pause < i; pause++) await new Promise((resolve) => setTimeout(resolve, 1));
      expect(await thread.terminate()).toBe(1);
    }
  });
});
