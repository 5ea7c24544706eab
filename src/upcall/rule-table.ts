/*
 * A rule table in the datapath's memory: what the static handler decides by (assembly/upcall/rules.ts). Before it: upcall/static.ts, or a program that has rules
 * of its own. After it: workers decide their own misses.
 *
 * Concepts. Rules are sorted by priority, highest first; equal ones keep their order. A packet decided by rule i is installed under the union of the
 * masks of rules 0..i: whatever was looked at to come to rule i is part of the flow, so no flow catches a packet that another rule would
 * have decided. `exact` replaces all of these by one mask, for a flow of its own for each connection.
 *
 * Ownership. The table holds its masks and action lists until `release`. Threads: the owner thread.
 */
import * as C from '../../assembly/constants.ts';
import type { FlatMatch } from '../datapath/flows.ts';
import { type ActionsHandle, type ActionsInput, holdActions, holdMask, type MaskHandle } from '../datapath/handles.ts';
import { errnoError } from '../errors.ts';
import type { DatapathMemory } from '../wasm/memory.ts';

export interface Rule {
  priority: number;
  match: FlatMatch;
  actions: ActionsInput;
  /** Timeouts of the flows it installs, ms; 0 = the datapath's. */
  idleTimeoutMs?: number;
  hardTimeoutMs?: number;
  /** Where it was written: line of its file, from 1, and its text. */
  source?: { line: number; text: string };
}

const WORD = 8;

export class RuleTable {
  readonly rules: readonly Rule[];
  readonly #memory: DatapathMemory;
  readonly #address: number;
  readonly #masks: MaskHandle[] = [];
  readonly #actions: ActionsHandle[] = [];

  /** Lays the table out; `exact`: KEY_SIZE bytes, the mask of all flows. Throws what holding masks and actions throws. */
  constructor(memory: DatapathMemory, rules: readonly Rule[], exact?: Uint8Array) {
    this.#memory = memory;
    this.rules = [...rules].sort((a, b) => b.priority - a.priority);
    const size = C.RULES_FIRST + this.rules.length * (C.RULE_SIZEOF + C.KEY_SIZE);
    this.#address = memory.allocate(size, 'the rule table');
    memory.bytes.fill(0, this.#address, this.#address + size);
    memory.setU32(this.#address + C.RULES_COUNT, this.rules.length);
    const union = new Uint8Array(C.KEY_SIZE);
    this.rules.forEach((rule, i) => {
      rule.match.mask.forEach((bits, at) => {
        union[at] |= bits;
      });
      this.#layOut(rule, i, exact ?? union);
    });
  }

  #layOut(rule: Rule, index: number, megaflow: Uint8Array): void {
    const memory = this.#memory;
    const { key, mask } = rule.match;
    const at = this.#address + C.RULES_FIRST + index * C.RULE_SIZEOF;
    const more = this.#address + C.RULES_FIRST + this.rules.length * C.RULE_SIZEOF + index * C.KEY_SIZE;
    const ownMask = this.#keep(this.#masks, holdMask(memory, mask));
    memory.setU32(at + C.FLOW_SUBTABLE, ownMask.address);
    memory.setU32(
      at + C.FLOW_ACTIONS,
      this.#keep(this.#actions, holdActions(memory, rule.actions, rule.match)).address,
    );
    memory.setU32(at + C.FLOW_KEY_MORE, more);
    memory.setU32(at + C.RULE_MEGAFLOW, this.#keep(this.#masks, holdMask(memory, megaflow)).address);
    memory.setU32(at + C.RULE_IDLE_MS, rule.idleTimeoutMs ?? 0);
    memory.setU32(at + C.RULE_HARD_MS, rule.hardTimeoutMs ?? 0);
    const masked = key.map((byte, i) => byte & mask[i]);
    const inline = C.FLOW_INLINE_WORDS * WORD;
    memory.bytes.set(masked.subarray(0, inline), at + C.FLOW_KEY);
    let next = more;
    for (let word = inline; word < C.KEY_SIZE; word += WORD) {
      if (mask.subarray(word, word + WORD).every((bits) => bits === 0)) continue;
      memory.bytes.set(masked.subarray(word, word + WORD), next);
      next += WORD;
    }
  }

  #keep<T>(list: T[], handle: T): T {
    list.push(handle);
    return handle;
  }

  /** Makes this the table that workers decide by. */
  install(): void {
    this.#memory.wasm.setRules(this.#address);
  }

  /**
   * Decides the key at `key` (KEY_SIZE bytes in the datapath's memory) as a worker decides a miss, and installs the flow. Returns the rule's
   * position in `rules`, -1 when none covers the key. Throws what putting a flow throws.
   */
  decide(key: number): number {
    const { wasm } = this.#memory;
    const rule = wasm.decide(this.#address, key) >>> 0;
    if (rule === 0) return -1;
    const mask = this.#memory.u32(rule + C.RULE_MEGAFLOW);
    const result = wasm.putFlow(key, mask, this.#memory.u32(rule + C.FLOW_ACTIONS), 0, 0, 0) >>> 0;
    if (result < C.SUPERBLOCK) throw errnoError(result, 'flow put');
    return (rule - this.#address - C.RULES_FIRST) / C.RULE_SIZEOF;
  }

  /** Packets that each rule decided, in the order of `rules`. */
  hits(): number[] {
    return this.rules.map((_, i) => this.#memory.u64(this.#address + C.RULES_FIRST + i * C.RULE_SIZEOF + C.RULE_HITS));
  }

  /** Takes the table out of use; it is freed when no worker can be reading it. */
  release(): void {
    this.#memory.wasm.setRules(0);
    for (const mask of this.#masks) mask.release();
    for (const actions of this.#actions) actions.release();
    this.#masks.length = 0;
    this.#actions.length = 0;
  }
}
