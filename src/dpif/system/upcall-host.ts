/*
 * An upcall handler on a datapath of the kernel: the same handler, batches and dispatcher as on a WASM datapath, between the kernel's sockets and its flow table.
 *
 *     sockets -> receivers -> rings -> Dispatcher -> handler -> Answers -> FLOW NEW, PACKET EXECUTE
 *
 * Before it: Dpif.onUpcall. After it: receiver.ts, answers.ts, flow-ageing.ts.
 *
 * Concepts. Everything happens when a socket is readable, on the event loop. While a handler thinks about a batch (a promise), its ring fills, then its sockets, then the
 * kernel drops: 'upcalls-lost', once a second at most. Ports are read again when the kernel says that they changed. Ageing and the handler's `tick` come once a second.
 * Threads: one. What can be lost: upcalls, by the kernel (DpStats.lost); batches of a handler that fails (events).
 */
import * as C from '../../../assembly/constants.ts';
import type { MatchInput } from '../../datapath/flows.ts';
import { flatten } from '../../datapath/flows.ts';
import {
  type ActionsContext,
  type ActionsHandle,
  type ActionsInput,
  holdActions,
  holdMask,
  type MaskHandle,
} from '../../datapath/handles.ts';
import { Dispatcher } from '../../upcall/dispatcher.ts';
import type { UpcallHandler, UpcallHost, UpcallPort } from '../../upcall/handler.ts';
import { monotonicMs } from '../../wasm/clock.ts';
import type { DatapathMemory } from '../../wasm/memory.ts';
import { ENODEV, errnoOf } from '../errors.ts';
import type { DpifFlow, FlowDel } from '../types.ts';
import {
  IDLE_TIMEOUT_MS,
  UPCALL_TIMEOUT_MS,
  type UpcallEvent,
  type UpcallService,
  type UpcallServiceOptions,
} from '../upcall-service.ts';
import type { Answers, TimeoutsOf } from './answers.ts';
import { FlowAgeing } from './flow-ageing.ts';
import type { UpcallReceiver } from './receiver.ts';
import type { SystemDatapath } from './system-datapath.ts';
import type { SystemUpcalls } from './upcalls.ts';

const TICK_MS = 1000;
/** Fillings of a ring that one turn of the event loop serves. */
const ROUNDS_MAX = 16;
/** Flows read at once by deleteWhere. */
const FLOWS_BATCH = 256;

export class SystemUpcallHost implements UpcallHost, UpcallService {
  readonly memory: DatapathMemory;
  readonly flows = {
    flush: (): void => this.#flush(),
    deleteWhere: (match: MatchInput): number => this.#deleteWhere(match),
  };
  readonly #datapath: SystemDatapath;
  readonly #handler: UpcallHandler;
  readonly #options: UpcallServiceOptions;
  readonly #upcalls: SystemUpcalls;
  readonly #dispatcher: Dispatcher;
  readonly #answers: Answers;
  readonly #ageing: FlowAgeing;
  readonly #scratch: number;
  readonly #paused = new Set<UpcallReceiver>();
  readonly #ended = new AbortController();
  #ports: readonly UpcallPort[] = [];
  /** The datapath said so when it was to carry answers out. */
  #isGone = false;
  #timer: NodeJS.Timeout | undefined;
  #lossesTold = new Set<number>();

  /** Throws what recvSet throws, and what the handler's `attach` does. */
  static async start(
    datapath: SystemDatapath,
    handler: UpcallHandler,
    options: UpcallServiceOptions,
  ): Promise<SystemUpcallHost> {
    if (options.handlers !== undefined) datapath.handlersSet(options.handlers);
    datapath.recvSet(true, options);
    const host = new SystemUpcallHost(datapath, handler, options);
    try {
      await host.#begin();
    } catch (error) {
      await host.close();
      throw error;
    }
    return host;
  }

  private constructor(datapath: SystemDatapath, handler: UpcallHandler, options: UpcallServiceOptions) {
    this.#datapath = datapath;
    this.#handler = handler;
    this.#options = options;
    this.#upcalls = datapath.upcalls;
    this.memory = this.#upcalls.memory;
    this.#scratch = this.memory.allocate(3 * C.KEY_SIZE + C.MATCH_SIZEOF + 2 * ATTRIBUTES_MAX, 'the upcall host');
    this.#ageing = new FlowAgeing(datapath);
    this.#answers = datapath.answers(this.memory, {
      onInstalled: (flow) => this.#ageing.note(flow),
      onRefused: (what, worker, error) => {
        if (error.errno === ENODEV) this.#isGone = true;
        else if (what === 'execute') this.#tell({ type: 'execute-failed', worker, errno: error.errno ?? 0, error });
      },
    });
    this.#dispatcher = new Dispatcher(this.memory, {
      rings: this.#upcalls.receivers.map(({ handler: slot }) => this.memory.upcallRing(slot)),
      timeoutMs: options.timeoutMs ?? UPCALL_TIMEOUT_MS,
      carryOut: (worker, count) => this.#carryOutOfHandler(worker, count),
      afterBatch: () => this.#goOn(),
      onEvent: (event) => this.#tell(event),
    });
    this.#upcalls.onOverrun = (tag) => this.#lost(tag);
  }

  get ports(): Iterable<UpcallPort> {
    return this.#ports;
  }

  /** Flows that answers installed and whose timeouts are watched. */
  get ageing(): FlowAgeing {
    return this.#ageing;
  }

  actions(actions: ActionsInput, context?: ActionsContext): ActionsHandle {
    return holdActions(this.memory, actions, context);
  }

  mask(mask: Uint8Array): MaskHandle {
    return holdMask(this.memory, mask);
  }

  async close(): Promise<void> {
    if (this.#ended.signal.aborted) return;
    this.#ended.abort();
    clearInterval(this.#timer);
    for (const receiver of this.#upcalls.receivers) receiver.unwatch();
    this.#dispatcher.handler = undefined;
    this.#dispatcher.abandon();
    this.#handler.close?.();
    this.#upcalls.onOverrun = undefined;
    this.#datapath.recvSet(false);
  }

  async #begin(): Promise<void> {
    this.#datapath.portPoll();
    this.#ports = [...this.#datapath.portDump()];
    await this.#handler.attach?.(this);
    this.#handler.portsChanged?.(this.#ports);
    if (!this.#handler.answersInWorkers) this.#dispatcher.handler = this.#handler;
    for (const receiver of this.#upcalls.receivers) this.#watch(receiver);
    this.#timer = setInterval(() => this.#guard(() => this.#tick()), TICK_MS);
    void this.#watchPorts();
  }

  #watch(receiver: UpcallReceiver): void {
    receiver.watch(() => this.#guard(() => this.#serve(receiver)));
  }

  /** Receives and answers, until there is nothing more, the handler takes its time, or others should have a turn. */
  #serve(receiver: UpcallReceiver): void {
    for (let round = 0; round < ROUNDS_MAX; round++) {
      receiver.receive();
      const answered = this.#handler.answersInWorkers
        ? this.#serveRules(receiver.handler)
        : this.#dispatcher.dispatch();
      if (this.#ended.signal.aborted) return;
      if (!receiver.full) return;
      if (answered > 0) continue;
      receiver.unwatch();
      this.#paused.add(receiver);
      return;
    }
  }

  /** The rule table of the memory decides. */
  #serveRules(worker: number): number {
    const { wasm } = this.memory;
    let total = 0;
    for (let count = -1; count !== 0; total += count) {
      count = wasm.take(worker, C.UPCALL_TAKE_MAX);
      wasm.decideTaken(worker, count);
      const errno = this.#carryOut(worker, count, (frame) => this.#timeoutsOfRule(frame));
      if (errno !== 0) this.#tell({ type: 'flow-put-failed', worker, errno });
    }
    return total;
  }

  #carryOutOfHandler(worker: number, count: number): number {
    const timeouts = this.#timeouts(this.#handler.idleTimeoutMs, this.#handler.hardTimeoutMs);
    return this.#carryOut(worker, count, () => timeouts);
  }

  /** Returns 0 too when the datapath is gone: that is one event, however many answers it refused. */
  #carryOut(worker: number, count: number, timeoutsOf: TimeoutsOf): number {
    let errno = 0;
    this.#guard(() => {
      errno = this.#answers.carryOut(worker, count, timeoutsOf);
    });
    if (!this.#isGone) return errno;
    this.#gone();
    return 0;
  }

  #timeoutsOfRule(frame: number): { idleMs: number; hardMs: number } {
    const rule = this.memory.u32(frame + C.UPCALL_NEXT);
    if (rule === 0) return this.#timeouts(0, 0);
    return this.#timeouts(this.memory.u32(rule + C.RULE_IDLE_MS), this.memory.u32(rule + C.RULE_HARD_MS));
  }

  #timeouts(idleMs: number | undefined, hardMs: number | undefined): { idleMs: number; hardMs: number } {
    const { idleTimeoutMs = IDLE_TIMEOUT_MS, hardTimeoutMs = 0 } = this.#options;
    return { idleMs: idleMs || idleTimeoutMs, hardMs: hardMs || hardTimeoutMs };
  }

  /** A batch was carried out, so rings have room again; one that took its time has left upcalls in its ring that nothing else will call for. */
  #goOn(): void {
    if (this.#ended.signal.aborted) return;
    for (const receiver of this.#paused) this.#watch(receiver);
    this.#paused.clear();
    setImmediate(() => {
      if (this.#ended.signal.aborted) return;
      for (const receiver of this.#upcalls.receivers) this.#guard(() => this.#serve(receiver));
    });
  }

  async #watchPorts(): Promise<void> {
    const { signal } = this.#ended;
    try {
      for (;;) {
        await this.#datapath.portPollWait(signal);
        let changed = false;
        while (this.#datapath.portPoll() !== undefined) changed = true;
        this.#datapath.run();
        if (changed) this.#readPorts();
      }
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
    }
  }

  #readPorts(): void {
    this.#ports = [...this.#datapath.portDump()];
    this.#handler.portsChanged?.(this.#ports);
  }

  #tick(): void {
    this.#lossesTold.clear();
    this.#handler.tick?.(monotonicMs());
    this.#ageing.round().catch((error: unknown) => this.#fail(error));
  }

  #flush(): void {
    this.#datapath.flowFlush();
    this.#ageing.forget();
  }

  #deleteWhere(match: MatchInput): number {
    const { key, mask } = flatten(match);
    this.memory.bytes.set(key, this.#scratch);
    const doomed: FlowDel[] = [];
    const dump = this.#datapath.flowDump({});
    const thread = dump.thread();
    for (let flows = thread.next(FLOWS_BATCH); flows.length > 0; flows = thread.next(FLOWS_BATCH)) {
      for (const flow of flows)
        if (this.#saysTheSame(key, mask, flow)) doomed.push({ type: 'flow_del', ...identityOf(flow) });
    }
    dump.close();
    this.#datapath.operate(doomed);
    return doomed.filter(({ error }) => error === undefined).length;
  }

  /** Whether the flow matches at least what `mask` says, with the values of `key`. */
  #saysTheSame(key: Uint8Array, mask: Uint8Array, flow: DpifFlow): boolean {
    const { memory } = this;
    const { key: keyAttrs, mask: maskAttrs } = flow;
    if (keyAttrs === undefined || keyAttrs.length > ATTRIBUTES_MAX || (maskAttrs?.length ?? 0) > ATTRIBUTES_MAX)
      return false;
    const [flowKey, flowMask, work] = [1, 2, 3].map((i) => this.#scratch + i * C.KEY_SIZE);
    const at = work + C.MATCH_SIZEOF;
    memory.bytes.set(keyAttrs, at);
    if (maskAttrs !== undefined) memory.bytes.set(maskAttrs, at + ATTRIBUTES_MAX);
    const maskAt = maskAttrs === undefined ? 0 : at + ATTRIBUTES_MAX;
    const maskSize = maskAttrs?.length ?? 0;
    if (memory.wasm.parseMatch(at, keyAttrs.length, maskAt, maskSize, flowKey, flowMask, work) !== 0) return false;
    for (let i = 0; i < C.KEY_SIZE; i++) {
      const difference = (key[i] ^ memory.bytes[flowKey + i]) | ~memory.bytes[flowMask + i];
      if ((difference & mask[i]) !== 0) return false;
    }
    return true;
  }

  #lost(tag: number): void {
    if (this.#lossesTold.has(tag)) return;
    this.#lossesTold.add(tag);
    const portNo = this.#upcalls.sockets.dispatch === 'per-vport' ? tag : undefined;
    this.#tell({ type: 'upcalls-lost', portNo });
  }

  /** Whoever calls from the event loop has nobody to throw to. */
  #guard(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(reason: unknown): void {
    if (errnoOf(reason) === ENODEV) this.#gone();
    else this.#end({ type: 'upcalls-failed', reason });
  }

  #gone(): void {
    this.#end({ type: 'datapath-gone' });
  }

  #end(event: UpcallEvent): void {
    if (this.#ended.signal.aborted) return;
    void this.close();
    this.#tell(event);
  }

  #tell(event: UpcallEvent): void {
    this.#options.onEvent?.(event);
  }
}

/** Bytes of the attributes of a key or a mask; the kernel's are at most 656. */
const ATTRIBUTES_MAX = 2048;

function identityOf({ ufid, key }: DpifFlow): Pick<FlowDel, 'ufid' | 'key'> {
  return ufid === undefined ? { key: key! } : { ufid };
}
