/*
 * SystemUpcalls: the receiving end of a kernel datapath's upcalls: a memory with a ring for each handler, the receivers that fill the rings, the sockets that the kernel
 * sends to. Before it: SystemDatapath.recvSet, or an upcall host. After it: receiver.ts, upcall-sockets.ts.
 *
 * The memory is a small WASM datapath of its own that moves no packets: rings, masks and action lists for handlers live in it. Threads: one.
 */
import * as C from '../../../assembly/constants.ts';
import { loadModule } from '../../wasm/load.ts';
import { DatapathMemory } from '../../wasm/memory.ts';
import { readUpcall } from '../messages/packet.ts';
import type { DpifUpcall, UpcallStats } from '../types.ts';
import { UpcallReceiver } from './receiver.ts';
import {
  openUpcallSockets,
  type UpcallDispatch,
  type UpcallSocketOptions,
  type UpcallSockets,
  type UpcallTarget,
} from './upcall-sockets.ts';

/** Rings that a memory can have. */
export const HANDLERS_MAX = C.WORKERS_MAX;
/** Upcalls that wait for a handler in its ring; more wait in the sockets. */
const FRAMES = 1024;
const MIB = 1048576;
const PAGE = 65536;
/** Flows of the memory's own table, which nothing is put into. */
const FLOWS = 1;
const ARENA_SIZE = 32 * MIB;
const MEMORY_LIMIT = 256 * MIB;

export interface SystemUpcallsOptions extends UpcallSocketOptions {
  dispatch: UpcallDispatch;
  handlers: number;
  /** Id of ovs_packet. */
  family: number;
  dpIfindex: number;
}

export class SystemUpcalls {
  readonly memory: DatapathMemory;
  readonly receivers: readonly UpcallReceiver[];
  readonly sockets: UpcallSockets;
  readonly #overruns = new Map<number, bigint>();
  /** Told of each overrun, with its tag. */
  onOverrun: ((tag: number) => void) | undefined;

  constructor(target: UpcallTarget, options: SystemUpcallsOptions) {
    const { dispatch, handlers, family, dpIfindex } = options;
    this.memory = makeMemory(handlers, dpIfindex);
    const onOverrun = (tag: number): void => this.#overrun(tag);
    this.receivers = Array.from(
      { length: handlers },
      (_, handler) => new UpcallReceiver(this.memory, handler, { family, dpIfindex, onOverrun }),
    );
    try {
      this.sockets = openUpcallSockets(dispatch, target, this.receivers, options);
    } catch (error) {
      for (const receiver of this.receivers) receiver.close();
      throw error;
    }
  }

  /** The next upcall of a handler, a copy. */
  recv(handler: number): DpifUpcall | undefined {
    const { wasm } = this.memory;
    if (wasm.take(handler, 1) === 0 && (this.#receiver(handler).receive() === 0 || wasm.take(handler, 1) === 0))
      return undefined;
    const frame = this.memory.u32(this.memory.upcallRing(handler) + C.UPCALL_LIST);
    const message = this.memory.copy(this.memory.u32(frame + C.UPCALL_MESSAGE), this.memory.u32(frame + C.NL_MMAP_LEN));
    wasm.give(handler, frame);
    return readUpcall(message);
  }

  /** Resolves when `recv` has something; rejects when `signal` is aborted. */
  async recvWait(handler: number, signal?: AbortSignal): Promise<void> {
    const receiver = this.#receiver(handler);
    signal?.throwIfAborted();
    if (this.memory.wasm.outstanding(handler) > 0) return;
    await new Promise<void>((resolve, reject) => {
      const end = (finish: () => void): void => {
        receiver.unwatch();
        signal?.removeEventListener('abort', abort);
        finish();
      };
      const abort = (): void => end(() => reject(signal?.reason as Error));
      signal?.addEventListener('abort', abort, { once: true });
      receiver.watch(() => end(resolve));
    });
  }

  /** Discards what waits, in the sockets and in the rings. */
  purge(): void {
    for (const receiver of this.receivers) {
      do this.memory.wasm.purge(receiver.handler);
      while (receiver.receive() > 0);
    }
  }

  stats(): UpcallStats {
    const sum = (count: (receiver: UpcallReceiver) => number): bigint =>
      BigInt(this.receivers.reduce((total, receiver) => total + count(receiver), 0));
    return {
      received: sum(({ received }) => received),
      strangers: sum(({ strangers }) => strangers),
      overruns: [...this.#overruns.values()].reduce((total, count) => total + count, 0n),
      overrunsBy: new Map(this.#overruns),
    };
  }

  close(): void {
    this.sockets.close();
    for (const receiver of this.receivers) receiver.close();
  }

  #receiver(handler: number): UpcallReceiver {
    const receiver = this.receivers[handler];
    if (receiver === undefined) throw new RangeError(`handler ${handler}: there are ${this.receivers.length}`);
    return receiver;
  }

  #overrun(tag: number): void {
    this.#overruns.set(tag, (this.#overruns.get(tag) ?? 0n) + 1n);
    this.onOverrun?.(tag);
  }
}

function makeMemory(handlers: number, dpIfindex: number): DatapathMemory {
  const memory = DatapathMemory.create(loadModule('release'), {
    flows: FLOWS,
    workers: handlers,
    emcEntries: C.EMC_ENTRIES_MIN,
    upcallFrames: FRAMES,
    arenaSize: ARENA_SIZE,
    seed: crypto.getRandomValues(new BigUint64Array(1))[0],
    dpIfindex,
    pagesMax: MEMORY_LIMIT / PAGE,
  });
  memory.setOption(C.OPTION_FOREIGN, true);
  return memory;
}
