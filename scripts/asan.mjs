/*
 * npm run test:asan: the tests of the native addon, with the addon built for AddressSanitizer and UndefinedBehaviorSanitizer.
 *
 *   node scripts/asan.mjs [arguments of vitest]      default: test/12, and of the rings load, kills and every kind of port
 *
 * The addon goes into build/asan/, and WDP_ADDON tells the loader so. Node itself has no sanitizer in it, so the library is preloaded; leaks are
 * not looked for, as V8 frees nothing at its end. A report ends the process it is found in, and with that the test.
 */
import { existsSync, mkdirSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { findProgram, run, runNode } from './child.mjs';
import { inRoot, listFiles } from './files.mjs';
import { orExit, SetupError, setup } from './setup.mjs';

const folder = inRoot('build/asan');
const addon = path.join(folder, 'wdp_native.node');
const compiler = findProgram([process.env.CXX || 'g++']);
const defines = ['NAPI_VERSION=8', 'NAPI_DISABLE_CPP_EXCEPTIONS', 'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS'];
const flags = ['-std=c++17', '-g', '-O1', '-fno-exceptions', '-fno-omit-frame-pointer', '-fPIC', '-shared'];

async function build() {
  const include = path.resolve(path.dirname(realpathSync(process.execPath)), '../include/node');
  if (!compiler || !existsSync(include)) throw new SetupError('test:asan needs a C++ compiler and the headers of Node');
  mkdirSync(folder, { recursive: true });
  const sources = listFiles('native', (file) => file.endsWith('.cc'));
  const names = ['NODE_GYP_MODULE_NAME=wdp_native', ...defines].map((name) => `-D${name}`);
  const includes = ['-I', include, '-isystem', 'node_modules/node-addon-api'];
  const { status } = await run(compiler, [
    ...flags,
    '-fsanitize=address,undefined',
    '-fno-sanitize-recover=all',
    ...names,
    ...includes,
    ...sources,
    '-o',
    addon,
  ]);
  if (status !== 0) throw new SetupError('the build of the addon with sanitizers failed');
}

async function sanitizerLibrary() {
  const { output } = await run(compiler, ['-print-file-name=libasan.so'], { capture: true });
  return realpathSync(output.trim());
}

await orExit(async () => {
  await setup({ names: ['deps', 'wasm', 'ts'] });
  await build();
  const args = process.argv.length > 2 ? process.argv.slice(2) : ['test/12', 'test/19.load', 'test/19.process-killed'];
  const env = {
    ...process.env,
    WDP_ADDON: addon,
    LD_PRELOAD: await sanitizerLibrary(),
    ASAN_OPTIONS: 'detect_leaks=0',
  };
  const { status } = await runNode('node_modules/vitest/vitest.mjs', ['run', ...args], { env });
  process.exitCode = status;
});
