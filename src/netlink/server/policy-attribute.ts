/*
 * NLMSGERR_ATTR_POLICY: in a refusal, the rule of the attribute at fault, so that a client can see what would have been accepted. Before it: the
 * dispatcher, with what validateAttributes said. After it: the extended acknowledgement. Laid out as by the kernel's policy dump; rules that the
 * kernel does not tell (be16, be32, unspec, reject) are not told.
 */
import type { AttributeBuilder } from '../attributes.ts';
import * as K from '../constants.ts';
import { type Kind, nestedPolicy, type Policy, type PolicyRow } from '../policy.ts';

/** enum netlink_attribute_type by kind. */
const TYPES: Readonly<Partial<Record<Kind, number>>> = {
  ...{ flag: 1, u8: 2, u16: 3, u32: 4, u64: 5, msecs: 5, s8: 6, s16: 7, s32: 8, s64: 9 },
  ...{ binary: 10, string: 11, nulString: 12, nested: 13, nestedArray: 14, bitfield32: 15, sint: 16, uint: 17 },
};
const SIZE_MAX = 0xffff;

/** Writes the rule; nothing for one that is not told. */
export function writePolicyRule(attributes: AttributeBuilder, row: PolicyRow): void {
  const { rule } = row;
  const type = TYPES[rule.kind];
  if (type === undefined) return;
  attributes.nest(K.NLMSGERR_ATTR_POLICY, () => {
    if (rule.kind === 'bitfield32') attributes.u32(K.NL_POLICY_TYPE_ATTR_BITFIELD32_MASK, rule.mask);
    else if (rule.kind === 'string' || rule.kind === 'nulString') writeSizes(attributes, 0, rule.sizeMax ?? SIZE_MAX);
    else if (rule.kind === 'binary') {
      writeSizes(attributes, rule.size ?? rule.sizeMin ?? 0, rule.size ?? rule.sizeMax ?? SIZE_MAX);
    } else if ('mask' in rule && rule.mask !== undefined) attributes.u64(K.NL_POLICY_TYPE_ATTR_MASK, BigInt(rule.mask));
    else if (type >= 2 && type <= 9) writeRange(attributes, type, row);
    attributes.u32(K.NL_POLICY_TYPE_ATTR_TYPE, type);
  });
}

function writeSizes(attributes: AttributeBuilder, min: number, max: number): void {
  if (min > 0) attributes.u32(K.NL_POLICY_TYPE_ATTR_MIN_LENGTH, min);
  if (max < SIZE_MAX) attributes.u32(K.NL_POLICY_TYPE_ATTR_MAX_LENGTH, max);
}

function writeRange(attributes: AttributeBuilder, type: number, { min, max }: Pick<PolicyRow, 'min' | 'max'>): void {
  if (type < 6) attributes.u64(K.NL_POLICY_TYPE_ATTR_MIN_VALUE_U, min).u64(K.NL_POLICY_TYPE_ATTR_MAX_VALUE_U, max);
  else attributes.s64(K.NL_POLICY_TYPE_ATTR_MIN_VALUE_S, min).s64(K.NL_POLICY_TYPE_ATTR_MAX_VALUE_S, max);
}

/** The rule of the attribute that begins at `fault` in `bytes`, looked for in the attributes from `start` to `end`. */
export function ruleAt(
  policy: Policy,
  bytes: Uint8Array,
  start: number,
  end: number,
  fault: number,
): PolicyRow | undefined {
  for (let at = start; at + K.NLA_HDRLEN <= end && at <= fault; ) {
    const size = bytes[at] | (bytes[at + 1] << 8);
    const row = policy.rows[(bytes[at + 2] | (bytes[at + 3] << 8)) & K.NLA_TYPE_MASK];
    if (at === fault) return row;
    if (size < K.NLA_HDRLEN) return undefined;
    if (fault < at + size) return ruleInside(row, bytes, at + K.NLA_HDRLEN, at + size, fault);
    at += (size + 3) & ~3;
  }
  return undefined;
}

function ruleInside(
  row: PolicyRow | undefined,
  bytes: Uint8Array,
  start: number,
  end: number,
  fault: number,
): PolicyRow | undefined {
  const inner = row === undefined ? undefined : nestedPolicy(row);
  if (row === undefined || inner === undefined) return undefined;
  if (row.rule.kind === 'nested') return ruleAt(inner, bytes, start, end, fault);
  // Of an array the elements are lists, whatever their types.
  for (let at = start; at + K.NLA_HDRLEN <= end && at < fault; ) {
    const size = bytes[at] | (bytes[at + 1] << 8);
    if (size < K.NLA_HDRLEN) return undefined;
    if (fault < at + size) return ruleAt(inner, bytes, at + K.NLA_HDRLEN, at + size, fault);
    at += (size + 3) & ~3;
  }
  return undefined;
}
