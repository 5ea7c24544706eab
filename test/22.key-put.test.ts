/*
 * Flow keys as attributes: hand-written byte tables for each kind of key and mask; keys of random frames with random
 * metadata, read back by a decoder of its own; the size computed beforehand; buffers too small by one byte. In both builds.
 * SEED sets the seed, CASES the number of random keys.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import * as K from '../assembly/constants.ts';
import { referenceExtractAll } from './reference/extract.ts';
import { decodeKey } from './reference/flow-attributes.ts';
import { attribute, be16, concat, le32 } from './support/action-list.ts';
import { ActionsInstance, type Build, compileActions } from './support/actions-wasm.ts';
import * as L from './support/frames.ts';

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2147483647));
const CASES = Number(process.env.CASES ?? 20_000);

/** The debug build is slower, and checks more; a quarter of the cases are enough for it. */
function caseCount(build: Build): number {
  return build === 'debug' ? Math.ceil(CASES / 4) : CASES;
}
const IN_PORT = 5;

function hex(data: Uint8Array | undefined): string | undefined {
  return data && Buffer.from(data).toString('hex');
}

function keyOf(frame: Uint8Array, change: (view: DataView, key: Uint8Array) => void = () => {}): Uint8Array {
  const key = referenceExtractAll(frame, IN_PORT).key.slice();
  change(new DataView(key.buffer), key);
  return key;
}

/** What stands before the Ethernet addresses when nothing is special. */
function metadata(value = 0, port = IN_PORT, tunnel: Uint8Array[] = []): Uint8Array {
  return concat(
    attribute(20, le32(value)),
    attribute(19, le32(value)),
    attribute(2, le32(value)),
    ...tunnel,
    attribute(3, le32(port)),
    attribute(15, le32(value)),
    attribute(22, le32(value)),
    attribute(23, le32(value).slice(0, 2)),
    attribute(24, le32(value)),
    attribute(25, new Uint8Array(16).fill(value & 255)),
  );
}

const MACS = attribute(4, concat(L.MAC_A, L.MAC_B));
const type = (value: number) => attribute(6, be16(value));
const tci = (value: number) => attribute(5, be16(value));
const encap = (...inner: Uint8Array[]) => attribute(1, concat(...inner));
const V4 = attribute(7, [10, 0, 0, 1, 10, 0, 0, 2, 17, 0x28, 63, 0]);
const UDP = attribute(10, [0x12, 0x34, 0, 53]);
const udp4 = L.ipv4({ proto: 17, tos: 0x28, ttl: 63 }, L.udp({}, L.filler(4)));
const v6 = (proto: number, frag = 0) => attribute(8, [...L.IPV6_A, ...L.IPV6_B, 0, 0, 0x12, 0x34, proto, 0, 64, frag]);
const exthdrs = (bits: number) => attribute(32, [bits & 255, bits >>> 8]);
const icmp6 = (kind: number) => attribute(12, [kind, 0]);
const ipv6 = (next: number, payload: Uint8Array) => L.ipv6({ next, label: 0x1234 }, payload);

/** Name, frame, and the attributes behind the metadata and the Ethernet addresses. */
const TABLE: [string, Uint8Array, Uint8Array[]][] = [
  ['UDP', L.ethernet(0x0800, udp4), [type(0x0800), V4, UDP]],
  [
    'TCP',
    L.ethernet(0x0800, L.ipv4({ proto: 6 }, L.tcp({ flags: 0x112 }, L.filler(4)))),
    [
      type(0x0800),
      attribute(7, [10, 0, 0, 1, 10, 0, 0, 2, 6, 0, 64, 0]),
      attribute(9, [0x9c, 0x40, 0, 80]),
      attribute(18, [1, 0x12]),
    ],
  ],
  [
    'SCTP',
    L.ethernet(0x0800, L.ipv4({ proto: 132 }, L.sctp({}, L.filler(4)))),
    [type(0x0800), attribute(7, [10, 0, 0, 1, 10, 0, 0, 2, 132, 0, 64, 0]), attribute(17, [0x13, 0x88, 0x0b, 0x59])],
  ],
  [
    'ICMP',
    L.ethernet(0x0800, L.ipv4({ proto: 1 }, L.icmp(3, 4, L.filler(8)))),
    [type(0x0800), attribute(7, [10, 0, 0, 1, 10, 0, 0, 2, 1, 0, 64, 0]), attribute(11, [3, 4])],
  ],
  [
    'IGMP, which has no attribute',
    L.ethernet(0x0800, L.ipv4({ proto: 2 }, L.igmp(0x16))),
    [type(0x0800), attribute(7, [10, 0, 0, 1, 10, 0, 0, 2, 2, 0, 64, 0])],
  ],
  [
    'first fragment',
    L.ethernet(0x0800, L.ipv4({ proto: 17, tos: 0x28, ttl: 63, frag: 0x2000 }, L.udp({}, L.filler(8)))),
    [type(0x0800), attribute(7, [10, 0, 0, 1, 10, 0, 0, 2, 17, 0x28, 63, 1]), UDP],
  ],
  [
    'later fragment',
    L.ethernet(0x0800, L.ipv4({ proto: 17, frag: 0x2001 }, L.udp({}, L.filler(8)))),
    [type(0x0800), attribute(7, [10, 0, 0, 1, 10, 0, 0, 2, 17, 0, 64, 2])],
  ],
  ['cut IPv4', L.ethernet(0x0800, udp4.slice(0, 19)), [type(0x0800), attribute(7, new Uint8Array(12))]],
  ['IPv6 UDP', L.ethernet(0x86dd, ipv6(17, L.udp({}, L.filler(4)))), [type(0x86dd), v6(17), exthdrs(0), UDP]],
  [
    'IPv6 with hop-by-hop options',
    L.ethernet(0x86dd, ipv6(0, L.extension(L.HOP, 17, L.udp({}, L.filler(4))))),
    [type(0x86dd), v6(17), exthdrs(64), UDP],
  ],
  [
    'IPv6 later fragment',
    L.ethernet(0x86dd, ipv6(44, L.fragment(17, 3, false, L.filler(16)))),
    [type(0x86dd), v6(44, 2), exthdrs(16)],
  ],
  ['ICMPv6', L.ethernet(0x86dd, ipv6(58, L.icmp(128, 0, L.filler(4)))), [type(0x86dd), v6(58), exthdrs(0), icmp6(128)]],
  [
    'neighbour solicitation',
    L.ethernet(0x86dd, ipv6(58, L.neighbour(135, L.ndOption(1, L.MAC_A)))),
    [type(0x86dd), v6(58), exthdrs(0), icmp6(135), attribute(14, [...L.IPV6_B, ...L.MAC_A, 0, 0, 0, 0, 0, 0])],
  ],
  [
    'neighbour advertisement',
    L.ethernet(0x86dd, ipv6(58, L.neighbour(136, L.ndOption(2, L.MAC_B)))),
    [type(0x86dd), v6(58), exthdrs(0), icmp6(136), attribute(14, [...L.IPV6_B, 0, 0, 0, 0, 0, 0, ...L.MAC_B])],
  ],
  [
    'ARP',
    L.ethernet(0x0806, L.arp(2)),
    [type(0x0806), attribute(13, [10, 0, 0, 1, 10, 0, 0, 2, 0, 2, ...L.MAC_A, ...L.MAC_B, 0, 0])],
  ],
  [
    'RARP',
    L.ethernet(0x8035, L.arp(3)),
    [type(0x8035), attribute(13, [10, 0, 0, 1, 10, 0, 0, 2, 0, 3, ...L.MAC_A, ...L.MAC_B, 0, 0])],
  ],
  [
    'MPLS',
    L.ethernet(0x8847, L.bytes(L.mplsEntry(5, false), L.mplsEntry(6, true), L.filler(9))),
    [type(0x8847), attribute(21, [0, 0, 0x50, 64, 0, 0, 0x61, 64])],
  ],
  ['MPLS without a bottom', L.ethernet(0x8848, L.mplsEntry(5, false)), [type(0x8848), attribute(21, [])]],
  [
    'NSH of type 1',
    L.ethernet(0x894f, L.nsh({}, L.filler(16, 1))),
    [type(0x894f), attribute(28, concat(attribute(1, [0, 63, 1, 3, 0, 0, 0x64, 1]), attribute(2, L.filler(16, 1))))],
  ],
  ['unknown type', L.ethernet(0x88b5, L.filler(20)), [type(0x88b5)]],
  ['802.2', L.ethernet(30, L.bytes(0x42, 0x42, 3, L.filler(27))), []],
  [
    'one tag',
    L.ethernet(0x0800, udp4, { tags: [[0x8100, 0x0064]] }),
    [type(0x8100), tci(0x1064), encap(type(0x0800), V4, UDP)],
  ],
  [
    'two tags',
    L.ethernet(0x0800, udp4, {
      tags: [
        [0x88a8, 0x2064],
        [0x8100, 0x0065],
      ],
    }),
    [type(0x88a8), tci(0x3064), encap(type(0x8100), tci(0x1065), encap(type(0x0800), V4, UDP))],
  ],
  [
    'three tags',
    L.ethernet(0x0800, udp4, {
      tags: [
        [0x88a8, 1],
        [0x8100, 2],
        [0x8100, 3],
      ],
    }),
    [type(0x88a8), tci(0x1001), encap(type(0x8100), tci(0x1002), encap(type(0x8100)))],
  ],
  ['a tag and 802.2', L.ethernet(30, L.filler(30), { tags: [[0x8100, 9]] }), [type(0x8100), tci(0x1009), encap()]],
  ['a cut tag', L.ethernet(0x8100, L.bytes(0, 1)), [type(0), tci(0), encap()]],
  [
    'a tag and a cut one',
    L.ethernet(0x8100, L.bytes(0, 1), { tags: [[0x88a8, 7]] }),
    [type(0x88a8), tci(0x1007), encap(type(0), tci(0), encap())],
  ],
];

function tunnelKey(view: DataView): void {
  view.setUint8(K.KEY_TUN_PROTO, 4);
  view.setUint16(K.KEY_TUN_FLAGS, 0x0f05, true);
  view.setUint32(K.KEY_TUN_ID + 4, 0x2a000000, true);
  view.setUint32(K.KEY_TUN_SRC, 0x0100000a, true);
  view.setUint32(K.KEY_TUN_DST, 0x0200000a, true);
  view.setUint8(K.KEY_TUN_TTL, 64);
  view.setUint16(K.KEY_TUN_TP_DST, 6081, false);
  view.setUint8(K.KEY_TUN_OPTS_SIZE, 4);
  view.setUint32(K.KEY_TUN_OPTS, 0x00010203, false);
}

const TUNNEL = [
  attribute(0, [0, 0, 0, 0, 0, 0, 0, 0x2a]),
  attribute(1, [10, 0, 0, 1]),
  attribute(2, [10, 0, 0, 2]),
  attribute(4, [64]),
  attribute(5, []),
  attribute(6, []),
  attribute(10, be16(6081)),
  attribute(7, []),
  attribute(8, [0, 1, 2, 3]),
];

describe.each<Build>(['debug', 'release'])('flow key as attributes, %s build', (build) => {
  let instance: ActionsInstance;
  beforeAll(async () => {
    instance = new ActionsInstance(await compileActions(build));
  });

  it.each(TABLE)('%s', (_name, frame, attributes) => {
    const got = instance.putKey(keyOf(frame), undefined, 2048);
    expect(hex(got.bytes)).toBe(hex(concat(metadata(), MACS, ...attributes)));
    expect(got.size).toBe(got.bytes?.length);
  });

  it('puts metadata where it belongs', () => {
    const key = keyOf(L.ethernet(0x0800, udp4), (view, bytes) => {
      const words = [K.KEY_RECIRC_ID, K.KEY_DP_HASH, K.KEY_SKB_PRIORITY, K.KEY_SKB_MARK, K.KEY_CT_STATE, K.KEY_CT_MARK];
      for (const offset of words) view.setUint32(offset, 0x11223311, true);
      view.setUint16(K.KEY_CT_ZONE, 0x3311, true);
      bytes.fill(0x11, K.KEY_CT_LABELS, K.KEY_CT_LABELS + 16);
    });
    const { bytes } = instance.putKey(key, undefined, 2048);
    expect(hex(bytes)).toBe(hex(concat(metadata(0x11223311), MACS, type(0x0800), V4, UDP)));
  });

  it('leaves out an input port that is none, and has it in a mask only when all of it matches', () => {
    const key = keyOf(L.ethernet(0x88b5, L.filler(20)), (view) => view.setUint32(K.KEY_IN_PORT, 65535, true));
    const port = (mask?: Uint8Array) => instance.putKey(key, mask, 2048).bytes!;
    expect(decodeKey(port()).types).not.toContain(3);
    const mask = new Uint8Array(K.KEY_SIZE);
    expect(decodeKey(port(mask)).types).not.toContain(3);
    mask.fill(255, K.KEY_IN_PORT, K.KEY_IN_PORT + 2);
    expect(hex(port(mask))).toContain(hex(attribute(3, le32(0xffffffff))));
  });

  it('puts a tunnel of either family', () => {
    const key = keyOf(L.ethernet(0x88b5, L.filler(20)), tunnelKey);
    const got = instance.putKey(key, undefined, 2048);
    const tunnel = attribute(16, concat(...TUNNEL));
    expect(hex(got.bytes)).toBe(hex(concat(metadata(0, IN_PORT, [tunnel]), MACS, type(0x88b5))));
    const view = new DataView(key.buffer);
    view.setUint8(K.KEY_TUN_PROTO, 6);
    view.setUint16(K.KEY_TUN_FLAGS, 0x1000, true);
    view.setUint16(K.KEY_TUN_GBP, 0x1234, true);
    key.fill(1, K.KEY_TUN_DST, K.KEY_TUN_DST + 16);
    const second = instance.putKey(key, undefined, 2048);
    const inner = [
      attribute(12, [10, 0, 0, 1, ...new Uint8Array(12)]),
      attribute(13, new Uint8Array(16).fill(1)),
      attribute(4, [64]),
      attribute(10, be16(6081)),
      attribute(11, attribute(1, [0x34, 0x12, 0, 0])),
    ];
    expect(hex(second.bytes)).toContain(hex(attribute(16, concat(...inner))));
  });

  it('puts the original tuple of a tracked connection', () => {
    const change = (view: DataView, key: Uint8Array) => {
      view.setUint8(K.KEY_CT_ORIG_PROTO, 17);
      key.set(L.filler(16, 1), K.KEY_CT_ORIG_SRC);
      key.set(L.filler(16, 33), K.KEY_CT_ORIG_DST);
      view.setUint32(K.KEY_CT_ORIG_TP_SRC, 0xaabbccdd, false);
    };
    const v4 = instance.putKey(keyOf(L.ethernet(0x0800, udp4), change), undefined, 2048).bytes;
    const ports = [0xaa, 0xbb, 0xcc, 0xdd, 17, 0, 0, 0];
    expect(hex(v4)).toContain(hex(attribute(26, [1, 2, 3, 4, 33, 34, 35, 36, ...ports])));
    const v6Frame = L.ethernet(0x86dd, ipv6(17, L.udp({}, L.filler(4))));
    const v6Key = instance.putKey(keyOf(v6Frame, change), undefined, 2048).bytes;
    expect(hex(v6Key)).toContain(hex(attribute(27, [...L.filler(16, 1), ...L.filler(16, 33), ...ports])));
    expect(
      decodeKey(instance.putKey(keyOf(L.ethernet(0x0806, L.arp()), change), undefined, 2048).bytes!).types,
    ).not.toContain(26);
  });

  it('puts masks: presence from the key, values from the mask', () => {
    const key = keyOf(L.ethernet(0x0800, udp4, { tags: [[0x8100, 0x0064]] }));
    const none = instance.putKey(key, new Uint8Array(K.KEY_SIZE), 2048);
    const wild = [attribute(16, attribute(4, [0]))];
    const v4 = attribute(7, new Uint8Array(12));
    const udp = attribute(10, new Uint8Array(4));
    const inner = encap(type(0), v4, udp);
    expect(hex(none.bytes)).toBe(
      hex(concat(metadata(0, 0xffff0000, wild), attribute(4, new Uint8Array(12)), type(0xffff), tci(0), inner)),
    );
    const all = instance.putKey(key, new Uint8Array(K.KEY_SIZE).fill(255), 2048).bytes!;
    expect(hex(all)).toContain(hex(concat(type(0xffff), attribute(7, new Uint8Array(12).fill(255)))));
    const llc = keyOf(L.ethernet(30, L.filler(30)));
    expect(decodeKey(instance.putKey(llc, new Uint8Array(K.KEY_SIZE), 2048).bytes!).types).not.toContain(6);
    expect(decodeKey(instance.putKey(llc, new Uint8Array(K.KEY_SIZE).fill(255), 2048).bytes!).types).toContain(6);
    const labels = keyOf(L.ethernet(0x8847, L.bytes(L.mplsEntry(5, false), L.mplsEntry(6, true))));
    const exact = instance.putKey(labels, new Uint8Array(K.KEY_SIZE).fill(255), 2048).bytes;
    expect(hex(exact)).toContain(hex(attribute(21, new Uint8Array(8).fill(255))));
  });

  it(`is read back to the same key, ${caseCount(build)} random keys and masks, SEED=${SEED}`, () => {
    const random = new L.Random(SEED);
    const source = L.frames(SEED);
    let largest = 0;
    for (let n = 0; n < caseCount(build); n++) {
      const key = keyOf(source.next().value, (view, bytes) => randomMetadata(random, view, bytes));
      const mask = Uint8Array.from({ length: K.KEY_SIZE }, () => random.below(3) && random.below(256));
      largest = Math.max(largest, checkReadBack(instance, key, undefined), checkReadBack(instance, key, mask));
    }
    expect(largest).toBeLessThanOrEqual(sizeLimit(instance));
  });
});

function sizeLimit(instance: ActionsInstance): number {
  return (instance.exports.KEY_ATTRS_SIZE_MAX as unknown as WebAssembly.Global).value as number;
}

/** The cold fields that no frame carries. */
function randomMetadata(random: L.Random, view: DataView, key: Uint8Array): void {
  const words = [K.KEY_RECIRC_ID, K.KEY_DP_HASH, K.KEY_SKB_PRIORITY, K.KEY_SKB_MARK, K.KEY_CT_STATE, K.KEY_CT_MARK];
  for (const offset of words) view.setUint32(offset, random.below(4294967296), true);
  if (random.below(3) === 0) {
    for (let at = K.KEY_CT_ZONE; at < K.KEY_PACKET_TYPE; at++) key[at] = random.below(256);
    view.setUint8(K.KEY_CT_ORIG_PROTO, random.below(2) * 6);
    view.setUint8(K.KEY_CT_ORIG_PROTO + 1, 0);
  }
  if (random.below(3) === 0) {
    for (let at = K.KEY_TUN_ID; at < K.KEY_TUN_OPTS + 252; at++) key[at] = random.below(256);
    view.setUint8(K.KEY_TUN_PROTO, [4, 6, 0][random.below(3)]!);
    view.setUint8(K.KEY_TUN_OPTS_SIZE, random.below(64) * 4);
  }
}

/** Writes, reads back, tries with exactly enough room and with one byte less. Returns the size. */
function checkReadBack(instance: ActionsInstance, key: Uint8Array, mask: Uint8Array | undefined): number {
  const { bytes, size } = instance.putKey(key, mask, 2048);
  if (bytes?.length !== size) throw new Error(`size ${size} announced, ${bytes?.length} written for ${hex(key)}`);
  if (hex(instance.putKey(key, mask, size).bytes) !== hex(bytes)) throw new Error('exactly enough room is not enough');
  if (instance.putKey(key, mask, size - 1).bytes !== undefined) throw new Error('one byte less is enough');
  const decoded = decodeKey(bytes);
  const values = (mask ?? key).slice();
  adjust(values, key, mask !== undefined);
  for (let at = 0; at < K.KEY_SIZE; at++) {
    if (decoded.said[at] && decoded.key[at] !== values[at]) {
      throw new Error(`byte ${at} is ${decoded.key[at]} instead of ${values[at]} for ${hex(key)}, ${hex(mask)}`);
    }
    if (!decoded.said[at] && mask === undefined && values[at] !== 0 && !isSilent(at, key)) {
      throw new Error(`byte ${at} is missing for ${hex(key)}`);
    }
  }
  return size;
}

/** What the writer changes on purpose: the port's upper half, TPID masks, tunnel flags that have no attribute. */
function adjust(values: Uint8Array, key: Uint8Array, isMask: boolean): void {
  const view = new DataView(values.buffer);
  const optionsSize = key[K.KEY_TUN_OPTS_SIZE]!;
  const flags = view.getUint16(K.KEY_TUN_FLAGS, true);
  const options = optionsSize === 0 ? 0 : ([0x0800, 0x1000, 0x4000].find((bit) => flags & bit) ?? 0);
  view.setUint16(K.KEY_TUN_FLAGS, (flags & 0x0305) | options, true);
  if (!isMask) return;
  view.setUint16(K.KEY_IN_PORT + 2, 0xffff, true);
  view.setUint16(K.KEY_VLAN_TPID, 0xffff, true);
  view.setUint16(K.KEY_CVLAN_TPID, 0xffff, true);
  values[K.KEY_TUN_OPTS_SIZE] = optionsSize;
  values[K.KEY_MPLS_COUNT] = values[K.KEY_MPLS_COUNT] === 0 ? 0 : key[K.KEY_MPLS_COUNT]!;
}

/** Bytes of a key that may be set and have no attribute for this key. */
function isSilent(at: number, key: Uint8Array): boolean {
  const frameType = (key[K.KEY_ETH_TYPE]! << 8) | key[K.KEY_ETH_TYPE + 1]!;
  if (at >= K.KEY_PACKET_TYPE && at < K.KEY_NSH_FLAGS) return true;
  if (at >= K.KEY_ND_RESERVED || at === K.KEY_FLAGS) return true;
  if (at === K.KEY_ETH_TYPE || at === K.KEY_ETH_TYPE + 1)
    return frameType === 4 || frameType === 0x8100 || frameType === 0x88a8;
  if (at >= K.KEY_CT_ORIG_PROTO && at < K.KEY_CT_ORIG_PROTO + 1) return true;
  if (at >= K.KEY_CT_ORIG_SRC && at < K.KEY_PACKET_TYPE) return true;
  if (at >= K.KEY_TP_SRC && at < K.KEY_TP_SRC + 4) return frameType === 0x0800 && key[K.KEY_IP_PROTO] === 2;
  if (at >= K.KEY_MPLS_LSE0 && at < K.KEY_MPLS_LSE0 + 12) return key[K.KEY_MPLS_COUNT] === 0;
  return false;
}
