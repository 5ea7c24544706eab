/*
 * A trace for people: one line a header, one a step, what is inside of a step behind two more blanks.
 *
 * Before it: trace/trace.ts. After it: stdout. Layers alone (`layerText`) serve whoever shows a packet. Keeps nothing; any thread.
 */
import { hexBytes } from '../odp/hex.ts';
import type { Layer, LayerName } from './layers.ts';
import type { PacketView, Pass, PassedOver, Step, Trace, TraceResult } from './types.ts';

type Fields = Layer['fields'];

const TITLES: Readonly<Record<LayerName, string>> = {
  ethernet: 'Ethernet',
  vlan: '802.1Q',
  llc: 'LLC',
  mpls: 'MPLS',
  nsh: 'NSH',
  arp: 'ARP',
  ipv4: 'IPv4',
  ipv6: 'IPv6',
  extension: 'IPv6 ext',
  tcp: 'TCP',
  udp: 'UDP',
  sctp: 'SCTP',
  icmp: 'ICMP',
  igmp: 'IGMP',
  icmpv6: 'ICMPv6',
  nd: 'ND',
  payload: 'payload',
  padding: 'padding',
};

const PROTOCOLS: Readonly<Record<number, string>> = {
  ...{ 0: 'hop-by-hop', 1: 'ICMP', 2: 'IGMP', 6: 'TCP', 17: 'UDP', 43: 'routing', 44: 'fragment', 47: 'GRE' },
  ...{ 50: 'ESP', 51: 'AH', 58: 'ICMPv6', 59: 'none', 60: 'destination', 132: 'SCTP', 135: 'mobility' },
};
const TCP_FLAGS = ['fin', 'syn', 'rst', 'psh', 'ack', 'urg', 'ece', 'cwr', 'ns'];

const hex = (value: number | string, digits: number): string => `0x${Number(value).toString(16).padStart(digits, '0')}`;
const proto = (value: number | string): string => PROTOCOLS[Number(value)] ?? `protocol ${value}`;
const optional = (name: string, value: number | string | undefined): string =>
  value === undefined ? '' : `, ${name} ${value}`;
const fragment = ({ offset, more }: Fields): string =>
  Number(offset) + Number(more) === 0 ? '' : `, fragment at ${offset}, ${more ? 'more follow' : 'the last'}`;

function tcpFlags(flags: number): string {
  const names = TCP_FLAGS.filter((_, bit) => (flags >> bit) & 1);
  return names.length === 0 ? 'no flags' : names.join('|');
}

/** What a header says, by name. */
const LINES: Readonly<Record<LayerName, (fields: Fields) => string>> = {
  ethernet: (f) => `${f.src} > ${f.dst}, ${Number(f.type) < 0x600 ? `length ${f.type}` : `type ${hex(f.type, 4)}`}`,
  vlan: (f) =>
    `vid ${f.vid}, pcp ${f.pcp}${f.dei ? ', dei' : ''}${f.tpid === 0x8100 ? '' : `, tpid ${hex(f.tpid, 4)}`}, type ${hex(f.type, 4)}`,
  llc: (f) =>
    `dsap ${hex(f.dsap, 2)}, ssap ${hex(f.ssap, 2)}, control ${hex(f.control, 2)}${f.type === undefined ? '' : `, SNAP type ${hex(f.type, 4)}`}`,
  mpls: (f) => `label ${f.label}, tc ${f.tc}, ttl ${f.ttl}${f.bos ? ', bottom' : ''}`,
  nsh: (f) =>
    `spi ${f.spi}, si ${f.si}, ttl ${f.ttl}, md type ${f.mdtype}, next ${f.np}, flags ${f.flags}${f.c1 === undefined ? '' : `, context ${[f.c1, f.c2, f.c3, f.c4].map((word) => hex(word, 8)).join(' ')}`}`,
  arp: (f) => `op ${f.op}, ${f.sip} (${f.sha}) > ${f.tip} (${f.tha})`,
  ipv4: (f) =>
    `${f.src} > ${f.dst}, ${proto(f.proto)}, ttl ${f.ttl}, tos ${hex(f.tos, 2)}, id ${f.id}, ${f.size} bytes${f.df ? ', df' : ''}${fragment(f)}`,
  ipv6: (f) =>
    `${f.src} > ${f.dst}, ${proto(f.next)}, hop limit ${f.hlimit}, class ${hex(f.tclass, 2)}, label ${hex(f.label, 5)}, ${f.size} bytes`,
  extension: (f) => `${proto(f.kind)}, then ${proto(f.next)}${f.offset === undefined ? '' : fragment(f)}`,
  tcp: (f) => `${f.src} > ${f.dst}, ${tcpFlags(Number(f.flags))}, seq ${f.seq}, ack ${f.ack}, window ${f.window}`,
  udp: (f) => `${f.src} > ${f.dst}, ${f.size} bytes`,
  sctp: (f) => `${f.src} > ${f.dst}, tag ${hex(f.tag, 8)}`,
  icmp: (f) => `type ${f.type}, code ${f.code}${optional('id', f.id)}${optional('seq', f.seq)}`,
  igmp: (f) => `type ${hex(f.type, 2)}, code ${f.code}, group ${f.group}`,
  icmpv6: (f) => `type ${f.type}, code ${f.code}${optional('id', f.id)}${optional('seq', f.seq)}`,
  nd: (f) => `target ${f.target}${optional('source', f.sll)}${optional('target', f.tll)}`,
  payload: () => '',
  padding: () => '',
};

/** One line about one header. */
export function layerText({ name, size, fields, checksum, cut }: Layer): string {
  const title = TITLES[name].padEnd(9);
  if (cut) return `${title} cut off after ${count(size, 'byte')}`;
  const line = LINES[name](fields) || count(size, 'byte');
  return `${title} ${line}${checksum === undefined ? '' : `, checksum ${checksum}`}`;
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`;
}

/** Rules that did not match, so many of each pass; `--json` has them all. */
const PASSED_OVER_MAX = 8;

/** The whole trace. `file` names the rules; lines of it are `FILE:LINE`. */
export function formatTrace(trace: Trace, file: string): string {
  const { packet, from, notComposed, pass, result, differs } = trace;
  const lines = [`packet: ${count(packet.bytes.length, 'byte')}${from === 'key' ? ', composed for the key' : ''}`];
  lines.push(...indent(viewLines(packet)));
  if (notComposed.length > 0) lines.push(`not in the packet as the key has it: ${notComposed.join(', ')}`);
  const passes = pass === undefined ? [] : [pass];
  for (const one of passes) lines.push(...passLines(one, file, passes));
  lines.push('result:', ...indent(resultLines(result)));
  if (differs !== undefined) {
    lines.push('the steps above do not end where the datapath does, which has limits; they came to:');
    lines.push(...indent(resultLines(differs)));
  }
  return `${lines.join('\n')}\n`;
}

function indent(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${line}`);
}

function viewLines({ bytes, layers }: PacketView): string[] {
  return [...layers.map(layerText), hexBytes(bytes)];
}

/** The passes that this one leads to are put behind `passes`. */
function passLines(pass: Pass, file: string, passes: Pass[]): string[] {
  const { number, key, rule, flow, passedOver, steps, drops } = pass;
  const lines = [
    `key:    ${key}`,
    rule === undefined ? 'rule:   none, so it is dropped' : `rule:   ${placeOf(rule, file)}`,
    ...passedOver.slice(0, PASSED_OVER_MAX).map((other) => `not:    ${whyText(other, file)}`),
  ];
  if (passedOver.length > PASSED_OVER_MAX)
    lines.push(`not:    ${passedOver.length - PASSED_OVER_MAX} rules more (all of them with --json)`);
  lines.push(`looks:  ${pass.lookedAt.join(', ') || 'at nothing'}`);
  lines.push(`flow:   ${flow.match}, actions:${flow.actions}${flow.installed ? '' : ' (there already)'}`);
  lines.push(...steps.flatMap((step, index) => stepLines(step, String(index + 1), passes)));
  lines.push(...(drops ?? []).map((name) => `drop:   ${name}`));
  return [`lookup ${number}:`, ...indent(lines)];
}

function placeOf({ text, line }: { text: string; line?: number }, file: string): string {
  return line === undefined ? text : `${file}:${line}: ${text}`;
}

function whyText({ line, text, why }: PassedOver, file: string): string {
  return `${line === undefined ? text : `${file}:${line}`}: ${why}`;
}

function stepLines(step: Step, number: string, passes: Pass[]): string[] {
  const lines: string[] = [];
  if (step.packet !== undefined) lines.push(...viewLines(step.packet));
  for (const text of step.metadata ?? []) lines.push(`now ${text}`);
  for (const { port, packet } of step.outputs ?? []) lines.push(`port ${port}: ${count(packet.length, 'byte')}`);
  for (const packet of step.upcalls ?? []) lines.push(`to the handler: ${count(packet.length, 'byte')}`);
  if (step.lostCount !== undefined) lines.push(`lost: ${NOBODY}`);
  if (step.branch !== undefined) lines.push(step.branch);
  for (const [index, inner] of (step.steps ?? []).entries())
    lines.push(...stepLines(inner, `${number}.${index + 1}`, passes));
  for (const name of step.listDrops ?? []) lines.push(`drop:   ${name}`);
  if (step.pass !== undefined) {
    lines.push(`goes on with lookup ${step.pass.number}`);
    passes.push(step.pass);
  }
  for (const name of step.drops ?? []) lines.push(`drop:   ${name}`);
  return [`${number}. ${step.action}`, ...indent(lines)];
}

/** Why an upcall is lost that a flow sends. */
const NOBODY = "nobody has that port id (the datapath's own handler has 1)";

function resultLines({ outputs, upcalls, lostCount, missCount, psampleCount, drops }: TraceResult): string[] {
  const lines = outputs.map(({ port, packet }) => `port ${port}: ${count(packet.length, 'byte')} ${hexBytes(packet)}`);
  lines.push(...upcalls.map((packet) => `to the handler: ${count(packet.length, 'byte')}`));
  if (lostCount > 0) lines.push(`lost: ${count(lostCount, 'upcall')} for port ids that nobody has`);
  if (psampleCount > 0) lines.push(`psample: ${count(psampleCount, 'packet')}`);
  if (missCount > 0) lines.push(`looked up further than this trace goes: ${count(missCount, 'packet')}`);
  for (const [name, n] of Object.entries(drops)) lines.push(`drop: ${name}${n === 1 ? '' : ` ${n} times`}`);
  return lines.length === 0 ? ['nothing'] : lines;
}
