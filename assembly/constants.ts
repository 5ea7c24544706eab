/*
 * Constants: every number that both sides of the WASM boundary must agree on.
 *
 * Compiled by asc into the datapath and by tsc into the host, so it holds nothing but `export const NAME = <integer>`
 * (asc infers i32; cast where an unsigned type is needed). Three kinds live here: limits, each with its reason; offsets
 * and sizes of structures that host and datapath share; statuses that exports return. The addresses of regions do not:
 * they are computed from the capacity in memory/layout.ts.
 *
 * Kernel names and numbers are those of linux/openvswitch.h and linux/netlink.h.
 */

// ---------------------------------------------------------------------------------------------------- limits

/** Packets handled together: one bitmap of u32 says which are still unresolved (Open vSwitch: NETDEV_MAX_BURST). */
export const BATCH_MAX = 32;
/** Worker slots of a datapath; slot 0 is the thread that owns it, the others are pollers. */
export const WORKERS_MAX = 16;
/** Ports of a datapath. The kernel allows 65,535; each costs one statistics row a worker here. */
export const PORTS_MAX = 1024;
/** Distinct masks. A tuple-space-explosion attack is bounded by it (the kernel has no bound). */
export const SUBTABLES_MAX = 16384;
/** Flow slots a datapath can be created with. */
export const FLOWS_MAX = 16777216;
/** Smallest and largest exact-match cache, in entries. */
export const EMC_ENTRIES_MIN = 8192;
export const EMC_ENTRIES_MAX = 1048576;
/** Bytes of one action list (a Netlink attribute payload cannot be longer: 65,535 - 4). */
export const ACTIONS_SIZE_MAX = 65531;
/** Frames up to this size travel through the datapath (64 KiB: a GSO super-frame). */
export const FRAME_SIZE_MAX = 65535;
/** Smallest frame: an Ethernet header. Shorter ones are dropped as DROP_RX_SHORT. */
export const FRAME_SIZE_MIN = 14;
/** Room kept before a received frame for pushes (VLAN, MPLS, NSH, an outer tunnel header). */
export const HEADROOM = 128;
/** MPLS label stack entries kept in a key (kernel: MPLS_LABEL_DEPTH). */
export const MPLS_DEPTH_MAX = 3;

// ---------------------------------------------------------------------------------------------------- flow key
//
// One flow key is KEY_WORDS 64-bit words, little-endian words over these byte offsets. Fields marked BE hold wire bytes,
// the others are host order, as in the kernel's sw_flow_key. Unused bytes are always zero. Words below KEY_HOT_WORDS are
// written for every packet; the cold rest is zero unless the packet carries NSH, an ND message, tunnel or conntrack metadata.

export const KEY_WORDS = 72;
export const KEY_SIZE = 576;
export const KEY_HOT_WORDS = 16;
export const KEY_HOT_SIZE = 128;

export const KEY_IN_PORT = 0; // u32
export const KEY_RECIRC_ID = 4; // u32
export const KEY_ETH_DST = 8; // [6]
export const KEY_ETH_TYPE = 14; // BE16, innermost; 0 = truncated tag; ETH_P_802_2 (0x0004) = LLC frame without a type, as in the kernel
export const KEY_ETH_SRC = 16; // [6]
export const KEY_VLAN_TCI = 22; // BE16, outer tag, VLAN_CFI_MASK 0x1000 set when present
export const KEY_IP_PROTO = 24; // u8; ARP: low byte of the opcode
export const KEY_IP_TOS = 25; // u8
export const KEY_IP_TTL = 26; // u8
export const KEY_IP_FRAG = 27; // u8, enum ovs_frag_type
export const KEY_TP_SRC = 28; // BE16; ICMP, ICMPv6, IGMP: type
export const KEY_TP_DST = 30; // BE16; ICMP, ICMPv6, IGMP: code
export const KEY_IPV4_SRC = 32; // BE32; ARP: sender protocol address
export const KEY_IPV4_DST = 36; // BE32; ARP: target protocol address
export const KEY_TCP_FLAGS = 40; // BE16, 12 bits
export const KEY_VLAN_TPID = 42; // BE16, outer tag
export const KEY_CVLAN_TCI = 44; // BE16, inner tag
export const KEY_CVLAN_TPID = 46; // BE16, inner tag
export const KEY_IPV6_SRC = 48; // [16]
export const KEY_IPV6_DST = 64; // [16]
export const KEY_IPV6_LABEL = 80; // BE32, low 20 bits
export const KEY_MPLS_LSE0 = 84; // BE32, outermost
export const KEY_MPLS_LSE1 = 88; // BE32
export const KEY_MPLS_LSE2 = 92; // BE32
export const KEY_ARP_SHA = 96; // [6]; ND: source link-layer address
export const KEY_ND_SLL = 96; // [6], shares its place with arp_sha
export const KEY_IPV6_EXTHDRS = 102; // u16, bits of enum ofp12_ipv6exthdr_flags (kernel >= 5.18)
export const KEY_ARP_THA = 104; // [6]; ND: target link-layer address
export const KEY_ND_TLL = 104; // [6], shares its place with arp_tha
export const KEY_MPLS_COUNT = 110; // u8, label stack entries kept
export const KEY_FLAGS = 111; // u8, KEY_FLAG_*
export const KEY_ND_TARGET = 112; // [16]

// cold part
export const KEY_SKB_PRIORITY = 128; // u32
export const KEY_SKB_MARK = 132; // u32
export const KEY_DP_HASH = 136; // u32
export const KEY_CT_MARK = 140; // u32
export const KEY_CT_STATE = 144; // u32, 8 bits used
export const KEY_CT_ZONE = 148; // u16
export const KEY_CT_ORIG_PROTO = 150; // u8
export const KEY_CT_LABELS = 152; // [16]
export const KEY_CT_ORIG_SRC = 168; // [16], IPv4 in the first four bytes
export const KEY_CT_ORIG_DST = 184; // [16]
export const KEY_CT_ORIG_TP_SRC = 200; // BE16
export const KEY_CT_ORIG_TP_DST = 202; // BE16
export const KEY_PACKET_TYPE = 204; // BE32, userspace only
export const KEY_NSH_FLAGS = 208; // u8
export const KEY_NSH_TTL = 209; // u8
export const KEY_NSH_MDTYPE = 210; // u8
export const KEY_NSH_NP = 211; // u8
export const KEY_NSH_PATH_HDR = 212; // BE32: 24-bit SPI, 8-bit SI
export const KEY_NSH_CONTEXT = 216; // [16], BE32 c1..c4
export const KEY_ND_RESERVED = 232; // BE32, userspace only
export const KEY_ND_OPTIONS_TYPE = 236; // u8, userspace only
export const KEY_TUN_ID = 240; // BE64
export const KEY_TUN_SRC = 248; // [16], IPv4 in the first four bytes
export const KEY_TUN_DST = 264; // [16]
export const KEY_TUN_FLAGS = 280; // u16
export const KEY_TUN_TOS = 282; // u8
export const KEY_TUN_TTL = 283; // u8
export const KEY_TUN_TP_SRC = 284; // BE16
export const KEY_TUN_TP_DST = 286; // BE16
export const KEY_TUN_GBP = 288; // u32: flags << 16 | policy id
export const KEY_TUN_LABEL = 292; // BE32
export const KEY_TUN_PROTO = 296; // u8: 0, 4 or 6
export const KEY_TUN_OPTS_SIZE = 297; // u8
export const KEY_TUN_ERSPAN_VER = 298; // u8
export const KEY_TUN_GTPU_FLAGS = 299; // u8
export const KEY_TUN_GTPU_MSGTYPE = 300; // u8
export const KEY_TUN_ERSPAN = 304; // [12]
export const KEY_TUN_OPTS = 320; // [256], Geneve options, at most 252 used

/** KEY_FLAGS: the two fields that have no Netlink attribute (ND reserved word, options type) were set; masks ignore it. */
export const KEY_FLAG_ND_EXT = 1;

// ---------------------------------------------------------------------------------------------------- packet
//
// What the pipeline knows of one packet of the batch: PACKET_SIZEOF bytes in the worker's area, one a position.

export const PACKET_SIZEOF = 64;
export const PACKET_DATA = 0; // u32, address of the first byte of the frame
export const PACKET_SIZE = 4; // u32, bytes of the frame
export const PACKET_HEAD = 8; // u32, lowest address that a push may use
export const PACKET_TAIL = 12; // u32, first address after the buffer
export const PACKET_KEY = 16; // u32, address of its key (KEY_SIZE bytes)
export const PACKET_IN_PORT = 20; // u32
export const PACKET_HASH = 24; // u64
export const PACKET_FLOW = 32; // u32, address of the flow found, 0 none yet
export const PACKET_WIRE_SIZE = 36; // u32, bytes it had on the wire (captures may be cut)
export const PACKET_TIME_NS = 40; // u64, receive time, CLOCK_REALTIME
export const PACKET_L3 = 48; // u16, offset of the network header from PACKET_DATA, OFFSET_NONE when there is none
export const PACKET_L4 = 50; // u16, offset of the transport header, OFFSET_NONE when there is none
export const PACKET_MPLS = 52; // u16, offset of the first MPLS label, OFFSET_NONE when there is none
export const PACKET_FLAGS = 54; // u16, PACKET_FLAG_*
export const PACKET_CUT = 56; // u32, TRUNC: bytes to send at most by the next output, 0 = all
export const PACKET_RECIRC_ID = 60; // u32

export const OFFSET_NONE = 65535;

/** The cold part of the key was written and must be cleared before the slot is used again. */
export const PACKET_FLAG_KEY_COLD = 1;
/** The packet was changed by an action since its key was extracted. */
export const PACKET_FLAG_MODIFIED = 2;

// ---------------------------------------------------------------------------------------------------- drops
//
// Every packet that is not forwarded is counted under one of these names: a u64 counter a worker and reason.

export const DROP_RX_SHORT = 0; // shorter than an Ethernet header
export const DROP_RX_LONG = 1; // longer than FRAME_SIZE_MAX or than the buffer
export const DROP_FLOW = 2; // the flow's action list is empty or says drop
export const DROP_UPCALL_RING_FULL = 3; // miss that found no free frame
export const DROP_UPCALL_PORT_SHARE = 4; // miss of a port that already holds its share of the ring
export const DROP_UPCALL_NO_HANDLER = 5; // miss while nobody listens
export const DROP_UPCALL_HANDLER = 6; // the handler decided to drop this one packet
export const DROP_UPCALL_ERROR = 7; // the handler threw or gave an invalid answer
export const DROP_UPCALL_TIMEOUT = 8; // the handler never answered
export const DROP_UPCALL_STALE = 9; // queued when the datapath closed, flushed or lost its worker
export const DROP_NO_PORT = 10; // output to a port that does not exist
export const DROP_TX_FULL = 11; // the output port's ring is full
export const DROP_ACTION = 12; // an action could not be applied (no headroom, header missing)
export const DROP_WORKER_LOST = 13; // in the hands of a worker that trapped
export const DROP_REASONS = 16;

// ---------------------------------------------------------------------------------------------------- statuses
//
// Exports that can fail return 0 or a negative errno of linux/errno; these are the ones in use.

export const ENOENT = 2;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const EINVAL = 22;
export const EFBIG = 27;
export const ENOSPC = 28;
export const ERANGE = 34;
export const EMSGSIZE = 90;
export const EOPNOTSUPP = 95;
export const ENOBUFS = 105;
