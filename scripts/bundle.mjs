/*
 * Bundles what is started often: the command line and the threads of workers. main.js and what a control command loads become a few files, because a process of
 * its own for each command spends most of its time on loading, and a hundred files take three times as long as these; they are no ES modules, which Node loads
 * later than others, and the code that V8 makes of the largest is kept beside it. What a thread runs becomes one such file, which takes a third off the
 * processor time that a thread needs until it is ready. Run by the step `ts` of setup.mjs, on what tsc has just made:
 *
 *   dist/src/cli/main.cjs              what the `bin` of the package is
 *   dist/src/cli/commands/table.cjs    names of the control commands
 *   dist/src/cli/commands/commands.cjs what all of them need, and what the usual ones do; *.cache: its code (src/cli/code-cache.ts)
 *   dist/src/cli/commands/*.cjs        what the others need beside it: datapaths of this process, conntrack, the control socket
 *   dist/src/worker/poller.cjs         poller.js and all that it imports
 *
 * The rest of the program (program.js) and the packages that it depends on stay outside. Source maps lead to src/. Node built-ins, and rolldown.
 */
import { existsSync, readFileSync } from 'node:fs';
import { rolldown } from 'rolldown';
import { inRoot } from './files.mjs';

/** What main.js asks whether a command is one of them. */
const table = /[\\/]dpctl[\\/]command-table\.js$/;
/** What the usual commands load; their imports come with them. */
const usual = /[\\/](cli[\\/]control|dpif[\\/]system[\\/]register|dpctl[\\/](show|ports|flow-commands))\.js$/;
const outside = /^(\.\/program\.js$|[^./\\])/;

/** Files with the maps that tsc made of them. */
const withMaps = {
  name: 'with-maps',
  load: (id) => {
    const map = `${id}.map`;
    return existsSync(map) ? { code: readFileSync(id, 'utf8'), map: readFileSync(map, 'utf8') } : undefined;
  },
};

const bundle = await rolldown({
  input: inRoot('dist/src/cli/main.js'),
  platform: 'node',
  external: (id, _importer, isResolved) => !isResolved && outside.test(id),
  plugins: [withMaps],
});
await bundle.write({
  dir: inRoot('dist/src/cli'),
  format: 'cjs',
  entryFileNames: '[name].cjs',
  chunkFileNames: 'commands/[name].cjs',
  codeSplitting: {
    groups: [
      { name: 'table', test: table, priority: 1 },
      { name: 'commands', test: usual },
    ],
  },
  comments: false,
  sourcemap: true,
});
await bundle.close();
const { keepCompiled } = await import('../dist/src/cli/code-cache.js');
if (!(await keepCompiled(inRoot('dist/src/cli/commands/commands.cjs'))))
  throw new Error('the code cache was not written');

const thread = await rolldown({ input: inRoot('dist/src/worker/poller.js'), platform: 'node', plugins: [withMaps] });
const file = inRoot('dist/src/worker/poller.cjs');
await thread.write({ file, format: 'cjs', exports: 'named', comments: false, sourcemap: true });
await thread.close();
