/*
 * The slow, obvious classifier: one Map a mask, from the masked key to the flow, asked in any order, because the flows given to it never
 * overlap. Counts what each flow's packets were.
 */
import * as C from '../../assembly/constants.ts';
import { type ModelFlow, masked } from './flow-table.ts';

export class ModelClassifier {
  readonly #byMask = new Map<string, { mask: Uint8Array; flows: Map<string, ModelFlow> }>();
  count = 0;

  static #text(bytes: Uint8Array): string {
    return Buffer.from(bytes).toString('latin1');
  }

  put(key: Uint8Array, mask: Uint8Array, actions: Uint8Array): ModelFlow {
    const name = ModelClassifier.#text(mask);
    let table = this.#byMask.get(name);
    if (table === undefined) {
      table = { mask, flows: new Map() };
      this.#byMask.set(name, table);
    }
    const own = masked(key, mask);
    const before = table.flows.get(ModelClassifier.#text(own));
    if (before !== undefined) {
      before.actions = actions;
      return before;
    }
    const flow: ModelFlow = { key: own, mask, actions, packets: 0, bytes: 0, tcpFlags: 0 };
    table.flows.set(ModelClassifier.#text(own), flow);
    this.count++;
    return flow;
  }

  delete(flow: ModelFlow): void {
    if (this.#byMask.get(ModelClassifier.#text(flow.mask))?.flows.delete(ModelClassifier.#text(flow.key))) this.count--;
  }

  /** The flow that covers `key`; undefined: a miss. */
  lookup(key: Uint8Array): ModelFlow | undefined {
    for (const { mask, flows } of this.#byMask.values()) {
      const flow = flows.get(ModelClassifier.#text(masked(key, mask)));
      if (flow !== undefined) return flow;
    }
    return undefined;
  }

  /** The same, and counts the packet. */
  receive(key: Uint8Array, size: number): ModelFlow | undefined {
    const flow = this.lookup(key);
    if (flow !== undefined) {
      flow.packets++;
      flow.bytes += size;
      flow.tcpFlags |= (key[C.KEY_TCP_FLAGS] << 8) | key[C.KEY_TCP_FLAGS + 1];
    }
    return flow;
  }

  get flows(): ModelFlow[] {
    return [...this.#byMask.values()].flatMap(({ flows }) => [...flows.values()]);
  }
}
