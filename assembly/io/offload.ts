/*
 * Offloads: what whoever sent a packet has left to others. A checksum that covers no more than the pseudo header, or a super-frame that is
 * to be cut into segments; Linux hands both to software ports (veth, TAP, virtual machines) as a matter of course.
 *
 * Before it: drivers whose frames come with a struct virtio_net_hdr. After it: ports that take one pass it on, as it is now; for those that
 * do not, io/transmit.ts completes and cuts.
 *
 * Concepts. A packet's record stands beside its descriptor (OFFLOAD_*, one a position of the batch) and counts while PACKET_FLAG_OFFLOAD is
 * set. Places are kept as distances from the end of the packet, so that tags and headers may come and go in front. Threads: the worker's own.
 */
import {
  KEY_IP_FRAG,
  KEY_IP_PROTO,
  OFFLOAD_COVERED,
  OFFLOAD_CSUM_OFFSET,
  OFFLOAD_GSO_SIZE,
  OFFLOAD_GSO_TYPE,
  OFFLOAD_NETWORK,
  OFFLOAD_SIZEOF,
  OFFSET_NONE,
  PACKET_DATA,
  PACKET_FLAGS,
  PACKET_FLAG_CSUM_PARTIAL,
  PACKET_FLAG_OFFLOAD,
  PACKET_KEY,
  PACKET_L3,
  PACKET_L4,
  PACKET_SIZE,
  PACKET_SIZEOF,
  VNET_CSUM_OFFSET,
  VNET_CSUM_START,
  VNET_FLAGS,
  VNET_F_NEEDS_CSUM,
  VNET_GSO_ECN,
  VNET_GSO_SIZE,
  VNET_GSO_TCPV4,
  VNET_GSO_TCPV6,
  VNET_GSO_TYPE,
  VNET_HDR_LEN,
} from '../constants';
import { offloads, packets } from '../memory/layout';
import { fold, sumOf } from '../packet/checksum';
import { IPPROTO_TCP, IPPROTO_UDP } from '../packet/l4';

/** Positions of the batch at hand whose packets have a record: bitmap. */
export let offloaded: u32 = 0;

/** The packets of the batch at hand come without a header that would say what is left to be done, and without a wire that would need it done. */
export let soft: bool = false;

export function resetOffloaded(): void {
  offloaded = 0;
  soft = false;
}

export function setSoft(): void {
  soft = true;
}

/** The record of a packet's position. */
@inline
export function offloadOf(packet: usize): usize {
  return offloads + ((packet - packets) / PACKET_SIZEOF) * OFFLOAD_SIZEOF;
}

@inline
export function isOffloaded(packet: usize): bool {
  return (load<u16>(packet, PACKET_FLAGS) & PACKET_FLAG_OFFLOAD) != 0;
}

/**
 * Reads the header `vnet` of the frame at `position` of the batch, `size` bytes, of which `shift` came to its front since the header was
 * written. False when the header contradicts the frame.
 */
export function readVnet(vnet: usize, position: u32, size: u32, shift: u32): bool {
  const flags = load<u8>(vnet, VNET_FLAGS);
  const type = load<u8>(vnet, VNET_GSO_TYPE);
  if ((flags & VNET_F_NEEDS_CSUM) == 0 && type == 0) return true;
  const gsoSize = <u32>load<u16>(vnet, VNET_GSO_SIZE);
  const start = <u32>load<u16>(vnet, VNET_CSUM_START) + shift;
  const offset = <u32>load<u16>(vnet, VNET_CSUM_OFFSET);
  if (type != 0 && gsoSize == 0) return false;
  if ((flags & VNET_F_NEEDS_CSUM) == 0 || start + offset + 2 > size) return false; // segments without a checksum do not exist
  const record = offloads + position * OFFLOAD_SIZEOF;
  store<u32>(record, type);
  store<u16>(record, <u16>offset, OFFLOAD_CSUM_OFFSET);
  store<u32>(record, gsoSize, OFFLOAD_GSO_SIZE);
  store<u32>(record, size - start, OFFLOAD_COVERED);
  offloaded |= 1 << position;
  return true;
}

// readVnet stores the type, a byte, as a word, and the offset over its upper half; the size as a word
assert(OFFLOAD_GSO_TYPE == 0 && OFFLOAD_CSUM_OFFSET == 2 && OFFLOAD_GSO_SIZE == 4 && OFFLOAD_COVERED == 8);

/** After extraction, which sets the flags anew: the packets of `valid` that have a record are marked. */
export function markOffloaded(valid: u32): void {
  for (let todo = offloaded & valid; todo != 0; todo &= todo - 1) {
    const packet = packets + ctz(todo) * PACKET_SIZEOF;
    const record = offloadOf(packet);
    const start = load<u32>(packet, PACKET_SIZE) - load<u32>(record, OFFLOAD_COVERED);
    store<u32>(record, load<u32>(packet, PACKET_SIZE) - <u32>load<u16>(packet, PACKET_L3), OFFLOAD_NETWORK);
    // a checksum further in is one of an inner packet: to the actions, which see the outer headers only, all is complete
    const partial = start == <u32>load<u16>(packet, PACKET_L4) ? PACKET_FLAG_CSUM_PARTIAL : 0;
    const flags = <u32>load<u16>(packet, PACKET_FLAGS) | PACKET_FLAG_OFFLOAD | partial;
    store<u16>(packet, <u16>flags, PACKET_FLAGS);
  }
}

/**
 * After extraction of packets that are `soft`: those whose transport checksum is exactly the sum of the pseudo header have it still to be made. (One in
 * 65,536 has that as its right checksum; made again, it comes out the same.) A frame with padding has seen a wire.
 */
export function findPartial(valid: u32): void {
  for (let todo = valid; todo != 0; todo &= todo - 1) {
    const packet = packets + ctz(todo) * PACKET_SIZEOF;
    const l4 = <u32>load<u16>(packet, PACKET_L4);
    const key: usize = load<u32>(packet, PACKET_KEY);
    const proto = <u32>load<u8>(key, KEY_IP_PROTO);
    const size = load<u32>(packet, PACKET_SIZE);
    const offset: u32 = proto == IPPROTO_TCP ? TCP_CHECK : UDP_CHECK;
    if (l4 == OFFSET_NONE || (proto != IPPROTO_TCP && proto != IPPROTO_UDP) || load<u8>(key, KEY_IP_FRAG) != 0)
      continue;
    if (l4 + offset + 2 > size) continue;
    const l3 = <u32>load<u16>(packet, PACKET_L3);
    const data: usize = load<u32>(packet, PACKET_DATA);
    const check = <u32>load<u16>(data + l4 + offset);
    // no sum of addresses is zero, but a UDP checksum may be: there is none
    if (check == 0 || check != pseudoSum(data + l3, size - l3, l4 - l3, proto)) continue;
    const record = offloadOf(packet);
    store<u32>(record, 0);
    store<u16>(record, <u16>offset, OFFLOAD_CSUM_OFFSET);
    store<u32>(record, 0, OFFLOAD_GSO_SIZE);
    store<u32>(record, size - l4, OFFLOAD_COVERED);
    store<u32>(record, size - l3, OFFLOAD_NETWORK);
    const flags = <u32>load<u16>(packet, PACKET_FLAGS) | PACKET_FLAG_OFFLOAD | PACKET_FLAG_CSUM_PARTIAL;
    store<u16>(packet, <u16>flags, PACKET_FLAGS);
  }
}

/** The sum of the pseudo header in the byte order of memory, for a packet of `size` bytes from its network header on; no sum if it is padded. */
function pseudoSum(header: usize, size: u32, headers: u32, proto: u32): u32 {
  const isV4 = load<u8>(header) >> 4 == 4;
  const length = isV4 ? <u32>bswap<u16>(load<u16>(header, 2)) : <u32>bswap<u16>(load<u16>(header, 4)) + IPV6_SIZE;
  if (length != size) return NO_SUM;
  const addresses = isV4 ? <u64>load<u32>(header, 12) + <u64>load<u32>(header, 16) : <u64>sumOf(header + 8, 32, 0);
  return fold(addresses + (proto << 8) + <u32>bswap<u16>(<u16>(length - headers)));
}

/** The packet is a super-frame: as it is it fits no wire. */
@inline
export function isSuperFrame(packet: usize): bool {
  return isOffloaded(packet) && load<u8>(offloadOf(packet), OFFLOAD_GSO_TYPE) != 0;
}

/** Bytes of the longest segment that a super-frame is cut into. */
export function segmentSize(packet: usize): u32 {
  const record = offloadOf(packet);
  const size = load<u32>(packet, PACKET_SIZE);
  if (load<u32>(record, OFFLOAD_COVERED) > size) return size; // actions took its headers away
  const headers = headerSize(
    load<u32>(packet, PACKET_DATA),
    sumStart(packet),
    load<u8>(record, OFFLOAD_GSO_TYPE),
    size,
  );
  return min<u32>(headers + load<u32>(record, OFFLOAD_GSO_SIZE), size);
}

/** Where the sum of the checksum that is still to be made begins, from the start of the packet. */
@inline
export function sumStart(packet: usize): u32 {
  return load<u32>(packet, PACKET_SIZE) - load<u32>(offloadOf(packet), OFFLOAD_COVERED);
}

/** Nothing is left to be done to the packet. */
@inline
export function clearOffload(packet: usize): void {
  const flags = <u32>load<u16>(packet, PACKET_FLAGS) & ~(PACKET_FLAG_OFFLOAD | PACKET_FLAG_CSUM_PARTIAL);
  store<u16>(packet, <u16>flags, PACKET_FLAGS);
}

/** Makes the checksum that is still to be made, in place; the packet is no super-frame. */
export function complete(packet: usize): void {
  const covered = load<u32>(offloadOf(packet), OFFLOAD_COVERED);
  if (covered > load<u32>(packet, PACKET_SIZE)) return clearOffload(packet); // actions took its headers away
  const data: usize = load<u32>(packet, PACKET_DATA) + sumStart(packet);
  const check = ~sumOf(data, covered, 0) & 0xffff;
  // 0 would say that there is none
  store<u16>(data + load<u16>(offloadOf(packet), OFFLOAD_CSUM_OFFSET), <u16>(check == 0 ? 0xffff : check));
  clearOffload(packet);
}

/** Writes the header for the first `size` bytes of the packet. */
@inline
export function writeVnet(vnet: usize, packet: usize, size: u32): void {
  store<u64>(vnet, 0);
  store<u16>(vnet, 0, VNET_CSUM_OFFSET);
  if (isOffloaded(packet)) writeOffload(vnet, packet, size);
}

function writeOffload(vnet: usize, packet: usize, size: u32): void {
  const record = offloadOf(packet);
  if (load<u32>(record, OFFLOAD_COVERED) > load<u32>(packet, PACKET_SIZE)) return; // actions took its headers away
  const start = sumStart(packet);
  const type = load<u8>(record, OFFLOAD_GSO_TYPE);
  const offset = <u32>load<u16>(record, OFFLOAD_CSUM_OFFSET);
  if (start + offset + 2 > size) return; // what was to be completed is cut off
  store<u8>(vnet, VNET_F_NEEDS_CSUM, VNET_FLAGS);
  store<u8>(vnet, type, VNET_GSO_TYPE);
  store<u16>(vnet, <u16>headerSize(load<u32>(packet, PACKET_DATA), start, type, size), VNET_HDR_LEN);
  store<u16>(vnet, load<u16>(record, OFFLOAD_GSO_SIZE), VNET_GSO_SIZE);
  store<u16>(vnet, <u16>start, VNET_CSUM_START);
  store<u16>(vnet, <u16>offset, VNET_CSUM_OFFSET);
}

export const TCP_DATA_OFFSET: u32 = 12;
export const UDP_SIZE: u32 = 8;
const TCP_CHECK: u32 = 16;
const UDP_CHECK: u32 = 6;
const IPV6_SIZE: u32 = 40;
/** No word of 16 bits. */
const NO_SUM: u32 = 0xffffffff;

/** Bytes up to the payload, as far as there are so many. The kernel keeps them in one piece. */
function headerSize(data: usize, start: u32, type: u32, size: u32): u32 {
  const plain = type & ~VNET_GSO_ECN;
  let transport = UDP_SIZE;
  if ((plain == VNET_GSO_TCPV4 || plain == VNET_GSO_TCPV6) && start + TCP_DATA_OFFSET < size)
    transport = (<u32>load<u8>(data + start, TCP_DATA_OFFSET) >> 4) << 2;
  return min<u32>(start + transport, size);
}
