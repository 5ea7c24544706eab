/*
 * The upcall of a USERSPACE action: OVS_PACKET_CMD_ACTION with the action's own USERDATA, and the flow's actions when it asks for them.
 * Before it: actions/userspace.ts. After it: upcall/produce.ts. Threads: the worker that executes.
 */
import { attrNext, attrOk, attrPayload, attrType } from '../netlink/attribute';
import {
  OVS_PACKET_CMD_ACTION,
  OVS_USERSPACE_ATTR_ACTIONS,
  OVS_USERSPACE_ATTR_PID,
  OVS_USERSPACE_ATTR_USERDATA,
} from '../netlink/openvswitch';
import { portIdOfAction } from './port-id';
import { produce, ringBell } from './produce';

/** `userspace`: payload of the action, validated. `actions`: the whole list that is being executed. */
export function upcallAction(packet: usize, userspace: usize, size: u32, actions: usize, actionsSize: u32): void {
  let portId: u32 = 0;
  let userdata: usize = 0;
  let withActions = false;
  const end = userspace + size;
  for (let a = userspace; attrOk(a, end); a = attrNext(a)) {
    const type = attrType(a);
    if (type == OVS_USERSPACE_ATTR_PID) portId = load<u32>(attrPayload(a));
    else if (type == OVS_USERSPACE_ATTR_USERDATA) userdata = a;
    else if (type == OVS_USERSPACE_ATTR_ACTIONS) withActions = true;
  }
  produce(packet, OVS_PACKET_CMD_ACTION, portIdOfAction(portId), userdata, withActions ? actions : 0, actionsSize);
  ringBell();
}
