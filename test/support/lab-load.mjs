/*
 * A host that sends as fast as it can, one that takes all of it, and a datapath of one worker between them, for as long as is asked; the worker may be
 * killed meanwhile, over and over. Prints what was counted on all sides, as JSON. Also for long runs by hand.
 *
 *     unshare -n node lab-load.mjs afpacket[,OPTION...] | afxdp[,OPTION...] SECONDS [KILLS]
 *     node lab-load.mjs send [TX [RATE]]       the sending host's program; RATE packets a second
 *
 * What is sent comes from a datapath of its own, out of its generator: FLOWS flows of frames of the smallest size.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import * as C from '../../dist/assembly/constants.js';
import { Datapath, exactMask } from '../../dist/src/index.js';
import { nativeAddon } from '../../dist/src/native/load.js';
import { Lab } from './lab.mjs';
import { drained, portAccounts } from './lab-exercise.mjs';

const FLOWS = 1000;
/** Warming up is over, and memory is as large as it gets, after this share of the run. */
const WARM_SHARE = 0.2;

/** In the sending host, until its input ends. `tx=socket` spreads the flows over the queues of its interface; `rate` undefined: all it can. */
async function send(tx = 'auto', rate = undefined) {
  const datapath = await Datapath.open({ workers: 1 });
  const generator = await datapath.ports.addType('gen', 'generator', { flows: FLOWS, rate }, { portNo: 1 });
  await datapath.ports.addType('eth0', 'afpacket', { tx }, { portNo: 2 });
  datapath.flows.put('in_port(1)', '2');
  await datapath.start();
  process.stdout.write('ready\n');
  process.stdin.resume();
  await once(process.stdin, 'end');
  await datapath.ports.remove(generator.portNo);
  await datapath.close();
}

async function openBetween(backend, onEvent) {
  const datapath = await Datapath.open({ workers: 1, idleTimeoutMs: 0, onEvent });
  const [type, ...rest] = backend.split(',');
  for (const name of ['h1', 'h2']) await datapath.ports.addSpec([name, `type=${type}`, ...rest].join(','));
  const out = String(datapath.ports.get('h2').portNo);
  await datapath.onUpcall((upcall) => ({ actions: out, mask: exactMask(upcall.flatKey) }));
  await datapath.start();
  return datapath;
}

const residentKib = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);

/** Kills the worker of a datapath, once a thread stands by. How long until the replacement polls, and until packets come in again, in ms. */
async function killWorker(datapath) {
  const { memory } = datapath;
  const area = memory.workerArea(1);
  while (datapath.pool.standing === 0) await sleep(1);
  const generation = memory.u32(area + C.WORKER_GENERATION);
  const begin = performance.now();
  await datapath.pool.kill(1);
  while (
    memory.u32(area + C.WORKER_GENERATION) === generation ||
    memory.u32(area + C.WORKER_STATE) !== C.WORKER_POLLING
  )
    await sleep(1);
  const polling = performance.now();
  const { received } = datapath.stats();
  while (datapath.stats().received === received) await sleep(1);
  return { polls: polling - begin, receives: performance.now() - begin };
}

/** Lets the load run, and looks at it without waiting for a processor, as far as it may. What was seen of the memory (KiB once a second, after warming up) and of the kills. */
async function underLoad(datapath, seconds, killCount) {
  const kills = [];
  nativeAddon()?.setUrgent(killCount > 0);
  const memory = [];
  const end = performance.now() + seconds * 1000;
  for (let second = 0; performance.now() < end || memory.length === 0; second++) {
    if (kills.length < killCount) kills.push(await killWorker(datapath));
    await sleep(Math.min(1000 / (killCount > 0 ? 4 : 1), Math.max(end - performance.now(), 0)));
    if (second >= seconds * WARM_SHARE) memory.push(residentKib());
  }
  nativeAddon()?.setUrgent(false);
  return { kills, memory };
}

async function main(backend, seconds, killCount) {
  const lab = new Lab();
  const from = lab.host('h1', { ipv4: '10.0.0.1/24' });
  lab.host('h2', { ipv4: '10.0.0.2/24' });
  if (backend.includes('offload')) lab.takeXdpFrames();
  const lost = [];
  const datapath = await openBetween(backend, (event) => {
    if (event.type === 'worker-lost') lost.push(event.packetsLost);
  });
  const sender = lab.start(from, process.execPath, new URL(import.meta.url).pathname, 'send');
  await sender.printed('ready');
  while (datapath.flows.count < FLOWS) await sleep(5);
  const begin = { at: performance.now(), received: datapath.stats().received };
  const seen = await underLoad(datapath, seconds, killCount);
  const rate = (datapath.stats().received - begin.received) / ((performance.now() - begin.at) / 1000);
  sender.child.stdin.end();
  await sender.ended;
  await drained(lab, datapath);
  await datapath.stop();
  const ports = portAccounts(lab, datapath);
  const { count: flows } = datapath.flows;
  const [stats, check] = [datapath.stats(), datapath.check()];
  await datapath.close();
  lab.close();
  process.stdout.write(`${JSON.stringify({ rate, ...seen, lost, ports, flows, stats, check })}\n`);
}

const [, , what, seconds, kills = '0'] = process.argv;
await (what === 'send'
  ? send(seconds, kills === '0' ? undefined : Number(kills))
  : main(what, Number(seconds), Number(kills)));
