/*
 * Internal ports of a running `wdp run`: interfaces of this namespace, which a host reaches through the datapath; from the command line, by a message of
 * `dpctl/add-if`, and what is left when the process is killed. Prints what was seen as JSON.
 *
 *     unshare -n node lab-internal.mjs FOLDER
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { ip, Lab, PATIENCE_S, until } from './lab.mjs';

const program = new URL('../../dist/src/cli/main.cjs', import.meta.url).pathname;
const socket = path.join(process.argv[2], 'internal.ctl');
const MAC = '02:00:00:00:00:99';
const lab = new Lab();
const host = lab.host('h1', { ipv4: '10.0.0.1/24' });

function wdp(...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

const ask = (...command) => wdp('appctl', '--target', socket, ...command);
const links = () =>
  ip('-br', 'link')
    .split('\n')
    .map((line) => line.split(/\s+/)[0]);
const kindOf = (name) => JSON.parse(ip('-j', '-d', 'link', 'show', 'dev', name))[0].linkinfo.info_kind;
/** Whether the host reaches an address that an interface of this namespace gets. */
async function reaches(name, address) {
  ip('addr', 'add', `${address}/24`, 'dev', name);
  const { status } = await lab.start(host, 'ping', '-c', '2', '-i', '0.1', '-w', String(PATIENCE_S), address).ended;
  ip('addr', 'del', `${address}/24`, 'dev', name);
  return status === 0;
}

async function run() {
  const args = ['run', '--control', socket, '--port', 'h1', '--port', `lan0,type=internal,mac=${MAC}`];
  const child = spawn(process.execPath, [program, ...args], { stdio: 'ignore' });
  await until(() => ask('version').status === 0);
  return child;
}

const seen = {};
const child = await run();
seen.lan0 = {
  kind: kindOf('lan0'),
  mac: ip('-br', 'link', 'show', 'lan0').includes(MAC),
  reached: await reaches('lan0', '10.0.0.9'),
};
seen.added = ask('dpctl/add-if', 'netdev@dp0', 'lan1,type=internal');
ip('link', 'set', 'dev', 'lan0', 'down');
seen.lan1 = { kind: kindOf('lan1'), reached: await reaches('lan1', '10.0.0.10') };
seen.shown = ask('dpctl/show', 'netdev@dp0').stdout;
seen.twice = ask('dpctl/add-if', 'netdev@dp0', 'h1,type=internal');
seen.deleted = ask('dpctl/del-if', 'netdev@dp0', 'lan1');
await until(() => !links().includes('lan1'));
seen.links = links();
child.kill('SIGKILL');
await once(child, 'close');
await until(() => !links().includes('lan0'));
seen.left = links();
lab.close();
process.stdout.write(`${JSON.stringify(seen)}\n`);
