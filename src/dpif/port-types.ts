/*
 * Types of ports: the kernel's vport numbers, and the names by which Open vSwitch and `wdp` call them. Before it: vport messages. After it: DpifPort.type.
 *
 * A tunnel is a network device that the provider made, and which the kernel's datapath knows as a plain one: its name, vxlan_sys_4789 and
 * the like, tells its type, as in Open vSwitch.
 */
import * as K from '../../assembly/netlink/openvswitch.ts';

export interface TunnelKind {
  /** As in a request to add a port. */
  readonly type: string;
  /** First part of the device's name. */
  readonly device: string;
  /** Default destination port, which then ends the device's name; undefined: the protocol has no ports. */
  readonly dstPort?: number;
}

export const TUNNEL_KINDS: readonly TunnelKind[] = [
  { type: 'vxlan', device: 'vxlan_sys', dstPort: 4789 },
  { type: 'geneve', device: 'genev_sys', dstPort: 6081 },
  { type: 'gre', device: 'gre_sys' },
  { type: 'ip6gre', device: 'ip6gre_sys' },
  { type: 'erspan', device: 'erspan_sys' },
  { type: 'ip6erspan', device: 'ip6erspan_sys' },
  { type: 'bareudp', device: 'udp_sys', dstPort: 6635 },
  { type: 'gtpu', device: 'gtpu_sys', dstPort: 2152 },
];

const VPORT_TYPES: ReadonlyMap<number, string> = new Map([
  [K.OVS_VPORT_TYPE_INTERNAL, 'internal'],
  [K.OVS_VPORT_TYPE_GRE, 'gre'],
  [K.OVS_VPORT_TYPE_VXLAN, 'vxlan'],
  [K.OVS_VPORT_TYPE_GENEVE, 'geneve'],
]);

export function tunnelKind(type: string): TunnelKind | undefined {
  return TUNNEL_KINDS.find((kind) => kind.type === type);
}

/** What a port that the datapath calls `vportType` and `name` is called by people. */
export function portType(vportType: number, name: string): string {
  const known = VPORT_TYPES.get(vportType);
  if (known !== undefined) return known;
  if (vportType !== K.OVS_VPORT_TYPE_NETDEV) return `unknown(${vportType})`;
  return TUNNEL_KINDS.find(({ device }) => name.startsWith(device))?.type ?? 'system';
}
