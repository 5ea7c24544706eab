/*
 * The steps of a trace: lookups, and lists executed one action at a time.
 *
 * Before it: trace/trace.ts, with a packet in both datapaths. After it: passes and steps.
 *
 * Concepts. Each action is executed by the executor, as a list of its own, on the packet as the action before left it. An action with lists inside is
 * executed with a DROP in place of each list: the reason that is dropped for says which list the executor chose. That list is then stepped through in the same
 * way, on the packet as it is, which is put back afterwards: that is what the copy is for, which the executor makes. A RECIRC is executed in a datapath without
 * flows: a miss, which leaves the packet with the key of its next pass. So headers, checksums, keys and branches are the executor's;
 * what is put together here is their order, and when a list ends (assembly/actions/execute.ts, `run`).
 *
 * Threads: the one that opened the executors.
 */

import type { DropName } from '../datapath/stats.ts';
import { ATTRIBUTE_HEADER_SIZE, walkAttributes } from '../odp/attributes.ts';
import { type Action, decodeActions, encodeActions, formatActions, formatKey, formatMatch } from '../odp/index.ts';
import type { Rule, RuleTable } from '../upcall/rule-table.ts';
import { REST } from '../upcall/static.ts';
import type { Effects, Executor, Saved } from './executor.ts';
import { lookedAt, metadataChanges, mismatch } from './fields.ts';
import { describeLayers } from './layers.ts';
import type { PacketView, Pass, Step, TraceResult } from './types.ts';

/** Lookups that are followed: more than a datapath makes of a packet that goes round for ever (31). */
const PASSES_MAX = 32;

/** What executing a list came to. */
interface Outcome {
  steps: Step[];
  drops?: DropName[];
  /** An action could not be applied, here or in a list inside. */
  failed: boolean;
}

/** One action: whether it sent the packet somewhere, whether the list ends with it, and why. */
interface Done {
  step: Step;
  sent: boolean;
  ended: boolean;
  failed: boolean;
}

export class Tracer {
  /** What the steps came to, together. */
  readonly tally: TraceResult = { outputs: [], upcalls: [], lostCount: 0, missCount: 0, psampleCount: 0, drops: {} };
  readonly #full: Executor;
  readonly #single: Executor;
  readonly #table: RuleTable;
  #passCount = 0;

  constructor(full: Executor, single: Executor, table: RuleTable) {
    this.#full = full;
    this.#single = single;
    this.#table = table;
  }

  /** The packet now. */
  view(): PacketView {
    const bytes = this.#single.packet;
    return { bytes, layers: describeLayers(bytes, this.#single.firstType) };
  }

  /** Looks the packet up and steps through its flow's list. */
  pass(): Pass {
    this.#passCount += 1;
    const number = this.#passCount;
    const { key } = this.#single;
    const { flows } = this.#full.datapath;
    const before = flows.count;
    this.#full.setKey(key);
    const index = this.#table.decide(this.#full.keyAddress);
    const flow = flows.lookup(key);
    if (flow === undefined) throw new Error('the flow that was installed does not cover its packet');
    for (const executor of [this.#full, this.#single]) executor.openPorts(portsOf(decodeActions(flow.actionBytes)));
    const installed = flows.count > before;
    const rule = this.#table.rules[index];
    const passedOver = this.#table.rules.slice(0, index);
    const { steps, drops } = this.#list(flow.actionBytes);
    return {
      number,
      key: formatKey(key),
      ...(rule === REST ? {} : { rule: sourceOf(rule) }),
      passedOver: passedOver.map((other) => ({ ...sourceOf(other), why: mismatch(key, other.match) })),
      lookedAt: lookedAt(key, flow.mask),
      flow: { match: formatMatch(flow.key, flow.mask), actions: formatActions(flow.actionBytes), installed },
      steps,
      ...(drops === undefined ? {} : { drops }),
    };
  }

  /** Steps through a list as the executor goes through it: until an action fails or uses the packet up. */
  #list(bytes: Uint8Array): Outcome {
    const steps: Step[] = [];
    let sent = false;
    for (const { payload, offset } of walkAttributes(bytes, 'OVS_ACTION_ATTR')) {
      const next = offset + ATTRIBUTE_HEADER_SIZE + ((payload.length + 3) & ~3);
      const attribute = bytes.slice(offset, next);
      const [action] = decodeActions(attribute);
      const done = this.#step(action, attribute, next >= bytes.length);
      steps.push(done.step);
      sent ||= done.sent;
      if (done.failed || done.ended) return { steps, failed: done.failed };
    }
    if (sent) return { steps, failed: false };
    this.#drop('flow');
    return { steps, drops: ['flow'], failed: false };
  }

  #drop(name: DropName): void {
    this.tally.drops[name] = (this.tally.drops[name] ?? 0) + 1;
  }

  #step(action: Action, attribute: Uint8Array, last: boolean): Done {
    const before = this.#single.save();
    const step: Step = { action: formatActions([action]) };
    const choice = this.#choose(action);
    const done =
      choice === undefined ? this.#execute(action, attribute, step, before) : this.#enter(choice, step, before, last);
    for (const name of step.drops ?? []) this.#drop(name);
    return done;
  }

  /** An action without lists inside. */
  #execute(action: Action, attribute: Uint8Array, step: Step, before: Saved): Done {
    const effects = this.#single.run(attribute);
    // a list of one action that sends the packet nowhere drops it: that is told at the end of the real list
    const { flow, ...others } = effects.drops;
    const drops = (Object.keys(others) as DropName[]).filter((name) => !name.startsWith('upcall'));
    if (drops.length > 0) step.drops = drops;
    const failed = drops.includes('action');
    if (action.type !== 'recirc' || failed) {
      this.#note(step, effects, before);
    } else {
      if (this.#passCount < PASSES_MAX) step.pass = this.pass();
      else step.branch = `not followed: more than ${PASSES_MAX} lookups`;
      this.#single.restore(before);
    }
    const ended = drops.includes('meter') || drops.includes('explicit');
    return { step, sent: flow === undefined, ended, failed };
  }

  /** What an action did and what it changed. */
  #note(step: Step, { outputs, upcalls, lostCount, psampleCount }: Effects, before: Saved): void {
    this.tally.outputs.push(...outputs);
    this.tally.upcalls.push(...upcalls);
    this.tally.lostCount += lostCount;
    this.tally.psampleCount += psampleCount;
    if (outputs.length > 0) step.outputs = outputs;
    if (upcalls.length > 0) step.upcalls = upcalls;
    if (lostCount > 0) step.lostCount = lostCount;
    const metadata = metadataChanges(before.key, this.#single.key);
    if (metadata.length > 0) step.metadata = metadata;
    this.#notePacket(step, before);
  }

  #notePacket(step: Step, before: Saved): void {
    const packet = this.view();
    if (!Buffer.from(packet.bytes).equals(before.packet)) step.packet = packet;
  }

  /**
   * Of an action with lists inside, the one that the executor takes; undefined for an action without. The packet is afterwards as the action left it:
   * with one hop less to live, or unchanged.
   */
  #choose(action: Action): Choice | undefined {
    if (action.type === 'clone') return { list: action.actions };
    const probe = probeOf(action);
    if (probe === undefined) return undefined;
    const { explicit, drops } = this.#single.run(encodeActions([probe.action]));
    if (drops.action !== undefined) return { drop: 'action' };
    return explicit === undefined ? { branch: probe.otherwise } : probe.choices[explicit - FIRST_REASON];
  }

  /** Steps through the chosen list. */
  #enter({ list, branch, drop, endsList = false }: Choice, step: Step, before: Saved, last: boolean): Done {
    if (branch !== undefined) step.branch = branch;
    this.#notePacket(step, before);
    if (drop !== undefined) {
      step.drops = [drop];
      return { step, sent: true, ended: true, failed: drop === 'action' };
    }
    if (list === undefined) return { step, sent: false, ended: false, failed: false };
    const { steps, drops, failed } = this.#list(encodeActions([...list]));
    step.steps = steps;
    if (drops !== undefined) step.listDrops = drops;
    // the list around it fails with it; what of the packet was not used up is dropped
    if (failed && !last && !endsList) step.drops = ['action'];
    this.#single.restore(before);
    return { step, sent: true, ended: endsList, failed };
  }
}

/** A list inside of an action, or why there is none. */
interface Choice {
  list?: readonly Action[];
  branch?: string | undefined;
  drop?: DropName;
  /** The packet itself goes into the list, and no action follows. */
  endsList?: boolean;
}

/** An action with a DROP in place of each list, and which list each reason stands for. */
interface Probe {
  action: Action;
  choices: readonly Choice[];
  /** When none is executed. */
  otherwise: string | undefined;
}

const FIRST_REASON = 1;
const drops = (index: number): Action[] => [{ type: 'drop', reason: FIRST_REASON + index }];

function probeOf(action: Action): Probe | undefined {
  switch (action.type) {
    case 'sample':
      return {
        action: { ...action, actions: drops(0) },
        choices: [{ list: action.actions, branch: 'sampled' }],
        otherwise: 'not sampled',
      };
    case 'checkPktLen':
      return {
        action: { ...action, greater: drops(0), lessEqual: drops(1) },
        choices: [
          { list: action.greater, branch: `more than ${action.size} bytes` },
          { list: action.lessEqual, branch: `at most ${action.size} bytes` },
        ],
        otherwise: undefined,
      };
    case 'decTtl':
      return {
        action: { ...action, actions: drops(0) },
        choices: [
          action.actions.length === 0
            ? { drop: 'ttl' }
            : { list: action.actions, branch: 'at the end of its life', endsList: true },
        ],
        otherwise: undefined,
      };
    default:
      return undefined;
  }
}

function sourceOf({ source, match, actions }: Rule): { text: string; line?: number } {
  if (source !== undefined) return source;
  const list = typeof actions === 'string' ? actions : formatActions(actions);
  return { text: `${formatMatch(match.key, match.mask)} actions:${list}` };
}

/** Ports that a list may output to, the lists inside of it included. */
function portsOf(actions: readonly Action[]): number[] {
  return actions.flatMap((action) => {
    if (action.type === 'output') return [action.port];
    if (action.type === 'checkPktLen') return portsOf([...action.greater, ...action.lessEqual]);
    return 'actions' in action && Array.isArray(action.actions) ? portsOf(action.actions as readonly Action[]) : [];
  });
}
