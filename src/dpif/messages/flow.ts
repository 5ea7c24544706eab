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
  type FlowDel,
  type FlowGet,
  type FlowPut,
  type FlowStats,
} from '../types.ts';
import { attributesOf, putRequest, request } from './request.ts';

const NO_ACTIONS = new Uint8Array(0);
const OMIT_ALL = K.OVS_UFID_F_OMIT_KEY | K.OVS_UFID_F_OMIT_MASK | K.OVS_UFID_F_OMIT_ACTIONS;
const ATTRS = { offloaded: false, dpLayer: 'ovs' } as const;
const NO_STATS: FlowStats = { packets: 0n, bytes: 0n, usedMs: 0n, tcpFlags: 0 };

export function putFlowPut(buffer: MessageBuffer, family: GenericFamily, dpIfindex: number, op: FlowPut): void {
  const command = op.flags & DPIF_FP_CREATE ? K.OVS_FLOW_CMD_NEW : K.OVS_FLOW_CMD_SET;
  const mustBeNew = (op.flags & (DPIF_FP_CREATE | DPIF_FP_MODIFY)) === DPIF_FP_CREATE;
  const flags = (mustBeNew ? NLM_F_CREATE : 0) | (op.wantStats ? NLM_F_ECHO : 0);
  putRequest(buffer, family, command, flags, dpIfindex, (attributes) => {
    if (op.ufid !== undefined) attributes.binary(K.OVS_FLOW_ATTR_UFID, op.ufid);
    attributes.binary(K.OVS_FLOW_ATTR_KEY, op.key);
    if (op.mask !== undefined) attributes.binary(K.OVS_FLOW_ATTR_MASK, op.mask);
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
  if (op.key !== undefined) attributes.binary(K.OVS_FLOW_ATTR_KEY, op.key);
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
  let key: Uint8Array | undefined;
  let mask: Uint8Array | undefined;
  let actions: Uint8Array | undefined;
  let ufid: Uint8Array | undefined;
  let stats: FlowStats | undefined;
  while (cursor.next()) {
    const { type } = cursor;
    if (type === K.OVS_FLOW_ATTR_KEY) key = cursor.view();
    else if (type === K.OVS_FLOW_ATTR_MASK) mask = cursor.view();
    else if (type === K.OVS_FLOW_ATTR_ACTIONS) actions = cursor.view();
    else if (type === K.OVS_FLOW_ATTR_UFID) ufid = cursor.view();
    else if (type === K.OVS_FLOW_ATTR_STATS || type === K.OVS_FLOW_ATTR_USED || type === K.OVS_FLOW_ATTR_TCP_FLAGS) {
      stats ??= { ...NO_STATS };
      if (type === K.OVS_FLOW_ATTR_STATS) readCounters(cursor.view(), stats);
      else if (type === K.OVS_FLOW_ATTR_USED) stats.usedMs = cursor.u64();
      else stats.tcpFlags = cursor.u8();
    }
  }
  cursor.check();
  return {
    ...(key && { key }),
    ...(mask && { mask }),
    ...(actions && { actions }),
    ...(ufid && { ufid }),
    stats: stats ?? { ...NO_STATS },
    attrs: ATTRS,
  };
}

/** struct ovs_flow_stats, which stands on any multiple of four. */
function readCounters(bytes: Uint8Array, stats: FlowStats): void {
  if (bytes.length < K.OVS_FLOW_STATS_SIZEOF) return;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  stats.packets = view.getBigUint64(0, true);
  stats.bytes = view.getBigUint64(8, true);
}
