/*
 * FlowDump: the flows of a datapath, as programs see them. Before it: Dpif.flowDump. After it: the provider's dump.
 *
 *     for (const flow of dpif.flowDump()) ...            for await (const flow of dpif.flowDump()) ...
 *
 * or reader by reader, each taking a part: `dump.thread().next(50)` until it gives none, then `dump.close()`, which throws what the dump failed with. Flows that
 * come and go meanwhile may or may not be there. Records are the caller's. Threads: the datapath's.
 */
import type { FlowDumpThread, ProviderFlowDump, Walk } from './provider.ts';
import type { DpifFlow } from './types.ts';

/** Flows that an iteration takes at once: some give way to the event loop after so many. */
const BATCH = 64;

export class FlowDump implements Walk<DpifFlow>, Disposable {
  readonly #dump: ProviderFlowDump;
  readonly #explain: (error: unknown) => unknown;

  constructor(dump: ProviderFlowDump, explain: (error: unknown) => unknown) {
    this.#dump = dump;
    this.#explain = explain;
  }

  /** One more reader of this dump. */
  thread(): FlowDumpThread {
    return this.#dump.thread();
  }

  /** Ends it; throws what it failed with, once. */
  close(): void {
    try {
      this.#dump.close();
    } catch (error) {
      throw this.#explain(error);
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  *[Symbol.iterator](): Generator<DpifFlow, void, undefined> {
    const thread = this.thread();
    try {
      for (let flows = thread.next(BATCH); flows.length > 0; flows = thread.next(BATCH)) yield* flows;
    } finally {
      this.close();
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<DpifFlow, void, undefined> {
    const thread = this.thread();
    try {
      for (let flows = await thread.nextAsync(BATCH); flows.length > 0; flows = await thread.nextAsync(BATCH)) {
        yield* flows;
        await new Promise(setImmediate);
      }
    } finally {
      this.close();
    }
  }
}
