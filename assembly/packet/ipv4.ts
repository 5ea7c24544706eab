/*
 * IPv4, with options and fragments.
 *
 * Before it: flow/extract.ts, by Ethernet type. After it: l4.ts, unless this is a later fragment. Reads the frame,
 * writes the key; owns no memory; any worker may call it.
 *
 * As in the kernel, version, total length and checksum are not looked at: what the frame holds is what counts.
 */
import { KEY_IPV4_SRC, KEY_IP_FRAG, KEY_IP_PROTO, KEY_IP_TOS, KEY_IP_TTL } from '../constants';

export const IPV4_SIZE_MIN: u32 = 20;
export const IPV4_TOS: u32 = 1;
export const IPV4_TOTAL_SIZE: u32 = 2;
export const IPV4_FRAG: u32 = 6;
export const IPV4_TTL: u32 = 8;
export const IPV4_PROTO: u32 = 9;
export const IPV4_CHECKSUM: u32 = 10;
export const IPV4_SRC: u32 = 12;
export const IPV4_DST: u32 = 16;

/** The 13 bits of the fragment offset, and "more fragments", in wire order. */
export const IPV4_FRAG_OFFSET_WIRE: u32 = 0xff1f;
export const IPV4_FRAG_MORE_WIRE: u32 = 0x0020;

// enum ovs_frag_type
export const FRAG_NONE: u32 = 0;
export const FRAG_FIRST: u32 = 1;
export const FRAG_LATER: u32 = 2;

/** Header size in bytes, options included. */
@inline
export function ipv4HeaderSize(header: usize): u32 {
  return (<u32>load<u8>(header) & 15) << 2;
}

/** The whole header, options included, lies inside the `size` bytes. */
@inline
export function checkIpv4(header: usize, size: u32): bool {
  if (size < IPV4_SIZE_MIN) return false;
  const headerSize = ipv4HeaderSize(header);
  return headerSize >= IPV4_SIZE_MIN && headerSize <= size;
}

@inline
export function ipv4Frag(header: usize): u32 {
  const field = <u32>load<u16>(header, IPV4_FRAG);
  if (field & IPV4_FRAG_OFFSET_WIRE) return FRAG_LATER;
  return field & IPV4_FRAG_MORE_WIRE ? FRAG_FIRST : FRAG_NONE;
}

/**
 * Fills the IPv4 fields of the key. Returns the size of the header if a transport header may follow, 0 otherwise
 * (malformed: no field is set; later fragment: all are).
 */
export function parseIpv4(header: usize, size: u32, key: usize): u32 {
  if (!checkIpv4(header, size)) return 0;
  const frag = ipv4Frag(header);
  store<u64>(key, load<u64>(header, IPV4_SRC), KEY_IPV4_SRC);
  store<u8>(key, load<u8>(header, IPV4_PROTO), KEY_IP_PROTO);
  store<u8>(key, load<u8>(header, IPV4_TOS), KEY_IP_TOS);
  store<u8>(key, load<u8>(header, IPV4_TTL), KEY_IP_TTL);
  store<u8>(key, frag, KEY_IP_FRAG);
  return frag == FRAG_LATER ? 0 : ipv4HeaderSize(header);
}
