/*
 * The whole of wasm-datapath/netlink against kernels and the programs that come with them: this machine's kernel in a network namespace of its own, and the
 * kernel with openvswitch.ko in the virtual machine. The checks are those of support/netlink-suite.mjs, the same for both.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { nativeUnavailableReason } from '../src/native/load.ts';
import { packageRoot } from '../src/native/package-root.ts';
import { whyNoKernel } from './kernel-vm/kernel.ts';
import { GUEST_PACKAGE, runInGuest } from './kernel-vm/package.ts';
import { requireProgram } from './support/require.ts';

interface Result {
  name: string;
  ok?: boolean;
  detail?: string;
  skipped?: string;
}

const MODULE = 'dist/src/netlink/index.js';
const SUITE = path.join(import.meta.dirname, 'support', 'netlink-suite.mjs');
const TOOLS = path.join(import.meta.dirname, 'support', 'netlink-suite-tools.mjs');
const NAMES = [...readFileSync(SUITE, 'utf8').matchAll(/^ {2}'(.+)': \(\) => \{$/gm)].map(([, name]) => name);

function runHere(): string {
  const command = ['--net', '--mount', process.execPath, SUITE, path.join(packageRoot(), MODULE)];
  const result = spawnSync('unshare', command, { encoding: 'utf8', timeout: 600_000 });
  if (result.status !== 0) throw new Error(`the suite failed:\n${result.stdout}${result.stderr}`);
  return result.stdout;
}

const whyNotHere =
  requireProgram('ip') ??
  requireProgram('unshare') ??
  nativeUnavailableReason() ??
  (process.geteuid?.() === 0 ? undefined : 'needs root for a network namespace');

const places: [string, () => string, string | undefined][] = [
  ['on this kernel', runHere, whyNotHere],
  [
    'on the kernel with openvswitch.ko',
    () => runInGuest(SUITE, [`${GUEST_PACKAGE}/${MODULE}`], { programs: ['ip', 'genl', 'ovs-dpctl'], files: [TOOLS] }),
    whyNotHere ?? requireProgram('genl') ?? requireProgram('ovs-dpctl') ?? whyNoKernel(),
  ],
];

describe.each(places)('Netlink %s', (place, run, whyNot) => {
  let results: Map<string, Result>;

  beforeAll(() => {
    if (whyNot !== undefined) return;
    const lines = run().trim().split('\n');
    results = new Map(lines.map((line) => JSON.parse(line) as Result).map((result) => [result.name, result]));
    for (const { name, detail } of results.values())
      if (detail) console.log(`${place}: ${name}: ${detail.split('\n', 1)[0]}`);
  });

  it('ran every check', (context) => {
    context.skip(whyNot !== undefined, whyNot);
    expect([...results.keys()]).toEqual(NAMES);
  });

  it.for(NAMES)('%s', (name, context) => {
    context.skip(whyNot !== undefined, whyNot);
    const result = results.get(name);
    context.skip(result?.skipped !== undefined, result?.skipped);
    expect(result?.detail ?? '').not.toContain('Error');
    expect(result?.ok).toBe(true);
  });
});
