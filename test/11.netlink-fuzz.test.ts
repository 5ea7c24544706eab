/*
 * The fuzz targets: cursor, policy and message walk, in AssemblyScript and TypeScript. Inside WASM the laws of fuzz/netlink.as.ts hold for
 * FUZZ_COUNT cases a target; then TypeScript gets the same bytes, and must give the same answers. `npm run fuzz` is this test with larger numbers.
 * Without FUZZ_COUNT the seeds are fixed.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { AttributeBuilder, AttributeCursor } from '../src/netlink/attributes.ts';
import { MessageBuffer } from '../src/netlink/buffer.ts';
import { MessageCursor } from '../src/netlink/message.ts';
import type { Policy } from '../src/netlink/policy.ts';
import { validateAttributes } from '../src/netlink/policy-validate.ts';
import { encodeAttributes, parseAttributes } from '../src/netlink/policy-values.ts';
import { everyKind, randomPolicy } from './fuzz/netlink-policies.ts';
import { answerOf, type Build, FUZZ_BUILDS, NetlinkWasm } from './fuzz/netlink-wasm.ts';
import { SEED } from './support/datapath.ts';
import { Random } from './support/frame-generator.ts';

const { POLICIES, TABLE, OUT, SCRATCH, LIMIT } = NetlinkWasm;
const COUNT = Number(process.env.FUZZ_COUNT ?? 100_000);
const AGREE_COUNT = Math.ceil(COUNT / 3);
/** Cases with one policy; then comes another. */
const BLOCK = 1 << 13;
const SEEDS = process.env.FUZZ_COUNT === undefined ? [1, 2] : [SEED];
const BUILDS: readonly Build[] = process.env.FUZZ_COUNT === undefined ? FUZZ_BUILDS : ['release'];
const POISON = 0xa5;

const wasm = {} as Record<Build, NetlinkWasm>;
beforeAll(async () => {
  for (const build of BUILDS) wasm[build] = await NetlinkWasm.open(build);
});

/** Blocks of cases, each with the policy that its number gives. */
function* blocks(
  module: NetlinkWasm,
  seed: number,
  count: number,
): Generator<{ policy: Policy; first: number; size: number }> {
  for (let first = 0; first < count; first += BLOCK) {
    const number = first / BLOCK;
    const policy = number === 0 ? everyKind() : randomPolicy(new Random(seed + number));
    module.clearPolicies();
    module.addPolicy(policy);
    yield { policy, first, size: Math.min(BLOCK, count - first) };
  }
}

function report(name: string, seed: number, count: number, started: number): void {
  if (process.env.FUZZ_COUNT === undefined) return;
  const seconds = (performance.now() - started) / 1000;
  console.log(`${name}: ${count} cases, seed ${seed}, ${(count / seconds / 1e6).toFixed(2)} million/s`);
}

describe.each(SEEDS)('laws in WASM, SEED=%i', (seed) => {
  describe.each(BUILDS)('%s', (build) => {
    it.each(['fuzzCursor', 'fuzzPolicy', 'fuzzMessages'] as const)('%s', (target) => {
      const module = wasm[build];
      const count = build === 'debug' ? Math.ceil(COUNT / 4) : COUNT;
      const started = performance.now();
      for (const { first, size } of blocks(module, seed, count)) {
        const broken = module.exports[target](
          POLICIES,
          seed,
          first,
          size,
          SCRATCH,
          target === 'fuzzPolicy' ? TABLE : OUT,
          LIMIT,
        );
        expect(broken, `${target}: seed ${seed}, case ${broken - 1}`).toBe(0);
      }
      report(`${target} in WASM, ${build}`, seed, count, started);
    });
  });
});

/** The bytes of a case once more, in between others: what is read outside of them changes the answer. */
const around = new Uint8Array(16384);
function surrounded(bytes: Uint8Array): number {
  const at = 4096;
  around.fill(POISON, at - 64, at + bytes.length + 64);
  around.set(bytes, at);
  return at;
}

describe.each(SEEDS)('TypeScript and AssemblyScript agree, SEED=%i', (seed) => {
  const build = BUILDS[0];

  it('cursor and builder', () => {
    const module = wasm[build];
    const started = performance.now();
    for (const { first, size: count } of blocks(module, seed, AGREE_COUNT)) {
      for (let index = first; index < first + count; index++) {
        const size = module.exports.generateAttrs(POLICIES, seed, index, SCRATCH, LIMIT);
        agreeOnCursor(module, size, `seed ${seed} case ${index}`);
      }
    }
    report('cursor and builder in both', seed, AGREE_COUNT, started);
  });

  it('policy', () => {
    const module = wasm[build];
    const started = performance.now();
    const reasons = new Array<number>(14).fill(0);
    for (const { policy, first, size: count } of blocks(module, seed, AGREE_COUNT)) {
      for (let index = first; index < first + count; index++) {
        const size = module.exports.generateAttrs(POLICIES, seed, index, SCRATCH, LIMIT);
        const mode = module.exports.modeOf(index);
        reasons[agreeOnPolicy(module, policy, size, mode, `seed ${seed} case ${index}`)]++;
      }
    }
    report(`policy in both, by reason ${reasons}`, seed, AGREE_COUNT, started);
    expect(Math.min(...reasons), `every reason was met: ${reasons}`).toBeGreaterThan(0);
  });

  it('messages', () => {
    const module = wasm[build];
    const started = performance.now();
    for (const { first, size: count } of blocks(module, seed, AGREE_COUNT)) {
      for (let index = first; index < first + count; index++) {
        const size = module.exports.generateMessages(POLICIES, seed, index, SCRATCH, LIMIT);
        agreeOnMessages(module, size, `seed ${seed} case ${index}`);
      }
    }
    report('messages in both', seed, AGREE_COUNT, started);
  });

  it('what is parsed and encoded again is the same', () => {
    const module = wasm[build];
    let parsed = 0;
    const cases = Math.ceil(AGREE_COUNT / 3);
    for (const { policy, first, size: count } of blocks(module, seed, cases)) {
      for (let index = first; index < first + count; index++) {
        const size = module.exports.generateAttrs(POLICIES, seed, index, SCRATCH, LIMIT);
        if (roundTrip(policy, module.bytes.slice(LIMIT - size, LIMIT), `seed ${seed} case ${index}`)) parsed++;
      }
    }
    expect(parsed).toBeGreaterThan(cases / 20);
  });
});

const rebuilt = new MessageBuffer();

function agreeOnCursor(module: NetlinkWasm, size: number, where: string): void {
  const { bytes, words, exports } = module;
  const count = exports.walkAttrs(LIMIT - size, size, OUT);
  const at = surrounded(bytes.subarray(LIMIT - size));
  const cursor = new AttributeCursor(around, at, size, at);
  rebuilt.clear();
  const builder = new AttributeBuilder(rebuilt);
  let word = OUT >> 2;
  while (cursor.next()) {
    const rawType = cursor.type | (cursor.isNested ? 0x8000 : 0) | (cursor.isNetByteOrder ? 0x4000 : 0);
    if (words[word] !== cursor.offset || words[word + 1] !== cursor.payloadSize || words[word + 2] !== rawType) {
      expect.fail(`${where}: attribute ${rawType} at ${cursor.offset}`);
    }
    builder.raw(rawType, cursor.view());
    word += 3;
  }
  if (word !== (OUT >> 2) + count - 1) expect.fail(`${where}: not as many attributes`);
  if (words[word] > 0 !== (cursor.error !== undefined)) expect.fail(`${where}: ${words[word]} bytes left over`);
  const written = exports.rebuild(LIMIT - size, size, OUT, OUT + 16384);
  builder.finish();
  if (written !== rebuilt.size || Buffer.compare(rebuilt.bytes, bytes.subarray(OUT, OUT + written)) !== 0) {
    expect.fail(`${where}: the builders differ`);
  }
}

function agreeOnPolicy(module: NetlinkWasm, policy: Policy, size: number, mode: number, where: string): number {
  const theirs = module.parse(POLICIES, LIMIT - size, size, mode);
  const at = surrounded(module.bytes.subarray(LIMIT - size));
  const ours = answerOf(validateAttributes(policy, around, at, size, at, mode));
  if (
    theirs.errno !== ours.errno ||
    theirs.reason !== ours.reason ||
    theirs.offset !== ours.offset ||
    theirs.missingType !== ours.missingType ||
    theirs.missingNest !== ours.missingNest
  ) {
    expect(ours, `${where}, mode ${mode}`).toEqual(theirs);
  }
  return ours.reason;
}

function agreeOnMessages(module: NetlinkWasm, size: number, where: string): void {
  const { bytes, words, exports } = module;
  const count = exports.walkMessages(LIMIT - size, size, OUT);
  const at = surrounded(bytes.subarray(LIMIT - size));
  const cursor = new MessageCursor(around, at, size);
  let word = OUT >> 2;
  while (cursor.next()) {
    const ours = [cursor.offset - at, cursor.size, cursor.type, cursor.flags, cursor.seq, cursor.portId];
    if (ours.some((value, i) => words[word + i] !== value)) expect.fail(`${where}: message at ${ours[0]}`);
    const errno = cursor.errno();
    if (errno < 0 || errno > 4095) expect.fail(`${where}: errno ${errno}`);
    cursor.extendedAck();
    cursor.attributes();
    word += 6;
  }
  if (word !== (OUT >> 2) + count - 1) expect.fail(`${where}: not as many messages`);
  if (words[word] > 0 !== (cursor.error !== undefined)) expect.fail(`${where}: ${words[word]} bytes left over`);
}

/** False when the policy refuses the bytes; then the error is the documented one. */
function roundTrip(policy: Policy, bytes: Uint8Array, where: string): boolean {
  let values: ReturnType<typeof parseAttributes>;
  try {
    values = parseAttributes(policy, bytes);
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_NETLINK_MALFORMED') throw error;
    return false;
  }
  const text = comparable(values);
  if (text.includes('\ufffd')) return false;
  const buffer = new MessageBuffer();
  const builder = new AttributeBuilder(buffer);
  encodeAttributes(policy, builder, values);
  builder.finish();
  const again = comparable(parseAttributes(policy, buffer.bytes));
  if (again !== text) expect(again, where).toBe(text);
  return true;
}

/** As text, without where attributes stood, names in the order of the alphabet. */
function comparable(values: unknown): string {
  return JSON.stringify(values, (key, value) => {
    if (typeof value === 'bigint') return `${value}n`;
    if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      return key === 'offset' ? undefined : value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
