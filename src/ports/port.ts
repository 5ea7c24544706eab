/*
 * A port: where packets come from and go to. What all kinds have in common is here; each kind is one file. Before it: `datapath.ports.add`.
 * After it: the descriptor in memory (assembly/io/port.ts), which workers read.
 *
 * Concepts. A kind says how it receives (a ring in memory, a replay, not at all) and how it transmits (a ring a worker, or counting only).
 * Rings are arena blocks that belong to the port and are retired when it closes. Kinds that own a file or a socket drain their
 * transmit rings in `service`, which the datapath calls regularly on the owner thread.
 */
import * as C from '../../assembly/constants.ts';
import type { PortStats } from '../datapath/stats.ts';
import type { DatapathMemory, SharedBytes } from '../wasm/memory.ts';
import { wakeWorker } from '../worker/wake.ts';
import type { HotFlows } from './hot-flows.ts';
import type { PortConfig } from './port-config.ts';
import { FrameRing } from './ring.ts';

/** Port number, name and what the kind needs to set itself up. */
export interface PortContext {
  readonly memory: DatapathMemory;
  readonly portNo: number;
  readonly name: string;
  /** Worker slots of the datapath, the calling thread's included. */
  readonly workerSlots: number;
  /** Worker that polls this port, or its first queue. */
  readonly worker: number;
  /** It was added for that worker. */
  readonly isPinned: boolean;
  /** Workers that poll are 1 to this one. */
  readonly pollers: () => number;
  readonly stats: (portNo: number) => PortStats;
  readonly config: () => PortConfig;
  /** It has its receive queues again, which are where they happen to be. */
  readonly reopened: () => void;
  /** The hot flows of the datapath, made when they are first asked for. */
  readonly hotFlows: () => HotFlows;
}

/** A frame on its way out. `data` is a view into the ring, valid until the callback returns; `inPort` is known of samples only. */
export type FrameSink = (data: SharedBytes, timeNs: number, wireSize: number, inPort: number) => void;

export abstract class Port {
  abstract readonly type: string;
  readonly portNo: number;
  readonly name: string;
  readonly worker: number;
  /** It was added for its worker. */
  readonly isPinned: boolean;
  protected readonly context: PortContext;
  #txRings: FrameRing[] = [];

  constructor(context: PortContext) {
    this.context = context;
    this.portNo = context.portNo;
    this.name = context.name;
    this.worker = context.worker;
    this.isPinned = context.isPinned;
  }

  stats(): PortStats {
    return this.context.stats(this.portNo);
  }

  /** True when this port will receive nothing more (a replay that has ended). */
  get exhausted(): boolean {
    return false;
  }

  /** Frames that the kernel lost on the way to the port: its ring was full. */
  get kernelDrops(): number {
    return 0;
  }

  /** It receives for as long as it is open. */
  get isLive(): boolean {
    return false;
  }

  /** Regular work on the owner thread. Returns true when there was some, so that the caller comes again soon. */
  service(): boolean {
    return false;
  }

  /** What `service` does comes from workers, which wake nobody for it. */
  get needsService(): boolean {
    return false;
  }

  /** Everything that is left to do before the port goes: files are written to their ends. */
  close(): Promise<void> | undefined {
    return undefined;
  }

  /** After its descriptor is closed: gives back what workers may have had in hand until now. */
  release(): Promise<void> | undefined {
    return undefined;
  }

  /** Queues of it have other workers now. */
  queuesMoved(): Promise<void> | undefined {
    return undefined;
  }

  /** How the kind appears in `wdp show`: its options as text, '' when there are none. */
  describe(): string {
    return '';
  }

  /** Makes a transmit ring for each worker and returns the block of their addresses. */
  protected makeTxRings(slots: number, frameSize: number): number {
    const { memory, workerSlots } = this.context;
    const table = memory.allocate(workerSlots * 4, `port ${this.name}`);
    for (let worker = 0; worker < workerSlots; worker++) {
      const ring = FrameRing.allocate(memory, slots, frameSize, `port ${this.name}`);
      memory.setU32(table + worker * 4, ring.address);
      this.#txRings.push(ring);
    }
    return table;
  }

  /** Opens the descriptor: from here on workers see the port. */
  protected open(rxKind: number, rx: number, txKind: number, txRings: number, flags = 0): void {
    const { memory, portNo, worker, config } = this.context;
    const all = config().emc ? flags : flags | C.PORT_FLAG_NO_EMC;
    const status = memory.wasm.openPort(portNo, rxKind, rx, txKind, txRings, worker, all);
    if (status !== 0) throw new RangeError(`port ${portNo} cannot be opened: errno ${-status}`);
    for (let slot = 0; slot < this.context.workerSlots; slot++) wakeWorker(memory, slot);
  }

  /**
   * Takes up to `max` of the frames that wait in the transmit rings now, earliest received first: a packet that a worker sent out and one that
   * an answer sent out, on another thread, leave in the order in which they came. Returns how many.
   */
  protected drainTx(max: number, sink: FrameSink): number {
    const wanted = Math.min(max, this.txQueued);
    let taken = 0;
    while (taken < wanted) {
      const [ring, untilNs] = this.#earliest();
      if (ring === undefined) break;
      taken += ring.drain(wanted - taken, sink, untilNs);
    }
    return taken;
  }

  /** The ring whose first frame is the earliest (the first such), and the time of the earliest in the others. */
  #earliest(): [FrameRing | undefined, number] {
    let found: FrameRing | undefined;
    let foundNs = Number.POSITIVE_INFINITY;
    let untilNs = Number.POSITIVE_INFINITY;
    for (const ring of this.#txRings) {
      const headNs = ring.headTimeNs;
      if (headNs < foundNs) [found, foundNs, untilNs] = [ring, headNs, foundNs];
      else untilNs = Math.min(untilNs, headNs);
    }
    return [found, untilNs];
  }

  /** Frames waiting in the transmit rings. */
  protected get txQueued(): number {
    return this.#txRings.reduce((sum, ring) => sum + ring.queued, 0);
  }
}

/** Opens a port that only counts what it is sent. */
export class NullPort extends Port {
  readonly type = 'null';

  constructor(context: PortContext) {
    super(context);
    this.open(C.RX_NONE, 0, C.TX_NULL, 0);
  }

  override get exhausted(): boolean {
    return true;
  }
}
