/*
 * Typed form of flow keys and matches.
 *
 * Numbers are in host order whatever their place on the wire; addresses are text. FlowKey is exact and says what a packet
 * carried; FlowMatch is partial: what is absent is not matched.
 */

/** Fragment type: unfragmented, first fragment (has the transport header), any later fragment. */
export type Fragment = 'no' | 'first' | 'later';

/** `ethType` of a frame with an 802.2 header and no type (the kernel's ETH_P_802_2). */
export const ETH_TYPE_LLC = 0x0004;

export interface EthKey {
  /** MAC text. */
  src: string;
  dst: string;
}

/** One VLAN tag. `cfi` says that it is there: never false in a key. */
export interface VlanKey {
  tpid: number;
  /** 0-4095 */
  vid: number;
  /** 0-7 */
  pcp: number;
  cfi?: boolean;
}

export interface Ipv4Key {
  src: string;
  dst: string;
  proto: number;
  tos: number;
  ttl: number;
  frag: Fragment;
}

export interface Ipv6Key {
  src: string;
  dst: string;
  /** Flow label, 20 bits. */
  label: number;
  proto: number;
  tclass: number;
  hlimit: number;
  frag: Fragment;
}

/** Ports of TCP, UDP or SCTP. */
export interface PortsKey {
  src: number;
  dst: number;
}

export interface IcmpKey {
  type: number;
  code: number;
}

export interface ArpKey {
  sip: string;
  tip: string;
  op: number;
  sha: string;
  tha: string;
}

/** Neighbour discovery: target address, source and target link-layer address options (zero when absent). */
export interface NdKey {
  target: string;
  sll: string;
  tll: string;
}

/** What userspace Open vSwitch reads of ND beyond the kernel: reserved word and type of the first option. */
export interface NdExtKey {
  reserved: number;
  optionsType: number;
}

/** One MPLS label stack entry. */
export interface MplsEntry {
  /** 20 bits */
  label: number;
  /** 3 bits */
  tc: number;
  ttl: number;
  /** Bottom of stack, 0 or 1. */
  bos: number;
}

export interface NshKey {
  flags: number;
  ttl: number;
  mdtype: number;
  np: number;
  /** Service path id, 24 bits. */
  spi: number;
  /** Service index. */
  si: number;
  /** Context words of metadata type 1. */
  c1: number;
  c2: number;
  c3: number;
  c4: number;
}

/** Original direction tuple of a tracked connection; addresses are IPv4 in ctTuple4 and IPv6 in ctTuple6. */
export interface CtTupleKey {
  src: string;
  dst: string;
  proto: number;
  tpSrc: number;
  tpDst: number;
}

/** Namespace and type of a packet: 0, 0 is Ethernet. */
export interface PacketTypeKey {
  ns: number;
  id: number;
}

/** One Geneve option. */
export interface GeneveOption {
  class: number;
  type: number;
  /** Hexadecimal digits, a multiple of four bytes, at most 124; in a match `digits/digits`. */
  data: string;
}

/**
 * ERSPAN metadata: `version` 1 has `index`, 2 has the rest; what is absent is zero, in a match not matched. Metadata that these cannot say (another
 * version, bits where a version has none, a version under a mask) is `data` alone.
 */
export interface ErspanKey {
  version?: number;
  /** All 12 bytes in hexadecimal digits; in a match `digits/digits`. */
  data?: string;
  /** 32 bits. */
  index?: number;
  /** 32 bits. */
  timestamp?: number;
  /** Security group tag, 16 bits. */
  sgt?: number;
  /** Version 2, by bits: 1, 5 (frame type), 2 and 4 (hardware id), 1 (direction), 2 (granularity), 1. */
  p?: number;
  ft?: number;
  hwidUpper?: number;
  hwid?: number;
  dir?: number;
  gra?: number;
  o?: number;
}

/** The outer headers of a packet that came out of a tunnel. */
export interface TunnelKey {
  /** 64 bits; absent: the tunnel has no key. */
  id?: bigint;
  /** Outer addresses, both IPv4 or both IPv6. */
  src: string;
  dst: string;
  tos: number;
  ttl: number;
  tpSrc: number;
  tpDst: number;
  /** Do not fragment, checksum, operations and maintenance: absent is false in a key, not matched in a match. */
  df?: boolean;
  csum?: boolean;
  oam?: boolean;
  /** At most one of these four. */
  geneve?: GeneveOption[];
  vxlanGbp?: { id: number; flags: number };
  erspan?: ErspanKey;
  /** Only Open vSwitch's own datapath has it. */
  gtpu?: { flags: number; msgtype: number };
}

/** Fields that have the same form in FlowKey and, with masks, in FlowMatch. */
export interface FlowFields {
  inPort: number;
  recircId: number;
  dpHash: number;
  skbPriority: number;
  skbMark: number;
  ctState: number;
  ctZone: number;
  ctMark: number;
  /** 128 bits. */
  ctLabel: bigint;
  ctTuple4: CtTupleKey;
  ctTuple6: CtTupleKey;
  packetType: PacketTypeKey;
  eth: EthKey;
  /** Type of the innermost Ethernet header: what follows the tags. ETH_TYPE_LLC: none. A TPID: the frame ended in that tag, or has a third. */
  ethType: number;
  ipv4: Ipv4Key;
  ipv6: Ipv6Key;
  /** Extension headers of an IPv6 packet: bits of OpenFlow's enum ofp12_ipv6exthdr_flags (kernel 5.18 and later). */
  ipv6Exthdrs: number;
  tcp: PortsKey;
  /** 12 bits; on the wire of every TCP packet. */
  tcpFlags: number;
  udp: PortsKey;
  sctp: PortsKey;
  icmp: IcmpKey;
  icmpv6: IcmpKey;
  igmp: IcmpKey;
  arp: ArpKey;
  nd: NdKey;
  ndExt: NdExtKey;
  nsh: NshKey;
}

/** The names of FlowFields. */
export type FieldName = keyof FlowFields;

type Required = 'inPort' | 'recircId' | 'eth' | 'ethType';

/** An exact key. Metadata that is zero and headers that the packet does not have are absent. */
export interface FlowKey extends Pick<FlowFields, Required>, Partial<Omit<FlowFields, Required>> {
  /** Outer tag; absent: untagged. */
  vlan?: VlanKey;
  /** Inner tag. */
  cvlan?: VlanKey;
  /** Label stack, outermost first, at most three. */
  mpls?: MplsEntry[];
  tunnel?: TunnelKey;
}

/** A number, whole or under a mask. */
export type NumberMatch = number | { value: number; mask: number };

/**
 * A field under a mask: numbers as NumberMatch, addresses as `address`, `address/mask` or (IP) `address/prefix`, the fragment type also
 * as `first/0x1`.
 */
export type Masked<T> = T extends boolean
  ? T
  : T extends number
    ? T | { value: T; mask: T }
    : T extends bigint
      ? T | { value: T; mask: T }
      : T extends string
        ? T | `${T}/${string}`
        : { [K in keyof T]?: Masked<T[K]> };

/** One tag: what is absent is not matched; `cfi` (presence of a tag) is true unless given. */
export interface VlanMatch {
  tpid?: NumberMatch;
  vid?: NumberMatch;
  pcp?: NumberMatch;
  cfi?: boolean | 'any';
}

/**
 * A partial key. `vlan` or `cvlan` `'none'` matches only frames without that tag; absent, tagged or not does not matter.
 * Headers need what comes before them: `ipv4` needs `ethType: 0x0800`, `udp` needs `ipv4.proto` or `ipv6.proto` 17.
 */
export type FlowMatch = { [K in FieldName]?: Masked<FlowFields[K]> } & {
  vlan?: 'none' | VlanMatch;
  cvlan?: 'none' | VlanMatch;
  mpls?: Masked<MplsEntry>[];
  tunnel?: Masked<TunnelKey>;
};
