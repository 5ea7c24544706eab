/*
 * The executor under lists that nobody thought of: random ones, half of them with bytes spoiled, go through the real validator, for the key of a
 * random packet with random room around it, and what it accepts is executed. No trap, no byte written outside of the packet's buffer or into
 * the list, every packet accounted for, every structure whole.
 */
import * as C from '../../assembly/constants.ts';
import type { Datapath } from '../../src/index.ts';
import type { WasmBuild } from '../../src/wasm/load.ts';
import { layoutOf } from '../reference/actions.ts';
import { concat } from './action-list.ts';
import { encode } from './attribute-tree.ts';
import { expectAccounted, openDatapath } from './datapath.ts';
import { randomCase } from './execute-cases.ts';
import { randomActions } from './flow-actions.ts';
import { Random, randomFrame } from './frame-generator.ts';
import { refuse, take } from './upcall-frames.ts';

const PORTS = [1, 2, 3, 4];
/** Frames and lists made at a time, and the cases made of them. */
const POOL = 256;
const CASES_OF_POOL = 8192;
/** Upcalls are taken away so often that most find a frame in the ring. */
const TAKE_EVERY = 64;
const FRAME_SIZE_MAX = 600;
const LIST_SIZE_MAX = 4000;
const ROOM_MAX = 160;
const MARGIN = 64;
const POISON = 0xa5a5a5a5;

export interface FuzzTally {
  executed: number;
  /** Cases by what the validator answered. */
  answers: Map<number, number>;
}

interface Pool {
  frames: Uint8Array[];
  lists: Uint8Array[];
}

export class ExecuteFuzz implements AsyncDisposable {
  readonly #datapath: Datapath;
  readonly #random: Random;
  readonly #buffer: number;
  readonly #list: number;
  readonly #tally: FuzzTally = { executed: 0, answers: new Map() };

  private constructor(datapath: Datapath, seed: number) {
    this.#datapath = datapath;
    this.#random = new Random(seed);
    this.#buffer = datapath.memory.allocate(2 * MARGIN + FRAME_SIZE_MAX + 2 * ROOM_MAX, 'a frame');
    this.#list = datapath.memory.allocate(LIST_SIZE_MAX + MARGIN, 'a list');
  }

  static async open(build: WasmBuild, seed: number): Promise<ExecuteFuzz> {
    const datapath = await openDatapath({ build, upcallFrames: 64 });
    for (const portNo of PORTS) await datapath.ports.addType(`port${portNo}`, 'null', {}, { portNo });
    datapath.memory.setOption(C.OPTION_HANDLER, true);
    const fuzz = new ExecuteFuzz(datapath, seed);
    fuzz.#addFlow();
    return fuzz;
  }

  /** What every recirculated packet meets: it comes round until it is too deep. */
  #addFlow(): void {
    const { memory } = this.#datapath;
    const mask = this.#datapath.mask(new Uint8Array(C.KEY_SIZE));
    const actions = this.#datapath.actions('push_vlan(vid=1,pcp=0),trunc(60),3,recirc(2)');
    memory.bytes.fill(0, this.#list, this.#list + C.KEY_SIZE);
    if (memory.wasm.putFlow(this.#list, mask.address, actions.address, 0, 0, 0) >>> 0 < C.SUPERBLOCK)
      throw new Error('no flow');
  }

  run(count: number): FuzzTally {
    for (let left = count; left > 0; left -= CASES_OF_POOL) {
      const pool = this.#pool();
      for (let i = Math.min(left, CASES_OF_POOL); i > 0; i--) {
        this.#case(pool);
        if (i % TAKE_EVERY === 0) refuse(this.#datapath, take(this.#datapath));
      }
      expectAccounted(this.#datapath.stats(), this.#tally.executed);
      const broken = this.#datapath.check();
      if (broken !== 0) throw new Error(`invariant ${broken} is broken`);
    }
    return this.#tally;
  }

  /** Of both generators: lists for the executor (with a frame that fits), and lists for the validator. */
  #pool(): Pool {
    const random = this.#random;
    const pool: Pool = { frames: [], lists: [] };
    for (let i = 0; i < POOL; i++) {
      const { frame, list } = randomCase(random);
      const other = randomFrame(random);
      const { type, proto } = layoutOf(other);
      const kind = { ethernet: true, type, proto, frag: 0, tagged: random.oneIn(3), nshNext: 3 };
      pool.frames.push(frame.slice(0, FRAME_SIZE_MAX), other.slice(0, FRAME_SIZE_MAX));
      pool.lists.push(list.slice(0, LIST_SIZE_MAX), encode(randomActions(random, kind)).slice(0, LIST_SIZE_MAX));
    }
    return pool;
  }

  #case({ frames, lists }: Pool): void {
    const random = this.#random;
    // a list has the frame that it was made for, or another
    const at = random.below(lists.length);
    const whole = frames[random.oneIn(2) ? at : random.below(frames.length)]!;
    const frame = random.oneIn(4) ? whole.subarray(0, Math.max(C.FRAME_SIZE_MIN, random.below(whole.length))) : whole;
    let list = lists[at]!;
    if (random.oneIn(4)) list = concat(list, random.pick(lists)).subarray(0, LIST_SIZE_MAX);
    if (random.oneIn(2)) list = spoilt(random, list);
    this.#execute(frame, list, random.below(ROOM_MAX), random.below(ROOM_MAX));
  }

  #execute(frame: Uint8Array, list: Uint8Array, headroom: number, tailroom: number): void {
    const { memory } = this.#datapath;
    const { wasm, view } = memory;
    const head = this.#buffer + MARGIN;
    const tail = head + headroom + frame.length + tailroom;
    memory.bytes.fill(POISON & 255, this.#buffer, tail + MARGIN);
    memory.bytes.set(frame, head + headroom);
    memory.bytes.set(list, this.#list);
    view.setUint32(this.#list + list.length, POISON, true);
    const key = wasm.extractKey(head + headroom, frame.length, 1) >>> 0;
    const answer = wasm.validateActions(this.#list, list.length, key, 0);
    this.#tally.answers.set(answer, (this.#tally.answers.get(answer) ?? 0) + 1);
    if (answer !== 0) return;
    const packet = wasm.sparePacket() >>> 0;
    memory.setU32(packet + C.PACKET_HEAD, head);
    memory.setU32(packet + C.PACKET_TAIL, tail);
    memory.setU32(packet + C.PACKET_WIRE_SIZE, frame.length);
    memory.setU32(packet + C.PACKET_CUT, 0);
    wasm.enter();
    wasm.execute(packet, this.#list, list.length);
    wasm.leave();
    this.#tally.executed++;
    for (let i = 0; i < MARGIN; i += 4) {
      if (view.getUint32(this.#buffer + i, true) !== POISON || view.getUint32(tail + i, true) !== POISON) {
        throw new Error(`a byte outside of the buffer was written: ${text(frame, list, headroom, tailroom)}`);
      }
    }
    if (Buffer.compare(memory.slice(this.#list, list.length), list) !== 0) {
      throw new Error(`the list was changed: ${text(frame, list, headroom, tailroom)}`);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#datapath.close();
  }
}

function spoilt(random: Random, list: Uint8Array): Uint8Array {
  const copy = list.slice();
  for (let n = 1 + random.below(3); n > 0 && copy.length > 0; n--) {
    const at = random.below(copy.length);
    copy[at] = random.oneIn(2) ? random.below(256) : copy[at]! ^ (1 << random.below(8));
  }
  return copy;
}

function text(frame: Uint8Array, list: Uint8Array, headroom: number, tailroom: number): string {
  const [frameText, listText] = [frame, list].map((bytes) => Buffer.from(bytes).toString('hex'));
  return `frame ${frameText} list ${listText} headroom ${headroom} tailroom ${tailroom}`;
}
