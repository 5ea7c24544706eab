/*
 * What the actions share about a packet: where its parts are, whether they are there, and room for more of them.
 *
 * Used by every file of actions/. Reads and writes the packet's descriptor; the worker that owns the packet calls it.
 *
 * Concepts. The kernel keeps the outermost VLAN tag beside the frame, and what it calls the packet's length and protocol is without that
 * tag; `lengthOf` and `protocolOf` say what it would say. A packet may lose its Ethernet header (PACKET_FLAG_L3): then KEY_PACKET_TYPE holds
 * the type of what it begins with. An action that adds or removes headers leaves the key as the kernel leaves it and marks it stale;
 * whoever needs the key of the packet as it is now extracts it again.
 */
import {
  FRAME_SIZE_MAX,
  HEADROOM,
  KEY_ETH_TYPE,
  KEY_PACKET_TYPE,
  OFFSET_NONE,
  PACKET_DATA,
  PACKET_FLAGS,
  PACKET_FLAG_CSUM_PARTIAL,
  PACKET_FLAG_HASH_GIVEN,
  PACKET_FLAG_KEY_COLD,
  PACKET_FLAG_KEY_STALE,
  PACKET_FLAG_L3,
  PACKET_HASH,
  PACKET_HEAD,
  PACKET_KEY,
  PACKET_L3,
  PACKET_L4,
  PACKET_MPLS,
  PACKET_SIZE,
  PACKET_TAIL,
  PACKET_WIRE_SIZE,
} from '../constants';
import {
  ETH_HEADER_SIZE,
  ETH_P_TEB_WIRE,
  ETH_TYPE_OFFSET,
  isLength,
  isVlanType,
  VLAN_TAG_SIZE,
} from '../packet/ethernet';

/** KEY_PACKET_TYPE: name space 1 (OFPHTN_ETHERTYPE), as the two bytes before the type are loaded. */
const ETHERTYPE_NAMESPACE: u32 = 0x0100;

@inline
export function dataOf(packet: usize): usize {
  return load<u32>(packet, PACKET_DATA);
}

@inline
export function sizeOf(packet: usize): u32 {
  return load<u32>(packet, PACKET_SIZE);
}

@inline
export function keyOf(packet: usize): usize {
  return load<u32>(packet, PACKET_KEY);
}

/** The packet has a header at `offset` (OFFSET_NONE for none) of at least `size` bytes. */
@inline
export function hasHeader(packet: usize, offset: u32, size: u32): bool {
  return offset != OFFSET_NONE && offset + size <= sizeOf(packet);
}

@inline
function setFlag(packet: usize, flag: u32): void {
  store<u16>(packet, <u16>(load<u16>(packet, PACKET_FLAGS) | flag), PACKET_FLAGS);
}

/** The key does not say any more which headers there are. */
@inline
export function markStale(packet: usize): void {
  setFlag(packet, PACKET_FLAG_KEY_STALE);
}

/** The cold part of the key was written. */
@inline
export function markKeyCold(packet: usize): void {
  setFlag(packet, PACKET_FLAG_KEY_COLD);
}

/** What the packet's hash was made of has changed. */
@inline
export function clearHash(packet: usize): void {
  store<u32>(packet, 0, PACKET_HASH);
  store<u16>(packet, <u16>(load<u16>(packet, PACKET_FLAGS) & ~PACKET_FLAG_HASH_GIVEN), PACKET_FLAGS);
}

@inline
export function isL3(packet: usize): bool {
  return (load<u16>(packet, PACKET_FLAGS) & PACKET_FLAG_L3) != 0;
}

/** The transport checksum covers no more than the pseudo header so far. */
@inline
export function isChecksumPartial(packet: usize): bool {
  return (load<u16>(packet, PACKET_FLAGS) & PACKET_FLAG_CSUM_PARTIAL) != 0;
}

/** A whole VLAN tag with a type behind it, outermost. */
@inline
export function hasTag(packet: usize): bool {
  if (sizeOf(packet) < ETH_HEADER_SIZE + VLAN_TAG_SIZE || isL3(packet)) return false;
  return isVlanType(load<u16>(dataOf(packet), ETH_TYPE_OFFSET));
}

/** Bytes of the packet without the outermost tag: the kernel's skb->len. */
@inline
export function lengthOf(packet: usize): u32 {
  return hasTag(packet) ? sizeOf(packet) - VLAN_TAG_SIZE : sizeOf(packet);
}

/**
 * The type behind at most one tag, in wire order: the kernel's skb->protocol. What begins at the network header and has an Ethernet header
 * there came out from under an MPLS label, whose type it keeps until it is looked at again.
 */
export function protocolOf(packet: usize): u32 {
  const key = keyOf(packet);
  if (isL3(packet)) return load<u16>(key, KEY_PACKET_TYPE + 2);
  if (load<u16>(packet, PACKET_L3) == 0) return ETH_P_TEB_WIRE;
  const type = <u32>load<u16>(dataOf(packet) + typeOffset(packet));
  return isLength(type) ? <u32>load<u16>(key, KEY_ETH_TYPE) : type;
}

/** Where the type behind at most one tag stands. */
@inline
export function typeOffset(packet: usize): u32 {
  return hasTag(packet) ? ETH_TYPE_OFFSET + VLAN_TAG_SIZE : ETH_TYPE_OFFSET;
}

/** The packet begins with a header of this type (wire order) now, and not with an Ethernet header. */
export function setL3(packet: usize, type: u32): void {
  store<u32>(keyOf(packet), (type << 16) | ETHERTYPE_NAMESPACE, KEY_PACKET_TYPE);
  setFlag(packet, PACKET_FLAG_L3 | PACKET_FLAG_KEY_COLD | PACKET_FLAG_KEY_STALE);
}

/** The packet begins with an Ethernet header now. */
export function setEthernetFirst(packet: usize): void {
  store<u32>(keyOf(packet), 0, KEY_PACKET_TYPE);
  store<u16>(packet, load<u16>(packet, PACKET_FLAGS) & ~PACKET_FLAG_L3, PACKET_FLAGS);
  markStale(packet);
}

/** Where the network header begins; there is no transport header that anybody knows of. */
export function setNetwork(packet: usize, offset: u32, mpls: bool): void {
  store<u16>(packet, <u16>offset, PACKET_L3);
  store<u16>(packet, OFFSET_NONE, PACKET_L4);
  store<u16>(packet, <u16>(mpls ? offset : OFFSET_NONE), PACKET_MPLS);
}

// the three offsets and the flags are one word
assert(PACKET_L4 == PACKET_L3 + 2 && PACKET_MPLS == PACKET_L3 + 4 && PACKET_FLAGS == PACKET_L3 + 6);

/**
 * Puts `size` bytes of room before the packet; what they hold is the caller's to write. Without headroom the packet moves towards the end of
 * its buffer. Returns where it begins now, 0 without room or when it would be longer than FRAME_SIZE_MAX.
 */
@inline
export function grow(packet: usize, size: u32): usize {
  if (sizeOf(packet) + size > <u32>FRAME_SIZE_MAX) return 0;
  const data = dataOf(packet);
  if (data - <usize>load<u32>(packet, PACKET_HEAD) < size && !moveBack(packet, size)) return 0;
  resize(packet, size);
  return dataOf(packet);
}

/** Takes `size` bytes, which must be there, from the front of the packet. Returns where it begins now. */
export function shrink(packet: usize, size: u32): usize {
  resize(packet, <u32>-(<i32>size));
  return dataOf(packet);
}

/** Moves the packet away from the beginning of its buffer, by HEADROOM if that is possible. False if `size` bytes are not. */
function moveBack(packet: usize, size: u32): bool {
  const data = dataOf(packet);
  const tailroom = load<u32>(packet, PACKET_TAIL) - (<u32>data + sizeOf(packet));
  const have = <u32>data - load<u32>(packet, PACKET_HEAD);
  if (<i32>tailroom <= 0 || have + tailroom < size) return false;
  const distance = min<u32>(max<u32>(HEADROOM, size), tailroom);
  memory.copy(data + distance, data, sizeOf(packet));
  store<u32>(packet, <u32>data + distance, PACKET_DATA);
  return true;
}

/** The packet begins `change` bytes earlier and is longer by them (two's complement); offsets follow, unless they are OFFSET_NONE. */
@inline
function resize(packet: usize, change: u32): void {
  store<u32>(packet, <u32>dataOf(packet) - change, PACKET_DATA);
  store<u32>(packet, sizeOf(packet) + change, PACKET_SIZE);
  store<u32>(packet, load<u32>(packet, PACKET_WIRE_SIZE) + change, PACKET_WIRE_SIZE);
  const offsets = v128.load64_zero(packet + PACKET_L3);
  const there = i16x8.ne(offsets, i16x8(-1, -1, -1, 0, 0, 0, 0, 0));
  const shift = v128.and(i16x8.splat(<i16>change), i16x8(-1, -1, -1, 0, 0, 0, 0, 0));
  v128.store64_lane(packet + PACKET_L3, i16x8.add(offsets, v128.and(there, shift)), 0);
}

/** Value of a 32-bit field under a set action: `mask` is the address of its mask, or 0 when all of it is set. */
@inline
export function masked32(before: u32, value: usize, mask: usize, offset: usize): u32 {
  const bits = load<u32>(value + offset);
  return mask == 0 ? bits : (before & ~load<u32>(mask + offset)) | bits;
}

@inline
export function masked16(before: u32, value: usize, mask: usize, offset: usize): u32 {
  const bits = <u32>load<u16>(value + offset);
  return mask == 0 ? bits : (before & ~(<u32>load<u16>(mask + offset))) | bits;
}

@inline
export function masked8(before: u32, value: usize, mask: usize, offset: usize): u32 {
  const bits = <u32>load<u8>(value + offset);
  return mask == 0 ? bits : (before & ~(<u32>load<u8>(mask + offset))) | bits;
}

/** A set action touches this byte: there is no mask, or a bit of it. */
@inline
export function isSet(mask: usize, offset: usize): bool {
  return mask == 0 || load<u8>(mask + offset) != 0;
}
