/*
 * A worker that dies at each point where a thread can die: at the beginning of every function and of every turn of a loop (V8 looks there whether it is
 * to stop). The module is rebuilt with a call at each of them, which throws at the n-th, for every n there is. After each death the slot is repaired, by whoever, and another worker goes on: no frame is lost from the accounting, none comes twice, and everything is given back.
 */
import { readFileSync } from 'node:fs';
import binaryen from 'assemblyscript/binaryen';
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import type { Datapath } from '../src/index.ts';
import { flowTuple, udpFrame } from '../src/ports/frames.ts';
import type { MemoryPort } from '../src/ports/memory.ts';
import { XSK_FRAME_SIZE } from '../src/ports/xsk.ts';
import type { DatapathExports } from '../src/wasm/exports.ts';
import { instantiate, loadModule, type WasmBuild, wasmFile } from '../src/wasm/load.ts';
import { BUILDS, expectAccounted, openDatapath } from './support/datapath.ts';
import { HotTables } from './support/hot-tables.ts';
import { PacketRing } from './support/packet-rings.ts';
import { RX_FRAMES, TX_FRAMES, XdpRings } from './support/xdp-rings.ts';

const SLOT = 1;
const IN = 7;
/** Where the number of a frame stands in it. */
const NUMBER_AT = 50;

interface Instrumented {
  module: WebAssembly.Module;
  /** Numbers of the calls that stand where a thread can die; the others stand where functions end. */
  points: ReadonlySet<number>;
}

// what stands before such a call in the text of the module
const FUNCTION = /\(func [^\n]*\n(?:\s+\(local [^\n]*\)\n)*/;
const LOOP = /\(loop \$\S+(?: \(result \w+\))?/;
const CALL = /\s+\(call \$log_execution\s+\(i32\.const (\d+)\)/;

/** The module with a call of `log_execution` at each point. */
function withPoints(build: WasmBuild): Instrumented {
  const module = binaryen.readBinary(readFileSync(wasmFile(build)));
  module.setFeatures(binaryen.Features.All);
  module.runPasses(['log-execution']);
  const text = module.emitText();
  const calls = [FUNCTION, LOOP].flatMap((begin) => [...text.matchAll(new RegExp(begin.source + CALL.source, 'g'))]);
  const binary = module.emitBinary() as Uint8Array<ArrayBuffer>;
  module.dispose();
  return { module: new WebAssembly.Module(binary), points: new Set(calls.map((call) => Number(call[1]))) };
}

class Death extends Error {}

/** Worker SLOT, on this thread, that dies at the n-th point. */
class Mortal {
  readonly #instrumented: Instrumented;
  readonly #datapath: Datapath;

  constructor(instrumented: Instrumented, datapath: Datapath) {
    this.#instrumented = instrumented;
    this.#datapath = datapath;
  }

  /** Runs `work`. False when it came to its end before the n-th point. */
  diesAt(n: number, work: (wasm: DatapathExports) => void): boolean {
    let left = Number.POSITIVE_INFINITY;
    const { module, points } = this.#instrumented;
    const pass = (point: number): void => {
      if (points.has(point) && --left === 0) throw new Death();
    };
    const { memory } = this.#datapath.memory;
    const env = { memory, log_execution: pass, abort: () => expect.fail('an assertion failed') };
    const wasm = new WebAssembly.Instance(module, { env }).exports as unknown as DatapathExports;
    expect(wasm.attach(SLOT)).toBe(0);
    left = n;
    try {
      work(wasm);
      wasm.detach();
    } catch (error) {
      if (error instanceof Death) return true;
      throw error;
    }
    return false;
  }
}

/** A few more points than a repair passes. */
const REPAIR_POINTS = 400;

/** Where frames come from, and where they go. */
interface Source {
  readonly out: MemoryPort;
  /** A few frames, with numbers from `first` on: one that is too short to have a key, one that cannot be, one without a flow. Returns how many. */
  feed(first: number): number;
  /** 0 when everything is given back. */
  check(): number;
  /** Between two rounds: one more, which `feed` has counted, if it is not there yet. */
  feedLate?(): void;
  /** After all deaths. */
  end?(): void;
}

const numbered = (number: number, port: number): Uint8Array => {
  const frame = udpFrame(flowTuple(port), 64);
  frame.set([number & 255, number >> 8], NUMBER_AT);
  return frame;
};
const SHORT = new Uint8Array(10);
/** No frame is there. */
const UMEM_SIZE = (RX_FRAMES + TX_FRAMES) * XSK_FRAME_SIZE;
/** An Ethernet type that no flow has. */
const MISS = Uint8Array.of(...new Uint8Array(12), 0x88, 0xb5, ...new Uint8Array(46));
const FED = 7;
/** Points that FED packets pass, at the least. */
const DEATHS_MIN = 100;

function feedBy(receive: (frame: Uint8Array) => boolean, receiveBroken: () => void): Source['feed'] {
  return (first) => {
    for (const frame of [numbered(first, 1), numbered(first + 1, 2), SHORT]) expect(receive(frame)).toBe(true);
    receiveBroken();
    for (const frame of [MISS, numbered(first + 2, 3), numbered(first + 3, 1)]) expect(receive(frame)).toBe(true);
    return FED;
  };
}

const SOURCES: Record<string, (datapath: Datapath) => Source> = {
  'an AF_XDP socket': (datapath) => {
    datapath.ports.add('in', { portNo: IN });
    const rings = new XdpRings(datapath, SLOT);
    return {
      out: rings.out,
      feed: feedBy(
        (frame) => rings.receive(frame),
        () => rings.describe(UMEM_SIZE, 60),
      ),
      check: () => rings.check || rings.missing,
    };
  },
  'an AF_XDP socket whose flows become hot': (datapath) => {
    datapath.ports.add('in', { portNo: IN });
    const rings = new XdpRings(datapath, SLOT, C.PORT_FLAG_HOT);
    const tables = new HotTables(datapath);
    tables.takeFrames(rings.out.portNo);
    const feed = feedBy(
      (frame) => rings.receive(frame),
      () => rings.describe(UMEM_SIZE, 60),
    );
    let late: Uint8Array | undefined;
    return {
      out: rings.out,
      // what the worker's cache knows becomes hot: a frame whose flow was in the batch before
      feed: (first) => {
        late = numbered(first + 4, 1);
        return feed(first) + 1;
      },
      feedLate: () => {
        if (late !== undefined) expect(rings.receive(late)).toBe(true);
        late = undefined;
      },
      check: () => rings.check || rings.missing || tables.unfinished,
      end: () => expect(tables.entries).toBeGreaterThan(0),
    };
  },
  'an AF_PACKET ring': (datapath) => {
    datapath.ports.add('in', { portNo: IN });
    const ring = new PacketRing(datapath, { worker: SLOT });
    const out = datapath.ports.add('out', { frameSize: 128 });
    datapath.flows.put(`in_port(${IN}),eth_type(0x0800),ipv4(frag=no)`, String(out.portNo));
    return {
      out,
      feed: feedBy(
        (frame) => ring.receive(frame),
        () => ring.receive(SHORT, 0),
      ),
      check: () => ring.held,
    };
  },
  'a ring in memory': (datapath) => {
    const inside = datapath.ports.add('inside', { worker: SLOT, portNo: IN });
    const out = datapath.ports.add('out', { frameSize: 128 });
    datapath.flows.put(`in_port(${IN}),eth_type(0x0800),ipv4(frag=no)`, String(out.portNo));
    return {
      out,
      feed: feedBy(
        (frame) => inside.send(frame),
        () => inside.send(SHORT),
      ),
      check: () => inside.pending,
    };
  },
};

describe.each(BUILDS)('a worker that dies at any point, %s', (build) => {
  const instrumented = withPoints(build);

  it.each(Object.entries(SOURCES))('over %s', async (_name, makeSource) => {
    await using datapath = await openDatapath({ build, workers: SLOT });
    const { wasm } = datapath.memory;
    const source = makeSource(datapath);
    const mortal = new Mortal(instrumented, datapath);
    const rounds = (worker: DatapathExports): void => {
      for (let i = 0; i < 4; i++) {
        worker.poll(4);
        source.feedLate?.();
      }
      worker.settle();
    };
    // the owner thread, or the thread that takes over; that one may die over it, and the next one begins again
    const repair = (n: number): void => {
      if (n % 2 === 0) wasm.recoverWorker(SLOT);
      else while (mortal.diesAt(1 + (deaths++ % REPAIR_POINTS), (heir) => heir.recoverWorker(SLOT)));
    };
    let deaths = 0;
    let fed = 0;
    let next = 0;
    let isAlive = true;
    for (let n = 1; isAlive; n++) {
      const before = datapath.stats();
      fed += source.feed(next);
      isAlive = mortal.diesAt(n, rounds);
      if (isAlive) repair(n);
      const heir = instantiate(loadModule(build), datapath.memory.memory);
      heir.attach(SLOT);
      rounds(heir);
      heir.detach();
      const stats = datapath.stats();
      const numbers = source.out.receive().map((frame) => frame[NUMBER_AT] | (frame[NUMBER_AT + 1] << 8));
      const lost = stats.drops.workerLost - before.drops.workerLost;
      const at = `point ${n}`;
      expect(stats.received, at).toBe(fed);
      expect(datapath.ports.get(IN)!.stats().rxPackets, at).toBe(fed);
      expectAccounted(stats);
      expect(
        [...new Set(numbers)].sort((a, b) => a - b),
        at,
      ).toEqual(numbers);
      expect(numbers.length + lost, at).toBeGreaterThanOrEqual(4);
      expect(source.check(), at).toBe(0);
      expect(datapath.memory.u32(datapath.memory.workerArea(SLOT) + C.WORKER_TOUCHED), at).toBe(0);
      next += 5;
    }
    expect(datapath.stats().workersLost).toBeGreaterThan(DEATHS_MIN);
    expect(datapath.check()).toBe(0);
    source.end?.();
  });
});
