/*
 * Random flow keys, matches and actions for the tests of src/odp, and ovs-dpctl as their judge.
 *
 * The generators make typed values; ovs-dpctl is called with many texts at once, because each process costs milliseconds.
 */
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import type { Action, FlowKey, FlowMatch } from '../../src/odp/index.ts';
import { encodeActions, formatIpv4, formatIpv6, formatMac } from '../../src/odp/index.ts';

/** The seed of this run: env SEED, or a new one. */
export const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 0x7fffffff));

export const u8 = fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(0xff));
export const u16 = fc.oneof(fc.constantFrom(0, 1, 0x00ff, 0xff00, 0xffff), fc.nat(0xffff));
export const u32 = fc.oneof(fc.constantFrom(0, 1, 0xffff, 0x80000000, 0xffffffff), fc.nat(0xffffffff));
const label20 = fc.oneof(fc.constantFrom(0, 0xfffff), fc.nat(0xfffff));
const u128 = fc.oneof(fc.constantFrom(0n, 1n, 1n << 64n, (1n << 128n) - 1n), fc.bigInt(0n, (1n << 128n) - 1n));
/** Addresses with runs of zero and of one bytes, which text shortens. */
const addressBytes = (size: number) =>
  fc.uint8Array({ minLength: size, maxLength: size }).chain((bytes) =>
    fc.array(fc.tuple(fc.nat(size - 1), fc.nat(size), fc.constantFrom(0, 0, 0xff)), { maxLength: 3 }).map((runs) => {
      for (const [start, count, fill] of runs) bytes.fill(fill, start, start + count);
      return bytes;
    }),
  );
export const mac = addressBytes(6).map((bytes) => formatMac(bytes));
export const ipv4 = addressBytes(4).map((bytes) => formatIpv4(bytes));
export const ipv6 = addressBytes(16).map((bytes) => formatIpv6(bytes));
const frag = fc.constantFrom('no' as const, 'first' as const, 'later' as const);

const ports = fc.record({ src: u16, dst: u16 });
const icmp = fc.record({ type: u8, code: u8 });
const tuple = <T>(address: fc.Arbitrary<T>) =>
  fc.record({ src: address, dst: address, proto: fc.integer({ min: 1, max: 255 }), tpSrc: u16, tpDst: u16 });
const mplsEntry = fc.record({ label: label20, tc: fc.nat(7), ttl: u8, bos: fc.nat(1) });
const nd = fc.record({ target: ipv6, sll: mac, tll: mac });
const arp = fc.record({ sip: ipv4, tip: ipv4, op: u8, sha: mac, tha: mac });
const nshMd1 = fc.record({
  flags: u8,
  ttl: u8,
  mdtype: fc.constant(1),
  np: u8,
  spi: fc.nat(0xffffff),
  si: u8,
  c1: u32,
  c2: u32,
  c3: u32,
  c4: u32,
});
const nshMd2 = nshMd1.map((nsh) => ({ ...nsh, mdtype: 2, c1: 0, c2: 0, c3: 0, c4: 0 }));

/** What follows IPv4 or IPv6 with this protocol: [protocol, headers]. */
const transport = (six: boolean) =>
  fc.oneof(
    fc.record({ tcp: ports, tcpFlags: fc.nat(0xfff) }).map((l4) => [6, l4] as const),
    ports.map((udp) => [17, { udp }] as const),
    ports.map((sctp) => [132, { sctp }] as const),
    fc.constantFrom([47, {}] as const, [0, {}] as const),
    six
      ? fc.oneof(
          icmp
            .filter(({ type, code }) => code !== 0 || (type !== 135 && type !== 136))
            .map((icmpv6) => [58, { icmpv6 }] as const),
          fc
            .tuple(fc.constantFrom(135, 136), nd)
            .map(([type, body]) => [58, { icmpv6: { type, code: 0 }, nd: body }] as const),
        )
      : icmp.map((icmp4) => [1, { icmp: icmp4 }] as const),
  );

const ipv4Key = fc
  .tuple(fc.record({ src: ipv4, dst: ipv4, tos: u8, ttl: u8, frag }), transport(false))
  .map(([ip, [proto, l4]]) => ({
    ethType: 0x0800,
    ipv4: { ...ip, proto },
    ...(ip.frag === 'later' ? {} : l4),
  }));
const ipv6Key = fc
  .tuple(fc.record({ src: ipv6, dst: ipv6, label: label20, tclass: u8, hlimit: u8, frag }), transport(true))
  .map(([ip, [proto, l4]]) => ({ ethType: 0x86dd, ipv6: { ...ip, proto }, ...(ip.frag === 'later' ? {} : l4) }));

/** Headers after the tags. NSH is apart: ovs-dpctl 3.1 prints it in a key but refuses to read it. */
const innerKey = fc.oneof(
  { weight: 5, arbitrary: ipv4Key },
  { weight: 5, arbitrary: ipv6Key },
  { weight: 2, arbitrary: fc.record({ ethType: fc.constantFrom(0x0806, 0x8035), arp }) },
  {
    weight: 2,
    arbitrary: fc.record({
      ethType: fc.constantFrom(0x8847, 0x8848),
      mpls: fc.array(mplsEntry, { minLength: 1, maxLength: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ ethType: fc.integer({ min: 0x9000, max: 0xffff }) }) },
  { weight: 1, arbitrary: fc.record({ ethType: fc.constant(0x0004) }) },
);
export const nshKey = fc.record({ ethType: fc.constant(0x894f), nsh: fc.oneof(nshMd1, nshMd2) });

const tag = fc.record({ tpid: fc.constantFrom(0x8100, 0x88a8), vid: fc.nat(0xfff), pcp: fc.nat(7) });
const tags = fc.oneof(fc.constant({}), fc.record({ vlan: tag }), fc.record({ vlan: tag, cvlan: tag }));

/** Metadata that is zero is absent from a decoded key, so zero never stands here. */
const present = <T>(arbitrary: fc.Arbitrary<T>) => arbitrary.filter((value) => value !== 0 && value !== 0n);
const ctMetadata = fc.record(
  { ctState: present(fc.nat(0xff)), ctZone: present(u16), ctMark: present(u32), ctLabel: present(u128) },
  { requiredKeys: [] },
);
const metadata = fc.record(
  { skbPriority: present(u32), skbMark: present(u32), dpHash: present(u32) },
  { requiredKeys: [] },
);

function keyOf(inner: fc.Arbitrary<object>, ct: boolean): fc.Arbitrary<FlowKey> {
  return fc
    .tuple(
      fc.record({ inPort: u32, recircId: u32, eth: fc.record({ src: mac, dst: mac }) }),
      metadata,
      ctMetadata,
      tags,
      inner,
    )
    .map(
      ([base, meta, conntrack, vlans, headers]) =>
        ({ ...base, ...meta, ...(ct ? conntrack : {}), ...vlans, ...headers }) as FlowKey,
    );
}

/** Exact keys that ovs-dpctl prints without a loss: no conntrack fields (it leaves their values out without a mask), no NSH. */
export const plainKey: fc.Arbitrary<FlowKey> = keyOf(innerKey, false);

const tupled = (key: FlowKey) =>
  key.ethType === 0x0800
    ? tuple(ipv4).map((ctTuple4) => ({ ...key, ctTuple4 }))
    : key.ethType === 0x86dd
      ? tuple(ipv6).map((ctTuple6) => ({ ...key, ctTuple6 }))
      : fc.constant(key);

/** Any exact key: also conntrack fields and tuples, NSH, packet types and cut tags. */
export const anyKey: fc.Arbitrary<FlowKey> = fc.oneof(
  keyOf(fc.oneof(innerKey, nshKey), true),
  keyOf(innerKey, true).chain(tupled),
  plainKey.map((key) => ({
    inPort: key.inPort,
    recircId: key.recircId,
    eth: key.eth,
    ethType: 0x8100,
  })),
);

// ---------------------------------------------------------------------------------------------------- matches

/**
 * Puts masks on a typed exact value: numbers and addresses under masks, fields left out. No mask is zero: text does not show
 * the value of such a field.
 */
function masked(value: unknown, path: string): fc.Arbitrary<unknown> {
  if (typeof value === 'number') {
    const max = {
      inPort: 0xffffffff,
      ctState: 0xff,
      tcpFlags: 0xfff,
      label: 0xfffff,
      tc: 7,
      bos: 1,
      vid: 0xfff,
      pcp: 7,
      spi: 0xffffff,
    }[path];
    const width =
      max ??
      (/^(tpSrc|tpDst|src|dst|ethType|ctZone|tpid)$/.test(path)
        ? 0xffff
        : /^(c[1-4]|skb|dp|ctMark)/.test(path)
          ? 0xffffffff
          : 0xff);
    return fc.oneof(
      fc.constant(value),
      fc.integer({ min: 1, max: width }).map((mask) => underMask(value, mask, width)),
    );
  }
  if (typeof value === 'bigint')
    return fc.oneof(
      fc.constant(value),
      present(u128).map((mask) => ({ value: value & mask, mask })),
    );
  if (typeof value === 'string') {
    if (path === 'frag') return fc.constant(value);
    const kind = value.includes('.') && !value.includes(':') ? ipv4 : /^..:..:..:..:..:..$/.test(value) ? mac : ipv6;
    return fc.oneof(
      fc.constant(value),
      kind.filter((mask) => /[1-9a-f]/.test(mask)).map((mask) => `${value}/${mask}`),
    );
  }
  if (Array.isArray(value)) return fc.tuple(...value.map((entry) => masked(entry, path)));
  const entries = Object.entries(value as object).map(([name, field]) => [name, masked(field, name)] as const);
  return fc.record(Object.fromEntries(entries), { requiredKeys: [] });
}

function underMask(value: number, mask: number, width: number): unknown {
  return mask === width ? value : { value: (value & mask) >>> 0, mask };
}

const LEADS = new Set(['ethType', 'proto', 'frag', 'type', 'code']);

/** A match made from an exact key: fields that lead to others stay whole, others get masks or go. */
export const anyMatch: fc.Arbitrary<FlowMatch> = fc.oneof(keyOf(fc.oneof(innerKey, nshKey), true)).chain((key) => {
  const parts = Object.entries(key).map(
    ([name, value]) => [name, LEADS.has(name) ? fc.constant(value) : maskedGroup(name, value)] as const,
  );
  const all = fc.record(Object.fromEntries(parts));
  return fc
    .tuple(all, fc.constantFrom('none' as const, undefined))
    .map(([match, vlan]) => ({ vlan, ...match }) as FlowMatch);
});

function maskedGroup(name: string, value: unknown): fc.Arbitrary<unknown> {
  if (name === 'recircId') return fc.constant(value);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return masked(value, name);
  const whole = Object.fromEntries(Object.entries(value).filter(([field]) => LEADS.has(field)));
  return masked(value, name).map((fields) => ({ ...(fields as object), ...whole }));
}

// ---------------------------------------------------------------------------------------------------- actions

const setValues: Record<string, fc.Arbitrary<unknown>> = {
  skbPriority: u32,
  skbMark: u32,
  eth: fc.record({ src: mac, dst: mac }),
  ipv4: fc.record({ src: ipv4, dst: ipv4, proto: u8, tos: u8, ttl: u8, frag }),
  ipv6: fc.record({ src: ipv6, dst: ipv6, label: label20, proto: u8, tclass: u8, hlimit: u8, frag }),
  tcp: ports,
  udp: ports,
  sctp: ports,
  mpls: fc.array(mplsEntry, { minLength: 1, maxLength: 3 }),
  arp,
  nd,
  icmp,
  icmpv6: icmp,
  ctMark: u32,
  ctZone: u16,
  ctLabel: u128,
};

/** A value that ovs-dpctl reads as a whole one: IPv6 and ARP have mask bits or padding that keep them masked. */
const WHOLE = new Set([
  'skbPriority',
  'skbMark',
  'eth',
  'ipv4',
  'tcp',
  'udp',
  'sctp',
  'mpls',
  'nd',
  'icmp',
  'icmpv6',
  'ctMark',
  'ctZone',
  'ctLabel',
]);
const setAction = fc.constantFrom(...Object.keys(setValues)).chain((name) =>
  fc.tuple(setValues[name], fc.boolean()).chain(([value, whole]): fc.Arbitrary<Action> => {
    if (whole && WHOLE.has(name)) return fc.constant({ type: 'set', field: { [name]: value } } as Action);
    return masked(value, name)
      .map((field) => ({ type: 'setMasked', field: { [name]: field } }) as Action)
      .filter((action) => !isWhole(encodeActions([action])));
  }),
);

/** True when the mask of an encoded SET_MASKED is all ones: text knows no difference between that and a SET. */
function isWhole(bytes: Uint8Array): boolean {
  const size = (bytes[4] - 4) / 2;
  return bytes.subarray(8 + size, 8 + 2 * size).every((byte) => byte === 0xff);
}

/**
 * userspace() with userdata that Open vSwitch neither fills nor reads as a cookie: 8 bytes or more, not 48. A tunnel port of
 * 0xffffffff is none to it.
 */
const userspace = fc.record(
  {
    type: fc.constant('userspace' as const),
    pid: u32,
    userdata: fc.uint8Array({ minLength: 8, maxLength: 64 }).filter((bytes) => bytes.length !== 48),
    actions: fc.constant(true),
    tunnelOutPort: fc.nat(0xfffffffe),
  },
  { requiredKeys: ['type', 'pid', 'userdata'] },
);

export const knownAction: fc.Arbitrary<Action> = fc.oneof(
  { weight: 3, arbitrary: u32.map((port) => ({ type: 'output', port }) as Action) },
  { weight: 6, arbitrary: setAction },
  { weight: 2, arbitrary: userspace },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('pushVlan' as const),
      tpid: fc.constantFrom(0x8100, 0x88a8, 0x9100),
      vid: fc.nat(0xfff),
      pcp: fc.nat(7),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ type: 'popVlan' } as Action) },
  { weight: 1, arbitrary: u32.map((maxSize) => ({ type: 'trunc', maxSize }) as Action) },
);

export const unknownAction: fc.Arbitrary<Action> = fc.record({
  type: fc.constant('unknown' as const),
  number: fc.integer({ min: 100, max: 0x3fff }),
  payload: fc.uint8Array({ maxLength: 20 }),
});

// ---------------------------------------------------------------------------------------------------- ovs-dpctl

/** Bytes of arguments handed to one process. */
const ARGUMENTS_SIZE_MAX = 500_000;

/** What `ovs-dpctl parse-actions` prints for each text, in order. Throws when it refuses one. */
export function ovsParseActions(texts: readonly string[]): string[] {
  const lines: string[] = [];
  let batch: string[] = [];
  let size = 0;
  const flush = () => {
    if (batch.length === 0) return;
    const output = execFileSync('ovs-dpctl', ['parse-actions', ...batch], { encoding: 'utf8', maxBuffer: 1 << 26 });
    lines.push(...output.trimEnd().split('\n'));
    batch = [];
    size = 0;
  };
  for (const text of texts) {
    if (size + text.length > ARGUMENTS_SIZE_MAX) flush();
    batch.push(text);
    size += text.length + 16;
  }
  flush();
  return lines;
}

/** What `ovs-dpctl normalize-actions` prints as input flow, and whether it takes it as a complete key. */
export function ovsNormalize(flow: string): { text: string; complete: boolean } {
  try {
    const output = execFileSync('ovs-dpctl', ['normalize-actions', flow, '1'], { encoding: 'utf8', stdio: 'pipe' });
    return { text: inputFlow(output), complete: true };
  } catch (error) {
    return { text: inputFlow((error as { stdout: string }).stdout), complete: false };
  }
}

function inputFlow(output: string): string {
  return /^input flow: (.*)$/m.exec(output)?.[1] ?? '';
}
