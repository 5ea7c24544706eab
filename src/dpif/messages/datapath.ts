/*
 * Messages of the family ovs_datapath. request.ts has what is common to all families.
 */
import * as K from '../../../assembly/netlink/openvswitch.ts';
import { dpIfindexOf } from '../../kernel/ovs-header.ts';
import { NLM_F_ECHO } from '../../netlink/constants.ts';
import type { GenericFamily } from '../../netlink/generic.ts';
import type { MessageCursor } from '../../netlink/message.ts';
import type { DpStats } from '../types.ts';
import {
  attributesOf,
  type Command,
  commandNumber,
  lacks,
  readLongs,
  readWords,
  request,
  writeWords,
} from './request.ts';

export interface DatapathRequest {
  command: Command;
  /** A datapath is named by its ifindex or by its name. */
  dpIfindex?: number;
  name?: string;
  upcallPid?: number;
  /** A SET or NEW without them sets them to 0. */
  features?: number;
  masksCacheSize?: number;
  perCpuPids?: readonly number[];
}

export interface DatapathMessage {
  dpIfindex: number;
  name: string;
  features: number;
  stats: DpStats | undefined;
  masksCacheSize: number | undefined;
  /** Empty unless upcalls are dispatched by CPU. */
  perCpuPids: number[];
}

export function datapathRequest(family: GenericFamily, what: DatapathRequest): Uint8Array {
  return request(family, commandNumber(what.command), NLM_F_ECHO, what.dpIfindex ?? 0, (attributes) => {
    if (what.name !== undefined) attributes.string(K.OVS_DP_ATTR_NAME, what.name);
    if (what.upcallPid !== undefined) attributes.u32(K.OVS_DP_ATTR_UPCALL_PID, what.upcallPid);
    if (what.features !== undefined) attributes.u32(K.OVS_DP_ATTR_USER_FEATURES, what.features);
    if (what.perCpuPids !== undefined) attributes.binary(K.OVS_DP_ATTR_PER_CPU_PIDS, writeWords(what.perCpuPids));
    if (what.masksCacheSize !== undefined) attributes.u32(K.OVS_DP_ATTR_MASKS_CACHE_SIZE, what.masksCacheSize);
  });
}

/** Throws ERR_NETLINK_MALFORMED. */
export function readDatapath(message: MessageCursor, operation: string): DatapathMessage {
  const cursor = attributesOf(message);
  let name: string | undefined;
  let features = 0;
  let stats: bigint[] | undefined;
  let megaflow: Uint8Array | undefined;
  let masksCacheSize: number | undefined;
  let perCpuPids: number[] = [];
  while (cursor.next()) {
    if (cursor.type === K.OVS_DP_ATTR_NAME) name = cursor.string();
    else if (cursor.type === K.OVS_DP_ATTR_USER_FEATURES) features = cursor.u32();
    else if (cursor.type === K.OVS_DP_ATTR_STATS) stats = readLongs(cursor.bytes(), 4);
    else if (cursor.type === K.OVS_DP_ATTR_MEGAFLOW_STATS) megaflow = cursor.bytes();
    else if (cursor.type === K.OVS_DP_ATTR_MASKS_CACHE_SIZE) masksCacheSize = cursor.u32();
    else if (cursor.type === K.OVS_DP_ATTR_PER_CPU_PIDS) perCpuPids = readWords(cursor.bytes());
  }
  cursor.check();
  if (name === undefined) throw lacks('OVS_DP_ATTR_NAME', operation);
  return {
    dpIfindex: dpIfindexOf(message),
    name,
    features,
    stats: stats && { ...plainStats(stats), ...megaflowStats(megaflow) },
    masksCacheSize,
    perCpuPids,
  };
}

function plainStats([hits, missed, lost, flows]: bigint[]): DpStats {
  return { hits, missed, lost, flows };
}

/** struct ovs_dp_megaflow_stats: u64 n_mask_hit, u32 n_masks, u32 0, u64 n_cache_hit. The kernel's count of cache hits is 0 when it keeps none. */
function megaflowStats(bytes: Uint8Array | undefined): Partial<DpStats> {
  if (bytes === undefined) return {};
  const [maskHits, masks, cacheHits] = readLongs(bytes, 3);
  return { maskHits, masks: Number(masks & 0xffffffffn), ...(cacheHits === 0n ? {} : { cacheHits }) };
}
