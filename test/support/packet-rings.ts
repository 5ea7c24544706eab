/*
 * An AF_PACKET ring whose other side the test plays, in ordinary memory: a queue of a port that the kernel would fill.
 */
import * as C from '../../assembly/constants.ts';
import type { Datapath } from '../../src/index.ts';
import { QueueBlocks, ringGeometry } from '../../src/ports/queues.ts';

export const RING_PORT = 7;
const MAC = 192;
const FRAMES = 64;
const FRAME_SIZE = 256;

export class PacketRing {
  readonly #memory: Datapath['memory'];
  readonly #ring: number;
  readonly #stride: number;
  #filled = 0;

  /** Takes the place of port 7, which is polled by `worker` from now on. */
  constructor({ memory }: Datapath, worker: number) {
    this.#memory = memory;
    const blocks = new QueueBlocks(memory, 'the test');
    const geometry = ringGeometry(FRAMES, MAC + FRAME_SIZE);
    const size = geometry.blockSize * geometry.blockCount;
    this.#stride = geometry.frameSize;
    this.#ring = blocks.allocatePages(size);
    memory.slice(this.#ring, size).fill(0);
    const what = { kind: C.QUEUE_KIND_PACKET_RX, fd: 0xffffffff, portNo: RING_PORT, worker, flags: 0 };
    const queue = blocks.receiveQueue(what, this.#ring, geometry);
    memory.wasm.closePort(RING_PORT);
    memory.wasm.openPort(RING_PORT, C.RX_QUEUES, blocks.receiveTable([queue]), C.TX_NULL, 0, worker, 0);
  }

  /** The kernel receives a frame; a wrong `mac` is a header that it cannot have written. False when there is no room. */
  receive(frame: Uint8Array, mac = MAC): boolean {
    const memory = this.#memory;
    const at = this.#ring + (this.#filled % FRAMES) * this.#stride;
    if (memory.u32(at + C.TP2_STATUS) !== C.TP_STATUS_KERNEL) return false;
    memory.setU32(at + C.TP2_LEN, frame.length);
    memory.setU32(at + C.TP2_SNAPLEN, frame.length);
    memory.setU32(at + C.TP2_MAC, mac | (mac << 16));
    memory.slice(at + MAC - C.VNET_SIZEOF, C.VNET_SIZEOF).fill(0);
    memory.bytes.set(frame, at + MAC);
    memory.setU32(at + C.TP2_STATUS, C.TP_STATUS_USER);
    this.#filled++;
    return true;
  }

  /** Frames that the kernel has not been given back. */
  get held(): number {
    let held = 0;
    for (let i = 0; i < FRAMES; i++) {
      if (this.#memory.u32(this.#ring + i * this.#stride + C.TP2_STATUS) !== C.TP_STATUS_KERNEL) held++;
    }
    return held;
  }
}
