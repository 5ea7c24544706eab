/*
 * The family ovs_datapath: making, changing, showing and removing the datapath of this memory. Before it: dispatch.ts. After it: vports.ts, for the
 * port that is named as the datapath.
 *
 * A memory holds one datapath at most; the host routes messages between memories. What the kernel keeps in struct datapath is in the superblock
 * (SB_DP_*). Threads: any; changes are made under the writer lock.
 */
import {
  COUNTERS,
  COUNTER_EMC_HITS,
  COUNTER_HOT_HITS,
  COUNTER_MEGAFLOW_HITS,
  COUNTER_MISSES,
  COUNTER_SUBTABLE_LOOKUPS,
  COUNTER_UPCALL_ACTIONS_LOST,
  DP_COUNTS,
  DROP_UPCALL_NO_HANDLER,
  DROP_UPCALL_NO_PORT_ID,
  DROP_UPCALL_PORT_SHARE,
  DROP_UPCALL_RING_FULL,
  DROP_UPCALL_TOO_LONG,
  EBUSY,
  EEXIST,
  EINVAL,
  ENODEV,
  EOPNOTSUPP,
  PORTS_MAX,
  PORT_IDS_COUNT,
  PORT_IDS_FIRST,
  SB_DP_BASE,
  SB_DP_EXISTS,
  SB_DP_FEATURES,
  SB_DP_IFINDEX,
  SB_DP_MASKS_CACHE_SIZE,
  SB_DP_PORT_IDS,
  SB_FLOW_COUNT,
  SB_SUBTABLE_COUNT,
  SOCKET_DUMP_ARGS,
  SOCKET_DUMP_SEQ,
  VPORT_NAME,
} from '../constants';
import { dropBonds } from '../actions/bond';
import { dropMeters } from '../actions/meter-table';
import { sumCounters } from '../flow/stats';
import { flushFlows } from '../flow/table';
import { sb, workers } from '../memory/layout';
import { lock, unlock } from '../memory/lock';
import { attrPayload, putAttr, putU32, reserveAttr } from '../netlink/attribute';
import { endMessage, messageVersion } from '../netlink/header';
import {
  OVSP_LOCAL,
  OVS_DP_ATTR_IFINDEX,
  OVS_DP_ATTR_MASKS_CACHE_SIZE,
  OVS_DP_ATTR_MEGAFLOW_STATS,
  OVS_DP_ATTR_NAME,
  OVS_DP_ATTR_PER_CPU_PIDS,
  OVS_DP_ATTR_STATS,
  OVS_DP_ATTR_UPCALL_PID,
  OVS_DP_ATTR_USER_FEATURES,
  OVS_DP_CMD_DEL,
  OVS_DP_CMD_GET,
  OVS_DP_CMD_NEW,
  OVS_DP_CMD_SET,
  OVS_DP_F_DISPATCH_UPCALL_PER_CPU,
  OVS_DP_F_UNALIGNED,
  OVS_DP_F_VPORT_PIDS,
  OVS_DP_MEGAFLOW_STATS_SIZEOF,
  OVS_DP_STATS_SIZEOF,
  OVS_DP_VER_FEATURES,
} from '../netlink/openvswitch';
import { GROUP_DATAPATH } from './families';
import { beginPart, beginReply, frameLimit, sendNotification, sendReply } from './frames';
import { checkPortIds, dropPortIds, setPortIds } from './port-ids';
import { attr, attrU32, request, requestIfindex, scratch, socket } from './request';
import { nameSize } from './names';
import { exists, findVport, isInternal, makeInternal, nameInternal, portNoOf, removeVport, vportAt } from './vports';

/** Not OVS_DP_F_TC_RECIRC_SHARING: there is no traffic control here, as in a kernel that was built without it. */
const FEATURES: u32 = OVS_DP_F_UNALIGNED | OVS_DP_F_VPORT_PIDS | OVS_DP_F_DISPATCH_UPCALL_PER_CPU;
/** The kernel's default. */
const MASKS_CACHE_SIZE: u32 = 256;
// where the counts stand, u64 each, in scratch and in SB_DP_BASE
const HITS: u32 = 0;
const MISSED: u32 = 8;
const LOST: u32 = 16;
const MASK_HITS: u32 = 24;
const CACHE_HITS: u32 = 32;

export function doDatapath(command: u32): i32 {
  switch (command) {
    case OVS_DP_CMD_NEW:
      return create();
    case OVS_DP_CMD_DEL:
      return destroy();
    case OVS_DP_CMD_SET:
      return change();
    default:
      return show();
  }
}

/** Writes the one datapath of this memory, once. */
export function dumpDatapath(at: usize, limit: usize): usize {
  if (load<u32>(socket, SOCKET_DUMP_ARGS) != 0 || load<u32>(sb(SB_DP_EXISTS)) == 0) return at;
  store<u32>(socket, 1, SOCKET_DUMP_ARGS);
  const attrs = beginPart(at, limit, OVS_DP_CMD_GET, load<i32>(sb(SB_DP_IFINDEX)), load<u32>(socket, SOCKET_DUMP_SEQ));
  const end = putDatapath(attrs, limit);
  return endMessage(at, end) == 0 ? at : end;
}

/** There is a datapath, and this number names it: as in the kernel, that of any of its internal ports does. */
export function isDatapath(ifindex: i32): bool {
  if (atomic.load<u32>(sb(SB_DP_EXISTS)) == 0) return false;
  return load<i32>(sb(SB_DP_IFINDEX)) == ifindex || isInternal(ifindex);
}

/** The datapath that the request at hand names: by its name, else by dp_ifindex. */
function isNamed(): bool {
  const name = attr(OVS_DP_ATTR_NAME);
  if (name == 0) return isDatapath(requestIfindex());
  const vport = findVport(attrPayload(name));
  return vport != 0 && portNoOf(vport) == OVSP_LOCAL;
}

function show(): i32 {
  lock();
  const status = isNamed() ? sendReply(reply(OVS_DP_CMD_GET)) : -ENODEV;
  unlock();
  return status;
}

function change(): i32 {
  lock();
  let status = isNamed() ? applyChange(load<u32>(sb(SB_DP_MASKS_CACHE_SIZE))) : -ENODEV;
  if (status == 0) status = sendNotification(reply(OVS_DP_CMD_SET), GROUP_DATAPATH);
  unlock();
  return status;
}

function create(): i32 {
  if (attr(OVS_DP_ATTR_NAME) == 0 || attr(OVS_DP_ATTR_UPCALL_PID) == 0) return -EINVAL;
  lock();
  const status = createLocked(attrPayload(attr(OVS_DP_ATTR_NAME)));
  unlock();
  return status;
}

function createLocked(name: usize): i32 {
  const portIds = attr(OVS_DP_ATTR_UPCALL_PID);
  const wanted = attrU32(OVS_DP_ATTR_IFINDEX);
  let status = checkChange();
  if (status == 0) status = nameInternal(scratch(), name, portIds, wanted);
  if (status == 0 && load<u32>(sb(SB_DP_EXISTS)) != 0) status = -EEXIST;
  // EBUSY: the ifindex that it wants is taken
  if (status == -EEXIST || status == -EBUSY) return refuseName();
  if (status == 0) status = applyChange(MASKS_CACHE_SIZE);
  if (wanted != 0) store<u32>(sb(SB_DP_IFINDEX), wanted);
  if (status == 0) status = makeInternal(OVSP_LOCAL, name, portIds, load<u32>(sb(SB_DP_IFINDEX)));
  if (status != 0) {
    dropPortIds(sb(SB_DP_PORT_IDS));
    return status;
  }
  readCounts(scratch());
  memory.copy(sb(SB_DP_BASE), scratch(), DP_COUNTS * 8);
  atomic.store<u32>(sb(SB_DP_EXISTS), 1);
  return sendNotification(reply(OVS_DP_CMD_NEW), GROUP_DATAPATH);
}

/** A program that knows no features will use the datapath that is there: it gets one without any. */
function refuseName(): i32 {
  if (messageVersion(request) < <u32>OVS_DP_VER_FEATURES && isNamed()) store<u32>(sb(SB_DP_FEATURES), 0);
  return -EEXIST;
}

function destroy(): i32 {
  lock();
  const status = isNamed() ? destroyLocked() : -ENODEV;
  unlock();
  if (status == 0) flushFlows();
  return status;
}

function destroyLocked(): i32 {
  const status = sendNotification(reply(OVS_DP_CMD_DEL), GROUP_DATAPATH);
  if (status != 0) return status;
  atomic.store<u32>(sb(SB_DP_EXISTS), 0);
  for (let portNo: u32 = 0; portNo < <u32>PORTS_MAX; portNo++) {
    if (exists(vportAt(portNo))) removeVport(vportAt(portNo));
  }
  dropPortIds(sb(SB_DP_PORT_IDS));
  dropMeters();
  dropBonds();
  return 0;
}

/** Whether what NEW and SET ask for can be; in the kernel's order. */
function checkChange(): i32 {
  const status = checkFeatures();
  return status != 0 || givenPortIds() == 0 ? status : checkPortIds(givenPortIds());
}

function checkFeatures(): i32 {
  if ((attrU32(OVS_DP_ATTR_USER_FEATURES) & ~FEATURES) != 0) return -EOPNOTSUPP;
  const size = attrU32(OVS_DP_ATTR_MASKS_CACHE_SIZE);
  return (size & (size - 1)) != 0 ? -EINVAL : 0;
}

/** The port ids by worker, 0 when there are none or nobody has asked for that kind of dispatch. */
function givenPortIds(): usize {
  return (attrU32(OVS_DP_ATTR_USER_FEATURES) & OVS_DP_F_DISPATCH_UPCALL_PER_CPU) == 0
    ? 0
    : attr(OVS_DP_ATTR_PER_CPU_PIDS);
}

/** Changes what is given; features that are not given are gone. As in the kernel they are even if the port ids are refused then. */
function applyChange(masksCacheSize: u32): i32 {
  const status = checkFeatures();
  if (status != 0) return status;
  const given = attr(OVS_DP_ATTR_MASKS_CACHE_SIZE) != 0;
  store<u32>(sb(SB_DP_MASKS_CACHE_SIZE), given ? attrU32(OVS_DP_ATTR_MASKS_CACHE_SIZE) : masksCacheSize);
  atomic.store<u32>(sb(SB_DP_FEATURES), attrU32(OVS_DP_ATTR_USER_FEATURES));
  return givenPortIds() == 0 ? 0 : setPortIds(sb(SB_DP_PORT_IDS), givenPortIds());
}

function reply(command: u32): usize {
  return putDatapath(beginReply(command, load<i32>(sb(SB_DP_IFINDEX))), frameLimit);
}

/** Writes the attributes of the datapath, in the kernel's order. */
function putDatapath(attrs: usize, limit: usize): usize {
  const name = vportAt(OVSP_LOCAL) + VPORT_NAME;
  let at = putAttr(attrs, limit, OVS_DP_ATTR_NAME, name, nameSize(name) + 1);
  at = putStats(at, limit);
  at = putU32(at, limit, OVS_DP_ATTR_USER_FEATURES, load<u32>(sb(SB_DP_FEATURES)));
  at = putU32(at, limit, OVS_DP_ATTR_MASKS_CACHE_SIZE, load<u32>(sb(SB_DP_MASKS_CACHE_SIZE)));
  const ids: usize = load<u32>(sb(SB_DP_PORT_IDS));
  if (ids == 0 || (load<u32>(sb(SB_DP_FEATURES)) & OVS_DP_F_DISPATCH_UPCALL_PER_CPU) == 0) return at;
  const count = min<u32>(load<u32>(ids, PORT_IDS_COUNT), workers);
  return putAttr(at, limit, OVS_DP_ATTR_PER_CPU_PIDS, ids + PORT_IDS_FIRST, count << 2);
}

/** struct ovs_dp_stats and struct ovs_dp_megaflow_stats. */
function putStats(attrs: usize, limit: usize): usize {
  const counts = scratch();
  readCounts(counts);
  for (let i: u32 = 0; i < (<u32>DP_COUNTS) << 3; i += 8) {
    store<u64>(counts + i, load<u64>(counts + i) - load<u64>(sb(SB_DP_BASE) + i));
  }
  const stats = attrs;
  let at = reserveAttr(stats, limit, OVS_DP_ATTR_STATS, OVS_DP_STATS_SIZEOF);
  if (at == 0) return 0;
  memory.copy(stats + 4, counts + HITS, 24);
  store<u64>(stats + 4, load<u32>(sb(SB_FLOW_COUNT)), 24);
  const megaflow = at;
  at = reserveAttr(megaflow, limit, OVS_DP_ATTR_MEGAFLOW_STATS, OVS_DP_MEGAFLOW_STATS_SIZEOF);
  if (at == 0) return 0;
  memory.fill(megaflow + 4, 0, OVS_DP_MEGAFLOW_STATS_SIZEOF);
  store<u64>(megaflow + 4, load<u64>(counts, MASK_HITS));
  store<u32>(megaflow + 4, load<u32>(sb(SB_SUBTABLE_COUNT)), 8);
  store<u64>(megaflow + 4, load<u64>(counts, CACHE_HITS), 16);
  return at;
}

/** Writes the counts of all workers: hits, misses, upcalls lost, subtables visited, hits of the cache. Works in scratch behind them. */
function readCounts(counts: usize): void {
  const sums = scratch() + DP_COUNTS * 8;
  const drops = sums + COUNTERS * 8;
  sumCounters(sums);
  // what XDP programs forwarded is what the cache knew
  const cacheHits = load<u64>(sums + COUNTER_EMC_HITS * 8) + load<u64>(sums + COUNTER_HOT_HITS * 8);
  store<u64>(counts, cacheHits + load<u64>(sums + COUNTER_MEGAFLOW_HITS * 8), HITS);
  store<u64>(counts, load<u64>(sums + COUNTER_MISSES * 8), MISSED);
  let lost = load<u64>(sums + COUNTER_UPCALL_ACTIONS_LOST * 8) + load<u64>(drops + DROP_UPCALL_RING_FULL * 8);
  lost += load<u64>(drops + DROP_UPCALL_PORT_SHARE * 8) + load<u64>(drops + DROP_UPCALL_NO_HANDLER * 8);
  lost += load<u64>(drops + DROP_UPCALL_NO_PORT_ID * 8);
  store<u64>(counts, lost + load<u64>(drops + DROP_UPCALL_TOO_LONG * 8), LOST);
  store<u64>(counts, load<u64>(sums + COUNTER_SUBTABLE_LOOKUPS * 8), MASK_HITS);
  store<u64>(counts, cacheHits, CACHE_HITS);
}
