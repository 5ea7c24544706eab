/*
 * parseAttributes and encodeAttributes: attributes as an object with names, by a policy.
 *
 * Parsing is what a client does with an answer: sizes and limits are checked as in the kernel's liberal mode, bytes left over and missing
 * attributes are errors, of duplicates the last counts, and what the policy does not know is kept in `unknown`, so that encoding gives it back.
 * Before it: message.ts. After it: whoever wanted the values. All values are copies. Threads: any.
 */
import { NL_VALIDATE_TRAILING } from '../../assembly/constants.ts';
import { DatapathError } from '../errors.ts';
import type { ByteView } from '../native/netlink.ts';
import { type Attribute, type AttributeBuilder, AttributeCursor } from './attributes.ts';
import { NLA_F_NESTED, NLA_F_NET_BYTEORDER } from './constants.ts';
import { nestedPolicy, type Policy, type PolicyRow, type Rule } from './policy.ts';
import { type Refusal, validateAttributes } from './policy-validate.ts';

type Fields = Record<string, unknown> & { unknown: Attribute[] };

/**
 * The attributes in `bytes` from `offset`, `size` bytes of them, by the policy. `base` is where the message begins. Throws ERR_NETLINK_MALFORMED,
 * with the attribute's type and offset, for what is not as the policy says.
 */
export function parseAttributes<T>(
  policy: Policy<T>,
  bytes: ByteView,
  offset = 0,
  size: number = bytes.length - offset,
  base = 0,
): T & { unknown: Attribute[] } {
  const refusal = validateAttributes(policy, bytes, offset, size, base, NL_VALIDATE_TRAILING);
  if (refusal !== undefined) throw malformed(policy, refusal);
  const cursor = new AttributeCursor(bytes, offset, size, base);
  const fields = decodeFields(policy, cursor);
  // A nest without a policy was not looked into until now.
  cursor.check();
  return fields as T & { unknown: Attribute[] };
}

function malformed(
  policy: Policy,
  { message, attributeType, offset, missingType, missingNest }: Refusal,
): DatapathError {
  const type = attributeType ?? missingType;
  const at = offset ?? missingNest;
  const name = missingType === undefined ? undefined : policy.rows[missingType]?.name;
  const problem = missingType === undefined ? message : `${missingNest === undefined ? name : 'it'} is missing`;
  const where = `${type === undefined ? '' : ` ${type}`}${at === undefined ? '' : ` at offset ${at}`}`;
  return new DatapathError('ERR_NETLINK_MALFORMED', `attribute${where}: ${problem}`, {
    ...(type === undefined ? {} : { attributeType: type }),
    ...(at === undefined ? {} : { attributeOffset: at }),
  });
}

function decodeFields(policy: Policy, cursor: AttributeCursor): Fields {
  const fields: Fields = { unknown: [] };
  while (cursor.next()) {
    const row = policy.rows[cursor.type];
    if (row === undefined) fields.unknown.push(cursor.attribute());
    else fields[row.name] = decode(row, cursor);
  }
  return fields;
}

function decode(row: PolicyRow, cursor: AttributeCursor): unknown {
  switch (row.rule.kind) {
    case 'flag':
      return true;
    case 'binary':
    case 'unspec':
    case 'reject':
      return cursor.bytes();
    case 'nulString':
      return cursor.string();
    case 'msecs':
      return cursor.u64();
    case 'nested': {
      const policy = nestedPolicy(row);
      return policy === undefined ? attributeList(cursor.nested()) : decodeFields(policy, cursor.nested());
    }
    case 'nestedArray':
      return decodeArray(nestedPolicy(row), cursor.nested());
    default:
      return cursor[row.rule.kind]();
  }
}

function attributeList(cursor: AttributeCursor): Attribute[] {
  const list: Attribute[] = [];
  while (cursor.next()) list.push(cursor.attribute());
  return list;
}

function decodeArray(policy: Policy | undefined, cursor: AttributeCursor): unknown[] {
  if (policy === undefined) return attributeList(cursor);
  const list: Fields[] = [];
  while (cursor.next()) list.push(decodeFields(policy, cursor.nested()));
  return list;
}

/**
 * Writes the values, in the order of the types, then `values.unknown`. The entries of an array get the types 1, 2, ... The builder keeps what
 * goes wrong; limits of the policy are the receiver's to check.
 */
export function encodeAttributes<T>(policy: Policy<T>, builder: AttributeBuilder, values: T): void {
  const fields = values as Record<string, unknown> & { unknown?: Attribute[] };
  for (const row of policy.rows) {
    const value = row === undefined ? undefined : fields[row.name];
    if (row !== undefined && value !== undefined) encode(row, builder, value);
  }
  encodeList(builder, fields.unknown ?? []);
}

function encodeList(builder: AttributeBuilder, list: readonly Attribute[]): void {
  for (const { type, isNested, isNetByteOrder, payload } of list) {
    builder.raw(type | (isNested ? NLA_F_NESTED : 0) | (isNetByteOrder ? NLA_F_NET_BYTEORDER : 0), payload);
  }
}

type Writer = (builder: AttributeBuilder, type: number, value: never, row: PolicyRow) => void;

/** What a kind is written with, where it is not the builder's function of its name. */
const WRITERS: Partial<Record<Rule['kind'], Writer>> = {
  flag: (builder, type, value: boolean) => (value ? builder.flag(type) : builder),
  unspec: (builder, type, value: Uint8Array) => builder.binary(type, value),
  reject: (builder, type, value: Uint8Array) => builder.binary(type, value),
  nulString: (builder, type, value: string) => builder.string(type, value),
  msecs: (builder, type, value: bigint) => builder.u64(type, value),
  nested: (builder, type, value: Fields | Attribute[], row) =>
    builder.nest(type, (inner) => encodeNest(inner, nestedPolicy(row), value)),
  nestedArray: (builder, type, value: Fields[] | Attribute[], row) => {
    const policy = nestedPolicy(row);
    builder.nest(type, (inner) => {
      if (policy === undefined) encodeList(inner, value as Attribute[]);
      else for (const [i, entry] of value.entries()) inner.nest(i + 1, (entries) => encodeNest(entries, policy, entry));
    });
  },
};

function encodeNest(builder: AttributeBuilder, policy: Policy | undefined, value: unknown): void {
  if (policy === undefined) encodeList(builder, value as Attribute[]);
  else encodeAttributes(policy, builder, value);
}

function encode(row: PolicyRow, builder: AttributeBuilder, value: unknown): void {
  const { kind } = row.rule;
  const writer = WRITERS[kind];
  if (writer !== undefined) writer(builder, row.type, value as never, row);
  else builder[kind as 'u32'](row.type, value as number);
}
