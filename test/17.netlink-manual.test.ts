/*
 * docs/netlink.md and examples/netlink run, on the built package, in a network namespace of their own.
 */
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { nativeUnavailableReason } from '../src/native/load.ts';
import { packageRoot } from '../src/native/package-root.ts';
import { requireProgram } from './support/require.ts';

const ROOT = packageRoot();
const whyNot =
  requireProgram('ip') ??
  requireProgram('unshare') ??
  nativeUnavailableReason() ??
  (process.geteuid?.() === 0 ? undefined : 'needs root for a network namespace');
const unshared = (...args: string[]): string =>
  execFileSync('unshare', ['--net', ...args], { cwd: ROOT, encoding: 'utf8', timeout: 600_000 });

/** What each block of the manual prints, in their order. */
const EXPECTED = [
  /^lo has an MTU of 65536\n$/,
  /^10000 done, 0 refused\n$/,
  /^lo\n1 interfaces\n$/,
  /^that was it: TimeoutError\n$/,
  /^nlctrl is family 16, version 2, with groups notify\n.*openvswitch.*\n$/,
  /^hello, world\n$/,
];

describe.skipIf(whyNot)(`the manual of Netlink (${whyNot ?? 'runs'})`, () => {
  const blocks = [...readFileSync(path.join(ROOT, 'docs/netlink.md'), 'utf8').matchAll(/```js\n([\s\S]*?)```/g)];

  it('has as many programs as are checked here', () => {
    expect(blocks).toHaveLength(EXPECTED.length);
  });

  it.each(EXPECTED.map((expected, i) => [i, expected] as const))('program %i runs as pasted', (i, expected) => {
    const file = path.join(ROOT, 'build', `manual-${process.pid}-${i}.mjs`);
    writeFileSync(file, blocks[i][1]);
    try {
      expect(unshared(process.execPath, file)).toMatch(expected);
    } finally {
      rmSync(file);
    }
  });

  it('the example prints links and follows what becomes of them', async () => {
    const child = spawn('unshare', ['--net', 'sh'], { cwd: ROOT, stdio: ['pipe', 'pipe', 'inherit'] });
    let out = '';
    const heard = (text: string): Promise<void> =>
      vi.waitFor(() => expect(out).toContain(text), { timeout: 600_000, interval: 20 });
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      out += chunk;
    });
    const ended = new Promise((resolve) => child.on('close', resolve));
    child.stdin.write(`${process.execPath} dist/examples/netlink/links.js &\n`);
    await heard('added   lo: down, mtu 65536, 00:00:00:00:00:00\n-- 1 links (start)\n');
    child.stdin.write('ip link add v0 type veth peer name v1\n');
    await heard('added   v0: down, mtu 1500');
    child.stdin.write('ip link set v0 mtu 1400\n');
    await heard('changed v0: down, mtu 1400');
    child.stdin.write('ip link del v0\n');
    await heard('removed v0: down, mtu 1400');
    child.stdin.end('kill -INT $!; wait $!\n');
    expect(await ended).toBe(0);
  });
});
