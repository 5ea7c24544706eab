/*
 * Notifications of all WASM datapaths of this process: who listens to which group, and their queues. Before it: front doors, which publish. After it:
 * subscriptions of the wasm transport.
 *
 * Concepts. A subscription holds what it has not been asked for yet, at most as many bytes as a socket's receive buffer; when that is full messages are
 * lost, and an item says so, as from the kernel. Ownership: the bytes of an item are a copy that all subscribers share. Threads: one.
 */

import { GROUP_FIRST } from '../../assembly/kernel/families.ts';
import { NLMSG_FLAGS, NLMSG_SEQ, NLMSG_TYPE } from '../netlink/constants.ts';
import type { SubscriptionItem } from '../netlink/multicast.ts';

/** What it costs the queue beside its bytes, as the kernel's truesize. */
const ITEM_OVERHEAD = 512;

export class GroupQueue {
  readonly groups: readonly number[];
  readonly #room: number;
  readonly #items: SubscriptionItem[] = [];
  #used = 0;
  #overrun = false;
  /** Called when something has come. */
  wake: (() => void) | undefined;

  /** `room`: bytes that may wait. */
  constructor(groups: readonly number[], room: number) {
    this.groups = groups;
    this.#room = room;
  }

  put(group: number, bytes: Uint8Array<ArrayBuffer>): void {
    const size = bytes.length + ITEM_OVERHEAD;
    if (this.#used + size > this.#room) {
      if (!this.#overrun) this.#items.push({ overrun: true });
      this.#overrun = true;
    } else {
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      const type = view.getUint16(NLMSG_TYPE, true);
      const flags = view.getUint16(NLMSG_FLAGS, true);
      const seq = view.getUint32(NLMSG_SEQ, true);
      this.#items.push({ type, flags, seq, portId: 0, group, nsid: -1, bytes });
      this.#used += size;
    }
    this.wake?.();
  }

  take(): SubscriptionItem | undefined {
    const item = this.#items.shift();
    if (item === undefined) return undefined;
    if (item.overrun) this.#overrun = false;
    else this.#used -= item.bytes.length + ITEM_OVERHEAD;
    return item;
  }
}

const queues = new Set<GroupQueue>();
const watchers = new Set<(groups: number) => void>();

/** Groups that somebody listens to: a bit a group, from GROUP_FIRST up. */
function listened(): number {
  let groups = 0;
  for (const queue of queues) for (const group of queue.groups) groups |= 1 << (group - GROUP_FIRST);
  return groups;
}

function tellWatchers(): void {
  const groups = listened();
  for (const watcher of watchers) watcher(groups);
}

export function addQueue(queue: GroupQueue): void {
  queues.add(queue);
  tellWatchers();
}

export function removeQueue(queue: GroupQueue): void {
  queues.delete(queue);
  tellWatchers();
}

/** Tells now and from now on which groups are listened to. Returns how to stop it. */
export function watchGroups(watcher: (groups: number) => void): () => void {
  watchers.add(watcher);
  watcher(listened());
  return () => watchers.delete(watcher);
}

export function publish(group: number, message: Uint8Array<ArrayBuffer>): void {
  for (const queue of queues) if (queue.groups.includes(group)) queue.put(group, message);
}
