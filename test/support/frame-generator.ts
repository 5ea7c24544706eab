/*
 * Random frames from a seed: headers of all kinds on top of each other with random fields, then, for most of them,
 * one to three mutations. The same seed gives the same frames.
 */
import {
  arp,
  type Bytes,
  be16,
  bytes,
  ethernet,
  extension,
  FRAGMENT,
  filler,
  fragment,
  icmp,
  ipv4,
  ipv6,
  llcSnap,
  mplsEntry,
  ndOption,
  nsh,
  sctp,
  tcp,
  udp,
} from './layers.ts';

/** A small seeded generator of 32-bit numbers (mulberry32). */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** 0 to count - 1. */
  below(count: number): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * count);
  }

  /** True once in `count` times. */
  oneIn(count: number): boolean {
    return this.below(count) === 0;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }

  bytes(size: number): Bytes {
    return Uint8Array.from({ length: size }, () => this.below(256));
  }
}

const NEXT_HEADERS = [0, 43, 44, 51, 60, 59, 50, 6, 17, 58, 1, 2, 132, 255];
const TYPES = [0x0800, 0x86dd, 0x0806, 0x8035, 0x8847, 0x8848, 0x894f, 0x8100, 0x88a8, 0x88cc, 0, 46, 0x5ff, 0x600];

/** Endless frames, 14 bytes or longer. */
export function* frames(seed: number): Generator<Bytes, never> {
  const random = new Random(seed);
  for (;;) yield randomFrame(random);
}

/** One random frame, mutated three times out of four. */
export function randomFrame(random: Random): Bytes {
  let frame = validFrame(random);
  if (random.oneIn(4)) return frame;
  for (let count = 1 + random.below(3); count > 0; count--) frame = mutate(random, frame);
  return frame.length < 14 ? bytes(frame, random.bytes(14 - frame.length)) : frame;
}

function validFrame(random: Random): Bytes {
  const [type, payload] = network(random);
  const tags = Array.from({ length: random.oneIn(3) ? 1 + random.below(3) : 0 }, () => {
    return [random.pick([0x8100, 0x88a8]), random.below(65536)] as const;
  });
  const fields = { dst: random.bytes(6), src: random.bytes(6), tags };
  const padding = random.oneIn(4) ? new Uint8Array(random.below(40)) : bytes();
  const body = bytes(payload, padding);
  if (random.oneIn(12)) return ethernet(random.below(0x600), llcSnap(type, body), fields);
  return ethernet(type, body, fields);
}

function network(random: Random): [number, Bytes] {
  const kind = random.below(16);
  if (kind < 6) return [0x0800, randomIpv4(random)];
  if (kind < 12) return [0x86dd, randomIpv6(random)];
  if (kind === 12) return [random.pick([0x0806, 0x8035]), arp(random.below(random.pick([4, 300, 65536])))];
  if (kind === 13) return [random.pick([0x8847, 0x8848]), randomMpls(random)];
  if (kind === 14) return [0x894f, randomNsh(random)];
  return [random.below(65536), random.bytes(random.below(64))];
}

function randomIpv4(random: Random): Bytes {
  const proto = random.pick([6, 6, 17, 17, 1, 2, 132, 58, 0, random.below(256)]);
  const fields = {
    proto,
    tos: random.below(256),
    ttl: random.below(256),
    frag: random.oneIn(6) ? random.below(65536) : random.pick([0, 0x4000, 0x2000, 0x8000]),
    options: random.oneIn(5) ? random.bytes(4 * random.below(11)) : bytes(),
    src: random.bytes(4),
    dst: random.bytes(4),
  };
  return ipv4(fields, transport(random, proto));
}

function randomIpv6(random: Random): Bytes {
  const proto = random.pick([6, 17, 58, 58, 58, 132, 1, 2, 59, random.below(256)]);
  let next = proto;
  let payload = transport(random, proto);
  if (random.oneIn(2)) {
    for (let count = random.below(6); count > 0; count--) {
      const kind = random.pick([0, 43, 44, 51, 60]);
      if (kind === FRAGMENT) {
        const offset = random.oneIn(3) ? random.below(8192) : 0;
        payload = fragment(next, offset, random.oneIn(2), payload, random.oneIn(4) ? random.below(4) : 0);
      } else {
        payload = extension(kind, next, payload, random.below(4));
      }
      next = kind;
    }
  }
  const fields = {
    next,
    proto,
    trafficClass: random.below(256),
    label: random.below(1 << 20),
    hopLimit: random.below(256),
    src: random.bytes(16),
    dst: random.bytes(16),
  };
  return ipv6(fields, payload);
}

function transport(random: Random, proto: number): Bytes {
  const data = random.bytes(random.below(24));
  const ports = { src: random.below(65536), dst: random.below(65536) };
  if (proto === 6) {
    const options = random.oneIn(3) ? random.bytes(4 * random.below(11)) : bytes();
    return tcp({ ...ports, options, flags: random.below(4096) }, data);
  }
  if (proto === 17) return udp(ports, data);
  if (proto === 132) return sctp(ports, data);
  if (proto === 1 || proto === 2) return icmp(random.below(256), random.below(256), data);
  if (proto === 58) return randomIcmpv6(random);
  return data;
}

function randomIcmpv6(random: Random): Bytes {
  const type = random.pick([135, 136, 135, 136, 128, 1, random.below(256)]);
  const code = random.oneIn(8) ? random.below(256) : 0;
  const options = Array.from({ length: random.below(4) }, () => {
    const address = random.oneIn(6) ? new Uint8Array(6) : random.bytes(6);
    const units = random.oneIn(6) ? random.pick([0, 2, 255]) : 1;
    return ndOption(random.pick([1, 2, 1, 2, 3, random.below(256)]), address, units);
  });
  const reserved = random.pick([0, 0x60000000, random.below(4294967296)]);
  return icmp(type, code, bytes(random.bytes(16), ...options), reserved);
}

function randomMpls(random: Random): Bytes {
  const count = 1 + random.below(random.pick([2, 5, 40]));
  const bottom = random.oneIn(6) ? -1 : count - 1;
  const stack = Array.from({ length: count }, (_, index) => mplsEntry(random.below(1 << 20), index === bottom));
  return bytes(...stack, random.bytes(random.below(30)));
}

function randomNsh(random: Random): Bytes {
  const type = random.pick([1, 1, 2, 2, random.below(256)]);
  const context = type === 1 ? random.bytes(16) : random.bytes(4 * random.below(8));
  const fields = { type, flags: random.below(4), ttl: random.below(64), next: random.below(256) };
  return nsh(fields, context, random.bytes(random.below(30)));
}

const MUTATIONS: readonly ((random: Random, frame: Bytes) => Bytes)[] = [
  (random, frame) => frame.subarray(0, 14 + random.below(Math.max(1, frame.length - 13))),
  (random, frame) => bytes(frame, random.bytes(random.below(80))),
  flipBits,
  flipBits,
  interestingByte,
  interestingByte,
  swapType,
  insertTag,
  repeatPart,
  (random, frame) => withBytes(frame, 14 + random.below(frame.length), random.bytes(1 + random.below(8))),
];

function mutate(random: Random, frame: Bytes): Bytes {
  return random.pick(MUTATIONS)(random, frame);
}

/** A copy with some bytes replaced, as far as the frame reaches. */
function withBytes(frame: Bytes, at: number, replacement: Bytes): Bytes {
  const result = frame.slice();
  for (let i = 0; i < replacement.length && at + i < result.length; i++) result[at + i] = replacement[i];
  return result;
}

function flipBits(random: Random, frame: Bytes): Bytes {
  const result = frame.slice();
  for (let count = 1 + random.below(4); count > 0; count--) {
    result[12 + random.below(Math.min(result.length - 12, 80))] ^= 1 << random.below(8);
  }
  return result;
}

function interestingByte(random: Random, frame: Bytes): Bytes {
  const value = random.pick([0, 1, 2, 7, 8, 127, 128, 255, 0x45, 0x4f, 0x60, ...NEXT_HEADERS]);
  return withBytes(frame, 12 + random.below(Math.min(frame.length - 12, 80)), bytes(value));
}

function swapType(random: Random, frame: Bytes): Bytes {
  return withBytes(frame, 12 + 4 * random.below(3), be16(random.pick(TYPES)));
}

function insertTag(random: Random, frame: Bytes): Bytes {
  const tag = bytes(be16(random.pick([0x8100, 0x88a8])), random.bytes(2));
  return bytes(frame.subarray(0, 12), tag, frame.subarray(12));
}

/** Headers on top of themselves: a part of the frame comes twice. */
function repeatPart(random: Random, frame: Bytes): Bytes {
  const at = 12 + random.below(frame.length - 12);
  const size = 4 * (1 + random.below(12));
  return bytes(frame.subarray(0, at + size), frame.subarray(at), filler(random.below(3)));
}
