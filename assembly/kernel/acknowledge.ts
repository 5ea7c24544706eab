/*
 * NLMSG_ERROR: the acknowledgement or the refusal of a request, with what the extended acknowledgement says; as the kernel's netlink_ack.
 *
 * Before it: dispatch.ts. After it: the requester. A refusal holds the whole request unless the socket asked for capped ones; an acknowledgement its
 * header alone. What there is to say is set while a request is handled (`say`, `blame`) and told once at its end.
 */
import { SOCKET_CAP_ACK, SOCKET_FLAGS, SOCKET_PLAIN_ACK } from '../constants';
import { putU32 } from '../netlink/attribute';
import { addressMessage, messageSeq, messageSize, NLMSG_HDRLEN } from '../netlink/header';
import { closeFrame, frameLimit, messageAt } from './frames';
import { portId, socket } from './request';
import { putRule } from './rule-attribute';
import { putText } from './texts';

const NLMSG_ERROR: u32 = 2;
const NLM_F_CAPPED: u32 = 0x100;
const NLM_F_ACK_TLVS: u32 = 0x200;
const NLMSGERR_ATTR_OFFS: u32 = 2;
/** nlmsghdr and errno. */
const ERROR_HDRLEN: u32 = NLMSG_HDRLEN + 4;

/** Number of the text (texts.ts), the attribute at fault, and the row of the policy that it breaks; 0 none. */
let text: u32 = 0;
let fault: usize = 0;
let rule: usize = 0;

/** Nothing is said of the request that begins. */
export function forget(): void {
  text = 0;
  fault = 0;
  rule = 0;
}

/** What the kernel would say in words; the last one counts. */
export function say(number: u32): void {
  text = number;
}

/** The attribute that is at fault, and the row of the policy that it breaks, 0 none. */
export function blame(attribute: usize, row: usize): void {
  fault = attribute;
  rule = row;
}

/** Writes the frame that answers the message at `request` with `errno`, 0 or negative. Nothing when there is no room. */
export function acknowledge(request: usize, errno: i32): void {
  const flags = load<u32>(socket, SOCKET_FLAGS);
  const capped = errno == 0 || (flags & SOCKET_CAP_ACK) != 0;
  const copied = capped ? NLMSG_HDRLEN : messageSize(request);
  const message = messageAt();
  if (message + ERROR_HDRLEN + copied + 4 > frameLimit) return;
  let at = message + ERROR_HDRLEN;
  memory.copy(at, request, copied);
  const padded = (at + copied + 3) & ~3;
  memory.fill(at + copied, 0, padded - at - copied);
  at = padded;
  const end = (flags & SOCKET_PLAIN_ACK) != 0 ? at : explain(at, request, errno);
  if (end == 0) return;
  const extended: u32 = end != at ? NLM_F_ACK_TLVS : 0;
  store<u32>(message, <u32>(end - message));
  store<u32>(message, NLMSG_ERROR | (((capped ? NLM_F_CAPPED : 0) | extended) << 16), 4);
  addressMessage(message, messageSeq(request), portId);
  store<i32>(message, errno, NLMSG_HDRLEN);
  closeFrame(end, 0, portId);
}

function explain(at: usize, request: usize, errno: i32): usize {
  let end = at;
  if (text != 0) end = putText(end, frameLimit, text);
  if (errno == 0 || fault == 0) return end;
  end = putU32(end, frameLimit, NLMSGERR_ATTR_OFFS, <u32>(fault - request));
  return rule == 0 ? end : putRule(end, frameLimit, rule);
}
