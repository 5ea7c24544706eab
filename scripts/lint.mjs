/*
 * npm run lint: everything that is checked without running the program; npm run format (--write) mends what can be.
 *
 *   biome     format and lint rules over TypeScript, JavaScript and JSON (biome.json)
 *   assembly  the same over AssemblyScript, by way of a copy that TypeScript tools can read (assembly-source.mjs)
 *   types     tsc over src, test, bench and examples (tsconfig.check.json)
 *   tidy      scripts/tidy.mjs
 *
 * All of them run, then the exit status says whether one complained.
 */
import { mirrorAssembly } from './assembly-source.mjs';
import { runNode } from './child.mjs';
import { inRoot } from './files.mjs';
import { orExit, setup } from './setup.mjs';
import { tidy } from './tidy.mjs';

const write = process.argv.includes('--write');
const biome = inRoot('node_modules/@biomejs/biome/bin/biome');
const flags = ['--error-on-warnings', '--no-errors-on-unmatched', '--max-diagnostics=200'];
const folders = ['src', 'test', 'bench', 'scripts', 'examples'];
const files = ['vitest.config.ts', 'biome.json', 'tsconfig.json', 'tsconfig.check.json', 'package.json'];

async function checkSources() {
  const command = write ? ['check', '--write'] : ['check'];
  return (await runNode(biome, [...command, ...flags, ...folders, ...files])).status === 0;
}

/** Writing only formats here: what biome calls a safe fix is safe in JavaScript, and AssemblyScript is not that. */
async function checkAssembly() {
  const mirror = mirrorAssembly();
  const command = write ? ['format', '--write'] : ['check'];
  const { status } = await runNode(biome, [...command, ...flags, 'assembly'], { cwd: mirror.folder });
  if (write) mirror.writeBack();
  return status === 0;
}

async function checkTypes() {
  const tsc = inRoot('node_modules/typescript/bin/tsc');
  return (await runNode(tsc, ['-p', 'tsconfig.check.json'])).status === 0;
}

async function checkTidy() {
  const lines = await tidy();
  for (const line of lines) process.stderr.write(`${line}\n`);
  return lines.length === 0;
}

await orExit(() => setup({ names: ['deps'] }));
const checks = write
  ? { biome: checkSources, assembly: checkAssembly }
  : { biome: checkSources, assembly: checkAssembly, types: checkTypes, tidy: checkTidy };
const failed = [];
for (const [name, check] of Object.entries(checks)) if (!(await check())) failed.push(name);
process.stdout.write(failed.length === 0 ? 'lint: clean\n' : `lint: failed: ${failed.join(', ')}\n`);
process.exitCode = failed.length === 0 ? 0 : 1;
