#!/usr/bin/env node
/*
 * wdp: the command line program. Runs when it is loaded, which is what the `bin` of the package and scripts/wdp.mjs do.
 *
 * The control commands of ovs-dpctl (control.ts) run without what the others need, which are put together in program.ts: scripts call them often, each in a
 * process of its own. For their sake this file and all that they need are bundled when the package is built (scripts/bundle.mjs), and what V8 made of the
 * bundle is kept (code-cache.ts). What program.ts loads is not bundled, so nothing may go from the one to the other that knows its class.
 *
 * What a command prints for programs goes to stdout, everything else to stderr. Exit status: 0 done, 1 it could not be done (one line on stderr: what,
 * where, how to mend), 2 wrong command line, 130 interrupted. Main thread.
 */
import module from 'node:module';
import { fileURLToPath } from 'node:url';
import { findCommand } from '../dpctl/command-table.ts';
import { keepCompiled, loadCompiled } from './code-cache.ts';

/** What still keeps the process alive so long after a command is done (a handler's timer, say) does not keep it any longer. */
const LINGER_MS = 1000;

/** The larger part of the bundle. */
const COMMANDS = fileURLToPath(new URL('./commands/commands.cjs', import.meta.url));

/** There from Node 22.1 on: what was compiled once is kept in the folder. */
const { enableCompileCache } = module as { enableCompileCache?: (folder: string) => unknown };
const COMPILED = fileURLToPath(new URL('./compiled/', import.meta.url));

async function main(words: readonly string[]): Promise<void> {
  const mayBeControl = words.some((word) => findCommand(word) !== undefined);
  const done = mayBeControl && (await control(words));
  if (!done) {
    enableCompileCache?.(COMPILED);
    await (await import('./program.ts')).runProgram();
  }
  setTimeout(() => process.exit(), LINGER_MS).unref();
}

async function control(words: readonly string[]): Promise<boolean> {
  const compiled = loadCompiled(COMMANDS);
  const done = await (await import('./control.ts')).runControl(words);
  if (!compiled) await keepCompiled(COMMANDS);
  return done;
}

void main(process.argv.slice(2));
