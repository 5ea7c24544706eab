/*
 * A datapath: ports, flows, upcalls, and the threads that move packets between them.
 *
 * Concepts. Two ways to run. Without workers the calling thread does everything when it calls `poll` (or `process`): receive, look up, act,
 * and have the handler answer the misses. With workers `start` sets pollers going, each over its own ports, and the owner thread
 * answers their misses, ages flows, and writes what ports with files or sockets have to write, in the background.
 *
 * Ownership. `open` makes the memory; `close` (or `await using`) stops the threads, closes the ports and lets it go. Threads. One object on the
 * thread that opened it, the owner thread; workers are inside. What can be lost: see DatapathStats, which names it.
 */
import * as C from '../../assembly/constants.ts';
import { GROUP_VPORT } from '../../assembly/kernel/families.ts';
import { DatapathError } from '../errors.ts';
import { KernelClient, OWN_PORT_ID } from '../kernel/client.ts';
import { FrontDoor } from '../kernel/front-door.ts';
import { publish, watchGroups } from '../kernel/notifications.ts';
import { registerDatapath, unregisterDatapath } from '../kernel/registry.ts';
import { Distribution } from '../ports/distribution.ts';
import type { MemoryPort } from '../ports/memory.ts';
import { Ports } from '../ports/ports.ts';
import { integer } from '../ranges.ts';
import { Dispatcher } from '../upcall/dispatcher.ts';
import type { UpcallHandler } from '../upcall/handler.ts';
import { perPacket, type UpcallFunction } from '../upcall/per-packet.ts';
import { loadModule } from '../wasm/load.ts';
import { DatapathMemory } from '../wasm/memory.ts';
import { OwnerLoop } from '../worker/owner-loop.ts';
import { WorkerPool } from '../worker/pool.ts';
import { Ageing } from './ageing.ts';
import { Bonds } from './bonds.ts';
import { Flows } from './flows.ts';
import {
  type ActionsContext,
  type ActionsHandle,
  type ActionsInput,
  holdActions,
  holdMask,
  type MaskHandle,
} from './handles.ts';
import { Maintenance } from './maintenance.ts';
import { Meters } from './meters.ts';
import { capacityOf, type DatapathOptions, type OpenOptions, resolveOptions } from './options.ts';
import { type SampleListener, type SampleOptions, Samples } from './samples.ts';
import { type DatapathStats, StatsReader } from './stats.ts';
import { POLL_BREATHS, Turn } from './turn.ts';

export class Datapath implements AsyncDisposable {
  /** Where messages go in: for the wasm transport. */
  readonly door: FrontDoor;
  readonly options: OpenOptions;
  /** Netlink port id of the handler, for USERSPACE actions. Upcalls for port ids that nobody has are lost, as in the kernel. */
  readonly portId = OWN_PORT_ID;
  readonly ports: Ports;
  /** Which worker polls which queue. */
  readonly queues: Distribution;
  readonly flows: Flows;
  readonly meters: Meters;
  readonly bonds: Bonds;
  readonly ageing: Ageing;
  readonly #memory: DatapathMemory;
  readonly #client: KernelClient;
  readonly #stats: StatsReader;
  readonly #dispatcher: Dispatcher;
  readonly #samples: Samples;
  #unwatch: (() => void) | undefined;
  readonly #loop: OwnerLoop;
  readonly #turn: Turn;
  #pool: WorkerPool | undefined;
  #handler: UpcallHandler | undefined;
  #started = false;
  #closed: Promise<void> | undefined;

  /** Opens a datapath. Throws RangeError for impossible sizes and names, DatapathError ERR_OUT_OF_MEMORY, ERR_WASM. */
  static async open(options: DatapathOptions = {}): Promise<Datapath> {
    options.signal?.throwIfAborted();
    const datapath = Datapath.bare(options);
    datapath.#client.newDatapath(datapath.options.name);
    datapath.enter();
    return datapath;
  }

  /** A memory in which a message can make a datapath; `enter` then. For the wasm transport. */
  static bare(options: DatapathOptions): Datapath {
    const resolved = resolveOptions(options);
    const memory = DatapathMemory.create(loadModule(resolved.build), capacityOf(resolved));
    return new Datapath(resolved, memory);
  }

  private constructor(options: OpenOptions, memory: DatapathMemory) {
    const slots = options.workers + 1;
    this.options = options;
    this.#memory = memory;
    this.door = new FrontDoor(memory, (group, message) => this.#heard(group, message));
    this.#client = new KernelClient(this.door);
    memory.setOption(C.OPTION_EMC, options.emc);
    this.#stats = new StatsReader(memory, slots);
    this.flows = new Flows(memory);
    this.meters = new Meters(memory);
    this.bonds = new Bonds(memory);
    this.ageing = new Ageing(memory, options);
    const pollers = (): number => this.pollers;
    this.ports = new Ports({
      ...{ memory, door: this.door, client: this.#client, stats: this.#stats, workerSlots: slots, pollers },
      internalPorts: options.internalPorts,
      onChange: () => this.#portsChanged(),
      onReopened: () => void this.queues.uphold(),
      onFailure: (name, reason) => this.options.onEvent?.({ type: 'port-failed', name, reason }),
    });
    this.queues = new Distribution({ memory, ports: this.ports, workerSlots: slots, pollers, options });
    this.#dispatcher = new Dispatcher(memory, {
      rings: Array.from({ length: slots }, (_, slot) => memory.upcallRing(slot)),
      timeoutMs: options.upcallTimeoutMs,
      carryOut: (worker, count, handler) =>
        memory.wasm.answerTaken(worker, count, handler?.idleTimeoutMs ?? 0, handler?.hardTimeoutMs ?? 0),
      afterBatch: () => this.ports.service(),
      onEvent: (event) => this.options.onEvent?.(event),
    });
    this.#samples = new Samples(memory, (reason) => this.options.onEvent?.({ type: 'sample-error', reason }));
    const { ports } = this;
    const maintenance = new Maintenance(this.ageing, (nowMs) => this.#keepHouse(nowMs));
    this.#turn = new Turn({ memory, ports, maintenance, dispatcher: this.#dispatcher, samples: this.#samples });
    this.#loop = new OwnerLoop(memory, this.#turn);
    this.#stats.markHostBlocks();
    this.#turn.tellTime();
  }

  /** The datapath was made: it is in the list of this process from now on, if nobody there has its name or dp_ifindex. */
  enter(): void {
    const { signal } = this.options;
    registerDatapath(this);
    this.#unwatch = watchGroups((groups) => this.door.listen(groups));
    signal?.addEventListener('abort', () => void this.close(), { once: true });
  }

  /** The name that its port 0 has. */
  get name(): string {
    const address = this.#memory.superblock(C.SB_VPORTS) + C.VPORT_NAME;
    const bytes = Buffer.from(this.#memory.copy(address, C.IFNAMSIZ));
    return bytes.toString('latin1', 0, bytes.indexOf(0));
  }

  /** A message has removed it: there is nothing left but to close it. */
  removed(): void {
    unregisterDatapath(this);
    void this.close();
  }

  #heard(group: number, message: Uint8Array<ArrayBuffer>): void {
    if (group === GROUP_VPORT) this.ports.heard(message);
    publish(group, message);
  }

  /** The memory and the instance of the calling thread: for handlers and ports that live inside this package, and for tests. */
  get memory(): DatapathMemory {
    return this.#memory;
  }

  /**
   * Sets who answers upcalls: a handler, or a function that is called with one packet at a time. Replaces the one before; undefined: misses are
   * dropped (upcallNoHandler).
   */
  async onUpcall(handler: UpcallHandler | UpcallFunction | undefined): Promise<void> {
    this.#assertOpen();
    const wasRunning = this.#started;
    await this.stop(); // a ring changes its consumer only while no worker polls
    this.#retireHandler();
    if (this.#closed !== undefined && handler === undefined) return; // it was closed meanwhile
    this.#assertOpen();
    if (handler !== undefined) await this.#install(typeof handler === 'function' ? perPacket(handler) : handler);
    if (wasRunning) await this.start();
  }

  async #install(handler: UpcallHandler): Promise<void> {
    await handler.attach?.(this);
    handler.portsChanged?.([...this.ports]);
    this.#handler = handler;
    if (handler.answersInWorkers) this.#memory.setOption(C.OPTION_RULES, true);
    else this.#dispatcher.handler = handler;
    this.#memory.setOption(C.OPTION_HANDLER, true);
  }

  #retireHandler(): void {
    this.#memory.setOption(C.OPTION_HANDLER, false);
    this.#memory.setOption(C.OPTION_RULES, false);
    this.#dispatcher.handler = undefined;
    this.#handler?.close?.();
    this.#handler = undefined;
  }

  get handler(): UpcallHandler | undefined {
    return this.#handler;
  }

  /**
   * Sets who gets what PSAMPLE actions sample, on this thread in its turns; undefined: nobody, and samples are only counted. What the listener
   * throws becomes an event. Throws RangeError for impossible sizes, DatapathError ERR_OUT_OF_MEMORY.
   */
  onSample(listener: SampleListener | undefined, options?: SampleOptions): void {
    this.#assertOpen();
    this.#samples.listen(listener, this.options.workers + 1, options);
    this.#stats.markHostBlocks();
  }

  /** Holds an action list for answers; see ActionsHandle. */
  actions(actions: ActionsInput, context?: ActionsContext): ActionsHandle {
    return holdActions(this.#memory, actions, context);
  }

  /** Holds a mask for answers: flat, or what `fieldsMask` and `exactMask` make. */
  mask(mask: Uint8Array): MaskHandle {
    return holdMask(this.#memory, mask);
  }

  /**
   * One turn on the calling thread: up to `breaths` batches of its ports, then the answers to their misses, then the ports' own work. Returns the
   * number of packets received.
   */
  poll(breaths = POLL_BREATHS): number {
    this.#assertOpen();
    const received = this.#turn.round(breaths);
    this.#turn.afterRound(received);
    return received;
  }

  /**
   * Processes frames that arrive on a memory port, on the calling thread, to the end: when this returns (and the handler answers at once), every
   * frame is forwarded or accounted for.
   */
  process(port: MemoryPort, frames: Iterable<Uint8Array>): void {
    if (port.worker !== 0)
      throw new TypeError(`port ${port.name} is polled by worker ${port.worker}, not by the calling thread`);
    for (const frame of frames) {
      while (!port.send(frame)) this.poll();
    }
    while (port.pending > 0) this.poll();
  }

  /**
   * One short task on a pool thread that empties the rings of worker `worker`'s ports once, for programs that have packets now and then and
   * want neither pollers nor the work on their own thread. Its misses are answered here. Resolves with the packets received.
   */
  async batch(worker: number): Promise<number> {
    this.#assertOpen();
    integer('worker', worker, 1, this.options.workers);
    this.#turn.tellTime();
    const received = await this.#makePool().batch(worker);
    this.#dispatcher.dispatch();
    this.#samples.deliver();
    this.ports.service();
    return received;
  }

  #makePool(): WorkerPool {
    this.#pool ??= new WorkerPool(this.#memory, {
      pollers: this.options.workers,
      standby: this.options.standby,
      affinity: () => this.options.affinity,
      onEvent: (event) => this.options.onEvent?.(event),
    });
    return this.#pool;
  }

  /** Starts the pollers and the background work. Without workers: the background work, which polls too. */
  async start(): Promise<void> {
    this.#assertOpen();
    if (this.#started) return;
    this.#started = true;
    if (this.options.workers > 0) await this.#makePool().start();
    this.#dispatcher.start();
    this.#loop.start();
  }

  /** Stops the pollers; flows, ports and queued upcalls stay. */
  async stop(): Promise<void> {
    if (!this.#started) return;
    this.#started = false;
    this.#loop.stop();
    await this.#pool?.stop();
    await this.#dispatcher.stop();
    this.#dispatcher.dispatch();
    this.#samples.deliver();
    this.ports.service();
  }

  get running(): boolean {
    return this.#started;
  }

  /** Workers that poll, when the datapath is started: 1 to this one. */
  get pollers(): number {
    return this.#pool?.active ?? this.options.workers;
  }

  /**
   * Has `count` of the workers poll from now on, 1 to `workers` of them. Those that stop leave their queues to the others; those that begin get their part
   * by the load. Throws RangeError, DatapathError ERR_QUEUE_FIXED when one that is to stop polls a port that cannot move: nothing has changed then.
   */
  async setPollers(count: number): Promise<void> {
    this.#assertOpen();
    integer('pollers', count, 1, this.options.workers);
    if (count < this.pollers) await this.queues.retreat(count);
    await this.#makePool().setActive(count);
    await this.queues.spread();
  }

  /** CPUs for the pollers, in turn, instead of those of the options; none: wherever the scheduler puts them. Needs the native addon. */
  async setAffinity(cpus: readonly number[]): Promise<void> {
    const wasRunning = this.#started;
    await this.stop();
    this.options.affinity = cpus;
    if (wasRunning) await this.start();
    await this.queues.uphold();
  }

  /** Whether the exact-match cache is used. */
  set emc(on: boolean) {
    this.#memory.setOption(C.OPTION_EMC, on);
  }

  /** Every replaying port has delivered all it had, and no upcall waits. */
  get exhausted(): boolean {
    if (this.#dispatcher.waiting || this.stats().upcallsPending > 0) return false;
    for (const port of this.ports) if (!port.exhausted) return false;
    return true;
  }

  stats(): DatapathStats {
    return this.#stats.read();
  }

  /** Walks the flow table and verifies its invariants; 0 when all hold. See assembly/check.ts. */
  check(): number {
    return this.#memory.wasm.check();
  }

  /** The worker pool, once started: for tests of lost workers. */
  get pool(): WorkerPool | undefined {
    return this.#pool;
  }

  /** Stops, closes the ports, and counts what was still queued as upcallStale. May be called more than once. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await this.stop();
    this.#retireHandler();
    this.#dispatcher.abandon();
    this.#samples.close();
    unregisterDatapath(this);
    if (this.door.exists) this.#client.deleteDatapath();
    await this.ports.close();
    this.#unwatch?.();
    await this.#pool?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #assertOpen(): void {
    if (this.#closed !== undefined) throw new DatapathError('ERR_DATAPATH_CLOSED', `datapath ${this.name} is closed`);
  }

  #keepHouse(nowMs: number): void {
    this.#memory.wasm.sortSubtables();
    this.queues.sample();
    this.#handler?.tick?.(nowMs);
  }

  #portsChanged(): void {
    this.#stats.markHostBlocks();
    void this.queues.uphold();
    this.#handler?.portsChanged?.([...this.ports]);
  }
}
