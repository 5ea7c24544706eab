/*
 * The decision of `wdp bench flow-setup`: a table of sixteen rules as a small firewall has them, by priority. Each of the
 * last four decides a quarter of the frames: a linear search looks at thirteen to sixteen rules a packet.
 *
 * The same table serves both handlers: in WASM through the rule table (upcall/rule-table.ts), in JavaScript through a handler that compares words of the
 * flat key where it lies in the ring and allocates nothing.
 */
import * as C from '../../assembly/constants.ts';
import type { Datapath } from '../datapath/datapath.ts';
import type { ActionsHandle, MaskHandle } from '../datapath/handles.ts';
import type { UpcallBatch } from '../upcall/batch.ts';
import type { UpcallHandler } from '../upcall/handler.ts';
import type { Rule } from '../upcall/rule-table.ts';
import { parseRules } from '../upcall/static.ts';

export const SETUP_RULES = `
priority=160 eth_type(0x88cc) actions:drop
priority=150 eth_type(0x0806) actions:2
priority=140 eth_type(0x86dd),ipv6(proto=58) actions:2
priority=130 eth_type(0x0800),ipv4(frag=later) actions:2
priority=120 eth_type(0x0800),ipv4(src=127.0.0.0/255.0.0.0) actions:drop
priority=110 eth_type(0x0800),ipv4(proto=1) actions:2
priority=100 eth_type(0x0800),ipv4(src=192.168.0.0/255.255.0.0,proto=6),tcp(dst=22) actions:2
priority=90 eth_type(0x0800),ipv4(proto=6),tcp(dst=80) actions:2
priority=80 eth_type(0x0800),ipv4(proto=6),tcp(dst=443) actions:2
priority=70 eth_type(0x0800),ipv4(proto=17),udp(dst=53) actions:2
priority=60 eth_type(0x0800),ipv4(proto=17),udp(dst=67) actions:2
priority=50 eth_type(0x0800),ipv4(proto=17),udp(dst=123) actions:2
priority=40 eth_type(0x0800),ipv4(proto=17),udp(src=0/0x3,dst=4789) actions:2
priority=30 eth_type(0x0800),ipv4(proto=17),udp(src=1/0x3,dst=4789) actions:2
priority=20 eth_type(0x0800),ipv4(src=10.0.0.0/255.0.0.0,dst=11.0.0.0/255.255.255.0,proto=17),udp(src=2/0x3) actions:2
priority=10 actions:2
`;

export function setupRules(): Rule[] {
  return parseRules(SETUP_RULES, 'the rules of the benchmark');
}

const WORD = 4;

/** The rules flattened: rule r compares tests ends[r - 1] .. ends[r] - 1, each a word of the key under a mask. */
interface Tests {
  ends: Uint32Array;
  words: Uint32Array;
  masks: Uint32Array;
  values: Uint32Array;
}

function flatten(rules: readonly Rule[]): Tests {
  const ends: number[] = [];
  const tests: [number, number, number][] = [];
  for (const { match } of rules) {
    const key = new DataView(match.key.buffer, match.key.byteOffset);
    const mask = new DataView(match.mask.buffer, match.mask.byteOffset);
    for (let at = 0; at < C.KEY_SIZE; at += WORD) {
      const bits = mask.getUint32(at, true);
      if (bits !== 0) tests.push([at / WORD, bits, (key.getUint32(at, true) & bits) >>> 0]);
    }
    ends.push(tests.length);
  }
  const column = (index: 0 | 1 | 2): Uint32Array => Uint32Array.from(tests, (test) => test[index]);
  return { ends: Uint32Array.from(ends), words: column(0), masks: column(1), values: column(2) };
}

/** Called with each batch before it is decided. */
export type BatchObserver = (batch: UpcallBatch) => void;

/** The linear table in JavaScript; every flow is installed under `exact`. */
export class LinearHandler implements UpcallHandler {
  readonly name = 'linear';
  readonly #rules: readonly Rule[];
  readonly #exact: Uint8Array;
  readonly #observe: BatchObserver;
  readonly #tests: Tests;
  #keyWords!: Uint32Array<ArrayBufferLike>;
  #mask!: MaskHandle;
  #actions: ActionsHandle[] = [];

  constructor(rules: readonly Rule[], exact: Uint8Array, observe: BatchObserver) {
    this.#rules = [...rules].sort((a, b) => b.priority - a.priority);
    this.#exact = exact;
    this.#observe = observe;
    this.#tests = flatten(this.#rules);
  }

  attach(datapath: Datapath): void {
    this.#keyWords = datapath.memory.words;
    this.#mask = datapath.mask(this.#exact);
    this.#actions = this.#rules.map(({ actions, match }) => datapath.actions(actions, match));
  }

  handle(batch: UpcallBatch): void {
    this.#observe(batch);
    for (let i = 0; i < batch.count; i++) {
      const rule = this.#decide(batch.keyAddress(i) >>> 2);
      if (rule < this.#actions.length) batch.answer(i, this.#actions[rule], this.#mask);
      else batch.drop(i);
    }
  }

  /** The first rule whose words all agree; the number of rules when none does. */
  #decide(key: number): number {
    const { ends, words, masks, values } = this.#tests;
    const keyWords = this.#keyWords;
    let test = 0;
    for (let rule = 0; rule < ends.length; rule++) {
      const end = ends[rule];
      while (test < end && (keyWords[key + words[test]] & masks[test]) >>> 0 === values[test]) test++;
      if (test === end) return rule;
      test = end;
    }
    return ends.length;
  }

  close(): void {
    this.#mask.release();
    for (const actions of this.#actions) actions.release();
  }
}
