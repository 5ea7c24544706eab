/*
 * The family ovs_packet, its one command EXECUTE: actions on a packet that a message brings. Before it: dispatch.ts. After it: actions/execute.ts, so ports,
 * upcalls and lookups as for a packet that was received.
 *
 * The key is what the packet's headers say, with the metadata that the message gives. Checks and their order are the kernel's: the key, the
 * actions for this very packet, then that there is such a datapath with such a port. A port that is not there is replaced by the
 * local one, where upcalls are concerned; the key keeps its number. Threads: any that has a worker slot; the packet is its spare position's.
 */
import {
  BATCH_MAX,
  COUNTER_EXECUTED,
  EINVAL,
  ENODEV,
  HEADROOM,
  KEY_ETH_TYPE,
  KEY_IN_PORT,
  KEY_PACKET_TYPE,
  KEY_RECIRC_ID,
  KEY_SIZE,
  OFFSET_NONE,
  PACKET_CUT,
  PACKET_DATA,
  PACKET_FLAGS,
  PACKET_FLAG_HASH_GIVEN,
  PACKET_FLAG_KEY_COLD,
  PACKET_FLAG_L3,
  PACKET_FLOW,
  PACKET_HASH,
  PACKET_HEAD,
  PACKET_IN_PORT,
  PACKET_KEY,
  PACKET_L3,
  PACKET_RECIRC_ID,
  PACKET_SIZE,
  PACKET_SIZEOF,
  PACKET_TAIL,
  PACKET_TIME_NS,
  PACKET_WIRE_SIZE,
  PORTS_MAX,
  WORKER_EPOCH,
  WORKER_TIME_NS,
} from '../constants';
import { execute } from '../actions/execute';
import { giveAlong } from '../actions/given';
import { validateActions } from '../actions/validate';
import { count } from '../flow/counters';
import { extractAgain } from '../flow/extract';
import { enter, leave } from '../memory/epoch';
import { area, BUFFER_STRIDE, buffers, keys, packets } from '../memory/layout';
import { attrPayload, attrPayloadSize } from '../netlink/attribute';
import { checkTuple, parseMetadata } from '../netlink/key-get';
import {
  OVSP_LOCAL,
  OVS_PACKET_ATTR_ACTIONS,
  OVS_PACKET_ATTR_HASH,
  OVS_PACKET_ATTR_KEY,
  OVS_PACKET_ATTR_MRU,
  OVS_PACKET_ATTR_PACKET,
} from '../netlink/openvswitch';
import { ETH_P_NSH_WIRE } from '../packet/ethernet';
import { checkNsh } from '../packet/nsh';
import { isDatapath } from './datapath';
import { attr, requestIfindex, scratch } from './request';
import { exists, vportAt } from './vports';

const PACKET: u32 = BATCH_MAX;

export function executePacket(): i32 {
  const list = attr(OVS_PACKET_ATTR_ACTIONS);
  if (attr(OVS_PACKET_ATTR_PACKET) == 0 || attr(OVS_PACKET_ATTR_KEY) == 0 || list == 0) return -EINVAL;
  const packet = packets + PACKET * PACKET_SIZEOF;
  takePacket(packet);
  const key: usize = load<u32>(packet, PACKET_KEY);
  let status = readKey(packet, key);
  if (status == 0) status = validateActions(attrPayload(list), attrPayloadSize(list), key, 0);
  if (status != 0) return status;
  const port = isDatapath(requestIfindex()) ? inputPort(load<u32>(key, KEY_IN_PORT)) : PORTS_MAX;
  if (port == PORTS_MAX) return -ENODEV;
  store<u32>(packet, port, PACKET_IN_PORT);
  return executeList(packet, attrPayload(list), attrPayloadSize(list));
}

/** Copies the packet into the buffer of its position, with room for pushes before it. */
function takePacket(packet: usize): void {
  const attribute = attr(OVS_PACKET_ATTR_PACKET);
  const size = attrPayloadSize(attribute);
  const buffer = buffers + PACKET * BUFFER_STRIDE;
  memory.copy(buffer + HEADROOM, attrPayload(attribute), size);
  store<u32>(packet, <u32>buffer + HEADROOM, PACKET_DATA);
  store<u32>(packet, size, PACKET_SIZE);
  store<u32>(packet, size, PACKET_WIRE_SIZE);
  store<u32>(packet, <u32>buffer, PACKET_HEAD);
  store<u32>(packet, <u32>buffer + BUFFER_STRIDE, PACKET_TAIL);
  store<u32>(packet, <u32>(keys + PACKET * KEY_SIZE), PACKET_KEY);
  store<u32>(packet, 0, PACKET_FLOW);
  store<u32>(packet, 0, PACKET_CUT);
  store<u64>(packet, load<u64>(area, WORKER_TIME_NS), PACKET_TIME_NS);
}

/** Makes the key of the metadata in KEY and of the packet. 0, or -EINVAL. */
function readKey(packet: usize, key: usize): i32 {
  const attribute = attr(OVS_PACKET_ATTR_KEY);
  const match = scratch();
  const status = parseMetadata(attrPayload(attribute), attrPayloadSize(attribute), key, match);
  // whatever becomes of it: the key's cold part is to be cleared before the position is used again
  const l3 = status == 0 && load<u32>(key, KEY_PACKET_TYPE) != 0;
  store<u64>(packet, OFFSET_NONE * 0x000100010001, PACKET_L3);
  store<u16>(packet, <u16>(PACKET_FLAG_KEY_COLD | (l3 ? PACKET_FLAG_L3 : 0)), PACKET_FLAGS);
  if (status != 0) return status;
  store<u32>(packet, load<u32>(key, KEY_RECIRC_ID), PACKET_RECIRC_ID);
  if (extractAgain(packet) != 0 || isBadNsh(packet, key)) return -EINVAL;
  return checkTuple(key, match);
}

/** A network service header that is none: received packets keep the rest of their key, the kernel executes nothing on such a one. */
function isBadNsh(packet: usize, key: usize): bool {
  if (<u32>load<u16>(key, KEY_ETH_TYPE) != ETH_P_NSH_WIRE) return false;
  const offset = load<u16>(packet, PACKET_L3);
  return !checkNsh(load<u32>(packet, PACKET_DATA) + offset, load<u32>(packet, PACKET_SIZE) - offset);
}

/** The port by which the packet comes in, or the local one in its place; PORTS_MAX: there is neither. */
function inputPort(portNo: u32): u32 {
  if (portNo < <u32>PORTS_MAX && exists(vportAt(portNo))) return portNo;
  return exists(vportAt(OVSP_LOCAL)) ? OVSP_LOCAL : PORTS_MAX;
}

/** Executes as a reader. 0, or the errno of an action that failed. */
function executeList(packet: usize, attrs: usize, size: u32): i32 {
  const mru = attr(OVS_PACKET_ATTR_MRU);
  const hash = attr(OVS_PACKET_ATTR_HASH);
  const packetHash: u64 = hash == 0 ? 0 : load<u64>(attrPayload(hash));
  store<u32>(packet, <u32>packetHash, PACKET_HASH);
  if (<u32>packetHash != 0) {
    store<u16>(packet, <u16>(load<u16>(packet, PACKET_FLAGS) | PACKET_FLAG_HASH_GIVEN), PACKET_FLAGS);
  }
  giveAlong(mru == 0 ? 0 : load<u16>(attrPayload(mru)), packetHash);
  const reading = load<u32>(area, WORKER_EPOCH) != 0;
  if (!reading) enter();
  const status = execute(packet, attrs, size);
  count(COUNTER_EXECUTED, 1);
  if (!reading) leave();
  giveAlong(0, 0);
  return status;
}
