/*
 * The slow, obvious flow table of messages: names, lookups and the rules of NEW, SET, GET and DEL, written from the kernel's description of them. Keys are
 * a few numbers instead of headers; masks are numbers of the same places. Flows are found mask by mask, in the order of the kernel's array:
 * a new mask goes to the end, and when one goes the last takes its place.
 */

/** Values of the fields of a key, or their masks. */
export type Fields = readonly number[];

export interface NamedFlow {
  /** Absent: it is called by its unmasked key. */
  ufid: string | undefined;
  key: Fields;
  mask: Fields;
  actions: string;
  packets: number;
}

export interface PutRequest {
  ufid: string | undefined;
  key: Fields;
  /** Absent: all of the key. */
  mask: Fields | undefined;
  actions: string;
  create: boolean;
}

export interface FlowRequest {
  ufid?: string | undefined;
  key?: Fields | undefined;
}

export type Answer = NamedFlow | 'EEXIST' | 'ENOENT' | 'EINVAL' | 'ENOSPC';

/** A request without a mask matches all that its key says. */
const ALL = 0xff;

const same = (a: Fields, b: Fields) => a.every((value, i) => value === b[i]);
const under = (key: Fields, mask: Fields): Fields => key.map((value, i) => value & mask[i]!);

export class NamedFlows {
  readonly flows: NamedFlow[] = [];
  readonly #capacity: number;
  /** Distinct masks in use. */
  #masks: Fields[] = [];

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get maskCount(): number {
    return this.#masks.length;
  }

  put({ ufid, key, mask = key.map(() => ALL), actions, create }: PutRequest): Answer {
    const there = this.#byUfid(ufid) ?? this.#covering(key)[0];
    if (there === undefined) return this.#make({ ufid, key, mask, actions, packets: 0 });
    if (create) return 'EEXIST';
    const meant = this.#isCalled(there, key) ? there : there.ufid === undefined ? this.#byKey(key) : undefined;
    if (meant === undefined) return 'ENOENT';
    meant.actions = actions;
    return meant;
  }

  set({ ufid, key }: FlowRequest, actions: string | undefined, clear: boolean): Answer {
    if (key === undefined && (ufid === undefined || actions !== undefined)) return 'EINVAL';
    const flow = this.#meant({ ufid, key });
    if (flow === undefined) return 'ENOENT';
    if (actions !== undefined) flow.actions = actions;
    const shown = { ...flow };
    if (clear) flow.packets = 0;
    return shown;
  }

  get(request: FlowRequest): Answer {
    if (request.key === undefined && request.ufid === undefined) return 'EINVAL';
    return this.#meant(request) ?? 'ENOENT';
  }

  del(request: FlowRequest): Answer | 'flushed' {
    if (request.key === undefined && request.ufid === undefined) {
      this.flows.length = 0;
      this.#masks = [];
      return 'flushed';
    }
    const flow = this.#meant(request);
    if (flow === undefined) return 'ENOENT';
    this.#remove(flow);
    return flow;
  }

  /** The flows that a packet with this key may hit: all that cover it. */
  packet(key: Fields): NamedFlow | undefined {
    const flow = this.#covering(key)[0];
    if (flow !== undefined) flow.packets++;
    return flow;
  }

  #make(flow: NamedFlow): Answer {
    if (this.flows.length === this.#capacity) return 'ENOSPC';
    this.flows.push(flow);
    if (!this.#masks.some((mask) => same(mask, flow.mask))) this.#masks.push(flow.mask);
    return flow;
  }

  #remove(flow: NamedFlow): void {
    this.flows.splice(this.flows.indexOf(flow), 1);
    if (this.flows.some(({ mask }) => same(mask, flow.mask))) return;
    const index = this.#masks.findIndex((mask) => same(mask, flow.mask));
    const last = this.#masks.pop()!;
    if (index < this.#masks.length) this.#masks[index] = last;
  }

  #meant({ ufid, key }: FlowRequest): NamedFlow | undefined {
    return ufid === undefined ? this.#byKey(key!) : this.#byUfid(ufid);
  }

  #byUfid(ufid: string | undefined): NamedFlow | undefined {
    return ufid === undefined ? undefined : this.flows.find((flow) => flow.ufid === ufid);
  }

  #byKey(key: Fields): NamedFlow | undefined {
    return this.#covering(key).find((flow) => flow.ufid === undefined && same(flow.key, key));
  }

  /** In the order of their masks; under one mask there is one at most. */
  #covering(key: Fields): NamedFlow[] {
    return this.#masks.flatMap((mask) =>
      this.flows.filter((flow) => same(flow.mask, mask) && same(under(flow.key, mask), under(key, mask))),
    );
  }

  /** By its unmasked key; one with a UFID by the masked one. */
  #isCalled(flow: NamedFlow, key: Fields): boolean {
    return same(flow.ufid === undefined ? flow.key : under(flow.key, flow.mask), key);
  }
}
