/*
 * Flows and packets over a transport: operations in batches, dumps. Before it: netlink-dpif.ts. After it: messages/flow.ts and a transport.
 *
 * Concepts. Operations go down in chunks: as many as fit the batch by count, and of those with an answer as many as fit its room for answers; the transport cuts a chunk
 * into datagrams by bytes and by what the receive buffer holds. Each operation gets its own error. An operation too large for any datagram fails alone, with ENOBUFS.
 *
 * Ownership: the batch is this object's and used again. Threads: one; while asynchronous operations are under way others get a batch of their own.
 * What can be lost: nothing. A request whose answer was lost is sent again, and a flow that is created twice says so: EEXIST of a repeated create is its success.
 */
import type { ByteView } from '../native/netlink.ts';
import type { MessageBuffer } from '../netlink/buffer.ts';
import type { GenericFamily } from '../netlink/generic.ts';
import { MessageCursor } from '../netlink/message.ts';
import { REPLY_SIZE, TransactionBatch } from '../netlink/transaction.ts';
import type { Transport, TransportDump } from '../transport/transport.ts';
import { dpifError, EEXIST, ENOBUFS, ENOENT } from './errors.ts';
import { FlowMessages } from './flow-messages.ts';
import { flowDumpRequest, flowFlushRequest, putFlowDel, putFlowGet, putFlowPut, readFlow } from './messages/flow.ts';
import { putExecute } from './messages/packet.ts';
import type { FlowDumpOptions, FlowDumpThread, ProviderFlowDump } from './provider.ts';
import { DPIF_FP_CREATE, type DpifFlow, type DpifOp, type FlowGet } from './types.ts';

/** Operations of a chunk: enough to make the cost of a call small, few enough that one call is short. */
const CHUNK_OPS_MAX = 1024;
/** Of those, operations whose answer may be a whole flow. */
const CHUNK_REPLIES_MAX = 32;
/** Room for answers: the flows asked for, and the refusals of all others, which bring their requests back. */
const CHUNK_REPLY_SIZE = CHUNK_REPLIES_MAX * REPLY_SIZE;
/** Chunks of the event loop's form are smaller, as nothing else happens during one. */
const ASYNC_OPS_MAX = 256;

export interface FlowFamilies {
  flow: GenericFamily;
  packet: GenericFamily;
}

export class NetlinkFlows {
  readonly #transport: Transport;
  readonly #families: FlowFamilies;
  readonly #dpIfindex: number;
  /** One that nobody uses now. */
  #spare: TransactionBatch | undefined;

  constructor(transport: Transport, families: FlowFamilies, dpIfindex: number) {
    this.#transport = transport;
    this.#families = families;
    this.#dpIfindex = dpIfindex;
  }

  flush(): void {
    this.#transport.transact(flowFlushRequest(this.#families.flow, this.#dpIfindex), { operation: 'flow flush' });
  }

  operate(ops: readonly DpifOp[]): void {
    for (let next = 0; next < ops.length; ) {
      const batch = this.#takeBatch();
      const chunk = this.#fill(batch, ops, next, CHUNK_OPS_MAX);
      this.#transport.transactMany(batch);
      this.#settle(batch, chunk.sent);
      this.#spare = batch;
      next = chunk.next;
    }
  }

  async operateAsync(ops: readonly DpifOp[], signal?: AbortSignal): Promise<void> {
    for (let next = 0; next < ops.length; ) {
      const batch = this.#takeBatch();
      const chunk = this.#fill(batch, ops, next, ASYNC_OPS_MAX);
      await this.#transport.transactManyAsync(batch, signal === undefined ? {} : { signal });
      this.#settle(batch, chunk.sent);
      this.#spare = batch;
      next = chunk.next;
      await new Promise(setImmediate);
      signal?.throwIfAborted();
    }
  }

  dump(options: FlowDumpOptions): ProviderFlowDump {
    const request = flowDumpRequest(this.#families.flow, this.#dpIfindex, options.terse ?? false);
    return new NetlinkFlowDump(
      () => this.#transport.dump(request, { operation: 'flow dump' }),
      (flow) => (options.terse ? flow : this.#complete(flow)),
    );
  }

  #takeBatch(): TransactionBatch {
    const batch =
      this.#spare ?? new TransactionBatch({ countMax: CHUNK_OPS_MAX, replySize: CHUNK_REPLY_SIZE, confirm: 'last' });
    this.#spare = undefined;
    batch.clear();
    return batch;
  }

  /** Puts operations from `next` on into the batch. `sent` are those in it, in order. */
  #fill(
    batch: TransactionBatch,
    ops: readonly DpifOp[],
    next: number,
    countMax: number,
  ): { next: number; sent: DpifOp[] } {
    const sent: DpifOp[] = [];
    let replies = 0;
    while (next < ops.length && sent.length < countMax) {
      const op = ops[next];
      if (wantsReply(op) && replies++ === CHUNK_REPLIES_MAX) break;
      next++;
      op.error = undefined;
      try {
        batch.add((buffer) => this.#put(buffer, op));
        sent.push(op);
      } catch (error) {
        op.error = dpifError(ENOBUFS, operationName(op), { [ENOBUFS]: { text: 'it does not fit a message' } }, error);
      }
    }
    return { next, sent };
  }

  #put(buffer: MessageBuffer, op: DpifOp): void {
    const { flow, packet } = this.#families;
    if (op.type === 'flow_put') putFlowPut(buffer, flow, this.#dpIfindex, op);
    else if (op.type === 'flow_del') putFlowDel(buffer, flow, this.#dpIfindex, op);
    else if (op.type === 'flow_get') putFlowGet(buffer, flow, this.#dpIfindex, op);
    else putExecute(buffer, packet, this.#dpIfindex, op);
  }

  #settle(batch: TransactionBatch, sent: readonly DpifOp[]): void {
    sent.forEach((op, index) => {
      const error = batch.error(index);
      if (error !== undefined) {
        if (!isRepeated(batch, index, op)) op.error = error;
      } else if (op.type !== 'execute' && batch.replySize(index) > 0) {
        const flow = firstFlow(batch.reply(index).slice());
        if (op.type === 'flow_get') op.flow = flow;
        else if (flow !== undefined) op.stats = flow.stats;
      }
    });
  }

  /** The kernel leaves actions out that do not fit its message: such a flow is asked for again, alone. Undefined: it is gone. */
  #complete(flow: DpifFlow): DpifFlow | undefined {
    if (flow.actions !== undefined) return flow;
    const again: FlowGet = { type: 'flow_get', ...(flow.ufid ? { ufid: flow.ufid } : { key: flow.key! }) };
    this.operate([again]);
    if (again.error !== undefined && again.error.errno !== ENOENT) throw again.error;
    return again.flow;
  }
}

/** It was done, its answer was lost, and the second time it was there already. */
function isRepeated(batch: TransactionBatch, index: number, op: DpifOp): boolean {
  if (!batch.resent(index)) return false;
  const errno = batch.errno(index);
  if (op.type === 'flow_put') return errno === EEXIST && (op.flags & DPIF_FP_CREATE) !== 0;
  return op.type === 'flow_del' && errno === ENOENT;
}

function wantsReply(op: DpifOp): boolean {
  return op.type === 'flow_get' || (op.type !== 'execute' && op.wantStats === true);
}

export function operationName(op: DpifOp): string {
  return op.type.replace('_', ' ');
}

function firstFlow(reply: ByteView): DpifFlow | undefined {
  const cursor = new MessageCursor(reply);
  return cursor.next() ? readFlow(cursor) : undefined;
}

class NetlinkFlowDump implements ProviderFlowDump {
  readonly #dump: TransportDump | undefined;
  readonly #complete: (flow: DpifFlow) => DpifFlow | undefined;
  #error: unknown;
  #closed = false;

  constructor(start: () => TransportDump, complete: (flow: DpifFlow) => DpifFlow | undefined) {
    this.#complete = complete;
    this.#dump = this.guard(start);
  }

  thread(): FlowDumpThread {
    return new NetlinkFlowDumpThread(this);
  }

  /** The next datagram, a view that is valid until the next step; undefined at the end and after an error. */
  refill(): ByteView | undefined {
    return this.guard(() => this.#dump?.nextDatagram());
  }

  async refillAsync(): Promise<ByteView | undefined> {
    try {
      return await this.#dump?.nextDatagramAsync();
    } catch (error) {
      this.#error ??= error;
      return undefined;
    }
  }

  complete(flow: DpifFlow): DpifFlow | undefined {
    return this.#complete(flow);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#dump?.close();
    if (this.#error !== undefined) throw this.#error;
  }

  get failed(): boolean {
    return this.#error !== undefined;
  }

  /** Keeps the first error, as `close` is who tells it. */
  guard<T>(step: () => T): T | undefined {
    if (this.#closed || this.#error !== undefined) return undefined;
    try {
      return step();
    } catch (error) {
      this.#error = error;
      return undefined;
    }
  }
}

class NetlinkFlowDumpThread implements FlowDumpThread {
  readonly #dump: NetlinkFlowDump;
  #cursor = new MessageCursor(new Uint8Array(0));

  constructor(dump: NetlinkFlowDump) {
    this.#dump = dump;
  }

  next(max: number): DpifFlow[] {
    for (;;) {
      const flows = this.#take(max);
      if (flows.length > 0) return flows;
      const bytes = this.#dump.refill();
      if (bytes === undefined) return flows;
      this.#cursor = new MessageCursor(bytes.slice());
    }
  }

  async nextAsync(max: number): Promise<DpifFlow[]> {
    for (;;) {
      const flows = this.#take(max);
      if (flows.length > 0) return flows;
      const bytes = await this.#dump.refillAsync();
      if (bytes === undefined) return flows;
      this.#cursor = new MessageCursor(bytes.slice());
    }
  }

  nextMessages(): FlowMessages | undefined {
    const bytes = this.#cursor.rest() ?? this.#dump.refill();
    return bytes && new FlowMessages(bytes, (message) => this.#read(message));
  }

  /** After an error there is nothing more in the datagram either. */
  #read(message: FlowMessages): DpifFlow | undefined {
    const flow = this.#dump.guard(() => this.#dump.complete(readFlow(message)));
    if (this.#dump.failed) message.rest();
    return flow;
  }

  /** Of the datagram at hand. */
  #take(max: number): DpifFlow[] {
    const flows: DpifFlow[] = [];
    const cursor = this.#cursor;
    this.#dump.guard(() => {
      while (flows.length < max && cursor.next()) {
        const flow = this.#dump.complete(readFlow(cursor));
        if (flow !== undefined) flows.push(flow);
      }
    });
    return flows;
  }
}
