/*
 * AF_PACKET queues: frames received from a ring that the kernel fills (TPACKET_V2) and frames sent by sendmmsg. And those of TAP devices, whose
 * frames the shim reads into the same kind of ring, and writes.
 *
 *     frame   | tpacket2_hdr 32 | headroom ... | virtio_net_hdr 10 | frame ... |
 *                               PACKET_HEAD                        PACKET_DATA  PACKET_TAIL
 *
 * Before it: io/receive.ts, io/transmit.ts. After it: io/queue.ts settles, native/pump.cc sends and fetches.
 *
 * Concepts. The kernel owns a frame while its status is TP_STATUS_KERNEL, we while it has TP_STATUS_USER; a batch is handled in place and
 * given back when it is settled. The ring is the kernel's memory mapped into ours (or, with RXQ_FLAG_COPYING, memory that the shim fills in
 * the same way), so what stands in it is believed only as far as the frame goes, and is read once. A VLAN tag that the kernel took out is put
 * back. A frame that is longer than the ring's waits in the socket (TP_STATUS_COPY): the shim receives it into a buffer, and it is taken from
 * there when its turn comes. Frames go out with the virtio_net_hdr in front of them: what was left to be done travels on with them.
 *
 * Ownership. See io/queue.ts. Threads: the worker that has the queue in hand.
 */
import {
  BATCH_MAX,
  COUNTER_TRANSMITTED,
  DROP_RX_DESCRIPTOR,
  DROP_RX_TRUNCATED,
  DROP_TX_FULL,
  FRAME_SIZE_MAX,
  PACKET_DATA,
  PACKET_HEAD,
  PACKET_SIZEOF,
  PORT_ROW_TX_BYTES,
  PORT_ROW_TX_DROPPED,
  PORT_ROW_TX_PACKETS,
  QUEUE_PORT,
  QUEUE_TOUCHED,
  RXQ_FETCHED,
  RXQ_FETCH_BUFFERS,
  RXQ_FETCH_FRAME,
  RXQ_FETCH_MAX,
  RXQ_FETCH_SIZES,
  RXQ_FETCH_STRIDE,
  RXQ_FETCH_TAKEN,
  RXQ_FETCH_WANTED,
  RXQ_FLAGS,
  RXQ_FLAG_COPYING,
  RXQ_FRAME_SIZE,
  RXQ_HELD,
  RXQ_HELD_FIRST,
  RXQ_NEXT,
  RXQ_OWNER,
  RXQ_RING,
  RXQ_RING_END,
  TP2_LEN,
  TP2_MAC,
  TP2_NSEC,
  TP2_SEC,
  TP2_SIZEOF,
  TP2_SNAPLEN,
  TP2_STATUS,
  TP2_VLAN_TCI,
  TP2_VLAN_TPID,
  TP_STATUS_COPY,
  TP_STATUS_KERNEL,
  TP_STATUS_USER,
  TP_STATUS_VLAN_TPID_VALID,
  TP_STATUS_VLAN_VALID,
  TXQ_BUFFER,
  TXQ_BUFFER_SIZE,
  TXQ_BUFFER_USED,
  TXQ_COUNT,
  TXQ_ENTRIES,
  TXQ_ENTRIES_MAX,
  TXQ_ENTRY_ADDRESS,
  TXQ_ENTRY_ERRNO,
  TXQ_ENTRY_FRAME_SIZE,
  TXQ_ENTRY_SIZE,
  TXQ_ENTRY_SIZEOF,
  TXQ_KICKED,
  TXQ_REFUSED,
  VNET_SIZEOF,
} from '../constants';
import { count, countDrop, countPort } from '../flow/counters';
import { packets } from '../memory/layout';
import { ETH_P_8021Q_WIRE, VLAN_TAG_SIZE } from '../packet/ethernet';
import { readVnet, writeVnet } from './offload';
import { dropOf, own, touch } from './queue';
import { admit, fill, refuse } from './receive';

/** Both MAC addresses: what stands before a tag. */
const ADDRESSES_SIZE: u32 = 12;
const NS_PER_S: u64 = 1000000000;
/** Where a frame can begin at the earliest. */
const MAC_MIN: u32 = TP2_SIZEOF + VNET_SIZEOF;
/** The longest frame that a buffer holds. */
const FETCH_SIZE_MAX: u32 = RXQ_FETCH_STRIDE - RXQ_FETCH_FRAME;

// ---------------------------------------------------------------------------------------------------- receive

/** Fills the batch from the ring; the frames stay where they are until the queue is settled. Returns the number of packets. */
export function receivePackets(queue: usize, portNo: u32): u32 {
  if (load<u32>(queue, QUEUE_TOUCHED) != 0) return 0;
  // without a kernel ring the queue is touched in every round: the shim looks whether there is something to fill it with
  if (!hasPackets(queue) && (load<u32>(queue, RXQ_FLAGS) & RXQ_FLAG_COPYING) == 0) return 0;
  if (!own(queue)) return 0;
  let frame: usize = load<u32>(queue, RXQ_NEXT);
  const ready = touchFrames(queue, frame);
  const wanted = ready < <u32>BATCH_MAX ? wantedAt(queue, frame, ready) : 0;
  fetchIndex = load<u32>(queue, RXQ_FETCH_TAKEN);
  takeFrames(queue, frame, ready, wanted);
  if (ready == 0) return 0;
  admit(portNo, ready, touchedBytes);
  let n: u32 = 0;
  for (let i: u32 = 0; i < ready; i++, frame = after(queue, frame)) {
    const refusal = take(queue, frame, n, portNo);
    if (refusal == 0) n++;
    else refuse(portNo, refusal);
  }
  return n;
}

/** `count` frames from `first` on are this worker's until they are given back, the long ones among them from their buffers; `wanted` are to be received. */
@inline
function takeFrames(queue: usize, first: usize, count: u32, wanted: u32): void {
  const next = first + count * load<u32>(queue, RXQ_FRAME_SIZE);
  store<u32>(queue, <u32>first, RXQ_HELD_FIRST);
  store<u32>(queue, count, RXQ_HELD);
  store<u32>(queue, next == <usize>load<u32>(queue, RXQ_RING_END) ? load<u32>(queue, RXQ_RING) : <u32>next, RXQ_NEXT);
  store<u32>(queue, fetchIndex + touchedLong, RXQ_FETCH_TAKEN);
  if (wanted == 0) return;
  store<u32>(queue, 0, RXQ_FETCHED);
  store<u32>(queue, 0, RXQ_FETCH_TAKEN);
  store<u32>(queue, wanted, RXQ_FETCH_WANTED);
}

@inline
export function hasPackets(queue: usize): bool {
  return isOurs(load<u32>(queue, RXQ_NEXT));
}

@inline
function isOurs(frame: usize): bool {
  return (atomic.load<u32>(frame, TP2_STATUS) & TP_STATUS_USER) != 0;
}

/** The frame behind this one. */
@inline
function after(queue: usize, frame: usize): usize {
  const next = frame + load<u32>(queue, RXQ_FRAME_SIZE);
  return next == <usize>load<u32>(queue, RXQ_RING_END) ? <usize>load<u32>(queue, RXQ_RING) : next;
}

/** What touchFrames reads: kept so that the loads are not removed. */
export let touchedFrames: u32 = 0;
/** What it found besides: bytes, and frames that are longer than the ring's. */
let touchedBytes: u64 = 0;
let touchedLong: u32 = 0;

/**
 * How many frames of a batch are ours and whole, from `first` on. Touches what will be read of them, first all headers and then all beginnings, so that the
 * transfers from the cache of the processor that wrote them overlap.
 */
function touchFrames(queue: usize, first: usize): u32 {
  const size = load<u32>(queue, RXQ_FRAME_SIZE);
  const end = first + min<usize>(BATCH_MAX * size, <usize>load<u32>(queue, RXQ_RING_END) - first);
  const fetched = load<u32>(queue, RXQ_FETCHED) - load<u32>(queue, RXQ_FETCH_TAKEN);
  let frame = first;
  let long: u32 = 0;
  let bytes: u64 = 0;
  for (; frame < end; frame += size) {
    const status = atomic.load<u32>(frame, TP2_STATUS);
    if ((status & TP_STATUS_USER) == 0) break;
    if ((status & TP_STATUS_COPY) != 0 && long++ == fetched) break;
    bytes += min<u32>(load<u32>(frame, TP2_LEN), FRAME_SIZE_MAX) + tagSize(status);
  }
  const ready = <u32>(frame - first) / size;
  let touching: u32 = 0;
  for (let from = first; from < frame; from += size) {
    const data = from + min<u32>(<u32>load<u16>(from, TP2_MAC), size);
    touching += <u32>load<u8>(data - VNET_SIZEOF) + <u32>load<u8>(data);
  }
  touchedFrames += touching;
  touchedBytes = bytes;
  touchedLong = min<u32>(long, fetched);
  return ready;
}

/** Of a tag that the kernel took out. */
@inline
function tagSize(status: u32): u32 {
  return (status & TP_STATUS_VLAN_VALID) != 0 ? VLAN_TAG_SIZE : 0;
}

/** Makes the frame position `n` of the batch. Returns 0, or the reason why it cannot be one. */
function take(queue: usize, frame: usize, n: u32, portNo: u32): u32 {
  const status = atomic.load<u32>(frame, TP2_STATUS);
  const size = load<u32>(frame, TP2_SNAPLEN);
  const mac = <u32>load<u16>(frame, TP2_MAC);
  const frameSize = load<u32>(queue, RXQ_FRAME_SIZE);
  if (mac < MAC_MIN || size > frameSize || mac + size > frameSize) return DROP_RX_DESCRIPTOR;
  const timeNs = <u64>load<u32>(frame, TP2_SEC) * NS_PER_S + load<u32>(frame, TP2_NSEC);
  if ((status & TP_STATUS_COPY) != 0) return takeFetched(queue, frame, status, n, portNo, timeNs);
  if (size < load<u32>(frame, TP2_LEN)) return DROP_RX_TRUNCATED;
  return makePacket(frame, frame + TP2_SIZEOF, frame + mac, size, frame + frameSize, status, n, portNo, timeNs);
}

/** `header`: the tpacket2_hdr; the packet lies at `data` in a buffer from `head` to `tail`. */
@inline
function makePacket(
  header: usize,
  head: usize,
  data: usize,
  size: u32,
  tail: usize,
  status: u32,
  n: u32,
  portNo: u32,
  timeNs: u64,
): u32 {
  const tag = tagSize(status);
  if (data - head < tag || !readVnet(data - VNET_SIZEOF, n, size + tag, tag)) return DROP_RX_DESCRIPTOR;
  if (tag != 0) putTag(data, header, status);
  fill(packets + n * PACKET_SIZEOF, portNo, data - tag, size + tag, head, tail, size + tag, timeNs);
  return 0;
}

/** Puts the tag that the kernel took out back between the addresses and the type; the frame begins earlier by it. */
function putTag(data: usize, header: usize, status: u32): void {
  const tci = load<u16>(header, TP2_VLAN_TCI);
  const known = (status & TP_STATUS_VLAN_TPID_VALID) != 0;
  const tpid = known ? bswap<u16>(load<u16>(header, TP2_VLAN_TPID)) : <u16>ETH_P_8021Q_WIRE;
  memory.copy(data - VLAN_TAG_SIZE, data, ADDRESSES_SIZE);
  store<u16>(data + ADDRESSES_SIZE - VLAN_TAG_SIZE, tpid);
  store<u16>(data + ADDRESSES_SIZE - VLAN_TAG_SIZE, bswap<u16>(tci), 2);
}

// ---------------------------------------------------------------------------------------------------- frames longer than the ring's

/** Buffer of the next long frame of the batch. */
let fetchIndex: u32 = 0;

/** How many long frames stand behind `ready` others and are in no buffer. All that are in one have been taken then. */
function wantedAt(queue: usize, first: usize, ready: u32): u32 {
  const both = TP_STATUS_USER | TP_STATUS_COPY;
  let frame = first + ready * load<u32>(queue, RXQ_FRAME_SIZE);
  if (frame == <usize>load<u32>(queue, RXQ_RING_END)) return 0;
  let wanted: u32 = 0;
  for (; wanted < <u32>RXQ_FETCH_MAX; wanted++, frame = after(queue, frame)) {
    if ((atomic.load<u32>(frame, TP2_STATUS) & both) != both) break;
  }
  return wanted;
}

function takeFetched(queue: usize, frame: usize, status: u32, n: u32, portNo: u32, timeNs: u64): u32 {
  const index = fetchIndex++;
  const size = load<u32>(queue + (index << 2), RXQ_FETCH_SIZES);
  if (size != load<u32>(frame, TP2_LEN) || size > FETCH_SIZE_MAX) return DROP_RX_TRUNCATED;
  const buffer: usize = load<u32>(queue, RXQ_FETCH_BUFFERS) + index * RXQ_FETCH_STRIDE;
  const tail = buffer + RXQ_FETCH_STRIDE;
  return makePacket(frame, buffer, buffer + RXQ_FETCH_FRAME, size, tail, status, n, portNo, timeNs);
}

/** Gives the frames of the round back to the kernel. */
export function giveBackPackets(queue: usize): void {
  let frame: usize = load<u32>(queue, RXQ_HELD_FIRST);
  // whatever was read of the frames was read before the first of them is given back: any atomic operation that writes is a full barrier
  atomic.add<u32>(queue, 0, RXQ_OWNER);
  // step by step: a worker that dies on the way gives no frame back twice, which the kernel may have filled again
  for (let held = load<u32>(queue, RXQ_HELD); held != 0; ) {
    store<u32>(frame, TP_STATUS_KERNEL, TP2_STATUS);
    frame = after(queue, frame);
    store<u32>(queue, <u32>frame, RXQ_HELD_FIRST);
    store<u32>(queue, --held, RXQ_HELD);
  }
}

// ---------------------------------------------------------------------------------------------------- transmit

/**
 * Queues `size` bytes of the packet for the next kick: in place if its frame `stays` there until then, else as a copy. False when there is
 * no room, which is counted.
 */
export function queuePacket(queue: usize, packet: usize, size: u32, stays: bool): bool {
  const n = load<u32>(queue, TXQ_COUNT);
  const data: usize = load<u32>(packet, PACKET_DATA);
  const inPlace = stays && data - VNET_SIZEOF >= load<u32>(packet, PACKET_HEAD);
  const at = inPlace ? data - VNET_SIZEOF : roomFor(queue, VNET_SIZEOF + size);
  if (n == TXQ_ENTRIES_MAX || at == 0) {
    countPort(load<u32>(queue, QUEUE_PORT), PORT_ROW_TX_DROPPED, 1);
    countDrop(DROP_TX_FULL);
    return false;
  }
  if (!inPlace) memory.copy(at + VNET_SIZEOF, data, size);
  writeVnet(at, packet, size);
  const entry = queue + TXQ_ENTRIES + n * TXQ_ENTRY_SIZEOF;
  store<u32>(entry, <u32>at, TXQ_ENTRY_ADDRESS);
  store<u32>(entry, VNET_SIZEOF + size, TXQ_ENTRY_SIZE);
  store<u32>(entry, size, TXQ_ENTRY_FRAME_SIZE);
  store<u32>(entry, 0, TXQ_ENTRY_ERRNO);
  store<u32>(queue, n + 1, TXQ_COUNT);
  touch(queue);
  return true;
}

/** Room for a copy, beginning on a cache line; 0 when there is none. */
function roomFor(queue: usize, size: u32): usize {
  const used = load<u32>(queue, TXQ_BUFFER_USED);
  const rounded = (size + 63) & ~63;
  if (rounded > load<u32>(queue, TXQ_BUFFER_SIZE) - used) return 0;
  store<u32>(queue, used + rounded, TXQ_BUFFER_USED);
  return load<u32>(queue, TXQ_BUFFER) + used;
}

/** Empties the queue after the kick; what the kernel refused was counted as sent, and becomes a drop. */
export function settlePackets(queue: usize): void {
  const n = load<u32>(queue, TXQ_COUNT);
  const kicked = load<u32>(queue, TXQ_KICKED);
  if (load<u32>(queue, TXQ_REFUSED) != 0 || kicked != n) {
    // the last first: a worker that dies on the way counts none twice
    for (let i = n; i != 0; i--) {
      const entry = queue + TXQ_ENTRIES + (i - 1) * TXQ_ENTRY_SIZEOF;
      const errno = load<u32>(entry, TXQ_ENTRY_ERRNO);
      store<u32>(queue, i - 1, TXQ_COUNT);
      if (i > kicked || errno != 0)
        recount(load<u32>(queue, QUEUE_PORT), load<u32>(entry, TXQ_ENTRY_FRAME_SIZE), errno);
    }
  }
  store<u32>(queue, 0, TXQ_COUNT);
  store<u32>(queue, 0, TXQ_KICKED);
  store<u32>(queue, 0, TXQ_REFUSED);
  store<u32>(queue, 0, TXQ_BUFFER_USED);
}

/** A frame that was counted as sent and was not. */
@inline
export function recount(portNo: u32, size: u32, errno: u32): void {
  countPort(portNo, PORT_ROW_TX_PACKETS, <u64>-1);
  countPort(portNo, PORT_ROW_TX_BYTES, -(<u64>size));
  countPort(portNo, PORT_ROW_TX_DROPPED, 1);
  count(COUNTER_TRANSMITTED, <u64>-1);
  countDrop(dropOf(errno));
}
