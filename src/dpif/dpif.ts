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
import { attempt } from './dpif-core.ts';
import { DpifServices } from './dpif-services.ts';
import { EBUSY, EEXIST, ENODEV, ENOENT, explain, FLOW_ERRORS, OPEN_ERRORS, PORT_ERRORS } from './errors.ts';
import { FlowDump } from './flow-dump.ts';
import { executeWithHelp, wantsHelp } from './help.ts';
import { say } from './log.ts';
import { operationName } from './netlink-flows.ts';
import type { FlowDumpOptions } from './provider.ts';
import { findProvider, parseDatapathName, providerTypes } from './registry.ts';
import {
  DPIF_FP_PROBE,
  type DpifOp,
  type DpifPort,
  type DpStats,
  type Execute,
  type FlowDel,
  type FlowGet,
  type FlowPut,
  type PortChange,
  type PortRequest,
  type PortStats,
} from './types.ts';

export interface DpifOpenOptions {
  /** Make it; it must not be there. */
  create?: boolean;
}

export class Dpif extends DpifServices implements Disposable {
  /** Opens `[type@]name`. Throws ERR_NO_SUCH_DATAPATH, ERR_DATAPATH_EXISTS, ERR_NO_SUCH_PROVIDER, ERR_NETLINK_NO_SUCH_FAMILY, ERR_NETLINK_PERMISSION. */
  static open(fullName: string, options: DpifOpenOptions = {}): Dpif {
    const { type, name } = parseDatapathName(fullName);
    const provider = findProvider(type);
    const { create = false } = options;
    const operation = `${create ? 'create' : 'open'} ${type}@${name}`;
    const quiet = create ? [EEXIST, EBUSY] : [];
    return new Dpif(
      provider.type,
      attempt(operation, OPEN_ERRORS(name, type), () => provider.open(name, create), quiet),
    );
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

  /** Names of the datapaths of a kind. Throws, and logs no warning, when the kernel has no such kind (ENOENT): a host without the module is not in trouble. */
  static enumerate(type: string): string[] {
    const provider = findProvider(type);
    return attempt(`list datapaths of type ${provider.type}`, {}, () => provider.enumerate(), [ENOENT]);
  }

  /** The type of device that a port of this type is opened as in a datapath of this type. */
  static portOpenType(type: string, portType: string): string {
    return findProvider(type).portOpenType?.(portType) ?? portType;
  }

  /** Lets go of it; the datapath stays. Idempotent. */
  close(): void {
    this.closeService();
    this.provider.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Deletes the datapath with its ports and flows. */
  destroy(): void {
    this.attempt('delete the datapath', {}, () => this.provider.destroy());
  }

  /** Periodic work of the provider; true: flows must be looked at again. */
  run(): boolean {
    return this.provider.run?.() ?? false;
  }

  /** Resolves when `run` may have something to do: never with a provider for which there is nothing to wait for. Rejects when `signal` is aborted. */
  async wait(signal?: AbortSignal): Promise<void> {
    if (this.provider.wait !== undefined) return this.provider.wait(signal);
    signal?.throwIfAborted();
    await new Promise<never>((_, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    });
  }

  stats(): DpStats {
    return this.attempt('datapath statistics', {}, () => this.provider.getStats());
  }

  /** OVS_DP_F_*. */
  features(): number {
    return this.provider.getFeatures?.() ?? 0;
  }

  setFeatures(features: number): void {
    this.attempt('set features', {}, () => this.need('setFeatures')(features));
  }

  setConfig(config: Readonly<Record<string, string>>): void {
    this.attempt('set configuration', {}, () => this.provider.setConfig?.(config));
  }

  /** Undefined: not known. */
  datapathVersion(): string | undefined {
    return this.provider.getDatapathVersion?.();
  }

  // ---------------------------------------------------------------------------------------------- ports

  /** Adds a port; returns its number. */
  portAdd(port: PortRequest, portNo?: number): number {
    return this.attempt(`port add ${port.name}`, PORT_ERRORS, () => this.provider.portAdd(port, portNo));
  }

  portDel(portNo: number): void {
    this.attempt(`port del ${portNo}`, PORT_ERRORS, () => this.provider.portDel(portNo));
  }

  portSetConfig(portNo: number, config: Readonly<Record<string, string>>): void {
    this.attempt(`port set ${portNo}`, PORT_ERRORS, () => this.need('portSetConfig')(portNo, config));
  }

  portExists(name: string): boolean {
    return this.portQueryByName(name) !== undefined;
  }

  portQueryByNumber(portNo: number): DpifPort | undefined {
    return this.attempt(`port ${portNo}`, PORT_ERRORS, () => this.provider.portQueryByNumber(portNo), [ENODEV]);
  }

  portQueryByName(name: string): DpifPort | undefined {
    return this.attempt(`port ${name}`, PORT_ERRORS, () => this.provider.portQueryByName(name), [ENODEV]);
  }

  /** Netlink port id for USERSPACE actions on packets of the port (undefined: of any). */
  portGetPid(portNo?: number): number {
    return this.provider.portGetPid?.(portNo) ?? 0;
  }

  ports(): Iterable<DpifPort> {
    return this.walk('list ports', PORT_ERRORS, () => this.provider.portDump());
  }

  portsAsync(): AsyncIterable<DpifPort> {
    return this.walk('list ports', PORT_ERRORS, () => this.provider.portDump());
  }

  portStats(portNo: number): PortStats {
    return this.attempt(`statistics of port ${portNo}`, PORT_ERRORS, () => this.provider.portStats(portNo));
  }

  /** Of a tunnel: what `add-if` takes. */
  portOptions(portNo: number): Record<string, string> {
    return this.attempt(`port ${portNo}`, PORT_ERRORS, () => this.provider.portOptions?.(portNo) ?? {});
  }

  /** What changed since the last call; the first says 'changed'. Undefined: nothing. */
  portPoll(): PortChange | undefined {
    return this.attempt('port changes', {}, () => this.provider.portPoll());
  }

  /** Resolves when `portPoll` may have something to say. */
  portPollWait(signal?: AbortSignal): Promise<void> {
    return this.provider.portPollWait(signal);
  }

  // ---------------------------------------------------------------------------------------------- flows and packets

  /** Deletes all flows. */
  flowFlush(): void {
    this.attempt('flow flush', {}, () => this.provider.flowFlush());
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

  /**
   * Carries the operations out in order; those that need help (Execute.needsHelp, lists of more than 65,531 bytes) partly here. Each gets its `error` or its
   * results; throws only what keeps all of them from being tried.
   */
  operate(ops: readonly DpifOp[]): void {
    for (const run of cutByHelp(ops)) {
      if (isHelped(run)) this.#help(run[0]);
      else this.attempt('flow operations', {}, () => this.provider.operate(run));
    }
    for (const op of ops) this.#explainOp(op);
  }

  /** The same, giving way to the event loop between parts. */
  async operateAsync(ops: readonly DpifOp[], signal?: AbortSignal): Promise<void> {
    for (const run of cutByHelp(ops)) {
      if (isHelped(run)) this.#help(run[0]);
      else await this.attemptAsync('flow operations', {}, () => this.provider.operateAsync(run, signal));
    }
    for (const op of ops) this.#explainOp(op);
  }

  flowDump(options: FlowDumpOptions = {}): FlowDump {
    return new FlowDump(this.provider.flowDump(options), (error) => explain(error, `${this.fullName}: flow dump`));
  }

  #one<T extends DpifOp>(op: T): T {
    this.operate([op]);
    if (op.error !== undefined) throw op.error;
    return op;
  }

  #help(op: Execute): void {
    op.error = executeWithHelp(op, (part) => {
      this.provider.operate([part]);
      return part.error;
    }) as DatapathError | undefined;
  }

  #explainOp(op: DpifOp): void {
    if (op.error === undefined) return;
    const error = explain(op.error, `${this.fullName}: ${operationName(op)}`, FLOW_ERRORS) as DatapathError;
    op.error = error;
    if (!isProbe(op)) say(error.errno === EEXIST ? 'dbg' : 'warn', () => error.message);
  }
}

/** Runs of operations for the provider, and between them, alone, those that need help. */
function cutByHelp(ops: readonly DpifOp[]): (readonly DpifOp[])[] {
  if (!ops.some(needsHelp)) return ops.length === 0 ? [] : [ops];
  const runs: DpifOp[][] = [];
  for (const op of ops) {
    const last = runs.at(-1);
    if (last === undefined || needsHelp(op) || isHelped(last)) runs.push([op]);
    else last.push(op);
  }
  return runs;
}

function isHelped(run: readonly DpifOp[]): run is [Execute] {
  return needsHelp(run[0]);
}

function needsHelp(op: DpifOp): boolean {
  return op.type === 'execute' && wantsHelp(op);
}

function isProbe(op: DpifOp): boolean {
  return (op.type === 'flow_put' && (op.flags & DPIF_FP_PROBE) !== 0) || (op.type === 'execute' && op.probe === true);
}
