/*
 * Flow keys and matches under the laws of fuzz/odp-keys.ts: mutated texts, bent attribute lists, and the corpus of what once broke one. Without
 * FUZZ_COUNT the seeds are fixed; `npm run fuzz -- keys` is this test with larger numbers.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { basesOf, checkLists, checkText, listsOf, type Outcome, textOf } from './fuzz/odp-keys.ts';
import { SEED } from './support/datapath.ts';

const COUNT = Number(process.env.FUZZ_COUNT ?? 3000);
const SEEDS = process.env.FUZZ_COUNT === undefined ? [1, 2] : [SEED];
const CORPUS = path.join(import.meta.dirname, 'corpus/odp-keys');

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

// Most cases end in an error that nobody reads the stack of.
Error.stackTraceLimit = 0;

/** Runs the cases, shows the first finding of each kind and how many cases were accepted. */
function fuzz(name: string, seed: number, check: (index: number) => Outcome, input: (index: number) => string): void {
  const findings: string[] = [];
  const kinds = new Map<string, number>();
  const started = performance.now();
  let accepted = 0;
  let broken = 0;
  for (let index = 0; index < COUNT; index++) {
    try {
      if (check(index) === 'accepted') accepted++;
    } catch (error) {
      broken++;
      const kind = String(error)
        .split('\n')[0]
        .replace(/found .*/, '')
        .replace(/\d+/g, 'N');
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
      if (kinds.get(kind) === 1) findings.push(`case ${index}: ${error}\n  of ${input(index)}`);
    }
  }
  const seconds = (performance.now() - started) / 1000;
  console.log(`${name}: ${COUNT} cases, seed ${seed}, ${accepted} accepted, ${broken} broken, ${seconds.toFixed(0)} s`);
  expect(findings.join('\n')).toBe('');
  expect(accepted).toBeGreaterThan(COUNT / 4);
  expect(accepted).toBeLessThan(COUNT);
}

describe.each(SEEDS)('laws, SEED=%i', (seed) => {
  it('texts', () => {
    const bases = basesOf(seed);
    const text = (index: number) => textOf(bases, seed, index);
    fuzz('texts', seed, (index) => checkText(text(index)), text);
  });

  it('attribute lists', () => {
    const check = (index: number) => {
      const { key, mask } = listsOf(seed, index);
      return checkLists(key, mask);
    };
    fuzz('lists', seed, check, (index) => {
      const { key, mask } = listsOf(seed, index);
      return `${hex(key)} ${mask === undefined ? 'no mask' : hex(mask)}`;
    });
  });
});

interface Finding {
  why: string;
  text?: string;
  /** Hexadecimal. */
  key?: string;
  mask?: string;
}

describe('corpus', () => {
  it.each(readdirSync(CORPUS))('%s', (name) => {
    const { text, key, mask } = JSON.parse(readFileSync(path.join(CORPUS, name), 'utf8')) as Finding;
    const bytes = (list: string) => new Uint8Array(Buffer.from(list, 'hex'));
    if (text !== undefined) checkText(text);
    if (key !== undefined) checkLists(bytes(key), mask === undefined ? undefined : bytes(mask));
  });
});
