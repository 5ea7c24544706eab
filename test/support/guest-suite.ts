/*
 * A suite of checks that is a program for the virtual machine, as tests here: the program prints one JSON line a check, and each becomes a test of its name. For tests only.
 */
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { nativeUnavailableReason } from '../../src/native/load.ts';
import { whyNoKernel } from '../kernel-vm/kernel.ts';
import { GUEST_PACKAGE, type GuestOptions, runInGuest } from '../kernel-vm/package.ts';
import { requireProgram } from './require.ts';

interface Result {
  name: string;
  ok: boolean;
  detail: string;
}

/** Runs the checks of `script` in one boot of the machine. */
export function describeGuestSuite(title: string, script: string, options: GuestOptions): void {
  const missing = (options.programs ?? []).map(requireProgram).find((reason) => reason !== undefined);
  const whyNot = missing ?? nativeUnavailableReason() ?? whyNoKernel();
  const names = [...readFileSync(script, 'utf8').matchAll(/^ {2}'(.+)': (?:async )?\(\) => \{$/gm)].map(
    ([, name]) => name,
  );

  describe.skipIf(whyNot)(`${title} (${whyNot ?? 'in the virtual machine'})`, () => {
    let results: Map<string, Result>;

    beforeAll(() => {
      const lines = runInGuest(script, [GUEST_PACKAGE], options).trim().split('\n');
      results = new Map(lines.map((line) => JSON.parse(line) as Result).map((result) => [result.name, result]));
      for (const { name, detail } of results.values()) if (detail) console.log(`${name}: ${detail.split('\n', 1)[0]}`);
    });

    it('ran every check', () => {
      expect([...results.keys()]).toEqual(names);
    });

    it.for(names)('%s', (name) => {
      const result = results.get(name);
      expect(result?.ok ? '' : result?.detail).toBe('');
    });
  });
}
