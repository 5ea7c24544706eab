/*
 * bench/flow-files.mjs in small: both programs add, dump and delete the flows of a file on the kernel in the virtual machine. Nothing is timed here.
 */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { nativeUnavailableReason } from '../src/native/load.ts';
import { packageRoot } from '../src/native/package-root.ts';
import { whyNoKernel } from './kernel-vm/kernel.ts';
import { requireProgram } from './support/require.ts';

const whyNot = whyNoKernel() ?? requireProgram('ovs-dpctl') ?? nativeUnavailableReason();
const run = (...args: string[]) =>
  spawnSync(process.execPath, [path.join(packageRoot(), 'bench/flow-files.mjs'), ...args], { encoding: 'utf8' });

describe('bench/flow-files.mjs', () => {
  it.skipIf(whyNot)(`times both programs (${whyNot ?? 'runs'})`, () => {
    const { stdout, stderr, status } = run('--json', '--flows', '30', '--rounds', '1');
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    const { bench, flows, ms } = JSON.parse(stdout) as { bench: string; flows: number; ms: Record<string, number> };
    expect({ bench, flows }).toEqual({ bench: 'flow-files', flows: 30 });
    for (const program of ['ovs', 'wdp'])
      for (const command of ['show', 'add-flows', 'dump-flows', 'del-flows'])
        expect(ms[`${program}.${command}`]).toBeGreaterThan(0);
  });

  it('says what it takes', () => {
    const { status, stderr } = run('--flows', 'many');
    expect([status, stderr.split(':')[0]]).toEqual([2, 'flow-files']);
  });
});
