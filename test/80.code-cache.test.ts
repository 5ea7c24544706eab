/*
 * The code cache of the control commands: V8 takes it, and a command prints the same whether there is one, none, or one that is damaged or was made of something
 * else. The program runs from a folder of its own, so that what is done to the cache here is done to no other test.
 */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cacheFile } from '../src/cli/code-cache.ts';
import { packageRoot } from '../src/native/package-root.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'code-cache-'));
const program = path.join(folder, 'dist/src/cli/main.cjs');
const bundle = path.join(folder, 'dist/src/cli/commands/commands.cjs');
const cache = cacheFile(bundle);
const TRAILER_SIZE = 8;

/** A command line that reads a flow and its actions, and fails for want of a datapath. */
const WORDS = ['add-flow', 'netdev@dp0', 'in_port(1),eth(),eth_type(0x800),ipv4(proto=17)', 'set(ipv4(ttl=3)),2'];

function run(words: readonly string[] = WORDS, flags: readonly string[] = []) {
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [...flags, program, ...words], {
    encoding: 'utf8',
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  return { status, signal, stdout, stderr };
}

/** Whether V8 takes the cache as it is, in a process with these flags. */
function isTaken(...flags: string[]): boolean {
  const script = `
    const { readFileSync } = require('node:fs');
    const data = readFileSync(${JSON.stringify(cache)});
    const source = require('node:module').wrap(readFileSync(${JSON.stringify(bundle)}, 'utf8'));
    const cachedData = data.subarray(0, data.length - ${TRAILER_SIZE});
    console.log(new (require('node:vm').Script)(source, { cachedData }).cachedDataRejected);
  `;
  const { stdout, stderr } = spawnSync(process.execPath, [...flags, '-e', script], {
    encoding: 'utf8',
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  expect(stderr).toBe('');
  return stdout === 'false\n';
}

describe('the code cache of the control commands', () => {
  let whole: Buffer;
  let printed: ReturnType<typeof run>;

  beforeAll(() => {
    const root = packageRoot();
    mkdirSync(path.dirname(bundle), { recursive: true });
    for (const part of ['package.json', 'dist/src/cli/main.cjs', 'dist/src/cli/commands'])
      cpSync(path.join(root, part), path.join(folder, part), { recursive: true });
    for (const part of ['node_modules', 'build']) symlinkSync(path.join(root, part), path.join(folder, part));
    rmSync(cache, { force: true });
    printed = run();
    whole = readFileSync(cache);
  });
  beforeEach(() => {
    rmSync(cache, { recursive: true, force: true });
    writeFileSync(cache, whole);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('comes with the build, for the Node that built', () => {
    const built = cacheFile(path.join(packageRoot(), 'dist/src/cli/commands/commands.cjs'));
    expect(statSync(built).size).toBeGreaterThan(statSync(bundle).size);
  });

  it('is made by the first command where there is none, and V8 takes it', () => {
    expect(printed).toMatchObject({ status: 1, signal: null, stdout: '' });
    expect(printed.stderr).toMatch(/^wdp: .*dp0.*No such device/);
    expect(printed.stderr.trimEnd().split('\n')).toHaveLength(1);
    // functions that no command has called are in it, too
    expect(whole.length).toBeGreaterThan(statSync(bundle).size);
    expect(isTaken()).toBe(true);
  });

  it('is left as it is by the commands that use it', () => {
    const { ino } = statSync(cache);
    expect(run()).toEqual(printed);
    expect(statSync(cache).ino).toBe(ino);
    expect(whole.equals(readFileSync(cache))).toBe(true);
  });

  it('serves the code that it was made of', () => {
    const source = readFileSync(bundle, 'utf8');
    writeFileSync(bundle, `${source}\nprocess.stderr.write('loaded\\n');\n`);
    const changed = run();
    expect(changed).toEqual({ ...printed, stderr: `loaded\n${printed.stderr}` });
    expect(run()).toEqual(changed);
    expect(isTaken()).toBe(true);
    // as long as before, which is all that V8 would see
    writeFileSync(bundle, `${source}\nprocess.stderr.write('LOADED\\n');\n`);
    expect(run()).toEqual({ ...printed, stderr: `LOADED\n${printed.stderr}` });
    writeFileSync(bundle, source);
  });

  const damages: [string, (bytes: Buffer) => Buffer][] = [
    ['with nothing in it', () => Buffer.alloc(0)],
    ['of a few bytes', (bytes) => bytes.subarray(0, TRAILER_SIZE)],
    ['cut off', (bytes) => bytes.subarray(0, bytes.length >> 1)],
    ['that is too long', (bytes) => Buffer.concat([bytes, Buffer.alloc(TRAILER_SIZE)])],
    ['of zeros', (bytes) => Buffer.alloc(bytes.length)],
    ...[0, 12, 40, 1000, 0.3, 0.6, 0.9999].map((at): [string, (bytes: Buffer) => Buffer] => [
      `with another byte at ${at < 1 && at > 0 ? `${at * 100} %` : at}`,
      (bytes) => {
        const bad = Buffer.from(bytes);
        bad[at < 1 ? Math.floor(at * bytes.length) : at] ^= 0x55;
        return bad;
      },
    ]),
  ];
  for (const [name, damage] of damages)
    it(`is made anew in the place of one ${name}`, () => {
      const bad = damage(whole);
      writeFileSync(cache, bad);
      expect(run()).toEqual(printed);
      expect(bad.equals(readFileSync(cache))).toBe(false);
      expect(isTaken()).toBe(true);
      expect(run()).toEqual(printed);
    });

  it('is done without where V8 runs with other flags', () => {
    const flags = ['--no-opt', '--stack-size=900'];
    expect(isTaken(...flags)).toBe(false);
    expect(run(WORDS, flags)).toEqual(printed);
    expect(whole.equals(readFileSync(cache))).toBe(true);
  });

  it('is done without where it cannot be written', () => {
    rmSync(cache);
    mkdirSync(path.join(cache, 'in the way'), { recursive: true });
    expect(run()).toEqual(printed);
    expect(existsSync(path.join(cache, 'in the way'))).toBe(true);
    const left = readdirSync(path.dirname(bundle)).filter((name) => name.startsWith(path.basename(cache)));
    expect(left).toEqual([path.basename(cache)]);
  });

  it('goes with the time limit, which is of another thread', () => {
    expect(run(['-t', '30', ...WORDS])).toEqual(printed);
  });
});
