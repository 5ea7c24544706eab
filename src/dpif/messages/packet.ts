/*
 * Messages of the family ovs_packet: EXECUTE down, MISS and ACTION up. request.ts has what is common to all families.
 */
import * as K from '../../../assembly/netlink/openvswitch.ts';
import { AttributeCursor } from '../../netlink/attributes.ts';
import type { MessageBuffer } from '../../netlink/buffer.ts';
import type { GenericFamily } from '../../netlink/generic.ts';
import { MessageCursor } from '../../netlink/message.ts';
import { flowUfid } from '../../odp/ufid.ts';
import type { DpifUpcall, Execute } from '../types.ts';
import { putKeyList } from './key.ts';
import { attributesOf, lacks, putRequest } from './request.ts';

/** A packet that came by no port. */
const PORT_NONE = 0xffffffff;

export function putExecute(buffer: MessageBuffer, family: GenericFamily, dpIfindex: number, op: Execute): void {
  putRequest(buffer, family, K.OVS_PACKET_CMD_EXECUTE, 0, dpIfindex, (attributes) => {
    attributes.binary(K.OVS_PACKET_ATTR_PACKET, op.packet);
    putKeyList(attributes, K.OVS_PACKET_ATTR_KEY, op.key);
    attributes.binary(K.OVS_PACKET_ATTR_ACTIONS, op.actions);
    if (op.probe) attributes.flag(K.OVS_PACKET_ATTR_PROBE);
    if (op.mru) attributes.u16(K.OVS_PACKET_ATTR_MRU, op.mru);
    if (op.hash) attributes.u64(K.OVS_PACKET_ATTR_HASH, op.hash);
  });
}

/** An upcall, its parts views of the message. Throws ERR_NETLINK_MALFORMED. */
export function readUpcall(bytes: Uint8Array): DpifUpcall {
  const message = new MessageCursor(bytes);
  message.next();
  message.check();
  const cursor = attributesOf(message);
  const found: Partial<DpifUpcall> = {};
  while (cursor.next()) {
    if (cursor.type === K.OVS_PACKET_ATTR_PACKET) found.packet = cursor.view();
    else if (cursor.type === K.OVS_PACKET_ATTR_KEY) found.key = cursor.view();
    else if (cursor.type === K.OVS_PACKET_ATTR_USERDATA) found.userdata = cursor.view();
    else if (cursor.type === K.OVS_PACKET_ATTR_ACTIONS) found.actions = cursor.view();
    else if (cursor.type === K.OVS_PACKET_ATTR_EGRESS_TUN_KEY) found.outTunKey = cursor.view();
    else if (cursor.type === K.OVS_PACKET_ATTR_MRU) found.mru = cursor.u16();
    else if (cursor.type === K.OVS_PACKET_ATTR_LEN) found.size = cursor.u32();
    else if (cursor.type === K.OVS_PACKET_ATTR_HASH) found.hash = cursor.u64();
  }
  cursor.check();
  const { packet, key } = found;
  if (packet === undefined) throw lacks('OVS_PACKET_ATTR_PACKET', 'upcall');
  if (key === undefined) throw lacks('OVS_PACKET_ATTR_KEY', 'upcall');
  const type = message.command === K.OVS_PACKET_CMD_ACTION ? 'action' : 'miss';
  return { ...found, type, packet, key, portNo: inPortOf(key), ufid: flowUfid(key) };
}

/** OVS_KEY_ATTR_IN_PORT, PORT_NONE when the key has none. */
function inPortOf(key: Uint8Array): number {
  const cursor = new AttributeCursor(key);
  while (cursor.next()) if (cursor.type === K.OVS_KEY_ATTR_IN_PORT) return cursor.u32();
  return PORT_NONE;
}
