/*
 * Where a figure comes from: machine, Node.js, commit. Every benchmark's report carries it, because absolute figures hold only there.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, realpathSync } from 'node:fs';
import { arch, cpus, release, totalmem } from 'node:os';
import { packageRoot } from '../native/package-root.ts';

export interface Machine {
  cpu: string;
  cores: number;
  /** As the system tells it now; 0 where it does not. */
  mhz: number;
  kernel: string;
  arch: string;
  memoryMb: number;
}

const MIB = 1048576;

export function machine(): Machine {
  const all = cpus();
  return {
    cpu: all.at(0)?.model.trim() ?? 'unknown',
    cores: all.length,
    mhz: frequencyMhz() || (all.at(0)?.speed ?? 0),
    kernel: release(),
    arch: arch(),
    memoryMb: Math.round(totalmem() / MIB),
  };
}

function frequencyMhz(): number {
  try {
    const [, mhz = '0'] = /^cpu MHz\s*: ([\d.]+)/m.exec(readFileSync('/proc/cpuinfo', 'utf8')) ?? [];
    return Math.round(Number(mhz));
  } catch {
    return 0;
  }
}

/** The commit of this checkout, with `-dirty` when files differ from it; null for an installed package. */
export function commit(): string | null {
  const root = realpathSync(packageRoot());
  const top = git(root, 'rev-parse', '--show-toplevel');
  if (top === null || realpathSync(top) !== root) return null;
  const hash = git(root, 'rev-parse', '--short=12', 'HEAD');
  if (hash === null) return null;
  return git(root, 'status', '--porcelain', '--untracked-files=no') === '' ? hash : `${hash}-dirty`;
}

function git(folder: string, ...args: string[]): string | null {
  try {
    return execFileSync('git', args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return null;
  }
}
