/*
 * Queues in the arena, host side: what lies between a port and kernel rings (assembly/io/queue.ts). Before it: ports on real interfaces. After
 * it: the worker's rounds, and the shim. Ownership: blocks belong to the port, which gives them back when no worker has them in hand any more.
 * Threads: the owner thread.
 */
import * as C from '../../assembly/constants.ts';
import type { DatapathMemory } from '../wasm/memory.ts';

const PAGE = 4096;
const CACHE_LINE = 64;
/** Frames of a block, which then is a whole number of pages: so blocks follow each other without gaps. */
const BLOCK_FRAMES = 64;
/** Room for copies: a whole batch of super-frames. Only what is written to is ever resident. */
const TX_BUFFER_SIZE = C.BATCH_MAX * (C.FRAME_SIZE_MAX + 1 + CACHE_LINE);

/** Frames of a ring that the shim fills: more than a round takes. */
const COPIED_FRAMES = 64;
/** Where the shim puts a frame that it receives (kFillMac in native/pump.cc). */
const FILL_OFFSET = 192;

/** What a receive queue is. */
export interface ReceiveQueue {
  /** QUEUE_KIND_*. */
  kind: number;
  fd: number;
  portNo: number;
  /** Slot that polls it. */
  worker: number;
  /** RXQ_FLAG_*. */
  flags: number;
}

/** How a ring of frames is laid out. */
export interface RingGeometry {
  readonly frameSize: number;
  readonly blockSize: number;
  readonly blockCount: number;
}

/** A ring of at least `frames` frames of at least `size` bytes. Frames are an odd number of cache lines, so that they spread over cache sets. */
export function ringGeometry(frames: number, size: number): RingGeometry {
  const frameSize = (Math.ceil(size / CACHE_LINE) | 1) * CACHE_LINE;
  return { frameSize, blockSize: frameSize * BLOCK_FRAMES, blockCount: Math.ceil(frames / BLOCK_FRAMES) };
}

/** Blocks of the arena that belong together; all given back or none. */
export class QueueBlocks {
  readonly memory: DatapathMemory;
  readonly #what: string;
  readonly #blocks: number[] = [];

  constructor(memory: DatapathMemory, what: string) {
    this.memory = memory;
    this.#what = what;
  }

  allocate(size: number): number {
    const block = this.memory.allocate(size, `the queues of ${this.#what}`);
    this.#blocks.push(block);
    return block;
  }

  allocateCleared(size: number): number {
    const block = this.allocate(size);
    this.memory.slice(block, size).fill(0);
    return block;
  }

  /** The address of `size` bytes that begin on a page. */
  allocatePages(size: number): number {
    return Math.ceil(this.allocate(size + PAGE) / PAGE) * PAGE;
  }

  /** Runs `work`; blocks that it took are given back when it returns false. */
  trying(work: () => boolean): boolean {
    const before = this.#blocks.length;
    const isDone = work();
    if (!isDone) for (const block of this.#blocks.splice(before)) this.memory.wasm.releaseBlock(block);
    return isDone;
  }

  /** Gives everything back. Only when no worker has any of it in hand. */
  release(): void {
    for (const block of this.#blocks.splice(0)) this.memory.wasm.retireBlock(block);
  }

  /** The table of a port's receive queues. */
  receiveTable(queues: readonly number[]): number {
    const table = this.allocateCleared(C.QUEUE_TABLE_SIZEOF);
    this.memory.setU32(table + C.QUEUE_TABLE_COUNT, queues.length);
    for (const [i, queue] of queues.entries()) this.memory.setU32(table + C.QUEUE_TABLE_REFS + i * 4, queue);
    return table;
  }

  /** A receive queue over the ring at `ring`. */
  receiveQueue(what: ReceiveQueue, ring: number, geometry: RingGeometry): number {
    const { memory } = this;
    const { frameSize, blockSize, blockCount } = geometry;
    const queue = this.allocateCleared(C.RXQ_SIZEOF);
    const words: [number, number][] = [
      [C.QUEUE_KIND, what.kind],
      [C.QUEUE_FD, what.fd],
      [C.QUEUE_PORT, what.portNo],
      [C.RXQ_WORKER, what.worker],
      [C.RXQ_FLAGS, what.flags],
      [C.RXQ_RING, ring],
      [C.RXQ_RING_END, ring + blockSize * blockCount],
      [C.RXQ_FRAME_SIZE, frameSize],
      [C.RXQ_NEXT, ring],
      [C.RXQ_FILL, ring],
      [C.RXQ_FETCH_BUFFERS, this.allocate(C.RXQ_FETCH_MAX * C.RXQ_FETCH_STRIDE)],
    ];
    for (const [offset, value] of words) memory.setU32(queue + offset, value);
    return queue;
  }

  /** A receive queue without a kernel ring: the shim fills its frames, which hold a super-frame each, as nothing can be fetched later. */
  copyingQueue(what: Omit<ReceiveQueue, 'flags'>): number {
    const geometry = ringGeometry(COPIED_FRAMES, FILL_OFFSET + C.FRAME_SIZE_MAX);
    const size = geometry.blockSize * geometry.blockCount;
    const ring = this.allocatePages(size);
    this.memory.slice(ring, size).fill(0);
    return this.receiveQueue({ ...what, flags: C.RXQ_FLAG_COPYING }, ring, geometry);
  }

  /** A transmit queue for each worker slot, sent through the descriptor that `fdOf` names. Returns the address of their table. */
  transmitQueues(kind: number, portNo: number, workerSlots: number, fdOf: (slot: number) => number): number {
    const { memory } = this;
    const table = this.allocate(workerSlots * 4);
    for (let slot = 0; slot < workerSlots; slot++) {
      const queue = this.allocateCleared(C.TXQ_SIZEOF);
      memory.setU32(queue + C.QUEUE_KIND, kind);
      memory.setU32(queue + C.QUEUE_FD, fdOf(slot));
      memory.setU32(queue + C.QUEUE_PORT, portNo);
      memory.setU32(queue + C.TXQ_BUFFER, this.allocate(TX_BUFFER_SIZE));
      memory.setU32(queue + C.TXQ_BUFFER_SIZE, TX_BUFFER_SIZE);
      memory.setU32(table + slot * 4, queue);
    }
    return table;
  }
}
