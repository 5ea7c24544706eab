/*
 * The examples run: the README's as pasted, and each program in examples/, against the built package.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../src/native/package-root.ts';

const root = packageRoot();
const run = (...args: string[]): string =>
  execFileSync(process.execPath, args, { cwd: root, encoding: 'utf8', timeout: 600_000 });

describe('examples', () => {
  it('the README example runs as pasted', () => {
    const code = /```js\n([\s\S]*?)```/.exec(readFileSync(path.join(root, 'README.md'), 'utf8'))?.[1];
    expect(code?.split('\n').filter((line) => line.trim() !== '').length).toBeLessThanOrEqual(15);
    const file = path.join(root, 'build', `readme-${process.pid}.mjs`);
    writeFileSync(file, code ?? '');
    try {
      expect(run(file)).toBe(
        'new flow from 10.0.0.1 to 10.0.0.2\nnew flow from 10.0.0.1 to 10.0.0.2\n3 packets out, 1 by the flow\n',
      );
    } finally {
      rmSync(file);
    }
  });

  it('embed: a learning switch in a program', () => {
    const out = run('examples/embed.mjs');
    expect(out).toContain(
      'ann -> bob: received by bob and cid\nbob -> ann: received by ann\nann -> bob: received by bob\n',
    );
    expect(out.match(/actions:/g)?.length).toBe(2);
  });

  it('batch-handler: a module for wdp run', () => {
    const handler = 'module:examples/batch-handler.mjs';
    const ports = ['--port', 'g,type=generator,flows=500,rate=5000,loop=3', '--port', 'n,type=null'];
    const out = run('dist/src/cli/main.cjs', 'run', ...ports, '--handler', handler, '--json');
    const summary = JSON.parse(out.trim().split('\n').at(-1) ?? '');
    expect(summary.type).toBe('summary');
    expect(JSON.stringify(summary)).toContain('upcallHandler');
  });

  it('dpif/list: ports and flows of every datapath', () => {
    const out = run('dist/examples/dpif/list.js', 'netdev@demo');
    expect(out).toBe(
      'netdev@demo: 2 flows; 0 hits, 0 misses, 0 lost\n' +
        '  port 0: demo (internal), 0 packets in, 0 out\n' +
        '  port 1: ann (memory), 0 packets in, 0 out\n' +
        '  port 2: bob (memory), 0 packets in, 0 out\n' +
        '  in_port(1),eth(), packets:0, actions:2\n' +
        '  in_port(2),eth(), packets:0, actions:1\n',
    );
  });
});
