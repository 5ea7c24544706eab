/*
 * The message of an upcall, OVS_PACKET_CMD_MISS or OVS_PACKET_CMD_ACTION, as the kernel writes it. Before it: produce.ts, which has the place for it.
 *
 * Attributes in the kernel's order: KEY, USERDATA, ACTIONS, MRU, LEN of a packet that TRUNC cut, HASH, PACKET. The packet is last and unpadded, unless
 * the datapath lacks OVS_DP_F_UNALIGNED: older programs want the whole message padded.
 *
 * Threads: the worker that owns the packet. What the last message turned out to be is kept in globals, until the next.
 */
import {
  PACKET_CUT,
  PACKET_DATA,
  PACKET_FLAGS,
  PACKET_FLAG_HASH_GIVEN,
  PACKET_HASH,
  PACKET_KEY,
  PACKET_SIZE,
  SB_DP_EXISTS,
  SB_DP_FEATURES,
  SB_DP_IFINDEX,
  SB_PACKET_FAMILY,
} from '../constants';
import { canonicalActions } from '../actions/canonical';
import { givenHash, givenMru } from '../actions/given';
import { sb } from '../memory/layout';
import {
  attrPayload,
  attrPayloadSize,
  nestEnd,
  nestStart,
  putAttr,
  putU16,
  putU32,
  putU64,
} from '../netlink/attribute';
import { beginMessage } from '../netlink/header';
import { putKey } from '../netlink/key-put';
import {
  OVS_DP_F_UNALIGNED,
  OVS_PACKET_ATTR_ACTIONS,
  OVS_PACKET_ATTR_HASH,
  OVS_PACKET_ATTR_KEY,
  OVS_PACKET_ATTR_LEN,
  OVS_PACKET_ATTR_MRU,
  OVS_PACKET_ATTR_PACKET,
  OVS_PACKET_ATTR_USERDATA,
  OVS_PACKET_CMD_MISS,
} from '../netlink/openvswitch';

const OVS_PACKET_VERSION: u32 = 1;
const OVS_PACKET_HASH_SW_BIT: u64 = 0x100000000;
/** An attribute's length is a u16 that counts its header. */
const PACKET_SIZE_MAX: u32 = 65531;

/** Where the last message has its packet, how much of it, and its attribute USERDATA, 0 none. */
export let packetAt: usize = 0;
export let packetSize: u32 = 0;
export let userdataAt: usize = 0;

/** Writes a message between `message` and `limit`, but for its size. Returns its end, 0 without room. */
export function writeMessage(
  message: usize,
  limit: usize,
  packet: usize,
  command: u32,
  userdata: usize,
  actions: usize,
  actionsSize: u32,
): usize {
  const family = load<u32>(sb(SB_PACKET_FAMILY));
  const key: usize = load<u32>(packet, PACKET_KEY);
  packetSize = sizeToSend(packet, command);
  const first = beginMessage(message, limit, family, 0, command, OVS_PACKET_VERSION, load<i32>(sb(SB_DP_IFINDEX)));
  let at = nestEnd(first, putKey(nestStart(first, limit, OVS_PACKET_ATTR_KEY), limit, key, key));
  userdataAt = userdata == 0 ? 0 : at;
  if (userdata != 0)
    at = putAttr(at, limit, OVS_PACKET_ATTR_USERDATA, attrPayload(userdata), attrPayloadSize(userdata));
  if (actions != 0) {
    const list = nestStart(at, limit, OVS_PACKET_ATTR_ACTIONS);
    at = nestEnd(at, canonicalActions(actions, actionsSize, list, limit));
  }
  if (givenMru != 0) at = putU16(at, limit, OVS_PACKET_ATTR_MRU, <u16>givenMru);
  if (packetSize != load<u32>(packet, PACKET_SIZE))
    at = putU32(at, limit, OVS_PACKET_ATTR_LEN, load<u32>(packet, PACKET_SIZE));
  at = putU64(at, limit, OVS_PACKET_ATTR_HASH, hashOf(packet));
  return putPacket(message, limit, at, load<u32>(packet, PACKET_DATA));
}

function putPacket(message: usize, limit: usize, at: usize, data: usize): usize {
  if (at == 0 || packetSize > PACKET_SIZE_MAX || at + 8 + packetSize > limit) return 0;
  store<u16>(at, <u16>(4 + packetSize));
  store<u16>(at, OVS_PACKET_ATTR_PACKET, 2);
  packetAt = at + 4;
  memory.copy(packetAt, data, packetSize);
  const end = packetAt + packetSize;
  if (load<u32>(sb(SB_DP_EXISTS)) == 0 || load<u32>(sb(SB_DP_FEATURES)) & OVS_DP_F_UNALIGNED) return end;
  store<u32>(end, 0);
  return message + ((end - message + 3) & ~3);
}

/** Bytes of the packet that go into the message: a TRUNC cuts the end off for an action, and a miss brings all of it. */
@inline
function sizeToSend(packet: usize, command: u32): u32 {
  const size = load<u32>(packet, PACKET_SIZE);
  const cut = load<u32>(packet, PACKET_CUT);
  return cut == 0 || command == OVS_PACKET_CMD_MISS ? size : min<u32>(size, cut);
}

/** The hash that came with the packet; else that of its last lookup, as one that software made; 0 when it was not looked up, or changed since. */
function hashOf(packet: usize): u64 {
  if (load<u16>(packet, PACKET_FLAGS) & PACKET_FLAG_HASH_GIVEN) return givenHash;
  const own = load<u32>(packet, PACKET_HASH);
  return own == 0 ? 0 : OVS_PACKET_HASH_SW_BIT | <u64>own;
}
