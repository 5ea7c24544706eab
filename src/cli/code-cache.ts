/*
 * What V8 compiled of a bundled file, kept in a file beside it: most of the time of a control command, which has a process of its own, is compiling what it loads.
 *
 * Concepts: a cache holds all functions of the file. It is of use to the very version of Node that made it, so that is in its name; the build makes one
 * (scripts/bundle.mjs), and where another Node runs, the first command does. It is read as code is, so it lies where the code is and nowhere that others
 * could write to. A folder that cannot be written has no cache, and everything works as well.
 * What can be lost: V8 looks at version, flags and lengths only, and a byte that changed could make it crash, so a cache ends with check sums of itself and of what it
 * was made of. Whatever is not as it should be counts as no cache.
 * Code of a cache cannot call import(): Node no longer knows which file it is of.
 *
 * Before it: main.ts. After it: the file, as a module that `require` finds loaded. Main thread.
 */
import { accessSync, constants, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire, Module } from 'node:module';
import path from 'node:path';
import vm from 'node:vm';
import { crc32 } from 'node:zlib';

/** Check sums of the cache and of its source, 32 bits each. */
const TRAILER_SIZE = 8;

/** Where the cache of a file is. */
export function cacheFile(file: string): string {
  return `${file}.${process.version}-${process.arch}.cache`;
}

/** Loads the CommonJS file with the help of its cache, for whoever requires it later. False, and nothing was done: it has none. */
export function loadCompiled(file: string): boolean {
  const source = readFileSync(file);
  const cachedData = readCache(file, source);
  if (cachedData === undefined) return false;
  // where V8 refuses it (it runs with other flags), the script is compiled as any other
  const run = compile(file, source, cachedData).runInThisContext() as (...words: unknown[]) => void;
  const module = new Module(file);
  const require = createRequire(file);
  module.filename = file;
  require.cache[file] = module;
  run.call(module.exports, module.exports, require, module, file, path.dirname(file));
  module.loaded = true;
  return true;
}

/** Compiles all of the file and keeps that, for this version of Node. False: the folder cannot be written. */
export async function keepCompiled(file: string): Promise<boolean> {
  if (!isWritable(path.dirname(file))) return false;
  const { setFlagsFromString } = await import('node:v8');
  const source = readFileSync(file);
  setFlagsFromString('--no-lazy');
  const script = compile(file, source);
  setFlagsFromString('--lazy');
  const data = script.createCachedData();
  const trailer = Buffer.alloc(TRAILER_SIZE);
  trailer.writeUInt32LE(crc32(data), 0);
  trailer.writeUInt32LE(crc32(source), 4);
  return replaceFile(cacheFile(file), Buffer.concat([data, trailer]));
}

function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function compile(filename: string, source: Buffer, cachedData?: Buffer): vm.Script {
  return new vm.Script(Module.wrap(source.toString()), { filename, cachedData });
}

/** The cache without its trailer, undefined when there is none that is whole and of this source. */
function readCache(file: string, source: Buffer): Buffer | undefined {
  let whole: Buffer;
  try {
    whole = readFileSync(cacheFile(file));
  } catch {
    return undefined;
  }
  const size = whole.length - TRAILER_SIZE;
  if (size <= 0) return undefined;
  const data = whole.subarray(0, size);
  if (whole.readUInt32LE(size) !== crc32(data) || whole.readUInt32LE(size + 4) !== crc32(source)) return undefined;
  return data;
}

/** Others see the old file or the new one, and a link in its place is not followed. */
function replaceFile(file: string, bytes: Buffer): boolean {
  const made = `${file}.${process.pid}`;
  try {
    writeFileSync(made, bytes, { flag: 'wx' });
    renameSync(made, file);
    return true;
  } catch {
    rmSync(made, { force: true });
    return false;
  }
}
