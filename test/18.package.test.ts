/*
 * The package as somebody installs it, without running any script: the addon comes prebuilt, and without one everything else works and says why.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cacheFile } from '../src/cli/code-cache.ts';
import { nativeUnavailableReason } from '../src/native/load.ts';
import { packageRoot } from '../src/native/package-root.ts';
import { requireProgram } from './support/require.ts';

const ROOT = packageRoot();
const whyNot = nativeUnavailableReason() ?? requireProgram('npm') ?? requireProgram('tar');
const PROGRAM = `
import { NETLINK_ROUTE, NetlinkSocket } from 'wasm-datapath/netlink';
const socket = NetlinkSocket.open(NETLINK_ROUTE);
const noop = new Uint8Array(16);
noop[0] = 16;
noop[4] = 1;
console.log(socket.transact(noop).length);
`;

/** The other ways into the package, by their names. */
const WAYS_IN = `
import { Datapath } from 'wasm-datapath';
import { Dpif } from 'wasm-datapath/dpif';
const datapath = await Datapath.open({ name: 'dp0' });
datapath.ports.add('one');
const dpif = Dpif.open('netdev@dp0');
console.log(Dpif.types().join(), [...dpif.ports()].map(({ name }) => name).join());
dpif.close();
await datapath.close();
`;

describe.skipIf(whyNot)(`the package (${whyNot ?? 'packed'})`, () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'package-'));
  const installed = path.join(folder, 'node_modules', 'wasm-datapath');
  const run = (program = PROGRAM) =>
    spawnSync(process.execPath, ['--input-type=module', '-e', program], { cwd: folder, encoding: 'utf8' });

  beforeAll(() => {
    const prebuilds = path.join(ROOT, 'prebuilds');
    const isOurs = !existsSync(prebuilds);
    execFileSync(process.execPath, ['scripts/prebuild.mjs'], { cwd: ROOT });
    try {
      execFileSync('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], { cwd: ROOT, stdio: 'pipe' });
    } finally {
      if (isOurs) rmSync(prebuilds, { recursive: true });
    }
    mkdirSync(installed, { recursive: true });
    execFileSync('sh', ['-c', `tar xzf ${folder}/*.tgz --strip-components=1 -C ${installed}`]);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('talks to the kernel through the prebuilt addon', () => {
    const { stdout, stderr } = run();
    expect(stderr).toBe('');
    expect(stdout).toBe('0\n');
  });

  it('has a datapath, and the datapath interface over it', () => {
    // what an installation brings besides: the packages that it depends on
    symlinkSync(path.join(ROOT, 'node_modules'), path.join(installed, 'node_modules'));
    const { stdout, stderr } = run(WAYS_IN);
    expect(stderr).toBe('');
    expect(stdout).toBe('system,netdev dp0,one\n');
  });

  it('has a command line whose control commands are bundled, with their compiled code', () => {
    rmSync(path.join(installed, 'dist/src/dpctl'), { recursive: true });
    const wdp = path.join(installed, 'dist/src/cli/main.cjs');
    const { status, stderr } = spawnSync(process.execPath, [wdp, 'show', 'netdev@dp0'], { encoding: 'utf8' });
    expect(stderr).toContain('opening datapath netdev@dp0 failed (No such device)');
    expect(status).toBe(1);
    expect(existsSync(cacheFile(path.join(installed, 'dist/src/cli/commands/commands.cjs')))).toBe(true);
  });

  it('says what is missing where there is no addon for the machine', () => {
    rmSync(path.join(installed, 'prebuilds'), { recursive: true });
    const { status, stderr } = run();
    expect(status).toBe(1);
    expect(stderr).toContain('ERR_NATIVE_UNAVAILABLE');
    expect(stderr).toContain(`not built for ${process.platform}-${process.arch}`);
  });
});
