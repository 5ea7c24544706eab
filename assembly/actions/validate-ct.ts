/*
 * CT: is it what the kernel would take for a connection tracking action? And if so, it is refused all the same: there is no
 * connection tracking here.
 *
 * Before it: validate.ts. After it: nothing. Reads the payload inside its bounds; keeps nothing.
 *
 * A malformed action gets the kernel's errno. A list with a well-formed one gets -EOPNOTSUPP at its end: a kernel built without connection tracking
 * says 524 there, a number of its own that leaks (ENOTSUPP) and that no errno table has.
 */
import { ERANGE } from '../constants';
import { attrNext, attrOk, attrPayload, attrPayloadSize, attrRest, attrType } from '../netlink/attribute';
import { isZero } from '../netlink/key-get-attrs';
import {
  OVS_CT_ATTR_COMMIT,
  OVS_CT_ATTR_EVENTMASK,
  OVS_CT_ATTR_FORCE_COMMIT,
  OVS_CT_ATTR_HELPER,
  OVS_CT_ATTR_LABELS,
  OVS_CT_ATTR_MARK,
  OVS_CT_ATTR_NAT,
  OVS_CT_ATTR_TIMEOUT,
  OVS_CT_ATTR_ZONE,
  OVS_NAT_ATTR_DST,
  OVS_NAT_ATTR_IP_MAX,
  OVS_NAT_ATTR_IP_MIN,
  OVS_NAT_ATTR_PROTO_MAX,
  OVS_NAT_ATTR_PROTO_MIN,
  OVS_NAT_ATTR_PROTO_RANDOM,
  OVS_NAT_ATTR_SRC,
} from '../netlink/openvswitch';
import { ETH_P_IPV6_WIRE, ETH_P_IP_WIRE } from '../packet/ethernet';
import { flowType, noteUnsupported, refuseAction, refuseInvalid } from './validate-state';

/** Values and their masks lie one behind the other. */
const MARK_MASK: usize = 4;
const LABELS_MASK: usize = 16;
const LABELS_SIZE: u32 = 16;
const NAMES_SIZE_MAX: u32 = 16;
const TIMEOUT_SIZE_MAX: u32 = 32;
const NAT_SIZE_MAX: u32 = 96;

// What the attributes of one action said so far; NAT may come more than once and adds up.
let commit: bool = false;
let natKind: bool = false;
let natRange: bool = false;

export function checkCt(a: usize): i32 {
  const family = flowType();
  if (family != ETH_P_IP_WIRE && family != ETH_P_IPV6_WIRE) return refuseInvalid(a);
  const end = attrPayload(a) + attrPayloadSize(a);
  let changes = false;
  commit = natKind = natRange = false;
  let inner = attrPayload(a);
  for (; attrOk(inner, end); inner = attrNext(inner)) {
    const type = attrType(inner);
    if (!checkCtAttr(inner, type)) return refuseInvalid(inner);
    if (type == OVS_CT_ATTR_COMMIT || type == OVS_CT_ATTR_FORCE_COMMIT) commit = true;
    if (type == OVS_CT_ATTR_MARK || type == OVS_CT_ATTR_LABELS) changes = true;
    if (type == OVS_CT_ATTR_NAT) {
      const error = checkNat(inner, family == ETH_P_IPV6_WIRE);
      if (error != 0) return error;
    }
  }
  if (attrRest(inner, end) != 0 || (changes && !commit)) return refuseInvalid(a);
  noteUnsupported(a);
  return 0;
}

function checkCtAttr(inner: usize, type: u32): bool {
  const value = attrPayload(inner);
  const size = attrPayloadSize(inner);
  switch (<i32>type) {
    case OVS_CT_ATTR_COMMIT:
    case OVS_CT_ATTR_FORCE_COMMIT:
      return size == 0;
    case OVS_CT_ATTR_ZONE:
      return size == 2;
    case OVS_CT_ATTR_EVENTMASK:
      return size == 4;
    case OVS_CT_ATTR_MARK:
      return size == 2 * 4 && load<u32>(value, MARK_MASK) != 0;
    case OVS_CT_ATTR_LABELS:
      return size == 2 * LABELS_SIZE && !isZero(value + LABELS_MASK, LABELS_SIZE);
    case OVS_CT_ATTR_HELPER:
      return size <= NAMES_SIZE_MAX && isText(value, size);
    case OVS_CT_ATTR_TIMEOUT:
      return size <= TIMEOUT_SIZE_MAX && isText(value, size);
    case OVS_CT_ATTR_NAT:
      return size <= NAT_SIZE_MAX;
    default:
      return false;
  }
}

/** There is a zero byte in it. */
function isText(value: usize, size: u32): bool {
  for (let at: u32 = 0; at < size; at++) if (load<u8>(value + at) == 0) return true;
  return false;
}

function checkNat(a: usize, ipv6: bool): i32 {
  const end = attrPayload(a) + attrPayloadSize(a);
  let inner = attrPayload(a);
  for (; attrOk(inner, end); inner = attrNext(inner)) {
    const type = attrType(inner);
    if (type == 0 || type > <u32>OVS_NAT_ATTR_PROTO_RANDOM || attrPayloadSize(inner) != natAttrSize(type, ipv6)) {
      return refuseInvalid(inner);
    }
    if (type != OVS_NAT_ATTR_SRC && type != OVS_NAT_ATTR_DST) natRange = true;
    else if (natKind) return refuseAction(inner, -ERANGE);
    else natKind = true;
  }
  if (attrRest(inner, end) != 0 || (natKind ? !commit : natRange)) return refuseInvalid(a);
  natKind = true;
  return 0;
}

function natAttrSize(type: u32, ipv6: bool): u32 {
  if (type == OVS_NAT_ATTR_IP_MIN || type == OVS_NAT_ATTR_IP_MAX) return ipv6 ? 16 : 4;
  return type == OVS_NAT_ATTR_PROTO_MIN || type == OVS_NAT_ATTR_PROTO_MAX ? 2 : 0;
}
