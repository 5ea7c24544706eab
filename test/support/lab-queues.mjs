/*
 * A datapath of three workers between a host that sends as fast as it can and one that takes all of it, over interfaces of several queues; the queues change
 * their workers all the time, and workers stop, begin and die. Prints what was counted on all sides, as JSON.
 *
 *     unshare -n node lab-queues.mjs afpacket[,OPTION...] | afxdp[,OPTION...] SECONDS
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab, PATIENCE_S } from './lab.mjs';
import { datapathByFlows, drained, hostWithQueues, portAccounts } from './lab-exercise.mjs';

const WORKERS = 3;
const QUEUES = 4;
const PAUSE_MS = 5;
const LOAD = new URL('./lab-load.mjs', import.meta.url).pathname;

const [, , backend, seconds] = process.argv;
const lab = new Lab();
const [from] = [1, 2].map((n) => hostWithQueues(lab, n, QUEUES));
const lost = [];
const onEvent = (event) => {
  if (event.type === 'worker-lost') lost.push(event.packetsLost);
};
const datapath = await datapathByFlows(lab, backend, { workers: WORKERS, onEvent });

const random = (count) => Math.floor(Math.random() * count);
const outcome = async (work) => {
  try {
    return await work;
  } catch ({ code, message }) {
    return `${code}: ${message}`;
  }
};
const counted = { moves: 0, spread: 0, pollers: 0, kills: 0 };
const changes = [
  async () => {
    const all = datapath.queues.list();
    const { port, queue, worker } = all[random(all.length)];
    const to = 1 + random(datapath.pollers);
    await datapath.queues.move(port, queue, to);
    if (to !== worker) counted.moves++;
  },
  async () => {
    counted.spread += (await datapath.queues.spread()).length;
  },
  async () => {
    await datapath.setPollers(1 + random(WORKERS));
    counted.pollers++;
  },
];

const sender = lab.start(from, process.execPath, LOAD, 'send', 'socket');
await sender.printed('ready');
const begin = performance.now();
/** Each of the changes was made, or will not be; on a busy machine that takes longer. */
const isEnough = (passed) =>
  passed > PATIENCE_S || (passed > Number(seconds) && Math.min(...Object.values(counted)) > 0);
for (let turn = 0; !isEnough((performance.now() - begin) / 1000); turn++) {
  await changes[turn % 10 === 0 ? 2 : turn % 5 === 0 ? 1 : 0]();
  if (turn % 40 === 20) {
    await datapath.pool.kill(1 + random(datapath.pollers));
    counted.kills++;
  }
  await sleep(PAUSE_MS);
}
await datapath.setPollers(WORKERS);
const list = datapath.queues.list();
sender.child.stdin.end();
await sender.ended;
await drained(lab, datapath);
const port = await datapath.ports.addType('replay', 'generator', { flows: 1, loop: 1 }, { worker: WORKERS });
const refused = {
  noQueues: await outcome(datapath.queues.move('replay', 0, 1)),
  noQueue: await outcome(datapath.queues.move('h1', QUEUES, 1)),
  noWorker: await outcome(datapath.queues.move('h1', 0, WORKERS + 1)),
  noPort: await outcome(datapath.queues.move('h3', 0, 1)),
  leftBehind: await outcome(datapath.setPollers(WORKERS - 1)),
};
await datapath.ports.remove(port.portNo);
await datapath.setPollers(1);
const workers = datapath.queues.list().map(({ worker }) => worker);
await datapath.stop();
const ports = portAccounts(lab, datapath);
const [stats, check] = [datapath.stats(), datapath.check()];
await datapath.close();
lab.close();
process.stdout.write(`${JSON.stringify({ counted, list, refused, workers, lost, ports, stats, check })}\n`);
