/*
 * Interfaces that change under full load: one host sends as fast as it can to another through a datapath, and both wires are set down and up, renamed, given
 * other MTUs, deleted and made anew meanwhile, over and over. Prints what was counted, as JSON.
 *
 *     unshare -n node lab-churn.mjs afpacket[,OPTION...] | afxdp[,OPTION...] ROUNDS
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ip, Lab, until } from './lab.mjs';
import { datapathByFlows } from './lab-exercise.mjs';

const LOAD = new URL('./lab-load.mjs', import.meta.url).pathname;
const PAUSE_MS = 50;

const [, , backend, rounds] = process.argv;
const lab = new Lab();
const hosts = [1, 2].map((n) => lab.host(`h${n}`, { ipv4: `10.0.0.${n}/24` }));
const datapath = await datapathByFlows(lab, backend);

const link = (...args) => ip('link', ...args);
const pause = () => sleep(PAUSE_MS);
const changes = {
  async down(name) {
    link('set', 'dev', name, 'down');
    await pause();
    link('set', 'dev', name, 'up');
  },
  async mtu(name) {
    for (const mtu of ['1400', '1500']) {
      link('set', 'dev', name, 'mtu', mtu);
      await pause();
    }
  },
  async rename(name) {
    for (const [from, to] of [
      [name, 'other'],
      ['other', name],
    ]) {
      link('set', 'dev', from, 'down');
      link('set', 'dev', from, 'name', to);
      link('set', 'dev', to, 'up');
      await pause();
    }
  },
  async remake(name, host) {
    link('del', 'dev', name);
    await pause();
    link('add', 'name', name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(host.pid));
    link('set', 'dev', name, 'up');
    lab.configure(host);
  },
};

/** Sends from the first host until it is told to stop; its port follows no interface that is made anew. */
async function sending() {
  const sender = lab.start(hosts[0], process.execPath, LOAD, 'send');
  await sender.printed('ready');
  return async () => {
    sender.child.stdin.end();
    await sender.ended;
  };
}

/** Whether packets come in, and go out of the second port, within a while. */
async function forwards() {
  const sent = () => datapath.ports.get('h2').stats().txPackets;
  const before = sent();
  return until(() => sent() >= before + 100);
}

const outcomes = [];
for (let round = 0; round < Number(rounds); round++) {
  for (const [what, change] of Object.entries(changes)) {
    const stop = await sending();
    for (const host of what === 'remake' ? [hosts[1]] : hosts) {
      await change(host.name, host);
      outcomes.push(`${what} ${host.name}: ${await forwards()}`);
    }
    await stop();
  }
  const stop = await sending();
  await changes.remake(hosts[0].name, hosts[0]);
  await stop();
}
await sleep(200);
const ports = [...datapath.ports];
const described = ports.map((port) => port.describe());
await datapath.stop();
const broken = ports.map((port) => port.check?.() ?? 0);
const [stats, check] = [datapath.stats(), datapath.check()];
await datapath.close();
lab.close();
process.stdout.write(`${JSON.stringify({ outcomes, described, broken, stats, check })}\n`);
