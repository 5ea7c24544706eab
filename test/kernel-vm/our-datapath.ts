/*
 * Our own answer to what kernel.ts asks the kernel: compiles our-keys.as.ts and runs it over the frames.
 *
 * For tests only. The module has assertions and a memory of its own, which ends with the call.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { packFrames, unpackKeys } from './kernel.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const PAGE_SIZE = 65536;
const PAGES_MAX = 65536;
/** The first page stays empty: zero is no valid address. */
const SCRATCH = PAGE_SIZE;
const FRAMES = 2 * PAGE_SIZE;

interface OurExports {
  writeKeys(frames: number, count: number, inPort: number, keys: number, scratch: number): number;
  KEY_RECORD_SIZE_MAX: WebAssembly.Global;
}

/** The compiler reads asconfig.json and adds its entries unless told of another, so the options are spelled out. */
const COMPILER_OPTIONS = [
  ...['--config', 'none', '--runtime', 'stub', '--enable', 'threads', '--enable', 'simd', '--enable', 'bulk-memory'],
  ...['--importMemory', '--sharedMemory', '--maximumMemory', String(PAGES_MAX), '--zeroFilledMemory', '-O1', '--debug'],
];

function compile(): Uint8Array<ArrayBuffer> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'our-keys-'));
  try {
    const outFile = path.join(folder, 'our-keys.wasm');
    const asc = path.join(ROOT, 'node_modules/assemblyscript/bin/asc.js');
    const args = [asc, 'test/kernel-vm/our-keys.as.ts', ...COMPILER_OPTIONS, '--outFile', outFile];
    const result = spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' });
    if (result.status !== 0) throw new Error(`our-keys.as.ts does not compile:\n${result.stderr}`);
    return new Uint8Array(readFileSync(outFile));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function abort(_message: number, _file: number, line: number, column: number): never {
  throw new Error(`assertion failed at line ${line}, column ${column} of an AssemblyScript file`);
}

/** The key attributes that our datapath gives to each frame; empty for one shorter than an Ethernet header. */
export function ourKeys(frames: readonly Uint8Array[], inPort: number): Uint8Array[] {
  const packed = packFrames(frames);
  const memory = new WebAssembly.Memory({ initial: 2, maximum: PAGES_MAX, shared: true });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(compile()), { env: { memory, abort } });
  const ours = instance.exports as unknown as OurExports;

  const keys = FRAMES + Math.ceil(packed.length / PAGE_SIZE) * PAGE_SIZE;
  const end = keys + frames.length * Number(ours.KEY_RECORD_SIZE_MAX.value);
  memory.grow(Math.ceil(end / PAGE_SIZE) - 2);
  new Uint8Array(memory.buffer).set(packed, FRAMES);
  const size = ours.writeKeys(FRAMES, frames.length, inPort, keys, SCRATCH);
  return unpackKeys(new Uint8Array(memory.buffer).slice(keys, keys + size));
}
