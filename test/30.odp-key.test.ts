/*
 * Flow keys and matches: typed, flat and as text. Random keys go through every form and back; ovs-dpctl's own parser and
 * formatter judge the text. SEED sets the seed.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { KEY_FLAG_ND_EXT, KEY_FLAGS, KEY_IPV4_DST, KEY_SIZE, KEY_TP_SRC, KEY_VLAN_TCI } from '../assembly/constants.ts';
import {
  decodeKey,
  decodeMatch,
  decodeMatchAttributes,
  encodeKey,
  encodeMatch,
  encodeMatchAttributes,
  type FlowKey,
  formatIpv6,
  formatKey,
  formatKeyAttributes,
  formatMac,
  formatMatch,
  maskedKey,
  OdpFieldError,
  OdpSyntaxError,
  parseIpv4,
  parseIpv6,
  parseKey,
  parseKeyAttributes,
  parseMac,
  parseMatch,
  prefixMask,
} from '../src/odp/index.ts';
import { anyKey, anyMatch, ovsNormalize, ovsParseActions, plainKey, seed } from './support/odp.ts';
import { requireProgram } from './support/require.ts';

console.log(`30.odp-key: SEED=${seed}`);
const noDpctl = requireProgram('ovs-dpctl');
const RUNS = 5000;
const ETH = 'eth(src=00:11:22:33:44:55,dst=66:77:88:99:aa:bb)';
const IPV4 = 'eth_type(0x0800),ipv4(src=1.2.3.4,dst=5.6.7.8,proto=17,tos=0,ttl=64,frag=no)';

/** The attributes of a key text, tags dissolved: what stands in encap() follows as further attributes. */
function attributesOf(text: string): string[] {
  const flat = text.replaceAll('encap(', '').replace(/\)+$/, ')');
  return flat.match(/[a-z0-9_]+\([^()]*\)/g) ?? [];
}

/** As toEqual on bytes, which takes milliseconds for a key. */
function expectSame(actual: Uint8Array, expected: Uint8Array): void {
  if (Buffer.compare(actual, expected) !== 0) expect(actual).toEqual(expected);
}

/** Runs text cut at each length and reports what else than OdpSyntaxError was thrown. */
function cutEverywhere(text: string, parse: (text: string) => unknown): void {
  for (let size = 0; size <= text.length; size++) {
    try {
      parse(text.slice(0, size));
    } catch (error) {
      if (!(error instanceof OdpSyntaxError)) throw error;
      if (error.position > size) throw new Error(`position ${error.position} past the end of ${size}`);
    }
  }
}

describe('addresses', () => {
  test('text and back', () => {
    expect(formatMac(parseMac('0:1:22:aA:bb:0c'))).toBe('00:01:22:aa:bb:0c');
    for (const text of [
      '::',
      '::1',
      '1::',
      '2001:db8::1:0:0:1',
      '1:2:3:4:5:6:7:8',
      '::ffff:1.2.3.4',
      '::1.2.3.4',
      'fe80::1',
    ]) {
      expect(formatIpv6(parseIpv6(text))).toBe(text);
    }
    expect(formatIpv6(parseIpv6('1:0:0:2:0:0:0:3'))).toBe('1:0:0:2::3');
    expect(formatIpv6(parseIpv6('1:0:2:3:4:5:6:7'))).toBe('1:0:2:3:4:5:6:7');
  });

  test('what is no address', () => {
    for (const text of ['', '1', '00:11:22:33:44', '00:11:22:33:44:55:66', '00:11:22:33:44:5g']) {
      expect(() => parseMac(text), text).toThrow(OdpFieldError);
    }
    for (const text of ['', '1.2.3', '1.2.3.256', '1.2.3.4.5', 'a.b.c.d'])
      expect(() => parseIpv4(text), text).toThrow(OdpFieldError);
    for (const text of [
      '',
      ':',
      ':::',
      '1::2::3',
      '1:2:3:4:5:6:7',
      '1:2:3:4:5:6:7:8:9',
      '1:2:3:4:5:6:7::8',
      '12345::',
      '1.2.3.4::',
    ]) {
      expect(() => parseIpv6(text), text).toThrow(OdpFieldError);
    }
  });

  test('prefixes', () => {
    expect([...prefixMask(9, 4)!]).toEqual([255, 128, 0, 0]);
    expect(prefixMask(33, 4)).toBeUndefined();
  });
});

describe('exact keys', () => {
  test('typed to flat, text and back', () => {
    fc.assert(
      fc.property(anyKey, (key) => {
        const flat = encodeKey(key);
        expect(decodeKey(flat)).toEqual(key);
        expectSame(parseKey(formatKey(flat)), flat);
      }),
      { seed, numRuns: RUNS },
    );
  });

  test('the text of a UDP packet', () => {
    const key: FlowKey = {
      inPort: 1,
      recircId: 0,
      eth: { src: '00:11:22:33:44:55', dst: '66:77:88:99:aa:bb' },
      ethType: 0x0800,
      ipv4: { src: '1.2.3.4', dst: '5.6.7.8', proto: 17, tos: 0, ttl: 64, frag: 'no' },
      udp: { src: 53, dst: 1024 },
    };
    expect(formatKey(encodeKey(key))).toBe(`recirc_id(0),in_port(1),${ETH},${IPV4},udp(src=53,dst=1024)`);
  });

  test('userspace-only fields of neighbour discovery', () => {
    const text =
      `recirc_id(0),in_port(1),${ETH},eth_type(0x86dd),ipv6(src=::1,dst=::2,label=0,proto=58,tclass=0,hlimit=255,frag=no),` +
      'icmpv6(type=135,code=0),nd(target=::3,sll=00:00:00:00:00:01,tll=00:00:00:00:00:00),nd_ext(nd_reserved=0,nd_options_type=1)';
    const flat = parseKey(text);
    expect(flat[KEY_FLAGS]).toBe(KEY_FLAG_ND_EXT);
    expect(formatKey(flat)).toBe(text);
    expect(decodeKey(flat).ndExt).toEqual({ reserved: 0, optionsType: 1 });
  });

  test('IGMP is known to the typed form only', () => {
    const flat = encodeKey({
      ...decodeKey(parseKey(`${ETH},${IPV4.replace('proto=17', 'proto=2')}`)),
      igmp: { type: 0x16, code: 0 },
    });
    expect(flat[KEY_TP_SRC + 1]).toBe(0x16);
    expect(formatKey(flat)).toContain('proto=2');
    expect(decodeKey(flat).igmp).toEqual({ type: 0x16, code: 0 });
  });

  test('any bytes have a text', () => {
    const frame = fc.uint8Array({ minLength: KEY_SIZE, maxLength: KEY_SIZE });
    fc.assert(
      fc.property(frame, frame, fc.constantFrom(0x0800, 0x86dd, 0x0806, 0x8847, 0x894f, 0x8100), (key, mask, type) => {
        key.set([type >> 8, type & 0xff], 14);
        expect(formatKey(key)).toContain('in_port(');
        expect(formatMatch(key, mask)).not.toBe('');
      }),
      { seed, numRuns: 500 },
    );
    expect(() => formatKey(new Uint8Array(KEY_SIZE - 1))).toThrow(OdpFieldError);
  });

  test.skipIf(noDpctl)('ovs-dpctl prints the same, attribute by attribute', () => {
    const keys = fc.sample(plainKey, { seed, numRuns: RUNS });
    const texts = keys.map((key) => formatKey(encodeKey(key)));
    const theirs = ovsParseActions(
      texts.map((text) =>
        attributesOf(text)
          .map((part) => `set(${part})`)
          .join(','),
      ),
    );
    expect(theirs.length).toBe(texts.length);
    for (const [index, text] of texts.entries()) {
      expect(theirs[index]).toBe(
        attributesOf(text)
          .map((part) => `set(${part})`)
          .join(','),
      );
    }
    console.log(`30.odp-key: ${texts.length} keys agree with ovs-dpctl parse-actions, attribute by attribute`);
  });

  test.skipIf(noDpctl)('ovs-dpctl prints the same for whole keys in an encap()', () => {
    const texts = fc.sample(plainKey, { seed, numRuns: RUNS }).map((key) => formatKey(encodeKey(key)));
    const theirs = ovsParseActions(texts.map((text) => `set(encap(${text}))`));
    for (const [index, text] of texts.entries())
      expect(theirs[index].startsWith(`set(encap(${text}`), theirs[index]).toBe(true);
    console.log(`30.odp-key: ${texts.length} whole keys agree with ovs-dpctl parse-actions`);
  });

  test.skipIf(noDpctl)('ovs-dpctl takes keys as complete', () => {
    for (const key of fc.sample(plainKey, { seed, numRuns: 150 })) {
      // A complete label stack ends where it says so.
      for (const [index, entry] of key.mpls?.entries() ?? []) entry.bos = index + 1 === key.mpls?.length ? 1 : 0;
      const text = formatKey(encodeKey(key));
      expect(ovsNormalize(text)).toEqual({ text, complete: true });
    }
    const cut = `in_port(1),${ETH},eth_type(0x8100),vlan(vid=0,pcp=0,cfi=0),encap()`;
    expect(ovsNormalize(cut)).toEqual({ text: cut, complete: true });
    expect(formatKey(parseKey(cut))).toBe(`recirc_id(0),${cut}`);
  });
});

describe('matches', () => {
  test('typed to flat, text and back', () => {
    fc.assert(
      fc.property(anyMatch, (typed) => {
        const match = encodeMatch(typed);
        expectSame(maskedKey(match.key, match.mask), match.key);
        for (const again of [
          encodeMatch(decodeMatch(match.key, match.mask)),
          parseMatch(formatMatch(match.key, match.mask)),
        ]) {
          expectSame(again.key, match.key);
          expectSame(again.mask, match.mask);
        }
      }),
      { seed, numRuns: RUNS },
    );
  });

  test.skipIf(noDpctl)('ovs-dpctl prints the same masks', () => {
    const matches = fc.sample(anyMatch, { seed, numRuns: RUNS }).filter((match) => match.nsh === undefined);
    const texts = matches.map((typed) => {
      const { key, mask } = encodeMatch(typed);
      return attributesOf(formatMatch(key, mask)).filter((part) => part !== 'eth_type(0/0xffff)');
    });
    const theirs = ovsParseActions(texts.map((parts) => parts.map((part) => `set(${part})`).join(',')));
    for (const [index, parts] of texts.entries()) {
      // In an unmasked set, ovs-dpctl writes ct_state as a number; and a tag that is not looked at loses its mask.
      const ours = parts.map((part) => part.replace('cfi=0/0', 'cfi=0'));
      const verbose = (text: string) => text.replace(/ct_state\((?:[a-z|]+|0x[0-9a-f]+|0)\)/, 'ct_state(..)');
      expect(verbose(theirs[index])).toBe(verbose(ours.map((part) => `set(${part})`).join(',')));
    }
    console.log(`30.odp-key: ${texts.length} keys under masks agree with ovs-dpctl parse-actions`);
  });

  test('text of ovs-dpctl dump-flows', () => {
    for (const text of [
      'recirc_id(0),in_port(1),eth(),eth_type(0x0800),ipv4(dst=10.0.0.0/255.0.0.0,frag=no)',
      'recirc_id(0),in_port(1),eth(),eth_type(0x8100),vlan(vid=5,pcp=0),encap(eth_type(0x0800),ipv4(dst=10.0.0.0/255.0.0.0,proto=17,frag=no),udp(src=80))',
      'recirc_id(0),in_port(1),eth(),eth_type(0x88a8),vlan(vid=5,pcp=0),encap(eth_type(0x8100),vlan(vid=5/0xf,pcp=0/0x3),encap(eth_type(0x9999)))',
      'recirc_id(0),in_port(1),ct_state(+new-est-rel-rpl-inv+trk),ct_zone(0x5),ct_mark(0x1),ct_label(0x5),eth(),eth_type(0x0800),ipv4(proto=6,frag=no),tcp(src=256/0xff00),tcp_flags(+syn-ack)',
      'recirc_id(0),in_port(1),eth(),eth_type(0x8847),mpls(label=100/0xfffff,tc=0/0,ttl=0/0x0,bos=1/1)',
      'recirc_id(0),in_port(1),eth(),eth_type(0/0xffff)',
      'recirc_id(0),dp_hash(0x1/0xf),skb_priority(0),in_port(1),skb_mark(0x5/0xff),packet_type(ns=0,id=0),eth(src=00:00:00:00:00:01),eth_type(0x0800),ipv4(frag=first)',
      'recirc_id(0),in_port(1),eth(),eth_type(0x86dd),ipv6(proto=58,frag=no),icmpv6(type=135,code=0),nd(target=fe80::1)',
      'eth(),eth_type(0x8100),vlan(vid=0,pcp=0,cfi=0),encap()',
      'eth(),eth_type(0x8100),vlan(),encap(vlan(cfi=0/0),eth_type(0x0800))',
      'in_port(3/0xff),eth(),vlan(cfi=0/0)',
      'eth(),eth_type(0x894f),nsh(flags=0x01/0x03,ttl=63,mdtype=1,np=3,spi=0x10/0x000000ff,si=255,c1=0x1/0x0000000f,c4=0x0)',
    ]) {
      const { key, mask } = parseMatch(text);
      expect(formatMatch(key, mask)).toBe(text);
    }
  });

  test('a part of the fragment type, typed, as text and as attributes', () => {
    const parts = [
      ['first/0x1', 'first/0x1'],
      ['no/0x3', 'no/0x3'],
      ['later/1', 'no/0x1'],
      ['first/0', undefined],
    ] as const;
    for (const [given, kept] of parts) {
      const match = parseMatch(`eth(),eth_type(0x0800),ipv4(proto=17,frag=${given}),udp(src=5)`);
      expect(decodeMatch(match.key, match.mask).ipv4?.frag).toBe(kept);
      const typed = encodeMatch({ vlan: 'none', ethType: 0x800, ipv4: { proto: 17, frag: given }, udp: { src: 5 } });
      expect(typed).toEqual(match);
      expect(parseMatch(formatMatch(match.key, match.mask))).toEqual(match);
      const lists = encodeMatchAttributes(match);
      const { key, mask } = decodeMatchAttributes(lists.key, lists.mask);
      expect({ key, mask }).toEqual(match);
      const text = formatKeyAttributes(lists.key, lists.mask);
      if (kept !== undefined) expect(text).toContain(`frag=${kept}`);
      const read = parseKeyAttributes(text);
      expect(formatKeyAttributes(read.key, read.mask)).toBe(text);
    }
    expect(() => parseMatch('eth_type(0x0800),ipv4(proto=17,frag=later/2),udp(src=5)')).toThrow(/not frag=later/);
    for (const frag of ['first/256', 'first/', 'first/x', 'some/1', 'first/0x100']) {
      expect(() => encodeMatch({ ethType: 0x800, ipv4: { frag: frag as 'first' } })).toThrow(OdpFieldError);
      expect(() => parseMatch(`eth_type(0x0800),ipv4(frag=${frag})`)).toThrow(OdpSyntaxError);
    }
  });

  test('masks, defaults and extensions', () => {
    const { key, mask } = parseMatch('in_port(1) eth_type(0x800)\n,ipv4(dst=10.1.2.3/8)');
    expect([...key.subarray(KEY_IPV4_DST, KEY_IPV4_DST + 4)]).toEqual([10, 0, 0, 0]);
    expect([...mask.subarray(KEY_IPV4_DST, KEY_IPV4_DST + 4)]).toEqual([255, 0, 0, 0]);
    expect([...mask.subarray(KEY_VLAN_TCI, KEY_VLAN_TCI + 2)]).toEqual([255, 255]);
    expect(decodeMatch(key, mask)).toEqual({
      inPort: 1,
      vlan: 'none',
      ethType: 0x800,
      ipv4: { dst: '10.0.0.0/255.0.0.0' },
    });
    expect(encodeMatch({ inPort: 1, vlan: 'none', ethType: 0x800, ipv4: { dst: '10.0.0.0/8' } })).toEqual({
      key,
      mask,
    });
    expect(parseMatch('arp(op=1/0xff),eth_type(0x0806)')).toEqual(parseMatch('eth_type(0x0806),arp(op=1)'));
  });

  test.each([
    ['in_port(1', 9],
    ['in_port()', 8],
    ['in_port(4294967296)', 8],
    ['in_port(1),in_port(2)', 11],
    ['nosuch(1)', 0],
    ['in_port(1)eth()', 10],
    ['in_port(1))', 10],
    ['eth(src=00:11:22:33:44)', 8],
    ['eth_type(0x0004)', 0],
    ['eth_type(0x0800),eth_type(0x0800)', 17],
    ['eth_type(0x0800),ipv4(ttl=256)', 26],
    ['eth_type(0x0800),ipv4(src=1.2.3.4/33)', 34],
    ['eth_type(0x0800),ipv4(frag=maybe)', 27],
    ['eth_type(0x0800),ipv4(nosuch=1)', 22],
    ['ipv4(frag=no)', 0],
    ['eth_type(0x86dd),ipv4(frag=no)', 17],
    ['eth_type(0x0800/0xff00),ipv4(frag=no)', 24],
    ['eth_type(0x0800),udp(src=1)', 17],
    ['eth_type(0x0800),ipv4(proto=17/0xf0),udp(src=1)', 37],
    ['eth_type(0x0800),ipv4(proto=17,frag=later),udp(src=1)', 43],
    ['eth_type(0x0800),ipv4(proto=6),tcp_flags(syn|nosuch)', 45],
    ['eth_type(0x0800),ipv4(proto=6),tcp_flags(+syn+syn)', 46],
    ['eth_type(0x8847),mpls(label=1,label=2,label=3,label=4)', 46],
    ['eth_type(0x8100),vlan(vid=1,pcp=0)', 17],
    ['eth_type(0x8100),encap()', 23],
    ['eth_type(0x0800),vlan(vid=1,pcp=0),encap()', 0],
    ['eth_type(0x8100),vlan(vid=4096),encap()', 26],
    ['eth_type(0x8100),vlan(),encap(vlan(),encap(vlan(),encap()))', 50],
    ['eth_type(0x8100),vlan(),encap(in_port(1))', 30],
    ['eth_type(0x8100),vlan(),ipv4(frag=no),encap()', 24],
    ['eth_type(0x8100),vlan(vid=0,pcp=0,cfi=0),encap(eth_type(0x0800))', 47],
  ])('refuses %s at %i', (text, position) => {
    try {
      parseMatch(text);
    } catch (error) {
      expect(error).toBeInstanceOf(OdpSyntaxError);
      expect((error as OdpSyntaxError).position).toBe(position);
      return;
    }
    expect.unreachable(`${text} was taken`);
  });

  test('names the missing prerequisite', () => {
    expect(() => encodeMatch({ ipv4: { dst: '10.0.0.0/8' } })).toThrow(/ipv4: needs eth_type\(0x0800\)/);
    expect(() => encodeMatch({ ethType: 0x800, udp: { src: 1 } })).toThrow(/udp: needs ipv4\(proto=17\)/);
    expect(() => encodeMatch({ ethType: { value: 0x800, mask: 0xff00 }, ipv4: {} })).toThrow(OdpFieldError);
    expect(() => parseMatch('ipv4(frag=no)')).toThrow(/eth_type\(0x0800\)/);
    expect(() => encodeMatch({ ethType: 0x800, ipv4: { nosuch: 1 } as object })).toThrow(/ipv4\.nosuch: unknown field/);
    expect(() => encodeMatch({ nosuch: 1 } as object)).toThrow(/nosuch: unknown field/);
    expect(() => encodeMatch({ inPort: 2 ** 32 })).toThrow(/inPort/);
    expect(() => encodeMatch({ ethType: 0x100 })).toThrow(/length/);
  });

  test('cut text is a syntax error or a shorter match', () => {
    for (const key of fc.sample(anyKey, { seed, numRuns: 60 })) {
      cutEverywhere(formatKey(encodeKey(key)), parseMatch);
      cutEverywhere(formatKey(encodeKey(key)), parseKey);
    }
    for (const typed of fc.sample(anyMatch, { seed, numRuns: 100 })) {
      const { key, mask } = encodeMatch(typed);
      cutEverywhere(formatMatch(key, mask), parseMatch);
    }
  });

  test('mutated text never throws anything else', () => {
    const mutation = fc.tuple(
      anyMatch,
      fc.array(fc.tuple(fc.nat(400), fc.constantFrom(...'()=,/:.0x1f+-|[] ')), { maxLength: 4 }),
    );
    fc.assert(
      fc.property(mutation, ([typed, edits]) => {
        const { key, mask } = encodeMatch(typed);
        let text = formatMatch(key, mask);
        for (const [at, char] of edits)
          text = text.slice(0, at % text.length) + char + text.slice((at % text.length) + (at % 2));
        try {
          const match = parseMatch(text);
          expectSame(parseMatch(formatMatch(match.key, match.mask)).key, match.key);
        } catch (error) {
          if (!(error instanceof OdpSyntaxError)) throw error;
        }
      }),
      { seed, numRuns: 3000 },
    );
  });
});
