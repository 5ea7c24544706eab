/*
 * A Node.js program that uses the built package, run on the kernel of the virtual machine. Before it: a test with a script. After it: ./boot.
 *
 * The guest gets the compiled package, its addon, the script and the named programs; nothing is built there. For tests only.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { packageRoot } from '../../src/native/package-root.ts';

const BOOT = path.join(import.meta.dirname, 'boot');
/** Below the folder where the script runs. */
export const GUEST_PACKAGE = 'package';

export interface GuestOptions {
  /** Programs of this machine that the script calls. */
  programs?: readonly string[];
  /** Files beside the script. */
  files?: readonly string[];
}

/** What of the package works without its sources. */
const PARTS = ['package.json', 'dist', 'build/Release/wdp_native.node', 'build/datapath.release.wasm'];

/** The packages that it needs at run time. */
function dependencies(root: string): string[] {
  const { dependencies } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  return Object.keys(dependencies).map((name) => `node_modules/${name}`);
}

/**
 * Runs `node SCRIPT ARGS` in the guest's folder, which holds the script and GUEST_PACKAGE. Returns what it printed; throws with that when it failed.
 */
export function runInGuest(script: string, args: readonly string[], options: GuestOptions = {}): string {
  const { programs = [], files = [] } = options;
  const root = packageRoot();
  const folder = mkdtempSync(path.join(os.tmpdir(), 'guest-'));
  try {
    const guest = path.join(folder, GUEST_PACKAGE);
    mkdirSync(guest);
    for (const part of [...PARTS, ...dependencies(root)]) {
      if (existsSync(path.join(root, part))) cpSync(path.join(root, part), path.join(guest, part), { recursive: true });
    }
    const wanted = ['node', ...programs].flatMap((program) => ['--program', program]);
    const command = `node ${path.basename(script)} ${args.join(' ')}`;
    const copies = [guest, script, ...files].flatMap((file) => ['--copy', file]);
    const result = spawnSync(BOOT, [...copies, ...wanted, '--', command], { encoding: 'utf8' });
    if (result.status === 0) return result.stdout;
    throw new Error(`${command} failed in the guest:\n${result.stdout}${result.stderr}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
