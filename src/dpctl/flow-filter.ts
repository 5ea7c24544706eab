/*
 * `filter=` of dump-flows: fields in the notation of OpenFlow (`tcp,nw_dst=10.0.0.2,tp_dst=80`), as ovs-ofctl writes them, against flows of a datapath.
 *
 * Concepts. A flow passes when nothing that it matches contradicts the filter: what a flow leaves open passes every filter. Open vSwitch takes whole values
 * only; here a value may have a mask (`nw_dst=10.0.0.0/8`, `tun_id=0x10/0xf0`). The filter becomes a typed match, so src/odp/ checks it.
 * Before it: the command line. After it: dump-flows. Pure.
 */
import type { DpifFlow } from '../dpif/types.ts';
import { OdpFieldError } from '../odp/errors.ts';
import { encodeMatch, type FlatMatch } from '../odp/match.ts';
import { decodeMatchAttributes } from '../odp/match-decode.ts';
import type { FlowMatch } from '../odp/types.ts';

const ETH_IPV4 = 0x0800;
const ETH_ARP = 0x0806;
const ETH_RARP = 0x8035;
const ETH_IPV6 = 0x86dd;

/** Names that stand for an Ethernet type and a protocol. */
const PROTOCOLS: ReadonlyMap<string, readonly [ethType: number, proto?: number]> = new Map<
  string,
  readonly [number, number?]
>([
  ['ip', [ETH_IPV4]],
  ['ipv4', [ETH_IPV4]],
  ['ip4', [ETH_IPV4]],
  ['arp', [ETH_ARP]],
  ['rarp', [ETH_RARP]],
  ['icmp', [ETH_IPV4, 1]],
  ['tcp', [ETH_IPV4, 6]],
  ['udp', [ETH_IPV4, 17]],
  ['sctp', [ETH_IPV4, 132]],
  ['ipv6', [ETH_IPV6]],
  ['ip6', [ETH_IPV6]],
  ['icmp6', [ETH_IPV6, 58]],
  ['tcp6', [ETH_IPV6, 6]],
  ['udp6', [ETH_IPV6, 17]],
  ['sctp6', [ETH_IPV6, 132]],
  ['mpls', [0x8847]],
  ['mplsm', [0x8848]],
]);

/** The header that a protocol leads to. */
const TRANSPORT: ReadonlyMap<unknown, string> = new Map([
  [1, 'icmp'],
  [6, 'tcp'],
  [17, 'udp'],
  [58, 'icmpv6'],
  [132, 'sctp'],
]);

/** A filter that cannot be read; the message says which field. */
export class FilterError extends Error {
  override readonly name = 'FilterError';
}

type Group = Record<string, unknown>;

/** The typed match in the making; its groups are filled field by field, in any order but that of what leads to what. */
class Draft {
  readonly groups: Record<string, unknown> = {};

  /** `path`: `field`, or `group.field` of FlowMatch. */
  put(path: string, value: unknown, name: string): void {
    const [group, field] = path.split('.');
    const target = field === undefined ? this.groups : this.group(group);
    const key = field ?? group;
    if (target[key] !== undefined) throw new FilterError(`field ${name} set multiple times`);
    target[key] = value;
  }

  group(name: string): Group {
    this.groups[name] ??= {};
    return this.groups[name] as Group;
  }

  /** `ipv4`, `ipv6` or `arp`, whichever the Ethernet type leads to. */
  network(name: string): 'ipv4' | 'ipv6' | 'arp' {
    switch (this.groups.ethType) {
      case ETH_IPV4:
        return 'ipv4';
      case ETH_IPV6:
        return 'ipv6';
      case ETH_ARP:
      case ETH_RARP:
        return 'arp';
      default:
        throw new FilterError(`prerequisites not met for setting ${name}: say ip, ipv6 or arp before it`);
    }
  }

  transport(name: string): string {
    const ip = (this.groups.ipv4 ?? this.groups.ipv6) as Group | undefined;
    const header = TRANSPORT.get(ip?.proto);
    if (header === undefined)
      throw new FilterError(`prerequisites not met for setting ${name}: say tcp, udp or another protocol before it`);
    return header;
  }
}

type Put = (draft: Draft, value: string, name: string) => void;

/** A field that has one place. */
function at(path: string, read: (value: string, name: string) => unknown = number): Put {
  return (draft, value, name) => draft.put(path, read(value, name), name);
}

/** A field whose place depends on the network protocol; undefined where that has none. */
function ofNetwork(ipv4: string, ipv6?: string, arp?: string, read: typeof number | typeof text = number): Put {
  return (draft, value, name) => {
    const header = draft.network(name);
    const field = { ipv4, ipv6, arp }[header];
    if (field === undefined) throw new FilterError(`prerequisites not met for setting ${name}`);
    draft.put(`${header}.${field}`, read(value, name), name);
  };
}

function ofTransport(field: string): Put {
  return (draft, value, name) => draft.put(`${draft.transport(name)}.${field}`, number(value, name), name);
}

/** A part of the byte that IPv4 calls type of service: bits of `mask`, the value moved up by `shift`. */
function trafficClass(mask: number, shift: number): Put {
  return (draft, value, name) => {
    const header = draft.network(name);
    if (header === 'arp') throw new FilterError(`prerequisites not met for setting ${name}`);
    const group = draft.group(header);
    const field = header === 'ipv4' ? 'tos' : 'tclass';
    const bits = number(value, name);
    if (typeof bits !== 'number' || ((bits << shift) & ~mask) !== 0)
      throw new FilterError(`bad value for ${name} (${value})`);
    const before = (group[field] ?? { value: 0, mask: 0 }) as { value: number; mask: number };
    group[field] = { value: before.value | (bits << shift), mask: before.mask | mask };
  };
}

/** A field of the outermost label. */
function ofLabel(field: string): Put {
  return (draft, value, name) => {
    draft.groups.mpls ??= [{}];
    (draft.groups.mpls as Group[])[0][field] = number(value, name);
  };
}

const FIELDS: ReadonlyMap<string, Put> = new Map<string, Put>([
  ['recirc_id', at('recircId')],
  ['dp_hash', at('dpHash')],
  ['skb_priority', at('skbPriority')],
  ['pkt_mark', at('skbMark')],
  ['ct_state', at('ctState', connectionState)],
  ['ct_zone', at('ctZone')],
  ['ct_mark', at('ctMark')],
  ['ct_label', at('ctLabel', wide)],
  ...both(['tun_id', 'tunnel_id'], at('tunnel.id', wide)),
  ...both(['tun_src', 'tun_ipv6_src'], at('tunnel.src', text)),
  ...both(['tun_dst', 'tun_ipv6_dst'], at('tunnel.dst', text)),
  ...both(['dl_src', 'eth_src'], at('eth.src', text)),
  ...both(['dl_dst', 'eth_dst'], at('eth.dst', text)),
  ...both(['dl_type', 'eth_type'], at('ethType')),
  ...both(['dl_vlan', 'vlan_vid'], at('vlan.vid')),
  ...both(['dl_vlan_pcp', 'vlan_pcp'], at('vlan.pcp')),
  ['mpls_label', ofLabel('label')],
  ['mpls_tc', ofLabel('tc')],
  ['mpls_bos', ofLabel('bos')],
  ['mpls_ttl', ofLabel('ttl')],
  ...both(['nw_src', 'ip_src'], ofNetwork('src', undefined, 'sip', text)),
  ...both(['nw_dst', 'ip_dst'], ofNetwork('dst', undefined, 'tip', text)),
  ...both(['nw_proto', 'ip_proto'], ofNetwork('proto', 'proto', 'op')),
  ['nw_ttl', ofNetwork('ttl', 'hlimit')],
  ...both(['nw_frag', 'ip_frag'], ofNetwork('frag', 'frag', undefined, text)),
  ['nw_tos', trafficClass(0xfc, 0)],
  ['ip_dscp', trafficClass(0xfc, 2)],
  ...both(['nw_ecn', 'ip_ecn'], trafficClass(0x03, 0)),
  ['ipv6_src', at('ipv6.src', text)],
  ['ipv6_dst', at('ipv6.dst', text)],
  ['ipv6_label', at('ipv6.label')],
  ['arp_spa', at('arp.sip', text)],
  ['arp_tpa', at('arp.tip', text)],
  ['arp_op', at('arp.op')],
  ['arp_sha', at('arp.sha', text)],
  ['arp_tha', at('arp.tha', text)],
  ...both(['tp_src', 'tcp_src', 'udp_src', 'sctp_src'], ofTransport('src')),
  ...both(['tp_dst', 'tcp_dst', 'udp_dst', 'sctp_dst'], ofTransport('dst')),
  ...both(['icmp_type', 'icmpv6_type'], ofTransport('type')),
  ...both(['icmp_code', 'icmpv6_code'], ofTransport('code')),
  ['tcp_flags', at('tcpFlags')],
  ['nd_target', at('nd.target', text)],
  ['nd_sll', at('nd.sll', text)],
  ['nd_tll', at('nd.tll', text)],
]);

function both(names: readonly string[], put: Put): [string, Put][] {
  return names.map((name) => [name, put]);
}

/** Reads a filter; `ports` are the numbers of ports by name. Throws FilterError. */
export function parseFilter(filter: string, ports: ReadonlyMap<string, number>): FlatMatch {
  const draft = new Draft();
  for (const item of filter.split(/[, \t\r\n]+/).filter((part) => part !== '')) putItem(draft, item, ports);
  try {
    return encodeMatch(draft.groups as FlowMatch);
  } catch (error) {
    if (error instanceof OdpFieldError) throw new FilterError(error.message);
    throw error;
  }
}

function putItem(draft: Draft, item: string, ports: ReadonlyMap<string, number>): void {
  const [, name, assigned, enclosed] = /^([^=:(]+)(?:[=:](.*)|\((.*)\))?$/.exec(item) ?? [];
  const value = assigned ?? enclosed;
  const protocol = PROTOCOLS.get(item);
  if (protocol !== undefined) putProtocol(draft, item, protocol);
  else if (name === 'in_port' && value !== undefined)
    draft.put('inPort', ports.get(value.replace(/^"(.*)"$/, '$1')) ?? number(value, name), name);
  else {
    const put = FIELDS.get(name);
    if (put === undefined) throw new FilterError(`unknown field ${name ?? item}`);
    if (!value) throw new FilterError(`field ${name} missing value`);
    put(draft, value, name);
  }
}

function putProtocol(draft: Draft, name: string, [ethType, proto]: readonly [number, number?]): void {
  if (draft.groups.ethType !== undefined) throw new FilterError(`${name}: Ethernet type set multiple times`);
  draft.groups.ethType = ethType;
  if (proto !== undefined) draft.put(`${draft.network(name)}.proto`, proto, name);
}

/** Whether nothing in the flow contradicts the filter. */
export function passesFilter(flow: DpifFlow, filter: FlatMatch): boolean {
  const { key, mask } = decodeMatchAttributes(flow.key ?? new Uint8Array(0), flow.mask);
  for (let i = 0; i < key.length; i++) if (((key[i] ^ (filter.key[i] & mask[i])) & filter.mask[i]) !== 0) return false;
  return true;
}

/** `N`, `0xN`, or either under a mask. */
function number(value: string, name: string): number | { value: number; mask: number } {
  const parts = value.split('/').map((part) => (/^(0[xX][0-9a-fA-F]+|[0-9]+)$/.test(part) ? Number(part) : -1));
  if (parts.length > 2 || parts.includes(-1)) throw new FilterError(`bad value for ${name} (${value})`);
  return parts.length === 1 ? parts[0] : { value: parts[0], mask: parts[1] };
}

/** As number(), for fields of 64 and 128 bits. */
function wide(value: string, name: string): bigint | { value: bigint; mask: bigint } {
  const parts = value.split('/');
  if (parts.length > 2 || !parts.every((part) => /^(0[xX][0-9a-fA-F]+|[0-9]+)$/.test(part)))
    throw new FilterError(`bad value for ${name} (${value})`);
  const [first, second] = parts.map(BigInt);
  return second === undefined ? first : { value: first, mask: second };
}

/** Addresses and words are read by the codec. */
function text(value: string): string {
  return value;
}

const CT_STATE_BITS = ['new', 'est', 'rel', 'rpl', 'inv', 'trk', 'snat', 'dnat'];

/** A number, or `+trk-new`. */
function connectionState(value: string, name: string): number | { value: number; mask: number } {
  if (!/^[+-]/.test(value)) return number(value, name);
  const state = { value: 0, mask: 0 };
  for (const [, sign, flag] of value.matchAll(/([+-])([^+-]*)/g)) {
    const bit = CT_STATE_BITS.indexOf(flag);
    if (bit < 0) throw new FilterError(`bad value for ${name} (${flag})`);
    state.mask |= 1 << bit;
    if (sign === '+') state.value |= 1 << bit;
  }
  return state;
}
