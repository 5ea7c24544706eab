/*
 * netlink.as.ts compiled and instantiated, in both builds, with a memory laid out here:
 *
 *   | page 1: policies | page 2: table, then output | page 3: scratch | page 4: input, which ends where the memory ends |
 */
import asc from 'assemblyscript/asc';
import { expect } from 'vitest';
import { NL_VALIDATE_STRICT } from '../../assembly/constants.ts';
import type { Policy } from '../../src/netlink/policy.ts';
import { writePolicyTable } from '../../src/netlink/policy-table.ts';
import { type Refusal, validateAttributes } from '../../src/netlink/policy-validate.ts';

export type Build = 'debug' | 'release';
export const FUZZ_BUILDS: readonly Build[] = ['release', 'debug'];

const ROOT = new URL('../../', import.meta.url).pathname;
const PAGE = 65536;
const PAGES = 5;
const OPTIONS: Record<Build, string[]> = {
  debug: ['--debug', '-O1'],
  release: ['-O3', '--converge', '--noAssert'],
};
const COMMON = [
  ...['--runtime', 'stub', '--zeroFilledMemory', '--baseDir', ROOT, '--config', 'none', '--outFile', 'out.wasm'],
  ...['--importMemory', '--sharedMemory', '--initialMemory', String(PAGES), '--maximumMemory', String(PAGES)],
  ...['--enable', 'threads', '--enable', 'simd', '--enable', 'bulk-memory'],
];

type Loop = (
  policy: number,
  seed: number,
  first: number,
  count: number,
  scratch: number,
  out: number,
  limit: number,
) => number;
type Generator = (policy: number, seed: number, index: number, scratch: number, limit: number) => number;

export interface NetlinkExports {
  walkAttrs(attrs: number, size: number, out: number): number;
  walkMessages(datagram: number, size: number, out: number): number;
  rebuild(attrs: number, size: number, out: number, limit: number): number;
  generateAttrs: Generator;
  generateMessages: Generator;
  fuzzCursor: Loop;
  fuzzPolicy: Loop;
  fuzzMessages: Loop;
  modeOf(index: number): number;
  repeatCursor(attrs: number, size: number, rounds: number): number;
  repeatPolicy(policy: number, attrs: number, size: number, table: number, rounds: number): number;
  parsePolicy(policy: number, attrs: number, size: number, table: number, mode: number): number;
  refusedReason(): number;
  refusedAttr(): number;
  missingType(): number;
  missingNest(): number;
  beginPolicy(policy: number, maxType: number, strictStart: number): number;
  setRule(policy: number, type: number, kind: number, payloadSize: number): number;
  setRange(policy: number, type: number, kind: number, min: bigint, max: bigint): void;
  setMask(policy: number, type: number, kind: number, mask: bigint): void;
  setNested(policy: number, type: number, kind: number, inner: number): void;
  setRequired(policy: number, type: number): void;
  putAck(at: number, limit: number, request: number, errno: number): number;
}

async function compile(build: Build): Promise<WebAssembly.Module> {
  let binary: Uint8Array | undefined;
  const { error, stderr } = await asc.main(['test/fuzz/netlink.as.ts', ...COMMON, ...OPTIONS[build]], {
    writeFile: (_name: string, contents: string | Uint8Array) => {
      if (typeof contents !== 'string') binary = contents.slice();
    },
  });
  if (error || binary === undefined)
    throw new Error(`asc failed: ${error?.message ?? 'no output'}\n${stderr.toString()}`);
  return new WebAssembly.Module(binary as Uint8Array<ArrayBuffer>);
}

/** What a call of parsePolicy said, offsets from the start of the attributes; errno 0 when nothing was refused. */
export interface Answer {
  errno: number;
  reason: number;
  offset: number | undefined;
  missingType: number | undefined;
  missingNest: number | undefined;
}

export class NetlinkWasm {
  static readonly POLICIES = PAGE;
  static readonly TABLE = 2 * PAGE;
  static readonly OUT = 2 * PAGE + 32768;
  static readonly SCRATCH = 3 * PAGE;
  /** The input ends here. */
  static readonly LIMIT = PAGES * PAGE;
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly exports: NetlinkExports;
  private policiesEnd = NetlinkWasm.POLICIES;

  private constructor(module: WebAssembly.Module) {
    const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared: true });
    const abort = (_message: number, _file: number, line: number) => {
      throw new Error(`assertion failed at line ${line} of an AssemblyScript file`);
    };
    this.exports = new WebAssembly.Instance(module, { env: { memory, abort } }).exports as unknown as NetlinkExports;
    this.bytes = new Uint8Array(memory.buffer);
    this.words = new Uint32Array(memory.buffer);
  }

  static async open(build: Build): Promise<NetlinkWasm> {
    return new NetlinkWasm(await compile(build));
  }

  /** Writes the policy behind those that are there; returns its address. */
  addPolicy(policy: Policy): number {
    const address = this.policiesEnd;
    this.policiesEnd = writePolicyTable(policy, this.bytes.subarray(0, NetlinkWasm.TABLE), address);
    return address;
  }

  clearPolicies(): void {
    this.policiesEnd = NetlinkWasm.POLICIES;
  }

  /** Puts the bytes at the end of the memory; returns their address. */
  place(bytes: Uint8Array): number {
    const at = NetlinkWasm.LIMIT - bytes.length;
    this.bytes.set(bytes, at);
    return at;
  }

  parse(policy: number, attrs: number, size: number, mode: number = NL_VALIDATE_STRICT): Answer {
    const { exports } = this;
    const errno = -exports.parsePolicy(policy, attrs, size, NetlinkWasm.TABLE, mode) || 0;
    const offset = (address: number) => (address === 0 ? undefined : address - attrs);
    return {
      errno,
      reason: exports.refusedReason(),
      offset: offset(exports.refusedAttr()),
      missingType: exports.missingType() || undefined,
      missingNest: offset(exports.missingNest()),
    };
  }
}

/** A refusal in the form of Answer. */
export function answerOf(refusal: Refusal | undefined): Answer {
  const { errno = 0, reason = 0, offset, missingType, missingNest } = refusal ?? {};
  return { errno, reason, offset, missingType, missingNest };
}

export async function openBuilds(): Promise<Record<Build, NetlinkWasm>> {
  return { release: await NetlinkWasm.open('release'), debug: await NetlinkWasm.open('debug') };
}

/** The answer of TypeScript and of both builds, which must be one. */
export function judgeAll(wasm: Record<Build, NetlinkWasm>, policy: Policy, bytes: Uint8Array, mode: number): Answer {
  const ours = answerOf(validateAttributes(policy, bytes, 0, bytes.length, 0, mode));
  for (const build of FUZZ_BUILDS) {
    const module = wasm[build];
    module.clearPolicies();
    const address = module.addPolicy(policy);
    expect(module.parse(address, module.place(bytes), bytes.length, mode), build).toEqual(ours);
  }
  return ours;
}
