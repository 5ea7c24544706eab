/*
 * Numbers of action attributes. Up to 22 all agree; above, the kernel's header (with which Open vSwitch agrees since 3.4, and which puts its own
 * three userspace actions behind) and the one that Open vSwitch 3.1 was built with differ.
 *
 * Used by actions.ts. Constants only.
 */

import * as K from '../../assembly/netlink/openvswitch.ts';
import type { ActionType } from './action-types.ts';

/**
 * Whose numbers: `kernel` (linux/openvswitch.h: dec_ttl 23, drop 24, psample 25, then tunnel_push 26, tunnel_pop 27, lb_output 28) or `ovs-3.1`
 * (tunnel_push 23, tunnel_pop 24, drop 25, lb_output 26, no dec_ttl and no psample), for a peer that is such a userspace datapath.
 */
export type ActionNumbering = 'kernel' | 'ovs-3.1';

type Numbers = ReadonlyMap<Exclude<ActionType, 'unknown'>, number>;

const COMMON = [
  ['output', K.OVS_ACTION_ATTR_OUTPUT],
  ['userspace', K.OVS_ACTION_ATTR_USERSPACE],
  ['set', K.OVS_ACTION_ATTR_SET],
  ['pushVlan', K.OVS_ACTION_ATTR_PUSH_VLAN],
  ['popVlan', K.OVS_ACTION_ATTR_POP_VLAN],
  ['sample', K.OVS_ACTION_ATTR_SAMPLE],
  ['recirc', K.OVS_ACTION_ATTR_RECIRC],
  ['hash', K.OVS_ACTION_ATTR_HASH],
  ['pushMpls', K.OVS_ACTION_ATTR_PUSH_MPLS],
  ['popMpls', K.OVS_ACTION_ATTR_POP_MPLS],
  ['setMasked', K.OVS_ACTION_ATTR_SET_MASKED],
  ['ct', K.OVS_ACTION_ATTR_CT],
  ['trunc', K.OVS_ACTION_ATTR_TRUNC],
  ['pushEth', K.OVS_ACTION_ATTR_PUSH_ETH],
  ['popEth', K.OVS_ACTION_ATTR_POP_ETH],
  ['ctClear', K.OVS_ACTION_ATTR_CT_CLEAR],
  ['pushNsh', K.OVS_ACTION_ATTR_PUSH_NSH],
  ['popNsh', K.OVS_ACTION_ATTR_POP_NSH],
  ['meter', K.OVS_ACTION_ATTR_METER],
  ['clone', K.OVS_ACTION_ATTR_CLONE],
  ['checkPktLen', K.OVS_ACTION_ATTR_CHECK_PKT_LEN],
  ['addMpls', K.OVS_ACTION_ATTR_ADD_MPLS],
] as const;

const NUMBERS: Readonly<Record<ActionNumbering, Numbers>> = {
  kernel: new Map([
    ...COMMON,
    ['decTtl', K.OVS_ACTION_ATTR_DEC_TTL],
    ['drop', K.OVS_ACTION_ATTR_DROP],
    ['psample', K.OVS_ACTION_ATTR_PSAMPLE],
    ['tunnelPush', K.OVS_ACTION_ATTR_TUNNEL_PUSH],
    ['tunnelPop', K.OVS_ACTION_ATTR_TUNNEL_POP],
    ['lbOutput', K.OVS_ACTION_ATTR_LB_OUTPUT],
  ]),
  'ovs-3.1': new Map([...COMMON, ['tunnelPush', 23], ['tunnelPop', 24], ['drop', 25], ['lbOutput', 26]]),
};

const TYPES = { kernel: typesOf(NUMBERS.kernel), 'ovs-3.1': typesOf(NUMBERS['ovs-3.1']) };

function typesOf(numbers: Numbers): readonly (Exclude<ActionType, 'unknown'> | undefined)[] {
  const types: (Exclude<ActionType, 'unknown'> | undefined)[] = [];
  for (const [type, number] of numbers) types[number] = type;
  return types;
}

/** Attribute number of a typed action, undefined when that numbering has none for it. */
export function actionNumber(type: ActionType, numbering: ActionNumbering): number | undefined {
  return type === 'unknown' ? undefined : NUMBERS[numbering].get(type);
}

/** Type of the action with this attribute number, undefined when that numbering has none. */
export function actionType(number: number, numbering: ActionNumbering): Exclude<ActionType, 'unknown'> | undefined {
  return TYPES[numbering][number];
}
