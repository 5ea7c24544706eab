/*
 * Every known difference between the kernel's flow key and that of Open vSwitch's userspace for the same frame.
 *
 * The datapath follows the kernel, so `ovs-ofctl parse-pcap` (userspace) prints other values for the frames that
 * `applies` tells. `fields` are names as in flow-fields.ts. A comparison is to go through: for each field that
 * differs there must be a difference that names the field and applies to the frame. docs/extraction.md says the same
 * in prose. Entries with no `fields` cannot be seen in what ovs-ofctl prints; they are listed for completeness.
 */
import * as K from '../../assembly/constants.ts';
import { referenceExtractAll } from '../reference/extract.ts';
import type { Fields } from './flow-fields.ts';

export interface Difference {
  id: string;
  /** When, in words. */
  condition: string;
  kernel: string;
  userspace: string;
  /** Whose key ours is. */
  ours: 'kernel' | 'userspace';
  /** Why ours is that one. */
  reason: string;
  /** The fields that can differ. */
  fields: readonly string[];
  /** Whether the difference can show in this frame, of which `ourKey` is our key. */
  applies(frame: Uint8Array, ourKey: Uint8Array, theirFields: Fields): boolean;
}

const IP = ['nw_proto', 'nw_tos', 'nw_ttl', 'nw_frag'];
const IPV4 = ['nw_src', 'nw_dst', ...IP];
const IPV6 = ['ipv6_src', 'ipv6_dst', 'ipv6_label', ...IP];
const PORTS = ['tp_src', 'tp_dst', 'tcp_flags'];
const ND = ['nd_target', 'arp_sha', 'arp_tha'];
const MPLS = ['mpls_lse0', 'mpls_lse1', 'mpls_lse2'];
const NSH_BASE = ['nsh_flags', 'nsh_ttl', 'nsh_mdtype', 'nsh_np', 'nsh_path_hdr'];
const NSH = [...NSH_BASE, 'nsh_c1', 'nsh_c2', 'nsh_c3', 'nsh_c4'];

const KERNEL_FIRST = 'the kernel is the reference of the datapath';

function u16(data: Uint8Array, at: number): number {
  return (data[at] << 8) | data[at + 1];
}

function type(key: Uint8Array): number {
  return u16(key, K.KEY_ETH_TYPE);
}

function isIpv4(key: Uint8Array): boolean {
  return type(key) === 0x0800;
}

function isIpv6(key: Uint8Array): boolean {
  return type(key) === 0x86dd;
}

/** Offset of the network header. */
function l3(frame: Uint8Array): number {
  return referenceExtractAll(frame, 0).offsets.l3;
}

function same(a: Uint8Array, b: Uint8Array, from: number, to: number): boolean {
  return Buffer.compare(a.subarray(from, to), b.subarray(from, to)) === 0;
}

/** Bytes of the IP packet as its own header has it. */
function declaredSize(frame: Uint8Array, at: number, key: Uint8Array): number {
  return isIpv4(key) ? u16(frame, at + 2) : 40 + u16(frame, at + 4);
}

/** The header says more than the frame holds, or less than the header itself has, or leaves 64 KiB and more behind. */
function sizeRefused(frame: Uint8Array, at: number, key: Uint8Array): boolean {
  const rest = frame.length - at;
  if (rest < (isIpv4(key) ? 20 : 40)) return false;
  const declared = declaredSize(frame, at, key);
  const header = isIpv4(key) ? (frame[at] & 15) * 4 : 40;
  return declared > rest || declared < header || rest - declared > 65535;
}

/** Cutting off what lies behind the declared size changes the key. */
function paddingCounts(frame: Uint8Array, key: Uint8Array): boolean {
  const at = l3(frame);
  if (frame.length - at < (isIpv4(key) ? 20 : 40) || sizeRefused(frame, at, key)) return false;
  const cut = referenceExtractAll(frame.subarray(0, at + declaredSize(frame, at, key)), 0).key;
  return !same(cut, key, K.KEY_IP_PROTO, K.KEY_HOT_SIZE);
}

interface Chain {
  /** Offset fields of the fragment headers, in order, up to the first that is not zero. */
  fragments: number[];
  /** What a later fragment names as its next header, and how many bytes its fragment header has. */
  laterNext?: number;
  laterSize?: number;
  broken: boolean;
}

const EXTENSIONS = [0, 43, 44, 51, 60];

/** The extension headers within the declared size, as userspace sees them. */
function chain(frame: Uint8Array): Chain {
  const at = l3(frame);
  const result: Chain = { fragments: [], broken: false };
  if (frame.length - at < 40) return result;
  const end = Math.min(frame.length, at + 40 + u16(frame, at + 4));
  let next = frame[at + 6];
  let offset = at + 40;
  while (EXTENSIONS.includes(next)) {
    const left = end - offset;
    if (next === 44 && left >= 4) {
      result.fragments.push(u16(frame, offset + 2));
      if (u16(frame, offset + 2) >= 8) return { ...result, laterNext: frame[offset], laterSize: left };
    }
    const size = next === 44 ? 8 : next === 51 ? (frame[offset + 1] + 2) * 4 : (frame[offset + 1] + 1) * 8;
    if (left < 8 || left < size) return { ...result, broken: true };
    next = frame[offset];
    offset += size;
  }
  return result;
}

function snapControl(frame: Uint8Array): boolean {
  const at = l3(frame);
  const llc = frame.subarray(at - 8, at);
  const isSnap = at >= 22 && llc[0] === 0xaa && llc[1] === 0xaa && llc[3] === 0 && u16(llc, 4) === 0;
  return isSnap && u16(frame, at - 10) < 0x600 && llc[2] !== 3;
}

function nshHeader(frame: Uint8Array, key: Uint8Array): Uint8Array | undefined {
  const header = frame.subarray(l3(frame));
  return type(key) === 0x894f && header.length >= 8 ? header : undefined;
}

export const differences: readonly Difference[] = [
  {
    id: 'frame-short',
    condition: 'the frame has fewer than 14 bytes',
    kernel: 'refuses the packet',
    userspace: 'gives a key of metadata only',
    ours: 'kernel',
    reason: 'extract returns -1 and the packet is a named drop',
    fields: [],
    applies: (frame) => frame.length < 14,
  },
  {
    id: 'llc-type',
    condition: 'an 802.3 frame without a usable SNAP type',
    kernel: 'type 0x0004 (ETH_P_802_2)',
    userspace: 'type 0x05ff (OFP_DL_TYPE_NOT_ETH_TYPE)',
    ours: 'kernel',
    reason: 'two names of "no type"; in a Netlink key both are an absent OVS_KEY_ATTR_ETHERTYPE',
    fields: ['dl_type'],
    applies: (_frame, key) => type(key) === 4,
  },
  {
    id: 'snap-control',
    condition: 'LLC AA AA with organisation code 0 and a control byte other than 3',
    kernel: 'takes the SNAP type, does not look at the control byte',
    userspace: 'has no type and parses nothing behind it',
    ours: 'kernel',
    reason: KERNEL_FIRST,
    fields: ['dl_type', ...IPV4, ...IPV6, ...PORTS, ...ND, ...MPLS, ...NSH],
    applies: (frame) => snapControl(frame),
  },
  {
    id: 'ipv4-size',
    condition:
      'the IPv4 total size is smaller than the header, larger than the rest of the frame, or 64 KiB smaller than it',
    kernel: 'does not look at the total size',
    userspace: 'stops: no network fields',
    ours: 'kernel',
    reason: KERNEL_FIRST,
    fields: [...IPV4, ...PORTS, ...ND],
    applies: (frame, key) => isIpv4(key) && sizeRefused(frame, l3(frame), key),
  },
  {
    id: 'ipv6-size',
    condition: 'the IPv6 payload size is larger than the rest of the frame, or 64 KiB smaller than it',
    kernel: 'does not look at the payload size',
    userspace: 'stops: no network fields',
    ours: 'kernel',
    reason: KERNEL_FIRST,
    fields: [...IPV6, ...PORTS, ...ND],
    applies: (frame, key) => isIpv6(key) && sizeRefused(frame, l3(frame), key),
  },
  {
    id: 'padding',
    condition: 'a header behind IPv4 or IPv6 reaches over the end of the packet into padding',
    kernel: 'reads on to the end of the frame',
    userspace: 'cuts the padding off first and finds the header truncated',
    ours: 'kernel',
    reason: KERNEL_FIRST,
    fields: [...IP, 'ipv6_label', ...PORTS, ...ND],
    applies: (frame, key) => (isIpv4(key) || isIpv6(key)) && paddingCounts(frame, key),
  },
  {
    id: 'ipv6-chain-broken',
    condition: 'an IPv6 extension header does not fit into the packet',
    kernel: 'traffic class, hop limit, flow label, fragment type, protocol 59; no transport fields',
    userspace: 'addresses only',
    ours: 'kernel',
    reason: KERNEL_FIRST,
    fields: ['ipv6_label', ...IP, ...PORTS, ...ND],
    applies: (frame, key) => isIpv6(key) && chain(frame).broken,
  },
  {
    id: 'ipv6-fragment-atomic',
    condition: 'all fragment headers have offset 0, no reserved bits and no more-fragments bit',
    kernel: 'first fragment',
    userspace: 'not a fragment',
    ours: 'kernel',
    reason: KERNEL_FIRST,
    fields: ['nw_frag'],
    applies: (frame, key) => {
      const { fragments } = chain(frame);
      return isIpv6(key) && fragments.length > 0 && fragments.every((field) => field === 0);
    },
  },
  {
    id: 'ipv6-fragment-later-extension',
    condition: 'a later fragment whose next header is an extension header',
    kernel: 'broken chain: first fragment, protocol 59',
    userspace: 'later fragment, protocol 44',
    ours: 'kernel',
    reason: KERNEL_FIRST,
    fields: ['nw_frag', 'nw_proto'],
    applies: (frame, key) => isIpv6(key) && EXTENSIONS.includes(chain(frame).laterNext ?? -1),
  },
  {
    id: 'ipv6-fragment-later-cut',
    condition: 'a later fragment with 4 to 7 bytes of fragment header',
    kernel: 'later fragment, protocol 44',
    userspace: 'addresses only',
    ours: 'kernel',
    reason: KERNEL_FIRST,
    fields: ['ipv6_label', ...IP],
    applies: (frame, key) => isIpv6(key) && (chain(frame).laterSize ?? 8) < 8,
  },
  {
    id: 'protocol-family',
    condition: 'ICMP or IGMP over IPv6, ICMPv6 over IPv4',
    kernel: 'an unknown protocol: no transport fields',
    userspace: 'parses the protocol whatever carries it',
    ours: 'kernel',
    reason: KERNEL_FIRST,
    fields: [...PORTS, ...ND],
    applies: (_frame, key) => {
      const proto = key[K.KEY_IP_PROTO];
      return (isIpv6(key) && (proto === 1 || proto === 2)) || (isIpv4(key) && proto === 58);
    },
  },
  {
    id: 'igmp',
    condition: 'IGMP over IPv4',
    kernel: 'an unknown protocol: no transport fields',
    userspace: 'type and code in tp_src and tp_dst, and the group address',
    ours: 'userspace',
    reason:
      'costs nothing, and rules that match on IGMP types work; there is no Netlink attribute, so no message shows it',
    fields: [],
    applies: (_frame, key) => isIpv4(key) && key[K.KEY_IP_PROTO] === 2,
  },
  {
    id: 'nd-extension',
    condition: 'neighbour solicitation or advertisement',
    kernel: 'has neither the reserved word nor the type of the first link-layer option',
    userspace: 'has both (nd_reserved, nd_options_type)',
    ours: 'userspace',
    reason: 'both are OpenFlow fields; they lie in the cold part of the key and masks leave them out (KEY_FLAG_ND_EXT)',
    fields: [],
    applies: (_frame, key) => (key[K.KEY_FLAGS] & K.KEY_FLAG_ND_EXT) !== 0,
  },
  {
    id: 'ipv6-exthdrs',
    condition: 'IPv6 with extension headers or without next header',
    kernel: 'a pseudo-field of bits, since 5.18 (before September 2026 with other bits for AH)',
    userspace: 'has no such field',
    ours: 'kernel',
    reason: KERNEL_FIRST,
    fields: [],
    applies: (_frame, key) => u16(key, K.KEY_IPV6_EXTHDRS) !== 0,
  },
  {
    id: 'mpls-no-bottom',
    condition: 'the frame ends before a label stack entry with the bottom-of-stack bit',
    kernel: 'keeps the entries and counts none',
    userspace: 'keeps and counts them',
    ours: 'kernel',
    reason: KERNEL_FIRST,
    fields: [],
    applies: (_frame, key) => [0x8847, 0x8848].includes(type(key)) && key[K.KEY_MPLS_COUNT] === 0,
  },
  {
    id: 'nsh-type',
    condition: 'an NSH metadata type other than 1 and 2',
    kernel: 'refuses the packet',
    userspace: 'gives the base fields, context zero',
    ours: 'kernel',
    reason: 'there is no kernel key; ours has the Ethernet fields and no NSH field',
    fields: NSH_BASE,
    applies: (frame, key) => {
      const header = nshHeader(frame, key);
      return header !== undefined && header[2] !== 1 && header[2] !== 2;
    },
  },
  {
    id: 'nsh-refused',
    condition: 'an NSH header of another version, cut off by the frame, or of type 1 and not 24 bytes long',
    kernel: 'refuses the packet',
    userspace: 'gives no NSH field',
    ours: 'userspace',
    reason: 'a packet that can be forwarded by its Ethernet fields need not be dropped',
    fields: [],
    applies: (frame, key) => {
      const metadata = nshHeader(frame, key)?.at(2) ?? 0;
      return type(key) === 0x894f && key[K.KEY_NSH_MDTYPE] === 0 && metadata <= 2;
    },
  },
  {
    id: 'nsh-type-2-short',
    condition: 'NSH metadata type 2 with a length below two words',
    kernel: 'gives the fields',
    userspace: 'gives no NSH field',
    ours: 'kernel',
    reason: KERNEL_FIRST,
    fields: NSH_BASE,
    applies: (frame, key) => {
      const header = nshHeader(frame, key);
      return header !== undefined && header[2] === 2 && (header[1] & 63) < 2;
    },
  },
];
