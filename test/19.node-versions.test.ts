/*
 * Rings inside the memory of WebAssembly, on every Node that is supported: whether the kernel's rings may be mapped there is V8's affair, so what two hosts do to
 * each other (test/support/lab-exercise.mjs) is done once more by each, over mapped rings and over what takes their place. The binaries come from the
 * npm package `node`, into a folder outside of the repository: NODE_VERSIONS_DIR keeps them from run to run.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DatapathStats } from '../src/index.ts';
import { expectAccounted } from './support/datapath.ts';
import { runInLabBy, whyNoLab } from './support/lab.ts';
import { requireProgram } from './support/require.ts';

interface Exercise {
  outcomes: Record<string, unknown>;
  stats: DatapathStats;
  broken: number[];
  described: string[];
}

const VERSIONS = [20, 22, 24, 26];
const RINGS: [string, RegExp][] = [
  ['afpacket', /^ring in memory/],
  ['afxdp', /^mode native/],
  ['afxdp,offload=on', /^mode native, offload$/],
  ['afpacket,ring=copied', /^copied/],
];
const DOWNLOAD_MS = 300_000;

const kept = process.env.NODE_VERSIONS_DIR;
const folder = kept ?? mkdtempSync(path.join(os.tmpdir(), 'node-versions-'));
const nodeOf = (version: number): string => path.join(folder, String(version), 'node_modules/node/bin/node');

/** Why there are no binaries: without network, for one. */
function whyNoBinaries(): string | undefined {
  for (const version of VERSIONS.filter((wanted) => !existsSync(nodeOf(wanted)))) {
    const prefix = path.join(folder, String(version));
    mkdirSync(prefix, { recursive: true });
    const args = ['install', '--prefix', prefix, '--no-audit', '--no-fund', '--no-save', `node@${version}`];
    try {
      execFileSync('npm', args, { cwd: prefix, stdio: 'pipe', timeout: DOWNLOAD_MS });
    } catch (error) {
      return `npm has no node@${version} for us: ${error instanceof Error ? error.message.split('\n')[0] : error}`;
    }
  }
  return undefined;
}

const whyNot = whyNoLab() ?? requireProgram('npm') ?? requireProgram('ethtool') ?? requireProgram('python3');

describe.skipIf(whyNot)(`Node of another version${whyNot ? `: ${whyNot}` : ''}`, () => {
  let missing: string | undefined;
  beforeAll(() => {
    missing = whyNoBinaries();
  }, VERSIONS.length * DOWNLOAD_MS);
  afterAll(() => {
    if (kept === undefined) rmSync(folder, { recursive: true, force: true });
  });

  const cases = VERSIONS.flatMap((version) => RINGS.map(([spec, rings]) => ({ version, spec, rings })));
  for (const { version, spec, rings } of cases)
    it(`${version} forwards over ${spec}`, async ({ skip }) => {
      if (missing !== undefined && process.env.REQUIRE_ALL !== '1') return skip(missing);
      expect(missing).toBeUndefined();
      const { outcomes, stats, broken, described } = await runInLabBy<Exercise>(nodeOf(version), 'lab-exercise', spec);
      for (const text of described) expect(text).toMatch(rings);
      expect(outcomes).toMatchObject({
        ...{ arpAndPing: true, ping6: true, fragments: true },
        ...{ 'tcp 10.0.0.2': { whole: true }, 'tcp fd00::2': { whole: true }, 'tcp back': { whole: true } },
      });
      expectAccounted(stats);
      expect(broken).toEqual([0, 0]);
    });
});
