/*
 * Actions one by one: written by hand as text, as attributes and with the builder; other spellings, names, numbers; limits and values out of range.
 */
import { describe, expect, test } from 'vitest';
import {
  ACTION_NESTING_MAX,
  type Action,
  actions,
  decodeActions,
  encodeActions,
  formatActions,
  OdpFieldError,
  OdpSyntaxError,
  parseActions,
} from '../src/odp/index.ts';
import { bytes, hex, thrown, VECTORS } from './support/action-vectors.ts';
import { dpctlParseActions } from './support/dpctl.ts';
import { requireProgram } from './support/require.ts';

const noDpctl = requireProgram('ovs-dpctl');

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
    [
      'set(tunnel(ttl=64,dst=1.1.1.1,tun_id=5,flags(key|df)))',
      'set(tunnel(tun_id=0x5,dst=1.1.1.1,ttl=64,flags(df|key)))',
    ],
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

  test('what the kernel writes in another order is understood', () => {
    const checkPktLen = '1c00 1500 0600 0100 dc05 0000 0c00 0300 0800 0100 02000000 0400 0200';
    expect(formatActions(bytes(checkPktLen))).toBe('check_pkt_len(size=1500,gt(drop),le(2))');
    const tunnel = '1c00 0300 1800 1000 0500 0400 40000000 0400 0500 0800 0200 01010101';
    expect(formatActions(bytes(tunnel))).toBe('set(tunnel(dst=1.1.1.1,ttl=64,flags(df)))');
    const twice = '1c00 0300 1800 1000 0500 0400 40000000 0400 0500 0800 0400 40010101';
    expect(thrown(() => decodeActions(bytes(twice)))).toBeUndefined();
    expect(decodeActions(bytes(twice))[0].type).toBe('unknown');
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
