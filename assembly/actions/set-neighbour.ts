/*
 * set(arp), set(nd) and set(icmp), set(icmpv6): what Open vSwitch's userspace can set and no kernel does.
 *
 * Before it: set.ts. After it: nothing. `value` is the address of the structure in the action, `mask` that of its mask or 0. Changes the
 * message and the packet's key alike and mends the ICMP checksum. A message that the key does not show is not changed: false. The
 * worker that owns the packet calls it.
 */
import {
  KEY_ARP_SHA,
  KEY_ARP_THA,
  KEY_ETH_TYPE,
  KEY_IPV4_DST,
  KEY_IPV4_SRC,
  KEY_IP_FRAG,
  KEY_IP_PROTO,
  KEY_ND_SLL,
  KEY_ND_TARGET,
  KEY_ND_TLL,
  KEY_TP_DST,
  KEY_TP_SRC,
  PACKET_L3,
  PACKET_L4,
} from '../constants';
import { ARP_OPCODE, ARP_SHA, ARP_SIZE, ARP_SPA, ARP_THA, ARP_TPA, checkArp } from '../packet/arp';
import { delta16 } from '../packet/checksum';
import { ETH_P_ARP_WIRE, ETH_P_IP_WIRE, ETH_P_RARP_WIRE } from '../packet/ethernet';
import { isNeighbourDiscovery, ND_OPTION_SOURCE, ND_OPTION_TARGET, ND_SIZE, ND_TARGET } from '../packet/icmpv6';
import { FRAG_LATER } from '../packet/ipv4';
import { NEXTHDR_ICMP } from '../packet/ipv6';
import { ICMP_SIZE, IPPROTO_ICMP } from '../packet/l4';
import { dataOf, hasHeader, isChecksumPartial, isSet, keyOf, masked16, masked32, masked8, sizeOf } from './packet';
import { ICMPV6_CHECKSUM, mendChecksum } from './set-ip';

// struct ovs_key_arp
const OVS_ARP_SIP: usize = 0;
const OVS_ARP_TIP: usize = 4;
const OVS_ARP_OP: usize = 8;
const OVS_ARP_SHA: usize = 10;
const OVS_ARP_THA: usize = 16;
// struct ovs_key_nd
const OVS_ND_TARGET: usize = 0;
const OVS_ND_SLL: usize = 16;
const OVS_ND_TLL: usize = 22;

const ADDRESS_SIZE: usize = 6;
const OPTION_SIZE: u32 = 8;
const OPTION_ADDRESS: usize = 2;

export function setArp(packet: usize, value: usize, mask: usize): bool {
  const l3 = <u32>load<u16>(packet, PACKET_L3);
  const key = keyOf(packet);
  const type = <u32>load<u16>(key, KEY_ETH_TYPE);
  if ((type != ETH_P_ARP_WIRE && type != ETH_P_RARP_WIRE) || !hasHeader(packet, l3, ARP_SIZE)) return false;
  const header = dataOf(packet) + l3;
  if (!checkArp(header, ARP_SIZE)) return false;
  const sip = masked32(load<u32>(header, ARP_SPA), value, mask, OVS_ARP_SIP);
  const tip = masked32(load<u32>(header, ARP_TPA), value, mask, OVS_ARP_TIP);
  const op = masked16(load<u16>(header, ARP_OPCODE), value, mask, OVS_ARP_OP);
  store<u32>(header, sip, ARP_SPA);
  store<u32>(header, tip, ARP_TPA);
  store<u16>(header, <u16>op, ARP_OPCODE);
  store<u32>(key, sip, KEY_IPV4_SRC);
  store<u32>(key, tip, KEY_IPV4_DST);
  const number = <u32>bswap<u16>(<u16>op);
  store<u8>(key, <u8>(number <= 255 ? number : 0), KEY_IP_PROTO);
  setBytes(header + ARP_SHA, value, mask, OVS_ARP_SHA, ADDRESS_SIZE);
  setBytes(header + ARP_THA, value, mask, OVS_ARP_THA, ADDRESS_SIZE);
  memory.copy(key + KEY_ARP_SHA, header + ARP_SHA, ADDRESS_SIZE);
  memory.copy(key + KEY_ARP_THA, header + ARP_THA, ADDRESS_SIZE);
  return true;
}

/** Returns what the change does to a sum over the bytes, whose number and place in the message are even. */
function setBytes(at: usize, value: usize, mask: usize, offset: usize, size: usize): u64 {
  let delta: u64 = 0;
  for (let i: usize = 0; i < size; i += 2) {
    const before = <u32>load<u16>(at + i);
    const after = masked16(before, value, mask, offset + i);
    if (after == before) continue;
    store<u16>(at + i, <u16>after);
    delta += delta16(before, after);
  }
  return delta;
}

/** Target, and the first link-layer address option, which is the one that belongs to the kind of message. */
export function setNd(packet: usize, value: usize, mask: usize): bool {
  const l4 = <u32>load<u16>(packet, PACKET_L4);
  const key = keyOf(packet);
  if (load<u8>(key, KEY_IP_PROTO) != NEXTHDR_ICMP || !hasHeader(packet, l4, ND_SIZE)) return false;
  const header = dataOf(packet) + l4;
  if (!isNeighbourDiscovery(header)) return false;
  let delta = setBytes(header + ND_TARGET, value, mask, OVS_ND_TARGET, 16);
  v128.store(key, v128.load(header + ND_TARGET), KEY_ND_TARGET);
  const option = linkOption(header, sizeOf(packet) - l4);
  if (option != 0) {
    const source = load<u8>(option) == ND_OPTION_SOURCE;
    delta += setBytes(option + OPTION_ADDRESS, value, mask, source ? OVS_ND_SLL : OVS_ND_TLL, ADDRESS_SIZE);
    memory.copy(key + (source ? KEY_ND_SLL : KEY_ND_TLL), option + OPTION_ADDRESS, ADDRESS_SIZE);
  }
  if (delta != 0 && !isChecksumPartial(packet)) mendChecksum(header + ICMPV6_CHECKSUM, delta);
  return true;
}

/** The first source or target link-layer address option of a neighbour message, 0 none. */
function linkOption(header: usize, size: u32): usize {
  let offset = ND_SIZE;
  while (size - offset >= OPTION_SIZE) {
    const option = header + offset;
    const optionSize = (<u32>load<u8>(option, 1)) << 3;
    if (optionSize == 0 || optionSize > size - offset) return 0;
    const type = <u32>load<u8>(option);
    if (optionSize == OPTION_SIZE && (type == ND_OPTION_SOURCE || type == ND_OPTION_TARGET)) return option;
    offset += optionSize;
  }
  return 0;
}

/** struct ovs_key_icmp and ovs_key_icmpv6: type and code. */
export function setIcmp(packet: usize, value: usize, mask: usize): bool {
  const l4 = <u32>load<u16>(packet, PACKET_L4);
  const key = keyOf(packet);
  const proto = load<u16>(key, KEY_ETH_TYPE) == ETH_P_IP_WIRE ? IPPROTO_ICMP : NEXTHDR_ICMP;
  if (load<u8>(key, KEY_IP_PROTO) != proto || load<u8>(key, KEY_IP_FRAG) == FRAG_LATER) return false;
  if (!hasHeader(packet, l4, ICMP_SIZE)) return false;
  const header = dataOf(packet) + l4;
  const before = <u32>load<u16>(header);
  const type = isSet(mask, 0) ? masked8(before & 255, value, mask, 0) : before & 255;
  const code = isSet(mask, 1) ? masked8(before >> 8, value, mask, 1) : before >> 8;
  const after = type | (code << 8);
  if (after == before) return true;
  store<u16>(header, <u16>after);
  if (!isChecksumPartial(packet)) mendChecksum(header + ICMPV6_CHECKSUM, delta16(before, after));
  store<u8>(key, <u8>type, KEY_TP_SRC + 1);
  store<u8>(key, <u8>code, KEY_TP_DST + 1);
  return true;
}
