/*
 * Flows to ask the kernel and us about: random ones, whole and spoilt, every limit of nesting and size from both sides, the
 * payloads whose size is nobody's but the action's, and connection tracking.
 */
import type { Flow } from '../kernel-vm/flows.ts';
import { type Attr, attr, bend, bendBytes, copyTree, encode, nest } from './attribute-tree.ts';
import { randomActions, randomCt } from './flow-actions.ts';
import { type Key, randomKey, randomMask } from './flow-generator.ts';
import { Random } from './frame-generator.ts';

export interface NamedFlow extends Flow {
  name: string;
}

const KEY_TYPES = 34;
const ACTION_TYPES = 24;

/** A list of 1 to 3 bytes is refused by the family's policy, before anyone looks at it as a list. */
function fits(list: Uint8Array | undefined): boolean {
  return list === undefined || list.length === 0 || (list.length >= 4 && list.length <= 60_000);
}

function bendSome(random: Random, trees: [Attr[], number][], bends: number): void {
  for (let index = 0; index < bends; index++) bend(random, ...random.pick(trees));
}

/** `part` says what is spoilt; the rest is as the kernel likes it. */
export function randomFlows(seed: number, count: number, part: 'key' | 'actions' | 'all'): NamedFlow[] {
  const random = new Random(seed);
  const flows: NamedFlow[] = [];
  for (let index = 0; flows.length < count; index++) {
    const { attrs, kind }: Key = randomKey(random);
    const maskAttrs = random.oneIn(4) ? undefined : randomMask(random, attrs);
    const actionAttrs = part === 'key' ? [] : randomActions(random, kind);
    const trees: [Attr[], number][] = [];
    if (part !== 'actions') trees.push([attrs, KEY_TYPES], [maskAttrs ?? attrs, KEY_TYPES]);
    if (part !== 'key') trees.push([actionAttrs, ACTION_TYPES]);
    bendSome(random, trees, random.pick([0, 0, 0, 1, 1, 2]));
    const lists = [encode(attrs), maskAttrs && encode(maskAttrs), encode(actionAttrs)];
    if (random.oneIn(12)) {
      const at = part === 'key' ? random.below(2) : part === 'actions' ? 2 : random.below(3);
      lists[at] = lists[at] && bendBytes(random, lists[at]);
    }
    if (!lists.every(fits)) continue;
    flows.push({ name: `seed ${seed} ${part} ${index}`, key: lists[0]!, mask: lists[1], actions: lists[2]! });
  }
  return flows;
}

const OUTPUT = attr(1, [1, 0, 0, 0]);
const ADDRESSES = attr(4, [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
const TCP = [attr(9, [0, 1, 0, 80]), attr(18, [0, 2])];
const KEYS = {
  ipv4: encode([ADDRESSES, attr(6, [8, 0]), attr(7, [10, 0, 0, 1, 10, 0, 0, 2, 6, 0, 64, 0]), ...TCP]),
  ipv6: encode([
    ADDRESSES,
    attr(6, [0x86, 0xdd]),
    attr(8, [...new Array<number>(36).fill(1), 6, 0, 64, 0].fill(0, 32, 36)),
    ...TCP,
  ]),
  arp: encode([
    ADDRESSES,
    attr(6, [8, 6]),
    attr(13, [...new Array<number>(8).fill(1), 0, 1, ...new Array<number>(14).fill(0)]),
  ]),
  mpls: encode([ADDRESSES, attr(6, [0x88, 0x47]), attr(21, [0, 1, 0x01, 64])]),
  nsh: encode([
    ADDRESSES,
    attr(6, [0x89, 0x4f]),
    nest(28, [attr(1, [0, 63, 1, 1, 0, 0, 0, 1]), attr(2, new Uint8Array(16))]),
  ]),
};

const WRAPS: Record<string, (list: Attr[]) => Attr> = {
  clone: (list) => nest(20, list),
  sample: (list) => nest(6, [attr(1, [1, 0, 0, 0]), nest(2, list)]),
  check_pkt_len: (list) => nest(21, [attr(1, [1, 0]), nest(2, list), nest(3, [])]),
  dec_ttl: (list) => nest(23, [nest(1, list)]),
};

/** Nesting and sizes at and around every limit. */
export function limitFlows(): NamedFlow[] {
  const flows: NamedFlow[] = [];
  const add = (name: string, key: keyof typeof KEYS, actions: Attr[]) =>
    flows.push({ name, key: KEYS[key], mask: undefined, actions: encode(actions) });
  for (const [name, wrap] of Object.entries(WRAPS)) {
    for (let depth = 1; depth <= 24; depth++) {
      let list: Attr[] = [OUTPUT];
      for (let level = 0; level < depth; level++) list = [wrap(list)];
      add(`${name} ${depth} deep`, 'ipv4', list);
    }
  }
  const outputs = [1, 100, 2047, 2048, 4094, 4095, 4096, 4097, 8189, 8190, 8191];
  for (const count of outputs) add(`${count} outputs`, 'ipv4', new Array<Attr>(count).fill(OUTPUT));
  const mark = nest(3, [attr(15, [1, 0, 0, 0])]);
  for (const count of [1, 1023, 1024, 1638, 2047, 2048, 4094, 5460])
    add(`${count} sets`, 'ipv4', new Array<Attr>(count).fill(mark));
  for (let size = 0; size <= 20; size++) {
    for (const type of [3, 11]) {
      add(`set ${type} of ${size} bytes of labels`, 'mpls', [nest(type, [attr(21, new Uint8Array(size))])]);
      add(`set ${type} of ${size} bytes of nsh`, 'nsh', [nest(type, [attr(28, new Uint8Array(size))])]);
    }
  }
  for (let size = 0; size <= 256; size++) {
    const metadata = [attr(1, [0, 1, 2, 1, 0, 0, 0, 1]), attr(3, new Uint8Array(size))];
    add(`push_nsh with ${size} bytes of metadata`, 'ipv4', [nest(17, [nest(28, metadata)])]);
    add(`set tunnel with ${size} bytes of ERSPAN`, 'ipv4', [
      nest(3, [nest(16, [attr(2, [1, 2, 3, 4]), attr(4, [1]), attr(15, new Uint8Array(size).fill(7))])]),
    ]);
  }
  for (let type = 0; type < 64; type++) {
    for (const size of [0, 1, 2, 4, 8, 12])
      add(`action ${type} of ${size} bytes`, 'ipv4', [attr(type, new Uint8Array(size))]);
    for (const size of [2, 4, 8, 12, 16, 40]) {
      add(`set ${type} of ${size} bytes`, 'ipv4', [nest(3, [attr(type, new Uint8Array(size))])]);
      add(`set_masked ${type} of ${size} bytes`, 'ipv4', [nest(11, [attr(type, new Uint8Array(2 * size))])]);
    }
  }
  for (const port of [0, 1023, 1024, 65534, 65535, 65536]) {
    add(`output ${port}`, 'ipv4', [attr(1, new Uint8Array(Uint32Array.of(port).buffer))]);
  }
  return flows;
}

export function connectionFlows(seed: number, count: number): NamedFlow[] {
  const random = new Random(seed);
  return Array.from({ length: count }, (_, index) => {
    const key = random.pick(['ipv4', 'ipv4', 'ipv6', 'ipv6', 'arp'] as const);
    const list = [randomCt(random, key === 'ipv6')];
    if (random.oneIn(4)) list.push(...copyTree([OUTPUT]));
    bendSome(random, [[list, 11]], random.pick([0, 0, 1, 2]));
    return { name: `seed ${seed} ct ${index}`, key: KEYS[key], mask: undefined, actions: encode(list) };
  });
}

/**
 * Keys with one header too many, which the kernel lets through: an attribute that the Ethernet type or the protocol does not call
 * for, and a mask that leaves it out.
 */
export function foreignFlows(seed: number, count: number): NamedFlow[] {
  const random = new Random(seed);
  const sizes = { 7: 12, 8: 40, 13: 24, 21: 8, 9: 4, 10: 4, 17: 4, 18: 2, 11: 2, 12: 2, 14: 28, 32: 2 };
  return Array.from({ length: count }, (_, index) => {
    const { attrs } = randomKey(random);
    const mask = randomMask(random, attrs);
    const [type, size] = random.pick(Object.entries(sizes));
    const extra = random.bytes(size);
    if (type === '13') extra[8] = 0;
    if (type === '7') extra[11] = 0;
    if (type === '8') extra.fill(0, 32, 40);
    attrs.push(attr(Number(type), extra));
    return { name: `seed ${seed} foreign ${index}`, key: encode(attrs), mask: encode(mask), actions: encode([OUTPUT]) };
  });
}

/** What only newer kernels know. */
export function newerFlows(): NamedFlow[] {
  const lists: Record<string, Attr[]> = {
    drop: [attr(24, [5, 0, 0, 0])],
    psample: [{ ...nest(25, [attr(1, [1, 0, 0, 0]), attr(2, [1, 2, 3])]), flags: 0x8000 }],
    'symmetric hash': [attr(8, [1, 0, 0, 0, 0, 0, 0, 0])],
  };
  return Object.entries(lists).map(([name, list]) => ({
    name,
    key: KEYS.ipv4,
    mask: undefined,
    actions: encode(list),
  }));
}
