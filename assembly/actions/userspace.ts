/*
 * USERSPACE: a copy of the packet to a handler, as an OVS_PACKET_CMD_ACTION message.
 *
 * Before it: execute.ts. After it: upcall/action.ts, which writes the message. The worker that
 * owns the packet calls it; nothing is kept here.
 */
import { PACKET_CUT } from '../constants';
import { upcallAction } from '../upcall/action';

/** `attrs` is the whole list, which the message carries if the action asks for it. */
@inline
export function userspace(packet: usize, payload: usize, size: u32, attrs: usize, attrsSize: u32): void {
  upcallAction(packet, payload, size, attrs, attrsSize);
  store<u32>(packet, 0, PACKET_CUT);
}
