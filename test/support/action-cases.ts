/*
 * Random packets and action lists for the interpreter, as fast-check arbitraries.
 *
 * Packets are whole and right (up to two tags, IPv4 with options and fragments, IPv6 with extension headers, every transport
 * that a checksum covers, padding behind) except for those that are cut short, which say so.
 */
import fc from 'fast-check';
import { OWN_PORT_ID } from '../../src/kernel/client.ts';
import { type Action, type SetField, withRightChecksums } from '../reference/actions.ts';
import { UPCALL_PID } from './execute-cases.ts';
import {
  arp,
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
  mplsEntry,
  neighbour,
  ROUTING,
  sctp,
  tcp,
  udp,
} from './layers.ts';

export interface Packet {
  frame: Uint8Array;
  cut: boolean;
}

const byte = fc.integer({ min: 0, max: 255 });
const u16 = fc.integer({ min: 0, max: 0xffff });

/** Bytes with many zeros and ones among them: that is where checksums have their corners. */
function octets(size: number): fc.Arbitrary<Uint8Array> {
  const one = fc.oneof({ weight: 2, arbitrary: byte }, fc.constantFrom(0, 0xff));
  return fc.array(one, { minLength: size, maxLength: size }).map((list) => Uint8Array.from(list));
}

const payload = fc.integer({ min: 0, max: 64 }).chain(octets);
const ports = fc.record({ src: u16, dst: u16 });

/** Protocol number and bytes of a transport header with payload; checksums are filled in later. */
const transport = fc.oneof(
  fc.tuple(ports, payload).map(([fields, data]) => [6, tcp(fields, data)] as const),
  fc.tuple(ports, payload, fc.boolean()).map(([fields, data, summed]) => {
    const header = udp(fields, data);
    if (summed) header.set([0xff, 0xff], 6);
    return [17, header] as const;
  }),
  fc.tuple(ports, payload).map(([fields, data]) => [132, sctp(fields, data)] as const),
  payload.map((data) => [1, icmp(8, 0, data)] as const),
  payload.map((data) => [58, icmp(128, 0, data)] as const),
  fc.constant([58, neighbour(135, bytes(1, 1, 2, 0, 0, 0, 0, 9))] as const),
  payload.map((data) => [200, data] as const),
);

const ipv4Packet = fc
  .tuple(transport, octets(4), octets(4), byte, byte, fc.constantFrom(0, 0, 0x4000, 0x2000, 0x2010, 0x0010), u16)
  .map(([[proto, body], src, dst, tos, ttl, frag, option]) => {
    const options = option < 0x2000 ? bytes(1, 1, 1, 0) : bytes();
    return [0x0800, ipv4({ proto, src, dst, tos, ttl, frag, options }, body)] as const;
  });

function routing(next: number, segmentsLeft: number, address: Uint8Array, rest: Uint8Array): Uint8Array {
  return bytes(next, 2, 2, segmentsLeft, 0, 0, 0, 0, address, rest);
}

const chain = fc.constantFrom<string[]>(
  [],
  [],
  [],
  ['hop'],
  ['routing0'],
  ['routing1'],
  ['dest', 'routing1', 'dest'],
  ['hop', 'first'],
  ['later'],
  ['routing1', 'first'],
  ['hop', 'routing0', 'dest'],
);

const ipv6Packet = fc
  .tuple(transport, octets(16), octets(16), byte, byte, chain, octets(16), fc.integer({ min: 0, max: 0xfffff }))
  .map(([[proto, body], src, dst, trafficClass, hopLimit, kinds, address, label]) => {
    let next: number = proto;
    let rest: Uint8Array = body;
    for (const kind of kinds.toReversed()) {
      if (kind === 'hop') [next, rest] = [HOP, extension(HOP, next, rest)];
      else if (kind === 'dest') [next, rest] = [DEST, extension(DEST, next, rest, 1)];
      else if (kind === 'first') [next, rest] = [FRAGMENT, fragment(next, 0, true, rest)];
      else if (kind === 'later') [next, rest] = [FRAGMENT, fragment(next, 5, false, rest)];
      else [next, rest] = [ROUTING, routing(next, kind === 'routing1' ? 1 : 0, address, rest)];
    }
    return [0x86dd, ipv6({ next, proto: 255, src, dst, trafficClass, hopLimit, label }, rest)] as const;
  });

const otherPacket = fc.oneof(
  fc.constant([0x0806, arp()] as const),
  fc.constant([0x8847, bytes(mplsEntry(5, false), mplsEntry(6, true), filler(20))] as const),
  fc.constant([0x0042, filler(66)] as const),
  fc.constant([0x88b5, filler(3)] as const),
);

const tag = fc.tuple(fc.constantFrom(0x8100, 0x88a8), u16);

export const packets: fc.Arbitrary<Packet> = fc
  .record({
    network: fc.oneof({ weight: 5, arbitrary: ipv4Packet }, { weight: 5, arbitrary: ipv6Packet }, otherPacket),
    tags: fc.array(tag, { maxLength: 2 }),
    src: octets(6),
    dst: octets(6),
    padding: fc.constantFrom(0, 0, 0, 1, 18),
    cutAt: fc.option(fc.integer({ min: 14, max: 120 }), { freq: 12 }),
  })
  .map(({ network: [type, body], tags, src, dst, padding, cutAt }) => {
    const whole = withRightChecksums(bytes(ethernet(type, body, { src, dst, tags }), filler(padding, 0xe0)));
    const cut = cutAt !== null && cutAt < whole.length;
    return { frame: cut ? whole.slice(0, cutAt) : whole, cut };
  });

const SIZES: Record<SetField, number> = {
  priority: 4,
  mark: 4,
  ethernet: 12,
  ipv4: 12,
  ipv6: 40,
  tcp: 4,
  udp: 4,
  sctp: 4,
  mpls: 4,
};

/** A set that the validator accepts when it does not know the flow. */
const set: fc.Arbitrary<Action> = fc
  .constantFrom(...(Object.keys(SIZES) as SetField[]), 'ipv4' as const, 'ipv6' as const)
  .chain((field) => fc.tuple(fc.constant(field), octets(SIZES[field]), fc.option(octets(SIZES[field]))))
  .map(([field, value, mask]) => {
    // The bottom-of-stack bit stays: like the kernel, a set does not look for the labels that it uncovers.
    if (field === 'mpls') value[2]! &= 0xfe;
    if (field === 'ipv6') {
      value[32] = 0;
      value[33]! &= 0x0f;
    }
    if (mask === null) return { kind: 'set', field, value };
    if (field === 'mpls') mask[2]! &= 0xfe;
    if (field === 'ipv4') mask[8] = mask[11] = 0;
    if (field === 'ipv6') {
      mask[32] = mask[36] = mask[39] = 0;
      mask[33]! &= 0x0f;
    }
    return { kind: 'set', field, value: value.map((bits, at) => bits & mask[at]!), mask };
  });

/** Port ids that somebody has in the executor: its own handler, and the test. */
export const HELD_PIDS = [OWN_PORT_ID, UPCALL_PID];

const plain: fc.Arbitrary<Action> = fc.oneof(
  fc.integer({ min: 1, max: 4 }).map((port) => ({ kind: 'output', port }) as const),
  fc
    .tuple(fc.oneof(fc.constantFrom(...HELD_PIDS), fc.integer({ min: 1 })), payload)
    .map(([pid, userdata]) => ({ kind: 'userspace', pid, userdata }) as const),
  tag.map(([tpid, tci]) => ({ kind: 'pushVlan', tpid, tci: tci | 0x1000 }) as const),
  fc.constant({ kind: 'popVlan' } as const),
  fc.integer({ min: 14, max: 200 }).map((size) => ({ kind: 'trunc', size }) as const),
);

/** Sets that fit the frame come more often than those that end the list. */
function fits(action: Action, frame: Uint8Array): boolean {
  if (action.kind !== 'set') return true;
  const text = Buffer.from(frame).toString('latin1');
  const [v4, v6] = [text.includes('\x08\x00'), text.includes('\x86\xdd')];
  const wanted = {
    ipv4: v4,
    ipv6: v6,
    tcp: text.includes('\x06'),
    udp: text.includes('\x11'),
    mpls: text.includes('\x88\x47'),
  };
  return wanted[action.field as 'ipv4'] ?? true;
}

export const cases = packets.chain(({ frame, cut }) =>
  fc.record({
    frame: fc.constant(frame),
    cut: fc.constant(cut),
    headroom: fc.constantFrom(0, 4, 7, 8, 128),
    actions: fc
      .tuple(
        fc.array(fc.oneof({ weight: 3, arbitrary: set }, { weight: 2, arbitrary: plain }), { maxLength: 10 }),
        fc.boolean(),
        byte,
      )
      .map(([list, drop, luck]) => {
        const chosen: Action[] = list.filter((action) => luck < 40 || fits(action, frame));
        return drop && luck > 200 ? [...chosen, { kind: 'drop' } as const] : chosen;
      }),
  }),
);
