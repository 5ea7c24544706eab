/*
 * AF_XDP rings whose other side the test plays, in ordinary memory: what the kernel would receive, send and complete.
 */
import * as C from '../../assembly/constants.ts';
import type { Datapath } from '../../src/index.ts';
import type { NativeXdpSocket } from '../../src/native/io.ts';
import type { MemoryPort } from '../../src/ports/memory.ts';
import { QueueBlocks } from '../../src/ports/queues.ts';
import { Xsk } from '../../src/ports/xsk.ts';

export const XDP_PORT = 7;
export const RX_FRAMES = 64;
export const TX_FRAMES = 16;

/** The kernel's side of a socket: port 7 of the datapath, which sends to `out` what comes in, and to port 7 what comes in by `out`. */
export class XdpRings {
  readonly datapath: Datapath;
  readonly out: MemoryPort;
  readonly xsk: Xsk;
  readonly #filled: number[] = [];

  /** `flags`: PORT_FLAG_*. */
  constructor(datapath: Datapath, worker = 0, flags = 0) {
    const { memory } = datapath;
    this.datapath = datapath;
    this.out = datapath.ports.add('out', { slots: 256 });
    const blocks = new QueueBlocks(memory, 'the test');
    const fake = { XdpSocket: FakeSocket } as unknown as Parameters<typeof Xsk.open>[1];
    const options = { ifindex: 1, queue: 0, portNo: XDP_PORT, worker, flags: 0, isSoft: false, sendBufferSize: 0 };
    this.xsk = Xsk.open(blocks, fake, { ...options, rxFrames: RX_FRAMES, txFrames: TX_FRAMES }) as Xsk;
    const table = blocks.transmitQueues(
      C.QUEUE_KIND_PACKET_TX,
      XDP_PORT,
      datapath.options.workers + 1,
      () => 0xffffffff,
    );
    const own = table + worker * 4;
    memory.setU32(own, this.xsk.transmitQueue(memory.u32(own)));
    memory.wasm.closePort(XDP_PORT);
    memory.wasm.openPort(
      XDP_PORT,
      C.RX_QUEUES,
      blocks.receiveTable([this.xsk.address]),
      C.TX_QUEUES,
      table,
      worker,
      flags,
    );
    datapath.flows.put(`in_port(${this.out.portNo}),eth_type(0x0800),ipv4(frag=no)`, String(XDP_PORT));
    datapath.flows.put(`in_port(${XDP_PORT}),eth_type(0x0800),ipv4(frag=no)`, String(this.out.portNo));
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

  /** Frames to receive into that are neither in the fill ring nor with the kernel. */
  get missing(): number {
    this.takeFilled();
    return RX_FRAMES - this.#filled.length;
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
