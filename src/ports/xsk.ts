/*
 * An AF_XDP socket in the arena, host side: UMEM, rings, states of the frames, and the block that the worker drives them by. Before it: ports on
 * real interfaces. After it: assembly/io/afxdp.ts, native/xdp-socket.cc. Ownership: blocks are those of the port, given back with them; the socket
 * is closed before. Threads: the owner thread.
 */
import * as C from '../../assembly/constants.ts';
import type { NativeXdpRing, NativeXdpSocket } from '../native/io.ts';
import type { NativeAddon } from '../native/load.ts';
import type { QueueBlocks } from './queues.ts';

/** The smallest frames that the kernel takes; two fit a page. */
export const XSK_FRAME_SIZE = 2048;
/** In front of the entries of a ring. */
const RING_HEAD = 4096;

export const XDP_COPY = 2;
export const XDP_ZEROCOPY = 4;
export const XDP_USE_NEED_WAKEUP = 8;

export interface XskOptions {
  readonly ifindex: number;
  /** Queue of the interface. */
  readonly queue: number;
  readonly portNo: number;
  /** Slot of the worker that has the socket first. */
  readonly worker: number;
  /** XDP_COPY, XDP_ZEROCOPY, XDP_USE_NEED_WAKEUP. */
  readonly flags: number;
  /** What comes in may have a checksum that is still to be made. */
  readonly isSoft: boolean;
  /** Frames that the kernel has to receive into; 0: the socket only sends. A power of two, as the next. */
  readonly rxFrames: number;
  readonly txFrames: number;
  readonly sendBufferSize: number;
}

export class Xsk {
  /** Of the block (XSK_*). */
  readonly address: number;
  readonly socket: NativeXdpSocket;
  readonly options: XskOptions;
  readonly #blocks: QueueBlocks;
  #transmit = 0;

  private constructor(blocks: QueueBlocks, socket: NativeXdpSocket, options: XskOptions, address: number) {
    this.#blocks = blocks;
    this.socket = socket;
    this.options = options;
    this.address = address;
  }

  /** Opens a socket. A string: what the kernel refused; nothing is left but blocks of the arena, which go with the others. */
  static open(
    blocks: QueueBlocks,
    addon: NativeAddon,
    options: XskOptions,
  ): Xsk | { operation: string; errno: number } {
    const { rxFrames, txFrames, ifindex, queue, flags, sendBufferSize } = options;
    const frameCount = rxFrames + txFrames;
    // each ring has an entry for every frame that can be in it; a ring that is not used has to be there all the same
    const sizes = {
      fillSize: powerOfTwo(Math.max(frameCount, 1)),
      completionSize: powerOfTwo(frameCount),
      rxSize: rxFrames === 0 ? 0 : powerOfTwo(frameCount),
      txSize: powerOfTwo(frameCount),
    };
    const umem = blocks.allocatePages(frameCount * XSK_FRAME_SIZE);
    const places = {
      umem,
      fill: blocks.allocatePages(RING_HEAD + sizes.fillSize * 8),
      completion: blocks.allocatePages(RING_HEAD + sizes.completionSize * 8),
      rx: blocks.allocatePages(RING_HEAD + sizes.rxSize * C.XDP_DESC_SIZEOF),
      tx: blocks.allocatePages(RING_HEAD + sizes.txSize * C.XDP_DESC_SIZEOF),
    };
    const socket = new addon.XdpSocket();
    const native = { ifindex, queue, flags, frameSize: XSK_FRAME_SIZE, frameCount, sendBufferSize, ...sizes };
    const status = socket.open(native, blocks.memory.bytes, places);
    if (status < 0) return { operation: socket.operation, errno: -status };
    const xsk = new Xsk(blocks, socket, options, blocks.allocateCleared(C.XSK_SIZEOF));
    xsk.#writeHead(umem, frameCount);
    const rings = [
      [C.XSK_RING_FILL, places.fill, sizes.fillSize],
      [C.XSK_RING_COMPLETION, places.completion, sizes.completionSize],
      [C.XSK_RING_RX, places.rx, sizes.rxSize],
      [C.XSK_RING_TX, places.tx, sizes.txSize],
    ] as const;
    for (const [index, [offset, place, entries]] of rings.entries())
      xsk.#writeRing(offset, place, socket.ring(index), entries);
    if (rxFrames > 0) blocks.memory.wasm.fillXdp(xsk.address, rxFrames);
    return xsk;
  }

  #writeHead(umem: number, frameCount: number): void {
    const { memory } = this.#blocks;
    const states = this.#blocks.allocateCleared(frameCount);
    const free = this.#blocks.allocate(frameCount * 4);
    for (let frame = 0; frame < frameCount; frame++) memory.setU32(free + frame * 4, frame);
    const words: [number, number][] = [
      [C.QUEUE_KIND, C.QUEUE_KIND_XDP_RX],
      [C.QUEUE_FD, this.socket.fd],
      [C.QUEUE_PORT, this.options.portNo],
      [C.RXQ_WORKER, this.options.worker],
      [C.RXQ_FLAGS, this.options.isSoft ? C.RXQ_FLAG_SOFT : 0],
      [C.XSK_UMEM, umem],
      [C.XSK_FRAME_SIZE, XSK_FRAME_SIZE],
      [C.XSK_FRAMES, frameCount],
      [C.XSK_STATES, states],
      [C.XSK_FREE, free],
      [C.XSK_FREE_COUNT, frameCount],
    ];
    for (const [offset, value] of words) memory.setU32(this.address + offset, value);
  }

  #writeRing(offset: number, place: number, parts: NativeXdpRing, entries: number): void {
    const { memory } = this.#blocks;
    const ring = this.address + offset;
    memory.setU32(ring + C.XRING_PRODUCER, place + parts.producer);
    memory.setU32(ring + C.XRING_CONSUMER, place + parts.consumer);
    memory.setU32(ring + C.XRING_FLAGS, place + parts.flags);
    memory.setU32(ring + C.XRING_ENTRIES, place + parts.entries);
    memory.setU32(ring + C.XRING_MASK, Math.max(entries - 1, 0));
  }

  /** The transmit queue over this socket; what it cannot send goes to the queue at `other`. Returns its address. No worker has it in hand. */
  transmitQueue(other: number): number {
    const { memory } = this.#blocks;
    if (this.#transmit === 0) {
      this.#transmit = this.#blocks.allocateCleared(C.XTQ_SIZEOF);
      memory.setU32(this.#transmit + C.QUEUE_KIND, C.QUEUE_KIND_XDP_TX);
      memory.setU32(this.#transmit + C.QUEUE_FD, this.socket.fd);
      memory.setU32(this.#transmit + C.QUEUE_PORT, this.options.portNo);
      memory.setU32(this.#transmit + C.XTQ_SOCKET, this.address);
      memory.setU32(this.#transmit + C.XTQ_FRAME_MAX, XSK_FRAME_SIZE - SLACK);
    }
    memory.setU32(this.#transmit + C.XTQ_OTHER, other);
    return this.#transmit;
  }

  /** Worker that polls the socket. */
  get worker(): number {
    return this.#blocks.memory.u32(this.address + C.RXQ_WORKER);
  }
}

/** Bytes that may be written behind a frame (COPY_SLACK in assembly/io/copy.ts). */
const SLACK = 64;

function powerOfTwo(n: number): number {
  return 2 ** Math.ceil(Math.log2(n));
}
