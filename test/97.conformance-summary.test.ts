/*
 * The summary of what was compared with judges from outside, at the end of the output of `npm test` (support/reporter.ts, conformance/summary.ts): what a run of
 * vitest prints for tests that left counts with their tasks, and that the tally stays the last line.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';

const root = new URL('..', import.meta.url).pathname;
const folder = mkdtempSync(path.join(root, 'node_modules', '.summary-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const compared = (what: object) => JSON.stringify({ what: 'messages', explained: {}, unexplained: 0, ...what });
const FILES = {
  'b.test.mjs': `
    it('one', ({ task }) => { task.meta.compared = ${compared({ count: 10, back: 20, explained: { 'a reason': 2 } })}; });
    it('two', ({ task }) => { task.meta.compared = ${compared({ count: 5, back: 3, explained: { 'a reason': 1, another: 2 } })}; });
    it('without', () => {});`,
  'a.test.mjs': `
    it('differs', ({ task }) => { task.meta.compared = ${compared({ what: 'flows', count: 7, unexplained: 1 })}; throw new Error('differs'); });`,
};

it('is printed before the tally, added up by file', () => {
  for (const [name, text] of Object.entries(FILES))
    writeFileSync(path.join(folder, name), `import { it } from 'vitest';\n${text}\n`);
  const config = `import { Tally } from '${root}test/support/reporter.ts';\nexport default { root: '${folder}', test: { include: ['*.test.mjs'], reporters: ['default', new Tally()] } };\n`;
  writeFileSync(path.join(folder, 'vitest.config.ts'), config);
  const vitest = path.join(root, 'node_modules/vitest/vitest.mjs');
  const { VITEST: _, ...env } = process.env;
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [vitest, 'run', '--config', path.join(folder, 'vitest.config.ts')],
    {
      cwd: folder,
      encoding: 'utf8',
      env: { ...env, REQUIRE_ALL: '' },
    },
  );
  const lines = stdout.trimEnd().split('\n');
  const begin = lines.findIndex((line) => line.startsWith('conformance'));
  expect(lines.slice(begin), stderr).toEqual([
    'conformance, a.test.mjs: 7 flows, 6 equal, 0 differences explained, 1 not explained',
    'conformance, b.test.mjs: 15 messages, 10 equal with 23 replies, 5 differences explained, 0 not explained',
    '    3 a reason',
    '    2 another',
    'conformance: 22 cases, 16 equal with 23 replies, 5 differences explained, 1 not explained',
    '3 passed, 1 failed',
  ]);
});
