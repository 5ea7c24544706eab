/*
 * Traffic for classifier tests: frames of several classes, told apart by the last byte of their destination address, and for each class a mask
 * that looks at this byte; so flows of different masks never overlap. Values are few, so that flows are met again and again.
 *
 * Every frame ends with a number that the key does not show: it says which frame came out where.
 */
import * as C from '../../assembly/constants.ts';
import type { Random } from './frames.ts';
import * as L from './frames.ts';

const be = (value: number): Uint8Array => L.be32(value);

/** Last byte of the destination address. */
function mac(kind: number): Uint8Array {
  return L.bytes(2, 0, 0, 0, 1, kind);
}

const FRAMES: ((random: Random, dst: Uint8Array, tail: Uint8Array) => Uint8Array)[] = [
  (random, dst, tail) =>
    L.ethernet(
      0x0800,
      L.ipv4({ proto: 17, src: be(0x0a000000 + random.below(4)) }, L.udp({ dst: random.below(4) }, tail)),
      { dst },
    ),
  (random, dst, tail) =>
    L.ethernet(
      0x0800,
      L.ipv4(
        { proto: 6, dst: be(0x0a000000 + random.below(4)) },
        L.tcp({ src: random.below(8), flags: 1 << random.below(9) }, tail),
      ),
      { dst },
    ),
  (random, dst, tail) =>
    L.ethernet(
      0x86dd,
      L.ipv6(
        {
          next: 17,
          label: random.below(2),
          src: L.bytes(new Uint8Array(15), random.below(4)),
          dst: L.bytes(random.below(4), new Uint8Array(15)),
        },
        L.udp({ src: random.below(2) }, tail),
      ),
      { dst },
    ),
  (random, dst, tail) =>
    L.ethernet(0x0806, L.bytes(L.arp(1 + random.below(2)), tail), {
      dst,
      src: L.bytes(2, 0, 0, 0, 0, random.below(4)),
    }),
  (random, dst, tail) =>
    L.ethernet(0x0800, L.ipv4({ tos: random.below(4), ttl: 60 + random.below(4) }, L.udp({}, tail)), {
      dst,
      tags: [
        [0x88a8, 0x1000 + random.below(4)],
        [0x8100, 0x1000 + random.below(4)],
      ],
    }),
  (random, dst, tail) =>
    L.ethernet(
      0x86dd,
      L.ipv6(
        { next: 58, proto: 255 },
        L.bytes(L.neighbour(135, L.ndOption(1, L.bytes(2, 0, 0, 0, 0, random.below(4)))), tail),
      ),
      { dst },
    ),
  (random, dst, tail) =>
    L.ethernet(
      0x8847,
      L.bytes(L.mplsEntry(random.below(4), false), L.mplsEntry(random.below(4), true), L.filler(8), tail),
      { dst },
    ),
  (random, dst, tail) =>
    L.ethernet(
      0x894f,
      L.nsh(
        { ttl: random.below(4) },
        L.bytes(be(random.below(4)), be(0), be(random.below(4)), be(1)),
        L.bytes(L.filler(20), tail),
      ),
      {
        dst,
      },
    ),
];

/** Bytes of the key that each class's mask may look at. */
const FIELDS: readonly (readonly [at: number, size: number])[][] = [
  [
    [C.KEY_IPV4_SRC, 4],
    [C.KEY_TP_DST, 2],
  ],
  [
    [C.KEY_IPV4_DST, 4],
    [C.KEY_TP_SRC, 2],
    [C.KEY_TCP_FLAGS, 2],
  ],
  [
    [C.KEY_IPV6_SRC, 16],
    [C.KEY_IPV6_DST, 16],
    [C.KEY_IPV6_LABEL, 4],
    [C.KEY_TP_SRC, 2],
  ],
  [
    [C.KEY_IP_PROTO, 1],
    [C.KEY_ARP_SHA, 6],
    [C.KEY_ETH_SRC, 6],
  ],
  [
    [C.KEY_VLAN_TCI, 2],
    [C.KEY_CVLAN_TCI, 2],
    [C.KEY_IP_TOS, 1],
    [C.KEY_IP_TTL, 1],
  ],
  [
    [C.KEY_ND_TARGET, 16],
    [C.KEY_ND_SLL, 6],
    [C.KEY_IPV6_SRC, 16],
  ],
  [
    [C.KEY_MPLS_LSE0, 4],
    [C.KEY_MPLS_LSE1, 4],
  ],
  [
    [C.KEY_NSH_TTL, 1],
    [C.KEY_NSH_CONTEXT, 16],
    [C.KEY_NSH_PATH_HDR, 4],
  ],
];

export const CLASSES = FRAMES.length;

/** A frame of class `kind`, ending with `number`. */
export function classFrame(random: Random, kind: number, number: number): Uint8Array {
  return FRAMES[kind](random, mac(kind), L.bytes(L.filler(random.below(40)), be(number)));
}

/** What stands at the end of a frame. */
export function numberOf(frame: Uint8Array): number {
  return new DataView(frame.buffer, frame.byteOffset + frame.length - 4, 4).getUint32(0);
}

/** A mask for each class: its destination byte, and some of its fields. */
export function classMasks(random: Random): Uint8Array[] {
  return FIELDS.map((fields) => {
    const mask = new Uint8Array(C.KEY_SIZE);
    mask[C.KEY_ETH_DST + 5] = 255;
    for (const [at, size] of fields) if (!random.oneIn(3)) mask.fill(255, at, at + size);
    return mask;
  });
}
