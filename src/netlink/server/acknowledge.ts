/*
 * NLMSG_ERROR, the acknowledgement and the refusal of a request, and NLMSG_OVERRUN. Before it: the dispatcher. After it: the peer's socket.
 *
 * Laid out as by the kernel's netlink_ack: nlmsghdr, errno, the request (its header alone with NLM_F_CAPPED or errno 0), then with
 * NLM_F_ACK_TLVS what the extended acknowledgement says. The kernel knows whether the socket asked for capped or extended acknowledgements; a
 * server in user space is told by a message (control.ts). Until then errors hold the whole request, as from the kernel, and extended
 * acknowledgements are sent: whoever does not look at NLM_F_ACK_TLVS does not look behind the request.
 */
import { AttributeBuilder } from '../attributes.ts';
import { MessageBuffer } from '../buffer.ts';
import * as K from '../constants.ts';
import { beginMessage, endMessage } from '../message.ts';
import type { PolicyRow } from '../policy.ts';
import { writePolicyRule } from './policy-attribute.ts';

/** Why a request is refused; errno 0: it is not. */
export interface Outcome {
  readonly errno: number;
  readonly message?: string | undefined;
  /** Of the attribute at fault, from the start of the request's nlmsghdr. */
  readonly offset?: number | undefined;
  /** Type of an attribute that is missing, and the offset of the nest that it should be in. */
  readonly missingType?: number | undefined;
  readonly missingNest?: number | undefined;
  /** The rule of the attribute at fault. */
  readonly rule?: PolicyRow | undefined;
}

export interface AckOptions {
  cappedAck: boolean;
  extendedAck: boolean;
}

/** The answer to `request` (a whole message), addressed to the socket that sent it. */
export function acknowledgement(
  request: Uint8Array,
  portId: number,
  outcome: Outcome,
  options: AckOptions,
): Uint8Array<ArrayBufferLike> {
  const capped = options.cappedAck || outcome.errno === 0;
  const buffer = new MessageBuffer();
  const start = beginMessage(buffer, K.NLMSG_ERROR, capped ? K.NLM_F_CAPPED : 0);
  const view = new DataView(request.buffer, request.byteOffset);
  address(buffer, start, view.getUint32(K.NLMSG_SEQ, true), portId);
  buffer.setU32(buffer.put(4), -outcome.errno);
  buffer.append(capped ? request.subarray(0, K.NLMSG_HDRLEN) : request);
  buffer.align();
  if (options.extendedAck) writeExtendedAck(buffer, start, outcome);
  endMessage(buffer, start);
  return buffer.bytes;
}

/** Adds what there is to say to an NLMSG_ERROR or NLMSG_DONE that was begun at `start`. */
export function writeExtendedAck(buffer: MessageBuffer, start: number, outcome: Outcome): void {
  const before = buffer.size;
  const attributes = new AttributeBuilder(buffer);
  const { errno, message, offset, missingType, missingNest, rule } = outcome;
  if (message !== undefined) attributes.string(K.NLMSGERR_ATTR_MSG, message);
  if (errno !== 0 && offset !== undefined) attributes.u32(K.NLMSGERR_ATTR_OFFS, offset);
  if (errno !== 0 && rule !== undefined) writePolicyRule(attributes, rule);
  if (errno !== 0 && missingType !== undefined) attributes.u32(K.NLMSGERR_ATTR_MISS_TYPE, missingType);
  if (errno !== 0 && missingNest !== undefined) attributes.u32(K.NLMSGERR_ATTR_MISS_NEST, missingNest);
  attributes.finish();
  if (buffer.size > before) buffer.setU16(start + K.NLMSG_FLAGS, buffer.u16(start + K.NLMSG_FLAGS) | K.NLM_F_ACK_TLVS);
}

/** Tells a socket that `count` messages for it (notifications, or requests of its own) were dropped: NLMSG_OVERRUN with a u32. */
export function overrunMessage(portId: number, count: number): Uint8Array<ArrayBufferLike> {
  const buffer = new MessageBuffer();
  const start = beginMessage(buffer, K.NLMSG_OVERRUN, 0);
  address(buffer, start, 0, portId);
  buffer.setU32(buffer.put(4), count);
  endMessage(buffer, start);
  return buffer.bytes;
}

/** Writes sequence number and port id into the message begun at `start`. */
export function address(buffer: MessageBuffer, start: number, seq: number, portId: number): void {
  buffer.setU32(start + K.NLMSG_SEQ, seq);
  buffer.setU32(start + K.NLMSG_PID, portId);
}
