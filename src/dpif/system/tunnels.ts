/*
 * Tunnel ports of the kernel's datapath: network devices of the kernel's tunnel drivers in metadata mode, one for each protocol and destination port, named
 * vxlan_sys_4789 and the like. Before it: SystemDatapath.portAdd and portDel. After it: rtnetlink (src/ports/links.ts).
 *
 * A device is made for the port and goes with it. One that is there already is taken when it is as it would have been made, else replaced: an earlier program did not
 * clean up. The ends, the key and whatever else differs from packet to packet are not the device's but the flow's: set(tunnel(...)). Threads: any.
 */
import type { DatapathError } from '../../errors.ts';
import { AttributeBuilder, AttributeCursor } from '../../netlink/attributes.ts';
import { MessageBuffer } from '../../netlink/buffer.ts';
import { NETLINK_ROUTE, NLM_F_CREATE, NLM_F_EXCL } from '../../netlink/constants.ts';
import { MessageCursor } from '../../netlink/message.ts';
import { transact } from '../../netlink/pool.ts';
import {
  deleteLink,
  findLink,
  IFF_UP,
  IFINFO_SIZE,
  IFLA_IFNAME,
  IFLA_INFO_DATA,
  IFLA_INFO_KIND,
  IFLA_LINKINFO,
  IFLA_MTU,
  linkMessage,
  RTM_GETLINK,
  RTM_NEWLINK,
} from '../../ports/links.ts';
import { dpifError, EAFNOSUPPORT, EEXIST, EINVAL, ENODEV, EOPNOTSUPP, errnoOf } from '../errors.ts';
import { type TunnelKind, tunnelKind } from '../port-types.ts';
import type { PortRequest } from '../types.ts';

// IFLA_VXLAN_*, IFLA_GENEVE_*, IFLA_GRE_*, IFLA_BAREUDP_* of linux/if_link.h and linux/if_tunnel.h
const VXLAN_LEARNING = 7;
const VXLAN_PORT = 15;
const VXLAN_UDP_ZERO_CSUM6_RX = 20;
const VXLAN_GBP = 23;
const VXLAN_COLLECT_METADATA = 25;
const VXLAN_GPE = 27;
const GENEVE_PORT = 5;
const GENEVE_COLLECT_METADATA = 6;
const GENEVE_UDP_ZERO_CSUM6_RX = 10;
const GRE_COLLECT_METADATA = 18;
const BAREUDP_PORT = 1;
const BAREUDP_ETHERTYPE = 2;
const BAREUDP_SRCPORT_MIN = 3;
const BAREUDP_MULTIPROTO_MODE = 4;

const ETH_P_MPLS_UC = 0x8847;
const ETH_P_IP = 0x0800;
/** Source ports of bareudp: the dynamic ones of RFC 6335. */
const SRCPORT_MIN = 49153;
/** What a tunnel can carry is for the route to say, so the device does not limit it; some drivers allow less. */
const MTU = 65000;
const MTU_SMALL = 1450;

/** How the kernel calls the driver, and what it is given. */
interface Driver {
  readonly kind: string;
  /** The kernel module that has it. */
  readonly module: string;
  readonly options: readonly string[];
  put(data: AttributeBuilder, options: TunnelOptions): void;
  /** It takes no MTU when it is made. */
  readonly mtuLater?: boolean;
}

interface TunnelOptions {
  dstPort: number;
  exts: readonly string[];
  payloadType: string;
}

const gre = (kind: string, module: string): Driver => ({
  kind,
  module,
  options: [],
  mtuLater: true,
  put: (data) => data.flag(GRE_COLLECT_METADATA),
});

const DRIVERS: Readonly<Record<string, Driver>> = {
  vxlan: {
    kind: 'vxlan',
    module: 'vxlan',
    options: ['dst_port', 'exts'],
    put(data, { dstPort, exts }) {
      data.u8(VXLAN_LEARNING, 0).u8(VXLAN_COLLECT_METADATA, 1).u8(VXLAN_UDP_ZERO_CSUM6_RX, 1).be16(VXLAN_PORT, dstPort);
      if (exts.includes('gbp')) data.flag(VXLAN_GBP);
      if (exts.includes('gpe')) data.flag(VXLAN_GPE);
    },
  },
  geneve: {
    kind: 'geneve',
    module: 'geneve',
    options: ['dst_port'],
    put: (data, { dstPort }) =>
      data.flag(GENEVE_COLLECT_METADATA).u8(GENEVE_UDP_ZERO_CSUM6_RX, 1).be16(GENEVE_PORT, dstPort),
  },
  gre: gre('gretap', 'ip_gre'),
  ip6gre: gre('ip6gretap', 'ip6_gre'),
  erspan: gre('erspan', 'ip_gre'),
  ip6erspan: gre('ip6erspan', 'ip6_gre'),
  bareudp: {
    kind: 'bareudp',
    module: 'bareudp',
    options: ['dst_port', 'payload_type'],
    put(data, { dstPort, payloadType }) {
      data.be16(BAREUDP_ETHERTYPE, payloadType === 'mpls' ? ETH_P_MPLS_UC : ETH_P_IP).be16(BAREUDP_PORT, dstPort);
      data.u16(BAREUDP_SRCPORT_MIN, SRCPORT_MIN).flag(BAREUDP_MULTIPROTO_MODE);
    },
  },
};

/** Options that are a flow's to say, and that a port may only leave to it. */
const BY_FLOW = ['remote_ip', 'local_ip', 'key', 'in_key', 'out_key'];

export interface TunnelDevice {
  name: string;
  /** It was not there before. */
  isNew: boolean;
}

/** Makes the device of a tunnel port, under whose name it is added. Throws ERR_PORT_TYPE, ERR_PORT_OPTION, what the kernel says. */
export function createTunnel(port: PortRequest): TunnelDevice {
  const kind = tunnelKind(port.type ?? '');
  const driver = DRIVERS[port.type ?? ''];
  if (kind === undefined || driver === undefined) {
    const text = `the kernel's datapath has no ports of type ${port.type}`;
    throw dpifError(EAFNOSUPPORT, `port add ${port.name}`, { [EAFNOSUPPORT]: { code: 'ERR_PORT_TYPE', text } });
  }
  const options = readOptions(port, kind, driver);
  const name = kind.dstPort === undefined ? kind.device : `${kind.device}_${options.dstPort}`;
  try {
    makeDevice(name, driver, options);
  } catch (error) {
    if (errnoOf(error) !== EEXIST) throw explained(error, port, driver);
    if (isAsMade(name, driver, options)) return { name, isNew: false };
    deleteTunnel(name);
    makeDevice(name, driver, options);
  }
  return { name, isNew: true };
}

/** Removes the device of a tunnel port; one that is gone, or that another program has made a port of meanwhile, is no error. */
export function deleteTunnel(name: string): void {
  const link = findLink(name);
  if (link === undefined || link.master !== 0) return;
  try {
    deleteLink(link.ifindex);
  } catch (error) {
    if (errnoOf(error) !== ENODEV && errnoOf(error) !== EOPNOTSUPP) throw error;
  }
}

/** The options that a device was made with, where they are not the usual ones, and what Open vSwitch lists besides. */
export function tunnelOptions(type: string, name: string): Record<string, string> {
  const kind = tunnelKind(type);
  const port = /_(\d+)$/.exec(name);
  const options: Record<string, string> = { packet_type: 'ptap' };
  if (kind?.dstPort !== undefined && port !== null && Number(port[1]) !== kind.dstPort) options.dst_port = port[1];
  if (type === 'erspan' || type === 'ip6erspan') options.erspan_ver = '0';
  if (type !== 'vxlan') return options;
  const exts: string[] = [];
  for (const cursor = readData(name)?.data; cursor?.next(); ) {
    if (cursor.type === VXLAN_GBP) exts.push('gbp');
    else if (cursor.type === VXLAN_GPE) exts.push('gpe');
  }
  if (exts.length > 0) options.exts = exts.join(',');
  return options;
}

function readOptions({ name, options = {} }: PortRequest, kind: TunnelKind, driver: Driver): TunnelOptions {
  const mistake = (text: string): DatapathError =>
    dpifError(EINVAL, `port add ${name}`, { [EINVAL]: { code: 'ERR_PORT_OPTION', text } });
  for (const [option, value] of Object.entries(options)) {
    if (driver.options.includes(option)) continue;
    if (!BY_FLOW.includes(option)) throw mistake(`${kind.type} has no option ${option}`);
    if (value !== 'flow')
      throw mistake(`${option} is for flows to say (set(tunnel(...))): leave it out or write ${option}=flow`);
  }
  const dstPort = Number(options.dst_port ?? kind.dstPort ?? 0);
  if (!Number.isInteger(dstPort) || dstPort < 0 || dstPort > 65535) throw mistake(`dst_port=${options.dst_port}`);
  const exts = (options.exts ?? '').split(/[\s,]+/).filter((ext) => ext !== '');
  const unknown = exts.find((ext) => ext !== 'gbp' && ext !== 'gpe');
  if (unknown !== undefined) throw mistake(`exts=${unknown}: there are gbp and gpe`);
  return { dstPort, exts, payloadType: options.payload_type ?? 'ip' };
}

function makeDevice(name: string, driver: Driver, options: TunnelOptions): void {
  const request = linkMessage({
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    ifFlags: IFF_UP,
    ifChange: IFF_UP,
    put: (attributes) => {
      attributes.string(IFLA_IFNAME, name).u32(IFLA_MTU, MTU);
      attributes.nest(IFLA_LINKINFO, (info) => {
        info.string(IFLA_INFO_KIND, driver.kind).nest(IFLA_INFO_DATA, (data) => driver.put(data, options));
      });
    },
  });
  transact(NETLINK_ROUTE, request, { operation: `tunnel device ${name}` });
  if (driver.mtuLater) setMtu(name);
}

function setMtu(name: string): void {
  const link = findLink(name);
  for (const mtu of [MTU, MTU_SMALL]) {
    try {
      const put = (attributes: AttributeBuilder): unknown => attributes.u32(IFLA_MTU, mtu);
      const request = linkMessage({ type: RTM_NEWLINK, ifindex: link?.ifindex ?? 0, put });
      transact(NETLINK_ROUTE, request, { operation: `MTU of ${name}` });
      return;
    } catch (error) {
      if (mtu === MTU_SMALL || errnoOf(error) !== EINVAL) throw error;
    }
  }
}

/** Whether the device is of this driver and has what it would be made with. */
function isAsMade(name: string, driver: Driver, options: TunnelOptions): boolean {
  const found = readData(name);
  if (found?.data === undefined || found.kind !== driver.kind) return false;
  const buffer = new MessageBuffer();
  driver.put(new AttributeBuilder(buffer), options);
  const has = payloads(found.data);
  return [...payloads(new AttributeCursor(buffer.bytes))].every(([type, payload]) => has.get(type) === payload);
}

/** By type, in hexadecimal. */
function payloads(cursor: AttributeCursor): Map<number, string> {
  const found = new Map<number, string>();
  while (cursor.next()) found.set(cursor.type, Buffer.from(cursor.view()).toString('hex'));
  return found;
}

function readData(name: string): { kind: string; data: AttributeCursor | undefined } | undefined {
  const request = linkMessage({ type: RTM_GETLINK, put: (attributes) => attributes.string(IFLA_IFNAME, name) });
  let message: MessageCursor;
  try {
    message = new MessageCursor(transact(NETLINK_ROUTE, request, { operation: `interface ${name}` }));
  } catch (error) {
    if (errnoOf(error) === ENODEV) return undefined;
    throw error;
  }
  if (!message.next()) return undefined;
  let kind = '';
  let data: AttributeCursor | undefined;
  for (const cursor = message.attributes(IFINFO_SIZE); cursor.next(); ) {
    if (cursor.type !== IFLA_LINKINFO) continue;
    for (const inner = cursor.nested(); inner.next(); ) {
      if (inner.type === IFLA_INFO_KIND) kind = inner.string();
      else if (inner.type === IFLA_INFO_DATA) data = inner.nested();
    }
  }
  return { kind, data };
}

/** The kernel without the driver says EOPNOTSUPP. */
function explained(error: unknown, { name }: PortRequest, { kind, module }: Driver): unknown {
  if (errnoOf(error) !== EOPNOTSUPP) return error;
  const text = `the kernel has no driver for ${kind} devices: modprobe ${module}`;
  return dpifError(EOPNOTSUPP, `port add ${name}`, { [EOPNOTSUPP]: { code: 'ERR_PORT_TYPE', text } }, error);
}
