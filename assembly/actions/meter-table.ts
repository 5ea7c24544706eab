/*
 * The table of meters: from an id, any u32, to the meter that has it.
 *
 *     | capacity | used | live | 0 | (id, address) ... |        address 0: never used; GONE: the meter that was here is no more
 *
 * Before it: meter.ts and kernel/meter.ts. Concepts. Open addressing: a meter stands at the place of its id or behind it, before the first place
 * that was never used. At most half of the places are used; before there are more, a table with room enough is built and published.
 *
 * Ownership. The table is a block of the arena, and so is each meter; what is replaced is retired. Threads: meterAt takes no lock; the rest
 * needs the writer lock.
 */
import {
  EFBIG,
  ENOMEM,
  METERS_MAX,
  METER_LOCK,
  METER_TABLE_CAPACITY,
  METER_TABLE_ENTRIES,
  METER_TABLE_LIVE,
  METER_TABLE_USED,
  SB_METERS,
} from '../constants';
import { sb } from '../memory/layout';
import { allocate, retire } from '../memory/slab';

const CAPACITY_MIN: u32 = 64;
/** No meter has this address. */
const GONE: u32 = 1;
/** 2^32 divided by the golden ratio: neighbouring ids go far apart. */
const GOLDEN: u32 = 0x9e3779b1;

@inline
function placeOf(table: usize, index: u32): usize {
  return table + METER_TABLE_ENTRIES + (index << 3);
}

@inline
function addressAt(place: usize): u32 {
  return <u32>(atomic.load<u64>(place) >> 32);
}

@inline
function put(place: usize, id: u32, address: u32): void {
  atomic.store<u64>(place, ((<u64>address) << 32) | id);
}

/** Whether the way to meter `id` ends here: it is this one, or nothing was ever behind. */
@inline
function isEnd(entry: u64, id: u32): bool {
  const address = <u32>(entry >> 32);
  return address == 0 || (<u32>entry == id && address != GONE);
}

/** The place of meter `id`, else the one that was never used behind all where it could be. */
function find(table: usize, id: u32): usize {
  const mask = load<u32>(table, METER_TABLE_CAPACITY) - 1;
  const spread = id * GOLDEN;
  let index = (spread ^ (spread >> 16)) & mask;
  while (!isEnd(atomic.load<u64>(placeOf(table, index)), id)) index = (index + 1) & mask;
  return placeOf(table, index);
}

/** Address of meter `id`, 0 none. */
export function meterAt(id: u32): usize {
  const table: usize = atomic.load<u32>(sb(SB_METERS));
  if (table == 0) return 0;
  const address = addressAt(find(table, id));
  return address == GONE ? 0 : address;
}

/** Makes sure that swapMeter can put a meter at `id`. 0; EFBIG: there are too many; ENOMEM. */
export function reservePlace(id: u32): u32 {
  const table: usize = load<u32>(sb(SB_METERS));
  if (table == 0) return rebuild(0);
  if (addressAt(find(table, id)) != 0) return 0;
  if (load<u32>(table, METER_TABLE_LIVE) >= <u32>METERS_MAX) return EFBIG;
  return (load<u32>(table, METER_TABLE_USED) + 1) << 1 <= load<u32>(table, METER_TABLE_CAPACITY) ? 0 : rebuild(table);
}

/** Publishes a table with the meters of `before`, a quarter full at most with one more. */
function rebuild(before: usize): u32 {
  const live: u32 = before == 0 ? 0 : load<u32>(before, METER_TABLE_LIVE);
  let capacity = CAPACITY_MIN;
  while (capacity < (live + 1) << 2) capacity <<= 1;
  const size = METER_TABLE_ENTRIES + (capacity << 3);
  const table = allocate(size);
  if (table == 0) return ENOMEM;
  memory.fill(table, 0, size);
  store<u32>(table, capacity, METER_TABLE_CAPACITY);
  store<u32>(table, live, METER_TABLE_USED);
  store<u32>(table, live, METER_TABLE_LIVE);
  for (let index: u32 = 0; before != 0 && index < load<u32>(before, METER_TABLE_CAPACITY); index++) {
    const entry = load<u64>(placeOf(before, index));
    if (<u32>(entry >> 32) > GONE) store<u64>(find(table, <u32>entry), entry);
  }
  atomic.store<u32>(sb(SB_METERS), <u32>table);
  retire(before, 0);
  return 0;
}

/** Puts a meter at `id`, which reservePlace found room for, or takes it away (0). Returns the one before, which the caller retires; 0 none. */
export function swapMeter(id: u32, meter: usize): usize {
  const table: usize = load<u32>(sb(SB_METERS));
  if (table == 0) return 0;
  const place = find(table, id);
  const before = addressAt(place);
  if (before == 0 && meter == 0) return 0;
  put(place, id, meter != 0 ? <u32>meter : GONE);
  if (before == 0) store<u32>(table, load<u32>(table, METER_TABLE_USED) + 1, METER_TABLE_USED);
  const change = (meter != 0 ? 1 : 0) - (before != 0 ? 1 : 0);
  store<u32>(table, load<u32>(table, METER_TABLE_LIVE) + change, METER_TABLE_LIVE);
  return before;
}

/** Takes all meters away: their datapath goes. The caller has the writer lock. */
export function dropMeters(): void {
  const table: usize = load<u32>(sb(SB_METERS));
  if (table == 0) return;
  atomic.store<u32>(sb(SB_METERS), 0);
  for (let index: u32 = 0; index < load<u32>(table, METER_TABLE_CAPACITY); index++) {
    const meter = addressAt(placeOf(table, index));
    if (meter > GONE) retire(meter, 0);
  }
  retire(table, 0);
}

/** For the host, when it knows that worker `slot` is dead: a meter that it held is free. */
export function releaseMetersOf(slot: u32): void {
  const table: usize = load<u32>(sb(SB_METERS));
  if (table == 0) return;
  for (let index: u32 = 0; index < load<u32>(table, METER_TABLE_CAPACITY); index++) {
    const meter: usize = addressAt(placeOf(table, index));
    if (meter > GONE) atomic.cmpxchg<u32>(meter, slot + 1, 0, METER_LOCK);
  }
}
