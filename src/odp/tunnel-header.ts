/*
 * The outer header that a tunnel_push action carries: typed, as bytes from the Ethernet header on, and as ovs-dpctl's text.
 *
 * Text and typed form hold what differs from tunnel to tunnel; the rest is what Open vSwitch puts there: lengths of zero, the IPv4 checksum of that,
 * no IPv4 options. Used by action-tunnel.ts. Pure functions; what comes out holds no views.
 */

import { AttributeWriter, hexNumber, hexString, integer, u8, u16, u32 } from './action-codec.ts';
import { formatIpv4, formatIpv6, formatMac, parseIpv4, parseIpv6, parseMac } from './addresses.ts';
import { OdpFieldError } from './errors.ts';
import { bytesOfHex, hexBytes } from './hex.ts';
import { ETH_P_IP, readBe16, readBe32 } from './layers.ts';
import type { GeneveOption } from './types.ts';

/** OVS_VPORT_TYPE_* of the tunnels that have a header form. */
export const TUNNEL_TYPES = {
  gre: 3,
  vxlan: 4,
  geneve: 5,
  erspan: 107,
  ip6erspan: 108,
  ip6gre: 109,
  gtpu: 110,
  srv6: 112,
} as const;

export const TUNNEL_HEADER_SIZE_MAX = 512;

export type OuterTunnel =
  /** `vni` 24 bits. */
  | { type: 'vxlan'; flags: number; vni: number }
  | { type: 'geneve'; oam?: boolean; crit?: boolean; vni: number; options?: readonly GeneveOption[] }
  /** `flags` as on the wire: 0x8000 checksum, 0x2000 key, 0x1000 sequence; what they announce is needed. */
  | { type: 'gre'; flags: number; proto: number; csum?: number; key?: number; seq?: number }
  /** `sid` 10 bits, `idx` 20 bits in practice. */
  | { type: 'erspan'; ver: 1; sid: number; idx: number }
  /** `dir` 1 bit, `hwid` 6 bits. */
  | { type: 'erspan'; ver: 2; sid: number; dir: number; hwid: number }
  | { type: 'gtpu'; flags: number; msgtype: number; teid: number }
  /** Segments in the order of travel. */
  | { type: 'srv6'; segmentsLeft: number; segs: readonly string[] };

export interface TunnelHeader {
  eth: { dst: string; src: string; dlType: number };
  /** One of the two, by `eth.dlType`: 0x0800 is IPv4. `frag` is the word of flags and offset. */
  ipv4?: { src: string; dst: string; proto: number; tos: number; ttl: number; frag: number };
  ipv6?: { src: string; dst: string; label: number; proto: number; tclass: number; hlimit: number };
  /** Under vxlan, geneve and gtpu. */
  udp?: { src: number; dst: number; csum: number };
  tunnel: OuterTunnel;
}

const ETH_SIZE = 14;
const IPV4_SIZEOF = 20;
const IPV6_SIZEOF = 40;
const UDP_SIZE = 8;
const GRE_CSUM = 0x8000;
const GRE_KEY = 0x2000;
const GRE_SEQ = 0x1000;
const ETH_P_TEB = 0x6558;
const ETH_P_ERSPAN = 0x88be;
const ETH_P_ERSPAN2 = 0x22eb;
const IPV6_SRCRT_TYPE_4 = 4;
const GENEVE_OAM = 0x80;
const GENEVE_CRITICAL = 0x40;
const OVER_UDP: ReadonlySet<string> = new Set(['vxlan', 'geneve', 'gtpu']);

// ---------------------------------------------------------------------------------------------------- bytes

/** Bytes of a header. Throws OdpFieldError. */
export function encodeTunnelHeader(header: TunnelHeader): Uint8Array {
  const writer = new AttributeWriter();
  const { eth, udp, tunnel } = header;
  writer.raw(parseMac(eth.dst));
  writer.raw(parseMac(eth.src));
  writer.be16(u16(eth.dlType, 'header.eth.dlType'));
  writeNetwork(writer, header);
  if ((udp === undefined) === OVER_UDP.has(tunnel.type))
    throw new OdpFieldError('header.udp', udp === undefined ? 'missing' : `not under ${tunnel.type}`);
  if (udp !== undefined) {
    writer.be16(u16(udp.src, 'header.udp.src'));
    writer.be16(u16(udp.dst, 'header.udp.dst'));
    writer.be16(0);
    writer.be16(u16(udp.csum, 'header.udp.csum'));
  }
  writeTunnel(writer, tunnel);
  if (writer.size > TUNNEL_HEADER_SIZE_MAX)
    throw new OdpFieldError('header', `${writer.size} bytes, at most ${TUNNEL_HEADER_SIZE_MAX}`);
  return writer.finish();
}

function writeNetwork(writer: AttributeWriter, { eth, ipv4, ipv6 }: TunnelHeader): void {
  if (eth.dlType === ETH_P_IP) {
    if (ipv4 === undefined || ipv6 !== undefined) throw new OdpFieldError('header.ipv4', 'needed under dlType 0x0800');
    const { src, dst, proto, tos, ttl, frag } = ipv4;
    const bytes = new Uint8Array(IPV4_SIZEOF);
    bytes.set([0x45, u8(tos, 'header.ipv4.tos')]);
    bytes.set([u16(frag, 'header.ipv4.frag') >> 8, frag & 0xff, u8(ttl, 'header.ipv4.ttl')], 6);
    bytes[9] = u8(proto, 'header.ipv4.proto');
    bytes.set(parseIpv4(src), 12);
    bytes.set(parseIpv4(dst), 16);
    let sum = 0;
    for (let at = 0; at < IPV4_SIZEOF; at += 2) sum += readBe16(bytes, at);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    bytes.set([(~sum >> 8) & 0xff, ~sum & 0xff], 10);
    writer.raw(bytes);
    return;
  }
  if (ipv6 === undefined || ipv4 !== undefined)
    throw new OdpFieldError('header.ipv6', 'needed unless dlType is 0x0800');
  const flow = (u8(ipv6.tclass, 'header.ipv6.tclass') << 20) | integer(ipv6.label, 0xfffff, 'header.ipv6.label');
  writer.be32(((6 << 28) | flow) >>> 0);
  writer.be16(0);
  writer.be16((u8(ipv6.proto, 'header.ipv6.proto') << 8) | u8(ipv6.hlimit, 'header.ipv6.hlimit'));
  writer.raw(parseIpv6(ipv6.src));
  writer.raw(parseIpv6(ipv6.dst));
}

function writeTunnel(writer: AttributeWriter, tunnel: OuterTunnel): void {
  switch (tunnel.type) {
    case 'vxlan':
      writer.be32(u32(tunnel.flags, 'vxlan.flags'));
      writer.be32((integer(tunnel.vni, 0xffffff, 'vxlan.vni') << 8) >>> 0);
      return;
    case 'geneve':
      writeGeneve(writer, tunnel);
      return;
    case 'gre':
      writer.be16(u16(tunnel.flags, 'gre.flags'));
      writer.be16(u16(tunnel.proto, 'gre.proto'));
      if ((tunnel.flags & GRE_CSUM) !== 0) writer.be32((u16(tunnel.csum, 'gre.csum') << 16) >>> 0);
      if ((tunnel.flags & GRE_KEY) !== 0) writer.be32(u32(tunnel.key, 'gre.key'));
      if ((tunnel.flags & GRE_SEQ) !== 0) writer.be32(u32(tunnel.seq, 'gre.seq'));
      return;
    case 'erspan': {
      writer.be16(GRE_SEQ);
      writer.be16(tunnel.ver === 1 ? ETH_P_ERSPAN : ETH_P_ERSPAN2);
      writer.be32(0);
      writer.be16(tunnel.ver << 12);
      writer.be16(integer(tunnel.sid, 0x3ff, 'erspan.sid'));
      if (tunnel.ver === 1) writer.be32(u32(tunnel.idx, 'erspan.idx'));
      else {
        const hwid = integer(tunnel.hwid, 0x3f, 'erspan.hwid');
        writer.be32(0);
        writer.be16(0);
        writer.be16(((hwid >> 4) << 8) | ((hwid & 0xf) << 4) | (integer(tunnel.dir, 1, 'erspan.dir') << 3));
      }
      return;
    }
    case 'gtpu':
      writer.be16((u8(tunnel.flags, 'gtpu.flags') << 8) | u8(tunnel.msgtype, 'gtpu.msgtype'));
      writer.be16(0);
      writer.be32(u32(tunnel.teid, 'gtpu.teid'));
      return;
    case 'srv6':
      writeSegments(writer, tunnel);
      return;
    default:
      throw new OdpFieldError('header.tunnel', `${JSON.stringify((tunnel as { type: unknown }).type)} is none`);
  }
}

function writeGeneve(writer: AttributeWriter, tunnel: OuterTunnel & { type: 'geneve' }): void {
  const options = tunnel.options ?? [];
  const words = options.reduce((count, { data }) => count + 1 + data.length / 8, 0);
  const flags = (tunnel.oam ? GENEVE_OAM : 0) | (tunnel.crit ? GENEVE_CRITICAL : 0);
  writer.be16((integer(words, 0x3f, 'geneve.options words') << 8) | flags);
  writer.be16(ETH_P_TEB);
  writer.be32((integer(tunnel.vni, 0xffffff, 'geneve.vni') << 8) >>> 0);
  for (const option of options) {
    writer.be16(u16(option.class, 'geneve.options.class'));
    const size = integer(option.data.length / 8, 0x1f, 'geneve.options.data words');
    writer.be16((u8(option.type, 'geneve.options.type') << 8) | size);
    if (!/^[0-9a-fA-F]*$/.test(option.data))
      throw new OdpFieldError('geneve.options.data', 'hexadecimal digits are needed');
    writer.raw(bytesOfHex(option.data));
  }
}

function writeSegments(writer: AttributeWriter, { segmentsLeft, segs }: OuterTunnel & { type: 'srv6' }): void {
  if (segs.length === 0) throw new OdpFieldError('srv6.segs', 'at least one is needed');
  const last = segs.length - 1;
  writer.be16(u8(2 * segs.length, 'srv6.segs'));
  writer.be16((IPV6_SRCRT_TYPE_4 << 8) | u8(segmentsLeft, 'srv6.segmentsLeft'));
  writer.be32((last << 24) >>> 0);
  for (const segment of segs.toReversed()) writer.raw(parseIpv6(segment));
}

/** Typed form of a header, undefined when it is cut or this type of tunnel has none. */
export function decodeTunnelHeader(tunnelType: number, header: Uint8Array): TunnelHeader | undefined {
  if (header.length < ETH_SIZE) return undefined;
  const eth = { dst: formatMac(header), src: formatMac(header, 6), dlType: readBe16(header, 12) };
  const isIpv4 = eth.dlType === ETH_P_IP;
  const transport = ETH_SIZE + (isIpv4 ? IPV4_SIZEOF : IPV6_SIZEOF);
  if (header.length < transport) return undefined;
  const network = isIpv4 ? { ipv4: readIpv4(header) } : { ipv6: readIpv6(header) };
  const rest = header.subarray(transport);
  const name = Object.entries(TUNNEL_TYPES)
    .find(([, number]) => number === tunnelType)?.[0]
    .replace(/^ip6/, '');
  if (name === undefined || !OVER_UDP.has(name)) {
    const tunnel = readTunnel(name, rest);
    return tunnel && { eth, ...network, tunnel };
  }
  if (rest.length < UDP_SIZE) return undefined;
  const udp = { src: readBe16(rest, 0), dst: readBe16(rest, 2), csum: readBe16(rest, 6) };
  const tunnel = readTunnel(name, rest.subarray(UDP_SIZE));
  return tunnel && { eth, ...network, udp, tunnel };
}

function readIpv4(header: Uint8Array): TunnelHeader['ipv4'] {
  return {
    src: formatIpv4(header, ETH_SIZE + 12),
    dst: formatIpv4(header, ETH_SIZE + 16),
    proto: header[ETH_SIZE + 9],
    tos: header[ETH_SIZE + 1],
    ttl: header[ETH_SIZE + 8],
    frag: readBe16(header, ETH_SIZE + 6),
  };
}

function readIpv6(header: Uint8Array): TunnelHeader['ipv6'] {
  const flow = readBe32(header, ETH_SIZE);
  return {
    src: formatIpv6(header, ETH_SIZE + 8),
    dst: formatIpv6(header, ETH_SIZE + 24),
    label: flow & 0xfffff,
    proto: header[ETH_SIZE + 6],
    tclass: (flow >>> 20) & 0xff,
    hlimit: header[ETH_SIZE + 7],
  };
}

/** Bytes that a tunnel header has at least. */
const SIZE_MIN: Readonly<Record<string, number>> = { vxlan: 8, geneve: 8, gre: 4, erspan: 16, gtpu: 8, srv6: 8 };

function readTunnel(name: string | undefined, bytes: Uint8Array): OuterTunnel | undefined {
  if (name === undefined || bytes.length < SIZE_MIN[name]) return undefined;
  switch (name) {
    case 'vxlan':
      return { type: name, flags: readBe32(bytes, 0), vni: readBe32(bytes, 4) >>> 8 };
    case 'geneve':
      return readGeneve(bytes);
    case 'gre':
      return readGre(bytes);
    case 'erspan':
      return readErspan(bytes);
    case 'gtpu':
      return { type: name, flags: bytes[0], msgtype: bytes[1], teid: readBe32(bytes, 4) };
    default:
      return readSegments(bytes);
  }
}

function readGeneve(bytes: Uint8Array): OuterTunnel | undefined {
  const end = 8 + 4 * (bytes[0] & 0x3f);
  if (bytes.length < end) return undefined;
  const options: GeneveOption[] = [];
  for (let at = 8; at < end; ) {
    const size = 4 * (bytes[at + 3] & 0x1f);
    if (at + 4 + size > end) return undefined;
    options.push({
      class: readBe16(bytes, at),
      type: bytes[at + 2],
      data: hexBytes(bytes.subarray(at + 4, at + 4 + size)),
    });
    at += 4 + size;
  }
  return {
    type: 'geneve',
    ...((bytes[1] & GENEVE_OAM) !== 0 && { oam: true }),
    ...((bytes[1] & GENEVE_CRITICAL) !== 0 && { crit: true }),
    vni: readBe32(bytes, 4) >>> 8,
    ...(options.length > 0 && { options }),
  };
}

function readGre(bytes: Uint8Array): OuterTunnel | undefined {
  const tunnel: OuterTunnel & { type: 'gre' } = { type: 'gre', flags: readBe16(bytes, 0), proto: readBe16(bytes, 2) };
  let at = 4;
  const next = (flag: number) => {
    if ((tunnel.flags & flag) === 0) return undefined;
    at += 4;
    return at <= bytes.length ? readBe32(bytes, at - 4) : undefined;
  };
  const [csum, key, seq] = [next(GRE_CSUM), next(GRE_KEY), next(GRE_SEQ)];
  if (at > bytes.length) return undefined;
  if (csum !== undefined) tunnel.csum = csum >>> 16;
  if (key !== undefined) tunnel.key = key;
  if (seq !== undefined) tunnel.seq = seq;
  return tunnel;
}

function readErspan(bytes: Uint8Array): OuterTunnel | undefined {
  const ver = bytes[8] >> 4;
  const sid = ((bytes[10] & 0x03) << 8) | bytes[11];
  if (ver === 1) return { type: 'erspan', ver, sid, idx: readBe32(bytes, 12) };
  if (ver !== 2 || bytes.length < 20) return undefined;
  return { type: 'erspan', ver, sid, dir: (bytes[19] >> 3) & 1, hwid: ((bytes[18] & 3) << 4) | (bytes[19] >> 4) };
}

function readSegments(bytes: Uint8Array): OuterTunnel | undefined {
  const count = bytes[4] + 1;
  if (bytes.length < 8 + 16 * count) return undefined;
  const segs = Array.from({ length: count }, (_, index) => formatIpv6(bytes, 8 + 16 * (count - 1 - index)));
  return { type: 'srv6', segmentsLeft: bytes[3], segs };
}

// ---------------------------------------------------------------------------------------------------- text

const hex = (value: number) => `0x${value.toString(16)}`;

/** Text from `eth(` to the parenthesis that closes the innermost header. */
export function formatTunnelHeader(header: TunnelHeader): string {
  const { eth, ipv4, ipv6, udp, tunnel } = header;
  const parts = [`eth(dst=${eth.dst},src=${eth.src},dl_type=0x${eth.dlType.toString(16).padStart(4, '0')})`];
  if (ipv4 !== undefined) {
    const { src, dst, proto, tos, ttl, frag } = ipv4;
    parts.push(`ipv4(src=${src},dst=${dst},proto=${proto},tos=${hexNumber(tos)},ttl=${ttl},frag=${hex(frag)})`);
  } else if (ipv6 !== undefined) {
    const { src, dst, label, proto, tclass, hlimit } = ipv6;
    parts.push(`ipv6(src=${src},dst=${dst},label=${label},proto=${proto},tclass=${hex(tclass)},hlimit=${hlimit})`);
  }
  if (udp !== undefined) parts.push(`udp(src=${udp.src},dst=${udp.dst},csum=${hex(udp.csum)})`);
  parts.push(formatTunnel(tunnel));
  return parts.join(',');
}

function formatTunnel(tunnel: OuterTunnel): string {
  switch (tunnel.type) {
    case 'vxlan':
      return `vxlan(flags=${hex(tunnel.flags)},vni=${hex(tunnel.vni)})`;
    case 'geneve': {
      const options = (tunnel.options ?? []).map(formatOption).join('');
      const flags = `${tunnel.oam ? 'oam,' : ''}${tunnel.crit ? 'crit,' : ''}`;
      return `geneve(${flags}vni=${hex(tunnel.vni)}${options === '' ? '' : `,options(${options})`})`;
    }
    case 'gre': {
      const { csum, key, seq } = tunnel;
      const parts = [`(flags=${hex(tunnel.flags)},proto=${hex(tunnel.proto)})`];
      if (csum !== undefined) parts.push(`csum=${hex(csum)}`);
      if (key !== undefined) parts.push(`key=${hex(key)}`);
      if (seq !== undefined) parts.push(`seq=${hex(seq)}`);
      return `gre(${parts.join(',')})`;
    }
    case 'erspan':
      return tunnel.ver === 1
        ? `erspan(ver=1,sid=${hex(tunnel.sid)},idx=${hex(tunnel.idx)})`
        : `erspan(ver=2,sid=${hex(tunnel.sid)},dir=${tunnel.dir},hwid=${hex(tunnel.hwid)})`;
    case 'gtpu':
      return `gtpu(flags=${hex(tunnel.flags)},msgtype=${tunnel.msgtype},teid=${hex(tunnel.teid)})`;
    case 'srv6':
      return `srv6(segments_left=${tunnel.segmentsLeft},segs(${tunnel.segs.join(',')}))`;
  }
}

function formatOption(option: GeneveOption): string {
  const size = option.data.length / 2;
  const data = size === 0 ? '' : `,${hexString(bytesOfHex(option.data))}`;
  return `{class=${hexNumber(option.class)},type=${hexNumber(option.type)},len=${size}${data}}`;
}
