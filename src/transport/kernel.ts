/*
 * The transport to openvswitch.ko: pooled NETLINK_GENERIC sockets of the calling thread. Before it: transport.ts, which says what each method
 * promises. After it: src/netlink/. It speaks to the kernel of the network namespace that the thread is in when a socket is opened.
 */
import type { ByteView } from '../native/netlink.ts';
import { NETLINK_GENERIC } from '../netlink/constants.ts';
import type { Dump, DumpOptions } from '../netlink/dump.ts';
import { type GenericFamily, lookupFamily } from '../netlink/generic.ts';
import { Subscription } from '../netlink/multicast.ts';
import { NetlinkPool } from '../netlink/pool.ts';
import type {
  TransactAsyncOptions,
  TransactionBatch,
  TransactOneOptions,
  TransactOptions,
} from '../netlink/transaction.ts';
import type { OvsFamily, Transport, TransportSubscribeOptions } from './transport.ts';

export class KernelTransport implements Transport {
  readonly kind = 'kernel';
  readonly #pool = new NetlinkPool(NETLINK_GENERIC);

  family(name: OvsFamily): GenericFamily {
    return lookupFamily(name);
  }

  transact(request: ByteView, options?: TransactOneOptions): Uint8Array {
    return this.#pool.transact(request, options);
  }

  transactMany(batch: TransactionBatch, options?: TransactOptions): number {
    return this.#pool.transactMany(batch, options);
  }

  transactManyAsync(batch: TransactionBatch, options?: TransactAsyncOptions): Promise<number> {
    return this.#pool.transactManyAsync(batch, options);
  }

  dump(request: ByteView, options?: DumpOptions): Dump {
    return this.#pool.dump(request, options);
  }

  subscribe(groups: readonly number[], options: TransportSubscribeOptions = {}): Subscription {
    return new Subscription(NETLINK_GENERIC, groups, options);
  }

  close(): void {
    this.#pool.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
