/*
 * Is an action list one that execute.ts can be trusted with? Asked once, when a flow is put or a packet is to be executed.
 *
 * Before it: whoever was given a list (a handler's answer, a message). After it: flow/action-list.ts stores the list,
 * execute.ts runs it without looking twice. Reads the list inside its bounds, whatever is in it, and the flow's key; keeps
 * nothing; any thread.
 *
 * The rules and the errno values are the kernel's. An action that it knows and this datapath does not (yet) is refused with
 * -EINVAL, as a kernel refuses one that is newer than itself. The last attribute may lack its padding.
 */
import { ACTIONS_SIZE_MAX, EINVAL, EMSGSIZE } from '../constants';
import { attrNext, attrOk, attrPayload, attrPayloadSize, attrRest, attrType } from '../netlink/attribute';
import {
  OVS_ACTION_ATTR_DROP,
  OVS_ACTION_ATTR_OUTPUT,
  OVS_ACTION_ATTR_POP_VLAN,
  OVS_ACTION_ATTR_PUSH_VLAN,
  OVS_ACTION_ATTR_SET,
  OVS_ACTION_ATTR_SET_MASKED,
  OVS_ACTION_ATTR_TRUNC,
  OVS_ACTION_ATTR_USERSPACE,
} from '../netlink/openvswitch';
import { checkDrop, checkOutput, checkTrunc } from './output';
import { checkSet } from './set';
import { checkUserspace } from './userspace';
import { checkPushVlan } from './vlan';

/**
 * 0, or a negative errno: -EINVAL for a malformed, unknown or impossible action, -EMSGSIZE for a list that is too long,
 * -ERANGE for a USERSPACE attribute that is too short. `key` is the key of the flow that the list is for, or 0 to leave out
 * what depends on it; `mask` is the flow's mask, or 0 if it matches all of its key.
 */
export function validateActions(attrs: usize, size: u32, key: usize, mask: usize): i32 {
  if (size > <u32>ACTIONS_SIZE_MAX) return -EMSGSIZE;
  const end = attrs + size;
  let a = attrs;
  for (; attrOk(a, end); a = attrNext(a)) {
    const error = validateAction(a, attrNext(a) >= end, key, mask);
    if (error != 0) return error;
  }
  return attrRest(a, end) == 0 ? 0 : -EINVAL;
}

function validateAction(a: usize, last: bool, key: usize, mask: usize): i32 {
  const payload = attrPayload(a);
  const size = attrPayloadSize(a);
  switch (<i32>attrType(a)) {
    case OVS_ACTION_ATTR_OUTPUT:
      return checkOutput(payload, size);
    case OVS_ACTION_ATTR_USERSPACE:
      return checkUserspace(payload, size);
    case OVS_ACTION_ATTR_SET:
      return checkSet(payload, size, false, key, mask);
    case OVS_ACTION_ATTR_SET_MASKED:
      return checkSet(payload, size, true, key, mask);
    case OVS_ACTION_ATTR_PUSH_VLAN:
      return checkPushVlan(payload, size);
    case OVS_ACTION_ATTR_POP_VLAN:
      return size == 0 ? 0 : -EINVAL;
    case OVS_ACTION_ATTR_TRUNC:
      return checkTrunc(payload, size);
    case OVS_ACTION_ATTR_DROP:
      return checkDrop(size, last);
    default:
      return -EINVAL;
  }
}
