/*
 * IPv6, with extension headers and fragments.
 *
 * Before it: flow/extract.ts, by Ethernet type. After it: l4.ts or icmpv6.ts, unless this is a later fragment or the
 * chain is broken. Reads the frame, writes the key; owns no memory; any worker may call it.
 *
 * Two walks over the chain, because the kernel has two and they differ: the one that looks for the transport protocol
 * measures every header properly and refuses one that the frame cuts off; the one that sums up which headers were
 * seen (KEY_IPV6_EXTHDRS) takes every length field for a count of 8-byte units, also those of AH and of the fragment
 * header, and goes on behind a later fragment. Both take at least 8 bytes a step, so they end with the frame. As in
 * the kernel, version and payload length are not looked at.
 */
import {
  KEY_IPV6_DST,
  KEY_IPV6_EXTHDRS,
  KEY_IPV6_LABEL,
  KEY_IPV6_SRC,
  KEY_IP_FRAG,
  KEY_IP_PROTO,
  KEY_IP_TOS,
  KEY_IP_TTL,
} from '../constants';
import { FRAG_FIRST, FRAG_LATER } from './ipv4';

export const IPV6_SIZE: u32 = 40;
export const IPV6_PAYLOAD_SIZE: u32 = 4;
export const IPV6_NEXT_HEADER: u32 = 6;
export const IPV6_HOP_LIMIT: u32 = 7;
export const IPV6_SRC: u32 = 8;
export const IPV6_DST: u32 = 24;
/** The 20 bits of the flow label in wire order. */
export const IPV6_LABEL_WIRE: u32 = 0xffff0f00;

export const NEXTHDR_HOP: u32 = 0;
export const NEXTHDR_ROUTING: u32 = 43;
export const NEXTHDR_FRAGMENT: u32 = 44;
export const NEXTHDR_AUTH: u32 = 51;
export const NEXTHDR_ICMP: u32 = 58;
export const NEXTHDR_NONE: u32 = 59;
export const NEXTHDR_DEST: u32 = 60;

const FRAGMENT_SIZE: u32 = 8;
const FRAGMENT_OFFSET: u32 = 2;
const FRAGMENT_OFFSET_WIRE: u32 = 0xf8ff;

// KEY_IPV6_EXTHDRS, enum ofp12_ipv6exthdr_flags. The bit for ESP (2) cannot occur: ESP ends the kernel's walk.
const EXTHDR_NONEXT: u32 = 1;
const EXTHDR_AUTH: u32 = 4;
const EXTHDR_DEST: u32 = 8;
const EXTHDR_FRAG: u32 = 16;
const EXTHDR_ROUTER: u32 = 32;
const EXTHDR_HOP: u32 = 64;
/** A header came again that should come once. */
const EXTHDR_UNREP: u32 = 128;
/** Headers came in another order than RFC 8200 recommends. */
const EXTHDR_UNSEQ: u32 = 256;

// What may have been seen before a header of this kind without breaking the order.
const BEFORE_DEST: u32 = EXTHDR_HOP | EXTHDR_UNREP;
const BEFORE_ROUTER: u32 = BEFORE_DEST | EXTHDR_DEST;
const BEFORE_FRAG: u32 = BEFORE_ROUTER | EXTHDR_ROUTER;
const BEFORE_AUTH: u32 = BEFORE_FRAG | EXTHDR_FRAG;

@inline
export function checkIpv6(size: u32): bool {
  return size >= IPV6_SIZE;
}

/** Traffic class: the four low bits of the first byte and the four high bits of the second. */
@inline
export function ipv6TrafficClass(header: usize): u32 {
  return (((<u32>load<u8>(header)) << 4) | (<u32>load<u8>(header, 1) >> 4)) & 255;
}

@inline
function isExtension(next: u32): bool {
  if (next > NEXTHDR_DEST) return false;
  // One bit for each of 0, 43, 44, 51, 60.
  return ((0x1008180000000001 >> <u64>next) & 1) != 0;
}

/**
 * Fills the IPv6 fields of the key. Returns the size of header and extension headers if a transport header may follow,
 * 0 otherwise (cut header: no field is set; broken chain: protocol 59; later fragment: protocol 44).
 */
export function parseIpv6(header: usize, size: u32, key: usize): u32 {
  if (!checkIpv6(size)) return 0;
  v128.store(key, v128.load(header, <usize>IPV6_SRC), KEY_IPV6_SRC);
  v128.store(key, v128.load(header, <usize>IPV6_DST), KEY_IPV6_DST);
  store<u32>(key, load<u32>(header) & IPV6_LABEL_WIRE, KEY_IPV6_LABEL);
  store<u8>(key, ipv6TrafficClass(header), KEY_IP_TOS);
  store<u8>(key, load<u8>(header, IPV6_HOP_LIMIT), KEY_IP_TTL);

  const next = <u32>load<u8>(header, IPV6_NEXT_HEADER);
  if (isExtension(next)) {
    store<u16>(key, summarizeExtensions(header, size, next), KEY_IPV6_EXTHDRS);
    return skipExtensions(header, size, next, key);
  }
  if (next == NEXTHDR_NONE) store<u16>(key, EXTHDR_NONEXT, KEY_IPV6_EXTHDRS);
  store<u8>(key, next, KEY_IP_PROTO);
  return IPV6_SIZE;
}

/** Finds the transport header; sets protocol and fragment type. Same return value as parseIpv6. */
function skipExtensions(header: usize, size: u32, next: u32, key: usize): u32 {
  let offset = IPV6_SIZE;
  store<u8>(key, NEXTHDR_NONE, KEY_IP_PROTO);
  while (isExtension(next)) {
    if (size - offset < 2) return 0;
    const extension = header + offset;
    const following = <u32>load<u8>(extension);
    let extensionSize: u32;
    if (next == NEXTHDR_FRAGMENT) {
      store<u8>(key, FRAG_FIRST, KEY_IP_FRAG);
      if (size - offset < FRAGMENT_OFFSET + 2) return 0;
      if (<u32>load<u16>(extension, FRAGMENT_OFFSET) & FRAGMENT_OFFSET_WIRE) {
        // A later fragment in front of one more extension header is a broken chain, and stays a first fragment.
        if (isExtension(following)) return 0;
        store<u8>(key, FRAG_LATER, KEY_IP_FRAG);
        store<u8>(key, NEXTHDR_FRAGMENT, KEY_IP_PROTO);
        return 0;
      }
      extensionSize = FRAGMENT_SIZE;
    } else if (next == NEXTHDR_AUTH) {
      extensionSize = (<u32>load<u8>(extension, 1) + 2) << 2;
    } else {
      extensionSize = (<u32>load<u8>(extension, 1) + 1) << 3;
    }
    if (size - offset < extensionSize) return 0;
    offset += extensionSize;
    next = following;
  }
  store<u8>(key, next, KEY_IP_PROTO);
  return offset;
}

/** Which extension headers there are, whether one came twice and whether they came in the recommended order. */
function summarizeExtensions(header: usize, size: u32, next: u32): u32 {
  let seen: u32 = 0;
  let destCount: u32 = 0;
  let offset = IPV6_SIZE;
  while (isExtension(next)) {
    if (next == NEXTHDR_HOP) {
      if (seen & EXTHDR_HOP) seen |= EXTHDR_UNREP;
      // Hop-by-hop options have their bit only when they come first.
      seen |= seen == 0 ? EXTHDR_HOP : EXTHDR_UNSEQ;
    } else if (next == NEXTHDR_DEST) {
      seen = addDestination(seen, destCount++);
    } else if (next == NEXTHDR_ROUTING) {
      seen = addExtension(seen, EXTHDR_ROUTER, BEFORE_ROUTER, destCount);
    } else if (next == NEXTHDR_FRAGMENT) {
      seen = addExtension(seen, EXTHDR_FRAG, BEFORE_FRAG, destCount);
    } else {
      seen = addExtension(seen, EXTHDR_AUTH, BEFORE_AUTH, destCount);
    }
    if (offset + 2 > size) return seen;
    next = <u32>load<u8>(header + offset);
    offset += (<u32>load<u8>(header + offset, 1) + 1) << 3;
  }
  return next == NEXTHDR_NONE ? seen | EXTHDR_NONEXT : seen;
}

@inline
function addExtension(seen: u32, bit: u32, before: u32, destCount: u32): u32 {
  if (seen & bit) seen |= EXTHDR_UNREP;
  if ((seen & ~before) != 0 || destCount >= 2) seen |= EXTHDR_UNSEQ;
  return seen | bit;
}

/** Destination options may come twice, the second time after any other header. */
@inline
function addDestination(seen: u32, destCount: u32): u32 {
  if (destCount == 1) return seen;
  if (destCount >= 2) return seen | EXTHDR_UNREP;
  if (seen & ~BEFORE_DEST) seen |= EXTHDR_UNSEQ;
  return seen | EXTHDR_DEST;
}
