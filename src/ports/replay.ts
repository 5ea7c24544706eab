/*
 * A replay: an array of frames in the arena that workers deliver once or over and over, at recorded speed, at a fixed rate, or as fast as it
 * goes. What pcap and generator ports receive from. Filled by the owner thread before the port opens; only the worker writes it then.
 */
import * as C from '../../assembly/constants.ts';
import type { DatapathMemory } from '../wasm/memory.ts';

const CACHE_LINE = 64;
/** Rates are kept as a distance between frames in 1/1024 ns. */
const INTERVAL_SCALE = 1024;

export interface ReplayFrame {
  data: Uint8Array;
  wireSize: number;
  timeNs: bigint;
}

/** When recorded time begins, and how long a round lasts. */
export interface Timeline {
  originNs: bigint;
  spanNs: bigint;
}

export interface ReplayOptions {
  /** `recorded`, `max`, or frames a second. */
  speed: 'recorded' | 'max' | number;
  /** Rounds, 0 = for ever. */
  loop: number;
  /** Default: from the first frame to the last. */
  timeline?: Timeline | undefined;
}

export class Replay {
  readonly address: number;
  readonly #memory: DatapathMemory;
  readonly count: number;

  /** Lays the frames out on cache lines. `frames` may be any number, also none. */
  constructor(memory: DatapathMemory, frames: readonly ReplayFrame[], options: ReplayOptions, what: string) {
    const first = options.timeline?.originNs ?? frames.at(0)?.timeNs ?? 0n;
    const size = frames.reduce((sum, frame) => sum + align(frame.data.length), 0);
    this.#memory = memory;
    this.count = frames.length;
    this.address = memory.allocate(C.REPLAY_SIZEOF + frames.length * C.REPLAY_DESCRIPTOR_SIZEOF + size + 2 * CACHE_LINE, what);
    const descriptors = this.address + C.REPLAY_SIZEOF;
    let at = align(descriptors + frames.length * C.REPLAY_DESCRIPTOR_SIZEOF);
    let latest = 0n;
    frames.forEach((frame, i) => {
      const descriptor = descriptors + i * C.REPLAY_DESCRIPTOR_SIZEOF;
      // captures of several interfaces are not always in order; a replay never goes back in time
      const time = frame.timeNs - first > latest ? frame.timeNs - first : latest;
      latest = time;
      memory.bytes.set(frame.data, at);
      memory.setU32(descriptor + C.REPLAY_FRAME, at);
      memory.setU32(descriptor + C.REPLAY_FRAME_SIZE, frame.data.length);
      memory.setU32(descriptor + C.REPLAY_FRAME_WIRE_SIZE, frame.wireSize);
      memory.setU64(descriptor + C.REPLAY_FRAME_TIME_NS, Number(time));
      at += align(frame.data.length);
    });
    this.#fillHead(descriptors, options, Number(options.timeline?.spanNs ?? latest));
  }

  #fillHead(descriptors: number, options: ReplayOptions, lengthNs: number): void {
    const { speed } = options;
    const memory = this.#memory;
    memory.bytes.fill(0, this.address, this.address + C.REPLAY_SIZEOF);
    memory.setU32(this.address + C.REPLAY_COUNT, this.count);
    memory.setU32(this.address + C.REPLAY_LOOPS, options.loop);
    memory.setU32(this.address + C.REPLAY_DESCRIPTORS, descriptors);
    memory.setU32(this.address + C.REPLAY_DONE, this.count === 0 ? 1 : 0);
    const mode = speed === 'max' ? C.REPLAY_FAST : speed === 'recorded' ? C.REPLAY_TIMED : C.REPLAY_PACED;
    memory.setU32(this.address + C.REPLAY_MODE, mode);
    // a round lasts until its last frame, and a millisecond, so that the first frame of the next does not meet it
    memory.setU64(this.address + C.REPLAY_PERIOD_NS, lengthNs + 1_000_000);
    if (typeof speed === 'number') memory.setU64(this.address + C.REPLAY_INTERVAL_NS, Math.max(1, Math.round((1e9 * INTERVAL_SCALE) / speed)));
  }

  /** Every frame was delivered as often as asked. */
  get done(): boolean {
    return Atomics.load(this.#memory.int32, (this.address + C.REPLAY_DONE) >>> 2) !== 0;
  }
}

function align(n: number): number {
  return Math.ceil(n / CACHE_LINE) * CACHE_LINE;
}
