/*
 * Puts the addon where the package carries it: prebuilds/PLATFORM-ARCH/wdp_native.node, without debug information. One file serves every Node.js, as it
 * keeps to Node-API 8. Runs before a package is packed; a machine of each kind adds its own. Nothing is built when the package is installed.
 */
import { copyFileSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { findProgram, run, say } from './child.mjs';
import { inRoot } from './files.mjs';
import { addonFile } from './native.mjs';
import { orExit, SetupError, setup } from './setup.mjs';

await orExit(async () => {
  await setup({ names: ['native'], requireNative: true });
  const target = inRoot('prebuilds', `${process.platform}-${process.arch}`, 'wdp_native.node');
  mkdirSync(path.dirname(target), { recursive: true });
  copyFileSync(inRoot(addonFile), target);
  const strip = findProgram(['strip']);
  if (strip && (await run(strip, ['--strip-unneeded', target])).status !== 0)
    throw new SetupError(`strip failed on ${target}`);
  say(`${path.relative(inRoot(), target)}`);
});
