/*
 * Transport: where the messages of a datapath interface go. There is one dpif (src/dpif/), and it speaks the kernel's generic Netlink ABI of the
 * ovs_* families; a transport carries a request to whoever serves them and brings back what was answered.
 *
 *     kernel   AF_NETLINK sockets to openvswitch.ko                                   kernel.ts
 *     wasm     a function call into the WASM datapaths of this process                wasm.ts
 *     remote   AF_NETLINK sockets to a worker that is another process (later)
 *
 * Before it: src/dpif/netlink-dpif.ts, and whoever talks to a datapath by messages. After it: src/netlink/, or the front door of the module
 * (assembly/kernel/).
 *
 * Concepts. The four ways to use a Netlink socket are the four methods: a transaction, a batch of them, a dump, notifications. Requests are whole
 * messages, nlmsghdr first; sequence number, port id and the flags REQUEST and ACK are filled in. A refusal is the errno of the other end,
 * with what it said beside it (src/netlink/errors.ts). A transaction must be idempotent: on a socket whose answer was lost it is sent again.
 *
 * Ownership: request bytes are used during the call only; a TransactionBatch is in use until it is decided; what `transact` returns is a copy, the
 * cursor of a dump is valid until its next step. Threads: the one that made it. Errors: DatapathError ERR_NETLINK_*.
 */
import type { ByteView } from '../native/netlink.ts';
import type { DumpOptions } from '../netlink/dump.ts';
import type { GenericFamily } from '../netlink/generic.ts';
import type { MessageCursor } from '../netlink/message.ts';
import type { SubscribeOptions, SubscriptionItem } from '../netlink/multicast.ts';
import type {
  TransactAsyncOptions,
  TransactionBatch,
  TransactOneOptions,
  TransactOptions,
} from '../netlink/transaction.ts';

export type OvsFamily = 'ovs_datapath' | 'ovs_vport' | 'ovs_flow' | 'ovs_packet' | 'ovs_meter' | 'ovs_ct_limit';

export interface Transport extends Disposable {
  readonly kind: 'kernel' | 'wasm' | 'remote';
  /** Id, version and groups of a family. Throws ERR_NETLINK_NO_SUCH_FAMILY, which names the module to load. */
  family(name: OvsFamily): GenericFamily;
  /** One request, waited for. The messages of its reply, a copy; empty when there was only an acknowledgement. Throws the refusal. */
  transact(request: ByteView, options?: TransactOneOptions): Uint8Array;
  /** All requests of the batch, waited for; rows and replies are as src/netlink/transaction.ts says. Returns how many were refused. */
  transactMany(batch: TransactionBatch, options?: TransactOptions): number;
  /** The same without keeping the event loop from its work. */
  transactManyAsync(batch: TransactionBatch, options?: TransactAsyncOptions): Promise<number>;
  /** Starts a dump; the flags of a dump are added. What cannot be asked for is thrown here or at its end. */
  dump(request: ByteView, options?: DumpOptions): TransportDump;
  /** Hears the groups, by the ids that `family` told, from the call on. */
  subscribe(groups: readonly number[], options?: TransportSubscribeOptions): TransportSubscription;
  /** Lets go of what it holds; dumps and subscriptions under way go on to their end. Idempotent. */
  close(): void;
}

/** A table, message by message. */
export interface TransportDump extends Disposable {
  /** Whether the table changed while it was read, so that entries may be missing or there twice. Final when the dump has ended. */
  readonly interrupted: boolean;
  /** The next message, waited for; undefined after the last one. Throws at the end what the dump failed with. */
  next(): MessageCursor | undefined;
  /** The same on the event loop. */
  nextAsync(): Promise<MessageCursor | undefined>;
  /** All the messages of the next datagram at once; undefined after the last. The bytes are valid until the next step. */
  nextDatagram(): ByteView | undefined;
  nextDatagramAsync(): Promise<ByteView | undefined>;
  /** Idempotent. Before the end it abandons the dump. */
  close(): void;
  [Symbol.iterator](): Iterator<MessageCursor, void, undefined>;
  [Symbol.asyncIterator](): AsyncIterator<MessageCursor, void, undefined>;
}

export type TransportSubscribeOptions = Omit<SubscribeOptions, 'peer'>;

/** Notifications; an overrun is an item of its own, after which everything may have changed. */
export interface TransportSubscription extends AsyncIterableIterator<SubscriptionItem>, Disposable {
  /** The next item if there is one, without waiting. */
  take(): SubscriptionItem | undefined;
  /** Leaves the groups. Idempotent; a `next` that waits is done. */
  close(): void;
}
