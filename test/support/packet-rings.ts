/*
 * An AF_PACKET ring whose other side the test plays, in ordinary memory: a queue of a port that the kernel would fill.
 */
import * as C from '../../assembly/constants.ts';
import type { Datapath } from '../../src/index.ts';
import { QueueBlocks, ringGeometry } from '../../src/ports/queues.ts';

export const RING_PORT = 7;
/** Where the kernel puts the frame. */
export const MAC = 192;

/** What the kernel writes of a frame. */
type Header = Record<'status' | 'tci' | 'tpid' | 'size' | 'mac' | 'snapSize', number>;

/** A queue over an empty ring of its own. */
export function packetQueue(
  blocks: QueueBlocks,
  {
    portNo,
    worker,
    frames = 64,
    frameSize = 256,
  }: { portNo: number; worker: number; frames?: number; frameSize?: number },
) {
  const geometry = ringGeometry(frames, MAC + frameSize);
  const size = geometry.blockSize * geometry.blockCount;
  const ring = blocks.allocatePages(size);
  blocks.memory.slice(ring, size).fill(0);
  const what = { kind: C.QUEUE_KIND_PACKET_RX, fd: 0xffffffff, portNo, worker, flags: 0 };
  return { queue: blocks.receiveQueue(what, ring, geometry), ring, geometry, count: size / geometry.frameSize };
}

/** The port receives by these queues from now on, and sends nowhere. */
export function openQueues({ memory }: QueueBlocks, portNo: number, table: number, worker: number): void {
  memory.wasm.closePort(portNo);
  memory.wasm.openPort(portNo, C.RX_QUEUES, table, C.TX_NULL, 0, worker, 0);
}

export class PacketRing {
  readonly queue: number;
  /** Addresses of the frames. */
  readonly frames: readonly number[];
  readonly #memory: Datapath['memory'];
  #filled = 0;

  /** Takes the place of port 7, which is polled by `worker` from now on. */
  constructor({ memory }: Datapath, { worker = 0, frames = 64, frameSize = 256 } = {}) {
    this.#memory = memory;
    const blocks = new QueueBlocks(memory, 'the test');
    const { queue, ring, count, geometry } = packetQueue(blocks, { portNo: RING_PORT, worker, frames, frameSize });
    this.queue = queue;
    this.frames = Array.from({ length: count }, (_, i) => ring + i * geometry.frameSize);
    openQueues(blocks, RING_PORT, blocks.receiveTable([queue]), worker);
  }

  status(index: number): number {
    return this.#memory.u32(this.frames[index % this.frames.length] + C.TP2_STATUS);
  }

  /** What the kernel writes, whoever has the frame: its bytes behind its headers, the status last. */
  fill(
    frame: Uint8Array,
    { status = 0, tci = 0, tpid = 0, size = frame.length, mac = MAC, snapSize = size }: Partial<Header> = {},
  ): void {
    const memory = this.#memory;
    const at = this.frames[this.#filled++ % this.frames.length];
    memory.setU32(at + C.TP2_LEN, size);
    memory.setU32(at + C.TP2_SNAPLEN, snapSize);
    memory.setU32(at + C.TP2_MAC, mac | (mac << 16));
    memory.setU32(at + C.TP2_VLAN_TCI, tci | (tpid << 16));
    memory.slice(at + MAC - C.VNET_SIZEOF, C.VNET_SIZEOF).fill(0);
    memory.bytes.set(frame, at + MAC);
    memory.setU32(at + C.TP2_STATUS, C.TP_STATUS_USER | status);
  }

  /** The kernel receives a frame; a wrong `mac` is a header that it cannot have written. False when there is no room. */
  receive(frame: Uint8Array, mac = MAC): boolean {
    if (this.status(this.#filled) !== C.TP_STATUS_KERNEL) return false;
    this.fill(frame, { mac });
    return true;
  }

  /** Frames that the kernel has not been given back. */
  get held(): number {
    return this.frames.filter((_, i) => this.status(i) !== C.TP_STATUS_KERNEL).length;
  }
}
