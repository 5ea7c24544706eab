/*
 * The master ring of a benchmark: frames in the arena, delivered as a NIC would deliver them, over and over or once. The same structure as a port's
 * replay (ports/replay.ts), but written frame by frame, so that a million frames need no million buffers, and rewound between rounds.
 *
 * Ownership: an arena block that lives as long as the datapath. Threads: the owner thread fills it; the worker that polls the port moves it on.
 */
import * as C from '../../assembly/constants.ts';
import type { Ports } from '../ports/ports.ts';
import type { DatapathMemory } from '../wasm/memory.ts';

const CACHE_LINE = 64;

export function alignedSize(size: number): number {
  return Math.ceil(size / CACHE_LINE) * CACHE_LINE;
}

/** Arena bytes that a ring takes; the sizes of its frames are aligned already. */
export function ringSize(count: number, alignedSizes: number): number {
  return C.REPLAY_SIZEOF + count * C.REPLAY_DESCRIPTOR_SIZEOF + alignedSizes + 2 * CACHE_LINE;
}

export class MasterRing {
  readonly count: number;
  readonly #memory: DatapathMemory;
  readonly #address: number;

  /** `count` frames whose aligned sizes sum up to `alignedSizes`. Throws ERR_OUT_OF_MEMORY. */
  constructor(memory: DatapathMemory, frames: Iterable<Uint8Array>, count: number, alignedSizes: number) {
    this.count = count;
    this.#memory = memory;
    this.#address = memory.allocate(ringSize(count, alignedSizes), 'the master ring');
    let descriptor = this.#address + C.REPLAY_SIZEOF;
    memory.bytes.fill(0, this.#address, descriptor);
    memory.setU32(this.#address + C.REPLAY_COUNT, count);
    memory.setU32(this.#address + C.REPLAY_DESCRIPTORS, descriptor);
    memory.setU32(this.#address + C.REPLAY_MODE, C.REPLAY_FAST);
    let at = alignedSize(descriptor + count * C.REPLAY_DESCRIPTOR_SIZEOF);
    for (const frame of frames) {
      memory.bytes.set(frame, at);
      memory.setU32(descriptor + C.REPLAY_FRAME, at);
      memory.setU32(descriptor + C.REPLAY_FRAME_SIZE, frame.length);
      memory.setU32(descriptor + C.REPLAY_FRAME_WIRE_SIZE, frame.length);
      memory.setU64(descriptor + C.REPLAY_FRAME_TIME_NS, 0);
      at += alignedSize(frame.length);
      descriptor += C.REPLAY_DESCRIPTOR_SIZEOF;
    }
  }

  /** Adds a null port whose driver this ring then takes the place of: polled by worker slot `worker`, it receives from here and sends nowhere. */
  async addPort(ports: Ports, portNo: number, worker: number): Promise<void> {
    await ports.addType('in', 'null', {}, { portNo });
    this.#memory.wasm.closePort(portNo);
    const status = this.#memory.wasm.openPort(portNo, C.RX_REPLAY, this.#address, C.TX_NULL, 0, worker, 0);
    if (status !== 0) throw new RangeError(`port ${portNo} cannot be opened: errno ${-status}`);
  }

  /** Begins again: `rounds` rounds, 0 = for ever. The worker must not be polling. */
  rewind(rounds: number): void {
    this.#memory.setU32(this.#address + C.REPLAY_NEXT, 0);
    this.#memory.setU32(this.#address + C.REPLAY_LOOPS, rounds);
    this.#memory.setU32(this.#address + C.REPLAY_DONE, 0);
  }

  /** Address of the word that is 1 when all rounds were delivered. */
  get doneWord(): number {
    return this.#address + C.REPLAY_DONE;
  }

  get done(): boolean {
    return Atomics.load(this.#memory.int32, this.doneWord >>> 2) !== 0;
  }

  /** Address and size of the frame at a position of the ring. */
  frame(position: number): { address: number; size: number } {
    const descriptor = this.#address + C.REPLAY_SIZEOF + position * C.REPLAY_DESCRIPTOR_SIZEOF;
    const memory = this.#memory;
    return { address: memory.u32(descriptor + C.REPLAY_FRAME), size: memory.u32(descriptor + C.REPLAY_FRAME_SIZE) };
  }
}
