/*
 * What is sent: messages in frames, one behind the other, from the place that the caller of the kernel gave.
 *
 *     | nl_mmap_hdr: status, size, group, pid, 0, 0 | message ... | padding | nl_mmap_hdr | ...
 *
 * Concepts. A frame with GROUP 0 goes to the port id PID; one with another GROUP to whoever listens to that group, except to port id PID (0: nobody is
 * left out): as in the kernel, who asked for an echo does not get the notification too. A frame holds one message, that of a dump many.
 *
 *     let at = beginReply(command, ifindex);        // headers; 0 without room, and everything after it does nothing
 *     at = putU32(at, frameLimit, TYPE, value);     // netlink/attribute.ts
 *     return sendReply(at);                         // to the requester; sendNotification(at, group) to the group, and as an echo
 *
 * Before it: a family's handler. After it: the host. Ownership: the bytes are the caller's of handleMessages. Threads: where the next frame begins
 * is kept in globals, so each instance has its own.
 */
import {
  EMSGSIZE,
  ENOBUFS,
  NL_MMAP_GROUP,
  NL_MMAP_HDRLEN,
  NL_MMAP_LEN,
  NL_MMAP_PID,
  NL_MMAP_STATUS,
  NL_MMAP_STATUS_VALID,
  NL_MMAP_UID,
  SB_DP_LISTENERS,
} from '../constants';
import { sb } from '../memory/layout';
import { addressMessage, beginMessage, endMessage } from '../netlink/header';
import { family, portId, requestFlags, requestSeq } from './request';
import { GROUP_FIRST, OVS_DATAPATH_VERSION, FAMILY_DATAPATH } from './families';

const NLM_F_ECHO: u32 = 8;
export const NLM_F_MULTI: u32 = 2;

/** Where the next frame begins. */
export let frameAt: usize = 0;
/** First address that may not be written. */
export let frameLimit: usize = 0;

export function openFrames(out: usize, limit: usize): void {
  frameAt = out;
  frameLimit = limit;
}

/** The version that a family's messages carry. */
@inline
function versionOf(id: u32): u32 {
  return id == FAMILY_DATAPATH ? OVS_DATAPATH_VERSION : 1;
}

/** The first byte behind the header of the frame to come. */
@inline
export function messageAt(): usize {
  return frameAt + NL_MMAP_HDRLEN;
}

/** Closes the frame whose content ends at `end`. */
export function closeFrame(end: usize, group: u32, pid: u32): void {
  store<u32>(frameAt, <u32>(end - messageAt()), NL_MMAP_LEN);
  store<u32>(frameAt, group, NL_MMAP_GROUP);
  store<u32>(frameAt, pid, NL_MMAP_PID);
  store<u64>(frameAt, 0, NL_MMAP_UID);
  store<u32>(frameAt, NL_MMAP_STATUS_VALID, NL_MMAP_STATUS);
  frameAt = (end + 3) & ~3;
}

/** Begins an answer to the request at hand; returns where its attributes begin. */
export function beginReply(command: u32, ifindex: i32): usize {
  const at = beginMessage(messageAt(), frameLimit, family, 0, command, versionOf(family), ifindex);
  if (at != 0) addressMessage(messageAt(), requestSeq(), portId);
  return at;
}

/** Begins a message of this family that nobody asked for; returns where its attributes begin. */
export function beginNotice(id: u32, command: u32, ifindex: i32): usize {
  return beginMessage(messageAt(), frameLimit, id, 0, command, versionOf(id), ifindex);
}

/** Sends the message begun by beginNotice to the group. */
export function sendNotice(end: usize, group: u32): void {
  if (endMessage(messageAt(), end) != 0 && hasListeners(group)) closeFrame(end, group, 0);
}

/** Begins a message of a dump at `at`, behind others; returns where its attributes begin. */
export function beginPart(at: usize, limit: usize, command: u32, ifindex: i32, seq: u32): usize {
  const attrs = beginMessage(at, limit, family, NLM_F_MULTI, command, versionOf(family), ifindex);
  if (attrs != 0) addressMessage(at, seq, portId);
  return attrs;
}

/** Sends the message begun by beginReply to the requester. 0, or -EMSGSIZE when there was no room for it. */
export function sendReply(end: usize): i32 {
  if (endMessage(messageAt(), end) == 0) return -EMSGSIZE;
  closeFrame(end, 0, portId);
  return 0;
}

/** Whether somebody wants the message that tells of a change: the requester by NLM_F_ECHO, or a listener. */
export function mustNotify(group: u32): bool {
  return (requestFlags() & NLM_F_ECHO) != 0 || hasListeners(group);
}

@inline
export function hasListeners(group: u32): bool {
  return ((atomic.load<u32>(sb(SB_DP_LISTENERS)) >> (group - GROUP_FIRST)) & 1) != 0;
}

/** Sends the message begun by beginReply to the group, and to the requester if it asked for an echo. 0, -EMSGSIZE, -ENOBUFS. */
export function sendNotification(end: usize, group: u32): i32 {
  const message = messageAt();
  const size = endMessage(message, end);
  if (size == 0) return -EMSGSIZE;
  const echo = (requestFlags() & NLM_F_ECHO) != 0;
  if (!hasListeners(group)) {
    if (echo) closeFrame(end, 0, portId);
    return 0;
  }
  closeFrame(end, group, echo ? portId : 0);
  if (!echo) return 0;
  const copy = messageAt() + size;
  if (copy > frameLimit) return -ENOBUFS;
  memory.copy(messageAt(), message, size);
  closeFrame(copy, 0, portId);
  return 0;
}
