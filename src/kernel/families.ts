/*
 * The families of the WASM kernel as generic Netlink describes them: what a real kernel's nlctrl would answer. Before it: the wasm transport. After it:
 * assembly/kernel/families.ts, which has the numbers.
 */
import * as F from '../../assembly/kernel/families.ts';
import * as OVS from '../../assembly/netlink/openvswitch.ts';
import { DatapathError } from '../errors.ts';
import { GENL_CMD_CAP_DO, GENL_CMD_CAP_DUMP, GENL_CMD_CAP_HASPOL, GENL_UNS_ADMIN_PERM } from '../netlink/constants.ts';
import type { GenericFamily, GenericOperation } from '../netlink/generic.ts';
import { OVS_HEADER_SIZE } from './ovs-header.ts';

const ENOENT = 2;
const COMMANDS_MAX = 8;

const FAMILIES: ReadonlyMap<string, GenericFamily> = new Map(
  [
    family('ovs_datapath', F.FAMILY_DATAPATH, F.OVS_DATAPATH_VERSION, OVS.OVS_DP_ATTR_MAX, F.OPS_DATAPATH),
    family('ovs_vport', F.FAMILY_VPORT, F.OVS_VPORT_VERSION, OVS.OVS_VPORT_ATTR_MAX, F.OPS_VPORT),
    family('ovs_flow', F.FAMILY_FLOW, F.OVS_FLOW_VERSION, OVS.OVS_FLOW_ATTR_MAX, F.OPS_FLOW),
    family('ovs_packet', F.FAMILY_PACKET, F.OVS_PACKET_VERSION, OVS.OVS_PACKET_ATTR_MAX, F.OPS_PACKET, []),
    family('ovs_meter', F.FAMILY_METER, F.OVS_METER_VERSION, OVS.OVS_METER_ATTR_MAX, F.OPS_METER),
  ].map((one) => [one.name, one]),
);

/** Throws ERR_NETLINK_NO_SUCH_FAMILY. */
export function kernelFamily(name: string): GenericFamily {
  const found = FAMILIES.get(name);
  if (found !== undefined) return found;
  throw new DatapathError('ERR_NETLINK_NO_SUCH_FAMILY', `the WASM datapath has no family ${name}`, {
    errno: ENOENT,
    operation: `lookup of family ${name}`,
  });
}

/** A group has the name and the number of its family. */
function family(
  name: string,
  id: number,
  version: number,
  maxAttribute: number,
  nibbles: number,
  groups: [string, number][] = [[name, id]],
): GenericFamily {
  const ops = operations(nibbles);
  return { id, name, version, headerSize: OVS_HEADER_SIZE, maxAttribute, ops, groups: new Map(groups) };
}

function operations(nibbles: number): ReadonlyMap<number, GenericOperation> {
  const ops = new Map<number, GenericOperation>();
  for (let command = 0; command < COMMANDS_MAX; command++) {
    const op = (nibbles >>> (command * 4)) & 15;
    if (op === 0) continue;
    const flags =
      GENL_CMD_CAP_HASPOL |
      ((op & F.OP_DO) !== 0 ? GENL_CMD_CAP_DO : 0) |
      ((op & F.OP_DUMP) !== 0 ? GENL_CMD_CAP_DUMP : 0) |
      ((op & F.OP_ADMIN) !== 0 ? GENL_UNS_ADMIN_PERM : 0);
    ops.set(command, { command, flags });
  }
  return ops;
}
