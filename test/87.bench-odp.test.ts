/*
 * bench/odp.mjs in small: every row runs, and its check-sum follows from the keys alone. Nothing is timed here.
 */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../src/native/package-root.ts';

interface Row {
  name: string;
  nsMin: number;
  nsMedian: number;
  checksum: number;
}

const run = (...args: string[]) =>
  spawnSync(process.execPath, [path.join(packageRoot(), 'bench/odp.mjs'), ...args], { encoding: 'utf8' });

function rowsOf(...args: string[]): Row[] {
  const { stdout, stderr, status } = run('--json', ...args);
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  return (JSON.parse(stdout) as { rows: Row[] }).rows;
}

describe('bench/odp.mjs', () => {
  it('does the same work each time, all of it', () => {
    const rows = rowsOf('--count', '128', '--repeat', '3');
    expect(rows.length).toBeGreaterThanOrEqual(16);
    const again = rowsOf('--count', '128', '--repeat', '3');
    expect(again.map(({ name, checksum }) => [name, checksum])).toEqual(
      rows.map(({ name, checksum }) => [name, checksum]),
    );
    for (const { nsMin, nsMedian, checksum } of rows) {
      expect(nsMin).toBeLessThanOrEqual(nsMedian);
      expect(checksum).toBeGreaterThan(0);
    }
    const more = rowsOf('--count', '192', '--repeat', '3', '--only', '^parse');
    expect(more.map(({ name }) => name)).toEqual(['parseKey', 'parseMatch', 'parseKeyAttributes']);
    for (const { name, checksum } of more) expect(rows.find((row) => row.name === name)?.checksum).not.toBe(checksum);
  });

  it('prints a table, and refuses what is no number', () => {
    expect(run('--count', '64', '--repeat', '1', '--only', 'formatKey$').stdout).toMatch(/^formatKey +\d+ ns +\d+ ns /);
    expect(run('--count', 'many').status).toBe(2);
  });
});
