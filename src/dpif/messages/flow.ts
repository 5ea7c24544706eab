/*
 * Messages of the family ovs_flow, and what they say of a flow. request.ts has what is common to all families.
 *
 * Flags of a put, as the kernel reads them: NEW with NLM_F_CREATE makes a flow that must not be there, NEW without makes it or changes it, SET changes one that must
 * be there. Threads: whoever has the buffer.
 */
import * as K from '../../../assembly/netlink/openvswitch.ts';
import type { AttributeBuilder } from '../../netlink/attributes.ts';
import type { MessageBuffer } from '../../netlink/buffer.ts';
import { NLM_F_CREATE, NLM_F_ECHO } from '../../netlink/constants.ts';
import type { GenericFamily } from '../../netlink/generic.ts';
import type { MessageCursor } from '../../netlink/message.ts';
import {
  DPIF_FP_CREATE,
  DPIF_FP_MODIFY,
  DPIF_FP_PROBE,
  DPIF_FP_ZERO_STATS,
  type DpifFlow,
  type FlowAttrs,
  type FlowDel,
  type FlowGet,
  type FlowPut,
} from '../types.ts';
import { putKeyList } from './key.ts';
import { attributesOf, putRequest, request } from './request.ts';

const NO_ACTIONS = new Uint8Array(0);
const OMIT_ALL = K.OVS_UFID_F_OMIT_KEY | K.OVS_UFID_F_OMIT_MASK | K.OVS_UFID_F_OMIT_ACTIONS;
/** Of every flow that a message tells of. */
export const FLOW_ATTRS: FlowAttrs = { offloaded: false, dpLayer: 'ovs' };

export function putFlowPut(buffer: MessageBuffer, family: GenericFamily, dpIfindex: number, op: FlowPut): void {
  const command = op.flags & DPIF_FP_CREATE ? K.OVS_FLOW_CMD_NEW : K.OVS_FLOW_CMD_SET;
  const mustBeNew = (op.flags & (DPIF_FP_CREATE | DPIF_FP_MODIFY)) === DPIF_FP_CREATE;
  const flags = (mustBeNew ? NLM_F_CREATE : 0) | (op.wantStats ? NLM_F_ECHO : 0);
  putRequest(buffer, family, command, flags, dpIfindex, (attributes) => {
    if (op.ufid !== undefined) attributes.binary(K.OVS_FLOW_ATTR_UFID, op.ufid);
    putKeyList(attributes, K.OVS_FLOW_ATTR_KEY, op.key);
    if (op.mask !== undefined) putKeyList(attributes, K.OVS_FLOW_ATTR_MASK, op.mask);
    attributes.binary(K.OVS_FLOW_ATTR_ACTIONS, op.actions ?? NO_ACTIONS);
    if (op.flags & DPIF_FP_PROBE) attributes.flag(K.OVS_FLOW_ATTR_PROBE);
    if (op.flags & DPIF_FP_ZERO_STATS) attributes.flag(K.OVS_FLOW_ATTR_CLEAR);
  });
}

export function putFlowDel(buffer: MessageBuffer, family: GenericFamily, dpIfindex: number, op: FlowDel): void {
  putRequest(buffer, family, K.OVS_FLOW_CMD_DEL, op.wantStats ? NLM_F_ECHO : 0, dpIfindex, (attributes) => {
    putIdentity(attributes, op);
    if (op.terse) attributes.u32(K.OVS_FLOW_ATTR_UFID_FLAGS, OMIT_ALL);
  });
}

export function putFlowGet(buffer: MessageBuffer, family: GenericFamily, dpIfindex: number, op: FlowGet): void {
  putRequest(buffer, family, K.OVS_FLOW_CMD_GET, NLM_F_ECHO, dpIfindex, (attributes) => putIdentity(attributes, op));
}

function putIdentity(attributes: AttributeBuilder, op: FlowDel | FlowGet): void {
  if (op.ufid !== undefined) attributes.binary(K.OVS_FLOW_ATTR_UFID, op.ufid);
  if (op.key !== undefined) putKeyList(attributes, K.OVS_FLOW_ATTR_KEY, op.key);
}

/** All flows of the datapath. */
export function flowFlushRequest(family: GenericFamily, dpIfindex: number): Uint8Array {
  return request(family, K.OVS_FLOW_CMD_DEL, 0, dpIfindex, () => undefined);
}

export function flowDumpRequest(family: GenericFamily, dpIfindex: number, terse: boolean): Uint8Array {
  return request(family, K.OVS_FLOW_CMD_GET, 0, dpIfindex, (attributes) => {
    if (terse) attributes.u32(K.OVS_FLOW_ATTR_UFID_FLAGS, OMIT_ALL);
  });
}

/** A flow as a message tells of it; its parts are views of the message's bytes. Throws ERR_NETLINK_MALFORMED. */
export function readFlow(message: MessageCursor): DpifFlow {
  const cursor = attributesOf(message);
  const flow: Writable<DpifFlow> = { stats: { packets: 0n, bytes: 0n, usedMs: 0n, tcpFlags: 0 }, attrs: FLOW_ATTRS };
  while (cursor.next()) {
    switch (cursor.type) {
      case K.OVS_FLOW_ATTR_KEY:
        flow.key = cursor.view();
        break;
      case K.OVS_FLOW_ATTR_MASK:
        flow.mask = cursor.view();
        break;
      case K.OVS_FLOW_ATTR_ACTIONS:
        flow.actions = cursor.view();
        break;
      case K.OVS_FLOW_ATTR_UFID:
        flow.ufid = cursor.view();
        break;
      case K.OVS_FLOW_ATTR_STATS:
        if (cursor.payloadSize < K.OVS_FLOW_STATS_SIZEOF) break;
        flow.stats.packets = cursor.u64At(0);
        flow.stats.bytes = cursor.u64At(8);
        break;
      case K.OVS_FLOW_ATTR_USED:
        flow.stats.usedMs = cursor.u64();
        break;
      case K.OVS_FLOW_ATTR_TCP_FLAGS:
        flow.stats.tcpFlags = cursor.u8();
    }
  }
  cursor.check();
  return flow;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };
