/*
 * The memory map: the only file that says where anything is.
 *
 *     0            what the kernel says in words (kernel/texts.ts): the module's only data, the same from every instance
 *     4096         superblock            capacities, region addresses, live words of the writers
 *                  hash secrets          u64[KEY_WORDS], random per datapath, read-only
 *                  ports                 PORTS_MAX descriptors
 *                  subtables             SUBTABLES_MAX descriptors, one a mask
 *                  mask index            u32[2 * SUBTABLES_MAX], mask -> subtable (writers only)
 *                  action index          u32[ACTION_BUCKETS], action list -> block (writers only)
 *                  vports                what messages know of each port (control only)
 *                  devices               what vports can be made of (control only)
 *                  policies              of the families of messages, read-only
 *                  door                  the owner thread's messages to the datapath, and what comes back
 *                  worker areas          one a worker slot, each:
 *                      control           state, epoch, counters, drops
 *                      packets           46 descriptors (a batch, one to execute alone, copies for nested actions, a segment)
 *                      keys              46 flow keys
 *                      port rows         statistics of each port on this worker
 *                      subtable hits     u32 a subtable
 *                      receiving ports   u32 a port: what this worker polls
 *                      upcall ports      four u32 a port: produced, given back, queue head, queue tail
 *                      upcall ring       head, frames, chunks of the copy area, order of the frames
 *                      cache             EMC buckets
 *                      buffers           46 frames with headroom
 *                      flow rows         statistics of each flow on this worker
 *                  flows                 one line a flow slot
 *                  flows, cold           one line a flow slot
 *                  arena                 everything of variable size (memory/slab.ts)
 *
 * Concepts. Each region starts where the one before ends, rounded up to 64 bytes. Capacities are chosen when the datapath is created
 * and never change; pages that nobody touches cost nothing. `create` runs once, on the thread that owns the datapath; `attach` runs in
 * every instance (also after a trap) and only loads the addresses into this instance's globals.
 *
 * Ownership. The memory belongs to the host's WebAssembly.Memory. Threads. The globals below are an instance's own: that is how a
 * worker knows its own area. test/02.layout.test.ts recomputes the map.
 */
import {
  BATCH_MAX,
  CLONES_MAX,
  DEFERRED_MAX,
  DEVICES_MAX,
  DEVICE_SIZEOF,
  DOOR_DATAGRAM_SIZE,
  DOOR_OUT_SIZE,
  EMC_ENTRIES_MAX,
  EMC_ENTRIES_MIN,
  EINVAL,
  ENOMEM,
  FLOWS_MAX,
  FLOW_COLD_SIZEOF,
  FLOW_ROW_SIZEOF,
  FLOW_SIZEOF,
  FRAME_SIZE_MAX,
  HEADROOM,
  KEY_SIZE,
  KEY_WORDS,
  MAGIC,
  OFFLOAD_SIZEOF,
  PACKET_SIZEOF,
  POLICIES_SIZE,
  PORTS_MAX,
  PORT_ROW_SIZEOF,
  PORT_SIZEOF,
  SB_ACTION_INDEX,
  SB_ARENA,
  SB_ARENA_NEXT,
  SB_ARENA_SIZE,
  SB_DEVICES,
  SB_DOOR,
  SB_DP_IFINDEX,
  SB_EMC_ENTRIES,
  SB_END,
  SB_EPOCH,
  SB_FLOWS,
  SB_FLOWS_CAPACITY,
  SB_FLOWS_COLD,
  SB_HASH_SECRETS,
  SB_MAGIC,
  SB_MASK_INDEX,
  SB_OPTIONS,
  SB_POLICIES,
  SB_PORTS,
  SB_SUBTABLES,
  SB_UPCALL_FRAMES,
  SB_VPORTS,
  SB_WORKERS,
  SB_WORKER_AREAS,
  SB_WORKER_AREA_SIZE,
  SUBTABLES_MAX,
  SUBTABLE_SIZEOF,
  SUPERBLOCK,
  SUPERBLOCK_SIZE,
  UPCALL_COPY_CHUNKS,
  UPCALL_COPY_CHUNK_SIZE,
  UPCALL_FRAME_SIZE,
  UPCALL_HEAD_SIZE,
  UPCALL_PORT_SIZEOF,
  VPORT_SIZEOF,
  WORKERS_MAX,
  WORKER_CONTROL_SIZE,
} from '../constants';
import { random64 } from '../flow/random';

/** A batch; one position for packets that are executed alone; then those of copies (actions/nest.ts); and one of segments (io/segment.ts). */
export const COPIES: u32 = <u32>BATCH_MAX + 1;
export const SEGMENT: u32 = COPIES + CLONES_MAX + DEFERRED_MAX;
export const POSITIONS: u32 = SEGMENT + 1;
/** Buckets of the index of action lists. */
export const ACTION_BUCKETS: u32 = 65536;
/** Distance of frame buffers: an odd number of cache lines, so that equal offsets of 32 frames fall into 32 different cache sets. */
export const BUFFER_STRIDE: u32 = 65728;

/** A worker touches what it receives from, at most PORTS_MAX, and its transmit queue of each port. */
const TOUCHED_MAX: u32 = 2 * PORTS_MAX;
/** What it receives from, and the event counter that wakes it; eight more keep what follows on a cache line. */
const POLLFD_SIZEOF: u32 = 8;
const POLL_SET_MAX: u32 = PORTS_MAX + 8;
const OFFLOADS_SIZE: u32 = (POSITIONS * OFFLOAD_SIZEOF + 63) & ~63;

// relations that the map relies on
assert(BUFFER_STRIDE >= <u32>(HEADROOM + FRAME_SIZE_MAX + 1) && (BUFFER_STRIDE / 64) % 2 == 1);

// What a worker's area holds, by offset.
export const AREA_PACKETS: u32 = WORKER_CONTROL_SIZE;
export const AREA_KEYS: u32 = AREA_PACKETS + POSITIONS * PACKET_SIZEOF;
export const AREA_PORT_ROWS: u32 = AREA_KEYS + POSITIONS * KEY_SIZE;
export const AREA_SUBTABLE_HITS: u32 = AREA_PORT_ROWS + PORTS_MAX * PORT_ROW_SIZEOF;
export const AREA_RX_PORTS: u32 = AREA_SUBTABLE_HITS + SUBTABLES_MAX * 4;
export const AREA_TOUCHED: u32 = AREA_RX_PORTS + PORTS_MAX * 4;
export const AREA_POLL_SET: u32 = AREA_TOUCHED + TOUCHED_MAX * 4;
export const AREA_OFFLOADS: u32 = AREA_POLL_SET + POLL_SET_MAX * POLLFD_SIZEOF;
export const AREA_UPCALL_PORTS: u32 = AREA_OFFLOADS + OFFLOADS_SIZE;
export const AREA_UPCALL: u32 = AREA_UPCALL_PORTS + PORTS_MAX * UPCALL_PORT_SIZEOF;

// This instance's view.
export let worker: u32 = 0;
export let area: usize = 0;
export let packets: usize = 0;
export let keys: usize = 0;
export let portRows: usize = 0;
export let subtableHits: usize = 0;
export let upcallRing: usize = 0;
export let rxPorts: usize = 0;
export let touchedQueues: usize = 0;
export let pollSet: usize = 0;
export let offloads: usize = 0;
export let emc: usize = 0;
export let emcBucketMask: u32 = 0;
export let buffers: usize = 0;
export let flowRows: usize = 0;
export let secrets: usize = 0;
export let ports: usize = 0;
export let flows: usize = 0;
export let flowsCold: usize = 0;
export let flowsCapacity: u32 = 0;
export let workers: u32 = 0;
export let upcallFrames: u32 = 0;
let areas: usize = 0;
let areaSize: u32 = 0;
let areaEmc: u32 = 0;
let areaFlowRows: u32 = 0;

@inline
export function up64(n: u32): u32 {
  return (n + 63) & ~63;
}

/** Bytes of a worker's upcall ring before its last part, the order of the frames (u32 a frame). */
@inline
function upcallOrderOffset(frames: u32): u32 {
  return UPCALL_HEAD_SIZE + frames * UPCALL_FRAME_SIZE + UPCALL_COPY_CHUNKS * UPCALL_COPY_CHUNK_SIZE;
}

/** Bytes of a worker's upcall ring: head, frames, copy area, order. */
function upcallSize(frames: u32): u32 {
  return upcallOrderOffset(frames) + frames * 4;
}

/** The order of the frames of a ring: upcall/produce.ts says what it is. */
@inline
export function upcallOrder(ring: usize): usize {
  return ring + upcallOrderOffset(upcallFrames);
}

@inline
export function sb(offset: u32): usize {
  return SUPERBLOCK + offset;
}

@inline
export function areaOf(slot: u32): usize {
  return areas + slot * areaSize;
}

@inline
export function flowRowsOf(slot: u32): usize {
  return areaOf(slot) + areaFlowRows;
}

function powerOfTwo(n: u32): bool {
  return n != 0 && (n & (n - 1)) == 0;
}

/**
 * Lays out a new datapath and grows the memory to hold it. Sizes: `flowSlots` flows, `workerSlots` workers, `emcEntries` a worker (a power
 * of two), `upcallFrameCount` a worker (a power of two), `arenaSize` bytes. The seed makes every hash of this datapath its own.
 * Returns 0, -EINVAL for a size out of range, -ENOMEM when the memory's maximum is too small.
 */
export function create(
  flowSlots: u32,
  workerSlots: u32,
  emcEntries: u32,
  upcallFrameCount: u32,
  arenaSize: u32,
  seed: u64,
  dpIfindex: u32,
): i32 {
  if (flowSlots == 0 || flowSlots > <u32>FLOWS_MAX || workerSlots == 0 || workerSlots > <u32>WORKERS_MAX)
    return -EINVAL;
  if (!powerOfTwo(emcEntries) || emcEntries < <u32>EMC_ENTRIES_MIN || emcEntries > <u32>EMC_ENTRIES_MAX) return -EINVAL;
  if (!powerOfTwo(upcallFrameCount) || upcallFrameCount < 64 || upcallFrameCount > 65536) return -EINVAL;

  const emcOffset = up64(AREA_UPCALL + upcallSize(upcallFrameCount));
  const size = emcOffset + emcEntries * 8 + POSITIONS * BUFFER_STRIDE + flowSlots * FLOW_ROW_SIZEOF;
  let next: u64 = SUPERBLOCK + SUPERBLOCK_SIZE;
  next = region(SB_HASH_SECRETS, next, KEY_WORDS * 8);
  next = region(SB_PORTS, next, PORTS_MAX * PORT_SIZEOF);
  next = region(SB_SUBTABLES, next, SUBTABLES_MAX * SUBTABLE_SIZEOF);
  next = region(SB_MASK_INDEX, next, SUBTABLES_MAX * 8);
  next = region(SB_ACTION_INDEX, next, ACTION_BUCKETS * 4);
  next = region(SB_VPORTS, next, PORTS_MAX * VPORT_SIZEOF);
  next = region(SB_DEVICES, next, DEVICES_MAX * DEVICE_SIZEOF);
  next = region(SB_POLICIES, next, POLICIES_SIZE);
  next = region(SB_DOOR, next, DOOR_DATAGRAM_SIZE + DOOR_OUT_SIZE);
  next = region(SB_WORKER_AREAS, next, <u64>workerSlots * up64(size));
  next = region(SB_FLOWS, next, <u64>flowSlots * FLOW_SIZEOF);
  next = region(SB_FLOWS_COLD, next, <u64>flowSlots * FLOW_COLD_SIZEOF);
  next = region(SB_ARENA, next, arenaSize);
  // one page is kept free at the end so that a v128 load at the last byte of any region stays inside the memory
  const pages = (next >> 16) + 2;
  if (pages > 65536) return -ENOMEM;
  const have = <u32>memory.size();
  if (<u32>pages > have && memory.grow(<i32>(<u32>pages - have)) < 0) return -ENOMEM;

  store<u32>(sb(SB_FLOWS_CAPACITY), flowSlots);
  store<u32>(sb(SB_WORKERS), workerSlots);
  store<u32>(sb(SB_EMC_ENTRIES), emcEntries);
  store<u32>(sb(SB_UPCALL_FRAMES), upcallFrameCount);
  store<u32>(sb(SB_ARENA_SIZE), arenaSize);
  store<u32>(sb(SB_DP_IFINDEX), dpIfindex);
  store<u32>(sb(SB_OPTIONS), 0);
  store<u32>(sb(SB_END), <u32>pages);
  store<u32>(sb(SB_WORKER_AREA_SIZE), up64(size));
  store<u32>(sb(SB_ARENA_NEXT), load<u32>(sb(SB_ARENA)));
  store<u32>(sb(SB_EPOCH), 1);
  let state = seed;
  for (let i: u32 = 0; i < <u32>KEY_WORDS; i++) {
    state += 0x9e3779b97f4a7c15;
    store<u64>(load<u32>(sb(SB_HASH_SECRETS)) + (i << 3), random64(state) | 0x0000000100000001);
  }
  atomic.store<u32>(sb(SB_MAGIC), MAGIC);
  return 0;
}

function region(field: u32, base: u64, size: u64): u64 {
  store<u32>(sb(field), <u32>base);
  return (base + size + 63) & ~63;
}

/** Loads the addresses of worker slot `slot` into this instance. Returns 0, or -EINVAL: no datapath here, no such slot. */
export function attachTo(slot: u32): i32 {
  if (atomic.load<u32>(sb(SB_MAGIC)) != MAGIC || slot >= load<u32>(sb(SB_WORKERS))) return -EINVAL;
  areas = load<u32>(sb(SB_WORKER_AREAS));
  areaSize = load<u32>(sb(SB_WORKER_AREA_SIZE));
  workers = load<u32>(sb(SB_WORKERS));
  upcallFrames = load<u32>(sb(SB_UPCALL_FRAMES));
  flowsCapacity = load<u32>(sb(SB_FLOWS_CAPACITY));
  secrets = load<u32>(sb(SB_HASH_SECRETS));
  ports = load<u32>(sb(SB_PORTS));
  flows = load<u32>(sb(SB_FLOWS));
  flowsCold = load<u32>(sb(SB_FLOWS_COLD));
  const emcEntries = load<u32>(sb(SB_EMC_ENTRIES));
  areaEmc = up64(AREA_UPCALL + upcallSize(upcallFrames));
  areaFlowRows = areaEmc + emcEntries * 8 + POSITIONS * BUFFER_STRIDE;

  worker = slot;
  area = areaOf(slot);
  packets = area + AREA_PACKETS;
  keys = area + AREA_KEYS;
  portRows = area + AREA_PORT_ROWS;
  subtableHits = area + AREA_SUBTABLE_HITS;
  upcallRing = area + AREA_UPCALL;
  rxPorts = area + AREA_RX_PORTS;
  touchedQueues = area + AREA_TOUCHED;
  pollSet = area + AREA_POLL_SET;
  offloads = area + AREA_OFFLOADS;
  emc = area + areaEmc;
  emcBucketMask = emcEntries / 8 - 1;
  buffers = emc + emcEntries * 8;
  flowRows = area + areaFlowRows;
  return 0;
}
