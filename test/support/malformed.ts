/*
 * Malformed frames: what broke, or could break, the parsers of Open vSwitch and of the kernel, each shape with all
 * its values. The test replays them all; the small ones also stand as hex in test/corpus/frames/, so that a change
 * here does not lose them.
 */
import {
  AUTH,
  arp,
  type Bytes,
  be16,
  bytes,
  DEST,
  ethernet,
  extension,
  FRAGMENT,
  filler,
  fragment,
  HOP,
  icmp,
  ipv4,
  ipv6,
  llcSnap,
  MAC_A,
  MAC_B,
  mplsEntry,
  type NamedFrame,
  ndOption,
  neighbour,
  nsh,
  ROUTING,
  sctp,
  tcp,
  udp,
} from './layers.ts';

type Shape = Generator<[string, Bytes]>;

/** Every malformed frame, none shorter than an Ethernet header, with a name that says its shape and value. */
export function malformedCorpus(): NamedFrame[] {
  const shapes = { mpls, ipv4Sizes, ipv4Options, ipv4Padding, ipv6Sizes, ipv6Chains, ipv6Fragments };
  const more = { tcpOffsets, transports, icmpErrors, neighbours, nshSizes, vlans, llcs, arps, addresses, runts };
  return Object.entries({ ...shapes, ...more }).flatMap(([shape, make]) =>
    [...make()].map(([name, frame]) => ({ name: `${shape}-${name}`, frame })),
  );
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

function pad(frame: Bytes, size: number): Bytes {
  return frame.length >= size ? frame : bytes(frame, new Uint8Array(size - frame.length));
}

/** CVE-2016-2074, CVE-2025-38146: deep stacks, with and without a bottom, cut in the middle of an entry. */
function* mpls(): Shape {
  const stack = (count: number, bottom: boolean): Bytes =>
    bytes(...range(1, count).map((label) => mplsEntry(label, bottom && label === count)));
  for (const count of [0, 1, 2, 3, 4, 16, 64, 255, 256, 257, 350]) {
    yield [`${count}-no-bottom`, ethernet(0x8847, stack(count, false))];
    if (count > 0) yield [`${count}-bottom`, ethernet(0x8848, stack(count, true))];
    for (const cut of [1, 2, 3])
      yield [`${count}-cut-${cut}`, ethernet(0x8847, bytes(stack(count, false), filler(cut)))];
  }
  yield ['jumbo-no-bottom', ethernet(0x8847, stack(16380, false))];
  yield ['jumbo-bottom', ethernet(0x8847, stack(16380, true))];
}

/** CVE-2016-10377: total size and header size that do not fit together or the frame. */
function* ipv4Sizes(): Shape {
  const body = udp({}, filler(18));
  for (const words of range(0, 15)) {
    yield [`words-${words}`, ethernet(0x0800, ipv4({ headerWords: words }, body))];
    yield [`words-${words}-short`, ethernet(0x0800, ipv4({ headerWords: words }, filler(4)))];
    yield [`words-${words}-total-19`, ethernet(0x0800, ipv4({ headerWords: words, totalSize: 19 }, body))];
  }
  for (const total of [0, 1, 19, 20, 21, 27, 28, 45, 46, 47, 60, 1500, 32767, 32768, 65535]) {
    yield [`total-${total}`, ethernet(0x0800, ipv4({ totalSize: total }, body))];
    yield [`tcp-total-${total}`, ethernet(0x0800, ipv4({ proto: 6, totalSize: total }, tcp({}, bytes())))];
  }
  for (const version of [0, 5, 6, 15]) {
    const frame = ethernet(0x0800, ipv4({}, body));
    frame[14] = (version << 4) | 5;
    yield [`version-${version}`, frame];
  }
}

function* ipv4Options(): Shape {
  for (const words of range(0, 10)) {
    for (const cut of [0, 1, 8]) {
      const frame = ethernet(0x0800, ipv4({ options: filler(words * 4), proto: 6 }, tcp({}, bytes())));
      yield [`${words}-cut-${cut}`, frame.subarray(0, frame.length - cut)];
    }
  }
}

/** CVE-2020-35498: padding behind a small packet. */
function* ipv4Padding(): Shape {
  for (const size of [60, 297, 298, 299, 300, 1514, 9000, 9014, 65535]) {
    yield [`udp-${size}`, pad(ethernet(0x0800, ipv4({}, udp({}, bytes()))), size)];
    yield [`tcp-${size}`, pad(ethernet(0x0800, ipv4({ proto: 6 }, tcp({}, bytes()))), size)];
    yield [`ipv6-${size}`, pad(ethernet(0x86dd, ipv6({}, udp({}, bytes()))), size)];
    yield [`ipv6-nd-${size}`, pad(ethernet(0x86dd, ipv6({ next: 58 }, neighbour(135, bytes()))), size)];
  }
}

function* ipv6Sizes(): Shape {
  const body = udp({}, filler(18));
  for (const size of [0, 1, 7, 8, body.length - 1, body.length + 1, body.length + 40, 1500, 65535]) {
    yield [`payload-${size}`, ethernet(0x86dd, ipv6({ payloadSize: size }, body))];
    yield [`hop-payload-${size}`, ethernet(0x86dd, ipv6({ next: HOP, payloadSize: size }, extension(HOP, 17, body)))];
  }
  for (const version of [0, 4, 15]) {
    const frame = ethernet(0x86dd, ipv6({}, body));
    frame[14] = version << 4;
    yield [`version-${version}`, frame];
  }
}

const KINDS = [HOP, ROUTING, FRAGMENT, AUTH, DEST];

function chain(kinds: number[], last: number, payload: Bytes): Bytes {
  const headers = kinds.map((kind, index) => {
    const next = kinds.at(index + 1) ?? last;
    return kind === FRAGMENT ? fragment(next, 0, false, bytes()) : extension(kind, next, bytes());
  });
  return bytes(...headers, payload);
}

function ipv6Chain(kinds: number[], last: number, payload: Bytes): Bytes {
  return ethernet(0x86dd, ipv6({ next: kinds.at(0) ?? last }, chain(kinds, last, payload)));
}

/** CVE-2017-9264: every chain of up to three, long ones, ones that end in nothing, sizes that lie. */
function* ipv6Chains(): Shape {
  const body = udp({}, filler(8));
  for (const a of KINDS) {
    yield [`${a}`, ipv6Chain([a], 17, body)];
    yield [`${a}-none`, ipv6Chain([a], 59, body)];
    yield [`${a}-esp`, ipv6Chain([a], 50, body)];
    yield [`${a}-cut`, ipv6Chain([a], 17, bytes())];
    for (const b of KINDS) {
      yield [`${a}-${b}`, ipv6Chain([a, b], 17, body)];
      for (const c of KINDS) yield [`${a}-${b}-${c}`, ipv6Chain([a, b, c], 6, tcp({}, bytes()))];
    }
    for (const units of [0, 1, 2, 31, 254, 255]) {
      const frame = ipv6Chain([a], 17, filler(300));
      frame[14 + 40 + 1] = units;
      yield [`${a}-units-${units}`, frame];
      yield [`${a}-units-${units}-cut`, frame.subarray(0, 14 + 40 + 64)];
    }
    for (const count of [8, 100, 1000]) {
      yield [`${a}-x${count}`, ipv6Chain(new Array<number>(count).fill(a), 17, body)];
    }
    for (const size of range(0, 10)) {
      const frame = ipv6Chain([a], 17, body);
      yield [`${a}-bytes-${size}`, frame.subarray(0, 14 + 40 + size)];
    }
  }
}

function* ipv6Fragments(): Shape {
  const body = udp({}, filler(8));
  for (const [offset, more] of [
    [0, false],
    [0, true],
    [1, true],
    [1, false],
    [8191, false],
  ] as const) {
    for (const next of [6, 17, 58, 59, 50, ...KINDS]) {
      const inner = next === 59 ? body : extension(next, 17, body);
      const payload = fragment(next, offset, more, inner);
      yield [`${next}-at-${offset}-${more}`, ethernet(0x86dd, ipv6({ next: FRAGMENT }, payload))];
      yield [`${next}-at-${offset}-${more}-cut`, ethernet(0x86dd, ipv6({ next: FRAGMENT }, payload.subarray(0, 6)))];
    }
  }
  for (const bits of [2, 4, 6, 7]) {
    const payload = fragment(17, 0, false, body);
    payload[3] = bits;
    yield [`reserved-bits-${bits}`, ethernet(0x86dd, ipv6({ next: FRAGMENT }, payload))];
    yield [
      `reserved-byte-${bits}`,
      ethernet(0x86dd, ipv6({ next: FRAGMENT }, fragment(60, 0, true, filler(80), bits))),
    ];
  }
  for (const frag of [0x8000, 0xa000, 0x0001, 0x2000, 0x3fff, 0x1fff, 0xffff, 0x4000, 0x6000]) {
    yield [`ipv4-${frag.toString(16)}`, ethernet(0x0800, ipv4({ frag }, body))];
  }
}

function* tcpOffsets(): Shape {
  for (const words of range(0, 15)) {
    for (const size of [0, 4, 19, 20, 24, 40, 59, 60]) {
      const segment = bytes(tcp({ words, flags: 0xfff }, filler(40))).subarray(0, size);
      yield [`${words}-of-${size}`, ethernet(0x0800, ipv4({ proto: 6 }, segment))];
      yield [`v6-${words}-of-${size}`, ethernet(0x86dd, ipv6({ next: 6 }, segment))];
    }
  }
}

function* transports(): Shape {
  for (const size of [0, 1, 7, 8, 9, 65535]) {
    yield [`udp-size-${size}`, ethernet(0x0800, ipv4({}, udp({ size }, filler(4))))];
    yield [`v6-udp-size-${size}`, ethernet(0x86dd, ipv6({}, udp({ size }, filler(4))))];
  }
  for (const size of range(0, 13)) {
    for (const [proto, payload] of [
      [17, udp({}, filler(8))],
      [132, sctp({}, filler(4))],
      [1, icmp(8, 0, filler(8))],
      [2, icmp(0x11, 100, filler(8))],
      [58, icmp(128, 0, filler(8))],
    ] as const) {
      yield [`${proto}-bytes-${size}`, ethernet(0x0800, ipv4({ proto }, payload.subarray(0, size)))];
      yield [`v6-${proto}-bytes-${size}`, ethernet(0x86dd, ipv6({ next: proto }, payload.subarray(0, size)))];
    }
  }
  // CVE-2023-1668: protocol 0, and protocols of the other family.
  for (const proto of [0, 1, 2, 41, 43, 44, 47, 50, 51, 58, 59, 60, 255]) {
    yield [`proto-${proto}`, ethernet(0x0800, ipv4({ proto }, filler(32, 0x81)))];
    yield [`v6-proto-${proto}`, ethernet(0x86dd, ipv6({ next: proto }, filler(32, 0x81)))];
  }
  yield ['v4-proto-58-nd', ethernet(0x0800, ipv4({ proto: 58 }, neighbour(135, ndOption(1, MAC_A))))];
}

function* icmpErrors(): Shape {
  const inner = ipv4({}, udp({}, filler(4)));
  const inner6 = ipv6({ next: HOP }, extension(HOP, 17, udp({}, filler(4))));
  for (const size of [0, 1, 19, 20, 21, 27, 28, 32]) {
    yield [`v4-inner-${size}`, ethernet(0x0800, ipv4({ proto: 1 }, icmp(3, 1, inner.subarray(0, size))))];
    yield [`v6-inner-${size}`, ethernet(0x86dd, ipv6({ next: 58 }, icmp(1, 0, inner6.subarray(0, size))))];
  }
  for (const type of [0, 5, 11, 12, 13, 134, 135, 136, 137, 255]) {
    for (const code of [0, 1, 255]) {
      yield [`v4-type-${type}-${code}`, ethernet(0x0800, ipv4({ proto: 1 }, icmp(type, code, filler(24))))];
      yield [`v6-type-${type}-${code}`, ethernet(0x86dd, ipv6({ next: 58 }, icmp(type, code, filler(24))))];
    }
  }
}

/** Options of size 0, 1, 255, running over the end, given twice, zero, and messages cut anywhere. */
function* neighbours(): Shape {
  const nd = (options: Bytes): Bytes =>
    ethernet(0x86dd, ipv6({ next: 58, hopLimit: 255 }, neighbour(135, options, 0x80000001)));
  const zero = new Uint8Array(6);
  const pairs: [string, Bytes][] = [
    ['twice-source', bytes(ndOption(1, MAC_A), ndOption(1, MAC_B))],
    ['twice-target', bytes(ndOption(2, MAC_A), ndOption(2, MAC_A))],
    ['both', bytes(ndOption(2, MAC_A), ndOption(1, MAC_B))],
    ['zero-then-source', bytes(ndOption(1, zero), ndOption(1, MAC_B))],
    ['zero', ndOption(2, zero)],
    ['both-then-twice', bytes(ndOption(1, MAC_A), ndOption(2, MAC_B), ndOption(2, MAC_A))],
    ['other-then-source', bytes(ndOption(14, filler(6)), ndOption(1, MAC_B))],
    ['empty-then-source', bytes(ndOption(5, filler(6), 0), ndOption(1, MAC_B))],
    ['tail', bytes(ndOption(1, MAC_A), filler(7, 1))],
    ['last-overruns', bytes(ndOption(1, MAC_A), ndOption(2, MAC_B, 2))],
  ];
  for (const [name, options] of pairs) yield [name, nd(options)];
  for (const type of [0, 1, 2, 3, 255]) {
    for (const units of [0, 1, 2, 32, 255]) {
      yield [`${type}-units-${units}`, nd(ndOption(type, MAC_A, units))];
      yield [`${type}-units-${units}-long`, nd(bytes(ndOption(type, MAC_A, units), filler(2040, 1)))];
      yield [`${type}-units-${units}-behind`, nd(bytes(ndOption(2, MAC_A), ndOption(type, MAC_A, units), filler(30)))];
    }
  }
  const whole = nd(bytes(ndOption(1, MAC_A), ndOption(2, MAC_B)));
  for (const size of range(14 + 40, whole.length)) yield [`cut-${size}`, whole.subarray(0, size)];
}

function* nshSizes(): Shape {
  for (const words of range(0, 63)) {
    for (const type of [0, 1, 2, 3, 15, 254, 255]) {
      yield [`type-${type}-words-${words}`, ethernet(0x894f, nsh({ words, type, flags: 3 }, filler(16), filler(40)))];
    }
  }
  for (const version of [1, 2, 3]) yield [`version-${version}`, ethernet(0x894f, nsh({ version }, filler(16)))];
  for (const size of range(0, 26)) {
    yield [`bytes-${size}`, ethernet(0x894f, nsh({}, filler(16)).subarray(0, size))];
    yield [`type-2-bytes-${size}`, ethernet(0x894f, nsh({ type: 2, words: 2 }, filler(16)).subarray(0, size))];
  }
  yield ['full', ethernet(0x894f, nsh({ type: 2, words: 63 }, filler(244), filler(4)))];
}

function* vlans(): Shape {
  const packet = ipv4({}, udp({}, filler(18)));
  for (const count of range(0, 8)) {
    for (const tpid of [0x8100, 0x88a8, 0x9100]) {
      const tags = range(1, count).map((vid) => [tpid, vid | 0x1000] as const);
      const frame = ethernet(0x0800, packet, { tags });
      yield [`${tpid.toString(16)}-x${count}`, frame];
      for (const size of count === 0 ? [] : [0, 1, 2, 3]) {
        yield [`${tpid.toString(16)}-x${count}-cut-${size}`, frame.subarray(0, 14 + count * 4 - size)];
      }
    }
  }
  yield ['tci-only', bytes(filler(12), be16(0x8100), be16(5))];
  yield ['tci-zero', ethernet(0x0800, packet, { tags: [[0x8100, 0]] })];
  yield ['tci-ones', ethernet(0x0800, packet, { tags: [[0x8100, 0xffff]] })];
  yield ['tpid-as-type', ethernet(0x8100, be16(5))];
}

function* llcs(): Shape {
  const packet = ipv4({}, udp({}, filler(18)));
  for (const type of [0, 1, 3, 4, 5, 8, 46, 1499, 1500, 1501, 1535, 1536, 1537]) {
    yield [`length-${type}`, ethernet(type, packet)];
    yield [`snap-length-${type}`, ethernet(type, llcSnap(0x0800, packet))];
    yield [`snap-type-${type}`, ethernet(100, llcSnap(type, packet))];
    yield [`vlan-length-${type}`, ethernet(type, llcSnap(0x0800, packet), { tags: [[0x8100, 9]] })];
  }
  const heads = ['aaaa00000000', 'aaaa03000001', 'aaaa03010000', 'aaab03000000', 'abaa03000000', 'ffff00000000'];
  for (const head of heads) yield [`head-${head}`, ethernet(50, llcSnap(0x0800, packet, Buffer.from(head, 'hex')))];
  for (const type of [0x86dd, 0x0806, 0x8100, 0x8847, 0x894f]) {
    yield [`snap-${type.toString(16)}`, ethernet(50, llcSnap(type, bytes(arp(), filler(60))))];
  }
  for (const size of range(0, 9)) yield [`snap-bytes-${size}`, ethernet(50, llcSnap(0x0800, packet).subarray(0, size))];
}

function* arps(): Shape {
  for (const size of range(0, 29)) yield [`bytes-${size}`, ethernet(0x0806, bytes(arp(1), 0).subarray(0, size))];
  for (const opcode of [0, 1, 2, 255, 256, 257, 65535]) {
    yield [`opcode-${opcode}`, ethernet(0x0806, arp(opcode))];
    yield [`rarp-opcode-${opcode}`, ethernet(0x8035, arp(opcode))];
  }
  const heads = ['000608000604', '000108060604', '000108000804', '000108000610', '010008000604', '000000000000'];
  for (const head of heads) yield [`head-${head}`, ethernet(0x0806, arp(1, Buffer.from(head, 'hex')))];
}

function* addresses(): Shape {
  const same = [10, 0, 0, 1];
  const packet = ipv4({ src: bytes(same), dst: bytes(same) }, udp({ src: 7, dst: 7 }, filler(18)));
  const zero = new Uint8Array(6);
  yield ['same', ethernet(0x0800, packet, { src: MAC_A, dst: MAC_A })];
  yield ['zero', ethernet(0x0800, packet, { src: zero, dst: zero })];
  yield ['multicast-source', ethernet(0x0800, packet, { src: bytes(1, 0, 0x5e, 0, 0, 1) })];
  yield ['zero-everything', new Uint8Array(128)];
  yield ['ones-everything', new Uint8Array(128).fill(255)];
}

/** Every size from the smallest header to a full frame, all bytes a type that needs more. */
function* runts(): Shape {
  for (const type of [0x0800, 0x86dd, 0x0806, 0x8847, 0x894f, 0x8100, 0]) {
    for (const size of range(14, 64))
      yield [`${type.toString(16)}-${size}`, ethernet(type, filler(50)).subarray(0, size)];
  }
  for (const size of [9001, 16384, 65534, 65535, 70000, 131072]) {
    yield [`jumbo-udp-${size}`, pad(ethernet(0x0800, ipv4({}, udp({}, bytes()))), size)];
    const hops = chain(new Array<number>(Math.floor((size - 62) / 8)).fill(DEST), 17, bytes());
    yield [`jumbo-chain-${size}`, pad(ethernet(0x86dd, ipv6({ next: DEST }, hops)), size)];
  }
}
