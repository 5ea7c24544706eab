/*
 * The fuzz targets of actions: what is not refused with a documented error comes back through text and attributes. FUZZ_COUNT cases of each;
 * `npm run fuzz -- odp` is this test with larger numbers. Without FUZZ_COUNT the seeds are fixed. Findings are in test/corpus/actions/.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { ActionFuzz, judgeAttributes, judgeText } from './fuzz/odp.ts';

const COUNT = Number(process.env.FUZZ_COUNT ?? 3000);
const SEEDS = process.env.FUZZ_COUNT === undefined ? [1, 2] : [Number(process.env.SEED)];
const CORPUS = path.join(import.meta.dirname, 'corpus/actions');
/** So many are still lists that the laws are not about refusals alone. */
const ACCEPTED_MIN = COUNT / 10;

let fuzz: ActionFuzz;
beforeAll(() => {
  fuzz = new ActionFuzz();
});

function run<T>(make: (seed: number, index: number) => T, judge: (input: T) => boolean, seed: number): number {
  let accepted = 0;
  for (let index = 0; index < COUNT; index++) {
    const input = make(seed, index);
    try {
      if (judge(input)) accepted++;
    } catch (error) {
      const shown = typeof input === 'string' ? input : Buffer.from(input as Uint8Array).toString('hex');
      throw new Error(`seed ${seed} case ${index}: ${shown}`, { cause: error });
    }
  }
  return accepted;
}

describe.each(SEEDS)('SEED=%i', (seed) => {
  it('text', () => {
    const accepted = run((...at) => fuzz.text(...at), judgeText, seed);
    console.log(`33.action-fuzz: ${COUNT} texts, seed ${seed}, ${accepted} were lists`);
    expect(accepted).toBeGreaterThan(ACCEPTED_MIN);
  });

  it('attributes', () => {
    const accepted = run((...at) => fuzz.attributes(...at), judgeAttributes, seed);
    console.log(`33.action-fuzz: ${COUNT} attribute lists, seed ${seed}, ${accepted} were lists`);
    expect(accepted).toBeGreaterThan(ACCEPTED_MIN);
  });
});

interface Finding {
  why: string;
  text?: string;
  hex?: string;
}

const findings = readdirSync(CORPUS).map((file): [string, Finding] => [
  file,
  JSON.parse(readFileSync(path.join(CORPUS, file), 'utf8')) as Finding,
]);

it.each(findings)('corpus: %s: %o', (_file, { text, hex }) => {
  if (text !== undefined) judgeText(text);
  if (hex !== undefined) judgeAttributes(new Uint8Array(Buffer.from(hex, 'hex')));
});
