/*
 * The rule table: the decision of the static handler. Rules stand in the order of their priority; the first whose match covers the packet
 * decides. Every packet it decides is installed under RULE_MEGAFLOW, the mask that the host computed for the rule: everything that this rule and
 * those before it looked at, so that no packet which another rule would have decided is caught by the flow.
 *
 * Ownership: the table is an arena block of the host's, replaced as a whole and retired. Threads: the consumer of a ring, inside an epoch.
 */
import {
  FLOW_ACTIONS,
  RULES_COUNT,
  RULES_FIRST,
  RULE_HARD_MS,
  RULE_HITS,
  RULE_IDLE_MS,
  RULE_MEGAFLOW,
  RULE_SIZEOF,
  SB_RULES,
  UPCALL_ANSWER_ACTIONS,
  UPCALL_ANSWER_MASK,
  UPCALL_COMMAND,
  UPCALL_GIVEN,
  UPCALL_KEY,
  UPCALL_LIST,
  UPCALL_NEXT,
  UPCALL_PRODUCED,
  UPCALL_TAKE_MAX,
} from '../constants';
import { coversKey } from '../flow/emc';
import { sb } from '../memory/layout';
import { OVS_PACKET_CMD_MISS } from '../netlink/openvswitch';
import { answer } from './answer';
import { ringOf, take } from './consume';

/** The rule that decides `key`, 0 none. */
export function decide(rules: usize, key: usize): usize {
  const end = rules + RULES_FIRST + load<u32>(rules, RULES_COUNT) * RULE_SIZEOF;
  for (let rule = rules + RULES_FIRST; rule < end; rule += RULE_SIZEOF) {
    if (coversKey(rule, key)) return rule;
  }
  return 0;
}

/**
 * Takes up to `max` frames of worker `slot`, decides them and carries the answers out. Upcalls of userspace actions are for nobody here and are
 * given back. Returns how many frames.
 */
export function answerByRules(slot: u32, max: u32): u32 {
  const rules: usize = atomic.load<u32>(sb(SB_RULES));
  if (rules == 0) return 0;
  const ring = ringOf(slot);
  // asked after every batch: mostly nothing waits, and the queues of all ports need not be looked through
  if (atomic.load<u32>(ring, UPCALL_PRODUCED) == atomic.load<u32>(ring, UPCALL_GIVEN)) return 0;
  const n = take(slot, min<u32>(max, UPCALL_TAKE_MAX));
  for (let i: u32 = 0; i < n; i++) {
    const frame: usize = load<u32>(ring + (i << 2), UPCALL_LIST);
    const rule = decideFrame(rules, frame);
    if (rule == 0) answer(slot, frame, 0, 0);
    else answer(slot, frame, load<u32>(rule, RULE_IDLE_MS), load<u32>(rule, RULE_HARD_MS));
  }
  return n;
}

/**
 * Decides the first `n` frames of the last take without carrying anything out, for a host that does so elsewhere. UPCALL_NEXT of each is the rule, 0 none.
 */
export function decideTaken(slot: u32, n: u32): void {
  const rules: usize = atomic.load<u32>(sb(SB_RULES));
  const ring = ringOf(slot);
  for (let i: u32 = 0; i < n; i++) {
    const frame: usize = load<u32>(ring + (i << 2), UPCALL_LIST);
    store<u32>(frame, rules == 0 ? 0 : <u32>decideFrame(rules, frame), UPCALL_NEXT);
  }
}

/** Writes the answer to a miss into its frame. Returns the rule that decided it, 0 none. */
function decideFrame(rules: usize, frame: usize): usize {
  if (load<u32>(frame, UPCALL_COMMAND) != OVS_PACKET_CMD_MISS) return 0;
  const rule = decide(rules, frame + UPCALL_KEY);
  if (rule == 0) return 0;
  atomic.add<u64>(rule, 1, RULE_HITS);
  store<u32>(frame, load<u32>(rule, RULE_MEGAFLOW), UPCALL_ANSWER_MASK);
  store<u32>(frame, load<u32>(rule, FLOW_ACTIONS), UPCALL_ANSWER_ACTIONS);
  return rule;
}
