/*
 * Super-frames and partial checksums, cut and completed twice: by the kernel, at an interface that has all of its offloads off, and by the
 * datapath, on the way from an AF_PACKET port to a memory port. Prints for each case what it was and the frames of both, as JSON.
 *
 *     unshare -n node lab-segments.mjs SEED COUNT miss | output | push | check
 *
 * miss: every packet goes by a handler; output: by a flow; push: by a flow that puts a VLAN tag on it first, which the kernel's frames get here; check: by a
 * flow that lets only those pass whose frames on the wire are short, which of the kernel's are picked here.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Datapath } from '../../dist/src/index.js';
import { Lab, told } from './lab.mjs';

/** Ends the payload of every case, in front of its number. */
const MARK = 'c0ffee00c0ffee';
/** Everything that comes in by port 1, untagged or with the tag of the cases. */
const ALL = [
  '',
  ...['0800', '86dd'].map((type) => `,eth_type(0x8100),vlan(vid=5,pcp=5),encap(eth_type(0x${type}))`),
].map((rest) => `in_port(1)${rest}`);
/** The longest frame that is short, without its tag. */
const SHORT = 800;
/** Turns until all that came in has gone out, and until what an interface has counted has come in, at the latest. */
const DONE_TURNS = 20;
const LATE_TURNS = 5000;
const [TCPV4, TCPV6, UDP_L4, ECN] = [1, 4, 5, 0x80];

function generator(seed) {
  let state = seed >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 4_294_967_296) * limit);
  };
}

function sum16(bytes, from = 0) {
  let sum = from;
  for (let i = 0; i + 1 < bytes.length; i += 2) sum += bytes.readUInt16BE(i);
  if (bytes.length % 2 === 1) sum += bytes[bytes.length - 1] << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** TCP header and payload, or UDP's, with the sum of the pseudo header in the checksum field. */
function transport(random, { isTcp, addresses, payload }) {
  const options = isTcp ? 4 * random(11) : 0;
  const header = Buffer.alloc(isTcp ? 20 + options : 8);
  header.writeUInt16BE(1024 + random(60000), 0);
  header.writeUInt16BE(1024 + random(60000), 2);
  if (isTcp) {
    header.writeUInt32BE(random(2 ** 32), 4);
    header.writeUInt32BE(random(2 ** 32), 8);
    header[12] = ((20 + options) / 4) << 4;
    header[13] = 0x10 | random(2) | (random(2) << 3) | (random(2) << 6);
    header.writeUInt16BE(random(65536), 14);
    header.fill(1, 20);
  } else {
    header.writeUInt16BE(8 + payload.length, 4);
  }
  const pseudo = sum16(addresses, (isTcp ? 6 : 17) + header.length + payload.length);
  header.writeUInt16BE(pseudo, isTcp ? 16 : 6);
  return Buffer.concat([header, payload]);
}

function network(random, isV6, isTcp, payload) {
  const header = Buffer.alloc(isV6 ? 40 : 20 + 4 * random(3));
  const proto = isTcp ? 6 : 17;
  if (isV6) {
    header.writeUInt32BE(0x60000000 + random(2 ** 20), 0);
    header[6] = proto;
    header[7] = 1 + random(255);
    for (const at of [8, 24]) header.writeUInt32BE(0xfd000000, at);
    for (let i = 12; i < 24; i++) header[i] = random(256);
    for (let i = 28; i < 40; i++) header[i] = random(256);
  } else {
    header[0] = 0x40 | (header.length / 4);
    header[1] = random(64) << 2;
    header.writeUInt16BE(random(65536), 4);
    header.writeUInt16BE(random(2) << 14, 6);
    header[8] = 1 + random(255);
    header[9] = proto;
    for (let i = 12; i < 20; i++) header[i] = 1 + random(250);
    header.fill(1, 20);
  }
  const addresses = isV6 ? header.subarray(8, 40) : header.subarray(12, 20);
  const body = transport(random, { isTcp, addresses, payload });
  header.writeUInt16BE(isV6 ? body.length : header.length + body.length, isV6 ? 4 : 2);
  if (!isV6) header.writeUInt16BE(~sum16(header) & 0xffff, 10);
  return { header, body };
}

/** A frame behind its virtio_net_hdr. */
function makeCase(random, index) {
  const [isV6, isTcp, isGso, isTagged] = [random(2) === 1, random(2) === 1, random(4) > 0, random(4) === 0];
  const segment = 200 + random(1200);
  // a datagram may not become more than 64 segments
  const size = isGso ? segment + 1 + random(Math.min(60_000, segment * (isTcp ? 40 : 50)) - segment) : random(1300);
  const payload = Buffer.alloc(Math.max(size, 16));
  for (let i = 0; i < payload.length; i++) payload[i] = random(256);
  // every segment has the mark and the number of the case
  const tag = Buffer.from(`${MARK}${index.toString(16).padStart(4, '0')}`, 'hex');
  for (let at = 0; at + tag.length <= payload.length; at += isGso ? segment : payload.length) tag.copy(payload, at);
  const { header, body } = network(random, isV6, isTcp, payload);
  const ethernet = Buffer.from(`020000000002020000000001${isTagged ? '8100a005' : ''}${isV6 ? '86dd' : '0800'}`, 'hex');
  const start = ethernet.length + header.length;
  const vnet = Buffer.alloc(10);
  vnet[0] = 1;
  const ecn = isTcp && random(3) === 0 ? ECN : 0;
  if (isGso) {
    vnet[1] = isTcp ? (isV6 ? TCPV6 : TCPV4) | ecn : UDP_L4;
    if (ecn !== 0) body[13] |= 0x80;
    vnet.writeUInt16LE(segment, 4);
  }
  vnet.writeUInt16LE(start + (isTcp ? (body[12] >> 4) * 4 : 8), 2);
  vnet.writeUInt16LE(start, 6);
  vnet.writeUInt16LE(isTcp ? 16 : 6, 8);
  const name = [
    isV6 ? 'IPv6' : 'IPv4',
    isTcp ? 'TCP' : 'UDP',
    isGso ? `${payload.length}/${segment}` : 'whole',
    isTagged ? 'tagged' : '',
  ]
    .concat(ecn ? 'ECN' : '')
    .join(' ');
  return { name, hex: Buffer.concat([vnet, ethernet, header, body]).toString('hex') };
}

const caseOf = (frame) => Number.parseInt(frame.slice(frame.indexOf(MARK) + MARK.length).slice(0, 4), 16);

/** What the kernel makes of the cases: sent out of an interface without offloads, heard at its other end. */
async function byTheKernel(lab, cases) {
  const sender = lab.host('plain');
  for (const offload of ['tx', 'tso', 'gso', 'gro', 'txvlan', 'tx-udp-segmentation'])
    lab.attempt(sender, 'ethtool', '-K', 'eth0', offload, 'off');
  const here = { pid: process.pid };
  const listening = await lab.startTraffic(here, 'raw-listen', 'plain', MARK, 1_000_000);
  const { refused } = await lab.trafficOf(
    cases.map(({ hex }) => hex),
    sender,
    'vnet-send',
    'eth0',
  );
  listening.child.kill('SIGTERM'); // it goes on until it has heard what the interface has counted
  return { refused, frames: told(await listening.ended).frames };
}

/** Packets that an interface of this namespace has counted. */
function receivedBy(name) {
  return Number(new RegExp(`^ *${name}: *\\d+ +(\\d+)`, 'm').exec(readFileSync('/proc/net/dev', 'utf8'))[1]);
}

/** What the datapath makes of them. */
async function byTheDatapath(lab, cases, way) {
  const sender = lab.host('super');
  const datapath = await Datapath.open({ workers: 0 });
  const frames = [];
  const before = receivedBy('super');
  const port = await datapath.ports.addSpec('super,type=afpacket');
  const isHeard = () => port.stats().rxPackets + port.kernelDrops >= receivedBy('super') - before;
  const out = datapath.ports.add('out', { frameSize: 2048, slots: 8192 });
  if (way === 'miss') await datapath.onUpcall(() => ({ actions: String(out.portNo), install: false }));
  const { portNo } = out;
  const lists = {
    push: `push_vlan(vid=7,pcp=0),${portNo}`,
    check: `check_pkt_len(size=${SHORT},gt(drop),le(${portNo}))`,
  };
  const actions = lists[way] ?? String(portNo);
  for (const match of way === 'miss' ? [] : ALL) datapath.flows.put(match, actions);
  const sending = lab.trafficOf(
    cases.map(({ hex }) => hex),
    sender,
    'vnet-send',
    'eth0',
  );
  let isDone = false;
  sending.then(() => {
    isDone = true;
  });
  for (let idle = 0; idle < (isHeard() ? DONE_TURNS : LATE_TURNS); idle = isDone ? idle + 1 : 0) {
    datapath.poll();
    for (const frame of out.receive()) frames.push(Buffer.from(frame).toString('hex'));
    await sleep(2);
  }
  const stats = datapath.stats();
  await datapath.close();
  return { refused: (await sending).refused, frames: frames.filter((frame) => frame.includes(MARK)), stats };
}

const [seed, count, way] = process.argv.slice(2);
const random = generator(Number(seed));
const lab = new Lab();
const cases = Array.from({ length: Number(count) }, (_, index) => makeCase(random, index));
const kernel = await byTheKernel(lab, cases);
const ours = await byTheDatapath(lab, cases, way);
lab.close();
const withTag = (frame) => (way === 'push' ? `${frame.slice(0, 24)}81000007${frame.slice(24)}` : frame);
/** Its headers, its size and a digest: enough to see where two differ, and short. */
const outline = (frame) =>
  `${frame.slice(0, 132)} ${frame.length / 2} ${createHash('sha256').update(frame).digest('hex').slice(0, 16)}`;
const isShort = (frame) => frame.length / 2 - (frame.slice(24, 28) === '8100' ? 4 : 0) <= SHORT;
const passing = (frames) => (way !== 'check' || frames.every(isShort) ? frames : []);
const framesOf = ({ frames }, index) => frames.filter((frame) => caseOf(frame) === index);
const results = cases.map(({ name }, index) => ({
  name,
  kernel: passing(framesOf(kernel, index)).map(withTag).map(outline),
  ours: framesOf(ours, index).map(outline),
}));
process.stdout.write(
  `${JSON.stringify({ refused: kernel.refused, oursRefused: ours.refused, results, stats: ours.stats })}\n`,
);
