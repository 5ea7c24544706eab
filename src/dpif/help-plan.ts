/*
 * What a datapath has to do itself of a list of actions, and what anybody can do who has the packet: the border along which lib/odp-execute.c is cut. Before it:
 * help.ts, with a list that the datapath does not take as it is. After it: segments, each a list for the WASM executor in which every action that needs the datapath is
 * replaced by one that hands over the packet as it is at that place.
 *
 * A METER and a TRUNC do not act by themselves: they go to the datapath with the next action that does, as in Open vSwitch. Segments end where the executor's ring could
 * become full; lists inside of other actions are not cut. Pure.
 */
import { OVS_ACTION_ATTR_SET } from '../../assembly/netlink/openvswitch.ts';
import type { Action } from '../odp/action-types.ts';
import { encodeActions } from '../odp/actions.ts';

/** Actions for the datapath in one segment: large packets have eight places in the executor's ring. */
const STEPS_MAX = 7;
/** Bytes of a segment's list, with room for the one more action that it may get. */
const SEGMENT_SIZE_MAX = 32_768;
/** Userdata of the action that ends a segment which another one follows. */
export const CONTINUE = 0xffffffff;
/** Port id of the executor's own handler. */
export const OWN_PORT_ID = 1;

export interface Segment {
  /** For the executor; its USERSPACE actions carry the index of their step, or CONTINUE. */
  list: Uint8Array;
  /** For the datapath, with the packet as it is then. */
  steps: readonly (readonly Action[])[];
}

/** Whether only the datapath can carry the action out. What is not known here is left to it. */
export function needsDatapath(action: Action): boolean {
  switch (action.type) {
    case 'output':
    case 'lbOutput':
    case 'tunnelPush':
    case 'tunnelPop':
    case 'userspace':
    case 'recirc':
    case 'ct':
    case 'meter':
    case 'psample':
      return true;
    case 'unknown':
      return action.number !== OVS_ACTION_ATTR_SET;
    case 'sample':
      return action.actions.some(({ type }) => type === 'psample');
    default:
      return false;
  }
}

/** Cuts a list into segments. Throws OdpFieldError for what cannot be encoded. */
export function planSegments(actions: readonly Action[]): Segment[] {
  const segments: Segment[] = [];
  const ahead: Action[] = [];
  let list: Action[] = [];
  let steps: Action[][] = [];
  let size = 0;
  const close = (last: boolean): void => {
    if (!last) list.push(handOver(CONTINUE));
    segments.push({ list: encodeActions(list), steps });
    list = [];
    steps = [];
    size = 0;
  };
  actions.forEach((action, i) => {
    const rewritten = rewrite([action], ahead, steps);
    list.push(...rewritten);
    size += encodeActions(rewritten).length;
    if ((steps.length >= STEPS_MAX || size >= SEGMENT_SIZE_MAX) && i + 1 < actions.length) close(false);
  });
  close(true);
  return segments;
}

/** `ahead`: what goes with the next action for the datapath. */
function rewrite(actions: readonly Action[], ahead: Action[], steps: Action[][]): Action[] {
  const inside = (list: readonly Action[]): Action[] => rewrite(list, ahead, steps);
  const out: Action[] = [];
  for (const action of actions) {
    if (action.type === 'meter' || action.type === 'trunc') ahead.push(action);
    else if (needsDatapath(action)) {
      out.push(handOver(steps.length));
      steps.push([...ahead.splice(0), action]);
    } else if (action.type === 'sample' || action.type === 'clone' || action.type === 'decTtl') {
      out.push({ ...action, actions: inside(action.actions) });
    } else if (action.type === 'checkPktLen') {
      out.push({ ...action, greater: inside(action.greater), lessEqual: inside(action.lessEqual) });
    } else out.push(action);
  }
  return out;
}

function handOver(token: number): Action {
  const userdata = new Uint8Array(4);
  new DataView(userdata.buffer).setUint32(0, token, true);
  return { type: 'userspace', pid: OWN_PORT_ID, userdata };
}
