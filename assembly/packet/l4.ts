/*
 * The small transport headers: TCP, UDP, SCTP, ICMP, IGMP.
 *
 * Before them: ipv4.ts or ipv6.ts, which put the protocol into the key (ICMPv6 has its own file). After them:
 * nothing, the key is complete. They read the frame, write the transport fields of the key, own no memory; any worker
 * may call them.
 *
 * A header that the frame cuts off leaves the fields zero. Length fields inside the headers are not looked at, except
 * the TCP data offset, which must lie between the fixed header and the end of the frame.
 */
import { KEY_TCP_FLAGS, KEY_TP_DST, KEY_TP_SRC } from '../constants';

export const IPPROTO_ICMP: u32 = 1;
export const IPPROTO_IGMP: u32 = 2;
export const IPPROTO_TCP: u32 = 6;
export const IPPROTO_UDP: u32 = 17;
export const IPPROTO_SCTP: u32 = 132;

export const TCP_SIZE_MIN: u32 = 20;
/** The data offset (four bits) and, after four bits of which one is a flag today, the flags. */
export const TCP_CONTROL: u32 = 12;
/** The twelve low bits of TCP_CONTROL in wire order. */
export const TCP_FLAGS_WIRE: u32 = 0xff0f;
export const UDP_SIZE: u32 = 8;
export const SCTP_SIZE: u32 = 12;
export const ICMP_SIZE: u32 = 8;
export const IGMP_SIZE: u32 = 8;

/** The whole TCP header, options included, lies inside the `size` bytes. */
@inline
export function checkTcp(header: usize, size: u32): bool {
  if (size < TCP_SIZE_MIN) return false;
  const headerSize = (<u32>load<u8>(header, TCP_CONTROL) >> 4) << 2;
  return headerSize >= TCP_SIZE_MIN && headerSize <= size;
}

/** Source and destination port lie next to each other in the packet and in the key. */
@inline
function copyPorts(header: usize, key: usize): void {
  store<u32>(key, load<u32>(header), KEY_TP_SRC);
}

/** Type and code, each in the low byte of a big-endian port field. */
@inline
export function copyTypeCode(header: usize, key: usize): void {
  store<u8>(key, load<u8>(header), KEY_TP_SRC + 1);
  store<u8>(key, load<u8>(header, 1), KEY_TP_DST + 1);
}

/** Protocols that mean the same over IPv4 and IPv6. */
export function parsePorts(proto: u32, header: usize, size: u32, key: usize): void {
  if (proto == IPPROTO_TCP) {
    if (!checkTcp(header, size)) return;
    copyPorts(header, key);
    store<u16>(key, load<u16>(header, TCP_CONTROL) & TCP_FLAGS_WIRE, KEY_TCP_FLAGS);
  } else if (proto == IPPROTO_UDP) {
    if (size >= UDP_SIZE) copyPorts(header, key);
  } else if (proto == IPPROTO_SCTP) {
    if (size >= SCTP_SIZE) copyPorts(header, key);
  }
}

/** What follows an IPv4 header. IGMP is not in the kernel's key; its type and code go where Open vSwitch puts them. */
export function parseIpv4Transport(proto: u32, header: usize, size: u32, key: usize): void {
  if (proto == IPPROTO_ICMP) {
    if (size >= ICMP_SIZE) copyTypeCode(header, key);
  } else if (proto == IPPROTO_IGMP) {
    if (size >= IGMP_SIZE) copyTypeCode(header, key);
  } else {
    parsePorts(proto, header, size, key);
  }
}
