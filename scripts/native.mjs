/*
 * The native addon: whether it can be built here, and building it with the node-gyp that npm brings along.
 *
 * Nothing needs the addon but real network interfaces and kernel Netlink, so whatever is missing is a reason, not an
 * error: the caller (setup.mjs) decides. `configure build` and never `rebuild`, because `rebuild` empties build/, where
 * the WASM modules live too.
 */
import { existsSync, realpathSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { findNodeGyp, findProgram, runNode } from './child.mjs';
import { fingerprint, inRoot, listFiles } from './files.mjs';

export const addonFile = 'build/Release/wdp_native.node';
const logFile = 'build/native-build.log';

/** What the addon is made from. N-API 8 is the same for every Node, so Node's version is no part of it. */
export function addonFingerprint() {
  const files = [...listFiles('native'), 'binding.gyp', 'node_modules/node-addon-api/package.json'];
  return fingerprint(files, [process.platform, process.arch]);
}

/** Why the addon cannot be built here, or undefined when everything for it is at hand. */
export function whyNotBuildable(env = process.env) {
  if (process.platform !== 'linux') return `it is for Linux, and this is ${process.platform}`;
  if (!findProgram(compilers(env), env)) return 'no C++ compiler';
  if (!findProgram([env.MAKE || 'make'], env)) return 'no make';
  if (!findProgram([env.PYTHON || 'python3', 'python'], env)) return 'no python3, which node-gyp needs';
  if (!findNodeGyp(env)) return "no node-gyp: npm's own was not found";
  return undefined;
}

/** Builds the addon. Returns undefined when it is there, otherwise one line saying what failed. */
export async function buildAddon(env = process.env) {
  const compiler = findProgram(compilers(env), env);
  const args = ['configure', 'build', '--release'];
  const nodeFolder = headersFolder(env);
  if (nodeFolder) args.push(`--nodedir=${nodeFolder}`);
  const options = { env: { ...env, CXX: env.CXX || compiler }, capture: true };
  const { status, output } = await runNode(findNodeGyp(env), args, options);
  if (existsSync(inRoot('build'))) writeFileSync(inRoot(logFile), output);
  if (status === 0 && existsSync(inRoot(addonFile))) return undefined;
  const cause = output.split('\n').find((line) => /\berror\b|ERR! (?!cwd|node|cli|System)/i.test(line)) ?? '';
  return `failed (exit status ${status}); ${logFile} has it all. ${cause.trim()}`.trim();
}

function compilers(env) {
  return env.CXX ? [env.CXX.split(' ')[0]] : ['c++', 'g++', 'clang++'];
}

/** Node's headers where a Node installation keeps them, so that none need be downloaded; npm's `nodedir` goes first. */
function headersFolder(env) {
  if (env.npm_config_nodedir) return undefined;
  const prefix = path.resolve(path.dirname(realpathSync(process.execPath)), '..');
  return existsSync(path.join(prefix, 'include/node/node_api.h')) ? prefix : undefined;
}
