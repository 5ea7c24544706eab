/*
 * Vports: what messages know of the ports of the datapath. Before it: the families ovs_datapath and ovs_vport. After it: devices.ts, and io/port.ts
 * for a vport that has a driver.
 *
 * Concepts. A vport of type NETDEV takes a device that exists; one of type INTERNAL makes its own. A vport moves no packets until the host
 * opens a driver for its number (openPort); without one it is a device that is down. The other way round, a driver is silenced here when its
 * vport goes, and closed by the host when it hears of that.
 *
 * Ownership. A region of the memory, one slot a port number. Threads: holders of the writer lock, but for `vportAt`.
 */
import {
  DEVICE_IFINDEX,
  DEVICE_VPORT,
  PORTS_MAX,
  PORT_ROW_RX_BYTES,
  PORT_ROW_RX_DROPPED,
  PORT_ROW_RX_PACKETS,
  PORT_ROW_SIZEOF,
  PORT_ROW_TX_BYTES,
  PORT_ROW_TX_DROPPED,
  PORT_ROW_TX_PACKETS,
  SB_IFINDEX_NEXT,
  SB_VPORTS,
  EBUSY,
  EEXIST,
  EINVAL,
  ENFILE,
  ENODEV,
  IFNAMSIZ,
  VPORT_BASE,
  VPORT_DEVICE,
  VPORT_IFINDEX,
  VPORT_NAME,
  VPORT_PORT_IDS,
  VPORT_SIZEOF,
  VPORT_TYPE,
} from '../constants';
import { sumPort } from '../flow/stats';
import { silencePort } from '../io/port';
import { sb } from '../memory/layout';
import { OVS_VPORT_TYPE_INTERNAL, OVS_VPORT_TYPE_NETDEV } from '../netlink/openvswitch';
import { findDevice, isIfindexOfDevice, whyUnfit } from './devices';
import { copyName, fillPattern, isDeviceName, isGoodPattern, isPattern, sameName } from './names';
import { checkVportIds, dropPortIds, setPortIds } from './port-ids';
import { scratch } from './request';

/** Numbers that the kernel tries for a `%d` in a name: as many as a page has bits, times eight. */
const PATTERN_NUMBERS: u32 = 32768;
// from the packets of one direction to its bytes and to what it dropped
const BYTES = PORT_ROW_RX_BYTES - PORT_ROW_RX_PACKETS;
const DROPPED = PORT_ROW_RX_DROPPED - PORT_ROW_RX_PACKETS;

assert(PORT_ROW_TX_BYTES - PORT_ROW_TX_PACKETS == BYTES && PORT_ROW_TX_DROPPED - PORT_ROW_TX_PACKETS == DROPPED);

@inline
export function vportAt(portNo: u32): usize {
  return <usize>load<u32>(sb(SB_VPORTS)) + portNo * VPORT_SIZEOF;
}

@inline
export function portNoOf(vport: usize): u32 {
  return <u32>(vport - load<u32>(sb(SB_VPORTS))) / VPORT_SIZEOF;
}

@inline
export function exists(vport: usize): bool {
  return load<u32>(vport, VPORT_TYPE) != 0;
}

/** The vport of this name, 0 none. */
export function findVport(name: usize): usize {
  for (let portNo: u32 = 0; portNo < <u32>PORTS_MAX; portNo++) {
    const vport = vportAt(portNo);
    if (exists(vport) && sameName(vport + VPORT_NAME, name)) return vport;
  }
  return 0;
}

/** The device of this number was made here, and is a vport. */
export function isInternal(ifindex: i32): bool {
  if (ifindex == 0) return false;
  for (let portNo: u32 = 0; portNo < <u32>PORTS_MAX; portNo++) {
    const vport = vportAt(portNo);
    if (load<u32>(vport, VPORT_TYPE) == OVS_VPORT_TYPE_INTERNAL && load<i32>(vport, VPORT_IFINDEX) == ifindex)
      return true;
  }
  return false;
}

/** Makes port `portNo` of the device of this name. 0, -EINVAL, -ENODEV, -EEXIST: it is in this datapath; -EBUSY: in another; -ENOMEM. */
export function makeNetdev(portNo: u32, name: usize, portIds: usize): i32 {
  if (checkVportIds(portIds) != 0) return -EINVAL;
  const device = findDevice(name);
  // a device that was made here is a vport already, and no vport is made of it
  if (device == 0) return findVport(name) != 0 ? -EINVAL : -ENODEV;
  const unfit = whyUnfit(device);
  if (unfit != 0) return unfit;
  const status = makeVport(portNo, OVS_VPORT_TYPE_NETDEV, name, load<u32>(device, DEVICE_IFINDEX), portIds);
  if (status != 0) return status;
  store<u32>(vportAt(portNo), <u32>device, VPORT_DEVICE);
  store<u32>(device, <u32>vportAt(portNo), DEVICE_VPORT);
  return 0;
}

/**
 * Makes port `portNo` and its device; a `%d` in the name becomes a number, `ifindex` 0 the next one. 0, -EINVAL: port ids that are none, a name that
 * no device can have; -ENFILE: no number is left; -EEXIST: the name is taken; -EBUSY: the ifindex is; -ENOMEM.
 */
export function makeInternal(portNo: u32, name: usize, portIds: usize, ifindex: u32): i32 {
  const own = scratch();
  const status = nameInternal(own, name, portIds, ifindex);
  if (status != 0) return status;
  return makeVport(portNo, OVS_VPORT_TYPE_INTERNAL, own, ifindex != 0 ? ifindex : nextIfindex(), portIds);
}

/** Whether makeInternal would do it, but for the memory; writes the name to IFNAMSIZ bytes at `own`. */
export function nameInternal(own: usize, name: usize, portIds: usize, ifindex: u32): i32 {
  if (checkVportIds(portIds) != 0 || !isDeviceName(name)) return -EINVAL;
  copyName(own, name);
  if (isPattern(name)) {
    if (!isGoodPattern(name)) return -EINVAL;
    let number: u32 = 0;
    for (; number < PATTERN_NUMBERS; number++) {
      fillPattern(own, name, number);
      if (!isTaken(own)) break;
    }
    if (number == PATTERN_NUMBERS) return -ENFILE;
  } else if (isTaken(own)) {
    return -EEXIST;
  }
  return ifindex != 0 && isIfindexTaken(ifindex) ? -EBUSY : 0;
}

function isTaken(name: usize): bool {
  return findVport(name) != 0 || findDevice(name) != 0;
}

function isIfindexTaken(ifindex: u32): bool {
  for (let portNo: u32 = 0; portNo < <u32>PORTS_MAX; portNo++) {
    const vport = vportAt(portNo);
    if (exists(vport) && load<u32>(vport, VPORT_IFINDEX) == ifindex) return true;
  }
  return isIfindexOfDevice(ifindex);
}

/** A number for a device that is made here. */
export function nextIfindex(): u32 {
  let ifindex = load<u32>(sb(SB_IFINDEX_NEXT));
  while (isIfindexTaken(ifindex)) ifindex++;
  store<u32>(sb(SB_IFINDEX_NEXT), ifindex + 1);
  return ifindex;
}

/** Fills the free slot of port `portNo`; `portIds` is the attribute. VPORT_TYPE, which makes it a vport, is stored last. 0, -EINVAL, -ENOMEM. */
function makeVport(portNo: u32, type: u32, name: usize, ifindex: u32, portIds: usize): i32 {
  const vport = vportAt(portNo);
  const status = setPortIds(vport + VPORT_PORT_IDS, portIds);
  if (status != 0) return status;
  copyName(vport + VPORT_NAME, name);
  store<u32>(vport, ifindex, VPORT_IFINDEX);
  store<u32>(vport, 0, VPORT_DEVICE);
  // what other ports of this number have counted
  const counted = scratch() + IFNAMSIZ;
  memory.fill(vport + VPORT_BASE, 0, PORT_ROW_SIZEOF);
  sumPort(portNo, counted);
  memory.copy(vport + VPORT_BASE, counted, PORT_ROW_SIZEOF);
  atomic.store<u32>(vport, type, VPORT_TYPE);
  return 0;
}

/** Empties the slot of a vport, and silences its driver. Its device is free for another. */
export function removeVport(vport: usize): void {
  const device: usize = load<u32>(vport, VPORT_DEVICE);
  if (device != 0) store<u32>(device, 0, DEVICE_VPORT);
  atomic.store<u32>(vport, 0, VPORT_TYPE);
  dropPortIds(vport + VPORT_PORT_IDS);
  silencePort(portNoOf(vport));
}

/**
 * Writes struct ovs_vport_stats. A device that was made here stands behind the datapath: what the datapath sends to it is what it receives, as in the
 * kernel, where a device of type NETDEV is what the datapath receives from.
 */
export function putVportStats(out: usize, vport: usize): void {
  const rows = scratch();
  sumPort(portNoOf(vport), rows);
  const netdev = load<u32>(vport, VPORT_TYPE) == OVS_VPORT_TYPE_NETDEV;
  const rx = netdev ? rows + PORT_ROW_RX_PACKETS : rows + PORT_ROW_TX_PACKETS;
  const tx = netdev ? rows + PORT_ROW_TX_PACKETS : rows + PORT_ROW_RX_PACKETS;
  store<u64>(out, load<u64>(rx));
  store<u64>(out, load<u64>(tx), 8);
  store<u64>(out, load<u64>(rx, BYTES), 16);
  store<u64>(out, load<u64>(tx, BYTES), 24);
  v128.store(out, i64x2.splat(0), 32); // errors
  store<u64>(out, load<u64>(rx, DROPPED), 48);
  store<u64>(out, load<u64>(tx, DROPPED), 56);
}
