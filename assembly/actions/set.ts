/*
 * SET and SET_MASKED: one header of the packet, or one of its marks, gets new contents.
 *
 * Before it: validate.ts (the check) or execute.ts. After it: nsh.ts and the files set-*.ts, one function a kind
 * of header. The payload is one OVS_KEY_ATTR_* attribute; with a mask, the mask follows the value immediately, and the
 * value has no bit outside of it. The worker that owns the packet calls it; nothing is kept here.
 */
import {
  EINVAL,
  KEY_DP_HASH,
  KEY_ETH_TYPE,
  KEY_IP_FRAG,
  KEY_IP_PROTO,
  KEY_SKB_MARK,
  KEY_SKB_PRIORITY,
} from '../constants';
import { attrPayload, attrPayloadSize, attrTotalSize, attrType, NLA_HDRLEN } from '../netlink/attribute';
import {
  OVS_KEY_ATTR_ARP,
  OVS_KEY_ATTR_DP_HASH,
  OVS_KEY_ATTR_ETHERNET,
  OVS_KEY_ATTR_ICMP,
  OVS_KEY_ATTR_ICMPV6,
  OVS_KEY_ATTR_IPV4,
  OVS_KEY_ATTR_IPV6,
  OVS_KEY_ATTR_MPLS,
  OVS_KEY_ATTR_ND,
  OVS_KEY_ATTR_NSH,
  OVS_KEY_ATTR_PRIORITY,
  OVS_KEY_ATTR_SCTP,
  OVS_KEY_ATTR_SKB_MARK,
  OVS_KEY_ATTR_TCP,
  OVS_KEY_ATTR_TUNNEL,
  OVS_KEY_ATTR_UDP,
  OVS_KEY_ETHERNET_SIZEOF,
  OVS_KEY_IPV4_SIZEOF,
  OVS_KEY_IPV6_SIZEOF,
  OVS_KEY_MPLS_SIZEOF,
  OVS_KEY_PORTS_SIZEOF,
} from '../netlink/openvswitch';
import { ETH_P_IPV6_WIRE, ETH_P_IP_WIRE, isMplsType } from '../packet/ethernet';
import { IPV6_LABEL_WIRE } from '../packet/ipv6';
import { IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from '../packet/l4';
import { setNsh } from './nsh';
import { keyOf, markKeyCold, masked32 } from './packet';
import {
  OVS_IPV4_FRAG,
  OVS_IPV4_PROTO,
  OVS_IPV6_FRAG,
  OVS_IPV6_LABEL,
  OVS_IPV6_PROTO,
  setIpv4,
  setIpv6,
} from './set-ip';
import { setEthernet, setMpls } from './set-link';
import { setArp, setIcmp, setNd } from './set-neighbour';
import { setSctp, setTcp, setUdp } from './set-transport';
import { setTunnel } from './set-tunnel';

/** `key` is the flow's (0: unknown, what depends on it is not checked) and `mask` its mask (0: all of it matches). */
export function checkSet(payload: usize, size: u32, masked: bool, key: usize, mask: usize): i32 {
  // Exactly one attribute, with its padding.
  if (size < NLA_HDRLEN || <u32>load<u16>(payload) < NLA_HDRLEN) return -EINVAL;
  const attrSize = attrPayloadSize(payload);
  if (attrTotalSize(attrSize) != size) return -EINVAL;

  const valueSize = masked ? attrSize >> 1 : attrSize;
  const value = attrPayload(payload);
  const valueMask = masked ? value + valueSize : 0;
  if (masked && !isWithin(value, valueMask, valueSize)) return -EINVAL;
  switch (<i32>attrType(payload)) {
    case OVS_KEY_ATTR_PRIORITY:
    case OVS_KEY_ATTR_SKB_MARK:
      return valueSize == 4 ? 0 : -EINVAL;
    case OVS_KEY_ATTR_ETHERNET:
      return valueSize == OVS_KEY_ETHERNET_SIZEOF ? 0 : -EINVAL;
    case OVS_KEY_ATTR_IPV4:
      return valueSize == OVS_KEY_IPV4_SIZEOF && checkIpv4(value, valueMask, key, mask) ? 0 : -EINVAL;
    case OVS_KEY_ATTR_IPV6:
      return valueSize == OVS_KEY_IPV6_SIZEOF && checkIpv6(value, valueMask, key, mask) ? 0 : -EINVAL;
    case OVS_KEY_ATTR_TCP:
      return valueSize == OVS_KEY_PORTS_SIZEOF && checkPorts(IPPROTO_TCP, key, mask) ? 0 : -EINVAL;
    case OVS_KEY_ATTR_UDP:
      return valueSize == OVS_KEY_PORTS_SIZEOF && checkPorts(IPPROTO_UDP, key, mask) ? 0 : -EINVAL;
    case OVS_KEY_ATTR_SCTP:
      return valueSize == OVS_KEY_PORTS_SIZEOF && checkPorts(IPPROTO_SCTP, key, mask) ? 0 : -EINVAL;
    case OVS_KEY_ATTR_MPLS:
      return valueSize == OVS_KEY_MPLS_SIZEOF && (key == 0 || isMplsType(ethTypeOf(key, mask))) ? 0 : -EINVAL;
    default:
      return -EINVAL;
  }
}

/** No bit of the value lies outside of the mask. */
function isWithin(value: usize, mask: usize, size: u32): bool {
  for (let offset: u32 = 0; offset < size; offset++) {
    if (load<u8>(value + offset) & ~load<u8>(mask + offset)) return false;
  }
  return true;
}

@inline
function ethTypeOf(key: usize, mask: usize): u32 {
  const type = <u32>load<u16>(key, KEY_ETH_TYPE);
  return mask == 0 ? type : type & load<u16>(mask, KEY_ETH_TYPE);
}

@inline
function byteOf(key: usize, mask: usize, offset: u32): u32 {
  const byte = <u32>load<u8>(key + offset);
  return mask == 0 ? byte : byte & load<u8>(mask + offset);
}

/** Protocol and fragment type cannot be set: outside of the mask, or what the flow has. */
@inline
function checkFixed(value: usize, valueMask: usize, proto: usize, frag: usize, key: usize, mask: usize): bool {
  if (valueMask != 0) return load<u8>(valueMask + proto) == 0 && load<u8>(valueMask + frag) == 0;
  if (key == 0) return true;
  return (
    load<u8>(value + proto) == byteOf(key, mask, KEY_IP_PROTO) &&
    load<u8>(value + frag) == byteOf(key, mask, KEY_IP_FRAG)
  );
}

function checkIpv4(value: usize, valueMask: usize, key: usize, mask: usize): bool {
  if (key != 0 && ethTypeOf(key, mask) != ETH_P_IP_WIRE) return false;
  return checkFixed(value, valueMask, OVS_IPV4_PROTO, OVS_IPV4_FRAG, key, mask);
}

function checkIpv6(value: usize, valueMask: usize, key: usize, mask: usize): bool {
  if (key != 0 && ethTypeOf(key, mask) != ETH_P_IPV6_WIRE) return false;
  if (load<u32>(value + OVS_IPV6_LABEL) & ~IPV6_LABEL_WIRE) return false;
  if (valueMask != 0 && load<u32>(valueMask + OVS_IPV6_LABEL) & ~IPV6_LABEL_WIRE) return false;
  return checkFixed(value, valueMask, OVS_IPV6_PROTO, OVS_IPV6_FRAG, key, mask);
}

function checkPorts(proto: u32, key: usize, mask: usize): bool {
  if (key == 0) return true;
  const type = ethTypeOf(key, mask);
  return (type == ETH_P_IP_WIRE || type == ETH_P_IPV6_WIRE) && byteOf(key, mask, KEY_IP_PROTO) == proto;
}

/** False if this packet does not have what is to be set. */
export function set(packet: usize, payload: usize, masked: bool): bool {
  const value = attrPayload(payload);
  const mask = masked ? value + (attrPayloadSize(payload) >> 1) : 0;
  switch (<i32>attrType(payload)) {
    case OVS_KEY_ATTR_ETHERNET:
      return setEthernet(packet, value, mask);
    case OVS_KEY_ATTR_IPV4:
      return setIpv4(packet, value, mask);
    case OVS_KEY_ATTR_IPV6:
      return setIpv6(packet, value, mask);
    case OVS_KEY_ATTR_TCP:
      return setTcp(packet, value, mask);
    case OVS_KEY_ATTR_UDP:
      return setUdp(packet, value, mask);
    case OVS_KEY_ATTR_SCTP:
      return setSctp(packet, value, mask);
    case OVS_KEY_ATTR_MPLS:
      return setMpls(packet, value, mask);
    case OVS_KEY_ATTR_NSH:
      return setNsh(packet, value, attrPayloadSize(payload), masked);
    case OVS_KEY_ATTR_ARP:
      return setArp(packet, value, mask);
    case OVS_KEY_ATTR_ND:
      return setNd(packet, value, mask);
    case OVS_KEY_ATTR_ICMP:
    case OVS_KEY_ATTR_ICMPV6:
      return setIcmp(packet, value, mask);
    case OVS_KEY_ATTR_TUNNEL:
      return setTunnel(packet, value, attrPayloadSize(payload));
    case OVS_KEY_ATTR_PRIORITY:
      return setMark(packet, KEY_SKB_PRIORITY, value, mask);
    case OVS_KEY_ATTR_SKB_MARK:
      return setMark(packet, KEY_SKB_MARK, value, mask);
    case OVS_KEY_ATTR_DP_HASH:
      return setMark(packet, KEY_DP_HASH, value, mask);
    default:
      return false;
  }
}

/** Priority, mark and hash are not in the frame, only in the key. */
function setMark(packet: usize, keyOffset: u32, value: usize, mask: usize): bool {
  const field = keyOf(packet) + keyOffset;
  store<u32>(field, masked32(load<u32>(field), value, mask, 0));
  markKeyCold(packet);
  return true;
}
