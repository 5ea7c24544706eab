/*
 * The answers of a handler to upcalls of the kernel, carried out: for each upcall a FLOW NEW and a PACKET EXECUTE, written by WASM (assembly/upcall/export.ts) behind each
 * other and sent as one batch of transactions. Before it: upcall-host.ts, with frames that a handler has answered. After it: the transport; ageing.ts notes what was installed.
 *
 * A flow that is there already, or one that covers the packet, is no failure: two packets of one connection were on their way up at once.
 * Ownership: a region of the upcall memory for the messages. Threads: one.
 */
import * as C from '../../../assembly/constants.ts';
import type { DatapathError } from '../../errors.ts';
import type { ByteView } from '../../native/netlink.ts';
import { NLA_HDRLEN } from '../../netlink/constants.ts';
import { TransactionBatch } from '../../netlink/transaction.ts';
import { UFID_SIZE } from '../../odp/ufid.ts';
import type { Transport } from '../../transport/transport.ts';
import type { DatapathMemory } from '../../wasm/memory.ts';
import { EEXIST, ENOENT } from '../errors.ts';
import { HEADERS_SIZE } from '../messages/request.ts';

/** Bytes for the messages of one batch: at least one pair of the largest (a packet, a key, a mask, twice the actions). */
const OUT_SIZE = 1024 * 1024;
const MESSAGES_MAX = 2 * C.UPCALL_TAKE_MAX;

export interface AnswerFamilies {
  flow: number;
  packet: number;
}

export interface InstalledFlow {
  ufid: Uint8Array;
  idleMs: number;
  hardMs: number;
}

export interface AnswersOptions {
  families: AnswerFamilies;
  dpIfindex: number;
  onInstalled: (flow: InstalledFlow) => void;
  /** A message that the datapath refused. */
  onRefused: (what: 'flow' | 'execute', worker: number, error: DatapathError) => void;
}

/** Timeouts of the flows that an upcall's answer installs. */
export type TimeoutsOf = (frame: number) => { idleMs: number; hardMs: number };

export class Answers {
  readonly #memory: DatapathMemory;
  readonly #transport: Transport;
  readonly #options: AnswersOptions;
  readonly #out: number;
  readonly #work: number;
  readonly #batch: TransactionBatch;
  /** Of each message in the batch: the flow that it installs, undefined for a packet. */
  readonly #flows: (InstalledFlow | undefined)[] = [];

  constructor(memory: DatapathMemory, transport: Transport, options: AnswersOptions) {
    this.#memory = memory;
    this.#transport = transport;
    this.#options = options;
    this.#out = memory.allocate(OUT_SIZE, 'answers');
    this.#work = memory.allocate(C.KEY_SIZE, 'answers');
    this.#batch = new TransactionBatch({
      countMax: MESSAGES_MAX,
      requests: memory.slice(this.#out, OUT_SIZE) as ByteView,
      confirm: 'last',
      operation: 'upcall answer',
    });
  }

  /** Carries out the first `count` answers of a worker's last take and gives the frames back. Returns 0, or the errno of the last flow that was refused. */
  carryOut(worker: number, count: number, timeoutsOf: TimeoutsOf): number {
    const list = this.#memory.upcallRing(worker) + C.UPCALL_LIST;
    let failure = 0;
    try {
      for (let i = 0; i < count; i++) {
        const frame = this.#memory.u32(list + i * 4);
        if (this.#put(frame, timeoutsOf)) continue;
        failure = this.#send(worker) || failure;
        this.#put(frame, timeoutsOf);
      }
      return this.#send(worker) || failure;
    } finally {
      this.#memory.wasm.settleTaken(worker, count);
    }
  }

  /** Adds the messages of one answer; false when they do not fit. */
  #put(frame: number, timeoutsOf: TimeoutsOf): boolean {
    const { wasm } = this.#memory;
    const { families, dpIfindex } = this.#options;
    const at = this.#out + this.#batch.requests.length;
    const limit = this.#out + OUT_SIZE;
    const middle = wasm.exportFlow(frame, at, limit, families.flow, dpIfindex, this.#work) >>> 0;
    const end = middle === 0 ? 0 : wasm.exportExecute(frame, middle, limit, families.packet, dpIfindex) >>> 0;
    if (end === 0) return false;
    if (middle > at)
      this.#add(middle - at, {
        ufid: this.#memory.copy(at + HEADERS_SIZE + NLA_HDRLEN, UFID_SIZE),
        ...timeoutsOf(frame),
      });
    if (end > middle) this.#add(end - middle, undefined);
    return true;
  }

  #add(size: number, flow: InstalledFlow | undefined): void {
    this.#batch.addInPlace(size);
    this.#flows.push(flow);
  }

  #send(worker: number): number {
    const batch = this.#batch;
    let failure = 0;
    try {
      if (batch.count > 0) this.#transport.transactMany(batch);
      this.#flows.forEach((flow, i) => {
        const errno = batch.errno(i);
        if (errno === 0 && flow !== undefined) this.#options.onInstalled(flow);
        if (errno === 0 || (flow !== undefined && COVERED.has(errno))) return;
        if (flow !== undefined) failure = errno;
        this.#options.onRefused(flow === undefined ? 'execute' : 'flow', worker, batch.error(i)!);
      });
    } finally {
      batch.clear();
      this.#flows.length = 0;
    }
    return failure;
  }
}

/** What the kernel says of a key that another flow covers. */
const COVERED: ReadonlySet<number> = new Set([EEXIST, ENOENT]);
