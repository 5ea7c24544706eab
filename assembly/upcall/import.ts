/*
 * Upcalls of another datapath (the kernel's): messages that a socket received become frames of a ring, as upcall/produce.ts would have made them. Before it: the
 * host, which has the addon receive straight into the frames that `importSlots` names. After it: upcall/consume.ts and the handler.
 *
 * Concepts. A message is received into the message area of the next free frame, and what is longer runs on into a chunk of the copy area, behind the place of the part that
 * went into the frame: the two are joined there. Then it is checked and read: the key's attributes become our flat key, the packet's headers are found, and
 * the frame is published. The kernel gives malformed packets keys that it would not take for a flow; such a key is made of the metadata and the packet. What is no upcall of this datapath is left out: its frame changes places with the next one, which is free as well.
 *
 * Ownership. Frames between PRODUCED and GIVEN are the producer's, which is whoever calls this; chunks likewise. Threads. One a ring; it uses the spare
 * packet of its own worker. What can be lost: nothing here; what finds no free frame stays in its socket.
 */
import {
  BATCH_MAX,
  COUNTER_UPCALLS,
  COUNTER_UPCALL_ACTIONS,
  IMPORT_ROW_SIZEOF,
  IMPORT_ROW_SLOT,
  IMPORT_ROW_SIZE,
  IMPORT_ROW_TRUNCATED,
  IMPORT_SLOT_OFFSET,
  IMPORT_SLOT_SIZE,
  IMPORT_SLOT_SIZEOF,
  IMPORT_SLOT_TAIL,
  IMPORT_SLOT_TAIL_SIZE,
  KEY_HOT_SIZE,
  KEY_IN_PORT,
  KEY_PACKET_TYPE,
  KEY_RECIRC_ID,
  KEY_SIZE,
  NL_MMAP_GROUP,
  NL_MMAP_HDRLEN,
  NL_MMAP_LEN,
  NL_MMAP_STATUS,
  NL_MMAP_STATUS_COPY,
  NL_MMAP_STATUS_VALID,
  NL_MMAP_UID,
  PACKET_DATA,
  PACKET_FLAGS,
  PACKET_FLAG_KEY_COLD,
  PACKET_FLAG_L3,
  PACKET_IN_PORT,
  PACKET_KEY,
  PACKET_L3,
  PACKET_RECIRC_ID,
  PACKET_SIZE,
  PACKET_SIZEOF,
  UPCALL_ANSWER_MASK,
  UPCALL_COMMAND,
  UPCALL_COPY,
  UPCALL_COPY_CHUNKS,
  UPCALL_COPY_CHUNK_SIZE,
  UPCALL_GIVEN,
  UPCALL_IN_PORT,
  UPCALL_KEY,
  UPCALL_MESSAGE,
  UPCALL_MESSAGE_SIZE_MAX,
  UPCALL_OFFSETS,
  UPCALL_PACKET,
  UPCALL_PACKET_SIZE,
  UPCALL_PORT_ID,
  UPCALL_PORT_PRODUCED,
  UPCALL_PRODUCED,
  UPCALL_TIME_NS,
  UPCALL_USERDATA,
  UPCALL_WIRE_SIZE,
  UPCALL_WORKER,
  WORKER_TIME_NS,
} from '../constants';
import { count } from '../flow/counters';
import { extractAgain } from '../flow/extract';
import { area, keys, packets, upcallFrames, upcallOrder } from '../memory/layout';
import { attrNext, attrOk, attrPayload, attrPayloadSize, attrType } from '../netlink/attribute';
import {
  checkMessage,
  messageCommand,
  messageDpIfindex,
  messageFamily,
  messageSize,
  OVS_MESSAGE_HDRLEN,
} from '../netlink/header';
import { parseMatch, parseMetadata } from '../netlink/key-get';
import { isZero } from '../netlink/key-get-attrs';
import {
  OVS_PACKET_ATTR_KEY,
  OVS_PACKET_ATTR_LEN,
  OVS_PACKET_ATTR_PACKET,
  OVS_PACKET_ATTR_USERDATA,
  OVS_PACKET_CMD_ACTION,
  OVS_PACKET_CMD_MISS,
} from '../netlink/openvswitch';
import { chunkAt, chunkIsBusy, frameOf, holdChunk } from './produce';
import { portWordsOf, queueOf, ringOf } from './consume';

/** What is the same for all messages of a call. */
let family: u32 = 0;
let dpIfindex: i32 = 0;
let scratch: usize = 0;

/** Says at `out` where the next datagrams are to go, at most `max`: IMPORT_SLOT_SIZEOF bytes each. Returns how many can come. */
export function importSlots(slot: u32, max: u32, out: usize): u32 {
  const ring = ringOf(slot);
  const produced = load<u32>(ring, UPCALL_PRODUCED);
  const free = upcallFrames - (produced - atomic.load<u32>(ring, UPCALL_GIVEN));
  let chunk: u32 = 0;
  let n: u32 = 0;
  for (; n < min<u32>(max, free); n++, chunk++, out += IMPORT_SLOT_SIZEOF) {
    while (chunk < <u32>UPCALL_COPY_CHUNKS && chunkIsBusy(ring, chunk)) chunk++;
    if (chunk == UPCALL_COPY_CHUNKS) break;
    const frame = frameOf(ring, produced + n);
    store<u32>(frame, chunk + 1, UPCALL_COPY);
    store<u32>(out, <u32>(frame + NL_MMAP_HDRLEN), IMPORT_SLOT_OFFSET);
    store<u32>(out, UPCALL_MESSAGE_SIZE_MAX, IMPORT_SLOT_SIZE);
    store<u32>(out, <u32>(chunkAt(ring, chunk) + UPCALL_MESSAGE_SIZE_MAX), IMPORT_SLOT_TAIL);
    store<u32>(out, UPCALL_COPY_CHUNK_SIZE - UPCALL_MESSAGE_SIZE_MAX, IMPORT_SLOT_TAIL_SIZE);
  }
  return n;
}

/**
 * Publishes what was received into these slots: `rows` has IMPORT_ROW_SIZEOF bytes for each datagram, in the order of the slots, and those without a slot in between.
 * Upcalls of another family or datapath, and what is malformed, are left out. `work` is room for KEY_SIZE and MATCH_SIZEOF bytes. Returns how many were published.
 */
export function importUpcalls(slot: u32, rows: usize, rowCount: u32, familyId: u32, ifindex: i32, work: usize): u32 {
  family = familyId;
  dpIfindex = ifindex;
  scratch = work;
  const ring = ringOf(slot);
  const first = load<u32>(ring, UPCALL_PRODUCED);
  let published: u32 = 0;
  for (let i: u32 = 0; i < rowCount; i++, rows += IMPORT_ROW_SIZEOF) {
    const index = load<i32>(rows, IMPORT_ROW_SLOT);
    if (index < 0 || load<u32>(rows, IMPORT_ROW_TRUNCATED) != 0) continue;
    exchange(ring, first + published, first + index);
    const frame = frameOf(ring, first + published);
    if (!read(ring, frame, load<u32>(rows, IMPORT_ROW_SIZE))) continue;
    publish(slot, ring, frame, first + published);
    published++;
  }
  return published;
}

/** The frames at two positions that are both free change places. */
function exchange(ring: usize, a: u32, b: u32): void {
  const slotA = a & (upcallFrames - 1);
  const slotB = b & (upcallFrames - 1);
  const orderA = upcallOrder(ring) + (slotA << 2);
  const orderB = upcallOrder(ring) + (slotB << 2);
  const frameA = load<u32>(orderA) ^ slotA;
  store<u32>(orderA, load<u32>(orderB) ^ slotB ^ slotA);
  store<u32>(orderB, frameA ^ slotB);
}

/** Joins the parts of the message, reads it, and describes it in the frame. False when it is no upcall of this datapath. */
function read(ring: usize, frame: usize, size: u32): bool {
  let message = frame + NL_MMAP_HDRLEN;
  if (size > <u32>UPCALL_MESSAGE_SIZE_MAX) {
    const chunk = load<u32>(frame, UPCALL_COPY);
    const whole = chunkAt(ring, chunk - 1);
    memory.copy(whole, message, UPCALL_MESSAGE_SIZE_MAX);
    message = whole;
  }
  if (!checkMessage(message, size) || messageFamily(message) != family || messageDpIfindex(message) != dpIfindex)
    return false;
  const command = messageCommand(message);
  if (command != OVS_PACKET_CMD_MISS && command != OVS_PACKET_CMD_ACTION) return false;
  if (!readAttributes(frame, message)) return false;
  if (size > <u32>UPCALL_MESSAGE_SIZE_MAX) holdChunk(ring, load<u32>(frame, UPCALL_COPY) - 1);
  else store<u32>(frame, 0, UPCALL_COPY);
  store<u32>(frame, messageSize(message), NL_MMAP_LEN);
  store<u64>(frame, 0, NL_MMAP_GROUP);
  store<u64>(frame, 0, NL_MMAP_UID);
  store<u32>(frame, 0, UPCALL_PORT_ID); // the socket knows
  store<u32>(frame, command, UPCALL_COMMAND);
  store<u32>(frame, <u32>message, UPCALL_MESSAGE);
  store<u64>(frame, load<u64>(area, WORKER_TIME_NS), UPCALL_TIME_NS);
  store<u64>(frame, 0, UPCALL_ANSWER_MASK); // and UPCALL_ANSWER_ACTIONS
  return true;
}

function readAttributes(frame: usize, message: usize): bool {
  const end = message + messageSize(message);
  let key: usize = 0;
  let packet: usize = 0;
  let userdata: usize = 0;
  let wireSize: u32 = 0;
  for (let a = message + OVS_MESSAGE_HDRLEN; attrOk(a, end); a = attrNext(a)) {
    const type = attrType(a);
    if (type == OVS_PACKET_ATTR_KEY) key = a;
    else if (type == OVS_PACKET_ATTR_PACKET) packet = a;
    else if (type == OVS_PACKET_ATTR_USERDATA) userdata = a;
    else if (type == OVS_PACKET_ATTR_LEN && attrPayloadSize(a) >= 4) wireSize = load<u32>(attrPayload(a));
  }
  if (key == 0 || packet == 0) return false;
  const flat = frame + UPCALL_KEY;
  const keyAttrs = attrPayload(key);
  const keySize = attrPayloadSize(key);
  const isWhole = parseMatch(keyAttrs, keySize, 0, 0, flat, scratch, scratch + KEY_SIZE) == 0;
  if (!isWhole && parseMetadata(keyAttrs, keySize, flat, scratch + KEY_SIZE) != 0) return false;
  const packetSize = attrPayloadSize(packet);
  if (!findHeaders(frame, flat, attrPayload(packet), packetSize)) return false;
  if (!isWhole) memory.copy(flat, keys + BATCH_MAX * KEY_SIZE, KEY_SIZE);
  store<u32>(frame, load<u32>(flat, KEY_IN_PORT), UPCALL_IN_PORT);
  store<u32>(frame, <u32>attrPayload(packet), UPCALL_PACKET);
  store<u32>(frame, packetSize, UPCALL_PACKET_SIZE);
  store<u32>(frame, <u32>userdata, UPCALL_USERDATA);
  store<u32>(frame, wireSize == 0 ? packetSize : wireSize, UPCALL_WIRE_SIZE);
  return true;
}

/** Where the packet's headers are; the spare key becomes what extraction makes of the packet. */
function findHeaders(frame: usize, flat: usize, data: usize, size: u32): bool {
  const packet = packets + BATCH_MAX * PACKET_SIZEOF;
  const key = keys + BATCH_MAX * KEY_SIZE;
  const isL3 = load<u32>(flat, KEY_PACKET_TYPE) != 0;
  store<u32>(packet, <u32>data, PACKET_DATA);
  store<u32>(packet, size, PACKET_SIZE);
  store<u32>(packet, load<u32>(flat, KEY_IN_PORT), PACKET_IN_PORT);
  store<u32>(packet, load<u32>(flat, KEY_RECIRC_ID), PACKET_RECIRC_ID);
  store<u32>(packet, <u32>key, PACKET_KEY);
  memory.copy(key, flat, KEY_SIZE);
  store<u64>(packet, 0, PACKET_L3);
  store<u16>(packet, isL3 ? PACKET_FLAG_L3 : 0, PACKET_FLAGS);
  if (extractAgain(packet) != 0) return false;
  const isCold = !isZero(flat + KEY_HOT_SIZE, KEY_SIZE - KEY_HOT_SIZE);
  if (isCold) store<u16>(packet, load<u16>(packet, PACKET_FLAGS) | PACKET_FLAG_KEY_COLD, PACKET_FLAGS);
  store<u64>(frame, load<u64>(packet, PACKET_L3), UPCALL_OFFSETS);
  return true;
}

function publish(slot: u32, ring: usize, frame: usize, position: u32): void {
  const words = portWordsOf(slot, queueOf(frame));
  store<u32>(frame, slot, UPCALL_WORKER);
  store<u32>(words, load<u32>(words, UPCALL_PORT_PRODUCED) + 1, UPCALL_PORT_PRODUCED);
  const status = load<u32>(frame, UPCALL_COPY) == 0 ? NL_MMAP_STATUS_VALID : NL_MMAP_STATUS_COPY;
  atomic.store<u32>(frame, status, NL_MMAP_STATUS);
  atomic.store<u32>(ring, position + 1, UPCALL_PRODUCED);
  count(COUNTER_UPCALLS, 1);
  if (load<u32>(frame, UPCALL_COMMAND) == OVS_PACKET_CMD_ACTION) count(COUNTER_UPCALL_ACTIONS, 1);
}
