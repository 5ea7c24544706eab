/*
 * Flow key extraction by hand-written expectation: the rules that are easy to get wrong, one case each, and the
 * frames of test/corpus/frames/ with the keys that were recorded for them (a line is: name, frame, key, in
 * hexadecimal; the key without the zeros at its end). Both the release build and the slow model must give them.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import * as K from '../assembly/constants.ts';
import { referenceExtract } from './reference/extract.ts';
import { compileExtract, ExtractInstance } from './support/extract-wasm.ts';
import { keyFields } from './support/flow-fields.ts';
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
  ndOption,
  neighbour,
  nsh,
  ROUTING,
  tcp,
  udp,
} from './support/frames.ts';

let instance: ExtractInstance;

beforeAll(async () => {
  instance = new ExtractInstance(await compileExtract('release'));
});

function extract(frame: Bytes): Uint8Array {
  const { status, key } = instance.run(frame, 1, 0, { poison: 0xa5, atEnd: true, coldSlot: false });
  expect(status).toBe(0);
  expect(Buffer.from(key).toString('hex')).toBe(Buffer.from(referenceExtract(frame, 1)).toString('hex'));
  return key;
}

const PORTS = udp({ src: 4660, dst: 53 }, filler(8));
const V6 = (next: number, payload: Bytes): Bytes => ethernet(0x86dd, ipv6({ next, hopLimit: 9 }, payload));
const V4 = (proto: number, payload: Bytes): Bytes => ethernet(0x0800, ipv4({ proto }, payload));
const ND = (options: Bytes): Bytes => V6(58, neighbour(135, options));
const LATER = fragment(17, 3, true, PORTS);

/** Name, frame, and what some fields are. */
// biome-ignore format: one case a line
const CASES: [string, Bytes, Record<string, number | string>][] = [
  ['a third tag is the type', ethernet(0x0800, PORTS, { tags: [[0x8100, 1], [0x8100, 2], [0x8100, 3]] }), { dl_type: 0x8100, vlan_tci: 0x1001, vlan_tci1: 0x1002 }],
  ['a tag without a type behind it is the type', bytes(filler(12), be16(0x8100), be16(5)), { dl_type: 0x8100, vlan_tci: 0 }],
  ['a second tag without a type behind it is the type', bytes(filler(12), be16(0x88a8), be16(5), be16(0x8100), 1), { dl_type: 0x8100, vlan_tci: 0x1005, vlan_tci1: 0 }],
  ['a tag of VLAN 0 is present', ethernet(0x88cc, filler(4), { tags: [[0x8100, 0]] }), { dl_type: 0x88cc, vlan_tci: 0x1000 }],
  ['1535 is a length', ethernet(1535, filler(40)), { dl_type: 4 }],
  ['1536 is a type', ethernet(1536, filler(40)), { dl_type: 1536 }],
  ['SNAP gives the type whatever the control byte', ethernet(50, llcSnap(0x0806, arp(2), [0xaa, 0xaa, 0, 0, 0, 0])), { dl_type: 0x0806, nw_proto: 2 }],
  ['SNAP of another organisation has no type', ethernet(50, llcSnap(0x0806, arp(2), [0xaa, 0xaa, 3, 0, 0, 1])), { dl_type: 4, nw_proto: 0 }],
  ['ARP opcode 256 does not fit', ethernet(0x0806, arp(256)), { nw_proto: 0, nw_src: '0a000001' }],
  ['27 bytes are no ARP', ethernet(0x0806, arp(1).subarray(0, 27)), { nw_proto: 0, nw_src: 0 }],
  ['the IPv4 total size is not looked at', ethernet(0x0800, ipv4({ totalSize: 0 }, PORTS)), { nw_proto: 17, tp_src: 4660 }],
  ['IPv4 header size 4 words is no header', ethernet(0x0800, ipv4({ headerWords: 4 }, PORTS)), { nw_proto: 0, nw_src: 0, nw_ttl: 0 }],
  ['IPv4 first fragment has ports', ethernet(0x0800, ipv4({ frag: 0x2000 }, PORTS)), { nw_frag: 1, tp_dst: 53 }],
  ['IPv4 later fragment has none', ethernet(0x0800, ipv4({ frag: 0x2001 }, PORTS)), { nw_frag: 2, nw_proto: 17, tp_dst: 0 }],
  ['TCP data offset 4 is refused', V4(6, tcp({ words: 4 }, filler(20))), { nw_proto: 6, tp_src: 0, tcp_flags: 0 }],
  ['TCP data offset over the end is refused', V4(6, tcp({ words: 6 }, filler(3))), { tp_src: 0, tcp_flags: 0 }],
  ['TCP flags are twelve bits', V4(6, tcp({ flags: 0xfff }, bytes())), { tcp_flags: 0xfff, tp_dst: 80 }],
  ['UDP size is not looked at', V4(17, udp({ size: 1 }, bytes())), { tp_dst: 53 }],
  ['ICMP over IPv6 is an unknown protocol', V6(1, icmp(8, 1, filler(8))), { nw_proto: 1, tp_src: 0, tp_dst: 0 }],
  ['ICMPv6 over IPv4 is an unknown protocol', V4(58, neighbour(135, bytes())), { nw_proto: 58, tp_src: 0, nd_target: 0 }],
  ['an IPv6 extension that does not fit leaves protocol 59', V6(HOP, bytes(17, 9, filler(20))), { nw_proto: 59, nw_ttl: 9, tp_src: 0 }],
  ['a whole fragment header makes a first fragment', V6(FRAGMENT, fragment(17, 0, false, PORTS)), { nw_frag: 1, nw_proto: 17, tp_dst: 53 }],
  ['IPv6 later fragment is protocol 44', V6(FRAGMENT, LATER), { nw_frag: 2, nw_proto: 44, tp_dst: 0 }],
  ['a later fragment before an extension is a broken chain', V6(FRAGMENT, fragment(DEST, 3, true, PORTS)), { nw_frag: 1, nw_proto: 59 }],
  ['two bytes of fragment header are enough for "first"', V6(FRAGMENT, LATER.subarray(0, 2)), { nw_frag: 1, nw_proto: 59 }],
  ['four bytes of fragment header are enough for "later"', V6(FRAGMENT, LATER.subarray(0, 4)), { nw_frag: 2, nw_proto: 44 }],
  ['an ND option given twice takes everything', ND(bytes(ndOption(1, MAC_A), ndOption(1, MAC_B))), { tp_src: 135, nd_target: 0, arp_sha: 0 }],
  ['an ND option of size 0 ends the list', ND(bytes(ndOption(2, MAC_B), ndOption(5, MAC_A, 0), ndOption(1, MAC_A))), { arp_tha: '02000000000b', arp_sha: 0 }],
  ['a zero ND address may be given again', ND(bytes(ndOption(1, new Uint8Array(6)), ndOption(1, MAC_B))), { arp_sha: '02000000000b' }],
  ['NSH of type 1 and another size is refused', ethernet(0x894f, nsh({ words: 5 }, filler(16))), { dl_type: 0x894f, nsh_mdtype: 0, nsh_ttl: 0 }],
  ['NSH of type 2 needs no words at all', ethernet(0x894f, nsh({ type: 2, words: 0 }, bytes())), { nsh_mdtype: 2, nsh_ttl: 63 }],
  ['NSH of type 3 is refused', ethernet(0x894f, nsh({ type: 3 }, filler(16))), { nsh_mdtype: 0 }],
];

describe('extraction rules', () => {
  it.each(CASES)('%s', (_name, frame, expected) => {
    const fields = keyFields(extract(frame));
    for (const [name, value] of Object.entries(expected))
      expect([name, fields.get(name) ?? '0']).toEqual([name, String(value)]);
  });

  it('counts MPLS entries only down to the bottom of the stack', () => {
    const stack = (...bottoms: boolean[]): Bytes =>
      ethernet(0x8847, bytes(...bottoms.map((bottom, i) => mplsEntry(i + 1, bottom)), filler(3)));
    const count = (frame: Bytes): number => extract(frame)[K.KEY_MPLS_COUNT];
    expect(count(stack(true))).toBe(1);
    expect(count(stack(false, true))).toBe(2);
    expect(count(stack(false, false, false, false, true))).toBe(3);
    expect(count(stack(false, false, false, false, false))).toBe(0);
    expect(keyFields(extract(stack(false, false))).get('mpls_lse1')).toBe(String((2 << 12) | 64));
  });

  it('sums up IPv6 extension headers', () => {
    const bits = { none: 1, auth: 4, dest: 8, frag: 16, router: 32, hop: 64, repeated: 128, order: 256 };
    const chain = (...kinds: number[]): number => {
      const headers = kinds
        .slice(0, -1)
        .map((kind, i) => extension(kind, kinds[i + 1], bytes(), kind === AUTH ? 0 : undefined));
      const key = extract(V6(kinds[0], bytes(...headers, filler(32))));
      return key[K.KEY_IPV6_EXTHDRS] | (key[K.KEY_IPV6_EXTHDRS + 1] << 8);
    };
    expect(chain(17)).toBe(0);
    expect(chain(59)).toBe(bits.none);
    expect(chain(50)).toBe(0);
    expect(chain(HOP, 17)).toBe(bits.hop);
    expect(chain(HOP, DEST, ROUTING, AUTH, DEST, 17)).toBe(bits.hop | bits.dest | bits.router | bits.auth);
    expect(chain(ROUTING, HOP, 17)).toBe(bits.router | bits.order);
    expect(chain(HOP, HOP, 17)).toBe(bits.hop | bits.repeated | bits.order);
    expect(chain(AUTH, ROUTING, 17)).toBe(bits.auth | bits.router | bits.order);
    expect(chain(AUTH, AUTH, 17)).toBe(bits.auth | bits.repeated | bits.order);
    expect(chain(DEST, DEST, DEST, 59)).toBe(bits.dest | bits.repeated | bits.none);
  });

  it('walks the frame behind a later fragment for the sum of extension headers', () => {
    const key = extract(V6(FRAGMENT, fragment(DEST, 3, true, bytes(59, 0, filler(30)))));
    expect(key[K.KEY_IPV6_EXTHDRS]).toBe(16 | 8 | 1);
  });

  it('keeps the reserved word and the first option type of neighbour discovery in the cold part', () => {
    const key = extract(V6(58, neighbour(136, bytes(ndOption(2, MAC_B), ndOption(1, MAC_A)), 0xe0000000)));
    expect([key[K.KEY_ND_RESERVED], key[K.KEY_ND_OPTIONS_TYPE], key[K.KEY_FLAGS]]).toEqual([
      0xe0,
      2,
      K.KEY_FLAG_ND_EXT,
    ]);
    expect(extract(ND(bytes()))[K.KEY_FLAGS]).toBe(0);
  });

  it('puts type and code of IGMP into the transport fields', () => {
    const fields = keyFields(extract(V4(2, icmp(0x16, 7, bytes()))));
    expect([fields.get('tp_src'), fields.get('tp_dst')]).toEqual(['22', '7']);
  });
});

const CORPUS = new URL('corpus/frames/', import.meta.url);

describe.each(readdirSync(CORPUS).filter((file) => file.endsWith('.txt')))('corpus/frames/%s', (file) => {
  const lines = readFileSync(new URL(file, CORPUS), 'utf8').split('\n');
  it.each(lines.filter((line) => /^[^#]/.test(line)).map((line) => line.split(' ')))('%s', (_name, frame, recorded) => {
    const key = Buffer.from(extract(Buffer.from(frame, 'hex'))).toString('hex');
    expect(key).toBe(recorded.padEnd(K.KEY_SIZE * 2, '0'));
  });
});
