/*
 * What the actions share about a packet: where its parts are, and whether they are there.
 *
 * Used by every file of actions/. Reads and writes the packet's descriptor; the worker that owns the packet calls it.
 */
import {
  OFFSET_NONE,
  PACKET_DATA,
  PACKET_FLAGS,
  PACKET_FLAG_KEY_COLD,
  PACKET_FLAG_MODIFIED,
  PACKET_KEY,
  PACKET_SIZE,
} from '../constants';

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

/** The frame's bytes are not those any more that its key was extracted from. */
@inline
export function markModified(packet: usize): void {
  store<u16>(packet, load<u16>(packet, PACKET_FLAGS) | PACKET_FLAG_MODIFIED, PACKET_FLAGS);
}

/** The cold part of the key was written. */
@inline
export function markKeyCold(packet: usize): void {
  store<u16>(packet, load<u16>(packet, PACKET_FLAGS) | PACKET_FLAG_KEY_COLD, PACKET_FLAGS);
}

/** Value of a 32-bit field under a set action: `mask` is the address of its mask, or 0 when all of it is set. */
@inline
export function masked32(before: u32, value: usize, mask: usize, offset: usize): u32 {
  const bits = load<u32>(value + offset);
  return mask == 0 ? bits : (before & ~load<u32>(mask + offset)) | bits;
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
