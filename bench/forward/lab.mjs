/*
 * The place of bench/forward: two veth pairs in a network namespace of our own, counters of their interfaces, and children that are ended by their process id.
 *
 *     generator -> gen0 ===== in0 -> contestant -> out0 ===== sink0 (counts)
 *
 * Everything here runs inside the namespaces that run.mjs made (network, mounts, processes): what is left over when it ends, ends with them.
 */
import { execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export const SENDER = 'gen0';
export const FROM = 'in0';
export const TO = 'out0';
export const SINK = 'sink0';
/** Source ports of the generator. */
const FLOWS = 1024;
export const TICK_NS = 1e7;
const READY_MS = 20_000;
const TERM_MS = 2000;

export function command(program, ...args) {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Fresh pairs for each run: no socket, program or queue of the one before is on them. Offloads that change frames are off, except for TCP. */
export function makeLinks() {
  for (const [name, peer] of [
    [SENDER, FROM],
    [TO, SINK],
  ]) {
    command('ip', 'link', 'add', name, 'type', 'veth', 'peer', 'name', peer);
  }
  for (const name of [SENDER, FROM, TO, SINK]) {
    quiet(name);
    command('ethtool', '-K', name, 'tx', 'off', 'tso', 'off', 'gso', 'off');
    command('ip', 'link', 'set', name, 'up');
  }
  takeXdpFrames(FROM);
}

/** The end of a veth pair takes XDP frames from its peer. */
export function takeXdpFrames(name) {
  command('ethtool', '-K', name, 'gro', 'on');
}

/** No stack of ours speaks on the interface. */
export function quiet(name) {
  command('sysctl', '-qw', `net.ipv6.conf.${name}.disable_ipv6=1`);
}

export function removeLinks() {
  for (const name of [SENDER, TO, 'br0']) {
    try {
      command('ip', 'link', 'del', name);
    } catch {
      // it was not made
    }
  }
}

/** Traffic for so many seconds: `rate` packets of known flows a second, 0 as many as one core can make, and `fresh` that are a new flow each. */
export function startGenerator({ generator, otherCore, mode }, seconds, { rate = 0, fresh = 0 } = {}) {
  return new Child(otherCore, generator, [SENDER, seconds, FLOWS, rate, fresh, mode].map(String));
}

/** Packets that an interface has received. */
export function receivedBy(name) {
  const line = readFileSync('/proc/net/dev', 'utf8')
    .split('\n')
    .find((text) => text.trim().startsWith(`${name}:`));
  return Number(line.split(':')[1].trim().split(/\s+/)[1]);
}

/** Time that all processors together were not idle, so far: ns, to a tick. */
function machineNs() {
  const [, fields] = /^cpu (.*)/m.exec(readFileSync('/proc/stat', 'utf8'));
  const [user, nice, system, , , hard, soft] = fields.trim().split(/\s+/).map(Number);
  return (user + nice + system + hard + soft) * TICK_NS;
}

/** What came in and went out within so many seconds: { seconds, offered, forwarded, machineNs }. `begin` and `end` are called at its edges. */
export async function countWindow(seconds, { begin, end } = {}) {
  const count = () => ({
    time: performance.now(),
    offered: receivedBy(FROM),
    forwarded: receivedBy(SINK),
    machineNs: machineNs(),
  });
  const before = count();
  begin?.();
  await sleep(seconds * 1000);
  end?.();
  const after = count();
  return {
    seconds: (after.time - before.time) / 1000,
    offered: after.offered - before.offered,
    forwarded: after.forwarded - before.forwarded,
    machineNs: after.machineNs - before.machineNs,
  };
}

/** Time of a thread on a processor so far: ns, and how many ticks of the kernel's clock found it in its own code, and in the kernel. */
export function threadTime(pid, thread = pid) {
  const folder = `/proc/${pid}/task/${thread}`;
  const fields = readFileSync(`${folder}/stat`, 'utf8').split(') ')[1].split(' ');
  return {
    ns: Number(readFileSync(`${folder}/schedstat`, 'utf8').split(' ')[0]),
    user: Number(fields[11]),
    system: Number(fields[12]),
  };
}

/** Between two readings of a thread: ns on the processor, and the share of its own code in that. */
export function spent(before, after) {
  const user = after.user - before.user;
  const system = after.system - before.system;
  return { ns: after.ns - before.ns, userShare: user / Math.max(1, user + system) };
}

/** Threads of a process: id and name. */
export function threadsOf(pid) {
  return readdirSync(`/proc/${pid}/task`).map((id) => ({
    id,
    name: readFileSync(`/proc/${pid}/task/${id}/comm`, 'utf8').trim(),
  }));
}

/** The times of every thread of a process, by its id. */
export function threadTimes(pid) {
  return new Map(threadsOf(pid).map(({ id }) => [id, threadTime(pid, id)]));
}

const UNBORN = { ns: 0, user: 0, system: 0 };

/** The thread that ran longest between two readings, which is the one that polls: its id and what it spent. */
export function busiest(before, after) {
  return [...after]
    .map(([id, time]) => ({ id, ...spent(before.get(id) ?? UNBORN, time) }))
    .reduce((most, each) => (each.ns > most.ns ? each : most));
}

/** A program on one core. `said(text)` resolves when it writes the text to stderr; `done` with its stdout, when it ends with 0; `end` ends it. */
export class Child {
  constructor(core, program, args, options = {}) {
    this.name = `${program.split('/').at(-1)} ${args.slice(0, 3).join(' ')}`;
    this.process = spawn('taskset', ['-c', String(core), program, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      ...options,
    });
    this.stdout = '';
    this.stderr = '';
    this.process.stdout.setEncoding('utf8').on('data', (text) => {
      this.stdout += text;
    });
    this.process.stderr.setEncoding('utf8').on('data', (text) => {
      this.stderr += text;
    });
    this.closed = new Promise((resolve, reject) => {
      this.process.on('error', reject).on('close', (status) => resolve(status));
    });
    this.done = this.closed.then((status) => {
      if (status === 0) return this.stdout;
      throw new Error(`${this.name}: exit status ${status}: ${this.stderr.trim().split('\n').at(-1)}`);
    });
    this.done.catch(() => {});
  }

  /** taskset becomes the program: the process id is its own. */
  get pid() {
    return this.process.pid;
  }

  async until(isSo, what) {
    for (const end = Date.now() + READY_MS; !isSo(); await sleep(10)) {
      if (this.process.exitCode !== null) await this.done;
      if (Date.now() > end) throw new Error(`${this.name}: ${what} did not come: ${this.stderr.trim()}`);
    }
  }

  said(text) {
    return this.until(() => this.stderr.includes(text), `"${text}"`);
  }

  async end() {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    this.process.kill('SIGTERM');
    const timer = setTimeout(() => this.process.kill('SIGKILL'), TERM_MS);
    await this.closed.catch(() => {});
    clearTimeout(timer);
  }
}
