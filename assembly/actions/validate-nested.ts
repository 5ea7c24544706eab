/*
 * Actions that hold action lists: SAMPLE, CLONE, CHECK_PKT_LEN, DEC_TTL.
 *
 * Before it: validate.ts, which also checks the lists inside (validateNested). After it: nothing. Reads the payload inside its
 * bounds; keeps nothing.
 *
 * Each has its own idea of what else may be in its payload, and they are the kernel's: SAMPLE and DEC_TTL refuse duplicates,
 * in CHECK_PKT_LEN the last one counts; DEC_TTL ignores what it does not know.
 */
import { ERANGE } from '../constants';
import {
  attrFind,
  attrNext,
  attrOk,
  attrPayload,
  attrPayloadSize,
  attrRest,
  attrType,
  NLA_HDRLEN,
} from '../netlink/attribute';
import {
  OVS_CHECK_PKT_LEN_ATTR_ACTIONS_IF_GREATER,
  OVS_CHECK_PKT_LEN_ATTR_ACTIONS_IF_LESS_EQUAL,
  OVS_CHECK_PKT_LEN_ATTR_PKT_LEN,
  OVS_DEC_TTL_ATTR_ACTION,
  OVS_SAMPLE_ATTR_ACTIONS,
  OVS_SAMPLE_ATTR_PROBABILITY,
} from '../netlink/openvswitch';
import { validateNested } from './validate';
import { refuseAction, refuseInvalid } from './validate-state';

const SAMPLE_ATTR_MAX: u32 = 2;
const CHECK_PKT_LEN_ATTR_MAX: u32 = 3;

/** A list of 1 to 3 bytes is no list. */
@inline
function isList(a: usize): bool {
  const size = attrPayloadSize(a);
  return size == 0 || size >= NLA_HDRLEN;
}

/** Attributes of types 1 to `max`, each at most once, to the very end; those above are refused or, if `lenient`, ignored. */
function checkOnce(a: usize, max: u32, lenient: bool): i32 {
  const end = attrPayload(a) + attrPayloadSize(a);
  let seen: u32 = 0;
  let inner = attrPayload(a);
  for (; attrOk(inner, end); inner = attrNext(inner)) {
    const type = attrType(inner);
    if (type > max && lenient) continue;
    if (type == 0 || type > max || seen & (1 << type)) return refuseInvalid(inner);
    seen |= 1 << type;
  }
  return inner == end ? 0 : refuseInvalid(a);
}

export function checkSample(a: usize, depth: u32): i32 {
  const error = checkOnce(a, SAMPLE_ATTR_MAX, false);
  if (error != 0) return error;
  const probability = attrFind(attrPayload(a), attrPayloadSize(a), OVS_SAMPLE_ATTR_PROBABILITY);
  if (probability == 0 || attrPayloadSize(probability) != 4) return refuseInvalid(probability == 0 ? a : probability);
  return checkNestedList(a, OVS_SAMPLE_ATTR_ACTIONS, depth);
}

export function checkDecTtl(a: usize, depth: u32): i32 {
  const error = checkOnce(a, OVS_DEC_TTL_ATTR_ACTION, true);
  return error != 0 ? error : checkNestedList(a, OVS_DEC_TTL_ATTR_ACTION, depth);
}

function checkNestedList(a: usize, type: u32, depth: u32): i32 {
  const actions = attrFind(attrPayload(a), attrPayloadSize(a), type);
  if (actions == 0 || !isList(actions)) return refuseInvalid(actions == 0 ? a : actions);
  return validateNested(actions, depth);
}

export function checkClone(a: usize, depth: u32): i32 {
  return isList(a) ? validateNested(a, depth) : refuseInvalid(a);
}

export function checkPktLen(a: usize, depth: u32): i32 {
  const attrs = attrPayload(a);
  const size = attrPayloadSize(a);
  const error = checkPktLenAttrs(a, attrs, attrs + size);
  if (error != 0) return error;
  const packetSize = attrFind(attrs, size, OVS_CHECK_PKT_LEN_ATTR_PKT_LEN);
  if (packetSize == 0 || load<u16>(attrPayload(packetSize)) == 0)
    return refuseInvalid(packetSize == 0 ? a : packetSize);
  const lessEqual = attrFind(attrs, size, OVS_CHECK_PKT_LEN_ATTR_ACTIONS_IF_LESS_EQUAL);
  const greater = attrFind(attrs, size, OVS_CHECK_PKT_LEN_ATTR_ACTIONS_IF_GREATER);
  if (lessEqual == 0 || greater == 0) return refuseInvalid(a);
  const status = validateNested(lessEqual, depth);
  return status != 0 ? status : validateNested(greater, depth);
}

function checkPktLenAttrs(a: usize, attrs: usize, end: usize): i32 {
  let inner = attrs;
  for (; attrOk(inner, end); inner = attrNext(inner)) {
    const type = attrType(inner);
    if (type == 0 || type > CHECK_PKT_LEN_ATTR_MAX) return refuseInvalid(inner);
    if (type == OVS_CHECK_PKT_LEN_ATTR_PKT_LEN) {
      if (attrPayloadSize(inner) < 2) return refuseAction(inner, -ERANGE);
    } else if (!isList(inner)) return refuseAction(inner, -ERANGE);
  }
  return attrRest(inner, end) == 0 ? 0 : refuseInvalid(a);
}
