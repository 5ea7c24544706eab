/*
 * Output of a command that prints much and ends: stdout in large pieces, written at once, and stderr in order with it. Before it: dpctl.ts. Main thread.
 */
import { writeSync } from 'node:fs';
import type { DpctlSink } from '../dpctl/context.ts';
import { EXIT_DONE } from './failure.ts';

/** As much as a pipe holds. */
const PIECE_SIZE = 64 * 1024;
const STDOUT = 1;
const STDERR = 2;
/** How long to wait for a pipe that is full and does not block. */
const FULL_MS = 5;

export class Output implements DpctlSink {
  #pending = '';

  write(text: string): void {
    this.#pending += text;
    if (this.#pending.length >= PIECE_SIZE) this.flush();
  }

  writeBytes(bytes: Uint8Array): void {
    this.flush();
    writeAll(STDOUT, bytes);
  }

  error(text: string): void {
    this.flush();
    writeAll(STDERR, Buffer.from(`wdp: ${text}\n`));
  }

  flush(): void {
    const text = this.#pending;
    this.#pending = '';
    if (text !== '') writeAll(STDOUT, Buffer.from(text));
  }
}

/** Whoever read the output and has seen enough ends the program. */
function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(descriptor, bytes, at);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EPIPE') process.exit(EXIT_DONE);
      if (code !== 'EAGAIN') throw error;
      Atomics.wait(SLEEP, 0, 0, FULL_MS);
    }
  }
}

const SLEEP = new Int32Array(new SharedArrayBuffer(4));
