/*
 * What two hosts do to each other in the lab, whatever switch is between them: names and outcomes, all of which are the same in every run that
 * goes well. Run as a program it connects the hosts by the switch that its argument names and prints the outcomes as JSON:
 *
 *     unshare -n node lab-exercise.mjs bridge | afpacket[,OPTION...] | afxdp[,OPTION...] | tap[,OPTION...] [static]
 *
 * With `static` the datapath goes by two rules, from either port to the other, that its worker itself answers misses by; else it learns.
 */

import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { Datapath, learning, parseRules, staticRules } from '../../dist/src/index.js';
import { ip, Lab, PATIENCE_S, told } from './lab.mjs';

const MIB = 1048576;
/** What hosts say before there are ports. */
const BEFORE_PORTS_MAX = 5;
/** Times that nothing more comes in until something is lost. */
const STILL_MAX = 25;
const RULES = 'in_port(1) actions:2\nin_port(2) actions:1\n';
/** Stands in every raw frame, so that it is told apart from what the hosts say on their own. */
const MARK = 'c0ffee00c0ffee';

/** Whether three pings are answered; more are sent while the first find their way. */
async function ping(lab, from, to, ...options) {
  const { stdout } = await lab.start(from, 'ping', '-c', '3', '-i', '0.02', '-w', String(PATIENCE_S), ...options, to)
    .ended;
  return Number(/ (\d+) received/.exec(stdout)?.[1] ?? 0) >= 3;
}

/** Ethernet frames from `a` to `b`: plain, of the smallest size, tagged, tagged twice, a priority tag, an 802.1ad tag. */
function rawFrames(a, b) {
  const addresses = `${b.mac}${a.mac}`.replaceAll(':', '');
  const payload = MARK.padEnd(92, '0');
  return ['', '81000005', '8100a0058100a006', '8100e000', '88a80005', '88a8000581000006'].map(
    (tags) => `${addresses}${tags}88b5${payload}`,
  );
}

async function rawExchange(lab, a, b) {
  const frames = rawFrames(a, b);
  const listening = await lab.startTraffic(b, 'raw-listen', 'eth0', MARK, frames.length);
  await lab.traffic(a, 'raw-send', 'eth0', 1, ...frames);
  // a packet that waits for its upcall may be overtaken by the next one, which finds the flow: sorted
  return told(await listening.ended).frames.sort();
}

/** The wire of a host with a TAP device is its own. */
const isHere = (name) => spawnSync('ip', ['link', 'show', 'dev', name]).status === 0;

/** Everything two hosts can do to each other. `a` and `b` have 10.0.0.1 and 10.0.0.2, fd00::1 and fd00::2. */
export async function exercise(lab, a, b) {
  const outcomes = {
    arpAndPing: await ping(lab, a, '10.0.0.2'),
    ping6: await ping(lab, b, 'fd00::1'),
    fragments: await ping(lab, a, '10.0.0.2', '-s', '6000'),
    fragments6: await ping(lab, b, 'fd00::1', '-s', '6000'),
  };
  for (const size of [1, 18, 63, 64, 1471, 1472, 1473])
    outcomes[`ping ${size}`] = await ping(lab, a, '10.0.0.2', '-s', String(size));
  for (const address of ['10.0.0.2', 'fd00::2']) {
    const echo = await lab.startTraffic(b, 'udp-echo', address, 4000);
    outcomes[`udp ${address}`] = await lab.traffic(a, 'udp-ask', address, 4000, 300, 0, 1400);
    outcomes[`udp in fragments ${address}`] = await lab.traffic(a, 'udp-ask', address, 4000, 20, 2000, 30000);
    echo.child.kill();
    await lab.startTraffic(b, 'tcp-serve', address, 5000, 1);
    outcomes[`tcp ${address}`] = await lab.traffic(a, 'tcp-send', address, 5000, 24 * MIB);
  }
  await lab.startTraffic(a, 'tcp-serve', '10.0.0.1', 5001, 1);
  outcomes['tcp back'] = await lab.traffic(b, 'tcp-send', '10.0.0.1', 5001, 24 * MIB);
  outcomes.raw = await rawExchange(lab, a, b);
  return outcomes;
}

/** Frames of up to 9,000 bytes, which not every kind of port takes. */
export async function exerciseJumbo(lab, a, b) {
  const outcomes = {};
  for (const host of lab.hosts) {
    if (isHere(host.name)) ip('link', 'set', 'dev', host.name, 'mtu', '9000');
    lab.run(host, 'ip', 'link', 'set', 'eth0', 'mtu', '9000');
  }
  outcomes.jumbo = await ping(lab, a, '10.0.0.2', '-M', 'do', '-s', '8900');
  await lab.startTraffic(b, 'tcp-serve', '10.0.0.2', 5002, 1);
  outcomes['tcp jumbo'] = await lab.traffic(a, 'tcp-send', '10.0.0.2', 5002, 8 * MIB);
  return outcomes;
}

/** Two hosts for `exercise`. */
export function twoHosts(lab) {
  const a = lab.host('h1', { ipv4: '10.0.0.1/24', ipv6: 'fd00::1/64' });
  const b = lab.host('h2', { ipv4: '10.0.0.2/24', ipv6: 'fd00::2/64' });
  return [a, b];
}

/** Host `h<n>`, 10.0.0.n, on a wire whose ends have so many queues. */
export function hostWithQueues(lab, n, queues) {
  const host = lab.hostWithout(`h${n}`, { ipv4: `10.0.0.${n}/24` });
  wire(lab, host, queues);
  return host;
}

/** Its wire, also when the one before is gone. */
export function wire(lab, host, queues) {
  const count = ['numtxqueues', String(queues), 'numrxqueues', String(queues)];
  const peer = ['peer', 'name', 'eth0', 'netns', String(host.pid), ...count];
  ip('link', 'add', 'name', host.name, ...count, 'type', 'veth', ...peer);
  ip('link', 'set', 'dev', host.name, 'up');
  lab.configure(host);
}

/** Connects all wires of the lab by a datapath with ports of the type and the options that `spec` names. `ready` is called before it forwards anything. */
export async function datapathBetween(lab, spec, options = {}, handler = learning(), ready = () => {}) {
  if (spec.includes('offload')) lab.takeXdpFrames();
  const datapath = await Datapath.open({ workers: 1, ...options });
  await datapath.onUpcall(handler);
  await addPorts(datapath, lab.hosts, spec);
  ready();
  await datapath.start();
  return datapath;
}

/** The same of two hosts without a handler: whatever comes from either goes to the other. */
export async function datapathByFlows(lab, spec, options = {}) {
  const datapath = await Datapath.open({ workers: 1, idleTimeoutMs: 0, ...options });
  await addPorts(datapath, lab.hosts, spec);
  datapath.flows.put('in_port(1)', '2');
  datapath.flows.put('in_port(2)', '1');
  await datapath.start();
  return datapath;
}

async function addPorts(datapath, hosts, spec) {
  const [type, ...rest] = spec.split(',');
  for (const { name } of hosts) await datapath.ports.addSpec([name, `type=${type}`, ...rest].join(','));
}

/** The same with TAP devices, whose interfaces the hosts get: both of them before the first one's neighbour discovery finds the other one down. */
async function tapsBetween(lab, spec, handler) {
  const hosts = [1, 2].map((n) => lab.hostWithout(`h${n}`, { ipv4: `10.0.0.${n}/24`, ipv6: `fd00::${n}/64` }));
  const datapath = await datapathBetween(lab, spec, {}, handler, () => {
    for (const host of hosts) lab.give(host, host.name);
  });
  return { hosts, datapath };
}

async function connect(lab, spec, handler) {
  if (spec.startsWith('tap')) return tapsBetween(lab, spec, handler);
  const hosts = twoHosts(lab);
  if (spec === 'bridge') lab.bridge();
  return { hosts, datapath: spec === 'bridge' ? undefined : await datapathBetween(lab, spec, {}, handler) };
}

const counts = ({ packets, bytes }) => ({ packets, bytes });

/** What each port counted and what its interface counted; that of a TAP device is the host's, which receives what is sent to it. */
export function portCounts(lab, datapath) {
  return [...datapath.ports].map((port) => {
    const isTap = port.type === 'tap';
    const show = ['-j', '-s', 'link', 'show', 'dev'];
    const host = lab.hosts.find(({ name }) => name === port.name);
    const text = isTap ? lab.run(host, 'ip', ...show, 'eth0') : ip(...show, port.name);
    const { rx, tx } = JSON.parse(text)[0].stats64;
    const link = isTap ? { rx: counts(tx), tx: counts(rx) } : { rx: counts(rx), tx: counts(tx) };
    return { name: port.name, stats: port.stats(), link };
  });
}

/** The same, with the frames that the kernel lost on the way to a port, and what the account of its own frames says. */
export function portAccounts(lab, datapath) {
  return portCounts(lab, datapath).map((counts) => {
    const port = datapath.ports.get(counts.name);
    return { ...counts, kernelDrops: port.kernelDrops, broken: port.check?.() ?? 0 };
  });
}

/** Until nothing has come in for a while, and what the interfaces have counted has: on a busy machine frames may lie between the two for longer. */
export async function drained(lab, datapath) {
  const unseen = () =>
    portCounts(lab, datapath).reduce((sum, { name, stats, link }) => {
      return sum + link.rx.packets - stats.rxPackets - datapath.ports.get(name).kernelDrops;
    }, 0);
  for (let before = -1, still = 0; still < STILL_MAX; ) {
    await sleep(200);
    const { received } = datapath.stats();
    still = received === before ? still + 1 : 0;
    before = received;
    if (still > 0 && unseen() <= BEFORE_PORTS_MAX) return;
  }
}

async function main(spec, handlerName) {
  const lab = new Lab();
  const handler = handlerName === 'static' ? staticRules(parseRules(RULES, 'rules')) : learning();
  const { hosts, datapath } = await connect(lab, spec, handler);
  // AF_XDP sees neither what has gone out as a super-frame nor frames that are longer than its own
  const isXdp = spec.startsWith('afxdp');
  if (spec.includes('generic'))
    for (const host of hosts) lab.run(host, 'ethtool', '-K', 'eth0', 'tso', 'off', 'gso', 'off');
  const outcomes = { ...(await exercise(lab, ...hosts)), ...(isXdp ? {} : await exerciseJumbo(lab, ...hosts)) };
  const ports = datapath === undefined ? [] : await stopped(lab, datapath);
  const broken = [...(datapath?.ports ?? [])].map((port) => port.check?.() ?? 0);
  const described = [...(datapath?.ports ?? [])].map((port) => port.describe());
  await datapath?.close();
  lab.close();
  process.stdout.write(`${JSON.stringify({ outcomes, stats: datapath?.stats(), ports, broken, described })}\n`);
}

async function stopped(lab, datapath) {
  await datapath.stop();
  return portCounts(lab, datapath);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) await main(...process.argv.slice(2));
