/*
 * A control command for a running worker: its words go over the control socket, what it prints comes back. It works on ovs-vswitchd too, but for --json.
 *
 * Files that a command reads are read by the worker: their names are made absolute, and standard input becomes a file. Before it: dpctl.ts. After it:
 * control/unixctl-client.ts.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { unixctlTransact } from '../control/unixctl-client.ts';
import type { DpctlCommand } from '../dpctl/command-table.ts';
import type { DpctlContext, DpctlOptions } from '../dpctl/context.ts';

const STDIN = 0;

/** Commands whose last argument may be a file. */
const FILE_COMMANDS: ReadonlySet<string> = new Set(['add-flows', 'mod-flows', 'del-flows']);

/** Asks the worker. Throws ERR_CONTROL when there is none. */
export async function runOnTarget(
  target: string,
  { name, writes }: DpctlCommand,
  context: DpctlContext,
  args: readonly string[],
): Promise<void> {
  if (writes && context.options.readOnly) return context.fail(`'${name}' command does not work in read only mode`);
  const file = FILE_COMMANDS.has(name) ? args.at(-1) : undefined;
  const spool = file === '-' ? mkdtempSync(path.join(os.tmpdir(), 'wdp-')) : undefined;
  try {
    let words = args;
    if (spool !== undefined) {
      const copy = path.join(spool, 'stdin');
      writeFileSync(copy, readFileSync(STDIN), { mode: 0o600 });
      words = [...args.slice(0, -1), copy];
    } else if (file !== undefined && existsSync(file)) words = [...args.slice(0, -1), path.resolve(file)];
    const reply = await unixctlTransact(target, `dpctl/${name}`, [...optionWords(context.options), ...words]);
    if (reply.failed) context.refuse(reply.text);
    else context.write(reply.text);
  } finally {
    if (spool !== undefined) rmSync(spool, { recursive: true, force: true });
  }
}

/** The options as a worker reads them, before the arguments. */
function optionWords({ statistics, verbosity, names, mayCreate, clear, json }: DpctlOptions): string[] {
  const words = Array.from({ length: verbosity }, () => '--more');
  if (names !== verbosity > 0) words.push(names ? '--names' : '--no-names');
  if (statistics) words.push('--statistics');
  if (mayCreate) words.push('--may-create');
  if (clear) words.push('--clear');
  if (json) words.push('--json');
  return words;
}
