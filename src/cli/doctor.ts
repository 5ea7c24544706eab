/*
 * wdp doctor: what works on this host and, for each thing that does not, the command that mends it.
 *
 * Before it: the command line (main.ts). It looks at the host only and changes nothing. The exit status says whether the
 * main job can run, which needs Node and the WASM module; everything else widens what the datapath can be connected to.
 * Runs on the main thread.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { packageRoot } from '../native/package-root.ts';
import { type Check, checkBuildTools, checkNative, checkOracles } from './doctor-host.ts';
import { colorsFor } from './status.ts';

export interface DoctorOptions {
  /** One JSON object instead of the table. */
  readonly json?: boolean;
  /** Where PATH is taken from; the process's own environment by default. */
  readonly env?: NodeJS.ProcessEnv;
}

/** Anything that takes text, such as process.stdout. */
export interface DoctorOutput {
  write(text: string): unknown;
}

/** Checks the host and reports to `out`. Returns the exit status: 0 when the main job can run, otherwise 1. */
export async function doctor(options: DoctorOptions, out: DoctorOutput): Promise<number> {
  const env = options.env ?? process.env;
  const checks = [
    checkNodeVersion(process.versions.node),
    checkWasmFeatures(),
    await checkWasmModule(path.join(packageRoot(), 'build', 'datapath.release.wasm')),
    ...checkBuildTools(env),
    ...checkNative(env),
    ...checkOracles(env),
  ];
  const works = checks.every((check) => check.works || !check.required);
  if (options.json) out.write(`${JSON.stringify({ mainJob: works, checks })}\n`);
  else out.write(table(checks, works, colorsFor(out)));
  return works ? 0 : 1;
}

/** Node's version against `engines` of package.json. */
export function checkNodeVersion(version: string): Check {
  const [major, minor] = version.split('.').map(Number);
  const works = major > 20 || (major === 20 && minor >= 19);
  return {
    name: 'Node.js',
    works,
    required: true,
    detail: `${version}${works ? '' : ', needs 20.19 or later'}`,
    mend: works ? undefined : 'install Node 24 from your distribution or https://nodejs.org',
  };
}

/** The smallest module that uses what the datapath is compiled with: a shared memory, one SIMD and one atomic operation. */
const featureModule = Uint8Array.of(
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00], // magic, version
  ...[0x01, 0x04, 0x01, 0x60, 0x00, 0x00], // one type: no parameters, no results
  ...[0x03, 0x02, 0x01, 0x00], // one function of it
  ...[0x05, 0x04, 0x01, 0x03, 0x01, 0x01], // one memory: shared, one page at least and at most
  ...[0x0a, 0x14, 0x01, 0x12, 0x00], // one body of 18 bytes, no locals
  ...[0x41, 0x00, 0xfd, 0x00, 0x04, 0x00, 0x1a], // i32.const 0, v128.load, drop
  ...[0x41, 0x00, 0x41, 0x01, 0xfe, 0x1e, 0x02, 0x00, 0x1a], // i32.const 0, i32.const 1, i32.atomic.rmw.add, drop
  0x0b, // end
);

function checkWasmFeatures(): Check {
  const works = WebAssembly.validate(featureModule);
  return {
    name: 'WebAssembly SIMD and threads',
    works,
    required: true,
    detail: works ? 'yes' : 'this Node does not accept them',
    mend: works ? undefined : 'use an unmodified Node 20.19 or later on a CPU with SSE4.1 or NEON',
  };
}

/** Whether the datapath's WASM module is there and compiles. */
export async function checkWasmModule(file: string): Promise<Check> {
  const check = { name: 'Datapath WASM module', required: true };
  try {
    const module = await WebAssembly.compile(readFileSync(file));
    const count = WebAssembly.Module.exports(module).length;
    return { ...check, works: true, detail: `${path.basename(file)}, ${count} exports` };
  } catch (error) {
    return { ...check, works: false, detail: (error as Error).message, mend: 'npm run build:wasm' };
  }
}

function table(checks: readonly Check[], works: boolean, pc: ReturnType<typeof colorsFor>): string {
  const width = Math.max(...checks.map((check) => check.name.length));
  const lines: string[] = [];
  for (const check of checks) {
    const mark = check.works ? pc.green('ok') : check.required ? pc.red('no') : pc.yellow('no');
    lines.push(`${mark}  ${check.name.padEnd(width)}  ${check.detail}`);
    if (check.mend) lines.push(`${''.padEnd(width + 6)}${pc.dim('mend:')} ${check.mend}`);
  }
  lines.push(
    '',
    works ? 'The main job (npm start) can run here.' : pc.red('The main job (npm start) cannot run here.'),
  );
  return `${lines.join('\n')}\n`;
}
