/*
 * AF_XDP sockets: a UMEM of frames and rings of descriptors, all of them in this memory, shared with the kernel.
 *
 *     frames     free -> fill ring -> (kernel) -> receive ring -> held, a packet of the round -> fill ring
 *                free -> transmit ring -> (kernel) -> completion ring -> free
 *
 * Before it: io/receive.ts, io/transmit.ts. After it: io/queue.ts settles, native/pump.cc wakes the kernel.
 *
 * Concepts. Each frame has one owner at any time, which its state says (XSK_FRAME_*): a descriptor that names a frame which is not the kernel's to
 * give, or bytes outside of the frame, is refused and counted. The states are the account: `checkXsk` holds them against the stack of free
 * frames and the rings. Frames are copied into the UMEM to be sent: the most recently used come first, so that they are in the cache, which costs
 * less than sending received frames from where they lie (docs/decisions/packet-rings.md).
 * What is sent plain goes this way. A super-frame, a long frame whose checksum is to be made, and whatever follows one of these in the same round goes by
 * sendmmsg, and the shim kicks that way second: so the order stays.
 *
 * Ownership. See io/queue.ts. What is received (frames, fill and receive ring) is one worker's at a time, what is sent (free frames, transmit and completion
 * ring) one's too; the two have nothing in common. Threads: those workers.
 */
import {
  BATCH_MAX,
  DROP_RX_DESCRIPTOR,
  PACKET_DATA,
  PACKET_SIZEOF,
  QUEUE_PORT,
  QUEUE_TOUCHED,
  RXQ_FLAGS,
  RXQ_FLAG_SOFT,
  TXQ_COUNT,
  WORKER_TIME_NS,
  XDP_DESC_ADDR,
  XDP_DESC_LEN,
  XDP_DESC_OPTIONS,
  XRING_CONSUMER,
  XRING_ENTRIES,
  XRING_MASK,
  XRING_POSITION,
  XRING_PRODUCER,
  XSK_FRAMES,
  XSK_FRAME_FILL,
  XSK_FRAME_FREE,
  XSK_FRAME_HELD,
  XSK_FRAME_SIZE,
  XSK_FRAME_TX,
  XSK_FREE,
  XSK_FREE_COUNT,
  XSK_HELD,
  XSK_HELD_LIST,
  XSK_RING_COMPLETION,
  XSK_RING_FILL,
  XSK_RING_RX,
  XSK_RING_TX,
  XSK_STATES,
  XSK_TAKING,
  XSK_UMEM,
  XTQ_ERRNO,
  XTQ_FRAME_MAX,
  XTQ_OTHER,
  XTQ_SOCKET,
} from '../constants';
import { area, packets } from '../memory/layout';
import { queuePacket, recount } from './afpacket';
import { copyFrame } from './copy';
import { complete, isOffloaded, isSuperFrame, setSoft } from './offload';
import { own, touch } from './queue';
import { admit, fill, refuse } from './receive';

/** Checksums of frames up to this size are made here: that costs less than what sendmmsg costs more. */
const COMPLETE_MAX: u32 = 256;

// ---------------------------------------------------------------------------------------------------- rings and frames

/** Entries that the producer of a ring has published and we have not taken. */
@inline
function filled(ring: usize): u32 {
  return atomic.load<u32>(load<u32>(ring, XRING_PRODUCER)) - load<u32>(ring, XRING_POSITION);
}

/** Address of the entry at our position plus `i`; entries are 8 or 16 bytes. */
@inline
function entryAt(ring: usize, i: u32, shift: u32): usize {
  return (
    load<u32>(ring, XRING_ENTRIES) + (((load<u32>(ring, XRING_POSITION) + i) & load<u32>(ring, XRING_MASK)) << shift)
  );
}

@inline
function stateOf(xsk: usize, frame: u32): usize {
  return load<u32>(xsk, XSK_STATES) + frame;
}

/** The frame that `address` (from the start of the UMEM) lies in; its number is too high when there is none. */
@inline
function frameOf(xsk: usize, address: u64): u32 {
  const frame = address >> ctz(load<u32>(xsk, XSK_FRAME_SIZE));
  return frame > 0xffffffff ? 0xffffffff : <u32>frame;
}

/** The frame of that number is in the hands of the kernel for what `state` says. */
@inline
function isWith(xsk: usize, frame: u32, state: u32): bool {
  return frame < load<u32>(xsk, XSK_FRAMES) && <u32>load<u8>(stateOf(xsk, frame)) == state;
}

@inline
function free(xsk: usize, frame: u32): void {
  const n = load<u32>(xsk, XSK_FREE_COUNT);
  store<u8>(stateOf(xsk, frame), XSK_FRAME_FREE);
  store<u32>(load<u32>(xsk, XSK_FREE) + (n << 2), frame);
  store<u32>(xsk, n + 1, XSK_FREE_COUNT);
}

// ---------------------------------------------------------------------------------------------------- transmit

/** Queues `size` bytes of the packet for the next kick. False when there is no room, which is counted. */
export function queueXdp(queue: usize, packet: usize, size: u32, stays: bool): bool {
  const other: usize = load<u32>(queue, XTQ_OTHER);
  if (load<u32>(other, TXQ_COUNT) == 0 && isPlain(queue, packet, size) && push(queue, packet, size)) return true;
  return queuePacket(other, packet, size, stays);
}

/** The frame can stand in the UMEM as it is; a short one is made so. */
@inline
function isPlain(queue: usize, packet: usize, size: u32): bool {
  if (size > load<u32>(queue, XTQ_FRAME_MAX)) return false;
  if (!isOffloaded(packet)) return true;
  if (size > COMPLETE_MAX || isSuperFrame(packet)) return false;
  complete(packet);
  return true;
}

@inline
function push(queue: usize, packet: usize, size: u32): bool {
  const xsk: usize = load<u32>(queue, XTQ_SOCKET);
  if (load<u32>(xsk, XSK_FREE_COUNT) == 0) {
    reap(xsk);
    if (load<u32>(xsk, XSK_FREE_COUNT) == 0) return false;
  }
  const n = load<u32>(xsk, XSK_FREE_COUNT) - 1;
  const frame = load<u32>(load<u32>(xsk, XSK_FREE) + (n << 2));
  const offset = frame * load<u32>(xsk, XSK_FRAME_SIZE);
  // a worker that dies while it copies leaves a free frame
  copyFrame(load<u32>(xsk, XSK_UMEM) + offset, load<u32>(packet, PACKET_DATA), size);
  store<u32>(xsk, n, XSK_FREE_COUNT);
  store<u8>(stateOf(xsk, frame), XSK_FRAME_TX);
  // the transmit ring has an entry for every frame: there is always room
  const ring = xsk + XSK_RING_TX;
  const entry = entryAt(ring, 0, 4);
  store<u64>(entry, offset, XDP_DESC_ADDR);
  store<u32>(entry, size, XDP_DESC_LEN);
  store<u32>(entry, 0, XDP_DESC_OPTIONS);
  store<u32>(ring, load<u32>(ring, XRING_POSITION) + 1, XRING_POSITION);
  touch(queue);
  return true;
}

/** Takes back the frames that the kernel has sent. */
function reap(xsk: usize): void {
  const ring = xsk + XSK_RING_COMPLETION;
  const n = filled(ring);
  if (n == 0) return;
  for (let i: u32 = 0; i < n; i++) {
    const frame = frameOf(xsk, load<u64>(entryAt(ring, i, 3)));
    if (isWith(xsk, frame, XSK_FRAME_TX)) free(xsk, frame);
  }
  const position = load<u32>(ring, XRING_POSITION) + n;
  store<u32>(ring, position, XRING_POSITION);
  atomic.store<u32>(load<u32>(ring, XRING_CONSUMER), position);
}

/** After the kick: what has gone out already is free again, the most recent first; what the kernel did not take is a drop. */
export function settleXdpTransmit(queue: usize): void {
  const errno = load<u32>(queue, XTQ_ERRNO);
  if (errno != 0) takeBack(queue, errno);
  reap(load<u32>(queue, XTQ_SOCKET));
}

/** The entries behind what is published are ours again, the last first: a worker that dies on the way takes none back twice. */
function takeBack(queue: usize, errno: u32): void {
  const xsk: usize = load<u32>(queue, XTQ_SOCKET);
  const ring = xsk + XSK_RING_TX;
  const published = atomic.load<u32>(load<u32>(ring, XRING_PRODUCER));
  const n = min<u32>(load<u32>(ring, XRING_POSITION) - published, load<u32>(xsk, XSK_FRAMES));
  for (let i = n; i != 0; i--) {
    store<u32>(ring, published + i - 1, XRING_POSITION);
    const entry = entryAt(ring, 0, 4);
    const frame = frameOf(xsk, load<u64>(entry, XDP_DESC_ADDR));
    if (!isWith(xsk, frame, XSK_FRAME_TX)) continue;
    free(xsk, frame);
    recount(load<u32>(queue, QUEUE_PORT), load<u32>(entry, XDP_DESC_LEN), errno);
  }
  store<u32>(queue, 0, XTQ_ERRNO);
}

// ---------------------------------------------------------------------------------------------------- receive

@inline
export function hasXdp(xsk: usize): bool {
  return filled(xsk + XSK_RING_RX) != 0;
}

/** What touchFrames reads: kept so that the loads are not removed. */
export let touchedFrames: u32 = 0;

/** Fills the batch from the receive ring; the frames stay where they are until the queue is settled. Returns the number of packets. */
export function receiveXdp(xsk: usize, portNo: u32): u32 {
  if (load<u32>(xsk, QUEUE_TOUCHED) != 0 || !hasXdp(xsk) || !own(xsk)) return 0;
  if ((load<u32>(xsk, RXQ_FLAGS) & RXQ_FLAG_SOFT) != 0) setSoft();
  const ring = xsk + XSK_RING_RX;
  const available = min<u32>(filled(ring), BATCH_MAX);
  const frameSize = load<u32>(xsk, XSK_FRAME_SIZE);
  admit(portNo, available, touchFrames(xsk, available));
  store<u32>(xsk, available, XSK_TAKING);
  const nowNs = load<u64>(area, WORKER_TIME_NS);
  let n: u32 = 0;
  for (let i: u32 = 0; i < available; i++) {
    const entry = entryAt(ring, i, 4);
    if (!hold(xsk, entry, n)) {
      refuse(portNo, DROP_RX_DESCRIPTOR);
      continue;
    }
    const address = load<u64>(entry, XDP_DESC_ADDR);
    const size = load<u32>(entry, XDP_DESC_LEN);
    const offset = <u32>address & (frameSize - 1);
    const head: usize = load<u32>(xsk, XSK_UMEM) + <u32>address - offset;
    fill(packets + n * PACKET_SIZEOF, portNo, head + offset, size, head, head + frameSize, size, nowNs);
    n++;
  }
  taken(xsk, n);
  return n;
}

/**
 * Bytes of the next `n` descriptors. Touches the beginnings of their frames, whatever the descriptors say, so that the transfers from the cache of the
 * processor that wrote them overlap, which they would not with anything else in between.
 */
function touchFrames(xsk: usize, n: u32): u64 {
  const ring = xsk + XSK_RING_RX;
  const umem: usize = load<u32>(xsk, XSK_UMEM);
  const frameSize = load<u32>(xsk, XSK_FRAME_SIZE);
  const last = <u64>load<u32>(xsk, XSK_FRAMES) * frameSize - 1;
  let bytes: u64 = 0;
  let touching: u32 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const entry = entryAt(ring, i, 4);
    bytes += min<u32>(load<u32>(entry, XDP_DESC_LEN), frameSize);
    touching += <u32>load<u8>(umem + <usize>min<u64>(load<u64>(entry, XDP_DESC_ADDR), last));
  }
  touchedFrames += touching;
  return bytes;
}

/** Marks the frame of a descriptor as held, at position `n`. False for a descriptor that the kernel cannot have meant: its frame stays lost to the ring. */
@inline
function hold(xsk: usize, entry: usize, n: u32): bool {
  const address = load<u64>(entry, XDP_DESC_ADDR);
  const frame = frameOf(xsk, address);
  const frameSize = load<u32>(xsk, XSK_FRAME_SIZE);
  if (!isWith(xsk, frame, XSK_FRAME_FILL)) return false;
  if (load<u32>(entry, XDP_DESC_LEN) > frameSize - (<u32>address & (frameSize - 1))) return false;
  store<u8>(stateOf(xsk, frame), XSK_FRAME_HELD);
  store<u32>(xsk + (n << 2), frame, XSK_HELD_LIST);
  return true;
}

/** All entries are gone through, `n` of their frames are in the list. */
@inline
function taken(xsk: usize, n: u32): void {
  const ring = xsk + XSK_RING_RX;
  const position = load<u32>(ring, XRING_POSITION) + load<u32>(xsk, XSK_TAKING);
  store<u32>(xsk, n, XSK_HELD);
  store<u32>(xsk, 0, XSK_TAKING);
  store<u32>(ring, position, XRING_POSITION);
  atomic.store<u32>(load<u32>(ring, XRING_CONSUMER), position);
}

/** Gives the frames of the round back to the kernel, to receive into. The fill ring has an entry for every frame. */
export function giveBackXdp(xsk: usize): void {
  const ring = xsk + XSK_RING_FILL;
  const n = load<u32>(xsk, XSK_HELD);
  if (n == 0) return;
  for (let i: u32 = 0; i < n; i++) {
    const frame = load<u32>(xsk + (i << 2), XSK_HELD_LIST);
    store<u8>(stateOf(xsk, frame), XSK_FRAME_FILL);
    store<u64>(entryAt(ring, i, 3), <u64>frame * load<u32>(xsk, XSK_FRAME_SIZE));
  }
  const position = load<u32>(ring, XRING_POSITION) + n;
  store<u32>(ring, position, XRING_POSITION);
  atomic.store<u32>(load<u32>(ring, XRING_PRODUCER), position);
  store<u32>(xsk, 0, XSK_HELD);
}

/** Of a worker that died while it received: its frames, which are counted as lost, are marked from the beginning, to be given back with the others. */
export function recoverXdp(xsk: usize): void {
  const count = load<u32>(xsk, XSK_TAKING);
  if (count == 0) return;
  for (let frame: u32 = 0; frame < load<u32>(xsk, XSK_FRAMES); frame++) {
    const state = stateOf(xsk, frame);
    if (load<u8>(state) == XSK_FRAME_HELD) store<u8>(state, XSK_FRAME_FILL);
  }
  let n: u32 = 0;
  for (let i: u32 = 0; i < count; i++) if (hold(xsk, entryAt(xsk + XSK_RING_RX, i, 4), n)) n++;
  taken(xsk, n);
}

/** When the socket is new: `n` free frames go to the kernel, to receive into. */
export function fillXdp(xsk: usize, n: u32): void {
  const ring = xsk + XSK_RING_FILL;
  for (let i: u32 = 0; i < n; i++) {
    const left = load<u32>(xsk, XSK_FREE_COUNT) - 1;
    const frame = load<u32>(load<u32>(xsk, XSK_FREE) + (left << 2));
    store<u32>(xsk, left, XSK_FREE_COUNT);
    store<u8>(stateOf(xsk, frame), XSK_FRAME_FILL);
    store<u64>(entryAt(ring, i, 3), <u64>frame * load<u32>(xsk, XSK_FRAME_SIZE));
  }
  const position = load<u32>(ring, XRING_POSITION) + n;
  store<u32>(ring, position, XRING_POSITION);
  atomic.store<u32>(load<u32>(ring, XRING_PRODUCER), position);
}

// ---------------------------------------------------------------------------------------------------- the account

/**
 * 0 when every frame has one owner: free frames are in the stack once, and as many as it says; those held are in the list. Otherwise 30: the stack
 * names a frame that is not free; 31: it has another number of them; 32: a held frame is not; 33: their number is another.
 */
export function checkXsk(xsk: usize): u32 {
  const frames = load<u32>(xsk, XSK_FRAMES);
  const freeCount = load<u32>(xsk, XSK_FREE_COUNT);
  const heldCount = load<u32>(xsk, XSK_HELD);
  if (freeCount > frames) return 31;
  let freeFrames: u32 = 0;
  let heldFrames: u32 = 0;
  for (let frame: u32 = 0; frame < frames; frame++) {
    const state = load<u8>(stateOf(xsk, frame));
    if (state == XSK_FRAME_FREE) freeFrames++;
    if (state == XSK_FRAME_HELD) heldFrames++;
  }
  for (let i: u32 = 0; i < freeCount; i++) {
    const frame = load<u32>(load<u32>(xsk, XSK_FREE) + (i << 2));
    if (!isWith(xsk, frame, XSK_FRAME_FREE)) return 30;
  }
  if (freeFrames != freeCount) return 31;
  for (let i: u32 = 0; i < heldCount; i++) {
    if (!isWith(xsk, load<u32>(xsk + (i << 2), XSK_HELD_LIST), XSK_FRAME_HELD)) return 32;
  }
  return heldFrames == heldCount ? 0 : 33;
}
