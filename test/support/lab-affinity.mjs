/*
 * A datapath of three workers between two hosts, whose interfaces have several queues, of which some are pinned to workers; the one interface goes and comes again,
 * and workers stop and begin. Prints who took what, as JSON.
 *
 *     unshare -n node lab-affinity.mjs afpacket[,OPTION...] | afxdp[,OPTION...]
 */
import { setTimeout as sleep } from 'node:timers/promises';
import * as C from '../../dist/assembly/constants.js';
import { Dpif } from '../../dist/src/dpif/index.js';
import { ip, Lab, until } from './lab.mjs';
import { datapathByFlows, drained, hostWithQueues, portAccounts, wire } from './lab-exercise.mjs';

const WORKERS = 3;
const QUEUES = 4;
const SECONDS = 1;
const LOAD = new URL('./lab-load.mjs', import.meta.url).pathname;

const lab = new Lab();
const [from] = [1, 2].map((n) => hostWithQueues(lab, n, QUEUES));
const events = [];
const datapath = await datapathByFlows(lab, process.argv[2], {
  workers: WORKERS,
  onEvent: (event) => events.push(event),
});
const dpif = Dpif.open(`netdev@${datapath.name}`);
const setAffinity = async (text) => {
  dpif.portSetConfig(1, { 'pmd-rxq-affinity': text });
  await datapath.queues.uphold();
};
const queues = () => datapath.queues.list().filter(({ port }) => port === 'h1');
const workersOf = () => queues().map(({ worker }) => worker);
const receivedBy = () =>
  Array.from({ length: WORKERS }, (_, i) =>
    datapath.memory.u64(datapath.memory.workerArea(i + 1) + C.WORKER_COUNTERS + C.COUNTER_RECEIVED * 8),
  );

await setAffinity('0:2,1:1');
await drained(lab, datapath);
const isolated = [...datapath.queues.isolated()].sort();
const [before, queuesBefore] = [receivedBy(), queues()];
const others = () => datapath.queues.list().filter(({ port }) => port !== 'h1');
const othersBefore = others();
const sender = lab.start(from, process.execPath, LOAD, 'send', 'socket');
await sender.printed('ready');
await sleep(SECONDS * 1000);
await datapath.queues.spread();
sender.child.stdin.end();
await sender.ended;
await drained(lab, datapath);
const given = (now, then) => now.map((each, i) => ({ ...each, packets: each.packets - then[i].packets }));
const pinned = given(queues(), queuesBefore);
const received = receivedBy().map((count, i) => count - before[i]);
// what the other host says on its own belongs to no queue of this port
for (const { worker, packets } of given(others(), othersBefore)) received[worker - 1] -= packets;
const ports = portAccounts(lab, datapath);

ip('link', 'del', 'dev', 'h1');
await until(() => queues().length === 0);
wire(lab, from, QUEUES);
await until(() => queues().length === QUEUES);
for (let turn = 0; turn < 100 && workersOf()[0] !== 2; turn++) await sleep(10);
const again = workersOf();
await datapath.setPollers(1);
const fewer = workersOf();
const unmet = events.splice(0);
await datapath.setPollers(WORKERS);
const back = workersOf();
await setAffinity('');
const free = new Set(datapath.queues.list().map(({ worker }) => worker)).size;
const stillIsolated = [...datapath.queues.isolated()];
await datapath.stop();
const check = datapath.check();
await datapath.close();
lab.close();
process.stdout.write(
  `${JSON.stringify({ pinned, received, isolated, again, fewer, unmet, back, free, stillIsolated, events, ports, check })}\n`,
);
