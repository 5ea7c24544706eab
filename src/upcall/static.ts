/*
 * The `static:FILE` handler: rules with priorities and masks from a file. Workers decide by them on their own threads, in WASM.
 *
 *     # comment
 *     priority=100 in_port(1),eth_type(0x0800),ipv4(dst=10.0.0.0/255.0.0.0) actions:2
 *     priority=10 idle=5s in_port(2) actions:push_vlan(vid=7,pcp=0),1
 *     actions:drop
 *
 * One rule a line: `priority=N` (default 0, higher first), `idle=` and `hard=` (timeouts of the flows it makes: `500ms`, `5s`, `2m`), a match and
 * `actions:`, both as `ovs-dpctl` writes them. Without a match the rule is for every packet. What no rule decides is dropped. A match
 * that names an eth_type and no VLAN is for untagged frames, as in ovs-dpctl; one that names no eth_type is for tagged frames too.
 */
import { readFile } from 'node:fs/promises';
import * as C from '../../assembly/constants.ts';
import type { FlatMatch } from '../datapath/flows.ts';
import { DatapathError } from '../errors.ts';
import { fieldsMask, OdpFieldError, OdpSyntaxError, parseActions, parseMatch } from '../odp/index.ts';
import type { UpcallHandler, UpcallHost } from './handler.ts';
import { type Rule, RuleTable } from './rule-table.ts';

const OPTION = /^(priority|idle|hard)=(\S*?)(?:[\s,]+|$)/;
const DURATION = /^(\d+)(ms|s|m)$/;
const MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000 };
const RULES_MAX = 65536;

/** Parses a rule file. Throws ERR_RULE naming file and line. */
export function parseRules(text: string, file: string): Rule[] {
  const rules: Rule[] = [];
  text.split('\n').forEach((line, index) => {
    const source = line.replace(/#.*/, '').trim();
    if (source === '') return;
    try {
      rules.push({ ...parseRule(source), source: { line: index + 1, text: source } });
    } catch (cause) {
      if (!(cause instanceof OdpSyntaxError || cause instanceof OdpFieldError || cause instanceof DatapathError))
        throw cause;
      throw new DatapathError('ERR_RULE', `${file}:${index + 1}: ${cause.message}`, { cause });
    }
  });
  if (rules.length > RULES_MAX)
    throw new DatapathError('ERR_RULE', `${file}: ${rules.length} rules, the limit is ${RULES_MAX}`);
  return rules;
}

function parseRule(source: string): Rule {
  let rest = source;
  let priority = 0;
  const timeouts = { idle: 0, hard: 0 };
  for (let found = OPTION.exec(rest); found !== null; found = OPTION.exec(rest)) {
    const [whole, name, value] = found;
    if (name === 'priority') priority = parsePriority(value);
    else timeouts[name as 'idle' | 'hard'] = parseDuration(name, value);
    rest = rest.slice(whole.length);
  }
  const split = /(?:^|[\s,])actions[:=]/.exec(rest);
  if (split === null)
    throw new DatapathError('ERR_RULE', 'no "actions:" in the rule; write MATCH actions:LIST, with "drop" for none');
  const match = rest.slice(0, split.index).replace(/[\s,]+$/, '');
  return {
    priority,
    match: match === '' ? { key: new Uint8Array(C.KEY_SIZE), mask: new Uint8Array(C.KEY_SIZE) } : parseRuleMatch(match),
    actions: parseActions(rest.slice(split.index + split[0].length).trim()),
    idleTimeoutMs: timeouts.idle,
    hardTimeoutMs: timeouts.hard,
  };
}

/** A flow always matches the tag or its absence; a rule only when it says what the frame holds. */
function parseRuleMatch(text: string): FlatMatch {
  const match = parseMatch(text);
  if (/\beth_type\(/.test(text)) return match;
  const tags = fieldsMask(['vlan']);
  return { key: match.key.map((byte, at) => byte & ~tags[at]), mask: match.mask.map((bits, at) => bits & ~tags[at]) };
}

function parsePriority(value: string): number {
  const priority = Number(value);
  if (/^\d+$/.test(value) && priority <= 65535) return priority;
  throw new DatapathError('ERR_RULE', `priority=${value}: a priority is 0 to 65535`);
}

function parseDuration(name: string, value: string): number {
  const found = DURATION.exec(value);
  if (found === null) throw new DatapathError('ERR_RULE', `${name}=${value}: write a time as 500ms, 5s or 2m`);
  return Number(found[1]) * MS[found[2]];
}

/** What no rule decides is dropped by a flow of its own. */
export const REST: Rule = {
  priority: -1,
  match: { key: new Uint8Array(C.KEY_SIZE), mask: new Uint8Array(C.KEY_SIZE) },
  actions: [],
};

class StaticHandler implements UpcallHandler {
  readonly name: string;
  readonly answersInWorkers = true;
  readonly #rules: readonly Rule[];
  #table: RuleTable | undefined;

  constructor(name: string, rules: readonly Rule[]) {
    this.name = name;
    this.#rules = rules;
  }

  attach(host: UpcallHost): void {
    this.#table = new RuleTable(host.memory, [...this.#rules, REST]);
    this.#table.install();
  }

  handle(): void {
    throw new DatapathError('ERR_HANDLER', 'static rules are decided by the workers');
  }

  close(): void {
    this.#table?.release();
    this.#table = undefined;
  }
}

/** A handler over rules; `name` is for status lines. */
export function staticRules(rules: readonly Rule[], name = 'static'): UpcallHandler {
  return new StaticHandler(name, rules);
}

/** A handler over the rules of a file. Throws as readRules. */
export async function staticFile(file: string): Promise<UpcallHandler> {
  return staticRules(await readRules(file), `static:${file}`);
}

/** Reads a rule file. Throws ERR_HANDLER when it cannot be read, ERR_RULE for a line that is no rule. */
export async function readRules(file: string): Promise<Rule[]> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw new DatapathError(
      'ERR_HANDLER',
      `cannot read the rules in ${file}: ${cause instanceof Error ? cause.message : cause}`,
      { cause },
    );
  }
  return parseRules(text, file);
}
