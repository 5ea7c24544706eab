/*
 * Random actions of every kind, as fast-check arbitraries, for the tests of src/odp.
 *
 * `anyAction` gives every typed action with every part; `dpctlAction` only those that `ovs-dpctl parse-actions` of Open vSwitch 3.1 reads and whose
 * text keeps everything.
 */
import fc from 'fast-check';
import {
  type Action,
  type CtAction,
  type CtNat,
  encodeCookie,
  encodeTunnelHeader,
  type OuterTunnel,
  TUNNEL_TYPES,
  type TunnelHeader,
  type TunnelKey,
  type UserspaceCookie,
} from '../../src/odp/index.ts';
import { ipv4, ipv6, knownAction, mac, u8, u16, u32 } from './odp.ts';
import { tunnelKey } from './odp-tunnel.ts';

const u64 = fc.oneof(fc.constantFrom(0n, 1n, (1n << 64n) - 1n), fc.bigInt(0n, (1n << 64n) - 1n));
const u128 = fc.oneof(fc.constantFrom(0n, 1n, 1n << 64n, (1n << 128n) - 1n), fc.bigInt(0n, (1n << 128n) - 1n));
const u24 = fc.oneof(fc.constantFrom(0, 0xffffff), fc.nat(0xffffff));
const label = fc.oneof(fc.constantFrom(0, 0xfffff), fc.nat(0xfffff));
const present = fc.constant(true as const);
const bytes = (minLength: number, maxLength: number) => fc.uint8Array({ minLength, maxLength });
const entry = { label, tc: fc.nat(7), ttl: u8, bos: fc.nat(1) };

// ---------------------------------------------------------------------------------------------------- userspace

export const cookie: fc.Arbitrary<UserspaceCookie> = fc.oneof(
  fc.record({ type: fc.constant('sFlow' as const), vid: fc.nat(0xfff), pcp: fc.nat(7), output: u32 }),
  fc.record({ type: fc.constant('slowPath' as const), reason: fc.nat(0x7f) }),
  fc.record(
    {
      type: fc.constant('flowSample' as const),
      probability: u16,
      collectorSetId: u32,
      obsDomainId: u32,
      obsPointId: u32,
      outputPort: u32,
      direction: fc.constantFrom('ingress' as const, 'egress' as const),
    },
    { requiredKeys: ['type', 'probability', 'collectorSetId', 'obsDomainId', 'obsPointId', 'outputPort'] },
  ),
  fc.record({ type: fc.constant('ipfix' as const), outputPort: u32 }),
  fc.record({
    type: fc.constant('controller' as const),
    reason: u16,
    dontSend: fc.boolean(),
    continuation: fc.boolean(),
    recircId: u32,
    ruleCookie: u64,
    controllerId: u16,
    maxLen: u16,
  }),
);

const userspaceRest = fc.record({ actions: present, tunnelOutPort: fc.nat(0xfffffffe) }, { requiredKeys: [] });

/** With a cookie, as Open vSwitch writes one. */
const cookieAction: fc.Arbitrary<Action> = fc
  .tuple(u32, cookie, userspaceRest)
  .map(([pid, value, rest]) => ({ type: 'userspace', pid, userdata: encodeCookie(value), ...rest }) as Action);

/** With origin and reserved bytes set, of any size. */
const oddUserspace: fc.Arbitrary<Action> = fc
  .tuple(
    u32,
    fc.oneof(
      fc
        .tuple(cookie, u16, bytes(16, 16))
        .map(([value, ofpInPort, bridge]) => encodeCookie({ ...value, ofpInPort, bridge })),
      bytes(0, 60),
      fc.tuple(bytes(48, 48), fc.nat(6)).map(([userdata, type]) => {
        userdata.set([type, 0]);
        return userdata;
      }),
    ),
    userspaceRest,
  )
  .map(([pid, userdata, rest]) => ({ type: 'userspace', pid, userdata, ...rest }) as Action);

// ---------------------------------------------------------------------------------------------------- ct

/** A minimum and, if it is larger, a maximum. */
function range<T>(value: fc.Arbitrary<T>, less: (left: T, right: T) => boolean): fc.Arbitrary<{ min: T; max?: T }> {
  return fc.tuple(value, fc.option(value)).map(([left, right]) => {
    if (right === null || (!less(left, right) && !less(right, left))) return { min: left };
    return less(left, right) ? { min: left, max: right } : { min: right, max: left };
  });
}

const ipv4Order = (text: string) => text.split('.').reduce((value, part) => value * 256 + Number(part), 0);
const hexOf = (text: string) =>
  [...new Uint8Array(parseHex(text))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
const parseHex = (text: string) => encodeTunnelHeader(ipv6Probe(text)).subarray(22, 38);
const ipv6Probe = (src: string): TunnelHeader => ({
  eth: { dst: '0:0:0:0:0:0', src: '0:0:0:0:0:0', dlType: 0x86dd },
  ipv6: { src, dst: '::', label: 0, proto: 0, tclass: 0, hlimit: 0 },
  tunnel: { type: 'gre', flags: 0, proto: 0 },
});
const address = fc.oneof(
  range(
    ipv4.filter((text) => text !== '0.0.0.0'),
    (left, right) => ipv4Order(left) < ipv4Order(right),
  ),
  range(
    ipv6.filter((text) => text !== '::'),
    (left, right) => hexOf(left) < hexOf(right),
  ),
);
const port = range(fc.integer({ min: 1, max: 0xffff }), (left, right) => left < right);

const nat: fc.Arbitrary<CtNat> = fc.oneof(
  fc.constant({}),
  fc
    .record(
      {
        direction: fc.constantFrom('src' as const, 'dst' as const),
        address,
        port,
        persistent: present,
        random: fc.constantFrom('hash', 'random', undefined),
      },
      { requiredKeys: ['direction'] },
    )
    .map(({ random, port: ports, ...rest }) => ({
      ...rest,
      ...(rest.address !== undefined && ports !== undefined && { port: ports }),
      ...(rest.address !== undefined && random !== undefined && { [random]: true }),
      ...(rest.address === undefined && { persistent: undefined }),
    }))
    .map((value) => JSON.parse(JSON.stringify(value)) as CtNat),
);

const name = (maxLength: number) =>
  fc.string({ unit: fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz0123456789_-.'), minLength: 1, maxLength });

const ct: fc.Arbitrary<CtAction> = fc
  .record(
    {
      type: fc.constant('ct' as const),
      commit: fc.constantFrom('commit', 'forceCommit'),
      zone: fc.integer({ min: 1, max: 0xffff }),
      mark: fc.record({ value: u32, mask: u32.filter((mask) => mask !== 0) }),
      label: fc.record({ value: u128, mask: u128.filter((mask) => mask !== 0n) }),
      helper: name(15),
      timeout: name(31),
      nat,
    },
    { requiredKeys: ['type'] },
  )
  .map(({ commit, ...rest }) => (commit === undefined ? rest : { ...rest, [commit]: true as const }));

/** With everything that ovs-dpctl leaves out or refuses. */
const oddCt: fc.Arbitrary<CtAction> = fc.record(
  {
    type: fc.constant('ct' as const),
    commit: present,
    forceCommit: present,
    zone: u16,
    mark: fc.record({ value: u32, mask: u32 }),
    label: fc.record({ value: u128, mask: u128 }),
    eventMask: u32,
    nat: fc.record(
      {
        direction: fc.constantFrom('src' as const, 'dst' as const),
        address: fc.oneof(
          fc.record({ min: ipv4, max: ipv4 }, { requiredKeys: ['min'] }),
          fc.record({ min: ipv6, max: ipv6 }, { requiredKeys: ['min'] }),
        ),
        port: fc.record({ min: u16, max: u16 }, { requiredKeys: ['min'] }),
        persistent: present,
        hash: present,
        random: present,
      },
      { requiredKeys: [] },
    ),
  },
  { requiredKeys: ['type'] },
);

// ---------------------------------------------------------------------------------------------------- headers

const nshParts = { type: fc.constant('pushNsh' as const), np: u8, spi: u24, si: u8 };
const context = fc.tuple(u32, u32, u32, u32);
/** Metadata without zeros in front, which text would lose. */
const md2 = fc.integer({ min: 1, max: 12 }).chain((words) =>
  bytes(4 * words, 4 * words).map((data) => {
    data[0] |= 0x10;
    return data;
  }),
);
const pushNsh: fc.Arbitrary<Action> = fc.oneof(
  fc.record({ ...nshParts, flags: fc.nat(3), ttl: fc.nat(63), mdtype: fc.constant(1), context }),
  fc.record({ ...nshParts, flags: fc.nat(3), ttl: fc.nat(63), mdtype: fc.constant(2), md2 }),
);
const oddNsh: fc.Arbitrary<Action> = fc
  .tuple(
    fc.record({ ...nshParts, flags: u8, ttl: u8, mdtype: u8 }),
    fc.oneof(
      fc.constant({}),
      fc.record({ context }),
      fc.record({ md2: fc.integer({ min: 0, max: 61 }).chain((words) => bytes(4 * words, 4 * words)) }),
    ),
  )
  .map(([base, metadata]) => ({ ...base, ...(base.mdtype === 1 && { context: [0, 0, 0, 0] }), ...metadata }) as Action);

const udp = fc.record({ src: u16, dst: u16, csum: u16 });
const geneveOption = fc
  .tuple(
    u16,
    u8,
    fc.integer({ min: 0, max: 5 }).chain((words) => bytes(4 * words, 4 * words)),
  )
  .map(([optionClass, type, data]) => ({ class: optionClass, type, data: Buffer.from(data).toString('hex') }));
const gre = fc.tuple(u16, u16, u16, u32, u32, fc.nat(7)).map(([rest, proto, csum, key, seq, bits]): OuterTunnel => {
  const announced = ((bits & 1) !== 0 ? 0x8000 : 0) | ((bits & 2) !== 0 ? 0x2000 : 0) | ((bits & 4) !== 0 ? 0x1000 : 0);
  return {
    type: 'gre',
    flags: (rest & 0x4fff) | announced,
    proto,
    ...((bits & 1) !== 0 && { csum }),
    ...((bits & 2) !== 0 && { key }),
    ...((bits & 4) !== 0 && { seq }),
  };
});
const overUdp: fc.Arbitrary<OuterTunnel> = fc.oneof(
  fc.record({ type: fc.constant('vxlan' as const), flags: u32, vni: u24 }),
  fc.record(
    {
      type: fc.constant('geneve' as const),
      oam: present,
      crit: present,
      vni: u24,
      options: fc.array(geneveOption, { minLength: 1, maxLength: 4 }),
    },
    { requiredKeys: ['type', 'vni'] },
  ),
);
const gtpu: fc.Arbitrary<OuterTunnel> = fc.record({
  type: fc.constant('gtpu' as const),
  flags: u8,
  msgtype: u8,
  teid: u32,
});
const erspan: fc.Arbitrary<OuterTunnel> = fc.oneof(
  fc.record({ type: fc.constant('erspan' as const), ver: fc.constant(1 as const), sid: fc.nat(0x3ff), idx: u32 }),
  fc.record({
    type: fc.constant('erspan' as const),
    ver: fc.constant(2 as const),
    sid: fc.nat(0x3ff),
    dir: fc.nat(1),
    hwid: fc.nat(0x3f),
  }),
);
/** Open vSwitch reads as many segments as are left, and up to six. */
const srv6: fc.Arbitrary<OuterTunnel> = fc
  .array(ipv6, { minLength: 1, maxLength: 6 })
  .map((segs) => ({ type: 'srv6', segmentsLeft: segs.length - 1, segs }));

const outer4 = fc.record({ src: ipv4, dst: ipv4, proto: u8, tos: u8, ttl: u8, frag: u16 });
const outer6 = fc.record({ src: ipv6, dst: ipv6, label, proto: u8, tclass: u8, hlimit: u8 });

function tunnelPush(tunnel: fc.Arbitrary<OuterTunnel>, needsUdp: boolean, six?: boolean): fc.Arbitrary<Action> {
  return fc
    .tuple(mac, mac, fc.boolean(), outer4, outer6, udp, tunnel, u32, u32)
    .map(([dst, src, random, ip4, ip6, ports, inner, tunnelPort, outPort]) => {
      const isIpv6 = six ?? random;
      const network = isIpv6
        ? { ipv6: inner.type === 'srv6' ? { ...ip6, proto: 43 } : ip6, eth: { dst, src, dlType: 0x86dd } }
        : { ipv4: ip4, eth: { dst, src, dlType: 0x0800 } };
      const header = encodeTunnelHeader({ ...network, ...(needsUdp && { udp: ports }), tunnel: inner });
      const sixType = TUNNEL_TYPES[`ip6${inner.type}` as keyof typeof TUNNEL_TYPES];
      const tunnelType = isIpv6 ? (sixType ?? TUNNEL_TYPES[inner.type]) : TUNNEL_TYPES[inner.type];
      return { type: 'tunnelPush', tunnelPort, outPort, tunnelType, header };
    });
}

const pushedHeader = fc.oneof(tunnelPush(overUdp, true), tunnelPush(gre, false));
const oddHeader = fc.oneof(
  tunnelPush(gtpu, true),
  tunnelPush(erspan, false),
  tunnelPush(srv6, false, true),
  fc.record({
    type: fc.constant('tunnelPush' as const),
    tunnelPort: u32,
    outPort: u32,
    tunnelType: fc.constantFrom(...Object.values(TUNNEL_TYPES), 99),
    header: bytes(0, 80),
  }),
);

// ---------------------------------------------------------------------------------------------------- all

const setTunnel = (tunnel: TunnelKey): Action => ({ type: 'set', field: { tunnel } });

/**
 * Open vSwitch takes a tunnel for a SET_MASKED when the masks of its attributes are as long as the values, and then prints both: when all three
 * flags are there, or none. It leaves VXLAN options of zero out, and most of what ERSPAN version 2 has.
 */
function isPlainTunnel({ df, csum, oam, vxlanGbp: gbp, erspan }: TunnelKey): boolean {
  const flags = [df, csum, oam].filter(Boolean).length;
  return flags % 3 !== 0 && (gbp === undefined || gbp.id + gbp.flags !== 0) && erspan?.version !== 2;
}

const readable: fc.Arbitrary<Action> = fc.oneof(
  { weight: 6, arbitrary: knownAction },
  { weight: 2, arbitrary: tunnelKey.filter(isPlainTunnel).map(setTunnel) },
  { weight: 3, arbitrary: cookieAction },
  { weight: 4, arbitrary: ct as fc.Arbitrary<Action> },
  { weight: 2, arbitrary: pushNsh },
  { weight: 3, arbitrary: pushedHeader },
  fc.record({ type: fc.constant('meter' as const), id: fc.nat(0x7fffffff) }),
  fc.record({ type: fc.constant('tunnelPop' as const), port: u32 }),
  fc.record({ type: fc.constant('lbOutput' as const), bondId: u32 }),
  fc.record({ type: fc.constant('addMpls' as const), ...entry, ethType: u16, flags: fc.constant(0) }),
  fc.constantFrom<Action>({ type: 'popNsh' }, { type: 'ctClear' }),
);

/** What ovs-dpctl 3.1 prints but cannot read. */
export const printedAction: fc.Arbitrary<Action> = fc.oneof(
  u32.map((id): Action => ({ type: 'recirc', id })),
  fc.record({
    type: fc.constant('hash' as const),
    algorithm: fc.constantFrom('l4' as const, 'symL4' as const),
    basis: u32,
  }),
  fc.record({ type: fc.constant('pushMpls' as const), ...entry, ethType: u16 }),
  fc.record({ type: fc.constant('popMpls' as const), ethType: u16 }),
  fc.record({ type: fc.constant('pushEth' as const), src: mac, dst: mac }),
  fc.constant<Action>({ type: 'popEth' }),
);

/** What text in ovs-dpctl's spelling does not bring back. */
const oddAction: fc.Arbitrary<Action> = fc.oneof(
  { weight: 3, arbitrary: oddUserspace },
  { weight: 3, arbitrary: oddCt as fc.Arbitrary<Action> },
  { weight: 2, arbitrary: oddNsh },
  { weight: 2, arbitrary: oddHeader },
  { weight: 2, arbitrary: tunnelKey.map(setTunnel) },
  fc.record({ type: fc.constant('drop' as const), reason: u32 }),
  fc.record({ type: fc.constant('hash' as const), algorithm: fc.integer({ min: 2, max: 0xffffffff }), basis: u32 }),
  fc.record({ type: fc.constant('addMpls' as const), ...entry, ethType: u16, flags: u16 }),
  fc.record(
    { type: fc.constant('psample' as const), group: u32, cookie: bytes(0, 16) },
    { requiredKeys: ['type', 'group'] },
  ),
  fc.record({
    type: fc.constant('unknown' as const),
    number: fc.integer({ min: 100, max: 0x3fff }),
    payload: bytes(0, 20),
  }),
);

/** Percentages with one decimal place are all that ovs-dpctl prints. */
const tenths = fc.nat(1000).map((value) => Math.floor(0xffffffff * (value / 10 / 100) + 0.5));

/** `leaf`, and actions that hold lists of them. */
function nested(leaf: fc.Arbitrary<Action>, probability: fc.Arbitrary<number>, decTtl: boolean): fc.Arbitrary<Action> {
  return fc.letrec<{ action: Action }>((tie) => {
    const list = fc.array(tie('action'), { maxLength: 3, depthIdentifier: 'actions' });
    const some = fc.array(tie('action'), { minLength: 1, maxLength: 3, depthIdentifier: 'actions' });
    const holders: fc.Arbitrary<Action>[] = [
      fc.record({ type: fc.constant('sample' as const), probability, actions: some }),
      fc.record({ type: fc.constant('clone' as const), actions: some }),
      fc.record({ type: fc.constant('checkPktLen' as const), size: u16, greater: list, lessEqual: list }),
    ];
    if (decTtl) holders.push(fc.record({ type: fc.constant('decTtl' as const), actions: list }));
    return {
      action: fc.oneof(
        { maxDepth: 4, depthIdentifier: 'actions', withCrossShrink: true },
        { weight: 6, arbitrary: leaf },
        ...holders.map((arbitrary) => ({ weight: 1, arbitrary })),
      ),
    };
  }).action;
}

/** Actions that ovs-dpctl 3.1 reads, and whose text keeps everything. */
export const dpctlAction = nested(readable, tenths, false);
export const anyAction = nested(
  fc.oneof({ weight: 3, arbitrary: readable }, printedAction, { weight: 2, arbitrary: oddAction }),
  u32,
  true,
);
/** Actions whose text in ovs-dpctl's spelling keeps everything, though ovs-dpctl does not read all of it. */
export const plainAction = nested(fc.oneof({ weight: 4, arbitrary: readable }, printedAction), tenths, true);
