/*
 * What `ovs-ofctl parse-pcap` says of each packet: it is run on a file, and every word of every line is taken apart.
 *
 * A word that is not known here is an error, so that nothing of theirs goes unread. ofctl-key.ts finds the same fields in
 * our key.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodePcap } from '../../src/pcap/index.ts';
import { hex, isOfctlField } from './ofctl-key.ts';

/** One packet. */
export interface OfctlPacket {
  line: string;
  /** By Open vSwitch's names. */
  fields: ReadonlyMap<string, string>;
}

/** What the first word of a line stands for. */
const PROTOCOLS: Readonly<Record<string, readonly [dlType: number, nwProto?: number]>> = {
  ip: [0x0800],
  icmp: [0x0800, 1],
  igmp: [0x0800, 2],
  tcp: [0x0800, 6],
  udp: [0x0800, 17],
  sctp: [0x0800, 132],
  ipv6: [0x86dd],
  icmp6: [0x86dd, 58],
  tcp6: [0x86dd, 6],
  udp6: [0x86dd, 17],
  sctp6: [0x86dd, 132],
  arp: [0x0806],
  rarp: [0x8035],
  mpls: [0x8847],
  mplsm: [0x8848],
};

const TCP_FLAGS = ['fin', 'syn', 'rst', 'psh', 'ack', 'urg', 'ece', 'cwr', 'ns'];

/** The lines that ovs-ofctl prints for these frames, one each. Frames longer than 65,535 bytes it refuses. */
export function runOfctl(frames: readonly Uint8Array[]): OfctlPacket[] {
  const folder = mkdtempSync(join(tmpdir(), 'ofctl-'));
  try {
    const path = join(folder, 'frames.pcap');
    const records = frames.map((data, index) => ({ timeNs: BigInt(index), wireSize: data.length, data }));
    writeFileSync(path, encodePcap(records));
    return runOfctlOnFile(path);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export function runOfctlOnFile(path: string): OfctlPacket[] {
  const output = execFileSync('ovs-ofctl', ['parse-pcap', path], { encoding: 'latin1', maxBuffer: 1 << 29 });
  return output
    .split('\n')
    .filter((line) => line !== '')
    .map(parseLine);
}

/** Takes one line apart. Throws on any word that is not understood. */
export function parseLine(line: string): OfctlPacket {
  const fields = new Map<string, string>();
  for (const word of line.split(',')) {
    const equals = word.indexOf('=');
    if (equals < 0) putProtocol(word, fields, line);
    else putField(word.slice(0, equals), word.slice(equals + 1), fields, line);
  }
  return { line, fields };
}

function putProtocol(word: string, fields: Map<string, string>, line: string): void {
  const protocol = PROTOCOLS[word];
  if (protocol === undefined) throw new Error(`ovs-ofctl printed an unknown word ${word} in: ${line}`);
  fields.set('dl_type', hex(protocol[0], 4));
  if (protocol[1] !== undefined) fields.set('nw_proto', String(protocol[1]));
}

function putField(name: string, value: string, fields: Map<string, string>, line: string): void {
  if (name === 'in_port') {
    if (value !== 'ANY') throw new Error(`ovs-ofctl printed in_port=${value} in: ${line}`);
    return;
  }
  if (!isOfctlField(name) || fields.has(name)) {
    throw new Error(`ovs-ofctl printed an unknown or second field ${name} in: ${line}`);
  }
  fields.set(name, name === 'tcp_flags' ? tcpFlags(value) : value);
}

function tcpFlags(text: string): string {
  if (text === '0') return hex(0, 3);
  let flags = 0;
  for (const name of text.split('|')) {
    const unnamed = /^\[([0-9a-f]+)\]$/.exec(name);
    const bit = TCP_FLAGS.indexOf(name);
    if (unnamed === null && bit < 0) throw new Error(`ovs-ofctl printed an unknown TCP flag ${name}`);
    flags |= unnamed === null ? 1 << bit : Number.parseInt(unnamed[1], 16);
  }
  return hex(flags, 3);
}
