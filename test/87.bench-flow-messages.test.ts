/*
 * bench/flow-messages.mjs in small: flows are put, dumped and removed by messages, none is left, and the check-sum follows from the flows alone. Nothing
 * is timed here.
 */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../src/native/package-root.ts';

const run = (...args: string[]) =>
  spawnSync(process.execPath, [path.join(packageRoot(), 'bench/flow-messages.mjs'), ...args], { encoding: 'utf8' });

function resultOf(...args: string[]): Record<string, string | number> {
  const { stdout, stderr, status } = run('--json', '--flows', '300', '--rounds', '2', ...args);
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  return JSON.parse(stdout) as Record<string, string | number>;
}

describe('bench/flow-messages.mjs', () => {
  it('puts, dumps and removes every flow, by UFID and by key', () => {
    const first = resultOf();
    expect(first).toMatchObject({ bench: 'flow-messages', flows: 300, masks: 1, name: 'ufid', by: 'message' });
    expect(resultOf('--batch', '7').checksum).toBe(first.checksum);
    expect(resultOf('--by', 'dpif').checksum).toBe(first.checksum);
    expect(resultOf('--name', 'key', '--masks', '3').checksum).not.toBe(first.checksum);
  });

  it('says what it takes', () => {
    const { status, stderr } = run('--name', 'port');
    expect([status, stderr.split(':')[0]]).toEqual([2, 'flow-messages']);
  });
});
