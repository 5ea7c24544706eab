/*
 * The kernel of this machine asked by python3 (netlink-ask.py), in a network namespace that ends with the process.
 */
import { spawnSync } from 'node:child_process';
import path from 'node:path';

const SCRIPT = path.join(import.meta.dirname, 'netlink-ask.py');

/** A reason to skip where no network namespace can be made, else undefined. */
export function requireNamespace(): string | undefined {
  const { status, stderr, error } = spawnSync('unshare', ['--net', 'true'], { encoding: 'utf8' });
  return status === 0 ? undefined : `no network namespace: ${(stderr || String(error?.message)).trim()}`;
}

/** Sends the messages one after the other and returns all messages of each answer, one behind the other. */
export function askKernel(protocol: number, requests: readonly Uint8Array[]): Uint8Array[] {
  const input = requests.map((request) => Buffer.from(request).toString('hex')).join('\n');
  const args = ['--net', 'python3', SCRIPT, String(protocol)];
  const { status, stdout, stderr } = spawnSync('unshare', args, { input, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`netlink-ask.py: ${stderr}`);
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => new Uint8Array(Buffer.from(line, 'hex')));
}
