/*
 * A flow as messages show it: answers, notifications and dumps of ovs_flow. Before it: flow.ts, dump.ts. After it: frames.ts.
 *
 * What is in a message, and in which order, is the kernel's (ovs_flow_cmd_fill_info): the name (UFID, or the unmasked key), the masked key of a
 * flow with a UFID, the mask, when and how often it was used if it was, the actions; without what UFID_FLAGS leave out.
 *
 * Ownership. Works in the scratch of the socket. Threads: a handler that holds the writer lock, or a dump, which is a reader inside an epoch.
 */
import {
  ACTIONS_ATTRS,
  ACTIONS_SIZE,
  ENODEV,
  FLOW_ACTIONS,
  FLOW_SUBTABLE,
  NL_VALIDATE_LIBERAL,
  SB_FLOW_FRESH,
  SOCKET_ATTRS,
  SOCKET_DUMP_ARGS,
  SOCKET_DUMP_IFINDEX,
  SOCKET_DUMP_SEQ,
  WORKER_EPOCH,
} from '../constants';
import { canonicalActions } from '../actions/canonical';
import { isNamedByKey, readUfid, ufidSizeOf, unmaskKey } from '../flow/name';
import { flowAt, slotOf } from '../flow/slot';
import { sumFlow } from '../flow/stats';
import { readMask, readMatchLocked } from '../flow/table';
import { enter, leave } from '../memory/epoch';
import { area, sb } from '../memory/layout';
import { nestEnd, nestStart, putAttr, putU64, reserveAttr } from '../netlink/attribute';
import { endMessage, messageSize, OVS_MESSAGE_HDRLEN } from '../netlink/header';
import { putKey } from '../netlink/key-put';
import {
  OVS_FLOW_ATTR_ACTIONS,
  OVS_FLOW_ATTR_KEY,
  OVS_FLOW_ATTR_MASK,
  OVS_FLOW_ATTR_STATS,
  OVS_FLOW_ATTR_TCP_FLAGS,
  OVS_FLOW_ATTR_UFID,
  OVS_FLOW_ATTR_UFID_FLAGS,
  OVS_FLOW_ATTR_USED,
  OVS_FLOW_CMD_GET,
  OVS_FLOW_STATS_SIZEOF,
  OVS_UFID_F_OMIT_ACTIONS,
  OVS_UFID_F_OMIT_KEY,
  OVS_UFID_F_OMIT_MASK,
} from '../netlink/openvswitch';
import { parsePolicy } from '../netlink/policy';
import { isDatapath } from './datapath';
import { FAMILY_FLOW } from './families';
import { otherAt, otherMaskAt, statsAt } from './flow-match';
import { beginPart, beginReply, frameLimit } from './frames';
import { policyOf } from './policies';
import { attrU32, request, requestIfindex, socket } from './request';

/** Where a dump stands, in SOCKET_DUMP_ARGS: the slot to look at next, and the UFID_FLAGS of its request. */
const NEXT_SLOT: u32 = 0;
const UFID_FLAGS: u32 = 4;

/** The subtable whose mask stands in the scratch; 0 none. */
let maskRead: usize = 0;

/** Writes the answer that shows a flow; the caller, who holds the writer lock, sends it. Returns its end, 0 without room. */
export function showFlow(command: u32, flow: usize): usize {
  maskRead = 0;
  const at = beginReply(command, requestIfindex());
  return putFlow(at, frameLimit, flow, load<u32>(flow, FLOW_SUBTABLE), attrU32(OVS_FLOW_ATTR_UFID_FLAGS));
}

function putFlow(start: usize, limit: usize, flow: usize, subtable: usize, ufidFlags: u32): usize {
  if (start == 0) return 0;
  let at = start;
  const key = otherAt();
  const byKey = isNamedByKey(flow);
  const withKey = byKey || (ufidFlags & OVS_UFID_F_OMIT_KEY) == 0;
  const withMask = (ufidFlags & OVS_UFID_F_OMIT_MASK) == 0;
  if (withKey || withMask) readMatchLocked(flow, subtable, key);
  if (!byKey) at = putUfid(at, limit, flow);
  else at = putUnmasked(at, limit, flow, subtable, key, withMask);
  if (!byKey && withKey) at = putList(at, limit, OVS_FLOW_ATTR_KEY, key, key);
  if (withMask) {
    const mask = otherMaskAt();
    if (subtable != maskRead) readMask(subtable, mask);
    maskRead = subtable;
    at = putList(at, limit, OVS_FLOW_ATTR_MASK, key, mask);
  }
  at = putStats(at, limit, flow);
  return (ufidFlags & OVS_UFID_F_OMIT_ACTIONS) != 0 ? at : putActions(at, limit, flow);
}

function putUfid(at: usize, limit: usize, flow: usize): usize {
  const size = ufidSizeOf(flow);
  const end = reserveAttr(at, limit, OVS_FLOW_ATTR_UFID, size);
  if (end == 0) return 0;
  const ufid = statsAt();
  readUfid(flow, ufid);
  memory.copy(at + 4, ufid, size);
  return end;
}

/** `key`, the masked one, is there again afterwards if the mask is to follow. */
function putUnmasked(at: usize, limit: usize, flow: usize, subtable: usize, key: usize, again: bool): usize {
  unmaskKey(flow, key);
  const end = putList(at, limit, OVS_FLOW_ATTR_KEY, key, key);
  if (again) readMatchLocked(flow, subtable, key);
  return end;
}

function putList(start: usize, limit: usize, type: u32, key: usize, mask: usize): usize {
  const at = nestStart(start, limit, type);
  return at == 0 ? 0 : nestEnd(start, putKey(at, limit, key, mask));
}

function putStats(start: usize, limit: usize, flow: usize): usize {
  let at = start;
  const stats = statsAt();
  sumFlow(flow, stats);
  if (load<u64>(stats, 16) != 0) at = putU64(at, limit, OVS_FLOW_ATTR_USED, load<u64>(stats, 16));
  if (load<u64>(stats) != 0) at = putAttr(at, limit, OVS_FLOW_ATTR_STATS, stats, OVS_FLOW_STATS_SIZEOF);
  const tcpFlags = load<u8>(stats, 25); // the lower half, in wire order
  if (tcpFlags == 0) return at;
  const end = reserveAttr(at, limit, OVS_FLOW_ATTR_TCP_FLAGS, 1);
  if (end != 0) store<u8>(at, tcpFlags, 4);
  return end;
}

function putActions(start: usize, limit: usize, flow: usize): usize {
  const actions: usize = atomic.load<u32>(flow, FLOW_ACTIONS);
  const at = nestStart(start, limit, OVS_FLOW_ATTR_ACTIONS);
  return nestEnd(start, canonicalActions(actions + ACTIONS_ATTRS, load<u32>(actions, ACTIONS_SIZE), at, limit));
}

// ------------------------------------------------------------------------------------------------ dumps

/** Looks at the request of a dump. 0, or a negative errno. */
export function startFlowDump(): i32 {
  const size = messageSize(request) - OVS_MESSAGE_HDRLEN;
  const attrs = socket + SOCKET_ATTRS;
  const status = parsePolicy(policyOf(FAMILY_FLOW), request + OVS_MESSAGE_HDRLEN, size, attrs, NL_VALIDATE_LIBERAL);
  if (status == 0) store<u32>(socket + SOCKET_DUMP_ARGS, attrU32(OVS_FLOW_ATTR_UFID_FLAGS), UFID_FLAGS);
  return status;
}

/**
 * Writes flows, as many as fit. A flow keeps its slot as long as it lives, and the dump goes from slot to slot: one that stays is given once,
 * whatever comes and goes meanwhile. A list of actions that does not fit beside nothing else is left out, as by the kernel.
 */
export function dumpFlows(start: usize, limit: usize): usize {
  if (!isDatapath(load<i32>(socket, SOCKET_DUMP_IFINDEX))) return ENODEV;
  const args = socket + SOCKET_DUMP_ARGS;
  const reading = load<u32>(area, WORKER_EPOCH) != 0;
  if (!reading) enter();
  maskRead = 0;
  const ufidFlags = load<u32>(args, UFID_FLAGS);
  let at = start;
  let flow = flowFrom(load<u32>(args, NEXT_SLOT));
  while (flow != 0) {
    let end = putPart(at, limit, flow, ufidFlags);
    if (end == 0 && at == start) end = putPart(at, limit, flow, ufidFlags | OVS_UFID_F_OMIT_ACTIONS);
    if (end == 0) break;
    at = end;
    store<u32>(args, slotOf(flow) + 1, NEXT_SLOT);
    flow = flowFrom(slotOf(flow) + 1);
  }
  if (!reading) leave();
  return at;
}

/** The first flow in this slot or behind it, 0 none. */
function flowFrom(slot: u32): usize {
  const fresh = load<u32>(sb(SB_FLOW_FRESH));
  for (let i = slot; i < fresh; i++) {
    if (atomic.load<u32>(flowAt(i), FLOW_SUBTABLE) != 0) return flowAt(i);
  }
  return 0;
}

/** One message of a dump at `at`; returns its end, 0 without room. A flow that was just removed leaves nothing. */
function putPart(at: usize, limit: usize, flow: usize, ufidFlags: u32): usize {
  const subtable: usize = atomic.load<u32>(flow, FLOW_SUBTABLE);
  if (subtable == 0) return at;
  const ifindex = load<i32>(socket, SOCKET_DUMP_IFINDEX);
  const attrs = beginPart(at, limit, OVS_FLOW_CMD_GET, ifindex, load<u32>(socket, SOCKET_DUMP_SEQ));
  const end = putFlow(attrs, limit, flow, subtable, ufidFlags);
  return endMessage(at, end) == 0 ? 0 : end;
}
