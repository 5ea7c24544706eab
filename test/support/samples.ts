/*
 * Valid frames: one of each protocol, and of each form of it, that flow key extraction knows.
 */
import {
  AUTH,
  arp,
  type Bytes,
  bytes,
  DEST,
  ethernet,
  extension,
  FRAGMENT,
  filler,
  fragment,
  HOP,
  icmp,
  igmp,
  ipv4,
  ipv6,
  llcSnap,
  MAC_A,
  MAC_B,
  mplsEntry,
  type NamedFrame,
  ndOption,
  neighbour,
  nsh,
  ROUTING,
  sctp,
  tcp,
  udp,
} from './layers.ts';

/** One valid frame of each protocol and form. */
export function samples(): NamedFrame[] {
  const data = filler(40, 0x30);
  const ports = udp({}, data);
  const ns = neighbour(135, ndOption(1, MAC_A));
  const na = neighbour(136, ndOption(2, MAC_B), 0x60000000);
  const chain = extension(HOP, DEST, extension(DEST, ROUTING, extension(ROUTING, AUTH, extension(AUTH, 17, ports))));
  const deep = bytes(mplsEntry(16, false), mplsEntry(17, false), mplsEntry(18, false), mplsEntry(19, true), data);
  const list: [string, Bytes][] = [
    ['ipv4-udp', ethernet(0x0800, ipv4({}, ports))],
    ['ipv4-tcp', ethernet(0x0800, ipv4({ proto: 6, tos: 0x2e }, tcp({}, data)))],
    ['ipv4-tcp-options', ethernet(0x0800, ipv4({ proto: 6 }, tcp({ options: filler(12), flags: 0x1ff }, data)))],
    ['ipv4-sctp', ethernet(0x0800, ipv4({ proto: 132 }, sctp({}, data)))],
    ['ipv4-icmp', ethernet(0x0800, ipv4({ proto: 1 }, icmp(8, 0, data)))],
    ['ipv4-icmp-error', ethernet(0x0800, ipv4({ proto: 1 }, icmp(3, 4, ipv4({}, ports))))],
    ['ipv4-igmp', ethernet(0x0800, ipv4({ proto: 2, ttl: 1, options: bytes(148, 4, 0, 0) }, igmp(0x16)))],
    ['ipv4-options', ethernet(0x0800, ipv4({ options: filler(40) }, ports))],
    ['ipv4-first-fragment', ethernet(0x0800, ipv4({ frag: 0x2000 }, ports))],
    ['ipv4-later-fragment', ethernet(0x0800, ipv4({ frag: 0x2005 }, ports))],
    ['ipv4-last-fragment', ethernet(0x0800, ipv4({ frag: 0x0005 }, ports))],
    ['ipv4-other', ethernet(0x0800, ipv4({ proto: 47 }, data))],
    ['ipv4-ipv6', ethernet(0x0800, ipv4({ proto: 41 }, ipv6({}, ports)))],
    ['ipv6-udp', ethernet(0x86dd, ipv6({ trafficClass: 0x2e, label: 0xabcde }, ports))],
    ['ipv6-tcp', ethernet(0x86dd, ipv6({ next: 6 }, tcp({}, data)))],
    ['ipv6-sctp', ethernet(0x86dd, ipv6({ next: 132 }, sctp({}, data)))],
    ['ipv6-icmpv6', ethernet(0x86dd, ipv6({ next: 58 }, icmp(128, 0, data)))],
    ['ipv6-nd-solicitation', ethernet(0x86dd, ipv6({ next: 58, hopLimit: 255 }, ns))],
    ['ipv6-nd-advertisement', ethernet(0x86dd, ipv6({ next: 58, hopLimit: 255 }, na))],
    ['ipv6-none', ethernet(0x86dd, ipv6({ next: 59 }, data))],
    ['ipv6-extensions', ethernet(0x86dd, ipv6({ next: HOP }, chain))],
    ['ipv6-first-fragment', ethernet(0x86dd, ipv6({ next: FRAGMENT }, fragment(17, 0, true, ports)))],
    ['ipv6-later-fragment', ethernet(0x86dd, ipv6({ next: FRAGMENT }, fragment(17, 9, true, ports)))],
    ['ipv6-last-fragment', ethernet(0x86dd, ipv6({ next: FRAGMENT }, fragment(17, 9, false, ports)))],
    ['arp-request', ethernet(0x0806, arp(1), { dst: filler(6, 250) })],
    ['arp-reply', ethernet(0x0806, bytes(arp(2), new Uint8Array(18)))],
    ['rarp', ethernet(0x8035, arp(3))],
    ['vlan-udp', ethernet(0x0800, ipv4({}, ports), { tags: [[0x8100, 0x6005]] })],
    ['vlan-ad', ethernet(0x0800, ipv4({}, ports), { tags: [[0x88a8, 100]] })],
    [
      'qinq-tcp',
      ethernet(0x86dd, ipv6({ next: 6 }, tcp({}, data)), {
        tags: [
          [0x88a8, 100],
          [0x8100, 0xf00a],
        ],
      }),
    ],
    [
      'vlan-three',
      ethernet(0x0800, ipv4({}, ports), {
        tags: [
          [0x88a8, 1],
          [0x8100, 2],
          [0x8100, 3],
        ],
      }),
    ],
    ['llc', ethernet(46, bytes(0x42, 0x42, 3, data))],
    ['llc-snap-ipv4', ethernet(8 + 28 + data.length, llcSnap(0x0800, ipv4({}, ports)))],
    ['vlan-llc-snap', ethernet(8 + 28 + data.length, llcSnap(0x0800, ipv4({}, ports)), { tags: [[0x8100, 7]] })],
    ['mpls-one', ethernet(0x8847, bytes(mplsEntry(16, true), ipv4({}, ports)))],
    ['mpls-two', ethernet(0x8848, bytes(mplsEntry(16, false), mplsEntry(17, true), data))],
    ['mpls-four', ethernet(0x8847, deep)],
    ['nsh-md1', ethernet(0x894f, nsh({ flags: 1 }, filler(16, 0x80)))],
    ['nsh-md2', ethernet(0x894f, nsh({ type: 2 }, filler(12, 0x80)))],
    ['other-type', ethernet(0x88cc, data)],
  ];
  return list.map(([name, frame]) => ({ name, frame }));
}
