/*
 * One control command, from its arguments to its end: they are counted, and it runs.
 *
 * Before it: cli/dpctl.ts with the words of a command line, unixctl.ts with those of a request. After it: command-table.ts.
 */
import type { DpctlCommand } from './command-table.ts';
import type { DpctlContext } from './context.ts';
import { loadProviders } from './providers.ts';

type Arity = Pick<DpctlCommand, 'name' | 'minArgs' | 'maxArgs'>;

/** What is wrong with the number of arguments; undefined: nothing. */
export function countProblem({ name, minArgs, maxArgs }: Arity, count: number): string | undefined {
  if (count < minArgs) return `'${name}' command requires at least ${minArgs} arguments`;
  return count > maxArgs ? `'${name}' command takes at most ${maxArgs} arguments` : undefined;
}

/** Runs a command whose arguments were counted. What fails is told to the context. */
export async function runCommand(command: DpctlCommand, context: DpctlContext, args: readonly string[]): Promise<void> {
  if (command.writes && context.options.readOnly) {
    context.fail(`'${command.name}' command does not work in read only mode`);
    return;
  }
  await loadProviders(context, args);
  const run = await command.load();
  await run(context, args);
}
