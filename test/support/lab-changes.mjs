/*
 * What happens to interfaces while a datapath has ports on them: three hosts, of which two talk to each other all the time, and the third one's
 * wire is pulled, renamed, moved and made anew. Prints what each step came to, as JSON.
 *
 *     unshare -n node lab-changes.mjs afpacket[,OPTION...] | afxdp[,OPTION...]
 */
import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { ip, Lab, PATIENCE_S, until } from './lab.mjs';
import { datapathBetween } from './lab-exercise.mjs';

const lab = new Lab();
const hosts = [1, 2, 3].map((n) => lab.host(`h${n}`, { ipv4: `10.0.0.${n}/24` }));
const [h1, h2, h3] = hosts;
const [, , backend] = process.argv;
const datapath = await datapathBetween(lab, backend);
const addressOf = ({ ipv4 }) => ipv4.split('/')[0];
const outcomes = {};

/** Whether a ping is answered within `seconds`. */
async function answers(from, to, seconds = PATIENCE_S, ...options) {
  const { status } = await lab.start(
    from,
    'ping',
    '-c',
    '1',
    '-i',
    '0.05',
    '-w',
    String(seconds),
    ...options,
    addressOf(to),
  ).ended;
  return status === 0;
}

const describe = (name) => datapath.ports.get(name).describe();

/** Waits until the port says that its interface is gone, or there again. */
const gone = (name, wanted = true) => until(() => describe(name).includes('is gone') === wanted);

/** Processor time of all threads of this process in a second, as a share of it. */
async function load() {
  const before = process.cpuUsage();
  await sleep(1000);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

/** The two that nothing happens to: all their pings are answered from the beginning to the end. What was asked after the last answer may be on its way. */
function watchOthers() {
  const pinging = lab.start(h2, 'ping', '-i', '0.02', addressOf(h3));
  const answered = () =>
    Array.from(pinging.output.stdout.matchAll(/icmp_seq=(\d+) ttl/g), ([, number]) => Number(number));
  return async () => {
    const before = answered().length;
    await until(() => answered().length > before + 10);
    pinging.child.kill('SIGINT'); // nsenter has become ping
    await pinging.ended;
    const numbers = new Set(answered());
    return Math.max(...numbers) - numbers.size;
  };
}

outcomes.before = [await answers(h1, h2), await answers(h2, h3)];
const others = watchOthers();

ip('link', 'set', 'dev', 'h1', 'down');
outcomes.down = await answers(h2, h1, 1);
ip('link', 'set', 'dev', 'h1', 'up');
outcomes.upAgain = await answers(h2, h1);

if (!backend.startsWith('afxdp')) {
  ip('link', 'set', 'dev', 'h1', 'mtu', '9000');
  lab.run(h1, 'ip', 'link', 'set', 'eth0', 'mtu', '9000');
  ip('link', 'set', 'dev', 'h2', 'mtu', '9000');
  lab.run(h2, 'ip', 'link', 'set', 'eth0', 'mtu', '9000');
  outcomes.jumbo = await answers(h2, h1, PATIENCE_S, '-M', 'do', '-s', '8900');
}

if (backend.startsWith('afxdp')) {
  // frames may be longer than those of the port from now on, as far as the driver allows that
  const attempt = (...set) => spawnSync('ip', ['link', 'set', ...set]).status === 0;
  const isSet = attempt('dev', 'h1', 'mtu', '9000');
  for (const host of [h1, h2]) lab.attempt(host, 'ip', 'link', 'set', 'eth0', 'mtu', '9000');
  const drops = datapath.ports.get('h1').kernelDrops;
  outcomes.mtuRaised = {
    long: await answers(h1, h2, 1, '-M', 'do', '-s', '8900'),
    short: await answers(h1, h2),
    counted:
      !isSet ||
      !lab.run(h1, 'ip', 'link', 'show', 'eth0').includes('mtu 9000') ||
      datapath.ports.get('h1').kernelDrops > drops,
  };
  for (const host of [h1, h2]) lab.attempt(host, 'ip', 'link', 'set', 'eth0', 'mtu', '1500');
  attempt('dev', 'h1', 'mtu', '1500');
}

ip('link', 'set', 'dev', 'h1', 'down');
ip('link', 'set', 'dev', 'h1', 'name', 'other');
ip('link', 'set', 'dev', 'other', 'up');
outcomes.renamed = await answers(h2, h1);
ip('link', 'set', 'dev', 'other', 'down');
ip('link', 'set', 'dev', 'other', 'name', 'h1');
ip('link', 'set', 'dev', 'h1', 'up');

const flood = lab.start(h1, 'ping', '-f', addressOf(h2));
await sleep(200);
ip('link', 'del', 'dev', 'h1');
outcomes.deleted = [await gone('h1'), await answers(h2, h1, 1)];
flood.child.kill();
outcomes.loadWhileGone = await load();

ip('link', 'add', 'name', 'h1', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(h1.pid));
ip('link', 'set', 'dev', 'h1', 'up');
lab.configure(h1);
outcomes.madeAnew = [await gone('h1', false), await answers(h2, h1)];

const elsewhere = lab.namespace();
ip('link', 'set', 'dev', 'h1', 'netns', String(elsewhere.pid));
outcomes.moved = [await gone('h1'), await answers(h2, h1, 1)];
lab.run(elsewhere, 'ip', 'link', 'set', 'dev', 'h1', 'netns', String(process.pid));
ip('link', 'set', 'dev', 'h1', 'up');
outcomes.movedBack = [await gone('h1', false), await answers(h2, h1)];

lab.end(h1);
outcomes.namespaceDeleted = await gone('h1');
outcomes.othersLost = await others();
outcomes.after = await answers(h2, h3);
await datapath.ports.remove('h1');
outcomes.idleLoad = await load();
await datapath.stop();
const stats = datapath.stats();
await datapath.close();
lab.close();
process.stdout.write(`${JSON.stringify({ outcomes, stats, check: datapath.check() })}\n`);
