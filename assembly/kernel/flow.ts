/*
 * The family ovs_flow: flows put, changed, shown and removed by messages. Before it: dispatch.ts. After it: the flow table; flow-reply.ts for what
 * is answered.
 *
 * Rules and order of the checks are the kernel's (net/openvswitch/datapath.c): what can be found wrong without the table comes first, then
 * that there is no such datapath, then what the table says.
 *
 *     NEW     a flow that covers the key is there already: EEXIST with NLM_F_CREATE or NLM_F_EXCL; its actions are replaced if it is called by this
 *             key, or UFID and key, else ENOENT; so flows never contradict each other
 *     SET     actions of the flow that is meant, or nothing of it, and with CLEAR its statistics
 *     DEL     the flow that is meant; with neither key nor UFID all of them
 *
 * PROBE makes the kernel quiet in its log; there is none here. Threads: any; the table is changed and shown under the writer lock.
 */
import {
  EEXIST,
  EINVAL,
  ENODEV,
  ENOENT,
  ENOMEM,
  ENOSPC,
  NAME_KEY,
  SB_SUBTABLE_FREE,
  SB_SUBTABLE_FRESH,
  SUBTABLES_MAX,
  SUPERBLOCK,
} from '../constants';
import { canonicalActions } from '../actions/canonical';
import { validateActions } from '../actions/validate';
import { acquireActions, releaseActions } from '../flow/action-list';
import { findCovering, hashMasked } from '../flow/classifier';
import { findUfid, isNamedByKey, nameKey } from '../flow/name';
import { reclaimFlows, releaseAt } from '../flow/slot';
import { clearStats } from '../flow/stats';
import { acquireMask, releaseMask } from '../flow/subtable';
import { awaitSlots, createFlow, dropFlow, flushFlows, replaceActions } from '../flow/table';
import { sb } from '../memory/layout';
import { lock, unlock } from '../memory/lock';
import { reclaim } from '../memory/slab';
import { attrPayload, attrPayloadSize } from '../netlink/attribute';
import {
  OVS_FLOW_ATTR_ACTIONS,
  OVS_FLOW_ATTR_CLEAR,
  OVS_FLOW_ATTR_KEY,
  OVS_FLOW_CMD_DEL,
  OVS_FLOW_CMD_GET,
  OVS_FLOW_CMD_NEW,
  OVS_FLOW_CMD_SET,
} from '../netlink/openvswitch';
import { isDatapath } from './datapath';
import { GROUP_FLOW } from './families';
import {
  findByKey,
  findMeant,
  isMeant,
  keyAt,
  maskAt,
  nameAt,
  readKey,
  readMatch,
  readUfidName,
  statsAt,
} from './flow-match';
import { showFlow } from './flow-reply';
import { frameLimit, messageAt, mustNotify, sendNotification, sendReply } from './frames';
import { attr, requestFlags, requestIfindex } from './request';

const NLM_F_EXCL: u32 = 0x200;
const NLM_F_CREATE: u32 = 0x400;

export function doFlow(command: u32): i32 {
  switch (command) {
    case OVS_FLOW_CMD_NEW:
      return put();
    case OVS_FLOW_CMD_SET:
      return change();
    case OVS_FLOW_CMD_DEL:
      return remove();
    default:
      return show();
  }
}

/** Tells of a change, if somebody wants to hear it. 0, or a negative errno. */
function tell(command: u32, flow: usize): i32 {
  return mustNotify(GROUP_FLOW) ? sendNotification(showFlow(command, flow), GROUP_FLOW) : 0;
}

/** Validates ACTIONS for key and mask of the request. 0, or a negative errno. */
function checkActions(): i32 {
  const actions = attr(OVS_FLOW_ATTR_ACTIONS);
  return validateActions(attrPayload(actions), attrPayloadSize(actions), keyAt(), maskAt());
}

/** The block of ACTIONS, in the form in which they are given back; 0 when the arena is full. Works where the answer will be written. */
function takeActions(): usize {
  const actions = attr(OVS_FLOW_ATTR_ACTIONS);
  const list = messageAt();
  const end = canonicalActions(attrPayload(actions), attrPayloadSize(actions), list, frameLimit);
  return end == 0 ? 0 : acquireActions(list, <u32>(end - list));
}

// ------------------------------------------------------------------------------------------------ NEW

function put(): i32 {
  if (attr(OVS_FLOW_ATTR_KEY) == 0 || attr(OVS_FLOW_ATTR_ACTIONS) == 0) return -EINVAL;
  let status = readMatch();
  if (status != 0) return status;
  const byUfid = readUfidName();
  status = checkActions();
  if (status != 0) return status;
  status = tryPut(byUfid);
  for (let naps: u32 = 0; status == -ENOSPC && awaitSlots(naps); naps++) status = tryPut(byUfid);
  return status;
}

function tryPut(byUfid: bool): i32 {
  lock();
  const status = isDatapath(requestIfindex()) ? putLocked(byUfid) : -ENODEV;
  unlock();
  return status;
}

function putLocked(byUfid: bool): i32 {
  reclaimFlows();
  reclaim();
  let flow: usize = byUfid ? findUfid(nameAt()) : 0;
  if (flow == 0) flow = findCovering(keyAt(), false);
  if (flow == 0) return make(byUfid);
  if ((requestFlags() & (NLM_F_CREATE | NLM_F_EXCL)) != 0) return -EEXIST;
  if (!isMeant(flow)) {
    flow = isNamedByKey(flow) ? findByKey() : 0;
    if (flow == 0) return -ENOENT;
  }
  const actions = takeActions();
  if (actions == 0) return -ENOMEM;
  replaceActions(flow, actions);
  releaseActions(actions);
  return tell(OVS_FLOW_CMD_NEW, flow);
}

function make(byUfid: bool): i32 {
  const name = nameAt();
  if (!byUfid && nameKey(name, keyAt(), maskAt()) != 0) return -ENOMEM;
  const flow = makeNamed(name);
  if (flow >= <u32>SUPERBLOCK) return tell(OVS_FLOW_CMD_NEW, flow);
  releaseAt(name + NAME_KEY);
  return -(<i32>flow);
}

/** The new flow's address, or ENOSPC or ENOMEM. */
function makeNamed(name: usize): u32 {
  const subtable = acquireMask(maskAt());
  if (subtable == 0) return hasDescriptors() ? ENOMEM : ENOSPC;
  const actions = takeActions();
  let flow: u32 = ENOMEM;
  if (actions != 0) {
    flow = createFlow(keyAt(), subtable, actions, hashMasked(subtable, keyAt()), name, 0, 0);
    releaseActions(actions);
  }
  releaseMask(subtable);
  return flow;
}

/** There is one for another mask. */
function hasDescriptors(): bool {
  return load<u32>(sb(SB_SUBTABLE_FREE)) != 0 || load<u32>(sb(SB_SUBTABLE_FRESH)) < <u32>SUBTABLES_MAX;
}

// ------------------------------------------------------------------------------------------------ SET

function change(): i32 {
  const byUfid = readUfidName();
  const hasKey = attr(OVS_FLOW_ATTR_KEY) != 0;
  const hasActions = attr(OVS_FLOW_ATTR_ACTIONS) != 0;
  if (!hasKey && (!byUfid || hasActions)) return -EINVAL;
  let status = hasKey ? readMatch() : 0;
  if (status == 0 && hasActions) status = checkActions();
  if (status != 0) return status;
  lock();
  status = isDatapath(requestIfindex()) ? changeLocked(findMeant(byUfid), hasActions) : -ENODEV;
  unlock();
  return status;
}

function changeLocked(flow: usize, hasActions: bool): i32 {
  if (flow == 0) return -ENOENT;
  if (hasActions) {
    const actions = takeActions();
    if (actions == 0) return -ENOMEM;
    replaceActions(flow, actions);
    releaseActions(actions);
  }
  const status = tell(OVS_FLOW_CMD_SET, flow);
  return status != 0 || attr(OVS_FLOW_ATTR_CLEAR) == 0 ? status : clearStats(flow, statsAt());
}

// ------------------------------------------------------------------------------------------------ GET and DEL

function show(): i32 {
  const byUfid = readUfidName();
  if (!byUfid && attr(OVS_FLOW_ATTR_KEY) == 0) return -EINVAL;
  let status = attr(OVS_FLOW_ATTR_KEY) == 0 ? 0 : readKey();
  if (status != 0) return status;
  lock();
  status = isDatapath(requestIfindex()) ? showLocked(findMeant(byUfid)) : -ENODEV;
  unlock();
  return status;
}

function showLocked(flow: usize): i32 {
  return flow == 0 ? -ENOENT : sendReply(showFlow(OVS_FLOW_CMD_GET, flow));
}

function remove(): i32 {
  const byUfid = readUfidName();
  const byKey = attr(OVS_FLOW_ATTR_KEY) != 0;
  let status = byKey ? readKey() : 0;
  if (status != 0) return status;
  if (!byUfid && !byKey) return flush();
  lock();
  status = isDatapath(requestIfindex()) ? removeLocked(findMeant(byUfid)) : -ENODEV;
  unlock();
  return status;
}

function removeLocked(flow: usize): i32 {
  if (flow == 0) return -ENOENT;
  const status = tell(OVS_FLOW_CMD_DEL, flow);
  dropFlow(flow);
  reclaimFlows();
  return status;
}

function flush(): i32 {
  if (!isDatapath(requestIfindex())) return -ENODEV;
  flushFlows();
  return 0;
}
