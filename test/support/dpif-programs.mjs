/*
 * Checks of wasm-datapath/dpif on the kernel's datapath that another program changes at the same time, and of members that the provider has not.
 *
 *   node dpif-programs.mjs FOLDER-OF-THE-BUILT-PACKAGE
 *
 * Prints one JSON line a check, as dpif-suite.mjs. Runs in the virtual machine. With `other SEED` it is the other program: it does what it is told by lines.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { churn, dpifActor, judge } from './dpif-churn.mjs';
import {
  actions,
  create,
  dpctl,
  dpifModule,
  dumpedText,
  failure,
  flowText,
  ip,
  lines,
  match,
  runChecks,
} from './dpif-suite-tools.mjs';

const { Dpif, DPIF_FP_CREATE, DPIF_FP_MODIFY } = dpifModule;
const STEPS = 600;
const [, program, folder, role, seed] = process.argv;
const keyOf = (i) =>
  match(
    `in_port(1),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:0${i}),eth_type(0x0800),ipv4(src=10.0.0.${i},dst=10.0.0.9,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)`,
  ).key;
/** The ports that both know: devices that there are, and such that come with their port. */
const PORTS = [
  [{ name: 'p2' }, 22],
  [{ name: 'i0', type: 'internal' }, 10],
  [{ name: 'i1', type: 'internal' }, 11],
  [{ name: 'tunnel', type: 'vxlan' }, 30],
];

function actorOf(dpif) {
  const flow = { key: keyOf, actions: actions('2'), CREATE: DPIF_FP_CREATE, MODIFY: DPIF_FP_MODIFY };
  return dpifActor(dpif, flow, (i) => PORTS[i]);
}

/** One of two programs that make and delete the same datapath. */
async function makeAndDelete(steps) {
  const answers = [];
  for (let step = 0; step < steps; step++) {
    for (const work of [() => Dpif.open('dp3', { create: true }), () => Dpif.open('dp3').destroy()]) {
      try {
        work()?.close();
        answers.push('done');
      } catch (error) {
        answers.push({ errno: error.errno, text: error.message });
      }
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  return answers;
}

if (role === 'other') {
  const say = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);
  const dpif = Dpif.open('dp1');
  say('ready');
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === 'churn') say(await churn(actorOf(dpif), { seed: Number(seed), steps: STEPS, ports: PORTS.length }));
    if (line === 'table') say(actorOf(dpif).table(PORTS.length));
    if (line === 'datapaths') say(await makeAndDelete(STEPS / 4));
  }
  process.exit(0);
}

/** The other program, once it is ready; `ask` sends it a line and resolves with its answer. */
async function otherProgram(number) {
  const child = spawn(process.execPath, [program, folder, 'other', String(number)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => JSON.parse((await answers.next()).value);
  assert.equal(await next(), 'ready');
  const ask = (line) => {
    child.stdin.write(`${line}\n`);
    return next();
  };
  return { ask, end: () => child.stdin.end() };
}

const checks = {
  'two programs change flows and ports of one datapath: answers fit what is there, both see the same': async () => {
    ip('link add p1 type veth peer name p2');
    const dpif = create('dp1', 'p1');
    const other = await otherProgram(7);
    const actor = actorOf(dpif);
    const theirs = other.ask('churn');
    const mine = await churn(actor, { seed: 8, steps: STEPS, ports: PORTS.length });
    const logs = [mine, await theirs];
    const tables = [actor.table(PORTS.length), await other.ask('table')];
    const said = judge(logs, tables, PORTS.length, PORTS.length - 1);
    assert.deepEqual(
      [...dpif.flowDump()].map(flowText).sort(),
      lines(dpctl('dump-flows', 'dp1')).map(dumpedText).sort(),
    );
    other.end();
    return said;
  },

  'two programs make and delete one datapath: one of them has made it, and nothing is left half': async () => {
    create('dp1');
    const other = await otherProgram(9);
    const theirs = other.ask('datapaths');
    const all = [...(await makeAndDelete(STEPS / 4)), ...(await theirs)];
    const refused = all.filter((answer) => answer !== 'done');
    const words = {
      17: /there is a datapath or a device dp3 already/,
      16: /is in use/,
      19: /there is no datapath dp3|the datapath is gone/,
    };
    for (const { errno, text } of refused) assert.match(text, words[errno] ?? /no errno is right/);
    // each success to make it has one to delete it, but for one that is there still
    assert.equal((all.length - refused.length) % 2, Number(Dpif.enumerate('system').includes('dp3')));
    assert.ok(
      refused.some(({ errno }) => errno === 17) && refused.some(({ errno }) => errno === 19),
      'they did not meet',
    );
    other.end();
    return `${all.length} answers, ${refused.length} refused`;
  },

  'the device of a tunnel that is a port of one datapath is not taken away for another one': () => {
    const [one, two] = [create('dp1'), create('dp2')];
    one.portAdd({ name: 'tunnel', type: 'vxlan' }, 30);
    for (const options of [{}, { exts: 'gbp' }]) {
      const { errno, message } = failure(() => two.portAdd({ name: 'tunnel', type: 'vxlan', options }));
      assert.ok([16, 17].includes(errno), message);
      assert.match(message, /in use|there is a device of that name already/);
      assert.equal(one.portQueryByNumber(30)?.type, 'vxlan');
    }
    one.portDel(30);
    assert.equal(failure(() => ip('link show vxlan_sys_4789')).status, 1);
    two.portAdd({ name: 'tunnel', type: 'vxlan', options: { exts: 'gbp' } });
  },

  'what is set for a port in other_config is not for the kernel': () => {
    const dpif = create('dp1', 'p1');
    const { errno, message } = failure(() => dpif.portSetConfig(1, { 'pmd-rxq-affinity': '0:1' }));
    assert.equal(errno, 95);
    assert.match(message, /this datapath cannot do it/);
  },
};

await runChecks(checks);
