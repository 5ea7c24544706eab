/*
 * A lab of network namespaces: hosts with one interface each, wired by veth pairs to the namespace of this process, where a switch under test
 * connects them. Runs as root inside a namespace of its own (`unshare -n node ...`), so nothing of the machine is touched; everything goes with
 * the processes that hold the namespaces.
 *
 *     const lab = new Lab();
 *     const a = lab.host('a', { ipv4: '10.0.0.1/24', ipv6: 'fd00::1/64' });      wire `a` here, `eth0` there
 *     lab.run(a, 'ping', '-c', '1', '10.0.0.2')
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export const TRAFFIC = new URL('./lab-traffic.py', import.meta.url).pathname;
const PYTHON = '/usr/bin/python3';
/** After so long something hangs: on a machine that is busy with other things, what takes a moment on an idle one may take many seconds. */
export const PATIENCE_S = 300;

export function ip(...args) {
  return execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

export class Lab {
  hosts = [];
  #children = new Set();

  constructor() {
    ip('link', 'set', 'lo', 'up');
    for (const scope of ['all', 'default']) writeSysctl(`net/ipv6/conf/${scope}/disable_ipv6`, '1');
  }

  /** A host on the wire `name`; its interface is eth0. */
  host(name, options = {}) {
    const host = this.hostWithout(name, options);
    ip('link', 'add', 'name', name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(host.pid));
    ip('link', 'set', 'dev', name, 'up');
    this.configure(host);
    return host;
  }

  /** A host that gets its interface later: `give`. */
  hostWithout(
    name,
    { ipv4, ipv6, mac = `02:00:00:00:00:${(this.hosts.length + 1).toString(16).padStart(2, '0')}` } = {},
  ) {
    const host = { name, pid: this.namespace().pid, mac, ipv4, ipv6 };
    this.hosts.push(host);
    return host;
  }

  /** Moves the interface `name` of this namespace to a host, as its eth0. */
  give(host, name) {
    ip('link', 'set', 'dev', name, 'netns', String(host.pid), 'name', 'eth0');
    this.configure(host);
  }

  configure(host) {
    const inside = (...args) => this.run(host, 'ip', ...args);
    inside('link', 'set', 'lo', 'up');
    inside('link', 'set', 'eth0', 'address', host.mac);
    this.run(host, 'sysctl', '-qw', 'net.ipv6.conf.eth0.accept_dad=0', 'net.ipv6.conf.eth0.router_solicitations=0');
    // a host asks for an address once a second until it has it: `ping -w` would end at "no route to host"
    for (const kind of ['ipv4', 'ipv6']) {
      const solicit = (how) => `net.${kind}.neigh.eth0.${how}_solicit=${PATIENCE_S}`;
      this.run(host, 'sysctl', '-qw', solicit('mcast'), solicit('ucast'));
    }
    if (host.ipv4) inside('addr', 'add', host.ipv4, 'dev', 'eth0');
    if (host.ipv6) inside('addr', 'add', host.ipv6, 'dev', 'eth0', 'nodad');
    inside('link', 'set', 'eth0', 'up');
  }

  /** A process that holds a namespace of its own. */
  namespace() {
    const child = spawn('unshare', ['-n', 'sleep', 'infinity'], { stdio: 'ignore' });
    this.#children.add(child);
    while (sameNamespace(child.pid)) spawnSync('sleep', ['0.005']);
    return child;
  }

  #inside(host, command) {
    return ['-t', String(host.pid), '-n', '--', ...command];
  }

  /** Runs a command in a host to its end; returns what it printed. Throws with what it complained about. */
  run(host, ...command) {
    return execFileSync('nsenter', this.#inside(host, command), {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: PATIENCE_S * 1000,
    });
  }

  /** The same without an exception: status, stdout, stderr. */
  attempt(host, ...command) {
    return spawnSync('nsenter', this.#inside(host, command), { encoding: 'utf8', timeout: PATIENCE_S * 1000 });
  }

  /** Runs a command in a host while this process goes on. Resolves with its end. */
  start(host, ...command) {
    const child = spawn('nsenter', this.#inside(host, command), { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#children.add(child);
    const result = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr']) {
      child[name].on('data', (chunk) => {
        result[name] += chunk;
      });
    }
    const ended = new Promise((resolve) => {
      child.on('close', (status) => {
        this.#children.delete(child);
        resolve({ ...result, status });
      });
    });
    const printed = async (text) => {
      while (!result.stdout.includes(text)) {
        if (child.exitCode !== null)
          throw new Error(`${command.join(' ')} ended without printing ${text}: ${result.stderr}`);
        await sleep(2);
      }
    };
    return { child, ended, printed, output: result };
  }

  /** Starts a task of lab-traffic.py in a host; resolves when it is ready. */
  async startTraffic(host, ...args) {
    const task = this.start(host, PYTHON, TRAFFIC, ...args.map(String));
    await task.printed('ready');
    return task;
  }

  /** Runs a task of lab-traffic.py that ends by itself; returns the object that it prints. */
  async traffic(host, ...args) {
    return told(await this.start(host, PYTHON, TRAFFIC, ...args.map(String)).ended);
  }

  /** The same for a task that reads lines. */
  async trafficOf(lines, host, ...args) {
    const task = this.start(host, PYTHON, TRAFFIC, ...args.map(String));
    task.child.stdin.end(`${lines.join('\n')}\n`);
    return told(await task.ended);
  }

  /** Connects all wires by a Linux bridge, which does what a learning switch does. */
  bridge() {
    ip('link', 'add', 'br0', 'type', 'bridge', 'mcast_snooping', '0');
    for (const { name } of this.hosts) ip('link', 'set', 'dev', name, 'master', 'br0');
    ip('link', 'set', 'br0', 'up');
  }

  /** What makes a veth take the frames that XDP programs send to its peer. */
  takeXdpFrames() {
    for (const host of this.hosts) this.run(host, 'ethtool', '-K', 'eth0', 'gro', 'on');
  }

  /** Ends the namespace of a host, and with it its interface and the wire. */
  end(host) {
    process.kill(host.pid, 'SIGKILL');
  }

  close() {
    for (const child of this.#children) child.kill('SIGKILL');
  }
}

/** Waits until something is so; false when it never came to that. */
export async function until(isSo, pauseMs = 10) {
  for (const end = performance.now() + PATIENCE_S * 1000; !isSo(); await sleep(pauseMs))
    if (performance.now() > end) return false;
  return true;
}

/** The object that a task of lab-traffic.py printed last. */
export function told({ stdout, stderr, status }) {
  if (status !== 0) throw new Error(`lab-traffic.py failed: ${stderr}`);
  return JSON.parse(stdout.split('\n').at(-2));
}

function sameNamespace(pid) {
  return readlinkSync(`/proc/${pid}/ns/net`) === readlinkSync('/proc/self/ns/net');
}

function writeSysctl(path, value) {
  execFileSync('sysctl', ['-qw', `${path.replaceAll('/', '.')}=${value}`]);
}
