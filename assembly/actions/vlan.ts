/*
 * PUSH_VLAN and POP_VLAN: the outermost tag.
 *
 * Before it: execute.ts. After it: nothing. Both move the two Ethernet addresses, not the
 * packet. The worker that owns the packet calls it; nothing is kept here.
 *
 * As in the kernel, the key follows only while there is one tag at most; with more it is stale.
 */
import { KEY_VLAN_TCI, KEY_VLAN_TPID, PACKET_L3 } from '../constants';
import { ETH_HEADER_SIZE, ETH_TYPE_OFFSET, isVlanType, VLAN_TAG_SIZE } from '../packet/ethernet';
import { dataOf, grow, hasTag, isL3, keyOf, markStale, setNetwork, shrink, sizeOf } from './packet';

/** struct ovs_action_push_vlan: TPID, TCI; both big-endian. */
const PUSH_TCI: usize = 2;
/** VLAN_CFI_MASK in wire order: "there is a tag" in actions and keys, a bit of its own on the wire. */
const VLAN_CFI_WIRE: u32 = 0x0010;

/** False without room, or without an Ethernet header. */
export function pushVlan(packet: usize, payload: usize): bool {
  if (isL3(packet)) return false;
  const tagged = hasTag(packet);
  const data = grow(packet, VLAN_TAG_SIZE);
  if (data == 0) return false;
  const addresses = load<u64>(data + VLAN_TAG_SIZE, 4);
  store<u32>(data, load<u32>(data + VLAN_TAG_SIZE));
  store<u64>(data, addresses, 4); // where the frame began, on a cache line of its own as a rule
  store<u32>(data, load<u32>(payload) & ~(VLAN_CFI_WIRE << 16), ETH_TYPE_OFFSET);
  if (tagged) {
    markStale(packet);
    return true;
  }
  store<u16>(keyOf(packet), load<u16>(payload), KEY_VLAN_TPID);
  store<u16>(keyOf(packet), load<u16>(payload, PUSH_TCI), KEY_VLAN_TCI);
  return true;
}

/** A frame without a tag stays as it is; false if its tag, or the one behind it, is cut off by the end of the frame. */
export function popVlan(packet: usize): bool {
  const before = dataOf(packet);
  if (isL3(packet) || !isVlanType(load<u16>(before, ETH_TYPE_OFFSET))) return true;
  if (sizeOf(packet) < ETH_HEADER_SIZE + VLAN_TAG_SIZE) return false;
  const first = load<u64>(before);
  store<u32>(before + VLAN_TAG_SIZE, load<u32>(before, 8), 8);
  store<u64>(before + VLAN_TAG_SIZE, first);
  const data = shrink(packet, VLAN_TAG_SIZE);
  if (hasTag(packet)) {
    // a tag behind two others was part of what extraction took for the network header
    const least = ETH_HEADER_SIZE + VLAN_TAG_SIZE;
    if (<u32>load<u16>(packet, PACKET_L3) < least) setNetwork(packet, least, false);
    markStale(packet);
    return true;
  }
  if (isVlanType(load<u16>(data, ETH_TYPE_OFFSET))) return false;
  store<u16>(keyOf(packet), 0, KEY_VLAN_TPID);
  store<u16>(keyOf(packet), 0, KEY_VLAN_TCI);
  return true;
}
