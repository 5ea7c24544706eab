/*
 * A kernel that is older than what our datapath is like: a transport to our datapath that knows fewer features, fewer attributes of flows, fewer actions. To an old
 * kernel the number of something new means nothing, so requests are passed on with other numbers, which mean nothing to ours.
 *
 * For tests only.
 */
import { FAMILY_DATAPATH, FAMILY_FLOW, FAMILY_PACKET } from '../../assembly/kernel/families.ts';
import * as K from '../../assembly/netlink/openvswitch.ts';
import { HEADERS_SIZE } from '../../src/dpif/messages/request.ts';
import { NLA_TYPE_MASK } from '../../src/netlink/constants.ts';
import { netlinkError } from '../../src/netlink/errors.ts';
import { AttributeCursor, MessageCursor, type TransactionBatch } from '../../src/netlink/index.ts';
import type { TransactOneOptions } from '../../src/netlink/transaction.ts';
import { WasmTransport } from '../../src/transport/wasm.ts';

export interface OldKernelOptions {
  /** OVS_DP_F_* that it has. */
  features?: number;
  /** How it refuses a feature that it does not have; undefined: it takes every bit, and shows those that it has. */
  refusal?: number;
  /** OVS_FLOW_ATTR_* that came later. */
  withoutAttributes?: readonly number[];
  /** OVS_ACTION_ATTR_* that came later. */
  withoutActions?: readonly number[];
}

/** No attribute and no action has this number. */
const NOTHING = 200;
const ALL_FEATURES = 0x7fffffff;
const LISTS: ReadonlyMap<number, number> = new Map([
  [FAMILY_FLOW, K.OVS_FLOW_ATTR_ACTIONS],
  [FAMILY_PACKET, K.OVS_PACKET_ATTR_ACTIONS],
]);

export class OldKernel extends WasmTransport {
  readonly #options: OldKernelOptions;
  /** Features that were asked for, in order. */
  readonly asked: number[] = [];

  constructor(options: OldKernelOptions) {
    super();
    this.#options = options;
  }

  override transact(request: Uint8Array, options: TransactOneOptions = {}): Uint8Array {
    const message = request.slice();
    const cursor = new MessageCursor(message);
    cursor.next();
    if (cursor.type === FAMILY_DATAPATH) this.#limitFeatures(message, options.operation ?? 'request');
    return super.transact(message, options);
  }

  override transactMany(batch: TransactionBatch): number {
    for (const cursor = new MessageCursor(batch.requests); cursor.next(); ) this.#forget(cursor);
    return super.transactMany(batch);
  }

  #limitFeatures(message: Uint8Array, operation: string): void {
    const { features: known = ALL_FEATURES, refusal } = this.#options;
    const at = findAttribute(message, K.OVS_DP_ATTR_USER_FEATURES);
    if (at === undefined) return;
    const view = new DataView(message.buffer, message.byteOffset);
    const features = view.getUint32(at, true);
    this.asked.push(features);
    if ((features & ~known) !== 0 && refusal !== undefined) throw netlinkError(refusal, operation);
    if (refusal === undefined) view.setUint32(at, features & known, true);
  }

  #forget(message: MessageCursor): void {
    const list = LISTS.get(message.type);
    if (list === undefined) return;
    const { withoutAttributes = [], withoutActions = [] } = this.#options;
    const attributes = new AttributeCursor(message.bytes, message.offset + HEADERS_SIZE, message.size - HEADERS_SIZE);
    const rename = (offset: number): void =>
      new DataView(message.bytes.buffer, message.bytes.byteOffset).setUint16(offset + 2, NOTHING, true);
    while (attributes.next()) {
      if (message.type === FAMILY_FLOW && withoutAttributes.includes(attributes.type)) rename(attributes.offset);
      if (attributes.type !== list) continue;
      for (const actions = attributes.nested(); actions.next(); )
        if (withoutActions.includes(actions.type)) rename(actions.offset);
    }
  }
}

/** Where its payload begins. */
function findAttribute(message: Uint8Array, type: number): number | undefined {
  const view = new DataView(message.buffer, message.byteOffset);
  for (let at = HEADERS_SIZE; at < message.length; at += (view.getUint16(at, true) + 3) & ~3) {
    if ((view.getUint16(at + 2, true) & NLA_TYPE_MASK) === type) return at + 4;
  }
  return undefined;
}
