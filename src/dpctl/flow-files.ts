/*
 * add-flows, mod-flows and del-flows with a file: one request a line, `[add|modify|delete] FLOW [ACTIONS]`, from a file or a stream.
 *
 * A stream is carried out as it comes: what one reading gave is done before the next reading waits. A line that cannot be read is told with its place and
 * skipped, as in ovs-dpctl; unlike there it makes the command fail in the end. Before it: flow-commands.ts. After it: flow-batch.ts.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { constants } from 'node:os';
import { StringDecoder } from 'node:string_decoder';
import type { Dpif } from '../dpif/dpif.ts';
import { DPIF_FP_CREATE, DPIF_FP_MODIFY } from '../dpif/types.ts';
import { DatapathError } from '../errors.ts';
import type { DpctlContext } from './context.ts';
import { FlowBatch } from './flow-batch.ts';

export type FlowRequest = 'add' | 'modify' | 'delete';

const READ_SIZE = 256 * 1024;
/** Two attribute lists of 64 KiB each, in hexadecimal, are shorter; a longer line is no flow. */
const LINE_SIZE_MAX = 1024 * 1024;
const STDIN = 0;
/** A standard input that does not block is looked at again so often. */
const RETRY_MS = 10;

const { EINVAL } = constants.errno;

/** Carries out the requests of `file` (`-`: standard input); `usual` is what a line without a word asks for. */
export async function processFlows(context: DpctlContext, dpif: Dpif, file: string, usual: FlowRequest): Promise<void> {
  if (file === '-' && context.inWorker) return context.fail("'-' would be the standard input of the worker", EINVAL);
  let descriptor: number;
  try {
    descriptor = file === '-' ? STDIN : openSync(file, 'r');
  } catch (error) {
    return context.fail(`Opening file "${file}" failed`, error);
  }
  try {
    const batch = new FlowBatch(context, dpif);
    const reader = new LineReader(descriptor);
    let lineNo = 0;
    for (let lines = reader.read(); lines !== undefined; lines = reader.read()) {
      for (const line of lines) {
        lineNo += 1;
        processLine(batch, line, usual, `${file}:${lineNo}: `);
        const turn = context.turn();
        if (turn !== undefined) await turn;
      }
      batch.flush();
    }
  } catch (error) {
    context.fail(`Reading file "${file}" failed`, error);
  } finally {
    if (descriptor !== STDIN) closeSync(descriptor);
  }
}

/** What a line asks for; empty lines and comments ask for nothing. */
function processLine(batch: FlowBatch, line: string, usual: FlowRequest, place: string): void {
  const comment = line.indexOf('#');
  const text = (comment < 0 ? line : line.slice(0, comment)).trim();
  if (text === '') return;
  const word = REQUEST.exec(text);
  const request = (word?.[1] ?? usual) as FlowRequest;
  const rest = word === null ? text : text.slice(word[0].length);
  const blank = rest.search(BLANK);
  const flow = blank < 0 ? rest : rest.slice(0, blank);
  const actions = blank < 0 ? '' : rest.slice(blank).trimStart();
  if (flow === '' || (actions === '') !== (request === 'delete')) {
    const form = request === 'delete' ? 'delete FLOW' : `${request} FLOW ACTIONS`;
    batch.fail(`${place}Failed parsing line, skipped!`, undefined, `the form is [${form}], FLOW without blanks`);
  } else if (request === 'delete') batch.delete(flow, place);
  else batch.put(flow, actions, request === 'add' ? DPIF_FP_CREATE : DPIF_FP_MODIFY, place);
}

const REQUEST = /^(add|modify|delete)[\s,]+/;
const BLANK = /\s/;

/** Whole lines of a file, a reading at a time. */
class LineReader {
  readonly #descriptor: number;
  readonly #buffer = Buffer.allocUnsafe(READ_SIZE);
  readonly #decoder = new StringDecoder('utf8');
  #rest = '';
  #ended = false;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /** The lines that end in the next reading; undefined at the end. */
  read(): string[] | undefined {
    if (this.#ended) return undefined;
    const size = readSome(this.#descriptor, this.#buffer);
    this.#ended = size === 0;
    const piece = this.#ended ? this.#decoder.end() : this.#decoder.write(this.#buffer.subarray(0, size));
    const lines = (this.#rest + piece).split('\n');
    this.#rest = lines.pop()!;
    if (this.#rest.length > LINE_SIZE_MAX)
      throw new DatapathError('ERR_CONFIG', `a line of more than ${LINE_SIZE_MAX} characters`);
    if (this.#ended) lines.push(this.#rest);
    return lines;
  }
}

/** Waits until something can be read; 0 at the end. */
function readSome(descriptor: number, buffer: Buffer): number {
  for (;;) {
    try {
      return readSync(descriptor, buffer);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      Atomics.wait(SLEEP, 0, 0, RETRY_MS);
    }
  }
}

const SLEEP = new Int32Array(new SharedArrayBuffer(4));
