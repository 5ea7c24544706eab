/*
 * struct ovs_header, what messages of the ovs_* families have behind the genlmsghdr: the ifindex of the datapath they are about. Before it: message
 * cursors. After it: the dpif's messages, and the router of the wasm transport. Threads: any; it reads what it is given.
 */
import { GENL_HDRLEN, NLMSG_HDRLEN } from '../netlink/constants.ts';
import type { MessageCursor } from '../netlink/message.ts';

/** Bytes of struct ovs_header. */
export const OVS_HEADER_SIZE = 4;

/** dp_ifindex of a message that is long enough to have one. */
export function dpIfindexOf(message: MessageCursor): number {
  const at = message.offset + NLMSG_HDRLEN + GENL_HDRLEN;
  const { bytes } = message;
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
}
