/*
 * What packets cost whose way out is down: one host sends at a steady rate to another through a datapath, while the other's wire is up, down, and up again.
 * Prints, for each, what was counted and the time that the worker was busy with a packet, in a few windows, as JSON.
 *
 *     unshare -n node lab-down.mjs afpacket[,OPTION...] | afxdp[,OPTION...]
 */
import { setTimeout as sleep } from 'node:timers/promises';
import * as C from '../../dist/assembly/constants.js';
import { ip, Lab, until } from './lab.mjs';
import { datapathByFlows } from './lab-exercise.mjs';

const LOAD = new URL('./lab-load.mjs', import.meta.url).pathname;
const RATE = '5000';
const WINDOWS = 4;
/** A window is so long, and longer until so many packets have come: on a busy machine the sender rests now and then. */
const WINDOW_MS = 200;
const PACKETS_MIN = 100;
const SETTLE_WINDOWS = 50;

const lab = new Lab();
const [from] = [1, 2].map((n) => lab.host(`h${n}`, { ipv4: `10.0.0.${n}/24` }));
const datapath = await datapathByFlows(lab, process.argv[2]);
const sender = lab.start(from, process.execPath, LOAD, 'send', 'auto', RATE);
await sender.printed('ready');

const { memory } = datapath;
const sample = () => {
  const { received, transmitted, drops } = datapath.stats();
  return { received, transmitted, down: drops.txDown, busyNs: memory.u64(memory.workerArea(1) + C.WORKER_BUSY_NS) };
};

async function window() {
  const before = sample();
  await sleep(WINDOW_MS);
  await until(() => sample().received - before.received >= PACKETS_MIN);
  const now = sample();
  return Object.fromEntries(Object.entries(now).map(([name, value]) => [name, value - before[name]]));
}

async function windows(state) {
  ip('link', 'set', 'dev', 'h2', state);
  // what was under way has arrived, or was given back, when a window is over in which nothing of the kind that shall not be was counted
  const over = state === 'up' ? 'down' : 'transmitted';
  for (let turn = 0; turn < SETTLE_WINDOWS && (await window())[over] !== 0; turn++);
  const seen = [];
  while (seen.length < WINDOWS) seen.push(await window());
  return seen;
}

const outcomes = { up: await windows('up'), down: await windows('down'), upAgain: await windows('up') };
sender.child.stdin.end();
await sender.ended;
await datapath.stop();
const broken = [...datapath.ports].map((port) => port.check?.() ?? 0);
const [stats, check] = [datapath.stats(), datapath.check()];
await datapath.close();
lab.close();
process.stdout.write(`${JSON.stringify({ ...outcomes, broken, stats, check })}\n`);
