/*
 * How long a datapath that sleeps takes to forward a packet: pings, far apart, between two hosts, through a Linux bridge and through the datapath; its turn
 * there is twice what is between the two. Prints the round trip times (us: median, lowest tenth) and the processor time of the idle datapath, as JSON.
 *
 *     unshare -n node lab-wake.mjs bridge | TYPE[,OPTION...] [WORKERS]
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab } from './lab.mjs';
import { datapathBetween, twoHosts } from './lab-exercise.mjs';

const COUNT = 200;
const IDLE_MS = 2000;

const [, , spec, workers = '1'] = process.argv;
const lab = new Lab();
const [from] = twoHosts(lab);
const datapath = spec === 'bridge' ? undefined : await datapathBetween(lab, spec, { workers: Number(workers) });
if (spec === 'bridge') lab.bridge();
await sleep(500);
const before = process.cpuUsage();
await sleep(IDLE_MS);
const { user, system } = process.cpuUsage(before);
const { stdout } = await lab.start(from, 'ping', '-c', String(COUNT), '-i', '0.02', '10.0.0.2').ended;
await datapath?.close();
lab.close();
// the first ones ask for addresses, and are learned from
const times = [...stdout.matchAll(/time=([\d.]+) ms/g)].slice(10).map((match) => Number(match[1]) * 1000);
times.sort((a, b) => a - b);
const at = (share) => Math.round(times[Math.floor(times.length * share)]);
process.stdout.write(
  `${JSON.stringify({ answered: times.length, median: at(0.5), lowest: at(0.1), idleLoad: (user + system) / 1000 / IDLE_MS })}\n`,
);
