/*
 * Netlink messages of any family: walking the messages of a datagram, and the acknowledgement of one. header.ts has the fields, and the headers
 * that the ovs_* families add.
 *
 * The walk is a cursor like that of attribute.ts:
 *
 *     const end = datagram + size;
 *     for (let at = datagram; messageOk(at, end); at = messageNext(at)) { ... }
 *
 * inside which messageSize(at) bytes lie in [datagram, end). It stops at the first message that says it has another size than it can have;
 * messageRest then says how many bytes were left over.
 *
 * Before it: whoever received a datagram. After it: attribute.ts and policy.ts. Owns no memory; whoever owns the bytes may call it, on any thread.
 */
import { messageSize, NLMSG_HDRLEN } from './header';

const NLMSG_ERROR: u32 = 2;
const NLM_F_CAPPED: u32 = 0x100;
const ACK_SIZE: u32 = NLMSG_HDRLEN + 4 + NLMSG_HDRLEN;

/** There is a whole message at `at`, which may lie behind `end` by up to 3 bytes (after an unpadded last one). */
@inline
export function messageOk(at: usize, end: usize): bool {
  const rest = <i32>(end - at);
  if (rest < <i32>NLMSG_HDRLEN) return false;
  const size = messageSize(at);
  return size >= NLMSG_HDRLEN && size <= <u32>rest;
}

@inline
export function messageNext(at: usize): usize {
  return at + ((<usize>messageSize(at) + 3) & ~3);
}

/** Bytes behind the last whole message, where the walk ended at `at`. */
@inline
export function messageRest(at: usize, end: usize): u32 {
  return at < end ? <u32>(end - at) : 0;
}

/**
 * Writes the acknowledgement of the message at `request`: NLMSG_ERROR with `errno` (0 or negative) and the request's header, capped. Returns the
 * place after it, 0 without room.
 */
export function putAck(at: usize, limit: usize, request: usize, errno: i32): usize {
  if (at == 0 || limit < at || <u32>(limit - at) < ACK_SIZE) return 0;
  store<u32>(at, ACK_SIZE);
  store<u32>(at, NLMSG_ERROR | (NLM_F_CAPPED << 16), 4);
  store<u64>(at, load<u64>(request, 8), 8);
  store<i32>(at, errno, NLMSG_HDRLEN);
  memory.copy(at + NLMSG_HDRLEN + 4, request, NLMSG_HDRLEN);
  return at + ACK_SIZE;
}
