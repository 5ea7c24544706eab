/*
 * Numbers of linux/openvswitch.h that both sides of a message need: attributes, commands, lengths of their structures.
 *
 * Used by everything that reads or writes messages of the ovs_* families. Holds no memory and no code; also compiled by tsc.
 * Names are the kernel's, so that they can be looked up there.
 */

// enum ovs_datapath_cmd, ovs_vport_cmd, ovs_flow_cmd, ovs_meter_cmd
export const OVS_DP_CMD_NEW = 1;
export const OVS_DP_CMD_DEL = 2;
export const OVS_DP_CMD_GET = 3;
export const OVS_DP_CMD_SET = 4;
export const OVS_VPORT_CMD_NEW = 1;
export const OVS_VPORT_CMD_DEL = 2;
export const OVS_VPORT_CMD_GET = 3;
export const OVS_VPORT_CMD_SET = 4;
export const OVS_FLOW_CMD_NEW = 1;
export const OVS_FLOW_CMD_DEL = 2;
export const OVS_FLOW_CMD_GET = 3;
export const OVS_FLOW_CMD_SET = 4;
export const OVS_METER_CMD_FEATURES = 1;
export const OVS_METER_CMD_SET = 2;
export const OVS_METER_CMD_DEL = 3;
export const OVS_METER_CMD_GET = 4;

// enum ovs_datapath_attr, as of Linux 6.1
export const OVS_DP_ATTR_NAME = 1;
export const OVS_DP_ATTR_UPCALL_PID = 2;
export const OVS_DP_ATTR_STATS = 3;
export const OVS_DP_ATTR_MEGAFLOW_STATS = 4;
export const OVS_DP_ATTR_USER_FEATURES = 5;
export const OVS_DP_ATTR_MASKS_CACHE_SIZE = 7;
export const OVS_DP_ATTR_PER_CPU_PIDS = 8;
export const OVS_DP_ATTR_IFINDEX = 9;
export const OVS_DP_ATTR_MAX = 9;
export const OVS_DP_STATS_SIZEOF = 32;
export const OVS_DP_MEGAFLOW_STATS_SIZEOF = 32;
export const OVS_DP_VER_FEATURES = 2;

// OVS_DP_ATTR_USER_FEATURES
export const OVS_DP_F_UNALIGNED = 1;
export const OVS_DP_F_VPORT_PIDS = 2;
export const OVS_DP_F_TC_RECIRC_SHARING = 4;
export const OVS_DP_F_DISPATCH_UPCALL_PER_CPU = 8;

// enum ovs_vport_attr, as of Linux 6.1
export const OVS_VPORT_ATTR_PORT_NO = 1;
export const OVS_VPORT_ATTR_TYPE = 2;
export const OVS_VPORT_ATTR_NAME = 3;
export const OVS_VPORT_ATTR_OPTIONS = 4;
export const OVS_VPORT_ATTR_UPCALL_PID = 5;
export const OVS_VPORT_ATTR_STATS = 6;
export const OVS_VPORT_ATTR_IFINDEX = 8;
export const OVS_VPORT_ATTR_NETNSID = 9;
export const OVS_VPORT_ATTR_MAX = 9;
export const OVS_VPORT_STATS_SIZEOF = 64;

// enum ovs_vport_type
export const OVS_VPORT_TYPE_NETDEV = 1;
export const OVS_VPORT_TYPE_INTERNAL = 2;
export const OVS_VPORT_TYPE_GRE = 3;
export const OVS_VPORT_TYPE_VXLAN = 4;
export const OVS_VPORT_TYPE_GENEVE = 5;
/** Port number of the port that is named as the datapath. */
export const OVSP_LOCAL = 0;

// enum ovs_flow_attr
export const OVS_FLOW_ATTR_KEY = 1;
export const OVS_FLOW_ATTR_ACTIONS = 2;
export const OVS_FLOW_ATTR_STATS = 3;
export const OVS_FLOW_ATTR_TCP_FLAGS = 4;
export const OVS_FLOW_ATTR_USED = 5;
export const OVS_FLOW_ATTR_CLEAR = 6;
export const OVS_FLOW_ATTR_MASK = 7;
export const OVS_FLOW_ATTR_PROBE = 8;
export const OVS_FLOW_ATTR_UFID = 9;
export const OVS_FLOW_ATTR_UFID_FLAGS = 10;
export const OVS_FLOW_ATTR_MAX = 11;
export const OVS_FLOW_STATS_SIZEOF = 16;
export const OVS_UFID_F_OMIT_KEY = 1;
export const OVS_UFID_F_OMIT_MASK = 2;
export const OVS_UFID_F_OMIT_ACTIONS = 4;

// enum ovs_meter_attr, ovs_band_attr, ovs_meter_band_type
export const OVS_METER_ATTR_ID = 1;
export const OVS_METER_ATTR_KBPS = 2;
export const OVS_METER_ATTR_STATS = 3;
export const OVS_METER_ATTR_BANDS = 4;
export const OVS_METER_ATTR_USED = 5;
export const OVS_METER_ATTR_CLEAR = 6;
export const OVS_METER_ATTR_MAX_METERS = 7;
export const OVS_METER_ATTR_MAX_BANDS = 8;
export const OVS_METER_ATTR_MAX = 9;
export const OVS_BAND_ATTR_UNSPEC = 0;
export const OVS_BAND_ATTR_TYPE = 1;
export const OVS_BAND_ATTR_RATE = 2;
export const OVS_BAND_ATTR_BURST = 3;
export const OVS_BAND_ATTR_STATS = 4;
export const OVS_BAND_ATTR_MAX = 4;
export const OVS_METER_BAND_TYPE_DROP = 1;

// enum ovs_packet_cmd
export const OVS_PACKET_CMD_MISS = 1;
export const OVS_PACKET_CMD_ACTION = 2;
export const OVS_PACKET_CMD_EXECUTE = 3;

// enum ovs_packet_attr
export const OVS_PACKET_ATTR_PACKET = 1;
export const OVS_PACKET_ATTR_KEY = 2;
export const OVS_PACKET_ATTR_ACTIONS = 3;
export const OVS_PACKET_ATTR_USERDATA = 4;
export const OVS_PACKET_ATTR_EGRESS_TUN_KEY = 5;
export const OVS_PACKET_ATTR_PROBE = 8;
export const OVS_PACKET_ATTR_MRU = 9;
export const OVS_PACKET_ATTR_LEN = 10;
export const OVS_PACKET_ATTR_HASH = 11;
export const OVS_PACKET_ATTR_MAX = 11;

// enum ovs_key_attr
export const OVS_KEY_ATTR_ENCAP = 1;
export const OVS_KEY_ATTR_PRIORITY = 2;
export const OVS_KEY_ATTR_IN_PORT = 3;
export const OVS_KEY_ATTR_ETHERNET = 4;
export const OVS_KEY_ATTR_VLAN = 5;
export const OVS_KEY_ATTR_ETHERTYPE = 6;
export const OVS_KEY_ATTR_IPV4 = 7;
export const OVS_KEY_ATTR_IPV6 = 8;
export const OVS_KEY_ATTR_TCP = 9;
export const OVS_KEY_ATTR_UDP = 10;
export const OVS_KEY_ATTR_ICMP = 11;
export const OVS_KEY_ATTR_ICMPV6 = 12;
export const OVS_KEY_ATTR_ARP = 13;
export const OVS_KEY_ATTR_ND = 14;
export const OVS_KEY_ATTR_SKB_MARK = 15;
export const OVS_KEY_ATTR_TUNNEL = 16;
export const OVS_KEY_ATTR_SCTP = 17;
export const OVS_KEY_ATTR_TCP_FLAGS = 18;
export const OVS_KEY_ATTR_DP_HASH = 19;
export const OVS_KEY_ATTR_RECIRC_ID = 20;
export const OVS_KEY_ATTR_MPLS = 21;
export const OVS_KEY_ATTR_CT_STATE = 22;
export const OVS_KEY_ATTR_CT_ZONE = 23;
export const OVS_KEY_ATTR_CT_MARK = 24;
export const OVS_KEY_ATTR_CT_LABELS = 25;
export const OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV4 = 26;
export const OVS_KEY_ATTR_CT_ORIG_TUPLE_IPV6 = 27;
export const OVS_KEY_ATTR_NSH = 28;
export const OVS_KEY_ATTR_PACKET_TYPE = 29; // userspace only
export const OVS_KEY_ATTR_ND_EXTENSIONS = 30; // userspace only
export const OVS_KEY_ATTR_IPV6_EXTHDRS = 32;
export const OVS_KEY_ATTR_MAX = 32;

// Structures that are attribute payloads; sizes include the compiler's padding at their end, as on the wire.
export const OVS_KEY_ETHERNET_SIZEOF = 12;
export const OVS_KEY_IPV4_SIZEOF = 12;
export const OVS_KEY_IPV6_SIZEOF = 40;
export const OVS_KEY_PORTS_SIZEOF = 4; // ovs_key_tcp, ovs_key_udp, ovs_key_sctp
export const OVS_KEY_MPLS_SIZEOF = 4;
export const OVS_KEY_ICMP_SIZEOF = 2; // ovs_key_icmp, ovs_key_icmpv6
export const OVS_KEY_ARP_SIZEOF = 24;
export const OVS_KEY_ND_SIZEOF = 28;
export const OVS_KEY_CT_LABELS_SIZEOF = 16;
export const OVS_KEY_CT_TUPLE_IPV4_SIZEOF = 16;
export const OVS_KEY_CT_TUPLE_IPV6_SIZEOF = 40;
export const OVS_NSH_KEY_BASE_SIZEOF = 8;
export const OVS_NSH_KEY_MD1_SIZEOF = 16;

// enum ovs_tunnel_key_attr
export const OVS_TUNNEL_KEY_ATTR_ID = 0;
export const OVS_TUNNEL_KEY_ATTR_IPV4_SRC = 1;
export const OVS_TUNNEL_KEY_ATTR_IPV4_DST = 2;
export const OVS_TUNNEL_KEY_ATTR_TOS = 3;
export const OVS_TUNNEL_KEY_ATTR_TTL = 4;
export const OVS_TUNNEL_KEY_ATTR_DONT_FRAGMENT = 5;
export const OVS_TUNNEL_KEY_ATTR_CSUM = 6;
export const OVS_TUNNEL_KEY_ATTR_OAM = 7;
export const OVS_TUNNEL_KEY_ATTR_GENEVE_OPTS = 8;
export const OVS_TUNNEL_KEY_ATTR_TP_SRC = 9;
export const OVS_TUNNEL_KEY_ATTR_TP_DST = 10;
export const OVS_TUNNEL_KEY_ATTR_VXLAN_OPTS = 11;
export const OVS_TUNNEL_KEY_ATTR_IPV6_SRC = 12;
export const OVS_TUNNEL_KEY_ATTR_IPV6_DST = 13;
export const OVS_TUNNEL_KEY_ATTR_PAD = 14;
export const OVS_TUNNEL_KEY_ATTR_ERSPAN_OPTS = 15;
export const OVS_TUNNEL_KEY_ATTR_IPV4_INFO_BRIDGE = 16;

export const OVS_VXLAN_EXT_GBP = 1;
export const ERSPAN_METADATA_SIZEOF = 12;

// KEY_TUN_FLAGS: the TUNNEL_* bits of linux/if_tunnel.h, in host order
export const TUNNEL_CSUM = 0x0001;
export const TUNNEL_KEY = 0x0004;
export const TUNNEL_DONT_FRAGMENT = 0x0100;
export const TUNNEL_OAM = 0x0200;
export const TUNNEL_GENEVE_OPT = 0x0800;
export const TUNNEL_VXLAN_OPT = 0x1000;
export const TUNNEL_ERSPAN_OPT = 0x4000;

// enum ovs_nsh_key_attr
export const OVS_NSH_KEY_ATTR_BASE = 1;
export const OVS_NSH_KEY_ATTR_MD1 = 2;
export const OVS_NSH_KEY_ATTR_MD2 = 3;
export const NSH_M_TYPE1 = 1;

// enum ovs_action_attr
export const OVS_ACTION_ATTR_OUTPUT = 1;
export const OVS_ACTION_ATTR_USERSPACE = 2;
export const OVS_ACTION_ATTR_SET = 3;
export const OVS_ACTION_ATTR_PUSH_VLAN = 4;
export const OVS_ACTION_ATTR_POP_VLAN = 5;
export const OVS_ACTION_ATTR_SAMPLE = 6;
export const OVS_ACTION_ATTR_RECIRC = 7;
export const OVS_ACTION_ATTR_HASH = 8;
export const OVS_ACTION_ATTR_PUSH_MPLS = 9;
export const OVS_ACTION_ATTR_POP_MPLS = 10;
export const OVS_ACTION_ATTR_SET_MASKED = 11;
export const OVS_ACTION_ATTR_CT = 12;
export const OVS_ACTION_ATTR_TRUNC = 13;
export const OVS_ACTION_ATTR_PUSH_ETH = 14;
export const OVS_ACTION_ATTR_POP_ETH = 15;
export const OVS_ACTION_ATTR_CT_CLEAR = 16;
export const OVS_ACTION_ATTR_PUSH_NSH = 17;
export const OVS_ACTION_ATTR_POP_NSH = 18;
export const OVS_ACTION_ATTR_METER = 19;
export const OVS_ACTION_ATTR_CLONE = 20;
export const OVS_ACTION_ATTR_CHECK_PKT_LEN = 21;
export const OVS_ACTION_ATTR_ADD_MPLS = 22;
export const OVS_ACTION_ATTR_DEC_TTL = 23;
export const OVS_ACTION_ATTR_DROP = 24;
export const OVS_ACTION_ATTR_PSAMPLE = 25;
// Open vSwitch's userspace datapath only; no kernel knows them
export const OVS_ACTION_ATTR_TUNNEL_PUSH = 26;
export const OVS_ACTION_ATTR_TUNNEL_POP = 27;
export const OVS_ACTION_ATTR_LB_OUTPUT = 28;

// enum ovs_sample_attr, ovs_check_pkt_len_attr, ovs_dec_ttl_attr, ovs_psample_attr
export const OVS_SAMPLE_ATTR_PROBABILITY = 1;
export const OVS_SAMPLE_ATTR_ACTIONS = 2;
export const OVS_CHECK_PKT_LEN_ATTR_PKT_LEN = 1;
export const OVS_CHECK_PKT_LEN_ATTR_ACTIONS_IF_GREATER = 2;
export const OVS_CHECK_PKT_LEN_ATTR_ACTIONS_IF_LESS_EQUAL = 3;
export const OVS_DEC_TTL_ATTR_ACTION = 1;
export const OVS_PSAMPLE_ATTR_GROUP = 1;
export const OVS_PSAMPLE_ATTR_COOKIE = 2;

// linux/psample.h: the family that PSAMPLE speaks
export const PSAMPLE_GENL_VERSION = 1;
export const PSAMPLE_CMD_SAMPLE = 0;
export const PSAMPLE_ATTR_IIFINDEX = 0;
export const PSAMPLE_ATTR_ORIGSIZE = 2;
export const PSAMPLE_ATTR_SAMPLE_GROUP = 3;
export const PSAMPLE_ATTR_GROUP_SEQ = 4;
export const PSAMPLE_ATTR_SAMPLE_RATE = 5;
export const PSAMPLE_ATTR_DATA = 6;
export const PSAMPLE_ATTR_TUNNEL = 8;
export const PSAMPLE_ATTR_TIMESTAMP = 13;
export const PSAMPLE_ATTR_PROTO = 14;
export const PSAMPLE_ATTR_USER_COOKIE = 15;
export const PSAMPLE_ATTR_SAMPLE_PROBABILITY = 16;

// enum ovs_hash_alg
export const OVS_HASH_ALG_L4 = 0;
export const OVS_HASH_ALG_SYM_L4 = 1;

// enum ovs_ct_attr, ovs_nat_attr
export const OVS_CT_ATTR_COMMIT = 1;
export const OVS_CT_ATTR_ZONE = 2;
export const OVS_CT_ATTR_MARK = 3;
export const OVS_CT_ATTR_LABELS = 4;
export const OVS_CT_ATTR_HELPER = 5;
export const OVS_CT_ATTR_NAT = 6;
export const OVS_CT_ATTR_FORCE_COMMIT = 7;
export const OVS_CT_ATTR_EVENTMASK = 8;
export const OVS_CT_ATTR_TIMEOUT = 9;
export const OVS_NAT_ATTR_SRC = 1;
export const OVS_NAT_ATTR_DST = 2;
export const OVS_NAT_ATTR_IP_MIN = 3;
export const OVS_NAT_ATTR_IP_MAX = 4;
export const OVS_NAT_ATTR_PROTO_MIN = 5;
export const OVS_NAT_ATTR_PROTO_MAX = 6;
export const OVS_NAT_ATTR_PERSISTENT = 7;
export const OVS_NAT_ATTR_PROTO_HASH = 8;
export const OVS_NAT_ATTR_PROTO_RANDOM = 9;

// enum ovs_userspace_attr
export const OVS_USERSPACE_ATTR_PID = 1;
export const OVS_USERSPACE_ATTR_USERDATA = 2;
export const OVS_USERSPACE_ATTR_EGRESS_TUN_PORT = 3;
export const OVS_USERSPACE_ATTR_ACTIONS = 4;
