/*
 * wdp from a checkout: sets up what is missing, then runs the command line program with the arguments given.
 * `npm start -- ARGS` is `wdp run ARGS`.
 *
 * doctor is for when things do not work, so it runs with what there is.
 * The program runs in this very process, so signals, exit status and the terminal are its own.
 */
import { existsSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { say } from './child.mjs';
import { inRoot } from './files.mjs';
import { orExit, SetupError, setup } from './setup.mjs';

const program = inRoot('dist/src/cli/main.cjs');

async function setupFor(command) {
  try {
    await setup();
  } catch (error) {
    if (command !== 'doctor' || !(error instanceof SetupError) || !existsSync(program)) throw error;
    say(error.message);
  }
}

await orExit(() => setupFor(process.argv[2]));
process.argv[1] = program;
await import(pathToFileURL(program).href);
