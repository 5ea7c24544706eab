/*
 * wdp from a checkout: sets up what is missing, then runs the command line program with the arguments given.
 * `npm start -- ARGS` is `wdp run ARGS`.
 *
 * The program runs in this very process, so signals, exit status and the terminal are its own.
 */
import { pathToFileURL } from 'node:url';
import { inRoot } from './files.mjs';
import { orExit, setup } from './setup.mjs';

await orExit(() => setup());
const program = inRoot('dist/src/cli/main.js');
process.argv[1] = program;
await import(pathToFileURL(program).href);
