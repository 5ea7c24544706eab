/*
 * The same transactions made by a C program, bench/reference/netlink.c: compiled on first use, run once a measurement. Before it: netlink.ts.
 * Nothing is kept but the program, in a temporary folder until `close`. Main thread.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DatapathError } from '../errors.ts';
import { packageRoot } from '../native/package-root.ts';
import type { RequestTemplate } from './netlink-requests.ts';

export interface ReferenceRun {
  perSecond: number;
  errors: number;
  acknowledged: number;
}

export class Reference {
  readonly #folder: string;
  readonly #program: string;

  private constructor(folder: string, program: string) {
    this.#folder = folder;
    this.#program = program;
  }

  /** The compiled program, or why there is none. */
  static compile(): Reference | string {
    const source = path.join(packageRoot(), 'bench', 'reference', 'netlink.c');
    if (!existsSync(source)) return 'only in a checkout of the repository';
    const folder = mkdtempSync(path.join(os.tmpdir(), 'wdp-bench-'));
    const program = path.join(folder, 'netlink');
    const result = spawnSync('cc', ['-std=gnu11', '-O2', '-o', program, source], { encoding: 'utf8' });
    if (result.status === 0) return new Reference(folder, program);
    rmSync(folder, { recursive: true, force: true });
    return result.error ? 'there is no C compiler' : `it does not compile: ${result.stderr.split('\n', 1)[0]}`;
  }

  run(template: RequestTemplate, count: number, batch: number, confirm: 'each' | 'last'): ReferenceRun {
    const { protocol, message, offset, modulo } = template;
    const args = [protocol, Buffer.from(message).toString('hex'), offset, modulo, count, batch, confirm].map(String);
    try {
      return JSON.parse(execFileSync(this.#program, args, { encoding: 'utf8' })) as ReferenceRun;
    } catch (cause) {
      throw new DatapathError('ERR_OPERATION', 'the C program of the benchmark failed', { cause });
    }
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
