/*
 * set(eth) and set(mpls): what lies before the network header.
 *
 * Before it: set.ts. After it: nothing. `value` is the address of the structure in the action, `mask` that of its mask or 0.
 * Changes the frame and the packet's key alike; the worker that owns the packet calls it.
 */
import { KEY_ETH_DST, KEY_ETH_SRC, KEY_MPLS_LSE0, PACKET_MPLS } from '../constants';
import { isMplsType } from '../packet/ethernet';
import { MPLS_SIZE } from '../packet/mpls';
import { dataOf, hasHeader, isL3, keyOf, masked32, protocolOf } from './packet';

const ETH_ADDRESS_SIZE: usize = 6;
const ADDRESS_MASK: u64 = 0x0000ffffffffffff;

/** struct ovs_key_ethernet: source, then destination; in the frame it is the other way round. */
export function setEthernet(packet: usize, value: usize, mask: usize): bool {
  if (isL3(packet)) return false;
  const data = dataOf(packet);
  const key = keyOf(packet);
  // Six bytes out of eight: the load of the second address begins two bytes early, to stay inside the structure.
  const sourceMask = mask == 0 ? ADDRESS_MASK : load<u64>(mask) & ADDRESS_MASK;
  const destinationMask = mask == 0 ? ADDRESS_MASK : load<u64>(mask, 4) >> 16;
  const source = (load<u64>(data, 6) & ADDRESS_MASK & ~sourceMask) | (load<u64>(value) & ADDRESS_MASK);
  const destination = (load<u64>(data) & ADDRESS_MASK & ~destinationMask) | (load<u64>(value, 4) >> 16);
  storeAddress(data, destination);
  storeAddress(data + ETH_ADDRESS_SIZE, source);
  storeAddress(key + KEY_ETH_DST, destination);
  storeAddress(key + KEY_ETH_SRC, source);
  return true;
}

@inline
function storeAddress(at: usize, address: u64): void {
  store<u32>(at, <u32>address);
  store<u16>(at, <u16>(address >> 32), 4);
}

/** The outermost label stack entry. False if the packet has none, or has it behind two tags, where the kernel does not look. */
export function setMpls(packet: usize, value: usize, mask: usize): bool {
  const offset = <u32>load<u16>(packet, PACKET_MPLS);
  if (!hasHeader(packet, offset, MPLS_SIZE) || !isMplsType(protocolOf(packet))) return false;
  const at = dataOf(packet) + offset;
  const entry = masked32(load<u32>(at), value, mask, 0);
  store<u32>(at, entry);
  store<u32>(keyOf(packet), entry, KEY_MPLS_LSE0);
  return true;
}
