/*
 * A tracked connection as a line of `ovs-dpctl dump-conntrack` and as an object for programs, and limits of connections as lines of ct-get-limits.
 *
 * Before it: conntrack.ts with what a dump gave. After it: whoever prints lines. Pure, but for the time zone of the times.
 */
import type { CtCounters, CtEntry, CtLimit, CtTuple } from '../dpif/types.ts';
import { formatIpv4, formatIpv6 } from '../odp/addresses.ts';
import { formatHex } from '../odp/hex.ts';

const ICMP = 1;
const TCP = 6;
const ICMPV6 = 58;

const PROTOCOLS: ReadonlyMap<number, string> = new Map([
  [ICMP, 'icmp'],
  [2, 'igmp'],
  [TCP, 'tcp'],
  [17, 'udp'],
  [33, 'dccp'],
  [ICMPV6, 'icmpv6'],
  [132, 'sctp'],
  [136, 'udplite'],
]);

/** Bits of IPS_* of linux/netfilter/nf_conntrack_common.h, from 0 on. */
const STATUS = [
  'EXPECTED',
  'SEEN_REPLY',
  'ASSURED',
  'CONFIRMED',
  'SRC_NAT',
  'DST_NAT',
  'SEQ_ADJUST',
  'SRC_NAT_DONE',
  'DST_NAT_DONE',
  'DYING',
  'FIXED_TIMEOUT',
  'TEMPLATE',
  'UNTRACKED',
];

/** Bits of IP_CT_TCP_FLAG_*. */
const TCP_FLAGS = ['WINDOW_SCALE', 'SACK_PERM', 'CLOSE_INIT', 'BE_LIBERAL', 'DATA_UNACKNOWLEDGED', 'MAXACK_SET'];

/** Names of enum tcp_conntrack of linux/netfilter/nf_conntrack_tcp.h in Open vSwitch. */
const TCP_STATES = [
  'CLOSED',
  'SYN_SENT',
  'SYN_RECV',
  'ESTABLISHED',
  'FIN_WAIT_1',
  'CLOSE_WAIT',
  'LAST_ACK',
  'TIME_WAIT',
  'CLOSED',
  'SYN_SENT',
];
/** The order in which Open vSwitch lists states. */
export const TCP_STATE_ORDER = [
  'CLOSED',
  'LISTEN',
  'SYN_SENT',
  'SYN_RECV',
  'ESTABLISHED',
  'CLOSE_WAIT',
  'FIN_WAIT_1',
  'CLOSING',
  'LAST_ACK',
  'FIN_WAIT_2',
  'TIME_WAIT',
];

/** States in which the kernel and Open vSwitch differ look the same when nobody asks for details. */
const COALESCED: Readonly<Record<string, string>> = { FIN_WAIT_2: 'TIME_WAIT', SYN_RECV: 'ESTABLISHED' };

/** States of SCTP, enum sctp_conntrack less one. */
const SCTP_STATES = [
  'CLOSED',
  'COOKIE_WAIT',
  'COOKIE_ECHOED',
  'ESTABLISHED',
  'SHUTDOWN_SENT',
  'SHUTDOWN_RECD',
  'SHUTDOWN_ACK_SENT',
  'HEARTBEAT_SENT',
  'HEARTBEAT_ACKED',
];

export interface CtTextOptions {
  /** Ids, status, both directions of a state, parents: -m. */
  readonly verbose: boolean;
  /** Counters, times and timeouts: -s. */
  readonly statistics: boolean;
}

/** Without a new line at its end. */
export function ctText(entry: CtEntry, { verbose, statistics }: CtTextOptions): string {
  const { origin, reply, zone, counters, mark = 0 } = entry;
  const direction = (tuple: CtTuple, counted: CtCounters | undefined): string =>
    `(${tupleText(tuple)}${statistics ? countersText(counted) : ''})`;
  const parts = [
    `${protocolName(origin.protocol)},orig=${direction(origin, counters?.origin)},reply=${direction(reply, counters?.reply)}`,
  ];
  if (statistics) parts.push(timesText(entry));
  if (verbose) parts.push(`,id=${entry.id ?? 0}`);
  if (zone !== 0) parts.push(`,zone=${zone}`);
  if (verbose) parts.push(`,status=${flagsText(STATUS, entry.status ?? 0)}`);
  if (statistics) parts.push(`,timeout=${entry.timeoutS ?? 0}`);
  if (mark !== 0) parts.push(`,mark=${mark}`);
  if (entry.labels?.some((byte) => byte !== 0)) parts.push(`,labels=${formatHex(entry.labels.toReversed())}`);
  parts.push(stateText(entry, verbose));
  if (entry.helper !== undefined) parts.push(`,helper=${entry.helper}`);
  if (verbose && entry.parent !== undefined) parts.push(`,parent=(${tupleText(entry.parent)})`);
  return parts.join('');
}

/**
 * For programs: what the text says, under the names of CtEntry. Addresses, the protocol, states and flags are in the words of the text, labels one number as there,
 * counters numbers, times nanoseconds in digits.
 */
export function ctObject(entry: CtEntry): object {
  const { origin, reply, parent, counters, status, labels, tcp, sctp, ...rest } = entry;
  const numbers = ({ packets, bytes }: CtCounters) => ({ packets: Number(packets), bytes: Number(bytes) });
  return {
    protocol: protocolName(origin.protocol),
    origin: tupleObject(origin),
    reply: tupleObject(reply),
    ...(parent && { parent: tupleObject(parent) }),
    ...rest,
    ...(status !== undefined && { status: flagNames(STATUS, status) }),
    ...(labels && { labels: formatHex(labels.toReversed()) }),
    ...(tcp && {
      tcp: { ...tcp, state: tcpStateName(tcp.state), flags: tcp.flags.map((bits) => flagNames(TCP_FLAGS, bits)) },
    }),
    ...(sctp && { sctp: { ...sctp, state: sctpStateName(sctp.state) } }),
    ...(counters && { counters: { origin: numbers(counters.origin), reply: numbers(counters.reply) } }),
  };
}

function tupleObject(tuple: CtTuple): object {
  return { ...tuple, src: addressText(tuple.src), dst: addressText(tuple.dst) };
}

function addressText(address: Uint8Array): string {
  return address.length === 4 ? formatIpv4(address) : formatIpv6(address);
}

function protocolName(protocol: number): string {
  return PROTOCOLS.get(protocol) ?? String(protocol);
}

function tupleText(tuple: CtTuple): string {
  const { src, dst, protocol, srcPort = 0, dstPort = 0, icmpId = 0, icmpType = 0, icmpCode = 0 } = tuple;
  const ports =
    protocol === ICMP || protocol === ICMPV6
      ? `id=${icmpId},type=${icmpType},code=${icmpCode}`
      : `sport=${srcPort},dport=${dstPort}`;
  return `src=${addressText(src)},dst=${addressText(dst)},${ports}`;
}

function countersText(counters: CtCounters | undefined): string {
  if (counters === undefined || (counters.packets === 0n && counters.bytes === 0n)) return '';
  return `,packets=${counters.packets},bytes=${counters.bytes}`;
}

function timesText({ startNs = 0n, stopNs = 0n }: CtEntry): string {
  if (startNs === 0n && stopNs === 0n) return '';
  return `,start=${timeText(startNs)}${stopNs === 0n ? '' : `,stop=${timeText(stopNs)}`}`;
}

/** Local time, `2026-11-26T17:42:00.123`. */
function timeText(ns: bigint): string {
  const date = new Date(Number(ns / 1000000n));
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, -1);
}

function flagNames(names: readonly string[], flags: number): string[] {
  return names.filter((_name, bit) => (flags & (1 << bit)) !== 0);
}

function flagsText(names: readonly string[], flags: number): string {
  return flagNames(names, flags).join('|') || '0';
}

function stateText({ tcp, sctp }: CtEntry, verbose: boolean): string {
  if (sctp !== undefined) {
    return `,protoinfo=(state=${sctpStateName(sctp.state)},vtag_orig=${sctp.tags[0]},vtag_reply=${sctp.tags[1]})`;
  }
  if (tcp === undefined) return '';
  const state = tcpStateName(tcp.state);
  if (!verbose) return `,protoinfo=(state=${COALESCED[state] ?? state})`;
  const [orig, reply] = tcp.windowScale;
  const scales = orig === 0 && reply === 0 ? '' : `,wscale_orig=${orig},wscale_reply=${reply}`;
  const flags = tcp.flags.map((bits) => flagsText(TCP_FLAGS, bits));
  return `,protoinfo=(state_orig=${state},state_reply=${state}${scales},flags_orig=${flags[0]},flags_reply=${flags[1]})`;
}

function sctpStateName(state: number): string {
  return SCTP_STATES[state - 1] ?? `[${state}]`;
}

function tcpStateName(state: number): string {
  return TCP_STATES[state] ?? `[${state}]`;
}

/** The state of a TCP connection as statistics group it. */
export function tcpStateGroup(state: number): string {
  const name = tcpStateName(state);
  return COALESCED[name] ?? name;
}

/** Lines, without a new line at the end. */
export function limitsText(limits: readonly CtLimit[]): string {
  return limits
    .map(({ zone, limit, count = 0 }) =>
      zone === undefined ? `default limit=${limit}` : `zone=${zone},limit=${limit},count=${count}`,
    )
    .join('\n');
}
