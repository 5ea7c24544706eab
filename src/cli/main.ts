#!/usr/bin/env node
/*
 * wdp: the command line program. Runs when it is imported, which is what the `bin` of the package and scripts/wdp.mjs do.
 *
 * The control commands of ovs-dpctl (dpctl.ts) run at once, without what the others need: scripts call them often, each in a process of its own. The others
 * are put together in program.ts. What a command prints for programs goes to stdout, everything else to stderr. Exit status: 0 done, 1 it could not be
 * done (one line on stderr: what, where, how to mend), 2 wrong command line, 130 interrupted. Main thread.
 */
import { readControlLine, runControlLine } from './dpctl.ts';
import { failureOf } from './failure.ts';

/** What still keeps the process alive so long after a command is done (a handler's timer, say) does not keep it any longer. */
const LINGER_MS = 1000;

function fail(error: unknown): void {
  const { text, status } = failureOf(error);
  process.stderr.write(`wdp: ${text}\n`);
  process.exitCode = status;
}

async function main(): Promise<void> {
  // what goes wrong in the background of a run, such as a disk that is full, ends it too
  process.on('uncaughtException', (error) => {
    fail(error);
    process.exit();
  });
  try {
    const control = readControlLine(process.argv.slice(2));
    if (control !== undefined) process.exitCode = await runControlLine(control);
    else {
      const { runProgram } = await import('./program.ts');
      await runProgram();
    }
  } catch (error) {
    fail(error);
  }
  setTimeout(() => process.exit(), LINGER_MS).unref();
}

await main();
