/*
 * EXECUTE of what once came out differently: as the kernel did it, without a kernel. See support/execute-corpus.ts.
 */
import { describe, expect, it } from 'vitest';
import { BUILDS } from './support/datapath.ts';
import { readExecuteCorpus } from './support/execute-corpus.ts';
import { outcomeText } from './support/execute-differences.ts';
import { Executor } from './support/executor.ts';

describe.each(BUILDS)('executed as the kernel did, %s build', (build) => {
  it.each(readExecuteCorpus())('$name', async ({ why, frame, list, kernel }) => {
    await using executor = await Executor.open({ build });
    expect(outcomeText(executor.execute(frame, list)), why).toEqual(kernel);
    executor.verify(1);
  });
});
