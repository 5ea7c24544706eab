/*
 * Meters: limits that METER actions ask for. Before it: the embedding program. After it: assembly/actions/meter.ts, which says how a
 * bucket fills. Threads: the owner thread; the workers go on meanwhile.
 */
import * as C from '../../assembly/constants.ts';
import { errnoError } from '../errors.ts';
import { integer } from '../ranges.ts';
import type { DatapathMemory } from '../wasm/memory.ts';

export interface MeterBand {
  /** What passes, kbit/s or packets/s; at least 1. */
  rate: number;
  /** How much may come at once, kbit or packets. Default: as much as in a second. */
  burst?: number;
}

export interface MeterConfig {
  unit: 'kbps' | 'pktps';
  /** Up to 8; a packet must satisfy all of them, or is dropped by the one with the highest rate. */
  bands: readonly MeterBand[];
}

export interface MeterStats {
  unit: MeterConfig['unit'];
  packets: number;
  bytes: number;
  /** CLOCK_MONOTONIC, ms. */
  usedMs: number;
  /** `packets` and `bytes` are those that the band dropped. */
  bands: { rate: number; burst: number; packets: number; bytes: number }[];
}

const U32_MAX = 4294967295;

export class Meters {
  readonly #memory: DatapathMemory;
  readonly #scratch: number;

  constructor(memory: DatapathMemory) {
    this.#memory = memory;
    this.#scratch = memory.allocate(C.METER_SIZEOF, 'the meters');
  }

  /**
   * Makes meter `id`, any number of 32 bits, or replaces it: full buckets, statistics at zero. Throws RangeError for an impossible id, number of bands,
   * rate or burst; DatapathError ERR_OUT_OF_MEMORY, also for more than 262,144 meters.
   */
  set(id: number, { unit, bands }: MeterConfig): void {
    integer('id of a meter', id, 0, U32_MAX);
    integer('the number of bands of a meter', bands.length, 0, C.METER_BANDS_MAX);
    for (const [i, { rate, burst = rate }] of bands.entries()) {
      integer('rate of a meter', rate, 1, U32_MAX);
      integer('burst of a meter', burst, 0, U32_MAX);
      this.#memory.setU32(this.#scratch + i * 8, rate);
      this.#memory.setU32(this.#scratch + i * 8 + 4, burst);
    }
    const errno = this.#memory.wasm.setMeter(id, unit === 'kbps' ? 1 : 0, this.#scratch, bands.length);
    if (errno !== 0) throw errnoError(errno, 'meter set');
  }

  /** What meter `id` has seen; undefined when there is none. */
  get(id: number): MeterStats | undefined {
    const memory = this.#memory;
    const meter = this.#scratch;
    if (memory.wasm.readMeter(id, meter) !== 0) return undefined;
    const bands = Array.from({ length: memory.u32(meter + C.METER_BAND_COUNT) }, (_, i) => {
      const band = meter + C.METER_BANDS + i * C.METER_BAND_SIZEOF;
      return {
        rate: memory.u32(band + C.METER_BAND_RATE),
        burst: memory.u32(band + C.METER_BAND_BURST),
        packets: memory.u64(band + C.METER_BAND_PACKETS),
        bytes: memory.u64(band + C.METER_BAND_BYTES),
      };
    });
    return {
      unit: memory.u32(meter + C.METER_KBPS) === 1 ? 'kbps' : 'pktps',
      packets: memory.u64(meter + C.METER_PACKETS),
      bytes: memory.u64(meter + C.METER_BYTES),
      usedMs: memory.u64(meter + C.METER_USED_MS),
      bands,
    };
  }

  /** False when there was none. Packets of flows that name it pass from now on. */
  delete(id: number): boolean {
    return this.#memory.wasm.deleteMeter(id) === 0;
  }
}
