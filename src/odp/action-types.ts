/*
 * Typed form of actions: one interface for each OVS_ACTION_ATTR_*, joined in the union Action by `type`.
 *
 * Numbers are in host order whatever their place on the wire, sizes are in bytes, addresses are text, and the lists that an action
 * holds are lists of the same union. Handlers, the builder (action-builder.ts), text (actions-text.ts) and attributes (actions.ts) meet here.
 */

import type { SetField, SetMaskedField } from './set-fields.ts';
import type { MplsEntry } from './types.ts';

/** Sends the packet to a port of the datapath. */
export interface OutputAction {
  type: 'output';
  port: number;
}

/** Drops the packet; a list without outputs drops as well. `reason` is a number of Open vSwitch's enum xlate_error, 0 none. */
export interface DropAction {
  type: 'drop';
  reason?: number;
}

/** Sends the packet up. `pid` is the Netlink port id, 0 the datapath's own choice. */
export interface UserspaceAction {
  type: 'userspace';
  pid: number;
  /** Comes back with the packet; encodeCookie makes what Open vSwitch itself puts there. */
  userdata?: Uint8Array;
  /** Send the flow's actions along. */
  actions?: boolean;
  /** Tunnel port whose egress tunnel key is sent along. */
  tunnelOutPort?: number;
}

export interface SetAction {
  type: 'set';
  field: SetField;
}

/** Sets the bits of a header that the mask has; `field` is written as in FlowMatch. */
export interface SetMaskedAction {
  type: 'setMasked';
  field: SetMaskedField;
}

export interface PushVlanAction {
  type: 'pushVlan';
  /** Default 0x8100. */
  tpid?: number;
  /** 0-4095 */
  vid: number;
  /** 0-7 */
  pcp: number;
  /** Default true; the kernel refuses false. */
  cfi?: boolean;
}

export interface PopVlanAction {
  type: 'popVlan';
}

/** Puts a label stack entry behind the Ethernet header; `ethType` is 0x8847 or 0x8848. */
export interface PushMplsAction extends MplsEntry {
  type: 'pushMpls';
  ethType: number;
}

/** Takes the outermost entry away; `ethType` is the type of what is behind it. */
export interface PopMplsAction {
  type: 'popMpls';
  ethType: number;
}

/** Puts a label stack entry at the start of the packet, or in front of the network header when `flags` has bit 0. */
export interface AddMplsAction extends MplsEntry {
  type: 'addMpls';
  ethType: number;
  /** Default 0; 1 is OVS_MPLS_L3_TUNNEL_FLAG_MASK. */
  flags?: number;
}

/** Puts an Ethernet header in front of a packet that has none; its type is the packet's own. */
export interface PushEthAction {
  type: 'pushEth';
  /** MAC text. */
  src: string;
  dst: string;
}

export interface PopEthAction {
  type: 'popEth';
}

/** Network service header (RFC 8300). Metadata type 1 has `context`, four 32-bit words; type 2 has `md2`, whole TLVs. */
export interface PushNshAction {
  type: 'pushNsh';
  /** 2 bits: O and unassigned. */
  flags: number;
  /** 6 bits */
  ttl: number;
  mdtype: number;
  /** Next protocol: 1 IPv4, 2 IPv6, 3 Ethernet, 4 NSH, 5 MPLS. */
  np: number;
  /** Service path id, 24 bits. */
  spi: number;
  /** Service index. */
  si: number;
  context?: readonly [number, number, number, number];
  /** At most 244 bytes, a multiple of 4. */
  md2?: Uint8Array;
}

export interface PopNshAction {
  type: 'popNsh';
}

/** Executes `actions` on a copy of some of the packets. */
export interface SampleAction {
  type: 'sample';
  /** 0 (never) to 0xffffffff (always). */
  probability: number;
  actions: readonly Action[];
}

/** Executes `actions` on a copy of the packet. */
export interface CloneAction {
  type: 'clone';
  actions: readonly Action[];
}

/** Looks the packet up once more, as a packet with this recirc_id. */
export interface RecircAction {
  type: 'recirc';
  id: number;
}

/** Computes dp_hash. `symL4` is known to userspace only; other algorithms are numbers. */
export interface HashAction {
  type: 'hash';
  algorithm: 'l4' | 'symL4' | number;
  basis: number;
}

/** Where address translation maps to: an address or a range of them, then a port or a range of those. */
export interface NatRange {
  /** IPv4 or IPv6 text. */
  min: string;
  /** Absent: the one address. */
  max?: string;
}

/** Address translation of a connection. Without `direction` (OVS_CT_ATTR_NAT alone) what the connection has is applied. */
export interface CtNat {
  direction?: 'src' | 'dst';
  address?: NatRange;
  /** Host order. */
  port?: { min: number; max?: number };
  persistent?: boolean;
  hash?: boolean;
  random?: boolean;
}

/** Sends the packet through connection tracking. */
export interface CtAction {
  type: 'ct';
  commit?: boolean;
  /** Also replaces a connection that runs in the other direction. */
  forceCommit?: boolean;
  zone?: number;
  mark?: { value: number; mask: number };
  /** 128 bits. */
  label?: { value: bigint; mask: bigint };
  /** Name of an application layer gateway, at most 15 bytes. */
  helper?: string;
  /** Name of a timeout policy, at most 31 bytes. */
  timeout?: string;
  /** Events to notify: 1 << enum ip_conntrack_events. */
  eventMask?: number;
  nat?: CtNat;
}

export interface CtClearAction {
  type: 'ctClear';
}

/** Cuts what the next output sends to `maxSize` bytes. */
export interface TruncAction {
  type: 'trunc';
  maxSize: number;
}

export interface MeterAction {
  type: 'meter';
  id: number;
}

/** Executes one list or the other by the size of the packet from its Ethernet header on. */
export interface CheckPktLenAction {
  type: 'checkPktLen';
  size: number;
  greater: readonly Action[];
  lessEqual: readonly Action[];
}

/** Decrements the TTL or hop limit; a packet whose TTL is 0 or 1 gets `actions` instead of what follows. */
export interface DecTtlAction {
  type: 'decTtl';
  actions: readonly Action[];
}

/** Hands a copy to the kernel's psample group; a trunc before it cuts the copy. */
export interface PsampleAction {
  type: 'psample';
  group: number;
  /** At most 16 bytes. */
  cookie?: Uint8Array;
}

/** Puts a whole outer header in front of the packet and sends it on. Userspace datapaths only. */
export interface TunnelPushAction {
  type: 'tunnelPush';
  /** Port of the tunnel. */
  tunnelPort: number;
  /** Port that the packet leaves by. */
  outPort: number;
  /** OVS_VPORT_TYPE_* of the tunnel. */
  tunnelType: number;
  /** From the Ethernet header on, at most 512 bytes; encodeTunnelHeader makes it from typed headers. */
  header: Uint8Array;
}

/** Takes the outer header off and looks the packet up as one of this tunnel port. Userspace datapaths only. */
export interface TunnelPopAction {
  type: 'tunnelPop';
  port: number;
}

/** Sends the packet to the member of a bond that its L4 hash says. Userspace datapaths only. */
export interface LbOutputAction {
  type: 'lbOutput';
  bondId: number;
}

/** An attribute without a typed form, or one whose bytes the typed form would not bring back. */
export interface UnknownAction {
  type: 'unknown';
  /** OVS_ACTION_ATTR_* */
  number: number;
  payload: Uint8Array;
}

export type Action =
  | OutputAction
  | DropAction
  | UserspaceAction
  | SetAction
  | SetMaskedAction
  | PushVlanAction
  | PopVlanAction
  | PushMplsAction
  | PopMplsAction
  | AddMplsAction
  | PushEthAction
  | PopEthAction
  | PushNshAction
  | PopNshAction
  | SampleAction
  | CloneAction
  | RecircAction
  | HashAction
  | CtAction
  | CtClearAction
  | TruncAction
  | MeterAction
  | CheckPktLenAction
  | DecTtlAction
  | PsampleAction
  | TunnelPushAction
  | TunnelPopAction
  | LbOutputAction
  | UnknownAction;

export type ActionType = Action['type'];
export type ActionOf<T extends ActionType> = Extract<Action, { type: T }>;
