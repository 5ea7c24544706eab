/*
 * Steps of control commands on the real kernel: what they are, and one virtual machine that takes them all. dpctl-guest.mjs runs them there.
 *
 * For tests only.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { runInGuest } from '../kernel-vm/package.ts';

export interface Outcome {
  status: number;
  stdout: string;
  stderr: string;
}

/** What ran a step, and what came of it. */
export interface StepResult {
  sh?: Outcome;
  ovs?: Outcome;
  wdp?: Outcome;
}

export interface Step {
  /** By whom: a shell, a program, ovs-dpctl, our commands, both of these, ours with --json, or `wdp` as a process of its own. */
  kind: 'sh' | 'run' | 'ovs' | 'wdp' | 'both' | 'json' | 'process';
  words: readonly string[];
  /** Standard input of a process. */
  input?: string;
}

/** Words of a command line; those with blanks stand between quotes. */
export function wordsOf(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain);
}

/** Runs the steps in order on one kernel, with these files (by name) beside them. */
export function runSteps(steps: readonly Step[], files: Readonly<Record<string, string>> = {}): StepResult[] {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'dpctl-steps-'));
  try {
    const paths = Object.entries({ ...files, 'steps.json': JSON.stringify(steps) }).map(([name, text]) => {
      const file = path.join(folder, name);
      writeFileSync(file, text);
      return file;
    });
    const script = path.join(import.meta.dirname, 'dpctl-guest.mjs');
    const printed = runInGuest(script, ['steps.json'], { programs: ['ovs-dpctl', 'ip'], files: paths });
    return JSON.parse(printed.trimEnd().split('\n').at(-1)!) as StepResult[];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
