/*
 * Internal ports of `wdp run`, which are interfaces of the host (test/support/lab-internal.mjs): made by the command line and by a message, reached through
 * the datapath, named as Open vSwitch names them, and gone with the port or with the process.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import type { CliResult } from './support/cli.ts';
import { runInLab, whyNoLab } from './support/lab.ts';

interface Seen {
  lan0: { kind: string; mac: boolean; reached: boolean };
  added: CliResult;
  lan1: { kind: string; reached: boolean };
  shown: string;
  twice: CliResult;
  deleted: CliResult;
  /** Interfaces after one was deleted, and after the process was killed. */
  links: string[];
  left: string[];
}

const whyNot = whyNoLab();

it.skipIf(whyNot)(`internal ports are interfaces${whyNot ? `: ${whyNot}` : ''}`, async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'internal-'));
  const seen = await runInLab<Seen>('lab-internal', folder).finally(() => rmSync(folder, { recursive: true }));
  expect(seen.lan0).toEqual({ kind: 'tun', mac: true, reached: true });
  expect(seen.added).toEqual({ status: 0, stdout: '', stderr: '' });
  expect(seen.lan1).toEqual({ kind: 'tun', reached: true });
  expect(seen.shown).toContain('  port 2: lan0 (internal)\n  port 3: lan1 (internal)\n');
  expect(seen.twice.stderr).toContain('adding h1 to netdev@dp0 failed (File exists)');
  expect(seen.deleted.status).toBe(0);
  expect(seen.links.filter((name) => name.startsWith('lan'))).toEqual(['lan0']);
  expect(seen.left.filter((name) => name.startsWith('lan'))).toEqual([]);
});
