/*
 * METER: lets a packet pass, or says that a band of its meter is exceeded.
 *
 * Before it: execute.ts for a packet; the host for setMeter, deleteMeter and readMeter; kernel/meter.ts for messages. Concepts: a band is a bucket of tokens, in bits or
 * in thousandths of a packet, that fills at its rate up to its burst; time is the worker's, told before each poll, so packets of one poll
 * have the same. All bands pay for a packet; of those that cannot, the one with the highest rate drops it. A meter that does not exist
 * lets everything pass. All this is the kernel's.
 *
 * Ownership. Meters are blocks of the arena, found by meter-table.ts; replaced ones are retired. Threads: a meter is shared by the workers and has a
 * spin lock, held for some ten instructions a band; a worker that dies holding it gives it back in releaseMetersOf.
 */
import {
  EINVAL,
  ENOENT,
  ENOMEM,
  METER_BANDS,
  METER_BANDS_MAX,
  METER_BAND_BUCKET,
  METER_BAND_BURST,
  METER_BAND_BYTES,
  METER_BAND_COUNT,
  METER_BAND_PACKETS,
  METER_BAND_RATE,
  METER_BAND_SIZEOF,
  METER_BYTES,
  METER_DELTA_MAX_MS,
  METER_KBPS,
  METER_LOCK,
  METER_PACKETS,
  METER_SIZEOF,
  METER_USED_MS,
  WORKER_TIME_MS,
} from '../constants';
import { area, worker } from '../memory/layout';
import { lock, unlock } from '../memory/lock';
import { allocate, retire } from '../memory/slab';
import { meterAt, reservePlace, swapMeter } from './meter-table';
import { lengthOf } from './packet';

/** Bits of a byte, and thousandths of a packet. */
const BITS: u64 = 8;
const MILLIPACKETS: u64 = 1000;

/** True when the packet is to be dropped. */
export function isExceeded(packet: usize, id: u32): bool {
  const meter = meterAt(id);
  if (meter == 0) return false;
  const size = lengthOf(packet);
  acquire(meter);
  const exceeded = charge(meter, size);
  if (exceeded != 0) {
    store<u64>(exceeded, load<u64>(exceeded, METER_BAND_PACKETS) + 1, METER_BAND_PACKETS);
    store<u64>(exceeded, load<u64>(exceeded, METER_BAND_BYTES) + size, METER_BAND_BYTES);
  }
  atomic.store<u32>(meter, 0, METER_LOCK);
  return exceeded != 0;
}

@inline
function acquire(meter: usize): void {
  while (atomic.cmpxchg<u32>(meter, 0, worker + 1, METER_LOCK) != 0) {}
}

/** Fills the buckets and takes the packet's cost from each. Returns the band that drops it, 0 none. */
function charge(meter: usize, size: u32): usize {
  const nowMs = load<u64>(area, WORKER_TIME_MS);
  const usedMs = load<u64>(meter, METER_USED_MS);
  const deltaMs = nowMs > usedMs ? min<u64>(nowMs - usedMs, load<u32>(meter, METER_DELTA_MAX_MS)) : 0;
  store<u64>(meter, max<u64>(nowMs, usedMs), METER_USED_MS);
  store<u64>(meter, load<u64>(meter, METER_PACKETS) + 1, METER_PACKETS);
  store<u64>(meter, load<u64>(meter, METER_BYTES) + size, METER_BYTES);
  const cost = load<u32>(meter, METER_KBPS) != 0 ? <u64>size * BITS : MILLIPACKETS;
  const end = meter + METER_BANDS + load<u32>(meter, METER_BAND_COUNT) * METER_BAND_SIZEOF;
  let exceeded: usize = 0;
  for (let band = meter + METER_BANDS; band < end; band += METER_BAND_SIZEOF) {
    const rate = load<u32>(band, METER_BAND_RATE);
    const full = <u64>load<u32>(band, METER_BAND_BURST) * 1000;
    const bucket = min<u64>(load<u64>(band, METER_BAND_BUCKET) + deltaMs * rate, full);
    const paid = bucket >= cost;
    store<u64>(band, paid ? bucket - cost : bucket, METER_BAND_BUCKET);
    if (!paid && (exceeded == 0 || rate > load<u32>(exceeded, METER_BAND_RATE))) exceeded = band;
  }
  return exceeded;
}

/**
 * Makes meter `id`, or replaces it with its statistics at zero. `bands` holds `count` pairs of u32: rate and burst, in kbit/s and kbit when
 * `kbps`, else in packets/s and packets. Returns 0, or an errno: EFBIG for more than METERS_MAX, EINVAL for too many bands or a rate of
 * 0, ENOMEM.
 */
export function setMeter(id: u32, kbps: bool, bands: usize, count: u32): u32 {
  if (count > <u32>METER_BANDS_MAX) return EINVAL;
  for (let i: u32 = 0; i < count; i++) if (load<u32>(bands + (i << 3)) == 0) return EINVAL;
  lock();
  let errno = reservePlace(id);
  if (errno == 0) {
    const meter = makeMeter(kbps, bands, count);
    if (meter != 0) retire(swapMeter(id, meter), 0);
    else errno = ENOMEM;
  }
  unlock();
  return errno;
}

/** ENOENT when there is none. */
export function deleteMeter(id: u32): u32 {
  lock();
  const before = swapMeter(id, 0);
  retire(before, 0);
  unlock();
  return before != 0 ? 0 : ENOENT;
}

/** A meter, its arguments checked; 0: the arena is full. With the writer lock. */
export function makeMeter(kbps: bool, bands: usize, count: u32): usize {
  const meter = allocate(METER_SIZEOF);
  if (meter != 0) fillMeter(meter, kbps, bands, count);
  return meter;
}

/** Copies the METER_SIZEOF bytes of meter `id` to `out`. ENOENT when there is none. */
export function readMeter(id: u32, out: usize): u32 {
  lock();
  const meter = meterAt(id);
  if (meter != 0) copyMeter(meter, out);
  unlock();
  return meter != 0 ? 0 : ENOENT;
}

/** Copies a meter as it is at one moment; also one that was swapped out and not retired yet. */
export function copyMeter(meter: usize, out: usize): void {
  acquire(meter);
  memory.copy(out, meter, METER_SIZEOF);
  atomic.store<u32>(meter, 0, METER_LOCK);
}

function fillMeter(meter: usize, kbps: bool, bands: usize, count: u32): void {
  memory.fill(meter, 0, METER_SIZEOF);
  store<u32>(meter, kbps ? 1 : 0, METER_KBPS);
  store<u32>(meter, count, METER_BAND_COUNT);
  store<u64>(meter, load<u64>(area, WORKER_TIME_MS), METER_USED_MS);
  let deltaMaxMs: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const band = meter + METER_BANDS + i * METER_BAND_SIZEOF;
    const rate = load<u32>(bands + (i << 3));
    const burst = load<u32>(bands + (i << 3), 4);
    store<u32>(band, rate, METER_BAND_RATE);
    store<u32>(band, burst, METER_BAND_BURST);
    store<u64>(band, <u64>burst * 1000, METER_BAND_BUCKET);
    // rounded up: after so long every bucket is full, whatever the rate
    const fullMs = (<u64>burst * 1000 + rate - 1) / rate;
    deltaMaxMs = max<u32>(deltaMaxMs, <u32>min<u64>(fullMs, u32.MAX_VALUE));
  }
  store<u32>(meter, deltaMaxMs, METER_DELTA_MAX_MS);
}
