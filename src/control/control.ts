/*
 * The control of a running worker: its commands, and the socket that they are asked for on.
 *
 * Before it: `wdp run --control PATH`. After it: unixctl-server.ts for the socket, and the modules of this folder for the commands. Ownership. `close`
 * (or `await using`) takes the socket away and ends the timers; the datapath is the caller's. Owner thread.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Datapath } from '../datapath/datapath.ts';
import { allHits } from '../datapath/stats.ts';
import { registerDpctl } from '../dpctl/unixctl.ts';
import { setDpifLog } from '../dpif/log.ts';
import type { Log } from '../log.ts';
import { packageRoot } from '../native/package-root.ts';
import { Coverage, datapathTotals, registerCoverage } from './coverage.ts';
import { registerPmd } from './pmd-commands.ts';
import { UnixctlCommands } from './unixctl.ts';
import { UnixctlServer } from './unixctl-server.ts';
import { registerVlog } from './vlog-commands.ts';
import { WorkerStatsReader } from './worker-stats.ts';

export interface ControlOptions {
  /** Where the socket is made. */
  readonly path: string;
  readonly datapath: Datapath;
  readonly log: Log;
  /** Ends the worker in good order: the command `exit`. */
  readonly exit: () => void;
}

export class Control implements AsyncDisposable {
  readonly #server: UnixctlServer;
  readonly #coverage: Coverage;

  /** Opens the socket. Throws DatapathError ERR_CONTROL. */
  static async open(options: ControlOptions): Promise<Control> {
    const { path, datapath, log } = options;
    const counts = { unixctl_received: 0, unixctl_replied: 0 };
    const coverage = new Coverage(() => ({ ...datapathTotals(datapath), ...counts }));
    const commands = new UnixctlCommands(`wdp (wasm-datapath) ${packageVersion()}`);
    registerWorker(commands, options);
    registerDpctl(commands, (text) => log.log('dpctl', 'info', text));
    registerPmd(commands, new WorkerStatsReader(datapath));
    registerCoverage(commands, coverage);
    registerVlog(commands, log);
    setDpifLog({
      isOn: (level) => log.isOn('dpif', level),
      log: (level, text) => log.log('dpif', level, text),
    });
    const server = await UnixctlServer.listen({
      path,
      commands,
      onRequest: (method, params) => {
        counts.unixctl_received += 1;
        log.log('unixctl', 'dbg', `control socket: received request ${method}${JSON.stringify(params)}`);
      },
      onReply: (failed, text) => {
        counts.unixctl_replied += 1;
        log.log(
          'unixctl',
          'dbg',
          `control socket: replying with ${failed ? 'error' : 'success'}: ${JSON.stringify(text)}`,
        );
      },
      onTrouble: (text) => log.log('unixctl', 'warn', text),
    });
    return new Control(server, coverage);
  }

  private constructor(server: UnixctlServer, coverage: Coverage) {
    this.#server = server;
    this.#coverage = coverage;
  }

  get path(): string {
    return this.#server.path;
  }

  /** Answers what is at work, then the socket is gone. */
  async close(): Promise<void> {
    setDpifLog(undefined);
    this.#coverage.close();
    await this.#server.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function packageVersion(): string {
  const file = path.join(packageRoot(), 'package.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/** exit, memory/show, dpif/show and dpif/dump-dps. */
function registerWorker(commands: UnixctlCommands, { datapath, exit }: ControlOptions): void {
  const name = `netdev@${datapath.name}`;
  const register = (method: string, usage: string, maxArgs: number, run: () => string): void =>
    commands.register(method, { usage, minArgs: 0, maxArgs, run });
  register('exit', '[--cleanup]', 1, () => {
    exit();
    return '';
  });
  register('memory/show', '', 0, () => memoryText(datapath));
  register('dpif/dump-dps', '', 0, () => `${name}\n`);
  register('dpif/show', '', 0, () => {
    const { hits, misses } = datapath.stats();
    const ports = [...datapath.ports.devices()]
      .sort((one, other) => (one.name < other.name ? -1 : 1))
      .map((port) => `    ${port.name} ${port.portNo}/${port.portNo}: (${port.type}${stateText(datapath, port)})\n`);
    return `${name}: hit:${allHits(hits)} missed:${misses}\n  ${datapath.name}:\n${ports.join('')}`;
  });
}

/** Of a port: the options of its driver, or why it has none. */
function stateText(datapath: Datapath, { portNo, failure }: { portNo: number; failure: unknown }): string {
  if (failure !== undefined) return `: open failed (${failure instanceof Error ? failure.message : String(failure)})`;
  const options = datapath.ports.get(portNo)?.describe() ?? '';
  return options === '' ? '' : `: ${options}`;
}

/** `name:count` of what takes memory, by name. */
function memoryText(datapath: Datapath): string {
  const { flows, masks, actionLists, memory } = datapath.stats();
  const usage = {
    'action-lists': actionLists,
    'arena-kB': Math.ceil(memory.arenaUsed / 1024),
    'arena-size-kB': Math.floor(memory.arenaSize / 1024),
    flows,
    'heap-kB': Math.ceil(process.memoryUsage().heapUsed / 1024),
    masks,
    ports: datapath.ports.count,
    'resident-kB': Math.ceil(process.memoryUsage.rss() / 1024),
    workers: datapath.options.workers,
  };
  return Object.entries(usage)
    .map(([name, count]) => `${name}:${count}`)
    .join(' ');
}
