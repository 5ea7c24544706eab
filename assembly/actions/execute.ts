/*
 * The action interpreter: does to one packet what its flow's list says, in order.
 *
 * Before it: the pipeline, for lists that are not just one OUTPUT. After it: io/transmit.ts and upcall/action.ts, which copy
 * what they are given, so a packet may go out, be changed and go out again.
 *
 * Concepts. The list was validated for the flow; what cannot be known before the packet is there (does it have this header?
 * is there headroom?) is asked here, and an action that cannot be applied ends the list: DROP_ACTION. A list that sent the
 * packet nowhere, or says DROP, is counted as DROP_FLOW. Each action is a function of its family's file.
 *
 * Ownership and threads. The packet, its descriptor and its key belong to the worker that calls this, until it returns.
 */
import { DROP_ACTION, DROP_FLOW } from '../constants';
import { countDrop } from '../flow/counters';
import { attrNext, attrPayload, attrPayloadSize, attrType } from '../netlink/attribute';
import {
  OVS_ACTION_ATTR_DROP,
  OVS_ACTION_ATTR_OUTPUT,
  OVS_ACTION_ATTR_POP_VLAN,
  OVS_ACTION_ATTR_PUSH_VLAN,
  OVS_ACTION_ATTR_SET,
  OVS_ACTION_ATTR_SET_MASKED,
  OVS_ACTION_ATTR_TRUNC,
  OVS_ACTION_ATTR_USERSPACE,
} from '../netlink/openvswitch';
import { output, trunc } from './output';
import { set } from './set';
import { userspace } from './userspace';
import { popVlan, pushVlan } from './vlan';

/** Runs the list of `size` bytes at `attrs`, which validateActions accepted. PACKET_CUT must be 0. */
export function execute(packet: usize, attrs: usize, size: u32): void {
  const end = attrs + size;
  let sent = false;
  for (let a = attrs; a < end; a = attrNext(a)) {
    const payload = attrPayload(a);
    let applied = true;
    switch (<i32>attrType(a)) {
      case OVS_ACTION_ATTR_OUTPUT:
        output(packet, payload);
        sent = true;
        break;
      case OVS_ACTION_ATTR_USERSPACE:
        userspace(packet, payload, attrPayloadSize(a), attrs, size);
        sent = true;
        break;
      case OVS_ACTION_ATTR_SET:
        applied = set(packet, payload, false);
        break;
      case OVS_ACTION_ATTR_SET_MASKED:
        applied = set(packet, payload, true);
        break;
      case OVS_ACTION_ATTR_PUSH_VLAN:
        applied = pushVlan(packet, payload);
        break;
      case OVS_ACTION_ATTR_POP_VLAN:
        applied = popVlan(packet);
        break;
      case OVS_ACTION_ATTR_TRUNC:
        trunc(packet, payload);
        break;
      case OVS_ACTION_ATTR_DROP:
        countDrop(DROP_FLOW);
        return;
      default:
        applied = false;
    }
    if (!applied) {
      countDrop(DROP_ACTION);
      return;
    }
  }
  if (!sent) countDrop(DROP_FLOW);
}
