/*
 * Actions: typed form to and from Netlink attributes (OVS_ACTION_ATTR_*).
 *
 * Actions come from handlers, from text (actions-text.ts) or from a dump, and go with a flow into the datapath. Attributes that
 * have no typed form here are kept as they are, so that nothing is lost on the way through. Payload bytes in typed actions
 * are copies.
 */

import { ACTIONS_SIZE_MAX } from '../../assembly/constants.ts';
import {
  type Attribute,
  attributeBytes,
  checkSize,
  concatBytes,
  readU32,
  u32Bytes,
  walkAttributes,
} from './attributes.ts';
import { decodeTci, encodeTci } from './bitfields.ts';
import { OdpAttributeError, OdpFieldError } from './errors.ts';
import { ETH_P_8021Q, readBe16, writeBe16 } from './layers.ts';
import {
  decodeSet,
  decodeSetMasked,
  encodeSet,
  encodeSetMasked,
  type SetField,
  type SetMaskedField,
} from './set-fields.ts';

/** OVS_ACTION_ATTR_* of the actions that have a typed form. */
export const ACTION_ATTR = {
  OUTPUT: 1,
  USERSPACE: 2,
  SET: 3,
  PUSH_VLAN: 4,
  POP_VLAN: 5,
  SET_MASKED: 11,
  TRUNC: 13,
  DROP: 24,
} as const;

/** OVS_USERSPACE_ATTR_* */
const USERSPACE_ATTR = { PID: 1, USERDATA: 2, EGRESS_TUN_PORT: 3, ACTIONS: 4 } as const;

/** Sends the packet to a port of the datapath. */
export interface OutputAction {
  type: 'output';
  port: number;
}

/** Drops the packet; a list without outputs drops as well. `reason` is a number of enum xlate_error, 0 none. */
export interface DropAction {
  type: 'drop';
  reason?: number;
}

/** Sends the packet up. `pid` is the Netlink port id, 0 the datapath's own choice. */
export interface UserspaceAction {
  type: 'userspace';
  pid: number;
  userdata?: Uint8Array;
  /** Send the flow's actions along. */
  actions?: boolean;
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
  vid: number;
  pcp: number;
  /** Default true; the kernel refuses false. */
  cfi?: boolean;
}

export interface PopVlanAction {
  type: 'popVlan';
}

/** Cuts what the next output sends to `maxSize` bytes. */
export interface TruncAction {
  type: 'trunc';
  maxSize: number;
}

/** An attribute without a typed form. */
export interface UnknownAction {
  type: 'unknown';
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
  | TruncAction
  | UnknownAction;

/** Attributes of an action list, each padded to four bytes. Throws OdpFieldError on a value out of range or over 65,531 bytes. */
export function encodeActions(actions: readonly Action[]): Uint8Array {
  const bytes = concatBytes(actions.map(encodeAction));
  if (bytes.length > ACTIONS_SIZE_MAX)
    throw new OdpFieldError('actions', `${bytes.length} bytes, at most ${ACTIONS_SIZE_MAX}`);
  return bytes;
}

function encodeAction(action: Action): Uint8Array {
  switch (action.type) {
    case 'output':
      return attributeBytes(ACTION_ATTR.OUTPUT, u32(action.port, 'output.port'));
    case 'drop':
      return attributeBytes(ACTION_ATTR.DROP, u32(action.reason ?? 0, 'drop.reason'));
    case 'userspace':
      return attributeBytes(ACTION_ATTR.USERSPACE, encodeUserspace(action));
    case 'set':
      return attributeBytes(ACTION_ATTR.SET, encodeSet(action.field));
    case 'setMasked':
      return attributeBytes(ACTION_ATTR.SET_MASKED, encodeSetMasked(action.field));
    case 'pushVlan':
      return attributeBytes(ACTION_ATTR.PUSH_VLAN, encodePushVlan(action));
    case 'popVlan':
      return attributeBytes(ACTION_ATTR.POP_VLAN, new Uint8Array(0));
    case 'trunc':
      return attributeBytes(ACTION_ATTR.TRUNC, u32(action.maxSize, 'trunc.maxSize'));
    case 'unknown':
      return attributeBytes(
        integer(action.number, 0x3fff, 'unknown.number'),
        checkPayload(action.payload, 'unknown.payload'),
      );
    default:
      throw new OdpFieldError('type', `${JSON.stringify((action as { type: unknown }).type)} is no action`);
  }
}

function encodeUserspace(action: UserspaceAction): Uint8Array {
  const parts = [attributeBytes(USERSPACE_ATTR.PID, u32(action.pid, 'userspace.pid'))];
  if (action.userdata !== undefined) {
    parts.push(attributeBytes(USERSPACE_ATTR.USERDATA, checkPayload(action.userdata, 'userspace.userdata')));
  }
  if (action.tunnelOutPort !== undefined) {
    parts.push(attributeBytes(USERSPACE_ATTR.EGRESS_TUN_PORT, u32(action.tunnelOutPort, 'userspace.tunnelOutPort')));
  }
  if (action.actions) parts.push(attributeBytes(USERSPACE_ATTR.ACTIONS, new Uint8Array(0)));
  return checkPayload(concatBytes(parts), 'userspace');
}

function encodePushVlan(action: PushVlanAction): Uint8Array {
  const payload = new Uint8Array(4);
  writeBe16(payload, 0, integer(action.tpid ?? ETH_P_8021Q, 0xffff, 'pushVlan.tpid'));
  const { vid, pcp, cfi } = action;
  if (vid === undefined || pcp === undefined) throw new OdpFieldError('pushVlan', 'vid and pcp are needed');
  writeBe16(payload, 2, encodeTci({ vid, pcp, cfi }, 'pushVlan').value);
  return payload;
}

function integer(value: number, max: number, field: string): number {
  if (Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw new OdpFieldError(field, `${value} is not an integer from 0 to ${max}`);
}

function u32(value: number, field: string): Uint8Array {
  return u32Bytes(integer(value, 0xffffffff, field));
}

function checkPayload(payload: Uint8Array, field: string): Uint8Array {
  if (payload.length > ACTIONS_SIZE_MAX)
    throw new OdpFieldError(field, `${payload.length} bytes, at most ${ACTIONS_SIZE_MAX}`);
  return payload;
}

/** Typed form of an action list. Throws OdpAttributeError where an attribute is cut or has a wrong size. */
export function decodeActions(bytes: Uint8Array): Action[] {
  return Array.from(walkAttributes(bytes, 'OVS_ACTION_ATTR'), decodeAction);
}

function decodeAction(attribute: Attribute): Action {
  const { number, payload } = attribute;
  switch (number) {
    case ACTION_ATTR.OUTPUT:
      return { type: 'output', port: readPayload(attribute, 'OUTPUT') };
    case ACTION_ATTR.DROP:
      return { type: 'drop', reason: readPayload(attribute, 'DROP') };
    case ACTION_ATTR.USERSPACE:
      return decodeUserspace(attribute);
    case ACTION_ATTR.SET: {
      const field = decodeSet(attribute);
      return field === undefined ? { type: 'unknown', number, payload: payload.slice() } : { type: 'set', field };
    }
    case ACTION_ATTR.SET_MASKED: {
      const field = decodeSetMasked(attribute);
      return field === undefined ? { type: 'unknown', number, payload: payload.slice() } : { type: 'setMasked', field };
    }
    case ACTION_ATTR.PUSH_VLAN:
      checkSize(attribute, 'PUSH_VLAN', 4);
      return { type: 'pushVlan', tpid: readBe16(payload, 0), ...decodeTci(readBe16(payload, 2)) };
    case ACTION_ATTR.POP_VLAN:
      checkSize(attribute, 'POP_VLAN', 0);
      return { type: 'popVlan' };
    case ACTION_ATTR.TRUNC:
      return { type: 'trunc', maxSize: readPayload(attribute, 'TRUNC') };
    default:
      return { type: 'unknown', number, payload: payload.slice() };
  }
}

function readPayload(attribute: Attribute, name: string): number {
  checkSize(attribute, name, 4);
  return readU32(attribute.payload);
}

function decodeUserspace(attribute: Attribute): UserspaceAction {
  let pid: number | undefined;
  const rest: Omit<UserspaceAction, 'type' | 'pid'> = {};
  for (const entry of walkAttributes(attribute.payload, 'OVS_USERSPACE_ATTR', attribute.offset + 4)) {
    switch (entry.number) {
      case USERSPACE_ATTR.PID:
        pid = readPayload(entry, 'USERSPACE PID');
        break;
      case USERSPACE_ATTR.USERDATA:
        rest.userdata = entry.payload.slice();
        break;
      case USERSPACE_ATTR.EGRESS_TUN_PORT:
        rest.tunnelOutPort = readPayload(entry, 'USERSPACE EGRESS_TUN_PORT');
        break;
      case USERSPACE_ATTR.ACTIONS:
        checkSize(entry, 'USERSPACE ACTIONS', 0);
        rest.actions = true;
        break;
      default:
        throw new OdpAttributeError(`OVS_USERSPACE_ATTR ${entry.number}`, entry.offset, 'unknown');
    }
  }
  if (pid === undefined) throw new OdpAttributeError('USERSPACE PID', attribute.offset, 'missing');
  return { type: 'userspace', pid, ...rest };
}
