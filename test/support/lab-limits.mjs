/*
 * `wdp run` and `wdp doctor` where AF_XDP cannot be had: on a kernel without it, and with little memory that may be locked. Two hosts ping each other
 * through what is left. Prints what was seen as JSON.
 *
 *     unshare -n node lab-limits.mjs
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { Lab, PATIENCE_S } from './lab.mjs';
import { twoHosts } from './lab-exercise.mjs';

const program = new URL('../../dist/src/cli/main.cjs', import.meta.url).pathname;
const withoutXdp = new URL('./without-xdp.py', import.meta.url).pathname;
const MEMLOCK = 65_536;
const NOT_EXEMPT = '-ipc_lock,-sys_resource';

const PLACES = {
  'no AF_XDP': ['/usr/bin/python3', withoutXdp],
  'little locked memory': [
    'setpriv',
    `--bounding-set=${NOT_EXEMPT}`,
    `--inh-caps=${NOT_EXEMPT}`,
    'prlimit',
    `--memlock=${MEMLOCK}:${MEMLOCK}`,
  ],
};

const lab = new Lab();
const [h1] = twoHosts(lab);

function attempt([command, ...first], ...args) {
  const { status, stdout, stderr } = spawnSync(command, [...first, process.execPath, program, ...args], {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

/** Whether pings are answered through a run on both interfaces, and what it said. */
async function served([command, ...first]) {
  const child = spawn(command, [...first, process.execPath, program, 'run', '--port', 'h1', '--port', 'h2']);
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const { status } = await lab.start(h1, 'ping', '-c', '1', '-i', '0.1', '-w', String(PATIENCE_S), '10.0.0.2').ended;
  child.kill('SIGINT');
  await once(child, 'close');
  return { pinged: status === 0, stderr };
}

const seen = {};
for (const [name, place] of Object.entries(PLACES)) {
  seen[name] = {
    served: await served(place),
    afxdp: attempt(place, 'run', '--port', 'h1,type=afxdp', '--for', '1'),
    tx: attempt(place, 'run', '--port', 'h1,type=afpacket,tx=xdp', '--for', '1'),
    doctor: attempt(place, 'doctor', '--json'),
  };
}
lab.close();
process.stdout.write(`${JSON.stringify(seen)}\n`);
