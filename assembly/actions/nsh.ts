/*
 * PUSH_NSH, POP_NSH and set(nsh): the network service header (RFC 8300).
 *
 * Before it: execute.ts and set.ts. After it: nothing. NSH goes before everything the packet has, so a packet that just got one has no
 * Ethernet header in front. The action gives the header as nested attributes (OVS_NSH_KEY_ATTR_BASE and MD1 or MD2), in the order in
 * which they stand in the header; with a mask each payload is value, then mask. The worker that owns the packet calls it.
 */
import { KEY_NSH_CONTEXT, KEY_NSH_FLAGS, KEY_NSH_PATH_HDR, KEY_NSH_TTL, PACKET_L3 } from '../constants';
import { attrNext, attrOk, attrPayload, attrPayloadSize, attrType } from '../netlink/attribute';
import {
  OVS_NSH_KEY_ATTR_BASE,
  OVS_NSH_KEY_ATTR_MD1,
  OVS_NSH_KEY_BASE_SIZEOF,
  OVS_NSH_KEY_MD1_SIZEOF,
} from '../netlink/openvswitch';
import {
  ETH_P_IPV6_WIRE,
  ETH_P_IP_WIRE,
  ETH_P_MPLS_UC_WIRE,
  ETH_P_NSH_WIRE,
  ETH_P_TEB_WIRE,
  isMplsType,
} from '../packet/ethernet';
import {
  NSH_BASE_SIZE,
  NSH_CONTEXT,
  NSH_MD_TYPE,
  NSH_MD_TYPE1,
  NSH_MD_TYPE2,
  NSH_NEXT_PROTO,
  NSH_PATH_HDR,
} from '../packet/nsh';
import {
  dataOf,
  grow,
  hasHeader,
  keyOf,
  markKeyCold,
  masked32,
  masked8,
  protocolOf,
  setEthernetFirst,
  setL3,
  setNetwork,
  shrink,
  sizeOf,
} from './packet';

// struct ovs_nsh_key_base
const BASE_FLAGS: usize = 0;
const BASE_TTL: usize = 1;
const BASE_MDTYPE: usize = 2;
const BASE_PATH_HDR: usize = 4;

// The first two bytes, as a number: version 2 bits, flags 2, TTL 6, size in 4-byte words 6.
const FLAGS_SHIFT: u32 = 12;
const TTL_SHIFT: u32 = 6;
const SIX_BITS: u32 = 63;
const FLAGS_BITS: u32 = 3;

// Next protocols, enum of include/net/tun_proto.h.
const TUN_P_IPV4: u32 = 1;
const TUN_P_IPV6: u32 = 2;
const TUN_P_ETHERNET: u32 = 3;
const TUN_P_NSH: u32 = 4;
const TUN_P_MPLS_UC: u32 = 5;

function nextProtocolOf(type: u32): u32 {
  if (type == ETH_P_IP_WIRE) return TUN_P_IPV4;
  if (type == ETH_P_IPV6_WIRE) return TUN_P_IPV6;
  if (type == ETH_P_TEB_WIRE) return TUN_P_ETHERNET;
  if (type == ETH_P_NSH_WIRE) return TUN_P_NSH;
  return type == ETH_P_MPLS_UC_WIRE ? TUN_P_MPLS_UC : 0;
}

function typeOf(nextProtocol: u32): u32 {
  if (nextProtocol == TUN_P_IPV4) return ETH_P_IP_WIRE;
  if (nextProtocol == TUN_P_IPV6) return ETH_P_IPV6_WIRE;
  if (nextProtocol == TUN_P_ETHERNET) return ETH_P_TEB_WIRE;
  if (nextProtocol == TUN_P_NSH) return ETH_P_NSH_WIRE;
  return nextProtocol == TUN_P_MPLS_UC ? ETH_P_MPLS_UC_WIRE : 0;
}

@inline
function headerSizeOf(header: usize): u32 {
  return (<u32>load<u8>(header, 1) & SIX_BITS) << 2;
}

/** False for a packet that NSH cannot carry, or without room. */
export function pushNsh(packet: usize, payload: usize): bool {
  const attrs = attrPayload(payload);
  const attrsSize = attrPayloadSize(payload);
  const headerSize = pushedSize(attrs, attrsSize);
  const nextProtocol = load<u16>(packet, PACKET_L3) != 0 ? TUN_P_ETHERNET : nextProtocolOf(protocolOf(packet));
  if (nextProtocol == 0) return false;
  const header = grow(packet, headerSize);
  if (header == 0) return false;
  writeHeader(header, headerSize, attrs, attrsSize);
  store<u8>(header, <u8>nextProtocol, NSH_NEXT_PROTO);
  setNetwork(packet, 0, false);
  setL3(packet, ETH_P_NSH_WIRE);
  return true;
}

function pushedSize(attrs: usize, size: u32): u32 {
  const end = attrs + size;
  let headerSize = NSH_BASE_SIZE;
  for (let a = attrs; attrOk(a, end); a = attrNext(a)) {
    if (attrType(a) != OVS_NSH_KEY_ATTR_BASE) headerSize += attrPayloadSize(a);
  }
  return headerSize;
}

function writeHeader(header: usize, headerSize: u32, attrs: usize, size: u32): void {
  const end = attrs + size;
  for (let a = attrs; attrOk(a, end); a = attrNext(a)) {
    const value = attrPayload(a);
    if (attrType(a) == OVS_NSH_KEY_ATTR_BASE) {
      const flags = <u32>load<u8>(value, BASE_FLAGS) & FLAGS_BITS;
      const ttl = <u32>load<u8>(value, BASE_TTL) & SIX_BITS;
      store<u16>(header, bswap<u16>(<u16>((flags << FLAGS_SHIFT) | (ttl << TTL_SHIFT) | (headerSize >> 2))));
      store<u8>(header, load<u8>(value, BASE_MDTYPE), NSH_MD_TYPE);
      store<u32>(header, load<u32>(value, BASE_PATH_HDR), NSH_PATH_HDR);
    } else {
      memory.copy(header + NSH_CONTEXT, value, attrPayloadSize(a));
    }
  }
}

/** Reads the header where the packet begins, whatever is there: nobody but the flow's match says that it is NSH. */
export function popNsh(packet: usize): bool {
  const header = dataOf(packet);
  if (sizeOf(packet) < NSH_BASE_SIZE) return false;
  const size = headerSizeOf(header);
  const type = typeOf(load<u8>(header, NSH_NEXT_PROTO));
  if (size < NSH_BASE_SIZE || size > sizeOf(packet) || type == 0) return false;
  shrink(packet, size);
  setNetwork(packet, 0, isMplsType(type));
  if (type == ETH_P_TEB_WIRE) setEthernetFirst(packet);
  else setL3(packet, type);
  return true;
}

/** `attrs` are the nested attributes of the action. False without a whole header. */
export function setNsh(packet: usize, attrs: usize, size: u32, masked: bool): bool {
  const l3 = <u32>load<u16>(packet, PACKET_L3);
  if (!hasHeader(packet, l3, NSH_BASE_SIZE)) return false;
  const header = dataOf(packet) + l3;
  if (!hasHeader(packet, l3, headerSizeOf(header))) return false;
  const key = keyOf(packet);
  const end = attrs + size;
  for (let a = attrs; attrOk(a, end); a = attrNext(a)) {
    const value = attrPayload(a);
    const type = attrType(a);
    if (type == OVS_NSH_KEY_ATTR_BASE) {
      setBase(header, key, value, masked ? value + OVS_NSH_KEY_BASE_SIZEOF : 0);
    } else if (type == OVS_NSH_KEY_ATTR_MD1 && load<u8>(header, NSH_MD_TYPE) == NSH_MD_TYPE1) {
      if (headerSizeOf(header) < NSH_CONTEXT + OVS_NSH_KEY_MD1_SIZEOF) return false;
      setContext(header, key, value, masked ? value + OVS_NSH_KEY_MD1_SIZEOF : 0);
    }
  }
  markKeyCold(packet);
  const mdType = <u32>load<u8>(header, NSH_MD_TYPE);
  return mdType == NSH_MD_TYPE1 || mdType == NSH_MD_TYPE2;
}

function setBase(header: usize, key: usize, value: usize, mask: usize): void {
  const first = <u32>bswap<u16>(load<u16>(header));
  const flags = masked8((first >> FLAGS_SHIFT) & FLAGS_BITS, value, mask, BASE_FLAGS);
  const ttl = masked8((first >> TTL_SHIFT) & SIX_BITS, value, mask, BASE_TTL);
  const path = masked32(load<u32>(header, NSH_PATH_HDR), value, mask, BASE_PATH_HDR);
  const rest = first & ~((FLAGS_BITS << FLAGS_SHIFT) | (SIX_BITS << TTL_SHIFT));
  const word = rest | ((flags & FLAGS_BITS) << FLAGS_SHIFT) | ((ttl & SIX_BITS) << TTL_SHIFT);
  store<u16>(header, bswap<u16>(<u16>word));
  store<u32>(header, path, NSH_PATH_HDR);
  store<u8>(key, <u8>flags, KEY_NSH_FLAGS);
  store<u8>(key, <u8>ttl, KEY_NSH_TTL);
  store<u32>(key, path, KEY_NSH_PATH_HDR);
}

function setContext(header: usize, key: usize, value: usize, mask: usize): void {
  for (let i: usize = 0; i < <usize>OVS_NSH_KEY_MD1_SIZEOF; i += 4) {
    const word = masked32(load<u32>(header + NSH_CONTEXT + i), value, mask, i);
    store<u32>(header + NSH_CONTEXT + i, word);
    store<u32>(key + KEY_NSH_CONTEXT + i, word);
  }
}
