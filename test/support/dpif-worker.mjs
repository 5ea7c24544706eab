/*
 * A datapath of this process that two programs change at the same time: the worker itself, whose Dpif goes on while its threads poll, and another process, which asks
 * for the control commands on its socket. What they were answered must add up (dpif-churn.mjs). Prints what was seen, as JSON.
 *
 *     node dpif-worker.mjs FOLDER SEED
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { Control } from '../../dist/src/control/control.js';
import { unixctlTransact } from '../../dist/src/control/unixctl-client.js';
import { Dpif } from '../../dist/src/dpif/index.js';
import { DPIF_FP_CREATE, DPIF_FP_MODIFY } from '../../dist/src/dpif/types.js';
import { Datapath, encodeActions, exactMask, parseActions, parseKeyAttributes } from '../../dist/src/index.js';
import { Log } from '../../dist/src/log.js';
import { churn, dpifActor, FLOWS, judge, numbersOf } from './dpif-churn.mjs';

const NAME = 'shared';
const STEPS = 600;
const [, program, folder, seed, role] = process.argv;
const keyText = (i) => `in_port(9),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:0${i}),eth_type(0x1234)`;
const PORTS = [
  [{ name: 'n0', type: 'null' }, 20],
  [{ name: 'm0', type: 'memory' }, 21],
  [{ name: 'i0', type: 'internal' }, 22],
];
const ERRNO = {
  'File exists': 17,
  'No such file or directory': 2,
  'Device or resource busy': 16,
  'No such device': 19,
  'Invalid argument': 22,
};

/** An actor that has a control socket, as ovs-appctl. */
function socketActor(path) {
  const ask = async (method, ...params) => {
    const { text, failed } = await unixctlTransact(path, method, params);
    if (!failed) return undefined;
    const [, words] = /\(([^()]*)\)/.exec(text) ?? [];
    return { errno: ERRNO[words], text };
  };
  const datapath = `netdev@${NAME}`;
  const flow = (command) => (i) =>
    ask(`dpctl/${command}`, datapath, keyText(i), ...(command === 'del-flow' ? [] : ['2']));
  const dumped = async () => (await unixctlTransact(path, 'dpctl/dump-flows', [datapath])).text;
  return {
    put: flow('add-flow'),
    modify: flow('mod-flow'),
    del: flow('del-flow'),
    get: () => ask('dpctl/show', datapath),
    dump: () => ask('dpctl/dump-flows', datapath),
    portAdd: (i) =>
      ask('dpctl/add-if', datapath, `${PORTS[i][0].name},type=${PORTS[i][0].type},port_no=${PORTS[i][1]}`),
    portDel: (i) => ask('dpctl/del-if', datapath, PORTS[i][0].name),
    table: async (ports) => {
      const flows = await dumped();
      const shown = (await unixctlTransact(path, 'dpctl/show', [datapath])).text;
      const all = [...shown.matchAll(/^ {2}port (\d+): (\S+)/gm)].map(([, portNo, name]) => `${portNo} ${name}`);
      return {
        flows: numbersOf(FLOWS, (i) => flows.includes(keyText(i))),
        ports: numbersOf(ports, (i) => all.includes(`${PORTS[i][1]} ${PORTS[i][0].name}`)),
        all: [flows.split('\n').length - 1, all.sort()],
      };
    },
  };
}

if (role === 'other') {
  const actor = socketActor(folder);
  const log = await churn(actor, { seed: Number(seed), steps: STEPS, ports: PORTS.length });
  process.stdout.write(`${JSON.stringify(log)}\n`);
  for await (const _ of process.stdin) process.stdout.write(`${JSON.stringify(await actor.table(PORTS.length))}\n`);
  process.exit(0);
}

const path = `${folder}/shared.ctl`;
const datapath = await Datapath.open({ name: NAME, workers: 1, idleTimeoutMs: 0, hardTimeoutMs: 0 });
await datapath.ports.addType('gen', 'generator', { flows: 50, loop: 0, rate: 1000 }, { portNo: 1 });
// not the learning switch, which forgets flows when ports change
await datapath.onUpcall((upcall) => ({ actions: '20', mask: exactMask(upcall.flatKey) }));
const control = await Control.open({ path, datapath, log: new Log(() => {}), exit: () => {} });
await datapath.start();
const dpif = Dpif.open(`netdev@${NAME}`);
const flow = {
  key: (i) => parseKeyAttributes(keyText(i)).key,
  actions: encodeActions(parseActions('2')),
  CREATE: DPIF_FP_CREATE,
  MODIFY: DPIF_FP_MODIFY,
};
const actor = dpifActor(dpif, flow, (i) => PORTS[i]);
const child = spawn(process.execPath, [program, path, String(Number(seed) + 1), 'other'], {
  stdio: ['pipe', 'pipe', 'inherit'],
});
const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
const next = async () => JSON.parse((await answers.next()).value);
const theirs = next();
let isOver = false;
void theirs.then(() => {
  isOver = true;
});
const mine = [];
// it goes on for as long as the other does
for (let round = 0; !isOver; round++) {
  mine.push(...(await churn(actor, { seed: Number(seed) * 1000 + round, steps: 50, ports: PORTS.length })));
}
const logs = [mine, await theirs];
await datapath.stop(); // no flows of the handler come meanwhile
child.stdin.write('table\n');
const tables = [actor.table(PORTS.length), await next()];
const said = judge(logs, tables, PORTS.length);
assert.equal(datapath.check(), 0);
child.stdin.end();
await control.close();
dpif.close();
await datapath.close();
process.stdout.write(`${JSON.stringify({ said, answers: logs.map(({ length }) => length) })}\n`);
