/*
 * wdp monitor on a running worker: what it shows agrees with what the generator sends and with `dpctl/show`, and it ends as it should. On the kernel's datapaths:
 * 84.dpctl-kernel.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Look, type MonitorReport, readFlows, reportLines, reportOf } from '../src/cli/monitor-view.ts';
import { type CliRun, expectOneLine, runCli, startCli } from './support/cli.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'monitor-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const socketPath = path.join(folder, 'ctl');
const DP = ['netdev@mon', '--target', socketPath, '--interval', '0.2'];

const port = (portNo: number, rxPackets: number, rxBytes: number) => ({
  ...{ portNo, name: `p${portNo}`, type: 'null' },
  stats: { rxPackets, rxBytes, txPackets: 0, txBytes: 0, rxDropped: 1, txDropped: 2 },
});
const look = (timeMs: number, packets: number, flows: string): Look => ({
  timeMs,
  datapath: { name: 'dp', hits: packets, missed: 5, lost: 0, flows: 12, ports: [port(1, packets, 100 * packets)] },
  flows: readFlows(flows),
});

describe('what wdp monitor says', () => {
  const flow = (name: string, packets: number): string =>
    `in_port(1),eth(),eth_type(${name}), packets:${packets}, bytes:${60 * packets}, used:0.001s, actions:2,3\n`;
  const before = look(1000, 100, `flow-dump from the main thread:\n${flow('0x1', 10)}${flow('0x2', 500)}`);
  const after = look(3000, 300, `${flow('0x1', 210)}${flow('0x2', 20)}${flow('0x3', 7)}`);

  it('is about the time between two looks', () => {
    const report = reportOf(before, after);
    expect(report).toMatchObject({ seconds: 2, hits: 300, hitsPerSecond: 100, missed: 5, missedPerSecond: 0 });
    expect(report.ports).toEqual([
      {
        ...{ portNo: 1, name: 'p1', type: 'null', rxPacketsPerSecond: 100, rxBitsPerSecond: 80_000 },
        ...{ txPacketsPerSecond: 0, txBitsPerSecond: 0, dropsPerSecond: 0 },
      },
    ]);
    // the second flow went and came again: it began anew; the third is new
    expect(report.busiest.map(({ flow: key, packetsPerSecond }) => [key.at(-2), packetsPerSecond])).toEqual([
      ['1', 100],
      ['2', 10],
      ['3', 4],
    ]);
  });

  it('is a table for people', () => {
    expect(reportLines(reportOf(before, after))).toEqual([
      'dp  flows 12  hit 100/s  missed 0/s  lost 0/s  over 2.0 s',
      '',
      'port  name  type  rx packets/s  rx bits/s  tx packets/s  tx bits/s  drops/s',
      '   1  p1    null           100     80,000             0          0        0',
      '',
      'packets/s  bits/s  packets  flow, actions',
      '      100  48,000      210  in_port(1),eth(),eth_type(0x1) 2,3',
      '       10   4,800       20  in_port(1),eth(),eth_type(0x2) 2,3',
      '        4   1,680        7  in_port(1),eth(),eth_type(0x3) 2,3',
      'and 9 more',
    ]);
  });
});

describe('wdp monitor', () => {
  let worker: CliRun;
  beforeAll(async () => {
    const ports = ['gen,type=generator,flows=20,rate=5000', 'sink,type=null'].flatMap((spec) => ['--port', spec]);
    worker = startCli(
      ['run', '--name', 'mon', '--json', '--control', socketPath, '--handler', 'flood', ...ports],
      folder,
    );
    await worker.printed('"received"');
  });

  it('reports as often as it is told', async () => {
    // a worker of a busy machine may rest for some tenths of a second
    const args = ['monitor', ...DP.slice(0, 3), '--interval', '1', '--json', '--count', '3'];
    const { status, stdout, stderr } = await runCli(args, folder);
    expect([status, stderr]).toEqual([0, '']);
    const reports = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as MonitorReport);
    expect(reports).toHaveLength(3);
    for (const { name, ports, busiest, seconds, hitsPerSecond } of reports) {
      expect(name).toBe('netdev@mon');
      expect(seconds).toBeGreaterThan(0.99);
      expect(hitsPerSecond).toBeGreaterThan(0);
      expect(ports.map((one) => [one.portNo, one.name, one.type])).toEqual([
        [0, 'mon', 'internal'],
        [1, 'gen', 'generator'],
        [2, 'sink', 'null'],
      ]);
      expect(busiest).toHaveLength(1); // flood matches the port alone
      expect(ports[1].rxPacketsPerSecond).toBeGreaterThan(0);
      expect(ports[1].txPacketsPerSecond).toBe(0);
    }
    const [first, , last] = reports;
    expect(last.hits).toBeGreaterThan(first.hits);
  });

  it('ends with Ctrl-C, and when nobody reads any more', async () => {
    const run = startCli(['monitor', ...DP], folder);
    await run.printed('flow, actions');
    run.child.kill('SIGINT');
    const { status, stderr, stdout } = await run.ended;
    expect([status, stderr]).toEqual([130, '']);
    expect(stdout).toMatch(/^netdev@mon {2}flows 1 {2}masks 1 {2}hit [\d,]+\/s/);
    const cut = startCli(['monitor', ...DP], folder);
    await cut.printed('flow, actions');
    cut.child.stdout?.destroy();
    expect((await cut.ended).status).toBe(0);
  });

  it('says what is wrong in one line', async () => {
    const lines: [string[], number, string][] = [
      [['netdev@other', '--target', socketPath], 1, 'opening datapath netdev@other failed (No such device)'],
      [['netdev@mon', '--target', path.join(folder, 'none')], 1, 'there is no such socket'],
      [[...DP.slice(0, 3), '--interval', '0'], 2, 'value 0 on --interval is invalid: it takes 0.1 to 3600'],
      [[...DP, '--count', 'x'], 2, 'value x on --count is invalid'],
      [[], 2, "missing required argument 'DP'"],
    ];
    for (const [words, status, text] of lines) {
      const result = await runCli(['monitor', ...words], folder);
      expect(expectOneLine(result)).toContain(text);
      expect(result.status).toBe(status);
    }
  });

  it('ends when the worker does', async () => {
    const run = startCli(['monitor', ...DP], folder);
    await run.printed('flow, actions');
    worker.child.kill('SIGTERM');
    await worker.ended;
    const { status, stderr } = await run.ended;
    expect(status).toBe(1);
    expect(stderr).toMatch(/^wdp: \S+ctl: .*\n$/);
  });
});
