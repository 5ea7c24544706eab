/*
 * wdp doctor: it says what works, and for each thing missing, how to mend it.
 */
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkNodeVersion, checkWasmModule, doctor } from '../src/cli/doctor.ts';
import { type Check, checkBuildTools } from '../src/cli/doctor-host.ts';
import { addonFiles, load, nativeAddon, nativeUnavailableReason } from '../src/native/load.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'wdp-doctor-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Report {
  mainJob: boolean;
  checks: Check[];
}

async function report(env: NodeJS.ProcessEnv): Promise<{ status: number; text: string; json: Report }> {
  const read = async (json: boolean) => {
    let text = '';
    const status = await doctor({ json, env }, { write: (chunk: string) => (text += chunk) });
    return { status, text };
  };
  const { status, text } = await read(false);
  const { text: json } = await read(true);
  return { status, text, json: JSON.parse(json) };
}

describe('doctor', () => {
  test('the main job can run in a built checkout, and every cross has its mend', async () => {
    const { status, text, json } = await report(process.env);
    expect(status).toBe(0);
    expect(json.mainJob).toBe(true);
    expect(text).toContain('can run here');
    for (const check of json.checks) if (!check.works) expect(check.mend, check.name).toBeTruthy();
    expect(json.checks.filter((check) => check.required).map((check) => check.name)).toEqual([
      'Node.js',
      'WebAssembly SIMD and threads',
      'Datapath WASM module',
    ]);
  });

  test('without compilers on PATH it names them, says how to get them, and the main job still runs', async () => {
    const { status, text, json } = await report({ PATH: folder });
    expect(status).toBe(0);
    for (const name of ['C++ compiler', 'make', 'python3']) {
      const check = json.checks.find((entry) => entry.name === name);
      expect(check?.works).toBe(false);
      expect(check?.detail).toContain('not found');
    }
    expect(json.checks.find((entry) => entry.name === 'C++ compiler')?.mend).toMatch(/install|add|-S/);
    expect(text).toMatch(/no\s+C\+\+ compiler/);
  });

  test('a compiler is found by any of its names, or by CXX', () => {
    symlinkSync(process.execPath, path.join(folder, 'clang++'));
    expect(checkBuildTools({ PATH: folder })[0].works).toBe(true);
    rmSync(path.join(folder, 'clang++'));
    expect(checkBuildTools({ PATH: folder, CXX: `${process.execPath} -O2` })[0].works).toBe(true);
    expect(checkBuildTools({ PATH: folder, CXX: 'no-such-compiler' })[0].works).toBe(false);
  });

  test.each([
    ['18.20.0', false],
    ['20.18.3', false],
    ['20.19.0', true],
    ['22.0.0', true],
    ['26.10.0', true],
  ])('Node %s: %s', (version, works) => {
    expect(checkNodeVersion(version).works).toBe(works);
  });

  test('a WASM module that is absent, empty or damaged is a cross with its mend, not an exception', async () => {
    const empty = path.join(folder, 'empty.wasm');
    const damaged = path.join(folder, 'damaged.wasm');
    writeFileSync(empty, '');
    writeFileSync(damaged, Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 0xff));
    for (const file of [path.join(folder, 'absent.wasm'), empty, damaged]) {
      const check = await checkWasmModule(file);
      expect(check).toMatchObject({ works: false, required: true, mend: 'npm run build:wasm' });
      expect(check.detail).not.toContain('\n');
    }
  });
});

describe('native addon', () => {
  test('an absent or damaged addon is a reason, not an exception', () => {
    expect(addonFiles(folder)).toEqual([]);
    expect(load([])).toEqual({ reason: expect.stringContaining('not built') });
    const damaged = path.join(folder, 'damaged.node');
    writeFileSync(damaged, 'not a shared object');
    const outcome = load([damaged]);
    expect(outcome.addon).toBeUndefined();
    expect(outcome.reason).toContain(damaged);
  });

  test('probes the kernel, reads capabilities and pins the thread', (context) => {
    const addon = nativeAddon();
    if (!addon) return context.skip(`native addon: ${nativeUnavailableReason()}`);
    const { memlock, ...answers } = addon.probe();
    for (const answer of Object.values(answers)) expect(answer.available).toBe(answer.errno === 0);
    expect(memlock.softSize).toBeGreaterThanOrEqual(-1);
    for (const held of Object.values(addon.capabilities())) expect(typeof held).toBe('boolean');
    // CPU 0 may be outside the allowed set, which is the kernel's EINVAL and no exception.
    expect([0, 22]).toContain(addon.setAffinity(Int32Array.of(0, 1)));
    expect(addon.setAffinity([])).toBe(22);
    for (const wrong of [undefined, 1, 'on']) expect(() => addon.setUrgent(wrong as never)).toThrow(TypeError);
    for (const wrong of [undefined, 'x', [1.5], [-1], [1024], ['0'], new Uint8Array(1)]) {
      expect(() => addon.setAffinity(wrong as never)).toThrow(TypeError);
    }
  });
});
