/*
 * The provider interface: what a kind of datapath has to offer to be driven by `Dpif`. This comment is the manual of the folder.
 *
 * Concepts
 * ========
 * A *provider* is a kind of datapath, with a type: `system` (openvswitch.ko), `netdev` (the WASM datapaths of this process), or what a program
 * registers (registry.ts). A *provider datapath* is one that was opened. Programs see neither, but `Dpif` (dpif.ts), which does what is the same for all:
 * names, errors and their log, cutting of operations, actions that no datapath has to carry out. It is struct dpif_class of Open vSwitch, split at `open`; the
 * members have its names and their meaning, `docs/dpif.md` goes through them one by one. A member that is optional is one that a provider may have
 * no answer to; `Dpif` then answers EOPNOTSUPP or what is said beside it.
 *
 * The two providers of this package are one, NetlinkDpif (netlink-dpif.ts): both ends speak the kernel's messages, and only the transport differs. What
 * is particular to one of them is in system/ and netdev/.
 *
 * Errors. A call that fails throws a DatapathError with the errno of Open vSwitch's contract. Operations carry their own `error`. "There is no such
 * port" is undefined, not an error.
 *
 * Ownership
 * =========
 * What is given is used during the call only, operations until they are decided. What comes back is the caller's.
 *
 * Threads
 * =======
 * An opened datapath belongs to the thread that opened it, and its calls wait for the answer, which the kernel gives at once. What may be large has a form for the event loop
 * too (`...Async`, async iterators): it gives way between parts, so that timers and sockets of the program go on. Other threads open the datapath for
 * themselves. Nothing is locked here: the datapath is what keeps several writers apart.
 *
 * What can be lost
 * ================
 * Upcalls, when nobody receives them in time: counted in DpStats.lost by the datapath and in overruns by the receiver. Port changes, when too many come: the next portPoll
 * says 'changed'. Nothing else.
 */
import type { UpcallHandler } from '../upcall/handler.ts';
import type { FlowMessages } from './flow-messages.ts';
import type {
  CtEntry,
  CtFlush,
  CtLimit,
  DpifFlow,
  DpifOp,
  DpifPort,
  DpifUpcall,
  DpStats,
  MeterConfig,
  MeterFeatures,
  MeterStats,
  PortChange,
  PortRequest,
  PortStats,
  UpcallStats,
} from './types.ts';
import type { UpcallService, UpcallServiceOptions } from './upcall-service.ts';

/** A kind of datapath. */
export interface DpifProvider {
  readonly type: string;
  /** Ports must be taken away when a bridge goes, because the datapath cannot outlive this process. */
  readonly cleanupRequired: boolean;
  /** Called once when it is registered; an error leaves the type unregistered. */
  init?(): void;
  /** Names of the datapaths that there are. */
  enumerate(): string[];
  /** The type of device that a port of this type is opened as. Default: the same. */
  portOpenType?(type: string): string;
  /** Opens a datapath, or makes it when `create`. Throws ENODEV: there is none; EEXIST, EBUSY: there is one already. */
  open(name: string, create: boolean): ProviderDatapath;
}

/** What can be walked at once or on the event loop. */
export interface Walk<T> {
  [Symbol.iterator](): Iterator<T, void, undefined>;
  [Symbol.asyncIterator](): AsyncIterator<T, void, undefined>;
}

export interface FlowDumpOptions {
  /** UFID and statistics only. */
  terse?: boolean;
}

export interface RecvOptions {
  /** Who gets an upcall of the kernel: the handler of its port, or the one of the CPU. Default: by CPU, where the kernel can (Linux 5.15). */
  dispatch?: 'per-vport' | 'per-cpu';
  /** Bytes of the buffer of each socket; default 1 MiB. */
  receiveBufferSize?: number;
}

/** One reader of a dump of flows. Several readers of one dump share its flows between them. */
export interface FlowDumpThread {
  /** Up to `max` more flows, none at the end. Never throws; `close` of the dump does. */
  next(max: number): DpifFlow[];
  nextAsync(max: number): Promise<DpifFlow[]>;
  /** Some more flows as messages, of a provider that has them so; undefined at the end. Valid until the next call of the dump. Never throws. */
  nextMessages?(): FlowMessages | undefined;
}

export interface ProviderFlowDump {
  thread(): FlowDumpThread;
  /** Ends the dump, and throws what it failed with. */
  close(): void;
}

/** A reader of flows that an upcall callback of an in-process datapath is. 0: execute, and install under `mask`. */
export interface UpcallVerdict {
  actions: Uint8Array;
  /** Attributes of a mask; undefined: execute only. */
  mask?: Uint8Array;
  /** Actions of the flow, where they are not the packet's. */
  putActions?: Uint8Array;
}

/** Decides one upcall of an in-process datapath; undefined: drop it. */
export type UpcallCallback = (upcall: DpifUpcall) => UpcallVerdict | undefined;
/** Told before the flows of a thread are purged. */
export type PurgeCallback = (pmdId: number) => void;

/** An open datapath. */
export interface ProviderDatapath {
  /** As the datapath calls itself. */
  readonly name: string;

  /** Lets go of the handle; the datapath stays. */
  close(): void;
  /** Deletes the datapath; only `close` comes after it. */
  destroy(): void;
  /** Periodic work. True: flows must be looked at again. */
  run?(): boolean;
  /** Resolves when `run` has something to do. */
  wait?(signal?: AbortSignal): Promise<void>;

  getStats(): DpStats;
  /** OVS_DP_F_*. Default 0. */
  getFeatures?(): number;
  setFeatures?(features: number): void;
  setConfig?(config: Readonly<Record<string, string>>): void;
  getDatapathVersion?(): string | undefined;

  /** Adds a port; returns its number. EBUSY: the number is taken. */
  portAdd(port: PortRequest, portNo?: number): number;
  /** EINVAL for the local port. */
  portDel(portNo: number): void;
  portSetConfig?(portNo: number, config: Readonly<Record<string, string>>): void;
  portQueryByNumber(portNo: number): DpifPort | undefined;
  portQueryByName(name: string): DpifPort | undefined;
  /** Netlink port id for USERSPACE actions on packets of the port, 0xffffffff for any; default 0. */
  portGetPid?(portNo: number | undefined): number;
  portDump(): Walk<DpifPort>;
  portStats(portNo: number): PortStats;
  /** Options of a tunnel port, as `add-if` takes them. */
  portOptions?(portNo: number): Record<string, string>;
  /** What changed since the last call; the first says 'changed'. Undefined: nothing. */
  portPoll(): PortChange | undefined;
  /** Resolves when portPoll has something to say. */
  portPollWait(signal?: AbortSignal): Promise<void>;

  /** Deletes all flows. */
  flowFlush(): void;
  /** Cannot fail: what goes wrong is thrown by `close` of the dump. */
  flowDump(options: FlowDumpOptions): ProviderFlowDump;
  /** Carries the operations out in order; each gets its own `error` or results. */
  operate(ops: readonly DpifOp[]): void;
  operateAsync(ops: readonly DpifOp[], signal?: AbortSignal): Promise<void>;

  /** Turns upcalls on or off; port ids may change. */
  recvSet?(enable: boolean, options?: RecvOptions): void;
  handlersSet?(count: number): void;
  /** How many handlers it insists on; undefined: as many as one likes. 0: it calls back. */
  numberHandlersRequired?(): number | undefined;
  /** The next upcall of a handler, if there is one. */
  recv?(handler: number): DpifUpcall | undefined;
  recvWait?(handler: number, signal?: AbortSignal): Promise<void>;
  recvPurge?(): void;
  /** What the receivers saw; undefined while upcalls are off. */
  upcallStats?(): UpcallStats | undefined;

  /** Has a handler answer the upcalls, until the service is closed. */
  onUpcall?(handler: UpcallHandler, options: UpcallServiceOptions): Promise<UpcallService>;

  registerDpPurgeCb?(callback: PurgeCallback | undefined): void;
  registerUpcallCb?(callback: UpcallCallback | undefined): void;
  enableUpcall?(): void;
  disableUpcall?(): void;
  /** How many threads poll, 0: none; `cpus`: what they stay on, the first thread on the first, in turn; none: any. */
  pollThreadsSet?(count: number, cpus?: readonly number[]): Promise<void>;

  /** Priority (of SKB_PRIORITY) of an OpenFlow queue. */
  queueToPriority?(queueId: number): number;

  ctDump?(zone?: number): Walk<CtEntry>;
  ctFlush?(flush: CtFlush): void;
  ctSetLimits?(limits: readonly CtLimit[]): void;
  /** Of these zones; of all when the list is empty. The default limit comes first. */
  ctGetLimits?(zones: readonly number[]): CtLimit[];
  ctDelLimits?(zones: readonly number[]): void;

  meterGetFeatures?(): MeterFeatures;
  /** Makes the meter, or replaces it. */
  meterSet?(id: number, config: MeterConfig): void;
  meterGet?(id: number): MeterStats;
  /** Its last statistics, where they can be had. */
  meterDel?(id: number): MeterStats | undefined;

  /** Makes the bond of `lb_output`, or gives it other members: 256 port numbers by the packet's hash. */
  bondAdd?(id: number, ports: readonly number[]): void;
  /** Throws ENOENT. */
  bondDel?(id: number): void;
  /** Bytes by bucket. Throws ENOENT. */
  bondStatsGet?(id: number): number[];

  /** Caches whose size can be set; default none. */
  cacheGetSupportedLevels?(): number;
  cacheGetName?(level: number): string;
  cacheGetSize?(level: number): number;
  cacheSetSize?(level: number, size: number): void;
}
