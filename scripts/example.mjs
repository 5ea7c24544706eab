/*
 * Runs an example that is written in TypeScript, on any Node.js: `npm run example -- netlink/links ARGS` sets up what is missing, then runs
 * examples/netlink/links.ts as compiled, in this very process.
 */
import { existsSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { inRoot, listFiles } from './files.mjs';
import { orExit, SetupError, setup } from './setup.mjs';

const [name = ''] = process.argv.splice(2, 1);

await orExit(async () => {
  if (name === '' || !existsSync(inRoot(`examples/${name}.ts`))) {
    const names = listFiles('examples', (file) => file.endsWith('.ts')).map((file) =>
      file.slice('examples/'.length, -'.ts'.length),
    );
    throw new SetupError(`no example '${name}'; there are: ${names.join(', ')}`);
  }
  await setup();
});
await import(pathToFileURL(inRoot(`dist/examples/${name}.js`)).href);
