/*
 * The benchmarks at small sizes: they run, their fields are there and agree with each other. How fast they are is not tested.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Command } from 'commander';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { type FlowSetupOptions, flowSetupTable, runFlowSetup } from '../src/bench/flow-setup.ts';
import { Histogram } from '../src/bench/histogram.ts';
import { type LookupOptions, lookupTable, runLookup } from '../src/bench/lookup.ts';
import type { BenchReport } from '../src/bench/report.ts';
import { SETUP_RULES, setupRules } from '../src/bench/setup-rules.ts';
import { generatedWorkload } from '../src/bench/workload.ts';
import { registerBench } from '../src/cli/bench.ts';
import { openKeyExtractor } from '../src/cli/key-extractor.ts';
import { encodePcap, PcapReader } from '../src/index.ts';
import { packageRoot } from '../src/native/package-root.ts';
import { flowTuple, udpFrame } from '../src/ports/frames.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'bench-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const LOOKUP: LookupOptions = {
  flows: 2000,
  subtables: 1,
  emc: true,
  seconds: 0.02,
  warmup: 0,
  repeat: 3,
  order: 'shuffled',
  seed: 1,
};

const SETUP: FlowSetupOptions = {
  flows: 2000,
  handler: 'wasm',
  workers: 0,
  repeat: 2,
  window: 128,
  upcallFrames: 256,
  seed: 1,
};

function expectCommon(report: BenchReport): void {
  expect(report.checksum).toMatch(/^[0-9a-f]{16}$/);
  expect(report.seconds).toBeGreaterThan(0);
  expect(report.node).toBe(process.version);
  expect(report.commit === null || /^[0-9a-f]{12}(-dirty)?$/.test(report.commit)).toBe(true);
  expect(report.machine).toMatchObject({
    cpu: expect.any(String),
    cores: expect.any(Number),
    kernel: expect.any(String),
  });
  expect(JSON.parse(JSON.stringify(report))).toEqual(report);
}

describe('lookup', () => {
  it('hits the cache for every packet and counts each in its flow', async () => {
    const report = await runLookup(LOOKUP);
    expectCommon(report);
    expect(report).toMatchObject({
      bench: 'lookup',
      flows: 2000,
      subtables: 1,
      misses: 0,
      windows: 3,
      emcEntries: 8192,
    });
    expect(report.hits.emc + report.hits.megaflow).toBe(report.packets);
    expect(report.hits.emc).toBeGreaterThan(0.9 * report.packets);
    expect(report.mpps).toBeGreaterThanOrEqual(report.mppsMin);
    expect(report.mpps).toBeLessThanOrEqual(report.mppsMax);
    expect(report.nsPerPacket * report.mpps).toBeCloseTo(1000, -1);
    expect(report.bytesPerFlow).toBeLessThanOrEqual(400);
    expect(report.residentBytes).toBeGreaterThan(0);
    expect(lookupTable(report)).toContain('2,000 flows, 1 subtable,');
  });

  it.each([
    [20, 10.5],
    [24, 12.5],
    [25, 13],
    [600, 300.5],
  ])('spreads the flows over %i subtables, none of which takes the packets of another', async (subtables, visits) => {
    // long enough for several rounds over all flows, also on a busy machine
    const report = await runLookup({ ...LOOKUP, seconds: 0.2, flows: 8 * subtables, subtables, emc: false });
    expect(report).toMatchObject({
      flows: 8 * subtables,
      subtables,
      misses: 0,
      hits: { emc: 0, megaflow: report.packets },
    });
    // flows are spread evenly, so whatever the order of the subtables, a packet visits half of them on average
    expect(report.subtablesPerHit).toBeGreaterThan(0.9 * visits);
    expect(report.subtablesPerHit).toBeLessThan(1.1 * visits);
  });

  it('takes the frames of a capture, one flow a distinct key', async () => {
    const frames = [0, 1, 2, 1, 0].map((i) => udpFrame(flowTuple(i)));
    const short = new Uint8Array(10);
    const file = path.join(folder, 'frames.pcap');
    const records = [...frames, short].map((data, i) => ({ data, timeNs: BigInt(i) * 1000n, wireSize: data.length }));
    writeFileSync(file, encodePcap(records));
    const report = await runLookup({ ...LOOKUP, pcap: file, order: 'sequential' });
    expect(report).toMatchObject({ flows: 3, frames: 5, subtables: 1, misses: 0, order: 'sequential' });
  });

  it('says what it cannot read', async () => {
    const file = path.join(folder, 'short.pcap');
    writeFileSync(file, encodePcap([{ data: new Uint8Array(3), timeNs: 0n, wireSize: 3 }]));
    await expect(runLookup({ ...LOOKUP, pcap: file })).rejects.toMatchObject({ code: 'ERR_OPERATION' });
    await expect(runLookup({ ...LOOKUP, pcap: path.join(folder, 'none.pcap') })).rejects.toThrow('none.pcap');
    await expect(runLookup({ ...LOOKUP, flows: 3, subtables: 4 })).rejects.toThrow(RangeError);
  });

  it('makes 8,192 distinct masks and frames', () => {
    const workload = generatedWorkload(8192, 8192);
    const key = new Uint8Array();
    const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
    const indices = Array.from({ length: 8192 }, (_, i) => i);
    expect(new Set(indices.map((i) => text(workload.mask(i, key)))).size).toBe(8192);
    expect(new Set(indices.map((i) => text(workload.frame(i)))).size).toBe(8192);
  });
});

describe('traffic', () => {
  it.each([
    ['flows', ['1000'], generatedWorkload(1000, 1)],
    ['sub', ['20', '1000'], generatedWorkload(1000, 20)],
    ['tse', ['32', '16', '16'], generatedWorkload(8192, 8192)],
  ])('is what bench/ovs gives to Open vSwitch: %s', async (kind, sizes, workload) => {
    const file = path.join(folder, `${kind}.pcap`);
    execFileSync(process.execPath, [path.join(packageRoot(), 'bench', 'ovs', 'frames.mjs'), kind, ...sizes, file]);
    let count = 0;
    for await (const { data } of await PcapReader.open(file)) {
      if (Buffer.compare(data, workload.frame(count)) !== 0) expect(workload.frame(count)).toEqual(data);
      count++;
    }
    expect(count).toBe(workload.count);
  });
});

describe('flow-setup', () => {
  const checksums = new Set<string>();

  it.each([
    ['wasm', 0],
    ['js', 0],
    ['wasm', 1],
    ['js', 1],
  ] as const)('sets up every flow with handler %s and %i workers, and loses nothing', async (handler, workers) => {
    const report = await runFlowSetup({ ...SETUP, handler, workers });
    expectCommon(report);
    expect(report).toMatchObject({
      bench: 'flow-setup',
      handler,
      workers,
      setups: 2000,
      flows: 2000,
      lost: 0,
      rules: 16,
      rounds: 2,
    });
    const { p50, p99, max } = report.latencyUs;
    expect(p50).toBeGreaterThan(0);
    expect(p99).toBeGreaterThanOrEqual(p50);
    expect(max).toBeGreaterThanOrEqual(p99);
    expect(report.setupsPerSecond).toBeGreaterThanOrEqual(report.setupsPerSecondMin);
    expect(report.bytesPerFlow).toBeGreaterThan(160);
    expect(flowSetupTable(report)).toContain('2,000 flows, 16 rules');
    checksums.add(report.checksum);
  });

  it('installs the same flows whoever decides', () => {
    expect(checksums.size).toBe(1);
  });

  it('refuses a window that the ring cannot hold', async () => {
    await expect(runFlowSetup({ ...SETUP, window: 250 })).rejects.toThrow(RangeError);
  });

  it('has sixteen rules, the last four of which decide a quarter of the frames each', () => {
    expect(SETUP_RULES.trim().split('\n')).toHaveLength(16);
    const { extractKey } = openKeyExtractor();
    const rules = setupRules();
    const decided = rules.map(() => 0);
    for (let i = 0; i < 400; i++) {
      const key = extractKey(udpFrame(flowTuple(i)), 1) ?? new Uint8Array();
      decided[
        rules.findIndex(({ match }) => match.mask.every((bits, at) => ((key[at] ^ match.key[at]) & bits) === 0))
      ]++;
    }
    expect(decided).toEqual([...Array(12).fill(0), 100, 100, 100, 100]);
  });
});

describe('histogram', () => {
  it('gives percentiles within a sixteenth of an octave', () => {
    const histogram = new Histogram();
    for (let us = 1; us <= 1000; us++) histogram.add(us * 1000, 1);
    const { p50, p99, max } = histogram.percentilesUs();
    expect(p50 / 500).toBeGreaterThan(0.99);
    expect(p50 / 500).toBeLessThan(1.05);
    expect(p99 / 990).toBeGreaterThan(0.99);
    expect(p99 / 990).toBeLessThan(1.05);
    expect(max).toBe(1000);
    histogram.clear();
    expect(histogram.percentilesUs()).toEqual({ p50: 0, p99: 0, max: 0 });
  });
});

describe('wdp bench', () => {
  async function wdp(...args: string[]): Promise<string> {
    const program = new Command('wdp').exitOverride().configureOutput({ writeErr: () => {}, writeOut: () => {} });
    registerBench(program);
    const write = vi.spyOn(process.stdout, 'write').mockImplementation(() => true);
    try {
      await program.parseAsync(['bench', ...args], { from: 'user' });
      return write.mock.calls.map(([text]) => text).join('');
    } finally {
      write.mockRestore();
    }
  }

  it('prints one JSON object with the fixed fields', async () => {
    const lookup = JSON.parse(
      await wdp('lookup', '--flows', '100', '--seconds', '0.01', '--warmup', '0', '--repeat', '1', '--json'),
    );
    for (const field of [
      'bench',
      'seconds',
      'checksum',
      'machine',
      'node',
      'commit',
      'packets',
      'mpps',
      'nsPerPacket',
      'hits',
      'misses',
    ]) {
      expect(lookup).toHaveProperty(field);
    }
    const setup = JSON.parse(await wdp('flow-setup', '--flows', '1000', '--handler', 'js', '--repeat', '1', '--json'));
    for (const field of [
      'setups',
      'setupsPerSecond',
      'latencyUs.p50',
      'latencyUs.p99',
      'latencyUs.max',
      'lost',
      'flows',
      'bytesPerFlow',
    ]) {
      expect(setup).toHaveProperty(field);
    }
  });

  it('prints a table for people', async () => {
    expect(await wdp('lookup', '--flows', '100', '--seconds', '0.01', '--warmup', '0', '--repeat', '1')).toMatch(
      /Mpps +\d/,
    );
    expect(await wdp('flow-setup', '--flows', '1000', '--repeat', '1')).toMatch(/setups a second +\d/);
  });

  it.each([
    ['lookup', '--flows', '0'],
    ['lookup', '--flows', 'many'],
    ['lookup', '--emc', 'maybe'],
    ['lookup', '--emc-entries', '10000'],
    ['lookup', '--seconds', '-1'],
    ['lookup', '--flows', '3', '--subtables', '4'],
    ['lookup', '--pcap', 'x.pcap', '--flows', '10'],
    ['flow-setup', '--handler', 'python'],
    ['flow-setup', '--workers', '2'],
    ['flow-setup', '--window', '4096'],
    ['forward'],
  ])('refuses %s %s %s', async (...args) => {
    await expect(wdp(...args)).rejects.toThrow();
  });
});
