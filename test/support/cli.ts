/*
 * The command line program as a child process: what a user at a terminal or a script would see. Runs what was built to dist/.
 * And what every run must print: an account that adds up.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { expect } from 'vitest';
import type { PortStatus, Rates } from '../../src/cli/status.ts';
import { allHits, type DatapathStats, receiveDrops } from '../../src/datapath/stats.ts';

const program = new URL('../../dist/src/cli/main.cjs', import.meta.url).pathname;

export interface CliResult {
  status: number | null;
  stdout: string;
  stderr: string;
}

export interface CliRun {
  child: ChildProcess;
  ended: Promise<CliResult>;
  /** Resolves when stdout and stderr together contain the text; rejects when the program ends without it. */
  printed(text: string): Promise<void>;
}

/** Starts `wdp ARGS` in `cwd`. */
export function startCli(args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = {}): CliRun {
  const child = spawn(process.execPath, [program, ...args], {
    cwd,
    env: { ...process.env, FORCE_COLOR: undefined, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const result: CliResult = { status: null, stdout: '', stderr: '' };
  child.stdout?.on('data', (chunk) => {
    result.stdout += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    result.stderr += chunk;
  });
  const ended = new Promise<CliResult>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => resolve({ ...result, status }));
  });
  const printed = async (text: string): Promise<void> => {
    while (!(result.stdout + result.stderr).includes(text)) {
      if (child.exitCode !== null) throw new Error(`ended without printing ${text}: ${result.stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  return { child, ended, printed };
}

/** Runs `wdp ARGS` to its end. */
export function runCli(args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = {}): Promise<CliResult> {
  return startCli(args, cwd, env).ended;
}

/** What a mistake prints: one line on stderr, nothing on stdout. Returns it. */
export function expectOneLine({ stderr, stdout }: CliResult): string {
  expect(stdout).toBe('');
  expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  expect(stderr).toMatch(/^wdp: /);
  return stderr;
}

const ACCOUNT = /^in (\d+) = hits (\d+) \+ misses (\d+) \+ drops (\d+); accounted for (\d+) \(100%\)$/m;

/** The numbers of the account; fails when the line is missing or does not add up. */
export function accountOf(stdout: string): { in: number; hits: number; misses: number; drops: number } {
  const found = ACCOUNT.exec(stdout);
  expect(found, stdout).not.toBeNull();
  const [received, hits, misses, drops, accounted] = found!.slice(1).map(Number);
  expect(accounted).toBe(received);
  expect(hits + misses + drops).toBe(received);
  return { in: received, hits, misses, drops };
}

export interface JsonObject extends DatapathStats {
  type: 'stats' | 'summary';
  seconds: number;
  interrupted: boolean;
  rates: Rates;
  ports: PortStatus[];
  accounting: object;
}

/** The objects of `--json`, one a line; the last is the summary. */
export function objects(stdout: string): JsonObject[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

export function expectJsonAddsUp(stdout: string): JsonObject {
  const all = objects(stdout);
  expect(all.slice(0, -1).every(({ type }) => type === 'stats')).toBe(true);
  const summary = all[all.length - 1];
  expect(summary.type).toBe('summary');
  const { received, hits, misses, drops, answered, upcallsPending } = summary;
  expect(allHits(hits) + misses + receiveDrops(drops)).toBe(received);
  expect(upcallsPending).toBe(0);
  const upcallDrops = Object.entries(drops).filter(([name]) => name.startsWith('upcall'));
  const lost = upcallDrops.reduce((sum, [, count]) => sum + count, 0);
  // drops of action upcalls are among the upcall drops, and are no misses
  expect(answered + lost - summary.upcalls.actionLost).toBe(misses);
  expect(summary.ports.reduce((sum, port) => sum + port.rxPackets, 0)).toBe(received);
  expect(summary.ports.reduce((sum, port) => sum + port.txPackets, 0)).toBe(summary.transmitted);
  expect(summary.accounting).toMatchObject({ in: received, accountedFor: received, ok: true });
  return summary;
}
