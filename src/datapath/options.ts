/*
 * What a datapath is opened with. Sizes are chosen once: memory is laid out for them and never moves.
 */
import { randomBytes } from 'node:crypto';
import * as C from '../../assembly/constants.ts';
import { freeIfindex } from '../kernel/registry.ts';
import { integer, powerOfTwo } from '../ranges.ts';
import type { WasmBuild } from '../wasm/load.ts';
import type { Capacity } from '../wasm/memory.ts';

export interface DatapathOptions {
  /** Name, as in `wdp show`: 1 to 15 characters, no blank, `/` or `:`. Default `dp0`. */
  name?: string;
  /** Flows that fit, 1 to 16,777,216. Default 262,144. */
  flows?: number;
  /** Threads that poll ports, 0 to 15. Default 0: the calling thread does everything when it calls `poll`. */
  workers?: number;
  /**
   * Threads that stand by for a worker whose thread dies, with everything loaded, so that it is replaced at once, 0 to 15: one more for each further worker
   * that may die within half a second. Each takes 8 MiB. 0: a new thread is started then. Default 1.
   */
  standby?: number;
  /** Entries of each worker's exact-match cache, a power of two from 8,192 to 1,048,576. Default 16,384. */
  emcEntries?: number;
  /** Use the exact-match cache. Default true. */
  emc?: boolean;
  /** Upcalls that a worker can have waiting, a power of two from 64 to 65,536. Default 4,096. */
  upcallFrames?: number;
  /** Bytes for tables, action lists and the rings of ports. Untouched pages cost nothing. Default 256 MiB and 128 bytes a flow. */
  arenaSize?: number;
  /** Most that the memory may become, bytes. Default 4 GiB. */
  memoryLimit?: number;
  /** Seed of every hash. Default random, so that nobody outside can construct collisions. */
  seed?: bigint;
  /** `ovs_header.dp_ifindex` of messages. Default the lowest, from 1 on, that no datapath of this process has. */
  dpIfindex?: number;
  /** A flow unused for so long is removed, ms; 0 = never. Default 10,000. */
  idleTimeoutMs?: number;
  /** A flow is removed so long after it was put, ms; 0 = never. Default 0. */
  hardTimeoutMs?: number;
  /** An upcall handler that has not answered after so long has lost its batch, ms. Default 1,000. */
  upcallTimeoutMs?: number;
  /** Which module runs. Default `release`. */
  build?: WasmBuild;
  /** Closes the datapath when it is aborted. */
  signal?: AbortSignal;
  /** CPUs for the pollers, in turn. Needs the native addon. Default: wherever the scheduler puts them. */
  affinity?: readonly number[];
  /**
   * Whether vports of type INTERNAL that messages make (`Dpif.portAdd`, `dpctl/add-if`) become interfaces of the host, as in the kernel. Default false: they
   * are vports without a device.
   */
  internalPorts?: boolean;
  /** Called when something happens that no caller waits for: a worker is replaced, a handler throws. Default: silent. */
  onEvent?: (event: DatapathEvent) => void;
}

export type DatapathEvent =
  | { type: 'worker-lost'; worker: number; packetsLost: number; reason: unknown }
  | { type: 'handler-error'; worker: number; reason: unknown }
  | { type: 'handler-timeout'; worker: number; upcalls: number }
  | { type: 'sample-error'; reason: unknown }
  | { type: 'flow-put-failed'; worker: number; errno: number }
  | { type: 'port-failed'; name: string; reason: unknown }
  | { type: 'queue-not-pinned'; port: string; queue: number; core: number }
  | { type: 'all-isolated' };

export type ResolvedOptions = Required<Omit<DatapathOptions, 'signal' | 'onEvent'>> &
  Pick<DatapathOptions, 'signal' | 'onEvent'>;

/** Of a datapath that is open: `affinity` is what setAffinity said last. */
export type OpenOptions = Readonly<Omit<ResolvedOptions, 'affinity'>> & Pick<ResolvedOptions, 'affinity'>;

const MIB = 1048576;
const PAGE = 65536;

/** Fills in the defaults. Throws RangeError for what no datapath can have. */
export function resolveOptions(options: DatapathOptions): ResolvedOptions {
  const flows = integer('flows', options.flows ?? 262144, 1, C.FLOWS_MAX);
  const resolved: ResolvedOptions = {
    name: deviceName(options.name ?? 'dp0'),
    flows,
    workers: integer('workers', options.workers ?? 0, 0, C.WORKERS_MAX - 1),
    standby: integer('standby', options.standby ?? 1, 0, C.WORKERS_MAX - 1),
    emcEntries: powerOfTwo('emcEntries', options.emcEntries ?? 16384, C.EMC_ENTRIES_MIN, C.EMC_ENTRIES_MAX),
    emc: options.emc ?? true,
    upcallFrames: powerOfTwo('upcallFrames', options.upcallFrames ?? 4096, 64, 65536),
    arenaSize: integer('arenaSize', options.arenaSize ?? 256 * MIB + flows * 128, PAGE, 4095 * MIB),
    memoryLimit: integer('memoryLimit', options.memoryLimit ?? 4096 * MIB, MIB, 4096 * MIB),
    seed: options.seed ?? randomBytes(8).readBigUInt64LE(),
    dpIfindex: integer('dpIfindex', options.dpIfindex ?? freeIfindex(), 1, 2147483647),
    idleTimeoutMs: integer('idleTimeoutMs', options.idleTimeoutMs ?? 10000, 0, 2147483647),
    hardTimeoutMs: integer('hardTimeoutMs', options.hardTimeoutMs ?? 0, 0, 2147483647),
    upcallTimeoutMs: integer('upcallTimeoutMs', options.upcallTimeoutMs ?? 1000, 1, 2147483647),
    build: options.build ?? 'release',
    affinity: options.affinity ?? [],
    internalPorts: options.internalPorts ?? false,
    signal: options.signal,
    onEvent: options.onEvent,
  };
  return resolved;
}

export function capacityOf(options: ResolvedOptions): Capacity {
  return { ...options, workers: options.workers + 1, pagesMax: Math.floor(options.memoryLimit / PAGE) };
}

/** The datapath has a port of its own name, which must be one that a device can have. */
function deviceName(name: string): string {
  if (/^(?!\.{1,2}$)[^\s/:%]{1,15}$/.test(name)) return name;
  throw new RangeError(`a datapath's name has 1 to 15 characters, no blank, /, : or %, not "${name}"`);
}
