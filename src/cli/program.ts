/*
 * The commands of `wdp` and their options, put together: each command is a file of this folder. The control commands are here for their help only; control.ts
 * runs them. Before it: main.ts. After it: the files of the commands. Main thread.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Command, CommanderError } from 'commander';
import { packageRoot } from '../native/package-root.ts';
import { registerAppctl } from './appctl.ts';
import { registerBench } from './bench.ts';
import { registerDpctlHelp } from './dpctl-help.ts';
import { EXIT_DONE, EXIT_USAGE, oneLine, reporting } from './failure.ts';
import type { MonitorOptions } from './monitor.ts';
import type { NormalizeOptions, OdpOptions } from './odp.ts';
import { type PortKinds, registerRun } from './run.ts';
import type { TraceCommandOptions } from './trace.ts';

/** Runs the command of this process' command line, and tells what goes wrong. */
export async function runProgram(): Promise<void> {
  await reporting(async () => {
    try {
      await makeProgram(await kindsForHelp(process.argv)).parseAsync();
    } catch (error) {
      if (!(error instanceof CommanderError)) throw error;
      process.exitCode = error.exitCode === 0 ? EXIT_DONE : EXIT_USAGE;
    }
  });
}

/** Kinds of ports take long to load, and only the help of `run` lists them. */
async function kindsForHelp(words: readonly string[]): Promise<PortKinds> {
  if (!words.some((word) => ['-h', '--help', 'help'].includes(word))) return new Map();
  const { PORT_KINDS } = await import('../ports/registry.ts');
  return PORT_KINDS;
}

function makeProgram(kinds: PortKinds): Command {
  const { version } = JSON.parse(readFileSync(path.join(packageRoot(), 'package.json'), 'utf8')) as { version: string };
  const program = new Command('wdp')
    .description('An Open vSwitch datapath for Node.js, as a WebAssembly program.')
    .version(version, '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .enablePositionalOptions()
    .exitOverride()
    .addHelpText('after', '\nExit status: 0 done, 1 it could not be done, 2 wrong command line, 130 interrupted.');
  registerRun(program, kinds);
  registerAppctl(program);
  registerBench(program);
  registerParsePcap(program);
  registerOdp(program);
  registerTrace(program);
  registerMonitor(program);
  registerDoctor(program);
  registerDpctlHelp(program);
  tellUsageErrors(program, 'wdp');
  return program;
}

/** Usage errors are one line that says where the help is. */
function tellUsageErrors(command: Command, name: string): void {
  command.configureOutput({
    outputError: (text, write) =>
      write(`wdp: ${oneLine(text.replace(/^error: /, '')).replace(/\.$/, '')}; see ${name} --help\n`),
  });
  for (const sub of command.commands) tellUsageErrors(sub, `${name} ${sub.name()}`);
}

function registerParsePcap(program: Command): void {
  program
    .command('parse-pcap')
    .summary('print the flow key of each packet of a capture')
    .description(
      'Prints the flow key of each packet of a capture (pcap or pcapng), one line a packet, in the text of ovs-dpctl.',
    )
    .argument('<FILE>', 'the capture')
    .option('--json', 'one JSON object a packet')
    .action(async (file: string, options: { json?: boolean }) => {
      process.stdout.on('error', () => process.exit(EXIT_DONE)); // whoever read the output has seen enough
      const { parsePcap } = await import('./parse-pcap.ts');
      await parsePcap(file, options, process.stdout);
    });
}

function registerOdp(program: Command): void {
  const commands = [
    ['parse-actions', 'ACTIONS', 'lists of actions', 'printActions'],
    ['parse-key', 'KEY', 'flow keys, with their masks', 'printKeys'],
  ] as const;
  for (const [name, argument, what, print] of commands) {
    const command = program
      .command(name)
      .summary(`print ${what} in the text of ovs-dpctl`)
      .description(`Reads ${what} in any spelling and prints them as ovs-dpctl does, one line each.`)
      .argument(`<${argument}...>`, 'text, or attributes in hexadecimal with --attributes');
    addForms(command).action(async (texts: string[], options: OdpOptions) => {
      const odp = await import('./odp.ts');
      odp[print](texts, options, process.stdout);
    });
  }
  const normalize = program
    .command('normalize-actions')
    .summary('print the actions of a flow in a form to compare')
    .description(
      'Prints a flow, and its actions under the VLAN tags that a packet has when they happen, outputs in the order of ports: as ovs-dpctl does.',
    )
    .argument('<FLOW>', 'the flow as text, or attributes in hexadecimal with --attributes')
    .argument('<ACTIONS>', 'its actions')
    .argument('[NAME=NUMBER...]', 'names of ports in the texts')
    .option('-m, --more', 'print the actions as they were read, too');
  addForms(normalize).action(async (flow: string, actions: string, ports: string[], options: NormalizeOptions) => {
    const odp = await import('./odp.ts');
    odp.printNormalized(flow, actions, ports, options, process.stdout);
  });
}

/** The options of what reads and prints keys and actions. */
function addForms(command: Command): Command {
  return command
    .option('--attributes', 'the arguments are attributes in hexadecimal')
    .option('--json', 'print typed JSON')
    .option('--hex', 'print attributes in hexadecimal');
}

function registerTrace(program: Command): void {
  program
    .command('trace')
    .summary('what a rule file does to one packet, action by action')
    .description(
      'Looks a packet up as a datapath with these rules does, executes what is found one action at a time, and shows the packet after each. ' +
        'For a key a packet is composed.',
    )
    .argument('<PACKET|KEY>', 'a packet in hexadecimal, a key in the text of ovs-dpctl, or - to read it from stdin')
    .requiredOption('--rules <FILE>', 'the rules, as for --handler static:FILE')
    .option('--in-port <N>', 'the port that the packet comes in by (default: 1; a key has its own)')
    .option('--attributes', 'the hexadecimal is a list of Netlink attributes of a key')
    .option('--json', 'one JSON object')
    .action(async (input: string, options: TraceCommandOptions) => {
      const { traceCommand } = await import('./trace.ts');
      await traceCommand(input, options, process.stdout);
    });
}

function registerMonitor(program: Command): void {
  program
    .command('monitor')
    .summary('ports and busiest flows of a datapath, live')
    .description(
      'Shows the ports of a datapath and its busiest flows, with rates, until Ctrl-C: of the kernel, or of a running worker. DP is [TYPE@]NAME.',
    )
    .argument('<DP>', 'the datapath; `wdp dump-dps` lists them')
    .option('-t, --target <PATH>', 'the control socket of a running worker, instead of the kernel')
    .option('--interval <SECONDS>', 'time between two reports', '1')
    .option('--count <N>', 'end after so many reports')
    .option('--json', 'one JSON object a report')
    .action(async (name: string, options: MonitorOptions) => {
      const { monitor } = await import('./monitor.ts');
      process.exitCode = await monitor(name, options, process.stdout);
    });
}

function registerDoctor(program: Command): void {
  program
    .command('doctor')
    .summary('what works on this host, and how to mend what does not')
    .description('Says what works on this host and, for each thing that does not, the command that mends it.')
    .option('--json', 'one JSON object')
    .action(async (options: { json?: boolean }) => {
      const { doctor } = await import('./doctor.ts');
      process.exitCode = await doctor(options, process.stdout);
    });
}
