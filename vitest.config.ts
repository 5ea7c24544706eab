/*
 * Vitest: test/**, numbered along a packet's path. Two processes at most, because several suites start threads of their
 * own; limits for what hangs, because nothing here is a timing test and a loaded machine is not a failure: no test has a shorter one of its own. Random tests begin from the same
 * seed unless SEED says another, so that a run can be had again; SEED=$RANDOM looks further.
 */
import { defineConfig } from 'vitest/config';
import { Tally } from './test/support/reporter.ts';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['scripts/vitest-setup.mjs'],
    env: { SEED: process.env.SEED ?? '1' },
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 1_200_000,
    hookTimeout: 1_200_000,
    reporters: ['default', new Tally()],
  },
});
