/*
 * Loader: the module is read and compiled once a process and build, and instantiated once a thread on the datapath's shared memory.
 * Before it: build/datapath.*.wasm. After it: wasm/memory.ts, which everything else goes through.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { DatapathError } from '../errors.ts';
import { packageRoot } from '../native/package-root.ts';
import type { DatapathExports } from './exports.ts';

/** Which module: `release`, or `debug` with assertions and names in its stack traces. */
export type WasmBuild = 'release' | 'debug';

const compiled = new Map<WasmBuild, WebAssembly.Module>();

export function wasmFile(build: WasmBuild): string {
  return path.join(packageRoot(), 'build', `datapath.${build}.wasm`);
}

/** The compiled module. Throws DatapathError ERR_WASM when it was not built. */
export function loadModule(build: WasmBuild = 'release'): WebAssembly.Module {
  let module = compiled.get(build);
  if (module === undefined) {
    try {
      module = new WebAssembly.Module(readFileSync(wasmFile(build)));
    } catch (cause) {
      throw new DatapathError('ERR_WASM', `cannot load ${wasmFile(build)}: run \`npm run build\``, { cause });
    }
    compiled.set(build, module);
  }
  return module;
}

/** An instance on `memory` for the calling thread. The only host hook is `abort`, which only the debug build calls. */
export function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): DatapathExports {
  const instance = new WebAssembly.Instance(module, { env: { memory, abort } });
  return instance.exports as unknown as DatapathExports;
}

function abort(_message: number, _file: number, line: number, column: number): never {
  throw new WebAssembly.RuntimeError(`assertion failed in the datapath at ${line}:${column}`);
}
