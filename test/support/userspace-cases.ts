/*
 * Random packets with action lists in `ovs-dpctl` text, for a comparison with Open vSwitch's userspace datapath (67): above all what no kernel
 * can set (ARP, ND, ICMP), and headers that come and go, as far as Open vSwitch 3.1 parses their text. The packets are whole and their checksums
 * are right; each list ends in an output to port 2. The last four bytes of a frame, behind what its headers speak of, are the case's number.
 */
import { withRightChecksums } from '../reference/actions.ts';
import type { Random } from './frame-generator.ts';
import {
  arp,
  type Bytes,
  be32,
  bytes,
  ethernet,
  icmp,
  ipv4,
  ipv6,
  mplsEntry,
  ndOption,
  neighbour,
  sctp,
  tcp,
  udp,
} from './layers.ts';

export interface UserspaceCase {
  kind: string;
  frame: Uint8Array;
  /** Text of what a flow of its own matches, and of the list. */
  key: string;
  actions: string;
}

/** What a frame carries behind the Ethernet header and the changes that fit it. */
interface Family {
  ethType: number;
  /** Name of the attribute that a flow of this type must have. */
  layer: string;
  payload: (random: Random) => Bytes;
  change: (random: Random) => string;
}

const number = (random: Random, bits: number): number => random.below(2 ** bits);
/** Corner values come often: that is where checksums have their corners. */
const octet = (random: Random): number => random.pick([0, 255, number(random, 8), number(random, 8)]);
const octets = (random: Random, size: number): number[] => Array.from({ length: size }, () => octet(random));
const macText = (address: Iterable<number>): string =>
  Array.from(address, (byte) => byte.toString(16).padStart(2, '0')).join(':');
const mac = (random: Random): string => macText(octets(random, 6));
const dotted = (random: Random): string => octets(random, 4).join('.');
const address6 = (random: Random): string =>
  Array.from({ length: 8 }, () => ((octet(random) << 8) | octet(random)).toString(16)).join(':');
const hexadecimal = (random: Random, bits: number): string => `0x${number(random, bits).toString(16)}`;

/** A value, half the time with a mask, which is not zero: Open vSwitch's text leaves the value as it is then, outside of its mask. */
function masked(random: Random, make: (random: Random) => string): string {
  if (random.oneIn(2)) return make(random);
  const mask = make(random);
  return /[1-9a-f]/.test(mask.replace(/^0x/, '')) ? `${make(random)}/${mask}` : mask;
}

/** One set action of some of the fields, at least one. */
function setSome(random: Random, name: string, fields: Record<string, (random: Random) => string>): string {
  const names = Object.keys(fields);
  const must = random.pick(names);
  const some = names.filter((field) => field === must || random.oneIn(2));
  return `set(${name}(${some.map((field) => `${field}=${masked(random, fields[field]!)}`).join(',')}))`;
}

const number8 = (random: Random): string => String(octet(random));
const number16 = (random: Random): string => String((octet(random) << 8) | octet(random));
const ports = { src: number16, dst: number16 };

function ndOptions(random: Random): Bytes {
  const option = (): Bytes => {
    const type = random.pick([1, 2, 1, 2, 5, 14]);
    const units = type > 2 ? 1 + random.below(2) : 1;
    return ndOption(type, bytes(octets(random, units * 8 - 2)), units);
  };
  return bytes(...Array.from({ length: random.below(4) }, option));
}

const v4 = (proto: number, payload: Bytes, random: Random): Bytes =>
  ipv4(
    { proto, tos: octet(random), ttl: octet(random), src: bytes(octets(random, 4)), dst: bytes(octets(random, 4)) },
    payload,
  );
const v6 = (next: number, payload: Bytes, random: Random): Bytes =>
  ipv6({ next, hopLimit: octet(random), src: bytes(octets(random, 16)), dst: bytes(octets(random, 16)) }, payload);
const data = (random: Random): Bytes => bytes(octets(random, random.below(30)));

/** Without a mask: ovs-vswitchd ends when it is to set ICMP with one. */
const setIcmp = (random: Random, name: string): string => `set(${name}(type=${octet(random)},code=${octet(random)}))`;

const setIpv4 = (random: Random): string =>
  setSome(random, 'ipv4', { src: dotted, dst: dotted, tos: (one) => hexadecimal(one, 8), ttl: number8 });
const setIpv6 = (random: Random): string =>
  setSome(random, 'ipv6', {
    src: address6,
    dst: address6,
    label: (one) => hexadecimal(one, 20),
    tclass: (one) => hexadecimal(one, 8),
    hlimit: number8,
  });

const label = (random: Random): string =>
  `label=${number(random, 20)},tc=${number(random, 3)},ttl=${octet(random)},bos=${number(random, 1)}`;
const mplsType = (random: Random): string => random.pick(['0x8847', '0x8848']);

function pushNsh(random: Random): string {
  const head = `flags=${number(random, 2)},ttl=${number(random, 6)}`;
  const path = `np=${random.pick([1, 2, 3, 4, 5])},spi=${hexadecimal(random, 24)},si=${octet(random)}`;
  if (random.oneIn(2)) {
    const contexts = [1, 2, 3, 4].map((n) => `c${n}=0x${number(random, 31).toString(16)}`).join(',');
    return `push_nsh(${head},mdtype=1,${path},${contexts})`;
  }
  const units = 1 + random.below(4);
  const metadata = Buffer.from(bytes(0, 16, 1, units * 4, octets(random, units * 4))).toString('hex');
  return `push_nsh(${head},mdtype=2,${path},md2=0x${metadata})`;
}

/** What fits every packet. */
function anyChange(random: Random): string {
  const push = `push_vlan(vid=${number(random, 12)},pcp=${number(random, 3)})`;
  return random.pick([
    `set(eth(dst=${mac(random)}))`,
    push,
    `push_vlan(tpid=0x88a8,vid=${number(random, 12)},pcp=${number(random, 3)}),${push}`,
    `${push},pop_vlan`,
    `add_mpls(${label(random)},eth_type=${mplsType(random)})`,
    `${push},add_mpls(${label(random)},eth_type=${mplsType(random)})`,
    pushNsh(random),
    `${pushNsh(random)},${pushNsh(random)}`,
    `${pushNsh(random)},pop_nsh()`,
  ]);
}

const FAMILIES: Record<string, Family> = {
  arp: {
    ethType: 0x0806,
    layer: 'arp',
    payload: (random) => arp(random.pick([1, 2, number(random, 8), number(random, 16)])),
    change: (random) => setSome(random, 'arp', { sip: dotted, tip: dotted, op: number16, sha: mac, tha: mac }),
  },
  nd: {
    ethType: 0x86dd,
    layer: 'ipv6',
    payload: (random) => v6(58, neighbour(random.pick([135, 136]), ndOptions(random)), random),
    change: (random) =>
      random.oneIn(4) ? setIpv6(random) : setSome(random, 'nd', { target: address6, sll: mac, tll: mac }),
  },
  icmp: {
    ethType: 0x0800,
    layer: 'ipv4',
    payload: (random) => v4(1, icmp(octet(random), octet(random), data(random)), random),
    change: (random) => (random.oneIn(4) ? setIpv4(random) : setIcmp(random, 'icmp')),
  },
  icmpv6: {
    ethType: 0x86dd,
    layer: 'ipv6',
    payload: (random) => v6(58, icmp(128 + random.below(2), octet(random), data(random)), random),
    change: (random) => setIcmp(random, 'icmpv6'),
  },
  udp: {
    ethType: 0x0800,
    layer: 'ipv4',
    payload: (random) => v4(17, udp({ src: number(random, 16), dst: number(random, 16) }, data(random)), random),
    change: (random) => (random.oneIn(2) ? setIpv4(random) : setSome(random, 'udp', ports)),
  },
  tcp: {
    ethType: 0x86dd,
    layer: 'ipv6',
    payload: (random) => v6(6, tcp({ src: number(random, 16), dst: number(random, 16) }, data(random)), random),
    change: (random) => (random.oneIn(2) ? setIpv6(random) : setSome(random, 'tcp', ports)),
  },
  sctp: {
    ethType: 0x0800,
    layer: 'ipv4',
    payload: (random) => v4(132, sctp({ src: number(random, 16), dst: number(random, 16) }, data(random)), random),
    change: (random) => setSome(random, 'sctp', ports),
  },
  mpls: {
    ethType: 0x8847,
    layer: 'mpls',
    payload: (random) => bytes(mplsEntry(number(random, 20), true), v4(17, udp({}, data(random)), random)),
    change: (random) => `set(mpls(${label(random)}))`,
  },
};

/** Case `n`. */
export function userspaceCase(random: Random, n: number): UserspaceCase {
  const kind = random.pick(Object.keys(FAMILIES));
  const { ethType, layer, payload, change } = FAMILIES[kind]!;
  const src = bytes(2, 0, be32(n));
  const trailer = bytes(new Uint8Array(random.oneIn(4) ? random.below(20) : 0), be32(n));
  const frame = withRightChecksums(
    ethernet(ethType, bytes(payload(random), trailer), { src, dst: bytes(octets(random, 6)) }),
  );
  const changes = Array.from({ length: random.below(3) }, () => change(random));
  if (changes.length === 0 || random.oneIn(2)) changes.push(anyChange(random));
  const fields =
    layer === 'mpls' ? `label=${((frame[14]! << 16) | (frame[15]! << 8) | frame[16]!) >> 4},tc=0,ttl=64,bos=1` : '';
  return {
    kind,
    frame,
    key: `eth(src=${macText(src)}),eth_type(0x${ethType.toString(16)}),${layer}(${fields})`,
    actions: `${changes.join(',')},2`,
  };
}

/** Number of the case that a frame belongs to. */
export function caseOf(frame: Uint8Array): number {
  return Buffer.from(frame).readUInt32BE(frame.length - 4);
}
