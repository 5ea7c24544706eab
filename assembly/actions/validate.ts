/*
 * Is an action list one that execute.ts can be trusted with? Asked once, when a flow is put or a packet is to be executed.
 *
 * Before it: whoever was given a list (a handler's answer, a message). After it: flow/action-list.ts stores the list,
 * execute.ts runs it without looking twice. Reads the list inside its bounds, whatever is in it, and the flow's key; keeps
 * nothing but the attribute at fault (actionFault), which is the thread's own; any thread.
 *
 * The rules and the errno values are the kernel's, those of its newest actions too. What each action leaves behind for those
 * after it is in validate-state.ts. The last attribute may lack its padding.
 */
import { ACTIONS_DEPTH_MAX, ACTIONS_SIZE_MAX, EINVAL, EMSGSIZE, EOVERFLOW } from '../constants';
import { attrNext, attrOk, attrPayload, attrPayloadSize, attrRest, attrType } from '../netlink/attribute';
import {
  OVS_ACTION_ATTR_ADD_MPLS,
  OVS_ACTION_ATTR_CHECK_PKT_LEN,
  OVS_ACTION_ATTR_CLONE,
  OVS_ACTION_ATTR_CT,
  OVS_ACTION_ATTR_CT_CLEAR,
  OVS_ACTION_ATTR_DEC_TTL,
  OVS_ACTION_ATTR_DROP,
  OVS_ACTION_ATTR_HASH,
  OVS_ACTION_ATTR_LB_OUTPUT,
  OVS_ACTION_ATTR_METER,
  OVS_ACTION_ATTR_OUTPUT,
  OVS_ACTION_ATTR_POP_ETH,
  OVS_ACTION_ATTR_POP_MPLS,
  OVS_ACTION_ATTR_POP_NSH,
  OVS_ACTION_ATTR_POP_VLAN,
  OVS_ACTION_ATTR_PSAMPLE,
  OVS_ACTION_ATTR_PUSH_ETH,
  OVS_ACTION_ATTR_PUSH_MPLS,
  OVS_ACTION_ATTR_PUSH_NSH,
  OVS_ACTION_ATTR_PUSH_VLAN,
  OVS_ACTION_ATTR_RECIRC,
  OVS_ACTION_ATTR_SAMPLE,
  OVS_ACTION_ATTR_SET,
  OVS_ACTION_ATTR_SET_MASKED,
  OVS_ACTION_ATTR_TRUNC,
  OVS_ACTION_ATTR_USERSPACE,
} from '../netlink/openvswitch';
import { checkCt } from './validate-ct';
import {
  checkAddMpls,
  checkPopEth,
  checkPopMpls,
  checkPopNsh,
  checkPopVlan,
  checkPushEth,
  checkPushMpls,
  checkPushNsh,
  checkPushVlan,
} from './validate-link';
import { checkClone, checkDecTtl, checkPktLen, checkSample } from './validate-nested';
import { checkDrop, checkHash, checkOutput, checkPsample, checkTrunc, checkUserspace } from './validate-packet';
import { checkSet } from './validate-set';
import {
  beginLink,
  beginState,
  ethernet,
  ethType,
  labelCount,
  refuseAction,
  refuseInvalid,
  refuseUnsupported,
  setState,
  vlanTci,
} from './validate-state';

/** Answer of actionSize: the action's own check looks at its size. */
const SIZE_ANY: u32 = 0xffffffff;
const SIZE_UNKNOWN: u32 = 0xfffffffe;

/**
 * 0, or a negative errno: -EINVAL for a malformed, unknown or impossible action, -EMSGSIZE for a list that is too long,
 * -EOVERFLOW for lists too deep in each other, -ERANGE for an attribute of USERSPACE, CHECK_PKT_LEN or PSAMPLE of a wrong size and
 * for two kinds of NAT, -EOPNOTSUPP for CT. `key` is the key of the flow that the list is for, or 0 to leave out what depends on
 * it; `mask` is the flow's mask, or 0 if it matches all of its key.
 */
export function validateActions(attrs: usize, size: u32, key: usize, mask: usize): i32 {
  beginState(key, mask);
  if (size > <u32>ACTIONS_SIZE_MAX) return -EMSGSIZE;
  const error = validateList(attrs, size, 0);
  return error != 0 ? error : refuseUnsupported();
}

/** The list that is the payload of `a`, on a packet as it is at this point, which stays as it is. */
export function validateNested(a: usize, depth: u32): i32 {
  if (depth == <u32>ACTIONS_DEPTH_MAX) return refuseAction(a, -EOVERFLOW);
  const type = ethType;
  const tci = vlanTci;
  const labels = labelCount;
  const hasEthernet = ethernet;
  beginLink();
  const error = validateList(attrPayload(a), attrPayloadSize(a), depth + 1);
  setState(type, tci, labels, hasEthernet);
  return error;
}

function validateList(attrs: usize, size: u32, depth: u32): i32 {
  const end = attrs + size;
  let a = attrs;
  for (; attrOk(a, end); a = attrNext(a)) {
    const wanted = actionSize(attrType(a));
    if (wanted != SIZE_ANY && wanted != attrPayloadSize(a)) return refuseInvalid(a);
    const error = validateAction(a, attrNext(a) >= end, depth);
    if (error != 0) return error;
  }
  return attrRest(a, end) == 0 ? 0 : -EINVAL;
}

function actionSize(type: u32): u32 {
  switch (<i32>type) {
    case OVS_ACTION_ATTR_OUTPUT:
    case OVS_ACTION_ATTR_LB_OUTPUT:
    case OVS_ACTION_ATTR_RECIRC:
    case OVS_ACTION_ATTR_TRUNC:
    case OVS_ACTION_ATTR_METER:
    case OVS_ACTION_ATTR_DROP:
    case OVS_ACTION_ATTR_PUSH_VLAN:
      return 4;
    case OVS_ACTION_ATTR_HASH:
    case OVS_ACTION_ATTR_PUSH_MPLS:
    case OVS_ACTION_ATTR_ADD_MPLS:
      return 8;
    case OVS_ACTION_ATTR_PUSH_ETH:
      return 12;
    case OVS_ACTION_ATTR_POP_MPLS:
      return 2;
    case OVS_ACTION_ATTR_POP_VLAN:
    case OVS_ACTION_ATTR_POP_ETH:
    case OVS_ACTION_ATTR_POP_NSH:
    case OVS_ACTION_ATTR_CT_CLEAR:
      return 0;
    case OVS_ACTION_ATTR_USERSPACE:
    case OVS_ACTION_ATTR_SET:
    case OVS_ACTION_ATTR_SET_MASKED:
    case OVS_ACTION_ATTR_SAMPLE:
    case OVS_ACTION_ATTR_CLONE:
    case OVS_ACTION_ATTR_CHECK_PKT_LEN:
    case OVS_ACTION_ATTR_DEC_TTL:
    case OVS_ACTION_ATTR_PUSH_NSH:
    case OVS_ACTION_ATTR_CT:
    case OVS_ACTION_ATTR_PSAMPLE:
      return SIZE_ANY;
    default:
      return SIZE_UNKNOWN;
  }
}

function validateAction(a: usize, last: bool, depth: u32): i32 {
  switch (<i32>attrType(a)) {
    case OVS_ACTION_ATTR_OUTPUT:
      return checkOutput(a);
    case OVS_ACTION_ATTR_USERSPACE:
      return checkUserspace(a);
    case OVS_ACTION_ATTR_TRUNC:
      return checkTrunc(a);
    case OVS_ACTION_ATTR_HASH:
      return checkHash(a);
    case OVS_ACTION_ATTR_PSAMPLE:
      return checkPsample(a);
    case OVS_ACTION_ATTR_DROP:
      return checkDrop(a, last);
    case OVS_ACTION_ATTR_SET:
      return checkSet(a, false);
    case OVS_ACTION_ATTR_SET_MASKED:
      return checkSet(a, true);
    case OVS_ACTION_ATTR_PUSH_VLAN:
      return checkPushVlan(a);
    case OVS_ACTION_ATTR_POP_VLAN:
      return checkPopVlan(a);
    case OVS_ACTION_ATTR_PUSH_MPLS:
      return checkPushMpls(a);
    case OVS_ACTION_ATTR_ADD_MPLS:
      return checkAddMpls(a);
    case OVS_ACTION_ATTR_POP_MPLS:
      return checkPopMpls(a);
    case OVS_ACTION_ATTR_PUSH_ETH:
      return checkPushEth(a);
    case OVS_ACTION_ATTR_POP_ETH:
      return checkPopEth(a);
    case OVS_ACTION_ATTR_PUSH_NSH:
      return checkPushNsh(a);
    case OVS_ACTION_ATTR_POP_NSH:
      return checkPopNsh(a);
    case OVS_ACTION_ATTR_SAMPLE:
      return checkSample(a, depth);
    case OVS_ACTION_ATTR_CLONE:
      return checkClone(a, depth);
    case OVS_ACTION_ATTR_CHECK_PKT_LEN:
      return checkPktLen(a, depth);
    case OVS_ACTION_ATTR_DEC_TTL:
      return checkDecTtl(a, depth);
    case OVS_ACTION_ATTR_CT:
      return checkCt(a);
    default:
      // RECIRC, METER, LB_OUTPUT and CT_CLEAR: any value will do. A meter that does not exist lets everything pass, a bond nothing.
      return 0;
  }
}
