/*
 * `wdp run` on real interfaces as a user or a service manager starts it: two hosts ping each other, the service manager is told, ctrl-C ends it. And
 * the same without privileges. Prints what was seen as JSON.
 *
 *     unshare -n node lab-run.mjs
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { Lab, PATIENCE_S, until } from './lab.mjs';
import { twoHosts } from './lab-exercise.mjs';

const program = new URL('../../dist/src/cli/main.cjs', import.meta.url).pathname;
/** Prints every datagram that comes to the abstract name. */
const LISTENER = `
import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("\\0wdp-lab-run")
print("ready", flush=True)
while True:
    print(repr(s.recv(4096).decode()), flush=True)
`;

const lab = new Lab();
const [h1] = twoHosts(lab);

async function run(args, env = {}) {
  const child = spawn(process.execPath, [program, 'run', ...args], { env: { ...process.env, ...env } });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) {
    child[name].on('data', (chunk) => {
      output[name] += chunk;
    });
  }
  const ended = once(child, 'close').then(([status]) => ({ ...output, status }));
  return { child, output, ended };
}

const listener = lab.start({ pid: process.pid }, '/usr/bin/python3', '-c', LISTENER);
await listener.printed('ready');
const told = () => listener.output.stdout;
const service = { NOTIFY_SOCKET: '@wdp-lab-run', WATCHDOG_USEC: '400000' };
const { child, ended } = await run(['--port', 'h1', '--port', 'h2'], service);
await until(() => told().includes('READY=1'));
const { status: pingStatus } = await lab.start(
  h1,
  'ping',
  '-c',
  '3',
  '-i',
  '0.05',
  '-w',
  String(PATIENCE_S),
  '10.0.0.2',
).ended;
await until(() => told().includes('WATCHDOG=1'));
child.kill('SIGINT');
const served = await ended;
await until(() => told().includes('STOPPING=1'));

const unprivileged = [
  '--reuid=65534',
  '--clear-groups',
  '--inh-caps=-all',
  '--bounding-set=-all',
  process.execPath,
  program,
];
const refused = spawnSync('setpriv', [...unprivileged, 'run', '--port', 'h1,type=afpacket', '--for', '1'], {
  encoding: 'utf8',
});
const absent = spawnSync(process.execPath, [program, 'run', '--port', 'no0,type=afpacket', '--for', '1'], {
  encoding: 'utf8',
});
lab.close();
const seen = ({ status, stdout, stderr }) => ({ status, stdout, stderr });
process.stdout.write(
  `${JSON.stringify({ pinged: pingStatus === 0, told: told(), served, refused: seen(refused), absent: seen(absent) })}\n`,
);
