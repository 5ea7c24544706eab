/*
 * Lists that the validator accepts, whatever they are, executed on packets, whatever they are: see support/execute-fuzz.ts. SEED sets the seed,
 * FUZZ_CASES the number of cases (10,000,000 take a few minutes; so many with SEED=20261126, release build, are the longest run so far).
 */
import { expect, test } from 'vitest';
import { BUILDS, stepsOf } from './support/datapath.ts';
import { ExecuteFuzz } from './support/execute-fuzz.ts';

const SEED = Number(process.env.SEED ?? 20_240_601);
const CASES = Number(process.env.FUZZ_CASES ?? 200_000);

test.each(BUILDS)(
  'what the validator accepts can be executed, %s build',
  async (build) => {
    await using fuzz = await ExecuteFuzz.open(build, SEED);
    const cases = stepsOf(build, CASES);
    const { executed, answers } = fuzz.run(cases);
    console.log(
      `69 ${build}: seed ${SEED}, ${cases} cases, ${executed} executed, answers ${JSON.stringify([...answers])}`,
    );
    expect(executed).toBeGreaterThan(cases / 8);
    expect(cases - executed).toBeGreaterThan(cases / 8);
  },
  3_600_000,
);
