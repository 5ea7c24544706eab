/*
 * ICMPv6, with neighbour discovery: solicitation and advertisement and their link-layer address options.
 *
 * Before it: ipv6.ts. After it: nothing, the key is complete. Reads the frame, writes the key; owns no memory; any
 * worker may call it.
 *
 * The message ends where the frame ends: the payload length of the IPv6 header is not looked at, so padding is read as
 * options, as in the kernel. The reserved word and the type of the first link-layer option are fields of Open vSwitch's
 * userspace only; they go to the cold part of the key.
 */
import {
  KEY_FLAGS,
  KEY_FLAG_ND_EXT,
  KEY_ND_OPTIONS_TYPE,
  KEY_ND_RESERVED,
  KEY_ND_SLL,
  KEY_ND_TARGET,
  KEY_ND_TLL,
} from '../constants';
import { copyTypeCode } from './l4';

export const ICMPV6_SIZE: u32 = 8;
export const ND_RESERVED: u32 = 4;
export const ND_TARGET: u32 = 8;
/** Fixed part of a solicitation or advertisement; options follow. */
export const ND_SIZE: u32 = 24;
const ND_OPTION_SIZE_MIN: u32 = 8;
export const ND_OPTION_SOURCE: u32 = 1;
export const ND_OPTION_TARGET: u32 = 2;

/** Type 135 or 136 and code 0, as a little-endian load of the two bytes gives them. */
const ND_SOLICITATION_WIRE: u32 = 135;
const ND_ADVERTISEMENT_WIRE: u32 = 136;

/** Nothing, or a valid pair of fields: an option that came twice takes target and both addresses with it. */
const ND_KEEP: i32 = 0;
const ND_INVALID: i32 = 1;

@inline
export function isNeighbourDiscovery(header: usize): bool {
  const typeCode = <u32>load<u16>(header);
  return typeCode == ND_SOLICITATION_WIRE || typeCode == ND_ADVERTISEMENT_WIRE;
}

/** Fills the ICMPv6 fields. Returns true if it wrote to the cold part of the key. */
export function parseIcmpv6(header: usize, size: u32, key: usize): bool {
  if (size < ICMPV6_SIZE) return false;
  copyTypeCode(header, key);
  if (!isNeighbourDiscovery(header)) return false;

  store<u32>(key, load<u32>(header, ND_RESERVED), KEY_ND_RESERVED);
  if (size >= ND_SIZE) {
    v128.store(key, v128.load(header, <usize>ND_TARGET), KEY_ND_TARGET);
    if (parseOptions(header, size, key) == ND_INVALID) {
      v128.store(key, i64x2.splat(0), KEY_ND_TARGET);
      clearAddress(key + KEY_ND_SLL);
      clearAddress(key + KEY_ND_TLL);
    }
  }
  if (load<u64>(key, KEY_ND_RESERVED) == 0) return false;
  store<u8>(key, KEY_FLAG_ND_EXT, KEY_FLAGS);
  return true;
}

/** Steps are of at least 8 bytes; a size of zero or beyond the frame ends the list, keeping what it gave so far. */
function parseOptions(header: usize, size: u32, key: usize): i32 {
  let offset = ND_SIZE;
  while (size - offset >= ND_OPTION_SIZE_MIN) {
    const option = header + offset;
    const optionSize = (<u32>load<u8>(option, 1)) << 3;
    if (optionSize == 0 || optionSize > size - offset) return ND_KEEP;
    if (optionSize == ND_OPTION_SIZE_MIN) {
      const type = <u32>load<u8>(option);
      if (type == ND_OPTION_SOURCE) {
        if (!takeAddress(option, type, key, key + KEY_ND_SLL)) return ND_INVALID;
      } else if (type == ND_OPTION_TARGET) {
        if (!takeAddress(option, type, key, key + KEY_ND_TLL)) return ND_INVALID;
      }
    }
    offset += optionSize;
  }
  return ND_KEEP;
}

/** False if the address is there already; an all-zero one does not count as being there. */
@inline
function takeAddress(option: usize, type: u32, key: usize, address: usize): bool {
  if (load<u32>(address) != 0 || load<u16>(address, 4) != 0) return false;
  store<u32>(address, load<u32>(option, 2));
  store<u16>(address, load<u16>(option, 6), 4);
  if (load<u8>(key, KEY_ND_OPTIONS_TYPE) == 0) store<u8>(key, type, KEY_ND_OPTIONS_TYPE);
  return true;
}

@inline
function clearAddress(address: usize): void {
  store<u32>(address, 0);
  store<u16>(address, 0, 4);
}
