/*
 * Action interpreter, validator and key writer as a WASM module of their own, in the two builds: where packets leave the
 * interpreter (transmit, upcallAction, countDrop), stand-ins write a record of the call into a log that the test reads.
 *
 * The modules themselves are compiled as they are; only the files in STAND_INS are replaced while asc reads them.
 */
import { readFileSync } from 'node:fs';
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

const LOG = 0x200000;
const LOG_SIZE = 0x100000;

const STAND_INS = new Map([
  [
    'assembly/actions-entry.ts',
    `export { execute } from './actions/execute';
     export { validateActions } from './actions/validate';
     export { extract } from './flow/extract';
     export { putKey, KEY_ATTRS_SIZE_MAX } from './netlink/key-put';
     export { keySize } from './netlink/key-size';
     export { nestEnd, nestStart, putAttr, putFlag, putU16, putU32, putU64, attrFind } from './netlink/attribute';
     export { beginMessage, addressMessage, endMessage, checkMessage, messageSize, messageFamily, messageFlags,
       messageSeq, messagePid, messageCommand, messageVersion, messageDpIfindex } from './netlink/header';
     export { applyCrcDifference, applyDelta } from './packet/checksum';`,
  ],
  [
    'assembly/io/transmit.ts',
    `import { record } from '../log';
     export function transmit(packet: usize, port: u32): void { record(1, port, packet, 0, 0); }`,
  ],
  [
    'assembly/upcall/action.ts',
    `import { record } from '../log';
     export function upcallAction(packet: usize, at: usize, size: u32, actions: usize, actionsSize: u32): void {
       record(2, actionsSize, packet, at, size);
     }`,
  ],
  [
    'assembly/flow/counters.ts',
    `import { record } from '../log';
     export function countDrop(reason: u32): void { record(3, reason, 0, 0, 0); }`,
  ],
  [
    'assembly/log.ts',
    `export function record(kind: u32, value: u32, packet: usize, extra: usize, extraSize: u32): void {
       const at: usize = load<u32>(${LOG});
       const data: usize = packet != 0 ? load<u32>(packet, ${K.PACKET_DATA}) : 0;
       const size: u32 = packet != 0 ? load<u32>(packet, ${K.PACKET_SIZE}) : 0;
       store<u32>(at, kind);
       store<u32>(at, value, 4);
       store<u32>(at, packet != 0 ? load<u32>(packet, ${K.PACKET_CUT}) : 0, 8);
       store<u32>(at, size, 12);
       store<u32>(at, extraSize, 16);
       memory.copy(at + 20, data, size);
       memory.copy(at + 20 + size, extra, extraSize);
       store<u32>(${LOG}, <u32>(at + 20 + size + extraSize));
     }`,
  ],
]);

const modules = new Map<Build, Promise<WebAssembly.Module>>();

/** Compiled once a run and build. */
export function compileActions(build: Build): Promise<WebAssembly.Module> {
  let promise = modules.get(build);
  if (promise === undefined) {
    promise = compile(build);
    modules.set(build, promise);
  }
  return promise;
}

async function compile(build: Build): Promise<WebAssembly.Module> {
  let binary: Uint8Array | undefined;
  const { error, stderr } = await asc.main(
    ['assembly/actions-entry.ts', ...COMMON, '--baseDir', ROOT, ...MEMORY, ...FEATURES, ...OPTIONS[build]],
    {
      readFile: (name: string, baseDir: string) => STAND_INS.get(name) ?? readOrNull(join(baseDir, name)),
      writeFile: (_name: string, contents: string | Uint8Array) => {
        if (typeof contents !== 'string') binary = contents.slice();
      },
    },
  );
  if (error || binary === undefined) {
    throw new Error(`asc failed: ${error?.message ?? 'no output'}\n${stderr.toString()}`);
  }
  return new WebAssembly.Module(binary as Uint8Array<ArrayBuffer>);
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

/** What the interpreter did with a packet, in order; `frame` already cut as TRUNC said. */
export type Event =
  | { kind: 'output'; port: number; frame: Uint8Array }
  | { kind: 'userspace'; frame: Uint8Array; attributes: Uint8Array }
  | { kind: 'drop'; reason: number };

export interface Executed {
  events: Event[];
  /** The frame as the last action left it. */
  frame: Uint8Array;
  key: Uint8Array;
  l3: number;
  l4: number;
  mpls: number;
  flags: number;
  wireSize: number;
  /** Bytes outside of the buffer were changed. */
  strayed: boolean;
}

const PACKET = 65536;
const KEY = PACKET + 4096;
const MASK = KEY + 4096;
const ATTRS = 0x20000;
const BUFFER = 0x100000;
const POISON = 0xa5;

type Exports = Record<string, (...args: number[]) => number>;

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

  /** Extracts the frame's key, then runs the list on it. `headroom` bytes before the frame may be used. */
  execute(frame: Uint8Array, list: Uint8Array, headroom: number): Executed {
    const { bytes, view } = this;
    const data = BUFFER + headroom;
    const tail = data + frame.length;
    bytes.fill(POISON, BUFFER - 64, tail + 64);
    bytes.set(frame, data);
    bytes.fill(0, PACKET, PACKET + K.PACKET_SIZEOF);
    bytes.fill(0, KEY, KEY + K.KEY_SIZE);
    const fields = [
      [K.PACKET_DATA, data],
      [K.PACKET_SIZE, frame.length],
      [K.PACKET_HEAD, BUFFER],
      [K.PACKET_TAIL, tail],
      [K.PACKET_KEY, KEY],
      [K.PACKET_IN_PORT, 7],
      [K.PACKET_WIRE_SIZE, frame.length],
    ] as const;
    for (const [offset, value] of fields) view.setUint32(PACKET + offset, value, true);
    if (this.exports.extract!(PACKET) !== 0) throw new Error('the frame is too short');
    bytes.set(list, ATTRS);
    view.setUint32(LOG, LOG + 4, true);
    this.exports.execute!(PACKET, ATTRS, list.length);
    const outside = [bytes.subarray(BUFFER - 64, BUFFER), bytes.subarray(tail, tail + 64)];
    const start = view.getUint32(PACKET + K.PACKET_DATA, true);
    return {
      events: this.events(),
      frame: bytes.slice(start, start + view.getUint32(PACKET + K.PACKET_SIZE, true)),
      key: this.key(),
      l3: view.getUint16(PACKET + K.PACKET_L3, true),
      l4: view.getUint16(PACKET + K.PACKET_L4, true),
      mpls: view.getUint16(PACKET + K.PACKET_MPLS, true),
      flags: view.getUint16(PACKET + K.PACKET_FLAGS, true),
      wireSize: view.getUint32(PACKET + K.PACKET_WIRE_SIZE, true),
      strayed: start < BUFFER || outside.some((part) => part.some((byte) => byte !== POISON)),
    };
  }

  private key(): Uint8Array {
    return this.bytes.slice(KEY, KEY + K.KEY_SIZE);
  }

  private events(): Event[] {
    const { bytes, view } = this;
    const end = view.getUint32(LOG, true);
    if (end > LOG + LOG_SIZE) throw new Error('the log is full');
    const events: Event[] = [];
    for (let at = LOG + 4; at < end; ) {
      const [kind, value, cut, size, extraSize] = [0, 4, 8, 12, 16].map((offset) => view.getUint32(at + offset, true));
      const frame = bytes.slice(at + 20, at + 20 + (cut === 0 ? size! : Math.min(cut!, size!)));
      const attributes = bytes.slice(at + 20 + size!, at + 20 + size! + extraSize!);
      if (kind === 1) events.push({ kind: 'output', port: value!, frame });
      else if (kind === 2) events.push({ kind: 'userspace', frame, attributes });
      else events.push({ kind: 'drop', reason: value! });
      at += 20 + size! + extraSize!;
    }
    return events;
  }

  /** The validator's answer. The list ends where the memory ends, so a read behind it traps. */
  validate(list: Uint8Array, key?: Uint8Array, mask?: Uint8Array): number {
    const at = this.bytes.length - list.length;
    this.bytes.set(list, at);
    if (key !== undefined) this.bytes.set(key, KEY);
    if (mask !== undefined) this.bytes.set(mask, MASK);
    return this.exports.validateActions!(at, list.length, key ? KEY : 0, mask ? MASK : 0);
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
