/*
 * Programs of the lab (lab.mjs), started from tests: each in a network namespace of its own, answering with one JSON object.
 */
import { spawn, spawnSync } from 'node:child_process';
import { nativeUnavailableReason } from '../../src/native/load.ts';
import { requireProgram } from './require.ts';

/** Why this machine has no lab: needs root, `ip` and veth pairs. Undefined when it has. */
export function whyNoLab(): string | undefined {
  const missing =
    nativeUnavailableReason() ??
    requireProgram('unshare') ??
    requireProgram('nsenter') ??
    requireProgram('ip') ??
    requireProgram('ping');
  if (missing !== undefined) return missing;
  const { status, stderr, error } = spawnSync('unshare', ['-n', 'ip', 'link', 'add', 'type', 'veth'], {
    encoding: 'utf8',
  });
  return status === 0 ? undefined : `no network namespaces or veth pairs: ${error?.message ?? stderr.trim()}`;
}

/** Runs `support/PROGRAM.mjs ARGS` in a namespace of its own. Resolves with the object that it prints; rejects with what it complained about. */
export function runInLab<T>(program: string, ...args: string[]): Promise<T> {
  return runInLabBy<T>(process.execPath, program, ...args);
}

/** The same by another Node. */
export async function runInLabBy<T>(node: string, program: string, ...args: string[]): Promise<T> {
  const file = new URL(`./${program}.mjs`, import.meta.url).pathname;
  const child = spawn('unshare', ['-n', node, file, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const status = await new Promise((resolve) => child.on('close', resolve));
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} failed (${status}): ${stderr}`);
  return JSON.parse(stdout) as T;
}
