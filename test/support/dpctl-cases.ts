/*
 * Cases of control commands on the real kernel: a line of a table, what runs it, and what is to come of it. dpctl-steps.ts runs them.
 *
 * For tests only.
 */
import { expect } from 'vitest';
import { expectSameInJson } from './dpctl-json.ts';
import { type Step, type StepResult, wordsOf } from './dpctl-steps.ts';

/** A line of the table, and what is to come of it. */
export interface Case {
  step: Step;
  /** Of ours; default: the same as ovs-dpctl's, or 0. */
  status?: number;
  /** What stderr of ours says; default: nothing. */
  error?: string | RegExp;
  /** What stdout of ours says, for what ovs-dpctl has no counterpart to. */
  output?: string | RegExp;
}

export const sh = (line: string, output?: string): Case => ({
  step: { kind: 'sh', words: [line] },
  ...(output && { output }),
});
export const ip = (line: string, output?: RegExp): Case => ({
  step: { kind: 'run', words: ['ip', ...wordsOf(line)] },
  ...(output && { output }),
});
export const ovs = (line: string): Case => ({ step: { kind: 'ovs', words: wordsOf(line) } });
export const wdp = (line: string, expected: Omit<Case, 'step'> = {}): Case => ({
  step: { kind: 'wdp', words: wordsOf(line) },
  ...expected,
});
export const both = (line: string, expected: Omit<Case, 'step'> = {}): Case => ({
  step: { kind: 'both', words: wordsOf(line) },
  ...expected,
});

/** By ovs-dpctl, and by ours with --json. */
export const json = (line: string): Case => ({ step: { kind: 'json', words: wordsOf(line) } });

/** Cases that are one test, in order, on what the scenes before left. */
export type Scene = readonly [title: string, cases: readonly Case[]];

/** How long ago a flow was used, and how long a connection still has, is what two commands one after the other print differently. */
function comparable(text: string): string {
  return text.replaceAll(/used:\d+\.\d{3}s/g, 'used:N').replaceAll(/timeout=\d+/g, 'timeout=N');
}

export function check({ step, status, error, output }: Case, { sh: shell, ovs: theirs, wdp: ours }: StepResult): void {
  const line = `${step.kind} ${step.words.join(' ')}`;
  if (step.kind === 'run') expect(shell?.status, shell?.stderr).toBe(0);
  if (step.kind === 'run' && output !== undefined) expect(shell?.stdout, line).toMatch(output);
  if (step.kind === 'ovs')
    expect(
      theirs?.stderr.split('\n').filter((text) => /^ovs-dpctl/.test(text)),
      line,
    ).toEqual([]);
  if (ours === undefined) return;
  expect(`${line}: ${ours.status}`, ours.stderr + theirs?.stderr).toBe(`${line}: ${status ?? theirs?.status ?? 0}`);
  if (step.kind === 'json') expectSameInJson(step.words, ours.stdout, theirs?.stdout ?? '');
  else if (output !== undefined) expect(ours.stdout, line).toMatch(output);
  else if (theirs !== undefined) expect(comparable(ours.stdout), line).toBe(comparable(theirs.stdout));
  if (error === undefined) expect(ours.stderr, line).toBe('');
  else if (typeof error === 'string') expect(ours.stderr, line).toBe(`wdp: ${error}\n`);
  else expect(error.source.startsWith('^wdp') ? ours.stderr : ours.stderr.replace(/^wdp: /, ''), line).toMatch(error);
}
