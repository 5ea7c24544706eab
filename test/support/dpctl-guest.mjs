/*
 * Runs steps of control commands in the virtual machine, each by ovs-dpctl, by our commands, or by both, and prints what came of them as one JSON array.
 *
 * For tests only. Our commands run in this process, through what `wdp` runs them with, because a process of Node.js takes seconds here; a step may ask
 * for a process of its own. Arguments: the file with the steps (test/support/dpctl-steps.ts says what they are).
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { findCommand } from './package/dist/src/dpctl/command-table.js';
import { DpctlContext } from './package/dist/src/dpctl/context.js';
import { readWords } from './package/dist/src/dpctl/options.js';
import { countProblem, runCommand } from './package/dist/src/dpctl/run.js';

const PROGRAM = 'package/dist/src/cli/main.cjs';

function program(name, words, input = '') {
  const { status, stdout, stderr } = spawnSync(name, words, { encoding: 'utf8', input, maxBuffer: 1 << 28 });
  return { status, stdout, stderr };
}

async function ours(words) {
  const { options, args } = readWords(words);
  const [name, ...rest] = args;
  const command = findCommand(name);
  const problem = countProblem(command, rest.length);
  if (problem !== undefined) return { status: 2, stdout: '', stderr: `wdp: ${problem}\n` };
  const result = { status: 0, stdout: '', stderr: '' };
  const sink = {
    write: (text) => {
      result.stdout += text;
    },
    error: (text) => {
      result.stderr += `wdp: ${text}\n`;
    },
  };
  const context = new DpctlContext(options, sink, false);
  await runCommand(command, context, rest);
  return { ...result, status: context.failed ? 1 : 0 };
}

const results = [];
for (const { kind, words, input } of JSON.parse(readFileSync(process.argv[2], 'utf8'))) {
  const result = {};
  if (kind === 'sh') result.sh = program('sh', ['-c', words.join(' ')]);
  if (kind === 'run') result.sh = program(words[0], words.slice(1));
  if (kind === 'ovs' || kind === 'both' || kind === 'json') result.ovs = program('ovs-dpctl', words, input);
  if (kind === 'wdp' || kind === 'both') result.wdp = await ours(words);
  if (kind === 'json') result.wdp = await ours([...words, '--json']);
  if (kind === 'process') result.wdp = program(process.execPath, [PROGRAM, ...words], input);
  results.push(result);
}
process.stdout.write(`\n${JSON.stringify(results)}\n`);
