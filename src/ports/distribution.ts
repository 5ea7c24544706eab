/*
 * The distribution of receive queues over the workers: what there is, moving one, and spreading all of them by their load. Before it:
 * `datapath.queues`, the control commands dpif-netdev/pmd-rxq-*. After it: queue-load.ts, queue-plan.ts, `moveQueue` in assembly/io/port.ts.
 *
 * Concepts. A worker polls receivers: queues of ports on kernel rings, which any worker can take over between two batches, and ports without queues (in
 * memory, out of a file), which stay with the worker that they were opened for. A port that was added for a certain worker is pinned: `spread` leaves
 * its queues where they are, `move` does not. A moved queue gives its packets in their order; misses that wait for a handler may be overtaken, as ever.
 * When the interface of a port goes and comes again, its queues are dealt out anew.
 *
 * A queue that the port's configuration pins to a core is on the first worker of that core, whoever spreads or retreats, and that worker is isolated: it gets no
 * queue that is not pinned, unless `isolates` is off or nobody else polls. While nobody who polls has the core, the queue is as if it were not pinned.
 * `uphold` sees to it, whenever something of that changes.
 *
 * Threads: the owner thread; one change at a time, later ones wait.
 */
import * as C from '../../assembly/constants.ts';
import type { DatapathEvent, OpenOptions } from '../datapath/options.ts';
import { DatapathError } from '../errors.ts';
import type { DatapathMemory } from '../wasm/memory.ts';
import { coreOf } from '../worker/affinity.ts';
import { wakeWorker } from '../worker/wake.ts';
import type { Port } from './port.ts';
import type { PortConfig } from './port-config.ts';
import { type LoadedReceiver, QueueLoad } from './queue-load.ts';
import { isMisplaced, openWorkers, type PlannedQueue, plan } from './queue-plan.ts';

/** What a worker polls. */
export interface Receiver {
  readonly port: string;
  readonly portNo: number;
  /** Number of the queue; 0 of a port without queues. */
  readonly queue: number;
  readonly worker: number;
  /** That it has given since it was opened. */
  readonly packets: number;
  /** Share of its worker's time in the last minute, 0 to 1. */
  readonly usage: number;
  /** Why `spread` leaves it where it is: it is pinned there, or the port was added for this worker, or has no queues that could move. */
  readonly fixed: 'pinned' | 'no queues' | undefined;
  /** The core that the port's configuration pins it to, whether or not a worker has it. */
  readonly core: number | undefined;
}

type Counted = Omit<Receiver, 'usage'> & LoadedReceiver;

/** A receiver, and where it may be when workers 1 to so many poll. */
type Placed = Receiver & PlannedQueue;

export interface DistributionHost {
  readonly memory: DatapathMemory;
  readonly ports: Iterable<Port> & { get(name: string | number): Port | undefined; config(portNo: number): PortConfig };
  readonly workerSlots: number;
  /** Workers that poll are 1 to this one. */
  readonly pollers: () => number;
  readonly options: Pick<OpenOptions, 'affinity' | 'onEvent'>;
}

export class Distribution {
  readonly #host: DistributionHost;
  readonly #load: QueueLoad;
  #changing: Promise<unknown> = Promise.resolve();
  #isolates = true;
  /** Of what `onEvent` was told, and still is so. */
  #told = new Set<string>();

  constructor(host: DistributionHost) {
    this.#host = host;
    this.#load = new QueueLoad(host.memory, host.workerSlots);
  }

  /** Everything that is received from, by port and queue. */
  list(): Receiver[] {
    this.sample();
    return this.#receivers().map(({ key, ...receiver }) => ({ ...receiver, usage: this.#load.usage(key) }));
  }

  /** Takes note of the load; the datapath calls it regularly. */
  sample(): void {
    this.#load.sample(this.#receivers());
  }

  #receivers(): Counted[] {
    return [...this.#host.ports].flatMap((port) => this.#receiversOf(port));
  }

  #receiversOf(port: Port): Counted[] {
    const { memory } = this.#host;
    const { name, portNo, isPinned } = port;
    const queues = queuesOf(memory, portNo);
    if (queues === undefined) {
      if (!receives(memory, portNo)) return [];
      const packets = port.stats().rxPackets;
      const place = { worker: port.worker, fixed: 'no queues', core: undefined } as const;
      return [{ key: name, packets, port: name, portNo, queue: 0, ...place }];
    }
    const { cores } = this.#host.ports.config(portNo);
    return queues.map((address, queue) => {
      const worker = memory.u32(address + C.RXQ_WORKER);
      const core = cores.get(queue);
      const isThere = core !== undefined && this.#coreOf(worker) === core;
      return {
        key: `${name} ${queue}`,
        packets: memory.u64(address + C.RXQ_PACKETS),
        ...{ port: name, portNo, queue, worker, core },
        fixed: isPinned || isThere ? 'pinned' : undefined,
      };
    });
  }

  #coreOf(worker: number): number {
    return coreOf(this.#host.options.affinity, worker);
  }

  /** With the worker that each is pinned to, when workers 1 to `pollers` poll. */
  #placed(pollers: number): Placed[] {
    const workers = upTo(pollers);
    return this.list().map((receiver) => {
      const { worker, fixed, core } = receiver;
      const pin = core === undefined ? undefined : workers.find((each) => this.#coreOf(each) === core);
      const isFixed = fixed === 'no queues' || (fixed === 'pinned' && worker <= pollers);
      return { ...receiver, isFixed, pin };
    });
  }

  /** Whether workers that queues are pinned to are left to those. */
  get isolates(): boolean {
    return this.#isolates;
  }

  set isolates(isolates: boolean) {
    this.#isolates = isolates;
    void this.spread();
  }

  /** Workers that get only queues that are pinned to them. */
  isolated(): Set<number> {
    if (!this.#isolates) return new Set();
    return new Set(this.#placed(this.#host.pollers()).flatMap(({ pin }) => pin ?? []));
  }

  /** Moves queues that are not where they are pinned, or are where they must not be; others only if there are such. */
  uphold(): Promise<void> {
    return this.#change(async () => {
      const pollers = this.#host.pollers();
      const placed = this.#placed(pollers);
      const open = this.#open(placed, pollers);
      if (placed.some((each) => isMisplaced(each, open))) await this.#spread(pollers);
      else this.#tell(placed, pollers);
    });
  }

  #open(placed: readonly Placed[], pollers: number): readonly number[] {
    return openWorkers(placed, upTo(pollers), this.#isolates);
  }

  /** Says once what cannot be as it is configured. */
  #tell(placed: readonly Placed[], pollers: number): void {
    const events: DatapathEvent[] = placed.flatMap(({ port, queue, core, pin }) =>
      core === undefined || pin !== undefined ? [] : [{ type: 'queue-not-pinned', port, queue, core }],
    );
    const pins = new Set(placed.map(({ pin }) => pin));
    const isEveryone = this.#isolates && pollers > 0 && upTo(pollers).every((worker) => pins.has(worker));
    if (isEveryone && pins.has(undefined)) events.push({ type: 'all-isolated' });
    const texts = events.map((event) => JSON.stringify(event));
    for (const [i, event] of events.entries()) if (!this.#told.has(texts[i])) this.#host.options.onEvent?.(event);
    this.#told = new Set(texts);
  }

  /**
   * Gives a queue to another worker, which polls it from its next round on. Throws DatapathError ERR_NO_SUCH_PORT, ERR_NO_SUCH_QUEUE, ERR_WORKER for a
   * worker that does not poll or is isolated, ERR_QUEUE_FIXED for a port without queues, or a queue that is pinned to a core.
   */
  move(nameOrNumber: string | number, queue: number, worker: number): Promise<void> {
    return this.#change(() => {
      const port = this.#host.ports.get(nameOrNumber);
      if (port === undefined) throw fault('ERR_NO_SUCH_PORT', `no port ${nameOrNumber}`, C.ENODEV);
      const queues = queuesOf(this.#host.memory, port.portNo);
      if (queues === undefined) throw fixed(`port ${port.name} has no queues: it stays with worker ${port.worker}`);
      if (queues[queue] === undefined)
        throw fault(
          'ERR_NO_SUCH_QUEUE',
          `port ${port.name} has queues 0 to ${queues.length - 1}, not ${queue}`,
          C.EINVAL,
        );
      this.#assertPolls(worker);
      this.#assertFree(port.name, queue, worker);
      return this.#moveAll([{ port, queue, worker }]);
    });
  }

  #assertPolls(worker: number): void {
    const pollers = this.#host.pollers();
    if (Number.isInteger(worker) && worker >= 1 && worker <= pollers) return;
    const which = pollers === 0 ? 'the calling thread polls everything' : `workers 1 to ${pollers} poll`;
    throw fault('ERR_WORKER', `worker ${worker} polls nothing: ${which}`, C.EINVAL);
  }

  #assertFree(port: string, queue: number, worker: number): void {
    const pollers = this.#host.pollers();
    const placed = this.#placed(pollers);
    const found = placed.find((each) => each.port === port && each.queue === queue);
    if (found?.pin !== undefined)
      throw fixed(
        `queue ${queue} of port ${port} is pinned to core ${found.core}: take it out of pmd-rxq-affinity first`,
      );
    if (this.#open(placed, pollers).includes(worker)) return;
    throw fault('ERR_WORKER', `worker ${worker} is isolated: it polls queues that are pinned to it`, C.EINVAL);
  }

  /**
   * Spreads the queues over the workers by their load, heaviest first. Returns what moved. Nothing does when the busiest worker would have no less to do.
   */
  spread(): Promise<Receiver[]> {
    return this.#change(() => this.#spread(this.#host.pollers()));
  }

  /**
   * Leaves everything to workers 1 to `pollers`, before the others stop. Throws DatapathError ERR_QUEUE_FIXED when a port cannot move and one of those
   * polls it; nothing has moved then.
   */
  retreat(pollers: number): Promise<Receiver[]> {
    return this.#change(() => {
      const left = this.list().find(({ worker, fixed }) => worker > pollers && fixed === 'no queues');
      if (left !== undefined)
        throw fixed(`port ${left.port} has no queues: it stays with worker ${left.worker}, which must go on`);
      return this.#spread(pollers);
    });
  }

  async #spread(pollers: number): Promise<Receiver[]> {
    const placed = this.#placed(pollers);
    this.#tell(placed, pollers);
    if (pollers === 0) return [];
    const planned = plan(placed, upTo(pollers), this.#isolates);
    const moved = placed
      .filter(({ worker }, i) => worker !== planned[i])
      .map(({ isFixed, pin, ...receiver }) => receiver);
    const moves = placed.flatMap(({ portNo, queue, worker }, i) => {
      const port = this.#host.ports.get(portNo);
      return worker === planned[i] || port === undefined ? [] : [{ port, queue, worker: planned[i] }];
    });
    await this.#moveAll(moves);
    return moved;
  }

  async #moveAll(moves: readonly { port: Port; queue: number; worker: number }[]): Promise<void> {
    const { memory } = this.#host;
    for (const { port, queue, worker } of moves) memory.wasm.moveQueue(port.portNo, queue, worker);
    for (const worker of new Set(moves.map((move) => move.worker))) wakeWorker(memory, worker);
    for (const port of new Set(moves.map((move) => move.port))) await port.queuesMoved();
  }

  #change<T>(work: () => T | Promise<T>): Promise<T> {
    const change = this.#changing.then(work);
    this.#changing = change.catch(() => {});
    return change;
  }
}

/** Workers 1 to `pollers`. */
function upTo(pollers: number): number[] {
  return Array.from({ length: pollers }, (_, i) => i + 1);
}

function receives(memory: DatapathMemory, portNo: number): boolean {
  return memory.u32(memory.portDescriptor(portNo) + C.PORT_RX_KIND) !== C.RX_NONE;
}

/** Addresses of the queues of a port; undefined when it receives in another way. */
function queuesOf(memory: DatapathMemory, portNo: number): number[] | undefined {
  const port = memory.portDescriptor(portNo);
  if (memory.u32(port + C.PORT_RX_KIND) !== C.RX_QUEUES) return undefined;
  const table = memory.u32(port + C.PORT_RX);
  const count = memory.u32(table + C.QUEUE_TABLE_COUNT);
  return Array.from({ length: count }, (_, i) => memory.u32(table + C.QUEUE_TABLE_REFS + i * 4));
}

function fixed(problem: string): DatapathError {
  return fault('ERR_QUEUE_FIXED', problem, C.EOPNOTSUPP);
}

function fault(
  code: 'ERR_NO_SUCH_PORT' | 'ERR_NO_SUCH_QUEUE' | 'ERR_QUEUE_FIXED' | 'ERR_WORKER',
  problem: string,
  errno: number,
): DatapathError {
  return new DatapathError(code, problem, { errno, operation: 'queue move' });
}
