/*
 * Hot flows: what XDP programs forward by themselves, before any frame comes to a socket. The kernel's half of the exact-match cache, in this memory.
 *
 *     frame -> XDP program of the port: key, pair of entries, record -> out of another port (a DEVMAP)
 *                       \-> nothing there: the AF_XDP socket -> pipeline -> `offer`: the next one finds it
 *
 * Concepts. A record stands for a flow (one a slot): where its packets go, and what was forwarded. An entry is a whole key of TCP or UDP over IPv4, as the
 * exact-match cache would have it, and names a record and its generation: the generation is odd while the record counts, and every change of the flow ends
 * it, so that all entries of a flow end with one store. Flows whose list is one OUTPUT to a port that takes XDP frames become hot, with their second packet of a
 * key: what the cache knew.
 * Both tables are one BPF array that is mapped here (src/ports/hot-flows.ts); the program is native/hot-program.cc, which reads what this writes.
 *
 * What readers see. An entry is written while its head says nothing, and only when it has said so for QUARANTINE_MS: no program that read the old head still
 * compares the old key. A record is changed while no generation is odd.
 * Counts. Programs count in the record. When a flow changes or goes, what was counted is folded into the rows of whoever does that (memory/lock.ts); sums
 * add what is not folded yet (flow/stats.ts). So nothing is counted twice or lost.
 *
 * Ownership. Entries: any worker, by compare and exchange of the head. Records: bound by any worker, ended and folded by holders of the writer lock. Threads: these.
 */
import {
  ACTIONS_KIND,
  ACTIONS_KIND_OUTPUT,
  ACTIONS_PORT,
  COUNTER_HOT_HITS,
  COUNTER_RECEIVED,
  COUNTER_TRANSMITTED,
  FLOW_ACTIONS,
  FLOW_ROW_BYTES,
  FLOW_ROW_PACKETS,
  FLOW_ROW_USED_MS,
  FLOW_SUBTABLE,
  HOT_ENTRY_DEAD_MS,
  HOT_ENTRY_HEAD,
  HOT_ENTRY_KEY,
  HOT_ENTRY_SIZEOF,
  HOT_FACTORS,
  HOT_KEY_WORDS,
  HOT_PAIRS,
  HOT_PAIR_BITS,
  HOT_PAIR_SIZEOF,
  HOT_RECORDS,
  HOT_RECORD_BYTES,
  HOT_RECORD_COUNT,
  HOT_RECORD_FOLDED_BYTES,
  HOT_RECORD_FOLDED_PACKETS,
  HOT_RECORD_GENERATION,
  HOT_RECORD_IN_PORT,
  HOT_RECORD_PACKETS,
  HOT_RECORD_PORT,
  HOT_RECORD_SIZEOF,
  HOT_RECORD_SIZE_MAX,
  HOT_RECORD_USED_NS,
  KEY_CVLAN_TCI,
  KEY_ETH_TYPE,
  KEY_IN_PORT,
  KEY_IP_FRAG,
  KEY_IP_PROTO,
  PACKET_FLAGS,
  PACKET_FLAG_KEY_COLD,
  PACKET_FLAG_KEY_STALE,
  PACKET_FLAG_L3,
  PACKET_FLAG_OFFLOAD,
  PACKET_IN_PORT,
  PACKET_KEY,
  PORTS_MAX,
  PORT_HOT_SIZE,
  PORT_ROW_RX_BYTES,
  PORT_ROW_RX_PACKETS,
  PORT_ROW_TX_BYTES,
  PORT_ROW_TX_PACKETS,
  PORT_SIZEOF,
  SB_FLOW_FRESH,
  SB_HOT,
  SUBTABLE_MASK,
  WORKERS_MAX,
  WORKER_TIME_MS,
} from '../constants';
import { count, countPort, rowOf } from '../flow/counters';
import { flowAt, slotOf } from '../flow/slot';
import { area, ports, sb, worker } from '../memory/layout';
import { lock, unlock } from '../memory/lock';
import { ETH_P_IP_WIRE } from '../packet/ethernet';
import { IPPROTO_TCP, IPPROTO_UDP } from '../packet/l4';

/** A program runs for microseconds; the processor of a virtual machine may stand still for longer. */
const QUARANTINE_MS: u32 = 20;
/** A full pair gives up an entry only every so-many-th time, as the exact-match cache. */
const EVICT_RELUCTANCE: u32 = 16;
/** Of a head: the worker with the number in the lower half writes the entry. No record has this generation. */
export const HEAD_WRITING: u64 = 0xffffffff00000000;
/** Of a generation: a worker writes the record, and which. The rest counts, and wraps. */
const WRITING: u32 = 0x80000000;
const WRITER_SHIFT: u32 = 27;
const COUNT: u32 = (1 << WRITER_SHIFT) - 1;
const NS_PER_MS: u64 = 1000000;
/** A packet with one of these has fields that entries do not hold, or work left to be done. */
const NOT_PLAIN: u32 = PACKET_FLAG_KEY_COLD | PACKET_FLAG_KEY_STALE | PACKET_FLAG_L3 | PACKET_FLAG_OFFLOAD;

assert(<u32>WORKERS_MAX <= 1 << (31 - WRITER_SHIFT));
assert(HOT_ENTRY_KEY + HOT_KEY_WORDS * 8 == HOT_ENTRY_DEAD_MS && HOT_PAIR_SIZEOF == 2 * HOT_ENTRY_SIZEOF);

let reluctance: u32 = 0;

// ---------------------------------------------------------------------------------------------------- entries

/** A packet that the cache knew came by a port with a program, and its flow, whose list is one OUTPUT to `output`, sent it: the next may be forwarded there. */
export function offer(packet: usize, flow: usize, actions: usize, output: u32): void {
  const hot: usize = load<u32>(sb(SB_HOT));
  const key: usize = load<u32>(packet, PACKET_KEY);
  if (hot == 0 || !isPlain(packet, key)) return;
  const record = recordOf(flow);
  if (record == 0) return;
  const generation = bind(record, flow, actions, load<u32>(packet, PACKET_IN_PORT), output);
  if (generation != 0) enter(hot, key, <u64>slotOf(flow) | ((<u64>generation) << 32));
}

/** The first words of the key say all there is. */
@inline
function isPlain(packet: usize, key: usize): bool {
  if ((<u32>load<u16>(packet, PACKET_FLAGS) & NOT_PLAIN) != 0) return false;
  if (<u32>load<u16>(key, KEY_ETH_TYPE) != ETH_P_IP_WIRE || load<u16>(key, KEY_CVLAN_TCI) != 0) return false;
  const proto = <u32>load<u8>(key, KEY_IP_PROTO);
  return load<u8>(key, KEY_IP_FRAG) == 0 && (proto == IPPROTO_TCP || proto == IPPROTO_UDP);
}

/** The first entry of the pair that the key belongs to. */
@inline
function pairOf(hot: usize, key: usize): usize {
  let sum: u64 = 0;
  for (let i: u32 = 0; i < <u32>HOT_KEY_WORDS; i++)
    sum += load<u64>(key + (i << 3)) * load<u64>(hot + (i << 3), HOT_FACTORS);
  return load<u32>(hot, HOT_PAIRS) + <u32>(sum >> (64 - load<u32>(hot, HOT_PAIR_BITS))) * HOT_PAIR_SIZEOF;
}

function enter(hot: usize, key: usize, head: u64): void {
  const pair = pairOf(hot, key);
  const other = pair + HOT_ENTRY_SIZEOF;
  if (renew(pair, key, head) || renew(other, key, head)) return;
  const nowMs = <u32>load<u64>(area, WORKER_TIME_MS);
  if (write(pair, key, head, nowMs) || write(other, key, head, nowMs)) return;
  if (endStale(hot, pair, nowMs) || endStale(hot, other, nowMs)) return;
  if (++reluctance % EVICT_RELUCTANCE == 0) end((reluctance & EVICT_RELUCTANCE) == 0 ? pair : other, nowMs);
}

/** True when the entry is this key's: what it names may have changed. */
function renew(entry: usize, key: usize, head: u64): bool {
  const old = atomic.load<u64>(entry, HOT_ENTRY_HEAD);
  if (old == 0 || old >= HEAD_WRITING || !isKey(entry, key)) return false;
  if (old != head) atomic.cmpxchg<u64>(entry, old, head, HOT_ENTRY_HEAD);
  return true;
}

@inline
function isKey(entry: usize, key: usize): bool {
  const difference = v128.or(
    v128.or(
      v128.xor(v128.load(entry, HOT_ENTRY_KEY), v128.load(key)),
      v128.xor(v128.load(entry, HOT_ENTRY_KEY + 16), v128.load(key, 16)),
    ),
    v128.xor(v128.load(entry, HOT_ENTRY_KEY + 32), v128.load(key, 32)),
  );
  return !v128.any_true(difference);
}

/** Writes an entry that has said nothing for long enough. False if it is none, or others are at it. */
function write(entry: usize, key: usize, head: u64, nowMs: u32): bool {
  if (atomic.load<u64>(entry, HOT_ENTRY_HEAD) != 0) return false;
  const deadMs = load<u32>(entry, HOT_ENTRY_DEAD_MS);
  if (deadMs != 0 && nowMs - deadMs < QUARANTINE_MS) return false;
  if (atomic.cmpxchg<u64>(entry, 0, HEAD_WRITING | worker, HOT_ENTRY_HEAD) != 0) return false;
  memory.copy(entry + HOT_ENTRY_KEY, key, HOT_KEY_WORDS << 3);
  atomic.store<u64>(entry, head, HOT_ENTRY_HEAD);
  return true;
}

/** Ends an entry whose record has another generation. False if it is none. */
function endStale(hot: usize, entry: usize, nowMs: u32): bool {
  const head = atomic.load<u64>(entry, HOT_ENTRY_HEAD);
  if (head == 0 || head >= HEAD_WRITING) return head == 0;
  if (isCurrent(hot, head)) return false;
  end(entry, nowMs);
  return true;
}

@inline
function isCurrent(hot: usize, head: u64): bool {
  return atomic.load<u32>(recordAt(hot, <u32>head), HOT_RECORD_GENERATION) == <u32>(head >> 32);
}

/** The time first: whoever finds that the entry says nothing sees since when. */
function end(entry: usize, nowMs: u32): void {
  const head = atomic.load<u64>(entry, HOT_ENTRY_HEAD);
  if (head == 0 || head >= HEAD_WRITING) return;
  store<u32>(entry, nowMs | 1, HOT_ENTRY_DEAD_MS);
  atomic.cmpxchg<u64>(entry, head, 0, HOT_ENTRY_HEAD);
}

// ---------------------------------------------------------------------------------------------------- records

@inline
export function recordAt(hot: usize, slot: u32): usize {
  return load<u32>(hot, HOT_RECORDS) + slot * HOT_RECORD_SIZEOF;
}

/** The record of a flow; 0: there are none, or none for its slot. */
@inline
export function recordOf(flow: usize): usize {
  const hot: usize = load<u32>(sb(SB_HOT));
  return hot == 0 || slotOf(flow) >= load<u32>(hot, HOT_RECORD_COUNT) ? 0 : recordAt(hot, slotOf(flow));
}

/**
 * The generation under which entries of the flow count, 0: it cannot be hot. A flow that looks at no port stands for several, whose counts one record cannot
 * tell apart.
 */
function bind(record: usize, flow: usize, actions: usize, inPort: u32, output: u32): u32 {
  const before = atomic.load<u32>(record, HOT_RECORD_GENERATION);
  if ((before & WRITING) != 0) return 0;
  if ((before & 1) != 0) return before;
  const subtable: usize = atomic.load<u32>(flow, FLOW_SUBTABLE);
  if (output >= <u32>PORTS_MAX || subtable == 0 || load<u32>(subtable + KEY_IN_PORT, SUBTABLE_MASK) != 0xffffffff)
    return 0;
  const sizeMax = atomic.load<u32>(ports + output * PORT_SIZEOF, PORT_HOT_SIZE);
  if (sizeMax == 0 || unfoldedPackets(record) != 0) return 0;
  const writing = ownWriting() | before;
  if (atomic.cmpxchg<u32>(record, before, writing, HOT_RECORD_GENERATION) != before) return 0;
  store<u32>(record, output, HOT_RECORD_PORT);
  store<u32>(record, sizeMax, HOT_RECORD_SIZE_MAX);
  store<u32>(record, inPort, HOT_RECORD_IN_PORT);
  // a flow that changes now has counted on, or finds the generation odd and ends it
  const generation = (before + 1) & COUNT;
  if (atomic.cmpxchg<u32>(record, writing, generation, HOT_RECORD_GENERATION) != writing) {
    putDown(record);
    return 0;
  }
  const isSame = atomic.load<u32>(flow, FLOW_ACTIONS) == <u32>actions && atomic.load<u32>(flow, FLOW_SUBTABLE) != 0;
  const isOpen = atomic.load<u32>(ports + output * PORT_SIZEOF, PORT_HOT_SIZE) == sizeMax;
  if (isSame && isOpen) return generation;
  endGeneration(record);
  return 0;
}

@inline
function ownWriting(): u32 {
  return WRITING | (worker << WRITER_SHIFT);
}

/** This worker writes the record no more. It does not count. */
function putDown(record: usize): void {
  for (;;) {
    const generation = atomic.load<u32>(record, HOT_RECORD_GENERATION);
    if (atomic.cmpxchg<u32>(record, generation, generation & COUNT, HOT_RECORD_GENERATION) == generation) return;
  }
}

/** No entry of the record counts any more; whoever is writing it will notice. */
function endGeneration(record: usize): void {
  for (;;) {
    const generation = atomic.load<u32>(record, HOT_RECORD_GENERATION);
    const isWritten = (generation & WRITING) != 0;
    if (!isWritten && (generation & 1) == 0) return;
    const next = (generation & ~COUNT) | ((generation + (isWritten ? 2 : 1)) & COUNT);
    if (atomic.cmpxchg<u32>(record, generation, next, HOT_RECORD_GENERATION) == generation) return;
  }
}

@inline
export function unfoldedPackets(record: usize): u64 {
  return atomic.load<u64>(record, HOT_RECORD_PACKETS) - load<u64>(record, HOT_RECORD_FOLDED_PACKETS);
}

@inline
export function unfoldedBytes(record: usize): u64 {
  return atomic.load<u64>(record, HOT_RECORD_BYTES) - load<u64>(record, HOT_RECORD_FOLDED_BYTES);
}

/** The flow changes, or it is none any more: nothing is forwarded by what it was; what was is counted in this worker's rows. The caller holds the writer lock. */
export function coolFlow(flow: usize): void {
  const record = recordOf(flow);
  if (record == 0) return;
  endGeneration(record);
  const packets = unfoldedPackets(record);
  if (packets == 0) return;
  const bytes = unfoldedBytes(record);
  const row = rowOf(flow);
  store<u64>(row, load<u64>(row, FLOW_ROW_PACKETS) + packets, FLOW_ROW_PACKETS);
  store<u64>(row, load<u64>(row, FLOW_ROW_BYTES) + bytes, FLOW_ROW_BYTES);
  store<u64>(row, max<u64>(load<u64>(row, FLOW_ROW_USED_MS), usedMsOfRecord(record)), FLOW_ROW_USED_MS);
  countPort(load<u32>(record, HOT_RECORD_IN_PORT), PORT_ROW_RX_PACKETS, packets);
  countPort(load<u32>(record, HOT_RECORD_IN_PORT), PORT_ROW_RX_BYTES, bytes);
  countPort(load<u32>(record, HOT_RECORD_PORT), PORT_ROW_TX_PACKETS, packets);
  countPort(load<u32>(record, HOT_RECORD_PORT), PORT_ROW_TX_BYTES, bytes);
  count(COUNTER_RECEIVED, packets);
  count(COUNTER_HOT_HITS, packets);
  count(COUNTER_TRANSMITTED, packets);
  store<u64>(record, load<u64>(record, HOT_RECORD_FOLDED_PACKETS) + packets, HOT_RECORD_FOLDED_PACKETS);
  store<u64>(record, load<u64>(record, HOT_RECORD_FOLDED_BYTES) + bytes, HOT_RECORD_FOLDED_BYTES);
}

@inline
export function usedMsOfRecord(record: usize): u64 {
  return atomic.load<u64>(record, HOT_RECORD_USED_NS) / NS_PER_MS;
}

/** A port goes, or cannot be forwarded to as before: flows that come from there or go there come to the socket, and may become hot anew. */
export function coolPort(portNo: u32): void {
  if (load<u32>(sb(SB_HOT)) == 0) return;
  lock();
  coolPortLocked(portNo);
  unlock();
}

/** The same; the caller holds the writer lock. */
export function coolPortLocked(portNo: u32): void {
  const hot: usize = load<u32>(sb(SB_HOT));
  if (hot == 0) return;
  const used = recordsInUse(hot);
  for (let slot: u32 = 0; slot < used; slot++) {
    const record = recordAt(hot, slot);
    if (load<u32>(record, HOT_RECORD_PORT) == portNo || load<u32>(record, HOT_RECORD_IN_PORT) == portNo)
      coolFlow(flowAt(slot));
  }
}

/** Of a worker that died: what it was writing says nothing, and a record that it made count for a flow that changed meanwhile counts no more. */
export function recoverHot(slot: u32): void {
  const hot: usize = load<u32>(sb(SB_HOT));
  if (hot == 0) return;
  const entries = entryCount(hot);
  for (let i: u32 = 0; i < entries; i++) {
    const entry = load<u32>(hot, HOT_PAIRS) + i * HOT_ENTRY_SIZEOF;
    if (load<u64>(entry, HOT_ENTRY_HEAD) == (HEAD_WRITING | slot)) atomic.store<u64>(entry, 0, HOT_ENTRY_HEAD);
  }
  const used = recordsInUse(hot);
  for (let i: u32 = 0; i < used; i++) {
    const record = recordAt(hot, i);
    const generation = atomic.load<u32>(record, HOT_RECORD_GENERATION);
    if ((generation & ~COUNT) == (WRITING | (slot << WRITER_SHIFT))) putDown(record);
    if ((generation & 1) != 0 && faultOf(record, flowAt(i)) != 0) endGeneration(record);
  }
}

/** The tables are there: `hot` is their HOT block. */
export function setHotFlows(hot: u32): void {
  atomic.store<u32>(sb(SB_HOT), hot);
}

@inline
export function entryCount(hot: usize): u32 {
  return 2 << load<u32>(hot, HOT_PAIR_BITS);
}

@inline
export function recordsInUse(hot: usize): u32 {
  return min<u32>(load<u32>(sb(SB_FLOW_FRESH)), load<u32>(hot, HOT_RECORD_COUNT));
}

/** What is wrong with a record that counts for a flow: 60, 61, or 0. */
export function faultOf(record: usize, flow: usize): u32 {
  if (atomic.load<u32>(flow, FLOW_SUBTABLE) == 0) return 60;
  const actions: usize = atomic.load<u32>(flow, FLOW_ACTIONS);
  const isOutput = load<u32>(actions, ACTIONS_KIND) == ACTIONS_KIND_OUTPUT;
  return isOutput && load<u32>(actions, ACTIONS_PORT) == load<u32>(record, HOT_RECORD_PORT) ? 0 : 61;
}
