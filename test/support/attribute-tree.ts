/*
 * Attribute lists as trees, to be built, bent and encoded: what the generators of flow keys and actions work on.
 */
import type { Random } from './frame-generator.ts';

export interface Attr {
  type: number;
  payload: Uint8Array | Attr[];
  /** NLA_F_NESTED, NLA_F_NET_BYTEORDER. */
  flags?: number;
}

export function attr(type: number, payload: ArrayLike<number> | Attr[]): Attr {
  if (Array.isArray(payload) && typeof payload[0] === 'object') return { type, payload: payload as Attr[] };
  return { type, payload: Uint8Array.from(payload as ArrayLike<number>) };
}

export function nest(type: number, inner: Attr[]): Attr {
  return { type, payload: inner };
}

/** Every attribute with its padding. */
export function encode(list: readonly Attr[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const { type, payload, flags = 0 } of list) {
    const bytes = payload instanceof Uint8Array ? payload : encode(payload);
    const part = new Uint8Array((4 + bytes.length + 3) & ~3);
    const size = 4 + bytes.length;
    part.set([size & 255, (size >>> 8) & 255, type & 255, ((type | flags) >>> 8) & 255]);
    part.set(bytes, 4);
    parts.push(part);
  }
  return new Uint8Array(Buffer.concat(parts));
}

/** A copy that can be bent. */
export function copyTree(list: readonly Attr[]): Attr[] {
  return list.map((a) => ({
    ...a,
    payload: a.payload instanceof Uint8Array ? a.payload.slice() : copyTree(a.payload),
  }));
}

/** The list itself and every list inside. */
function lists(list: Attr[]): Attr[][] {
  return [list, ...list.flatMap(({ payload }) => (payload instanceof Uint8Array ? [] : lists(payload)))];
}

/** Bends one place of the tree: an attribute goes, comes twice, gets another type, size, value, flag or place. */
export function bend(random: Random, tree: Attr[], types: number): void {
  const all = lists(tree);
  const list = random.pick(all);
  const index = random.below(list.length + 1);
  const a = list[index];
  if (a === undefined) {
    list.push(attr(random.below(types), random.bytes(random.pick([0, 1, 2, 4, 4, 8, 12, 16, 40]))));
    return;
  }
  switch (random.below(9)) {
    case 0:
    case 1:
      list.splice(index, 1);
      break;
    case 2:
      list.splice(random.below(list.length + 1), 0, ...copyTree([a]));
      break;
    case 3:
      a.type = random.below(types);
      break;
    case 4:
      if (a.payload instanceof Uint8Array) a.payload = resized(random, a.payload);
      else if (random.oneIn(2)) a.payload = [];
      break;
    case 5:
    case 6:
      if (a.payload instanceof Uint8Array && a.payload.length > 0) {
        a.payload[random.below(a.payload.length)] = random.pick([
          0,
          1,
          2,
          3,
          6,
          17,
          58,
          0x10,
          0x81,
          0xff,
          random.below(256),
        ]);
      }
      break;
    case 7:
      if (random.oneIn(4)) a.flags = random.pick([0x8000, 0x4000, 0xc000]);
      else list.reverse();
      break;
    default:
      list.splice(index, 1);
      random.pick(all).push(a);
  }
}

function resized(random: Random, payload: Uint8Array): Uint8Array {
  const size = random.pick([0, 1, 3, payload.length - 1, payload.length + 1, payload.length + 4, payload.length * 2]);
  const result = random.bytes(Math.max(0, size));
  result.set(payload.subarray(0, result.length));
  return result;
}

/** Bends the bytes themselves: a wrong size in a header, a cut end, something behind. */
export function bendBytes(random: Random, bytes: Uint8Array): Uint8Array {
  const result = bytes.slice();
  switch (random.below(4)) {
    case 0:
      return result.subarray(0, random.below(result.length + 1));
    case 1:
      return new Uint8Array(Buffer.concat([result, random.bytes(1 + random.below(7))]));
    case 2: {
      const at = random.below(result.length >> 2) << 2;
      if (result.length > at + 1)
        result[at] = random.pick([0, 1, 2, 3, 4, 5, result[at]! + 1, result[at]! + 4, 0xfc, 0xff]);
      return result;
    }
    default:
      if (result.length > 0) result[random.below(result.length)] = random.below(256);
      return result;
  }
}
