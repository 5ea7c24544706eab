/*
 * Child processes for the scripts: one way to run a program, one way to find one, one way to say what goes on.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { root } from './files.mjs';

/** One short line on stderr: stdout belongs to the program that the script runs in the end. */
export function say(line) {
  process.stderr.write(`[setup] ${line}\n`);
}

/**
 * Runs a program in the root of the checkout and waits for it. What it prints goes to stderr, or is returned when
 * `capture` is set. A program that cannot be started counts as exit status 127.
 */
export function run(command, args, { env = process.env, cwd = root, capture = false, input } = {}) {
  return new Promise((resolve) => {
    const out = capture ? 'pipe' : 2;
    const child = spawn(command, args, { cwd, env, stdio: [input === undefined ? 'ignore' : 'pipe', out, out] });
    let output = '';
    child.stdout?.on('data', (chunk) => (output += chunk));
    child.stderr?.on('data', (chunk) => (output += chunk));
    child.on('error', (error) => resolve({ status: 127, output: `${output}${error.message}\n` }));
    child.on('close', (code, signal) => resolve({ status: signal ? 1 : code, output }));
    if (input !== undefined) child.stdin.end(input);
  });
}

/** Runs a JavaScript program with this very Node. */
export function runNode(script, args, options) {
  return run(process.execPath, [script, ...args], options);
}

/** The first of `names` that is an executable file: by its path, or in a folder of PATH. */
export function findProgram(names, env = process.env) {
  const folders = (env.PATH ?? '').split(path.delimiter).filter(Boolean);
  for (const name of names) {
    const places = name.includes('/') ? [name] : folders.map((folder) => path.join(folder, name));
    for (const place of places) if (isExecutable(place)) return place;
  }
  return undefined;
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** npm as [command, ...arguments]: the one that started us, or else the one on PATH. */
export function npmCommand(env = process.env) {
  const cli = env.npm_execpath;
  if (cli && path.basename(cli) === 'npm-cli.js' && existsSync(cli)) return [process.execPath, cli];
  return ['npm'];
}

/** node-gyp's entry point: npm names its own to the scripts it runs; else the one inside the npm on PATH. */
export function findNodeGyp(env = process.env) {
  if (env.npm_config_node_gyp && existsSync(env.npm_config_node_gyp)) return env.npm_config_node_gyp;
  const npm = findProgram(['npm'], env);
  if (!npm) return undefined;
  const bundled = path.resolve(path.dirname(realpathSync(npm)), '../node_modules/node-gyp/bin/node-gyp.js');
  return existsSync(bundled) ? bundled : undefined;
}
