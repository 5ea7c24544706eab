/*
 * What is particular to a WASM datapath of this process: its ports have drivers here, its upcalls are decided where they happen, its poll threads are
 * the program's. Before it: Dpif. After it: NetlinkDpif, which has all the rest; the Datapath itself. Threads: the one that opened it.
 *
 * Poll threads are worker slots of the datapath's memory, of which it was opened for so many; pollThreadsSet says how many of them poll, and where. Flows belong
 * to the datapath and not to a thread, so they are purged only when it is destroyed.
 */
import type { Datapath } from '../../datapath/datapath.ts';
import { DatapathError } from '../../errors.ts';
import { OWN_PORT_ID } from '../../kernel/client.ts';
import { readPortConfig, readSwitch } from '../../ports/port-config.ts';
import type { Transport } from '../../transport/transport.ts';
import type { UpcallHandler } from '../../upcall/handler.ts';
import { allowedCpus } from '../../worker/affinity.ts';
import { BOND_ERRORS, dpifError, EBUSY, EINVAL, ENODEV, ENOENT, PORT_ERRORS } from '../errors.ts';
import type { DatapathMessage } from '../messages/datapath.ts';
import type { VportMessage } from '../messages/vport.ts';
import { type DatapathFamilies, NetlinkDpif } from '../netlink-dpif.ts';
import type { PurgeCallback, UpcallCallback } from '../provider.ts';
import type { PortRequest } from '../types.ts';
import type { UpcallService } from '../upcall-service.ts';
import { callbackHandler } from './upcall-callback.ts';

/** What a port of Open vSwitch's type `system` is: a network device, by the rings of AF_PACKET. */
export const SYSTEM_DRIVER = 'afpacket';
/** The id of the thread that is none of the pollers, as Open vSwitch numbers it. */
const NON_PMD_CORE_ID = 0x7fffffff;

export class NetdevDatapath extends NetlinkDpif {
  readonly #datapath: Datapath;
  #callback: UpcallCallback | undefined;
  /** What calls it. */
  #callbackHandler: UpcallHandler | undefined;
  #callbackEnabled = false;
  #purge: PurgeCallback | undefined;

  constructor(transport: Transport, families: DatapathFamilies, message: DatapathMessage, datapath: Datapath) {
    super(transport, families, message);
    this.#datapath = datapath;
  }

  override destroy(): void {
    this.#purge?.(NON_PMD_CORE_ID);
    super.destroy();
  }

  getDatapathVersion(): string {
    return '<built-in>';
  }

  /**
   * `emc-insert-inv-prob` 0 turns the exact-match cache off, `pmd-rxq-isolate` false lets queues that are not pinned go to any poller; what this
   * datapath has no answer to is ignored, as Open vSwitch does.
   */
  setConfig(config: Readonly<Record<string, string>>): void {
    const probability = config['emc-insert-inv-prob'];
    if (probability !== undefined) this.#datapath.emc = Number(probability) !== 0;
    this.#datapath.queues.isolates = readSwitch(config['pmd-rxq-isolate'], true);
  }

  /** `pmd-rxq-affinity` and `emc-enable`, of which a missing one has its default. Queues move when the caller gives way. */
  portSetConfig(portNo: number, config: Readonly<Record<string, string>>): void {
    if (super.portQueryByNumber(portNo) === undefined) throw dpifError(ENODEV, `port set ${portNo}`, PORT_ERRORS);
    try {
      this.#datapath.ports.configure(portNo, readPortConfig(config));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw dpifError(EINVAL, `port set ${portNo}`, { [EINVAL]: { code: 'ERR_PORT_OPTION', text: error.message } });
    }
    void this.#datapath.queues.spread();
  }

  bondAdd(id: number, ports: readonly number[]): void {
    this.#datapath.bonds.set(id, ports);
  }

  bondDel(id: number): void {
    if (!this.#datapath.bonds.delete(id)) throw dpifError(ENOENT, 'bond del', BOND_ERRORS);
  }

  bondStatsGet(id: number): number[] {
    const bytes = this.#datapath.bonds.bytes(id);
    if (bytes === undefined) throw dpifError(ENOENT, 'bond stats', BOND_ERRORS);
    return bytes;
  }

  /**
   * Ports of type `internal` are interfaces of the host where the datapath was opened so (`internalPorts`), else they have no driver; all others are opened by
   * the driver of that name. One that cannot be opened at once is no port; what a driver
   * that takes its time fails with is an event of the datapath, and its port is down.
   */
  override portAdd(port: PortRequest, portNo?: number): number {
    const { name, type = 'system', options = {} } = port;
    const isInternal = type === 'internal';
    if (isInternal && !this.#datapath.options.internalPorts) return super.portAdd(port, portNo, OWN_PORT_ID);
    this.#datapath.ports.declare(name, type === 'system' ? SYSTEM_DRIVER : type, options);
    try {
      const added = super.portAdd(isInternal ? { name, type } : { name }, portNo, OWN_PORT_ID);
      const failure = this.#datapath.ports.failure(name);
      if (failure !== undefined) throw failure;
      return added;
    } catch (error) {
      void this.#datapath.ports.undeclare(name);
      throw error;
    }
  }

  override portDel(portNo: number): void {
    const port = super.portQueryByNumber(portNo);
    super.portDel(portNo);
    if (port !== undefined) void this.#datapath.ports.undeclare(port.name);
  }

  /** The type of a port is that of its driver, also when that could not be opened. */
  protected override portTypeOf(vport: VportMessage): string {
    return this.#device(vport.portNo)?.type ?? super.portTypeOf(vport);
  }

  /** Ports have no options that could be set. Throws what the driver could not be opened for. */
  portOptions(portNo: number): Record<string, string> {
    const failure = this.#device(portNo)?.failure;
    if (failure === undefined) return {};
    if (failure instanceof DatapathError) throw failure;
    const text = failure instanceof Error ? failure.message : String(failure);
    throw new DatapathError('ERR_PORT_SYSTEM', text, { operation: 'port open', cause: failure });
  }

  #device(portNo: number): { type: string; failure: unknown } | undefined {
    for (const device of this.#datapath.ports.devices()) if (device.portNo === portNo) return device;
    return undefined;
  }

  portGetPid(): number {
    return OWN_PORT_ID;
  }

  queueToPriority(queueId: number): number {
    return queueId;
  }

  /** It calls back. */
  numberHandlersRequired(): number {
    return 0;
  }

  /** Packets move from then on: the datapath is started, and stopped with the service, unless it was running. */
  async onUpcall(handler: UpcallHandler): Promise<UpcallService> {
    const datapath = this.#datapath;
    if (datapath.handler !== undefined) throw dpifError(EBUSY, 'upcalls', BUSY);
    await datapath.onUpcall(handler);
    const wasRunning = datapath.running;
    await datapath.start();
    return {
      async close() {
        if (datapath.handler === handler) await datapath.onUpcall(undefined);
        if (!wasRunning) await datapath.stop();
      },
    };
  }

  registerUpcallCb(callback: UpcallCallback | undefined): void {
    const { handler } = this.#datapath;
    const isOurs = handler !== undefined && handler === this.#callbackHandler;
    if (callback === undefined) {
      if (isOurs) void this.#datapath.onUpcall(undefined);
    } else if (!isOurs) {
      if (handler !== undefined) throw dpifError(EBUSY, 'upcalls', BUSY);
      const decide: UpcallCallback = (upcall) => (this.#callbackEnabled ? this.#callback?.(upcall) : undefined);
      this.#callbackHandler = callbackHandler(decide, this.#datapath);
      void this.#datapath.onUpcall(this.#callbackHandler);
    }
    this.#callback = callback;
  }

  enableUpcall(): void {
    this.#callbackEnabled = true;
  }

  disableUpcall(): void {
    this.#callbackEnabled = false;
  }

  registerDpPurgeCb(callback: PurgeCallback | undefined): void {
    this.#purge = callback;
  }

  async pollThreadsSet(count: number, cpus: readonly number[] = []): Promise<void> {
    const { workers } = this.#datapath.options;
    if (!Number.isInteger(count) || count < 0 || count > workers) {
      const text = `this datapath was opened for ${workers} poll threads at most`;
      throw dpifError(EINVAL, `${count} poll threads`, { [EINVAL]: { text } });
    }
    const allowed = allowedCpus();
    const missing = cpus.find((cpu) => allowed.length > 0 && !allowed.includes(cpu));
    if (missing !== undefined)
      throw dpifError(EINVAL, `poll threads on CPU ${missing}`, { [EINVAL]: { text: `there are ${allowed.join()}` } });
    await this.#datapath.stop();
    if (count === 0) return;
    await this.#datapath.setPollers(count);
    await this.#datapath.setAffinity(cpus);
    await this.#datapath.start();
  }
}

const BUSY = { [EBUSY]: { text: 'the datapath has a handler already' } };
