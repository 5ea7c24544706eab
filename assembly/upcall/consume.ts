/*
 * Upcalls, consuming side: takes frames from a worker's ring, fairly between ports, and gives them back.
 *
 * Concepts. `take` first sorts what was produced since last time into a queue for each port (a link in the frame), then serves the ports
 * with queued frames in turn, one frame each, until the batch is full: a port with thousands of misses delays the others by one
 * batch, not by its queue. Frames are given back one by one in any order, and are free at once.
 *
 * Ownership. A taken frame (status SKIP) is the consumer's until `give`. Threads. One consumer a ring: the owner thread, or the
 * ring's own worker when it answers from the rule table; never both (the host switches while no worker polls).
 */
import {
  DROP_UPCALL_STALE,
  NL_MMAP_STATUS,
  NL_MMAP_STATUS_SKIP,
  NL_MMAP_STATUS_UNUSED,
  OPTION_RULES,
  PORTS_MAX,
  SB_OPTIONS,
  UPCALL_COMMAND,
  UPCALL_COPY,
  UPCALL_COPY_CHUNKS,
  UPCALL_FRAME_SIZE,
  UPCALL_GIVEN,
  UPCALL_HELD,
  UPCALL_IN_PORT,
  UPCALL_LIST,
  UPCALL_NEXT,
  UPCALL_PORTS_QUEUED,
  UPCALL_PORT_GIVEN,
  UPCALL_PORT_HEAD,
  UPCALL_PORT_NEXT,
  UPCALL_PORT_PRODUCED,
  UPCALL_PORT_SIZEOF,
  UPCALL_PORT_TAIL,
  UPCALL_PRODUCED,
  UPCALL_SCANNED,
  UPCALL_TAKE_MAX,
} from '../constants';
import { countDrop } from '../flow/counters';
import { AREA_UPCALL, AREA_UPCALL_PORTS, areaOf, sb, upcallFrames, upcallOrder } from '../memory/layout';
import { OVS_PACKET_CMD_MISS } from '../netlink/openvswitch';
import { frameAt, frameOf, giveChunk } from './produce';

const WORDS: u32 = PORTS_MAX / 32;

@inline
export function ringOf(slot: u32): usize {
  return areaOf(slot) + AREA_UPCALL;
}

/** The queue of a port; ports of another datapath may have larger numbers, and share one with others then. */
@inline
export function queueOf(frame: usize): u32 {
  return load<u32>(frame, UPCALL_IN_PORT) % PORTS_MAX;
}

@inline
export function portWordsOf(slot: u32, port: u32): usize {
  return areaOf(slot) + AREA_UPCALL_PORTS + port * UPCALL_PORT_SIZEOF;
}

/** Takes up to `max` frames of worker `slot`; their addresses stand in the ring's UPCALL_LIST. Returns how many. */
export function take(slot: u32, max: u32): u32 {
  const ring = ringOf(slot);
  sortIn(slot, ring);
  const limit = min<u32>(max, UPCALL_TAKE_MAX);
  let port = load<u32>(ring, UPCALL_PORT_NEXT);
  let n: u32 = 0;
  while (n < limit) {
    port = nextQueued(ring, port);
    if (port == <u32>PORTS_MAX) break;
    const frame = unqueue(slot, ring, port);
    atomic.store<u32>(frame, NL_MMAP_STATUS_SKIP, NL_MMAP_STATUS);
    store<u32>(ring + (n << 2), <u32>frame, UPCALL_LIST);
    n++;
    port++;
  }
  store<u32>(ring, port, UPCALL_PORT_NEXT);
  store<u32>(ring, load<u32>(ring, UPCALL_HELD) + n, UPCALL_HELD);
  return n;
}

function sortIn(slot: u32, ring: usize): void {
  const produced = atomic.load<u32>(ring, UPCALL_PRODUCED);
  let scanned = load<u32>(ring, UPCALL_SCANNED);
  for (; scanned != produced; scanned++) {
    const frame = frameOf(ring, scanned);
    const port = queueOf(frame);
    const words = portWordsOf(slot, port);
    const bits = ring + UPCALL_PORTS_QUEUED + ((port >> 5) << 2);
    const bit: u32 = 1 << (port & 31);
    store<u32>(frame, 0, UPCALL_NEXT);
    if ((load<u32>(bits) & bit) == 0) {
      store<u32>(bits, load<u32>(bits) | bit);
      store<u32>(words, <u32>frame, UPCALL_PORT_HEAD);
    } else {
      store<u32>(load<u32>(words, UPCALL_PORT_TAIL), <u32>frame, UPCALL_NEXT);
    }
    store<u32>(words, <u32>frame, UPCALL_PORT_TAIL);
  }
  store<u32>(ring, scanned, UPCALL_SCANNED);
}

/** The first port at or after `from`, going round, with queued frames; PORTS_MAX when there is none. */
function nextQueued(ring: usize, from: u32): u32 {
  const start = from % PORTS_MAX;
  let word = start >> 5;
  let bits = load<u32>(ring + UPCALL_PORTS_QUEUED + (word << 2)) & ((<u32>-1) << (start & 31));
  for (let i: u32 = 0; i <= WORDS; i++) {
    if (bits != 0) return (word << 5) + ctz(bits);
    word = (word + 1) % WORDS;
    bits = load<u32>(ring + UPCALL_PORTS_QUEUED + (word << 2));
  }
  return PORTS_MAX;
}

function unqueue(slot: u32, ring: usize, port: u32): usize {
  const words = portWordsOf(slot, port);
  const frame: usize = load<u32>(words, UPCALL_PORT_HEAD);
  const next = load<u32>(frame, UPCALL_NEXT);
  store<u32>(words, next, UPCALL_PORT_HEAD);
  if (next == 0) {
    const bits = ring + UPCALL_PORTS_QUEUED + ((port >> 5) << 2);
    store<u32>(bits, load<u32>(bits) & ~(1 << (port & 31)));
  }
  return frame;
}

/** Gives a taken frame back to the producer: its number goes to the end of the free ones. */
export function give(slot: u32, frame: usize): void {
  if (atomic.load<u32>(frame, NL_MMAP_STATUS) != NL_MMAP_STATUS_SKIP) return;
  const ring = ringOf(slot);
  const words = portWordsOf(slot, queueOf(frame));
  giveChunk(ring, load<u32>(frame, UPCALL_COPY));
  atomic.store<u32>(words, load<u32>(words, UPCALL_PORT_GIVEN) + 1, UPCALL_PORT_GIVEN);
  atomic.store<u32>(frame, NL_MMAP_STATUS_UNUSED, NL_MMAP_STATUS);
  store<u32>(ring, load<u32>(ring, UPCALL_HELD) - 1, UPCALL_HELD);
  const given = load<u32>(ring, UPCALL_GIVEN);
  const position = given & (upcallFrames - 1);
  store<u32>(upcallOrder(ring) + (position << 2), (<u32>(frame - frameAt(ring, 0)) / UPCALL_FRAME_SIZE) ^ position);
  atomic.store<u32>(ring, given + 1, UPCALL_GIVEN);
}

/** Gives back the first `n` frames of the last take unanswered; misses among them are counted as `reason`. */
export function dropTaken(slot: u32, n: u32, reason: u32): void {
  const ring = ringOf(slot);
  for (let i: u32 = 0; i < n; i++) {
    const frame: usize = load<u32>(ring + (i << 2), UPCALL_LIST);
    if (load<u32>(frame, UPCALL_COMMAND) == OVS_PACKET_CMD_MISS) countDrop(reason);
    give(slot, frame);
  }
}

/** Gives back everything that is queued and not taken; misses among it are counted as DROP_UPCALL_STALE. Returns how many frames. */
export function purge(slot: u32): u32 {
  let purged: u32 = 0;
  for (let n = take(slot, UPCALL_TAKE_MAX); n != 0; n = take(slot, UPCALL_TAKE_MAX)) {
    dropTaken(slot, n, DROP_UPCALL_STALE);
    purged += n;
  }
  return purged;
}

/** Frames produced and not given back. */
export function outstanding(slot: u32): u32 {
  const ring = ringOf(slot);
  return atomic.load<u32>(ring, UPCALL_PRODUCED) - atomic.load<u32>(ring, UPCALL_GIVEN);
}

/**
 * After the producer died: a chunk that it had taken and not published is free again. When it answered its own ring, it was the consumer too, and
 * what it had queued or taken is given up: its misses are counted as DROP_UPCALL_STALE.
 */
export function recoverRing(slot: u32): void {
  const ring = ringOf(slot);
  if ((load<u32>(sb(SB_OPTIONS)) & OPTION_RULES) != 0) abandon(slot, ring);
  let used: u32 = 0;
  for (let i: u32 = 0; i < upcallFrames; i++) {
    const frame = frameAt(ring, i);
    const chunk = load<u32>(frame, UPCALL_COPY);
    if (chunk != 0 && atomic.load<u32>(frame, NL_MMAP_STATUS) != NL_MMAP_STATUS_UNUSED) used |= 1 << (chunk - 1);
  }
  for (let chunk: u32 = 0; chunk < <u32>UPCALL_COPY_CHUNKS; chunk++) {
    if ((used >> chunk) % 2 == 0) giveChunk(ring, chunk + 1);
  }
}

/** Empties a ring whose consumer is gone: every frame is free, in its first order, and no port has any. */
function abandon(slot: u32, ring: usize): void {
  for (let i: u32 = 0; i < upcallFrames; i++) {
    const frame = frameAt(ring, i);
    const waiting = atomic.load<u32>(frame, NL_MMAP_STATUS) != NL_MMAP_STATUS_UNUSED;
    if (waiting && load<u32>(frame, UPCALL_COMMAND) == OVS_PACKET_CMD_MISS) countDrop(DROP_UPCALL_STALE);
    atomic.store<u32>(frame, NL_MMAP_STATUS_UNUSED, NL_MMAP_STATUS);
  }
  memory.fill(upcallOrder(ring), 0, upcallFrames << 2);
  memory.fill(ring + UPCALL_PORTS_QUEUED, 0, PORTS_MAX / 8);
  for (let port: u32 = 0; port < <u32>PORTS_MAX; port++) {
    const words = portWordsOf(slot, port);
    atomic.store<u32>(words, load<u32>(words, UPCALL_PORT_PRODUCED), UPCALL_PORT_GIVEN);
  }
  const produced = load<u32>(ring, UPCALL_PRODUCED);
  store<u32>(ring, produced, UPCALL_SCANNED);
  store<u32>(ring, 0, UPCALL_HELD);
  atomic.store<u32>(ring, produced, UPCALL_GIVEN);
}
