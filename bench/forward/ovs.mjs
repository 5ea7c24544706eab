/*
 * Debian's Open vSwitch with its userspace datapath, private: database, sockets, logs and pid files in a directory of its own, both daemons children of this
 * process. Bridge `b` with ports 1 and 2 and one OpenFlow rule a direction, whose flows are the simplest that it knows (simple match), which favours it.
 *
 * Kinds of ports: `system` (AF_PACKET sockets, polled by the main thread), and with the package openvswitch-switch-dpdk `dpdk-af_packet` and `dpdk-af_xdp`
 * (poll-mode drivers, a poll thread). What is on the datapath's core is the thread that forwards; all others are on the other core.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Child, command, FROM, spent, TO, threadsOf, threadTime } from './lab.mjs';

const SYSTEM_BINARIES = ['/usr/lib/openvswitch-switch/ovs-vswitchd', '/usr/sbin/ovs-vswitchd'];
const DPDK_BINARY = '/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk';
const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';
export const HUGEPAGES = '/proc/sys/vm/nr_hugepages';
/** Of 2 MiB: one pool of 262,144 buffers, as Open vSwitch makes it. */
const HUGEPAGES_WANTED = 560;
const NO_HUGE = '--no-huge --legacy-mem --no-shconf -m 1200';

/** Why this kind of port cannot be had here; undefined: it can. */
export function whyNoOvs(kind) {
  for (const name of ['ovsdb-tool', 'ovsdb-server', 'ovs-vsctl', 'ovs-ofctl', 'ovs-appctl']) {
    if (!['/usr/bin', '/usr/sbin'].some((folder) => existsSync(path.join(folder, name)))) {
      return `${name} is missing: apt-get install openvswitch-switch`;
    }
  }
  if (kind.startsWith('dpdk') && !existsSync(DPDK_BINARY)) {
    return 'apt-get install openvswitch-switch-dpdk librte-net-af-packet23 librte-net-af-xdp23 librte-mempool-ring23';
  }
  return undefined;
}

function freeHugepages() {
  const [, free] = /^HugePages_Free:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8')) ?? [];
  return Number(free ?? 0);
}

export class Ovs {
  #folder;
  #children = [];

  constructor(folder, kind, { core, otherCore, tso = false }) {
    this.#folder = folder;
    this.kind = kind;
    this.core = core;
    this.otherCore = otherCore;
    this.tso = tso;
  }

  get #env() {
    const folder = this.#folder;
    return {
      ...process.env,
      OVS_RUNDIR: folder,
      OVS_DBDIR: folder,
      OVS_LOGDIR: folder,
      RUNTIME_DIRECTORY: folder,
    };
  }

  #vsctl(...args) {
    return command('ovs-vsctl', '--timeout=20', `--db=unix:${this.#folder}/db.sock`, ...args);
  }

  appctl(...args) {
    return command('ovs-appctl', '--timeout=10', '-t', `${this.#folder}/switch.ctl`, ...args);
  }

  #start(program, ...args) {
    const child = new Child(this.otherCore, program, args, { env: this.#env });
    this.#children.push(child);
    return child;
  }

  /** Daemons, bridge, ports and rules; the threads are on their cores when it returns. */
  async open() {
    const folder = this.#folder;
    mkdirSync(folder, { recursive: true });
    command('ovsdb-tool', 'create', `${folder}/conf.db`, SCHEMA);
    const common = ['--no-chdir', '--log-file'];
    const server = this.#start(
      'ovsdb-server',
      `${folder}/conf.db`,
      `--remote=punix:${folder}/db.sock`,
      `--unixctl=${folder}/server.ctl`,
      ...common,
    );
    await server.until(() => existsSync(`${folder}/db.sock`), 'its socket');
    this.#vsctl('--no-wait', 'init');
    const isDpdk = this.kind.startsWith('dpdk');
    if (isDpdk) this.#configureDpdk();
    if (this.tso) this.#vsctl('--no-wait', 'set', 'Open_vSwitch', '.', 'other_config:userspace-tso-enable=true');
    const binary = isDpdk ? DPDK_BINARY : SYSTEM_BINARIES.find((file) => existsSync(file));
    const daemon = this.#start(
      binary,
      `unix:${folder}/db.sock`,
      '--disable-system',
      `--unixctl=${folder}/switch.ctl`,
      ...common,
    );
    await daemon.until(() => existsSync(`${folder}/switch.ctl`), 'its socket');
    this.daemon = daemon;
    this.#vsctl('add-br', 'b', '--', 'set', 'bridge', 'b', 'datapath_type=netdev', 'fail-mode=secure');
    this.#addPort(FROM, 1);
    this.#addPort(TO, 2);
    const rules = `${folder}/rules`;
    writeFileSync(rules, 'in_port=1,actions=output:2\nin_port=2,actions=output:1\n');
    command('ovs-ofctl', '--timeout=10', 'add-flows', `unix:${folder}/b.mgmt`, rules);
    this.#placeThreads();
  }

  #configureDpdk() {
    const free = freeHugepages();
    // run.mjs gives them back
    if (free < HUGEPAGES_WANTED)
      writeFileSync(HUGEPAGES, String(Number(readFileSync(HUGEPAGES, 'utf8')) + HUGEPAGES_WANTED - free));
    const extra = freeHugepages() >= HUGEPAGES_WANTED ? '--no-pci' : `--no-pci ${NO_HUGE}`;
    const settings = {
      'dpdk-init': 'true',
      'dpdk-extra': `"${extra}"`,
      'dpdk-lcore-mask': `0x${(1 << this.otherCore).toString(16)}`,
      'pmd-cpu-mask': `0x${(1 << this.core).toString(16)}`,
    };
    const pairs = Object.entries(settings).map(([key, value]) => `other_config:${key}=${value}`);
    this.#vsctl('--no-wait', 'set', 'Open_vSwitch', '.', ...pairs);
  }

  #addPort(name, number) {
    const options = ['--', 'set', 'Interface'];
    if (this.kind === 'system') {
      this.#vsctl('add-port', 'b', name, ...options, name, `ofport_request=${number}`);
      return;
    }
    const driver = this.kind.replace('dpdk-', 'net_');
    const device = `options:dpdk-devargs="${driver}${number},iface=${name}"`;
    this.#vsctl(
      'add-port',
      'b',
      `d${number}`,
      ...options,
      `d${number}`,
      'type=dpdk',
      device,
      `ofport_request=${number}`,
    );
    const error = this.#vsctl('get', 'Interface', `d${number}`, 'error').trim();
    if (error !== '[]') throw new Error(`${this.kind}: ${error}`);
  }

  /** The thread that forwards is on its core, all others on the other one. */
  #placeThreads() {
    const { pid } = this.daemon;
    const isForwarding = ({ id, name }) => (this.kind === 'system' ? Number(id) === pid : name.startsWith('pmd'));
    const threads = threadsOf(pid);
    this.thread = threads.find(isForwarding)?.id;
    if (this.thread === undefined) throw new Error(`${this.kind}: no thread forwards`);
    for (const { id } of threads) {
      command('taskset', '-pc', String(id === this.thread ? this.core : this.otherCore), id);
    }
  }

  /** Of the forwarding thread: its time on the processor, and cycles with packets and without. */
  read() {
    const text = this.appctl('dpif-netdev/pmd-stats-show');
    const section = text.split(/^(?=\S)/m).find((part) => part.startsWith(this.kind === 'system' ? 'main' : 'pmd'));
    const number = (label) => Number(new RegExp(`${label}: (\\d+)`).exec(section ?? '')?.[1] ?? 0);
    return {
      time: threadTime(this.daemon.pid, this.thread),
      idle: number('idle cycles'),
      busy: number('processing cycles'),
    };
  }

  /** Between two readings: busy, ns, and the share of its own code. The main thread sleeps when there is nothing to do; a poll thread says how long it turned in vain. */
  busy(before, after) {
    const { ns, userShare } = spent(before.time, after.time);
    if (this.kind === 'system') return { ns, userShare };
    const busy = after.busy - before.busy;
    return { ns: (ns * busy) / Math.max(1, busy + after.idle - before.idle), userShare };
  }

  async close() {
    for (const child of this.#children.toReversed()) await child.end();
  }
}
