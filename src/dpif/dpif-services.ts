/*
 * DpifServices: what a datapath does besides forwarding: upcalls, meters, connection tracking, caches, queues. Before it: Dpif. After it: the provider.
 */
import type { UpcallHandler } from '../upcall/handler.ts';
import type { UpcallFunction } from '../upcall/per-packet.ts';
import { DpifCore } from './dpif-core.ts';
import { BOND_ERRORS, CT_ERRORS, METER_ERRORS } from './errors.ts';
import type { PurgeCallback, RecvOptions, UpcallCallback } from './provider.ts';
import type {
  CtEntry,
  CtFlush,
  CtLimit,
  DpifUpcall,
  MeterConfig,
  MeterFeatures,
  MeterStats,
  UpcallStats,
} from './types.ts';
import type { UpcallService, UpcallServiceOptions } from './upcall-service.ts';

export class DpifServices extends DpifCore {
  #service: UpcallService | undefined;

  /** Ends the handler at work, if there is one. */
  protected closeService(): void {
    void this.#service?.close();
    this.#service = undefined;
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
    const batchwise = typeof handler === 'function' ? await onePacketAtATime(handler) : handler;
    this.#service = await this.attemptAsync('upcalls', {}, () => this.need('onUpcall')(batchwise, options));
  }

  /** Turns upcalls on or off for `recv`; port ids may change. */
  recvSet(enable: boolean, options?: RecvOptions): void {
    this.attempt('upcalls', {}, () => this.need('recvSet')(enable, options));
  }

  /** Sets how many handlers receive. */
  handlersSet(count: number): void {
    this.attempt('handlers', {}, () => this.need('handlersSet')(count));
  }

  /** How many handlers the datapath insists on; undefined: as many as one likes. 0: it calls back. */
  numberHandlersRequired(): number | undefined {
    return this.provider.numberHandlersRequired?.();
  }

  /** The next upcall of a handler if there is one, without waiting. */
  recv(handler: number): DpifUpcall | undefined {
    return this.attempt('upcall receive', {}, () => this.need('recv')(handler));
  }

  /** Resolves when `recv` may have something. */
  recvWait(handler: number, signal?: AbortSignal): Promise<void> {
    return this.need('recvWait')(handler, signal);
  }

  /** Discards the upcalls that wait. */
  recvPurge(): void {
    this.provider.recvPurge?.();
  }

  /** What the receivers saw; undefined while upcalls are off. */
  upcallStats(): UpcallStats | undefined {
    return this.provider.upcallStats?.();
  }

  /** For datapaths of this process: a function that decides each upcall where it happens, instead of `recv`. */
  registerUpcallCb(callback: UpcallCallback | undefined): void {
    this.need('registerUpcallCb')(callback);
  }

  /** Told before flows are purged. */
  registerDpPurgeCb(callback: PurgeCallback | undefined): void {
    this.provider.registerDpPurgeCb?.(callback);
  }

  /** Whether a registered function is called; not at the beginning. */
  enableUpcall(): void {
    this.provider.enableUpcall?.();
  }

  disableUpcall(): void {
    this.provider.disableUpcall?.();
  }

  /** Threads that poll the ports of a datapath of this process, and the CPUs that they run on in turn. */
  async pollThreadsSet(count: number, cpus?: readonly number[]): Promise<void> {
    await this.provider.pollThreadsSet?.(count, cpus);
  }

  // ---------------------------------------------------------------------------------------------- meters

  meterFeatures(): MeterFeatures {
    return this.attempt('meter features', METER_ERRORS, () => this.need('meterGetFeatures')());
  }

  /** Makes the meter, or replaces it: full buckets, statistics at zero. */
  meterSet(id: number, config: MeterConfig): void {
    this.attempt(`meter ${id} set`, METER_ERRORS, () => this.need('meterSet')(id, config));
  }

  meterGet(id: number): MeterStats {
    return this.attempt(`meter ${id} get`, METER_ERRORS, () => this.need('meterGet')(id));
  }

  /** Returns its last statistics, where they can be had. */
  meterDel(id: number): MeterStats | undefined {
    return this.attempt(`meter ${id} del`, METER_ERRORS, () => this.need('meterDel')(id));
  }

  // ---------------------------------------------------------------------------------------------- bonds

  /** Makes the bond of `lb_output`, or gives it other members: 256 port numbers by the packet's hash. */
  bondAdd(id: number, ports: readonly number[]): void {
    this.attempt(`bond ${id} add`, BOND_ERRORS, () => this.need('bondAdd')(id, ports));
  }

  bondDel(id: number): void {
    this.attempt(`bond ${id} del`, BOND_ERRORS, () => this.need('bondDel')(id));
  }

  /** Bytes that went to the member of each of the 256 buckets. */
  bondStatsGet(id: number): number[] {
    return this.attempt(`bond ${id} stats`, BOND_ERRORS, () => this.need('bondStatsGet')(id));
  }

  // ---------------------------------------------------------------------------------------------- connection tracking

  /** Connections, of one zone or of all. */
  ctDump(zone?: number): Iterable<CtEntry> & AsyncIterable<CtEntry> {
    return this.walk('conntrack dump', CT_ERRORS, () => this.need('ctDump')(zone));
  }

  /** Forgets connections: all, those of a zone, or the one with this tuple. */
  ctFlush(flush: CtFlush = {}): void {
    this.attempt('conntrack flush', CT_ERRORS, () => this.need('ctFlush')(flush));
  }

  ctSetLimits(limits: readonly CtLimit[]): void {
    this.attempt('conntrack limits', CT_ERRORS, () => this.need('ctSetLimits')(limits));
  }

  /** Of these zones, or of all when there are none; the default limit comes first. */
  ctGetLimits(zones: readonly number[] = []): CtLimit[] {
    return this.attempt('conntrack limits', CT_ERRORS, () => this.need('ctGetLimits')(zones));
  }

  ctDelLimits(zones: readonly number[]): void {
    this.attempt('conntrack limits', CT_ERRORS, () => this.need('ctDelLimits')(zones));
  }

  // ---------------------------------------------------------------------------------------------- caches, queues

  /** Caches whose size can be set. */
  cacheLevels(): number {
    return this.attempt('caches', {}, () => this.provider.cacheGetSupportedLevels?.() ?? 0);
  }

  cacheName(level: number): string {
    return this.attempt(`cache ${level}`, {}, () => this.need('cacheGetName')(level));
  }

  cacheSize(level: number): number {
    return this.attempt(`cache ${level}`, {}, () => this.need('cacheGetSize')(level));
  }

  setCacheSize(level: number, size: number): void {
    this.attempt(`cache ${level}`, {}, () => this.need('cacheSetSize')(level, size));
  }

  /** Priority (of SKB_PRIORITY) of an OpenFlow queue. */
  queueToPriority(queueId: number): number {
    return this.need('queueToPriority')(queueId);
  }
}

/** Loaded when it is called for: short-lived programs such as `wdp show` have no handlers. */
async function onePacketAtATime(decide: UpcallFunction): Promise<UpcallHandler> {
  const { perPacket } = await import('../upcall/per-packet.ts');
  return perPacket(decide);
}
