/*
 * The host's side of a ring of frames (assembly/io/ring.ts): fills a memory port's receive ring, empties transmit rings. One producer, one consumer.
 */
import * as C from '../../assembly/constants.ts';
import type { DatapathMemory } from '../wasm/memory.ts';
import type { FrameSink } from './port.ts';

export class FrameRing {
  readonly address: number;
  readonly slots: number;
  readonly frameCapacity: number;
  readonly #memory: DatapathMemory;
  readonly #stride: number;

  private constructor(memory: DatapathMemory, address: number) {
    this.#memory = memory;
    this.address = address;
    this.slots = memory.u32(address + C.RING_SLOTS);
    this.#stride = memory.u32(address + C.RING_STRIDE);
    this.frameCapacity = this.#stride - C.SLOT_FRAME;
  }

  /** A new ring in the arena: `slots` (a power of two) frames of up to `frameSize` bytes. */
  static allocate(memory: DatapathMemory, slots: number, frameSize: number, what: string): FrameRing {
    const address = memory.allocate(memory.wasm.ringSize(slots, frameSize) >>> 0, `the ring of ${what}`);
    memory.wasm.initRing(address, slots, frameSize);
    return new FrameRing(memory, address);
  }

  #load(offset: number): number {
    return Atomics.load(this.#memory.int32, (this.address + offset) >>> 2) >>> 0;
  }

  get queued(): number {
    return (this.#load(C.RING_PRODUCER) - this.#load(C.RING_CONSUMER)) >>> 0;
  }

  #slot(position: number): number {
    return this.address + C.RING_DATA + (position & (this.slots - 1)) * this.#stride;
  }

  /** Copies a frame in. False when the ring is full. */
  push(frame: Uint8Array, timeNs: number): boolean {
    const producer = this.#load(C.RING_PRODUCER);
    if ((producer - this.#load(C.RING_CONSUMER)) >>> 0 >= this.slots) return false;
    const slot = this.#slot(producer);
    const memory = this.#memory;
    memory.setU32(slot + C.SLOT_SIZE, frame.length);
    memory.setU32(slot + C.SLOT_WIRE_SIZE, frame.length);
    memory.setU64(slot + C.SLOT_TIME_NS, Math.floor(timeNs));
    memory.bytes.set(frame, slot + C.SLOT_FRAME);
    Atomics.store(memory.int32, (this.address + C.RING_PRODUCER) >>> 2, (producer + 1) | 0);
    return true;
  }

  /** Receive time of the first frame that waits, infinity when none does. */
  get headTimeNs(): number {
    if (this.queued === 0) return Number.POSITIVE_INFINITY;
    return this.#memory.u64(this.#slot(this.#load(C.RING_CONSUMER)) + C.SLOT_TIME_NS);
  }

  /**
   * Takes up to `max` frames out, the first and those after it that were received before `untilNs`; each is given back when `sink` has
   * returned. Returns how many.
   */
  drain(max: number, sink: FrameSink, untilNs = Number.POSITIVE_INFINITY): number {
    const memory = this.#memory;
    const start = this.#load(C.RING_CONSUMER);
    const count = Math.min(max, (this.#load(C.RING_PRODUCER) - start) >>> 0);
    for (let i = 0; i < count; i++) {
      const slot = this.#slot((start + i) >>> 0);
      const timeNs = memory.u64(slot + C.SLOT_TIME_NS);
      if (i > 0 && timeNs >= untilNs) return i;
      const frame = memory.slice(slot + C.SLOT_FRAME, memory.u32(slot + C.SLOT_SIZE));
      sink(frame, timeNs, memory.u32(slot + C.SLOT_WIRE_SIZE), memory.u32(slot + C.SLOT_IN_PORT));
      Atomics.store(memory.int32, (this.address + C.RING_CONSUMER) >>> 2, (start + i + 1) | 0);
    }
    return count;
  }
}
