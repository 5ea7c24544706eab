/*
 * Names of devices: up to IFNAMSIZ - 1 bytes and a NUL. Before it: policies.ts, which sees that there is one. After it: vports.ts.
 *
 * The rules are the kernel's (net/core/dev.c). Holds no memory; whoever owns the bytes may call it, on any thread.
 */
import { IFNAMSIZ } from '../constants';

const DOT: u8 = 0x2e;
const SLASH: u8 = 0x2f;
const COLON: u8 = 0x3a;
const PERCENT: u8 = 0x25;
const LETTER_D: u8 = 0x64;
const ZERO: u8 = 0x30;
const SPACE: u8 = 0x20;
/** White space to the kernel's isspace, which reads Latin-1. */
const NO_BREAK_SPACE: u8 = 0xa0;
const TAB: u8 = 0x09;
const CARRIAGE_RETURN: u8 = 0x0d;

/** Bytes of a name without its NUL. */
export function nameSize(name: usize): u32 {
  let size: u32 = 0;
  while (size < <u32>IFNAMSIZ - 1 && load<u8>(name + size) != 0) size++;
  return size;
}

export function sameName(a: usize, b: usize): bool {
  const size = nameSize(a);
  return size == nameSize(b) && memory.compare(a, b, size) == 0;
}

/** Copies a name into IFNAMSIZ bytes, zeros behind it. */
export function copyName(to: usize, name: usize): void {
  const size = nameSize(name);
  memory.fill(to, 0, IFNAMSIZ);
  memory.copy(to, name, size);
}

/** Not empty, not `.` or `..`, and without `/`, `:` and white space. */
export function isDeviceName(name: usize): bool {
  const size = nameSize(name);
  if (size == 0 || (load<u8>(name) == DOT && (size == 1 || (size == 2 && load<u8>(name, 1) == DOT)))) return false;
  for (let i: u32 = 0; i < size; i++) {
    const c = load<u8>(name + i);
    if (c == SLASH || c == COLON || c == SPACE || c == NO_BREAK_SPACE || (c >= TAB && c <= CARRIAGE_RETURN))
      return false;
  }
  return true;
}

/** The name asks for a number in it: a `%d` that the first one not taken is put for. */
export function isPattern(name: usize): bool {
  return indexOf(name, PERCENT, 0) < nameSize(name);
}

/** A pattern has one `%`, and a `d` behind it. */
export function isGoodPattern(name: usize): bool {
  const at = indexOf(name, PERCENT, 0);
  return load<u8>(name + at + 1) == LETTER_D && indexOf(name, PERCENT, at + 1) == nameSize(name);
}

/** Writes the name that a good pattern gives for `number` into IFNAMSIZ bytes, cut as the kernel's snprintf does. */
export function fillPattern(to: usize, pattern: usize, number: u32): void {
  const size = nameSize(pattern);
  const at = indexOf(pattern, PERCENT, 0);
  memory.fill(to, 0, IFNAMSIZ);
  memory.copy(to, pattern, at);
  let digits: u32 = 1;
  for (let rest = number / 10; rest != 0; rest /= 10) digits++;
  let rest = number;
  for (let i = at + digits; i > at; i--, rest /= 10) putByte(to, i - 1, ZERO + <u8>(rest % 10));
  for (let i = at + 2; i < size; i++) putByte(to, i + digits - 2, load<u8>(pattern + i));
}

function putByte(name: usize, index: u32, value: u8): void {
  if (index < <u32>IFNAMSIZ - 1) store<u8>(name + index, value);
}

/** Where the byte stands from `from` on; the name's size when it does not. */
function indexOf(name: usize, byte: u8, from: u32): u32 {
  const size = nameSize(name);
  for (let i = from; i < size; i++) if (load<u8>(name + i) == byte) return i;
  return size;
}
