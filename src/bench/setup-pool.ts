/*
 * The one pool thread of `wdp bench flow-setup --workers 1`: started once, given one task a round. Threads: the owner thread.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { DatapathError } from '../errors.ts';
import { packageRoot } from '../native/package-root.ts';
import type { DatapathMemory } from '../wasm/memory.ts';
import { THREAD_FLAGS } from '../worker/thread-flags.ts';
import { HISTOGRAM_LENGTH } from './histogram.ts';
import {
  SETUP_DONE,
  SETUP_GO,
  SETUP_READY,
  SETUP_WORDS,
  type SetupThreadData,
  type SetupThreadTask,
} from './setup-thread.ts';

const READY_MS = 10_000;

export class SetupPool {
  /** A histogram that the thread fills. */
  readonly latencies = new Float64Array(new SharedArrayBuffer(HISTOGRAM_LENGTH * Float64Array.BYTES_PER_ELEMENT));
  readonly #control = new Int32Array(new SharedArrayBuffer(SETUP_WORDS * Int32Array.BYTES_PER_ELEMENT));
  readonly #piscina: Piscina<SetupThreadTask, number>;

  constructor(memory: DatapathMemory) {
    const workerData: SetupThreadData = {
      module: memory.module,
      memory: memory.memory,
      control: this.#control,
      latencies: this.latencies,
    };
    this.#piscina = new Piscina<SetupThreadTask, number>({
      filename: threadFile(),
      minThreads: 1,
      maxThreads: 1,
      idleTimeout: Number.POSITIVE_INFINITY,
      atomics: 'disabled',
      execArgv: THREAD_FLAGS,
      workerData,
    });
  }

  /**
   * One round; `turn` is called over and over on this thread while it lasts, when given. Returns its length in ms. Throws what the thread threw,
   * ERR_WORKER when it did not start.
   */
  async round(task: SetupThreadTask, turn?: () => void): Promise<number> {
    this.#control.fill(0);
    const result = this.#piscina.run(task);
    await this.#ready(result);
    Atomics.store(this.#control, SETUP_GO, 1);
    Atomics.notify(this.#control, SETUP_GO);
    if (turn !== undefined) while (Atomics.load(this.#control, SETUP_DONE) === 0) turn();
    return result;
  }

  /** Waits until the thread has attached; a thread that cannot rejects its task. */
  async #ready(result: Promise<number>): Promise<void> {
    const deadline = performance.now() + READY_MS;
    while (Atomics.load(this.#control, SETUP_READY) === 0) {
      if (performance.now() > deadline)
        throw new DatapathError('ERR_WORKER', `the thread did not start within ${READY_MS / 1000} s`);
      await Promise.race([result, new Promise((resolve) => setTimeout(resolve, 1))]);
    }
  }

  close(): Promise<void> {
    return this.#piscina.close({ force: true });
  }
}

/** Threads run the built JavaScript: Node 20 cannot load TypeScript in a worker. */
function threadFile(): string {
  const beside = fileURLToPath(new URL('./setup-thread.js', import.meta.url));
  const file = existsSync(beside) ? beside : path.join(packageRoot(), 'dist', 'src', 'bench', 'setup-thread.js');
  if (!existsSync(file)) throw new DatapathError('ERR_WORKER', `${file} is missing: run \`npm run build\``);
  return file;
}
