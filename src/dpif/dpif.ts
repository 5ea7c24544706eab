/*
 * Dpif: a handle of a datapath, of whatever kind: lib/dpif.c of Open vSwitch. Before it: programs, `wdp`, upcall handlers. After it: a provider (provider.ts), of
 * which it does once what is the same for all: names, what errors mean, the log, cutting of operations.
 *
 *     using dpif = Dpif.open('system@ovs-system');
 *     for (const port of dpif.ports()) console.log(port.portNo, port.name);
 *
 * Errors: DatapathError with the errno of the datapath and a line that a person understands. What a provider has no answer to is EOPNOTSUPP.
 * Threads and ownership: provider.ts.
 */
import { DatapathError } from '../errors.ts';
import type { UpcallHandler } from '../upcall/handler.ts';
import { perPacket, type UpcallFunction } from '../upcall/per-packet.ts';
import {
  dpifError,
  EBUSY,
  EEXIST,
  EOPNOTSUPP,
  explain,
  FLOW_ERRORS,
  type Meanings,
  OPEN_ERRORS,
  PORT_ERRORS,
} from './errors.ts';
import { FlowDump } from './flow-dump.ts';
import { operationName } from './netlink-flows.ts';
import type {
  FlowDumpOptions,
  ProviderDatapath,
  PurgeCallback,
  RecvOptions,
  UpcallCallback,
  Walk,
} from './provider.ts';
import { findProvider, parseDatapathName, providerTypes } from './registry.ts';
import type {
  DpifOp,
  DpifPort,
  DpifUpcall,
  DpStats,
  Execute,
  FlowDel,
  FlowGet,
  FlowPut,
  PortChange,
  PortRequest,
  PortStats,
  UpcallStats,
} from './types.ts';
import type { UpcallService, UpcallServiceOptions } from './upcall-service.ts';

export interface DpifOpenOptions {
  /** Make it; it must not be there. */
  create?: boolean;
}

export class Dpif implements Disposable {
  readonly type: string;
  readonly baseName: string;
  readonly #provider: ProviderDatapath;
  #service: UpcallService | undefined;

  private constructor(type: string, provider: ProviderDatapath) {
    this.type = type;
    this.baseName = provider.name;
    this.#provider = provider;
  }

  /** Opens `[type@]name`. Throws ERR_NO_SUCH_DATAPATH, ERR_DATAPATH_EXISTS, ERR_NO_SUCH_PROVIDER, ERR_NETLINK_NO_SUCH_FAMILY, ERR_NETLINK_PERMISSION. */
  static open(fullName: string, options: DpifOpenOptions = {}): Dpif {
    const { type, name } = parseDatapathName(fullName);
    const provider = findProvider(type);
    const { create = false } = options;
    try {
      return new Dpif(provider.type, provider.open(name, create));
    } catch (error) {
      throw explain(error, `${create ? 'create' : 'open'} ${type}@${name}`, OPEN_ERRORS(name, type));
    }
  }

  /** Makes the datapath, or opens the one that is there. */
  static createAndOpen(fullName: string): Dpif {
    try {
      return Dpif.open(fullName, { create: true });
    } catch (error) {
      if (!(error instanceof DatapathError && (error.errno === EEXIST || error.errno === EBUSY))) throw error;
      return Dpif.open(fullName);
    }
  }

  /** Kinds of datapaths that there are. */
  static types(): string[] {
    return providerTypes();
  }

  /** Names of the datapaths of a kind. */
  static enumerate(type: string): string[] {
    const provider = findProvider(type);
    return attempt(`list datapaths of type ${provider.type}`, {}, () => provider.enumerate());
  }

  get fullName(): string {
    return `${this.type}@${this.baseName}`;
  }

  /** Lets go of it; the datapath stays. Idempotent. */
  close(): void {
    void this.#service?.close();
    this.#service = undefined;
    this.#provider.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Deletes the datapath with its ports and flows. */
  destroy(): void {
    this.#attempt('delete the datapath', {}, () => this.#provider.destroy());
  }

  /** Periodic work of the provider; true: flows must be looked at again. */
  run(): boolean {
    return this.#provider.run?.() ?? false;
  }

  async wait(signal?: AbortSignal): Promise<void> {
    await this.#provider.wait?.(signal);
  }

  stats(): DpStats {
    return this.#attempt('datapath statistics', {}, () => this.#provider.getStats());
  }

  /** OVS_DP_F_*. */
  features(): number {
    return this.#provider.getFeatures?.() ?? 0;
  }

  setFeatures(features: number): void {
    this.#attempt('set features', {}, () => this.#need('setFeatures')(features));
  }

  setConfig(config: Readonly<Record<string, string>>): void {
    this.#attempt('set configuration', {}, () => this.#provider.setConfig?.(config));
  }

  /** Undefined: not known. */
  datapathVersion(): string | undefined {
    return this.#provider.getDatapathVersion?.();
  }

  // ---------------------------------------------------------------------------------------------- ports

  /** Adds a port; returns its number. */
  portAdd(port: PortRequest, portNo?: number): number {
    return this.#attempt(`port add ${port.name}`, PORT_ERRORS, () => this.#provider.portAdd(port, portNo));
  }

  portDel(portNo: number): void {
    this.#attempt(`port del ${portNo}`, PORT_ERRORS, () => this.#provider.portDel(portNo));
  }

  portSetConfig(portNo: number, config: Readonly<Record<string, string>>): void {
    this.#attempt(`port set ${portNo}`, PORT_ERRORS, () => this.#need('portSetConfig')(portNo, config));
  }

  portExists(name: string): boolean {
    return this.portQueryByName(name) !== undefined;
  }

  portQueryByNumber(portNo: number): DpifPort | undefined {
    return this.#attempt(`port ${portNo}`, PORT_ERRORS, () => this.#provider.portQueryByNumber(portNo));
  }

  portQueryByName(name: string): DpifPort | undefined {
    return this.#attempt(`port ${name}`, PORT_ERRORS, () => this.#provider.portQueryByName(name));
  }

  /** Netlink port id for USERSPACE actions on packets of the port (undefined: of any). */
  portGetPid(portNo?: number): number {
    return this.#provider.portGetPid?.(portNo) ?? 0;
  }

  ports(): Iterable<DpifPort> {
    return this.#walk('list ports', PORT_ERRORS, () => this.#provider.portDump());
  }

  portsAsync(): AsyncIterable<DpifPort> {
    return this.#walk('list ports', PORT_ERRORS, () => this.#provider.portDump());
  }

  portStats(portNo: number): PortStats {
    return this.#attempt(`statistics of port ${portNo}`, PORT_ERRORS, () => this.#provider.portStats(portNo));
  }

  /** Of a tunnel: what `add-if` takes. */
  portOptions(portNo: number): Record<string, string> {
    return this.#attempt(`port ${portNo}`, PORT_ERRORS, () => this.#provider.portOptions?.(portNo) ?? {});
  }

  /** What changed since the last call; the first says 'changed'. Undefined: nothing. */
  portPoll(): PortChange | undefined {
    return this.#attempt('port changes', {}, () => this.#provider.portPoll());
  }

  /** Resolves when `portPoll` may have something to say. */
  portPollWait(signal?: AbortSignal): Promise<void> {
    return this.#provider.portPollWait(signal);
  }

  // ---------------------------------------------------------------------------------------------- flows and packets

  /** Deletes all flows. */
  flowFlush(): void {
    this.#attempt('flow flush', {}, () => this.#provider.flowFlush());
  }

  flowPut(op: Omit<FlowPut, 'type'>): FlowPut {
    return this.#one<FlowPut>({ type: 'flow_put', ...op });
  }

  flowDel(op: Omit<FlowDel, 'type'>): FlowDel {
    return this.#one<FlowDel>({ type: 'flow_del', ...op });
  }

  flowGet(op: Omit<FlowGet, 'type'>): FlowGet {
    return this.#one<FlowGet>({ type: 'flow_get', ...op });
  }

  execute(op: Omit<Execute, 'type'>): Execute {
    return this.#one<Execute>({ type: 'execute', ...op });
  }

  /** Carries the operations out in order. Each gets its `error` or its results; throws only what keeps all of them from being tried. */
  operate(ops: readonly DpifOp[]): void {
    this.#attempt('flow operations', {}, () => this.#provider.operate(ops));
    for (const op of ops) this.#explainOp(op);
  }

  /** The same, giving way to the event loop between parts. */
  async operateAsync(ops: readonly DpifOp[], signal?: AbortSignal): Promise<void> {
    try {
      await this.#provider.operateAsync(ops, signal);
    } catch (error) {
      throw explain(error, 'flow operations');
    }
    for (const op of ops) this.#explainOp(op);
  }

  flowDump(options: FlowDumpOptions = {}): FlowDump {
    return new FlowDump(this.#provider.flowDump(options), (error) => explain(error, 'flow dump'));
  }

  // ---------------------------------------------------------------------------------------------- upcalls

  /**
   * Sets who answers upcalls: a handler as `Datapath.onUpcall` takes it, or a function that is called with one packet at a time. Replaces the one before; undefined: nobody.
   */
  async onUpcall(
    handler: UpcallHandler | UpcallFunction | undefined,
    options: UpcallServiceOptions = {},
  ): Promise<void> {
    await this.#service?.close();
    this.#service = undefined;
    if (handler === undefined) return;
    const batchwise = typeof handler === 'function' ? perPacket(handler) : handler;
    try {
      this.#service = await this.#need('onUpcall')(batchwise, options);
    } catch (error) {
      throw explain(error, `${this.fullName}: upcalls`);
    }
  }

  /** Turns upcalls on or off for `recv`; port ids may change. */
  recvSet(enable: boolean, options?: RecvOptions): void {
    this.#attempt('upcalls', {}, () => this.#need('recvSet')(enable, options));
  }

  /** Sets how many handlers receive. */
  handlersSet(count: number): void {
    this.#attempt('handlers', {}, () => this.#need('handlersSet')(count));
  }

  /** How many handlers the datapath insists on; undefined: as many as one likes. 0: it calls back. */
  numberHandlersRequired(): number | undefined {
    return this.#provider.numberHandlersRequired?.();
  }

  /** The next upcall of a handler if there is one, without waiting. */
  recv(handler: number): DpifUpcall | undefined {
    return this.#attempt('upcall receive', {}, () => this.#need('recv')(handler));
  }

  /** Resolves when `recv` may have something. */
  recvWait(handler: number, signal?: AbortSignal): Promise<void> {
    return this.#need('recvWait')(handler, signal);
  }

  /** Discards the upcalls that wait. */
  recvPurge(): void {
    this.#provider.recvPurge?.();
  }

  /** What the receivers saw; undefined while upcalls are off. */
  upcallStats(): UpcallStats | undefined {
    return this.#provider.upcallStats?.();
  }

  /** For datapaths of this process: a function that decides each upcall where it happens, instead of `recv`. */
  registerUpcallCb(callback: UpcallCallback | undefined): void {
    this.#need('registerUpcallCb')(callback);
  }

  /** Told before flows are purged. */
  registerDpPurgeCb(callback: PurgeCallback | undefined): void {
    this.#provider.registerDpPurgeCb?.(callback);
  }

  /** Whether a registered function is called; not at the beginning. */
  enableUpcall(): void {
    this.#provider.enableUpcall?.();
  }

  disableUpcall(): void {
    this.#provider.disableUpcall?.();
  }

  /** Threads that poll the ports of a datapath of this process, and the CPUs that they run on in turn. */
  async pollThreadsSet(count: number, cpus?: readonly number[]): Promise<void> {
    await this.#provider.pollThreadsSet?.(count, cpus);
  }

  // ---------------------------------------------------------------------------------------------- caches, queues

  /** Caches whose size can be set. */
  cacheLevels(): number {
    return this.#attempt('caches', {}, () => this.#provider.cacheGetSupportedLevels?.() ?? 0);
  }

  cacheName(level: number): string {
    return this.#attempt(`cache ${level}`, {}, () => this.#need('cacheGetName')(level));
  }

  cacheSize(level: number): number {
    return this.#attempt(`cache ${level}`, {}, () => this.#need('cacheGetSize')(level));
  }

  setCacheSize(level: number, size: number): void {
    this.#attempt(`cache ${level}`, {}, () => this.#need('cacheSetSize')(level, size));
  }

  /** Priority (of SKB_PRIORITY) of an OpenFlow queue. */
  queueToPriority(queueId: number): number {
    return this.#need('queueToPriority')(queueId);
  }

  // ---------------------------------------------------------------------------------------------- inside

  #one<T extends DpifOp>(op: T): T {
    this.operate([op]);
    if (op.error !== undefined) throw op.error;
    return op;
  }

  #explainOp(op: DpifOp): void {
    if (op.error === undefined) return;
    op.error = explain(op.error, operationName(op), FLOW_ERRORS) as DatapathError;
  }

  #attempt<T>(operation: string, meanings: Meanings, step: () => T): T {
    return attempt(`${this.fullName}: ${operation}`, meanings, step);
  }

  #walk<T>(operation: string, meanings: Meanings, start: () => Walk<T>): Walk<T> {
    const what = `${this.fullName}: ${operation}`;
    return {
      *[Symbol.iterator]() {
        try {
          yield* start();
        } catch (error) {
          throw explain(error, what, meanings);
        }
      },
      async *[Symbol.asyncIterator]() {
        try {
          yield* start();
        } catch (error) {
          throw explain(error, what, meanings);
        }
      },
    };
  }

  /** A member that the provider may lack. */
  #need<N extends keyof ProviderDatapath>(name: N): NonNullable<ProviderDatapath[N]> {
    const member = this.#provider[name];
    if (typeof member !== 'function') throw dpifError(EOPNOTSUPP, `${this.fullName}: ${name}`);
    return member.bind(this.#provider) as NonNullable<ProviderDatapath[N]>;
  }
}

function attempt<T>(operation: string, meanings: Meanings, step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw explain(error, operation, meanings);
  }
}
