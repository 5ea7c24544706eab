/*
 * The transport to the WASM datapaths of this process: function calls. Before it: transport.ts, which says what each method promises. After it:
 * wasm-router.ts, which knows the datapaths, and the front door of each (src/kernel/front-door.ts).
 *
 * Concepts. A transaction is decided when the call returns, so nothing is acknowledged: a request of which no error came back was done. Requests of a
 * batch that are for the same datapath go in as one datagram. The caller is an administrator: whoever can call this owns the process.
 *
 * Ownership: as transport.ts says. Threads: the one that opened the datapaths. What can be lost: notifications, as from the kernel.
 */

import { kernelFamily } from '../kernel/families.ts';
import type { ByteView } from '../native/netlink.ts';
import {
  TRANSACTION_ERRNO,
  TRANSACTION_FLAGS,
  TRANSACTION_OFFSET,
  TRANSACTION_OVERFLOW,
  TRANSACTION_ROW_WORDS,
  TRANSACTION_SIZE,
} from '../native/netlink.ts';
import * as K from '../netlink/constants.ts';
import type { DumpOptions } from '../netlink/dump.ts';
import { timeoutError } from '../netlink/errors.ts';
import type { GenericFamily } from '../netlink/generic.ts';
import {
  oneRequest,
  onlyReply,
  type TransactAsyncOptions,
  type TransactionBatch,
  type TransactOneOptions,
} from '../netlink/transaction.ts';
import type { OvsFamily, Transport, TransportSubscribeOptions } from './transport.ts';
import { WasmDump } from './wasm-dump.ts';
import { WasmRouter } from './wasm-router.ts';
import { WasmSubscription } from './wasm-subscription.ts';

/** Requests of an asynchronous batch that are handled before the event loop has its turn: about a millisecond. */
const SLICE_COUNT = 1024;
/** From the header of a generic message to dp_ifindex. */
const DP_IFINDEX = K.NLMSG_HDRLEN + K.GENL_HDRLEN;

/** Where a batch stands. */
interface Progress {
  /** Of the next request: its number and where it begins. */
  index: number;
  at: number;
  /** Bytes of the replies so far. */
  used: number;
}

export class WasmTransport implements Transport {
  readonly kind = 'wasm';
  readonly #router = new WasmRouter();

  family(name: OvsFamily): GenericFamily {
    return kernelFamily(name);
  }

  transact(request: ByteView, options: TransactOneOptions = {}): Uint8Array {
    const batch = oneRequest(options).addMessage(request);
    this.transactMany(batch);
    return onlyReply(batch);
  }

  transactMany(batch: TransactionBatch): number {
    this.#run(batch, begin(), batch.count);
    return batch.failures();
  }

  async transactManyAsync(batch: TransactionBatch, { signal }: TransactAsyncOptions = {}): Promise<number> {
    const progress = begin();
    for (;;) {
      if (signal?.aborted) throw timeoutError(batch.operation, signal.reason);
      this.#run(batch, progress, SLICE_COUNT);
      if (progress.index === batch.count) return batch.failures();
      await new Promise(setImmediate);
    }
  }

  dump(request: ByteView, options?: DumpOptions): WasmDump {
    return new WasmDump(this.#router, request, options);
  }

  subscribe(groups: readonly number[], options?: TransportSubscribeOptions): WasmSubscription {
    return new WasmSubscription(groups, options);
  }

  close(): void {
    this.#router.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Handles up to `countMax` further requests of the batch. */
  #run(batch: TransactionBatch, progress: Progress, countMax: number): void {
    const { requests, rows } = batch;
    const view = new DataView(requests.buffer, requests.byteOffset, requests.length);
    const end = Math.min(batch.count, progress.index + countMax);
    while (progress.index < end) {
      const { index, at } = progress;
      const [next, size] = this.#sameDatapath(view, progress, end);
      rows.fill(0, index * TRANSACTION_ROW_WORDS, next * TRANSACTION_ROW_WORDS);
      this.#router.send(requests.subarray(at, at + size), (bytes, address, replySize) =>
        keep(batch, progress, bytes, address, replySize),
      );
      progress.index = next;
      progress.at = at + ((size + 3) & ~3);
    }
  }

  /** The run of requests that begins here and is for one datapath, numbered: the number of the first behind it, and its bytes. */
  #sameDatapath(view: DataView, { index, at }: Progress, end: number): [number, number] {
    const first = dpIfindexAt(view, at);
    let next = index;
    let to = at;
    let size = 0;
    while (next < end) {
      const messageSize = view.getUint32(to + K.NLMSG_LEN, true);
      const joins = first > 0 && dpIfindexAt(view, to) === first && to + messageSize - at <= this.#router.datagramSize;
      if (next > index && !joins) break;
      const flags = view.getUint16(to + K.NLMSG_FLAGS, true);
      view.setUint16(to + K.NLMSG_FLAGS, (flags | K.NLM_F_REQUEST) & ~K.NLM_F_ACK, true);
      view.setUint32(to + K.NLMSG_SEQ, next + 1, true);
      size = to + messageSize - at;
      to += (messageSize + 3) & ~3;
      next++;
    }
    return [next, size];
  }
}

function begin(): Progress {
  return { index: 0, at: 0, used: 0 };
}

/** 0 for a message without one. */
function dpIfindexAt(view: DataView, at: number): number {
  return view.getUint32(at + K.NLMSG_LEN, true) < DP_IFINDEX + 4 ? 0 : view.getInt32(at + DP_IFINDEX, true);
}

/** One message of the answer to a request of the batch, `size` bytes at `address` of `bytes`: into its row, and into the replies. */
function keep(batch: TransactionBatch, progress: Progress, bytes: ByteView, address: number, size: number): void {
  const { replies, rows } = batch;
  const row = (word(bytes, address + K.NLMSG_SEQ) - 1) * TRANSACTION_ROW_WORDS;
  const type = bytes[address + K.NLMSG_TYPE] | (bytes[address + K.NLMSG_TYPE + 1] << 8);
  if (type === K.NLMSG_ERROR) {
    const errno = -word(bytes, address + K.NLMSG_HDRLEN);
    rows[row + TRANSACTION_ERRNO] = errno;
    if (errno === 0) return;
    rows[row + TRANSACTION_SIZE] = 0; // what was said before it was refused does not count
  }
  const before = rows[row + TRANSACTION_SIZE];
  const padded = (size + 3) & ~3;
  if (progress.used + padded > replies.length) {
    rows[row + TRANSACTION_FLAGS] |= TRANSACTION_OVERFLOW;
    rows[row + TRANSACTION_SIZE] = before + size;
    return;
  }
  if (before === 0) rows[row + TRANSACTION_OFFSET] = progress.used;
  replies.set(bytes.subarray(address, address + size), progress.used);
  rows[row + TRANSACTION_SIZE] = progress.used + size - rows[row + TRANSACTION_OFFSET];
  progress.used += padded;
}

function word(bytes: ByteView, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
}
