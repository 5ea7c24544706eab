/*
 * set(tcp), set(udp) and set(sctp): the two ports.
 *
 * Before it: set.ts. After it: nothing. `value` is the address of the structure in the action, `mask` that of its mask or 0;
 * source and destination are one 32-bit word everywhere: action, frame and key. Changes the frame and the packet's key
 * alike and mends the checksum, unless it is still to be made. The worker that owns the packet calls it.
 *
 * SCTP's CRC covers what the IP header calls payload, not padding behind it.
 */
import { KEY_ETH_TYPE, KEY_IP_FRAG, KEY_IP_PROTO, KEY_TP_DST, KEY_TP_SRC, PACKET_L3, PACKET_L4 } from '../constants';
import { applyCrcDifference, delta16 } from '../packet/checksum';
import { ETH_P_IP_WIRE } from '../packet/ethernet';
import { FRAG_LATER, IPV4_TOTAL_SIZE } from '../packet/ipv4';
import { IPV6_PAYLOAD_SIZE, IPV6_SIZE } from '../packet/ipv6';
import { IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP, SCTP_SIZE, TCP_SIZE_MIN, UDP_SIZE } from '../packet/l4';
import { clearHash, dataOf, hasHeader, isChecksumPartial, keyOf, masked32, sizeOf } from './packet';
import { mendChecksum, mendUdpChecksum, TCP_CHECKSUM, UDP_CHECKSUM } from './set-ip';

const SCTP_CHECKSUM: usize = 8;

/** Address of the transport header, or 0 if this packet has none of the protocol, or not enough of it. */
@inline
function transportOf(packet: usize, proto: u32, size: u32): usize {
  const l4 = <u32>load<u16>(packet, PACKET_L4);
  const key = keyOf(packet);
  if (load<u8>(key, KEY_IP_PROTO) != proto || load<u8>(key, KEY_IP_FRAG) == FRAG_LATER) return 0;
  return hasHeader(packet, l4, size) ? dataOf(packet) + l4 : 0;
}

/** A port that stays is left alone in the key too, which may not have it: the header may be one that extraction does not believe. */
@inline
function storeChanged(packet: usize, header: usize, before: u32, ports: u32): void {
  const key = keyOf(packet);
  store<u32>(header, ports);
  if ((before ^ ports) & 0xffff) store<u16>(key, <u16>ports, KEY_TP_SRC);
  if ((before ^ ports) >> 16) store<u16>(key, <u16>(ports >> 16), KEY_TP_DST);
}

/** Each port by itself, as the kernel does: a port that stays adds nothing. */
@inline
function portsDelta(before: u32, after: u32): u64 {
  let delta: u64 = 0;
  if ((before ^ after) & 0xffff) delta = delta16(before & 0xffff, after & 0xffff);
  if ((before ^ after) >> 16) delta += delta16(before >> 16, after >> 16);
  return delta;
}

export function setTcp(packet: usize, value: usize, mask: usize): bool {
  const header = transportOf(packet, IPPROTO_TCP, TCP_SIZE_MIN);
  if (header == 0) return false;
  clearHash(packet);
  const before = load<u32>(header);
  const ports = masked32(before, value, mask, 0);
  if (ports == before) return true;
  storeChanged(packet, header, before, ports);
  if (!isChecksumPartial(packet)) mendChecksum(header + TCP_CHECKSUM, portsDelta(before, ports));
  return true;
}

export function setUdp(packet: usize, value: usize, mask: usize): bool {
  const header = transportOf(packet, IPPROTO_UDP, UDP_SIZE);
  if (header == 0) return false;
  clearHash(packet);
  const before = load<u32>(header);
  const ports = masked32(before, value, mask, 0);
  if (load<u16>(header, UDP_CHECKSUM) == 0 || isChecksumPartial(packet)) {
    store<u32>(header, ports);
    store<u32>(keyOf(packet), ports, KEY_TP_SRC);
    return true;
  }
  if (ports == before) return true;
  storeChanged(packet, header, before, ports);
  mendUdpChecksum(header + UDP_CHECKSUM, portsDelta(before, ports));
  return true;
}

export function setSctp(packet: usize, value: usize, mask: usize): bool {
  const header = transportOf(packet, IPPROTO_SCTP, SCTP_SIZE);
  if (header == 0) return false;
  clearHash(packet);
  const before = load<u32>(header);
  const ports = masked32(before, value, mask, 0);
  store<u32>(header, ports);
  store<u32>(keyOf(packet), ports, KEY_TP_SRC);
  const crc = applyCrcDifference(load<u32>(header, SCTP_CHECKSUM), before ^ ports, sctpSize(packet));
  store<u32>(header, crc, SCTP_CHECKSUM);
  return true;
}

/** Bytes from the SCTP header to the end of the IP payload; to the end of the frame if the IP header lies about it. */
function sctpSize(packet: usize): u32 {
  const l3 = <u32>load<u16>(packet, PACKET_L3);
  const l4 = <u32>load<u16>(packet, PACKET_L4);
  const header = dataOf(packet) + l3;
  const end =
    load<u16>(keyOf(packet), KEY_ETH_TYPE) == ETH_P_IP_WIRE
      ? l3 + <u32>bswap<u16>(load<u16>(header, IPV4_TOTAL_SIZE))
      : l3 + IPV6_SIZE + <u32>bswap<u16>(load<u16>(header, IPV6_PAYLOAD_SIZE));
  return (end >= l4 + SCTP_SIZE && end <= sizeOf(packet) ? end : sizeOf(packet)) - l4;
}
