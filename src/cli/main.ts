#!/usr/bin/env node
/*
 * wdp: the command line program. Runs when it is imported, which is what the `bin` of the package and scripts/wdp.mjs do.
 *
 * The control commands of ovs-dpctl (control.ts) run without what the others need, which are put together in program.ts: scripts call them often, each in a
 * process of its own. For their sake this file and all that they need are bundled when the package is built (scripts/bundle.mjs): a few files load in a third
 * of the time of a hundred. What program.ts loads is not bundled, so nothing may go from the one to the other that knows its class.
 *
 * What a command prints for programs goes to stdout, everything else to stderr. Exit status: 0 done, 1 it could not be done (one line on stderr: what,
 * where, how to mend), 2 wrong command line, 130 interrupted. Main thread.
 */
import module from 'node:module';
import { findCommand } from '../dpctl/command-table.ts';

/** What still keeps the process alive so long after a command is done (a handler's timer, say) does not keep it any longer. */
const LINGER_MS = 1000;

/** There from Node 22.1 on. What was compiled once is kept in the folder for temporary files. */
const { enableCompileCache } = module as { enableCompileCache?: () => unknown };

async function main(words: readonly string[]): Promise<void> {
  enableCompileCache?.();
  const mayBeControl = words.some((word) => findCommand(word) !== undefined);
  const done = mayBeControl && (await (await import('./control.ts')).runControl(words));
  if (!done) await (await import('./program.ts')).runProgram();
  setTimeout(() => process.exit(), LINGER_MS).unref();
}

await main(process.argv.slice(2));
