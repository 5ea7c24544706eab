/*
 * The datapath's memory as one thread sees it: the instance and the views. The only module that touches memory.buffer.
 *
 * Ownership. What leaves here is a number, a copy, or a view that its receiver documents as valid until some event. Views are made
 * after `create` has grown the memory; it never grows again, so they stay good.
 * Threads. One object a thread, over the same shared memory.
 */
import * as C from '../../assembly/constants.ts';
import { DatapathError } from '../errors.ts';
import type { DatapathExports } from './exports.ts';
import { instantiate } from './load.ts';

const INITIAL_PAGES = 16;
const TWO_32 = 4294967296;

export interface Capacity {
  flows: number;
  workers: number;
  emcEntries: number;
  upcallFrames: number;
  arenaSize: number;
  seed: bigint;
  dpIfindex: number;
  /** Pages of 64 KiB that the memory may have at most. */
  pagesMax: number;
}

/** A view of shared memory, as the typed arrays of a SharedArrayBuffer are typed. */
export type SharedBytes = Uint8Array<ArrayBufferLike>;

export class DatapathMemory {
  readonly memory: WebAssembly.Memory;
  readonly module: WebAssembly.Module;
  readonly wasm: DatapathExports;
  readonly bytes: SharedBytes;
  /** The same memory as 32-bit words: word i is at address 4 * i. */
  readonly words: Uint32Array<ArrayBufferLike>;
  readonly int32: Int32Array<ArrayBufferLike>;
  readonly view: DataView<ArrayBufferLike>;

  private constructor(module: WebAssembly.Module, memory: WebAssembly.Memory, wasm: DatapathExports) {
    this.module = module;
    this.memory = memory;
    this.wasm = wasm;
    const { buffer } = memory;
    this.bytes = new Uint8Array(buffer);
    this.words = new Uint32Array(buffer);
    this.int32 = new Int32Array(buffer);
    this.view = new DataView(buffer);
  }

  /** Makes the memory of a new datapath and attaches the calling thread as worker 0. */
  static create(module: WebAssembly.Module, capacity: Capacity): DatapathMemory {
    let memory: WebAssembly.Memory;
    try {
      memory = new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum: capacity.pagesMax, shared: true });
    } catch (cause) {
      throw new DatapathError('ERR_OUT_OF_MEMORY', 'the address space of a datapath could not be reserved', { cause });
    }
    const wasm = instantiate(module, memory);
    const { flows, workers, emcEntries, upcallFrames, arenaSize, seed, dpIfindex } = capacity;
    const status = wasm.create(flows, workers, emcEntries, upcallFrames, arenaSize, seed, dpIfindex);
    if (status === -C.EINVAL) throw new RangeError('a capacity of the datapath is out of range');
    if (status !== 0) {
      const limit = `${(capacity.pagesMax / 16).toFixed(0)} MiB`;
      throw new DatapathError(
        'ERR_OUT_OF_MEMORY',
        `a datapath of this capacity needs more than its memory limit of ${limit}`,
        {
          errno: -status,
          operation: 'create',
        },
      );
    }
    return new DatapathMemory(module, memory, wasm);
  }

  /** The memory of an existing datapath; the calling thread is none of its workers yet. */
  static over(module: WebAssembly.Module, memory: WebAssembly.Memory): DatapathMemory {
    return new DatapathMemory(module, memory, instantiate(module, memory));
  }

  /** The same, as worker `slot`. */
  static attach(module: WebAssembly.Module, memory: WebAssembly.Memory, slot: number): DatapathMemory {
    const datapath = DatapathMemory.over(module, memory);
    datapath.attach(slot);
    return datapath;
  }

  /** The calling thread is worker `slot` from now on. Throws RangeError when there is no such slot. */
  attach(slot: number): void {
    if (this.wasm.attach(slot) !== 0) throw new RangeError(`no worker slot ${slot} in this datapath`);
  }

  u32(address: number): number {
    return this.words[address >>> 2];
  }

  setU32(address: number, value: number): void {
    this.words[address >>> 2] = value;
  }

  /** A u64 as a number: exact up to 2^53, which counters of packets and bytes do not reach. */
  u64(address: number): number {
    return this.words[(address >>> 2) + 1] * TWO_32 + this.words[address >>> 2];
  }

  setU64(address: number, value: number): void {
    const high = Math.floor(value / TWO_32);
    this.words[(address >>> 2) + 1] = high;
    this.words[address >>> 2] = value - high * TWO_32;
  }

  /** A word of the superblock. */
  superblock(offset: number): number {
    return Atomics.load(this.int32, (C.SUPERBLOCK + offset) >>> 2) >>> 0;
  }

  setOption(option: number, on: boolean): void {
    const index = (C.SUPERBLOCK + C.SB_OPTIONS) >>> 2;
    if (on) Atomics.or(this.int32, index, option);
    else Atomics.and(this.int32, index, ~option);
  }

  workerArea(slot: number): number {
    return this.superblock(C.SB_WORKER_AREAS) + slot * this.superblock(C.SB_WORKER_AREA_SIZE);
  }

  portDescriptor(portNo: number): number {
    return this.superblock(C.SB_PORTS) + portNo * C.PORT_SIZEOF;
  }

  /** Head of the upcall ring of a worker. */
  upcallRing(slot: number): number {
    return this.wasm.ringOf(slot) >>> 0;
  }

  /** A block of the arena. Throws ERR_OUT_OF_MEMORY when it is full. */
  allocate(size: number, what: string): number {
    const block = this.wasm.allocateBlock(size) >>> 0;
    if (block === 0) {
      throw new DatapathError(
        'ERR_OUT_OF_MEMORY',
        `no room for ${what} (${size} bytes): open the datapath with a larger \`arenaSize\``,
        { errno: C.ENOMEM, operation: 'allocate' },
      );
    }
    return block;
  }

  /** A view of `size` bytes at `address`; see its user for how long it is valid. */
  slice(address: number, size: number): SharedBytes {
    return this.bytes.subarray(address, address + size);
  }

  /** A copy that belongs to the caller. */
  copy(address: number, size: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.bytes.subarray(address, address + size));
  }
}

/** A shared memory of so many pages of 64 KiB that is nobody's datapath, for whoever must know what can be done with such memory. */
export function bareMemory(pages: number): SharedBytes {
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  return new Uint8Array(memory.buffer);
}
