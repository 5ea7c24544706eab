/*
 * DumpState: how a dump stands, in a few words of memory, so that consumers in several threads agree on it without a lock. Before it: Dump.
 *
 * Ownership: private to one consumer until `share` moves the words into a SharedArrayBuffer, which must be before another one exists.
 * Threads: any; the phase leaves RUNNING once, and whoever takes it away has written the other words before.
 */
const PHASE = 0;
const INTERRUPTED = 1;
const ERRNO = 2;
const WORDS = 3;

const RUNNING = 0;
const ENDED = 1;
const FAILED = 2;
const ABANDONED = 3;

export class DumpState {
  private words: Int32Array;

  constructor(shared?: SharedArrayBuffer) {
    this.words = new Int32Array(shared ?? new ArrayBuffer(4 * WORDS));
  }

  /** The words, for other threads. */
  share(): SharedArrayBuffer {
    const { buffer } = this.words;
    if (buffer instanceof SharedArrayBuffer) return buffer;
    const shared = new SharedArrayBuffer(4 * WORDS);
    const words = new Int32Array(shared);
    words.set(this.words);
    this.words = words;
    return shared;
  }

  get shared(): boolean {
    return this.words.buffer instanceof SharedArrayBuffer;
  }
  get running(): boolean {
    return Atomics.load(this.words, PHASE) === RUNNING;
  }
  get failed(): boolean {
    return Atomics.load(this.words, PHASE) === FAILED;
  }
  get interrupted(): boolean {
    return Atomics.load(this.words, INTERRUPTED) !== 0;
  }
  set interrupted(value: boolean) {
    Atomics.store(this.words, INTERRUPTED, value ? 1 : 0);
  }
  /** Of a failed one: positive, or 0 when it was no system call and no peer that failed it. */
  get errno(): number {
    return Atomics.load(this.words, ERRNO);
  }

  end(): void {
    Atomics.compareExchange(this.words, PHASE, RUNNING, ENDED);
  }
  abandon(): void {
    Atomics.compareExchange(this.words, PHASE, RUNNING, ABANDONED);
  }
  fail(errno: number): void {
    if (!this.running) return;
    Atomics.store(this.words, ERRNO, errno);
    Atomics.compareExchange(this.words, PHASE, RUNNING, FAILED);
  }
}
