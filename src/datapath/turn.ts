/*
 * A turn of the owner thread: a round over the ports of slot 0, and then everything else that is this thread's to do. Before it: `Datapath.poll` and the background
 * work (worker/owner-loop.ts), which may come with a round that was taken already. After it: the module, the dispatcher, the ports. Threads: the owner thread.
 */
import * as C from '../../assembly/constants.ts';
import { DatapathError } from '../errors.ts';
import type { Ports } from '../ports/ports.ts';
import type { Dispatcher } from '../upcall/dispatcher.ts';
import { monotonicMs, tellTime } from '../wasm/clock.ts';
import type { DatapathMemory } from '../wasm/memory.ts';
import type { OwnerWork } from '../worker/owner-loop.ts';
import type { Maintenance } from './maintenance.ts';
import type { Samples } from './samples.ts';

export const POLL_BREATHS = 64;

export interface TurnParts {
  readonly memory: DatapathMemory;
  readonly ports: Ports;
  readonly dispatcher: Dispatcher;
  readonly samples: Samples;
  readonly maintenance: Maintenance;
}

export class Turn implements OwnerWork {
  readonly #parts: TurnParts;

  constructor(parts: TurnParts) {
    this.#parts = parts;
  }

  turn(): boolean {
    const received = this.round(POLL_BREATHS);
    return this.afterRound(received);
  }

  /** Receives; what known flows do with it goes out before anything else is done. Returns the packets received. */
  round(breaths: number): number {
    const { memory, ports } = this.#parts;
    tellTime(memory, memory.workerArea(0));
    let received: number;
    try {
      received = memory.wasm.poll(breaths);
    } catch (cause) {
      return this.roundFailed(cause);
    }
    ports.kick();
    return received;
  }

  afterRound(received: number): boolean {
    const { dispatcher, samples, ports, maintenance } = this.#parts;
    this.#tellFlows();
    dispatcher.dispatch();
    samples.deliver();
    const wasBusy = ports.service();
    maintenance.turn();
    return wasBusy || received > 0;
  }

  /** A trap on this thread is accounted for like a worker's, and told to the caller. */
  roundFailed(cause: unknown): never {
    const lost = this.#parts.memory.wasm.recoverWorker(0);
    throw new DatapathError('ERR_WASM', `the datapath trapped on the calling thread; ${lost} packets were lost`, {
      cause,
    });
  }

  needsService(): boolean {
    return this.#parts.ports.needService || this.#parts.samples.areHeard;
  }

  tellTime(): void {
    const { memory } = this.#parts;
    tellTime(memory, memory.workerArea(0));
    this.#tellFlows();
  }

  /** When flows are made that answers ask for. */
  #tellFlows(): void {
    this.#parts.memory.setU64(C.SUPERBLOCK + C.SB_TIME_MS, Math.floor(monotonicMs()));
  }
}
