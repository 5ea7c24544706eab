/*
 * The family ovs_vport: adding ports to the datapath, changing, showing and removing them. Before it: dispatch.ts. After it: vports.ts.
 *
 * The host hears of each change by its notification, and opens or closes the port's driver then. Threads: any; changes are made under the writer
 * lock.
 */
import {
  EAFNOSUPPORT,
  EBUSY,
  EFBIG,
  EINVAL,
  ENODEV,
  EOPNOTSUPP,
  PORTS_MAX,
  PORT_IDS_COUNT,
  PORT_IDS_FIRST,
  SB_DP_FEATURES,
  SB_DP_IFINDEX,
  SOCKET_DUMP_ARGS,
  SOCKET_DUMP_IFINDEX,
  SOCKET_DUMP_SEQ,
  VPORT_IFINDEX,
  VPORT_NAME,
  VPORT_PORT_IDS,
  VPORT_TYPE,
} from '../constants';
import { sb } from '../memory/layout';
import { lock, unlock } from '../memory/lock';
import { attrPayload, putAttr, putU32, reserveAttr } from '../netlink/attribute';
import { endMessage } from '../netlink/header';
import {
  OVSP_LOCAL,
  OVS_DP_F_VPORT_PIDS,
  OVS_VPORT_ATTR_IFINDEX,
  OVS_VPORT_ATTR_NAME,
  OVS_VPORT_ATTR_OPTIONS,
  OVS_VPORT_ATTR_PORT_NO,
  OVS_VPORT_ATTR_STATS,
  OVS_VPORT_ATTR_TYPE,
  OVS_VPORT_ATTR_UPCALL_PID,
  OVS_VPORT_CMD_DEL,
  OVS_VPORT_CMD_GET,
  OVS_VPORT_CMD_NEW,
  OVS_VPORT_CMD_SET,
  OVS_VPORT_STATS_SIZEOF,
  OVS_VPORT_TYPE_INTERNAL,
  OVS_VPORT_TYPE_NETDEV,
} from '../netlink/openvswitch';
import { isDatapath } from './datapath';
import { FAMILY_VPORT, GROUP_VPORT } from './families';
import { beginNotice, beginPart, beginReply, frameLimit, sendNotice, sendNotification, sendReply } from './frames';
import { checkVportIds, setPortIds } from './port-ids';
import { attr, attrU32, requestIfindex, socket } from './request';
import { nameSize } from './names';
import { exists, findVport, makeInternal, makeNetdev, portNoOf, putVportStats, removeVport, vportAt } from './vports';

/** Port numbers of the kernel are below this; those of this datapath below PORTS_MAX. */
const DP_MAX_PORTS: u32 = 65535;

export function doVport(command: u32): i32 {
  switch (command) {
    case OVS_VPORT_CMD_NEW:
      return create();
    case OVS_VPORT_CMD_DEL:
      return destroy();
    case OVS_VPORT_CMD_SET:
      return change();
    default:
      return show();
  }
}

/** Writes the vports from the number that the dump has come to. */
export function dumpVports(at: usize, limit: usize): usize {
  if (!isDatapath(load<i32>(socket, SOCKET_DUMP_IFINDEX))) return ENODEV;
  const seq = load<u32>(socket, SOCKET_DUMP_SEQ);
  let end = at;
  let portNo = load<u32>(socket, SOCKET_DUMP_ARGS);
  for (; portNo < <u32>PORTS_MAX; portNo++) {
    const vport = vportAt(portNo);
    if (!exists(vport)) continue;
    const attrs = beginPart(end, limit, OVS_VPORT_CMD_GET, load<i32>(sb(SB_DP_IFINDEX)), seq);
    const next = putVport(attrs, limit, vport);
    if (endMessage(end, next) == 0) break;
    end = next;
  }
  store<u32>(socket, portNo, SOCKET_DUMP_ARGS);
  return end;
}

/** The vport that the request at hand names, by its name, else by its number; or an errno, which is below any address. */
function named(): usize {
  if (attr(OVS_VPORT_ATTR_IFINDEX) != 0) return EOPNOTSUPP;
  const name = attr(OVS_VPORT_ATTR_NAME);
  if (name != 0) {
    const vport = findVport(attrPayload(name));
    // here the kernel wants the datapath's own number
    const ifindex = requestIfindex();
    return vport != 0 && (ifindex == 0 || ifindex == load<i32>(sb(SB_DP_IFINDEX))) ? vport : ENODEV;
  }
  if (attr(OVS_VPORT_ATTR_PORT_NO) == 0) return EINVAL;
  const portNo = attrU32(OVS_VPORT_ATTR_PORT_NO);
  if (portNo >= DP_MAX_PORTS) return EFBIG;
  if (!isDatapath(requestIfindex()) || portNo >= <u32>PORTS_MAX || !exists(vportAt(portNo))) return ENODEV;
  return vportAt(portNo);
}

function show(): i32 {
  lock();
  const vport = named();
  const status = isErrno(vport) ? -(<i32>vport) : sendReply(reply(vport, OVS_VPORT_CMD_GET));
  unlock();
  return status;
}

function change(): i32 {
  lock();
  const vport = named();
  let status = isErrno(vport) ? -(<i32>vport) : applyChange(vport);
  if (status == 0) status = sendNotification(reply(vport, OVS_VPORT_CMD_SET), GROUP_VPORT);
  unlock();
  return status;
}

function applyChange(vport: usize): i32 {
  const type = attr(OVS_VPORT_ATTR_TYPE);
  if (type != 0 && attrU32(OVS_VPORT_ATTR_TYPE) != load<u32>(vport, VPORT_TYPE)) return -EINVAL;
  // neither type that there is has any options
  if (attr(OVS_VPORT_ATTR_OPTIONS) != 0) return -EOPNOTSUPP;
  const portIds = attr(OVS_VPORT_ATTR_UPCALL_PID);
  if (portIds == 0) return 0;
  return checkVportIds(portIds) != 0 ? -EINVAL : setPortIds(vport + VPORT_PORT_IDS, portIds);
}

function destroy(): i32 {
  lock();
  const vport = named();
  let status = isErrno(vport) ? -(<i32>vport) : 0;
  if (status == 0 && portNoOf(vport) == OVSP_LOCAL) status = -EINVAL;
  if (status == 0) {
    const message = reply(vport, OVS_VPORT_CMD_DEL);
    removeVport(vport);
    status = sendNotification(message, GROUP_VPORT);
  }
  unlock();
  return status;
}

/** The device of a vport is gone: so is the vport, and nobody asked for it. */
export function notifyRemoval(vport: usize): void {
  const attrs = beginNotice(FAMILY_VPORT, OVS_VPORT_CMD_DEL, load<i32>(sb(SB_DP_IFINDEX)));
  const end = putVport(attrs, frameLimit, vport);
  removeVport(vport);
  sendNotice(end, GROUP_VPORT);
}

function create(): i32 {
  if (attr(OVS_VPORT_ATTR_NAME) == 0 || attr(OVS_VPORT_ATTR_TYPE) == 0 || attr(OVS_VPORT_ATTR_UPCALL_PID) == 0)
    return -EINVAL;
  const type = attrU32(OVS_VPORT_ATTR_TYPE);
  if (attr(OVS_VPORT_ATTR_IFINDEX) != 0 && type != OVS_VPORT_TYPE_INTERNAL) return -EOPNOTSUPP;
  if (attrU32(OVS_VPORT_ATTR_PORT_NO) >= DP_MAX_PORTS) return -EFBIG;
  lock();
  const status = createLocked(type);
  unlock();
  return status;
}

function createLocked(type: u32): i32 {
  if (!isDatapath(requestIfindex())) return -ENODEV;
  const wanted = attrU32(OVS_VPORT_ATTR_PORT_NO);
  const portNo = wanted != 0 ? wanted : lowestFree();
  if (portNo >= <u32>PORTS_MAX) return -EFBIG;
  if (exists(vportAt(portNo))) return -EBUSY;
  const name = attrPayload(attr(OVS_VPORT_ATTR_NAME));
  const portIds = attr(OVS_VPORT_ATTR_UPCALL_PID);
  let status = -EAFNOSUPPORT;
  if (type == OVS_VPORT_TYPE_NETDEV) status = makeNetdev(portNo, name, portIds);
  else if (type == OVS_VPORT_TYPE_INTERNAL)
    status = makeInternal(portNo, name, portIds, attrU32(OVS_VPORT_ATTR_IFINDEX));
  if (status != 0) return status;
  return sendNotification(reply(vportAt(portNo), OVS_VPORT_CMD_NEW), GROUP_VPORT);
}

/** PORTS_MAX when all are taken. 0 is the datapath's own. */
function lowestFree(): u32 {
  let portNo: u32 = 1;
  while (portNo < <u32>PORTS_MAX && exists(vportAt(portNo))) portNo++;
  return portNo;
}

@inline
function isErrno(vport: usize): bool {
  return vport < <usize>4096;
}

function reply(vport: usize, command: u32): usize {
  return putVport(beginReply(command, load<i32>(sb(SB_DP_IFINDEX))), frameLimit, vport);
}

/** Writes the attributes of a vport, in the kernel's order. */
export function putVport(attrs: usize, limit: usize, vport: usize): usize {
  let at = putU32(attrs, limit, OVS_VPORT_ATTR_PORT_NO, portNoOf(vport));
  at = putU32(at, limit, OVS_VPORT_ATTR_TYPE, load<u32>(vport, VPORT_TYPE));
  at = putAttr(at, limit, OVS_VPORT_ATTR_NAME, vport + VPORT_NAME, nameSize(vport + VPORT_NAME) + 1);
  at = putU32(at, limit, OVS_VPORT_ATTR_IFINDEX, load<u32>(vport, VPORT_IFINDEX));
  const stats = at;
  at = reserveAttr(stats, limit, OVS_VPORT_ATTR_STATS, OVS_VPORT_STATS_SIZEOF);
  if (at != 0) putVportStats(stats + 4, vport);
  // without the feature a program expects one port id, as of old
  const ids: usize = load<u32>(vport, VPORT_PORT_IDS);
  const all = (load<u32>(sb(SB_DP_FEATURES)) & OVS_DP_F_VPORT_PIDS) != 0;
  const count = all ? load<u32>(ids, PORT_IDS_COUNT) : 1;
  return putAttr(at, limit, OVS_VPORT_ATTR_UPCALL_PID, ids + PORT_IDS_FIRST, count << 2);
}
