/*
 * What XDP programs forward by themselves (the option `offload` of AF_XDP ports). One wire in, several out, all their far ends in this namespace and in the hands of a
 * second datapath, which sends and catches. Prints what was seen, as JSON.
 *
 *     unshare -n node lab-offload.mjs frames FILE ROUNDS on|off
 *         sends every frame of FILE (a JSON array of hexadecimal texts) ROUNDS times; a handler picks each one's port by a hash of its whole key
 *     unshare -n node lab-offload.mjs changes
 *         one flow, and what can happen to it
 *     unshare -n node lab-offload.mjs churn SECONDS
 *         many flows that are put, changed and removed while packets come
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Datapath, exactMask, parseRules, staticRules } from '../../dist/src/index.js';
import { until as comesTo, ip } from './lab.mjs';

const OUTS = 3;
const WIRES = ['in', ...Array.from({ length: OUTS }, (_, i) => `out${i}`)];
const far = (wire) => `${wire}-far`;
const SETTLE_MS = 20;
/** Times that in which nothing moves any more, when not all that was sent has been caught. */
const STILL = 20;
/** Bursts until the datapath has heard of a new MTU, at most. */
const TURNS_MAX = 200;

function makeWires() {
  execFileSync('sysctl', ['-qw', 'net.ipv6.conf.all.disable_ipv6=1', 'net.ipv6.conf.default.disable_ipv6=1']);
  for (const wire of WIRES) {
    ip('link', 'add', wire, 'type', 'veth', 'peer', 'name', far(wire));
    for (const name of [wire, far(wire)]) ip('link', 'set', name, 'up');
    takesXdpFrames(wire, true);
  }
}

/** A veth takes frames of XDP programs while its peer polls (NAPI), which GRO switches on. */
function takesXdpFrames(wire, isOn) {
  execFileSync('ethtool', ['-K', far(wire), 'gro', isOn ? 'on' : 'off']);
}

/** The datapath on the far ends: `send` puts a frame on the wire `in`, `caught(i)` takes what came by `out<i>`. */
async function openFar() {
  const datapath = await Datapath.open({ workers: 0, idleTimeoutMs: 0, arenaSize: 268435456 });
  const memory = WIRES.map((wire) => datapath.ports.add(`m-${wire}`, { slots: 4096, frameSize: 2048 }));
  const rules = [];
  const fars = [];
  for (const [i, wire] of WIRES.entries()) {
    const port = await datapath.ports.addSpec(`${far(wire)},type=afpacket`);
    fars.push(port);
    rules.push(i === 0 ? [memory[0].portNo, port.portNo] : [port.portNo, memory[i].portNo]);
  }
  const text = rules.map(([from, to]) => `in_port(${from}) actions:${to}`).join('\n');
  await datapath.onUpcall(staticRules(parseRules(text, 'rules'), 'rules'));
  await datapath.start();
  return {
    send: (frame) => memory[0].send(frame),
    arrived: () => fars.slice(1).reduce((sum, port) => sum + port.stats().rxPackets, 0),
    caught: (i) => memory[i + 1].receive().map((frame) => Buffer.from(frame).toString('hex')),
    close: () => datapath.close(),
  };
}

async function openNear(offload, options = {}) {
  const datapath = await Datapath.open({ workers: 1, idleTimeoutMs: 0, ...options });
  for (const [i, wire] of WIRES.entries())
    await datapath.ports.addSpec(`${wire},type=afxdp,offload=${offload}`, { portNo: i + 1 });
  return datapath;
}

const outPort = (i) => i + 2;

async function until(isSo, what) {
  if (!(await comesTo(isSo, 2))) throw new Error(`never happened: ${what}`);
}

/** Frames that were sent and did not arrive: a device drops those that are longer than its MTU. */
let lost = 0;

/** Until what the near datapath has sent is caught or lost, and nothing more comes. */
async function settled(datapath, ends) {
  const state = () => [datapath.stats().received, datapath.stats().transmitted, ends.arrived()];
  let before = [];
  for (let still = 0; still < STILL; ) {
    await sleep(SETTLE_MS);
    const now = state();
    const isStill = now.every((count, i) => count === before[i]);
    before = now;
    if (isStill && now[1] - now[2] === lost) return;
    still = isStill ? still + 1 : 0;
  }
  lost = before[1] - before[2];
}

function told(result) {
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

// ---------------------------------------------------------------------------------------------------- frames

function hashOf(bytes) {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

async function compareFrames(file, rounds, offload) {
  const frames = JSON.parse(readFileSync(file, 'utf8')).map((text) => Buffer.from(text, 'hex'));
  makeWires();
  const datapath = await openNear(offload);
  await datapath.onUpcall(({ flatKey }) => ({
    actions: String(outPort(hashOf(flatKey) % OUTS)),
    mask: exactMask(flatKey),
  }));
  await datapath.start();
  const ends = await openFar();
  const caught = Array.from({ length: OUTS }, () => []);
  const hits = [];
  for (let round = 1; round <= rounds; round++) {
    for (const [i, frame] of frames.entries()) {
      ends.send(frame);
      if (i % 256 === 255)
        await until(() => datapath.stats().received === (round - 1) * frames.length + i + 1, 'receipt');
    }
    await until(() => datapath.stats().received === round * frames.length, `round ${round}`);
    await until(() => datapath.stats().upcallsPending === 0, 'answers');
    await settled(datapath, ends);
    for (const [i, frameList] of caught.entries()) frameList.push(...ends.caught(i));
    hits.push(datapath.stats().hits);
  }
  await datapath.stop();
  const stats = datapath.stats();
  const ports = [...datapath.ports].map((port) => port.stats());
  const check = datapath.check();
  await ends.close();
  await datapath.close();
  told({ caught: caught.map((list) => list.sort()), hits, stats, ports, check, after: datapath.stats().hits });
}

// ---------------------------------------------------------------------------------------------------- changes

const MAC = '020000000001020000000002';
const UDP_PORTS = '04000401';

/** UDP over IPv4 without a checksum, `size` bytes of payload, from a source port. */
function udpFrame(sourcePort, size = 18) {
  const length = (n) => n.toString(16).padStart(4, '0');
  const header = `4500${length(28 + size)}00000000401100000a0000010a000002`;
  return Buffer.from(`${MAC}0800${header}${length(sourcePort)}0401${length(8 + size)}0000${'00'.repeat(size)}`, 'hex');
}

async function changes() {
  makeWires();
  const datapath = await openNear('on');
  const ends = await openFar();
  const frame = Buffer.from(udpFrame(0x0400));
  const match = 'in_port(1),eth_type(0x0800),ipv4(proto=17)';
  const outcomes = { frame: frame.toString('hex').includes(UDP_PORTS) };
  let upcalls = 0;
  await datapath.onUpcall(() => {
    upcalls++;
    return { actions: '' };
  });
  datapath.flows.put(match, String(outPort(0)));
  await datapath.start();

  /** Sends `n` frames; what came out where, how many of them the programs forwarded, and how many were dropped and told to the handler. */
  const burst = async (n = 20, what = frame) => {
    const before = datapath.stats();
    const upcallsBefore = upcalls;
    for (let i = 0; i < n; i++) ends.send(what);
    await until(() => datapath.stats().received >= before.received + n, 'receipt of a burst');
    await settled(datapath, ends);
    const after = datapath.stats();
    const drops = Object.entries(after.drops).filter(([name, count]) => count > before.drops[name]);
    return {
      out: Array.from({ length: OUTS }, (_, i) => ends.caught(i).length),
      offload: after.hits.offload - before.hits.offload,
      drops: Object.fromEntries(drops.map(([name, count]) => [name, count - before.drops[name]])),
      upcalls: upcalls - upcallsBefore,
    };
  };
  /** Until the port knows whether its interface takes frames of XDP programs. */
  const takes = (is) =>
    until(() => datapath.ports.get('out0').describe().includes('no XDP') !== is, is ? 'XDP frames' : 'no XDP frames');
  /** The first ones make the flow hot. */
  const warm = async () => {
    for (let i = 0; i < 4; i++) await burst(1);
  };

  await warm();
  outcomes.hot = await burst();
  const { packets, bytes } = datapath.flows.get(match).stats;
  outcomes.counted = { packets, bytes, size: frame.length };
  outcomes.port = datapath.ports.get(1).stats();

  datapath.flows.put(match, String(outPort(1)));
  outcomes.changed = await burst();
  outcomes.hotAgain = await burst();
  const again = datapath.flows.get(match).stats;
  outcomes.countedOn = again.packets;

  datapath.flows.put(match, `${outPort(0)},${outPort(1)}`);
  outcomes.two = await burst();
  datapath.flows.put(match, String(outPort(0)));
  await warm();

  // a second flow of another length of the same key: nothing of the frame but its key decides
  outcomes.long = await burst(20, udpFrame(0x0400, 1400));
  ip('link', 'set', 'out0', 'mtu', '1000');
  for (let turn = 0; turn < TURNS_MAX && (await burst(4, udpFrame(0x0400, 1400))).offload > 0; turn++);
  await burst(4, udpFrame(0x0400, 900));
  outcomes.fits = await burst(20, udpFrame(0x0400, 900));
  outcomes.tooLong = await burst(20, udpFrame(0x0400, 1400));
  ip('link', 'set', 'out0', 'mtu', '1500');

  takesXdpFrames('out0', false);
  await takes(false);
  outcomes.noXdpFrames = await burst();
  outcomes.described = datapath.ports.get('out0').describe();
  takesXdpFrames('out0', true);
  await takes(true);
  await warm();
  outcomes.xdpFramesAgain = await burst();

  ip('link', 'set', 'out0', 'down');
  await takes(false);
  outcomes.down = await burst();
  ip('link', 'set', 'out0', 'up');
  await takes(true);
  await warm();
  outcomes.up = await burst();

  await datapath.ports.remove('out0');
  outcomes.removed = await burst();
  await datapath.ports.addSpec('out0,type=afxdp,offload=on', { portNo: outPort(0) });
  await warm();
  outcomes.added = await burst();

  // without workers: what is hot needs none
  await datapath.stop();
  const before = datapath.stats().hits.offload;
  for (let i = 0; i < 20; i++) ends.send(frame);
  await until(() => datapath.stats().hits.offload === before + 20, 'forwarding without workers');
  await settled(datapath, ends);
  outcomes.stopped = ends.caught(0).length;
  await datapath.start();

  datapath.flows.delete(match);
  outcomes.deleted = await burst();
  datapath.flows.flush();

  // ageing goes by what the programs forwarded
  datapath.flows.put(match, String(outPort(0)), { idleTimeoutMs: 2000 });
  await warm();
  for (let i = 0; i < 20; i++) {
    await burst(1);
    await sleep(100);
  }
  outcomes.aged = { kept: datapath.flows.get(match) !== undefined, hot: (await burst()).offload };
  await until(() => datapath.flows.get(match) === undefined, 'ageing');

  await datapath.stop();
  const [stats, check] = [datapath.stats(), datapath.check()];
  await ends.close();
  await datapath.close();
  told({ outcomes, stats, check });
}

// ---------------------------------------------------------------------------------------------------- churn

async function churn(seconds) {
  const FLOWS = 64;
  makeWires();
  const datapath = await openNear('on', { flows: 256 });
  const ends = await openFar();
  await datapath.onUpcall(() => ({ actions: '', install: false }));
  await datapath.start();
  const match = (i) => `in_port(1),eth_type(0x0800),ipv4(proto=17),udp(src=${1024 + i})`;
  const frames = Array.from({ length: FLOWS }, (_, i) => udpFrame(1024 + i));
  const end = performance.now() + seconds * 1000;
  let state = 1;
  const below = (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 4294967296) * n);
  };
  let sent = 0;
  let removedPackets = 0;
  const lostCaught = Array.from({ length: OUTS }, () => 0);
  while (performance.now() < end) {
    for (let n = 0; n < 64; n++) if (ends.send(frames[below(FLOWS)])) sent++;
    const flow = match(below(FLOWS));
    if (below(3) === 0) {
      removedPackets += datapath.flows.get(flow)?.stats.packets ?? 0;
      datapath.flows.delete(flow);
    } else datapath.flows.put(flow, String(outPort(below(OUTS))));
    await sleep(1);
    for (let i = 0; i < OUTS; i++) lostCaught[i] += ends.caught(i).length;
  }
  await until(() => datapath.stats().received === sent, 'receipt of everything');
  await settled(datapath, ends);
  for (let i = 0; i < OUTS; i++) lostCaught[i] += ends.caught(i).length;
  await datapath.stop();
  const [stats, check] = [datapath.stats(), datapath.check()];
  const ports = [...datapath.ports].map((port) => port.stats());
  await ends.close();
  await datapath.close();
  told({ sent, caught: lostCaught, removedPackets, ports, stats, check });
}

const [, , what, ...rest] = process.argv;
if (what === 'frames') await compareFrames(rest[0], Number(rest[1]), rest[2]);
else if (what === 'changes') await changes();
else await churn(Number(rest[0]));
