/*
 * An upcall message read back, apart from the datapath's writer: nlmsghdr, genlmsghdr, ovs_header and the attributes as linux/netlink.h,
 * linux/genetlink.h and linux/openvswitch.h have them.
 */
import { type Attribute, parseAttributes } from './flow-attributes.ts';

export interface UpcallMessage {
  type: number;
  flags: number;
  seq: number;
  pid: number;
  command: number;
  version: number;
  dpIfindex: number;
  /** OVS_PACKET_ATTR_* in the order found. */
  types: number[];
  packet: Uint8Array | undefined;
  /** Attributes of the key. */
  key: Uint8Array | undefined;
  userdata: Uint8Array | undefined;
  actions: Uint8Array | undefined;
  /** Size of the packet before it was cut; only when it was. */
  fullSize: number | undefined;
}

const HEADERS_SIZE = 24;

/** Throws when the message is not exactly what its headers say. */
export function readUpcall(message: Uint8Array): UpcallMessage {
  const view = Buffer.from(message);
  if (view.readUInt32LE(0) !== view.length)
    throw new Error(`nlmsg_len ${view.readUInt32LE(0)} of ${view.length} bytes`);
  if (view.readUInt16LE(18) !== 0) throw new Error('the reserved word of genlmsghdr is not zero');
  // the last attribute is not padded, as the kernel leaves it
  const padded = new Uint8Array(HEADERS_SIZE + Math.ceil((message.length - HEADERS_SIZE) / 4) * 4);
  padded.set(message);
  const attributes = parseAttributes(padded.subarray(HEADERS_SIZE));
  const find = (type: number): Attribute | undefined => attributes.find((attribute) => attribute.type === type);
  const length = find(10)?.payload;
  return {
    type: view.readUInt16LE(4),
    flags: view.readUInt16LE(6),
    seq: view.readUInt32LE(8),
    pid: view.readUInt32LE(12),
    command: view[16],
    version: view[17],
    dpIfindex: view.readInt32LE(20),
    types: attributes.map(({ type }) => type),
    packet: find(1)?.payload,
    key: find(2)?.payload,
    userdata: find(4)?.payload,
    actions: find(3)?.payload,
    fullSize: length === undefined ? undefined : Buffer.from(length).readUInt32LE(0),
  };
}
