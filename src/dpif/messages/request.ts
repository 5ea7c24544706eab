/*
 * Messages of the ovs_* families: nlmsghdr, genlmsghdr, struct ovs_header (the datapath's ifindex), attributes. Before it: the files beside it, one a
 * family. After it: a transport. Ownership: a request is a new one; a reply is read where it lies.
 */
import * as K from '../../../assembly/netlink/openvswitch.ts';
import { DatapathError } from '../../errors.ts';
import { OVS_HEADER_SIZE } from '../../kernel/ovs-header.ts';
import { AttributeBuilder, type AttributeCursor } from '../../netlink/attributes.ts';
import { MessageBuffer } from '../../netlink/buffer.ts';
import { GENL_HDRLEN, NLM_F_REQUEST, NLMSG_HDRLEN } from '../../netlink/constants.ts';
import type { GenericFamily } from '../../netlink/generic.ts';
import { beginGenericMessage, endMessage, MessageCursor } from '../../netlink/message.ts';

/** Bytes before the first attribute. */
export const HEADERS_SIZE = NLMSG_HDRLEN + GENL_HDRLEN + OVS_HEADER_SIZE;

export type Command = 'new' | 'del' | 'get' | 'set';

/** OVS_DP_CMD_*, OVS_VPORT_CMD_* and OVS_FLOW_CMD_* have the same numbers. */
const COMMANDS: Readonly<Record<Command, number>> = {
  new: K.OVS_DP_CMD_NEW,
  del: K.OVS_DP_CMD_DEL,
  get: K.OVS_DP_CMD_GET,
  set: K.OVS_DP_CMD_SET,
};

export function commandNumber(command: Command): number {
  return COMMANDS[command];
}

/** Writes a request behind the content of `buffer`. */
export function putRequest(
  buffer: MessageBuffer,
  family: GenericFamily,
  command: number,
  flags: number,
  dpIfindex: number,
  write: (attributes: AttributeBuilder) => void,
): void {
  const start = beginGenericMessage(buffer, family.id, command, family.version, flags | NLM_F_REQUEST);
  buffer.setU32(buffer.put(OVS_HEADER_SIZE), dpIfindex);
  const attributes = new AttributeBuilder(buffer);
  write(attributes);
  attributes.finish();
  endMessage(buffer, start);
}

/** One request. */
export function request(
  family: GenericFamily,
  command: number,
  flags: number,
  dpIfindex: number,
  write: (attributes: AttributeBuilder) => void,
): Uint8Array {
  const buffer = new MessageBuffer();
  putRequest(buffer, family, command, flags, dpIfindex, write);
  return buffer.bytes;
}

export function attributesOf(message: MessageCursor): AttributeCursor {
  return message.attributes(GENL_HDRLEN + OVS_HEADER_SIZE);
}

/** The first message of a reply that has to have one. */
export function firstReply(reply: Uint8Array, operation: string): MessageCursor {
  const cursor = new MessageCursor(reply);
  if (cursor.next()) return cursor;
  throw new DatapathError('ERR_NETLINK_MALFORMED', `${operation}: the answer is empty`, { operation });
}

/** The error of a reply that lacks what it must have. */
export function lacks(attribute: string, operation: string): DatapathError {
  return new DatapathError('ERR_NETLINK_MALFORMED', `${operation}: the answer has no ${attribute}`, { operation });
}

/** An array of u32. */
export function readWords(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length >>> 2 }, (_, index) => view.getUint32(index * 4, true));
}

export function writeWords(words: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(words.length * 4);
  const view = new DataView(bytes.buffer);
  words.forEach((word, index) => {
    view.setUint32(index * 4, word, true);
  });
  return bytes;
}

/** A structure of u64; what a shorter one lacks is 0. */
export function readLongs(bytes: Uint8Array, count: number): bigint[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: count }, (_, i) => (bytes.length >= i * 8 + 8 ? view.getBigUint64(i * 8, true) : 0n));
}
