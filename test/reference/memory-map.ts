/*
 * The memory map again, from the capacity alone: what assembly/memory/layout.ts must lay out. Written from its drawing, region by
 * region, with the numbers that the drawing leaves open (positions of a batch, buckets of the action index, distance of buffers).
 */
import * as C from '../../assembly/constants.ts';

export interface MapCapacity {
  flows: number;
  workers: number;
  emcEntries: number;
  upcallFrames: number;
  arenaSize: number;
}

export interface Region {
  name: string;
  address: number;
  size: number;
}

export interface MemoryMap {
  regions: Region[];
  /** Regions of a worker's area, by offset in it. */
  area: Region[];
  areaSize: number;
  pages: number;
}

const POSITIONS = C.BATCH_MAX + 1 + C.CLONES_MAX + C.DEFERRED_MAX + 1;
const BUFFER_SIZE = 65728;
const ACTION_INDEX_BUCKETS = 65536;
const PAGE = 65536;

const onLine = (n: number): number => Math.ceil(n / 64) * 64;

function chain(first: number, parts: readonly (readonly [string, number])[], round: (n: number) => number): Region[] {
  let address = first;
  return parts.map(([name, size]) => {
    const region = { name, address, size };
    address = round(address + size);
    return region;
  });
}

function areaOf(capacity: MapCapacity): Region[] {
  const ring = C.UPCALL_HEAD_SIZE + capacity.upcallFrames * C.UPCALL_FRAME_SIZE;
  const fixed = chain(
    0,
    [
      ['control', C.WORKER_CONTROL_SIZE],
      ['packets', POSITIONS * C.PACKET_SIZEOF],
      ['keys', POSITIONS * C.KEY_SIZE],
      ['port rows', C.PORTS_MAX * C.PORT_ROW_SIZEOF],
      ['subtable hits', C.SUBTABLES_MAX * 4],
      ['receiving ports', C.PORTS_MAX * 4],
      ['touched queues', C.PORTS_MAX * 2 * 4],
      ['poll set', (C.PORTS_MAX + 8) * 8],
      ['offloads', onLine(POSITIONS * C.OFFLOAD_SIZEOF)],
      ['upcall ports', C.PORTS_MAX * C.UPCALL_PORT_SIZEOF],
      ['upcall ring', ring + C.UPCALL_COPY_CHUNKS * C.UPCALL_COPY_CHUNK_SIZE + capacity.upcallFrames * 4],
    ],
    (n) => n,
  );
  const last = fixed.at(-1)!;
  const rest = chain(
    onLine(last.address + last.size),
    [
      ['cache', (capacity.emcEntries / 8) * C.BUCKET_SIZEOF],
      ['buffers', POSITIONS * BUFFER_SIZE],
      ['flow rows', capacity.flows * C.FLOW_ROW_SIZEOF],
    ],
    (n) => n,
  );
  return [...fixed, ...rest];
}

export function memoryMap(capacity: MapCapacity): MemoryMap {
  const area = areaOf(capacity);
  const last = area.at(-1)!;
  const areaSize = onLine(last.address + last.size);
  const regions = chain(
    C.SUPERBLOCK,
    [
      ['superblock', C.SUPERBLOCK_SIZE],
      ['hash secrets', C.KEY_WORDS * 8],
      ['ports', C.PORTS_MAX * C.PORT_SIZEOF],
      ['subtables', C.SUBTABLES_MAX * C.SUBTABLE_SIZEOF],
      ['mask index', C.SUBTABLES_MAX * 2 * 4],
      ['action index', ACTION_INDEX_BUCKETS * 4],
      ['vports', C.PORTS_MAX * C.VPORT_SIZEOF],
      ['devices', C.DEVICES_MAX * C.DEVICE_SIZEOF],
      ['policies', C.POLICIES_SIZE],
      ['door', C.DOOR_DATAGRAM_SIZE + C.DOOR_OUT_SIZE],
      ['worker areas', capacity.workers * areaSize],
      ['flows', capacity.flows * C.FLOW_SIZEOF],
      ['flows, cold', capacity.flows * C.FLOW_COLD_SIZEOF],
      ['arena', capacity.arenaSize],
    ],
    onLine,
  );
  const end = regions.at(-1)!;
  // the page of the last byte, and a spare one behind it
  const pages = Math.floor(onLine(end.address + end.size) / PAGE) + 2;
  return { regions, area, areaSize, pages };
}
