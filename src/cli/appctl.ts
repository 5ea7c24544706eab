/*
 * wdp appctl: one command for the control socket of a running worker, as ovs-appctl does it. Before it: main.ts. After it: control/unixctl-client.ts.
 *
 * The answer goes to stdout. A command that the worker refuses is a failure: its text on stderr, status 1. Main thread.
 */
import type { Command } from 'commander';
import { EXIT_FAILED, UsageError } from './failure.ts';

interface AppctlOptions {
  target: string;
  timeout?: string;
}

/** Adds the command to the program. */
export function registerAppctl(program: Command): void {
  program
    .command('appctl')
    .summary('ask a running worker, over its control socket')
    .description(
      'Sends one command to a control socket and prints the answer: to that of `wdp run --control PATH`, or of a daemon of Open vSwitch. ' +
        'The command `list-commands` lists the others.',
    )
    .requiredOption('-t, --target <PATH>', 'the control socket')
    .option('-T, --timeout <SECONDS>', 'give up after so long')
    .argument('<COMMAND>', 'the command')
    .argument('[ARG...]', 'its arguments, options included')
    .passThroughOptions()
    .action(async (command: string, args: string[], options: AppctlOptions) => {
      process.exitCode = await appctl(command, args, options);
    });
}

async function appctl(command: string, args: readonly string[], options: AppctlOptions): Promise<number> {
  const { unixctlTransact } = await import('../control/unixctl-client.ts');
  const timeoutMs = timeoutOf(options.timeout);
  const reply = await unixctlTransact(options.target, command, args, timeoutMs === undefined ? {} : { timeoutMs });
  if (reply.failed) {
    process.stderr.write(`wdp: ${options.target}: ${reply.text}`);
    return EXIT_FAILED;
  }
  process.stdout.write(reply.text);
  return 0;
}

/** Milliseconds of `--timeout`. Throws UsageError. */
export function timeoutOf(seconds: string | undefined): number | undefined {
  if (seconds === undefined) return undefined;
  if (!/^[1-9]\d{0,6}$/.test(seconds))
    throw new UsageError(`value ${seconds} on --timeout is invalid: it takes seconds, from 1 on`);
  return Number(seconds) * 1000;
}
