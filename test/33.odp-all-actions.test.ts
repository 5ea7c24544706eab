/*
 * Every action with every nested attribute: typed, as attributes and as text. Random nested lists go through every form and back;
 * `ovs-dpctl parse-actions` judges the text of those that it reads. SEED sets the seed, ACTION_LISTS the number of lists for ovs-dpctl.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ACTION_NESTING_MAX,
  type Action,
  actions,
  decodeActions,
  decodeCookie,
  decodeTunnelHeader,
  encodeActions,
  encodeCookie,
  encodeTunnelHeader,
  formatActions,
  OdpAttributeError,
  OdpFieldError,
  OdpSyntaxError,
  parseActions,
} from '../src/odp/index.ts';
import { seed } from './support/odp.ts';
import { anyAction, cookie, dpctlAction, dpctlParseActions, plainAction } from './support/odp-actions.ts';
import { requireProgram } from './support/require.ts';

console.log(`33.odp-all-actions: SEED=${seed}`);
const noDpctl = requireProgram('ovs-dpctl');
const RUNS = 1500;
const DPCTL_LISTS = Number(process.env.ACTION_LISTS ?? 12_000);

function lists(action: fc.Arbitrary<Action>, count: number): Action[][] {
  return fc.sample(fc.array(action, { minLength: 1, maxLength: 5 }), { seed, numRuns: count });
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function bytes(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
}

function thrown(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe('there and back', () => {
  test('typed, attributes, typed, and exact text', () => {
    for (const list of lists(anyAction, RUNS)) {
      const encoded = encodeActions(list);
      const decoded = decodeActions(encoded);
      expect(hex(encodeActions(decoded))).toBe(hex(encoded));
      const text = formatActions(decoded, { exact: true });
      expect(hex(encodeActions(parseActions(text))), text).toBe(hex(encoded));
    }
  });

  test('text in the spelling of ovs-dpctl, where that keeps everything', () => {
    for (const list of lists(plainAction, RUNS)) {
      const encoded = encodeActions(list);
      const text = formatActions(list);
      expect(hex(encodeActions(parseActions(text))), text).toBe(hex(encoded));
      expect(formatActions(encoded)).toBe(text);
    }
  });

  test('any text that is written can be read', () => {
    for (const list of lists(anyAction, RUNS)) {
      const text = formatActions(list);
      const again = formatActions(parseActions(text));
      expect(formatActions(parseActions(again)), text).toBe(again);
    }
  });

  test.skipIf(noDpctl)('ovs-dpctl parse-actions prints the same', () => {
    const texts = lists(dpctlAction, DPCTL_LISTS).map((list) => formatActions(list));
    const theirs = dpctlParseActions(texts);
    for (const [index, text] of texts.entries()) {
      expect(theirs[index]).toBe(text);
      expect(formatActions(parseActions(text, { likeDpctl: true }))).toBe(text);
    }
    const count = texts.reduce((sum, text) => sum + text.split(/[a-z_]+\(/).length, 0);
    console.log(`33.odp-all-actions: ${texts.length} lists (${count} words) agree with ovs-dpctl parse-actions`);
  });

  test('cookies and tunnel headers', () => {
    fc.assert(
      fc.property(cookie, (value) => {
        expect(decodeCookie(encodeCookie(value))).toEqual(value);
      }),
      { seed, numRuns: RUNS },
    );
    for (const action of lists(anyAction, RUNS).flat()) {
      if (action.type !== 'tunnelPush') continue;
      const header = decodeTunnelHeader(action.tunnelType, action.header);
      if (header === undefined) continue;
      expect(decodeTunnelHeader(action.tunnelType, encodeTunnelHeader(header))).toEqual(header);
    }
  });
});

/** Written by hand from linux/openvswitch.h: text of ovs-dpctl, attributes, builder. */
const VECTORS: [text: string, hex: string, built: Action[]][] = [
  ['recirc(0x10)', '0800 0700 10000000', actions().recirc(16).build()],
  ['hash(l4(5))', '0c00 0800 00000000 05000000', actions().hash(5).build()],
  ['hash(sym_l4(0))', '0c00 0800 01000000 00000000', actions().hash(0, 'symL4').build()],
  [
    'push_mpls(label=100,tc=3,ttl=64,bos=1,eth_type=0x8847)',
    '0c00 0900 00064740 8847 0000',
    actions().pushMpls({ label: 100, tc: 3, ttl: 64, bos: 1, ethType: 0x8847 }).build(),
  ],
  ['pop_mpls(eth_type=0x800)', '0600 0a00 0800 0000', actions().popMpls(0x800).build()],
  [
    'add_mpls(label=0,tc=0,ttl=64,bos=1,eth_type=0x8847)',
    '0c00 1600 00000140 8847 0000',
    actions().addMpls({ label: 0, tc: 0, ttl: 64, bos: 1, ethType: 0x8847, flags: 0 }).build(),
  ],
  [
    'push_eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02)',
    '1000 0e00 000000000001 000000000002',
    actions().pushEth({ src: '00:00:00:00:00:01', dst: '00:00:00:00:00:02' }).build(),
  ],
  ['pop_eth', '0400 0f00', actions().popEth().build()],
  [
    'push_nsh(flags=0,ttl=63,mdtype=1,np=3,spi=0x10,si=255,c1=0x1,c2=0x2,c3=0x3,c4=0x4)',
    '2800 1100 2400 1c00 0c00 0100 003f0103 000010ff 1400 0200 00000001 00000002 00000003 00000004',
    actions()
      .pushNsh({ flags: 0, ttl: 63, mdtype: 1, np: 3, spi: 16, si: 255, context: [1, 2, 3, 4] })
      .build(),
  ],
  ['pop_nsh()', '0400 1200', actions().popNsh().build()],
  [
    'set(nsh(ttl=3,si=0x0f/0x0f))',
    '1c00 0b00 1800 1c00 1400 0100 0003000000000 00f 00ff000000 00000f',
    actions()
      .setNsh({ ttl: 3, si: { value: 15, mask: 15 } })
      .build(),
  ],
  ['meter(7)', '0800 1300 07000000', actions().meter(7).build()],
  [
    'sample(sample=50.0%,actions(3))',
    '1800 0600 0800 0100 00000080 0c00 0200 0800 0100 03000000',
    actions()
      .sample(0.5, (nested) => nested.output(3))
      .build(),
  ],
  [
    'clone(ct_clear,1)',
    '1000 1400 0400 1000 0800 0100 01000000',
    actions()
      .clone([{ type: 'ctClear' }, { type: 'output', port: 1 }])
      .build(),
  ],
  [
    'check_pkt_len(size=1500,gt(drop),le(2))',
    '1c00 1500 0600 0100 dc05 0000 0400 0200 0c00 0300 0800 0100 02000000',
    actions()
      .checkPktLen(1500, [], (nested) => nested.output(2))
      .build(),
  ],
  [
    'dec_ttl(le_1(1))',
    '1000 1700 0c00 0100 0800 0100 01000000',
    actions()
      .decTtl((nested) => nested.output(1))
      .build(),
  ],
  [
    'psample(group=1,cookie=0x1020)',
    '1400 1980 0800 0100 01000000 0600 0200 1020 0000',
    actions().psample(1, bytes('1020')).build(),
  ],
  ['ct', '0400 0c00', actions().ct().build()],
  [
    'ct(commit,zone=5,mark=0x1/0xff,helper=ftp,nat(src=10.0.0.1-10.0.0.9:100-200,persistent,random))',
    '5400 0c00 0400 0100 0600 0200 0500 0000 0c00 0300 01000000 ff000000 0800 0500 66747000 ' +
      '3000 0600 0400 0100 0800 0300 0a000001 0800 0400 0a000009 0600 0500 6400 0000 0600 0600 c800 0000 0400 0700 0400 0900',
    actions()
      .ct({
        commit: true,
        zone: 5,
        mark: { value: 1, mask: 255 },
        helper: 'ftp',
        nat: {
          direction: 'src',
          address: { min: '10.0.0.1', max: '10.0.0.9' },
          port: { min: 100, max: 200 },
          persistent: true,
          random: true,
        },
      })
      .build(),
  ],
  [
    'ct(force_commit,timeout=t,nat(dst=[2001:db8::1]:80))',
    '3400 0c00 0400 0700 0600 0900 7400 0000 2400 0600 0400 0200 1400 0300 20010db8000000000000000000000001 0600 0500 5000 0000',
    actions()
      .ct({
        forceCommit: true,
        timeout: 't',
        nat: { direction: 'dst', address: { min: '2001:db8::1' }, port: { min: 80 } },
      })
      .build(),
  ],
  [
    'userspace(pid=1,slow_path(cfm,lacp),actions)',
    '4400 0200 0800 0100 01000000 3400 0200 0200ffff 00000000000000000000000000000000 00000000 05000000' +
      '00000000000000000000000000000000 00000000 0400 0400',
    actions()
      .userspace({ pid: 1, userdata: { type: 'slowPath', reason: 5 }, actions: true })
      .build(),
  ],
  ['tnl_pop(4)', '0800 1b00 04000000', actions().tunnelPop(4).build()],
  ['lb_output(2)', '0800 1c00 02000000', actions().lbOutput(2).build()],
  [
    'tnl_push(tnl_port(4),header(size=50,type=4,eth(dst=00:00:00:00:00:02,src=00:00:00:00:00:01,dl_type=0x0800),' +
      'ipv4(src=1.1.2.88,dst=1.1.2.92,proto=17,tos=0,ttl=64,frag=0x4000),udp(src=0,dst=4789,csum=0x0),' +
      'vxlan(flags=0x8000000,vni=0x7b)),out_port(100))',
    '4600 1a00 04000000 64000000 32000000 04000000 000000000002 000000000001 0800' +
      '4500 0000 0000 4000 4011 3438 01010258 0101025c 0000 12b5 0000 0000 08000000 00007b00 0000',
    actions()
      .tunnelPush(
        { tunnelPort: 4, outPort: 100 },
        {
          eth: { dst: '00:00:00:00:00:02', src: '00:00:00:00:00:01', dlType: 0x800 },
          ipv4: { src: '1.1.2.88', dst: '1.1.2.92', proto: 17, tos: 0, ttl: 64, frag: 0x4000 },
          udp: { src: 0, dst: 4789, csum: 0 },
          tunnel: { type: 'vxlan', flags: 0x8000000, vni: 123 },
        },
      )
      .build(),
  ],
];

describe('vectors', () => {
  test.each(VECTORS)('%s', (text, attributes, built) => {
    expect(hex(encodeActions(parseActions(text)))).toBe(hex(bytes(attributes)));
    expect(formatActions(bytes(attributes))).toBe(text);
    expect(hex(encodeActions(built))).toBe(hex(bytes(attributes)));
    expect(decodeActions(bytes(attributes))).toEqual(parseActions(text));
  });

  test.each([
    ['recirc(16)', 'recirc(0x10)'],
    ['hash(Unknown hash algorithm(7))', 'hash(Unknown hash algorithm(7))'],
    ['push_nsh()', 'push_nsh(flags=0,ttl=63,mdtype=1,np=3,spi=0x0,si=255,c1=0x0,c2=0x0,c3=0x0,c4=0x0)'],
    ['push_nsh(mdtype=2)', 'push_nsh(flags=0,ttl=63,mdtype=2,np=3,spi=0x0,si=255,md2=0)'],
    ['userspace(pid=1,slow_path(bfd|lldp))', 'userspace(pid=1,slow_path(bfd,lldp))'],
    ['ct()', 'ct'],
    ['ct(nat(), zone=1 commit)', 'ct(commit,zone=1,nat)'],
    ['ct(nat(src=fe80::1-fe80::2))', 'ct(nat(src=fe80::1-fe80::2))'],
    ['clone()', 'clone(drop)'],
    ['drop(3)', 'drop'],
    ['check_pkt_len(size=1,gt(),le(1 2))', 'check_pkt_len(size=1,gt(drop),le(1,2))'],
    ['sample(sample=33.333333%,actions(1))', 'sample(sample=33.3%,actions(1))'],
    ['psample(cookie=0x123 group=0x10)', 'psample(group=16,cookie=0x123)'],
    ['set(vlan(vid=5,pcp=1))', 'set(vlan(vid=5,pcp=1))'],
  ])('%s reads as %s', (text, normal) => {
    expect(formatActions(parseActions(text))).toBe(normal);
  });

  test('port names', () => {
    const numbers = new Map([
      ['eth0', 1],
      ['a b', 2],
      ['drop', 3],
      ['7up', 4],
    ]);
    const names = new Map([...numbers].map(([name, number]) => [number, name]));
    const list = actions().output(1).output(2).output(3).output(4).output(5).tunnelPop(1).build();
    const text = 'eth0,"a b","drop","7up",5,tnl_pop(eth0)';
    expect(formatActions(list, { names })).toBe(text);
    expect(parseActions(text, { names: numbers })).toEqual(list);
    expect(thrown(() => parseActions('eth1', { names: numbers }))).toBeInstanceOf(OdpSyntaxError);
    expect(thrown(() => parseActions('eth0'))).toBeInstanceOf(OdpSyntaxError);
  });

  test('numbers of Open vSwitch 3.1', () => {
    const list = actions().drop(1).tunnelPop(2).lbOutput(3).build();
    expect(hex(encodeActions(list))).toBe(hex(bytes('08001800 01000000 08001b00 02000000 08001c00 03000000')));
    const old = bytes('08001900 01000000 08001800 02000000 08001a00 03000000');
    expect(hex(encodeActions(list, { numbering: 'ovs-3.1' }))).toBe(hex(old));
    expect(decodeActions(old, { numbering: 'ovs-3.1' })).toEqual(list);
    const decTtl = actions().decTtl().build();
    expect(thrown(() => encodeActions(decTtl, { numbering: 'ovs-3.1' }))).toBeInstanceOf(OdpFieldError);
  });

  test('attributes that the typed form would change stay as they are', () => {
    for (const kept of [
      '0c00 0c00 0400 0100 0400 0100', // the same flag twice
      '1000 0c00 0600 0200 0100 0000 0400 0100', // an order of its own
      '0c00 0c00 0800 0a00 01000000', // an attribute that nobody knows
      '1400 0600 0800 0200 0400 0500 0800 0100 01000000', // the list before the probability
      '0c00 0900 00064740 8847 0001', // padding that is not zero
    ]) {
      const decoded = decodeActions(bytes(kept));
      expect(decoded[0].type).toBe('unknown');
      expect(hex(encodeActions(decoded)).startsWith(hex(bytes(kept)))).toBe(true);
    }
  });
});

describe('limits', () => {
  const nest = (depth: number): Action =>
    depth === 0 ? { type: 'output', port: 1 } : { type: 'clone', actions: [nest(depth - 1)] };
  const attributes = (depth: number): Uint8Array => {
    let list = bytes('0800 0100 01000000');
    for (let i = 0; i < depth; i++) list = Uint8Array.from([list.length + 4, (list.length + 4) >> 8, 20, 0, ...list]);
    return list;
  };

  test('lists in lists', () => {
    const text = (depth: number) => `${'clone('.repeat(depth)}1${')'.repeat(depth)}`;
    const deepest = ACTION_NESTING_MAX;
    expect(formatActions([nest(deepest)])).toBe(text(deepest));
    expect(parseActions(text(deepest))).toEqual([nest(deepest)]);
    expect(decodeActions(attributes(deepest))).toEqual([nest(deepest)]);
    expect(hex(encodeActions([nest(deepest)]))).toBe(hex(attributes(deepest)));
    for (const run of [
      () => parseActions(text(deepest + 1)),
      () => decodeActions(attributes(deepest + 1)),
      () => encodeActions([nest(deepest + 1)]),
      () => formatActions([nest(deepest + 1)]),
    ])
      expect((thrown(run) as Error).message).toMatch(`${deepest} deep`);
    expect(thrown(() => parseActions('clone('.repeat(100_000)))).toBeInstanceOf(OdpSyntaxError);
    if (noDpctl === undefined)
      expect(dpctlParseActions([text(deepest - 1), text(deepest), text(deepest + 1)])).toEqual([
        text(deepest - 1),
        undefined,
        undefined,
      ]);
  });

  test('size of a list, of a nested list, of userdata', () => {
    const outputs = (count: number) => new Array<Action>(count).fill({ type: 'output', port: 1 });
    expect(encodeActions([{ type: 'clone', actions: outputs(8190) }]).length).toBe(65_524);
    for (const list of [outputs(8192), [{ type: 'clone', actions: outputs(8191) } as Action]]) {
      expect(thrown(() => encodeActions(list))).toBeInstanceOf(OdpFieldError);
    }
    const text = formatActions(outputs(8191));
    expect(hex(encodeActions(parseActions(text)))).toBe(hex(encodeActions(outputs(8191))));
    const userspace = (size: number) =>
      actions()
        .userspace({ pid: 1, userdata: new Uint8Array(size) })
        .build();
    expect(formatActions(encodeActions(userspace(65_511))).length).toBeGreaterThan(131_000);
    expect(thrown(() => encodeActions(userspace(65_513)))).toBeInstanceOf(OdpFieldError);
  });

  test.each<[string, unknown]>([
    ['recirc.id', { type: 'recirc', id: 2 ** 32 }],
    ['hash.algorithm', { type: 'hash', algorithm: 'l5', basis: 0 }],
    ['pushMpls.label', { type: 'pushMpls', label: 0x100000, tc: 0, ttl: 0, bos: 0, ethType: 0x8847 }],
    ['pushMpls.bos', { type: 'pushMpls', label: 1, tc: 0, ttl: 0, ethType: 0x8847 }],
    ['popMpls.ethType', { type: 'popMpls', ethType: 0x10000 }],
    ['MAC address', { type: 'pushEth', src: 'x', dst: '00:00:00:00:00:00' }],
    ['pushNsh.spi', { type: 'pushNsh', flags: 0, ttl: 0, mdtype: 1, np: 1, spi: 0x1000000, si: 0 }],
    ['pushNsh.md2', { type: 'pushNsh', flags: 0, ttl: 0, mdtype: 2, np: 1, spi: 0, si: 0, md2: new Uint8Array(3) }],
    ['sample.probability', { type: 'sample', probability: 0.5, actions: [] }],
    ['clone.actions', { type: 'clone' }],
    ['checkPktLen.size', { type: 'checkPktLen', size: 65536, greater: [], lessEqual: [] }],
    ['ct.zone', { type: 'ct', zone: -1 }],
    ['ct.label.value', { type: 'ct', label: { value: 1, mask: 1n } }],
    ['ct.helper', { type: 'ct', helper: 'sixteen-letters.' }],
    ['ct.timeout', { type: 'ct', timeout: 'a,b' }],
    ['ct.nat.address', { type: 'ct', nat: { direction: 'src', address: { min: '1.2.3.4', max: '::1' } } }],
    ['ct.nat.port.min', { type: 'ct', nat: { direction: 'src', address: { min: '1.2.3.4' }, port: { min: 65536 } } }],
    ['psample.cookie', { type: 'psample', group: 1, cookie: new Uint8Array(17) }],
    [
      'tunnelPush.header',
      { type: 'tunnelPush', tunnelPort: 1, outPort: 1, tunnelType: 4, header: new Uint8Array(513) },
    ],
    ['vlan.vid', { type: 'set', field: { vlan: { vid: 4096, pcp: 0 } } }],
    ['nsh', { type: 'set', field: { nsh: { ttl: 1 } } }],
    ['type', { type: 'toString' }],
  ])('%s', (field, action) => {
    const error = thrown(() => encodeActions([action as Action]));
    expect(error).toBeInstanceOf(OdpFieldError);
    expect((error as OdpFieldError).field).toBe(field);
  });
});

describe('bad input', () => {
  test('text cut at every byte and with any byte changed', () => {
    for (const [text] of VECTORS) {
      for (let size = 0; size < text.length; size++) {
        checkSyntax(text.slice(0, size));
        for (const char of '(),=0x "') checkSyntax(text.slice(0, size) + char + text.slice(size + 1));
      }
    }
  });

  test.each([
    ['hash(l5(0))', 5],
    ['recirc(0x100000000)', 7],
    ['push_mpls(label=1,tc=8,ttl=0,bos=0,eth_type=1)', 21],
    ['sample(sample=100.1%,actions(1))', 14],
    ['sample(sample=50%,actions(1)', 27],
    ['clone(1', 7],
    ['clone(1,nosuch)', 8],
    ['clone(1)2', 8],
    ['check_pkt_len(size=65536,gt(),le())', 19],
    ['ct(commit', 9],
    ['ct(mark=0x100000000)', 8],
    ['ct(helper=)', 10],
    ['ct(nat(src,dst))', 7],
    ['ct(nat(src=1.2.3))', 11],
    ['ct(nat(src=1.2.3.4-::1))', 22],
    ['psample(cookie=0x1)', 18],
    ['push_nsh(md3=1)', 9],
    ['userspace(pid=1,ipfix(output_port=x))', 34],
    ['tnl_push(tnl_port(1),header(size=5,type=4,data(00000000)),out_port(1))', 33],
  ])('refuses %s at %i', (text, position) => {
    const error = thrown(() => parseActions(text));
    expect(error).toBeInstanceOf(OdpSyntaxError);
    expect((error as OdpSyntaxError).position).toBe(position);
  });

  test('attributes of every size and number, nested and not', () => {
    const sizes = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 20, 65_531, 65_532, 65_535];
    for (let number = 0; number <= 30; number++) {
      for (const size of sizes) {
        for (const inner of [
          '',
          '0000',
          '0300 0100',
          '0400 0100',
          '0800 0100 01000000',
          '0400 0200 0400 0300',
          'ffff ffff',
        ]) {
          const body = bytes(inner);
          const header = [size, size >> 8, number, 0];
          checkAttributes(Uint8Array.from([...header, ...body]));
          checkAttributes(Uint8Array.from([body.length + 8, 0, number, 0, ...header, ...body]));
          checkAttributes(
            Uint8Array.from([12 + body.length, 0, 20, 0, body.length + 8, 0, number, 0, ...header, ...body]),
          );
        }
      }
    }
  });

  test('attributes cut at every byte and with any byte changed', () => {
    for (const [, , built] of VECTORS) {
      const whole = encodeActions(built);
      for (let at = 0; at < whole.length; at++) {
        checkAttributes(whole.subarray(0, at));
        for (const value of [0, 1, 3, 4, 5, 8, 0x7f, 0xff]) {
          const damaged = whole.slice();
          damaged[at] = value;
          checkAttributes(damaged);
        }
      }
    }
  });
});

function checkSyntax(text: string): void {
  let list: Action[];
  try {
    list = parseActions(text);
  } catch (error) {
    if (error instanceof OdpSyntaxError) return;
    throw error;
  }
  const exact = formatActions(list, { exact: true });
  expect(hex(encodeActions(parseActions(exact))), text).toBe(hex(encodeActions(list)));
}

function checkAttributes(list: Uint8Array): void {
  let decoded: Action[];
  try {
    decoded = decodeActions(list);
  } catch (error) {
    if (error instanceof OdpAttributeError) return;
    throw error;
  }
  const again = encodeActions(decoded);
  expect(hex(encodeActions(decodeActions(again)))).toBe(hex(again));
  expect(hex(encodeActions(parseActions(formatActions(decoded, { exact: true }))))).toBe(hex(again));
}
