/*
 * TCP between two network namespaces, one stream of iperf3, through the datapath and through Open vSwitch's system ports. The hosts' offloads are on, as the
 * kernel has them, where the switch can take that: Open vSwitch's userspace datapath cannot as installed (offloads of the hosts are off then), and can with
 * userspace-tso-enable. Before it: run.mjs.
 */
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { benchForward } from './contestants.mjs';
import { Child, command, FROM, quiet, TO } from './lab.mjs';
import { Ovs, whyNoOvs } from './ovs.mjs';

const SECONDS = 2;
const ROUNDS = 2;
const PORT = 5201;
const HOSTS = [
  { port: FROM, name: 'eth-a', address: '10.9.0.1/24' },
  { port: TO, name: 'eth-b', address: '10.9.0.2/24' },
];

/** A namespace each, held by a process of its own; the other ends of their interfaces stay here. */
async function makeHosts(offloads) {
  const holders = [];
  for (const { port, name, address } of HOSTS) {
    const holder = new Child(0, 'unshare', ['--net', 'sh', '-c', 'echo up >&2; exec sleep 600']);
    holders.push(holder);
    await holder.said('up');
    command('ip', 'link', 'add', port, 'type', 'veth', 'peer', 'name', name, 'netns', String(holder.pid));
    quiet(port);
    command('ip', 'link', 'set', port, 'up');
    inside(holder, 'ip', 'address', 'add', address, 'dev', name);
    inside(holder, 'ip', 'link', 'set', name, 'up');
    inside(holder, 'ip', 'link', 'set', 'lo', 'up');
    if (!offloads) inside(holder, 'ethtool', '-K', name, 'tx', 'off', 'tso', 'off', 'gso', 'off', 'gro', 'off');
  }
  return holders;
}

function enter({ pid }) {
  return [`--net=/proc/${pid}/ns/net`, '--'];
}

function inside(holder, ...args) {
  return command('nsenter', ...enter(holder), ...args);
}

/** Bits a second that arrived. Client and server share the core that is not the datapath's. */
async function stream([client, server], { otherCore }) {
  const listener = new Child(otherCore, 'nsenter', [...enter(server), 'iperf3', '-s', '-1', '-p', String(PORT)]);
  try {
    await sleep(300);
    const args = [
      'iperf3',
      '-c',
      '10.9.0.2',
      '-p',
      String(PORT),
      '-t',
      String(SECONDS),
      '--connect-timeout',
      '3000',
      '--json',
    ];
    const sender = new Child(otherCore, 'nsenter', [...enter(client), ...args]);
    const { end, error } = JSON.parse(await sender.done);
    if (error !== undefined) throw new Error(`iperf3: ${error}`);
    return end.sum_received.bits_per_second;
  } finally {
    await listener.end();
  }
}

async function through(offloads, setting, open) {
  const hosts = await makeHosts(offloads);
  let close = async () => {};
  try {
    close = await open();
    return await stream(hosts, setting);
  } finally {
    await close();
    for (const { port } of HOSTS) command('ip', 'link', 'del', port);
    for (const host of hosts) await host.end();
  }
}

function ours(type, setting) {
  return through(true, setting, async () => {
    const child = new Child(setting.otherCore, ...benchForward(type, setting.core, SECONDS + 5));
    await child.said('ready');
    return () => child.end();
  });
}

function ovs(tso, setting) {
  return through(tso, setting, async () => {
    const peer = new Ovs(path.join(setting.folder, `tcp-${tso}-${setting.turn}`), 'system', { ...setting, tso });
    await peer.open();
    return () => peer.close();
  });
}

const WAYS = {
  'wasm-datapath, afpacket': (setting) => ours('afpacket', setting),
  'wasm-datapath, afxdp': (setting) => ours('afxdp', setting),
  'Open vSwitch, system ports': (setting) => ovs(false, setting),
  'Open vSwitch, system ports, userspace-tso-enable': (setting) => ovs(true, setting),
};

/** Bits a second by way: all rounds. A way that fails has its reason instead. */
export async function runTcp(setting) {
  const rates = {};
  for (let turn = 0; turn < ROUNDS; turn++) {
    for (const [name, way] of Object.entries(WAYS)) {
      if (name.startsWith('Open') && whyNoOvs('system') !== undefined) continue;
      if (typeof rates[name] === 'string') continue;
      try {
        const rate = await way({ ...setting, turn });
        rates[name] = [...(rates[name] ?? []), rate];
        setting.say(`tcp: ${name}: ${(rate / 1e9).toFixed(2)} Gbit/s`);
      } catch (error) {
        rates[name] ??= error.message;
        setting.say(`tcp: ${name}: ${error.message}`);
      }
    }
  }
  return rates;
}
