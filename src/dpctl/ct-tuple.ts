/*
 * A direction of connections as flush-conntrack takes it: `ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,ct_nw_proto=6,ct_tp_src=1,ct_tp_dst=2`, with
 * `ct_ipv6_src`, `ct_ipv6_dst`, and `icmp_id`, `icmp_type`, `icmp_code`. What is left out may be anything.
 *
 * Before it: the command line. After it: conntrack.ts. Pure.
 */
import type { CtTuple } from '../dpif/types.ts';
import { parseIpv4, parseIpv6 } from '../odp/addresses.ts';
import { OdpFieldError } from '../odp/errors.ts';

const ICMP = 1;
const ICMPV6 = 58;

const ADDRESSES: ReadonlyMap<string, readonly ['src' | 'dst', (text: string) => Uint8Array]> = new Map([
  ['ct_nw_src', ['src', parseIpv4]],
  ['ct_nw_dst', ['dst', parseIpv4]],
  ['ct_ipv6_src', ['src', parseIpv6]],
  ['ct_ipv6_dst', ['dst', parseIpv6]],
] as const);

/** Fields that are numbers, and their largest value. */
const NUMBERS: ReadonlyMap<string, readonly [field: keyof CtTuple, max: number]> = new Map([
  ['ct_nw_proto', ['protocol', 0xff]],
  ['ct_tp_src', ['srcPort', 0xffff]],
  ['ct_tp_dst', ['dstPort', 0xffff]],
  ['icmp_id', ['icmpId', 0xffff]],
  ['icmp_type', ['icmpType', 0xff]],
  ['icmp_code', ['icmpCode', 0xff]],
] as const);

/** Throws OdpFieldError. */
export function parseCtTuple(text: string): Partial<CtTuple> {
  const tuple: Partial<CtTuple> = {};
  for (const item of text.split(/[, \t]+/).filter((part) => part !== '')) {
    const [name, value = ''] = item.split(/[=:](.*)/s);
    if (value === '') throw new OdpFieldError(name, 'field missing value');
    const [field, parsed] = readField(name, value);
    if (tuple[field] !== undefined) throw new OdpFieldError(name, 'is set multiple times');
    Object.assign(tuple, { [field]: parsed });
  }
  const { src, dst, protocol, srcPort, dstPort } = tuple;
  if (src !== undefined && dst !== undefined && src.length !== dst.length)
    throw new OdpFieldError('addresses', 'the L3 protocol does not match');
  const icmp = [tuple.icmpId, tuple.icmpType, tuple.icmpCode];
  if (icmp.some((value) => value !== undefined) && !isIcmp(protocol))
    throw new OdpFieldError('icmp', 'invalid L4 fields', 'ct_nw_proto');
  if (protocol === undefined && (srcPort !== undefined || dstPort !== undefined))
    throw new OdpFieldError('ports', 'port is set without protocol', 'ct_nw_proto');
  return tuple;
}

function readField(name: string, value: string): [keyof CtTuple, Uint8Array | number] {
  const address = ADDRESSES.get(name);
  if (address !== undefined) return [address[0], address[1](value)];
  const number = NUMBERS.get(name);
  if (number === undefined) throw new OdpFieldError(name, 'invalid conntrack tuple field');
  const [field, max] = number;
  if (!/^(0[xX][0-9a-fA-F]+|\d+)$/.test(value) || Number(value) > max)
    throw new OdpFieldError(name, `failed to parse ${value}: a number up to ${max} was expected`);
  return [field, Number(value)];
}

function isIcmp(protocol: number | undefined): boolean {
  return protocol === ICMP || protocol === ICMPV6;
}

/** Whether a tuple names one connection. */
export function isWholeTuple(tuple: Partial<CtTuple>): tuple is CtTuple {
  const { src, dst, protocol, srcPort, dstPort, icmpId, icmpType, icmpCode } = tuple;
  const last = isIcmp(protocol) ? [icmpId, icmpType, icmpCode] : [srcPort, dstPort];
  return [src, dst, protocol, ...last].every((field) => field !== undefined);
}

/** Whether a direction of a connection is one that the tuple describes. */
export function matchesTuple(tuple: CtTuple, wanted: Partial<CtTuple>): boolean {
  return (Object.keys(wanted) as (keyof CtTuple)[]).every((field) => isEqual(tuple[field], wanted[field]));
}

function isEqual(one: Uint8Array | number | undefined, other: Uint8Array | number | undefined): boolean {
  if (one instanceof Uint8Array && other instanceof Uint8Array) return Buffer.compare(one, other) === 0;
  return one === other;
}
