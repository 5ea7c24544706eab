/*
 * Actions that put headers before the network header or take them away: VLAN tags, MPLS labels, NSH, the Ethernet header.
 *
 * Before it: validate.ts. After it: nothing. Each check asks whether the packet of this point of the list can have it done,
 * and leaves behind what the packet is like then. Sizes of fixed structures were checked before; keeps nothing.
 *
 * Behind the last label that is known of, the Ethernet type is unknown, and so nothing that depends on it may follow.
 */
import { attrOk, attrPayload, attrPayloadSize, attrTotalSize, attrType } from '../netlink/attribute';
import { checkNsh, FORM_PUSH } from '../netlink/key-get-nsh';
import { VLAN_CFI_WIRE } from '../netlink/key-get-vlan';
import { OVS_KEY_ATTR_NSH } from '../netlink/openvswitch';
import {
  ETH_P_ARP_WIRE,
  ETH_P_IPV6_WIRE,
  ETH_P_IP_WIRE,
  ETH_P_MPLS_UC_WIRE,
  ETH_P_NSH_WIRE,
  ETH_P_RARP_WIRE,
  isMplsType,
  isVlanType,
} from '../packet/ethernet';
import {
  ethernet,
  ethType,
  flowNshNext,
  hasFlow,
  isMpls,
  isType,
  labelCount,
  refuseInvalid,
  setEthernet,
  setTci,
  setType,
  vlanTci,
} from './validate-state';

/** ETH_P_TEB: an Ethernet frame inside of something. */
const ETH_P_TEB_WIRE: u32 = 0x5865;
/** Offsets in ovs_action_push_vlan, ovs_action_push_mpls and ovs_action_add_mpls. */
const PUSH_VLAN_TCI: usize = 2;
const MPLS_ETHERTYPE: usize = 4;
const ADD_MPLS_FLAGS: usize = 6;
/** OVS_MPLS_L3_TUNNEL_FLAG_MASK: the label goes behind the Ethernet header. */
const ADD_MPLS_L3: u32 = 1;
/** Next protocols of NSH (TUN_P_*). */
const TUN_P_ETHERNET: u32 = 3;
const TUN_P_MPLS_UC: u32 = 5;

export function checkPushVlan(a: usize): i32 {
  const tag = attrPayload(a);
  const tci = <u32>load<u16>(tag, PUSH_VLAN_TCI);
  if (!ethernet || !isVlanType(load<u16>(tag)) || !(tci & VLAN_CFI_WIRE)) return refuseInvalid(a);
  setTci(tci);
  return 0;
}

export function checkPopVlan(a: usize): i32 {
  if (!ethernet) return refuseInvalid(a);
  setTci(0);
  return 0;
}

/** Labels go before what is known to begin right behind the Ethernet header. */
function takesLabel(): bool {
  if (vlanTci & VLAN_CFI_WIRE) return false;
  if (isType(ETH_P_IP_WIRE) || isType(ETH_P_IPV6_WIRE)) return true;
  return isType(ETH_P_ARP_WIRE) || isType(ETH_P_RARP_WIRE) || isMpls();
}

export function checkPushMpls(a: usize): i32 {
  const type = <u32>load<u16>(attrPayload(a), MPLS_ETHERTYPE);
  if (!isMplsType(type) || !takesLabel()) return refuseInvalid(a);
  setType(type, labelCount + 1);
  return 0;
}

export function checkAddMpls(a: usize): i32 {
  const type = <u32>load<u16>(attrPayload(a), MPLS_ETHERTYPE);
  if (!isMplsType(type)) return refuseInvalid(a);
  if (load<u16>(attrPayload(a), ADD_MPLS_FLAGS) & ADD_MPLS_L3) {
    if (!takesLabel()) return refuseInvalid(a);
    setType(type, labelCount + 1);
  } else {
    setType(type, ethernet ? 1 : labelCount + 1);
    setEthernet(false);
  }
  return 0;
}

export function checkPopMpls(a: usize): i32 {
  const type = <u32>load<u16>(attrPayload(a));
  if (vlanTci & VLAN_CFI_WIRE || !isMpls() || (type == ETH_P_TEB_WIRE && ethernet)) return refuseInvalid(a);
  const labels = labelCount - 1;
  setType(isMplsType(type) && labels != 0 ? type : 0, labels);
  return 0;
}

export function checkPushEth(a: usize): i32 {
  if (ethernet) return refuseInvalid(a);
  setEthernet(true);
  return 0;
}

export function checkPopEth(a: usize): i32 {
  if (!ethernet || vlanTci & VLAN_CFI_WIRE) return refuseInvalid(a);
  setEthernet(false);
  return 0;
}

export function checkPushNsh(a: usize): i32 {
  const carried =
    ethernet ||
    isType(ETH_P_IP_WIRE) ||
    isType(ETH_P_IPV6_WIRE) ||
    ethType == ETH_P_TEB_WIRE ||
    ethType == ETH_P_NSH_WIRE ||
    ethType == ETH_P_MPLS_UC_WIRE;
  if (!carried) return refuseInvalid(a);
  setEthernet(false);
  // The payload is one attribute with its padding.
  const nsh = attrPayload(a);
  const size = attrPayloadSize(a);
  if (!attrOk(nsh, nsh + size) || attrTotalSize(attrPayloadSize(nsh)) != size || attrType(nsh) != OVS_KEY_ATTR_NSH) {
    return refuseInvalid(a);
  }
  const fault = checkNsh(attrPayload(nsh), attrPayloadSize(nsh), FORM_PUSH);
  return fault == 0 ? 0 : refuseInvalid(fault);
}

export function checkPopNsh(a: usize): i32 {
  if (!isType(ETH_P_NSH_WIRE)) return refuseInvalid(a);
  if (!hasFlow()) return 0;
  const next = flowNshNext();
  if (next == 0 || next > TUN_P_MPLS_UC) return refuseInvalid(a);
  setEthernet(next == TUN_P_ETHERNET);
  return 0;
}
