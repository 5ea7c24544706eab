/*
 * PUSH_ETH and POP_ETH: the Ethernet header as a whole.
 *
 * Before it: execute.ts. After it: nothing. A packet without it cannot be output (DROP_NO_ETHERNET) until it has one again. As in the
 * kernel both fail when there is a VLAN tag, the pop also when the type is that of a tag which the frame cuts off or LLC/SNAP announces; LLC/SNAP
 * stays where it was. The worker that owns the packet calls it.
 */
import { PACKET_L3 } from '../constants';
import { ETH_HEADER_SIZE, ETH_TYPE_OFFSET, isVlanType } from '../packet/ethernet';
import { grow, hasTag, protocolOf, setEthernetFirst, setL3, shrink, sizeOf } from './packet';

const ETH_ADDRESS_SIZE: usize = 6;

/** `payload` is struct ovs_action_push_eth: source, destination. */
export function pushEth(packet: usize, payload: usize): bool {
  if (load<u16>(packet, PACKET_L3) != 0 || hasTag(packet)) return false;
  const type = protocolOf(packet);
  const data = grow(packet, ETH_HEADER_SIZE);
  if (data == 0) return false;
  memory.copy(data, payload + ETH_ADDRESS_SIZE, ETH_ADDRESS_SIZE);
  memory.copy(data + ETH_ADDRESS_SIZE, payload, ETH_ADDRESS_SIZE);
  store<u16>(data, <u16>type, ETH_TYPE_OFFSET);
  setEthernetFirst(packet);
  return true;
}

export function popEth(packet: usize): bool {
  if (<u32>load<u16>(packet, PACKET_L3) < ETH_HEADER_SIZE || sizeOf(packet) < ETH_HEADER_SIZE) return false;
  const type = protocolOf(packet);
  if (hasTag(packet) || isVlanType(type)) return false;
  shrink(packet, ETH_HEADER_SIZE);
  setL3(packet, type);
  return true;
}
