/*
 * Meters: buckets against a slow model with a clock that the test sets, both units, several bands, and the host's side of them. SEED sets
 * the seed.
 */
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import { attribute, concat, le32 } from './support/action-list.ts';
import { BUILDS, openDatapath, SEED, stepsOf } from './support/datapath.ts';
import { Executor } from './support/executor.ts';
import { Random } from './support/frame-generator.ts';

const METERED = (id: number): Uint8Array => concat(attribute(19, le32(id)), attribute(1, le32(1)));
const STEPS = 4000;
const TAG = Uint8Array.of(0x81, 0, 0, 1);

interface Band {
  rate: number;
  burst: number;
  tokens: number;
  packets: number;
  bytes: number;
}

/** One packet through a meter, slowly: tokens are bits, or thousandths of a packet. True when it passes. */
function passes(bands: Band[], elapsedMs: number, cost: number, size: number): boolean {
  let strictest: Band | undefined;
  for (const band of bands) {
    band.tokens = Math.min(band.burst * 1000, band.tokens + elapsedMs * band.rate);
    if (band.tokens >= cost) band.tokens -= cost;
    else if (strictest === undefined || band.rate > strictest.rate) strictest = band;
  }
  if (strictest === undefined) return true;
  strictest.packets++;
  strictest.bytes += size;
  return false;
}

function setTime(executor: Executor, ms: number): void {
  const { memory } = executor.datapath;
  memory.setU64(memory.workerArea(0) + C.WORKER_TIME_MS, ms);
}

describe.each(BUILDS)('meters, %s', (build) => {
  it.each(['kbps', 'pktps'] as const)(`pass and drop what the model does, %s, SEED=${SEED}`, async (unit) => {
    await using executor = await Executor.open({ build });
    const random = new Random(SEED);
    let [nowMs, packets, bytes, dropped] = [1_000_000, 0, 0, 0];
    setTime(executor, nowMs);
    const bands: Band[] = [800, 3000, 1500].map((rate, i) => {
      const burst = [60, 20, 2][i];
      return { rate, burst, tokens: burst * 1000, packets: 0, bytes: 0 };
    });
    executor.datapath.meters.set(70_000, { unit, bands: bands.map(({ rate, burst }) => ({ rate, burst })) });
    for (let step = 0; step < stepsOf(build, STEPS); step++) {
      const elapsedMs = random.oneIn(50) ? random.below(1_000_000) : random.below(4);
      nowMs += elapsedMs;
      setTime(executor, nowMs);
      const frame = random.bytes(60 + random.below(1400));
      const tagged = random.oneIn(3);
      frame.set(tagged ? TAG : [8, 6], 12);
      // the outermost tag is not counted
      const size = frame.length - (tagged ? 4 : 0);
      const pass = passes(bands, elapsedMs, unit === 'kbps' ? size * 8 : 1000, size);
      const { frames, drops } = executor.execute(frame, METERED(70_000));
      expect({ frames: frames.length, drops }).toEqual(
        pass ? { frames: 1, drops: {} } : { frames: 0, drops: { meter: 1 } },
      );
      packets++;
      bytes += size;
      dropped += pass ? 0 : 1;
    }
    const stats = bands.map(({ tokens: _, ...rest }) => rest);
    expect(executor.datapath.meters.get(70_000)).toEqual({ unit, packets, bytes, usedMs: nowMs, bands: stats });
    expect(dropped).toBeGreaterThan(packets / 50);
    expect(dropped).toBeLessThan(packets);
    executor.verify(packets);
  });

  it('let everything pass that names a meter that is not there', async () => {
    await using executor = await Executor.open({ build });
    const { meters } = executor.datapath;
    const run = (id: number): number => executor.execute(new Uint8Array(60), METERED(id)).frames.length;
    expect([run(0), run(54_545_401), run(0xffffffff)]).toEqual([1, 1, 1]);
    meters.set(3, { unit: 'pktps', bands: [{ rate: 1, burst: 1 }] });
    expect([run(3), run(3), run(4)]).toEqual([1, 0, 1]);
    expect([meters.delete(3), meters.delete(3), meters.delete(54_545_401)]).toEqual([true, false, false]);
    expect([run(3), meters.get(3)]).toEqual([1, undefined]);
    executor.verify(7);
  });

  it('keep the other meters when the table grows, and begin anew when set again', async () => {
    await using executor = await Executor.open({ build });
    const { meters } = executor.datapath;
    const ids = [0, 63, 64, 1000, 54_545_401, 0xfffffffe];
    for (const id of ids) meters.set(id, { unit: 'pktps', bands: [{ rate: id + 1 }] });
    expect(ids.map((id) => meters.get(id)?.bands)).toEqual(
      ids.map((id) => [{ rate: id + 1, burst: id + 1, packets: 0, bytes: 0 }]),
    );
    executor.execute(new Uint8Array(60), METERED(63));
    expect(meters.get(63)?.packets).toBe(1);
    meters.set(63, { unit: 'kbps', bands: [] });
    expect(meters.get(63)).toMatchObject({ unit: 'kbps', packets: 0, bands: [] });
  });

  it('are found by any id while others come and go', async () => {
    await using datapath = await openDatapath({ build });
    const { meters } = datapath;
    const random = new Random(SEED);
    const ids = Array.from({ length: 300 }, (_, index) =>
      random.oneIn(3) ? index : random.oneIn(2) ? (index << 16) >>> 0 : random.below(2 ** 32),
    );
    const rates = new Map<number, number>();
    for (let step = 0; step < stepsOf(build, 8000); step++) {
      const id = random.pick(ids);
      if (random.oneIn(3)) {
        expect(meters.delete(id)).toBe(rates.delete(id));
      } else {
        meters.set(id, { unit: 'pktps', bands: [{ rate: step + 1 }] });
        rates.set(id, step + 1);
      }
      const seen = random.pick(ids);
      expect(meters.get(seen)?.bands[0]?.rate).toBe(rates.get(seen));
    }
    for (const id of ids) expect(meters.get(id)?.bands[0]?.rate, `meter ${id}`).toBe(rates.get(id));
  });

  it(`are ${C.METERS_MAX} at most`, async () => {
    await using datapath = await openDatapath({ build, arenaSize: 256 * 1048576 });
    const { wasm } = datapath.memory;
    const bands = datapath.memory.allocate(8, 'bands');
    let refused = 0;
    for (let id = 0; id < C.METERS_MAX; id++) if (wasm.setMeter(id * 8191, 0, bands, 0) !== 0) refused++;
    expect(refused).toBe(0);
    expect(wasm.setMeter(7, 0, bands, 0)).toBe(C.EFBIG);
    expect([wasm.setMeter(8191, 0, bands, 0), wasm.deleteMeter(8191), wasm.setMeter(7, 0, bands, 0)]).toEqual([
      0, 0, 0,
    ]);
  });

  it('refuse what cannot be', async () => {
    await using executor = await Executor.open({ build });
    const { meters } = executor.datapath;
    const bands = [{ rate: 1 }];
    expect(() => meters.set(2 ** 32, { unit: 'kbps', bands })).toThrow(RangeError);
    expect(() => meters.set(-1, { unit: 'kbps', bands })).toThrow(RangeError);
    expect(() => meters.set(1, { unit: 'kbps', bands: [{ rate: 0 }] })).toThrow(RangeError);
    expect(() => meters.set(1, { unit: 'kbps', bands: Array(9).fill({ rate: 1 }) })).toThrow(RangeError);
    expect(meters.get(1)).toBeUndefined();
  });
});
