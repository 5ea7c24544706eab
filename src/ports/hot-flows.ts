/*
 * The hot flows of a datapath, host side: the two tables in the arena, which are a BPF array at the same time, and the interfaces that XDP programs may send to. Before
 * it: AF_XDP ports with the option `offload`. After it: assembly/io/hot-flows.ts, which says what the tables hold; native/hot-flows.cc.
 *
 * Ownership. One object a datapath, made by the first port that wants it, closed with the ports. Threads: the owner thread.
 */
import { getRandomValues } from 'node:crypto';
import * as C from '../../assembly/constants.ts';
import type { NativeHotFlows, NativeHotOptions } from '../native/io.ts';
import type { DatapathMemory } from '../wasm/memory.ts';
import { quiesce } from '../worker/wake.ts';
import { refusal, requireAddon } from './queue-port.ts';
import { QueueBlocks } from './queues.ts';

/** 16,384 pairs: 2 MiB. */
const PAIR_BITS = 14;
/** Records are 64 bytes: 4 MiB. */
const RECORDS_MAX = 65_536;
const PAGE = 4096;
const FACTORS_SIZE = C.HOT_KEY_WORDS * 8;

export class HotFlows {
  readonly #memory: DatapathMemory;
  readonly #blocks: QueueBlocks;
  readonly #native: NativeHotFlows;
  readonly #recordCount: number;
  readonly #pairBits: number;
  #factors: Uint8Array = new Uint8Array();

  /** `pairBits`: there are 1 << pairBits pairs of entries. */
  constructor(memory: DatapathMemory, native: NativeHotFlows, pairBits = PAIR_BITS) {
    this.#pairBits = pairBits;
    this.#memory = memory;
    this.#blocks = new QueueBlocks(memory, 'hot flows');
    this.#native = native;
    const capacity = memory.superblock(C.SB_FLOWS_CAPACITY);
    this.#recordCount = Math.min(2 ** Math.ceil(Math.log2(capacity)), RECORDS_MAX);
  }

  /** Makes the maps and the tables. 0, or -errno, then `operation` was refused and nothing is left behind. */
  open(): number {
    const pairsSize = 2 ** this.#pairBits * C.HOT_PAIR_SIZEOF;
    const size = Math.ceil((pairsSize + this.#recordCount * C.HOT_RECORD_SIZEOF) / PAGE) * PAGE;
    const place = this.#blocks.allocatePages(size);
    const status = this.#native.open(this.#memory.bytes, place, size, C.PORTS_MAX);
    if (status < 0) {
      this.#blocks.release();
      return status;
    }
    const block = this.#blocks.allocateCleared(C.HOT_SIZEOF);
    this.#factors = getRandomValues(new Uint8Array(FACTORS_SIZE));
    for (let word = 0; word < FACTORS_SIZE; word += 8) this.#factors[word] |= 1;
    this.#memory.slice(block + C.HOT_FACTORS, FACTORS_SIZE).set(this.#factors);
    this.#memory.setU32(block + C.HOT_PAIRS, place);
    this.#memory.setU32(block + C.HOT_PAIR_BITS, this.#pairBits);
    this.#memory.setU32(block + C.HOT_RECORDS, place + pairsSize);
    this.#memory.setU32(block + C.HOT_RECORD_COUNT, this.#recordCount);
    this.#memory.wasm.setHotFlows(block);
    return 0;
  }

  get operation(): string {
    return this.#native.operation;
  }

  /** What the hash multiplies the words of a key with. */
  get factors(): Uint8Array {
    return this.#factors;
  }

  /** What the program of a port has to know. */
  describe(portNo: number, isSoft: boolean): NativeHotOptions {
    const { values, devices } = this.#native;
    const sizes = { pairBits: this.#pairBits, recordCount: this.#recordCount };
    return { values, devices, ...sizes, portNo, isSoft };
  }

  /** Programs may send frames of up to `sizeMax` bytes out of the port, which has this interface; `sizeMax` 0: none any more. */
  setDevice(portNo: number, ifindex: number, sizeMax: number): void {
    const word = this.#memory.superblock(C.SB_PORTS) + portNo * C.PORT_SIZEOF + C.PORT_HOT_SIZE;
    const isKnown = sizeMax > 0 && this.#native.setDevice(portNo, ifindex) === 0;
    if (!isKnown) this.#native.clearDevice(portNo);
    Atomics.store(this.#memory.int32, word >>> 2, isKnown ? sizeMax : 0);
    this.#memory.wasm.coolPort(portNo);
  }

  /** The port goes: no program sends there. */
  clearDevice(portNo: number): void {
    this.setDevice(portNo, 0, 0);
  }

  /** After the last port: no program reads the tables any more. */
  async close(workerSlots: number): Promise<void> {
    this.#memory.wasm.setHotFlows(0);
    await quiesce(this.#memory, workerSlots);
    this.#native.close();
    this.#blocks.release();
  }
}

/** For `port`, the first that wants them. Throws ERR_NATIVE_UNAVAILABLE, ERR_PORT_PERMISSION, ERR_PORT_SYSTEM. */
export function openHotFlows(memory: DatapathMemory, port: string): HotFlows {
  const hotFlows = new HotFlows(memory, new (requireAddon(port).HotFlows)());
  const status = hotFlows.open();
  if (status < 0) throw refusal(port, `${hotFlows.operation} (offload)`, -status, 'CAP_BPF and CAP_NET_ADMIN');
  return hotFlows;
}
