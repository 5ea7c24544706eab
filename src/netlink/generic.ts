/*
 * Generic Netlink families by name: ids, operations, multicast groups. Before it: whoever sends to a family. After it: nlctrl (family-query.ts).
 *
 * Concepts. The kernel gives a family its id when its module is loaded, so a program looks it up by name. An answer is kept, and thrown away when
 * nlctrl says that the family went, came or changed its groups (group `notify`). Nothing runs in the background for that: a socket that joined
 * the group is read, without waiting, at the next lookup. It is opened before the first answer is kept, closed when none is left, and does
 * not keep the process alive. What was not found is asked for again each time: the kernel tries to load a module then.
 *
 * A server in user space is named by its port id, and asked on the event loop, as it may be this very process: `lookupFamilyAsync`. Its
 * answers are thrown away too when another socket has taken its port id.
 *
 * Threads: each has a cache of its own. Errors: ERR_NETLINK_NO_SUCH_FAMILY names the module to load, ERR_NETLINK_NO_SUCH_GROUP.
 */
import { DatapathError } from '../errors.ts';
import * as K from './constants.ts';
import type { Datagram } from './datagram.ts';
import { askKernel, askPeer, type GenericFamily, parseFamily } from './family-query.ts';
import { MessageCursor } from './message.ts';
import { setPeerOptions } from './peer-options.ts';
import { netlinkSockets } from './server/sockets.ts';
import { NetlinkSocket } from './socket.ts';

export { dumpFamilies, type GenericFamily, type GenericOperation } from './family-query.ts';

/** Bytes of a listener's buffer; when it overruns, all answers are thrown away. */
const LISTENER_BUFFER_SIZE = 64 * 1024;
/** Ids of nlctrl's group `notify`: the first of all groups, everywhere. */
const NOTIFY_GROUP = K.GENL_ID_CTRL;

/** Answers of one nlctrl, and the socket that hears when they are over. */
class FamilyCache {
  listener: NetlinkSocket | undefined;
  readonly #families = new Map<string, GenericFamily>();

  get size(): number {
    return this.#families.size;
  }

  /** What is known and still true. */
  get(name: string): GenericFamily | undefined {
    for (let heard = this.#hear(); heard !== undefined; heard = this.#hear()) this.#heed(heard);
    return this.#families.get(name);
  }

  set(family: GenericFamily): GenericFamily {
    this.#families.set(family.name, family);
    return family;
  }

  /** Closes the listener when there is nothing to listen for. */
  settle(): void {
    if (this.#families.size > 0) return;
    this.listener?.close();
    this.listener = undefined;
  }

  clear(): void {
    this.#families.clear();
    this.settle();
  }

  #hear(): Datagram | undefined {
    try {
      return this.listener?.receive();
    } catch {
      this.clear();
      return undefined;
    }
  }

  #heed(heard: Datagram): void {
    const cursor = new MessageCursor(heard.bytes);
    while (cursor.next()) {
      if (cursor.type === K.NLMSG_OVERRUN) this.#families.clear();
      if (cursor.type === K.GENL_ID_CTRL) this.#families.delete(parseFamily(cursor).name);
    }
    this.settle();
  }
}

const kernel = new FamilyCache();

/** A server in user space: its answers, the inode of the socket that gave them, and lookups one after the other. */
interface PeerFamilies {
  readonly cache: FamilyCache;
  inode: number | undefined;
  turn: Promise<unknown>;
}
const peers = new Map<number, PeerFamilies>();

/** A family of the kernel. */
export function lookupFamily(name: string): GenericFamily {
  const known = kernel.get(name);
  if (known !== undefined) return known;
  if (kernel.listener === undefined) {
    kernel.listener = NetlinkSocket.open(K.NETLINK_GENERIC, { receiveBufferSize: LISTENER_BUFFER_SIZE });
    kernel.listener.join(NOTIFY_GROUP);
  }
  try {
    return kernel.set(askKernel(name));
  } finally {
    kernel.settle();
  }
}

/** Id of a multicast group of a family of the kernel. */
export function lookupGroup(family: string, group: string): number {
  return groupOf(lookupFamily(family), group);
}

/** A family of the server in user space whose port id (on NETLINK_USERSOCK) is `peer`. */
export function lookupFamilyAsync(name: string, peer: number): Promise<GenericFamily> {
  let families = peers.get(peer);
  if (families === undefined) {
    families = { cache: new FamilyCache(), inode: undefined, turn: Promise.resolve() };
    peers.set(peer, families);
  }
  const found = families.turn.then(() => lookupAtPeer(name, peer, families));
  families.turn = found.catch(() => undefined);
  return found;
}

export async function lookupGroupAsync(family: string, group: string, peer: number): Promise<number> {
  return groupOf(await lookupFamilyAsync(family, peer), group);
}

/** Forgets all answers, and closes the sockets that listen for changes. */
export function clearFamilies(): void {
  kernel.clear();
  for (const { cache } of peers.values()) cache.clear();
  peers.clear();
}

async function lookupAtPeer(name: string, peer: number, families: PeerFamilies): Promise<GenericFamily> {
  const { cache } = families;
  const inode = netlinkSockets(K.NETLINK_USERSOCK).get(peer);
  if (inode !== families.inode) cache.clear();
  families.inode = inode;
  const known = cache.get(name);
  if (known !== undefined) return known;
  try {
    const listens = await listenToPeer(cache, peer);
    const family = await askPeer(name, peer);
    return listens ? cache.set(family) : family;
  } finally {
    cache.settle();
    if (cache.size === 0 && peers.get(peer) === families) peers.delete(peer);
  }
}

/** False when the server does not know subscriptions by message: then nothing can be kept. */
async function listenToPeer(cache: FamilyCache, peer: number): Promise<boolean> {
  if (cache.listener !== undefined) return true;
  const listener = NetlinkSocket.open(K.NETLINK_USERSOCK, { peer, receiveBufferSize: LISTENER_BUFFER_SIZE });
  try {
    await setPeerOptions(listener, [[K.NETLINK_ADD_MEMBERSHIP, NOTIFY_GROUP]]);
    cache.listener = listener;
    return true;
  } catch (error) {
    listener.close();
    if (error instanceof DatapathError && error.code === 'ERR_NETLINK_NO_SUCH_FAMILY') return false;
    throw error;
  }
}

function groupOf(family: GenericFamily, group: string): number {
  const id = family.groups.get(group);
  if (id !== undefined) return id;
  const groups = [...family.groups.keys()].join(', ') || 'none';
  const message = `family ${family.name} has no multicast group ${group}; it has: ${groups}`;
  throw new DatapathError('ERR_NETLINK_NO_SUCH_GROUP', message, { operation: 'group lookup' });
}
