/*
 * The consuming side of an upcall ring by hand: a datapath whose misses are queued and which nobody answers but the test.
 */
import * as C from '../../assembly/constants.ts';
import type { Datapath, DatapathOptions } from '../../src/index.ts';
import { openDatapath } from './datapath.ts';

/** A datapath that queues upcalls without a handler of its own. */
export async function openForUpcalls(options: DatapathOptions = {}): Promise<Datapath> {
  const datapath = await openDatapath(options);
  datapath.memory.setOption(C.OPTION_HANDLER, true);
  return datapath;
}

/** One frame of the ring, read where it lies. */
export class RingFrame {
  readonly address: number;
  readonly #datapath: Datapath;

  constructor(datapath: Datapath, address: number) {
    this.#datapath = datapath;
    this.address = address;
  }

  word(offset: number): number {
    return this.#datapath.memory.u32(this.address + offset);
  }

  setWord(offset: number, value: number): void {
    this.#datapath.memory.setU32(this.address + offset, value);
  }

  get status(): number {
    return this.word(C.NL_MMAP_STATUS);
  }

  get message(): Uint8Array {
    return this.#datapath.memory.copy(this.word(C.UPCALL_MESSAGE), this.word(C.NL_MMAP_LEN));
  }

  get packet(): Uint8Array {
    return this.#datapath.memory.copy(this.word(C.UPCALL_PACKET), this.word(C.UPCALL_PACKET_SIZE));
  }

  get key(): Uint8Array {
    return this.#datapath.memory.copy(this.address + C.UPCALL_KEY, C.KEY_SIZE);
  }
}

/** Takes up to `max` frames of worker 0. */
export function take(datapath: Datapath, max = C.UPCALL_TAKE_MAX): RingFrame[] {
  const { memory } = datapath;
  const count = memory.wasm.take(0, max);
  const list = memory.upcallRing(0) + C.UPCALL_LIST;
  return Array.from({ length: count }, (_, i) => new RingFrame(datapath, memory.u32(list + i * 4)));
}

export function give(datapath: Datapath, frames: readonly RingFrame[]): void {
  for (const frame of frames) datapath.memory.wasm.give(0, frame.address);
}

/** Gives frames back and counts their misses as dropped by the handler, so that the books stay right. */
export function refuse(datapath: Datapath, frames: readonly RingFrame[]): void {
  for (const frame of frames) {
    frame.setWord(C.UPCALL_ANSWER_ACTIONS, 0);
    datapath.memory.wasm.answer(0, frame.address, 0, 0);
  }
}

/** Status of each frame of the ring, by position. */
export function statuses(datapath: Datapath): number[] {
  const { memory } = datapath;
  const first = memory.upcallRing(0) + C.UPCALL_HEAD_SIZE;
  const count = memory.superblock(C.SB_UPCALL_FRAMES);
  return Array.from({ length: count }, (_, i) => memory.u32(first + i * C.UPCALL_FRAME_SIZE));
}
