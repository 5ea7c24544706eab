/*
 * Policies of the families: what each attribute of their requests must be (struct nla_policy of net/openvswitch, Linux 6.1).
 *
 * Written once, by `create`, into a region of their own; dispatch.ts checks requests by them. An attribute without a rule may be anything. Threads:
 * written before anybody reads.
 */
import {
  KIND_FLAG,
  KIND_NESTED,
  KIND_NUL_STRING,
  KIND_S32,
  KIND_U16,
  KIND_U32,
  KIND_U64,
  KIND_UNSPEC,
  IFNAMSIZ,
  POLICIES_SIZE,
  POLICY_ROW_SIZEOF,
  SB_POLICIES,
} from '../constants';
import { sb } from '../memory/layout';
import { beginPolicy, setRange, setRule } from '../netlink/policy';
import {
  OVS_BAND_ATTR_BURST,
  OVS_BAND_ATTR_MAX,
  OVS_BAND_ATTR_RATE,
  OVS_BAND_ATTR_STATS,
  OVS_BAND_ATTR_TYPE,
  OVS_DP_ATTR_IFINDEX,
  OVS_DP_ATTR_MASKS_CACHE_SIZE,
  OVS_DP_ATTR_MAX,
  OVS_DP_ATTR_NAME,
  OVS_DP_ATTR_UPCALL_PID,
  OVS_DP_ATTR_USER_FEATURES,
  OVS_FLOW_ATTR_ACTIONS,
  OVS_FLOW_ATTR_CLEAR,
  OVS_FLOW_ATTR_KEY,
  OVS_FLOW_ATTR_MASK,
  OVS_FLOW_ATTR_MAX,
  OVS_FLOW_ATTR_PROBE,
  OVS_FLOW_ATTR_UFID,
  OVS_FLOW_ATTR_UFID_FLAGS,
  OVS_FLOW_STATS_SIZEOF,
  OVS_METER_ATTR_BANDS,
  OVS_METER_ATTR_CLEAR,
  OVS_METER_ATTR_ID,
  OVS_METER_ATTR_KBPS,
  OVS_METER_ATTR_MAX,
  OVS_METER_ATTR_MAX_BANDS,
  OVS_METER_ATTR_MAX_METERS,
  OVS_METER_ATTR_STATS,
  OVS_METER_ATTR_USED,
  OVS_PACKET_ATTR_ACTIONS,
  OVS_PACKET_ATTR_HASH,
  OVS_PACKET_ATTR_KEY,
  OVS_PACKET_ATTR_MAX,
  OVS_PACKET_ATTR_MRU,
  OVS_PACKET_ATTR_PACKET,
  OVS_PACKET_ATTR_PROBE,
  OVS_VPORT_ATTR_IFINDEX,
  OVS_VPORT_ATTR_MAX,
  OVS_VPORT_ATTR_NAME,
  OVS_VPORT_ATTR_NETNSID,
  OVS_VPORT_ATTR_OPTIONS,
  OVS_VPORT_ATTR_PORT_NO,
  OVS_VPORT_ATTR_STATS,
  OVS_VPORT_ATTR_TYPE,
  OVS_VPORT_STATS_SIZEOF,
} from '../netlink/openvswitch';
import { FAMILY_DATAPATH, FAMILY_FLOW, FAMILY_METER, FAMILY_PACKET } from './families';

// Where each stands in the region.
const DATAPATH: u32 = 0;
const VPORT: u32 = DATAPATH + (OVS_DP_ATTR_MAX + 1) * POLICY_ROW_SIZEOF;
const FLOW: u32 = VPORT + (OVS_VPORT_ATTR_MAX + 1) * POLICY_ROW_SIZEOF;
const PACKET: u32 = FLOW + (OVS_FLOW_ATTR_MAX + 1) * POLICY_ROW_SIZEOF;
const METER: u32 = PACKET + (OVS_PACKET_ATTR_MAX + 1) * POLICY_ROW_SIZEOF;
const BAND: u32 = METER + (OVS_METER_ATTR_MAX + 1) * POLICY_ROW_SIZEOF;

assert(BAND + (OVS_BAND_ATTR_MAX + 1) * POLICY_ROW_SIZEOF <= <u32>POLICIES_SIZE);

/** Largest cache of masks that the kernel makes: what fits into the smallest unit of its per-CPU allocator. */
const MASKS_CACHE_MAX: u64 = 4096;
const ETH_HLEN: u32 = 14;

@inline
function at(offset: u32): usize {
  return <usize>load<u32>(sb(SB_POLICIES)) + offset;
}

/** The policy of a family that has commands. */
export function policyOf(family: u32): usize {
  if (family == FAMILY_FLOW) return at(FLOW);
  if (family == FAMILY_PACKET) return at(PACKET);
  if (family == FAMILY_METER) return at(METER);
  return family == FAMILY_DATAPATH ? at(DATAPATH) : at(VPORT);
}

/** What each list in OVS_METER_ATTR_BANDS must be. */
export function bandPolicy(): usize {
  return at(BAND);
}

export function writePolicies(): void {
  writeDatapathPolicy(at(DATAPATH));
  writeVportPolicy(at(VPORT));
  writeFlowPolicy(at(FLOW));
  writePacketPolicy(at(PACKET));
  writeMeterPolicies(at(METER), at(BAND));
}

function writeDatapathPolicy(policy: usize): void {
  beginPolicy(policy, OVS_DP_ATTR_MAX, 0);
  setRule(policy, OVS_DP_ATTR_NAME, KIND_NUL_STRING, IFNAMSIZ - 1);
  setRule(policy, OVS_DP_ATTR_UPCALL_PID, KIND_U32, 0);
  setRule(policy, OVS_DP_ATTR_USER_FEATURES, KIND_U32, 0);
  setRange(policy, OVS_DP_ATTR_MASKS_CACHE_SIZE, KIND_U32, 0, MASKS_CACHE_MAX);
  setRange(policy, OVS_DP_ATTR_IFINDEX, KIND_S32, 0, <u64>i32.MAX_VALUE);
}

function writeVportPolicy(policy: usize): void {
  beginPolicy(policy, OVS_VPORT_ATTR_MAX, 0);
  setRule(policy, OVS_VPORT_ATTR_PORT_NO, KIND_U32, 0);
  setRule(policy, OVS_VPORT_ATTR_TYPE, KIND_U32, 0);
  setRule(policy, OVS_VPORT_ATTR_NAME, KIND_NUL_STRING, IFNAMSIZ - 1);
  setRule(policy, OVS_VPORT_ATTR_OPTIONS, KIND_NESTED, 0);
  setRule(policy, OVS_VPORT_ATTR_STATS, KIND_UNSPEC, OVS_VPORT_STATS_SIZEOF);
  setRange(policy, OVS_VPORT_ATTR_IFINDEX, KIND_S32, 0, <u64>i32.MAX_VALUE);
  setRule(policy, OVS_VPORT_ATTR_NETNSID, KIND_S32, 0);
}

function writeFlowPolicy(policy: usize): void {
  beginPolicy(policy, OVS_FLOW_ATTR_MAX, 0);
  setRule(policy, OVS_FLOW_ATTR_KEY, KIND_NESTED, 0);
  setRule(policy, OVS_FLOW_ATTR_ACTIONS, KIND_NESTED, 0);
  setRule(policy, OVS_FLOW_ATTR_CLEAR, KIND_FLAG, 0);
  setRule(policy, OVS_FLOW_ATTR_MASK, KIND_NESTED, 0);
  setRule(policy, OVS_FLOW_ATTR_PROBE, KIND_FLAG, 0);
  setRule(policy, OVS_FLOW_ATTR_UFID, KIND_UNSPEC, 1);
  setRule(policy, OVS_FLOW_ATTR_UFID_FLAGS, KIND_U32, 0);
}

function writePacketPolicy(policy: usize): void {
  beginPolicy(policy, OVS_PACKET_ATTR_MAX, 0);
  setRule(policy, OVS_PACKET_ATTR_PACKET, KIND_UNSPEC, ETH_HLEN);
  setRule(policy, OVS_PACKET_ATTR_KEY, KIND_NESTED, 0);
  setRule(policy, OVS_PACKET_ATTR_ACTIONS, KIND_NESTED, 0);
  setRule(policy, OVS_PACKET_ATTR_PROBE, KIND_FLAG, 0);
  setRule(policy, OVS_PACKET_ATTR_MRU, KIND_U16, 0);
  setRule(policy, OVS_PACKET_ATTR_HASH, KIND_U64, 0);
}

function writeMeterPolicies(meter: usize, band: usize): void {
  beginPolicy(meter, OVS_METER_ATTR_MAX, 0);
  setRule(meter, OVS_METER_ATTR_ID, KIND_U32, 0);
  setRule(meter, OVS_METER_ATTR_KBPS, KIND_FLAG, 0);
  setRule(meter, OVS_METER_ATTR_STATS, KIND_UNSPEC, OVS_FLOW_STATS_SIZEOF);
  setRule(meter, OVS_METER_ATTR_BANDS, KIND_NESTED, 0);
  setRule(meter, OVS_METER_ATTR_USED, KIND_U64, 0);
  setRule(meter, OVS_METER_ATTR_CLEAR, KIND_FLAG, 0);
  setRule(meter, OVS_METER_ATTR_MAX_METERS, KIND_U32, 0);
  setRule(meter, OVS_METER_ATTR_MAX_BANDS, KIND_U32, 0);
  beginPolicy(band, OVS_BAND_ATTR_MAX, 0);
  setRule(band, OVS_BAND_ATTR_TYPE, KIND_U32, 0);
  setRule(band, OVS_BAND_ATTR_RATE, KIND_U32, 0);
  setRule(band, OVS_BAND_ATTR_BURST, KIND_U32, 0);
  setRule(band, OVS_BAND_ATTR_STATS, KIND_UNSPEC, OVS_FLOW_STATS_SIZEOF);
}
