/*
 * wdp trace: what a rule file does to one packet, action by action.
 *
 * Before it: the command line (main.ts). After it: trace/trace.ts, in datapaths of its own; nothing that runs is touched. Main thread.
 */
import { readFileSync } from 'node:fs';
import * as C from '../../assembly/constants.ts';
import { hexBytes } from '../odp/hex.ts';
import { parseTraceInput } from '../trace/input.ts';
import { formatTrace } from '../trace/text.ts';
import { traceKey, tracePacket } from '../trace/trace.ts';
import { readRules } from '../upcall/static.ts';
import { UsageError } from './failure.ts';

export interface TraceCommandOptions {
  rules: string;
  /** Decimal text. */
  inPort?: string;
  /** Hexadecimal is a key's attributes, not a packet. */
  attributes?: boolean;
  json?: boolean;
}

/** Prints the trace of `input` to `out`. Throws UsageError, and what reading rules, input and tracing throw. */
export async function traceCommand(
  input: string,
  options: TraceCommandOptions,
  out: NodeJS.WritableStream,
): Promise<void> {
  const inPort = options.inPort === undefined ? undefined : parsePort(options.inPort);
  const text = input === '-' ? readFileSync(0, 'utf8') : input;
  const parsed = parseTraceInput(text, options.attributes);
  if (parsed.kind === 'key' && inPort !== undefined)
    throw new UsageError('--in-port is for packets; a key has its in_port(N)');
  const rules = await readRules(options.rules);
  const trace =
    parsed.kind === 'key'
      ? await traceKey(rules, parsed.key)
      : await tracePacket(rules, parsed.packet, inPort === undefined ? {} : { inPort });
  const remarks = parsed.kind === 'key' ? parsed.remarks : [];
  if (options.json) out.write(`${JSON.stringify({ ...trace, remarks }, jsonValue)}\n`);
  else out.write(remarks.map((remark) => `${remark}\n`).join('') + formatTrace(trace, options.rules));
}

function parsePort(text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port < C.PORTS_MAX) return port;
  throw new UsageError(`--in-port ${text}: a port is 0 to ${C.PORTS_MAX - 1}`);
}

/** Bytes as hexadecimal digits. */
function jsonValue(_name: string, value: unknown): unknown {
  return value instanceof Uint8Array ? hexBytes(value) : value;
}
