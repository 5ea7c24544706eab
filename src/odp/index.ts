/*
 * Flow keys, masks and actions: public names of this folder, in the order of a packet's life: key, match, mask, actions.
 */

export { ActionBuilder, type ActionList, actions } from './action-builder.ts';
export { ACTION_NESTING_MAX } from './action-codec.ts';
export type { ActionNumbering } from './action-numbers.ts';
export type {
  Action,
  ActionOf,
  ActionType,
  AddMplsAction,
  CheckPktLenAction,
  CloneAction,
  CtAction,
  CtClearAction,
  CtNat,
  DecTtlAction,
  DropAction,
  HashAction,
  LbOutputAction,
  MeterAction,
  NatRange,
  OutputAction,
  PopEthAction,
  PopMplsAction,
  PopNshAction,
  PopVlanAction,
  PsampleAction,
  PushEthAction,
  PushMplsAction,
  PushNshAction,
  PushVlanAction,
  RecircAction,
  SampleAction,
  SetAction,
  SetMaskedAction,
  TruncAction,
  TunnelPopAction,
  TunnelPushAction,
  UnknownAction,
  UserspaceAction,
} from './action-types.ts';
export { decodeCookie, encodeCookie, type UserspaceCookie } from './action-userspace.ts';
export { type ActionCodecOptions, decodeActions, encodeActions } from './actions.ts';
export { type FormatActionsOptions, formatActions, type ParseActionsOptions, parseActions } from './actions-text.ts';
export {
  formatIpv4,
  formatIpv6,
  formatMac,
  parseIpv4,
  parseIpv6,
  parseMac,
  prefixMask,
} from './addresses.ts';
export {
  type FormatKeyOptions,
  formatKeyAttributes,
  type KeyText,
  type ParseKeyOptions,
  parseKeyAttributes,
} from './attributes-text.ts';
export { OdpAttributeError, OdpFieldError, OdpSyntaxError } from './errors.ts';
export { decodeKey, encodeKey } from './key.ts';
export { encodeKeyAttributes, encodeMatchAttributes } from './key-attributes.ts';
export { decodeKeyAttributes, type KeyFitness, type KeyReport } from './key-decode.ts';
export { parseKey, parseMatch } from './key-parse.ts';
export { formatKey, formatMatch } from './key-text.ts';
export { type ExactMaskOptions, exactMask, fieldsMask, type MaskFieldName } from './masks.ts';
export { decodeMatch, encodeMatch, type FlatMatch, maskedKey } from './match.ts';
export { MatchBuilder, match } from './match-builder.ts';
export { decodeMatchAttributes } from './match-decode.ts';
export { type ActionGroup, normalizeActions } from './normalize-actions.ts';
export type { SetField, SetMaskedField } from './set-fields.ts';
export {
  decodeTunnelHeader,
  encodeTunnelHeader,
  type OuterTunnel,
  TUNNEL_TYPES,
  type TunnelHeader,
} from './tunnel-header.ts';
export {
  type ArpKey,
  type CtTupleKey,
  type ErspanKey,
  ETH_TYPE_LLC,
  type EthKey,
  type FlowFields,
  type FlowKey,
  type FlowMatch,
  type Fragment,
  type GeneveOption,
  type IcmpKey,
  type Ipv4Key,
  type Ipv6Key,
  type Masked,
  type MplsEntry,
  type NdExtKey,
  type NdKey,
  type NshKey,
  type NumberMatch,
  type PacketTypeKey,
  type PortsKey,
  type TunnelKey,
  type VlanKey,
  type VlanMatch,
} from './types.ts';
export { flowUfid, formatUfid, parseUfid, UFID_SIZE } from './ufid.ts';
