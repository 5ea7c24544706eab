/*
 * The layers of a trace beside tshark, field by field and with its verdict on each checksum: captures, one frame of each protocol, frames with a byte
 * changed, and what actions made of frames. And the law that layers tile a packet, whatever is in it. SEED sets the seed.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openKeyExtractor } from '../src/cli/key-extractor.ts';
import {
  composePacket,
  describeLayers,
  encodePcap,
  type Layer,
  type LayerName,
  layerText,
  readPcap,
  type Step,
  tracePacket,
} from '../src/index.ts';
import { parseRules } from '../src/upcall/static.ts';
import { frames, malformedCorpus, Random, samples } from './support/frames.ts';
import { requireProgram } from './support/require.ts';

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2147483647));
const TILED_COUNT = 20_000;
const capturesFolder = new URL('../examples/captures/', import.meta.url).pathname;
const missing = requireProgram('tshark');

/** Layer, tshark's name of the protocol, and its fields: our name, or our name = tshark's. */
const TABLE: readonly (readonly [LayerName, string, string])[] = [
  ['ethernet', 'eth', 'dst src'],
  ['vlan', 'vlan', 'vid=id pcp=priority dei'],
  ['vlan', 'ieee8021ad', 'vid=id pcp=priority dei'],
  ['mpls', 'mpls', 'label tc=exp bos=bottom ttl'],
  ['nsh', 'nsh', 'spi si ttl mdtype np=nextproto'],
  ['arp', 'arp', 'op=opcode sha=src.hw_mac sip=src.proto_ipv4 tha=dst.hw_mac tip=dst.proto_ipv4'],
  ['ipv4', 'ip', 'src dst proto ttl tos=dsfield size=len id df=flags.df more=flags.mf offset=frag_offset checksum'],
  ['ipv6', 'ipv6', 'src dst next=nxt hlimit=hlim tclass label=flow size=plen'],
  ['tcp', 'tcp', 'src=srcport dst=dstport seq=seq_raw ack=ack_raw flags window=window_size_value checksum'],
  ['udp', 'udp', 'src=srcport dst=dstport size=length checksum'],
  ['sctp', 'sctp', 'src=srcport dst=dstport tag=verification_tag checksum'],
  ['icmp', 'icmp', 'type code checksum'],
  ['igmp', 'igmp', 'type checksum'],
  ['icmpv6', 'icmpv6', 'type code checksum'],
];
const FIELDS = TABLE.flatMap(([layer, protocol, names]) =>
  names.split(' ').map((name) => {
    const [field, other = field] = name.split('=');
    return { layer, protocol, field, tshark: `${protocol}.${other}${field === 'checksum' ? '.status' : ''}` };
  }),
);

/** tshark's words for the state of a checksum: bad, good, not looked at, not there. */
const STATES = { bad: 0, ok: 1, unchecked: 2, none: 3 };

/** A row of columns for each frame. */
function runTshark(packets: readonly Uint8Array[]): string[][] {
  const folder = mkdtempSync(join(tmpdir(), 'trace-tshark-'));
  try {
    const path = join(folder, 'frames.pcap');
    writeFileSync(path, encodePcap(packets.map((data, n) => ({ timeNs: BigInt(n), wireSize: data.length, data }))));
    const checks = ['ip', 'tcp', 'udp'].flatMap((name) => ['-o', `${name}.check_checksum:TRUE`]);
    const plain = ['ip.defragment', 'ipv6.defragment'].flatMap((name) => ['-o', `${name}:FALSE`]);
    const fields = FIELDS.flatMap(({ tshark }) => ['-e', tshark]);
    const options = [...checks, ...plain, '-o', 'sctp.checksum:CRC 32c', '-T', 'fields', ...fields];
    const text = execFileSync('tshark', ['-n', '-r', path, ...options], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      maxBuffer: 1 << 29,
    });
    const rows = text.split('\n').slice(0, -1);
    return rows.map((row) => row.split('\t'));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function fieldOf(layer: Layer, field: string): number | string | undefined {
  return field === 'checksum' ? layer.checksum && STATES[layer.checksum] : layer.fields[field];
}

function theirs(text: string): (number | string)[] {
  if (text === '') return [];
  return text.split(',').map((value) => {
    if (value === 'True' || value === 'False') return Number(value === 'True');
    return /^(0x[0-9a-f]+|\d+)$/.test(value) ? Number(value) : value;
  });
}

/** Compares what both know; returns how many values. tshark goes on in what a header quotes or carries. */
function compare(frame: Uint8Array, row: readonly string[]): number {
  const layers = describeLayers(frame).filter(({ cut }) => !cut);
  let count = 0;
  for (const [column, { layer: name, protocol, field, tshark }] of FIELDS.entries()) {
    const ours = layers
      .filter((layer) => layer.name === name)
      .filter((layer) => name !== 'vlan' || (layer.fields.tpid === 0x88a8) === (protocol === 'ieee8021ad'))
      .map((layer) => fieldOf(layer, field));
    const got = theirs(row[column]).slice(0, ours.length);
    // in units of 8 bytes there
    if (field === 'offset') for (const i of got.keys()) got[i] = Number(got[i]) * 8;
    if (field === 'checksum') {
      // no checksum over IPv6: against the rules there, not there here
      for (const [i, state] of got.entries()) if (state === 4) got[i] = STATES.none;
      // what we leave alone, because it is cut or a fragment, tshark may judge by what is there
      for (const [i, state] of ours.entries()) if (state === STATES.unchecked) got[i] = state;
    }
    const place = `${tshark} of ${Buffer.from(frame).toString('hex')}`;
    expect(ours, place).toEqual(got);
    count += ours.length;
  }
  return count;
}

function capturedFrames(): Uint8Array[] {
  return readdirSync(capturesFolder)
    .filter((name) => name.endsWith('.pcap'))
    .flatMap((name) => readPcap(readFileSync(join(capturesFolder, name))).records.slice(0, 200))
    .map(({ data }) => new Uint8Array(data));
}

/** Every packet that a step left. */
function packetsOf(steps: readonly Step[]): Uint8Array[] {
  return steps.flatMap(({ packet, steps: inner, pass }) => [
    ...(packet === undefined ? [] : [packet.bytes]),
    ...packetsOf(inner ?? []),
    ...packetsOf(pass?.steps ?? []),
  ]);
}

test.skipIf(missing !== undefined)(`tshark sees the same headers, SEED=${SEED}`, () => {
  const random = new Random(SEED);
  const changed = samples().map(({ frame }) => {
    const bytes = frame.slice();
    bytes[bytes.length - 1 - random.below(8)] ^= 1 + random.below(255);
    return bytes;
  });
  const all = [...samples().map(({ frame }) => frame), ...capturedFrames(), ...changed];
  const rows = runTshark(all);
  expect(rows.length).toBe(all.length);
  let count = 0;
  for (const [n, frame] of all.entries()) count += compare(frame, rows[n]);
  console.log(`${count} values of ${all.length} frames compared with tshark`);
  expect(count).toBeGreaterThan(5000);
});

const CHANGES = [
  'in_port(1) actions:push_vlan(vid=10,pcp=3),push_vlan(tpid=0x88a8,vid=20,pcp=1),pop_vlan,2',
  'in_port(1),eth_type(0x0800),ipv4() actions:push_mpls(label=100,tc=3,ttl=64,bos=1,eth_type=0x8847),2',
  'in_port(1),eth_type(0x86dd),ipv6() actions:pop_eth,push_nsh(flags=0,ttl=63,mdtype=1,np=3,spi=5,si=255,c1=1,c2=2,c3=3,c4=4),push_eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),2',
  'in_port(1) actions:dec_ttl(le_1()),set(eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02)),clone(push_vlan(vid=7,pcp=0),2),recirc(0x1)',
  'eth_type(0x0800),ipv4(frag=no) actions:set(ipv4(src=1.2.3.4,dst=5.6.7.8,tos=0x4,ttl=9)),2',
  'eth_type(0x86dd),ipv6(frag=no) actions:set(ipv6(src=fe80::1,dst=fe80::2,hlimit=9)),2',
  'eth_type(0x0800),ipv4(proto=17,frag=no),udp() actions:set(udp(src=1,dst=2)),2',
  'eth_type(0x0800),ipv4(proto=6,frag=no),tcp() actions:set(tcp(src=1,dst=2)),2',
  'eth_type(0x0800),ipv4(proto=132,frag=no),sctp() actions:set(sctp(src=1,dst=2)),2',
];

test.skipIf(missing !== undefined)('tshark finds good checksums in what actions made', async () => {
  const extractor = openKeyExtractor();
  // with all checksums right, which not every sample has
  const sound = samples()
    .filter(({ name }) => /^ipv[46]-(udp|tcp|sctp|icmp)|arp-request/.test(name))
    .map(({ frame }) => composePacket(extractor.extractKey(frame, 1)!));
  const packets: Uint8Array[] = [];
  for (const rule of CHANGES) {
    const rules = parseRules(`priority=9 recirc_id(0x1) actions:set(skb_mark(0x1)),2\n${rule}`, 'rules');
    for (const frame of sound) {
      const trace = await tracePacket(rules, frame);
      expect(trace.differs).toBeUndefined();
      packets.push(...packetsOf(trace.pass?.steps ?? []));
    }
  }
  const rows = runTshark(packets);
  let count = 0;
  for (const [n, packet] of packets.entries()) {
    count += compare(packet, rows[n]);
    for (const [column, { field, tshark }] of FIELDS.entries())
      if (field === 'checksum')
        expect(theirs(rows[n][column]).slice(0, 1), `${tshark} of ${Buffer.from(packet).toString('hex')}`).not.toEqual([
          0,
        ]);
  }
  console.log(`${count} values of ${packets.length} changed packets compared with tshark`);
  expect(packets.length).toBeGreaterThan(80);
});

test(`layers lie one behind the other and fill the packet, SEED=${SEED}`, () => {
  const random = new Random(SEED);
  const generated = frames(SEED);
  const all = malformedCorpus().map(({ frame }) => frame);
  for (let i = 0; i < TILED_COUNT; i++) {
    const bytes = generated.next().value.slice();
    if (i % 2 === 1 && bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256);
    all.push(i % 3 === 0 ? bytes.subarray(0, random.below(bytes.length + 1)) : bytes);
  }
  for (const [n, frame] of all.entries()) {
    const layers = describeLayers(frame, n % 5 === 0 ? [0x0800, 0x86dd, 0x8847, 0x894f][n % 4] : undefined);
    let at = 0;
    for (const layer of layers) {
      const right = layer.at === at && layer.size > 0 && !/undefined|NaN/.test(layerText(layer));
      if (!right) expect.fail(`${layerText(layer)} at ${layer.at} of ${Buffer.from(frame).toString('hex')}`);
      at += layer.size;
    }
    if (at !== frame.length) expect.fail(`${at} bytes of ${Buffer.from(frame).toString('hex')}`);
  }
});
