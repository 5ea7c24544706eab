/*
 * setsockopt towards a server in user space, which sees nothing of a socket but its messages: netlink_sockopt of server/control.ts, from the client's
 * side. Before it: subscriptions at such a server. After it: the socket itself, since the option holds for the socket that sends the message.
 */
import { AttributeBuilder } from './attributes.ts';
import { MessageBuffer } from './buffer.ts';
import * as K from './constants.ts';
import type { Datagram } from './datagram.ts';
import { netlinkError } from './errors.ts';
import { askPeer } from './family-query.ts';
import { beginGenericMessage, endMessage, MessageCursor } from './message.ts';
import { SOCKOPT_ATTR_OPTION, SOCKOPT_ATTR_VALUE, SOCKOPT_CMD_SET, SOCKOPT_FAMILY } from './server/control.ts';
import type { NetlinkSocket } from './socket.ts';

const TIMEOUT_MS = 5_000;

/**
 * Sets options (NETLINK_ADD_MEMBERSHIP and the like, in pairs with their values) of a socket at the server that it is connected to. Resolves to
 * the datagrams that came between the answers; throws what the server refuses.
 */
export async function setPeerOptions(
  socket: NetlinkSocket,
  options: readonly (readonly [option: number, value: number])[],
): Promise<Datagram[]> {
  const { id } = await askPeer(SOCKOPT_FAMILY, socket.peer);
  const others: Datagram[] = [];
  for (const [option, value] of options) {
    const sequence = socket.send(optionRequest(id, option, value), { timeoutMs: TIMEOUT_MS });
    const errno = await answer(socket, sequence, others);
    if (errno !== 0) throw netlinkError(errno, `socket option ${option} with ${value}`);
  }
  return others;
}

function optionRequest(family: number, option: number, value: number): Uint8Array<ArrayBufferLike> {
  const buffer = new MessageBuffer();
  const start = beginGenericMessage(buffer, family, SOCKOPT_CMD_SET, 1, K.NLM_F_REQUEST | K.NLM_F_ACK);
  new AttributeBuilder(buffer).u32(SOCKOPT_ATTR_OPTION, option).u32(SOCKOPT_ATTR_VALUE, value).finish();
  endMessage(buffer, start);
  return buffer.bytes;
}

/** Waits for the acknowledgement of a request; what else comes goes into `others`. */
async function answer(socket: NetlinkSocket, sequence: number, others: Datagram[]): Promise<number> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  for (;;) {
    const datagram = socket.receive();
    if (datagram === undefined) {
      await socket.readable(signal);
      continue;
    }
    const cursor = new MessageCursor(datagram.bytes);
    if (cursor.next() && cursor.isError && cursor.seq === sequence) return cursor.errno();
    others.push(datagram);
  }
}
