/*
 * USERSPACE: a copy of the packet to a handler, as an OVS_PACKET_CMD_ACTION message.
 *
 * Before it: validate.ts (the check) or execute.ts. After it: upcall/action.ts, which writes the message. The worker that
 * owns the packet calls it; nothing is kept here.
 */
import { EINVAL, ERANGE, PACKET_CUT } from '../constants';
import { attrNext, attrOk, attrPayload, attrPayloadSize, attrType } from '../netlink/attribute';
import { OVS_USERSPACE_ATTR_EGRESS_TUN_PORT, OVS_USERSPACE_ATTR_PID } from '../netlink/openvswitch';
import { upcallAction } from '../upcall/action';

/**
 * A port id that is not 0 must be there; unknown attributes and bytes that are no attribute are left alone; of several of a
 * kind the last one counts.
 */
export function checkUserspace(payload: usize, size: u32): i32 {
  const end = payload + size;
  let pid: u32 = 0;
  for (let a = payload; attrOk(a, end); a = attrNext(a)) {
    const type = attrType(a);
    if (type != OVS_USERSPACE_ATTR_PID && type != OVS_USERSPACE_ATTR_EGRESS_TUN_PORT) continue;
    if (attrPayloadSize(a) < 4) return -ERANGE;
    if (type == OVS_USERSPACE_ATTR_PID) pid = load<u32>(attrPayload(a));
  }
  return pid != 0 ? 0 : -EINVAL;
}

/** `attrs` is the whole list, which the message carries if the action asks for it. */
@inline
export function userspace(packet: usize, payload: usize, size: u32, attrs: usize, attrsSize: u32): void {
  upcallAction(packet, payload, size, attrs, attrsSize);
  store<u32>(packet, 0, PACKET_CUT);
}
