/*
 * Which Netlink port id an upcall is for, as in the kernel. Before it: produce.ts and action.ts. After it: whoever hands the frame on.
 *
 * With OVS_DP_F_DISPATCH_UPCALL_PER_CPU each worker has a port id, in the datapath's list (a worker beyond its end begins again); else a port has one or several, and a packet's hash
 * chooses, so that the packets of one connection go to one handler; a USERSPACE action names its own. A port id that no
 * socket has, as 0, is nobody: the upcall is lost (kernel/socket.ts).
 *
 * Threads: the worker that owns the packet, inside an epoch: lists are replaced as a whole and the old ones retired (kernel/port-ids.ts).
 */
import {
  PACKET_HASH,
  PACKET_IN_PORT,
  PORT_IDS_COUNT,
  PORT_IDS_FIRST,
  SB_DP_FEATURES,
  SB_DP_PORT_IDS,
  VPORT_PORT_IDS,
} from '../constants';
import { hashPacket } from '../flow/hash';
import { vportAt } from '../kernel/vports';
import { sb, worker } from '../memory/layout';
import { OVS_DP_F_DISPATCH_UPCALL_PER_CPU } from '../netlink/openvswitch';

/** For a miss of this packet; 0 also when its vport is just gone. */
export function portIdOfMiss(packet: usize): u32 {
  if (isPerWorker()) return portIdOfWorker();
  const ids: usize = atomic.load<u32>(vportAt(load<u32>(packet, PACKET_IN_PORT)), VPORT_PORT_IDS);
  if (ids == 0) return 0;
  const count = load<u32>(ids, PORT_IDS_COUNT);
  if (count == 1) return load<u32>(ids, PORT_IDS_FIRST);
  const hash = load<u32>(packet, PACKET_HASH);
  return load<u32>(ids + (((hash == 0 ? hashPacket(packet) : hash) % count) << 2), PORT_IDS_FIRST);
}

/** For a USERSPACE action that names `given`. */
@inline
export function portIdOfAction(given: u32): u32 {
  return isPerWorker() ? portIdOfWorker() : given;
}

@inline
function isPerWorker(): bool {
  return (atomic.load<u32>(sb(SB_DP_FEATURES)) & OVS_DP_F_DISPATCH_UPCALL_PER_CPU) != 0;
}

function portIdOfWorker(): u32 {
  const ids: usize = atomic.load<u32>(sb(SB_DP_PORT_IDS));
  return ids == 0 ? 0 : load<u32>(ids + ((worker % load<u32>(ids, PORT_IDS_COUNT)) << 2), PORT_IDS_FIRST);
}
