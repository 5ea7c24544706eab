/*
 * set(ipv4) and set(ipv6): addresses, ToS or traffic class, flow label, TTL or hop limit.
 *
 * Before it: set.ts. After it: nothing. `value` is the address of ovs_key_ipv4 or ovs_key_ipv6 in the action, `mask` that of
 * its mask or 0. Changes the frame and the packet's key alike and mends the checksums that cover what changed: the IPv4
 * header's own, and the pseudo header in those of TCP, UDP and ICMPv6, unless this is a later fragment. The worker that
 * owns the packet calls it.
 */
import {
  KEY_ETH_TYPE,
  KEY_IPV4_DST,
  KEY_IPV4_SRC,
  KEY_IPV6_DST,
  KEY_IPV6_LABEL,
  KEY_IPV6_SRC,
  KEY_IP_PROTO,
  KEY_IP_TOS,
  KEY_IP_TTL,
  PACKET_L3,
  PACKET_L4,
} from '../constants';
import { applyDelta, applyDeltaToSum, delta16, delta32, delta64 } from '../packet/checksum';
import { ETH_P_IPV6_WIRE, ETH_P_IP_WIRE } from '../packet/ethernet';
import {
  FRAG_LATER,
  IPV4_CHECKSUM,
  IPV4_DST,
  IPV4_PROTO,
  IPV4_SIZE_MIN,
  IPV4_SRC,
  IPV4_TOS,
  IPV4_TTL,
  ipv4Frag,
} from '../packet/ipv4';
import {
  IPV6_DST,
  IPV6_HOP_LIMIT,
  IPV6_LABEL_WIRE,
  IPV6_NEXT_HEADER,
  IPV6_SIZE,
  IPV6_SRC,
  ipv6TrafficClass,
  NEXTHDR_AUTH,
  NEXTHDR_DEST,
  NEXTHDR_FRAGMENT,
  NEXTHDR_HOP,
  NEXTHDR_ICMP,
  NEXTHDR_ROUTING,
} from '../packet/ipv6';
import { ICMP_SIZE, IPPROTO_TCP, IPPROTO_UDP, TCP_SIZE_MIN, UDP_SIZE } from '../packet/l4';
import { clearHash, dataOf, hasHeader, isChecksumPartial, isSet, keyOf, masked32, masked8, sizeOf } from './packet';

// struct ovs_key_ipv4
export const OVS_IPV4_SRC: usize = 0;
export const OVS_IPV4_DST: usize = 4;
export const OVS_IPV4_PROTO: usize = 8;
export const OVS_IPV4_TOS: usize = 9;
export const OVS_IPV4_TTL: usize = 10;
export const OVS_IPV4_FRAG: usize = 11;
// struct ovs_key_ipv6
export const OVS_IPV6_SRC: usize = 0;
export const OVS_IPV6_DST: usize = 16;
export const OVS_IPV6_LABEL: usize = 32;
export const OVS_IPV6_PROTO: usize = 36;
export const OVS_IPV6_TCLASS: usize = 37;
export const OVS_IPV6_HLIMIT: usize = 38;
export const OVS_IPV6_FRAG: usize = 39;

// Where the checksum is in a transport header.
export const TCP_CHECKSUM: usize = 16;
export const UDP_CHECKSUM: usize = 6;
export const ICMPV6_CHECKSUM: usize = 2;

const ROUTING_SEGMENTS_LEFT: usize = 3;
const FRAGMENT_OFFSET: usize = 2;
const FRAGMENT_OFFSET_WIRE: u32 = 0xf8ff;

/** False if the packet has no IPv4 header. */
export function setIpv4(packet: usize, value: usize, mask: usize): bool {
  const l3 = <u32>load<u16>(packet, PACKET_L3);
  const key = keyOf(packet);
  if (load<u16>(key, KEY_ETH_TYPE) != ETH_P_IP_WIRE || !hasHeader(packet, l3, IPV4_SIZE_MIN)) return false;
  const header = dataOf(packet) + l3;

  const source = load<u32>(header, IPV4_SRC);
  const newSource = masked32(source, value, mask, OVS_IPV4_SRC);
  const destination = load<u32>(header, IPV4_DST);
  const newDestination = masked32(destination, value, mask, OVS_IPV4_DST);
  let delta: u64 = 0;
  if (newSource != source) {
    delta = delta32(source, newSource);
    store<u32>(header, newSource, IPV4_SRC);
    store<u32>(key, newSource, KEY_IPV4_SRC);
  }
  if (newDestination != destination) {
    delta += delta32(destination, newDestination);
    store<u32>(header, newDestination, IPV4_DST);
    store<u32>(key, newDestination, KEY_IPV4_DST);
  }
  if (newSource != source || newDestination != destination) clearHash(packet);
  if (delta != 0 && ipv4Frag(header) != FRAG_LATER) mendTransport(packet, load<u8>(header, IPV4_PROTO), delta);

  if (isSet(mask, OVS_IPV4_TOS)) {
    const tos = masked8(load<u8>(header, IPV4_TOS), value, mask, OVS_IPV4_TOS);
    if (delta != 0) mendChecksum(header + IPV4_CHECKSUM, delta);
    delta = 0;
    setTos(header, tos);
    store<u8>(key, <u8>tos, KEY_IP_TOS);
  }
  if (isSet(mask, OVS_IPV4_TTL)) {
    const before = <u32>load<u8>(header, IPV4_TTL);
    const ttl = masked8(before, value, mask, OVS_IPV4_TTL);
    delta += delta16(before, ttl);
    store<u8>(header, <u8>ttl, IPV4_TTL);
    store<u8>(key, <u8>ttl, KEY_IP_TTL);
  }
  if (delta != 0) mendChecksum(header + IPV4_CHECKSUM, delta);
  return true;
}

/** In the order of the kernel's sums: a checksum of 0xffff, which is another form of 0, becomes what it becomes there. */
@inline
function setTos(header: usize, tos: u32): void {
  let check = <u32>bswap<u16>(load<u16>(header, IPV4_CHECKSUM)) + load<u8>(header, IPV4_TOS);
  if ((check + 1) >> 16 != 0) check = (check + 1) & 0xffff;
  check -= tos;
  check += check >> 16;
  store<u16>(header, bswap<u16>(<u16>check), IPV4_CHECKSUM);
  store<u8>(header, <u8>tos, IPV4_TOS);
}

@inline
export function setTtl(header: usize, ttl: u32): void {
  mendChecksum(header + IPV4_CHECKSUM, delta16(load<u8>(header, IPV4_TTL), ttl));
  store<u8>(header, <u8>ttl, IPV4_TTL);
}

/** False if the packet has no IPv6 header. */
export function setIpv6(packet: usize, value: usize, mask: usize): bool {
  const l3 = <u32>load<u16>(packet, PACKET_L3);
  const key = keyOf(packet);
  if (load<u16>(key, KEY_ETH_TYPE) != ETH_P_IPV6_WIRE || !hasHeader(packet, l3, IPV6_SIZE)) return false;
  const header = dataOf(packet) + l3;

  let delta = setIpv6Address(header + IPV6_SRC, key + KEY_IPV6_SRC, value, mask, OVS_IPV6_SRC);
  const destinationDelta = setIpv6Address(header + IPV6_DST, key + KEY_IPV6_DST, value, mask, OVS_IPV6_DST);
  if ((delta | destinationDelta) != 0) clearHash(packet);
  // With segments left, the pseudo header holds the last address of the routing header instead.
  if (destinationDelta != 0 && !hasActiveRouting(header, sizeOf(packet) - l3)) delta += destinationDelta;
  const proto = <u32>load<u8>(key, KEY_IP_PROTO);
  if (delta != 0 && proto != NEXTHDR_FRAGMENT) mendTransport(packet, proto, delta);

  setIpv6Fields(header, key, value, mask);
  return true;
}

/** Traffic class, flow label and hop limit; no checksum covers them. Version, class and label share the first word. */
function setIpv6Fields(header: usize, key: usize, value: usize, mask: usize): void {
  if (isSet(mask, OVS_IPV6_TCLASS)) {
    const tclass = masked8(ipv6TrafficClass(header), value, mask, OVS_IPV6_TCLASS);
    store<u8>(header, <u8>((load<u8>(header) & 0xf0) | (tclass >> 4)));
    store<u8>(header, <u8>((load<u8>(header, 1) & 0x0f) | (tclass << 4)), 1);
    store<u8>(key, <u8>tclass, KEY_IP_TOS);
  }
  if (mask == 0 || load<u32>(mask + OVS_IPV6_LABEL) != 0) {
    const first = load<u32>(header);
    const label = masked32(first & IPV6_LABEL_WIRE, value, mask, OVS_IPV6_LABEL);
    store<u32>(header, (first & ~IPV6_LABEL_WIRE) | label);
    store<u32>(key, label, KEY_IPV6_LABEL);
  }
  if (isSet(mask, OVS_IPV6_HLIMIT)) {
    const hopLimit = masked8(load<u8>(header, IPV6_HOP_LIMIT), value, mask, OVS_IPV6_HLIMIT);
    store<u8>(header, <u8>hopLimit, IPV6_HOP_LIMIT);
    store<u8>(key, <u8>hopLimit, KEY_IP_TTL);
  }
}

/** Returns what the change does to a sum over the address, 0 if it did not change. */
function setIpv6Address(at: usize, keyField: usize, value: usize, mask: usize, offset: usize): u64 {
  const before = v128.load(at);
  let after = v128.load(value + offset);
  if (mask != 0) after = v128.or(v128.andnot(before, v128.load(mask + offset)), after);
  if (!v128.any_true(v128.xor(before, after))) return 0;
  v128.store(at, after);
  v128.store(keyField, after);
  return (
    delta64(v128.extract_lane<u64>(before, 0), v128.extract_lane<u64>(after, 0)) +
    delta64(v128.extract_lane<u64>(before, 1), v128.extract_lane<u64>(after, 1))
  );
}

/** Adds a change of the pseudo header to the transport checksum, if the packet has one. */
@inline
function mendTransport(packet: usize, proto: u32, delta: u64): void {
  const l4 = <u32>load<u16>(packet, PACKET_L4);
  const header = dataOf(packet) + l4;
  if (isChecksumPartial(packet)) return mendPartial(packet, proto, l4, delta);
  if (proto == IPPROTO_TCP) {
    if (hasHeader(packet, l4, TCP_SIZE_MIN)) mendChecksum(header + TCP_CHECKSUM, delta);
  } else if (proto == IPPROTO_UDP) {
    if (hasHeader(packet, l4, UDP_SIZE)) mendUdpChecksum(header + UDP_CHECKSUM, delta);
  } else if (proto == NEXTHDR_ICMP && load<u16>(keyOf(packet), KEY_ETH_TYPE) == ETH_P_IPV6_WIRE) {
    if (hasHeader(packet, l4, ICMP_SIZE)) mendChecksum(header + ICMPV6_CHECKSUM, delta);
  }
}

/** The same for a checksum that is still to be made. A UDP checksum will be made then, so that it has no 0 for "none". */
function mendPartial(packet: usize, proto: u32, l4: u32, delta: u64): void {
  const tcp = proto == IPPROTO_TCP;
  const udp = proto == IPPROTO_UDP;
  const icmpv6 = proto == NEXTHDR_ICMP && load<u16>(keyOf(packet), KEY_ETH_TYPE) == ETH_P_IPV6_WIRE;
  if (!(tcp || udp || icmpv6) || !hasHeader(packet, l4, tcp ? TCP_SIZE_MIN : udp ? UDP_SIZE : ICMP_SIZE)) return;
  const at = dataOf(packet) + l4 + (tcp ? TCP_CHECKSUM : udp ? UDP_CHECKSUM : ICMPV6_CHECKSUM);
  const sum = applyDeltaToSum(load<u16>(at), delta);
  store<u16>(at, <u16>(udp && sum == 0 ? 0xffff : sum));
}

@inline
export function mendChecksum(at: usize, delta: u64): void {
  store<u16>(at, <u16>applyDelta(load<u16>(at), delta));
}

/** 0 means "no checksum" and stays; a sum that comes out as 0 is written as 0xffff. */
@inline
export function mendUdpChecksum(at: usize, delta: u64): void {
  const check = <u32>load<u16>(at);
  if (check == 0) return;
  const mended = applyDelta(check, delta);
  store<u16>(at, <u16>(mended == 0 ? 0xffff : mended));
}

/** Whether a routing header with segments left comes before the transport header. Every step takes at least 8 bytes. */
function hasActiveRouting(header: usize, size: u32): bool {
  let next = <u32>load<u8>(header, IPV6_NEXT_HEADER);
  let offset = IPV6_SIZE;
  while (size - offset >= 8) {
    const extension = header + offset;
    let extensionSize = (<u32>load<u8>(extension, 1) + 1) << 3;
    if (next == NEXTHDR_ROUTING) {
      if (load<u8>(extension, ROUTING_SEGMENTS_LEFT) != 0) return true;
    } else if (next == NEXTHDR_FRAGMENT) {
      if (<u32>load<u16>(extension, FRAGMENT_OFFSET) & FRAGMENT_OFFSET_WIRE) return false;
      extensionSize = 8;
    } else if (next == NEXTHDR_AUTH) {
      extensionSize = (<u32>load<u8>(extension, 1) + 2) << 2;
    } else if (next != NEXTHDR_HOP && next != NEXTHDR_DEST) {
      return false;
    }
    if (size - offset < extensionSize) return false;
    next = load<u8>(extension);
    offset += extensionSize;
  }
  return false;
}
