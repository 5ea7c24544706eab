/*
 * What all benchmarks report, and how: fixed fields for `--json`, one table for people.
 */
import { commit, type Machine, machine } from './machine.ts';

/** Fields of every report. */
export interface BenchReport {
  bench: string;
  /** Length of the window that is reported. */
  seconds: number;
  /** Follows from the work that was done, so that none of it can be left out: hexadecimal. */
  checksum: string;
  machine: Machine;
  node: string;
  /** Of the checkout, `-dirty` when changed; null for an installed package. */
  commit: string | null;
  date: string;
}

/** The fields that do not depend on what was measured. */
export function provenance(): Pick<BenchReport, 'machine' | 'node' | 'commit' | 'date'> {
  return { machine: machine(), node: process.version, commit: commit(), date: new Date().toISOString() };
}

/** The item in the middle by `value`: the lower one of two. */
export function medianBy<T>(items: readonly T[], value: (item: T) => number): T {
  const sorted = [...items].sort((a, b) => value(a) - value(b));
  return sorted[(sorted.length - 1) >> 1];
}

export function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

/** 1234567 as `1,234,567`. */
export function grouped(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 0 });
}

/** `1 flow`, `2,000 flows`. */
export function counted(value: number, noun: string): string {
  return `${grouped(value)} ${noun}${value === 1 ? '' : 's'}`;
}

/** A title, rows of name and value, and where it was measured. */
export function table(title: string, rows: readonly (readonly [string, string])[], report: BenchReport): string {
  const { cpu, cores, mhz, kernel } = report.machine;
  const place = `${cpu}, ${cores} cores, ${mhz} MHz, Linux ${kernel}, Node.js ${report.node}`;
  const all = [...rows, ['checksum', report.checksum], ['commit', report.commit ?? '-'], ['machine', place]] as const;
  const width = Math.max(...all.map(([name]) => name.length));
  const lines = all.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`);
  return `${title}\n\n${lines.join('\n')}\n`;
}
