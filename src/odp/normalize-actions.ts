/*
 * Actions in a form to compare: each output under the tags that a packet of the flow has when it gets there, as `ovs-dpctl
 * normalize-actions` has it.
 *
 * Two lists that send the same packets to the same ports, but push and pop tags in between at other times, become the same. Only VLAN
 * tags are followed; what is done to other headers stays in the lists. Pure functions.
 */

import type { Action, PushVlanAction } from './action-types.ts';
import { encodeTci, VLAN_PRESENT } from './bitfields.ts';
import type { FlowKey } from './types.ts';

/** As in a packet: the TCI has the bit VLAN_PRESENT unless somebody pushed a tag without. No tag is 0 and 0. */
interface Tag {
  tpid: number;
  tci: number;
}

/** What is done while the packet has these tags, outermost first. */
export interface ActionGroup {
  tags: readonly [Tag, Tag];
  actions: Action[];
}

const NO_TAG: Tag = { tpid: 0, tci: 0 };
const TPID_VLAN = 0x8100;

/** The actions but for push_vlan and pop_vlan, by tags, in the order of the tags' bytes; outputs that follow each other are in order of ports. */
export function normalizeActions(key: FlowKey, actions: readonly Action[]): ActionGroup[] {
  const groups = new Map<string, ActionGroup>();
  let tags: ActionGroup['tags'] = [tagOf(key.vlan), tagOf(key.cvlan)];
  for (const action of actions) {
    if (action.type === 'popVlan') tags = popped(tags);
    else if (action.type === 'pushVlan')
      tags = [tagOf(action), tags[0]]; // of three the innermost is forgotten
    else {
      const name = orderOf(tags);
      const group = groups.get(name) ?? { tags, actions: [] };
      group.actions.push(action);
      groups.set(name, group);
    }
  }
  const sorted = [...groups].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, group]) => group);
  for (const group of sorted) sortOutputs(group.actions);
  return sorted;
}

function tagOf(vlan: Omit<PushVlanAction, 'type'> | undefined): Tag {
  return vlan === undefined ? NO_TAG : { tpid: vlan.tpid ?? TPID_VLAN, tci: encodeTci(vlan, 'vlan').value };
}

/** Tags count up to the first without the bit. */
function countOf([outer, inner]: ActionGroup['tags']): number {
  if ((outer.tci & VLAN_PRESENT) === 0) return 0;
  return (inner.tci & VLAN_PRESENT) === 0 ? 1 : 2;
}

function popped(tags: ActionGroup['tags']): ActionGroup['tags'] {
  const count = countOf(tags);
  if (count === 0) return tags;
  return count === 1 ? [NO_TAG, tags[1]] : [tags[1], NO_TAG];
}

/** Text that sorts as the bytes of the tags do. */
function orderOf(tags: ActionGroup['tags']): string {
  return tags.map(({ tpid, tci }) => String.fromCharCode(tpid, tci)).join('');
}

function sortOutputs(actions: Action[]): void {
  const ports: number[] = [];
  for (const [index, action] of [...actions, undefined].entries()) {
    if (action?.type === 'output') ports.push(action.port);
    else {
      ports.sort((left, right) => left - right);
      actions.splice(index - ports.length, ports.length, ...ports.map((port): Action => ({ type: 'output', port })));
      ports.length = 0;
    }
  }
}
