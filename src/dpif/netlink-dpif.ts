/*
 * NetlinkDpif: an open datapath over a transport: what both providers have in common, which is nearly everything, since both ends speak the kernel's messages. Before
 * it: Dpif. After it: messages/ and a transport. What is particular to the kernel is in system/system-datapath.ts, to the WASM datapaths in
 * netdev/netdev-datapath.ts. Threads: the one that opened it. provider.ts is the manual.
 */
import * as K from '../../assembly/netlink/openvswitch.ts';
import { DatapathError } from '../errors.ts';
import type { GenericFamily } from '../netlink/generic.ts';
import { MessageCursor } from '../netlink/message.ts';
import type { Transport } from '../transport/transport.ts';
import { dpifError, EAFNOSUPPORT, EINVAL, ENODEV, errnoOf } from './errors.ts';
import { ctLimitRequest, readCtLimits } from './messages/ct-limit.ts';
import { type DatapathMessage, type DatapathRequest, datapathRequest, readDatapath } from './messages/datapath.ts';
import { firstReply } from './messages/request.ts';
import { readVport, type VportMessage, type VportRequest, vportRequest } from './messages/vport.ts';
import { NetlinkFlows } from './netlink-flows.ts';
import { NetlinkMeters } from './netlink-meters.ts';
import { PortEvents } from './port-events.ts';
import { portType } from './port-types.ts';
import type { FlowDumpOptions, ProviderDatapath, ProviderFlowDump, Walk } from './provider.ts';
import type {
  CtLimit,
  DpifOp,
  DpifPort,
  DpStats,
  MeterConfig,
  MeterFeatures,
  MeterStats,
  PortChange,
  PortRequest,
  PortStats,
} from './types.ts';

export interface DatapathFamilies {
  datapath: GenericFamily;
  vport: GenericFamily;
  flow: GenericFamily;
  packet: GenericFamily;
}

/** Throws ERR_NETLINK_NO_SUCH_FAMILY. */
export function datapathFamilies(transport: Transport): DatapathFamilies {
  return {
    datapath: transport.family('ovs_datapath'),
    vport: transport.family('ovs_vport'),
    flow: transport.family('ovs_flow'),
    packet: transport.family('ovs_packet'),
  };
}

/** Names of all datapaths at the other end. */
export function enumerateDatapaths(transport: Transport): string[] {
  const family = transport.family('ovs_datapath');
  const operation = 'datapath dump';
  using dump = transport.dump(datapathRequest(family, { command: 'get' }), { operation, retry: DUMP_RETRIES });
  const names: string[] = [];
  for (const message of dump) names.push(readDatapath(message, operation).name);
  return names;
}

/** A list that changes during each of so many readings changes for ever. */
const DUMP_RETRIES = 10;

export class NetlinkDpif implements ProviderDatapath {
  readonly name: string;
  readonly dpIfindex: number;
  protected readonly transport: Transport;
  protected readonly families: DatapathFamilies;
  protected features: number;
  readonly #flows: NetlinkFlows;
  readonly #meters: NetlinkMeters;
  #events: PortEvents | undefined;

  constructor(transport: Transport, families: DatapathFamilies, datapath: DatapathMessage) {
    this.transport = transport;
    this.families = families;
    this.name = datapath.name;
    this.dpIfindex = datapath.dpIfindex;
    this.features = datapath.features;
    this.#flows = new NetlinkFlows(transport, families, datapath.dpIfindex);
    this.#meters = new NetlinkMeters(transport, datapath.dpIfindex);
  }

  close(): void {
    this.#events?.close();
    this.#events = undefined;
  }

  destroy(): void {
    this.transactDatapath({ command: 'del' }, 'datapath del');
  }

  getStats(): DpStats {
    const { stats } = this.transactDatapath({ command: 'get' }, 'datapath get');
    return stats ?? { hits: 0n, missed: 0n, lost: 0n, flows: 0n };
  }

  getFeatures(): number {
    return this.features;
  }

  setFeatures(features: number): void {
    this.features = this.transactDatapath({ command: 'set', features }, 'datapath set').features;
  }

  /** Its upcalls go to `portId`, 0: nobody. */
  portAdd(port: PortRequest, portNo?: number, portId = 0): number {
    const type = vportType(port);
    const request: VportRequest = {
      command: 'new',
      type,
      name: port.name,
      upcallPids: [portId],
      ...(portNo !== undefined && { portNo }),
    };
    return this.transactVport(request, `port add ${port.name}`).portNo;
  }

  portDel(portNo: number): void {
    this.transactVport({ command: 'del', portNo }, 'port del');
  }

  portQueryByNumber(portNo: number): DpifPort | undefined {
    return this.#port(this.findVport({ portNo }));
  }

  portQueryByName(name: string): DpifPort | undefined {
    return this.#port(this.findVport({ name }));
  }

  portDump(): Walk<DpifPort> {
    const { dpIfindex, transport, families } = this;
    const portOf = (vport: VportMessage): DpifPort => this.#port(vport)!;
    const operation = 'port dump';
    const request = vportRequest(families.vport, { command: 'get', dpIfindex });
    return {
      *[Symbol.iterator]() {
        using dump = transport.dump(request, { operation });
        for (const message of dump) yield portOf(readVport(message, operation));
      },
      async *[Symbol.asyncIterator]() {
        using dump = transport.dump(request, { operation });
        for await (const message of dump) yield portOf(readVport(message, operation));
      },
    };
  }

  portStats(portNo: number): PortStats {
    const vport = this.findVport({ portNo });
    if (vport === undefined) throw dpifError(ENODEV, `port ${portNo}`, { [ENODEV]: NO_PORT });
    return vport.stats;
  }

  portPoll(): PortChange | undefined {
    this.#events ??= new PortEvents(this.transport, this.families, this.dpIfindex);
    return this.#events.poll();
  }

  portPollWait(signal?: AbortSignal): Promise<void> {
    this.#events ??= new PortEvents(this.transport, this.families, this.dpIfindex);
    return this.#events.wait(signal);
  }

  /** Whether somebody has set features or port ids of the datapath since the last call. */
  protected takeDatapathSet(): boolean {
    return this.#events?.takeDatapathSet() ?? false;
  }

  flowFlush(): void {
    this.#flows.flush();
  }

  flowDump(options: FlowDumpOptions): ProviderFlowDump {
    return this.#flows.dump(options);
  }

  operate(ops: readonly DpifOp[]): void {
    this.#flows.operate(ops);
  }

  operateAsync(ops: readonly DpifOp[], signal?: AbortSignal): Promise<void> {
    return this.#flows.operateAsync(ops, signal);
  }

  meterGetFeatures(): MeterFeatures {
    return this.#meters.features();
  }

  meterSet(id: number, config: MeterConfig): void {
    this.#meters.set(id, config);
  }

  meterGet(id: number): MeterStats {
    return this.#meters.get(id);
  }

  meterDel(id: number): MeterStats | undefined {
    return this.#meters.delete(id);
  }

  ctSetLimits(limits: readonly CtLimit[]): void {
    this.#transactLimits('set', limits);
  }

  ctGetLimits(zones: readonly number[]): CtLimit[] {
    // the kernel gives the default limit with all of them, and of some only what is asked for
    const asked = zones.map((zone) => ({ zone }));
    return this.#transactLimits('get', asked.length === 0 ? asked : [{}, ...asked]);
  }

  ctDelLimits(zones: readonly number[]): void {
    this.#transactLimits(
      'del',
      zones.map((zone) => ({ zone })),
    );
  }

  cacheGetSupportedLevels(): number {
    return this.transactDatapath({ command: 'get' }, 'datapath get').masksCacheSize === undefined ? 0 : 1;
  }

  cacheGetName(level: number): string {
    this.#checkLevel(level);
    return 'masks-cache';
  }

  cacheGetSize(level: number): number {
    this.#checkLevel(level);
    return this.transactDatapath({ command: 'get' }, 'datapath get').masksCacheSize ?? 0;
  }

  cacheSetSize(level: number, size: number): void {
    this.#checkLevel(level);
    const { features } = this.transactDatapath({ command: 'get' }, 'datapath get');
    // the kernel takes powers of two only
    const masksCacheSize = size <= 1 ? size : 2 ** Math.ceil(Math.log2(size));
    this.transactDatapath({ command: 'set', features, masksCacheSize }, 'cache size');
  }

  #checkLevel(level: number): void {
    if (level !== 0) throw dpifError(EINVAL, `cache level ${level}`, { [EINVAL]: { text: 'there is level 0 only' } });
  }

  #transactLimits(command: 'set' | 'get' | 'del', limits: readonly Partial<CtLimit>[]): CtLimit[] {
    const operation = 'conntrack limits';
    const request = ctLimitRequest(this.transport.family('ovs_ct_limit'), command, limits);
    const reply = new MessageCursor(this.transport.transact(request, { operation }));
    return reply.next() ? readCtLimits(reply) : [];
  }

  /** A request about this datapath. */
  protected transactDatapath(what: Omit<DatapathRequest, 'dpIfindex'>, operation: string): DatapathMessage {
    const request = datapathRequest(this.families.datapath, { ...what, dpIfindex: this.dpIfindex });
    return readDatapath(firstReply(this.transport.transact(request, { operation }), operation), operation);
  }

  /** A request about a port of it. */
  protected transactVport(what: Omit<VportRequest, 'dpIfindex'>, operation: string): VportMessage {
    const request = vportRequest(this.families.vport, { ...what, dpIfindex: this.dpIfindex });
    return readVport(firstReply(this.transport.transact(request, { operation }), operation), operation);
  }

  /** How people call the type of a port. */
  protected portTypeOf(vport: VportMessage): string {
    return portType(vport.type, vport.name);
  }

  #port(vport: VportMessage | undefined): DpifPort | undefined {
    return vport && { portNo: vport.portNo, name: vport.name, type: this.portTypeOf(vport) };
  }

  /** Undefined when there is no such port. */
  protected findVport(what: { name: string } | { portNo: number }): VportMessage | undefined {
    try {
      const vport = this.transactVport({ command: 'get', ...what }, 'port get');
      return vport.dpIfindex === this.dpIfindex ? vport : undefined;
    } catch (error) {
      if (errnoOf(error) === ENODEV) return undefined;
      throw error;
    }
  }
}

const NO_PORT = { code: 'ERR_NO_SUCH_PORT', text: 'there is no such port' } as const;

function vportType({ type = 'system', name }: PortRequest): number {
  if (type === 'system') return K.OVS_VPORT_TYPE_NETDEV;
  if (type === 'internal') return K.OVS_VPORT_TYPE_INTERNAL;
  throw new DatapathError('ERR_PORT_TYPE', `port add ${name}: this datapath has no ports of type ${type}`, {
    errno: EAFNOSUPPORT,
    operation: 'port add',
  });
}
