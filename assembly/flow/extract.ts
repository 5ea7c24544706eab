/*
 * Flow key extraction: one frame in, its flow key out. The hottest code there is.
 *
 * Before it: a receiver filled the packet descriptor (PACKET_DATA, PACKET_SIZE, PACKET_KEY, PACKET_IN_PORT,
 * PACKET_RECIRC_ID, PACKET_FLAGS). After it: flow/hash.ts.
 *
 * Concepts. The key is the one that the kernel's openvswitch module gives, also for truncated and lying headers; the
 * two exceptions (IGMP, a refused NSH header) stand in their files and, with all differences to Open vSwitch's
 * userspace, in docs/extraction.md. Untagged IPv4 with TCP or UDP and without options or fragments takes a way of its
 * own: a few wide loads, all behind one size check, and as few wide stores. Everything else goes header by header
 * through packet/.
 *
 * Ownership. The frame is only read, and never outside [data, data + size). The key belongs to the caller. Its hot
 * words are all written; its cold words must be zero unless PACKET_FLAG_KEY_COLD is set, and are left zero, with all
 * flags clear, unless the frame has fields there. Metadata in the cold part (skb_mark, conntrack, tunnel) is the
 * caller's, to be put in afterwards.
 *
 * Threads. Any worker, on its own packets.
 */
import {
  FRAME_SIZE_MIN,
  KEY_ETH_DST,
  KEY_ETH_SRC,
  KEY_ETH_TYPE,
  KEY_HOT_SIZE,
  KEY_IN_PORT,
  KEY_IPV4_SRC,
  KEY_IPV6_DST,
  KEY_IPV6_LABEL,
  KEY_IPV6_SRC,
  KEY_IP_PROTO,
  KEY_ND_TARGET,
  KEY_NSH_FLAGS,
  KEY_PACKET_TYPE,
  KEY_RECIRC_ID,
  KEY_SIZE,
  KEY_ARP_SHA,
  KEY_TCP_FLAGS,
  KEY_TUN_ID,
  OFFSET_NONE,
  PACKET_DATA,
  PACKET_FLAG_KEY_COLD,
  PACKET_FLAG_KEY_STALE,
  PACKET_FLAG_L3,
  PACKET_IN_PORT,
  PACKET_KEY,
  PACKET_L3,
  PACKET_RECIRC_ID,
  PACKET_SIZE,
} from '../constants';
import { parseArp } from '../packet/arp';
import {
  ETH_P_ARP_WIRE,
  ETH_P_IPV6_WIRE,
  ETH_P_IP_WIRE,
  ETH_P_NSH_WIRE,
  ETH_P_RARP_WIRE,
  isMplsType,
  parseEthernet,
} from '../packet/ethernet';
import { parseIcmpv6 } from '../packet/icmpv6';
import { parseIpv4 } from '../packet/ipv4';
import { NEXTHDR_ICMP, parseIpv6 } from '../packet/ipv6';
import { IPPROTO_TCP, IPPROTO_UDP, parseIpv4Transport, parsePorts, TCP_FLAGS_WIRE } from '../packet/l4';
import { MPLS_SIZE, parseMpls } from '../packet/mpls';
import { parseNsh } from '../packet/nsh';

/** Size of an untagged frame up to and with the UDP header, and with the smallest TCP header. */
const PLAIN_L3: u32 = 14;
const PLAIN_L4: u32 = 34;
const PLAIN_SIZE_MIN: u32 = 42;
const PLAIN_TCP_SIZE_MIN: u32 = 54;
const PLAIN_PROTO: u32 = 23;
const PLAIN_TCP_CONTROL: u32 = 46;

const ADDRESS_MASK: u64 = 0x0000ffffffffffff;
const TYPE_MASK: u64 = 0xffff000000000000;
/** In the first 8 bytes of an IPv4 header: header size 5 words, neither fragment offset nor "more fragments". */
const PLAIN_IPV4_MASK: u64 = 0xff3f00000000000f;
const PLAIN_IPV4_VALUE: u64 = 5;

/** The four u16 of the descriptor from PACKET_L3 on: L3, L4, MPLS, flags. */
const STATE_FLAGS_SHIFT: u64 = 48;
const STATE_FLAGS_MASK: u64 = 0xffff000000000000;
const STATE_COLD: u64 = (<u64>PACKET_FLAG_KEY_COLD) << STATE_FLAGS_SHIFT;
const STATE_STALE: u64 = (<u64>PACKET_FLAG_KEY_STALE) << STATE_FLAGS_SHIFT;
const STATE_L3: u64 = (<u64>PACKET_FLAG_L3) << STATE_FLAGS_SHIFT;
const STATE_PLAIN: u64 = ((<u64>OFFSET_NONE) << 32) | ((<u64>PLAIN_L4) << 16) | <u64>PLAIN_L3;

/**
 * Writes the flow key of the packet whose descriptor is at `packet`, and the offsets of its headers: PACKET_L3 is
 * where the network header begins (always set; behind LLC/SNAP and at most two tags), PACKET_L4 where the transport
 * header begins (set when an IP header is whole and this is not a later fragment; the transport header itself may be
 * cut off), PACKET_MPLS where the first label is (it is PACKET_L3 then).
 *
 * Returns 0, or -1 if the frame is shorter than an Ethernet header; nothing is written then.
 */
export function extract(packet: usize): i32 {
  const size = load<u32>(packet, PACKET_SIZE);
  if (size < <u32>FRAME_SIZE_MIN) return -1;
  const data = <usize>load<u32>(packet, PACKET_DATA);
  const key = <usize>load<u32>(packet, PACKET_KEY);
  if (load<u64>(packet, PACKET_L3) & STATE_COLD) return extractCold(packet, data, size, key);

  storePort(packet, key);
  if (size < PLAIN_SIZE_MIN) return extractAny(packet, data, size, key, 0);

  const sourceType = load<u64>(data, 6);
  const ip = load<u64>(data, PLAIN_L3);
  if (sourceType >> 48 != <u64>ETH_P_IP_WIRE || (ip & PLAIN_IPV4_MASK) != PLAIN_IPV4_VALUE) {
    return extractAny(packet, data, size, key, 0);
  }
  const proto = <u32>load<u8>(data, PLAIN_PROTO);
  let tcpFlags: u64 = 0;
  if (proto == IPPROTO_TCP) {
    if (size < PLAIN_TCP_SIZE_MIN) return extractAny(packet, data, size, key, 0);
    const control = <u32>load<u16>(data, PLAIN_TCP_CONTROL);
    const words = (control >> 4) & 15;
    if (words < 5 || size - PLAIN_L4 < words << 2) return extractAny(packet, data, size, key, 0);
    tcpFlags = <u64>(control & TCP_FLAGS_WIRE);
  } else if (proto != IPPROTO_UDP) {
    return extractAny(packet, data, size, key, 0);
  }

  storePlain(data, key, sourceType, tcpFlags);
  store<u64>(packet, STATE_PLAIN, PACKET_L3);
  return 0;
}

/** The word that does not come from the frame. */
@inline
function storePort(packet: usize, key: usize): void {
  const recircId = <u64>load<u32>(packet, PACKET_RECIRC_ID);
  store<u64>(key, <u64>load<u32>(packet, PACKET_IN_PORT) | (recircId << 32), KEY_IN_PORT);
}

/** All words but the first, of an untagged IPv4 frame with a plain header; `sourceType` is bytes 6 to 13 of the frame. */
@inline
function storePlain(data: usize, key: usize, sourceType: u64, tcpFlags: u64): void {
  // Header bytes 0-15 and 8-23: proto, tos, ttl, a zero (the low byte of the fragment offset), ports, addresses.
  const v = i8x16.shuffle(
    v128.load(data, <usize>PLAIN_L3),
    v128.load(data, <usize>PLAIN_L3 + 8),
    17,
    1,
    16,
    7,
    28,
    29,
    30,
    31,
    20,
    21,
    22,
    23,
    24,
    25,
    26,
    27,
  );
  const zero = i64x2.splat(0);
  store<u64>(key, (load<u64>(data) & ADDRESS_MASK) | (sourceType & TYPE_MASK), KEY_ETH_DST);
  store<u64>(key, sourceType & ADDRESS_MASK, KEY_ETH_DST + 8);
  v128.store(key, v, KEY_IP_PROTO);
  store<u64>(key, tcpFlags, KEY_TCP_FLAGS);
  v128.store(key, zero, KEY_IPV6_SRC);
  v128.store(key, zero, KEY_IPV6_DST);
  v128.store(key, zero, KEY_IPV6_LABEL);
  v128.store(key, zero, KEY_ARP_SHA);
  v128.store(key, zero, KEY_ND_TARGET);
}

/** The way of a packet whose key slot was left with cold words: clears them first. */
function extractCold(packet: usize, data: usize, size: u32, key: usize): i32 {
  memory.fill(key + KEY_HOT_SIZE, 0, KEY_SIZE - KEY_HOT_SIZE);
  storePort(packet, key);
  return extractAny(packet, data, size, key, 0);
}

/**
 * Extracts the key of a packet that actions changed, or that comes with its metadata (port, marks, hash, conntrack, tunnel): these stay as they
 * are in the key; the recirculation id is the packet's. Returns 0, or -1 with nothing written when the packet has lost so much that it has no key.
 */
export function extractAgain(packet: usize): i32 {
  const size = load<u32>(packet, PACKET_SIZE);
  const data = <usize>load<u32>(packet, PACKET_DATA);
  const key = <usize>load<u32>(packet, PACKET_KEY);
  const flags = load<u64>(packet, PACKET_L3) & STATE_FLAGS_MASK & ~STATE_STALE;
  const l3 = (flags & STATE_L3) != 0;
  if (!l3 && size < <u32>FRAME_SIZE_MIN) return -1;
  memory.fill(key + KEY_NSH_FLAGS, 0, KEY_TUN_ID - KEY_NSH_FLAGS);
  store<u32>(key, load<u32>(packet, PACKET_RECIRC_ID), KEY_RECIRC_ID);
  if (!l3) return extractAny(packet, data, size, key, flags);
  clearHot(key);
  store<u64>(key, (<u64>load<u16>(key, KEY_PACKET_TYPE + 2)) << 48, KEY_ETH_DST);
  return extractNetwork(packet, data, size, key, flags, 0);
}

/** The general way: zeroes the hot words but the first, then goes header by header. */
function extractAny(packet: usize, data: usize, size: u32, key: usize, flags: u64): i32 {
  clearHot(key);
  return extractNetwork(packet, data, size, key, flags, parseEthernet(data, size, key));
}

/** From the network header on, which begins at `l3` and whose type the key has. */
function extractNetwork(packet: usize, data: usize, size: u32, key: usize, flags: u64, l3: u32): i32 {
  const header = data + l3;
  const rest = size - l3;
  const type = <u32>load<u16>(key, KEY_ETH_TYPE);
  let l4Size: u32 = 0;
  let mpls: u32 = OFFSET_NONE;
  if (type == ETH_P_IP_WIRE) {
    l4Size = parseIpv4(header, rest, key);
    if (l4Size != 0) {
      parseIpv4Transport(<u32>load<u8>(key, KEY_IP_PROTO), header + l4Size, rest - l4Size, key);
    }
  } else if (type == ETH_P_IPV6_WIRE) {
    l4Size = parseIpv6(header, rest, key);
    if (l4Size != 0 && parseIpv6Transport(header + l4Size, rest - l4Size, key)) flags |= STATE_COLD;
  } else if (type == ETH_P_ARP_WIRE || type == ETH_P_RARP_WIRE) {
    parseArp(header, rest, key);
  } else if (isMplsType(type)) {
    parseMpls(header, rest, key);
    if (rest >= MPLS_SIZE) mpls = l3;
  } else if (type == ETH_P_NSH_WIRE) {
    if (parseNsh(header, rest, key)) flags |= STATE_COLD;
  }
  const l4 = l4Size != 0 && l3 + l4Size < <u32>OFFSET_NONE ? l3 + l4Size : <u32>OFFSET_NONE;
  store<u64>(packet, flags | ((<u64>mpls) << 32) | ((<u64>l4) << 16) | <u64>l3, PACKET_L3);
  return 0;
}

/** Zeroes the hot words from KEY_ETH_SRC on; parseEthernet writes the word before it whole. */
@inline
function clearHot(key: usize): void {
  const zero = i64x2.splat(0);
  v128.store(key, zero, KEY_ETH_SRC);
  v128.store(key, zero, KEY_IPV4_SRC);
  v128.store(key, zero, KEY_IPV6_SRC);
  v128.store(key, zero, KEY_IPV6_DST);
  v128.store(key, zero, KEY_IPV6_LABEL);
  v128.store(key, zero, KEY_ARP_SHA);
  v128.store(key, zero, KEY_ND_TARGET);
}

/** Returns true if the cold part of the key was written. */
function parseIpv6Transport(header: usize, size: u32, key: usize): bool {
  const proto = <u32>load<u8>(key, KEY_IP_PROTO);
  if (proto == NEXTHDR_ICMP) return parseIcmpv6(header, size, key);
  parsePorts(proto, header, size, key);
  return false;
}
