/*
 * Dumps: a table in several parts, one frame each, as the kernel's netlink_dump. Before it: dispatch.ts for the first part, the host for the others.
 * After it: the families.
 *
 * Concepts. A dump stands in its socket, one at a time; between two parts the table may change, and the dump goes on at its place: an entry that was
 * there all the time is given once, others perhaps. The part that has nothing more to give is NLMSG_DONE, which also says why a dump failed.
 *
 * Ownership and threads: those of the socket.
 */
import {
  DUMP_FRAME_MAX,
  EOPNOTSUPP,
  SOCKET_DUMP,
  SOCKET_DUMP_ARGS,
  SOCKET_DUMP_IFINDEX,
  SOCKET_DUMP_SEQ,
  SUPERBLOCK,
} from '../constants';
import { addressMessage } from '../netlink/header';
import { dumpDatapath } from './datapath';
import { FAMILY_DATAPATH, FAMILY_FLOW, FAMILY_VPORT } from './families';
import { dumpFlows, startFlowDump } from './flow-reply';
import { closeFrame, frameAt, frameLimit, messageAt, NLM_F_MULTI, openFrames } from './frames';
import { family, portId, requestIfindex, requestSeq, socket, useFamily, useSocket } from './request';
import { dumpVports } from './vport';

const NLMSG_DONE: u32 = 3;
const DONE_SIZE: u32 = 20;

/** Starts the dump that the request at hand asks for, and writes its first part. */
export function startDump(): void {
  store<u32>(socket, family, SOCKET_DUMP);
  store<u32>(socket, requestSeq(), SOCKET_DUMP_SEQ);
  store<i32>(socket, requestIfindex(), SOCKET_DUMP_IFINDEX);
  memory.fill(socket + SOCKET_DUMP_ARGS, 0, 16);
  const status = startOf();
  const room = <u32>(frameLimit - frameAt);
  if (status != 0) finish(status);
  else part(frameAt + min<u32>(room, DUMP_FRAME_MAX));
}

/** Writes the next part of the running dump of `sender` as one frame. Returns where it ends; `out` when no dump runs. */
export function continueDump(sender: usize, out: usize, limit: usize): usize {
  useSocket(sender);
  openFrames(out, limit);
  const id = load<u32>(sender, SOCKET_DUMP);
  if (id == 0) return out;
  useFamily(id);
  part(limit);
  return frameAt;
}

function part(limit: usize): void {
  const at = messageAt();
  const end = partOf(at, limit);
  if (end < <usize>SUPERBLOCK) finish(-(<i32>end));
  else if (end == at) finish(0);
  else closeFrame(end, 0, portId);
}

function finish(status: i32): void {
  const message = messageAt();
  if (message + DONE_SIZE > frameLimit) return;
  store<u32>(message, DONE_SIZE);
  store<u32>(message, NLMSG_DONE | (NLM_F_MULTI << 16), 4);
  addressMessage(message, load<u32>(socket, SOCKET_DUMP_SEQ), portId);
  store<i32>(message, status, 16);
  closeFrame(message + DONE_SIZE, 0, portId);
  store<u32>(socket, 0, SOCKET_DUMP);
}

function startOf(): i32 {
  return family == FAMILY_FLOW ? startFlowDump() : 0;
}

function partOf(at: usize, limit: usize): usize {
  switch (family) {
    case FAMILY_DATAPATH:
      return dumpDatapath(at, limit);
    case FAMILY_VPORT:
      return dumpVports(at, limit);
    case FAMILY_FLOW:
      return dumpFlows(at, limit);
    default:
      return EOPNOTSUPP;
  }
}
