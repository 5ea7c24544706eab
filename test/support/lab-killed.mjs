/*
 * A process with ports of every kind is killed by SIGKILL while traffic runs: what is left of it in the kernel, as JSON. Without an argument this is
 * the lab; with one, the process that is killed.
 *
 *     unshare -n node lab-killed.mjs
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Datapath, learning } from '../../dist/src/index.js';
import { ip, Lab, PATIENCE_S, until } from './lab.mjs';

const PORTS = [
  'h1,type=afxdp,offload=on',
  'h2,type=afxdp,mode=generic',
  'h3,type=afpacket',
  't1,type=tap',
  'x,type=memory',
];

async function victim() {
  const datapath = await Datapath.open({ workers: 1 });
  await datapath.onUpcall(learning());
  for (const spec of PORTS) await datapath.ports.addSpec(spec);
  await datapath.start();
  process.stdout.write('ready\n');
}

const links = () => JSON.parse(ip('-j', '-d', 'link', 'show'));
/** Interfaces, those with an XDP program, and those that somebody listens to promiscuously. */
const seen = () => ({
  names: links()
    .map(({ ifname }) => ifname)
    .sort(),
  xdp: links()
    .filter(({ xdp }) => xdp !== undefined)
    .map(({ ifname }) => ifname)
    .sort(),
  promiscuous: links()
    .filter(({ promiscuity }) => promiscuity > 0)
    .map(({ ifname }) => ifname)
    .sort(),
});

async function lab() {
  const made = new Lab();
  const hosts = [1, 2, 3].map((n) => made.host(`h${n}`, { ipv4: `10.0.0.${n}/24` }));
  const before = seen();
  const child = spawn(process.execPath, [new URL(import.meta.url).pathname, 'victim'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  const during = seen();
  const { status } = await made.start(hosts[0], 'ping', '-c', '3', '-i', '0.05', '-w', String(PATIENCE_S), '10.0.0.3')
    .ended;
  const flood = made.start(hosts[0], 'ping', '-f', '10.0.0.2');
  await sleep(200);
  child.kill('SIGKILL');
  await once(child, 'close');
  // the kernel takes back what a process held in its own time
  await until(() => JSON.stringify(seen()) === JSON.stringify(before));
  flood.child.kill('SIGKILL');
  const after = seen();
  made.close();
  process.stdout.write(`${JSON.stringify({ before, during, after, pinged: status === 0 })}\n`);
}

await (process.argv[2] === 'victim' ? victim() : lab());
