/*
 * PUSH_MPLS, ADD_MPLS and POP_MPLS: the outermost label stack entry.
 *
 * Before it: execute.ts. After it: nothing. An entry goes between link and network header, or with ADD_MPLS before everything: then the
 * packet has no Ethernet header any more, and its label says what it is. The Ethernet type is changed where the kernel changes it: the first
 * one behind the outer tag on the way in, the one before the label on the way out. The worker that owns the packet calls it.
 */
import { PACKET_L3 } from '../constants';
import { ETH_HEADER_SIZE, ETH_P_TEB_WIRE, isMplsType } from '../packet/ethernet';
import { MPLS_SIZE } from '../packet/mpls';
import {
  dataOf,
  grow,
  isL3,
  markStale,
  protocolOf,
  setEthernetFirst,
  setL3,
  setNetwork,
  shrink,
  sizeOf,
  typeOffset,
} from './packet';

// struct ovs_action_push_mpls and ovs_action_add_mpls
const MPLS_LSE: usize = 0;
const MPLS_ETHERTYPE: usize = 4;
const MPLS_TUN_FLAGS: usize = 6;
const OVS_MPLS_L3_TUNNEL_FLAG_MASK: u32 = 1;

/** False for a type that is not MPLS, or without room. */
export function pushMpls(packet: usize, payload: usize): bool {
  return push(packet, payload, load<u16>(packet, PACKET_L3));
}

export function addMpls(packet: usize, payload: usize): bool {
  const inside = (load<u16>(payload, MPLS_TUN_FLAGS) & OVS_MPLS_L3_TUNNEL_FLAG_MASK) != 0;
  return push(packet, payload, inside ? <u32>load<u16>(packet, PACKET_L3) : 0);
}

function push(packet: usize, payload: usize, offset: u32): bool {
  const type = <u32>load<u16>(payload, MPLS_ETHERTYPE);
  if (!isMplsType(type) || offset > sizeOf(packet)) return false;
  const typeAt = typeOffset(packet);
  const data = grow(packet, MPLS_SIZE);
  if (data == 0) return false;
  memory.copy(data, data + MPLS_SIZE, offset);
  store<u32>(data + offset, load<u32>(payload, MPLS_LSE));
  if (offset == 0 || isL3(packet)) setL3(packet, type);
  else store<u16>(data + typeAt, <u16>type);
  setNetwork(packet, offset, true);
  markStale(packet);
  return true;
}

/** A packet that is not MPLS stays as it is; false if its label is cut off. */
export function popMpls(packet: usize, payload: usize): bool {
  if (!isMplsType(protocolOf(packet))) return true;
  const offset = <u32>load<u16>(packet, PACKET_L3);
  if (offset + MPLS_SIZE > sizeOf(packet)) return false;
  const before = dataOf(packet);
  memory.copy(before + MPLS_SIZE, before, offset);
  const data = shrink(packet, MPLS_SIZE);
  const type = <u32>load<u16>(payload);
  setNetwork(packet, offset, isMplsType(type));
  if (!isL3(packet)) {
    if (offset >= ETH_HEADER_SIZE) store<u16>(data + offset - 2, <u16>type);
  } else if (type == ETH_P_TEB_WIRE) {
    setEthernetFirst(packet);
  } else {
    setL3(packet, type);
  }
  markStale(packet);
  return true;
}
