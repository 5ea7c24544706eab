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
/** Action lists inside of action lists (OVS_COPY_ACTIONS_MAX_DEPTH). */
export const ACTIONS_DEPTH_MAX = 16;
/** Frames up to this size travel through the datapath (64 KiB: a GSO super-frame). */
export const FRAME_SIZE_MAX = 65535;
/** Smallest frame: an Ethernet header. Shorter ones are dropped as DROP_RX_SHORT. */
export const FRAME_SIZE_MIN = 14;
/** Room kept before a received frame for pushes (VLAN, MPLS, NSH, an outer tunnel header). */
export const HEADROOM = 128;
/** Copies of packets that nested actions may need at once: kernel's key clones (OVS_RECURSION_LIMIT - 2) and deferred actions. */
export const CLONES_MAX = 3;
export const DEFERRED_MAX = 9;
/** So many meters, with so many bands at most (Open vSwitch: MAX_METERS, MAX_BANDS). */
export const METERS_MAX = 262144;
export const METER_BANDS_MAX = 8;
/** Bonds of LB_OUTPUT; the action goes through all of them to find one. */
export const BONDS_MAX = 64;
/** Members of a bond by hash, as in Open vSwitch. */
export const BOND_BUCKETS = 256;
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
export const KEY_ETH_TYPE = 14; // BE16, innermost, the TPID behind a truncated or third tag; ETH_P_802_2 (0x0004) = LLC frame without a type, as in the kernel
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

// What parseMatch and parseMetadata leave behind for whoever must say what was wrong, and their notes while they run:
// MATCH_SIZEOF bytes of the caller's, written by each call, meaningful until the next.

export const MATCH_SIZEOF = 160;
export const MATCH_FAULT = 0; // u32, address of the attribute at fault, 0 none
export const MATCH_MISSING = 4; // u32, type of the attribute that is missing, 0 none
export const MATCH_SEEN = 8; // u64, a bit for each attribute of the key, those inside of ENCAP included
export const MATCH_TABLE = 16; // u32[33], address of the attribute of each type

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
export const PACKET_HASH = 24; // u32, of the key for the cache, 0 when it was not looked up
export const PACKET_SCRATCH = 28; // u32, hash under the mask at hand (classifier), or size of the list that was put off (nest.ts)
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
/** Headers came or went that the key does not know of: it must be extracted again before the next lookup. */
export const PACKET_FLAG_KEY_STALE = 2;
/** The packet has no Ethernet header (kernel: MAC_PROTO_NONE). KEY_PACKET_TYPE says what it begins with. */
export const PACKET_FLAG_L3 = 4;
/**
 * The transport checksum is still to be made, as virtio-net's NEEDS_CSUM and the kernel's CHECKSUM_PARTIAL say: its field holds the folded sum
 * of the pseudo header, not complemented. Begins at PACKET_L4. To be set after extraction; whoever sets it completes what goes out.
 */
export const PACKET_FLAG_CSUM_PARTIAL = 8;
/** The packet's OFFLOAD record counts: a checksum is still to be made, or it is a super-frame to be cut into segments. */
export const PACKET_FLAG_OFFLOAD = 16;

/** The packet came with a hash (OVS_PACKET_ATTR_HASH), and no action has changed what it was made of. */
export const PACKET_FLAG_HASH_GIVEN = 32;

// What is left to be done to a packet before it can stand on a wire: struct virtio_net_hdr in small, one a position of the batch.

export const OFFLOAD_SIZEOF = 16;
export const OFFLOAD_GSO_TYPE = 0; // u8, VIRTIO_NET_HDR_GSO_*, 0 none
export const OFFLOAD_CSUM_OFFSET = 2; // u16, of the checksum from where its sum begins
export const OFFLOAD_GSO_SIZE = 4; // u16, payload bytes of a segment
export const OFFLOAD_COVERED = 8; // u32, bytes from where the sum begins to the end of the packet
export const OFFLOAD_NETWORK = 12; // u32, bytes from the network header to the end of the packet

// ---------------------------------------------------------------------------------------------------- drops
//
// Every packet that is not forwarded is counted under one of these names: a u64 counter a worker and reason.

export const DROP_RX_SHORT = 0; // shorter than an Ethernet header
export const DROP_RX_LONG = 1; // longer than FRAME_SIZE_MAX
export const DROP_FLOW = 2; // the flow's action list sends the packet nowhere
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
export const DROP_UPCALL_TOO_LONG = 14; // a message of 64 KiB and more: an attribute cannot hold the packet
export const DROP_TX_LONG = 15; // longer than what the output port takes
export const DROP_METER = 16; // a band of a meter was exceeded
export const DROP_EXPLICIT = 17; // a DROP action; WORKER_EXPLICIT_DROPS says for which reasons
export const DROP_TTL = 18; // DEC_TTL found nothing to decrement, and the action has no list for that
export const DROP_RECURSION = 19; // nested or recirculated deeper than CLONES_MAX and DEFERRED_MAX allow
export const DROP_NO_ETHERNET = 20; // output of a packet without an Ethernet header
export const DROP_RX_DESCRIPTOR = 21; // a receive ring's descriptor points outside of its frame
export const DROP_RX_TRUNCATED = 22; // longer than the frames of its ring, and the kernel had no room for the whole of it either
export const DROP_TX_DOWN = 23; // the output port's interface is down or gone
export const DROP_UPCALL_NO_PORT_ID = 24; // upcall for Netlink port id 0, or for one that no socket has
export const DROP_REASONS = 25;

// ---------------------------------------------------------------------------------------------------- statuses
//
// Exports that can fail return 0 or a negative errno of linux/errno; these are the ones in use.

export const EPERM = 1;
export const ENOENT = 2;
export const ENXIO = 6;
export const ENOMEM = 12;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const EINVAL = 22;
export const ENFILE = 23;
export const EFBIG = 27;
export const ENOSPC = 28;
export const ERANGE = 34;
export const EPROTO = 71;
export const EOVERFLOW = 75;
export const EMSGSIZE = 90;
export const EOPNOTSUPP = 95;
export const EAFNOSUPPORT = 97;
export const ENOBUFS = 105;
export const ENETDOWN = 100;

// ---------------------------------------------------------------------------------------------------- superblock
//
// The first structure of the memory, at SUPERBLOCK: what every thread reads to attach. Written once by `create`, but for the words
// marked (live).

export const SUPERBLOCK = 4096;
export const SUPERBLOCK_SIZE = 4096;
export const MAGIC = 0x57445031; // "WDP1"

export const SB_MAGIC = 0; // u32, stored last: the memory is ready
export const SB_FLOWS_CAPACITY = 4; // u32
export const SB_WORKERS = 8; // u32, worker slots
export const SB_EMC_ENTRIES = 12; // u32 a worker
export const SB_UPCALL_FRAMES = 16; // u32 a worker
export const SB_ARENA_SIZE = 20; // u32
export const SB_DP_IFINDEX = 24; // u32, dp_ifindex of messages
export const SB_OPTIONS = 28; // u32 (live), OPTION_*
// region addresses, in the order of memory/layout.ts
export const SB_HASH_SECRETS = 32; // u32
export const SB_PORTS = 36; // u32
export const SB_SUBTABLES = 40; // u32
export const SB_MASK_INDEX = 48; // u32
export const SB_ACTION_INDEX = 52; // u32
export const SB_WORKER_AREAS = 56; // u32
export const SB_FLOWS = 60; // u32
export const SB_FLOWS_COLD = 64; // u32
export const SB_ARENA = 68; // u32
export const SB_END = 72; // u32, in 64 KiB pages
export const SB_WORKER_AREA_SIZE = 76; // u32
export const SB_VPORTS = 80; // u32
export const SB_DEVICES = 84; // u32
export const SB_POLICIES = 88; // u32
export const SB_DOOR = 92; // u32
// words written by writers, on their own lines
export const SB_WRITER = 128; // u32 (live), 0 or worker + 1 of the lock's owner
export const SB_EPOCH = 192; // u32 (live)
export const SB_TIME_MS = 256; // u64 (live), CLOCK_MONOTONIC, kept by the owner thread
export const SB_UPCALL_BELL = 320; // u32 (live), incremented and notified when upcalls are queued
export const SB_FLOW_COUNT = 384; // u32 (live)
export const SB_FLOW_FREE = 388; // u32 (live), head of the list of free flow slots
export const SB_FLOW_FRESH = 392; // u32 (live), index of the first slot never used
export const SB_SUBTABLE_COUNT = 396; // u32 (live), subtables in the published order
export const SB_SUBTABLE_FREE = 400; // u32 (live)
export const SB_SUBTABLE_FRESH = 404; // u32 (live)
export const SB_SUBTABLE_ORDER_REF = 408; // u32 (live), address of the published order
export const SB_RETIRED_HEAD = 412; // u32 (live), oldest retired block
export const SB_RETIRED_TAIL = 416; // u32 (live)
export const SB_RETIRED_COUNT = 420; // u32 (live)
export const SB_ARENA_NEXT = 424; // u32 (live), first byte never allocated
export const SB_ARENA_USED = 428; // u32 (live), bytes in live blocks
export const SB_FLOW_RETIRED_HEAD = 432; // u32 (live)
export const SB_FLOW_RETIRED_TAIL = 436; // u32 (live)
export const SB_FLOW_RETIRED_COUNT = 440; // u32 (live)
export const SB_ACTION_COUNT = 444; // u32 (live), distinct action lists
export const SB_RULES = 448; // u32 (live), address of the rule table, 0 none
export const SB_WORKERS_LOST = 452; // u32 (live), workers replaced after a trap or a kill
export const SB_PORT_COUNT = 456; // u32 (live), highest port number in use + 1
export const SB_PACKET_FAMILY = 460; // u32, nlmsg_type of upcalls: id of the family ovs_packet
export const SB_METERS = 464; // u32 (live), address of the meter table, 0 none
export const SB_UFID_TABLE = 468; // u32 (live), the index of UFIDs (flow/bucket-table.ts), 0 none
export const SB_UFID_COUNT = 472; // u32 (live), flows in it
export const SB_SAMPLE_RINGS = 476; // u32 (live), address of u32[workers]: each worker's ring for what PSAMPLE sends, 0 nobody listens
export const SB_BONDS = 480; // u32 (live), address of the first bond, 0 none
export const SB_SOCKETS = 484; // u32 (live), address of the first socket (kernel/socket.ts), 0 none
export const SB_HOT = 488; // u32 (live), address of the hot flows (HOT_*), 0 none
export const SB_FREE_LISTS = 512; // u32[104] (live), heads by size class, up to the largest block of 2 GiB
// the datapath as messages know it (assembly/kernel/datapath.ts)
export const SB_DP_EXISTS = 960; // u32 (live), 1: OVS_DP_CMD_NEW made it
export const SB_DP_FEATURES = 964; // u32 (live), OVS_DP_F_*
export const SB_DP_MASKS_CACHE_SIZE = 968; // u32 (live), kept for whoever asks: the cache here is another one
export const SB_DP_PORT_IDS = 972; // u32 (live), address of the port ids by worker (PORT_IDS_*), 0 none
export const SB_DP_LISTENERS = 976; // u32 (live), written by the host: bit g - GROUP_FIRST says that somebody listens to group g
export const SB_IFINDEX_NEXT = 980; // u32 (live), for the next device that is made here
export const SB_DP_BASE = 984; // u64[DP_COUNTS], counters when the datapath was made
export const DP_COUNTS = 5; // hits, misses, lost, subtables visited, hits of the cache

export const OPTION_EMC = 1; // use the exact-match cache
export const OPTION_HANDLER = 2; // somebody answers upcalls; without it misses are DROP_UPCALL_NO_HANDLER
export const OPTION_RULES = 4; // each worker answers its own upcalls from the rule table
export const OPTION_FOREIGN = 8; // the upcalls are those of another datapath, which carries out the answers: nothing is executed here

// ---------------------------------------------------------------------------------------------------- worker area

export const WORKER_STATE = 0; // u32, WORKER_*
export const WORKER_STOP = 4; // u32, host sets 1: the poller returns after its batch
export const WORKER_IN_FLIGHT = 8; // u32, packets counted as received and not yet as hit, miss or drop
export const WORKER_GENERATION = 12; // u32, how many times the slot was taken
export const WORKER_SABOTAGE = 16; // u32, tests: trap in the n-th batch from now
export const WORKER_BATCH = 20; // u32, frames of the batch at hand that came from a ring in memory, until they are given back
export const WORKER_WAKE = 24; // u32 (live), event counter that wakes the worker, its descriptor + 1, 0 none
export const WORKER_SLEEPING = 28; // u32 (live), 1 while the worker waits for readiness
export const WORKER_TURNS = 32; // u32 (live), calls of poll
export const WORKER_POLL_COUNT = 36; // u32, descriptors that the worker waits for
export const WORKER_POLL_SET = 40; // u32, address of them
export const WORKER_TOUCHED_LIST = 44; // u32, address of the queues to be kicked
export const WORKER_BUSY_NS = 48; // u64 (live), time spent in rounds that received something
export const WORKER_THREAD = 56; // u32 (live), Node's number of the thread that has the slot, 0 nobody
export const WORKER_RECEIVER = 60; // u32, port and queue that the batch at hand came from
export const WORKER_EPOCH = 64; // u32, epoch seen at the last batch boundary, 0 = not reading
export const WORKER_TIME_NS = 72; // u64, CLOCK_REALTIME at the last poll
export const WORKER_TIME_MS = 80; // u64, CLOCK_MONOTONIC at the last poll
export const WORKER_EMC_RELUCTANCE = 96; // u32, counts evictions that were not made
export const WORKER_RX_NEXT = 100; // u32, position in the list of ports to poll first next time
export const WORKER_RX_COUNT = 104; // u32 (live), ports that this worker polls
export const WORKER_TOUCHED = 108; // u32, queues to be kicked and settled
export const WORKER_RANDOM = 112; // u64, state of the generator that SAMPLE asks
export const WORKER_COUNTERS = 128; // u64[COUNTERS]
export const WORKER_DROPS = 512; // u64[DROP_REASONS]
export const WORKER_EXPLICIT_DROPS = 768; // u64[EXPLICIT_REASONS], parts of DROP_EXPLICIT
export const WORKER_DEFERRED_RATES = 960; // u32[DEFERRED_MAX], probability of the SAMPLE around each list that was put off
export const WORKER_CONTROL_SIZE = 1024;

export const WORKER_FREE = 0;
export const WORKER_ATTACHED = 1;
export const WORKER_POLLING = 2;
export const WORKER_TRAPPED = 3; // the owner thread is to repair the slot
export const WORKER_ORPHANED = 4; // its thread is gone, and whoever takes the slot repairs it first

// counters of a worker, u64 each
export const COUNTER_RECEIVED = 0;
export const COUNTER_EMC_HITS = 1;
export const COUNTER_MEGAFLOW_HITS = 2;
export const COUNTER_MISSES = 3;
export const COUNTER_SUBTABLE_LOOKUPS = 4; // subtables visited
export const COUNTER_EMC_INSERTS = 5;
export const COUNTER_UPCALLS = 6; // MISS and ACTION messages queued
export const COUNTER_ANSWERED = 7; // upcalls answered on this worker: the packet was executed
export const COUNTER_INSTALLED = 8; // flows that answers made on this worker
export const COUNTER_BATCHES = 9;
export const COUNTER_TRANSMITTED = 10; // frames handed to ports
export const COUNTER_UPCALL_ACTIONS = 11; // of COUNTER_UPCALLS, those of userspace actions
export const COUNTER_UPCALL_ACTIONS_LOST = 12; // upcalls of userspace actions that were not queued
export const COUNTER_RECIRCULATED = 13; // lookups of packets that came again by RECIRC; each is a hit or a miss too
export const COUNTER_COPIES = 14; // packets that actions made: a list that sends k copies adds k - 1
export const COUNTER_EXECUTED = 15; // action lists executed for answers and messages, not for hits
export const COUNTER_PSAMPLED = 16; // copies for PSAMPLE, whether or not somebody listens
export const COUNTER_SEGMENTED = 17; // misses that segmentation made: a super-frame of k segments that no flow covers is k misses
export const COUNTER_SAMPLES = 18; // of COUNTER_PSAMPLED, messages in the ring
export const COUNTER_SAMPLES_LOST = 19; // and those that found the ring full
export const COUNTER_HOT_HITS = 20; // packets that XDP programs forwarded: kept in HOT_RECORDs, and here when a record was folded
export const COUNTERS = 21;
/** DROP reasons told apart: enum xlate_error 0 to 15, and one for all others. */
export const EXPLICIT_REASONS = 17;

// ---------------------------------------------------------------------------------------------------- ports

export const PORT_SIZEOF = 64;
export const PORT_STATE = 0; // u32, PORT_FREE, PORT_UP, PORT_SILENT
export const PORT_RX_KIND = 4; // u32, RX_*
export const PORT_RX = 8; // u32, address of the driver's control block
export const PORT_TX_KIND = 12; // u32, TX_*
export const PORT_WORKER = 16; // u32, worker that polls it
export const PORT_FLAGS = 20; // u32 (live), PORT_FLAG_*
export const PORT_TX_RINGS = 24; // u32, address of u32[workers]: transmit ring of each worker
export const PORT_HOT_SIZE = 28; // u32 (live), longest frame that XDP programs may send out of the port, 0 none

export const PORT_FREE = 0;
export const PORT_UP = 1;
export const PORT_SILENT = 2; // its vport is gone, its driver not yet closed

export const PORT_FLAG_BACKPRESSURE = 1; // replaying ports wait while this port's transmit ring is more than half full
export const PORT_FLAG_HOT = 2; // an XDP program looks through the hot flows before the port receives
export const PORT_FLAG_NO_EMC = 4; // what comes by the port is not looked up in the exact-match cache

export const RX_NONE = 0;
export const RX_RING = 1; // frames in a ring in memory, handled in place
export const RX_REPLAY = 2; // frames of a master array, copied out as a NIC would deliver them
export const RX_QUEUES = 3; // queues of kernel rings: PORT_RX is the address of a queue table

/** What a worker polls: the port number, and from this bit on the queue of the port. */
export const RX_INDEX_SHIFT = 16;

export const TX_NULL = 0; // counts and forgets
export const TX_RING = 1;
export const TX_QUEUES = 2; // PORT_TX_RINGS is the address of u32[workers]: transmit queue of each worker

/** Statistics of a port on one worker (struct ovs_vport_stats in small), u64 each. */
export const PORT_ROW_SIZEOF = 64;
export const PORT_ROW_RX_PACKETS = 0;
export const PORT_ROW_RX_BYTES = 8;
export const PORT_ROW_RX_DROPPED = 16;
export const PORT_ROW_TX_PACKETS = 24;
export const PORT_ROW_TX_BYTES = 32;
export const PORT_ROW_TX_DROPPED = 40;
export const PORT_ROW_UPCALLS = 48;
export const PORT_ROW_UPCALLS_LOST = 56;

// A ring of frames (single producer, single consumer), in the arena. `slots` is a power of two; positions run freely and wrap at 2^32.
export const RING_SLOTS = 0; // u32
export const RING_STRIDE = 4; // u32, bytes a slot
export const RING_PRODUCER = 64; // u32, next position to fill
export const RING_CONSUMER = 128; // u32, next position to take
export const RING_DATA = 192; // first slot
// a slot
export const SLOT_SIZE = 0; // u32, bytes of the frame
export const SLOT_WIRE_SIZE = 4; // u32
export const SLOT_TIME_NS = 8; // u64, CLOCK_REALTIME
export const SLOT_IN_PORT = 16; // u32, samples: the port that the packet came in by
export const SLOT_FRAME = 192; // the frame: 64 bytes of slot header, HEADROOM bytes of room before it

// A replay: an array of frames that is delivered once or over and over.
export const REPLAY_COUNT = 0; // u32, frames
export const REPLAY_NEXT = 4; // u32, next frame
export const REPLAY_LOOPS = 8; // u32, rounds to go, 0 = for ever
export const REPLAY_MODE = 12; // u32, REPLAY_*
export const REPLAY_DESCRIPTORS = 16; // u32, address of the descriptors
export const REPLAY_DONE = 20; // u32 (live), 1 when the last frame was delivered
export const REPLAY_START_NS = 24; // u64, CLOCK_REALTIME of the first frame's delivery, 0 not begun
export const REPLAY_ORIGIN_NS = 32; // u64, recorded time that is delivered at START
export const REPLAY_PERIOD_NS = 40; // u64, length of a round
export const REPLAY_INTERVAL_NS = 48; // u64, paced: time from frame to frame, times 1024
export const REPLAY_SIZEOF = 64;
export const REPLAY_FAST = 0; // as fast as it goes
export const REPLAY_TIMED = 1; // at recorded speed
export const REPLAY_PACED = 2; // at a fixed rate

export const REPLAY_DESCRIPTOR_SIZEOF = 24;
export const REPLAY_FRAME = 0; // u32, address
export const REPLAY_FRAME_SIZE = 4; // u32
export const REPLAY_FRAME_WIRE_SIZE = 8; // u32
export const REPLAY_FRAME_TIME_NS = 16; // u64

// ---------------------------------------------------------------------------------------------------- hot flows
//
// What XDP programs forward by themselves (io/hot-flows.ts). HOT_SIZEOF bytes in the arena say where the two tables are: one mapping of a BPF array, which
// the programs have as theirs.

export const HOT_SIZEOF = 64;
export const HOT_PAIRS = 0; // u32, address of the pairs of entries
export const HOT_PAIR_BITS = 4; // u32, there are 1 << bits
export const HOT_RECORDS = 8; // u32, address of the records, one a flow slot
export const HOT_RECORD_COUNT = 12; // u32, a power of two; flows in slots behind it are never hot
export const HOT_FACTORS = 16; // u64[HOT_KEY_WORDS], odd: of the hash

/** The words of a flow key that an entry holds: all that a key of TCP or UDP over IPv4 has. */
export const HOT_KEY_WORDS = 6;
export const HOT_ENTRY_SIZEOF = 64;
export const HOT_ENTRY_HEAD = 0; // u64 (live), record number | generation << 32, 0 nothing
export const HOT_ENTRY_KEY = 8; // u64[HOT_KEY_WORDS]
export const HOT_ENTRY_DEAD_MS = 56; // u32, CLOCK_MONOTONIC when it became nothing, 0 never
export const HOT_PAIR_SIZEOF = 128;

export const HOT_RECORD_SIZEOF = 64;
export const HOT_RECORD_GENERATION = 0; // u32 (live), odd: its entries count
export const HOT_RECORD_PORT = 4; // u32, port that packets go out by
export const HOT_RECORD_SIZE_MAX = 8; // u32, longest frame
export const HOT_RECORD_IN_PORT = 12; // u32
export const HOT_RECORD_PACKETS = 16; // u64 (live), written by XDP programs, as the next two
export const HOT_RECORD_BYTES = 24; // u64 (live)
export const HOT_RECORD_USED_NS = 32; // u64 (live), CLOCK_MONOTONIC
export const HOT_RECORD_FOLDED_PACKETS = 40; // u64, of these, counted in worker rows
export const HOT_RECORD_FOLDED_BYTES = 48; // u64

// ---------------------------------------------------------------------------------------------------- vports and devices
//
// What messages know of a port, beside the descriptor that workers read: vport i belongs to port i. A device is what a vport of type NETDEV
// is made of; the host says which there are.

export const VPORT_SIZEOF = 128;
export const VPORT_TYPE = 0; // u32, OVS_VPORT_TYPE_*, 0 there is none
export const VPORT_IFINDEX = 4; // u32
export const VPORT_PORT_IDS = 8; // u32 (live), address of its port ids for upcalls (PORT_IDS_*)
export const VPORT_DEVICE = 12; // u32, address of its device, 0 none
export const VPORT_NAME = 16; // [16], zeros behind it
export const VPORT_BASE = 64; // u64[8], PORT_ROW_* sums when the vport was made

/** Netlink port ids that get upcalls, in the arena; replaced as a whole. */
export const PORT_IDS_COUNT = 0; // u32
export const PORT_IDS_FIRST = 4; // u32[]

/** Devices that can be told of. Twice as many as fit into the datapath. */
export const DEVICES_MAX = 2048;
export const DEVICE_SIZEOF = 32;
export const DEVICE_IFINDEX = 0; // u32, 0 there is none
export const DEVICE_KIND = 4; // u32, DEVICE_*
export const DEVICE_VPORT = 8; // u32, address of the vport that it belongs to, 0 none
export const DEVICE_NAME = 16; // [16]
export const DEVICE_ETHERNET = 1; // a vport can be made of it
export const DEVICE_UNFIT = 2; // no vport can: lo, a device that another datapath made for itself
export const DEVICE_BUSY = 3; // it is in another datapath
/** Bytes of a device's name with its NUL (IFNAMSIZ). */
export const IFNAMSIZ = 16;

// ---------------------------------------------------------------------------------------------------- sockets of the kernel
//
// Whoever sends messages to the datapath: assembly/kernel/socket.ts.

export const SOCKET_SIZEOF = 4096;
export const SOCKET_PORT_ID = 0; // u32
export const SOCKET_FLAGS = 4; // u32, SOCKET_*
export const SOCKET_NEXT = 8; // u32, address of the first message of the last datagram that was not handled; its end when all were
export const SOCKET_DUMP = 12; // u32, id of the family of the running dump, 0 none
export const SOCKET_DUMP_SEQ = 16; // u32, nlmsg_seq of its request
export const SOCKET_DUMP_IFINDEX = 20; // u32, dp_ifindex of its request
export const SOCKET_DUMP_ARGS = 24; // u32[4], where the family's dump stands
export const SOCKET_LINK = 40; // u32 (live), address of the next socket, 0 the last
export const SOCKET_ATTRS = 64; // u32[32], address of the attribute of each type of the request, 0 none
export const SOCKET_SCRATCH = 256; // the family's, while it handles a request or a part of a dump
export const SOCKET_SCRATCH_SIZE = 3840;

/** The sender has CAP_NET_ADMIN. */
export const SOCKET_ADMIN = 1;
/** Without NETLINK_EXT_ACK: a refusal says its errno only. */
export const SOCKET_PLAIN_ACK = 2;
/** NETLINK_CAP_ACK: a refusal holds the header of the request, not all of it. */
export const SOCKET_CAP_ACK = 4;

/** Region where the owner thread puts a datagram (its requests) and, behind it, where it finds the frames that answer it. */
export const DOOR_DATAGRAM_SIZE = 262144;
export const DOOR_OUT_SIZE = 1048576;

/** Region of the policies of all families (assembly/kernel/policies.ts). */
export const POLICIES_SIZE = 1536;
/** Bytes that are kept free for what one request may bring; `out` should be larger. A flow with 64 KiB of actions, notified and echoed, fits. */
export const ANSWER_ROOM = 294912;
/** A frame of the dump that a request starts holds no more (the kernel's datagrams of a dump). */
export const DUMP_FRAME_MAX = 32768;

// ---------------------------------------------------------------------------------------------------- queues
//
// Between the datapath and the kernel: blocks of the arena. A receive queue is one socket with its ring and belongs to one worker at a
// time; a transmit queue is one worker's of one port. The words that the shim reads too stand in native/io-layout.h once more.

/** Receive queues of a port. */
export const QUEUES_MAX = 16;
export const QUEUE_TABLE_COUNT = 0; // u32
export const QUEUE_TABLE_REFS = 4; // u32[QUEUES_MAX], addresses of receive queues
export const QUEUE_TABLE_SIZEOF = 68;

// what every queue begins with
export const QUEUE_KIND = 0; // u32, QUEUE_KIND_*
export const QUEUE_FD = 4; // i32, socket
export const QUEUE_PORT = 8; // u32
export const QUEUE_TOUCHED = 12; // u32, 1 while it stands in the list of its worker
export const QUEUE_KIND_PACKET_RX = 1; // AF_PACKET socket
export const QUEUE_KIND_PACKET_TX = 2;
export const QUEUE_KIND_TAP_RX = 3; // TAP device: read and written a frame at a time
export const QUEUE_KIND_TAP_TX = 4;
export const QUEUE_KIND_XDP_RX = 5; // AF_XDP socket
export const QUEUE_KIND_XDP_TX = 6;

// receive queue over a ring of struct tpacket2_hdr frames, which follow each other without gaps
export const RXQ_WORKER = 16; // u32 (live), worker that polls it
export const RXQ_OWNER = 20; // u32 (live), worker + 1 that has frames of it in hand, 0 nobody
export const RXQ_FLAGS = 24; // u32, RXQ_FLAG_*
export const RXQ_RING = 28; // u32, address of the first frame
export const RXQ_RING_END = 32; // u32, behind the last
export const RXQ_FRAME_SIZE = 36; // u32
export const RXQ_NEXT = 40; // u32, address of the frame to take next
export const RXQ_HELD = 44; // u32, frames taken and not given back
export const RXQ_HELD_FIRST = 48; // u32, address of the first of them
export const RXQ_FILL = 52; // u32, address of the frame that the shim fills next, where the kernel has no ring in this memory
export const RXQ_PACKETS = 56; // u64, packets that it gave, for whoever distributes the load
export const RXQ_FETCH_WANTED = 76; // u32, frames longer than the ring's that stand next, for the shim to receive
export const RXQ_FETCHED = 80; // u32, of them received
export const RXQ_FETCH_TAKEN = 84; // u32, of them taken
export const RXQ_FETCH_BUFFERS = 88; // u32, address of RXQ_FETCH_MAX buffers, RXQ_FETCH_STRIDE apart
export const RXQ_ERRNO = 92; // u32, why nothing can be received any more, 0 it can
export const RXQ_FETCH_SIZES = 96; // u32[RXQ_FETCH_MAX]
export const RXQ_SIZEOF = 128;
/** Frames longer than the ring's that are received at once. */
export const RXQ_FETCH_MAX = 8;
/** A buffer: HEADROOM and room for a super-frame, an odd number of cache lines. */
export const RXQ_FETCH_STRIDE = 65856;
/** Where its frame begins. */
export const RXQ_FETCH_FRAME = 192;
/** The kernel has no ring in this memory: the shim receives into the frames as the kernel would. */
export const RXQ_FLAG_COPYING = 1;
/** AF_XDP on an interface without a wire: checksums that are still to be made do not say so. */
export const RXQ_FLAG_SOFT = 2;

// struct tpacket2_hdr
export const TP2_STATUS = 0; // u32 (live), TP_STATUS_*
export const TP2_LEN = 4; // u32, bytes of the frame on the wire
export const TP2_SNAPLEN = 8; // u32, bytes that are here
export const TP2_MAC = 12; // u16, where they begin
export const TP2_NET = 14; // u16
export const TP2_SEC = 16; // u32
export const TP2_NSEC = 20; // u32
export const TP2_VLAN_TCI = 24; // u16, the tag that the kernel took out of the frame
export const TP2_VLAN_TPID = 26; // u16
export const TP2_SIZEOF = 32;
export const TP_STATUS_KERNEL = 0;
export const TP_STATUS_USER = 1;
export const TP_STATUS_COPY = 2; // the whole frame waits in the socket
export const TP_STATUS_LOSING = 4;
export const TP_STATUS_VLAN_VALID = 16;
export const TP_STATUS_VLAN_TPID_VALID = 64;

// struct virtio_net_hdr, right before the frame
export const VNET_SIZEOF = 10;
export const VNET_FLAGS = 0; // u8
export const VNET_GSO_TYPE = 1; // u8
export const VNET_HDR_LEN = 2; // u16
export const VNET_GSO_SIZE = 4; // u16
export const VNET_CSUM_START = 6; // u16
export const VNET_CSUM_OFFSET = 8; // u16
export const VNET_F_NEEDS_CSUM = 1;
export const VNET_GSO_TCPV4 = 1;
export const VNET_GSO_TCPV6 = 4;
export const VNET_GSO_UDP_L4 = 5;
export const VNET_GSO_ECN = 128;

// transmit queue over sendmmsg
export const TXQ_COUNT = 16; // u32, entries
export const TXQ_KICKED = 20; // u32, entries that the kernel was asked to take
export const TXQ_REFUSED = 24; // u32, entries that it refused
export const TXQ_BUFFER = 28; // u32, address of the room for copies
export const TXQ_BUFFER_SIZE = 32; // u32
export const TXQ_BUFFER_USED = 36; // u32
export const TXQ_ENTRIES = 64; // TXQ_ENTRIES_MAX entries
export const TXQ_SIZEOF = 4160;
/** Frames that wait for one kick. */
export const TXQ_ENTRIES_MAX = 256;
export const TXQ_ENTRY_SIZEOF = 16;
export const TXQ_ENTRY_ADDRESS = 0; // u32, of the virtio_net_hdr with the frame behind it
export const TXQ_ENTRY_SIZE = 4; // u32, of both
export const TXQ_ENTRY_FRAME_SIZE = 8; // u32, as it is counted
export const TXQ_ENTRY_ERRNO = 12; // u32, why it was refused, 0 it was not

// An AF_XDP socket: a UMEM of frames and up to four rings of which one side is the kernel's. As a receive queue it begins like the others
// (RXQ_WORKER, RXQ_OWNER, RXQ_FLAGS; RXQ_PACKETS). Positions run freely and wrap at 2^32.
export const XSK_UMEM = 28; // u32, address of the first frame
export const XSK_FRAME_SIZE = 32; // u32, a power of two
export const XSK_FRAMES = 36; // u32
export const XSK_STATES = 40; // u32, address of u8[XSK_FRAMES]: who has each frame, XSK_FRAME_*
export const XSK_FREE = 44; // u32, address of u32[XSK_FRAMES]: a stack of frames that nobody has
export const XSK_FREE_COUNT = 48; // u32
export const XSK_HELD = 52; // u32, frames of the round that are handled in place
export const XSK_TAKING = 64; // u32, entries of the receive ring that are received and not yet marked as held
export const XSK_ERRNO = 92; // u32, as RXQ_ERRNO
export const XSK_SIZEOF = 384;
export const XSK_RING_FILL = 128; // XSK_RING_SIZEOF each
export const XSK_RING_COMPLETION = 160;
export const XSK_RING_RX = 192;
export const XSK_RING_TX = 224;
export const XSK_HELD_LIST = 256; // u32[BATCH_MAX], frames of the round
export const XSK_RING_SIZEOF = 32;
// a ring
export const XRING_PRODUCER = 0; // u32, address of the producer's position
export const XRING_CONSUMER = 4; // u32, address of the consumer's
export const XRING_FLAGS = 8; // u32, address of the flags, XDP_RING_*
export const XRING_ENTRIES = 12; // u32, address of the entries
export const XRING_MASK = 16; // u32, entries - 1
export const XRING_POSITION = 20; // u32, our own position, published by the shim (transmit) or when the round is settled
/** XDP_RING_NEED_WAKEUP: the kernel does not look at the ring by itself. */
export const XDP_RING_NEED_WAKEUP_FLAG = 1;
// struct xdp_desc, an entry of the receive and transmit rings; those of the others are a u64 address
export const XDP_DESC_SIZEOF = 16;
export const XDP_DESC_ADDR = 0; // u64, from the start of the UMEM
export const XDP_DESC_LEN = 8; // u32
export const XDP_DESC_OPTIONS = 12; // u32
// who has a frame
export const XSK_FRAME_FREE = 0;
export const XSK_FRAME_FILL = 1; // the kernel, to receive into
export const XSK_FRAME_HELD = 2; // a packet of the round
export const XSK_FRAME_TX = 3; // the kernel, to send

// transmit queue over an AF_XDP socket, which sends plain frames; the others go to a queue over sendmmsg
export const XTQ_SOCKET = 16; // u32, address of the socket
export const XTQ_OTHER = 20; // u32, address of the other queue
export const XTQ_FRAME_MAX = 24; // u32, longest frame
export const XTQ_ERRNO = 28; // u32, why the kernel did not take what the round queued, 0 it did
export const XTQ_SIZEOF = 64;

// ---------------------------------------------------------------------------------------------------- flows

/** A flow as lookups see it: one cache line. */
export const FLOW_SIZEOF = 64;
export const FLOW_SUBTABLE = 0; // u32, address of its subtable, 0 = not a flow (free or removed): stored last, cleared first
export const FLOW_ACTIONS = 4; // u32, address of its actions
export const FLOW_KEY = 8; // u64[6], masked words 0..5
export const FLOW_KEY_MORE = 56; // u32, address of the masked words of the subtable's list, 0 none
export const FLOW_HASH = 60; // u32, of the masked key
export const FLOW_INLINE_WORDS = 6;

/** The rest of a flow, touched by control only. */
export const FLOW_COLD_SIZEOF = 64;
export const FLOW_COLD_NEXT = 0; // u32, free or retired list
export const FLOW_COLD_EPOCH = 4; // u32, epoch of retirement
export const FLOW_COLD_CREATED_MS = 8; // u64, CLOCK_MONOTONIC
export const FLOW_COLD_IDLE_MS = 16; // u32, idle timeout, 0 = the default
export const FLOW_COLD_HARD_MS = 20; // u32, hard timeout, 0 = the default
export const FLOW_COLD_NAME = 24; // NAME_*: what messages call it by
export const FLOW_COLD_SERIAL = 48; // u32, how often the slot was used: names flows that have no other name
export const FLOW_COLD_BASE = 52; // u32, address of the counts (BASE_*) at which its statistics were cleared, 0 never

/** What a message calls a flow by (flow/name.ts). */
export const NAME_SIZEOF = 24;
export const NAME_UFID = 0; // [16], zeros behind it
export const NAME_KIND = 16; // u32, the size of the UFID, or NAME_IS_*
export const NAME_KEY = 20; // u32, address of what the mask leaves out of the key (REST_*), 0 nothing
export const NAME_IS_SLOT = 0; // no message put it: its UFID is made of its slot and serial
export const NAME_IS_KEY = 32; // its key, as it was before the mask
/** The longest UFID. */
export const UFID_SIZE_MAX = 16;

/** The words of a key that are not zero outside of the mask, in the arena. */
export const REST_WORDS = 0; // u64[2], a bit for each word of the key that has some
export const REST_FIRST = 16; // u64[], those words

export const BASE_SIZEOF = 16;
export const BASE_PACKETS = 0; // u64
export const BASE_BYTES = 8; // u64

/** Statistics of a flow on one worker. */
export const FLOW_ROW_SIZEOF = 32;
export const FLOW_ROW_PACKETS = 0; // u64
export const FLOW_ROW_BYTES = 8; // u64
export const FLOW_ROW_USED_MS = 16; // u64, CLOCK_MONOTONIC, 0 = never
export const FLOW_ROW_TCP_FLAGS = 24; // u16, host order

export const SUBTABLE_SIZEOF = 128;
export const SUBTABLE_TABLE = 0; // u32, address of the buckets | log2 of their number (live)
export const SUBTABLE_LIST = 4; // u32, address of the list of (offset, mask, secret) past word 5
export const SUBTABLE_LIST_COUNT = 8; // u32
export const SUBTABLE_FLOWS = 12; // u32 (live)
export const SUBTABLE_MASK = 16; // u64[6], words 0..5
export const SUBTABLE_REFS = 64; // u32, flows + holders
export const SUBTABLE_HASH = 68; // u32, of the mask
export const SUBTABLE_NEXT = 76; // u32, free list
export const SUBTABLE_INDEX = 80; // u32, own position in the region

export const WORD_SIZEOF = 24; // one entry of SUBTABLE_LIST
export const WORD_MASK = 0; // u64
export const WORD_SECRET = 8; // u64
export const WORD_OFFSET = 16; // u32, byte offset in the key

/** An action list. Lists that are equal are stored once. */
export const ACTIONS_REFS = 0; // u32, flows + holders
export const ACTIONS_SIZE = 4; // u32, bytes of attributes
export const ACTIONS_KIND = 8; // u32, ACTIONS_KIND_*
export const ACTIONS_PORT = 12; // u32, the port when the list is one OUTPUT
export const ACTIONS_HASH = 16; // u32
export const ACTIONS_NEXT = 20; // u32, same bucket of the index
export const ACTIONS_ATTRS = 24; // the attributes
export const ACTIONS_KIND_ANY = 0;
export const ACTIONS_KIND_OUTPUT = 1;
export const ACTIONS_KIND_DROP = 2;

/** Twelve signatures and twelve references in one cache line: a bucket of the cache and of every subtable. */
export const BUCKET_SIZEOF = 64;
export const BUCKET_WAYS = 12;
export const BUCKET_HAND = 12; // u8, cache: next way to evict
export const BUCKET_SPILLED = 13; // u8, entries that belong here and stand in a later bucket (saturates, then stays)
export const BUCKET_REFS = 16; // u32[12]

// ---------------------------------------------------------------------------------------------------- meters
//
// The table is a block of the arena: its number of entries, then the address of each meter by id, 0 none.

export const METER_TABLE_CAPACITY = 0; // u32, a power of two
export const METER_TABLE_USED = 4; // u32, places that have or had a meter
export const METER_TABLE_LIVE = 8; // u32, meters
export const METER_TABLE_ENTRIES = 16; // u64[] (live), id and address

export const METER_LOCK = 0; // u32 (live), 0 or worker + 1
export const METER_KBPS = 4; // u32, 1: rates are in kbit/s, 0: in packets/s
export const METER_BAND_COUNT = 8; // u32
export const METER_DELTA_MAX_MS = 12; // u32, more time than this fills every bucket
export const METER_USED_MS = 16; // u64, CLOCK_MONOTONIC
export const METER_PACKETS = 24; // u64
export const METER_BYTES = 32; // u64
export const METER_TOLD = 40; // u32, 1: whoever replaces it is told its statistics (OVS_METER_ATTR_CLEAR was not set)
export const METER_BANDS = 64; // bands, METER_BAND_SIZEOF each
export const METER_BAND_SIZEOF = 32;
export const METER_BAND_RATE = 0; // u32
export const METER_BAND_BURST = 4; // u32
export const METER_BAND_BUCKET = 8; // u64, 1/1000 packets or bits
export const METER_BAND_PACKETS = 16; // u64, dropped by this band
export const METER_BAND_BYTES = 24; // u64
export const METER_SIZEOF = 320;

export const BOND_NEXT = 0; // u32 (live), address of the next bond, 0 none
export const BOND_ID = 4; // u32
export const BOND_PORTS = 8; // u32[BOND_BUCKETS] (live), port number
export const BOND_BYTES = 1032; // u64[BOND_BUCKETS] (live), what went there
export const BOND_SIZEOF = 3080;

// ---------------------------------------------------------------------------------------------------- upcall ring
//
// Frames of the kernel's memory-mapped Netlink (struct nl_mmap_hdr, Linux 3.10-4.5), UPCALL_FRAME_SIZE apart. The message stands behind
// the header; the last UPCALL_TRAILER_SIZE bytes hold what needs no parsing: our own flat key and a few words.

export const UPCALL_FRAME_SIZE = 2496;
export const NL_MMAP_STATUS = 0; // u32, NL_MMAP_STATUS_*
export const NL_MMAP_LEN = 4; // u32, bytes of the message
export const NL_MMAP_GROUP = 8; // u32, multicast group, 0
export const NL_MMAP_PID = 12; // u32, sender's Netlink port id
export const NL_MMAP_UID = 16; // u32
export const NL_MMAP_GID = 20; // u32
export const NL_MMAP_HDRLEN = 24;
export const NL_MMAP_STATUS_UNUSED = 0;
export const NL_MMAP_STATUS_RESERVED = 1;
export const NL_MMAP_STATUS_VALID = 2;
export const NL_MMAP_STATUS_COPY = 3; // the message did not fit: it stands in the ring's copy area
export const NL_MMAP_STATUS_SKIP = 4; // taken by the consumer, not yet given back

export const UPCALL_MESSAGE_SIZE_MAX = 1824; // what fits between header and trailer
export const UPCALL_PORT_ID = 1848; // u32, Netlink port id that it is for
export const UPCALL_KEY = 1856; // flat key, KEY_SIZE bytes
export const UPCALL_IN_PORT = 2432; // u32
export const UPCALL_COMMAND = 2436; // u32, OVS_PACKET_CMD_MISS 1 or OVS_PACKET_CMD_ACTION 2
export const UPCALL_PACKET = 2440; // u32, address of the packet's bytes
export const UPCALL_PACKET_SIZE = 2444; // u32
export const UPCALL_WORKER = 2448; // u32, worker that produced it
export const UPCALL_NEXT = 2452; // u32, consumer's queue of the port
export const UPCALL_TIME_NS = 2456; // u64, receive time of the packet
export const UPCALL_OFFSETS = 2464; // u64, PACKET_L3, PACKET_L4, PACKET_MPLS and PACKET_FLAGS
export const UPCALL_MESSAGE = 2472; // u32, address of the nlmsghdr
export const UPCALL_WIRE_SIZE = 2476; // u32
export const UPCALL_COPY = 2480; // u32, chunk of the copy area + 1, 0 none
export const UPCALL_ANSWER_MASK = 2484; // u32, answer: subtable, 0 = do not install
export const UPCALL_ANSWER_ACTIONS = 2488; // u32, answer: actions, 0 = drop this packet
export const UPCALL_USERDATA = 2492; // u32, address of the attribute USERDATA, 0 none

export const UPCALL_TAKE_MAX = 64; // frames a consumer takes at once (Open vSwitch: UPCALL_MAX_BATCH)
/** Misses that a worker under pressure answers by rules, a millisecond: a twentieth of its time, at 2 us each. */
export const UPCALL_PRESSED_MAX = 25;
export const UPCALL_PORT_SHARE = 64; // frames that each port is sure of, if half the ring holds so many for all
/** The copy area: chunks for messages that do not fit a frame (a frame of FRAME_SIZE_MAX, its key and actions). */
export const UPCALL_COPY_CHUNKS = 8;
export const UPCALL_COPY_CHUNK_SIZE = 147456;

// head of a ring
export const UPCALL_PRODUCED = 0; // u32 (live), frames ever filled
export const UPCALL_SCANNED = 64; // u32, frames ever sorted into the queues of their ports
export const UPCALL_PORT_NEXT = 68; // u32, port to serve first next time
export const UPCALL_HELD = 72; // u32, frames taken and not given back
export const UPCALL_GIVEN = 76; // u32 (live), frames ever given back
export const UPCALL_COPY_BUSY = 96; // u32[UPCALL_COPY_CHUNKS] (live)
export const UPCALL_LIST = 128; // u32[UPCALL_TAKE_MAX], frames of the last take
export const UPCALL_PORTS_QUEUED = 384; // u32[PORTS_MAX / 32], bitmap of the ports with queued frames
export const UPCALL_HEAD_SIZE = 512;
// what a ring knows of each port: u32 each
export const UPCALL_PORT_SIZEOF = 16;
export const UPCALL_PORT_PRODUCED = 0;
export const UPCALL_PORT_GIVEN = 4; // (live)
export const UPCALL_PORT_HEAD = 8;
export const UPCALL_PORT_TAIL = 12;

// Upcalls of another datapath (upcall/import.ts): where datagrams go and what came, as src/native/poll-set.ts has them.
export const IMPORT_SLOT_SIZEOF = 16;
export const IMPORT_SLOT_OFFSET = 0; // u32, address of the message
export const IMPORT_SLOT_SIZE = 4; // u32
export const IMPORT_SLOT_TAIL = 8; // u32, address of what is longer
export const IMPORT_SLOT_TAIL_SIZE = 12; // u32
export const IMPORT_ROW_SIZEOF = 16;
export const IMPORT_ROW_SLOT = 0; // i32, -1: no datagram but an overrun
export const IMPORT_ROW_SIZE = 4; // u32
export const IMPORT_ROW_TAG = 8; // u32
export const IMPORT_ROW_TRUNCATED = 12; // u32

// ---------------------------------------------------------------------------------------------------- rules
//
// The rule table of the static handler, in the arena: rules in the order of their priority. A rule begins like a flow (FLOW_SUBTABLE,
// FLOW_ACTIONS, FLOW_KEY, FLOW_KEY_MORE), so the same comparison serves both.

export const RULES_COUNT = 0; // u32
export const RULES_FIRST = 64; // first rule
export const RULE_SIZEOF = 128;
export const RULE_MEGAFLOW = 64; // u32, subtable that a packet decided by this rule is installed in
export const RULE_IDLE_MS = 68; // u32
export const RULE_HARD_MS = 72; // u32
export const RULE_HITS = 80; // u64 (live)

// ---------------------------------------------------------------------------------------------------- Netlink policies
//
// What the attributes of a message must be: a table of one row a type. Row 0 describes the table, row i attributes of type i. The host can
// write it (src/netlink/policy-table.ts) and so can the datapath (assembly/netlink/policy.ts).

export const POLICY_ROW_SIZEOF = 24;
/** Levels of nested policies, the outermost included (kernel: MAX_POLICY_RECURSION_DEPTH). */
export const POLICY_DEPTH_MAX = 10;

// row 0
export const POLICY_MAX_TYPE = 0; // u32, rows behind this one
export const POLICY_STRICT_START = 4; // u16, from this type on everything is strict, 0 never
export const POLICY_REQUIRED_COUNT = 6; // u16, rows with POLICY_REQUIRED

// the other rows
export const POLICY_KIND = 0; // u8, KIND_*
export const POLICY_FLAGS = 1; // u8, of the four flags below
export const POLICY_PAYLOAD_SIZE = 2; // u16, strings and binary: the largest, 0 any; KIND_UNSPEC: the smallest
export const POLICY_NESTED = 4; // u32, address of the policy inside, 0 any attributes
export const POLICY_MIN = 8; // u64 or s64; with POLICY_MASKED the bits that may be set, as for KIND_BITFIELD32
export const POLICY_MAX = 16; // u64 or s64

export const POLICY_REQUIRED = 1;
/** The integer, or the size of KIND_BINARY, lies between POLICY_MIN and POLICY_MAX. */
export const POLICY_RANGED = 2;
export const POLICY_MASKED = 4;
/** A KIND_BINARY longer than POLICY_MAX is only refused in strict mode. */
export const POLICY_LENIENT = 8;

// kinds of payloads; those up to KIND_BE64 have one exact size
export const KIND_UNSPEC = 0;
export const KIND_U8 = 1;
export const KIND_U16 = 2;
export const KIND_U32 = 3;
export const KIND_U64 = 4;
export const KIND_S8 = 5;
export const KIND_S16 = 6;
export const KIND_S32 = 7;
export const KIND_S64 = 8;
export const KIND_BE16 = 9;
export const KIND_BE32 = 10;
export const KIND_BE64 = 11;
export const KIND_MSECS = 12;
export const KIND_UINT = 13; // u32 or u64
export const KIND_SINT = 14; // s32 or s64
export const KIND_FLAG = 15;
export const KIND_STRING = 16;
export const KIND_NUL_STRING = 17;
export const KIND_BINARY = 18;
export const KIND_NESTED = 19;
export const KIND_NESTED_ARRAY = 20;
export const KIND_BITFIELD32 = 21;
export const KIND_REJECT = 22;

// how much is refused (enum netlink_validation)
export const NL_VALIDATE_LIBERAL = 0;
export const NL_VALIDATE_TRAILING = 1;
export const NL_VALIDATE_MAXTYPE = 2;
export const NL_VALIDATE_UNSPEC = 4;
export const NL_VALIDATE_STRICT_ATTRS = 8;
export const NL_VALIDATE_NESTED = 16;
export const NL_VALIDATE_STRICT = 31;

// why something was refused; src/netlink/policy-validate.ts has the kernel's words
export const REFUSED_PAYLOAD = 1;
export const REFUSED_LENGTH = 2;
export const REFUSED_NOT_NESTED = 3;
export const REFUSED_NESTED = 4;
export const REFUSED_UNSUPPORTED = 5;
export const REFUSED_UNKNOWN = 6;
export const REFUSED_RANGE = 7;
export const REFUSED_BINARY_SIZE = 8;
export const REFUSED_MASK = 9;
export const REFUSED_ARRAY_ELEMENT = 10;
export const REFUSED_LEFTOVER = 11;
export const REFUSED_DEPTH = 12;
export const REFUSED_MISSING = 13;
