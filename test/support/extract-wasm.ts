/*
 * The extraction alone as a WASM module, for tests: assembly/flow/extract.ts compiled as the entry, in the two
 * builds, with a memory laid out here. The frame ends exactly where the memory ends, so a read behind it traps.
 */
import asc from 'assemblyscript/asc';
import * as K from '../../assembly/constants.ts';

export type Build = 'debug' | 'release';

const OPTIONS: Record<Build, string[]> = {
  debug: ['--debug', '-O1'],
  release: ['-O3', '--converge', '--noAssert'],
};
const FEATURES = ['--enable', 'threads', '--enable', 'simd', '--enable', 'bulk-memory'];
const MEMORY = ['--importMemory', '--sharedMemory', '--initialMemory', '16', '--maximumMemory', '16'];
const ROOT = new URL('../../', import.meta.url).pathname;

const modules = new Map<Build, Promise<WebAssembly.Module>>();

/** Compiled once a run and build. */
export function compileExtract(build: Build): Promise<WebAssembly.Module> {
  let promise = modules.get(build);
  if (promise === undefined) {
    promise = compile(build);
    modules.set(build, promise);
  }
  return promise;
}

async function compile(build: Build): Promise<WebAssembly.Module> {
  let binary: Uint8Array | undefined;
  const shared = [
    '--runtime',
    'stub',
    '--zeroFilledMemory',
    '--baseDir',
    ROOT,
    '--config',
    'none',
    '--outFile',
    'out.wasm',
  ];
  const { error, stderr } = await asc.main(
    ['assembly/flow/extract.ts', ...shared, ...MEMORY, ...FEATURES, ...OPTIONS[build]],
    {
      writeFile: (_name: string, contents: string | Uint8Array) => {
        if (typeof contents !== 'string') binary = contents.slice();
      },
    },
  );
  if (error || binary === undefined)
    throw new Error(`asc failed: ${error?.message ?? 'no output'}\n${stderr.toString()}`);
  return new WebAssembly.Module(binary as Uint8Array<ArrayBuffer>);
}

export interface Extracted {
  status: number;
  /** A copy of all KEY_SIZE bytes. */
  key: Uint8Array;
  l3: number;
  l4: number;
  mpls: number;
  flags: number;
}

export interface Placement {
  /** What the bytes around the frame are. */
  poison: number;
  /** The frame's last byte is the memory's last. */
  atEnd: boolean;
  /** The slot was left with cold words by the packet before. */
  coldSlot: boolean;
}

const PACKET = 65536;
const KEY = PACKET + 4096;
const MARGIN = 256;

/** One instance of the module with its own memory. */
export class ExtractInstance {
  private readonly memory = new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true });
  private readonly bytes = new Uint8Array(this.memory.buffer);
  private readonly view = new DataView(this.memory.buffer);
  private readonly extract: (packet: number) => number;

  constructor(module: WebAssembly.Module) {
    const env = { memory: this.memory, abort: () => assertFailed() };
    const { exports } = new WebAssembly.Instance(module, { env });
    this.extract = exports.extract as (packet: number) => number;
  }

  /** Extracts one frame; the hot words of the slot hold rubbish before. */
  run(frame: Uint8Array, inPort: number, recircId: number, where: Placement): Extracted {
    const { bytes, view } = this;
    const end = where.atEnd ? bytes.length : bytes.length - MARGIN;
    const data = end - frame.length;
    bytes.fill(where.poison, data - MARGIN, data);
    bytes.fill(where.poison, end, Math.min(end + MARGIN, bytes.length));
    bytes.set(frame, data);
    bytes.fill(0xee, KEY, KEY + K.KEY_HOT_SIZE);
    bytes.fill(where.coldSlot ? 0xee : 0, KEY + K.KEY_HOT_SIZE, KEY + K.KEY_SIZE);
    bytes.fill(0, PACKET, PACKET + K.PACKET_SIZEOF);
    view.setUint32(PACKET + K.PACKET_DATA, data, true);
    view.setUint32(PACKET + K.PACKET_SIZE, frame.length, true);
    view.setUint32(PACKET + K.PACKET_KEY, KEY, true);
    view.setUint32(PACKET + K.PACKET_IN_PORT, inPort, true);
    view.setUint32(PACKET + K.PACKET_RECIRC_ID, recircId, true);
    const flags = K.PACKET_FLAG_KEY_STALE | (where.coldSlot ? K.PACKET_FLAG_KEY_COLD : 0);
    view.setUint16(PACKET + K.PACKET_FLAGS, flags, true);
    const status = this.extract(PACKET);
    return {
      status,
      key: bytes.slice(KEY, KEY + K.KEY_SIZE),
      l3: view.getUint16(PACKET + K.PACKET_L3, true),
      l4: view.getUint16(PACKET + K.PACKET_L4, true),
      mpls: view.getUint16(PACKET + K.PACKET_MPLS, true),
      flags: view.getUint16(PACKET + K.PACKET_FLAGS, true),
    };
  }
}

function assertFailed(): never {
  throw new Error('an assertion of the datapath failed');
}
