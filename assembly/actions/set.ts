/*
 * SET and SET_MASKED: one header of the packet, or one of its marks, gets new contents.
 *
 * Before it: execute.ts. After it: nsh.ts and the files set-*.ts, one function a kind
 * of header. The payload is one OVS_KEY_ATTR_* attribute; with a mask, the mask follows the value immediately, and the
 * value has no bit outside of it. The worker that owns the packet calls it; nothing is kept here.
 */
import { KEY_DP_HASH, KEY_SKB_MARK, KEY_SKB_PRIORITY } from '../constants';
import { attrPayload, attrPayloadSize, attrType } from '../netlink/attribute';
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
} from '../netlink/openvswitch';
import { setNsh } from './nsh';
import { keyOf, markKeyCold, masked32 } from './packet';
import { setIpv4, setIpv6 } from './set-ip';
import { setEthernet, setMpls } from './set-link';
import { setArp, setIcmp, setNd } from './set-neighbour';
import { setSctp, setTcp, setUdp } from './set-transport';
import { setTunnel } from './set-tunnel';

/** False if this packet does not have what is to be set. What is set most goes the shortest way. */
@inline
export function set(packet: usize, payload: usize, masked: bool): bool {
  const value = attrPayload(payload);
  const mask = masked ? value + (attrPayloadSize(payload) >> 1) : 0;
  return attrType(payload) == OVS_KEY_ATTR_IPV4 ? setIpv4(packet, value, mask) : setOther(packet, payload, mask);
}

/** `mask` is the address of the mask behind the value, 0 none. */
function setOther(packet: usize, payload: usize, mask: usize): bool {
  const value = attrPayload(payload);
  switch (<i32>attrType(payload)) {
    case OVS_KEY_ATTR_ETHERNET:
      return setEthernet(packet, value, mask);
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
      return setNsh(packet, value, attrPayloadSize(payload), mask != 0);
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
