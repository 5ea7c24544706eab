/*
 * Action validator and key writer as a WASM module of their own, in the two builds.
 *
 * The modules themselves are compiled as they are; the entry file is made up while asc reads it. What was compiled stays in .cache/ under a hash
 * of all that it is made from, because several test files, each a process, want the same.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import asc from 'assemblyscript/asc';
import * as K from '../../assembly/constants.ts';

export type Build = 'debug' | 'release';

const OPTIONS: Record<Build, string[]> = {
  debug: ['--debug', '-O1'],
  release: ['-O3', '--converge', '--noAssert', '--uncheckedBehavior', 'always'],
};
const FEATURES = ['--enable', 'threads', '--enable', 'simd', '--enable', 'bulk-memory'];
const MEMORY = ['--importMemory', '--sharedMemory', '--initialMemory', '64', '--maximumMemory', '64'];
const COMMON = ['--runtime', 'stub', '--zeroFilledMemory', '--config', 'none', '--outFile', 'out.wasm'];
const ROOT = new URL('../../', import.meta.url).pathname;
const CACHE = join(ROOT, '.cache');

const STAND_INS = new Map([
  [
    'assembly/actions-entry.ts',
    `export { validateActions } from './actions/validate';
     export { actionFault } from './actions/validate-state';
     export { canonicalActions } from './actions/canonical';
     export { checkTuple, parseMatch, parseMetadata } from './netlink/key-get';
     export { putKey, KEY_ATTRS_SIZE_MAX } from './netlink/key-put';
     export { keySize } from './netlink/key-size';
     export { nestEnd, nestStart, putAttr, putFlag, putU16, putU32, putU64, attrFind } from './netlink/attribute';
     export { beginMessage, addressMessage, endMessage, checkMessage, messageSize, messageFamily, messageFlags,
       messageSeq, messagePid, messageCommand, messageVersion, messageDpIfindex } from './netlink/header';
     export { applyCrcDifference, applyDelta } from './packet/checksum';`,
  ],
]);

const modules = new Map<Build, Promise<WebAssembly.Module>>();

/** Compiled once for a build and a state of the sources. */
export function compileActions(build: Build): Promise<WebAssembly.Module> {
  let promise = modules.get(build);
  if (promise === undefined) {
    promise = compile(build);
    modules.set(build, promise);
  }
  return promise;
}

async function compile(build: Build): Promise<WebAssembly.Module> {
  const name = `actions.${build}.`;
  const file = join(CACHE, `${name}${sourcesHash(build)}.wasm`);
  if (!existsSync(file)) {
    const binary = await assemble(build);
    mkdirSync(CACHE, { recursive: true });
    for (const old of readdirSync(CACHE)) if (old.startsWith(name)) rmSync(join(CACHE, old), { force: true });
    writeFileSync(`${file}.${process.pid}`, binary);
    renameSync(`${file}.${process.pid}`, file); // another process sees all of it or nothing
  }
  return new WebAssembly.Module(readFileSync(file));
}

function sourcesHash(build: Build): string {
  const hash = createHash('sha256').update(JSON.stringify([optionsOf(build), [...STAND_INS], asc.version]));
  const sources = readdirSync(join(ROOT, 'assembly'), { recursive: true, encoding: 'utf8' }).sort();
  for (const source of sources.filter((path) => path.endsWith('.ts'))) {
    hash.update(source).update(readFileSync(join(ROOT, 'assembly', source)));
  }
  return hash.digest('hex').slice(0, 16);
}

function optionsOf(build: Build): string[] {
  return ['assembly/actions-entry.ts', ...COMMON, '--baseDir', ROOT, ...MEMORY, ...FEATURES, ...OPTIONS[build]];
}

async function assemble(build: Build): Promise<Uint8Array> {
  let binary: Uint8Array | undefined;
  const { error, stderr } = await asc.main(optionsOf(build), {
    readFile: (name: string, baseDir: string) => STAND_INS.get(name) ?? readOrNull(join(baseDir, name)),
    writeFile: (_name: string, contents: string | Uint8Array) => {
      if (typeof contents !== 'string') binary = contents.slice();
    },
  });
  if (error || binary === undefined) {
    throw new Error(`asc failed: ${error?.message ?? 'no output'}\n${stderr.toString()}`);
  }
  return binary;
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

const PACKET = 65536;
const KEY = PACKET + 4096;
const MASK = KEY + 4096;
const MATCH = MASK + 4096;
const ATTRS = 0x20000;
const BUFFER = 0x100000;
const POISON = 0xa5;

type Exports = Record<string, (...args: number[]) => number>;

/** What parseMatch made of two lists. */
export interface Match {
  status: number;
  key: Uint8Array;
  mask: Uint8Array;
  /** The attribute that a refusal is about. */
  fault: { list: 'key' | 'mask'; offset: number } | undefined;
  /** Type of the attribute that was missing, 0 none. */
  missing: number;
}

/** One instance of the module with its own memory. */
export class ActionsInstance {
  readonly exports: Exports;
  private readonly memory = new WebAssembly.Memory({ initial: 64, maximum: 64, shared: true });
  readonly bytes = new Uint8Array(this.memory.buffer);
  private readonly view = new DataView(this.memory.buffer);

  constructor(module: WebAssembly.Module) {
    const env = { memory: this.memory, abort: () => assertFailed() };
    this.exports = new WebAssembly.Instance(module, { env }).exports as Exports;
  }

  /** The validator's answer. The list ends where the memory ends, so a read behind it traps. */
  validate(list: Uint8Array, key?: Uint8Array, mask?: Uint8Array): number {
    const at = this.bytes.length - list.length;
    this.bytes.set(list, at);
    if (key !== undefined) this.bytes.set(key, KEY);
    if (mask !== undefined) this.bytes.set(mask, MASK);
    return this.exports.validateActions!(at, list.length, key ? KEY : 0, mask ? MASK : 0);
  }

  /** Key and mask from their attributes. The list `atEnd` ends where the memory ends; the other stands between poison. */
  parseMatch(keyAttrs: Uint8Array, maskAttrs?: Uint8Array, atEnd: 'key' | 'mask' = 'key', poison = POISON): Match {
    const { bytes, view } = this;
    const last = atEnd === 'key' ? keyAttrs : (maskAttrs ?? keyAttrs);
    const other = last === keyAttrs ? maskAttrs : keyAttrs;
    const lastAt = bytes.length - last.length;
    bytes.fill(poison, ATTRS, ATTRS + (other?.length ?? 0) + 128);
    if (lastAt > ATTRS) bytes.fill(poison, lastAt - 64, lastAt);
    bytes.set(last, lastAt);
    if (other !== undefined) bytes.set(other, ATTRS + 64);
    const keyAt = last === keyAttrs ? lastAt : ATTRS + 64;
    const maskAt = maskAttrs === undefined ? 0 : last === maskAttrs ? lastAt : ATTRS + 64;
    bytes.fill(poison, KEY, MATCH + K.MATCH_SIZEOF + 64);
    const args = [keyAt, keyAttrs.length, maskAt, maskAttrs?.length ?? 0];
    const status = this.exports.parseMatch!(...args, KEY, MASK, MATCH);
    const outside = [KEY + K.KEY_SIZE, MASK + K.KEY_SIZE, MATCH + K.MATCH_SIZEOF];
    if (outside.some((at) => bytes[at] !== poison))
      throw new Error('bytes behind the key, the mask or the notes were written');
    const fault = view.getUint32(MATCH + K.MATCH_FAULT, true);
    const [faultIn, start] =
      fault >= keyAt && fault < keyAt + Math.max(keyAttrs.length, 1)
        ? ['key' as const, keyAt]
        : ['mask' as const, maskAt];
    return {
      status,
      key: bytes.slice(KEY, KEY + K.KEY_SIZE),
      mask: bytes.slice(MASK, MASK + K.KEY_SIZE),
      fault: fault === 0 ? undefined : { list: faultIn, offset: fault - start },
      missing: view.getUint32(MATCH + K.MATCH_MISSING, true),
    };
  }

  /** The metadata of a packet from its key attributes, which end where the memory ends; then checkTuple of a packet of `ethType`. */
  parseMetadata(attrs: Uint8Array, ethType = 0, poison = POISON): Match & { tuple: number } {
    const { bytes, view } = this;
    const at = bytes.length - attrs.length;
    bytes.fill(poison, at - 64, at);
    bytes.set(attrs, at);
    bytes.fill(poison, KEY, MATCH + K.MATCH_SIZEOF + 64);
    const status = this.exports.parseMetadata!(at, attrs.length, KEY, MATCH);
    if ([KEY + K.KEY_SIZE, MATCH + K.MATCH_SIZEOF].some((end) => bytes[end] !== poison))
      throw new Error('bytes behind the key or the notes were written');
    const key = bytes.slice(KEY, KEY + K.KEY_SIZE);
    view.setUint16(KEY + K.KEY_ETH_TYPE, ethType, false);
    const tuple = status === 0 ? this.exports.checkTuple!(KEY, MATCH) : status;
    const fault = view.getUint32(MATCH + K.MATCH_FAULT, true);
    return {
      status,
      tuple,
      key,
      mask: new Uint8Array(0),
      fault: fault === 0 ? undefined : { list: 'key', offset: fault - at },
      missing: view.getUint32(MATCH + K.MATCH_MISSING, true),
    };
  }

  /** A validated list as the kernel gives it back, in `room` bytes; undefined when it does not fit. */
  canonical(list: Uint8Array, room = 0x20000): Uint8Array | undefined {
    const at = this.bytes.length - list.length;
    this.bytes.set(list, at);
    this.bytes.fill(POISON, BUFFER, BUFFER + room + 64);
    const end = this.exports.canonicalActions!(at, list.length, BUFFER, BUFFER + room);
    if (this.bytes.subarray(BUFFER + room, BUFFER + room + 64).some((byte) => byte !== POISON)) {
      throw new Error('bytes behind the limit were written');
    }
    return end === 0 ? undefined : this.bytes.slice(BUFFER, end);
  }

  /** The attributes of a key (or of its mask) with `room` bytes to write them in; undefined when they do not fit. */
  putKey(key: Uint8Array, mask: Uint8Array | undefined, room: number): { bytes?: Uint8Array; size: number } {
    this.bytes.set(key, KEY);
    if (mask !== undefined) this.bytes.set(mask, MASK);
    const values = mask === undefined ? KEY : MASK;
    this.bytes.fill(POISON, ATTRS, ATTRS + 2048);
    const end = this.exports.putKey!(ATTRS, ATTRS + room, KEY, values);
    const size = this.exports.keySize!(KEY, values);
    const written = end === 0 ? 0 : end - ATTRS;
    if (this.bytes.subarray(ATTRS + written, ATTRS + 2048).some((byte) => byte !== POISON)) {
      throw new Error('bytes behind the end were written');
    }
    return end === 0 ? { size } : { bytes: this.bytes.slice(ATTRS, end), size };
  }
}

function assertFailed(): never {
  throw new Error('an assertion of the datapath failed');
}
