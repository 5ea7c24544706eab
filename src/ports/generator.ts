/*
 * The generator port: receives made-up UDP traffic, n flows of given sizes, the same for the same seed. The frames are laid out once in the arena;
 * sending them costs what receiving from a NIC costs, a copy.
 */
import * as C from '../../assembly/constants.ts';
import { type FrameSizes, flowTuple, parseSizes, shuffled, sizeOf, udpFrame } from './frames.ts';
import { Port, type PortContext } from './port.ts';
import { Replay, type ReplayFrames } from './replay.ts';

export interface GeneratorPortOptions {
  /** Distinct flows (source addresses), 1 to 16,777,216. Default 1,000. */
  flows?: number;
  /** Frame size in bytes: `60`, a range `60-1514`, or `imix`. Default `60`. */
  size?: FrameSizes;
  /** Frames a second, or `max`. Default `max`. */
  rate?: 'max' | number;
  /** Rounds over all flows, 0 = for ever. Default 0. */
  loop?: number;
  /** Order and sizes follow from it. Default 1. */
  seed?: number;
  /** First flow number, so that several generators can have flows of their own. Default 0. */
  first?: number;
}

export class GeneratorPort extends Port {
  readonly type = 'generator';
  readonly #replay: Replay;
  readonly #options: GeneratorPortOptions;

  constructor(context: PortContext, options: GeneratorPortOptions = {}) {
    super(context);
    this.#options = options;
    const { rate = 'max', loop = 0 } = options;
    this.#replay = new Replay(
      context.memory,
      generate(options),
      { speed: rate, loop },
      `the frames of generator ${context.name}`,
    );
    this.open(C.RX_REPLAY, this.#replay.address, C.TX_NULL, 0);
  }

  override get exhausted(): boolean {
    return this.#replay.done;
  }

  override describe(): string {
    const { flows = 1000, size = '60', rate = 'max', seed = 1 } = this.#options;
    return `flows=${flows}, size=${size}, rate=${rate}, seed=${seed}`;
  }
}

function generate(options: GeneratorPortOptions): ReplayFrames {
  const { flows = 1000, size = '60', seed = 1, first = 0 } = options;
  const sizes = parseSizes(size);
  const order = shuffled(flows, seed);
  return {
    count: flows,
    sizeOf: (i) => sizeOf(sizes, order[i], seed),
    frame: (i) => {
      const data = udpFrame(flowTuple(first + order[i]), sizeOf(sizes, order[i], seed));
      return { data, wireSize: data.length, timeNs: 0n };
    },
  };
}
