/*
 * Random flow keys and masks as attribute trees: composed as the kernel wants them, with values that matter more often than
 * chance would have it. bend() of attribute-tree.ts spoils them afterwards.
 */
import { type Attr, attr, nest } from './attribute-tree.ts';
import type { Random } from './frame-generator.ts';

const ETHERTYPES = [0x0800, 0x0800, 0x86dd, 0x86dd, 0x0806, 0x8035, 0x8847, 0x8848, 0x894f, 0x88cc, 0x0600];
const PROTOS = [6, 6, 17, 17, 132, 1, 58, 58, 2, 0, 255];

const be16 = (value: number) => [value >>> 8, value & 255];
const le32 = (value: number) => [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24];

/** What a generator of actions must know to make some that fit. */
export interface Kind {
  ethernet: boolean;
  type: number;
  proto: number;
  frag: number;
  tagged: boolean;
  nshNext: number;
}

export interface Key {
  attrs: Attr[];
  kind: Kind;
}

export function randomKey(random: Random): Key {
  const attrs = metadata(random);
  const kind: Kind = { ethernet: !random.oneIn(10), type: 0, proto: 0, frag: 0, tagged: false, nshNext: 0 };
  kind.type = random.pick(ETHERTYPES);
  let inner = network(random, kind);
  if (kind.ethernet) {
    if (random.oneIn(12)) inner = []; // 802.2
    const tags = random.pick([0, 0, 0, 1, 1, 2, 2, 3]);
    for (let index = 0; index < Math.min(tags, 2); index++) {
      if (tags === 3 && index === 0) inner = [attr(6, be16(0x8100))];
      inner = tag(random, inner);
      kind.tagged = true;
    }
    attrs.push(attr(4, random.bytes(12)));
    if (inner.length === 0 || kind.tagged) kind.type = inner.length === 0 ? 0 : kind.type;
  }
  attrs.push(...inner);
  if (random.oneIn(6)) attrs.sort(() => random.below(3) - 1);
  return { attrs, kind };
}

function tag(random: Random, inner: Attr[]): Attr[] {
  const cut = random.oneIn(16);
  const tci = cut ? [0, 0] : be16(random.below(65536) | 0x1000);
  return [attr(6, be16(random.pick([0x8100, 0x88a8]))), attr(5, tci), nest(1, cut ? [] : inner)];
}

function metadata(random: Random): Attr[] {
  const attrs: Attr[] = [];
  const word = () => random.pick([[0, 0, 0, 0], [1, 0, 0, 0], [255, 255, 255, 255], [...random.bytes(4)]]);
  for (const type of [2, 15, 19, 20]) if (random.oneIn(3)) attrs.push(attr(type, word()));
  if (!random.oneIn(3)) attrs.push(attr(3, le32(random.pick([0, 1, 2, 1000, 65534, 65534, 65535]))));
  if (random.oneIn(4)) attrs.push(nest(16, tunnel(random)));
  if (random.oneIn(4)) {
    attrs.push(attr(22, le32(random.below(256))), attr(23, random.bytes(2)));
    attrs.push(attr(24, word()), attr(25, random.bytes(16)));
  }
  if (random.oneIn(4)) {
    const [type, size] = random.pick([
      [26, 12],
      [27, 36],
    ] as const);
    attrs.push(attr(type, [...random.bytes(size), random.pick([0, 6, 17]), 0, 0, 0]));
  }
  return attrs;
}

/** The attributes of a tunnel, as a key or SET has them. */
export function tunnel(random: Random): Attr[] {
  const attrs: Attr[] = [];
  if (random.oneIn(12)) {
    if (random.oneIn(2)) attrs.push(attr(0, random.bytes(8)));
    return [...attrs, attr(16, [])];
  }
  const ipv6 = random.oneIn(3);
  if (!random.oneIn(4)) attrs.push(attr(0, random.bytes(8)));
  if (!random.oneIn(4)) attrs.push(ipv6 ? attr(12, random.bytes(16)) : attr(1, random.bytes(4)));
  const zero = random.oneIn(24);
  attrs.push(
    ipv6 ? attr(13, zero ? new Uint8Array(16) : random.bytes(16)) : attr(2, zero ? [0, 0, 0, 0] : random.bytes(4)),
  );
  if (random.oneIn(2)) attrs.push(attr(3, [random.below(3)]));
  if (!random.oneIn(24)) attrs.push(attr(4, [random.pick([0, 64, 255])]));
  for (const flag of [5, 6, 7, 14]) if (random.oneIn(4)) attrs.push(attr(flag, []));
  for (const port of [9, 10]) if (random.oneIn(3)) attrs.push(attr(port, random.pick([[0, 0], [...random.bytes(2)]])));
  const kind = random.below(6);
  if (kind === 0) attrs.push(attr(8, geneve(random)));
  else if (kind === 1) attrs.push(nest(11, random.oneIn(4) ? [] : [attr(1, random.bytes(4))]));
  else if (kind === 2) attrs.push(attr(15, random.bytes(random.pick([12, 12, 12, 0, 4, 8, 16, 20, 255, 256]))));
  if (random.oneIn(6)) attrs.reverse();
  return attrs;
}

function geneve(random: Random): Uint8Array {
  const options: number[] = [];
  for (let count = random.below(4); count > 0; count--) {
    const words = random.pick([0, 1, 2, 31]);
    options.push(...random.bytes(3), random.oneIn(12) ? words + 1 : words, ...random.bytes(words * 4));
  }
  return Uint8Array.from(options.slice(0, random.oneIn(8) ? 256 : 252));
}

function network(random: Random, kind: Kind): Attr[] {
  const type = attr(6, be16(kind.type));
  kind.proto = random.pick(PROTOS);
  kind.frag = random.pick([0, 0, 0, 0, 1, 2, random.oneIn(4) ? 3 : 0]);
  const ip = [kind.proto, random.below(256), random.below(256), kind.frag];
  switch (kind.type) {
    case 0x0800:
      return [type, attr(7, [...random.bytes(8), ...ip]), ...transport(random, kind, 1)];
    case 0x86dd: {
      const label = [0, random.oneIn(16) ? 0x10 : random.below(16), random.below(256), random.below(256)];
      const exthdrs = random.oneIn(2) ? [attr(32, [random.below(256), random.below(2)])] : [];
      const header = attr(8, [...random.bytes(32), ...label, ...ip]);
      return [type, header, ...exthdrs, ...transport(random, kind, 58)];
    }
    case 0x0806:
    case 0x8035:
      return [
        type,
        attr(13, [...random.bytes(8), random.oneIn(8) ? 1 : 0, random.below(4), ...random.bytes(12), 0, 0]),
      ];
    case 0x8847:
    case 0x8848:
      return [type, attr(21, random.bytes(4 * random.pick([1, 1, 2, 3, random.oneIn(4) ? 4 : 1])))];
    case 0x894f:
      return [type, nest(28, nsh(random, kind))];
    default:
      return [type];
  }
}

/** Base header and metadata, as a key or PUSH_NSH has them. */
export function nsh(random: Random, kind?: Kind): Attr[] {
  const mdType = random.pick([1, 1, 1, 2, 3]);
  const next = random.below(7);
  if (kind !== undefined) kind.nshNext = next;
  const base = attr(1, [random.below(4), random.below(64), mdType, next, ...random.bytes(4)]);
  if (mdType === 1) return random.oneIn(6) ? [base] : [base, attr(2, random.bytes(16))];
  return kind === undefined ? [base, attr(3, random.bytes(random.pick([1, 4, 8, 244, 244, 245, 248])))] : [base];
}

function transport(random: Random, { proto, frag }: Kind, icmp: number): Attr[] {
  if (frag === 2) return [];
  if (proto === 6) return [attr(9, random.bytes(4)), attr(18, random.bytes(2))];
  if (proto === 17) return [attr(10, random.bytes(4))];
  if (proto === 132) return [attr(17, random.bytes(4))];
  if (proto !== icmp) return [];
  const type = random.pick([128, 135, 136, random.below(256)]);
  if (icmp === 1) return [attr(11, [type, random.below(16)])];
  const icmpv6 = attr(12, [type, random.pick([0, 0, 1])]);
  return type === 135 || type === 136 ? [icmpv6, attr(14, random.bytes(28))] : [icmpv6];
}

/** A mask of a key: mostly of what the key has, matched wholly, in part or not at all. */
export function randomMask(random: Random, key: readonly Attr[]): Attr[] {
  const mask: Attr[] = [];
  const style = random.below(4); // how much of the rest is matched
  for (const { type, payload } of key) {
    if (random.oneIn(type === 1 || type === 6 ? 30 : 8)) continue;
    if (!(payload instanceof Uint8Array)) {
      mask.push(nest(type, type === 16 ? tunnelMask(random, payload) : randomMask(random, payload)));
      continue;
    }
    const bits = maskBytes(random, payload.length, style);
    if (type === 6 && !random.oneIn(16)) bits.fill(255);
    if (type === 5 && !random.oneIn(16)) bits[0] |= 0x10;
    if (type === 22) bits.fill(0, 1);
    if (type === 7 && !random.oneIn(8)) bits[8] = 255;
    if (type === 8 && !random.oneIn(8)) bits[36] = 255;
    if (type === 12 && !random.oneIn(4)) bits[0] = 255;
    mask.push(attr(type, bits));
  }
  return mask;
}

function tunnelMask(random: Random, key: readonly Attr[]): Attr[] {
  return key
    .filter(() => !random.oneIn(6))
    .map(({ type, payload }) =>
      payload instanceof Uint8Array
        ? attr(type, maskBytes(random, payload.length, random.below(4)))
        : nest(type, tunnelMask(random, payload)),
    );
}

function maskBytes(random: Random, size: number, style: number): Uint8Array {
  const choice = random.below(3) === 0 ? style : random.below(4);
  if (choice === 0) return new Uint8Array(size);
  if (choice === 1) return random.bytes(size);
  return new Uint8Array(size).fill(255);
}
