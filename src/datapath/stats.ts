/*
 * Statistics of the datapath: the counters of all workers, summed, by name. Three equations hold whenever the workers stand still, the
 * last one unless packets were lost with a worker:
 *
 *     received + recirculated + segmented = hits + misses + drops.workerLost + the drops whose name begins with `rx`
 *     misses                   = answered + upcallsPending + the drops whose name begins with `upcall`
 *     hits + executed + copies = transmitted + upcalls.action + upcalls.actionLost + psampled + recirculated + the other drops
 */
import * as C from '../../assembly/constants.ts';
import type { DatapathMemory } from '../wasm/memory.ts';

/** Names of the drop reasons, by number. */
export const DROP_NAMES = [
  'rxShort',
  'rxLong',
  'flow',
  'upcallRingFull',
  'upcallPortShare',
  'upcallNoHandler',
  'upcallHandler',
  'upcallError',
  'upcallTimeout',
  'upcallStale',
  'noPort',
  'txFull',
  'action',
  'workerLost',
  'upcallTooLong',
  'txLong',
  'meter',
  'explicit',
  'ttl',
  'recursion',
  'noEthernet',
  'rxDescriptor',
  'rxTruncated',
  'txDown',
  'upcallNoPortId',
] as const;

/** Packets that were received and got no key: the sum of the drops whose name begins with `rx`, and of those lost with a worker. */
export function receiveDrops(drops: Readonly<Record<DropName, number>>): number {
  return drops.rxShort + drops.rxLong + drops.rxDescriptor + drops.rxTruncated + drops.workerLost;
}

export type DropName = (typeof DROP_NAMES)[number];

/** Packets that found a flow, by where. */
export interface Hits {
  /** In the exact-match cache of a worker. */
  emc: number;
  /** In the classifier. */
  megaflow: number;
  /** In the kernel: XDP programs forwarded them (ports with the option `offload`). */
  offload: number;
}

export function allHits({ emc, megaflow, offload }: Hits): number {
  return emc + megaflow + offload;
}

export interface DatapathStats {
  /** Packets received from ports. */
  received: number;
  hits: Hits;
  misses: number;
  /** Subtables that the classifier visited, summed over packets. */
  subtableLookups: number;
  emcInserts: number;
  /** Upcalls queued: misses, and those of userspace actions; and of the latter those that were lost on their way. */
  upcalls: { miss: number; action: number; actionLost: number };
  /** Misses that were answered with actions. */
  answered: number;
  /** Misses waiting for an answer now. */
  upcallsPending: number;
  /** Flows installed by answers. */
  installed: number;
  /** Frames handed to ports. */
  transmitted: number;
  /** Lookups of packets that came again by a RECIRC action; each is a hit or a miss too. */
  recirculated: number;
  /** Misses that segmentation made: a super-frame of k segments that no flow covers is k misses. */
  segmented: number;
  /** Packets that actions made: a list that sends k copies of its packet adds k - 1. */
  copies: number;
  /** Action lists executed for answers and messages. */
  executed: number;
  /** Packets given to PSAMPLE actions. */
  psampled: number;
  /** Of these, messages that were queued for the listener and that found no room; nobody listened to the rest. */
  samples: { queued: number; lost: number };
  batches: number;
  /** By reason, zeros included. */
  drops: Record<DropName, number>;
  /** Of `drops.explicit`, by the reason that the DROP action gives: enum xlate_error 0 to 15, then all others. */
  explicitDrops: number[];
  flows: number;
  masks: number;
  /** Distinct action lists. */
  actionLists: number;
  /** Time that each worker spent in rounds that received something, ns; that of the calling thread, the first, is not measured. */
  busyNs: number[];
  /** Workers that were replaced after a trap or a kill. */
  workersLost: number;
  memory: {
    /** Bytes of the linear memory; untouched pages are not resident. */
    size: number;
    /** Bytes of live blocks in the arena. */
    arenaUsed: number;
    /** Bytes of the arena that were ever in use. */
    arenaTouched: number;
    arenaSize: number;
    /** Bytes that the resident flows take: slots, statistics rows of all workers, tables, keys and action lists. */
    flowTable: number;
  };
}

export interface PortStats {
  rxPackets: number;
  rxBytes: number;
  rxDropped: number;
  txPackets: number;
  txBytes: number;
  txDropped: number;
  upcalls: number;
  upcallsLost: number;
}

const OUT_SIZE = (C.COUNTERS + C.DROP_REASONS + C.EXPLICIT_REASONS) * 8;

export class StatsReader {
  readonly #memory: DatapathMemory;
  readonly #workers: number;
  readonly #out: number;
  #hostBlocks = 0;

  constructor(memory: DatapathMemory, workers: number) {
    this.#memory = memory;
    this.#workers = workers;
    this.#out = memory.allocate(OUT_SIZE, 'statistics');
  }

  /** Arena bytes that belong to ports and to the host, not to flows: set once they stand. */
  markHostBlocks(): void {
    this.#hostBlocks = this.#memory.superblock(C.SB_ARENA_USED);
  }

  read(): DatapathStats {
    const memory = this.#memory;
    memory.wasm.sumCounters(this.#out);
    const counter = (index: number): number => memory.u64(this.#out + index * 8);
    const drops = Object.fromEntries(DROP_NAMES.map((name, i) => [name, counter(C.COUNTERS + i)])) as Record<
      DropName,
      number
    >;
    const flows = memory.superblock(C.SB_FLOW_COUNT);
    const arenaUsed = memory.superblock(C.SB_ARENA_USED);
    const actionUpcalls = counter(C.COUNTER_UPCALL_ACTIONS);
    const upcallDrops = DROP_NAMES.filter((name) => name.startsWith('upcall')).reduce(
      (sum, name) => sum + drops[name],
      0,
    );
    return {
      received: counter(C.COUNTER_RECEIVED),
      hits: {
        emc: counter(C.COUNTER_EMC_HITS),
        megaflow: counter(C.COUNTER_MEGAFLOW_HITS),
        offload: counter(C.COUNTER_HOT_HITS),
      },
      misses: counter(C.COUNTER_MISSES),
      subtableLookups: counter(C.COUNTER_SUBTABLE_LOOKUPS),
      emcInserts: counter(C.COUNTER_EMC_INSERTS),
      upcalls: {
        miss: counter(C.COUNTER_UPCALLS) - actionUpcalls,
        action: actionUpcalls,
        actionLost: counter(C.COUNTER_UPCALL_ACTIONS_LOST),
      },
      answered: counter(C.COUNTER_ANSWERED),
      upcallsPending: counter(C.COUNTER_MISSES) - counter(C.COUNTER_ANSWERED) - upcallDrops,
      installed: counter(C.COUNTER_INSTALLED),
      transmitted: counter(C.COUNTER_TRANSMITTED),
      recirculated: counter(C.COUNTER_RECIRCULATED),
      segmented: counter(C.COUNTER_SEGMENTED),
      copies: counter(C.COUNTER_COPIES),
      executed: counter(C.COUNTER_EXECUTED),
      psampled: counter(C.COUNTER_PSAMPLED),
      samples: { queued: counter(C.COUNTER_SAMPLES), lost: counter(C.COUNTER_SAMPLES_LOST) },
      batches: counter(C.COUNTER_BATCHES),
      drops,
      explicitDrops: Array.from({ length: C.EXPLICIT_REASONS }, (_, i) => counter(C.COUNTERS + C.DROP_REASONS + i)),
      flows,
      masks: memory.superblock(C.SB_SUBTABLE_COUNT),
      actionLists: memory.superblock(C.SB_ACTION_COUNT),
      busyNs: Array.from({ length: this.#workers }, (_, slot) =>
        memory.u64(memory.workerArea(slot) + C.WORKER_BUSY_NS),
      ),
      workersLost: memory.superblock(C.SB_WORKERS_LOST),
      memory: {
        size: memory.bytes.length,
        arenaUsed,
        arenaTouched: memory.superblock(C.SB_ARENA_NEXT) - memory.superblock(C.SB_ARENA),
        arenaSize: memory.superblock(C.SB_ARENA_SIZE),
        flowTable:
          flows * (C.FLOW_SIZEOF + C.FLOW_COLD_SIZEOF + this.#workers * C.FLOW_ROW_SIZEOF) +
          arenaUsed -
          this.#hostBlocks,
      },
    };
  }

  port(portNo: number): PortStats {
    const memory = this.#memory;
    memory.wasm.sumPort(portNo, this.#out);
    const at = (offset: number): number => memory.u64(this.#out + offset);
    return {
      rxPackets: at(C.PORT_ROW_RX_PACKETS),
      rxBytes: at(C.PORT_ROW_RX_BYTES),
      rxDropped: at(C.PORT_ROW_RX_DROPPED),
      txPackets: at(C.PORT_ROW_TX_PACKETS),
      txBytes: at(C.PORT_ROW_TX_BYTES),
      txDropped: at(C.PORT_ROW_TX_DROPPED),
      upcalls: at(C.PORT_ROW_UPCALLS),
      upcallsLost: at(C.PORT_ROW_UPCALLS_LOST),
    };
  }
}
