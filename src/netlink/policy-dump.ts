/*
 * The kernel's own policies, as it tells them: the answer to CTRL_CMD_GETPOLICY for a generic Netlink family (Linux 5.7 and later), and the rule
 * of the attribute at fault in an extended acknowledgement.
 *
 * The kernel tells neither the attributes that it rejects or knows nothing of, nor be16 and be32, nor a binary rule with only one limit in some
 * releases; here they have no rule. Names are attribute1, attribute2, ...
 *
 * Before it: a dump with CTRL_ATTR_FAMILY_ID or CTRL_ATTR_FAMILY_NAME. After it: validateAttributes, or whoever wants to know what a family
 * takes. Copies what it keeps. Threads: any.
 */
import { AttributeCursor } from './attributes.ts';
import * as K from './constants.ts';
import type { MessageCursor } from './message.ts';
import { definePolicy, type IntegerKind, type Policy, type Rule, type Rules } from './policy.ts';

/** What the kernel says of one attribute (NL_POLICY_TYPE_ATTR_*). */
interface Description {
  type: number;
  min?: bigint;
  max?: bigint;
  mask?: bigint;
  sizeMin?: number;
  sizeMax?: number;
  policyIndex?: number;
  policyMaxType?: number;
  bitfieldMask?: number;
}

/** The policies of a family's commands. */
export interface KernelPolicies {
  /** By command: the policy of its requests and of its dumps. Undefined: it takes no attributes, or any. */
  readonly commands: ReadonlyMap<number, { readonly request?: Policy; readonly dump?: Policy }>;
  /** All of them in the kernel's order. */
  readonly policies: readonly Policy[];
}

/** NL_ATTR_TYPE_* by number. */
const KINDS = [
  ...([
    undefined,
    'flag',
    'u8',
    'u16',
    'u32',
    'u64',
    's8',
    's16',
    's32',
    's64',
    'binary',
    'string',
    'nulString',
  ] as const),
  ...(['nested', 'nestedArray', 'bitfield32', 'sint', 'uint'] as const),
];

/** Reads the messages of a CTRL_CMD_GETPOLICY dump. `maxType` of the family (CTRL_ATTR_MAXATTR) applies to the commands' policies. */
export class PolicyDump {
  private readonly rules = new Map<number, Map<number, Description>>();
  private readonly indexes = new Map<number, { request?: number; dump?: number }>();

  /** Takes one message of the dump; others than its answers are not looked at. */
  add(message: MessageCursor): void {
    const cursor = message.attributes(K.GENL_HDRLEN);
    while (cursor.next()) {
      if (cursor.type === K.CTRL_ATTR_POLICY) this.addPolicies(cursor.nested());
      else if (cursor.type === K.CTRL_ATTR_OP_POLICY) this.addCommands(cursor.nested());
    }
    cursor.check();
  }

  /** The policies told so far. */
  finish(maxType = 0): KernelPolicies {
    const outer = new Set([...this.indexes.values()].flatMap(({ request, dump }) => [request, dump]));
    const inner = new Map<number, number>();
    for (const table of this.rules.values()) {
      for (const { policyIndex, policyMaxType } of table.values()) {
        if (policyIndex !== undefined) inner.set(policyIndex, policyMaxType ?? 0);
      }
    }
    const policies: Policy[] = [];
    for (const [index, table] of this.rules) {
      const rules: Record<string, Rule> = {};
      for (const [type, description] of table)
        rules[`attribute${type}`] = ruleOf(type, description, (at) => policies[at]);
      const known = Math.max(0, ...table.keys(), inner.get(index) ?? 0, outer.has(index) ? maxType : 0);
      policies[index] = definePolicy(rules as Rules, { maxType: known });
    }
    const commands = new Map<number, { request?: Policy; dump?: Policy }>();
    for (const [command, { request, dump }] of this.indexes) {
      commands.set(command, {
        ...(request === undefined ? {} : { request: policies[request] }),
        ...(dump === undefined ? {} : { dump: policies[dump] }),
      });
    }
    return { commands, policies };
  }

  private addPolicies(policies: AttributeCursor): void {
    while (policies.next()) {
      let table = this.rules.get(policies.type);
      if (table === undefined) {
        table = new Map();
        this.rules.set(policies.type, table);
      }
      const attributes = policies.nested();
      while (attributes.next()) table.set(attributes.type, describe(attributes.nested()));
    }
  }

  private addCommands(commands: AttributeCursor): void {
    while (commands.next()) {
      const indexes: { request?: number; dump?: number } = {};
      const cursor = commands.nested();
      while (cursor.next()) {
        if (cursor.type === K.CTRL_ATTR_POLICY_DO) indexes.request = cursor.u32();
        else if (cursor.type === K.CTRL_ATTR_POLICY_DUMP) indexes.dump = cursor.u32();
      }
      this.indexes.set(commands.type, indexes);
    }
  }
}

/** The rule in NLMSGERR_ATTR_POLICY (`policy` of an ExtendedAck) for an attribute of this type; what is nested in it is not told. */
export function kernelRule(type: number, bytes: Uint8Array): Rule {
  const cursor = new AttributeCursor(bytes);
  const description = describe(cursor);
  cursor.check();
  return ruleOf(type, description, () => undefined);
}

function describe(cursor: AttributeCursor): Description {
  const found: Description = { type: 0 };
  while (cursor.next()) {
    switch (cursor.type) {
      case K.NL_POLICY_TYPE_ATTR_TYPE:
        found.type = cursor.u32();
        break;
      case K.NL_POLICY_TYPE_ATTR_MIN_VALUE_S:
        found.min = cursor.s64();
        break;
      case K.NL_POLICY_TYPE_ATTR_MAX_VALUE_S:
        found.max = cursor.s64();
        break;
      case K.NL_POLICY_TYPE_ATTR_MIN_VALUE_U:
        found.min = cursor.u64();
        break;
      case K.NL_POLICY_TYPE_ATTR_MAX_VALUE_U:
        found.max = cursor.u64();
        break;
      case K.NL_POLICY_TYPE_ATTR_MIN_LENGTH:
        found.sizeMin = cursor.u32();
        break;
      case K.NL_POLICY_TYPE_ATTR_MAX_LENGTH:
        found.sizeMax = cursor.u32();
        break;
      case K.NL_POLICY_TYPE_ATTR_POLICY_IDX:
        found.policyIndex = cursor.u32();
        break;
      case K.NL_POLICY_TYPE_ATTR_POLICY_MAXTYPE:
        found.policyMaxType = cursor.u32();
        break;
      case K.NL_POLICY_TYPE_ATTR_BITFIELD32_MASK:
        found.bitfieldMask = cursor.u32();
        break;
      case K.NL_POLICY_TYPE_ATTR_MASK:
        found.mask = cursor.u64();
        break;
    }
  }
  return found;
}

function ruleOf(type: number, description: Description, policyAt: (index: number) => Policy | undefined): Rule {
  const { min, max, mask, sizeMin, sizeMax, policyIndex, bitfieldMask = 0 } = description;
  const kind = KINDS[description.type];
  switch (kind) {
    case undefined:
      return { type, kind: 'unspec' };
    case 'flag':
      return { type, kind };
    case 'string':
    case 'nulString':
      return { type, kind, ...(sizeMax === undefined ? {} : { sizeMax }) };
    case 'binary':
      return {
        type,
        kind,
        ...(sizeMin === undefined ? {} : { sizeMin }),
        ...(sizeMax === undefined ? {} : { sizeMax }),
      };
    case 'nested':
    case 'nestedArray': {
      if (policyIndex === undefined) return { type, kind };
      return { type, kind, policy: () => policyAt(policyIndex) ?? definePolicy({}) };
    }
    case 'bitfield32':
      return { type, kind, mask: bitfieldMask };
    default:
      return { type, kind: kind as IntegerKind, ...limits(min, max, mask) };
  }
}

function limits(min?: bigint, max?: bigint, mask?: bigint): { min?: bigint; max?: bigint; mask?: bigint } {
  if (mask !== undefined) return { mask };
  return { ...(min === undefined ? {} : { min }), ...(max === undefined ? {} : { max }) };
}
