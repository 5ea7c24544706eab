/*
 * The example learning-switch on the provider netdev: the program that 59.dpif-switch has on the kernel's datapath switches two hosts through ours.
 */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { nativeUnavailableReason } from '../src/native/load.ts';
import { packageRoot } from '../src/native/package-root.ts';
import { requireProgram } from './support/require.ts';

const whyNot =
  requireProgram('ip') ??
  requireProgram('ping') ??
  requireProgram('unshare') ??
  nativeUnavailableReason() ??
  (process.geteuid?.() === 0 ? undefined : 'needs root for network namespaces');

describe.skipIf(whyNot)(`a learning switch on netdev (${whyNot ?? 'two hosts'})`, () => {
  it('has ARP, IPv4 and IPv6 answered, by flows that its handler installed', () => {
    const script = path.join(import.meta.dirname, 'support', 'learning-switch.sh');
    const example = path.join(packageRoot(), 'dist', 'examples', 'dpif', 'learning-switch.js');
    const command = ['--net', '--mount', script, example];
    const { status, stdout, stderr } = spawnSync('unshare', command, { encoding: 'utf8', timeout: 600_000 });
    expect(status, stdout + stderr).toBe(0);
    expect(stdout).toContain('netdev@lan switches port1, port2\n');
    expect(stdout.match(/4 packets transmitted, 4 received, 0% packet loss/g), stdout).toHaveLength(2);
    const [, hits, missed, lost] = /^(\d+) packets by flows, (\d+) by the handler, (\d+) lost$/m.exec(stdout)!;
    expect(Number(hits)).toBeGreaterThanOrEqual(10);
    expect(Number(missed)).toBeGreaterThan(0);
    expect(lost).toBe('0');
  });
});
