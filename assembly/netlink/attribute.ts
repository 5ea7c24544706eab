/*
 * Netlink attributes: how to walk a list that somebody else wrote, and how to write one.
 *
 * Concepts. An attribute is a u16 size (header included), a u16 type and a payload, padded to four bytes. A list has no
 * header of its own: it is an address and a size. The walk is a cursor,
 *
 *     const end = attrs + size;
 *     for (let a = attrs; attrOk(a, end); a = attrNext(a)) { ... }
 *
 * inside which attrPayload(a) .. + attrPayloadSize(a) lies in [attrs, end). It stops at the first attribute that does not
 * fit; attrRest then says how many bytes were left over, and the caller decides whether that is an error. The last
 * attribute needs no padding, as in the kernel.
 *
 * The builder's functions take the place to write at and return the place after what they wrote, padding zeroed. The first
 * one that finds no room returns 0, and all that are given 0 do nothing and return 0, so a message is written flat and
 * checked once at its end. Attributes are written at any address; `limit` is the first address that may not be written.
 *
 * Ownership and threads. Nothing is kept here. Whoever owns the bytes may call these, on any thread.
 */

/** Size and type. */
export const NLA_HDRLEN: u32 = 4;
/** What remains of the type without the flags NLA_F_NESTED and NLA_F_NET_BYTEORDER. */
export const NLA_TYPE_MASK: u32 = 0x3fff;
const ATTR_SIZE_MAX: u32 = 65535;

/** Bytes that an attribute with this payload takes, padding included. */
@inline
export function attrTotalSize(payloadSize: u32): u32 {
  return (NLA_HDRLEN + payloadSize + 3) & ~3;
}

/** There is a whole attribute at `a`. `a` may lie behind `end` by less than 64 KiB (after an unpadded last one). */
@inline
export function attrOk(a: usize, end: usize): bool {
  const rest = <i32>(end - a);
  if (rest < <i32>NLA_HDRLEN) return false;
  const size = <i32>load<u16>(a);
  return size >= <i32>NLA_HDRLEN && size <= rest;
}

@inline
export function attrType(a: usize): u32 {
  return <u32>load<u16>(a, 2) & NLA_TYPE_MASK;
}

@inline
export function attrPayload(a: usize): usize {
  return a + NLA_HDRLEN;
}

@inline
export function attrPayloadSize(a: usize): u32 {
  return <u32>load<u16>(a) - NLA_HDRLEN;
}

@inline
export function attrNext(a: usize): usize {
  return a + ((<usize>load<u16>(a) + 3) & ~3);
}

/** Bytes behind the last whole attribute, where the walk ended at `a`. */
@inline
export function attrRest(a: usize, end: usize): u32 {
  return a < end ? <u32>(end - a) : 0;
}

/** The last attribute of this type, or 0. */
export function attrFind(attrs: usize, size: u32, type: u32): usize {
  const end = attrs + size;
  let found: usize = 0;
  for (let a = attrs; attrOk(a, end); a = attrNext(a)) {
    if (attrType(a) == type) found = a;
  }
  return found;
}

/** Writes the header of an attribute and zeroes its padding. The payload is the caller's to write, at `at` + NLA_HDRLEN. */
export function reserveAttr(at: usize, limit: usize, type: u32, payloadSize: u32): usize {
  if (at == 0 || payloadSize > ATTR_SIZE_MAX - NLA_HDRLEN) return 0;
  const total = attrTotalSize(payloadSize);
  if (limit < at || <u32>(limit - at) < total) return 0;
  const end = at + total;
  store<u32>(end - 4, 0);
  store<u32>(at, (NLA_HDRLEN + payloadSize) | (type << 16));
  return end;
}

export function putAttr(at: usize, limit: usize, type: u32, payload: usize, payloadSize: u32): usize {
  const end = reserveAttr(at, limit, type, payloadSize);
  if (end != 0) memory.copy(at + NLA_HDRLEN, payload, payloadSize);
  return end;
}

@inline
export function putFlag(at: usize, limit: usize, type: u32): usize {
  return reserveAttr(at, limit, type, 0);
}

export function putU16(at: usize, limit: usize, type: u32, value: u16): usize {
  const end = reserveAttr(at, limit, type, 2);
  if (end != 0) store<u16>(at, value, NLA_HDRLEN);
  return end;
}

export function putU32(at: usize, limit: usize, type: u32, value: u32): usize {
  const end = reserveAttr(at, limit, type, 4);
  if (end != 0) store<u32>(at, value, NLA_HDRLEN);
  return end;
}

export function putU64(at: usize, limit: usize, type: u32, value: u64): usize {
  const end = reserveAttr(at, limit, type, 8);
  if (end != 0) store<u64>(at, value, NLA_HDRLEN);
  return end;
}

/** Opens an attribute that holds attributes. Keep `at`: nestEnd needs it. */
@inline
export function nestStart(at: usize, limit: usize, type: u32): usize {
  return reserveAttr(at, limit, type, 0);
}

/** Closes the attribute opened at `start`; `at` is where the last inner one ended. Returns `at`, or 0 if it grew too big. */
export function nestEnd(start: usize, at: usize): usize {
  if (start == 0 || at == 0) return 0;
  const size = <u32>(at - start);
  if (size > ATTR_SIZE_MAX) return 0;
  store<u16>(start, <u16>size);
  return at;
}
