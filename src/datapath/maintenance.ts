/*
 * What a datapath does regularly, whether packets come or not: flows are aged in slices, and now and then the rest of the house is kept. Before it:
 * `Datapath.poll`, in every turn. Threads: the owner thread.
 */
import { monotonicMs } from '../wasm/clock.ts';
import type { Ageing } from './ageing.ts';

const AGEING_MS = 50;
const HOUSEKEEPING_MS = 1000;

export class Maintenance {
  readonly #ageing: Ageing;
  readonly #keepHouse: (nowMs: number) => void;
  #agedMs = 0;
  #keptMs = 0;

  constructor(ageing: Ageing, keepHouse: (nowMs: number) => void) {
    this.#ageing = ageing;
    this.#keepHouse = keepHouse;
  }

  /** Does what is due. */
  turn(): void {
    const nowMs = monotonicMs();
    if (nowMs - this.#agedMs > AGEING_MS) {
      this.#agedMs = nowMs;
      this.#ageing.step();
    }
    if (nowMs - this.#keptMs > HOUSEKEEPING_MS) {
      this.#keptMs = nowMs;
      this.#keepHouse(nowMs);
    }
  }
}
