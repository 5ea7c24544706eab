/*
 * Headers of a generic Netlink message of the ovs_* families: nlmsghdr (16 bytes), genlmsghdr (4), ovs_header (4).
 *
 * Before it: whoever has a message to write (an upcall, a reply) or was given one. After it: attribute.ts for what follows
 * the headers. Owns no memory; whoever owns the bytes may call it, on any thread. All fields are in host order.
 */

export const NLMSG_HDRLEN: u32 = 16;
/** Two headers, and three with ovs_header: where the attributes begin. */
export const GENL_MESSAGE_HDRLEN: u32 = 20;
export const OVS_MESSAGE_HDRLEN: u32 = 24;

const NLMSG_LEN: u32 = 0; // u32, headers included
const NLMSG_TYPE: u32 = 4; // u16, the id of the family
const NLMSG_FLAGS: u32 = 6; // u16
const NLMSG_SEQ: u32 = 8; // u32
const NLMSG_PID: u32 = 12; // u32, Netlink port id of the sender
const GENL_CMD: u32 = 16; // u8
const GENL_VERSION: u32 = 17; // u8
const GENL_RESERVED: u32 = 18; // u16
const OVS_DP_IFINDEX: u32 = 20; // i32

/** There is a whole message of an ovs_* family in the `size` bytes at `at`. */
export function checkMessage(at: usize, size: u32): bool {
  if (size < OVS_MESSAGE_HDRLEN) return false;
  const messageSize = load<u32>(at, NLMSG_LEN);
  return messageSize >= OVS_MESSAGE_HDRLEN && messageSize <= size;
}

@inline
export function messageSize(at: usize): u32 {
  return load<u32>(at, NLMSG_LEN);
}

@inline
export function messageFamily(at: usize): u32 {
  return load<u16>(at, NLMSG_TYPE);
}

@inline
export function messageFlags(at: usize): u32 {
  return load<u16>(at, NLMSG_FLAGS);
}

@inline
export function messageSeq(at: usize): u32 {
  return load<u32>(at, NLMSG_SEQ);
}

@inline
export function messagePid(at: usize): u32 {
  return load<u32>(at, NLMSG_PID);
}

@inline
export function messageCommand(at: usize): u32 {
  return load<u8>(at, GENL_CMD);
}

@inline
export function messageVersion(at: usize): u32 {
  return load<u8>(at, GENL_VERSION);
}

/** genlmsghdr.reserved. */
@inline
export function messageReserved(at: usize): u32 {
  return load<u16>(at, GENL_RESERVED);
}

@inline
export function messageDpIfindex(at: usize): i32 {
  return load<i32>(at, OVS_DP_IFINDEX);
}

/** Writes nlmsghdr and genlmsghdr, with sequence and port id 0; returns where attributes begin, 0 without room. */
@inline
export function beginGeneric(at: usize, limit: usize, family: u32, flags: u32, command: u32, version: u32): usize {
  if (at == 0 || limit < at || <u32>(limit - at) < OVS_MESSAGE_HDRLEN) return 0;
  store<u32>(at, GENL_MESSAGE_HDRLEN, NLMSG_LEN);
  store<u16>(at, <u16>family, NLMSG_TYPE);
  store<u16>(at, <u16>flags, NLMSG_FLAGS);
  store<u32>(at, 0, NLMSG_SEQ);
  store<u32>(at, 0, NLMSG_PID);
  store<u8>(at, <u8>command, GENL_CMD);
  store<u8>(at, <u8>version, GENL_VERSION);
  store<u16>(at, 0, GENL_RESERVED);
  return at + GENL_MESSAGE_HDRLEN;
}

/** The same with ovs_header. */
export function beginMessage(
  at: usize,
  limit: usize,
  family: u32,
  flags: u32,
  command: u32,
  version: u32,
  dpIfindex: i32,
): usize {
  if (beginGeneric(at, limit, family, flags, command, version) == 0) return 0;
  store<u32>(at, OVS_MESSAGE_HDRLEN, NLMSG_LEN);
  store<i32>(at, dpIfindex, OVS_DP_IFINDEX);
  return at + OVS_MESSAGE_HDRLEN;
}

/** Says to whose request the message is the answer; messages nobody asked for leave both 0. */
@inline
export function addressMessage(at: usize, seq: u32, pid: u32): void {
  store<u32>(at, seq, NLMSG_SEQ);
  store<u32>(at, pid, NLMSG_PID);
}

/** Closes the message begun at `at`, whose attributes end at `end`. Returns its size, or 0 if `end` is 0 (no room). */
export function endMessage(at: usize, end: usize): u32 {
  if (end == 0) return 0;
  const size = <u32>(end - at);
  store<u32>(at, size, NLMSG_LEN);
  return size;
}
