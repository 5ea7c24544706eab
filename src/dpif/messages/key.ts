/*
 * Keys and masks on their way into a message. Before it: flow.ts, packet.ts. After it: the datapath, which reads them as the kernel does.
 *
 * Userspace says of a packet without an Ethernet header that its PACKET_TYPE is such and such; the kernel knows it by the missing ETHERNET, takes the type
 * from ETHERTYPE, and refuses an attribute that it does not know. So PACKET_TYPE stays here, as Open vSwitch keeps it from the kernel.
 * Ownership: lists are read where they lie. Threads: whoever has the message.
 */
import * as K from '../../../assembly/netlink/openvswitch.ts';
import { AttributeBuilder, AttributeCursor } from '../../netlink/attributes.ts';
import { MessageBuffer } from '../../netlink/buffer.ts';

/** Of OVS_KEY_ATTR_PACKET_TYPE: a namespace and a type of 16 bits each, most significant byte first. */
const PACKET_TYPE_SIZE = 4;
const ID_AT = 2;

/** The attribute `type` of a message with a list of key or mask attributes in it; what is malformed goes as it is, for the datapath to refuse. */
export function putKeyList(attributes: AttributeBuilder, type: number, list: Uint8Array): void {
  const id = packetTypeId(list);
  attributes.binary(type, id === undefined ? list : withoutPacketType(list, id));
}

/** The type under the packet type of a list, undefined when there is none. */
function packetTypeId(list: Uint8Array): Uint8Array | undefined {
  const cursor = new AttributeCursor(list);
  while (cursor.next())
    if (cursor.type === K.OVS_KEY_ATTR_PACKET_TYPE && cursor.payloadSize === PACKET_TYPE_SIZE)
      return cursor.view().subarray(ID_AT);
  return undefined;
}

/** The list again; without ETHERNET, its ETHERTYPE is the packet type's. */
function withoutPacketType(list: Uint8Array, id: Uint8Array): Uint8Array {
  const present = new Set<number>();
  const cursor = new AttributeCursor(list);
  while (cursor.next()) present.add(cursor.type);
  if (cursor.error !== undefined) return list;
  const isTyped = !present.has(K.OVS_KEY_ATTR_ETHERNET);
  const buffer = new MessageBuffer();
  const kept = new AttributeBuilder(buffer);
  const all = new AttributeCursor(list);
  while (all.next()) {
    if (all.type === K.OVS_KEY_ATTR_PACKET_TYPE) continue;
    kept.binary(all.type, isTyped && all.type === K.OVS_KEY_ATTR_ETHERTYPE ? id : all.view());
  }
  if (isTyped && !present.has(K.OVS_KEY_ATTR_ETHERTYPE)) kept.binary(K.OVS_KEY_ATTR_ETHERTYPE, id);
  kept.finish();
  return buffer.bytes;
}
