/*
 * Flow key extraction against the slow model: every size of every protocol's frame, the malformed frames, and random
 * ones. Each frame is extracted twice a build: once ending at the last byte of the memory, once with other bytes
 * around it; both must give the model's key. SEED sets the seed, FRAMES the number of random frames.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import * as K from '../assembly/constants.ts';
import { type ReferenceResult, referenceExtractAll } from './reference/extract.ts';
import { type Build, compileExtract, type Extracted, ExtractInstance, type Placement } from './support/extract-wasm.ts';
import { frames, malformedCorpus, samples } from './support/frames.ts';

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 4294967296));
const FRAMES = Number(process.env.FRAMES ?? 200_000);
const IN_PORT = 0x00a1b2c3;
const RECIRC_ID = 0x0d0e0f01;

function hex(data: Uint8Array): string {
  return Buffer.from(data).toString('hex');
}

/** What is wrong with the answer, or undefined. Comparing without expect() keeps a million comparisons quick. */
function mismatch(got: Extracted, want: ReferenceResult): string | undefined {
  if (got.status !== 0) return `status ${got.status}`;
  if (Buffer.compare(got.key, want.key) !== 0) return differingWords(got.key, want.key);
  const offsets = [got.l3, got.l4, got.mpls].join();
  const wanted = [want.offsets.l3, want.offsets.l4 ?? K.OFFSET_NONE, want.offsets.mpls ?? K.OFFSET_NONE].join();
  if (offsets !== wanted) return `offsets ${offsets} instead of ${wanted}`;
  if (got.flags & K.PACKET_FLAG_KEY_STALE) return 'a flag was left';
  const cold = (got.flags & K.PACKET_FLAG_KEY_COLD) !== 0;
  return cold || !want.cold ? undefined : 'cold words are not flagged';
}

function differingWords(got: Uint8Array, want: Uint8Array): string {
  const words = Array.from({ length: K.KEY_WORDS }, (_, word) => word * 8);
  return words
    .map((at) => [at, hex(got.subarray(at, at + 8)), hex(want.subarray(at, at + 8))] as const)
    .filter(([, a, b]) => a !== b)
    .map(([at, a, b]) => `byte ${at}: ${a} instead of ${b}`)
    .join(', ');
}

const PLACEMENTS: Placement[] = [
  { poison: 0xa5, atEnd: true, coldSlot: false },
  { poison: 0x5a, atEnd: false, coldSlot: true },
];

let instances: [Build, ExtractInstance][];

beforeAll(async () => {
  const builds: Build[] = ['release', 'debug'];
  const modules = await Promise.all(builds.map(compileExtract));
  instances = modules.map((module, index) => [builds[index], new ExtractInstance(module)]);
});

/** Both builds, both placements. */
function check(frame: Uint8Array, name: string): void {
  const want = referenceExtractAll(frame, IN_PORT, RECIRC_ID);
  for (const [build, instance] of instances) {
    for (const where of PLACEMENTS) {
      const wrong = mismatch(instance.run(frame, IN_PORT, RECIRC_ID, where), want);
      if (wrong !== undefined) throw new Error(`${name}, ${build} build: ${wrong}\n${hex(frame.subarray(0, 512))}`);
    }
  }
}

describe('extract', () => {
  it.each(samples())('gives the key of $name at every size from 14 to 128', ({ name, frame }) => {
    const long = new Uint8Array(Math.max(128, frame.length));
    long.set(frame);
    for (let size = 14; size <= 128; size++) check(long.subarray(0, size), `${name} ${size}`);
    check(frame, name);
  });

  it('refuses a frame shorter than an Ethernet header and writes nothing', () => {
    for (let size = 0; size < K.FRAME_SIZE_MIN; size++) {
      for (const [, instance] of instances) {
        for (const where of PLACEMENTS) {
          const got = instance.run(new Uint8Array(size).fill(8), IN_PORT, RECIRC_ID, where);
          expect(got.status).toBe(-1);
          expect(got.key.subarray(0, K.KEY_HOT_SIZE).every((byte) => byte === 0xee)).toBe(true);
        }
      }
    }
  });

  it('gives the key of every malformed frame', () => {
    const corpus = malformedCorpus();
    for (const { name, frame } of corpus) check(frame, name);
    expect(corpus.length).toBeGreaterThan(2000);
  });

  it(`gives the key of ${FRAMES} random frames, SEED=${SEED}`, () => {
    const source = frames(SEED);
    for (let i = 0; i < FRAMES; i++) check(source.next().value, `SEED=${SEED} frame ${i}`);
  });
});
