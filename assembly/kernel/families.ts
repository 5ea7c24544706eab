/*
 * The families of the kernel: ids, groups, versions, and which commands each has. Also compiled by tsc: the host tells clients these ids.
 *
 * A real kernel gives ids when a module is loaded; here they never change. ovs_ct_limit has its place and no commands: as long as there is no
 * conntrack, a message to it is answered as by a kernel that was built without it, ENOENT.
 */

export const FAMILY_FIRST = 32;
export const FAMILY_DATAPATH = 32;
export const FAMILY_VPORT = 33;
export const FAMILY_FLOW = 34;
export const FAMILY_PACKET = 35;
export const FAMILY_METER = 36;
export const FAMILY_CT_LIMIT = 37;
/** Not of Open vSwitch, and nothing can be asked of it here: the family of what PSAMPLE sends. */
export const FAMILY_PSAMPLE = 38;

/** Multicast groups have the numbers of their families; ovs_packet has none. */
export const GROUP_FIRST = 32;
export const GROUP_DATAPATH = 32;
export const GROUP_VPORT = 33;
export const GROUP_FLOW = 34;
export const GROUP_METER = 36;
/** The group `packets` of psample. */
export const GROUP_PSAMPLE = 38;

export const OVS_DATAPATH_VERSION = 2;
export const OVS_VPORT_VERSION = 1;
export const OVS_FLOW_VERSION = 1;
export const OVS_PACKET_VERSION = 1;
export const OVS_METER_VERSION = 1;

// what may be asked of a command
export const OP_DO = 1;
export const OP_DUMP = 2;
export const OP_ADMIN = 4;

// OP_* of each command: a nibble a command, from command 0 up
export const OPS_DATAPATH = 0x53550;
export const OPS_VPORT = 0x53550;
export const OPS_FLOW = 0x53550;
export const OPS_PACKET = 0x5000;
export const OPS_METER = 0x15510;
