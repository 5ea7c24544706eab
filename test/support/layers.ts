/*
 * Frames, built a layer at a time.
 *
 * Each builder returns the bytes of its header and everything behind it; the caller says which header it is to the
 * layer in front: ethernet(0x0800, ipv4({ proto: 17 }, udp({}, data))). Sizes, counts and checksums are right unless
 * the caller overrides them.
 */
export type Bytes = Uint8Array;

export interface NamedFrame {
  name: string;
  frame: Bytes;
}

/** Numbers and byte strings, one after the other. */
export function bytes(...parts: (number | ArrayLike<number>)[]): Bytes {
  let size = 0;
  for (const part of parts) size += typeof part === 'number' ? 1 : part.length;
  const result = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    if (typeof part === 'number') {
      result[at++] = part;
    } else {
      result.set(part, at);
      at += part.length;
    }
  }
  return result;
}

export function be16(value: number): Bytes {
  return bytes((value >>> 8) & 255, value & 255);
}

export function be32(value: number): Bytes {
  return bytes(be16(value >>> 16), be16(value & 65535));
}

/** `size` bytes counting up from `first`. */
export function filler(size: number, first = 0): Bytes {
  return Uint8Array.from({ length: size }, (_, index) => (first + index) & 255);
}

export const MAC_A = bytes(0x02, 0, 0, 0, 0, 0x0a);
export const MAC_B = bytes(0x02, 0, 0, 0, 0, 0x0b);
export const IPV6_A = bytes(0x20, 0x01, 0x0d, 0xb8, new Uint8Array(11), 1);
export const IPV6_B = bytes(0x20, 0x01, 0x0d, 0xb8, new Uint8Array(11), 2);

/** The Internet checksum of some bytes. */
export function checksum(...parts: Bytes[]): number {
  const data = bytes(...parts);
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += i % 2 === 0 ? data[i] << 8 : data[i];
  while (sum > 65535) sum = (sum & 65535) + (sum >>> 16);
  return ~sum & 65535;
}

function patch16(data: Bytes, at: number, value: number): void {
  data[at] = value >>> 8;
  data[at + 1] = value & 255;
}

/** Where each protocol has its checksum, and whether addresses count. */
const CHECKSUMS = new Map([
  [1, { at: 2, pseudo: false }],
  [2, { at: 2, pseudo: false }],
  [6, { at: 16, pseudo: true }],
  [17, { at: 6, pseudo: true }],
  [58, { at: 2, pseudo: true }],
]);

function withChecksum(proto: number, addresses: Bytes, payload: Bytes): Bytes {
  const rule = CHECKSUMS.get(proto);
  if (rule === undefined || payload.length < rule.at + 2) return payload;
  const result = payload.slice();
  patch16(result, rule.at, 0);
  const pseudo = rule.pseudo ? bytes(addresses, be32(result.length), be32(proto)) : bytes();
  patch16(result, rule.at, checksum(pseudo, result));
  return result;
}

export interface EthernetFields {
  dst?: Bytes;
  src?: Bytes;
  /** TPID and TCI of each tag, outermost first. */
  tags?: readonly (readonly [number, number])[];
}

export function ethernet(type: number, payload: Bytes, fields: EthernetFields = {}): Bytes {
  const tags = (fields.tags ?? []).map(([tpid, tci]) => bytes(be16(tpid), be16(tci)));
  return bytes(fields.dst ?? MAC_B, fields.src ?? MAC_A, ...tags, be16(type), payload);
}

/** LLC and SNAP behind an 802.3 length field. */
export function llcSnap(type: number, payload: Bytes, llc: ArrayLike<number> = [0xaa, 0xaa, 3, 0, 0, 0]): Bytes {
  return bytes(llc, be16(type), payload);
}

export function arp(opcode = 1, fixed: ArrayLike<number> = [0, 1, 8, 0, 6, 4]): Bytes {
  return bytes(fixed, be16(opcode), MAC_A, 10, 0, 0, 1, MAC_B, 10, 0, 0, 2);
}

export interface Ipv4Fields {
  proto?: number;
  tos?: number;
  ttl?: number;
  /** Flags and fragment offset as they stand in the header. */
  frag?: number;
  options?: Bytes;
  headerWords?: number;
  totalSize?: number;
  src?: Bytes;
  dst?: Bytes;
}

export function ipv4(fields: Ipv4Fields, payload: Bytes): Bytes {
  const options = fields.options ?? bytes();
  const words = fields.headerWords ?? 5 + options.length / 4;
  const total = fields.totalSize ?? 20 + options.length + payload.length;
  const proto = fields.proto ?? 17;
  const addresses = bytes(fields.src ?? [10, 0, 0, 1], fields.dst ?? [10, 0, 0, 2]);
  const header = bytes(0x40 | words, fields.tos ?? 0, be16(total), be16(0x1234), be16(fields.frag ?? 0x4000));
  const whole = bytes(header, fields.ttl ?? 64, proto, 0, 0, addresses, options);
  patch16(whole, 10, checksum(whole));
  const fragment = ((fields.frag ?? 0) & 0x3fff) !== 0;
  return bytes(whole, fragment ? payload : withChecksum(proto, addresses, payload));
}

export interface Ipv6Fields {
  next?: number;
  trafficClass?: number;
  label?: number;
  hopLimit?: number;
  payloadSize?: number;
  src?: Bytes;
  dst?: Bytes;
  /** Protocol whose checksum to fill in when nothing stands between; default: `next`. */
  proto?: number;
}

export function ipv6(fields: Ipv6Fields, payload: Bytes): Bytes {
  const next = fields.next ?? 17;
  const first = 0x60000000 | ((fields.trafficClass ?? 0) << 20) | (fields.label ?? 0);
  const addresses = bytes(fields.src ?? IPV6_A, fields.dst ?? IPV6_B);
  const size = be16(fields.payloadSize ?? payload.length);
  const body = withChecksum(fields.proto ?? next, addresses, payload);
  return bytes(be32(first), size, next, fields.hopLimit ?? 64, addresses, body);
}

export const HOP = 0;
export const ROUTING = 43;
export const FRAGMENT = 44;
export const AUTH = 51;
export const DEST = 60;

/** An extension header of (units + 1) * 8 bytes, or (units + 2) * 4 for AH. */
export function extension(kind: number, next: number, payload: Bytes, units = kind === AUTH ? 4 : 0): Bytes {
  const size = kind === AUTH ? (units + 2) * 4 : (units + 1) * 8;
  return bytes(next, units, filler(size - 2, 1), payload);
}

/** `offset` in 8-byte units. */
export function fragment(next: number, offset: number, more: boolean, payload: Bytes, reserved = 0): Bytes {
  return bytes(next, reserved, be16((offset << 3) | (more ? 1 : 0)), be32(0x01020304), payload);
}

export interface PortFields {
  src?: number;
  dst?: number;
}

export function udp(fields: PortFields & { size?: number }, payload: Bytes): Bytes {
  return bytes(
    be16(fields.src ?? 4660),
    be16(fields.dst ?? 53),
    be16(fields.size ?? 8 + payload.length),
    0,
    0,
    payload,
  );
}

export interface TcpFields extends PortFields {
  flags?: number;
  words?: number;
  options?: Bytes;
}

export function tcp(fields: TcpFields, payload: Bytes): Bytes {
  const options = fields.options ?? bytes();
  const control = ((fields.words ?? 5 + options.length / 4) << 12) | (fields.flags ?? 0x018);
  const ports = bytes(be16(fields.src ?? 40000), be16(fields.dst ?? 80));
  return bytes(ports, be32(1), be32(2), be16(control), be16(8192), 0, 0, 0, 0, options, payload);
}

export function sctp(fields: PortFields, payload: Bytes): Bytes {
  return bytes(be16(fields.src ?? 5000), be16(fields.dst ?? 2905), be32(7), be32(0), payload);
}

/** ICMP, IGMP and ICMPv6: type, code, checksum, four bytes, payload. */
export function icmp(type: number, code: number, payload: Bytes, word = 0x00010002): Bytes {
  return bytes(type, code, 0, 0, be32(word), payload);
}

export function igmp(type: number, code = 0): Bytes {
  return icmp(type, code, bytes(), 0xe0000001);
}

/** One option of neighbour discovery; `units` of 8 bytes, which may lie. */
export function ndOption(type: number, address: Bytes, units = 1): Bytes {
  return bytes(type, units, address);
}

export function neighbour(type: 135 | 136, options: Bytes, reserved = 0): Bytes {
  return icmp(type, 0, bytes(IPV6_B, options), reserved);
}

export function mplsEntry(label: number, bottom: boolean, trafficClass = 0, ttl = 64): Bytes {
  return be32(((label << 12) | (trafficClass << 9) | (bottom ? 256 : 0) | ttl) >>> 0);
}

export interface NshFields {
  version?: number;
  flags?: number;
  ttl?: number;
  words?: number;
  type?: number;
  next?: number;
}

export function nsh(fields: NshFields, context: Bytes, payload: Bytes = filler(20)): Bytes {
  const words = fields.words ?? 2 + context.length / 4;
  const base = ((fields.version ?? 0) << 14) | ((fields.flags ?? 0) << 12) | ((fields.ttl ?? 63) << 6) | words;
  return bytes(be16(base), fields.type ?? 1, fields.next ?? 3, be32(0x00006401), context, payload);
}
