/*
 * What the validator knows of the packet at one point of an action list: what the flow matches, as changed by the actions so
 * far.
 *
 * Used by validate.ts and its family. The state is a few WASM globals, of which every thread has its own; one validation at a
 * time. A nested list begins with a copy of the state and gives it back unchanged, except that it begins with the flow's own
 * link layer, as in the kernel.
 */
import {
  EINVAL,
  EOPNOTSUPP,
  KEY_ETH_TYPE,
  KEY_IP_FRAG,
  KEY_IP_PROTO,
  KEY_MPLS_COUNT,
  KEY_NSH_NP,
  KEY_PACKET_TYPE,
  KEY_VLAN_TCI,
} from '../constants';
import { isMplsType } from '../packet/ethernet';

/** In place of an Ethernet type: the list is checked without a flow, and whatever depends on it is let through. */
const TYPE_ANY: u32 = 0xffffffff;

/** In wire order; TYPE_ANY without a flow, 0 when it cannot be known (behind the last label). */
export let ethType: u32 = 0;
/** Of the outermost tag, in wire order; 0 without one. */
export let vlanTci: u32 = 0;
/** Labels, as far as known; wraps below 0 as the kernel's. */
export let labelCount: u32 = 0;
/** The packet has an Ethernet header. */
export let ethernet: bool = false;

let flowKey: usize = 0;
let flowMask: usize = 0;
let fault: usize = 0;
let unsupported: usize = 0;

/** The attribute that the last refused list was refused for; 0 for the list as a whole. */
export function actionFault(): usize {
  return fault;
}

/** Notes the attribute at fault; the innermost one is the first to be noted. */
export function refuseAction(attr: usize, error: i32): i32 {
  if (fault == 0) fault = attr;
  return error;
}

@inline
export function refuseInvalid(attr: usize): i32 {
  return refuseAction(attr, -EINVAL);
}

/** Notes an action that is in order and that this datapath does not have. */
export function noteUnsupported(attr: usize): void {
  if (unsupported == 0) unsupported = attr;
}

/** For a list that is in order: 0, or -EOPNOTSUPP if something was noted. */
export function refuseUnsupported(): i32 {
  return unsupported == 0 ? 0 : refuseAction(unsupported, -EOPNOTSUPP);
}

export function beginState(key: usize, mask: usize): void {
  fault = 0;
  unsupported = 0;
  flowKey = key;
  flowMask = mask;
  ethType = key == 0 ? TYPE_ANY : fieldU16(KEY_ETH_TYPE);
  vlanTci = key == 0 ? 0 : fieldU16(KEY_VLAN_TCI);
  labelCount = key != 0 && isMplsType(ethType) ? fieldU8(KEY_MPLS_COUNT) : 0;
  beginLink();
}

/** A nested list's link layer. */
@inline
export function beginLink(): void {
  ethernet = flowKey == 0 || load<u32>(flowKey, KEY_PACKET_TYPE) == 0;
}

@inline
export function setState(type: u32, tci: u32, labels: u32, hasEthernet: bool): void {
  ethType = type;
  vlanTci = tci;
  labelCount = labels;
  ethernet = hasEthernet;
}

@inline
export function setType(type: u32, labels: u32): void {
  ethType = type;
  labelCount = labels;
}

@inline
export function setTci(tci: u32): void {
  vlanTci = tci;
}

@inline
export function setEthernet(there: bool): void {
  ethernet = there;
}

/** The Ethernet type is this one, or the list is checked without a flow. */
@inline
export function isType(type: u32): bool {
  return ethType == type || ethType == TYPE_ANY;
}

@inline
export function isMpls(): bool {
  return isMplsType(ethType) || ethType == TYPE_ANY;
}

@inline
export function hasFlow(): bool {
  return flowKey != 0;
}

@inline
function fieldU16(offset: u32): u32 {
  const value = <u32>load<u16>(flowKey + offset);
  return flowMask == 0 ? value : value & load<u16>(flowMask + offset);
}

@inline
function fieldU8(offset: u32): u32 {
  const value = <u32>load<u8>(flowKey + offset);
  return flowMask == 0 ? value : value & load<u8>(flowMask + offset);
}

/** What the flow matches, zero where it does not care. Only with a flow. */
/** Also without regard to the actions so far; 0 without a flow. */
export function flowType(): u32 {
  return flowKey == 0 ? 0 : fieldU16(KEY_ETH_TYPE);
}

export function flowProto(): u32 {
  return fieldU8(KEY_IP_PROTO);
}

export function flowFrag(): u32 {
  return fieldU8(KEY_IP_FRAG);
}

export function flowNshNext(): u32 {
  return fieldU8(KEY_NSH_NP);
}
