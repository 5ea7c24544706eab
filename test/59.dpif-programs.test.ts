/*
 * A datapath of ours under two programs that change it at the same time: the worker, and one that asks on its control socket (support/dpif-worker.mjs). On the kernel's
 * datapath: 58.dpif-programs. SEED sets the seed.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { SEED } from './support/datapath.ts';

it(`flows and ports that two programs change: every answer is the errno of what is there, and both see the same, SEED=${SEED}`, async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'programs-'));
  try {
    const program = path.join(import.meta.dirname, 'support', 'dpif-worker.mjs');
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [program, folder, String(SEED)]);
    expect(stderr).toBe('');
    const { said, answers } = JSON.parse(stdout) as { said: string; answers: number[] };
    expect(Math.min(...answers)).toBeGreaterThanOrEqual(600);
    console.log(said);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
