/*
 * Random action lists as attribute trees for a key of some kind: mostly such as the kernel takes, nested in each other.
 */
import { type Attr, attr, nest } from './attribute-tree.ts';
import { type Kind, nsh, tunnel } from './flow-generator.ts';
import type { Random } from './frame-generator.ts';

const le32 = (value: number) => [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24];
const le16 = (value: number) => [value & 255, value >>> 8];
const be16 = (value: number) => [value >>> 8, value & 255];

/** How many actions a list has, and how deep lists may go; SAMPLE and its like get rarer with depth. */
export function randomActions(random: Random, kind: Kind, depth = 0): Attr[] {
  const count = random.pick([0, 1, 1, 2, 3, 4, depth === 0 ? 8 : 2]);
  return Array.from({ length: count }, () => randomAction(random, kind, depth));
}

function randomAction(random: Random, kind: Kind, depth: number): Attr {
  const choice = random.below(depth > 4 ? 20 : 26);
  switch (choice) {
    case 0:
    case 1:
    case 2:
      return attr(1, le32(random.pick([0, 1, 2, 1023])));
    case 3:
      return nest(2, userspace(random));
    case 4:
    case 5:
      return set(random, kind);
    case 6:
    case 7:
      return setMasked(random, kind);
    case 8:
      return attr(4, [...be16(random.pick([0x8100, 0x88a8, 0x8100, 0x9100])), random.oneIn(16) ? 0 : 0x10, 5]);
    case 9:
      return attr(5, []);
    case 10:
      return attr(9, [...random.bytes(4), ...be16(random.pick([0x8847, 0x8848, 0x8847, 0x0800])), 0, 0]);
    case 11:
      return attr(10, be16(random.pick([0x0800, 0x8847, 0x86dd, 0x6558])));
    case 12:
      return random.pick([attr(14, random.bytes(12)), attr(15, [])]);
    case 13:
      return random.pick([nest(17, [nest(28, nsh(random))]), attr(18, [])]);
    case 14:
      return attr(7, random.bytes(4));
    case 15:
      return attr(8, [...le32(random.oneIn(8) ? 2 : 0), ...random.bytes(4)]);
    case 16:
      return attr(13, le32(random.pick([14, 100, 65535, random.oneIn(4) ? 13 : 14])));
    case 17:
      return attr(19, random.bytes(4));
    case 18:
      return attr(16, []);
    case 19:
      return attr(22, [...random.bytes(4), ...be16(random.pick([0x8847, 0x8848])), random.below(2), 0]);
    case 20:
    case 21:
      return nest(6, [attr(1, random.bytes(4)), nest(2, randomActions(random, kind, depth + 1))]);
    case 22:
    case 23:
      return nest(20, randomActions(random, kind, depth + 1));
    case 24: {
      const lists = [nest(2, randomActions(random, kind, depth + 1)), nest(3, randomActions(random, kind, depth + 1))];
      return nest(21, [attr(1, le16(random.oneIn(12) ? 0 : 100)), ...lists]);
    }
    default:
      return nest(23, [nest(1, randomActions(random, kind, depth + 1))]);
  }
}

function userspace(random: Random): Attr[] {
  const attrs = [attr(1, le32(random.oneIn(24) ? 0 : 7))];
  if (random.oneIn(2)) attrs.push(attr(2, random.bytes(random.below(20))));
  if (random.oneIn(3)) attrs.push(attr(3, random.bytes(4)));
  if (random.oneIn(3)) attrs.push(attr(4, []));
  return attrs;
}

/** The header attributes that a packet of this kind has, and now and then any. */
function settable(random: Random, { type, proto }: Kind): number {
  if (random.oneIn(8)) return random.pick([2, 3, 4, 7, 8, 9, 10, 13, 14, 15, 16, 17, 21, 24, 25, 28]);
  const types = [2, 4, 15, 16];
  if (type === 0x0800) types.push(7, 7);
  if (type === 0x86dd) types.push(8, 8);
  if (type === 0x8847 || type === 0x8848) types.push(21, 21);
  if (type === 0x894f) types.push(28);
  if (proto === 6) types.push(9, 9);
  if (proto === 17) types.push(10, 10);
  if (proto === 132) types.push(17, 17);
  return random.pick(types);
}

const SIZES: Record<number, number> = { 4: 12, 7: 12, 8: 40, 13: 24, 14: 28, 25: 16 };

function set(random: Random, kind: Kind): Attr {
  const type = settable(random, kind);
  if (type === 16) return nest(3, [nest(16, tunnel(random))]);
  if (type === 28) return nest(3, [nest(28, nsh(random, { ...kind }))]);
  const value = random.bytes(SIZES[type] ?? (random.oneIn(12) ? 8 : 4));
  if (type === 7) value.set([kind.proto, 1, 2, kind.frag], 8);
  if (type === 8) value.set([0, random.oneIn(12) ? 16 : 1, 2, 3, kind.proto, 1, 2, kind.frag], 32);
  return nest(3, [attr(type, value)]);
}

function setMasked(random: Random, kind: Kind): Attr {
  const type = settable(random, kind);
  const size = SIZES[type] ?? 4;
  const mask = random.oneIn(3) ? new Uint8Array(size).fill(255) : random.bytes(size);
  if (!random.oneIn(12)) {
    if (type === 7) mask.set([0, 255, 255, 0], 8);
    if (type === 8) mask.set([0, 15, 255, 255, 0, 255, 255, 0], 32);
  }
  const value = random.bytes(size).map((byte, at) => (random.oneIn(200) ? byte : byte & mask[at]!));
  return nest(11, [attr(type, [...value, ...mask, ...(random.oneIn(30) ? [1] : [])])]);
}

/** CT with attributes that the kernel takes, in an order that it takes too. */
export function randomCt(random: Random, ipv6: boolean): Attr {
  const attrs: Attr[] = [];
  const commit = !random.oneIn(3);
  if (commit) attrs.push(attr(random.pick([1, 7]), []));
  if (random.oneIn(2)) attrs.push(attr(2, random.bytes(2)));
  if (commit && random.oneIn(3)) attrs.push(attr(3, [...random.bytes(4), ...random.bytes(3), 1]));
  if (commit && random.oneIn(3)) attrs.push(attr(4, [...random.bytes(31), 1]));
  if (random.oneIn(4)) attrs.push(attr(8, random.bytes(4)));
  if (random.oneIn(3)) attrs.push(nest(6, nat(random, commit, ipv6)));
  return nest(12, attrs);
}

function nat(random: Random, commit: boolean, ipv6: boolean): Attr[] {
  if (!commit) return random.oneIn(4) ? [attr(1, [])] : [];
  const attrs = [attr(random.pick([1, 2]), [])];
  const size = ipv6 ? 16 : 4;
  if (random.oneIn(2)) attrs.push(attr(3, random.bytes(size)));
  if (random.oneIn(2)) attrs.push(attr(4, random.bytes(size)));
  if (random.oneIn(2)) attrs.push(attr(5, random.bytes(2)), attr(6, random.bytes(2)));
  for (const flag of [7, 8, 9]) if (random.oneIn(4)) attrs.push(attr(flag, []));
  return attrs;
}
