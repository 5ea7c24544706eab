/*
 * Actions that need nothing of the flow: OUTPUT, TRUNC, DROP, USERSPACE, HASH, PSAMPLE.
 *
 * Before it: validate.ts, which checked the size of those that have a fixed one. After it: nothing. Reads the payload inside
 * its bounds; keeps nothing.
 */
import { EINVAL, ERANGE, FRAME_SIZE_MIN } from '../constants';
import { attrNext, attrOk, attrPayload, attrPayloadSize, attrRest, attrType } from '../netlink/attribute';
import { IN_PORT_NONE } from '../netlink/key-size';
import {
  OVS_HASH_ALG_SYM_L4,
  OVS_PSAMPLE_ATTR_COOKIE,
  OVS_PSAMPLE_ATTR_GROUP,
  OVS_USERSPACE_ATTR_EGRESS_TUN_PORT,
  OVS_USERSPACE_ATTR_PID,
} from '../netlink/openvswitch';
import { refuseAction, refuseInvalid } from './validate-state';

/** OVS_PSAMPLE_COOKIE_MAX_SIZE. */
const COOKIE_SIZE_MAX: u32 = 16;
const NLA_F_NESTED: u32 = 0x8000;

/** A port that the kernel can have. Whether there is one is asked when a packet comes; here there can be fewer (PORTS_MAX). */
export function checkOutput(a: usize): i32 {
  return load<u32>(attrPayload(a)) < IN_PORT_NONE ? 0 : refuseInvalid(a);
}

/** Not shorter than an Ethernet header. */
export function checkTrunc(a: usize): i32 {
  return load<u32>(attrPayload(a)) >= <u32>FRAME_SIZE_MIN ? 0 : refuseInvalid(a);
}

/** The reason (u32) is the caller's business; nothing may follow. */
export function checkDrop(a: usize, last: bool): i32 {
  return last ? 0 : refuseInvalid(a);
}

export function checkHash(a: usize): i32 {
  return load<u32>(attrPayload(a)) <= <u32>OVS_HASH_ALG_SYM_L4 ? 0 : refuseInvalid(a);
}

/**
 * A port id that is not 0 must be there; unknown attributes and bytes that are no attribute are left alone; of several of a
 * kind the last one counts.
 */
export function checkUserspace(a: usize): i32 {
  const end = attrPayload(a) + attrPayloadSize(a);
  let pid: u32 = 0;
  for (let inner = attrPayload(a); attrOk(inner, end); inner = attrNext(inner)) {
    const type = attrType(inner);
    if (type != OVS_USERSPACE_ATTR_PID && type != OVS_USERSPACE_ATTR_EGRESS_TUN_PORT) continue;
    if (attrPayloadSize(inner) < 4) return refuseAction(inner, -ERANGE);
    if (type == OVS_USERSPACE_ATTR_PID) pid = load<u32>(attrPayload(inner));
  }
  return pid != 0 ? 0 : refuseInvalid(a);
}

/** The strictest of all: flagged as nested, with a group and perhaps a cookie, both not, and nothing else. */
export function checkPsample(a: usize): i32 {
  if (!(load<u16>(a, 2) & NLA_F_NESTED)) return refuseInvalid(a);
  const end = attrPayload(a) + attrPayloadSize(a);
  let group = false;
  let inner = attrPayload(a);
  for (; attrOk(inner, end); inner = attrNext(inner)) {
    const error = checkPsampleAttr(inner);
    if (error != 0) return refuseAction(inner, error);
    if (attrType(inner) == OVS_PSAMPLE_ATTR_GROUP) group = true;
  }
  return group && attrRest(inner, end) == 0 ? 0 : refuseInvalid(a);
}

function checkPsampleAttr(inner: usize): i32 {
  const size = attrPayloadSize(inner);
  if (load<u16>(inner, 2) & NLA_F_NESTED) return -EINVAL;
  if (attrType(inner) == OVS_PSAMPLE_ATTR_GROUP) return size == 4 ? 0 : -EINVAL;
  if (attrType(inner) != OVS_PSAMPLE_ATTR_COOKIE) return -EINVAL;
  return size <= COOKIE_SIZE_MAX ? 0 : -ERANGE;
}
