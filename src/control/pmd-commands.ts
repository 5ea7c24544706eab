/*
 * dpif-netdev/pmd-*: what each thread of the datapath does, in the lines of Open vSwitch. Before it: unixctl.ts. After it: worker-stats.ts.
 *
 * Lines about things that do not exist here are printed where their number is zero by nature (other caches), and left out where there is no number
 * (processor cycles, output batches). Threads are named by their worker number, and by their core where they are bound to one. Owner thread.
 */
import type { Datapath } from '../datapath/datapath.ts';
import { Dpif } from '../dpif/dpif.ts';
import { DatapathError } from '../errors.ts';
import { formatPortConfig } from '../ports/port-config.ts';
import { LOAD_SECONDS } from '../ports/queue-load.ts';
import { coreOf } from '../worker/affinity.ts';
import { type UnixctlCommands, UnixctlError } from './unixctl.ts';
import type { WorkerStats, WorkerStatsReader } from './worker-stats.ts';

/** Registers pmd-stats-show, pmd-stats-clear, pmd-perf-show, pmd-rxq-show and pmd-rxq-rebalance; and those that are ours. */
export function registerPmd(commands: UnixctlCommands, reader: WorkerStatsReader): void {
  commands.register('dpif-netdev/pmd-stats-show', {
    usage: '[-pmd core] [dp]',
    minArgs: 0,
    maxArgs: 3,
    run: (args) =>
      chosen(reader, args)
        .map((worker) => statsText(reader.read(worker)))
        .join(''),
  });
  commands.register('dpif-netdev/pmd-stats-clear', {
    usage: '[-pmd core] [dp]',
    minArgs: 0,
    maxArgs: 3,
    run: (args) => {
      for (const worker of chosen(reader, args)) reader.clear(worker);
      return '';
    },
  });
  commands.register('dpif-netdev/pmd-perf-show', {
    usage: '[-nh] [-it iter-history-len] [-ms ms-history-len] [-pmd core] [dp]',
    minArgs: 0,
    maxArgs: 8,
    run: (args) =>
      pollers(reader, args)
        .map((worker) => perfText(reader.read(worker)))
        .join(''),
  });
  commands.register('dpif-netdev/pmd-rxq-show', {
    usage: '[-pmd core] [-secs secs] [dp]',
    minArgs: 0,
    maxArgs: 5,
    run: (args) => rxqText(reader, pollers(reader, args)),
  });
  commands.register('dpif-netdev/pmd-rxq-rebalance', {
    usage: '[dp]',
    minArgs: 0,
    maxArgs: 1,
    run: async (args) => {
      chosen(reader, args);
      await reader.datapath.queues.spread();
      return 'pmd rxq rebalance requested.\n';
    },
  });
  registerOurs(commands, reader.datapath);
}

/** What Open vSwitch does by settings of its database: pmd-rxq-affinity and all of other_config of an interface, pmd-rxq-isolate, pmd-cpu-mask. */
function registerOurs(commands: UnixctlCommands, datapath: Datapath): void {
  commands.register('wdp/rxq-move', {
    usage: 'port queue worker',
    minArgs: 3,
    maxArgs: 3,
    run: async ([port, queue, worker]) => {
      await refusing(() => datapath.queues.move(port, Number(queue), Number(worker)));
      return '';
    },
  });
  commands.register('wdp/pollers', {
    usage: '[count]',
    minArgs: 0,
    maxArgs: 1,
    run: async ([count]) => {
      if (count !== undefined) await refusing(() => datapath.setPollers(Number(count)));
      return `${datapath.pollers} of ${datapath.options.workers} workers poll\n`;
    },
  });
  commands.register('wdp/port-config', {
    usage: 'port [key=value]...',
    minArgs: 1,
    maxArgs: 16,
    run: ([port, ...items]) => refusing(() => portConfig(datapath, port, items)),
  });
  commands.register('wdp/rxq-isolate', {
    usage: '[true | false]',
    minArgs: 0,
    maxArgs: 1,
    run: ([value]) => {
      if (value !== undefined && !['true', 'false'].includes(value)) throw new UnixctlError('it is true or false');
      if (value !== undefined) datapath.queues.isolates = value === 'true';
      return `workers that queues are pinned to ${datapath.queues.isolates ? 'poll nothing else' : 'poll others too'}\n`;
    },
  });
}

/** Sets all of the port's configuration, if anything is given, and says what it is. */
function portConfig(datapath: Datapath, name: string, items: readonly string[]): string {
  using dpif = Dpif.open(`netdev@${datapath.name}`);
  const port = /^\d+$/.test(name) ? dpif.portQueryByNumber(Number(name)) : dpif.portQueryByName(name);
  if (port === undefined) throw new UnixctlError(`there is no port ${name}`);
  if (items.length > 0) dpif.portSetConfig(port.portNo, Object.fromEntries(items.map(pairOf)));
  return formatPortConfig(datapath.ports.config(port.portNo))
    .map((pair) => `${pair.join('=')}\n`)
    .join('');
}

function pairOf(item: string): [string, string] {
  const [key, ...rest] = item.split('=');
  if (key === '' || rest.length === 0) throw new UnixctlError(`"${item}" is not key=value`);
  return [key, rest.join('=')];
}

/** What cannot be done is an answer, not a failure of the server. */
async function refusing<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof DatapathError || error instanceof RangeError) throw new UnixctlError(error.message);
    throw error;
  }
}

/** Options with a value that say how much of a history to show: there is none. */
const HISTORY: ReadonlySet<string> = new Set(['-it', '-ms', '-secs']);

/** The workers that the arguments ask for. Throws UnixctlError for another datapath. */
function chosen(reader: WorkerStatsReader, args: readonly string[]): number[] {
  let workers = reader.workers;
  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    if (arg === '-nh') continue;
    if (HISTORY.has(arg)) i += 1;
    else if (arg === '-pmd') {
      const wanted = Number(args[++i]);
      workers = workers.filter((worker) => coreOf(reader.datapath.options.affinity, worker) === wanted);
    } else if (arg !== reader.datapath.name && arg !== `netdev@${reader.datapath.name}`)
      throw new UnixctlError('please specify an existing datapath');
  }
  return workers;
}

/** The main thread is left out where Open vSwitch leaves it out, unless it does all the work. */
function pollers(reader: WorkerStatsReader, args: readonly string[]): number[] {
  const isAlone = reader.workers.length === 1;
  return chosen(reader, args).filter((worker) => worker > 0 || isAlone);
}

function title({ worker, cpu }: WorkerStats): string {
  if (worker === 0) return 'main thread:\n';
  return cpu === undefined ? `pmd thread worker_id ${worker}:\n` : `pmd thread worker_id ${worker} core_id ${cpu}:\n`;
}

function ratio(part: number, whole: number): string {
  return (whole === 0 ? 0 : part / whole).toFixed(2);
}

function statsText(stats: WorkerStats): string {
  const { received, recirculated, megaflowHits, misses, failedUpcalls } = stats;
  return [
    `${title(stats)}  packets received: ${received}`,
    `packet recirculations: ${recirculated}`,
    `avg. datapath passes per packet: ${ratio(received + recirculated, received)}`,
    'phwol hits: 0',
    'mfex opt hits: 0',
    'simple match hits: 0',
    `emc hits: ${stats.emcHits}`,
    'smc hits: 0',
    `megaflow hits: ${megaflowHits}`,
    `avg. subtable lookups per megaflow hit: ${ratio(stats.subtableLookups, megaflowHits)}`,
    `miss with success upcall: ${misses - failedUpcalls}`,
    `miss with failed upcall: ${failedUpcalls}\n`,
  ].join('\n  ');
}

/** `  Rx packets:                   12  (...)` */
function perfLine(name: string, count: number, notes?: string): string {
  const line = `  ${`${name}:`.padEnd(20)}${String(count).padStart(12)}`;
  return notes === undefined ? `${line}\n` : `${line}  (${notes})\n`;
}

function perfText(stats: WorkerStats): string {
  const { received, recirculated, seconds } = stats;
  const passes = received + recirculated;
  const share = (part: number): string => `${(passes === 0 ? 0 : (part / passes) * 100).toFixed(1).padStart(5)} %`;
  const rate = (packets: number): string => `${(packets / seconds / 1000).toFixed(0)} Kpps`;
  const hit = (name: string, count: number, more = ''): string => perfLine(`- ${name}`, count, share(count) + more);
  const head = `\nTime: ${new Date().toISOString().slice(11, 23)}\nMeasurement duration: ${seconds.toFixed(3)} s\n\n`;
  const rx =
    received === 0
      ? perfLine('Rx packets', 0)
      : perfLine('Rx packets', received, rate(received)) +
        perfLine('Datapath passes', passes, `${ratio(passes, received)} passes/pkt`) +
        hit('PHWOL hits', 0) +
        hit('MFEX Opt hits', 0) +
        hit('Simple Match hits', 0) +
        hit('EMC hits', stats.emcHits) +
        hit('SMC hits', 0) +
        hit(
          'Megaflow hits',
          stats.megaflowHits,
          `, ${ratio(stats.subtableLookups, stats.megaflowHits)} subtbl lookups/hit`,
        ) +
        hit('Upcalls', stats.misses) +
        hit('Lost upcalls', stats.failedUpcalls);
  const { transmitted } = stats;
  const tx =
    transmitted === 0 ? `${perfLine('Tx packets', 0)}\n` : perfLine('Tx packets', transmitted, rate(transmitted));
  return `${head}${title(stats)}\n${rx}${tx}`;
}

function rxqText(reader: WorkerStatsReader, workers: readonly number[]): string {
  const { queues: distribution } = reader.datapath;
  const receivers = distribution.list();
  const isolated = distribution.isolated();
  const parts = workers.map((worker) => {
    // the calling thread does not measure how long it works
    const usage = (share: number): string =>
      worker === 0 ? 'NOT AVAIL' : `${String(Math.round(share * 100)).padStart(2)} %`;
    const queues = receivers
      .filter((receiver) => receiver.worker === worker)
      .map(({ port, queue, usage: share }) => {
        const number = String(queue).padStart(2);
        return `  port: ${port.padEnd(16)}  queue-id: ${number} (enabled)   pmd usage: ${usage(share)}\n`;
      });
    const overhead = queues.length === 0 ? '' : '  overhead: NOT AVAIL\n';
    return `${title(reader.read(worker))}  isolated : ${isolated.has(worker)}\n${queues.join('')}${overhead}`;
  });
  return `Displaying last ${LOAD_SECONDS} seconds pmd usage %\n${parts.join('')}`;
}
