/*
 * The control commands of `wdp`: `wdp show`, `wdp dump-flows` and the others of ovs-dpctl, on the kernel's datapaths, or with `--target PATH` on those of a
 * running worker. Before it: control.ts. After it: dpctl/run.ts, or the worker's control socket.
 *
 * Data goes to stdout in large pieces, error lines to stderr in order with it. Exit status 1 when something could not be done. Main thread.
 */
import { type DpctlCommand, findCommand } from '../dpctl/command-table.ts';
import { DpctlContext } from '../dpctl/context.ts';
import { DpctlOptionError, type DpctlOptionRow, type DpctlWords, readWords } from '../dpctl/options.ts';
import { countProblem, runCommand } from '../dpctl/run.ts';
import { EXIT_DONE, EXIT_FAILED, UsageError } from './failure.ts';
import { Output } from './output.ts';

/** What the command line has beside the options of the commands. */
export const LOCAL_OPTIONS: readonly DpctlOptionRow[] = [
  { long: 'target', value: 'PATH', summary: 'the control socket of a running worker, instead of the kernel' },
  { short: 't', long: 'timeout', value: 'SECONDS', summary: 'give up after so long' },
  { short: 'h', long: 'help', summary: 'print this help' },
];

/** A control command and what was said with it. */
export interface ControlLine extends DpctlWords {
  readonly command: DpctlCommand;
}

/**
 * The control command that the words of a command line are, undefined when they are something else, or ask for help. Throws UsageError for wrong
 * options and numbers of arguments.
 */
export function readControlLine(words: readonly string[]): ControlLine | undefined {
  const command = findCommand(firstWord(words));
  if (command === undefined) return undefined;
  const help = `; see wdp ${command.name} --help`;
  let read: DpctlWords;
  try {
    read = readWords(words, LOCAL_OPTIONS);
  } catch (error) {
    if (error instanceof DpctlOptionError) throw new UsageError(error.message + help);
    throw error;
  }
  const [name, ...args] = read.args;
  if (name !== command.name || read.seen.has('help')) return undefined;
  const problem = countProblem(command, args.length);
  if (problem !== undefined) throw new UsageError(problem + help);
  return { ...read, command, args };
}

/** The first word that is neither an option nor the value of one. */
function firstWord(words: readonly string[]): string {
  const takesNext = (word: string): boolean =>
    LOCAL_OPTIONS.some(({ short, long, value }) => value && (word === `--${long}` || word === `-${short}`));
  for (let i = 0; i < words.length; i++) {
    if (takesNext(words[i])) i += 1;
    else if (!words[i].startsWith('-')) return words[i];
  }
  return '';
}

/** Runs it and returns the exit status. */
export async function runControlLine({ command, options, values, args }: ControlLine): Promise<number> {
  const timeout = values.get('timeout');
  if (timeout !== undefined && !/^[1-9]\d{0,5}$/.test(timeout))
    throw new UsageError(`value ${timeout} on -t or --timeout is invalid: it takes seconds, from 1 on`);
  if (timeout !== undefined) setAlarm(Number(timeout));
  const output = new Output();
  const context = new DpctlContext(options, output, false);
  const target = values.get('target');
  if (target === undefined) await runCommand(command, context, args);
  else {
    const { runOnTarget } = await import('./dpctl-target.ts');
    await runOnTarget(target, command, context, args);
  }
  output.flush();
  return context.failed ? EXIT_FAILED : EXIT_DONE;
}

/** Ends this process, as alarm(2) would: whatever it waits for, from another thread. What that takes is loaded by no other command. */
function setAlarm(seconds: number): void {
  const { Worker } = process.getBuiltinModule('node:worker_threads');
  const script = `setTimeout(() => process.kill(process.pid, 'SIGALRM'), ${seconds * 1000})`;
  new Worker(script, { eval: true }).unref();
}
