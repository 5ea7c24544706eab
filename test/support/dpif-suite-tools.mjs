/*
 * What dpif-suite.mjs is made of: the programs to compare with, namespaces as hosts, datapaths that go away with their check. Travels with it into the virtual machine.
 */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
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
const RUN_MS = 60_000;

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

/** A namespace as a host: its device `e` is the other end of `v` + name, has 10.0.0.number and fd00::number, and 02:00:00:00:00:0number. */
export function host(name, number) {
  ip('netns add', name);
  ip('link add', `v${name}`, 'type veth peer name e netns', name);
  ip('link set', `v${name}`, 'up');
  ip('-n', name, 'link set lo up');
  ip('-n', name, `link set e address 02:00:00:00:00:0${number} up`);
  ip('-n', name, `addr add 10.0.0.${number}/24 dev e`);
  ip('-n', name, `addr add fd00::${number}/64 dev e nodad`);
}

/** In a namespace, while this process goes on. */
export const inside = (name, ...words) => runAside('ip', 'netns', 'exec', name, ...words.join(' ').split(' '));

/** Packets that came back. */
export async function ping(from, to, count = 3) {
  const printed = await inside(from, 'ping -c', count, '-i 0.2 -W 5', to).catch(
    (error) => error.stdout ?? String(error),
  );
  return Number(/(\d+) received/.exec(printed)?.[1] ?? -1);
}

/** A program in a namespace until the check is over. */
const servers = [];
export async function serve(name, ...words) {
  const child = spawn('ip', ['netns', 'exec', name, ...words.join(' ').split(' ')], { stdio: 'ignore' });
  servers.push(child);
  await sleep(500);
}

export function closeServers() {
  for (const child of servers.splice(0)) child.kill();
}

/** Waits until `is` is true; false after half a minute, because two emulated machines may share a processor. */
export async function until(is) {
  for (let i = 0; i < 300 && !is(); i++) await sleep(100);
  return is();
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
    for (const child of started.reverse()) child.kill();
    await sleep(1000);
    for (const name of Dpif.enumerate('system')) Dpif.open(name).destroy();
  }
}
