/*
 * Key attributes and key text that nobody should send: cut, of wrong sizes, nested wrongly, twice, beyond every width, and random.
 * Nothing but the documented errors may come of it. SEED sets the seed.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeKeyAttributes,
  decodeMatchAttributes,
  encodeMatch,
  encodeMatchAttributes,
  formatKeyAttributes,
  formatMatch,
  OdpAttributeError,
  OdpSyntaxError,
  parseKey,
  parseKeyAttributes,
  parseMatch,
} from '../src/odp/index.ts';
import { attribute, be16, concat, le32 } from './support/action-list.ts';
import { seed } from './support/odp.ts';
import { comparable, outcome, tunnelledMatch } from './support/odp-tunnel.ts';

console.log(`32.key-bad-input: SEED=${seed}`);
const RUNS = Number(process.env.CASES ?? 800);

const ETH = attribute(4, [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
const PORT = attribute(3, le32(1));
const type = (value: number) => attribute(6, be16(value));
const IPV4 = attribute(7, [10, 0, 0, 1, 10, 0, 0, 2, 6, 0, 64, 0]);
const TCP = attribute(9, [0, 1, 0, 2]);
const TTL = attribute(4, [64]);

describe('refused', () => {
  const cases: [string, Uint8Array, number][] = [
    ['a list cut in a header', concat(ETH, Uint8Array.of(8, 0)), 16],
    ['length 0', concat(ETH, Uint8Array.of(0, 0, 3, 0)), 16],
    ['length 3', concat(ETH, Uint8Array.of(3, 0, 3, 0)), 16],
    ['length beyond the end', concat(ETH, Uint8Array.of(12, 0, 3, 0, 1, 0, 0, 0)), 16],
    ...[65532, 65533, 65534, 65535].map((size): [string, Uint8Array, number] => [
      `length ${size}`,
      concat(ETH, Uint8Array.of(size & 255, size >> 8, 3, 0)),
      16,
    ]),
    ['a port of 3 bytes', concat(ETH, attribute(3, [1, 0, 0])), 16],
    ['a port of 5 bytes', concat(ETH, attribute(3, [1, 0, 0, 0, 0])), 16],
    ['an attribute twice', concat(ETH, PORT, PORT), 24],
    ['labels of 6 bytes', concat(ETH, type(0x8847), attribute(21, [0, 0, 0, 0, 0, 0])), 24],
    ['a length as type', concat(ETH, type(0x05ff)), 16],
    ['a fragment type of 3', concat(ETH, type(0x0800), attribute(7, [1, 2, 3, 4, 5, 6, 7, 8, 6, 0, 64, 3])), 24],
    [
      'a label of 21 bits',
      concat(ETH, type(0x86dd), attribute(8, [...new Uint8Array(32), 0, 0x10, 0, 0, 6, 0, 64, 0])),
      24,
    ],
    [
      'an ARP operation above 255',
      concat(ETH, type(0x0806), attribute(13, [...new Uint8Array(8), 1, 1, ...new Uint8Array(14)])),
      24,
    ],
    ['a TCI without its bit', concat(ETH, type(0x8100), attribute(5, [0, 5]), attribute(1, [])), 24],
    ['a TPID that is none', concat(ETH, type(0x0800), attribute(5, [0x10, 5]), attribute(1, [])), 16],
    ['a nest whose child is longer', concat(ETH, attribute(16, [...TTL.subarray(0, 4)])), 20],
    ['a tunnel without TTL', concat(ETH, attribute(16, [])), 20],
    [
      'a tunnel of both families',
      concat(ETH, attribute(16, [...attribute(1, [1, 2, 3, 4]), ...attribute(13, new Array(16).fill(1)), ...TTL])),
      28,
    ],
    [
      'two kinds of options',
      concat(ETH, attribute(16, [...TTL, ...attribute(8, []), ...attribute(15, new Array(12).fill(1))])),
      32,
    ],
    ['Geneve options of 256 bytes', concat(ETH, attribute(16, [...TTL, ...attribute(8, new Array(256).fill(0))])), 28],
    ['a NSH base of 7 bytes', concat(ETH, type(0x894f), attribute(28, [...attribute(1, new Array(7).fill(0))])), 28],
    [
      'MD1 with another type',
      concat(
        ETH,
        type(0x894f),
        attribute(28, [...attribute(1, [0, 0, 2, 0, 0, 0, 0, 0]), ...attribute(2, new Array(16).fill(0))]),
      ),
      24,
    ],
  ];
  test.each(cases)('%s', (_, bytes, offset) => {
    const error = outcome(() => decodeKeyAttributes(bytes));
    expect(error).toBeInstanceOf(OdpAttributeError);
    expect((error as OdpAttributeError).offset).toBe(offset);
  });

  test('masks that do not fit their key', () => {
    const mpls = concat(ETH, type(0x8847), attribute(21, [0, 0, 1, 0]));
    const geneve = (size: number) => attribute(16, [...TTL, ...attribute(8, new Array(size).fill(0))]);
    const full = type(0xffff);
    for (const [key, mask] of [
      [mpls, concat(full, attribute(21, [0, 0, 0, 0, 0, 0, 0, 0]))],
      [concat(ETH, geneve(8)), geneve(4)],
      [concat(ETH, geneve(4)), geneve(8)],
      [concat(ETH, type(0x0800), IPV4, TCP), concat(full, attribute(7, new Array(11).fill(0)))],
      [concat(ETH, type(0x0800), IPV4, TCP), concat(full, attribute(7, new Array(13).fill(0)))],
      [concat(ETH, type(0x0800), IPV4, TCP), attribute(7, new Array(12).fill(255))],
      [concat(ETH, type(0x0800), IPV4, TCP), concat(full, attribute(9, [255, 255, 0, 0]))],
    ]) {
      expect(outcome(() => decodeMatchAttributes(key, mask))).toBeInstanceOf(OdpAttributeError);
    }
    expect(decodeMatchAttributes(concat(ETH, type(0x0806)), concat(full, attribute(9, [0, 0, 0, 0]))).extra).toEqual([
      'tcp',
    ]);
  });

  test('random bytes and mutated lists give nothing but OdpAttributeError', () => {
    const bytes = fc.uint8Array({ maxLength: 200 });
    const edits = fc.array(fc.tuple(fc.nat(600), fc.nat(255)), { maxLength: 6 });
    fc.assert(
      fc.property(tunnelledMatch, bytes, edits, (typed, noise, changes) => {
        const { key, mask } = encodeMatchAttributes(encodeMatch(comparable(typed)));
        for (const [at, value] of changes) (at % 2 ? key : mask)[at % (at % 2 ? key : mask).length] = value;
        for (const work of [
          () => decodeKeyAttributes(noise),
          () => decodeMatchAttributes(key, mask),
          () => decodeMatchAttributes(key.subarray(0, changes[0]?.[0])),
          () => formatKeyAttributes(key, mask, { verbose: true }),
        ]) {
          const error = outcome(work);
          if (error !== undefined && !(error instanceof OdpAttributeError)) throw error;
        }
      }),
      { seed, numRuns: RUNS },
    );
  });

  test('text that is cut or changed gives nothing but OdpSyntaxError', () => {
    const edits = fc.array(fc.tuple(fc.nat(600), fc.constantFrom(...'()=,/:.0x1f+-|[]{} ')), { maxLength: 4 });
    fc.assert(
      fc.property(tunnelledMatch, edits, fc.nat(600), (typed, changes, size) => {
        const flat = encodeMatch(comparable(typed));
        const { key, mask } = encodeMatchAttributes(flat);
        for (const whole of [formatKeyAttributes(key, mask), formatMatch(flat.key, flat.mask)]) {
          let text = whole;
          for (const [at, char] of changes)
            text = text.slice(0, at % text.length) + char + text.slice((at % text.length) + (at % 2));
          for (const candidate of [text, whole.slice(0, size)]) {
            for (const parse of [parseKeyAttributes, parseMatch, parseKey]) {
              const error = outcome(() => parse(candidate));
              if (error !== undefined && !(error instanceof OdpSyntaxError)) throw error;
            }
          }
        }
      }),
      { seed, numRuns: RUNS / 4 },
    );
    const text =
      'tunnel(tun_id=0x1,src=1.1.1.1,dst=2.2.2.2,ttl=64,geneve({class=0x1,type=0x2,len=4,0x1/0xff}),flags(+df-csum)),in_port(1)';
    for (let size = 0; size < text.length; size++) {
      const error = outcome(() => parseKeyAttributes(text.slice(0, size)));
      if (error !== undefined && !(error instanceof OdpSyntaxError)) throw error;
    }
  });

  test.each([
    'in_port(p1)',
    'tunnel(tos=256)',
    'tunnel(tun_id=0x10000000000000000)',
    'tunnel(ttl=1,ttl=2)',
    'tunnel(flags(df|nosuch))',
    'tunnel(geneve({class=0x1,len=3}))',
    'tunnel(geneve({len=4,0x100000000}))',
    'tunnel(erspan(ver=3))',
    'tunnel(erspan(ver=2,hwid=0x10))',
    'tunnel(vxlan(gbp(id=65536)))',
    'ct_state(nosuch)',
    'nsh(c1=0x100000000)',
    'nsh(spi=0x1000000)',
    'ufid:1234,in_port(1)',
    'key7(1)',
    'key7(01/0102)',
    'key16384(00)',
    'mpls()',
    `${'encap('.repeat(32)}${')'.repeat(32)}`,
  ])('text %s', (text) => {
    expect(() => parseKeyAttributes(text)).toThrow(OdpSyntaxError);
  });
});
