/*
 * What is particular to a datapath of the kernel: upcalls by sockets, its version, queues. Before it: Dpif. After it: NetlinkDpif, which has all the rest;
 * upcalls.ts. Threads: the one that opened it.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import * as K from '../../../assembly/netlink/openvswitch.ts';
import { type LinkErrors, linkErrors } from '../../ports/links.ts';
import { integer } from '../../ranges.ts';
import type { UpcallHandler } from '../../upcall/handler.ts';
import type { DatapathMemory } from '../../wasm/memory.ts';
import { dpifError, EINVAL, ENOTCONN, EOPNOTSUPP } from '../errors.ts';
import { readVport, type VportMessage, vportRequest } from '../messages/vport.ts';
import { NetlinkDpif } from '../netlink-dpif.ts';
import { tunnelKind } from '../port-types.ts';
import type { RecvOptions, Walk } from '../provider.ts';
import type { CtEntry, CtFlush, DpifUpcall, PortChange, PortRequest, PortStats, UpcallStats } from '../types.ts';
import type { UpcallService, UpcallServiceOptions } from '../upcall-service.ts';
import { Answers, type AnswersOptions } from './answers.ts';
import { dumpConnections, flushConnections } from './conntrack.ts';
import { prepareUpcalls } from './negotiate.ts';
import { createTunnel, deleteTunnel, tunnelOptions } from './tunnels.ts';
import { possibleCpus, type UpcallTarget } from './upcall-sockets.ts';
import { HANDLERS_MAX, SystemUpcalls } from './upcalls.ts';

/** Classes of the queueing discipline that Open vSwitch sets up: major 1, and a minor one more than the queue. */
const QUEUES_MAX = 0xf000;
const VERSION_FILE = '/sys/module/openvswitch/version';

const NO_ERRORS: LinkErrors = {
  collisions: 0n,
  rxOverErrors: 0n,
  rxFrameErrors: 0n,
  txAbortedErrors: 0n,
  txCarrierErrors: 0n,
};

export class SystemDatapath extends NetlinkDpif {
  #upcalls: SystemUpcalls | undefined;
  #options: RecvOptions = {};
  #handlers: number | undefined;
  #portsChanged = false;

  override close(): void {
    this.recvSet(false);
    super.close();
  }

  /** The devices of tunnels go with it. */
  override destroy(): void {
    const tunnels = [...this.portDump()].filter(({ type }) => tunnelKind(type) !== undefined);
    super.destroy();
    for (const { name } of tunnels) deleteTunnel(name);
  }

  ctDump(zone?: number): Walk<CtEntry> {
    return dumpConnections(zone);
  }

  ctFlush(flush: CtFlush): void {
    flushConnections(flush);
  }

  /** After a change that `portPoll` heard of: sockets for ports that came, none for those that went, and upcalls dispatched as was agreed. */
  run(): boolean {
    if (!this.#portsChanged) return false;
    this.#portsChanged = false;
    this.#upcalls?.sockets.refresh();
    return false;
  }

  getDatapathVersion(): string | undefined {
    try {
      return readFileSync(VERSION_FILE, 'utf8').trim();
    } catch {
      return undefined;
    }
  }

  /** A tunnel's device is made first, and goes again when the datapath does not take it. */
  override portAdd(port: PortRequest, portNo?: number): number {
    if (tunnelKind(port.type ?? '') === undefined) return this.#portAdd(port, portNo);
    const { name, isNew } = createTunnel(port);
    try {
      return this.#portAdd({ name }, portNo);
    } catch (error) {
      if (isNew) deleteTunnel(name);
      throw error;
    }
  }

  #portAdd(port: PortRequest, portNo: number | undefined): number {
    if (this.#upcalls === undefined) return super.portAdd(port, portNo);
    return this.#upcalls.sockets.addPort((portId) => super.portAdd(port, portNo, portId));
  }

  override portDel(portNo: number): void {
    const port = this.portQueryByNumber(portNo);
    super.portDel(portNo);
    this.#upcalls?.sockets.removePort(portNo);
    if (port !== undefined && tunnelKind(port.type) !== undefined) deleteTunnel(port.name);
  }

  portOptions(portNo: number): Record<string, string> {
    const port = this.portQueryByNumber(portNo);
    return port === undefined || tunnelKind(port.type) === undefined ? {} : tunnelOptions(port.type, port.name);
  }

  override portPoll(): PortChange | undefined {
    const change = super.portPoll();
    if (this.takeDatapathSet() || change !== undefined) this.#portsChanged = true;
    return change;
  }

  portGetPid(portNo: number | undefined): number {
    return this.#upcalls?.sockets.portId(portNo) ?? 0;
  }

  recvSet(enable: boolean, options: RecvOptions = {}): void {
    if (!enable) {
      this.#upcalls?.close();
      this.#upcalls = undefined;
    } else if (this.#upcalls === undefined) {
      this.#options = options;
      this.features = prepareUpcalls(this.transport, this.families.datapath, this.#fresh(), options.dispatch).features;
      this.#upcalls = this.#openUpcalls();
    }
  }

  /** Those that receive begin anew. */
  handlersSet(count: number): void {
    integer('handlers', count, 1, HANDLERS_MAX);
    this.#handlers = count;
    if (this.#upcalls === undefined) return;
    this.#upcalls.close();
    this.#upcalls = this.#openUpcalls();
  }

  /** With upcalls by CPU: as many as there are CPUs for this process, and a few more when it may not use all of them, to spread the others' upcalls evenly. */
  numberHandlersRequired(): number | undefined {
    if (!isByCpu(this.features)) return undefined;
    const all = possibleCpus();
    const usable = availableParallelism();
    const wanted = usable < all && all > 2 ? Math.min(nextPrime(usable + 1), all) : usable;
    return Math.min(wanted, HANDLERS_MAX);
  }

  recv(handler: number): DpifUpcall | undefined {
    return this.upcalls.recv(handler);
  }

  recvWait(handler: number, signal?: AbortSignal): Promise<void> {
    return this.upcalls.recvWait(handler, signal);
  }

  recvPurge(): void {
    this.#upcalls?.purge();
  }

  upcallStats(): UpcallStats | undefined {
    return this.#upcalls?.stats();
  }

  /** What only the device of a port knows comes from the device; an internal port has no such errors. */
  override portStats(portNo: number): PortStats {
    const stats = super.portStats(portNo);
    const port = this.portQueryByNumber(portNo);
    return { ...NO_ERRORS, ...stats, ...(port?.type === 'system' && linkErrors(port.name)) };
  }

  queueToPriority(queueId: number): number {
    if (Number.isInteger(queueId) && queueId >= 0 && queueId < QUEUES_MAX) return 0x10000 | (queueId + 1);
    throw dpifError(EINVAL, `queue ${queueId}`, { [EINVAL]: { text: `queues are 0 to ${QUEUES_MAX - 1}` } });
  }

  /** Has the handler answer the upcalls, until the service is closed. What handlers need is loaded with the first of them. */
  async onUpcall(handler: UpcallHandler, options: UpcallServiceOptions): Promise<UpcallService> {
    const { SystemUpcallHost } = await import('./upcall-host.ts');
    return SystemUpcallHost.start(this, handler, options);
  }

  /** What carries answers out; `memory` is that of the upcalls. */
  answers(memory: DatapathMemory, options: Pick<AnswersOptions, 'onInstalled' | 'onRefused'>): Answers {
    const families = { flow: this.families.flow.id, packet: this.families.packet.id };
    return new Answers(memory, this.transport, { families, dpIfindex: this.dpIfindex, ...options });
  }

  /** The receiving end. Throws ENOTCONN before `recvSet`. */
  get upcalls(): SystemUpcalls {
    if (this.#upcalls !== undefined) return this.#upcalls;
    throw dpifError(ENOTCONN, 'upcall receive', { [ENOTCONN]: { text: 'upcalls are off: call recvSet(true)' } });
  }

  #fresh(): { dpIfindex: number; features: number } {
    return this.transactDatapath({ command: 'get' }, 'datapath get');
  }

  #openUpcalls(): SystemUpcalls {
    const { dpIfindex, families } = this;
    const dispatch = isByCpu(this.features) ? 'per-cpu' : 'per-vport';
    const { receiveBufferSize } = this.#options;
    return new SystemUpcalls(this.#target(), {
      dispatch,
      handlers: this.#handlers ?? this.numberHandlersRequired() ?? 1,
      family: families.packet.id,
      dpIfindex,
      ...(receiveBufferSize !== undefined && { receiveBufferSize }),
    });
  }

  #target(): UpcallTarget {
    return {
      vports: () => this.#vports(),
      setVportPids: (portNo, upcallPids) => this.transactVport({ command: 'set', portNo, upcallPids }, 'port set'),
      dispatch: () => {
        const { features, perCpuPids } = this.transactDatapath({ command: 'get' }, 'datapath get');
        return { isByCpu: isByCpu(features), cpuPids: perCpuPids };
      },
      setDispatch: (perCpuPids) => this.#setDispatch(perCpuPids),
    };
  }

  #setDispatch(perCpuPids: readonly number[] | undefined): void {
    const { features } = this;
    const said = this.transactDatapath({ command: 'set', features, perCpuPids }, 'datapath set');
    if (isByCpu(said.features) !== isByCpu(features)) throw dpifError(EOPNOTSUPP, 'dispatch of upcalls');
  }

  *#vports(): Generator<VportMessage> {
    const operation = 'port dump';
    const request = vportRequest(this.families.vport, { command: 'get', dpIfindex: this.dpIfindex });
    using dump = this.transport.dump(request, { operation });
    for (const message of dump) yield readVport(message, operation);
  }
}

function isByCpu(features: number): boolean {
  return (features & K.OVS_DP_F_DISPATCH_UPCALL_PER_CPU) !== 0;
}

function nextPrime(from: number): number {
  for (let n = from; ; n++) if (isPrime(n)) return n;
}

function isPrime(n: number): boolean {
  for (let divisor = 2; divisor * divisor <= n; divisor++) if (n % divisor === 0) return false;
  return n > 1;
}
