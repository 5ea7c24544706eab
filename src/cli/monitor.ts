/*
 * wdp monitor: a datapath, live: its ports and its busiest flows, with rates. Of the kernel, or with --target of a running worker.
 *
 * It looks by the control commands, `show` and `dump-flows`, and knows no more than they tell; each report is about the time between two looks. On a terminal a
 * report takes the place of the last one. It ends with Ctrl-C (130), after --count reports (0), or when the datapath is gone (1).
 * Before it: program.ts. After it: dpctl/run.ts or a control socket, monitor-view.ts. Main thread.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { unixctlTransact } from '../control/unixctl-client.ts';
import { findCommand } from '../dpctl/command-table.ts';
import { DpctlContext } from '../dpctl/context.ts';
import { readWords } from '../dpctl/options.ts';
import { runCommand } from '../dpctl/run.ts';
import { DatapathError } from '../errors.ts';
import { EXIT_DONE, EXIT_INTERRUPTED, oneLine, UsageError } from './failure.ts';
import { type DatapathLook, type Look, readFlows, reportLines, reportOf } from './monitor-view.ts';
import type { Output } from './status.ts';

export interface MonitorOptions {
  readonly target?: string;
  readonly interval: string;
  readonly count?: string;
  readonly json?: boolean;
}

/** Runs a control command and gives what it prints. Throws when it fails. */
type Ask = (command: string, ...words: string[]) => Promise<string>;

const INTERVAL_MAX = 3600;
const CLEAR = '\x1b[H\x1b[J';

/** Returns the exit status. */
export async function monitor(name: string, options: MonitorOptions, out: NodeJS.WriteStream): Promise<number> {
  const intervalMs = 1000 * numberOf('--interval', options.interval, /^\d{1,4}(\.\d{1,3})?$/, 0.1, INTERVAL_MAX);
  const { count, target } = options;
  const reports = count === undefined ? Number.POSITIVE_INFINITY : numberOf('--count', count, /^\d{1,9}$/, 1, 1e9);
  const ask = target === undefined ? askHere : askAt(target);
  const stop = new AbortController();
  let status = EXIT_INTERRUPTED;
  const end = (): void => stop.abort();
  const onOutputError = (): void => {
    status = EXIT_DONE; // whoever read the output has seen enough
    stop.abort();
  };
  process.on('SIGINT', end);
  process.on('SIGTERM', end);
  out.on('error', onOutputError);
  try {
    let last = await look(name, ask);
    for (let done = 0; done < reports; done++) {
      await sleep(intervalMs, undefined, { signal: stop.signal });
      const now = await look(name, ask);
      show(last, now, options.json === true, out);
      last = now;
    }
    return EXIT_DONE;
  } catch (error) {
    if (stop.signal.aborted) return status;
    throw error;
  } finally {
    process.off('SIGINT', end);
    process.off('SIGTERM', end);
    out.off('error', onOutputError);
  }
}

async function look(name: string, ask: Ask): Promise<Look> {
  const datapath = JSON.parse(await ask('show', '--statistics', '--json', name)) as DatapathLook;
  return { timeMs: performance.now(), datapath, flows: readFlows(await ask('dump-flows', name)) };
}

function show(before: Look, now: Look, json: boolean, out: Output & { rows?: number }): void {
  const report = reportOf(before, now);
  if (json) out.write(`${JSON.stringify(report)}\n`);
  else if (out.isTTY !== true) out.write(`${reportLines(report).join('\n')}\n\n`);
  else {
    const { columns = 80, rows = 24 } = out;
    const lines = reportLines(report).slice(0, rows - 1);
    out.write(`${CLEAR}${lines.map((line) => line.slice(0, columns - 1)).join('\n')}\n`);
  }
}

const askHere: Ask = async (name, ...words) => {
  const { options, args } = readWords(words);
  const parts: string[] = [];
  const errors: string[] = [];
  const sink = { write: (text: string) => void parts.push(text), error: (text: string) => void errors.push(text) };
  const context = new DpctlContext(options, sink, false);
  await runCommand(findCommand(name)!, context, args);
  if (context.failed) throw failure(name, errors.join('; '));
  return parts.join('');
};

function askAt(path: string): Ask {
  return async (name, ...words) => {
    const { text, failed } = await unixctlTransact(path, `dpctl/${name}`, words);
    if (failed) throw failure(name, text.replaceAll(/^wdp: /gm, ''));
    return text;
  };
}

function failure(operation: string, text: string): DatapathError {
  return new DatapathError('ERR_CONTROL', oneLine(text), { operation });
}

function numberOf(option: string, text: string, form: RegExp, min: number, max: number): number {
  const value = Number(text);
  if (form.test(text) && value >= min && value <= max) return value;
  throw new UsageError(`value ${text} on ${option} is invalid: it takes ${min} to ${max}; see wdp monitor --help`);
}
