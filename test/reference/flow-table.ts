/*
 * The slow, obvious flow table: a list of matches with their actions, searched from the first to the last.
 */

export interface ModelFlow {
  /** Masked. */
  key: Uint8Array;
  mask: Uint8Array;
  actions: Uint8Array;
  packets: number;
  bytes: number;
  tcpFlags: number;
}

export type PutMode = 'create' | 'modify' | 'either';
export type PutResult = 'created' | 'replaced' | 'ERR_FLOW_EXISTS' | 'ERR_NO_SUCH_FLOW' | 'ERR_TABLE_FULL';

export function masked(key: Uint8Array, mask: Uint8Array): Uint8Array {
  return key.map((byte, i) => byte & mask[i]);
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** A flow's name: equal for equal matches. */
export function matchName(key: Uint8Array, mask: Uint8Array): string {
  return `${Buffer.from(masked(key, mask)).toString('latin1')}/${Buffer.from(mask).toString('latin1')}`;
}

export class ModelTable {
  readonly flows = new Map<string, ModelFlow>();
  readonly capacity: number;

  constructor(capacity = Number.POSITIVE_INFINITY) {
    this.capacity = capacity;
  }

  put(key: Uint8Array, mask: Uint8Array, actions: Uint8Array, mode: PutMode): PutResult {
    const name = matchName(key, mask);
    const before = this.flows.get(name);
    if (before !== undefined) {
      if (mode === 'create') return 'ERR_FLOW_EXISTS';
      before.actions = actions;
      return 'replaced';
    }
    if (mode === 'modify') return 'ERR_NO_SUCH_FLOW';
    if (this.flows.size >= this.capacity) return 'ERR_TABLE_FULL';
    this.flows.set(name, { key: masked(key, mask), mask, actions, packets: 0, bytes: 0, tcpFlags: 0 });
    return 'created';
  }

  get(key: Uint8Array, mask: Uint8Array): ModelFlow | undefined {
    return this.flows.get(matchName(key, mask));
  }

  delete(key: Uint8Array, mask: Uint8Array): boolean {
    return this.flows.delete(matchName(key, mask));
  }

  /** Removes flows that look at all bits of `mask` and have the values of `key` there. */
  deleteWhere(key: Uint8Array, mask: Uint8Array): number {
    const going = [...this.flows].filter(([, flow]) =>
      mask.every((bits, i) => (flow.mask[i] & bits) === bits && (flow.key[i] & bits) === (key[i] & bits)),
    );
    for (const [name] of going) this.flows.delete(name);
    return going.length;
  }

  flush(): number {
    const count = this.flows.size;
    this.flows.clear();
    return count;
  }

  /** Every flow that covers `key`; flows may overlap. */
  covering(key: Uint8Array): ModelFlow[] {
    return [...this.flows.values()].filter((flow) => same(masked(key, flow.mask), flow.key));
  }

  /** Distinct masks and action lists of the flows. */
  get masks(): number {
    return new Set([...this.flows.values()].map(({ mask }) => Buffer.from(mask).toString('latin1'))).size;
  }

  get actionLists(): number {
    return new Set([...this.flows.values()].map(({ actions }) => Buffer.from(actions).toString('latin1'))).size;
  }
}
