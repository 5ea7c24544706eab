/*
 * SET and SET_MASKED: may this header of a packet of this flow get these contents?
 *
 * Before it: validate.ts. After it: set.ts, which trusts the answer. Reads the payload inside its bounds; keeps nothing.
 *
 * The payload is one OVS_KEY_ATTR_* attribute with its padding; with a mask, the mask follows the value immediately, and the
 * value has no bit outside of it. Protocol and fragment type cannot be set: they lie outside of the mask, or are what the flow
 * has. A tunnel is set as a whole.
 */
import { attrFind, attrOk, attrPayload, attrPayloadSize, attrTotalSize, attrType } from '../netlink/attribute';
import { FORM_KEY, keyAttrSize, SIZE_ANY } from '../netlink/key-get-attrs';
import { checkGeneveOptions, checkTunnel } from '../netlink/key-get-tunnel';
import {
  OVS_KEY_ATTR_CT_LABELS,
  OVS_KEY_ATTR_CT_MARK,
  OVS_KEY_ATTR_ETHERNET,
  OVS_KEY_ATTR_IPV4,
  OVS_KEY_ATTR_IPV6,
  OVS_KEY_ATTR_MPLS,
  OVS_KEY_ATTR_PRIORITY,
  OVS_KEY_ATTR_SCTP,
  OVS_KEY_ATTR_SKB_MARK,
  OVS_KEY_ATTR_TCP,
  OVS_KEY_ATTR_TUNNEL,
  OVS_KEY_ATTR_UDP,
  OVS_TUNNEL_KEY_ATTR_GENEVE_OPTS,
} from '../netlink/openvswitch';
import { ETH_P_IPV6_WIRE, ETH_P_IP_WIRE } from '../packet/ethernet';
import { IPV6_LABEL_WIRE } from '../packet/ipv6';
import { IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from '../packet/l4';
import { OVS_IPV4_FRAG, OVS_IPV4_PROTO, OVS_IPV6_FRAG, OVS_IPV6_LABEL, OVS_IPV6_PROTO } from './set-ip';
import { ethernet, flowFrag, flowProto, hasFlow, isMpls, isType, refuseInvalid } from './validate-state';

/** 0 or -EINVAL; `a` is the action. */
export function checkSet(a: usize, masked: bool): i32 {
  const inner = attrPayload(a);
  const size = attrPayloadSize(a);
  if (!attrOk(inner, inner + size) || attrTotalSize(attrPayloadSize(inner)) != size) return refuseInvalid(a);
  const valueSize = masked ? attrPayloadSize(inner) >> 1 : attrPayloadSize(inner);
  const type = attrType(inner);
  const wanted = keyAttrSize(type);
  if (wanted != valueSize && wanted != SIZE_ANY) return refuseInvalid(inner);
  const value = attrPayload(inner);
  const mask = masked ? value + valueSize : 0;
  if (masked && !isWithin(value, mask, valueSize)) return refuseInvalid(inner);
  if (type == OVS_KEY_ATTR_TUNNEL) return masked ? refuseInvalid(inner) : checkSetTunnel(inner);
  return checkField(type, value, valueSize, mask) ? 0 : refuseInvalid(inner);
}

function checkField(type: u32, value: usize, size: u32, mask: usize): bool {
  switch (<i32>type) {
    case OVS_KEY_ATTR_PRIORITY:
    case OVS_KEY_ATTR_SKB_MARK:
    case OVS_KEY_ATTR_CT_MARK:
    case OVS_KEY_ATTR_CT_LABELS:
      return true;
    case OVS_KEY_ATTR_ETHERNET:
      return ethernet;
    case OVS_KEY_ATTR_IPV4:
      return isType(ETH_P_IP_WIRE) && checkFixed(value, mask, OVS_IPV4_PROTO, OVS_IPV4_FRAG);
    case OVS_KEY_ATTR_IPV6:
      return (
        isType(ETH_P_IPV6_WIRE) && checkLabel(value, mask) && checkFixed(value, mask, OVS_IPV6_PROTO, OVS_IPV6_FRAG)
      );
    case OVS_KEY_ATTR_TCP:
      return checkProto(IPPROTO_TCP);
    case OVS_KEY_ATTR_UDP:
      return checkProto(IPPROTO_UDP);
    case OVS_KEY_ATTR_SCTP:
      return checkProto(IPPROTO_SCTP);
    case OVS_KEY_ATTR_MPLS:
      return size == 4 && isMpls();
    default:
      return false;
  }
}

/** No bit of the value lies outside of the mask. */
function isWithin(value: usize, mask: usize, size: u32): bool {
  for (let offset: u32 = 0; offset < size; offset++) {
    if (load<u8>(value + offset) & ~load<u8>(mask + offset)) return false;
  }
  return true;
}

/** Protocol and fragment type. */
function checkFixed(value: usize, mask: usize, proto: usize, frag: usize): bool {
  if (mask != 0) return load<u8>(mask + proto) == 0 && load<u8>(mask + frag) == 0;
  if (!hasFlow()) return true;
  return load<u8>(value + proto) == flowProto() && load<u8>(value + frag) == flowFrag();
}

function checkLabel(value: usize, mask: usize): bool {
  if (load<u32>(value + OVS_IPV6_LABEL) & ~IPV6_LABEL_WIRE) return false;
  return mask == 0 || !(load<u32>(mask + OVS_IPV6_LABEL) & ~IPV6_LABEL_WIRE);
}

function checkProto(proto: u32): bool {
  return (isType(ETH_P_IP_WIRE) || isType(ETH_P_IPV6_WIRE)) && (!hasFlow() || flowProto() == proto);
}

function checkSetTunnel(tunnel: usize): i32 {
  const attrs = attrPayload(tunnel);
  const size = attrPayloadSize(tunnel);
  const fault = checkTunnel(attrs, size, FORM_KEY, 0);
  if (fault != 0) return refuseInvalid(fault);
  const options = attrFind(attrs, size, OVS_TUNNEL_KEY_ATTR_GENEVE_OPTS);
  if (options == 0 || checkGeneveOptions(attrPayload(options), attrPayloadSize(options))) return 0;
  return refuseInvalid(options);
}
