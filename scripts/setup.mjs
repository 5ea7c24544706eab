/*
 * Setup: brings a checkout from whatever state it is in to a runnable one. `npm start` and `npm test` come through
 * here first, so a fresh clone needs no other command.
 *
 *   node scripts/setup.mjs [deps] [wasm] [ts] [native] [--force]      without names: all of them
 *
 * deps    npm ci, when node_modules does not hold what package-lock.json says
 * wasm    assembly/ -> build/datapath.release.wasm and build/datapath.debug.wasm
 * ts      src/ and examples/ -> dist/, and the start of the command line bundled (bundle.mjs)
 * native  native/ -> build/Release/wdp_native.node; without a compiler it is skipped, and a failure is only an error
 *         when it was asked for by name or everything is required (REQUIRE_ALL=1)
 *
 * A step whose inputs have not changed costs nothing but reading them (files.mjs). Node built-ins only.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { npmCommand, run, runNode, say } from './child.mjs';
import { fingerprint, inRoot, listFiles, readStamp, withBuildLock, writeStamp } from './files.mjs';
import { addonFile, addonFingerprint, buildAddon, whyNotBuildable } from './native.mjs';

/** Why setup stopped, in words for the person at the terminal; no stack is wanted. */
export class SetupError extends Error {}

const wasmTargets = ['release', 'debug'];
const isTypeScript = (file) => file.endsWith('.ts');

const steps = {
  deps: { isFresh: dependenciesInstalled, make: installDependencies },
  wasm: stampedStep('wasm', wasmInputs, () => wasmTargets.map((target) => `build/datapath.${target}.wasm`), buildWasm),
  ts: stampedStep('ts', typeScriptInputs, typeScriptOutputs, buildTypeScript),
};

/** Brings the named steps up to date. Throws SetupError with one line for people when that fails. */
export async function setup({ names = ['deps', 'wasm', 'ts', 'native'], force = false, requireNative = false } = {}) {
  checkNode();
  if (force) for (const name of names) writeStamp(name, '');
  const plain = names.filter((name) => name !== 'native');
  const nativeDue = names.includes('native') && nativeIsDue(requireNative);
  if (!nativeDue && plain.every((name) => steps[name].isFresh())) return;
  await withBuildLock(say, async () => {
    if (plain.includes('deps') && !steps.deps.isFresh()) await steps.deps.make();
    const work = plain.filter((name) => name !== 'deps' && !steps[name].isFresh()).map((name) => steps[name].make());
    if (nativeDue) work.push(makeNative(requireNative));
    const results = await Promise.allSettled(work);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  });
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  throw new SetupError(`Node ${process.versions.node} is too old: 20.19 or later is needed`);
}

/** A step whose stamp holds the fingerprint of its inputs. Inputs that change during the build make it stale again. */
function stampedStep(name, inputs, outputs, build) {
  return {
    isFresh: () => readStamp(name) === fingerprint(inputs()) && outputs().every((file) => existsSync(inRoot(file))),
    make: async () => {
      const print = fingerprint(inputs());
      writeStamp(name, '');
      await build();
      writeStamp(name, print);
    },
  };
}

// ------------------------------------------------------------------------------------------------ deps

/** Whether each package of the lock file is installed in the locked version (optional ones may be absent). */
function dependenciesInstalled() {
  const installedFile = inRoot('node_modules', '.package-lock.json');
  if (!existsSync(installedFile)) return false;
  const wanted = JSON.parse(readFileSync(inRoot('package-lock.json'), 'utf8')).packages;
  const installed = JSON.parse(readFileSync(installedFile, 'utf8')).packages;
  return Object.entries(wanted).every(([place, entry]) => {
    if (place === '') return true;
    return installed[place] ? installed[place].version === entry.version : entry.optional === true;
  });
}

async function installDependencies() {
  say('installing dependencies (npm ci)');
  const [command, ...args] = npmCommand();
  const flags = ['ci', '--include=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status } = await run(command, [...args, ...flags]);
  if (status !== 0) throw new SetupError(`npm ci failed with exit status ${status}`);
}

// ------------------------------------------------------------------------------------------------ wasm

function wasmInputs() {
  return [...listFiles('assembly', isTypeScript), 'asconfig.json', 'node_modules/assemblyscript/package.json'];
}

async function buildWasm() {
  say('building the datapath (AssemblyScript, release and debug)');
  const results = await Promise.allSettled(wasmTargets.map(buildTarget));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/** Compiles into a folder of its own and moves the results into place: whoever loads the module sees old or new. */
async function buildTarget(target) {
  mkdirSync(inRoot('build'), { recursive: true });
  const folder = mkdtempSync(inRoot('build', `.${target}-`));
  try {
    const outFile = path.join(folder, `datapath.${target}.wasm`);
    const args = ['--config', 'asconfig.json', '--target', target, '--outFile', outFile];
    const { status } = await runNode('node_modules/assemblyscript/bin/asc.js', args);
    if (status !== 0 || !existsSync(outFile)) throw new SetupError(`the ${target} build of assembly/ failed`);
    for (const file of readdirSync(folder)) renameSync(path.join(folder, file), inRoot('build', file));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

// ------------------------------------------------------------------------------------------------ ts

function typeScriptInputs() {
  const sources = ['src', 'assembly', 'examples'].flatMap((folder) => listFiles(folder, isTypeScript));
  const tools = ['typescript', 'rolldown'].map((name) => `node_modules/${name}/package.json`);
  return [...sources, 'tsconfig.json', 'scripts/bundle.mjs', ...tools];
}

function typeScriptOutputs() {
  const compiled = ['src', 'examples'].flatMap((folder) => listFiles(folder, isTypeScript));
  const sources = [...compiled, 'assembly/constants.ts'].filter((file) => !file.endsWith('.d.ts'));
  const bundles = ['dist/src/cli/main.cjs', 'dist/src/worker/poller.cjs'];
  return [...sources.map((file) => `dist/${file.slice(0, -'.ts'.length)}.js`), ...bundles];
}

async function buildTypeScript() {
  say('compiling src/ and examples/ (tsc)');
  const { status } = await runNode('node_modules/typescript/bin/tsc', ['-p', 'tsconfig.json']);
  if (status !== 0) throw new SetupError('tsc found errors');
  for (const file of listFiles('dist')) {
    const source = file.slice('dist/'.length).replace(/(\.d\.ts|\.js)(\.map)?$/, '.ts');
    if (!existsSync(inRoot(source))) rmSync(inRoot(file));
  }
  const bundled = await runNode('scripts/bundle.mjs', []);
  if (bundled.status !== 0) throw new SetupError('the command line could not be bundled');
}

// ------------------------------------------------------------------------------------------------ native

/** Whether a build of the addon is to be tried now. One that failed is not tried again until something changes. */
function nativeIsDue(requireNative) {
  const reason = whyNotBuildable();
  if (reason) {
    if (requireNative) throw new SetupError(`the native addon cannot be built: ${reason}`);
    say(`native addon skipped: ${reason} (npm run doctor says how to mend it)`);
    return false;
  }
  const print = addonFingerprint();
  if (readStamp('native') === print && existsSync(inRoot(addonFile))) return false;
  if (readStamp('native-failed') !== print || requireNative) return true;
  say('native addon skipped: its build failed before (npm run build:native tries again)');
  return false;
}

async function makeNative(requireNative) {
  const print = addonFingerprint();
  if (readStamp('native') === print && existsSync(inRoot(addonFile))) return;
  say('building the native addon');
  writeStamp('native', '');
  const failure = await buildAddon();
  writeStamp('native-failed', failure ? print : '');
  if (!failure) writeStamp('native', print);
  else if (requireNative) throw new SetupError(`the build of the native addon ${failure}`);
  else say(`native addon: the build ${failure}`);
}

// ------------------------------------------------------------------------------------------------ command line

/** Runs `work`; a SetupError becomes one line, then `last`, then exit status 1. */
export async function orExit(work, last = () => {}) {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(error.message);
    last();
    process.exit(1);
  }
}

async function main(args) {
  const force = args.includes('--force');
  const names = args.filter((arg) => arg !== '--force');
  for (const name of names) if (!(name in steps) && name !== 'native') throw new SetupError(`no such step: ${name}`);
  if (names.length === 0) await setup({ force });
  else
    await setup({
      names: ['deps', ...names.filter((name) => name !== 'deps')],
      force,
      requireNative: names.includes('native'),
    });
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await orExit(() => main(process.argv.slice(2)));
}
