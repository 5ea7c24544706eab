/*
 * Keys and matches as Netlink attributes: every form into every other and back, the canonical list against the datapath's own writer
 * (which is held against the real kernel), fitness, UFIDs and the builder. SEED sets the seed.
 */
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';

import {
  decodeKey,
  decodeKeyAttributes,
  decodeMatch,
  decodeMatchAttributes,
  encodeKey,
  encodeKeyAttributes,
  encodeMatch,
  encodeMatchAttributes,
  type FlowMatch,
  flowUfid,
  formatKey,
  formatKeyAttributes,
  formatMatch,
  formatUfid,
  match,
  OdpAttributeError,
  OdpFieldError,
  OdpSyntaxError,
  parseKey,
  parseKeyAttributes,
  parseMatch,
  parseUfid,
} from '../src/odp/index.ts';
import { murmur128 } from '../src/odp/ufid.ts';
import { attribute, be16, concat, le32 } from './support/action-list.ts';
import { ActionsInstance, compileActions } from './support/actions-wasm.ts';
import { seed } from './support/odp.ts';
import { comparable, otherErspan, outcome, tunnelled, tunnelledMatch } from './support/odp-tunnel.ts';

console.log(`32.key-attributes: SEED=${seed}`);
const ETHERNET = { src: '02:00:00:00:00:01', dst: '02:00:00:00:00:02' };
const RUNS = Number(process.env.CASES ?? 800);

/** As toEqual on bytes, which takes milliseconds for a key. */
function expectSame(actual: Uint8Array, expected: Uint8Array): void {
  if (Buffer.compare(actual, expected) !== 0) expect(actual).toEqual(expected);
}

describe('every form into every other', () => {
  test('exact keys', () => {
    fc.assert(
      fc.property(tunnelled, (typed) => {
        const key = { ...typed, inPort: typed.inPort % 0xffff };
        const flat = encodeKey(key);
        expect(decodeKey(flat)).toEqual(key);
        expectSame(parseKey(formatKey(flat)), flat);
        const list = encodeKeyAttributes(flat);
        const back = decodeKeyAttributes(list);
        const cut = key.ethType === 0x8100;
        if (!cut) expect(back).toMatchObject({ fitness: 'perfect', missing: [], extra: [], unknown: [] });
        expectSame(back.key, flat);
        const text = parseKeyAttributes(formatKeyAttributes(list));
        const nsh = key.nsh !== undefined && key.nsh.mdtype !== 1;
        if (!nsh && key.tunnel?.erspan === undefined) expectSame(decodeKeyAttributes(text.key).key, flat);
      }),
      { seed, numRuns: RUNS },
    );
  });

  test('matches', () => {
    fc.assert(
      fc.property(tunnelledMatch, (typed) => {
        const flat = encodeMatch(comparable(typed));
        for (const again of [
          encodeMatch(decodeMatch(flat.key, flat.mask)),
          parseMatch(formatMatch(flat.key, flat.mask)),
        ]) {
          expectSame(again.key, flat.key);
          expectSame(again.mask, flat.mask);
        }
        const lists = encodeMatchAttributes(flat);
        const back = decodeMatchAttributes(lists.key, lists.mask);
        expect(back.extra).toEqual([]);
        expectSame(back.mask, flat.mask);
        expectSame(back.key, flat.key);
      }),
      { seed, numRuns: RUNS },
    );
  });

  test('ERSPAN metadata that only its bytes can say', () => {
    const outer = { src: '1.2.3.4', dst: '5.6.7.8', tos: 0, ttl: 64, tpSrc: 0, tpDst: 0 };
    fc.assert(
      fc.property(otherErspan, otherErspan, (data, mask) => {
        const key = { inPort: 1, recircId: 0, ethType: 0x88b5, eth: ETHERNET, tunnel: { ...outer, erspan: { data } } };
        const flat = encodeKey(key);
        expect(decodeKey(flat)).toMatchObject(key);
        expectSame(parseKey(formatKey(flat)), flat);
        expectSame(decodeKeyAttributes(encodeKeyAttributes(flat)).key, flat);
        const typed: FlowMatch = { tunnel: { ttl: 64, dst: '5.6.7.8', erspan: { data: `${data}/${mask}` } } };
        const match = encodeMatch(typed);
        for (const again of [
          encodeMatch(decodeMatch(match.key, match.mask)),
          parseMatch(formatMatch(match.key, match.mask)),
        ])
          expect(again).toEqual(match);
      }),
      { seed, numRuns: RUNS / 4 },
    );
  });

  test('ERSPAN metadata of any size', () => {
    const tunnel = (size: number) =>
      concat(
        attribute(3, le32(1)),
        attribute(
          16,
          concat(attribute(2, [5, 6, 7, 8]), attribute(4, [64]), attribute(15, new Uint8Array(size).fill(7))),
        ),
        attribute(4, new Uint8Array(12)),
        attribute(6, be16(0x88b5)),
      );
    for (const size of [0, 1, 4, 11, 12, 13, 255]) {
      const kept = Math.min(size, 12);
      const erspan = decodeKey(decodeKeyAttributes(tunnel(size)).key).tunnel?.erspan;
      expect(erspan).toEqual({ data: '00'.repeat(12 - kept) + '07'.repeat(kept) });
    }
    expect(() => decodeKeyAttributes(tunnel(256))).toThrow(OdpAttributeError);
  });

  test('lists to text and back, whatever stands in them', () => {
    const payload = fc.uint8Array({ maxLength: 44 });
    const others = fc.array(fc.tuple(fc.nat(40), payload), { minLength: 1, maxLength: 6 });
    const known = tunnelledMatch.map((typed) => encodeMatchAttributes(encodeMatch(comparable(typed))));
    fc.assert(
      fc.property(known, others, ({ key, mask }, extra) => {
        const more = concat(
          ...extra
            .filter(([number]) => ![1, 16, 28].includes(number))
            .map(([number, bytes]) => attribute(number, [...bytes])),
        );
        for (const verbose of [false, true]) {
          const text = formatKeyAttributes(key, mask, { verbose });
          const lists = parseKeyAttributes(text);
          expect(formatKeyAttributes(lists.key, lists.mask, { verbose })).toBe(text);
        }
        const bare = formatKeyAttributes(concat(key, more));
        const again = parseKeyAttributes(bare);
        expect(formatKeyAttributes(again.key)).toBe(bare);
      }),
      { seed, numRuns: RUNS },
    );
  });
});

describe("the datapath's own writer", () => {
  let datapath: ActionsInstance;
  beforeAll(async () => {
    datapath = new ActionsInstance(await compileActions('release'));
  });

  test('gives the same bytes for any key', () => {
    let cases = 0;
    fc.assert(
      fc.property(tunnelled, (typed) => {
        const key = { ...typed, inPort: typed.inPort % 0xffff };
        // What the kernel has no attribute for, and a cut tag, whose type it writes as zero.
        if (key.packetType !== undefined || key.tunnel?.gtpu !== undefined || key.ethType === 0x8100) return;
        // It takes the ICMPv6 types of neighbour discovery with any code, which extraction never gives.
        if (key.icmpv6 !== undefined && [135, 136].includes(key.icmpv6.type) && key.icmpv6.code !== 0) return;
        cases++;
        const flat = encodeKey(key);
        expectSame(encodeKeyAttributes(flat), datapath.putKey(flat, undefined, 2048).bytes!);
      }),
      { seed, numRuns: RUNS },
    );
    console.log(`32.key-attributes: ${cases} canonical lists as the datapath writes them`);
  });
});

const ETH = attribute(4, [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
const PORT = attribute(3, le32(1));
const type = (value: number) => attribute(6, be16(value));
const IPV4 = attribute(7, [10, 0, 0, 1, 10, 0, 0, 2, 6, 0, 64, 0]);
const TCP = attribute(9, [0, 1, 0, 2]);
const TTL = attribute(4, [64]);

describe('fitness', () => {
  const list = (...parts: Uint8Array[]) => decodeKeyAttributes(concat(PORT, ...parts));

  test.each([
    ['perfect', [ETH, type(0x0800), IPV4, TCP], [], []],
    ['perfect in any order', [TCP, IPV4, type(0x0800), ETH], [], []],
    ['no type', [ETH], [], []],
    ['no Ethernet header', [type(0x0800), IPV4, TCP], [], []],
    ['too little: IPv4', [ETH, type(0x0800)], ['ipv4'], []],
    ['too little: TCP', [ETH, type(0x0800), IPV4], ['tcp'], []],
    ['too little: ARP', [ETH, type(0x0806)], ['arp'], []],
    ['too little: VLAN', [ETH, type(0x8100)], ['VLAN', 'ENCAP'], []],
    ['too little: MPLS', [ETH, type(0x8847)], ['MPLS'], []],
    ['too little: nothing', [], ['eth'], []],
    ['too much: UDP', [ETH, type(0x0800), IPV4, TCP, attribute(10, [0, 1, 0, 2])], [], ['udp']],
    ['too much: IPv4 without its type', [ETH, IPV4], [], ['ipv4']],
    [
      'too much: four labels',
      [
        ETH,
        type(0x8847),
        attribute(
          21,
          Array.from({ length: 16 }, () => 1),
        ),
      ],
      [],
      ['MPLS'],
    ],
    [
      'too much: inside a cut tag',
      [ETH, type(0x8100), attribute(5, [0, 0]), attribute(1, [...type(0x0800)])],
      [],
      ['ETHERTYPE'],
    ],
  ])('%s', (name, parts, missing, extra) => {
    const result = list(...parts);
    expect(result.missing).toEqual(missing);
    expect(result.extra).toEqual(extra);
    expect(result.fitness).toBe(
      name.startsWith('too much') ? 'too-much' : name.startsWith('too little') ? 'too-little' : 'perfect',
    );
  });

  test('unknown attributes are kept', () => {
    const result = list(ETH, attribute(77, [1, 2, 3]), attribute(16, [...TTL, ...attribute(40, [9])]));
    expect(result.fitness).toBe('too-much');
    expect(result.unknown).toEqual([
      { attribute: 'TUNNEL 40', number: 40, payload: Uint8Array.of(9) },
      { attribute: 'OVS_KEY_ATTR 77', number: 77, payload: Uint8Array.of(1, 2, 3) },
    ]);
  });

  test('two tags, and a cut one', () => {
    const inner = [type(0x0800), IPV4, TCP];
    const tagged = (...parts: Uint8Array[]) => [
      type(0x8100),
      attribute(5, [0x10, 5]),
      attribute(1, [...concat(...parts)]),
    ];
    expect(decodeKey(list(ETH, ...tagged(...tagged(...inner))).key)).toMatchObject({
      vlan: { tpid: 0x8100, vid: 5 },
      cvlan: { tpid: 0x8100, vid: 5 },
      tcp: { src: 1, dst: 2 },
    });
    expect(list(ETH, ...tagged(...tagged(...tagged(...inner)))).fitness).toBe('too-much');
    const cut = list(ETH, type(0x88a8), attribute(5, [0, 0]), attribute(1, []));
    expect(cut).toMatchObject({ fitness: 'perfect' });
    expect(decodeKey(cut.key)).toMatchObject({ ethType: 0x88a8 });
    expect(formatKey(cut.key)).toContain('eth_type(0x88a8),vlan(vid=0,pcp=0,cfi=0),encap()');
  });
});

describe('UFID', () => {
  test('the hash is MurmurHash3 x86_128: its published verification value', () => {
    const digests = Array.from({ length: 256 }, (_, size) =>
      murmur128(
        Uint8Array.from({ length: size }, (_, i) => i),
        256 - size,
      ),
    );
    expect(Buffer.from(murmur128(concat(...digests))).readUInt32LE()).toBe(0xb3ece62a);
  });

  test('text', () => {
    const ufid = Uint8Array.from({ length: 16 }, (_, i) => i);
    expect(formatUfid(ufid)).toBe('ufid:03020100-0706-0504-0b0a-09080f0e0d0c');
    expect(parseUfid(formatUfid(ufid))).toEqual(ufid);
    expect(parseKeyAttributes(`${formatUfid(ufid)}, in_port(1)`)).toMatchObject({ ufid, key: PORT });
    expect(() => parseUfid('ufid:03020100')).toThrow(OdpSyntaxError);
    expect(() => formatUfid(new Uint8Array(15))).toThrow(RangeError);
  });

  test('equal for any order of a key, and stable', () => {
    const ufid = (...parts: Uint8Array[]) =>
      formatUfid(flowUfid(encodeKeyAttributes(decodeKeyAttributes(concat(...parts)).key)));
    const one = ufid(PORT, ETH, type(0x0800), IPV4, TCP);
    expect(ufid(TCP, type(0x0800), PORT, IPV4, ETH)).toBe(one);
    expect(ufid(PORT, ETH, type(0x0800), IPV4, attribute(9, [0, 1, 0, 3]))).not.toBe(one);
    expect(one).toMatch(/^ufid:[0-9a-f]{8}-/);
  });
});

describe('builder', () => {
  test('adds what only one thing can be meant by', () => {
    const built = match().inPort(1).untagged().ipv4({ dst: '10.0.0.0/8' }).tcp({ dst: 80 }).build();
    expect(built).toEqual(
      encodeMatch({
        inPort: 1,
        vlan: 'none',
        ethType: 0x0800,
        ipv4: { dst: '10.0.0.0/8', proto: 6 },
        tcp: { dst: 80 },
      }),
    );
    expect(formatMatch(built.key, built.mask)).toBe(
      'in_port(1),eth(),eth_type(0x0800),ipv4(dst=10.0.0.0/255.0.0.0,proto=6),tcp(dst=80)',
    );
    const nd = match().icmpv6({ type: 135 }).nd({ target: 'fe80::1' });
    expect(nd.typed()).toMatchObject({ ethType: 0x86dd, ipv6: { proto: 58 }, icmpv6: { type: 135, code: 0 } });
    expect(match().ethType(0x8848).mpls({ label: 5 }).typed().ethType).toBe(0x8848);
    expect(match().icmp({ type: 8 }).typed()).toMatchObject({ ethType: 0x0800, ipv4: { proto: 1 } });
  });

  test('refuses what two things can be meant by, and contradictions', () => {
    for (const work of [
      () => match().tcp({ dst: 80 }),
      () => match().ethType(0x86dd).ipv4(),
      () => match().ipv4({ proto: 17 }).tcp(),
      () => match().icmpv6().nd(),
      () => match().vlan(),
    ]) {
      expect(outcome(work)).toBeInstanceOf(OdpFieldError);
    }
  });

  test('does not touch what it was given', () => {
    const ipv4 = { dst: '10.0.0.1' };
    match().ipv4(ipv4).udp();
    expect(ipv4).toEqual({ dst: '10.0.0.1' });
  });
});

test('what the kernel taught', () => {
  const again = (typed: FlowMatch) => {
    const lists = encodeMatchAttributes(encodeMatch({ ...typed, vlan: 'none' }));
    const { key, mask } = decodeMatchAttributes(lists.key, lists.mask);
    return { ...lists, typed: decodeMatch(key, mask) };
  };
  // It refuses a mask of conntrack state with more than eight bits.
  expect(formatKeyAttributes(again({ ctState: 0x21 }).mask)).toContain('ct_state(new|est|rel|rpl|inv|trk|snat|dnat)');
  expect(() => encodeMatch({ ctState: 0x100 })).toThrow(OdpFieldError);
  // A tuple without its protocol is matched all the same.
  expect(again({ ethType: 0x0800, ctTuple4: { src: '10.0.0.1' } }).typed).toMatchObject({
    ctTuple4: { src: '10.0.0.1' },
  });
  // It gives every mask a tunnel, also where the key has none.
  const { key, mask } = again({ inPort: 1 });
  const dumped = concat(mask, attribute(16, [...attribute(4, [0])]));
  const back = decodeMatchAttributes(key, dumped);
  expect(decodeMatch(back.key, back.mask)).not.toHaveProperty('tunnel');
  // Open vSwitch prints the context of a metadata type that has none.
  const nsh = again({ ethType: 0x894f, nsh: { mdtype: 2, si: 7 } });
  const text = formatKeyAttributes(nsh.key, nsh.mask);
  expect(text).toContain('nsh(mdtype=2,si=7,c1=0x0,c2=0x0,c3=0x0,c4=0x0)');
  const read = parseKeyAttributes(text);
  const match2 = decodeMatchAttributes(read.key, read.mask);
  expect(decodeMatch(match2.key, match2.mask).nsh).toEqual({ mdtype: 2, si: 7 });
});

test('what attributes cannot say', () => {
  for (const [text, field] of [
    ['in_port(1),vlan(cfi=0/0)', /vlan/],
    ['in_port(1),vlan(vid=5),encap()', /vlan.tpid/],
    ['eth_type(0x894f),nsh(c1=1)', /nsh/],
  ] as const) {
    expect(() => encodeMatchAttributes(parseMatch(text))).toThrow(field);
  }
});
