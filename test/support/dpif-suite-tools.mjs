/*
 * What dpif-suite.mjs, dpif-switch.mjs and dpif-programs.mjs are made of: how checks are run, the programs to compare with, namespaces as hosts, datapaths that go away with their check. Travels with them into the
 * virtual machine.
 */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

/** Modules of the package, whose folder is on the command line. */
const load = (module) => import(pathToFileURL(path.resolve(process.argv[2], 'dist/src', module)).href);
export const dpifModule = await load('dpif/index.js');
export const odp = await load('odp/index.js');
export const upcall = await load('upcall/registry.js');
export const { probeCapabilities } = await load('dpif/probe.js');
const { Dpif } = dpifModule;

const OPTIONS = { encoding: 'utf8', maxBuffer: 64 << 20 };
const RUN_MS = 300_000;

/** A program that changes nothing that this process has to answer. */
export const run = (program, ...args) => execFileSync(program, args, { ...OPTIONS, stdio: 'pipe' });
/** A program whose packets this process answers meanwhile. */
export const runAside = async (program, ...args) =>
  (await promisify(execFile)(program, args, { ...OPTIONS, timeout: RUN_MS })).stdout;
export const ip = (...words) => run('ip', ...words.join(' ').split(' '));
export const dpctl = (...args) => run('ovs-dpctl', '-voff', ...args);
export const lines = (text) => text.split('\n').filter((line) => line !== '');
export const numbers = (count) => Array.from({ length: count }, (_, i) => i);
export { sleep };

const datapaths = [];
/** A datapath that is deleted after the check. */
export function create(name, ...ports) {
  const dpif = Dpif.open(`system@${name}`, { create: true });
  datapaths.push(dpif);
  for (const port of ports) dpif.portAdd({ name: port });
  return dpif;
}

export async function closeDatapaths() {
  for (const dpif of datapaths.splice(0)) {
    await dpif.onUpcall(undefined);
    try {
      dpif.destroy();
    } catch (error) {
      if (error.code !== 'ERR_NO_SUCH_DATAPATH') throw error;
    }
    dpif.close();
  }
}

/** How often a host asks for an address, once a second, before it says that there is none. */
const SOLICITATIONS = 60;
/** A namespace as a host: its device `e` is the other end of `v` + name, has 10.0.0.number and fd00::number, and 02:00:00:00:00:0number. */
export function host(name, number) {
  ip('netns add', name);
  ip('link add', `v${name}`, 'type veth peer name e netns', name);
  ip('link set', `v${name}`, 'up');
  ip('-n', name, 'link set lo up');
  ip('-n', name, `link set e address 02:00:00:00:00:0${number} up`);
  ip('-n', name, `addr add 10.0.0.${number}/24 dev e`);
  ip('-n', name, `addr add fd00::${number}/64 dev e nodad`);
  for (const family of ['ipv4', 'ipv6']) {
    run(
      'ip',
      'netns',
      'exec',
      name,
      'sh',
      '-c',
      `echo ${SOLICITATIONS} > /proc/sys/net/${family}/neigh/e/mcast_solicit`,
    );
  }
}

/** Two devices for ports that only this program sends by: they are down, so nothing comes in, and the kernel sends nothing of its own. */
export function silentDevices(...names) {
  ip('link add', names[0], 'type veth peer name', names[1]);
}

/** In a namespace, while this process goes on. */
export const inside = (name, ...words) => runAside('ip', 'netns', 'exec', name, ...words.join(' ').split(' '));

/** Packets that came back, of those whose answer took `seconds` at most. */
export async function ping(from, to, count = 3, seconds = 60) {
  const printed = await inside(from, 'ping -c', count, '-i 0.2 -W', seconds, to).catch(
    (error) => error.stdout ?? String(error),
  );
  return Number(/(\d+) received/.exec(printed)?.[1] ?? -1);
}

/** A program in a namespace until the check is over, or `closeServers`. */
const servers = [];
export function serve(name, ...words) {
  const child = spawn('ip', ['netns', 'exec', name, ...words.join(' ').split(' ')], { stdio: 'ignore' });
  servers.push(child);
  return child;
}

/** Serves iperf3 for one client. */
export async function serveIperf(name) {
  const { pid } = serve(name, 'iperf3 -s -1');
  const isListening = /:1451 \S+ 0A /m; // port 5201, TCP_LISTEN
  const inside = (tcp) => readFileSync(`/proc/${pid}/net/${tcp}`, 'utf8');
  if (!(await until(() => ['tcp', 'tcp6'].some((tcp) => isListening.test(inside(tcp)))))) throw new Error('no iperf3');
}

export async function closeServers() {
  await Promise.all(servers.splice(0).map(end));
}

/** Ends a program, and waits until it has. */
async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill();
  await ended;
}

/** Waits until `is` is true; false after some minutes, because several emulated machines may share a processor. */
export async function until(is) {
  for (let i = 0; i < 1800 && !is(); i++) await sleep(100);
  return is();
}

export const FRAME = Uint8Array.of(2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x12, 0x34, ...Array(46).fill(1));

/** Executes an action on many packets of the port: upcalls of that port, as many as wanted. */
export function flood(dpif, portNo, count, pid) {
  const op = {
    type: 'execute',
    packet: FRAME,
    key: match(`in_port(${portNo})`).key,
    actions: actions(`userspace(pid=${pid})`),
  };
  dpif.operate(Array.from({ length: count }, () => ({ ...op })));
}

/** The key of a flow, and its mask, from text. */
export function match(text) {
  const { key, mask } = odp.parseKeyAttributes(text);
  return { key, mask };
}
export const actions = (text) => odp.encodeActions(odp.parseActions(text));

/** A flow as `ovs-dpctl dump-flows` prints it, without its statistics. */
export const flowText = ({ key, mask, actions }) =>
  `${odp.formatKeyAttributes(key, mask)} actions:${odp.formatActions(actions)}`;
export const dumpedText = (line) => line.replace(/, packets:.*?, actions:/, ' actions:');

/** The error of something that must fail. */
export function failure(step) {
  try {
    step();
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
}

/** A vswitchd of its own asks the same questions. */
export async function featuresOfVswitchd() {
  for (const name of ['OVS_RUNDIR', 'OVS_LOGDIR', 'OVS_DBDIR', 'OVS_SYSCONFDIR']) process.env[name] = '/tmp/run';
  mkdirSync('/tmp/run', { recursive: true });
  run('ovsdb-tool', 'create', '/tmp/run/conf.db', 'vswitch.ovsschema');
  const started = [
    spawn('ovsdb-server', ['/tmp/run/conf.db', '--remote=punix:/tmp/run/db.sock', '--no-chdir', '-vconsole:off'], {
      stdio: 'ignore',
    }),
  ];
  try {
    await until(() => existsSync('/tmp/run/db.sock'));
    run('ovs-vsctl', '--no-wait', 'init');
    started.push(spawn('ovs-vswitchd', ['unix:/tmp/run/db.sock', '--pidfile', '-vconsole:off'], { stdio: 'ignore' }));
    run('ovs-vsctl', '--timeout=60', 'add-br', 'br0');
    return run('ovs-appctl', '-t', 'ovs-vswitchd', 'dpif/show-dp-features', 'br0');
  } finally {
    for (const child of started.reverse()) await end(child);
    for (const name of Dpif.enumerate('system')) Dpif.open(name).destroy();
  }
}

/** Runs checks by their name, one after the other: prints a line of JSON for each, with what it returned or why it failed, and ends the program. */
export async function runChecks(checks) {
  for (const [name, check] of Object.entries(checks)) {
    let result;
    try {
      result = { name, ok: true, detail: (await check()) ?? '' };
    } catch (error) {
      result = { name, ok: false, detail: error.stack ?? String(error) };
    }
    await closeServers();
    await closeDatapaths().catch((error) => {
      result = { name, ok: false, detail: `at the end: ${error.stack}` };
    });
    for (const left of Dpif.enumerate('system')) Dpif.open(left).destroy();
    process.stdout.write(`${JSON.stringify(result)}\n`);
  }
  process.exit(0);
}
