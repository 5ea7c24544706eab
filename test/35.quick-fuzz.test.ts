/*
 * The quick fuzz targets (fuzz/quick.ts), a few thousand cases each. With FUZZ_COUNT and FUZZ_TARGET, a part of a target's name, this is
 * `npm run fuzz -- quick`. Findings join corpus/actions/ and corpus/odp-keys/.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Datapath } from '../src/index.ts';
import { actionTargets, keyTargets, type Target } from './fuzz/quick.ts';
import { openDatapath, SEED } from './support/datapath.ts';

const COUNT = Number(process.env.FUZZ_COUNT ?? 10_000);
const TARGET = process.env.FUZZ_TARGET ?? '';
const NAMES = ['action texts', 'action lists', 'key texts', 'key lists'];
const FINDINGS_SHOWN = 5;

// Most cases end in an error that nobody reads the stack of.
Error.stackTraceLimit = 0;

describe(`quick fuzz, SEED=${SEED}`, () => {
  let datapath: Datapath;
  let targets: Target[];
  beforeAll(async () => {
    datapath = await openDatapath();
    targets = [...actionTargets(SEED), ...keyTargets(datapath.memory, SEED)];
  });
  afterAll(() => datapath.close());

  it.each(NAMES.filter((name) => name.includes(TARGET)))('%s', (name) => {
    const target = targets.find((one) => one.name === name)!;
    const findings = new Map<string, string>();
    let taken = 0;
    let broken = 0;
    const started = process.cpuUsage();
    for (let index = 0; index < COUNT; index++) {
      try {
        if (target.run(SEED, index)) taken++;
      } catch (error) {
        broken++;
        const kind = String(error).split('\n')[0]!.replace(/\d+/g, 'N').slice(0, 60);
        if (!findings.has(kind)) findings.set(kind, `case ${index}: ${error}\n  of ${target.show(SEED, index)}`);
      }
    }
    const { user, system } = process.cpuUsage(started);
    const cost = ((user + system) / COUNT).toFixed(1);
    console.log(`${name}: ${COUNT} cases, seed ${SEED}, ${taken} taken, ${broken} broken, ${cost} us each`);
    expect([...findings.values()].slice(0, FINDINGS_SHOWN).join('\n')).toBe('');
    expect(taken).toBeGreaterThan(COUNT / 10);
    expect(taken).toBeLessThan(COUNT);
  });
});
