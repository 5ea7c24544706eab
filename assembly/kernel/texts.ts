/*
 * What the kernel says in words, in extended acknowledgements. Numbers below TEXT_FIRST are REFUSED_*: why a policy refuses an attribute. The words
 * are those of lib/nlattr.c and genetlink.c; src/netlink/policy-validate.ts has the same for the other direction.
 */
import {
  REFUSED_ARRAY_ELEMENT,
  REFUSED_BINARY_SIZE,
  REFUSED_DEPTH,
  REFUSED_LEFTOVER,
  REFUSED_LENGTH,
  REFUSED_MASK,
  REFUSED_NESTED,
  REFUSED_NOT_NESTED,
  REFUSED_PAYLOAD,
  REFUSED_RANGE,
  REFUSED_UNKNOWN,
  REFUSED_UNSUPPORTED,
} from '../constants';
import { reserveAttr } from '../netlink/attribute';

const NLMSGERR_ATTR_MSG: u32 = 1;

const TEXT_FIRST: u32 = 64;
export const TEXT_RESERVED: u32 = TEXT_FIRST;
export const TEXT_FLAGS: u32 = TEXT_FIRST + 1;

/** Writes the attribute that holds a text and its NUL; `at` when there is no such text. */
export function putText(at: usize, limit: usize, number: u32): usize {
  const text = textOf(number);
  const size = <u32>text.length;
  if (size == 0) return at;
  const end = reserveAttr(at, limit, NLMSGERR_ATTR_MSG, size + 1);
  if (end == 0) return 0;
  const units = changetype<usize>(text);
  for (let i: u32 = 0; i < size; i++) store<u8>(at + i, <u8>load<u16>(units + (i << 1)), 4);
  store<u8>(at + size, 0, 4);
  return end;
}

function textOf(number: u32): string {
  switch (number) {
    case REFUSED_PAYLOAD:
      return 'Attribute failed policy validation';
    case REFUSED_LENGTH:
      return 'invalid attribute length';
    case REFUSED_NOT_NESTED:
      return 'NLA_F_NESTED is missing';
    case REFUSED_NESTED:
      return 'NLA_F_NESTED not expected';
    case REFUSED_UNSUPPORTED:
      return 'Unsupported attribute';
    case REFUSED_UNKNOWN:
      return 'Unknown attribute type';
    case REFUSED_RANGE:
      return 'integer out of range';
    case REFUSED_BINARY_SIZE:
      return 'binary attribute size out of range';
    case REFUSED_MASK:
      return 'reserved bit set';
    case REFUSED_ARRAY_ELEMENT:
      return 'Array element too short';
    case REFUSED_LEFTOVER:
      return 'bytes leftover after parsing attributes';
    case REFUSED_DEPTH:
      return 'allowed policy recursion depth exceeded';
    case TEXT_RESERVED:
      return 'genlmsghdr.reserved field is not 0';
    case TEXT_FLAGS:
      return 'ambiguous or reserved bits set in nlmsg_flags';
    default:
      return '';
  }
}
