/*
 * The real kernel as a function: frames in, the flow keys of its Open vSwitch datapath out.
 *
 * For tests only. Before it: whoever has frames. After it: the comparison with our own keys. Runs ./boot (a virtual machine,
 * some five seconds) and in it keydump.c; both say more. Frames and keys travel as files in a temporary folder.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { attribute, concat, le32 } from '../support/action-list.ts';

const FOLDER = import.meta.dirname;
export const BOOT = path.join(FOLDER, 'boot');
/** What ./boot answers when something it needs is not there. */
const EXIT_MISSING = 77;

/** The port number that the tap device has in the datapath. */
export const KERNEL_IN_PORT = 1;

/** Why the kernel cannot be asked on this machine; undefined when it can. Downloads the kernel the first time. */
export function whyNoKernel(): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'the kernel image is for Linux on x64';
  if (spawnSync('gcc', ['--version']).status !== 0) return 'gcc is not installed';
  const prepared = spawnSync(BOOT, ['--prepare'], { encoding: 'utf8' });
  if (prepared.status === 0) return undefined;
  const reason = prepared.stderr.trim() || String(prepared.error);
  if (prepared.status === EXIT_MISSING) return reason;
  throw new Error(`${BOOT} --prepare failed: ${reason}`);
}

/** Runs a program to its end; resolves to what it printed, rejects with that if it fails. */
export function run(command: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
    let printed = '';
    child.stdout.on('data', (chunk: Buffer) => {
      printed += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      printed += chunk.toString();
    });
    child.on('error', reject);
    child.on('close', (status) => {
      if (status === 0) resolve(printed);
      else reject(new Error(`${path.basename(command)} failed with exit status ${status}:\n${printed}`));
    });
  });
}

/** The frames as the records of keydump.c: u32 size, bytes. */
export function packFrames(frames: readonly Uint8Array[]): Uint8Array {
  const packed = new Uint8Array(frames.reduce((sum, frame) => sum + 4 + frame.length, 0));
  const view = new DataView(packed.buffer);
  let at = 0;
  for (const frame of frames) {
    view.setUint32(at, frame.length, true);
    packed.set(frame, at + 4);
    at += 4 + frame.length;
  }
  return packed;
}

/** The keys in records of u32 index, u32 size, bytes; empty where there was none. Views into `packed`. */
export function unpackKeys(packed: Uint8Array): Uint8Array[] {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const keys: Uint8Array[] = [];
  for (let at = 0; at < packed.length; ) {
    const size = view.getUint32(at + 4, true);
    if (view.getUint32(at, true) !== keys.length) throw new Error(`key ${keys.length} is missing`);
    keys.push(packed.subarray(at + 8, at + 8 + size));
    at += 8 + size;
  }
  return keys;
}

/** What the kernel said; `tap` and `execute` are the two ways of keydump.c, one key a frame. */
export interface KernelKeys {
  tap: Uint8Array[];
  execute: Uint8Array[];
  /** keydump's own account of its run. */
  summary: string;
}

/** The key attributes that the kernel gives to each frame that comes from port KERNEL_IN_PORT; empty where it gave none. */
export async function kernelKeys(frames: readonly Uint8Array[]): Promise<KernelKeys> {
  const { files, summary } = await runInGuest('keydump', packFrames(frames), ['tap', 'execute']);
  const [tap, execute] = files.map(unpackKeys) as [Uint8Array[], Uint8Array[]];
  if (tap.length !== frames.length || execute.length !== frames.length) {
    throw new Error(`${frames.length} frames gave ${tap.length} and ${execute.length} keys`);
  }
  return { tap, execute, summary };
}

/**
 * Compiles `NAME.c` and runs it on the kernel with one file of input, and with `setup` as its last argument, a shell command that may use tc;
 * resolves to the files that it wrote and what it printed.
 */
async function runInGuest(
  name: string,
  input: Uint8Array,
  outputs: readonly string[],
  setup?: string,
): Promise<{ files: Uint8Array[]; summary: string }> {
  const folder = await mkdtemp(path.join(os.tmpdir(), `kernel-${name}-`));
  try {
    const program = path.join(folder, name);
    const source = path.join(FOLDER, `${name}.c`);
    await run('gcc', ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-static', '-o', program, source]);
    await writeFile(path.join(folder, 'input'), input);
    const words = [`./${name}`, 'input', ...outputs.map((file) => `out/${file}`)];
    const command = [...words, ...(setup === undefined ? [] : [`'${setup}'`])].join(' ');
    const programs = setup === undefined ? [] : ['--program', 'tc'];
    const args = ['--copy', program, '--copy', path.join(folder, 'input'), ...programs, '--out', folder, '--', command];
    const summary = await run(BOOT, args);
    const files = await Promise.all(outputs.map((file) => readFile(path.join(folder, file))));
    return { files, summary: summary.trim() };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The families that transact.c knows, by its numbers. */
export const KERNEL_FAMILY = { packet: 0, flow: 1, meter: 2 } as const;
/** The port id that gets the upcalls of all ports, and the ports. */
export const KERNEL_UPCALL_PID = 4242;
export const KERNEL_PORTS = [1, 2, 3, 4] as const;

export interface KernelRequest {
  family: number;
  command: number;
  /** NLM_F_*; NLM_F_REQUEST is always set. */
  flags: number;
  attributes: Uint8Array;
}

export interface KernelResult {
  /** Whole messages that answer the request, errors apart. */
  replies: Uint8Array[];
  errno: number;
  /** What came out of the ports, in order for each of them. */
  frames: { port: number; data: Uint8Array }[];
  /** Whole messages. */
  upcalls: Uint8Array[];
}

const OVS_PACKET_CMD_EXECUTE = 3;

/** The request that has the kernel execute a list on a packet that came in by port KERNEL_IN_PORT. */
export function kernelExecute(frame: Uint8Array, list: Uint8Array): KernelRequest {
  const key = attribute(2, attribute(3, le32(KERNEL_IN_PORT)));
  const attributes = concat(attribute(1, frame), key, attribute(3, list));
  return { family: KERNEL_FAMILY.packet, command: OVS_PACKET_CMD_EXECUTE, flags: 0, attributes };
}

/** The requests as the records of transact.c. */
export function packRequests(requests: readonly KernelRequest[]): Uint8Array {
  const packed = requests.map(({ family, command, flags, attributes }) => {
    const head = Buffer.alloc(8);
    head.writeUInt32LE(attributes.length, 0);
    head.writeUInt8(family, 4);
    head.writeUInt8(command, 5);
    head.writeUInt16LE(flags, 6);
    return Buffer.concat([head, attributes]);
  });
  return Buffer.concat(packed);
}

/**
 * What the kernel's datapath answers to requests, handled one after the other. `setup`: a shell command without quotes that is run when the
 * ports, port1 to port4, are there; it loads psample, whose messages come among the upcalls.
 */
export async function kernelTransact(requests: readonly KernelRequest[], setup?: string): Promise<KernelResult[]> {
  const { files } = await runInGuest('transact', packRequests(requests), ['results'], setup);
  const results = unpackResults(files[0]);
  if (results.length !== requests.length) throw new Error(`${requests.length} requests, ${results.length} results`);
  return results;
}

function unpackResults(packed: Uint8Array): KernelResult[] {
  const view = Buffer.from(packed.buffer, packed.byteOffset, packed.length);
  let at = 0;
  const word = (): number => {
    at += 4;
    return view.readUInt32LE(at - 4);
  };
  const block = (size: number): Uint8Array => {
    at += size;
    return packed.subarray(at - size, at);
  };
  const results: KernelResult[] = [];
  while (at < view.length) {
    const replies = Array.from({ length: word() }, () => block(word()));
    const errno = word();
    const frames = Array.from({ length: word() }, () => ({ port: word(), data: block(word()) }));
    const upcalls = Array.from({ length: word() }, () => block(word()));
    results.push({ replies, errno, frames, upcalls });
  }
  return results;
}
