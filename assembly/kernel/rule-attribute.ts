/*
 * NLMSGERR_ATTR_POLICY: in a refusal, the rule of the attribute at fault, laid out as by the kernel's policy dump. Before it: acknowledge.ts. Rules that
 * the kernel does not tell (KIND_UNSPEC and those of no family here) are not told.
 */
import {
  KIND_FLAG,
  KIND_NESTED,
  KIND_NUL_STRING,
  KIND_S8,
  KIND_S64,
  KIND_STRING,
  KIND_U8,
  POLICY_FLAGS,
  POLICY_KIND,
  POLICY_MAX,
  POLICY_MIN,
  POLICY_PAYLOAD_SIZE,
  POLICY_RANGED,
} from '../constants';
import { nestEnd, nestStart, putU32, putU64 } from '../netlink/attribute';

const NLMSGERR_ATTR_POLICY: u32 = 4;
// enum netlink_policy_type_attr
const TYPE: u32 = 1;
const MIN_VALUE_S: u32 = 2;
const MAX_VALUE_S: u32 = 3;
const MIN_VALUE_U: u32 = 4;
const MAX_VALUE_U: u32 = 5;
const MAX_LENGTH: u32 = 7;
const NLA_F_NESTED: u16 = 0x8000;

/** Writes the rule in the row of a policy; `at` when it is not told, 0 without room. */
export function putRule(at: usize, limit: usize, row: usize): usize {
  const kind = <i32>load<u8>(row, POLICY_KIND);
  const type = typeOf(kind);
  if (type == 0) return at;
  let end = nestStart(at, limit, NLMSGERR_ATTR_POLICY);
  const size = <u32>load<u16>(row, POLICY_PAYLOAD_SIZE);
  if ((kind == KIND_STRING || kind == KIND_NUL_STRING) && size != 0) end = putU32(end, limit, MAX_LENGTH, size);
  else if (kind >= KIND_U8 && kind <= KIND_S64) end = putRange(end, limit, row, kind);
  end = nestEnd(at, putU32(end, limit, TYPE, type));
  if (end != 0) store<u16>(at, load<u16>(at, 2) | NLA_F_NESTED, 2);
  return end;
}

/** enum netlink_attribute_type. */
function typeOf(kind: i32): u32 {
  if (kind >= KIND_U8 && kind <= KIND_S64) return kind + 1;
  if (kind == KIND_FLAG) return 1;
  if (kind == KIND_STRING) return 11;
  if (kind == KIND_NUL_STRING) return 12;
  return kind == KIND_NESTED ? 13 : 0;
}

/** The range of an integer: its own, else that of its size. */
function putRange(at: usize, limit: usize, row: usize, kind: i32): usize {
  const ranged = (load<u8>(row, POLICY_FLAGS) & POLICY_RANGED) != 0;
  const signed = kind >= KIND_S8;
  const bits = (<u64>8) << (<u64>(kind - (signed ? KIND_S8 : KIND_U8)));
  const most: u64 = u64.MAX_VALUE >> (64 - bits + (signed ? 1 : 0));
  const min = ranged ? load<u64>(row, POLICY_MIN) : signed ? ~most : 0;
  const max = ranged ? load<u64>(row, POLICY_MAX) : most;
  const end = putU64(at, limit, signed ? MIN_VALUE_S : MIN_VALUE_U, min);
  return putU64(end, limit, signed ? MAX_VALUE_S : MAX_VALUE_U, max);
}
