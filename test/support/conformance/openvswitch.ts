/*
 * Numbers of the Open vSwitch families as linux/openvswitch.h has them. Written again here, and not taken from the code that is tested:
 * a number that is wrong on one side only must show.
 */

/** By the number that a scenario has for them; replay.c has the same order. */
export const FAMILIES = ['datapath', 'vport', 'flow', 'packet', 'meter', 'ctLimit'] as const;
export type Family = (typeof FAMILIES)[number];

export const VERSION: Record<Family, number> = { datapath: 2, vport: 1, flow: 1, packet: 1, meter: 1, ctLimit: 1 };

export const DP = { NEW: 1, DEL: 2, GET: 3, SET: 4 } as const;
export const DP_ATTR = {
  NAME: 1,
  UPCALL_PID: 2,
  STATS: 3,
  MEGAFLOW_STATS: 4,
  USER_FEATURES: 5,
  PAD: 6,
  MASKS_CACHE_SIZE: 7,
  PER_CPU_PIDS: 8,
} as const;
export const DP_F = { UNALIGNED: 1, VPORT_PIDS: 2, TC_RECIRC_SHARING: 4, DISPATCH_UPCALL_PER_CPU: 8 } as const;

export const VPORT = { NEW: 1, DEL: 2, GET: 3, SET: 4 } as const;
export const VPORT_ATTR = {
  PORT_NO: 1,
  TYPE: 2,
  NAME: 3,
  OPTIONS: 4,
  UPCALL_PID: 5,
  STATS: 6,
  PAD: 7,
  IFINDEX: 8,
  NETNSID: 9,
  UPCALL_STATS: 10,
} as const;
export const VPORT_TYPE = { UNSPEC: 0, NETDEV: 1, INTERNAL: 2, GRE: 3, VXLAN: 4, GENEVE: 5 } as const;

export const FLOW = { NEW: 1, DEL: 2, GET: 3, SET: 4 } as const;
export const FLOW_ATTR = {
  KEY: 1,
  ACTIONS: 2,
  STATS: 3,
  TCP_FLAGS: 4,
  USED: 5,
  CLEAR: 6,
  MASK: 7,
  PROBE: 8,
  UFID: 9,
  UFID_FLAGS: 10,
  PAD: 11,
} as const;
export const UFID_F = { OMIT_KEY: 1, OMIT_MASK: 2, OMIT_ACTIONS: 4 } as const;

export const PACKET = { MISS: 1, ACTION: 2, EXECUTE: 3 } as const;
export const PACKET_ATTR = {
  PACKET: 1,
  KEY: 2,
  ACTIONS: 3,
  USERDATA: 4,
  EGRESS_TUN_KEY: 5,
  PROBE: 8,
  MRU: 9,
  LEN: 10,
  HASH: 11,
  UPCALL_PID: 12,
} as const;

export const METER = { FEATURES: 1, SET: 2, DEL: 3, GET: 4 } as const;
export const METER_ATTR = {
  ID: 1,
  KBPS: 2,
  STATS: 3,
  BANDS: 4,
  USED: 5,
  CLEAR: 6,
  MAX_METERS: 7,
  MAX_BANDS: 8,
  PAD: 9,
} as const;
export const BAND_ATTR = { TYPE: 1, RATE: 2, BURST: 3, STATS: 4 } as const;
export const BAND_TYPE_DROP = 1;

export const CT_LIMIT = { SET: 1, DEL: 2, GET: 3 } as const;
export const CT_LIMIT_ATTR_ZONE_LIMIT = 1;

export const KEY = {
  ENCAP: 1,
  PRIORITY: 2,
  IN_PORT: 3,
  ETHERNET: 4,
  VLAN: 5,
  ETHERTYPE: 6,
  IPV4: 7,
  IPV6: 8,
  TCP: 9,
  UDP: 10,
  ICMP: 11,
  ICMPV6: 12,
  ARP: 13,
  SKB_MARK: 15,
  TCP_FLAGS: 18,
  DP_HASH: 19,
  RECIRC_ID: 20,
  MPLS: 21,
  CT_ORIG_TUPLE_IPV4: 26,
  CT_ORIG_TUPLE_IPV6: 27,
} as const;

export const ACTION = {
  OUTPUT: 1,
  USERSPACE: 2,
  SET: 3,
  PUSH_VLAN: 4,
  POP_VLAN: 5,
  SAMPLE: 6,
  RECIRC: 7,
  HASH: 8,
  CT: 12,
  TRUNC: 13,
  METER: 19,
  CLONE: 20,
  DROP: 24,
  PSAMPLE: 25,
  LB_OUTPUT: 28,
} as const;
export const USERSPACE_ATTR = { PID: 1, USERDATA: 2, EGRESS_TUN_PORT: 3, ACTIONS: 4 } as const;
