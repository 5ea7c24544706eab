/*
 * The command line program as a child process: what a user at a terminal or a script would see. Runs what was built to dist/.
 */
import { type ChildProcess, spawn } from 'node:child_process';

const program = new URL('../../dist/src/cli/main.js', import.meta.url).pathname;

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
