/*
 * Upcalls, producing side: a worker writes what the datapath cannot decide alone into a frame of its own ring, as the very message that
 * the kernel would send. Before it: the pipeline (a miss) or a USERSPACE action. After it: upcall/consume.ts, on whatever thread answers.
 *
 * Concepts. A frame goes UNUSED -> VALID here (COPY when the message stands in a chunk of the copy area), VALID -> SKIP when the consumer
 * takes it, and -> UNUSED when it gives it back. Beside the message the frame carries our flat key and a few words, so the
 * usual answer needs no parsing.
 * Order. Frames come back in any order, so the ring is not one of frames but of their numbers, one word a position: the producer fills the
 * frame whose number it finds at PRODUCED, the consumer finds it there again, and writes the number of a frame that it gives back to the
 * position GIVEN, which the producer reaches a round later. A word holds its number xor its own position: zeroed memory is in order.
 * Fairness. Each port is sure of UPCALL_PORT_SHARE frames, or of its part of half the ring when that is less; what lies beyond is for
 * whoever comes first. A port that floods is stopped while only the shares that others could still claim are free, so it
 * never takes the last frame from them.
 *
 * Ownership. The ring belongs to the worker's area. Threads: one producer (the worker); one consumer, anywhere.
 * What can be lost. A message that is for nobody (port id 0, or one that no socket has) or finds no frame: counted as DROP_UPCALL_NO_PORT_ID, DROP_UPCALL_RING_FULL or
 * DROP_UPCALL_PORT_SHARE and in the port's row. Never one that was queued.
 */
import {
  COUNTER_COPIES,
  COUNTER_MISSES,
  COUNTER_SEGMENTED,
  COUNTER_UPCALLS,
  COUNTER_UPCALL_ACTIONS,
  COUNTER_UPCALL_ACTIONS_LOST,
  DROP_UPCALL_NO_HANDLER,
  DROP_UPCALL_NO_PORT_ID,
  DROP_UPCALL_PORT_SHARE,
  DROP_UPCALL_RING_FULL,
  DROP_UPCALL_TOO_LONG,
  KEY_HOT_SIZE,
  KEY_SIZE,
  NL_MMAP_GROUP,
  NL_MMAP_HDRLEN,
  NL_MMAP_LEN,
  NL_MMAP_STATUS,
  NL_MMAP_STATUS_COPY,
  NL_MMAP_STATUS_VALID,
  NL_MMAP_UID,
  OPTION_HANDLER,
  PACKET_FLAGS,
  PACKET_FLAG_KEY_COLD,
  PACKET_IN_PORT,
  PACKET_KEY,
  PACKET_L3,
  PACKET_SIZE,
  PACKET_TIME_NS,
  PACKET_WIRE_SIZE,
  PORT_ROW_UPCALLS,
  PORT_ROW_UPCALLS_LOST,
  SB_OPTIONS,
  SB_UPCALL_BELL,
  UPCALL_ANSWER_MASK,
  UPCALL_COMMAND,
  UPCALL_COPY,
  UPCALL_COPY_BUSY,
  UPCALL_COPY_CHUNKS,
  UPCALL_COPY_CHUNK_SIZE,
  UPCALL_FRAME_SIZE,
  UPCALL_GIVEN,
  UPCALL_HEAD_SIZE,
  UPCALL_IN_PORT,
  UPCALL_KEY,
  UPCALL_MESSAGE,
  UPCALL_MESSAGE_SIZE_MAX,
  UPCALL_OFFSETS,
  UPCALL_PACKET,
  UPCALL_PACKET_SIZE,
  UPCALL_PORT_GIVEN,
  UPCALL_PORT_ID,
  UPCALL_PORT_PRODUCED,
  UPCALL_PORT_SHARE,
  UPCALL_PORT_SIZEOF,
  UPCALL_PRODUCED,
  UPCALL_TIME_NS,
  UPCALL_USERDATA,
  UPCALL_WIRE_SIZE,
  UPCALL_WORKER,
  WORKER_RX_COUNT,
} from '../constants';
import { count, countDrop, countPort } from '../flow/counters';
import { complete, isOffloaded, isSuperFrame } from '../io/offload';
import { beginSegments, segment } from '../io/segment';
import { isPortIdHeld } from '../kernel/socket';
import { AREA_UPCALL_PORTS, area, sb, upcallFrames, upcallOrder, upcallRing, worker } from '../memory/layout';
import { endMessage } from '../netlink/header';
import { OVS_PACKET_CMD_ACTION, OVS_PACKET_CMD_MISS } from '../netlink/openvswitch';
import { packetAt, packetSize, userdataAt, writeMessage } from './message';
import { portIdOfMiss } from './port-id';

/** Frame number `index`. */
@inline
export function frameAt(ring: usize, index: u32): usize {
  return ring + UPCALL_HEAD_SIZE + index * UPCALL_FRAME_SIZE;
}

/** The frame that was, or will be, filled as the `position`-th. */
export function frameOf(ring: usize, position: u32): usize {
  const slot = position & (upcallFrames - 1);
  return frameAt(ring, load<u32>(upcallOrder(ring) + (slot << 2)) ^ slot);
}

export function chunkAt(ring: usize, chunk: u32): usize {
  return ring + UPCALL_HEAD_SIZE + upcallFrames * UPCALL_FRAME_SIZE + chunk * UPCALL_COPY_CHUNK_SIZE;
}

@inline
function portWords(port: u32): usize {
  return area + AREA_UPCALL_PORTS + port * UPCALL_PORT_SIZEOF;
}

/** Queues OVS_PACKET_CMD_MISS for a packet that no flow covers. */
export function upcallMiss(packet: usize): void {
  produce(packet, OVS_PACKET_CMD_MISS, portIdOfMiss(packet), 0, 0, 0);
}

/** Wakes whoever waits for upcalls; once a batch is enough. */
export function ringBell(): void {
  atomic.add<u32>(sb(SB_UPCALL_BELL), 1);
  atomic.notify(sb(SB_UPCALL_BELL), -1);
}

/**
 * Queues a message for `portId`; the attribute `userdata` and the list `actions` are left out when they are 0. As in the kernel, it shows what would be
 * on the wire: a checksum that is still to be made is made, and a super-frame is as many messages as segments.
 */
export function produce(
  packet: usize,
  command: u32,
  portId: u32,
  userdata: usize,
  actions: usize,
  actionsSize: u32,
): void {
  if (!isPortIdHeld(portId)) return lose(load<u32>(packet, PACKET_IN_PORT), command, DROP_UPCALL_NO_PORT_ID);
  if (!isOffloaded(packet)) return queue(packet, command, portId, userdata, actions, actionsSize);
  const n = isSuperFrame(packet) ? beginSegments(packet, load<u32>(packet, PACKET_SIZE)) : 0;
  if (n == 0) {
    complete(packet);
    return queue(packet, command, portId, userdata, actions, actionsSize);
  }
  for (let i: u32 = 0; i < n; i++) queue(segment(i), command, portId, userdata, actions, actionsSize);
  if (command != OVS_PACKET_CMD_MISS) return count(COUNTER_COPIES, n - 1);
  count(COUNTER_MISSES, n - 1);
  count(COUNTER_SEGMENTED, n - 1);
}

function queue(packet: usize, command: u32, portId: u32, userdata: usize, actions: usize, actionsSize: u32): void {
  const port = load<u32>(packet, PACKET_IN_PORT);
  if ((load<u32>(sb(SB_OPTIONS)) & OPTION_HANDLER) == 0) return lose(port, command, DROP_UPCALL_NO_HANDLER);
  const ring = upcallRing;
  const produced = load<u32>(ring, UPCALL_PRODUCED);
  const free = upcallFrames - (produced - atomic.load<u32>(ring, UPCALL_GIVEN));
  if (free == 0) return lose(port, command, DROP_UPCALL_RING_FULL);
  if (!mayTake(free, port)) return lose(port, command, DROP_UPCALL_PORT_SHARE);
  const frame = frameOf(ring, produced);

  let message = frame + NL_MMAP_HDRLEN;
  let limit = message + UPCALL_MESSAGE_SIZE_MAX;
  let chunk: u32 = 0;
  let end = writeMessage(message, limit, packet, command, userdata, actions, actionsSize);
  if (end == 0) {
    chunk = takeChunk(ring);
    if (chunk == 0) return lose(port, command, DROP_UPCALL_RING_FULL);
    message = chunkAt(ring, chunk - 1);
    limit = message + UPCALL_COPY_CHUNK_SIZE;
    end = writeMessage(message, limit, packet, command, userdata, actions, actionsSize);
    if (end == 0) {
      giveChunk(ring, chunk);
      return lose(port, command, DROP_UPCALL_TOO_LONG);
    }
  }
  const messageSize = endMessage(message, end);
  fillFrame(frame, packet, command, message, messageSize, chunk);
  store<u32>(frame, portId, UPCALL_PORT_ID);
  store<u32>(portWords(port), load<u32>(portWords(port), UPCALL_PORT_PRODUCED) + 1, UPCALL_PORT_PRODUCED);
  atomic.store<u32>(frame, chunk == 0 ? NL_MMAP_STATUS_VALID : NL_MMAP_STATUS_COPY, NL_MMAP_STATUS);
  atomic.store<u32>(ring, produced + 1, UPCALL_PRODUCED);
  countPort(port, PORT_ROW_UPCALLS, 1);
  count(COUNTER_UPCALLS, 1);
  if (command == OVS_PACKET_CMD_ACTION) count(COUNTER_UPCALL_ACTIONS, 1);
}

/** A lost miss is a lost packet, and a drop; a packet whose userspace action is lost may have gone elsewhere too, and has its own counter. */
function lose(port: u32, command: u32, reason: u32): void {
  if (command == OVS_PACKET_CMD_MISS) countDrop(reason);
  else count(COUNTER_UPCALL_ACTIONS_LOST, 1);
  countPort(port, PORT_ROW_UPCALLS_LOST, 1);
}

/** The port has frames of its own share left, or enough are free for the shares of all others. */
function mayTake(free: u32, port: u32): bool {
  const portCount = load<u32>(area, WORKER_RX_COUNT);
  if (portCount <= 1) return true;
  const share = min<u32>(UPCALL_PORT_SHARE, upcallFrames / (2 * portCount));
  const words = portWords(port);
  const held = load<u32>(words, UPCALL_PORT_PRODUCED) - atomic.load<u32>(words, UPCALL_PORT_GIVEN);
  return held < share || free > (portCount - 1) * share;
}

function takeChunk(ring: usize): u32 {
  for (let chunk: u32 = 0; chunk < <u32>UPCALL_COPY_CHUNKS; chunk++) {
    if (chunkIsBusy(ring, chunk)) continue;
    holdChunk(ring, chunk);
    return chunk + 1;
  }
  return 0;
}

export function chunkIsBusy(ring: usize, chunk: u32): bool {
  return atomic.load<u32>(ring + UPCALL_COPY_BUSY + (chunk << 2)) != 0;
}

export function holdChunk(ring: usize, chunk: u32): void {
  atomic.store<u32>(ring + UPCALL_COPY_BUSY + (chunk << 2), 1);
}

export function giveChunk(ring: usize, chunk: u32): void {
  if (chunk != 0) atomic.store<u32>(ring + UPCALL_COPY_BUSY + ((chunk - 1) << 2), 0);
}

function fillFrame(frame: usize, packet: usize, command: u32, message: usize, messageSize: u32, chunk: u32): void {
  store<u32>(frame, messageSize, NL_MMAP_LEN);
  store<u64>(frame, 0, NL_MMAP_GROUP); // and nl_mmap_pid: messages of the kernel come from port id 0
  store<u64>(frame, 0, NL_MMAP_UID);
  const cold = load<u16>(packet, PACKET_FLAGS) & PACKET_FLAG_KEY_COLD;
  memory.copy(frame + UPCALL_KEY, load<u32>(packet, PACKET_KEY), KEY_HOT_SIZE);
  if (cold != 0)
    memory.copy(
      frame + UPCALL_KEY + KEY_HOT_SIZE,
      load<u32>(packet, PACKET_KEY) + KEY_HOT_SIZE,
      KEY_SIZE - KEY_HOT_SIZE,
    );
  else memory.fill(frame + UPCALL_KEY + KEY_HOT_SIZE, 0, KEY_SIZE - KEY_HOT_SIZE);
  store<u32>(frame, load<u32>(packet, PACKET_IN_PORT), UPCALL_IN_PORT);
  store<u32>(frame, command, UPCALL_COMMAND);
  store<u32>(frame, <u32>packetAt, UPCALL_PACKET);
  store<u32>(frame, packetSize, UPCALL_PACKET_SIZE);
  store<u32>(frame, worker, UPCALL_WORKER);
  store<u64>(frame, load<u64>(packet, PACKET_TIME_NS), UPCALL_TIME_NS);
  store<u64>(frame, load<u64>(packet, PACKET_L3), UPCALL_OFFSETS);
  store<u32>(frame, <u32>message, UPCALL_MESSAGE);
  store<u32>(frame, load<u32>(packet, PACKET_WIRE_SIZE), UPCALL_WIRE_SIZE);
  store<u32>(frame, chunk, UPCALL_COPY);
  store<u64>(frame, 0, UPCALL_ANSWER_MASK); // and UPCALL_ANSWER_ACTIONS: an upcall that nobody answers is a drop
  store<u32>(frame, <u32>userdataAt, UPCALL_USERDATA);
}
