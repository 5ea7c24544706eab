/*
 * Latencies: counts in buckets of a sixteenth of an octave, so a percentile is right to about four percent, whatever its size. The
 * maximum is kept exactly. Over an array of the caller's, which may be shared between threads: one thread writes, others read when it
 * stands still.
 */

const STEPS = 16;
const OCTAVES = 40;
const BUCKETS = STEPS * OCTAVES;

/** Numbers that the array of a histogram holds. */
export const HISTOGRAM_LENGTH = BUCKETS + 1;

export interface Percentiles {
  p50: number;
  p99: number;
  max: number;
}

export class Histogram {
  readonly #cells: Float64Array<ArrayBufferLike>;

  constructor(cells: Float64Array<ArrayBufferLike> = new Float64Array(HISTOGRAM_LENGTH)) {
    this.#cells = cells;
  }

  /** `count` values of `ns` nanoseconds each. */
  add(ns: number, count: number): void {
    const value = Math.max(1, ns);
    const bucket = Math.min(BUCKETS - 1, Math.floor(Math.log2(value) * STEPS));
    this.#cells[bucket] += count;
    if (value > this.#cells[BUCKETS]) this.#cells[BUCKETS] = value;
  }

  /** In microseconds; zeros without a value. */
  percentilesUs(): Percentiles {
    const max = this.#cells[BUCKETS] / 1000;
    return { p50: Math.min(max, this.#at(0.5) / 1000), p99: Math.min(max, this.#at(0.99) / 1000), max };
  }

  /** Upper edge of the bucket in which the `share`-th value lies, ns. */
  #at(share: number): number {
    const counts = this.#cells.subarray(0, BUCKETS);
    const wanted = share * counts.reduce((sum, count) => sum + count, 0);
    let seen = 0;
    const bucket = counts.findIndex((count) => {
      seen += count;
      return count > 0 && seen >= wanted;
    });
    return bucket < 0 ? 0 : 2 ** ((bucket + 1) / STEPS);
  }

  clear(): void {
    this.#cells.fill(0);
  }
}
