/*
 * Pairs of packets, one of them changed in one thing, to see which of them a hash tells apart: the two directions of a connection, one address
 * or port of it, another protocol, what no hash may look at, and fragments of one datagram.
 */
import { Random } from './frame-generator.ts';
import * as L from './layers.ts';

interface Packet {
  version: 4 | 6;
  proto: number;
  src: L.Bytes;
  dst: L.Bytes;
  ports: { src: number; dst: number };
  icmpType?: number;
  ttl?: number;
  /** Flags and offset as they stand in IPv4. */
  frag?: number;
  tags?: [number, number][];
  payload?: number;
}

export interface HashPair {
  /** Version, protocol, what was changed. */
  name: string;
  frames: [L.Bytes, L.Bytes];
}

const ICMP = { 4: 1, 6: 58 };
const OTHER_PROTOCOL = 200;
const PROTOCOLS = [6, 17, 132, 'icmp', OTHER_PROTOCOL] as const;
const ECHO = { 4: [8, 0], 6: [128, 129] };

function frameOf({ version, proto, src, dst, ports, icmpType, ttl, frag, tags, payload }: Packet): L.Bytes {
  const data = L.filler(24, payload ?? 0);
  const transport: Record<number, () => L.Bytes> = {
    6: () => L.tcp(ports, data),
    17: () => L.udp(ports, data),
    132: () => L.sctp(ports, data),
    [ICMP[version]]: () => L.icmp(icmpType ?? ECHO[version][0]!, 0, data),
  };
  const inner = transport[proto]?.() ?? data;
  const fields = { src, dst };
  const packet =
    version === 4
      ? L.ipv4({ ...fields, proto, frag: frag ?? 0, ttl: ttl ?? 64 }, inner)
      : L.ipv6({ ...fields, next: proto, hopLimit: ttl ?? 64 }, inner);
  return L.ethernet(version === 4 ? 0x0800 : 0x86dd, packet, { tags: tags ?? [] });
}

function flipped(address: L.Bytes): L.Bytes {
  const other = address.slice();
  other[other.length - 1]! ^= 1;
  return other;
}

const CHANGES: Record<string, (packet: Packet) => Packet> = {
  payload: (packet) => ({ ...packet, payload: 7 }),
  TTL: (packet) => ({ ...packet, ttl: 9 }),
  tag: (packet) => ({ ...packet, tags: [[0x8100, 5]] }),
  reverse: ({ src, dst, ports, ...rest }) => ({
    ...rest,
    src: dst,
    dst: src,
    ports: { src: ports.dst, dst: ports.src },
    icmpType: ECHO[rest.version][1]!,
  }),
  'addresses crossed': (packet) => ({ ...packet, src: packet.dst, dst: packet.src }),
  source: (packet) => ({ ...packet, src: flipped(packet.src) }),
  destination: (packet) => ({ ...packet, dst: flipped(packet.dst) }),
  'source port': (packet) => ({ ...packet, ports: { ...packet.ports, src: packet.ports.src ^ 1 } }),
  'destination port': (packet) => ({ ...packet, ports: { ...packet.ports, dst: packet.ports.dst ^ 1 } }),
  protocol: (packet) => ({ ...packet, proto: packet.proto === 6 ? 17 : 6 }),
};

function pairOf(name: string, one: Packet, other: Packet): HashPair {
  return { name, frames: [frameOf(one), frameOf(other)] };
}

/** `count` packets of each version and protocol, each with all its changes. */
export function hashPairs(seed: number, count: number): HashPair[] {
  const random = new Random(seed);
  const pairs: HashPair[] = [];
  for (let i = 0; i < count; i++) {
    for (const version of [4, 6] as const) {
      for (const protocol of PROTOCOLS) {
        const size = version === 4 ? 4 : 16;
        const address = () => L.bytes(10, random.bytes(size - 1));
        const proto = protocol === 'icmp' ? ICMP[version] : protocol;
        const ports = { src: random.below(65536), dst: random.below(65536) };
        const packet: Packet = { version, proto, src: address(), dst: address(), ports };
        const name = (change: string): string => `IPv${version} ${protocol} ${change}`;
        for (const [change, apply] of Object.entries(CHANGES)) pairs.push(pairOf(name(change), packet, apply(packet)));
        if (version === 4) {
          pairs.push(pairOf(name('later fragment'), { ...packet, frag: 0x2000 }, { ...packet, frag: 3 }));
        }
      }
    }
  }
  return pairs;
}
