/*
 * The tables of hot flows in ordinary memory, without a kernel: what XDP programs would read.
 */
import * as C from '../../assembly/constants.ts';
import type { Datapath } from '../../src/index.ts';
import type { NativeHotFlows } from '../../src/native/io.ts';
import { HotFlows } from '../../src/ports/hot-flows.ts';

const FRAME_MAX = 1514;
/** Few: a repair looks at all of them. */
const PAIR_BITS = 3;
/** Upper half of a head, or upper bit of a generation: somebody writes. */
const HEAD_WRITING = 0xffffffff;
const WRITING = 0x80000000;

/** A kernel that grants everything. */
class FakeMaps implements NativeHotFlows {
  readonly values = 0;
  readonly devices = 0;
  readonly operation = '';
  open(): number {
    return 0;
  }
  setDevice(): number {
    return 0;
  }
  clearDevice(): void {}
  close(): void {}
}

export class HotTables {
  readonly #datapath: Datapath;
  readonly #flows: HotFlows;

  constructor(datapath: Datapath) {
    this.#datapath = datapath;
    this.#flows = new HotFlows(datapath.memory, new FakeMaps(), PAIR_BITS);
    this.#flows.open();
  }

  /** Programs may send to the port. */
  takeFrames(portNo: number): void {
    this.#flows.setDevice(portNo, 1, FRAME_MAX);
  }

  #word(offset: number): number {
    const { memory } = this.#datapath;
    return memory.u32(memory.superblock(C.SB_HOT) + offset);
  }

  *#heads(): Generator<[record: number, generation: number]> {
    const { memory } = this.#datapath;
    const pairs = this.#word(C.HOT_PAIRS);
    for (let i = 0; i < 2 << this.#word(C.HOT_PAIR_BITS); i++) {
      const entry = pairs + i * C.HOT_ENTRY_SIZEOF + C.HOT_ENTRY_HEAD;
      if (memory.u64(entry) !== 0) yield [memory.u32(entry), memory.u32(entry + 4)];
    }
  }

  /** Entries that say something. */
  get entries(): number {
    return [...this.#heads()].length;
  }

  /** Entries and records that somebody began to write. */
  get unfinished(): number {
    const { memory } = this.#datapath;
    const entries = [...this.#heads()].filter(([, generation]) => generation === HEAD_WRITING).length;
    const flows = memory.superblock(C.SB_FLOW_FRESH);
    const generations = Array.from({ length: flows }, (_, slot) =>
      memory.u32(this.#word(C.HOT_RECORDS) + slot * C.HOT_RECORD_SIZEOF + C.HOT_RECORD_GENERATION),
    );
    return entries + generations.filter((generation) => generation >= WRITING).length;
  }
}
