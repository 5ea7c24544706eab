#!/usr/bin/env node
/*
 * report: turns the result lines of `run` into one JSON object, or a table for people.
 *
 * Last step of the peer benchmark. Several lines of one name (flow setup is repeated from a fresh start) become one
 * scenario: the median of the quiet ones, with the range and every rate.
 *
 *   report.mjs RESULTS (0|1 = as JSON) VSWITCHD POLL_CORE
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { arch, cpus, release, totalmem } from 'node:os';

const [results, asJson, vswitchd, pollCore] = process.argv.slice(2);

function output(program, args, options = {}) {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], ...options }).trim();
  } catch {
    return '';
  }
}

function machine() {
  const [first] = cpus();
  const info = readFileSync('/proc/cpuinfo', 'utf8');
  const [, mhz = '0'] = /^cpu MHz\s*: ([\d.]+)/m.exec(info) ?? [];
  return {
    cpu: first?.model ?? 'unknown',
    cores: cpus().length,
    mhz: Math.round(Number(mhz)),
    kernel: release(),
    arch: arch(),
    memoryMb: Math.round(totalmem() / 2 ** 20),
  };
}

function versions() {
  const text = output(vswitchd, ['--version']);
  const [, ovs = 'unknown'] = /Open vSwitch\) (\S+)/.exec(text) ?? [];
  const [, dpdk = 'unknown'] = /DPDK (\S+)/.exec(text) ?? [];
  return { ovs, dpdk };
}

/** Lines of one name as one scenario. */
function join(lines) {
  const failed = lines.find((line) => line.error);
  const measured = lines.filter((line) => line.figures);
  if (failed || measured.length === 0) return { name: lines[0].name, error: failed?.error ?? 'not measured' };
  const quiet = measured.filter((line) => !line.figures.noisy);
  const used = quiet.length > 0 ? quiet : measured;
  const { figures, ...head } = [...used].sort(byRate)[(used.length - 1) >> 1];
  if (figures.setupsPerSecond === undefined) return { ...head, ...figures };
  const rates = used.map((line) => line.figures.setupsPerSecond);
  return {
    ...head,
    ...figures,
    setupsPerSecondMin: Math.min(...rates),
    setupsPerSecondMax: Math.max(...rates),
    windows: measured.length,
    windowsQuiet: quiet.length,
  };
}

function byRate(a, b) {
  return (a.figures.setupsPerSecond ?? 0) - (b.figures.setupsPerSecond ?? 0);
}

function scenarios() {
  const groups = new Map();
  for (const line of readFileSync(results, 'utf8').split('\n').filter(Boolean)) {
    const parsed = JSON.parse(line);
    groups.set(parsed.name, [...(groups.get(parsed.name) ?? []), parsed]);
  }
  return [...groups.values()].map(join);
}

/** Where the packets were found, in percent of them. */
function shares({ hits, packets, misses = 0 }) {
  const all = { ...hits, miss: misses };
  const parts = Object.entries(all).filter(([, count]) => count > 0);
  return parts.map(([name, count]) => `${name} ${((100 * count) / packets).toFixed(1)}%`).join(', ');
}

function row(one) {
  if (one.error) return [one.name, 'failed', '', '', '', '', '', one.error];
  const noise = `${one.foreign.pollCorePct}/${one.foreign.otherCoresPct}${one.noisy ? ' noisy' : ''}`;
  if (one.setupsPerSecond !== undefined) {
    const found = `lost ${one.lost}, ${one.usPerUpcall ?? '?'} us/upcall`;
    const rate = `${Math.round(one.setupsPerSecond / 1000)} k/s`;
    return [one.name, rate, '', `${one.cyclesPerSetup}`, `${one.flows}`, `${one.masks}`, noise, found];
  }
  const lookups = one.subtablesPerHit > 0 ? `, ${one.subtablesPerHit} subtables/hit` : '';
  const cells = [one.mpps.toFixed(3), one.mppsOnCpu.toFixed(3), one.cyclesPerPacket, one.flows, one.masks];
  return [one.name, ...cells.map(String), noise, shares(one) + lookups];
}

function table(report) {
  const { cpu, cores, mhz, kernel } = report.machine;
  const head = ['scenario', 'Mpps', 'on CPU', 'cycles', 'flows', 'masks', 'foreign %', 'found in'];
  const rows = [head, ...report.scenarios.map(row)];
  const widths = head.map((_, column) => Math.max(...rows.map((cells) => cells[column].length)));
  const last = head.length - 1;
  const lines = rows.map((cells) =>
    cells
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : i === last ? cell : cell.padStart(widths[i])))
      .join('  '),
  );
  const place = `${cpu}, ${cores} cores, ${mhz} MHz, Linux ${kernel}, poll core ${report.pollCore}`;
  const peer = `Open vSwitch ${report.ovs}, DPDK ${report.dpdk}, ${report.date}`;
  const legend = 'cycles: time-stamp counter, a packet or a setup; foreign: share of strangers, poll core/other cores';
  return [peer, place, '', ...lines, '', legend].join('\n');
}

const report = {
  bench: 'ovs',
  date: new Date().toISOString(),
  commit: output('git', ['rev-parse', '--short', 'HEAD'], { cwd: import.meta.dirname }),
  ...versions(),
  machine: machine(),
  pollCore: Number(pollCore),
  scenarios: scenarios(),
};
console.log(asJson === '1' ? JSON.stringify(report) : table(report));
