/*
 * The memory map: recomputed from the capacity and compared with what the datapath wrote into its superblock; the sizes and offsets
 * that both sides share; and a module that brings no memory of its own.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import * as C from '../assembly/constants.ts';
import type { Datapath } from '../src/index.ts';
import { wasmFile } from '../src/wasm/load.ts';
import { type MapCapacity, memoryMap } from './reference/memory-map.ts';
import { BUILDS, openDatapath } from './support/datapath.ts';
import { constantNamed, type FieldTable, SHARED_FIELDS, STRUCTURES, unknownOffsets } from './support/structures.ts';
import { wasmShape } from './support/wasm-sections.ts';

const CAPACITIES: MapCapacity[] = [
  { flows: 1, workers: 1, emcEntries: 8192, upcallFrames: 64, arenaSize: 65536 },
  { flows: 4097, workers: 3, emcEntries: 16384, upcallFrames: 256, arenaSize: 1048577 },
  { flows: 262144, workers: 16, emcEntries: 1048576, upcallFrames: 4096, arenaSize: 64 * 1048576 },
];

const ADDRESSES: [string, number][] = [
  ['hash secrets', C.SB_HASH_SECRETS],
  ['ports', C.SB_PORTS],
  ['subtables', C.SB_SUBTABLES],
  ['mask index', C.SB_MASK_INDEX],
  ['action index', C.SB_ACTION_INDEX],
  ['vports', C.SB_VPORTS],
  ['devices', C.SB_DEVICES],
  ['policies', C.SB_POLICIES],
  ['door', C.SB_DOOR],
  ['worker areas', C.SB_WORKER_AREAS],
  ['flows', C.SB_FLOWS],
  ['flows, cold', C.SB_FLOWS_COLD],
  ['arena', C.SB_ARENA],
];

async function withCapacity(
  build: 'release' | 'debug',
  capacity: MapCapacity,
  look: (datapath: Datapath) => void,
): Promise<void> {
  const { workers, ...rest } = capacity;
  await using datapath = await openDatapath({ build, ...rest, workers: workers - 1 });
  look(datapath);
}

describe.each(BUILDS)('memory map, %s', (build) => {
  it.each(CAPACITIES)('is what the capacity says: %o', async (capacity) => {
    await withCapacity(build, capacity, ({ memory }) => {
      const map = memoryMap(capacity);
      for (const [name, field] of ADDRESSES) {
        expect([name, memory.superblock(field)]).toEqual([
          name,
          map.regions.find((region) => region.name === name)!.address,
        ]);
      }
      expect(memory.superblock(C.SB_MAGIC)).toBe(C.MAGIC);
      expect(memory.superblock(C.SB_WORKER_AREA_SIZE)).toBe(map.areaSize);
      expect(memory.superblock(C.SB_END)).toBe(map.pages);
      expect(memory.bytes.length).toBe(map.pages * 65536);
      expect(memory.superblock(C.SB_FLOWS_CAPACITY)).toBe(capacity.flows);
      expect(memory.superblock(C.SB_WORKERS)).toBe(capacity.workers);
      expect(memory.superblock(C.SB_EMC_ENTRIES)).toBe(capacity.emcEntries);
      expect(memory.superblock(C.SB_UPCALL_FRAMES)).toBe(capacity.upcallFrames);
      expect(memory.superblock(C.SB_ARENA_SIZE)).toBe(capacity.arenaSize);
    });
  });

  it.each(CAPACITIES)('has regions that do not overlap: %o', (capacity) => {
    const map = memoryMap(capacity);
    for (const list of [map.regions, map.area]) {
      for (const [i, region] of list.entries()) {
        const next = list[i + 1]?.address ?? (list === map.area ? map.areaSize : map.pages * 65536);
        expect(region.address + region.size, region.name).toBeLessThanOrEqual(next);
      }
    }
    for (const region of map.regions) expect(region.address % 64, region.name).toBe(0);
    for (const region of map.area) expect(region.address % 64, region.name).toBe(0);
  });

  it("puts each worker's ring and spare packet into its own area", async () => {
    const capacity = CAPACITIES[1];
    await withCapacity(build, capacity, ({ memory }) => {
      const map = memoryMap(capacity);
      const at = (name: string): number => map.area.find((region) => region.name === name)!.address;
      for (let slot = 0; slot < capacity.workers; slot++) {
        expect(memory.upcallRing(slot)).toBe(memory.workerArea(slot) + at('upcall ring'));
      }
      expect(memory.wasm.sparePacket() >>> 0).toBe(
        memory.workerArea(0) + at('packets') + C.BATCH_MAX * C.PACKET_SIZEOF,
      );
      // a batch's descriptors are tied to their keys when the worker attaches
      for (let i = 0; i <= C.BATCH_MAX; i++) {
        const packet = memory.workerArea(0) + at('packets') + i * C.PACKET_SIZEOF;
        expect(memory.u32(packet + C.PACKET_KEY)).toBe(memory.workerArea(0) + at('keys') + i * C.KEY_SIZE);
      }
    });
  });

  it('makes secrets that follow from the seed and have no zero half', async () => {
    const secretsOf = async (seed: bigint): Promise<Uint8Array> => {
      await using datapath = await openDatapath({ build, seed });
      return datapath.memory.copy(datapath.memory.superblock(C.SB_HASH_SECRETS), C.KEY_WORDS * 8);
    };
    const [one, again, other] = await Promise.all([secretsOf(1n), secretsOf(1n), secretsOf(2n)]);
    expect(one).toEqual(again);
    const halves = (bytes: Uint8Array): number[] => [...new Uint32Array(bytes.buffer)];
    expect(halves(one).some((half) => half === 0)).toBe(false);
    expect(halves(one).filter((half, i) => half === halves(other)[i]).length).toBeLessThan(4);
  });

  it('is all the memory there is: no data but texts before it, no globals that begin with a value', () => {
    const shape = wasmShape(readFileSync(wasmFile(build)));
    for (const { address, size } of shape.data) expect(address + size).toBeLessThanOrEqual(C.SUPERBLOCK);
    const set = shape.globals.filter(({ mutable, value }) => mutable && value !== 0n);
    expect(set).toEqual([]);
    expect(shape.globals.length).toBeGreaterThan(10);
  });
});

describe('structures that both sides share', () => {
  it.each(Object.entries(STRUCTURES))('%s: fields lie inside and apart', (_, table: FieldTable) => {
    const sorted = Object.entries(table.fields).sort(([, a], [, b]) => a.at - b.at);
    let end = table.from ?? 0;
    let before = 'the start';
    for (const [name, { at, size }] of sorted) {
      expect(at, `${name} behind ${before}`).toBeGreaterThanOrEqual(end);
      if (size === 2 || size === 4 || size === 8) expect(at % size, `${name} is aligned`).toBe(0);
      end = at + size;
      before = name;
    }
    expect(end, before).toBeLessThanOrEqual(table.size);
  });

  it('are all known to the tables of this test', () => {
    expect(unknownOffsets()).toEqual([]);
    for (const [name, other] of SHARED_FIELDS) expect(constantNamed[name]).toBe(constantNamed[other]);
  });

  it('stand in the relations that the code relies on', () => {
    expect(C.KEY_SIZE).toBe(C.KEY_WORDS * 8);
    expect(C.KEY_HOT_SIZE).toBe(C.KEY_HOT_WORDS * 8);
    expect(C.FLOW_COLD_SIZEOF).toBe(C.FLOW_SIZEOF);
    expect(C.FLOW_ROW_SIZEOF * 2).toBe(C.FLOW_SIZEOF);
    expect(C.BUCKET_SIZEOF).toBe(C.BUCKET_REFS + C.BUCKET_WAYS * 4);
    expect(C.UPCALL_FRAME_SIZE % 64).toBe(0);
    expect(C.NL_MMAP_HDRLEN + C.UPCALL_MESSAGE_SIZE_MAX).toBeLessThanOrEqual(C.UPCALL_KEY);
    expect(C.UPCALL_COPY_CHUNK_SIZE).toBeGreaterThan(2 * 65535);
    expect(C.UPCALL_LIST + C.UPCALL_TAKE_MAX * 4).toBeLessThanOrEqual(C.UPCALL_PORTS_QUEUED);
    expect(C.UPCALL_PORTS_QUEUED + C.PORTS_MAX / 8).toBeLessThanOrEqual(C.UPCALL_HEAD_SIZE);
    expect(C.WORKER_COUNTERS + C.COUNTERS * 8).toBeLessThanOrEqual(C.WORKER_DROPS);
    expect(C.WORKER_DROPS + C.DROP_REASONS * 8).toBeLessThanOrEqual(C.WORKER_EXPLICIT_DROPS);
    expect(C.WORKER_EXPLICIT_DROPS + C.EXPLICIT_REASONS * 8).toBeLessThanOrEqual(C.WORKER_CONTROL_SIZE);
    expect(C.METER_BANDS + C.METER_BANDS_MAX * C.METER_BAND_SIZEOF).toBe(C.METER_SIZEOF);
    expect(C.SB_FREE_LISTS + 104 * 4).toBeLessThanOrEqual(C.SB_DP_EXISTS);
    expect(C.PACKET_RECIRC_ID).toBe(C.PACKET_CUT + 4);
    expect(C.UPCALL_ANSWER_ACTIONS).toBe(C.UPCALL_ANSWER_MASK + 4);
    expect(C.NL_MMAP_PID).toBe(C.NL_MMAP_GROUP + 4);
    expect(C.FLOW_INLINE_WORDS * 8 + C.FLOW_KEY).toBeLessThanOrEqual(C.FLOW_KEY_MORE);
    // a rule begins like a flow
    expect(C.RULE_MEGAFLOW).toBeGreaterThanOrEqual(C.FLOW_SIZEOF);
  });

  it('name every drop and every errno once', () => {
    const numbers = (prefix: string): number[] =>
      Object.entries(C)
        .filter(([name]) => name.startsWith(prefix) && name !== 'DROP_REASONS')
        .map(([, value]) => value as number);
    const drops = numbers('DROP_');
    expect([...drops].sort((a, b) => a - b)).toEqual(Array.from({ length: C.DROP_REASONS }, (_, i) => i));
    const errnos = Object.entries(C).filter(([name]) => /^E[A-Z]+$/.test(name));
    expect(new Set(errnos.map(([, value]) => value)).size).toBe(errnos.length);
  });
});
