/*
 * `wdp bench netlink` in small: what it reports follows from what the kernel did. Nothing is timed here.
 */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { NetlinkReport } from '../src/bench/netlink.ts';
import { nativeUnavailableReason } from '../src/native/load.ts';
import { packageRoot } from '../src/native/package-root.ts';
import { whyNoKernel } from './kernel-vm/kernel.ts';
import { GUEST_PACKAGE, runInGuest } from './kernel-vm/package.ts';
import { requireProgram } from './support/require.ts';

const PROGRAM = path.join(packageRoot(), 'dist/src/cli/main.cjs');
const wdp = (...args: string[]) =>
  spawnSync(process.execPath, [PROGRAM, 'bench', 'netlink', ...args], { encoding: 'utf8' });

function reportOf(...args: string[]): NetlinkReport {
  const { stdout, stderr, status } = wdp('--json', '--repeat', '1', ...args);
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return JSON.parse(stdout) as NetlinkReport;
}

const whyNot = requireProgram('unshare') ?? requireProgram('cc') ?? nativeUnavailableReason();

describe.skipIf(whyNot)(`bench netlink (${whyNot ?? 'runs'})`, () => {
  it.each(['each', 'last'] as const)('noop, confirm %s: every transaction is answered, here and in C', (confirm) => {
    const report = reportOf('--op', 'noop', '--count', '1000', '--batch', '64', '--confirm', confirm);
    expect(report).toMatchObject({
      bench: 'netlink',
      op: 'noop',
      count: 1024,
      batch: 64,
      confirm,
      errors: 0,
      entries: null,
    });
    expect(report.reference?.perSecond).toBeGreaterThan(0);
    expect(report.speedup).toBeCloseTo(report.perSecond / report.onePerSecond, 1);
  });

  it('neigh: the kernel has as many neighbours as were added', () => {
    const report = reportOf('--op', 'neigh', '--count', '700', '--batch', '100');
    expect(report).toMatchObject({ count: 700, errors: 0, entries: 700 });
    expect(report.reference).not.toBeNull();
  });

  it('neigh: more transactions than neighbours replace them', () => {
    expect(reportOf('--op', 'neigh', '--count', '12000', '--no-reference')).toMatchObject({
      errors: 0,
      entries: 10_000,
    });
  });

  it('without the C program it says so', () => {
    const report = reportOf('--count', '100', '--no-reference');
    expect(report.reference).toBeNull();
    expect(wdp('--count', '100', '--no-reference').stdout).toContain('C program   no: not asked for');
  });

  it('flow without openvswitch.ko names the module', (context) => {
    context.skip(spawnSync('modinfo', ['openvswitch']).status === 0, 'this kernel has openvswitch.ko');
    const { status, stderr } = wdp('--op', 'flow', '--count', '10');
    expect(status).toBe(1);
    expect(stderr).toMatch(/^wdp: .*openvswitch.*\n$/);
  });

  it('wrong command lines', () => {
    expect(wdp('--op', 'fly').status).toBe(2);
    expect(wdp('--batch', '0').status).toBe(2);
  });

  it('flow on the kernel with openvswitch.ko', (context) => {
    const why = whyNoKernel();
    context.skip(why !== undefined, why);
    const script = path.join(packageRoot(), 'test/support/bench-flow.mjs');
    const report = JSON.parse(runInGuest(script, [GUEST_PACKAGE])) as NetlinkReport;
    expect(report).toMatchObject({ op: 'flow', count: 2000, errors: 0, entries: 2000 });
  });
});
