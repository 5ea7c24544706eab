/*
 * Policies: what the attributes of a message are called, what each must be, and whether it must be there (struct nla_policy).
 *
 *     const link = definePolicy({
 *       name: { type: 3, kind: 'string', sizeMax: 15, required: true },
 *       mtu: { type: 4, kind: 'u32', min: 68 },
 *       info: { type: 18, kind: 'nested', policy: linkInfo },
 *     });
 *     const { name, mtu } = parseAttributes(link, bytes);       // policy-values.ts: name is a string, mtu a number or undefined
 *     encodeAttributes(link, builder, { name: 'eth0' });
 *     const refusal = validateAttributes(link, bytes);          // policy-validate.ts: the kernel's errno and words, for whoever serves
 *
 * Before it: nobody; policies are constants of a program, or come from the kernel (policy-dump.ts). policy-table.ts writes one into WASM memory
 * for assembly/netlink/policy.ts. Ownership: a policy is immutable. Threads: any.
 */
import * as C from '../../assembly/constants.ts';
import type { Attribute, Bitfield32 } from './attributes.ts';
import { NLA_TYPE_MASK } from './constants.ts';

/** Kinds of payloads, and what their values are in TypeScript. */
interface IntegerValues {
  u8: number;
  u16: number;
  u32: number;
  u64: bigint;
  s8: number;
  s16: number;
  s32: number;
  s64: bigint;
  be16: number;
  be32: number;
  /** Of this library; the kernel has no such policy type. */
  be64: bigint;
  /** A u64 of milliseconds. */
  msecs: bigint;
  /** A u32 or u64, whichever is enough. */
  uint: bigint;
  sint: bigint;
}
interface OtherValues {
  flag: boolean;
  /** With or without a NUL at its end. */
  string: string;
  /** With a NUL. */
  nulString: string;
  binary: Uint8Array;
  bitfield32: Bitfield32;
  /** Anything; the strict mode refuses it. */
  unspec: Uint8Array;
}
export type IntegerKind = keyof IntegerValues;
export type Kind = IntegerKind | keyof OtherValues | 'nested' | 'nestedArray' | 'reject';

interface AnyRule {
  readonly type: number;
  /** It must be there. */
  readonly required?: boolean;
}
/** `min` and `max` of the value; `mask`: the bits that may be set. A range and a mask exclude each other. */
export interface IntegerRule extends AnyRule {
  readonly kind: IntegerKind;
  readonly min?: number | bigint;
  readonly max?: number | bigint;
  readonly mask?: number | bigint;
}
/** `sizeMax` in bytes, a NUL at the end not counted. */
export interface StringRule extends AnyRule {
  readonly kind: 'string' | 'nulString';
  readonly sizeMax?: number;
}
/** Exactly `size` bytes, or from `sizeMin` to `sizeMax`. With `lenient` too many are refused in strict mode only. */
export interface BinaryRule extends AnyRule {
  readonly kind: 'binary';
  readonly size?: number;
  readonly sizeMin?: number;
  readonly sizeMax?: number;
  readonly lenient?: boolean;
}
/** `mask`: the bits that may be selected. */
export interface Bitfield32Rule extends AnyRule {
  readonly kind: 'bitfield32';
  readonly mask: number;
}
/** Attributes by a policy, or any attributes. A policy that contains itself is given as a function. */
export interface NestedRule extends AnyRule {
  readonly kind: 'nested' | 'nestedArray';
  readonly policy?: Policy | (() => Policy);
}
export interface RejectRule extends AnyRule {
  readonly kind: 'reject';
  /** What the refusal says instead of the kernel's usual words. */
  readonly message?: string;
}
export interface PlainRule extends AnyRule {
  readonly kind: 'flag' | 'unspec';
  readonly sizeMin?: number;
}
export type Rule = IntegerRule | StringRule | BinaryRule | Bitfield32Rule | NestedRule | RejectRule | PlainRule;
export type Rules = Readonly<Record<string, Rule>>;

type PolicyValues<P> = P extends Policy<infer T> ? T : P extends () => Policy<infer T> ? T : never;
type NestedValue<R> = R extends { readonly policy: infer P } ? PolicyValues<P> : Attribute[];
type Value<R extends Rule> = R['kind'] extends keyof IntegerValues
  ? IntegerValues[R['kind']]
  : R['kind'] extends keyof OtherValues
    ? OtherValues[R['kind']]
    : R['kind'] extends 'nested'
      ? NestedValue<R>
      : R['kind'] extends 'nestedArray'
        ? R extends { readonly policy: infer P }
          ? PolicyValues<P>[]
          : Attribute[]
        : never;
type RequiredNames<R extends Rules> = { [N in keyof R]: R[N] extends { readonly required: true } ? N : never }[keyof R];

/** What a message by these rules holds, by name. Attributes of other types are in `unknown`, as they came. */
export type Values<R extends Rules> = { [N in RequiredNames<R>]: Value<R[N]> } & {
  [N in Exclude<keyof R, RequiredNames<R>>]?: Value<R[N]>;
} & { unknown?: Attribute[] };

export interface PolicyOptions {
  /** Types over it are unknown; those below it that have no rule are unsupported. Default: the largest that has a rule. */
  readonly maxType?: number;
  /** Attributes of this type and later ones are validated strictly in every mode (strict_start_type). */
  readonly strictStart?: number;
}

/** A rule in the form that the validator walks: the numbers of assembly/constants.ts. */
export interface PolicyRow {
  readonly name: string;
  readonly type: number;
  readonly rule: Rule;
  /** KIND_*. */
  readonly kind: number;
  /** POLICY_REQUIRED and the like. */
  readonly flags: number;
  /** POLICY_PAYLOAD_SIZE. */
  readonly size: number;
  /** POLICY_MIN and POLICY_MAX, and the same as numbers for kinds of up to 32 bits. */
  readonly min: bigint;
  readonly max: bigint;
  readonly minNumber: number;
  readonly maxNumber: number;
}

declare const values: unique symbol;

/** Made by definePolicy; T is what its messages hold. */
export class Policy<T = unknown> {
  declare readonly [values]: T;
  readonly maxType: number;
  readonly strictStart: number;
  /** By type; undefined where there is no rule. */
  readonly rows: readonly (PolicyRow | undefined)[];
  /** Types that must be there, ascending. */
  readonly required: readonly number[];

  constructor(rows: readonly PolicyRow[], options: PolicyOptions) {
    const highest = rows.reduce((max, row) => Math.max(max, row.type), 0);
    this.maxType = options.maxType ?? highest;
    this.strictStart = options.strictStart ?? 0;
    if (!isWithin(this.maxType, highest, NLA_TYPE_MASK) || !isWithin(this.strictStart, 0, NLA_TYPE_MASK)) {
      throw new RangeError('maxType and strictStart are attribute types, and no rule has a larger type than maxType');
    }
    const table = new Array<PolicyRow | undefined>(this.maxType + 1).fill(undefined);
    for (const row of rows) {
      if (table[row.type] !== undefined) throw new RangeError(`${row.name}: type ${row.type} has a rule already`);
      table[row.type] = row;
    }
    this.rows = table;
    this.required = table.flatMap((row) =>
      row !== undefined && (row.flags & C.POLICY_REQUIRED) !== 0 ? [row.type] : [],
    );
  }
}

/** A policy of these rules. Throws RangeError for rules that cannot be. */
export function definePolicy<const R extends Rules>(rules: R, options: PolicyOptions = {}): Policy<Values<R>> {
  return new Policy(
    Object.entries(rules).map(([name, rule]) => compileRule(name, rule)),
    options,
  );
}

/** The policy inside a nested attribute. */
export function nestedPolicy(row: PolicyRow): Policy | undefined {
  const { policy } = row.rule as NestedRule;
  return typeof policy === 'function' ? policy() : policy;
}

const KINDS: Readonly<Record<Kind, number>> = {
  unspec: C.KIND_UNSPEC,
  u8: C.KIND_U8,
  u16: C.KIND_U16,
  u32: C.KIND_U32,
  u64: C.KIND_U64,
  s8: C.KIND_S8,
  s16: C.KIND_S16,
  s32: C.KIND_S32,
  s64: C.KIND_S64,
  be16: C.KIND_BE16,
  be32: C.KIND_BE32,
  be64: C.KIND_BE64,
  msecs: C.KIND_MSECS,
  uint: C.KIND_UINT,
  sint: C.KIND_SINT,
  flag: C.KIND_FLAG,
  string: C.KIND_STRING,
  nulString: C.KIND_NUL_STRING,
  binary: C.KIND_BINARY,
  nested: C.KIND_NESTED,
  nestedArray: C.KIND_NESTED_ARRAY,
  bitfield32: C.KIND_BITFIELD32,
  reject: C.KIND_REJECT,
};

/** Bits of an integer kind and whether it is signed. */
function integerRange(kind: IntegerKind): [min: bigint, max: bigint] {
  const bits = BigInt(kind === 'msecs' || kind.endsWith('int') ? 64 : Number(kind.replace(/^\D+/, '')));
  return kind.startsWith('s') ? [-(1n << (bits - 1n)), (1n << (bits - 1n)) - 1n] : [0n, (1n << bits) - 1n];
}

function compileRule(name: string, rule: Rule): PolicyRow {
  if (name === 'unknown') throw new RangeError('the name unknown is taken by attributes without a rule');
  if (!isWithin(rule.type, 1, NLA_TYPE_MASK)) throw new RangeError(`${name}: ${rule.type} is no attribute type`);
  const limits = limitsOf(name, rule);
  const flags = limits.flags | (rule.required === true ? C.POLICY_REQUIRED : 0);
  const { size, min, max } = limits;
  return {
    ...{ name, type: rule.type, rule, kind: KINDS[rule.kind], flags, size, min, max },
    minNumber: Number(min),
    maxNumber: Number(max),
  };
}

type Limits = Pick<PolicyRow, 'flags' | 'size' | 'min' | 'max'>;

function limitsOf(name: string, rule: Rule): Limits {
  const free: Limits = { flags: 0, size: 0, min: 0n, max: 0n };
  switch (rule.kind) {
    case 'string':
    case 'nulString':
      return { ...free, size: sizeOf(name, rule.sizeMax) };
    case 'binary':
      return binaryLimits(name, rule);
    case 'unspec':
      return { ...free, size: sizeOf(name, rule.sizeMin) };
    case 'bitfield32':
      if (!isWithin(rule.mask, 0, 0xffffffff)) throw new RangeError(`${name}: a mask of 32 bits`);
      return { ...free, min: BigInt(rule.mask) };
    case 'flag':
    case 'nested':
    case 'nestedArray':
    case 'reject':
      return free;
    default:
      return integerLimits(name, rule);
  }
}

function integerLimits(name: string, { kind, min, max, mask }: IntegerRule): Limits {
  const [lowest, highest] = integerRange(kind);
  const inside = (value: bigint) => value >= lowest && value <= highest;
  if (mask !== undefined) {
    if (min !== undefined || max !== undefined) throw new RangeError(`${name}: a mask or a range, not both`);
    if (lowest < 0n || !inside(BigInt(mask))) throw new RangeError(`${name}: ${kind} has no such mask`);
    return { flags: C.POLICY_MASKED, size: 0, min: BigInt(mask), max: 0n };
  }
  const limits = { min: BigInt(min ?? lowest), max: BigInt(max ?? highest) };
  if (!inside(limits.min) || !inside(limits.max) || limits.min > limits.max) {
    throw new RangeError(`${name}: the range ${limits.min} to ${limits.max} is none of ${kind}`);
  }
  return { flags: min === undefined && max === undefined ? 0 : C.POLICY_RANGED, size: 0, ...limits };
}

/** A largest size alone is the kernel's `len`, everything else its range of sizes; they are refused with different words. */
function binaryLimits(name: string, { size, sizeMin, sizeMax, lenient }: BinaryRule): Limits {
  const min = sizeOf(name, size ?? sizeMin);
  const max = sizeOf(name, size ?? sizeMax ?? 0xffff);
  if (min > max || (size !== undefined && (sizeMin ?? sizeMax) !== undefined))
    throw new RangeError(`${name}: no such size`);
  if (size === undefined && sizeMin === undefined && lenient !== true) {
    return { flags: 0, size: sizeMax ?? 0, min: 0n, max: 0n };
  }
  const flags = C.POLICY_RANGED | (lenient === true ? C.POLICY_LENIENT : 0);
  return { flags, size: 0, min: BigInt(min), max: BigInt(max) };
}

function sizeOf(name: string, size = 0): number {
  if (!isWithin(size, 0, 0xffff)) throw new RangeError(`${name}: ${size} is no size of a payload`);
  return size;
}

function isWithin(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}
