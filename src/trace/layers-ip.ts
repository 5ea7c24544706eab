/*
 * The layers of IPv4 and IPv6 and of what they carry. Before it: trace/layers.ts, whose cursor it moves on. Keeps nothing; any thread.
 *
 * A checksum is judged when all that it covers is there: not in fragments, not when the packet is cut.
 */
import { crc32c, internetSum, pseudoSum } from './checksum.ts';
import type { ChecksumState, Description, Layer, LayerName } from './layers.ts';

const IPV4_SIZE = 20;
const IPV6_SIZE = 40;
const HOP = 0;
const ICMP = 1;
const IGMP = 2;
const TCP = 6;
const UDP = 17;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTH = 51;
const ICMPV6 = 58;
const DEST = 60;
const MOBILITY = 135;
const SCTP = 132;
const EXTENSIONS: ReadonlySet<number> = new Set([HOP, ROUTING, FRAGMENT, AUTH, DEST, MOBILITY]);
const ND_SIZE = 16;

/** What the transport needs to know of the header in front of it. */
interface Datagram {
  proto: number;
  /** Source and destination, one behind the other. */
  addresses: Uint8Array;
  ipv6: boolean;
  /** All of its payload is here: no fragment, nothing cut. */
  whole: boolean;
}

export function describeIpv4(d: Description): void {
  if (!d.has('ipv4', IPV4_SIZE)) return;
  const headerSize = Math.max((d.u8(0) & 0x0f) * 4, IPV4_SIZE);
  if (!d.has('ipv4', headerSize)) return;
  const { at } = d;
  const [size, frag, proto] = [d.u16(2), d.u16(6), d.u8(9)];
  const offset = (frag & 0x1fff) * 8;
  const more = (frag >> 13) & 1;
  const fields = {
    ...{ src: d.ipv4(12), dst: d.ipv4(16), proto, ttl: d.u8(8), tos: d.u8(1), size, id: d.u16(4) },
    ...{ df: (frag >> 14) & 1, more, offset },
  };
  const sum = internetSum(d.bytes.subarray(at, at + headerSize));
  const addresses = d.bytes.subarray(at + 12, at + 20);
  const complete = size >= headerSize && at + size <= d.end;
  d.add('ipv4', headerSize, fields, sum === 0xffff ? 'ok' : 'bad');
  // a size of zero or less than the header: sent to be split by the hardware, or a lie; the packet ends where it ends
  if (complete) d.end = at + size;
  const whole = complete && offset === 0 && more === 0;
  if (offset === 0) describeTransport(d, { proto, addresses, ipv6: false, whole });
}

export function describeIpv6(d: Description): void {
  if (!d.has('ipv6', IPV6_SIZE)) return;
  const [first, size] = [d.u32(0), d.u16(4)];
  const addresses = d.bytes.subarray(d.at + 8, d.at + IPV6_SIZE);
  let proto = d.u8(6);
  const fields = {
    ...{ src: d.ipv6(8), dst: d.ipv6(24), next: proto, hlimit: d.u8(7) },
    ...{ tclass: (first >>> 20) & 0xff, label: first & 0xfffff, size },
  };
  d.add('ipv6', IPV6_SIZE, fields);
  const complete = size <= d.rest && size > 0;
  if (complete) d.end = d.at + size;
  let fragment = false;
  while (EXTENSIONS.has(proto)) {
    const kind = proto;
    if (!d.has('extension', 8)) return;
    const extensionSize = kind === FRAGMENT ? 8 : kind === AUTH ? (d.u8(1) + 2) * 4 : (d.u8(1) + 1) * 8;
    if (!d.has('extension', extensionSize)) return;
    proto = d.u8(0);
    if (kind !== FRAGMENT) {
      d.add('extension', extensionSize, { kind, next: proto });
      continue;
    }
    const offset = d.u16(2) & 0xfff8;
    const more = d.u16(2) & 1;
    fragment ||= offset !== 0 || more !== 0;
    d.add('extension', extensionSize, { kind, next: proto, offset, more, id: d.u32(4) });
    if (offset !== 0) return;
  }
  describeTransport(d, { proto, addresses, ipv6: true, whole: complete && !fragment });
}

function describeTransport(d: Description, datagram: Datagram): void {
  const { proto, ipv6 } = datagram;
  if (proto === TCP) describeTcp(d, datagram);
  else if (proto === UDP) describeUdp(d, datagram);
  else if (proto === SCTP) describeSctp(d, datagram);
  else if (proto === ICMP && !ipv6) describeIcmp(d, 'icmp', datagram);
  else if (proto === IGMP && !ipv6) describeIcmp(d, 'igmp', datagram);
  else if (proto === ICMPV6 && ipv6) describeIcmp(d, 'icmpv6', datagram);
}

/** Of the message from the cursor to the end, which holds its own checksum. */
function stateOf(d: Description, { proto, addresses, whole }: Datagram, pseudo: boolean): ChecksumState {
  if (!whole) return 'unchecked';
  const message = d.bytes.subarray(d.at, d.end);
  return internetSum(message, pseudo ? pseudoSum(addresses, proto, message.length) : 0) === 0xffff ? 'ok' : 'bad';
}

function describeTcp(d: Description, datagram: Datagram): void {
  if (!d.has('tcp', 20)) return;
  const size = Math.max((d.u8(12) >> 4) * 4, 20);
  if (!d.has('tcp', size)) return;
  const fields = {
    ...{ src: d.u16(0), dst: d.u16(2), seq: d.u32(4), ack: d.u32(8), flags: d.u16(12) & 0xfff },
    ...{ window: d.u16(14) },
  };
  d.add('tcp', size, fields, stateOf(d, datagram, true));
}

function describeUdp(d: Description, datagram: Datagram): void {
  if (!d.has('udp', 8)) return;
  const size = d.u16(4);
  const absent = d.u16(6) === 0;
  // its own size decides what the sum covers; one that does not fit cannot be judged
  const message = size >= 8 && size <= d.rest ? d.at + size : undefined;
  const { end } = d;
  d.end = message ?? end;
  const state = absent ? 'none' : message === undefined ? 'unchecked' : stateOf(d, datagram, true);
  d.end = end;
  d.add('udp', 8, { src: d.u16(0), dst: d.u16(2), size }, state);
}

function describeSctp(d: Description, { whole }: Datagram): void {
  if (!d.has('sctp', 12)) return;
  const sum = d.view.getUint32(d.at + 8, true);
  const state = !whole ? 'unchecked' : crc32c(d.bytes.subarray(d.at, d.end), 8) === sum ? 'ok' : 'bad';
  d.add('sctp', 12, { src: d.u16(0), dst: d.u16(2), tag: d.u32(4) }, state);
}

function describeIcmp(d: Description, name: LayerName, datagram: Datagram): void {
  if (!d.has(name, 8)) return;
  const [type, code] = [d.u8(0), d.u8(1)];
  const echo = (name === 'icmp' && (type === 8 || type === 0)) || (name === 'icmpv6' && (type === 128 || type === 129));
  const more: Layer['fields'] = echo ? { id: d.u16(4), seq: d.u16(6) } : name === 'igmp' ? { group: d.ipv4(4) } : {};
  d.add(name, 8, { type, code, ...more }, stateOf(d, datagram, datagram.ipv6));
  if (name === 'icmpv6' && (type === 135 || type === 136) && code === 0) describeDiscovery(d);
}

/** Target and link-layer address options; an option that makes no sense ends it. */
function describeDiscovery(d: Description): void {
  if (!d.has('nd', ND_SIZE)) return;
  const fields: Record<string, string> = { target: d.ipv6(0) };
  let size = ND_SIZE;
  while (d.rest - size >= 8) {
    const [type, optionSize] = [d.u8(size), d.u8(size + 1) * 8];
    if (optionSize === 0 || optionSize > d.rest - size) break;
    if (optionSize === 8 && (type === 1 || type === 2)) fields[type === 1 ? 'sll' : 'tll'] = d.mac(size + 2);
    size += optionSize;
  }
  d.add('nd', size, fields);
}
