/*
 * PSAMPLE: what there is of the packet, to whoever listens to its group, as the message that the kernel's psample family sends.
 *
 * Before it: execute.ts. After it: the host, which reads the rings (src/datapath/samples.ts). The worker that owns the packet calls it, and
 * fills its own ring; without a listener there is no ring, and nothing is written.
 *
 * Concepts. Attributes and their order are the kernel's: IIFINDEX, SAMPLE_RATE, ORIGSIZE, SAMPLE_GROUP, GROUP_SEQ (which the datapath does not
 * count), TIMESTAMP, PROTO, DATA, TUNNEL, USER_COOKIE, SAMPLE_PROBABILITY. So is what they say: the rate is the probability of the SAMPLE around,
 * and size and data are without the outermost VLAN tag, which the kernel keeps beside the packet. Data that is too much for the message,
 * or for the slot of a smaller ring, is cut.
 *
 * What can be lost. A sample that finds the ring full: COUNTER_SAMPLES_LOST.
 */
import {
  COUNTER_PSAMPLED,
  COUNTER_SAMPLES,
  COUNTER_SAMPLES_LOST,
  KEY_TUN_FLAGS,
  KEY_TUN_PROTO,
  PACKET_CUT,
  PACKET_IN_PORT,
  PORTS_MAX,
  SB_SAMPLE_RINGS,
  SLOT_FRAME,
  SLOT_IN_PORT,
  SLOT_SIZE,
  SLOT_TIME_NS,
  SLOT_WIRE_SIZE,
  VPORT_IFINDEX,
  WORKER_TIME_NS,
} from '../constants';
import { count } from '../flow/counters';
import { claim, frameCapacity, publish } from '../io/ring';
import { FAMILY_PSAMPLE } from '../kernel/families';
import { vportAt } from '../kernel/vports';
import { area, sb, worker } from '../memory/layout';
import {
  attrFind,
  attrPayload,
  attrPayloadSize,
  attrTotalSize,
  NLA_HDRLEN,
  putAttr,
  putFlag,
  putU16,
  putU32,
  putU64,
  reserveAttr,
} from '../netlink/attribute';
import { beginGeneric, endMessage } from '../netlink/header';
import {
  OVS_PSAMPLE_ATTR_COOKIE,
  OVS_PSAMPLE_ATTR_GROUP,
  PSAMPLE_ATTR_DATA,
  PSAMPLE_ATTR_GROUP_SEQ,
  PSAMPLE_ATTR_IIFINDEX,
  PSAMPLE_ATTR_ORIGSIZE,
  PSAMPLE_ATTR_PROTO,
  PSAMPLE_ATTR_SAMPLE_GROUP,
  PSAMPLE_ATTR_SAMPLE_PROBABILITY,
  PSAMPLE_ATTR_SAMPLE_RATE,
  PSAMPLE_ATTR_TIMESTAMP,
  PSAMPLE_ATTR_TUNNEL,
  PSAMPLE_ATTR_USER_COOKIE,
  PSAMPLE_CMD_SAMPLE,
  PSAMPLE_GENL_VERSION,
  TUNNEL_VXLAN_OPT,
} from '../netlink/openvswitch';
import { putTunnelAs } from '../netlink/tunnel-put';
import { ETH_TYPE_OFFSET, VLAN_TAG_SIZE } from '../packet/ethernet';
import { dataOf, hasTag, keyOf, lengthOf, protocolOf } from './packet';

/** Attributes of a message (PSAMPLE_MAX_PACKET_SIZE). */
const ATTRS_SIZE_MAX: u32 = 65535;
const ALWAYS: u32 = 0xffffffff;

/** `rate`: the probability of the SAMPLE around, 0 none. */
export function psample(packet: usize, payload: usize, size: u32, rate: u32): void {
  count(COUNTER_PSAMPLED, 1);
  const rings: usize = atomic.load<u32>(sb(SB_SAMPLE_RINGS));
  if (rings != 0) {
    const written = send(load<u32>(rings + (worker << 2)), packet, payload, size, rate);
    count(written ? COUNTER_SAMPLES : COUNTER_SAMPLES_LOST, 1);
  }
  store<u32>(packet, 0, PACKET_CUT);
}

function send(ring: usize, packet: usize, payload: usize, size: u32, rate: u32): bool {
  const slot = claim(ring);
  if (slot == 0) return false;
  const message = slot + SLOT_FRAME;
  const limit = message + frameCapacity(ring);
  const timeNs = load<u64>(area, WORKER_TIME_NS);
  const length = lengthOf(packet);
  const at = beginGeneric(message, limit, FAMILY_PSAMPLE, 0, PSAMPLE_CMD_SAMPLE, PSAMPLE_GENL_VERSION);
  const data = putFacts(
    at,
    limit,
    packet,
    length,
    attrPayload(attrFind(payload, size, OVS_PSAMPLE_ATTR_GROUP)),
    rate,
    timeNs,
  );
  // what comes behind the data is written where the data will be, to see how much room it leaves
  const tail = putTail(data, limit, packet, attrFind(payload, size, OVS_PSAMPLE_ATTR_COOKIE));
  const cut = load<u32>(packet, PACKET_CUT);
  const room = min<u32>(ATTRS_SIZE_MAX, <u32>(limit - at)) - <u32>(tail - at);
  const dataSize = fitted(cut == 0 ? length : min<u32>(length, cut), room);
  const end = dataSize == 0 ? tail : putData(data, limit, tail, packet, dataSize);
  store<u32>(slot, endMessage(message, end), SLOT_SIZE);
  store<u32>(slot, length, SLOT_WIRE_SIZE);
  store<u64>(slot, timeNs, SLOT_TIME_NS);
  store<u32>(slot, load<u32>(packet, PACKET_IN_PORT), SLOT_IN_PORT);
  publish(ring);
  return true;
}

/** What of the data fits into `room` bytes with its header and padding; less by a word when it does not, as in the kernel. */
@inline
function fitted(size: u32, room: u32): u32 {
  return attrTotalSize(size) <= room ? size : room - NLA_HDRLEN - 4;
}

/** The attributes before the data. */
function putFacts(at: usize, limit: usize, packet: usize, length: u32, group: usize, rate: u32, timeNs: u64): usize {
  const inPort = load<u32>(packet, PACKET_IN_PORT);
  const ifindex: u32 = inPort < <u32>PORTS_MAX ? load<u32>(vportAt(inPort), VPORT_IFINDEX) : 0;
  if (ifindex != 0) at = putU16(at, limit, PSAMPLE_ATTR_IIFINDEX, <u16>ifindex);
  at = putU32(at, limit, PSAMPLE_ATTR_SAMPLE_RATE, rate == 0 ? ALWAYS : rate);
  at = putU32(at, limit, PSAMPLE_ATTR_ORIGSIZE, length);
  at = putU32(at, limit, PSAMPLE_ATTR_SAMPLE_GROUP, load<u32>(group));
  at = putU32(at, limit, PSAMPLE_ATTR_GROUP_SEQ, 0);
  at = putU64(at, limit, PSAMPLE_ATTR_TIMESTAMP, timeNs);
  return putU16(at, limit, PSAMPLE_ATTR_PROTO, bswap<u16>(<u16>protocolOf(packet)));
}

/** The attributes behind the data; `cookie` is the action's attribute, 0 none. */
function putTail(at: usize, limit: usize, packet: usize, cookie: usize): usize {
  const key = keyOf(packet);
  if (load<u8>(key, KEY_TUN_PROTO) != 0) {
    at = putTunnelAs(PSAMPLE_ATTR_TUNNEL, at, key, key, <u32>load<u16>(key, KEY_TUN_FLAGS) & ~TUNNEL_VXLAN_OPT);
  }
  if (cookie != 0 && attrPayloadSize(cookie) != 0) {
    at = putAttr(at, limit, PSAMPLE_ATTR_USER_COOKIE, attrPayload(cookie), attrPayloadSize(cookie));
  }
  return putFlag(at, limit, PSAMPLE_ATTR_SAMPLE_PROBABILITY);
}

/** Moves what was written at `at` behind the data, and the data in between. Returns the end of all. */
function putData(at: usize, limit: usize, tail: usize, packet: usize, size: u32): usize {
  memory.copy(at + attrTotalSize(size), at, tail - at);
  const end = reserveAttr(at, limit, PSAMPLE_ATTR_DATA, size);
  const frame = dataOf(packet);
  if (!hasTag(packet)) {
    memory.copy(at + NLA_HDRLEN, frame, size);
  } else {
    const addresses = min<u32>(size, ETH_TYPE_OFFSET);
    memory.copy(at + NLA_HDRLEN, frame, addresses);
    memory.copy(at + NLA_HDRLEN + addresses, frame + ETH_TYPE_OFFSET + VLAN_TAG_SIZE, size - addresses);
  }
  return end + (tail - at);
}
