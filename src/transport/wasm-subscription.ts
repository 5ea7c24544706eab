/*
 * Notifications of the WASM datapaths of this process. Before it: the wasm transport. After it: src/kernel/notifications.ts, which keeps the queue.
 *
 * A waiting `next` does not keep the process alive by itself: who changes a datapath of this process does. Threads: one.
 */
import { GROUP_FIRST } from '../../assembly/kernel/families.ts';
import { addQueue, GroupQueue, removeQueue } from '../kernel/notifications.ts';
import { noSuchGroupError } from '../netlink/errors.ts';
import type { SubscriptionItem } from '../netlink/multicast.ts';
import type { TransportSubscribeOptions, TransportSubscription } from './transport.ts';

const BUFFER_SIZE = 1 << 20;
/** Groups are numbered as bits of a word. */
const GROUPS = 32;

export class WasmSubscription implements TransportSubscription {
  readonly #queue: GroupQueue;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = (): void => this.close();
  #closed = false;
  #turn: Promise<unknown> = Promise.resolve();
  #wake: (() => void) | undefined;

  constructor(groups: readonly number[], { receiveBufferSize = BUFFER_SIZE, signal }: TransportSubscribeOptions = {}) {
    signal?.throwIfAborted();
    for (const group of groups) {
      if (group < GROUP_FIRST || group >= GROUP_FIRST + GROUPS) throw noSuchGroupError(group, 'subscribe');
    }
    this.#queue = new GroupQueue(groups, receiveBufferSize);
    this.#queue.wake = () => this.#wake?.();
    this.#signal = signal;
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    addQueue(this.#queue);
  }

  take(): SubscriptionItem | undefined {
    return this.#closed ? undefined : this.#queue.take();
  }

  /** Calls are answered in their order. */
  next(): Promise<IteratorResult<SubscriptionItem, undefined>> {
    const result = this.#turn.then(() => this.#next());
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async #next(): Promise<IteratorResult<SubscriptionItem, undefined>> {
    while (!this.#closed) {
      const item = this.take();
      if (item !== undefined) return { done: false, value: item };
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#signal?.throwIfAborted();
    return { done: true, value: undefined };
  }

  async return(): Promise<IteratorResult<SubscriptionItem, undefined>> {
    this.close();
    return { done: true, value: undefined };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#signal?.removeEventListener('abort', this.#onAbort);
    removeQueue(this.#queue);
    this.#wake?.();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
