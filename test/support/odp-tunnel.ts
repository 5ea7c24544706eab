/*
 * Random tunnel metadata, typed, exact and under masks, and keys and matches with it, for the tests of src/odp.
 */
import fc from 'fast-check';
import type { FlowKey, FlowMatch, TunnelKey } from '../../src/odp/index.ts';
import { anyKey, anyMatch, ipv4, ipv6, u8, u16, u32 } from './odp.ts';

const u64 = fc.oneof(fc.constantFrom(0n, 1n, (1n << 64n) - 1n), fc.bigInt(0n, (1n << 64n) - 1n));
const hexWords = fc
  .array(fc.uint8Array({ minLength: 4, maxLength: 4 }), { maxLength: 4 })
  .map((words) => words.map((word) => Buffer.from(word).toString('hex')).join(''));
const geneve = fc.array(fc.record({ class: u16, type: u8, data: hexWords }), { minLength: 1, maxLength: 4 });
const erspan = fc.oneof(
  fc.record({ version: fc.constant(1), index: u32 }),
  fc.record({
    version: fc.constant(2),
    timestamp: u32,
    sgt: u16,
    p: fc.nat(1),
    ft: fc.nat(31),
    hwidUpper: fc.nat(3),
    hwid: fc.nat(15),
    dir: fc.nat(1),
    gra: fc.nat(3),
    o: fc.nat(1),
  }),
);

/** Options of each kind; those that a key without an IPv4 or IPv6 packet inside may have as well. */
const options = fc.oneof(
  fc.constant({}),
  fc.record({ geneve }),
  fc.record({ vxlanGbp: fc.record({ id: u16, flags: u8 }) }),
  fc.record({ erspan }),
  fc.record({ gtpu: fc.record({ flags: u8, msgtype: u8 }) }),
);

const yes = fc.constant(true as const);
const flags = fc.record({ df: yes, csum: yes, oam: yes }, { requiredKeys: [] });
const plain = (address: fc.Arbitrary<string>) =>
  fc.record(
    { id: u64, src: address, dst: address, tos: u8, ttl: u8, tpSrc: u16, tpDst: u16 },
    { requiredKeys: ['src', 'dst', 'tos', 'ttl', 'tpSrc', 'tpDst'] },
  );

/** An address that text shows: zero is no address to a tunnel. */
const some = (address: fc.Arbitrary<string>) => address.filter((text) => /[1-9a-f]/.test(text));

/** The tunnel of an exact key. */
export const tunnelKey: fc.Arbitrary<TunnelKey> = fc
  .tuple(fc.oneof(plain(some(ipv4)), plain(some(ipv6))), flags, options)
  .map(([fields, bits, option]) => ({ ...fields, ...bits, ...option }) as TunnelKey);

/** `value` under a random mask that is neither empty nor full. */
function underMask(max: bigint) {
  return (value: number | bigint) =>
    fc.bigInt(1n, max - 1n).map((mask) => {
      const masked = BigInt(value) & mask;
      return typeof value === 'bigint' ? { value: masked, mask } : { value: Number(masked), mask: Number(mask) };
    });
}

type TunnelMatch = NonNullable<FlowMatch['tunnel']>;

/** A tunnel under masks: each field whole, under a mask or left out; the destination and the TTL always there. */
export const tunnelMatch: fc.Arbitrary<TunnelMatch> = tunnelKey.chain((key) => {
  const { src, dst, ttl, df, csum, oam, geneve: list, vxlanGbp, erspan: span, gtpu, ...numbers } = key;
  const widths: Record<string, bigint> = { id: 64n, tos: 8n, tpSrc: 16n, tpDst: 16n };
  const fields = Object.entries(numbers).map(([name, value]) => {
    const masked = underMask((1n << widths[name]) - 1n)(value as number | bigint);
    return [name, fc.oneof(fc.constant(value), fc.constant(undefined), masked)] as const;
  });
  const family = src.includes(':') ? ipv6 : ipv4;
  const masks = fc.record(Object.fromEntries(fields));
  const address = fc.oneof(
    fc.constant(src),
    fc.constant(undefined),
    some(family).map((mask) => `${src}/${mask}`),
  );
  const bit = fc.constantFrom(true, false, undefined);
  return fc
    .tuple(masks, address, fc.record({ df: bit, csum: bit, oam: bit }), fc.constantFrom(list, list?.map(maskOption)))
    .map(([part, source, bits, opts]) => {
      const all = { ...part, src: source, dst, ttl, ...bits, geneve: opts, vxlanGbp, erspan: span, gtpu };
      return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as TunnelMatch;
    });
});

function maskOption({ class: optionClass, type, data }: { class: number; type: number; data: string }) {
  return { class: optionClass, type, data: data === '' ? '' : `${data}/${'f0'.repeat(data.length / 2)}` };
}

/** Any exact key, half of them out of a tunnel, IPv6 with extension headers. */
export const tunnelled: fc.Arbitrary<FlowKey> = fc
  .tuple(anyKey, fc.option(tunnelKey, { nil: undefined }), fc.nat(0x1ff))
  .map(([key, tunnel, ipv6Exthdrs]) => ({
    ...key,
    ...(tunnel === undefined ? {} : { tunnel }),
    ...(key.ipv6 === undefined || ipv6Exthdrs === 0 ? {} : { ipv6Exthdrs }),
  }));

/** Any match, half of them with a tunnel. */
export const tunnelledMatch: fc.Arbitrary<FlowMatch> = fc
  .tuple(anyMatch, fc.option(tunnelMatch, { nil: undefined }))
  .map(([typed, tunnel]) => (tunnel === undefined ? typed : { ...typed, tunnel }));

/** What attributes say: input port 0xffff is none, tags are always matched, with their TPID, NSH context belongs to type 1. */
export function comparable(typed: FlowMatch): FlowMatch {
  const inPort = typeof typed.inPort === 'number' ? typed.inPort % 0xffff : undefined;
  const tag = (value: FlowMatch['vlan']): FlowMatch['vlan'] =>
    typeof value === 'object' ? { ...value, tpid: typeof value.tpid === 'number' ? value.tpid : 0x8100 } : 'none';
  const vlan = tag(typed.vlan);
  const nsh = typed.nsh && { nsh: { ...typed.nsh, mdtype: 1 } };
  return { ...typed, ...nsh, inPort, vlan, cvlan: vlan === 'none' ? undefined : tag(typed.cvlan) };
}

/** What `work` throws, undefined when nothing. */
export const outcome = (work: () => unknown) => {
  try {
    work();
    return undefined;
  } catch (error) {
    return error;
  }
};

/** ERSPAN metadata that only its bytes can say: another version, or bits where version 1 has none. */
export const otherErspan: fc.Arbitrary<string> = fc.uint8Array({ minLength: 12, maxLength: 12 }).map((random) => {
  const bytes = Buffer.from(random);
  if (bytes[0] === 1) bytes[11]! |= 1;
  else if (bytes.readUInt32LE(0) === 2) bytes[0] = 3;
  return bytes.toString('hex');
});
