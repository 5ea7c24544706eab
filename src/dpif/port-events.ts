/*
 * Port changes of one datapath, from the notifications of ovs_vport, and of ovs_datapath for its end, with which its ports go without a word of their own. Before it:
 * NetlinkDpif.portPoll. After it: a transport's subscription. What can be lost: notifications, when nobody asks for long; then, as at the beginning,
 * everything may have changed. Threads: one.
 */
import * as K from '../../assembly/netlink/openvswitch.ts';
import { dpIfindexOf } from '../kernel/ovs-header.ts';
import type { GenericFamily } from '../netlink/generic.ts';
import { MessageCursor } from '../netlink/message.ts';
import type { SubscriptionItem } from '../netlink/multicast.ts';
import type { Transport, TransportSubscription } from '../transport/transport.ts';
import { readVport } from './messages/vport.ts';
import type { PortChange } from './types.ts';

const COMMANDS: ReadonlySet<number> = new Set([K.OVS_VPORT_CMD_NEW, K.OVS_VPORT_CMD_DEL, K.OVS_VPORT_CMD_SET]);

export interface PortEventFamilies {
  vport: GenericFamily;
  datapath: GenericFamily;
}

export class PortEvents {
  readonly #subscription: TransportSubscription;
  readonly #families: PortEventFamilies;
  readonly #dpIfindex: number;
  #changed = true;
  #isDatapathSet = false;
  /** Heard by `wait` and not told yet. */
  #heard: SubscriptionItem | undefined;
  #waiting: Promise<IteratorResult<SubscriptionItem, undefined>> | undefined;

  constructor(transport: Transport, families: PortEventFamilies, dpIfindex: number) {
    this.#subscription = transport.subscribe([...families.vport.groups.values(), ...families.datapath.groups.values()]);
    this.#families = families;
    this.#dpIfindex = dpIfindex;
  }

  poll(): PortChange | undefined {
    if (this.#changed) {
      this.#changed = false;
      return 'changed';
    }
    for (let item = this.#take(); item !== undefined; item = this.#take()) {
      const change = this.#read(item);
      if (change === 'changed') while (this.#take() !== undefined);
      if (change !== undefined) return change;
    }
    return undefined;
  }

  /** Resolves when `poll` may have something to say; rejects when `signal` is aborted. */
  async wait(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#changed || this.#heard !== undefined) return;
    this.#waiting ??= this.#subscription.next();
    const aborted = new Promise<never>((_, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    });
    const { value } = await Promise.race([this.#waiting, aborted]);
    this.#waiting = undefined;
    this.#heard = value ?? undefined;
  }

  /** Whether somebody has set features or port ids of the datapath since the last call, as far as `poll` has come. */
  takeDatapathSet(): boolean {
    const isSet = this.#isDatapathSet;
    this.#isDatapathSet = false;
    return isSet;
  }

  close(): void {
    this.#subscription.close();
  }

  #take(): SubscriptionItem | undefined {
    const heard = this.#heard;
    this.#heard = undefined;
    return heard ?? (this.#waiting === undefined ? this.#subscription.take() : undefined);
  }

  #read(item: SubscriptionItem): PortChange | undefined {
    if (item.overrun) return 'changed';
    const message = new MessageCursor(item.bytes);
    if (!message.next() || dpIfindexOf(message) !== this.#dpIfindex) return undefined;
    if (item.type === this.#families.datapath.id) {
      this.#isDatapathSet ||= message.command === K.OVS_DP_CMD_SET;
      return message.command === K.OVS_DP_CMD_DEL ? 'changed' : undefined;
    }
    if (item.type !== this.#families.vport.id || !COMMANDS.has(message.command)) return undefined;
    try {
      return { name: readVport(message, 'port notification').name };
    } catch {
      return 'changed';
    }
  }
}
