/*
 * Random typed matches that the kernel's datapath takes, and gives back without a loss: what it has no attribute for, what it always
 * matches whole, and what its dumps leave out is not among them.
 */
import fc from 'fast-check';
import type { FlowMatch } from '../../src/odp/index.ts';
import { decodeMatch, encodeMatch } from '../../src/odp/index.ts';
import { anyMatch, ipv4, ipv6, u16, u32 } from './odp.ts';
import { comparable, tunnelMatch } from './odp-tunnel.ts';

const u128 = fc.bigInt(1n, (1n << 128n) - 1n);
const tuple = (address: fc.Arbitrary<string>) =>
  fc.record(
    { src: address, dst: address, proto: fc.integer({ min: 1, max: 255 }), tpSrc: u16, tpDst: u16 },
    { requiredKeys: ['proto'] },
  );
const connection = fc.record({
  ctState: fc.tuple(fc.nat(0xff), fc.integer({ min: 1, max: 0xff })).map(([value, mask]) => {
    return mask % 4 === 0 ? value : { value: value & mask, mask };
  }),
  ctZone: u16,
  ctMark: u32,
  ctLabel: u128.map((mask) => ({ value: (mask >> 1n) & mask, mask })),
  ctTuple4: tuple(ipv4),
  ctTuple6: tuple(ipv6),
});

/** The conntrack fields that go with the type; the kernel's key has neighbour discovery where it would have a tuple. */
function connectionOf({ ethType, nd }: FlowMatch, { ctTuple4, ctTuple6, ...fields }: FlowMatch): FlowMatch {
  if (ethType === 0x0800) return { ...fields, ctTuple4 };
  return ethType === 0x86dd && nd === undefined ? { ...fields, ctTuple6 } : fields;
}

/** The type of the metadata is matched whole, as context words need it; only type 1 has them. */
function nshOf({ c1, c2, c3, c4, ...base }: NonNullable<FlowMatch['nsh']>): FlowMatch['nsh'] {
  return base.mdtype === 2 ? base : { ...base, mdtype: 1, c1, c2, c3, c4 };
}

/** A tunnel as the kernel has it: it knows no GTP-U. A masked value has no bits outside of its mask. */
function kernelTunnel(tunnel: NonNullable<FlowMatch['tunnel']>): FlowMatch['tunnel'] {
  const { gtpu, ...known } = tunnel;
  const { key, mask } = encodeMatch({ tunnel: known });
  return decodeMatch(key, mask).tunnel;
}

/** A header with its fragment type under a part of a mask. */
function partlyFragment<T extends { frag?: string }>(header: T, mask: number): T {
  return header.frag === undefined ? header : { ...header, frag: `${header.frag}/0x${mask.toString(16)}` };
}

export const kernelMatch: fc.Arbitrary<FlowMatch> = fc
  .tuple(
    anyMatch,
    fc.option(tunnelMatch, { nil: undefined }),
    fc.option(connection, { nil: undefined }),
    fc.option(fc.nat(0x1ff), { nil: undefined }),
    fc.nat(0xfffe),
    fc.constantFrom(0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 0x81),
  )
  .map(([match, tunnel, ct, ipv6Exthdrs, inPort, fragMask]) => {
    const { packetType, igmp, ...typed } = comparable(match);
    // It asks for neighbour discovery whatever the code, which is none in every such packet.
    const { icmpv6 } = typed;
    if (icmpv6 !== undefined && typed.nd === undefined) typed.icmpv6 = { ...icmpv6, type: 128 };
    for (const name of ['ipv4', 'ipv6'] as const) {
      const header = typed[name];
      if (header !== undefined && fragMask !== 0xff) Object.assign(typed, { [name]: partlyFragment(header, fragMask) });
    }
    return {
      ...typed,
      ...(match.nsh === undefined ? {} : { nsh: nshOf(match.nsh) }),
      inPort,
      ...(ct === undefined ? {} : connectionOf(typed, ct as FlowMatch)),
      ...(ipv6Exthdrs === undefined || typed.ipv6 === undefined ? {} : { ipv6Exthdrs }),
      ...(tunnel === undefined ? {} : { tunnel: kernelTunnel(tunnel) }),
    } as FlowMatch;
  });
