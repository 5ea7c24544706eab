/*
 * Actions: typed, as attributes and as text. Random lists go through every form and back; ovs-dpctl parse-actions judges the
 * text. SEED sets the seed.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Action,
  decodeActions,
  encodeActions,
  formatActions,
  OdpAttributeError,
  OdpFieldError,
  OdpSyntaxError,
  parseActions,
} from '../src/odp/index.ts';
import { knownAction, ovsParseActions, seed, unknownAction } from './support/odp.ts';
import { requireProgram } from './support/require.ts';

console.log(`31.odp-actions: SEED=${seed}`);
const noDpctl = requireProgram('ovs-dpctl');
const RUNS = 5000;
const list = fc.array(knownAction, { minLength: 1, maxLength: 6 });
const anyList = fc.array(fc.oneof({ weight: 9, arbitrary: knownAction }, { weight: 1, arbitrary: unknownAction }), {
  minLength: 1,
  maxLength: 6,
});

function bytes(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/[0-9a-f]{2}/g) ?? [], (pair) => Number.parseInt(pair, 16));
}

describe('attributes', () => {
  test('typed to bytes and back', () => {
    fc.assert(
      fc.property(anyList, (actions) => {
        const encoded = encodeActions(actions);
        expect(encoded.length % 4).toBe(0);
        const decoded = decodeActions(encoded);
        expect(encodeActions(decoded)).toEqual(encoded);
        expect(formatActions(decoded)).toBe(formatActions(actions));
      }),
      { seed, numRuns: RUNS },
    );
  });

  test.each<[string, Action, string]>([
    ['output', { type: 'output', port: 0x01020304 }, '0800 0100 04030201'],
    ['drop', { type: 'drop', reason: 2 }, '0800 1800 02000000'],
    ['trunc', { type: 'trunc', maxSize: 100 }, '0800 0d00 64000000'],
    ['push_vlan', { type: 'pushVlan', tpid: 0x88a8, vid: 5, pcp: 1 }, '0800 0400 88a83005'],
    ['pop_vlan', { type: 'popVlan' }, '0400 0500'],
    [
      'userspace',
      { type: 'userspace', pid: 7, userdata: bytes('0102'), tunnelOutPort: 9, actions: true },
      '2000 0200 0800 0100 07000000 0600 0200 01020000 0800 0300 09000000 0400 0400',
    ],
    ['set skb_mark', { type: 'set', field: { skbMark: 1 } }, '0c00 0300 0800 0f00 01000000'],
    ['set udp', { type: 'set', field: { udp: { src: 1, dst: 2 } } }, '0c00 0300 0800 0a00 0001 0002'],
    [
      'set eth (source first)',
      { type: 'set', field: { eth: { src: '00:00:00:00:00:01', dst: '00:00:00:00:00:02' } } },
      '1400 0300 1000 0400 000000000001 000000000002',
    ],
    [
      'set masked ipv4',
      { type: 'setMasked', field: { ipv4: { dst: '10.0.0.0/8', ttl: { value: 1, mask: 15 } } } },
      '2000 0b00 1c00 0700 00000000 0a000000 00 00 01 00 00000000 ff000000 00 00 0f 00',
    ],
    ['unknown', { type: 'unknown', number: 200, payload: bytes('ff') }, '0500 c800 ff000000'],
  ])('%s', (_, action, hex) => {
    expect(encodeActions([action])).toEqual(bytes(hex));
    expect(encodeActions(decodeActions(bytes(hex)))).toEqual(bytes(hex));
  });

  test('nested flag bits are ignored, what has no typed form is kept', () => {
    expect(decodeActions(bytes('0c00 0380 0800 0f00 01000000'))).toEqual([{ type: 'set', field: { skbMark: 1 } }]);
    const nshSet = bytes('0800 0300 0400 1c00');
    expect(decodeActions(nshSet)).toEqual([{ type: 'unknown', number: 3, payload: nshSet.subarray(4) }]);
    const padded = encodeActions([{ type: 'setMasked', field: { arp: { op: 1 } } }]);
    padded[8 + 23] = 1;
    expect(decodeActions(padded)[0]).toMatchObject({ type: 'unknown', number: 11 });
    expect(encodeActions(decodeActions(padded))).toEqual(padded);
  });

  test.each([
    ['0300 0100', 0, /length 3/],
    ['0900 0100 01000000', 0, /length 9/],
    ['0800 0100 01000000 0400', 8, /header/],
    ['0600 0100 0100 0000', 0, /OUTPUT.*2 bytes, 4 expected/],
    ['0800 0500 01000000', 0, /POP_VLAN/],
    ['0400 0300', 0, /0 key attributes/],
    ['0c00 0300 0800 0700 01000000', 4, /ipv4.*4 bytes, 12 expected/],
    ['0c00 0b00 0800 0f00 01000000', 4, /skb_mark.*4 bytes, 8 expected/],
    ['0c00 0300 0700 1500 01000000', 4, /mpls.*3 bytes, 4 or 8 or 12 expected/],
    ['0400 0200', 0, /USERSPACE PID.*missing/],
    ['0c00 0200 0800 0900 01000000', 4, /OVS_USERSPACE_ATTR 9/],
    ['0c00 0200 0c00 0100 01000000', 4, /length 12/],
  ])('refuses %s at byte %i', (hex, offset, message) => {
    const error = thrown(() => decodeActions(bytes(hex)));
    expect(error).toBeInstanceOf(OdpAttributeError);
    expect((error as OdpAttributeError).offset).toBe(offset);
    expect((error as Error).message).toMatch(message);
  });

  test('any bytes decode or give OdpAttributeError, and come back the same', () => {
    const mutated = fc.tuple(anyList, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), fc.nat(8));
    fc.assert(
      fc.property(mutated, ([actions, edits, cut]) => {
        const damaged = encodeActions(actions);
        for (const [at, value] of edits) damaged[at % damaged.length] = value;
        const part = damaged.subarray(0, damaged.length - cut);
        const error = thrown(() => {
          const decoded = decodeActions(part);
          expect(encodeActions(decodeActions(encodeActions(decoded)))).toEqual(encodeActions(decoded));
          formatActions(decoded);
        });
        if (error !== undefined && !(error instanceof OdpAttributeError)) throw error;
      }),
      { seed, numRuns: RUNS },
    );
  });

  test('values out of range', () => {
    const bad: unknown[] = [
      { type: 'output', port: -1 },
      { type: 'output', port: 2 ** 32 },
      { type: 'trunc', maxSize: 1.5 },
      { type: 'pushVlan', vid: 4096, pcp: 0 },
      { type: 'pushVlan', pcp: 0 },
      { type: 'nosuch' },
      { type: 'set', field: {} },
      { type: 'set', field: { tcp: { src: 1, dst: 2 }, udp: { src: 1, dst: 2 } } },
      { type: 'set', field: { tcp: { src: 1 } } },
      { type: 'set', field: { tcp: { src: { value: 1, mask: 1 }, dst: 2 } } },
      { type: 'set', field: { nsh: {} } },
      { type: 'set', field: { mpls: [] } },
      { type: 'set', field: { eth: { src: 'x', dst: 'y' } } },
      { type: 'unknown', number: 0x4000, payload: new Uint8Array(0) },
      { type: 'userspace', pid: 1, userdata: new Uint8Array(70_000) },
    ];
    for (const action of bad)
      expect(
        thrown(() => encodeActions([action as Action])),
        JSON.stringify(action).slice(0, 80),
      ).toBeInstanceOf(OdpFieldError);
    const output: Action = { type: 'output', port: 1 };
    expect(encodeActions(new Array<Action>(8191).fill(output)).length).toBe(65528);
    expect(thrown(() => encodeActions(new Array<Action>(8192).fill(output)))).toBeInstanceOf(OdpFieldError);
  });
});

function thrown(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe('text', () => {
  test('bytes to text and back', () => {
    fc.assert(
      fc.property(anyList, (actions) => {
        const encoded = encodeActions(actions);
        expect(encodeActions(parseActions(formatActions(encoded)))).toEqual(encoded);
      }),
      { seed, numRuns: RUNS },
    );
  });

  test.skipIf(noDpctl)('ovs-dpctl prints the same', () => {
    const texts = fc.sample(list, { seed, numRuns: RUNS }).map((actions) => formatActions(actions));
    const theirs = ovsParseActions(texts);
    expect(theirs.length).toBe(texts.length);
    for (const [index, text] of texts.entries()) {
      expect(theirs[index]).toBe(text);
      expect(formatActions(parseActions(theirs[index], { likeDpctl: true }))).toBe(theirs[index]);
    }
    console.log(`31.odp-actions: ${texts.length} lists agree with ovs-dpctl parse-actions`);
  });

  test.skipIf(noDpctl)('text in other spellings normalises as with ovs-dpctl', () => {
    const texts = [
      '',
      'drop',
      '0x10',
      '010',
      '1 2',
      '1,,2',
      ',1',
      '1,',
      '1\t2',
      'userspace(pid=5)',
      'userspace(pid=0x5,userdata(01))',
      'userspace(pid=5,userdata(01 02),actions,tunnel_out_port=0x10)',
      'userspace(pid=5,userdata(),actions)',
      'userspace(pid=5,tunnel_out_port=10)',
      'push_vlan(tpid=0x8100,vid=5,pcp=1)',
      'push_vlan(vid=0x5,pcp=1,cfi=0)',
      'push_vlan(vid=5,pcp=1,cfi=1)',
      'set(eth(src=0:1:2:3:4:5))',
      'set(ipv4(src=1.2.3.4,src=1.2.3.5))',
      'set(ipv4(src=1.2.3.4,))',
      'set(ipv4(ttl=010,proto=0x11))',
      'set(ct_state(0xff))',
      'set(ct_state(new|est))',
      'set(ct_state(0x1/0xff))',
      'set(ct_state(+trk))',
      'set(ct_state(0))',
      'set(tcp_flags(0x3ff))',
      'set(tcp_flags(syn|0x200))',
      'set(tcp_flags(fin|[200]))',
      'set(tcp_flags(+fin-[200]))',
      'set(tcp_flags(0x1/0xf))',
      'set(tcp_flags(0))',
      'set(mpls(label=100))',
      'set(mpls(tc=1,bos=1))',
      'set(mpls(label=100/0xff,label=5))',
      'set(ipv6(label=0x1/0xfffff))',
      'set(ipv6(src=2001::/ffff::,hlimit=3/0x1,frag=no))',
      'set(arp(op=1/0xff))',
      'set(arp(op=256))',
      'set(icmp(type=8/0xf,code=0))',
      'set(ct_tuple6(src=::1/::ff,tp_dst=2/0xf))',
      'set(ct_tuple4(src=1.2.3.4/255.0.0.0,proto=6/0xf,tp_src=1/0xff))',
      'set(packet_type(ns=1/0xf,id=0x800/0xff))',
      'set(eth_type(0x800/0xff))',
      'set(skb_mark(1/0))',
      'set(in_port(3/0xff))',
      'set(ct_label(256/15))',
      'set(eth())',
      'set(ipv4(src=1.2.3.4/0.0.0.0))',
      'set(dp_hash(0/0xf)),5',
    ];
    const theirs = ovsParseActions(texts);
    for (const [index, text] of texts.entries()) {
      expect(formatActions(parseActions(text, { likeDpctl: true })), text).toBe(theirs[index]);
    }
  });

  test('drop, empty and unknown', () => {
    expect(parseActions('drop')).toEqual([]);
    expect(formatActions([])).toBe('drop');
    expect(formatActions(new Uint8Array(0))).toBe('drop');
    expect(parseActions('1,drop')).toEqual([
      { type: 'output', port: 1 },
      { type: 'drop', reason: 0 },
    ]);
    expect(formatActions([{ type: 'unknown', number: 99, payload: bytes('0a0b') }])).toBe('action99(0a 0b)');
    expect(formatActions([{ type: 'unknown', number: 99, payload: bytes('') }])).toBe('action99');
    expect(parseActions('userspace(pid=5)')).toEqual([{ type: 'userspace', pid: 5 }]);
  });

  test.each([
    ['5foo', 1],
    ['pop_vlanx', 0],
    ['4294967296', 0],
    ['nosuch', 0],
    ['trunc(x)', 6],
    ['push_vlan(vid=4096,pcp=1)', 14],
    ['push_vlan(vid=1)', 10],
    ['push_vlan(vid=1/1,pcp=1)', 10],
    ['userspace(pid=5,userdata(0))', 25],
    ['userspace(pid=5,nosuch)', 15],
    ['set(nosuch(1))', 4],
    ['set(eth(src=1))', 12],
    ['set(skb_mark(1),skb_mark(2))', 15],
    ['set(ipv4(ttl=256))', 13],
    ['set(mpls())', 9],
    ['1)', 1],
    ['action16384', 0],
  ])('refuses %s at %i', (text, position) => {
    const error = thrown(() => parseActions(text));
    expect(error).toBeInstanceOf(OdpSyntaxError);
    expect((error as OdpSyntaxError).position).toBe(position);
  });

  test('cut and mutated text gives nothing but OdpSyntaxError', () => {
    for (const actions of fc.sample(anyList, { seed, numRuns: 300 })) {
      const text = formatActions(actions);
      for (let size = 0; size < text.length; size++) checkSyntax(text.slice(0, size));
    }
    const edited = fc.tuple(
      anyList,
      fc.array(fc.tuple(fc.nat(), fc.constantFrom(...'()=,/:.0x1f+-|[] ')), { maxLength: 4 }),
    );
    for (const [actions, edits] of fc.sample(edited, { seed, numRuns: 3000 })) {
      let text = formatActions(actions);
      for (const [at, char] of edits)
        text = text.slice(0, at % text.length) + char + text.slice((at % text.length) + (at % 2));
      checkSyntax(text);
    }
  });
});

function checkSyntax(text: string): void {
  const error = thrown(() => formatActions(parseActions(text)));
  if (error !== undefined && !(error instanceof OdpSyntaxError)) throw error;
}
