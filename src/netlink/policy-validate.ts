/*
 * validateAttributes: whether attributes are as a policy says, and if not the errno and the words that the kernel would answer with.
 *
 * The rules are those of the kernel's lib/nlattr.c, in its modes: what is refused in strict mode only is let pass in liberal mode, because old
 * programs send it. Attributes are judged in their order, nested ones where they stand; then come bytes left over, then what is missing. The
 * same over a table in WASM memory is assembly/netlink/policy.ts, and both give the same answer to the same bytes.
 *
 * Before it: a server that got a request, or parseAttributes. After it: an extended acknowledgement. Reads the caller's bytes and keeps nothing.
 */
import * as C from '../../assembly/constants.ts';
import type { ByteView } from '../native/netlink.ts';
import * as K from './constants.ts';
import { nestedPolicy, type Policy, type PolicyRow } from './policy.ts';

/** The modes, to be or-ed (enum netlink_validation): NL_VALIDATE_STRICT is all of them. */
export {
  NL_VALIDATE_LIBERAL,
  NL_VALIDATE_MAXTYPE,
  NL_VALIDATE_NESTED,
  NL_VALIDATE_STRICT,
  NL_VALIDATE_STRICT_ATTRS,
  NL_VALIDATE_TRAILING,
  NL_VALIDATE_UNSPEC,
} from '../../assembly/constants.ts';

/** Why a request is refused: what goes into NLMSG_ERROR and its extended acknowledgement. */
export interface Refusal {
  /** Positive. */
  errno: number;
  /** REFUSED_* of assembly/constants.ts. */
  reason: number;
  /** The kernel's words; undefined for a missing attribute. */
  message?: string;
  attributeType?: number;
  /** Of the attribute at fault, from `base`. */
  offset?: number;
  missingType?: number;
  /** Offset of the nest in which it is missing; undefined in the outermost list. */
  missingNest?: number;
}

const MESSAGES: Readonly<Record<number, string>> = {
  [C.REFUSED_PAYLOAD]: 'Attribute failed policy validation',
  [C.REFUSED_LENGTH]: 'invalid attribute length',
  [C.REFUSED_NOT_NESTED]: 'NLA_F_NESTED is missing',
  [C.REFUSED_NESTED]: 'NLA_F_NESTED not expected',
  [C.REFUSED_UNSUPPORTED]: 'Unsupported attribute',
  [C.REFUSED_UNKNOWN]: 'Unknown attribute type',
  [C.REFUSED_RANGE]: 'integer out of range',
  [C.REFUSED_BINARY_SIZE]: 'binary attribute size out of range',
  [C.REFUSED_MASK]: 'reserved bit set',
  [C.REFUSED_ARRAY_ELEMENT]: 'Array element too short',
  [C.REFUSED_LEFTOVER]: 'bytes leftover after parsing attributes',
  [C.REFUSED_DEPTH]: 'allowed policy recursion depth exceeded',
};

/**
 * Judges the attributes in `bytes` from `offset`, `size` bytes of them. `mode` is a set of NL_VALIDATE_*; offsets in the answer count from
 * `base`, where the message begins. Returns undefined when all is well.
 */
export function validateAttributes(
  policy: Policy,
  bytes: ByteView,
  offset = 0,
  size: number = bytes.length - offset,
  base = 0,
  mode: number = C.NL_VALIDATE_STRICT,
): Refusal | undefined {
  if (offset < 0 || size < 0 || offset + size > bytes.length)
    throw new RangeError('the attributes lie outside of the bytes');
  return new Validation(bytes, base).list(policy, offset, offset + size, mode, 0, undefined);
}

/** The sizes of the kinds that have exactly one. */
const EXACT_SIZES = [0, 1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 8];

/** One run over one message. */
class Validation {
  private readonly bytes: ByteView;
  private readonly base: number;

  constructor(bytes: ByteView, base: number) {
    this.bytes = bytes;
    this.base = base;
  }

  /** `nest` is where the attribute begins that holds the list. */
  list(
    policy: Policy,
    start: number,
    end: number,
    mode: number,
    depth: number,
    nest: number | undefined,
  ): Refusal | undefined {
    if (depth >= C.POLICY_DEPTH_MAX) return this.refuse(C.EINVAL, C.REFUSED_DEPTH);
    let at = start;
    while (this.isAttribute(at, end)) {
      const type = this.type(at);
      const row = policy.rows[type];
      if (type === 0 || type > policy.maxType) {
        if ((mode & C.NL_VALIDATE_MAXTYPE) !== 0) return this.refuse(C.EINVAL, C.REFUSED_UNKNOWN, at);
      } else {
        const inner = policy.strictStart !== 0 && type >= policy.strictStart ? C.NL_VALIDATE_STRICT : mode;
        const refusal = row === undefined ? this.unsupported(at, inner) : this.attribute(row, at, inner, depth);
        if (refusal !== undefined) return refusal;
      }
      at += (this.size(at) + 3) & ~3;
    }
    if (at < end && (mode & C.NL_VALIDATE_TRAILING) !== 0) return this.refuse(C.EINVAL, C.REFUSED_LEFTOVER);
    return this.missing(policy, start, end, nest);
  }

  private isAttribute(at: number, end: number): boolean {
    if (end - at < K.NLA_HDRLEN) return false;
    const size = this.size(at);
    return size >= K.NLA_HDRLEN && size <= end - at;
  }

  private size(at: number): number {
    return this.bytes[at] | (this.bytes[at + 1] << 8);
  }

  private type(at: number): number {
    return (this.bytes[at + 2] | (this.bytes[at + 3] << 8)) & K.NLA_TYPE_MASK;
  }

  private missing(policy: Policy, start: number, end: number, nest: number | undefined): Refusal | undefined {
    for (const type of policy.required) {
      let at = start;
      while (this.isAttribute(at, end) && this.type(at) !== type) at += (this.size(at) + 3) & ~3;
      if (this.isAttribute(at, end)) continue;
      const refusal: Refusal = { errno: C.EINVAL, reason: C.REFUSED_MISSING, missingType: type };
      if (nest !== undefined) refusal.missingNest = nest - this.base;
      return refusal;
    }
    return undefined;
  }

  /** A type that has no rule: only the strict mode minds. */
  private unsupported(at: number, mode: number): Refusal | undefined {
    return (mode & C.NL_VALIDATE_UNSPEC) === 0 ? undefined : this.refuse(C.EINVAL, C.REFUSED_UNSUPPORTED, at);
  }

  private attribute(row: PolicyRow, at: number, mode: number, depth: number): Refusal | undefined {
    const payloadSize = this.size(at) - K.NLA_HDRLEN;
    const { kind } = row;
    const exact = kind <= C.KIND_BE64 ? EXACT_SIZES[kind] : 0;
    if (exact !== 0 && payloadSize !== exact && (mode & C.NL_VALIDATE_STRICT_ATTRS) !== 0) {
      return this.refuse(C.EINVAL, C.REFUSED_LENGTH, at);
    }
    if ((mode & C.NL_VALIDATE_NESTED) !== 0 && kind !== C.KIND_UNSPEC) {
      const nests = kind === C.KIND_NESTED || kind === C.KIND_NESTED_ARRAY;
      const flagged = (this.bytes[at + 3] & (K.NLA_F_NESTED >> 8)) !== 0;
      if (nests !== flagged) return this.refuse(C.EINVAL, nests ? C.REFUSED_NOT_NESTED : C.REFUSED_NESTED, at);
    }
    if (kind <= C.KIND_SINT && kind !== C.KIND_UNSPEC) return this.integer(row, at, payloadSize, exact);
    return this.other(row, at, payloadSize, mode, depth);
  }

  private integer(row: PolicyRow, at: number, payloadSize: number, exact: number): Refusal | undefined {
    const { kind, flags } = row;
    let size = exact;
    if (kind === C.KIND_UINT || kind === C.KIND_SINT) {
      if (payloadSize !== 4 && payloadSize !== 8) return this.refuse(C.EINVAL, C.REFUSED_LENGTH, at);
      size = payloadSize;
    } else if (kind === C.KIND_MSECS) size = 8;
    if (payloadSize < size) return this.refuse(C.ERANGE, C.REFUSED_PAYLOAD, at);
    if ((flags & (C.POLICY_RANGED | C.POLICY_MASKED)) === 0) return undefined;
    return size === 8 ? this.limits64(row, at) : this.limits(row, at, size);
  }

  private limits(row: PolicyRow, at: number, size: number): Refusal | undefined {
    const value = this.read(at + K.NLA_HDRLEN, size, row.kind);
    if ((row.flags & C.POLICY_MASKED) !== 0) {
      return (value & ~row.minNumber) !== 0 ? this.refuse(C.EINVAL, C.REFUSED_MASK, at) : undefined;
    }
    return value < row.minNumber || value > row.maxNumber ? this.refuse(C.ERANGE, C.REFUSED_RANGE, at) : undefined;
  }

  private limits64(row: PolicyRow, at: number): Refusal | undefined {
    const payload = at + K.NLA_HDRLEN;
    const big = row.kind === C.KIND_BE64;
    const first = BigInt(this.read(payload, 4, big ? C.KIND_BE32 : C.KIND_U32));
    const second = BigInt(this.read(payload + 4, 4, big ? C.KIND_BE32 : C.KIND_U32));
    const unsigned = big ? (first << 32n) | second : (second << 32n) | first;
    if ((row.flags & C.POLICY_MASKED) !== 0) {
      return (unsigned & ~row.min) !== 0n ? this.refuse(C.EINVAL, C.REFUSED_MASK, at) : undefined;
    }
    const value = row.kind === C.KIND_S64 || row.kind === C.KIND_SINT ? BigInt.asIntN(64, unsigned) : unsigned;
    return value < row.min || value > row.max ? this.refuse(C.ERANGE, C.REFUSED_RANGE, at) : undefined;
  }

  /** An integer of up to four bytes. */
  private read(at: number, size: number, kind: number): number {
    const { bytes } = this;
    if (kind === C.KIND_BE16) return (bytes[at] << 8) | bytes[at + 1];
    if (kind === C.KIND_BE32)
      return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0;
    let value = bytes[at];
    if (size > 1) value |= bytes[at + 1] << 8;
    if (size > 2) value = (value | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;
    const unused = 32 - size * 8;
    const signed = (kind >= C.KIND_S8 && kind <= C.KIND_S64) || kind === C.KIND_SINT;
    return signed ? (value << unused) >> unused : value;
  }

  private other(row: PolicyRow, at: number, payloadSize: number, mode: number, depth: number): Refusal | undefined {
    switch (row.kind) {
      case C.KIND_UNSPEC:
        return this.unsupported(at, mode) ?? this.expect(payloadSize >= row.size, C.ERANGE, at);
      case C.KIND_FLAG:
        return this.expect(payloadSize === 0, C.ERANGE, at);
      case C.KIND_STRING:
      case C.KIND_NUL_STRING:
        return this.string(row, at, payloadSize);
      case C.KIND_BINARY:
        return this.binary(row, at, payloadSize, mode);
      case C.KIND_BITFIELD32:
        return this.bitfield32(row, at, payloadSize);
      case C.KIND_NESTED:
      case C.KIND_NESTED_ARRAY:
        return this.nested(row, at, payloadSize, mode, depth);
      default:
        return this.rejected(row, at);
    }
  }

  private string(row: PolicyRow, at: number, payloadSize: number): Refusal | undefined {
    const payload = at + K.NLA_HDRLEN;
    if (row.kind === C.KIND_NUL_STRING) {
      const looked = row.size === 0 ? payloadSize : Math.min(payloadSize, row.size + 1);
      let end = payload;
      while (end < payload + looked && this.bytes[end] !== 0) end++;
      if (end === payload + looked) return this.refuse(C.EINVAL, C.REFUSED_PAYLOAD, at);
    }
    if (payloadSize < 1) return this.refuse(C.ERANGE, C.REFUSED_PAYLOAD, at);
    const textSize = this.bytes[payload + payloadSize - 1] === 0 ? payloadSize - 1 : payloadSize;
    return this.expect(row.size === 0 || textSize <= row.size, C.ERANGE, at);
  }

  private binary(row: PolicyRow, at: number, payloadSize: number, mode: number): Refusal | undefined {
    if ((row.flags & C.POLICY_RANGED) === 0)
      return this.expect(row.size === 0 || payloadSize <= row.size, C.ERANGE, at);
    if ((row.flags & C.POLICY_LENIENT) !== 0 && payloadSize > row.maxNumber) {
      return (mode & C.NL_VALIDATE_STRICT_ATTRS) !== 0 ? this.refuse(C.EINVAL, C.REFUSED_LENGTH, at) : undefined;
    }
    if (payloadSize >= row.minNumber && payloadSize <= row.maxNumber) return undefined;
    return this.refuse(C.ERANGE, C.REFUSED_BINARY_SIZE, at);
  }

  private bitfield32(row: PolicyRow, at: number, payloadSize: number): Refusal | undefined {
    if (payloadSize !== 8) return this.refuse(C.ERANGE, C.REFUSED_PAYLOAD, at);
    const value = this.read(at + K.NLA_HDRLEN, 4, C.KIND_U32);
    const selector = this.read(at + K.NLA_HDRLEN + 4, 4, C.KIND_U32);
    const allowed = row.minNumber;
    const fine = allowed !== 0 && (selector & ~allowed) === 0 && (value & ~allowed) === 0 && (value & ~selector) === 0;
    return this.expect(fine, C.EINVAL, at);
  }

  private nested(row: PolicyRow, at: number, payloadSize: number, mode: number, depth: number): Refusal | undefined {
    if (payloadSize === 0) return undefined;
    if (payloadSize < K.NLA_HDRLEN) return this.refuse(C.ERANGE, C.REFUSED_PAYLOAD, at);
    const policy = nestedPolicy(row);
    if (policy === undefined) return undefined;
    const start = at + K.NLA_HDRLEN;
    const end = start + payloadSize;
    if (row.kind === C.KIND_NESTED) return this.list(policy, start, end, mode, depth + 1, at);
    for (let entry = start; this.isAttribute(entry, end); entry += (this.size(entry) + 3) & ~3) {
      const entrySize = this.size(entry) - K.NLA_HDRLEN;
      if (entrySize === 0) continue;
      if (entrySize < K.NLA_HDRLEN) return this.refuse(C.ERANGE, C.REFUSED_ARRAY_ELEMENT, entry);
      const inside = entry + K.NLA_HDRLEN;
      const refusal = this.list(policy, inside, inside + entrySize, mode, depth + 1, entry);
      if (refusal !== undefined) return refusal;
    }
    return undefined;
  }

  private rejected(row: PolicyRow, at: number): Refusal {
    const refusal = this.refuse(C.EINVAL, C.REFUSED_PAYLOAD, at);
    if (row.rule.kind === 'reject' && row.rule.message !== undefined) refusal.message = row.rule.message;
    return refusal;
  }

  private expect(fine: boolean, errno: number, at: number): Refusal | undefined {
    return fine ? undefined : this.refuse(errno, C.REFUSED_PAYLOAD, at);
  }

  private refuse(errno: number, reason: number, at?: number): Refusal {
    const refusal: Refusal = { errno, reason, message: MESSAGES[reason] };
    if (at !== undefined) {
      refusal.attributeType = this.type(at);
      refusal.offset = at - this.base;
    }
    return refusal;
  }
}
