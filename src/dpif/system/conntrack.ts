/*
 * The kernel's connection tracking, which its datapath uses: dump and flush, over NETLINK_NETFILTER. It is that of the network namespace, not of one datapath. Before
 * it: SystemDatapath.ctDump and ctFlush. After it: conntrack-messages.ts.
 *
 * A zone is flushed one connection at a time: kernels before Linux 6.8 do not look at the zone of a flush, and would flush everything.
 * Threads: any. What can be lost: nothing; a connection that comes during a flush may stay.
 */
import { NETLINK_NETFILTER } from '../../netlink/constants.ts';
import type { MessageCursor } from '../../netlink/message.ts';
import { dump, netlinkPool, transact } from '../../netlink/pool.ts';
import { TransactionBatch } from '../../netlink/transaction.ts';
import { ENOENT } from '../errors.ts';
import type { Walk } from '../provider.ts';
import type { CtEntry, CtFlush } from '../types.ts';
import { connectionsRequest, deleteRequest, flushRequest, readConnection } from './conntrack-messages.ts';

/** Deletions of one batch. */
const BATCH_MAX = 256;

export function dumpConnections(zone?: number): Walk<CtEntry> {
  const start = () => dump(NETLINK_NETFILTER, connectionsRequest(), { operation: 'conntrack dump' });
  const read = (message: MessageCursor): CtEntry | undefined => {
    const entry = readConnection(message);
    return zone === undefined || entry?.zone === zone ? entry : undefined;
  };
  return {
    *[Symbol.iterator]() {
      using messages = start();
      for (const message of messages) {
        const entry = read(message);
        if (entry !== undefined) yield entry;
      }
    },
    async *[Symbol.asyncIterator]() {
      using messages = start();
      for await (const message of messages) {
        const entry = read(message);
        if (entry !== undefined) yield entry;
      }
    },
  };
}

/** All, those of a zone, or the one with this tuple (ENOENT: there is none). */
export function flushConnections({ zone, tuple }: CtFlush): void {
  const operation = 'conntrack flush';
  if (tuple !== undefined) transact(NETLINK_NETFILTER, deleteRequest(tuple, zone ?? 0), { operation });
  else if (zone === undefined) transact(NETLINK_NETFILTER, flushRequest(), { operation });
  else flushZone(zone, operation);
}

function flushZone(zone: number, operation: string): void {
  const entries = [...dumpConnections(zone)];
  const batch = new TransactionBatch({ countMax: BATCH_MAX, operation });
  for (let first = 0; first < entries.length; first += BATCH_MAX) {
    batch.clear();
    for (const { origin, id } of entries.slice(first, first + BATCH_MAX))
      batch.addMessage(deleteRequest(origin, zone, id));
    netlinkPool(NETLINK_NETFILTER).transactMany(batch);
    for (let i = 0; i < batch.count; i++) {
      const error = batch.error(i);
      if (error !== undefined && error.errno !== ENOENT) throw error; // ENOENT: it ended meanwhile
    }
  }
}
