/*
 * Messages of the family ovs_packet: EXECUTE down, MISS and ACTION up. request.ts has what is common to all families.
 */
import * as K from '../../../assembly/netlink/openvswitch.ts';
import type { MessageBuffer } from '../../netlink/buffer.ts';
import type { GenericFamily } from '../../netlink/generic.ts';
import type { Execute } from '../types.ts';
import { putRequest } from './request.ts';

export function putExecute(buffer: MessageBuffer, family: GenericFamily, dpIfindex: number, op: Execute): void {
  putRequest(buffer, family, K.OVS_PACKET_CMD_EXECUTE, 0, dpIfindex, (attributes) => {
    attributes.binary(K.OVS_PACKET_ATTR_PACKET, op.packet);
    attributes.binary(K.OVS_PACKET_ATTR_KEY, op.key);
    attributes.binary(K.OVS_PACKET_ATTR_ACTIONS, op.actions);
    if (op.probe) attributes.flag(K.OVS_PACKET_ATTR_PROBE);
    if (op.mru) attributes.u16(K.OVS_PACKET_ATTR_MRU, op.mru);
    if (op.hash) attributes.u64(K.OVS_PACKET_ATTR_HASH, op.hash);
  });
}
