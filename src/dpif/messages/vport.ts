/*
 * Messages of the family ovs_vport. request.ts has what is common to all families.
 */
import * as K from '../../../assembly/netlink/openvswitch.ts';
import { dpIfindexOf } from '../../kernel/ovs-header.ts';
import { NLM_F_ECHO } from '../../netlink/constants.ts';
import type { GenericFamily } from '../../netlink/generic.ts';
import type { MessageCursor } from '../../netlink/message.ts';
import type { PortStats } from '../types.ts';
import {
  attributesOf,
  type Command,
  commandNumber,
  lacks,
  readLongs,
  readWords,
  request,
  writeWords,
} from './request.ts';

export interface VportRequest {
  command: Command;
  dpIfindex?: number;
  portNo?: number;
  name?: string;
  /** OVS_VPORT_TYPE_*. */
  type?: number;
  upcallPids?: readonly number[];
}

export interface VportMessage {
  dpIfindex: number;
  portNo: number;
  name: string;
  type: number;
  upcallPids: number[];
  stats: PortStats;
  /** Of the device behind it. */
  ifindex: number | undefined;
  /** Namespace of the device, when it is another one. */
  netnsId: number | undefined;
  /** The options of a tunnel, as the kernel has them: nested attributes. */
  options: Uint8Array | undefined;
}

export function vportRequest(family: GenericFamily, what: VportRequest): Uint8Array {
  return request(family, commandNumber(what.command), NLM_F_ECHO, what.dpIfindex ?? 0, (attributes) => {
    if (what.portNo !== undefined) attributes.u32(K.OVS_VPORT_ATTR_PORT_NO, what.portNo);
    if (what.type !== undefined) attributes.u32(K.OVS_VPORT_ATTR_TYPE, what.type);
    if (what.name !== undefined) attributes.string(K.OVS_VPORT_ATTR_NAME, what.name);
    if (what.upcallPids !== undefined) attributes.binary(K.OVS_VPORT_ATTR_UPCALL_PID, writeWords(what.upcallPids));
  });
}

/** Throws ERR_NETLINK_MALFORMED. */
export function readVport(message: MessageCursor, operation: string): VportMessage {
  const cursor = attributesOf(message);
  const found: Partial<VportMessage> = {};
  while (cursor.next()) {
    if (cursor.type === K.OVS_VPORT_ATTR_PORT_NO) found.portNo = cursor.u32();
    else if (cursor.type === K.OVS_VPORT_ATTR_TYPE) found.type = cursor.u32();
    else if (cursor.type === K.OVS_VPORT_ATTR_NAME) found.name = cursor.string();
    else if (cursor.type === K.OVS_VPORT_ATTR_UPCALL_PID) found.upcallPids = readWords(cursor.bytes());
    else if (cursor.type === K.OVS_VPORT_ATTR_STATS) found.stats = portStats(cursor.bytes());
    else if (cursor.type === K.OVS_VPORT_ATTR_IFINDEX) found.ifindex = cursor.u32();
    else if (cursor.type === K.OVS_VPORT_ATTR_NETNSID) found.netnsId = cursor.s32();
    else if (cursor.type === K.OVS_VPORT_ATTR_OPTIONS) found.options = cursor.bytes();
  }
  cursor.check();
  const { portNo, type, name } = found;
  if (portNo === undefined) throw lacks('OVS_VPORT_ATTR_PORT_NO', operation);
  if (type === undefined) throw lacks('OVS_VPORT_ATTR_TYPE', operation);
  if (name === undefined) throw lacks('OVS_VPORT_ATTR_NAME', operation);
  return {
    dpIfindex: dpIfindexOf(message),
    portNo,
    type,
    name,
    upcallPids: found.upcallPids ?? [],
    stats: found.stats ?? {},
    ifindex: found.ifindex,
    netnsId: found.netnsId,
    options: found.options,
  };
}

/** struct ovs_vport_stats. */
function portStats(bytes: Uint8Array): PortStats {
  const [rxPackets, txPackets, rxBytes, txBytes, rxErrors, txErrors, rxDropped, txDropped] = readLongs(bytes, 8);
  return { rxPackets, txPackets, rxBytes, txBytes, rxErrors, txErrors, rxDropped, txDropped };
}
