/*
 * dpctl/*: the control commands over the control socket of a worker, whose datapaths are in its process. Before it: control/control.ts registers them.
 * After it: run.ts.
 *
 * What a command prints, data and error lines, is one text, as in Open vSwitch; it is an error reply when something could not be done. Owner thread.
 */
import { type UnixctlCommands, UnixctlError } from '../control/unixctl.ts';
import { DPCTL_COMMANDS, type DpctlCommand } from './command-table.ts';
import { DpctlContext } from './context.ts';
import { DpctlOptionError, type DpctlWords, readWords } from './options.ts';
import { countProblem, runCommand } from './run.ts';

const MANY = Number.POSITIVE_INFINITY;

/** Registers every control command as `dpctl/NAME`. `onWrite` hears of those that change something. */
export function registerDpctl(commands: UnixctlCommands, onWrite: (text: string) => void = () => {}): void {
  for (const command of DPCTL_COMMANDS) {
    commands.register(`dpctl/${command.name}`, {
      usage: command.usage,
      minArgs: 0,
      maxArgs: MANY,
      run: (words) => {
        if (command.writes) onWrite(`dpctl/${command.name} ${words.join(' ')}`);
        return answer(command, words);
      },
    });
  }
  commands.register('dpctl/parse-actions', { usage: 'actions', minArgs: 1, maxArgs: MANY, run: parseLists });
  commands.register('dpctl/normalize-actions', {
    usage: '[-m] flow actions [name=number...]',
    minArgs: 2,
    maxArgs: MANY,
    run: normalize,
  });
  commands.register('dpctl/list-commands', {
    usage: '',
    minArgs: 0,
    maxArgs: MANY,
    run: () => {
      const lines = DPCTL_COMMANDS.map(({ name, usage }) => `  dpctl/${name.padEnd(23)} ${usage}\n`);
      return `The available commands are:\n${lines.join('')}`;
    },
  });
}

/** How the datapath writes lists of actions; nothing is done with them. */
async function parseLists(lists: readonly string[]): Promise<string> {
  const { formatActions, OdpSyntaxError, parseActions } = await import('../odp/index.ts');
  try {
    return lists.map((list) => `${formatActions(parseActions(list, { likeDpctl: true }))}\n`).join('');
  } catch (error) {
    if (error instanceof OdpSyntaxError) throw new UnixctlError(`parsing actions (${error.message})`);
    throw error;
  }
}

/** The flow, and its actions in a form to compare; nothing is done with them. */
async function normalize(words: readonly string[]): Promise<string> {
  const { args, options } = read(words);
  const problem = countProblem({ name: 'normalize-actions', minArgs: 2, maxArgs: MANY }, args.length);
  if (problem !== undefined) throw new UnixctlError(problem);
  const [flow, actions, ...ports] = args;
  const { readPort, writeNormalized } = await import('./normalize.ts');
  const { OdpAttributeError, OdpFieldError, OdpSyntaxError } = await import('../odp/errors.ts');
  const names = ports.map(readPort);
  const wrong = names.indexOf(undefined);
  if (wrong >= 0) throw new UnixctlError(`${ports[wrong]}: NAME=NUMBER was expected`);
  const parts: string[] = [];
  const { verbosity, json } = options;
  const known = new Map(names.filter((port) => port !== undefined));
  try {
    writeNormalized(flow, actions, known, { more: verbosity > 0, json }, (text) => parts.push(text));
  } catch (error) {
    if (![OdpAttributeError, OdpFieldError, OdpSyntaxError].some((kind) => error instanceof kind)) throw error;
    throw new UnixctlError((error as Error).message);
  }
  return parts.join('');
}

async function answer(command: DpctlCommand, words: readonly string[]): Promise<string> {
  const { options, args } = read(words);
  const problem = countProblem(command, args.length);
  if (problem !== undefined) throw new UnixctlError(problem);
  const parts: string[] = [];
  const sink = {
    write: (text: string) => void parts.push(text),
    error: (text: string) => void parts.push(`wdp: ${text}\n`),
  };
  const context = new DpctlContext(options, sink, true);
  await runCommand(command, context, args);
  const text = parts.join('');
  if (context.failed) throw new UnixctlError(text);
  return text;
}

function read(words: readonly string[]): DpctlWords {
  try {
    return readWords(words);
  } catch (error) {
    if (error instanceof DpctlOptionError) throw new UnixctlError(error.message);
    throw error;
  }
}
