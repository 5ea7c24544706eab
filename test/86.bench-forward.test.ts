/*
 * `wdp bench forward` in small, between veth pairs: its figures are those that the interfaces counted, and the C forwarder beside it forwards too. Nothing is timed here.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ForwardReport } from '../src/bench/forward.ts';
import { packageRoot } from '../src/native/package-root.ts';
import { whyNoLab } from './support/lab.ts';
import { requireProgram } from './support/require.ts';

const PROGRAM = path.join(packageRoot(), 'dist/src/cli/main.js');
const whyNot = whyNoLab() ?? requireProgram('cc') ?? requireProgram('ethtool') ?? requireProgram('timeout');
const folder = mkdtempSync(path.join(tmpdir(), 'bench-forward-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** gen sends to `in`; what goes out by `out` arrives at `sink`. Live frames are for a peer with NAPI, which GRO switches on. */
const SCRIPT = `
set -e
mount -t sysfs sysfs /sys
ip link add gen type veth peer name in
ip link add out type veth peer name sink
for name in gen in out sink; do ip link set "$name" up; done
ethtool -K in gro on
"$@" 2>${folder}/ready &
for try in $(seq 500); do grep -q ready ${folder}/ready && break; sleep 0.02; done
${folder}/generator gen sink 1 64 100 auto >/dev/null
wait $!
echo
cat /sys/class/net/sink/statistics/rx_packets`;

function run(...command: string[]): { report: Record<string, unknown>; sink: number } {
  const args = ['-n', '-m', 'bash', '-c', SCRIPT, 'bash', ...command];
  const { stdout, stderr, status } = spawnSync('unshare', args, { encoding: 'utf8', timeout: 60_000 });
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  const [report, sink] = stdout.split('\n').filter((line) => line !== '');
  return { report: JSON.parse(report) as Record<string, unknown>, sink: Number(sink) };
}

describe.skipIf(whyNot)(`bench forward (${whyNot ?? 'runs'})`, () => {
  beforeAll(() => {
    for (const name of ['generator', 'forwarder']) {
      const source = path.join(packageRoot(), 'bench/forward', `${name}.c`);
      execFileSync('cc', ['-std=gnu11', '-O2', '-Wall', '-Werror', '-o', path.join(folder, name), source]);
    }
  });

  it.each(['afpacket', 'afxdp'])('%s', (type) => {
    const options = ['--rx', 'in', '--tx', 'out', '--type', type, '--seconds', '0.3', '--json'];
    const { report, sink } = run(process.execPath, PROGRAM, 'bench', 'forward', ...options);
    const figures = report as unknown as ForwardReport;
    expect(figures).toMatchObject({ bench: 'forward', rx: 'in', tx: 'out', type });
    expect(figures.forwarded).toBeGreaterThan(0);
    expect(figures.forwarded).toBeLessThanOrEqual(sink);
    expect(figures.pps).toBeCloseTo(figures.forwarded / figures.seconds, -4);
    expect(figures.busyNsPerPacket).toBeGreaterThan(0);
  });

  it.each(['afpacket', 'afxdp'])('the C forwarder by %s', (type) => {
    const { report, sink } = run(
      'timeout',
      '-s',
      'TERM',
      '--preserve-status',
      '2',
      path.join(folder, 'forwarder'),
      'in',
      'out',
      type,
    );
    expect(report.sent).toBeGreaterThan(0);
    expect(report.sent).toBeLessThanOrEqual(sink);
  });
});
