/*
 * The AF_XDP driver over rings whose other side the test plays, as the kernel would and as no kernel would: frames go round, descriptors and completions
 * that name what is not the kernel's are refused, and in the end every frame has one owner. SEED sets the seed.
 */
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import type { Datapath } from '../src/index.ts';
import type { NativeXdpSocket } from '../src/native/io.ts';
import { flowTuple, udpFrame } from '../src/ports/frames.ts';
import type { MemoryPort } from '../src/ports/memory.ts';
import { QueueBlocks } from '../src/ports/queues.ts';
import { XSK_FRAME_SIZE, Xsk } from '../src/ports/xsk.ts';
import { BUILDS, expectAccounted, openDatapath, SEED } from './support/datapath.ts';

const PORT = 7;
const RX_FRAMES = 64;
const TX_FRAMES = 16;
const open: Datapath[] = [];

afterEach(async () => {
  for (const datapath of open.splice(0)) await datapath.close();
});

/** The kernel's side of a socket: port 7 of the datapath, which sends to `out` what comes in, and to port 7 what comes in by `out`. */
class Socket {
  readonly datapath: Datapath;
  readonly out: MemoryPort;
  readonly xsk: Xsk;
  readonly #filled: number[] = [];

  constructor(datapath: Datapath) {
    const { memory } = datapath;
    this.datapath = datapath;
    this.out = datapath.ports.add('out', { slots: 256 });
    const blocks = new QueueBlocks(memory, 'the test');
    const fake = { XdpSocket: FakeSocket } as unknown as Parameters<typeof Xsk.open>[1];
    const options = { ifindex: 1, queue: 0, portNo: PORT, worker: 0, flags: 0, isSoft: false, sendBufferSize: 0 };
    this.xsk = Xsk.open(blocks, fake, { ...options, rxFrames: RX_FRAMES, txFrames: TX_FRAMES }) as Xsk;
    const table = blocks.transmitQueues(C.QUEUE_KIND_PACKET_TX, PORT, 1, () => 0xffffffff);
    memory.setU32(table, this.xsk.transmitQueue(memory.u32(table)));
    memory.wasm.openPort(PORT, C.RX_QUEUES, blocks.receiveTable([this.xsk.address]), C.TX_QUEUES, table, 0, 0);
    datapath.flows.put(`in_port(${this.out.portNo}),eth_type(0x0800),ipv4(frag=no)`, String(PORT));
    datapath.flows.put(`in_port(${PORT}),eth_type(0x0800),ipv4(frag=no)`, String(this.out.portNo));
  }

  #ring(offset: number): { producer: number; consumer: number; entry: (position: number) => number } {
    const { memory } = this.datapath;
    const word = (field: number): number => memory.u32(this.xsk.address + offset + field);
    const size = offset === C.XSK_RING_FILL || offset === C.XSK_RING_COMPLETION ? 8 : C.XDP_DESC_SIZEOF;
    return {
      producer: word(C.XRING_PRODUCER),
      consumer: word(C.XRING_CONSUMER),
      entry: (position) => word(C.XRING_ENTRIES) + (position & word(C.XRING_MASK)) * size,
    };
  }

  /** Takes the addresses that stand in the fill ring. */
  takeFilled(): void {
    const { memory } = this.datapath;
    const { producer, consumer, entry } = this.#ring(C.XSK_RING_FILL);
    for (let at = memory.u32(consumer); at !== memory.u32(producer); at++) this.#filled.push(memory.u64(entry(at)));
    memory.setU32(consumer, memory.u32(producer));
  }

  /** Receives a frame: into the next free one, behind the kernel's headroom. */
  receive(frame: Uint8Array): boolean {
    this.takeFilled();
    const address = this.#filled.shift();
    if (address === undefined) return false;
    const { memory } = this.datapath;
    memory.bytes.set(frame, memory.u32(this.xsk.address + C.XSK_UMEM) + address + 256);
    this.describe(address + 256, frame.length);
    return true;
  }

  describe(address: number, size: number): void {
    const { memory } = this.datapath;
    const { producer, entry } = this.#ring(C.XSK_RING_RX);
    const at = entry(memory.u32(producer));
    memory.setU64(at, address);
    memory.setU32(at + C.XDP_DESC_LEN, size);
    memory.setU32(producer, (memory.u32(producer) + 1) >>> 0);
  }

  /** Sends what stands in the transmit ring; completes it unless told otherwise. */
  send(complete = true): Uint8Array[] {
    const { memory } = this.datapath;
    const ring = this.#ring(C.XSK_RING_TX);
    const position = memory.u32(this.xsk.address + C.XSK_RING_TX + C.XRING_POSITION);
    const frames: Uint8Array[] = [];
    for (let at = memory.u32(ring.consumer); at !== position; at++) {
      const address = memory.u64(ring.entry(at));
      const size = memory.u32(ring.entry(at) + C.XDP_DESC_LEN);
      frames.push(memory.copy(memory.u32(this.xsk.address + C.XSK_UMEM) + address, size));
      if (complete) this.complete(address);
    }
    memory.setU32(ring.consumer, position);
    return frames;
  }

  complete(address: number): void {
    const { memory } = this.datapath;
    const { producer, entry } = this.#ring(C.XSK_RING_COMPLETION);
    memory.setU64(entry(memory.u32(producer)), address);
    memory.setU32(producer, (memory.u32(producer) + 1) >>> 0);
  }

  poll(): Uint8Array[] {
    for (let idle = 0; idle < 3; idle++) if (this.datapath.poll() > 0) idle = 0;
    return this.out.receive();
  }

  get check(): number {
    return this.datapath.memory.wasm.checkXsk(this.xsk.address);
  }

  /** Frames that nobody has. */
  get free(): number {
    return this.datapath.memory.u32(this.xsk.address + C.XSK_FREE_COUNT);
  }
}

/** Rings in ordinary memory: positions first, then the entries, as the kernel lays them out. */
class FakeSocket implements NativeXdpSocket {
  readonly fd = 0xffffffff;
  readonly isZeroCopy = false;
  readonly operation = '';
  open(_options: object, view: Uint8Array, places: Record<string, number>): number {
    for (const name of ['fill', 'completion', 'rx', 'tx']) view.fill(0, places[name], places[name] + 4096);
    return 0;
  }
  ring(): { producer: number; consumer: number; flags: number; entries: number } {
    return { producer: 0, consumer: 64, flags: 128, entries: 320 };
  }
  drops(): number {
    return 0;
  }
  close(): void {}
}

async function socketOf(build: (typeof BUILDS)[number]): Promise<Socket> {
  const datapath = await openDatapath({ build });
  open.push(datapath);
  return new Socket(datapath);
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

  it('are received again when the worker died before it had them in hand', async () => {
    const socket = await socketOf(build);
    const { memory } = socket.datapath;
    const { address } = socket.xsk;
    const frames = Array.from({ length: 8 }, (_, i) => udpFrame(flowTuple(i)));
    for (const frame of frames) socket.receive(frame);
    // as it stands in the middle of receiveXdp: the queue is the worker's, frames are marked, neither list nor position says so
    const area = memory.workerArea(0);
    memory.setU32(address + C.RXQ_OWNER, 1);
    memory.setU32(address + C.QUEUE_TOUCHED, 1);
    memory.setU32(memory.u32(area + C.WORKER_TOUCHED_LIST), address);
    memory.setU32(area + C.WORKER_TOUCHED, 1);
    const entries = memory.u32(address + C.XSK_RING_RX + C.XRING_ENTRIES);
    for (let i = 0; i < 5; i++) {
      const frame = Math.floor(memory.u64(entries + i * C.XDP_DESC_SIZEOF) / XSK_FRAME_SIZE);
      memory.bytes[memory.u32(address + C.XSK_STATES) + frame] = C.XSK_FRAME_HELD;
    }
    expect(socket.check).toBe(33);
    expect(memory.wasm.recoverWorker(0)).toBe(0);
    expect(socket.check).toBe(0);
    expect(socket.poll()).toEqual(frames);
    expect(socket.datapath.stats().drops.rxDescriptor).toBe(0);
    expect(memory.u32(address + C.RXQ_OWNER)).toBe(0);
  });
});
