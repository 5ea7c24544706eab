/*
 * LinkWatch: tells ports what happens to their interfaces. Before it: the kernel's notifications of links (rtnetlink), in the network namespace of the
 * process; an interface that moves to another one is gone. After it: the port, which leaves its interface and comes back to it.
 *
 * Concepts. Nobody waits here, so that a datapath does not keep a process alive: ports call `look` in their regular work, and it takes what has
 * arrived. When notifications were lost all interfaces are listed anew. Threads: one watch a thread, shared by its ports.
 */
import * as K from '../netlink/constants.ts';
import { MessageCursor } from '../netlink/message.ts';
import { type Subscription, subscribe } from '../netlink/multicast.ts';
import { allLinks, type Link, parseLink, RTM_DELLINK, RTM_NEWLINK, RTNLGRP_LINK } from './links.ts';
import { subscribeFeatures } from './xdp-features.ts';

/** Whoever follows one interface. */
export interface LinkListener {
  /** Of the interface that it has; 0: none, and it waits for one that is named `interfaceName`. */
  readonly ifindex: number;
  readonly interfaceName: string;
  /** Its interface has changed, or is gone (undefined), or there is one that it may have. */
  linkChanged(link: Link | undefined): void;
}

/** How often notifications are looked for. */
const LOOK_MS = 20;

class LinkWatch {
  readonly #listeners = new Set<LinkListener>();
  #subscription: Subscription | undefined;
  /** Of XDP features, which come and go without a message about the link. */
  #features: Subscription | undefined;
  #lookedMs = 0;

  add(listener: LinkListener): void {
    if (this.#subscription === undefined) {
      this.#subscription = subscribe(K.NETLINK_ROUTE, [RTNLGRP_LINK]);
      this.#features = subscribeFeatures();
    }
    this.#listeners.add(listener);
  }

  remove(listener: LinkListener): void {
    this.#listeners.delete(listener);
    if (this.#listeners.size > 0) return;
    this.#subscription?.close();
    this.#subscription = undefined;
    this.#features?.close();
    this.#features = undefined;
  }

  look(): void {
    const nowMs = performance.now();
    if (nowMs - this.#lookedMs < LOOK_MS || this.#subscription === undefined) return;
    this.#lookedMs = nowMs;
    for (let item = this.#subscription.take(); item !== undefined; item = this.#subscription?.take()) {
      if (item.overrun) this.#list();
      else this.#hear(item.type, item.bytes);
    }
    let isListed = false;
    while (this.#features?.take() !== undefined) isListed = true;
    if (isListed) this.#list();
  }

  #hear(type: number, bytes: Uint8Array): void {
    if (type !== RTM_NEWLINK && type !== RTM_DELLINK) return;
    const cursor = new MessageCursor(bytes);
    if (!cursor.next()) return;
    const link = parseLink(cursor);
    if (type === RTM_NEWLINK) return this.#tell(link);
    for (const listener of this.#listeners) if (listener.ifindex === link.ifindex) listener.linkChanged(undefined);
  }

  #tell(link: Link): void {
    for (const listener of this.#listeners) {
      const isWanted = listener.ifindex === 0 && listener.interfaceName === link.name;
      if (isWanted || listener.ifindex === link.ifindex) listener.linkChanged(link);
    }
  }

  #list(): void {
    const links = allLinks();
    const there = new Set(links.map(({ ifindex }) => ifindex));
    for (const listener of this.#listeners) {
      if (listener.ifindex !== 0 && !there.has(listener.ifindex)) listener.linkChanged(undefined);
    }
    for (const link of links) this.#tell(link);
  }
}

/** The watch of the calling thread. */
export const linkWatch = new LinkWatch();
