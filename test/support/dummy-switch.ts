/*
 * Open vSwitch's userspace datapath as an oracle: a private ovs-vswitchd in dummy mode, and its control socket.
 *
 * For tests only. Everything is in a temporary folder and a network namespace of its own, no real interface is touched; the daemons
 * are children of this process and end by their process ids. One call over the socket takes a fraction of a millisecond, where a
 * process of ovs-appctl takes several.
 */
import { type ChildProcess, execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { readFilePlain } from './pcap-read.ts';
import { requireProgram } from './require.ts';

const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';
const START_TIMEOUT_MS = 600_000;
/** Frames at once: a dummy port queues 100. */
const RECEIVE_MAX = 50;
export const DUMMY_DATAPATH = 'dummy@ovs-dummy';

/** Why there is no dummy switch on this machine; undefined when there is one. */
export function whyNoDummySwitch(): string | undefined {
  for (const program of ['ovs-vswitchd', 'ovsdb-server', 'ovsdb-tool', 'ovs-vsctl', 'ovs-ofctl', 'unshare']) {
    const reason = requireProgram(program);
    if (reason !== undefined) return reason;
  }
  if (!existsSync(SCHEMA)) return `${SCHEMA} is not installed`;
  return spawnSync('unshare', ['-n', 'true']).status === 0 ? undefined : 'a network namespace needs CAP_SYS_ADMIN';
}

/** A line-less JSON-RPC connection: requests in order, answers in order. */
class Control {
  readonly #socket: Socket;
  readonly #waiting: { resolve: (text: string) => void; reject: (error: Error) => void }[] = [];
  #buffer = '';

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => this.#receive(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the switch closed its control socket')));
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  /** Answers follow each other without a separator: an object ends where its braces do. */
  #receive(chunk: string): void {
    this.#buffer += chunk;
    for (let end = objectEnd(this.#buffer); end > 0; end = objectEnd(this.#buffer)) {
      const { result, error } = JSON.parse(this.#buffer.slice(0, end)) as { result: string; error: string | null };
      this.#buffer = this.#buffer.slice(end);
      const { resolve, reject } = this.#waiting.shift()!;
      if (error === null) resolve(result);
      else reject(new Error(error));
    }
  }

  call(method: string, params: readonly string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#socket.write(JSON.stringify({ id: 0, method, params }));
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}

function objectEnd(text: string): number {
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (quoted) {
      if (char === '\\') i++;
      else if (char === '"') quoted = false;
    } else if (char === '"') quoted = true;
    else if (char === '{') depth++;
    else if (char === '}' && --depth === 0) return i + 1;
  }
  return 0;
}

/** A running switch with the datapath DUMMY_DATAPATH and ports p1 (1) and p2 (2), its clock stopped unless it is free. */
export class DummySwitch {
  readonly #folder: string;
  readonly #children: ChildProcess[];
  readonly #control: Control;

  private constructor(folder: string, children: ChildProcess[], control: Control) {
    this.#folder = folder;
    this.#children = children;
    this.#control = control;
  }

  /** `args`: more of the command line of ovs-vswitchd. `isFree`: nothing of it is stopped, without which it cannot change its poll-mode threads. */
  static async start({ args = [], isFree = false }: { args?: string[]; isFree?: boolean } = {}): Promise<DummySwitch> {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'dummy-switch-'));
    const env = { ...process.env, OVS_RUNDIR: folder, OVS_LOGDIR: folder, OVS_DBDIR: folder, OVS_SYSCONFDIR: folder };
    const run = (program: string, ...args: string[]) => execFileSync(program, args, { env, stdio: 'pipe' });
    const children: ChildProcess[] = [];
    const start = (program: string, ...args: string[]) =>
      children.push(spawn('unshare', ['-n', program, ...args], { env, stdio: 'ignore' }));
    const database = `unix:${folder}/db.sock`;
    try {
      run('ovsdb-tool', 'create', `${folder}/conf.db`, SCHEMA);
      start('ovsdb-server', `--remote=p${database}`, `--unixctl=${folder}/db.ctl`, `${folder}/conf.db`);
      await waitFor(() => existsSync(`${folder}/db.sock`), 'ovsdb-server');
      run('ovs-vsctl', `--db=${database}`, '--no-wait', 'init');
      const control = `${folder}/switch.ctl`;
      start('ovs-vswitchd', '--enable-dummy=override', '--disable-system', ...args, `--unixctl=${control}`, database);
      const ports = ['p1', 'p2'].flatMap((name) => [
        '--',
        'add-port',
        'br0',
        name,
        '--',
        'set',
        'int',
        name,
        'type=dummy',
        `options:tx_pcap=${folder}/${name}.pcap`,
      ]);
      await waitFor(() => readdirSync(folder).includes('switch.ctl'), 'ovs-vswitchd');
      run(
        'ovs-vsctl',
        `--db=${database}`,
        '--timeout=15',
        'add-br',
        'br0',
        '--',
        'set',
        'br',
        'br0',
        'datapath_type=dummy',
        ...ports,
        ...['--', 'set', 'Open_vSwitch', '.', 'other_config:vlan-limit=2'],
      );
      const socket = connect(control);
      const ready = new DummySwitch(folder, children, new Control(socket));
      if (isFree) return ready;
      await ready.call('time/stop');
      await ready.call('revalidator/pause');
      return ready;
    } catch (error) {
      for (const child of children) child.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** Its control socket, for clients of one's own. */
  get controlPath(): string {
    return path.join(this.#folder, 'switch.ctl');
  }

  /** Runs one command as ovs-appctl would; rejects with the switch's error text. */
  call(command: string, ...args: string[]): Promise<string> {
    return this.#control.call(command, args);
  }

  /** Changes the switch's database, and waits until the switch has done so too. */
  vsctl(...args: string[]): void {
    execFileSync('ovs-vsctl', [`--db=unix:${this.#folder}/db.sock`, '--timeout=15', ...args], { stdio: 'pipe' });
  }

  /** Installs flows, each as `KEY actions:ACTIONS` or `KEY,ACTIONS` of dpctl's text. */
  async addFlows(flows: readonly string[]): Promise<void> {
    const file = path.join(this.#folder, 'flows');
    writeFileSync(file, `${flows.join('\n')}\n`);
    const refused = await this.call('dpctl/add-flows', DUMMY_DATAPATH, file);
    if (refused !== '') throw new Error(refused);
  }

  /** Installs flows of OpenFlow 1.3 in br0, in the text of `ovs-ofctl`. */
  async openFlow(flows: readonly string[]): Promise<void> {
    const file = path.join(this.#folder, 'openflow');
    writeFileSync(file, `${flows.join('\n')}\n`);
    const env = { ...process.env, OVS_RUNDIR: this.#folder };
    await promisify(execFile)('ovs-ofctl', ['-OOpenFlow13', 'add-flows', `unix:${this.#folder}/br0.mgmt`, file], {
      env,
    });
  }

  /** Frames arrive at a port; comes back when the datapath has done with all of them. `lookups`: how often it looks each of them up. */
  async receive(port: string, frames: readonly Uint8Array[], lookups = 1): Promise<void> {
    for (let start = 0; start < frames.length; start += RECEIVE_MAX) {
      const part = frames.slice(start, start + RECEIVE_MAX).map((frame) => Buffer.from(frame).toString('hex'));
      const before = await this.#lookups();
      await this.call('netdev-dummy/receive', port, ...part);
      for (const end = Date.now() + START_TIMEOUT_MS; (await this.#lookups()) < before + part.length * lookups; ) {
        if (Date.now() > end) throw new Error(`${port} does not receive`);
      }
    }
  }

  async #lookups(): Promise<number> {
    const [, hit, missed] = /hit:(\d+) missed:(\d+)/.exec(await this.call('dpctl/show', DUMMY_DATAPATH))!;
    return Number(hit) + Number(missed);
  }

  /** Everything that went out of a port so far. */
  async sent(port: string): Promise<Uint8Array[]> {
    const records = await readFilePlain(path.join(this.#folder, `${port}.pcap`));
    return records.map(({ data }) => data);
  }

  async stop(): Promise<void> {
    this.#control.close();
    for (const child of this.#children.reverse()) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function waitFor(condition: () => boolean, what: string): Promise<void> {
  for (const end = Date.now() + START_TIMEOUT_MS; !condition(); await sleep(20)) {
    if (Date.now() > end) throw new Error(`${what} did not start`);
  }
}
