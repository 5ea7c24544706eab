/*
 * PUSH_VLAN and POP_VLAN: the outermost tag.
 *
 * Before it: validate.ts (the check) or execute.ts. After it: nothing. Both move the two Ethernet addresses, not the
 * packet: a push takes four bytes of the headroom, a pop gives them back. Offsets and sizes in the descriptor follow, and
 * the key's tags are read again from the frame. The worker that owns the packet calls it; nothing is kept here.
 *
 * The key has room for two tags. With a third one its innermost type and all behind it stay what they were; whoever needs
 * the key of the frame as it is now extracts it again (PACKET_FLAG_MODIFIED).
 */
import {
  EINVAL,
  FRAME_SIZE_MAX,
  KEY_CVLAN_TCI,
  KEY_CVLAN_TPID,
  KEY_VLAN_TCI,
  KEY_VLAN_TPID,
  OFFSET_NONE,
  PACKET_CUT,
  PACKET_DATA,
  PACKET_HEAD,
  PACKET_L3,
  PACKET_L4,
  PACKET_MPLS,
  PACKET_SIZE,
  PACKET_WIRE_SIZE,
} from '../constants';
import { ETH_HEADER_SIZE, ETH_TYPE_OFFSET, isVlanType, VLAN_TAG_SIZE } from '../packet/ethernet';
import { dataOf, keyOf, markModified, sizeOf } from './packet';

/** struct ovs_action_push_vlan: TPID, TCI; both big-endian. */
const PUSH_TCI: usize = 2;
const PUSH_SIZEOF: u32 = 4;
/** VLAN_CFI_MASK in wire order: "there is a tag" in actions and keys, a bit of its own on the wire. */
const VLAN_CFI_WIRE: u32 = 0x0010;

export function checkPushVlan(payload: usize, size: u32): i32 {
  if (size != PUSH_SIZEOF || !isVlanType(load<u16>(payload))) return -EINVAL;
  return load<u16>(payload, PUSH_TCI) & VLAN_CFI_WIRE ? 0 : -EINVAL;
}

/** False without headroom, or when the frame would get too long. */
export function pushVlan(packet: usize, payload: usize): bool {
  const before = dataOf(packet);
  if (before - <usize>load<u32>(packet, PACKET_HEAD) < VLAN_TAG_SIZE) return false;
  if (sizeOf(packet) + VLAN_TAG_SIZE > <u32>FRAME_SIZE_MAX) return false;
  const data = before - VLAN_TAG_SIZE;
  store<u64>(data, load<u64>(before));
  store<u32>(data, load<u32>(before, 8), 8);
  store<u32>(data, load<u32>(payload) & ~(VLAN_CFI_WIRE << 16), ETH_TYPE_OFFSET);
  resize(packet, data, VLAN_TAG_SIZE);
  return true;
}

/** A frame without a tag stays as it is; false if its tag is cut off by the end of the frame. */
export function popVlan(packet: usize): bool {
  const before = dataOf(packet);
  if (!isVlanType(load<u16>(before, ETH_TYPE_OFFSET))) return true;
  if (sizeOf(packet) < ETH_HEADER_SIZE + VLAN_TAG_SIZE) return false;
  const data = before + VLAN_TAG_SIZE;
  const addresses = load<u64>(before);
  store<u32>(data, load<u32>(before, 8), 8);
  store<u64>(data, addresses);
  resize(packet, data, <u32>-(<i32>VLAN_TAG_SIZE));
  return true;
}

/** The frame begins at `data` now and is longer by `change` (two's complement). */
function resize(packet: usize, data: usize, change: u32): void {
  const cut = load<u32>(packet, PACKET_CUT);
  store<u32>(packet, <u32>data, PACKET_DATA);
  store<u32>(packet, sizeOf(packet) + change, PACKET_SIZE);
  store<u32>(packet, load<u32>(packet, PACKET_WIRE_SIZE) + change, PACKET_WIRE_SIZE);
  if (cut != 0) store<u32>(packet, cut + change, PACKET_CUT);
  shiftOffset(packet + PACKET_L3, change);
  shiftOffset(packet + PACKET_L4, change);
  shiftOffset(packet + PACKET_MPLS, change);
  readTags(packet);
  markModified(packet);
}

@inline
function shiftOffset(field: usize, change: u32): void {
  const offset = <u32>load<u16>(field);
  if (offset != OFFSET_NONE) store<u16>(field, <u16>(offset + change));
}

/** As extraction does it: a tag counts only when a type follows it inside the frame. */
function readTags(packet: usize): void {
  const key = keyOf(packet);
  const tag = dataOf(packet) + ETH_TYPE_OFFSET;
  const rest = sizeOf(packet) - ETH_TYPE_OFFSET;
  const tagged = rest >= VLAN_TAG_SIZE + 2 && isVlanType(load<u16>(tag));
  store<u16>(key, tagged ? load<u16>(tag) : 0, KEY_VLAN_TPID);
  store<u16>(key, tagged ? load<u16>(tag, 2) | VLAN_CFI_WIRE : 0, KEY_VLAN_TCI);
  const innerTagged = tagged && rest >= 2 * VLAN_TAG_SIZE + 2 && isVlanType(load<u16>(tag, VLAN_TAG_SIZE));
  store<u16>(key, innerTagged ? load<u16>(tag, VLAN_TAG_SIZE) : 0, KEY_CVLAN_TPID);
  store<u16>(key, innerTagged ? load<u16>(tag, VLAN_TAG_SIZE + 2) | VLAN_CFI_WIRE : 0, KEY_CVLAN_TCI);
}
