/*
 * Policies: whether the attributes of a message are what they must be, and where each of them is (struct nla_policy).
 *
 * Concepts. A policy is a table of rows, laid out in constants.ts: row 0 describes it, row i says what an attribute of type i must be. It is
 * written once, by the functions at the end or by the host (src/netlink/policy-table.ts). parsePolicy walks a message by it:
 *
 *     const errno = parsePolicy(policy, attrs, size, table, NL_VALIDATE_STRICT);
 *     if (errno < 0) { ... refusedReason(), refusedAttr(), missingType(), missingNest() }
 *     const name = load<u32>(table + (OVS_DP_ATTR_NAME << 2));       // address of the attribute, 0 when there was none
 *
 * Of duplicates the last one is in the table; attributes without a row are let pass or refused by the mode. The rules, errno values and the order
 * of checks are those of the kernel's lib/nlattr.c; src/netlink/policy-validate.ts is the same in TypeScript, and gives the same answers.
 *
 * Ownership. The caller owns policy, attributes and table (a u32 a type, 0 to the policy's largest). What a refusal was about is kept in globals
 * until the next call; each thread has its own. Threads: a policy may be used by all threads once it is written.
 */
import {
  EINVAL,
  ERANGE,
  KIND_BE16,
  KIND_BE32,
  KIND_BE64,
  KIND_BINARY,
  KIND_BITFIELD32,
  KIND_FLAG,
  KIND_MSECS,
  KIND_NESTED,
  KIND_NESTED_ARRAY,
  KIND_NUL_STRING,
  KIND_S8,
  KIND_S16,
  KIND_S32,
  KIND_S64,
  KIND_SINT,
  KIND_STRING,
  KIND_U8,
  KIND_U16,
  KIND_U32,
  KIND_UINT,
  KIND_UNSPEC,
  NL_VALIDATE_MAXTYPE,
  NL_VALIDATE_NESTED,
  NL_VALIDATE_STRICT,
  NL_VALIDATE_STRICT_ATTRS,
  NL_VALIDATE_TRAILING,
  NL_VALIDATE_UNSPEC,
  POLICY_DEPTH_MAX,
  POLICY_FLAGS,
  POLICY_KIND,
  POLICY_LENIENT,
  POLICY_MASKED,
  POLICY_MAX,
  POLICY_MAX_TYPE,
  POLICY_MIN,
  POLICY_NESTED,
  POLICY_PAYLOAD_SIZE,
  POLICY_RANGED,
  POLICY_REQUIRED,
  POLICY_REQUIRED_COUNT,
  POLICY_ROW_SIZEOF,
  POLICY_STRICT_START,
  REFUSED_ARRAY_ELEMENT,
  REFUSED_BINARY_SIZE,
  REFUSED_DEPTH,
  REFUSED_LEFTOVER,
  REFUSED_LENGTH,
  REFUSED_MASK,
  REFUSED_MISSING,
  REFUSED_NESTED,
  REFUSED_NOT_NESTED,
  REFUSED_PAYLOAD,
  REFUSED_RANGE,
  REFUSED_UNKNOWN,
  REFUSED_UNSUPPORTED,
} from '../constants';
import { attrFind, attrNext, attrOk, attrPayload, attrPayloadSize, attrRest, attrType, NLA_HDRLEN } from './attribute';

const NLA_F_NESTED: u16 = 0x8000;
/** A nibble a kind, from the lowest: the one size of its payload, 0 where there are several. */
const EXACT_SIZES: u64 = 0x8428_4218_4210;

let reason: u32 = 0;
let attrAtFault: usize = 0;
let typeMissing: u32 = 0;
let nestMissing: usize = 0;
let left: u32 = 0;

/** REFUSED_* of the last call, 0 when it refused nothing. */
export function refusedReason(): u32 {
  return reason;
}

/** The attribute at fault, or 0. */
export function refusedAttr(): usize {
  return attrAtFault;
}

/** With REFUSED_MISSING: the type. */
export function missingType(): u32 {
  return typeMissing;
}

/** With REFUSED_MISSING: the attribute that it is missing in, 0 the outermost list. */
export function missingNest(): usize {
  return nestMissing;
}

/** Bytes behind the last whole attribute of the last list that had some, 0 when all lists ended well: refused in strict mode, a warning in others. */
export function leftoverSize(): u32 {
  return left;
}

/** Returns 0 or a negative errno. `mode` is a set of NL_VALIDATE_*. */
export function parsePolicy(policy: usize, attrs: usize, size: u32, table: usize, mode: u32): i32 {
  reason = typeMissing = left = 0;
  attrAtFault = nestMissing = 0;
  memory.fill(table, 0, (<usize>load<u32>(policy, POLICY_MAX_TYPE) + 1) << 2);
  return parseList(policy, attrs, attrs + size, table, mode, 0, 0);
}

/** `table` is 0 for lists inside others, `nest` the attribute that holds the list. */
function parseList(policy: usize, attrs: usize, end: usize, table: usize, mode: u32, depth: i32, nest: usize): i32 {
  if (depth >= POLICY_DEPTH_MAX) return refuse(EINVAL, REFUSED_DEPTH, 0);
  const maxType = load<u32>(policy, POLICY_MAX_TYPE);
  const strictStart = <u32>load<u16>(policy, POLICY_STRICT_START);
  let a = attrs;
  for (; attrOk(a, end); a = attrNext(a)) {
    const type = attrType(a);
    if (type == 0 || type > maxType) {
      if (mode & NL_VALIDATE_MAXTYPE) return refuse(EINVAL, REFUSED_UNKNOWN, a);
      continue;
    }
    const inner = strictStart != 0 && type >= strictStart ? NL_VALIDATE_STRICT : mode;
    const errno = checkAttr(policy + <usize>type * POLICY_ROW_SIZEOF, a, inner, depth);
    if (errno < 0) return errno;
    if (table != 0) store<u32>(table + ((<usize>type) << 2), <u32>a);
  }
  const rest = attrRest(a, end);
  if (rest > 0) left = rest;
  if (rest > 0 && mode & NL_VALIDATE_TRAILING) return refuse(EINVAL, REFUSED_LEFTOVER, 0);
  return load<u16>(policy, POLICY_REQUIRED_COUNT) == 0 ? 0 : checkRequired(policy, maxType, attrs, end, nest);
}

function checkRequired(policy: usize, maxType: u32, attrs: usize, end: usize, nest: usize): i32 {
  for (let type: u32 = 1; type <= maxType; type++) {
    if ((load<u8>(policy + <usize>type * POLICY_ROW_SIZEOF, POLICY_FLAGS) & POLICY_REQUIRED) == 0) continue;
    if (attrFind(attrs, <u32>(end - attrs), type) != 0) continue;
    typeMissing = type;
    nestMissing = nest;
    return refuse(EINVAL, REFUSED_MISSING, 0);
  }
  return 0;
}

function checkAttr(row: usize, a: usize, mode: u32, depth: i32): i32 {
  const kind = <i32>load<u8>(row, POLICY_KIND);
  const size = attrPayloadSize(a);
  const exact = kind <= KIND_BE64 ? <u32>(EXACT_SIZES >> ((<u64>kind) << 2)) & 15 : 0;
  if (exact != 0 && size != exact && mode & NL_VALIDATE_STRICT_ATTRS) return refuse(EINVAL, REFUSED_LENGTH, a);
  if (mode & NL_VALIDATE_NESTED && kind != KIND_UNSPEC) {
    const nests = kind == KIND_NESTED || kind == KIND_NESTED_ARRAY;
    const flagged = (load<u16>(a, 2) & NLA_F_NESTED) != 0;
    if (nests != flagged) return refuse(EINVAL, nests ? REFUSED_NOT_NESTED : REFUSED_NESTED, a);
  }
  if (kind != KIND_UNSPEC && kind <= KIND_SINT) return checkInteger(row, kind, a, size, exact);
  switch (kind) {
    case KIND_UNSPEC:
      if (mode & NL_VALIDATE_UNSPEC) return refuse(EINVAL, REFUSED_UNSUPPORTED, a);
      return expect(size >= <u32>load<u16>(row, POLICY_PAYLOAD_SIZE), ERANGE, a);
    case KIND_FLAG:
      return expect(size == 0, ERANGE, a);
    case KIND_STRING:
    case KIND_NUL_STRING:
      return checkString(row, kind, a, size);
    case KIND_BINARY:
      return checkBinary(row, a, size, mode);
    case KIND_BITFIELD32:
      return checkBitfield32(row, a, size);
    case KIND_NESTED:
    case KIND_NESTED_ARRAY:
      return checkNested(row, kind, a, size, mode, depth);
    default:
      return refuse(EINVAL, REFUSED_PAYLOAD, a);
  }
}

function checkInteger(row: usize, kind: i32, a: usize, payloadSize: u32, exact: u32): i32 {
  let size = exact;
  if (kind == KIND_UINT || kind == KIND_SINT) {
    if (payloadSize != 4 && payloadSize != 8) return refuse(EINVAL, REFUSED_LENGTH, a);
    size = payloadSize;
  } else if (kind == KIND_MSECS) {
    size = 8;
  }
  if (payloadSize < size) return refuse(ERANGE, REFUSED_PAYLOAD, a);
  const flags = <u32>load<u8>(row, POLICY_FLAGS);
  if ((flags & (POLICY_RANGED | POLICY_MASKED)) == 0) return 0;

  const value = readInteger(kind, attrPayload(a), size);
  const min = load<u64>(row, POLICY_MIN);
  if (flags & POLICY_MASKED) return (value & ~min) != 0 ? refuse(EINVAL, REFUSED_MASK, a) : 0;
  const max = load<u64>(row, POLICY_MAX);
  const signed = kind == KIND_SINT || (kind >= KIND_S8 && kind <= KIND_S64);
  const inside = signed ? <i64>value >= <i64>min && <i64>value <= <i64>max : value >= min && value <= max;
  return inside ? 0 : refuse(ERANGE, REFUSED_RANGE, a);
}

/** The value in 64 bits, signed kinds with their sign. */
function readInteger(kind: i32, payload: usize, size: u32): u64 {
  switch (kind) {
    case KIND_U8:
      return load<u8>(payload);
    case KIND_U16:
      return load<u16>(payload);
    case KIND_U32:
      return load<u32>(payload);
    case KIND_S8:
      return <u64>(<i64>load<i8>(payload));
    case KIND_S16:
      return <u64>(<i64>load<i16>(payload));
    case KIND_S32:
      return <u64>(<i64>load<i32>(payload));
    case KIND_BE16:
      return bswap<u16>(load<u16>(payload));
    case KIND_BE32:
      return bswap<u32>(load<u32>(payload));
    case KIND_BE64:
      return bswap<u64>(load<u64>(payload));
    case KIND_UINT:
      return size == 4 ? <u64>load<u32>(payload) : load<u64>(payload);
    case KIND_SINT:
      return size == 4 ? <u64>(<i64>load<i32>(payload)) : load<u64>(payload);
    default:
      return load<u64>(payload);
  }
}

function checkString(row: usize, kind: i32, a: usize, payloadSize: u32): i32 {
  const payload = attrPayload(a);
  const limit = <u32>load<u16>(row, POLICY_PAYLOAD_SIZE);
  if (kind == KIND_NUL_STRING) {
    const looked = limit == 0 ? payloadSize : min(payloadSize, limit + 1);
    let at: u32 = 0;
    while (at < looked && load<u8>(payload + at) != 0) at++;
    if (at == looked) return refuse(EINVAL, REFUSED_PAYLOAD, a);
  }
  if (payloadSize < 1) return refuse(ERANGE, REFUSED_PAYLOAD, a);
  const textSize = load<u8>(payload + payloadSize - 1) == 0 ? payloadSize - 1 : payloadSize;
  return expect(limit == 0 || textSize <= limit, ERANGE, a);
}

function checkBinary(row: usize, a: usize, payloadSize: u32, mode: u32): i32 {
  const flags = <u32>load<u8>(row, POLICY_FLAGS);
  if ((flags & POLICY_RANGED) == 0) {
    const limit = <u32>load<u16>(row, POLICY_PAYLOAD_SIZE);
    return expect(limit == 0 || payloadSize <= limit, ERANGE, a);
  }
  const max = <u32>load<u64>(row, POLICY_MAX);
  if (flags & POLICY_LENIENT && payloadSize > max) {
    return mode & NL_VALIDATE_STRICT_ATTRS ? refuse(EINVAL, REFUSED_LENGTH, a) : 0;
  }
  const fits = payloadSize >= <u32>load<u64>(row, POLICY_MIN) && payloadSize <= max;
  return fits ? 0 : refuse(ERANGE, REFUSED_BINARY_SIZE, a);
}

function checkBitfield32(row: usize, a: usize, payloadSize: u32): i32 {
  if (payloadSize != 8) return refuse(ERANGE, REFUSED_PAYLOAD, a);
  const value = load<u32>(attrPayload(a));
  const selector = load<u32>(attrPayload(a), 4);
  const allowed = <u32>load<u64>(row, POLICY_MIN);
  return expect(allowed != 0 && ((selector | value) & ~allowed) == 0 && (value & ~selector) == 0, EINVAL, a);
}

function checkNested(row: usize, kind: i32, a: usize, payloadSize: u32, mode: u32, depth: i32): i32 {
  if (payloadSize == 0) return 0;
  if (payloadSize < NLA_HDRLEN) return refuse(ERANGE, REFUSED_PAYLOAD, a);
  const policy = <usize>load<u32>(row, POLICY_NESTED);
  if (policy == 0) return 0;
  const start = attrPayload(a);
  const end = start + payloadSize;
  if (kind == KIND_NESTED) return parseList(policy, start, end, 0, mode, depth + 1, a);
  for (let entry = start; attrOk(entry, end); entry = attrNext(entry)) {
    const entrySize = attrPayloadSize(entry);
    if (entrySize == 0) continue;
    if (entrySize < NLA_HDRLEN) return refuse(ERANGE, REFUSED_ARRAY_ELEMENT, entry);
    const inside = attrPayload(entry);
    const errno = parseList(policy, inside, inside + entrySize, 0, mode, depth + 1, entry);
    if (errno < 0) return errno;
  }
  return 0;
}

function refuse(errno: i32, why: u32, a: usize): i32 {
  reason = why;
  attrAtFault = a;
  return -errno;
}

function expect(fine: bool, errno: i32, a: usize): i32 {
  return fine ? 0 : refuse(errno, REFUSED_PAYLOAD, a);
}

// ---------------------------------------------------------------------------------------------------- writing a policy

/** Bytes of a policy for types up to `maxType`. */
@inline
export function policySize(maxType: u32): u32 {
  return (maxType + 1) * POLICY_ROW_SIZEOF;
}

/** Begins a policy in policySize(maxType) bytes: without rows, every type is unsupported. Returns the address after it. */
export function beginPolicy(policy: usize, maxType: u32, strictStart: u32): usize {
  memory.fill(policy, 0, policySize(maxType));
  store<u32>(policy, maxType, POLICY_MAX_TYPE);
  store<u16>(policy, <u16>strictStart, POLICY_STRICT_START);
  return policy + policySize(maxType);
}

/** The rule of a type: its kind, and the largest size of a string or of bytes (KIND_UNSPEC: the smallest), 0 any. Returns its row. */
export function setRule(policy: usize, type: u32, kind: u32, payloadSize: u32): usize {
  const row = policy + <usize>type * POLICY_ROW_SIZEOF;
  store<u8>(row, <u8>kind, POLICY_KIND);
  store<u16>(row, <u16>payloadSize, POLICY_PAYLOAD_SIZE);
  return row;
}

/** An integer in this range (signed kinds: i64 given as u64), or bytes of such a size. */
export function setRange(policy: usize, type: u32, kind: u32, min: u64, max: u64): void {
  const row = setRule(policy, type, kind, 0);
  store<u8>(row, load<u8>(row, POLICY_FLAGS) | POLICY_RANGED, POLICY_FLAGS);
  store<u64>(row, min, POLICY_MIN);
  store<u64>(row, max, POLICY_MAX);
}

/** An unsigned integer or a KIND_BITFIELD32 with no other bits than these. */
export function setMask(policy: usize, type: u32, kind: u32, mask: u64): void {
  const row = setRule(policy, type, kind, 0);
  if (kind != KIND_BITFIELD32) store<u8>(row, load<u8>(row, POLICY_FLAGS) | POLICY_MASKED, POLICY_FLAGS);
  store<u64>(row, mask, POLICY_MIN);
}

/** KIND_NESTED or KIND_NESTED_ARRAY by the policy `inner`, which may be this one. */
export function setNested(policy: usize, type: u32, kind: u32, inner: usize): void {
  store<u32>(setRule(policy, type, kind, 0), <u32>inner, POLICY_NESTED);
}

/** The type, which has its rule already, must be there. */
export function setRequired(policy: usize, type: u32): void {
  const row = policy + <usize>type * POLICY_ROW_SIZEOF;
  if (load<u8>(row, POLICY_FLAGS) & POLICY_REQUIRED) return;
  store<u8>(row, load<u8>(row, POLICY_FLAGS) | POLICY_REQUIRED, POLICY_FLAGS);
  store<u16>(policy, load<u16>(policy, POLICY_REQUIRED_COUNT) + 1, POLICY_REQUIRED_COUNT);
}
