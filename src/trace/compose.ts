/*
 * A packet for a key: headers that extraction would read that key from, with right sizes and checksums and no payload.
 *
 * Before it: a flat key that came without a packet. After it: trace/trace.ts, which extracts the key of the packet and says where it differs from the
 * key asked for: not every key belongs to a packet. Keeps nothing; any thread.
 *
 * What a key does not hold is zero: identification, sequence numbers, windows. A key of a later fragment gives one at offset 8; extension
 * headers come in the order of RFC 8200, 4.1.
 */
import * as C from '../../assembly/constants.ts';
import { concatBytes } from '../odp/attributes.ts';
import {
  ETH_P_ARP,
  ETH_P_IP,
  ETH_P_IPV6,
  ETH_P_NSH,
  ETH_P_RARP,
  FRAG_FIRST,
  FRAG_LATER,
  isMplsType,
  mplsOffset,
  readBe16,
  readBe32,
  TAGS,
  tagState,
  writeBe16,
  writeBe32,
} from '../odp/layers.ts';
import { ETH_TYPE_LLC } from '../odp/types.ts';
import { crc32c, internetSum, pseudoSum } from './checksum.ts';

/** DSAP, SSAP and control of a frame without a type: spanning tree's. */
const LLC = Uint8Array.of(0x42, 0x42, 0x03);
const TAG_PRESENT = 0x1000;
const MORE_FRAGMENTS = 0x2000;
const BOTTOM = 0x100;
const NEXT_NONE = 59;
/** In KEY_IPV6_EXTHDRS. */
const EXTHDR_NONEXT = 1;
const ICMPV6 = 58;
const FRAGMENT = 44;
/** Extension headers: bit of KEY_IPV6_EXTHDRS, protocol number, bytes behind the next header field. */
const EXTENSIONS: readonly (readonly [number, number, readonly number[]])[] = [
  [64, 0, [0, 1, 4, 0, 0, 0, 0]],
  [8, 60, [0, 1, 4, 0, 0, 0, 0]],
  [32, 43, [0, 0, 0, 0, 0, 0, 0]],
  [16, FRAGMENT, [0, 0, 0, 0, 0, 0, 0]],
  [4, 51, [4, ...new Array<number>(22).fill(0)]],
];
/** By protocol: size of the header, place of the checksum in it. */
const TRANSPORT: Readonly<Record<number, readonly [number, number]>> = {
  1: [8, 2],
  2: [8, 2],
  6: [20, 16],
  17: [8, 6],
  [ICMPV6]: [8, 2],
  132: [12, 8],
};
const UDP = 17;
const TCP = 6;
const SCTP = 132;

/** The packet, Ethernet header and all; for a key with a packet_type that header is to be taken off again. */
export function composePacket(key: Uint8Array): Uint8Array {
  const tags: Uint8Array[] = [];
  for (const [index, { tpid, tci }] of TAGS.entries()) {
    if (tagState(key, undefined, index) !== 'tag') break;
    const tag = key.slice(tpid, tpid + 2);
    tags.push(tag, be16(readBe16(key, tci) & ~TAG_PRESENT));
  }
  const type = readBe16(key, C.KEY_ETH_TYPE);
  const network = composeNetwork(key, type);
  const addresses = [
    key.subarray(C.KEY_ETH_DST, C.KEY_ETH_DST + 6),
    key.subarray(C.KEY_ETH_SRC, C.KEY_ETH_SRC + 6),
    ...tags,
  ];
  if (type === ETH_TYPE_LLC) return concatBytes([...addresses, be16(LLC.length), LLC]);
  return concatBytes([...addresses, be16(type), network]);
}

function composeNetwork(key: Uint8Array, type: number): Uint8Array {
  if (type === ETH_P_IP) return composeIpv4(key);
  if (type === ETH_P_IPV6) return composeIpv6(key);
  if (type === ETH_P_ARP || type === ETH_P_RARP) return composeArp(key);
  if (isMplsType(type)) return composeMpls(key);
  if (type === ETH_P_NSH) return composeNsh(key);
  return new Uint8Array(0);
}

function be16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff);
}

function composeIpv4(key: Uint8Array): Uint8Array {
  const frag = key[C.KEY_IP_FRAG];
  const addresses = key.subarray(C.KEY_IPV4_SRC, C.KEY_IPV4_SRC + 8);
  const message = frag === FRAG_LATER ? new Uint8Array(0) : composeTransport(key, addresses, false);
  const header = new Uint8Array(20);
  header[0] = 0x45;
  header[1] = key[C.KEY_IP_TOS];
  writeBe16(header, 2, header.length + message.length);
  writeBe16(header, 6, frag === FRAG_FIRST ? MORE_FRAGMENTS : frag === FRAG_LATER ? 1 : 0);
  header[8] = key[C.KEY_IP_TTL];
  header[9] = key[C.KEY_IP_PROTO];
  header.set(addresses, 12);
  writeBe16(header, 10, ~internetSum(header) & 0xffff);
  return concatBytes([header, message]);
}

function composeIpv6(key: Uint8Array): Uint8Array {
  const frag = key[C.KEY_IP_FRAG];
  const addresses = key.subarray(C.KEY_IPV6_SRC, C.KEY_IPV6_SRC + 32);
  const message = frag === FRAG_LATER ? new Uint8Array(0) : composeTransport(key, addresses, true);
  const bits = readHost16(key, C.KEY_IPV6_EXTHDRS);
  // the key of a later fragment has the fragment header's number in place of what the fragment belongs to
  let next = frag !== FRAG_LATER ? key[C.KEY_IP_PROTO] : bits & EXTHDR_NONEXT ? NEXT_NONE : UDP;
  const extensions: Uint8Array[] = [];
  for (const [bit, proto, rest] of EXTENSIONS.toReversed()) {
    if (proto === FRAGMENT ? frag === 0 : (bits & bit) === 0) continue;
    const extension = Uint8Array.of(next, ...rest);
    if (proto === FRAGMENT) extension[3] = frag === FRAG_LATER ? 8 : 1;
    extensions.unshift(extension);
    next = proto;
  }
  const header = new Uint8Array(40);
  const tclass = key[C.KEY_IP_TOS];
  writeBe32(header, 0, (0x60000000 | (tclass << 20) | (readBe32(key, C.KEY_IPV6_LABEL) & 0xfffff)) >>> 0);
  writeBe16(
    header,
    4,
    extensions.reduce((size, extension) => size + extension.length, message.length),
  );
  header[6] = next;
  header[7] = key[C.KEY_IP_TTL];
  header.set(addresses, 8);
  return concatBytes([header, ...extensions, message]);
}

/** A host order field of the key. */
function readHost16(key: Uint8Array, at: number): number {
  return key[at] | (key[at + 1] << 8);
}

function composeTransport(key: Uint8Array, addresses: Uint8Array, ipv6: boolean): Uint8Array {
  const proto = key[C.KEY_IP_PROTO];
  const layout = proto === ICMPV6 && !ipv6 ? undefined : TRANSPORT[proto];
  if (layout === undefined || (ipv6 && (proto === 1 || proto === 2))) return new Uint8Array(0);
  const [size, checksumAt] = layout;
  let message = new Uint8Array(size);
  if (proto === TCP || proto === UDP || proto === SCTP) message.set(key.subarray(C.KEY_TP_SRC, C.KEY_TP_SRC + 4));
  else message.set([key[C.KEY_TP_SRC + 1], key[C.KEY_TP_DST + 1]]);
  if (proto === TCP) writeBe16(message, 12, 0x5000 | (readBe16(key, C.KEY_TCP_FLAGS) & 0xfff));
  if (proto === UDP) writeBe16(message, 4, size);
  if (proto === ICMPV6) message = new Uint8Array(concatBytes([message, composeDiscovery(key, message)]));
  if (proto === SCTP) {
    new DataView(message.buffer).setUint32(checksumAt, crc32c(message, checksumAt), true);
    return message;
  }
  const pseudo = proto === TCP || proto === UDP || proto === ICMPV6 ? pseudoSum(addresses, proto, message.length) : 0;
  const sum = ~internetSum(message, pseudo) & 0xffff;
  writeBe16(message, checksumAt, sum === 0 && proto === UDP ? 0xffff : sum);
  return message;
}

/**
 * What follows an ICMPv6 header that stands in `message`: of neighbour discovery, the target and the link-layer address options: those that are not zero,
 * and the one that the key says comes first.
 */
function composeDiscovery(key: Uint8Array, message: Uint8Array): Uint8Array {
  const [type, code] = message;
  if ((type !== 135 && type !== 136) || code !== 0) return new Uint8Array(0);
  message.set(key.subarray(C.KEY_ND_RESERVED, C.KEY_ND_RESERVED + 4), 4);
  const first = key[C.KEY_ND_OPTIONS_TYPE];
  const options = [1, 2].map((option) => {
    const at = option === 1 ? C.KEY_ND_SLL : C.KEY_ND_TLL;
    const address = key.subarray(at, at + 6);
    const present = option === first || address.some((byte) => byte !== 0);
    return present ? Uint8Array.of(option, 1, ...address) : new Uint8Array(0);
  });
  if (first === 2) options.reverse();
  return concatBytes([key.subarray(C.KEY_ND_TARGET, C.KEY_ND_TARGET + 16), ...options]);
}

function composeArp(key: Uint8Array): Uint8Array {
  const part = (at: number, size: number): Uint8Array => key.subarray(at, at + size);
  return concatBytes([
    Uint8Array.of(0, 1, 8, 0, 6, 4, 0, key[C.KEY_IP_PROTO]),
    part(C.KEY_ARP_SHA, 6),
    part(C.KEY_IPV4_SRC, 4),
    part(C.KEY_ARP_THA, 6),
    part(C.KEY_IPV4_DST, 4),
  ]);
}

/** A stack that goes on behind what a key can hold gets one more entry, the last. */
function composeMpls(key: Uint8Array): Uint8Array {
  const count = Math.min(key[C.KEY_MPLS_COUNT], C.MPLS_DEPTH_MAX);
  const entries = Array.from({ length: count }, (_, i) => key.slice(mplsOffset(i), mplsOffset(i) + 4));
  const more = count === C.MPLS_DEPTH_MAX && (readBe32(key, mplsOffset(count - 1)) & BOTTOM) === 0;
  return concatBytes(more ? [...entries, Uint8Array.of(0, 0, BOTTOM >> 8, 64)] : entries);
}

function composeNsh(key: Uint8Array): Uint8Array {
  const mdtype = key[C.KEY_NSH_MDTYPE];
  const size = mdtype === 1 ? 24 : 8;
  const header = new Uint8Array(size);
  const base = ((key[C.KEY_NSH_FLAGS] & 3) << 12) | ((key[C.KEY_NSH_TTL] & 0x3f) << 6) | (size / 4);
  writeBe16(header, 0, base);
  header.set([mdtype, key[C.KEY_NSH_NP]], 2);
  header.set(key.subarray(C.KEY_NSH_PATH_HDR, C.KEY_NSH_PATH_HDR + 4), 4);
  if (mdtype === 1) header.set(key.subarray(C.KEY_NSH_CONTEXT, C.KEY_NSH_CONTEXT + 16), 8);
  return header;
}
