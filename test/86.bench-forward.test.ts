/*
 * `wdp bench forward` in small, between veth pairs: its figures are those that the interfaces counted, and the C forwarder beside it forwards too; and the comparison
 * of both (bench/forward/run.mjs) in one short round. Nothing is timed here.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ForwardReport } from '../src/bench/forward.ts';
import { packageRoot } from '../src/native/package-root.ts';
import { whyNoLab } from './support/lab.ts';
import { requireProgram } from './support/require.ts';

const PROGRAM = path.join(packageRoot(), 'dist/src/cli/main.cjs');
const whyNot = whyNoLab() ?? requireProgram('cc') ?? requireProgram('ethtool') ?? requireProgram('timeout');
const folder = mkdtempSync(path.join(tmpdir(), 'bench-forward-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** gen sends to `in`; what goes out by `out` arrives at `sink`. Live frames are for a peer with NAPI, which GRO switches on. */
const SCRIPT = `
set -e
mount -t sysfs sysfs /sys
sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
ip link add gen type veth peer name in
ip link add out type veth peer name sink
for name in gen in out sink; do ip link set "$name" up; done
for name in in sink; do ethtool -K "$name" gro on; done
"$@" 2>${folder}/ready &
for try in $(seq 500); do grep -q ready ${folder}/ready && break; sleep 0.02; done
${folder}/generator gen 1 64 0 0 auto >/dev/null
wait $!
echo
cat /sys/class/net/sink/statistics/rx_packets`;

function run(...command: string[]): { report: Record<string, unknown>; sink: number } {
  const args = ['-n', '-m', 'bash', '-c', SCRIPT, 'bash', ...command];
  const { stdout, stderr, status } = spawnSync('unshare', args, { encoding: 'utf8', timeout: 600_000 });
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

  it.each(['afpacket', 'afxdp', 'afxdp,offload=on'])('%s', (spec) => {
    const [type, extra] = spec.split(',');
    const options = [
      '--rx',
      'in',
      '--tx',
      'out',
      '--type',
      type,
      '--seconds',
      '0.3',
      '--json',
      ...(extra ? ['--port-options', extra] : []),
    ];
    const { report, sink } = run(process.execPath, PROGRAM, 'bench', 'forward', ...options);
    const figures = report as unknown as ForwardReport;
    expect(figures).toMatchObject({ bench: 'forward', rx: 'in', tx: 'out', type });
    expect(figures.forwarded).toBeGreaterThan(0);
    expect(figures.forwarded).toBeLessThanOrEqual(sink);
    expect(figures.pps).toBeCloseTo(figures.forwarded / figures.seconds, -4);
    expect(figures.busyNsPerPacket > 0 || extra !== undefined).toBe(true);
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

interface Row extends Record<'pps' | 'offeredPps' | 'loss' | 'machineNsPerPacket', Spread> {
  /** Null where no thread forwards. */
  busyNsPerPacket: Spread | null;
  userNsPerPacket: Spread | null;
  name: string;
  label: string;
  runs: number;
  seconds: number;
  forwarded: number;
}

type Spread = Record<'median' | 'min' | 'max', number>;

interface Wake {
  rounds: number;
  sent: number;
  lost: number;
  us: Record<'median' | 'lowest' | 'highest', number>;
  idleLoad: number;
  usOfFrame: number;
}

describe.skipIf(whyNot)(`waking up (${whyNot ?? 'runs'})`, () => {
  it('has a row for each forwarder, through which the frames came', () => {
    const options = ['--parts', 'wake', '--repeat', '1', '--seconds', '0.1', '--json'];
    const run = spawnSync(path.join(packageRoot(), 'bench/forward/run.mjs'), options, { encoding: 'utf8' });
    expect({ status: run.status, stderr: run.stderr }).toMatchObject({ status: 0 });
    const { wake, failures } = JSON.parse(run.stdout) as { wake: Record<string, Wake>; failures: string[] };
    expect(failures).toEqual([]);
    const names = ['afpacket', 'afxdp'].flatMap((type) => [
      `plain C, ${type}`,
      `${type}, a worker`,
      `${type}, no worker`,
    ]);
    expect(Object.keys(wake)).toEqual(names);
    for (const { rounds, sent, lost, us, idleLoad, usOfFrame } of Object.values(wake)) {
      expect({ rounds, sent }).toEqual({ rounds: 1, sent: 10 });
      expect(lost).toBeLessThan(sent);
      expect(us.median).toBeGreaterThan(0);
      expect(idleLoad).toBeLessThan(cpus().length * 1.1);
      expect(usOfFrame).toBeGreaterThanOrEqual(0);
    }
  });
});

describe.skipIf(whyNot)(`the comparison (${whyNot ?? 'runs'})`, () => {
  const HUGEPAGES = '/proc/sys/vm/nr_hugepages';
  const MARKDOWN = `
    import { readFileSync } from 'node:fs';
    import { markdown } from '${path.join(packageRoot(), 'bench/forward/report.mjs')}';
    process.stdout.write(markdown(JSON.parse(readFileSync(0, 'utf8'))));`;

  it('has a row for each contestant, whose figures agree with what the interfaces counted', () => {
    const names = ['c-afpacket', 'c-afxdp', 'afpacket', 'afxdp', 'afxdp-offload'];
    const before = readFileSync(HUGEPAGES, 'utf8');
    const options = ['--parts', 'forward', '--only', names.join(','), '--seconds', '0.3', '--repeat', '1', '--json'];
    const run = spawnSync(path.join(packageRoot(), 'bench/forward/run.mjs'), options, { encoding: 'utf8' });
    expect({ status: run.status, stderr: run.stderr }).toMatchObject({ status: 0 });
    const report = JSON.parse(run.stdout) as { failures: string[]; rows: Row[]; ratios: { plainC: unknown } };
    expect(report.failures).toEqual([]);
    expect(report.rows.map(({ name }) => name)).toEqual(names);
    for (const { name, runs, pps, offeredPps, loss, seconds, forwarded, ...ns } of report.rows) {
      expect(runs).toBe(1);
      expect(forwarded).toBeGreaterThan(0);
      expect(pps.median).toBeCloseTo(forwarded / seconds, 3);
      expect(loss.median).toBeCloseTo(Math.max(0, 1 - pps.median / offeredPps.median), 6);
      // nothing is busy for longer than the window is long
      expect(ns.machineNsPerPacket.median * forwarded).toBeLessThan(seconds * 1.1e9 * cpus().length);
      expect(ns.busyNsPerPacket === null).toBe(name === 'afxdp-offload');
      if (ns.busyNsPerPacket === null || ns.userNsPerPacket === null) continue;
      expect(ns.busyNsPerPacket.median * forwarded).toBeLessThan(seconds * 1.1e9);
      expect(ns.userNsPerPacket.median).toBeLessThanOrEqual(ns.busyNsPerPacket.median);
    }
    expect(report.ratios.plainC).toMatchObject({ pps: { median: expect.any(Number) as number } });
    expect(readFileSync(HUGEPAGES, 'utf8')).toBe(before);

    const text = execFileSync(process.execPath, ['--input-type=module', '-e', MARKDOWN], {
      input: run.stdout,
      encoding: 'utf8',
    });
    const cells = text.split('\n').filter((line) => line.startsWith('|'));
    for (const { label } of report.rows) expect(cells.some((line) => line.startsWith(`| ${label} |`))).toBe(true);
    expect(cells.every((line) => /^\|([^|]*\|){4}$|^\|([^|]*\|){8}$/.test(line))).toBe(true);
  });
});
