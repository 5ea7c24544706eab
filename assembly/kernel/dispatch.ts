/*
 * THE FRONT DOOR: messages to the datapath, as the kernel's generic Netlink takes them. Before it: the host, with a datagram of somebody's. After
 * it: the families, one file each, and frames.ts for what they send.
 *
 * Concepts. A datagram holds messages; each is checked in the kernel's order (netlink_rcv_skb, genl_rcv_msg), so that the same wrong one gets the
 * same answer:
 *
 *   no NLM_F_REQUEST, or a type below NLMSG_MIN_TYPE     nothing is done; acknowledged when NLM_F_ACK is set
 *   no such family                                       ENOENT
 *   shorter than its headers                             EINVAL
 *   a reserved field or flag that is not zero            EINVAL (commands that the family does not have)
 *   no such command                                      EOPNOTSUPP
 *   for administrators, and the sender is none           EPERM
 *   no `do` (`dump`) in the command                      EOPNOTSUPP
 *   a second dump of one socket                          EBUSY
 *   attributes against the policy                        the errno and words of the kernel's validation; dumps are not checked
 *
 * How to plug in a family:
 *
 *   families.ts      its id, group, version, and the nibbles of its commands (OPS_*)
 *   policies.ts      what its attributes must be
 *   NAME.ts          `doNAME(command): i32` handles the request at hand (request.ts), sends what there is to send (frames.ts), and returns 0 or a
 *                    negative errno. A family that is dumped also has `startNAMEDump(): i32`, which looks at the request (gone when the dump goes
 *                    on) and returns 0 or a negative errno, and `dumpNAME(at, limit): usize`, which writes messages from `at` on, as many as fit
 *                    (frames.ts: beginPart), and returns where they end: `at` when there was none left, or an errno, which is below any address.
 *                    Where it stands it keeps in SOCKET_DUMP_ARGS of its socket.
 *   here, dump.ts    a case in `opsOf` and `handle`; in `startOf` and `partOf`
 *
 * Ownership. The datagram and the room for frames are the caller's. Threads: any with a worker slot of its own (attach); handlers take the writer
 * lock where they change something. What can be lost: what did not fit `out` when it had no more than ANSWER_ROOM bytes.
 */
import {
  ANSWER_ROOM,
  EBUSY,
  EINVAL,
  ENOENT,
  EOPNOTSUPP,
  EPERM,
  NL_VALIDATE_LIBERAL,
  POLICY_ROW_SIZEOF,
  REFUSED_LEFTOVER,
  SOCKET_ADMIN,
  SOCKET_ATTRS,
  SOCKET_DUMP,
  SOCKET_FLAGS,
  SOCKET_NEXT,
} from '../constants';
import { attrType } from '../netlink/attribute';
import {
  messageCommand,
  messageFamily,
  messageFlags,
  messageReserved,
  messageSize,
  OVS_MESSAGE_HDRLEN,
} from '../netlink/header';
import { messageNext, messageOk } from '../netlink/message';
import { leftoverSize, parsePolicy, refusedAttr, refusedReason } from '../netlink/policy';
import { acknowledge, blame, forget, say } from './acknowledge';
import { doDatapath } from './datapath';
import { startDump } from './dump';
import {
  FAMILY_DATAPATH,
  FAMILY_FLOW,
  FAMILY_METER,
  FAMILY_PACKET,
  FAMILY_VPORT,
  OP_ADMIN,
  OP_DO,
  OP_DUMP,
  OPS_DATAPATH,
  OPS_FLOW,
  OPS_METER,
  OPS_PACKET,
  OPS_VPORT,
} from './families';
import { doFlow } from './flow';
import { frameAt, openFrames } from './frames';
import { doMeter } from './meter';
import { executePacket } from './packet';
import { policyOf } from './policies';
import { socket, useRequest, useSocket } from './request';
import { TEXT_FLAGS, TEXT_RESERVED } from './texts';
import { doVport } from './vport';

const NLMSG_MIN_TYPE: u32 = 16;
const NLM_F_REQUEST: u32 = 1;
const NLM_F_ACK: u32 = 4;
const NLM_F_ECHO: u32 = 8;
const NLM_F_DUMP: u32 = 0x300;
/** A dump was started: its NLMSG_DONE is the answer, and there is no other. */
const STARTED: i32 = 1;

/**
 * Handles the messages of a datagram (`size` bytes) that `sender` sent, and writes what is to be sent as frames from `out` on. Returns where the
 * frames end. When there is no more room for the answer to another message it stops before that: SOCKET_NEXT says where to go on.
 */
export function handleMessages(sender: usize, datagram: usize, size: u32, out: usize, limit: usize): usize {
  useSocket(sender);
  openFrames(out, limit);
  const end = datagram + size;
  let at = datagram;
  for (; messageOk(at, end); at = messageNext(at)) {
    if (<u32>(limit - frameAt) < <u32>ANSWER_ROOM && frameAt != out) break;
    handleMessage(at);
  }
  store<u32>(sender, <u32>(messageOk(at, end) ? at : end), SOCKET_NEXT);
  return frameAt;
}

function handleMessage(message: usize): void {
  const flags = messageFlags(message);
  forget();
  let status: i32 = 0;
  if ((flags & NLM_F_REQUEST) != 0 && messageFamily(message) >= NLMSG_MIN_TYPE) status = receive(message);
  if (status == STARTED) return;
  if (status != 0 || (flags & NLM_F_ACK) != 0) acknowledge(message, status);
}

/** 0, a negative errno, or STARTED. */
function receive(message: usize): i32 {
  const family = messageFamily(message);
  const ops = opsOf(family);
  if (ops == 0) return -ENOENT;
  if (messageSize(message) < OVS_MESSAGE_HDRLEN) return -EINVAL;
  const flags = messageFlags(message);
  const command = messageCommand(message);
  const op = command < 8 ? (ops >> (command << 2)) & 15 : 0;
  if (op == 0 && command >= commandsOf(ops) && !checkReserved(message, flags)) return -EINVAL;
  if (op == 0) return -EOPNOTSUPP;
  if ((op & OP_ADMIN) != 0 && (load<u32>(socket, SOCKET_FLAGS) & SOCKET_ADMIN) == 0) return -EPERM;
  useRequest(message, family);
  if ((flags & NLM_F_DUMP) == NLM_F_DUMP) {
    if ((op & OP_DUMP) == 0) return -EOPNOTSUPP;
    if (load<u32>(socket, SOCKET_DUMP) != 0) return -EBUSY;
    startDump();
    return STARTED;
  }
  if ((op & OP_DO) == 0) return -EOPNOTSUPP;
  const status = parse(message, policyOf(family));
  return status != 0 ? status : handle(family, command);
}

/** The nibbles of a family's commands, 0: there is no such family. */
function opsOf(family: u32): u32 {
  switch (family) {
    case FAMILY_DATAPATH:
      return OPS_DATAPATH;
    case FAMILY_VPORT:
      return OPS_VPORT;
    case FAMILY_FLOW:
      return OPS_FLOW;
    case FAMILY_PACKET:
      return OPS_PACKET;
    case FAMILY_METER:
      return OPS_METER;
    default:
      return 0;
  }
}

/** The first number above a family's commands: from there on reserved fields must be zero (genl_family.resv_start_op). */
@inline
function commandsOf(ops: u32): u32 {
  return (35 - clz(ops)) >> 2;
}

function checkReserved(message: usize, flags: u32): bool {
  if (messageReserved(message) != 0) {
    say(TEXT_RESERVED);
    return false;
  }
  const rest = (flags & NLM_F_DUMP) == NLM_F_DUMP ? flags & ~NLM_F_DUMP : flags;
  if ((rest & ~(NLM_F_REQUEST | NLM_F_ACK | NLM_F_ECHO)) == 0) return true;
  say(TEXT_FLAGS);
  return false;
}

function parse(message: usize, policy: usize): i32 {
  const size = messageSize(message) - OVS_MESSAGE_HDRLEN;
  const status = parsePolicy(policy, message + OVS_MESSAGE_HDRLEN, size, socket + SOCKET_ATTRS, NL_VALIDATE_LIBERAL);
  if (status != 0) {
    say(refusedReason());
    blame(refusedAttr(), policy + attrType(refusedAttr()) * POLICY_ROW_SIZEOF);
  } else if (leftoverSize() != 0) {
    say(REFUSED_LEFTOVER);
  }
  return status;
}

function handle(family: u32, command: u32): i32 {
  switch (family) {
    case FAMILY_DATAPATH:
      return doDatapath(command);
    case FAMILY_VPORT:
      return doVport(command);
    case FAMILY_METER:
      return doMeter(command);
    case FAMILY_FLOW:
      return doFlow(command);
    case FAMILY_PACKET:
      return executePacket();
    default:
      return -EOPNOTSUPP;
  }
}
