/*
 * Vports: what messages know of the ports of the datapath, and the devices that they are made of. Before it: the families ovs_datapath and ovs_vport,
 * and the host, which says which devices there are. After it: io/port.ts for a vport that has a driver.
 *
 * Concepts. A vport of type NETDEV takes a device that exists; one of type INTERNAL makes its own. A vport moves no packets until the host
 * opens a driver for its number (openPort); without one it is a device that is down. The other way round, a driver is silenced here when its
 * vport goes, and closed by the host when it hears of that.
 *
 * Ownership. Regions of the memory, one slot a port number and a device. Threads: holders of the writer lock, but for `vportAt`.
 */
import {
  DEVICES_MAX,
  DEVICE_IFINDEX,
  DEVICE_NAME,
  DEVICE_SIZEOF,
  EBUSY,
  EEXIST,
  EINVAL,
  IFNAMSIZ,
  PORTS_MAX,
  PORT_ROW_SIZEOF,
  SB_DEVICES,
  SB_IFINDEX_NEXT,
  SB_VPORTS,
  VPORT_BASE,
  VPORT_DEVICE,
  VPORT_IFINDEX,
  VPORT_NAME,
  VPORT_PORT_IDS,
  VPORT_SIZEOF,
  VPORT_TYPE,
} from '../constants';
import { sumPort } from '../flow/stats';
import { sb } from '../memory/layout';
import { checkPortIds, dropPortIds, setPortIds } from './port-ids';

const DOT: u8 = 0x2e;
const SLASH: u8 = 0x2f;
const COLON: u8 = 0x3a;
const SPACE: u8 = 0x20;
/** White space to the kernel's isspace, which reads Latin-1. */
const NBSP: u8 = 0xa0;
const TAB: u8 = 0x09;
const RETURN: u8 = 0x0d;

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

/** Bytes of a name without its NUL; it has one within IFNAMSIZ bytes. */
export function nameSize(name: usize): u32 {
  let size: u32 = 0;
  while (size < <u32>IFNAMSIZ - 1 && load<u8>(name + size) != 0) size++;
  return size;
}

function sameName(a: usize, b: usize): bool {
  const size = nameSize(a);
  return size == nameSize(b) && memory.compare(a, b, size) == 0;
}

/** The vport of this name, 0 none. */
export function findVport(name: usize): usize {
  for (let portNo: u32 = 0; portNo < <u32>PORTS_MAX; portNo++) {
    const vport = vportAt(portNo);
    if (exists(vport) && sameName(vport + VPORT_NAME, name)) return vport;
  }
  return 0;
}

/** The device of this name, 0 none. */
export function findDevice(name: usize): usize {
  const first: usize = load<u32>(sb(SB_DEVICES));
  for (let i: u32 = 0; i < <u32>DEVICES_MAX; i++) {
    const device = first + i * DEVICE_SIZEOF;
    if (load<u32>(device, DEVICE_IFINDEX) != 0 && sameName(device + DEVICE_NAME, name)) return device;
  }
  return 0;
}

/** A number for a device that is made here. */
export function nextIfindex(): u32 {
  const ifindex = load<u32>(sb(SB_IFINDEX_NEXT));
  store<u32>(sb(SB_IFINDEX_NEXT), ifindex + 1);
  return ifindex;
}

/**
 * Whether a device can be made here: 0, -EINVAL for port ids that are none and for a name that no device can have, -EEXIST for one that is taken,
 * -EBUSY for an ifindex that is.
 */
export function checkInternal(name: usize, portIds: usize, ifindex: u32): i32 {
  if (checkPortIds(portIds) != 0 || !isDeviceName(name)) return -EINVAL;
  if (findVport(name) != 0 || findDevice(name) != 0) return -EEXIST;
  return ifindex != 0 && isIfindexTaken(ifindex) ? -EBUSY : 0;
}

/** As the kernel's dev_valid_name: not empty, not `.` or `..`, no `/`, no `:`, no white space. */
function isDeviceName(name: usize): bool {
  const size = nameSize(name);
  if (size == 0 || (load<u8>(name) == DOT && (size == 1 || (size == 2 && load<u8>(name, 1) == DOT)))) return false;
  for (let i: u32 = 0; i < size; i++) {
    const c = load<u8>(name + i);
    if (c == SLASH || c == COLON || c == SPACE || c == NBSP || (c >= TAB && c <= RETURN)) return false;
  }
  return true;
}

function isIfindexTaken(ifindex: u32): bool {
  for (let portNo: u32 = 0; portNo < <u32>PORTS_MAX; portNo++) {
    const vport = vportAt(portNo);
    if (exists(vport) && load<u32>(vport, VPORT_IFINDEX) == ifindex) return true;
  }
  const first: usize = load<u32>(sb(SB_DEVICES));
  for (let i: u32 = 0; i < <u32>DEVICES_MAX; i++) {
    if (load<u32>(first + i * DEVICE_SIZEOF, DEVICE_IFINDEX) == ifindex) return true;
  }
  return false;
}

/** Fills the free slot of port `portNo`; `portIds` is the attribute. VPORT_TYPE, which makes it a vport, is stored last. 0, -EINVAL, -ENOMEM. */
export function makeVport(portNo: u32, type: u32, name: usize, ifindex: u32, device: usize, portIds: usize): i32 {
  const vport = vportAt(portNo);
  const status = setPortIds(vport + VPORT_PORT_IDS, portIds);
  if (status != 0) return status;
  const size = nameSize(name);
  memory.fill(vport + VPORT_NAME, 0, IFNAMSIZ);
  memory.copy(vport + VPORT_NAME, name, size);
  store<u32>(vport, ifindex, VPORT_IFINDEX);
  store<u32>(vport, <u32>device, VPORT_DEVICE);
  memory.fill(vport + VPORT_BASE, 0, PORT_ROW_SIZEOF);
  sumPort(portNo, vport + VPORT_BASE);
  atomic.store<u32>(vport, type, VPORT_TYPE);
  return 0;
}

/** Empties the slot of a vport. */
export function removeVport(vport: usize): void {
  atomic.store<u32>(vport, 0, VPORT_TYPE);
  dropPortIds(vport + VPORT_PORT_IDS);
}
