/*
 * wdp run: the command and its options. Before it: main.ts. After it: run-settings.ts puts the settings together, run-session.ts runs them.
 *
 * Signals: the first SIGINT or SIGTERM ends the run in good order, the second ends the process at once. Main thread.
 */
import type { Command } from 'commander';
import type { Settings } from './config.ts';
import { EXIT_DONE, EXIT_INTERRUPTED } from './failure.ts';

interface RunOptions {
  config?: string;
  name?: string;
  port?: string[];
  handler?: string;
  workers?: string;
  cpus?: string;
  flows?: string;
  emcEntries?: string;
  idleTimeout?: string;
  hardTimeout?: string;
  seed?: string;
  speed?: string;
  control?: string;
  for?: string;
  json?: boolean;
}

/** Kinds of ports, and the options of each. */
export type PortKinds = ReadonlyMap<string, { readonly keys: readonly string[] }>;

/** Adds the command to the program. `kinds` are for its help. */
export function registerRun(program: Command, kinds: PortKinds): void {
  program
    .command('run')
    .summary('forward packets between ports; without --port, the shipped captures of a small LAN')
    .description(
      'Runs a datapath: packets go between its ports by its flows, and a handler decides what no flow knows yet.\n\n' +
        'Without --port and --config it replays the shipped captures of a small LAN through a learning switch, writes ' +
        'what each host received to out/, and ends by itself after about ten seconds.',
    )
    .option('--config <FILE>', 'settings from a JSON file; options given here win')
    .option('--name <NAME>', 'name of the datapath (default: dp0)')
    .option('--port <SPEC>', 'a port; give it once for each, they are numbered from 1', collect)
    .option('--handler <HANDLER>', 'who decides what no flow knows yet (default: learning)')
    .option('--workers <N>', 'threads that poll ports; 0: the main thread does it (default: 1)')
    .option('--cpus <LIST>', 'CPUs that the workers stay on, in turn, such as 2,3 (default: all)')
    .option('--flows <N>', 'flows that fit (default: 262144)')
    .option('--emc-entries <N>', "entries of each worker's exact-match cache, a power of two (default: 16384)")
    .option('--idle-timeout <SECONDS>', 'remove flows unused for so long, 0: never (default: 10)')
    .option('--hard-timeout <SECONDS>', 'remove flows so long after they were installed, 0: never (default: 0)')
    .option('--seed <N>', 'seed of every hash (default: random)')
    .option('--speed <SPEED>', 'of pcap ports that do not say: recorded, max, or packets a second (default: recorded)')
    .option('--control <PATH>', 'open a control socket there, for `wdp --target PATH` and ovs-appctl (default: none)')
    .option('--for <SECONDS>', 'end after so long (default: when every port has replayed all it had)')
    .option('--json', 'one JSON object a second on stdout, and one with the summary at the end')
    .addHelpText('after', helpText(kinds))
    .action(async (options: RunOptions) => {
      process.exitCode = await run(options);
    });
}

function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}

function helpText(portKinds: PortKinds): string {
  const kinds = [...portKinds].map(([type, { keys }]) => `  ${type.padEnd(11)}${optionKeys(keys)}`);
  return `
SPEC: NAME[,type=TYPE][,key=value]...   types and their keys:
${kinds.join('\n')}
  rx, tx: capture to replay, capture to write. speed: recorded, max, or packets a second.
  loop: rounds, 0 for ever. Captures at recorded speed share one clock.
  A SPEC without type is the interface of that name, by whatever serves it best, which the run
  says. Real interfaces need CAP_NET_RAW and CAP_NET_ADMIN (examples/systemd/wasm-datapath.service);
  wdp doctor says what this host has.
  afpacket, afxdp: what arrives on the interface, and what is to leave by it.
  tap: an interface that is made for the host, and goes with the run; internal: the same, by the
  name that Open vSwitch has for it. veth: the same by a pair of interfaces, of which somebody gets
  the peer.
  queues: flows are spread over so many rings, each for one worker. tx: plain frames are sent by
  AF_XDP (xdp), or by the packet socket (socket), where tcpdump sees them.
  mode: zerocopy, native, generic. offload: XDP programs forward what they can (on, off).
  A memory port is for programs that embed the datapath.

HANDLER:
  learning     an Ethernet switch: learns who is where, floods the unknown
  flood        to all other ports
  drop         nowhere
  static:FILE  rules with priorities, as in examples/rules/
  module:FILE  an ES module of yours, as in examples/handlers/

FILE of --config: a JSON object with the same names, such as
  {"ports": ["a,type=pcap,rx=a.pcap", {"name": "b", "type": "null"}], "handler": "flood",
   "workers": 2, "cpus": [2, 3], "emcEntries": 8192, "idleTimeout": 5, "for": 10}

Exit status: 0 done, 1 it could not be done, 2 wrong command line, 130 interrupted.

Examples:
  wdp run
  wdp run --port eth1 --port eth2
  wdp run --port eth1 --port lan0,type=tap,mac=02:00:00:00:00:01
  wdp run --port a,type=pcap,rx=a.pcap,tx=to-a.pcap --port b,type=pcap,rx=b.pcap,tx=to-b.pcap
  wdp run --control /tmp/dp0.ctl --port eth1 --port tap0,type=tap
  wdp run --port gen,type=generator,flows=1000 --port sink,type=null --handler flood --for 5 --json`;
}

function optionKeys(keys: readonly string[]): string {
  // a timeline is not text: programs give it, and captures at recorded speed get one
  const given = keys.filter((key) => key !== 'timeline');
  return given.length === 0 ? '(none)' : given.join(', ');
}

async function run(options: RunOptions): Promise<number> {
  const interrupt = new AbortController();
  const onSignal = (): void => {
    if (interrupt.signal.aborted) process.exit(EXIT_INTERRUPTED);
    interrupt.abort();
  };
  let pipeClosed = false;
  const onOutputError = (): void => {
    pipeClosed = true;
    interrupt.abort();
  };
  const [{ runSettings }, { runSession }] = await Promise.all([
    import('./run-settings.ts'),
    import('./run-session.ts'),
  ]);
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  process.stdout.on('error', onOutputError);
  try {
    const settings = await runSettings(settingsOf(options), options.config);
    const status = await runSession(settings, { out: process.stdout, err: process.stderr }, interrupt.signal);
    return pipeClosed && status === EXIT_INTERRUPTED ? EXIT_DONE : status;
  } finally {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  }
}

/** The options as settings: numbers where numbers are meant, still unchecked. */
function settingsOf({
  config: _config,
  port,
  workers,
  cpus,
  flows,
  emcEntries,
  idleTimeout,
  hardTimeout,
  seed,
  speed,
  for: duration,
  ...rest
}: RunOptions): Settings {
  const numbers = { workers, flows, emcEntries, idleTimeout, hardTimeout, seed, speed, for: duration };
  const given = Object.entries(numbers).filter(([, text]) => text !== undefined);
  return {
    ...rest,
    ...(port && { ports: port }),
    ...(cpus !== undefined && { cpus: cpus.split(',').map(numberIn) }),
    ...Object.fromEntries(given.map(([name, text]) => [name, numberIn(text as string)])),
  };
}

/** The number that the text is, otherwise the text itself, which the check then refuses or knows. */
function numberIn(text: string): number | string {
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}
