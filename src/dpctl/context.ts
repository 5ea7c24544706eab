/*
 * What a control command works with: its options, where its output and its error lines go, and how datapaths are found.
 *
 * Concepts. One command is one function (args, context), whoever runs it: the command line in a process of its own, or the control socket in a worker.
 * What goes wrong with one of several things is a line, and the command goes on with the next, as in ovs-dpctl; `failed` remembers it. A line says what
 * could not be done, the errno in parentheses, and behind a semicolon how to mend it where a person needs to be told.
 * Before it: cli/control.ts, dpctl/unixctl.ts. After it: the commands of this folder. Thread: the caller's.
 */
import { jsonText } from '../odp/json.ts';
import { problemText } from './problem.ts';

export interface DpctlOptions {
  /** -s: statistics of ports and flows. */
  readonly statistics: boolean;
  /** -m, as often as it was given. */
  readonly verbosity: number;
  /** Names of ports instead of numbers. */
  readonly names: boolean;
  readonly mayCreate: boolean;
  /** Statistics begin anew when a flow is changed. */
  readonly clear: boolean;
  readonly readOnly: boolean;
  /** One JSON object a line instead of text. */
  readonly json: boolean;
}

export interface DpctlSink {
  /** Data, a line or many. */
  write(text: string): void;
  /** The same as UTF-8, which is the caller's again when this returns. A sink without it gets a string. */
  writeBytes?(bytes: Uint8Array): void;
  /** One line about something that went wrong, without a new line at its end. */
  error(text: string): void;
}

/** What runs meanwhile waits at most so long for a command that has much to do. */
const TURN_MS = 10;

export class DpctlContext {
  readonly options: DpctlOptions;
  /** Whether this is a worker, whose datapaths are in this process and whose other work must go on. */
  readonly inWorker: boolean;
  /** Something could not be done. */
  failed = false;
  readonly #sink: DpctlSink;
  #turnStartMs = performance.now();

  constructor(options: DpctlOptions, sink: DpctlSink, inWorker: boolean) {
    this.options = options;
    this.#sink = sink;
    this.inWorker = inWorker;
  }

  write(text: string): void {
    this.#sink.write(text);
  }

  writeBytes(bytes: Uint8Array): void {
    if (this.#sink.writeBytes !== undefined) this.#sink.writeBytes(bytes);
    else this.#sink.write(Buffer.from(bytes).toString());
  }

  /** One JSON object, on a line of its own. */
  writeObject(object: unknown): void {
    this.#sink.write(`${jsonText(object)}\n`);
  }

  /** What could not be done, and why: an errno, or an error that has one. `mend` says what a person can do about it. */
  fail(what: string, reason?: unknown, mend?: string): void {
    this.failed = true;
    this.#sink.error(what + problemText(reason, mend));
  }

  /** What another process could not do, in its own words: lines that are whole. */
  refuse(text: string): void {
    this.failed = true;
    for (const line of text.split('\n')) if (line !== '') this.#sink.error(line.replace(/^wdp: /, ''));
  }

  /** In a worker, lets others have their turn when this command has been at work for a while; undefined: it has not. */
  turn(): Promise<void> | undefined {
    if (!this.inWorker || performance.now() - this.#turnStartMs < TURN_MS) return undefined;
    return new Promise((resolve) => {
      setImmediate(() => {
        this.#turnStartMs = performance.now();
        resolve();
      });
    });
  }
}
