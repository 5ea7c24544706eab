/*
 * Network service header (RFC 8300).
 *
 * Before it: flow/extract.ts, by Ethernet type. After it: nothing; what the header carries is not looked at before it
 * is popped. Reads the frame, writes the cold part of the key; owns no memory; any worker may call it.
 *
 * The kernel refuses to give a key for a header with another version, one that the frame cuts off, a type 1 header
 * that is not 24 bytes long, or a metadata type other than 1 and 2. Here such a frame keeps its key, with every NSH
 * field zero.
 */
import {
  KEY_NSH_CONTEXT,
  KEY_NSH_FLAGS,
  KEY_NSH_MDTYPE,
  KEY_NSH_NP,
  KEY_NSH_PATH_HDR,
  KEY_NSH_TTL,
} from '../constants';

/** Base header and service path header. */
export const NSH_BASE_SIZE: u32 = 8;
export const NSH_MD1_SIZE: u32 = 24;
export const NSH_MD_TYPE: u32 = 2;
export const NSH_NEXT_PROTO: u32 = 3;
export const NSH_PATH_HDR: u32 = 4;
export const NSH_CONTEXT: u32 = 8;
export const NSH_MD_TYPE1: u32 = 1;
export const NSH_MD_TYPE2: u32 = 2;

// The first two bytes, as a number: version 2 bits, flags 2, TTL 6, size in 4-byte words 6.
const NSH_VERSION_SHIFT: u32 = 14;
const NSH_FLAGS_SHIFT: u32 = 12;
const NSH_FLAGS_MASK: u32 = 3;
const NSH_TTL_SHIFT: u32 = 6;
const NSH_TTL_MASK: u32 = 63;
const NSH_SIZE_MASK: u32 = 63;

@inline
function baseField(header: usize): u32 {
  return <u32>bswap<u16>(load<u16>(header));
}

/** Base header, size and metadata type are such that the fields may be read. */
export function checkNsh(header: usize, size: u32): bool {
  if (size < NSH_BASE_SIZE) return false;
  const base = baseField(header);
  const headerSize = (base & NSH_SIZE_MASK) << 2;
  if (base >> NSH_VERSION_SHIFT || headerSize > size) return false;
  const type = <u32>load<u8>(header, NSH_MD_TYPE);
  return type == NSH_MD_TYPE1 ? headerSize == NSH_MD1_SIZE : type == NSH_MD_TYPE2;
}

/** Fills the NSH fields. Returns true if it wrote to the cold part of the key. */
export function parseNsh(header: usize, size: u32, key: usize): bool {
  if (!checkNsh(header, size)) return false;
  const base = baseField(header);
  const type = <u32>load<u8>(header, NSH_MD_TYPE);
  store<u8>(key, (base >> NSH_FLAGS_SHIFT) & NSH_FLAGS_MASK, KEY_NSH_FLAGS);
  store<u8>(key, (base >> NSH_TTL_SHIFT) & NSH_TTL_MASK, KEY_NSH_TTL);
  store<u8>(key, type, KEY_NSH_MDTYPE);
  store<u8>(key, load<u8>(header, NSH_NEXT_PROTO), KEY_NSH_NP);
  store<u32>(key, load<u32>(header, NSH_PATH_HDR), KEY_NSH_PATH_HDR);
  if (type == NSH_MD_TYPE1) v128.store(key, v128.load(header, <usize>NSH_CONTEXT), KEY_NSH_CONTEXT);
  return true;
}
