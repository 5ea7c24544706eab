/*
 * Policies to try input on: one with every kind and limit, and random ones. Type 1 is always a nest of the same policy, so that nesting has no
 * end but the limit.
 */
import { definePolicy, type IntegerKind, type Policy, type Rule } from '../../src/netlink/policy.ts';
import type { Random } from '../support/frame-generator.ts';

const INTEGERS: readonly IntegerKind[] = [
  ...(['u8', 'u16', 'u32', 'u64', 's8', 's16', 's32', 's64', 'be16', 'be32', 'be64', 'msecs', 'uint', 'sint'] as const),
];
const MASKED: readonly IntegerKind[] = ['u8', 'u16', 'u32', 'u64', 'be16', 'be32', 'be64', 'uint'];

/** What a rule is but its type and whether it is required. */
type Shape = Rule extends infer R ? (R extends Rule ? Omit<R, 'type' | 'required'> : never) : never;

function shapes(inner: Policy): Shape[] {
  return [
    ...INTEGERS.flatMap((kind): Shape[] => [
      { kind },
      { kind, min: kind.startsWith('s') ? -3 : 3, max: 100 },
      { kind, max: 7 },
    ]),
    ...MASKED.map((kind): Shape => ({ kind, mask: 0x51 })),
    { kind: 'u64', min: 5_000_000_000n },
    { kind: 's64', max: -5_000_000_000n },
    { kind: 'u32', mask: 0xf000000f },
    { kind: 'flag' },
    { kind: 'unspec' },
    { kind: 'unspec', sizeMin: 6 },
    { kind: 'string' },
    { kind: 'string', sizeMax: 7 },
    { kind: 'nulString' },
    { kind: 'nulString', sizeMax: 7 },
    { kind: 'binary' },
    { kind: 'binary', sizeMax: 9 },
    { kind: 'binary', sizeMin: 3 },
    { kind: 'binary', size: 6 },
    { kind: 'binary', size: 6, lenient: true },
    { kind: 'binary', sizeMin: 2, sizeMax: 11 },
    { kind: 'bitfield32', mask: 0x8000001f },
    { kind: 'bitfield32', mask: 0 },
    { kind: 'nested' },
    { kind: 'nestedArray' },
    { kind: 'nested', policy: inner },
    { kind: 'nestedArray', policy: inner },
    { kind: 'reject' },
  ];
}

function policyOf(
  list: readonly { shape: Shape; type: number; required: boolean }[],
  strictStart: number,
  maxType?: number,
): Policy {
  const rules: Record<string, Rule> = { itself: { type: 1, kind: 'nested', policy: () => policy } };
  for (const { shape, type, required } of list) rules[`a${type}`] = { ...shape, type, required } as Rule;
  const policy: Policy = definePolicy(rules, { strictStart, ...(maxType === undefined ? {} : { maxType }) });
  return policy;
}

const INNER = definePolicy({
  index: { type: 2, kind: 'u32', required: true },
  name: { type: 3, kind: 'nulString', sizeMax: 5 },
  flag: { type: 5, kind: 'flag' },
});

/** Every kind with every sort of limit. */
export function everyKind(): Policy {
  return policyOf(
    shapes(INNER).map((shape, i) => ({ shape, type: i + 2, required: false })),
    0,
  );
}

/** A few rules of any sort, some required, some strict from a type on. */
export function randomPolicy(random: Random, depth = 0): Policy {
  const inner = depth < 3 && random.oneIn(2) ? randomPolicy(random, depth + 1) : INNER;
  const all = shapes(inner);
  const list = Array.from({ length: 1 + random.below(12) }, (_, i) => ({
    shape: random.pick(all),
    type: 2 + i * (1 + random.below(2)),
    required: random.oneIn(12),
  }));
  const single = [...new Map(list.map((row) => [row.type, row])).values()];
  const highest = Math.max(...single.map(({ type }) => type));
  return policyOf(single, random.oneIn(4) ? 1 + random.below(highest) : 0, highest + random.below(3));
}
