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

/** Frames to be laid out one after the other; each is asked for once, so they need not all exist at the same time. */
export interface ReplayFrames {
  readonly count: number;
  /** Bytes of frame i. */
  sizeOf(i: number): number;
  frame(i: number): ReplayFrame;
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
  constructor(memory: DatapathMemory, frames: ReplayFrames, options: ReplayOptions, what: string) {
    this.#memory = memory;
    this.count = frames.count;
    let size = frames.count * C.REPLAY_DESCRIPTOR_SIZEOF;
    for (let i = 0; i < frames.count; i++) size += align(frames.sizeOf(i));
    this.address = memory.allocate(C.REPLAY_SIZEOF + size + 2 * CACHE_LINE, what);
    const latest = this.#layOut(frames, options.timeline?.originNs);
    this.#fillHead(options, Number(options.timeline?.spanNs ?? latest));
  }

  /** Returns the time of the last frame since `originNs`, by default that of the first. */
  #layOut(frames: ReplayFrames, originNs: bigint | undefined): bigint {
    const memory = this.#memory;
    let descriptor = this.address + C.REPLAY_SIZEOF;
    let at = align(descriptor + frames.count * C.REPLAY_DESCRIPTOR_SIZEOF);
    let first = originNs;
    let latest = 0n;
    for (let i = 0; i < frames.count; i++) {
      const { data, wireSize, timeNs } = frames.frame(i);
      first ??= timeNs;
      // captures of several interfaces are not always in order; a replay never goes back in time
      if (timeNs - first > latest) latest = timeNs - first;
      memory.bytes.set(data, at);
      memory.setU32(descriptor + C.REPLAY_FRAME, at);
      memory.setU32(descriptor + C.REPLAY_FRAME_SIZE, data.length);
      memory.setU32(descriptor + C.REPLAY_FRAME_WIRE_SIZE, wireSize);
      memory.setU64(descriptor + C.REPLAY_FRAME_TIME_NS, Number(latest));
      descriptor += C.REPLAY_DESCRIPTOR_SIZEOF;
      at += align(data.length);
    }
    return latest;
  }

  #fillHead(options: ReplayOptions, lengthNs: number): void {
    const { speed } = options;
    const memory = this.#memory;
    memory.bytes.fill(0, this.address, this.address + C.REPLAY_SIZEOF);
    memory.setU32(this.address + C.REPLAY_COUNT, this.count);
    memory.setU32(this.address + C.REPLAY_LOOPS, options.loop);
    memory.setU32(this.address + C.REPLAY_DESCRIPTORS, this.address + C.REPLAY_SIZEOF);
    memory.setU32(this.address + C.REPLAY_DONE, this.count === 0 ? 1 : 0);
    const mode = speed === 'max' ? C.REPLAY_FAST : speed === 'recorded' ? C.REPLAY_TIMED : C.REPLAY_PACED;
    memory.setU32(this.address + C.REPLAY_MODE, mode);
    // a round lasts until its last frame, and a millisecond, so that the first frame of the next does not meet it
    memory.setU64(this.address + C.REPLAY_PERIOD_NS, lengthNs + 1_000_000);
    if (typeof speed === 'number')
      memory.setU64(this.address + C.REPLAY_INTERVAL_NS, Math.max(1, Math.round((1e9 * INTERVAL_SCALE) / speed)));
  }

  /** Every frame was delivered as often as asked. */
  get done(): boolean {
    return Atomics.load(this.#memory.int32, (this.address + C.REPLAY_DONE) >>> 2) !== 0;
  }
}

function align(n: number): number {
  return Math.ceil(n / CACHE_LINE) * CACHE_LINE;
}
