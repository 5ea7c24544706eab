/*
 * Devices: what vports of type NETDEV are made of. Before it: the host, which says which devices there are and which are gone. After it: vports.ts.
 *
 * Ownership. A region of the memory, DEVICES_MAX slots. Threads: addDevice and removeDevice take the writer lock, the rest needs it.
 */
import {
  DEVICES_MAX,
  DEVICE_BUSY,
  DEVICE_ETHERNET,
  DEVICE_IFINDEX,
  DEVICE_KIND,
  DEVICE_NAME,
  DEVICE_SIZEOF,
  DEVICE_VPORT,
  EBUSY,
  EEXIST,
  EINVAL,
  ENOSPC,
  SB_DEVICES,
} from '../constants';
import { sb } from '../memory/layout';
import { lock, unlock } from '../memory/lock';
import { openFrames, frameAt } from './frames';
import { copyName, isDeviceName, sameName } from './names';
import { notifyRemoval } from './vport';
import { findVport, nextIfindex } from './vports';

@inline
function deviceAt(index: u32): usize {
  return <usize>load<u32>(sb(SB_DEVICES)) + index * DEVICE_SIZEOF;
}

/**
 * Says that there is a device: its name (NUL-terminated within IFNAMSIZ bytes), its ifindex (0: the next one), and what it is good for (DEVICE_*). 0,
 * -EINVAL: no such name can be; -EEXIST: there is one of this name; -ENOSPC: too many.
 */
export function addDevice(name: usize, ifindex: u32, kind: u32): i32 {
  if (!isDeviceName(name)) return -EINVAL;
  lock();
  const status = findDevice(name) != 0 || findVport(name) != 0 ? -EEXIST : fillDevice(name, ifindex, kind);
  unlock();
  return status;
}

function fillDevice(name: usize, ifindex: u32, kind: u32): i32 {
  for (let i: u32 = 0; i < <u32>DEVICES_MAX; i++) {
    const device = deviceAt(i);
    if (load<u32>(device, DEVICE_IFINDEX) != 0) continue;
    copyName(device + DEVICE_NAME, name);
    store<u32>(device, kind, DEVICE_KIND);
    store<u32>(device, 0, DEVICE_VPORT);
    store<u32>(device, ifindex != 0 ? ifindex : nextIfindex(), DEVICE_IFINDEX);
    return 0;
  }
  return -ENOSPC;
}

/**
 * Says that a device is gone. When it is in the datapath its vport goes too, and the notification of that is written as a frame from `out` on. Returns
 * where the frames end.
 */
export function removeDevice(name: usize, out: usize, limit: usize): usize {
  lock();
  openFrames(out, limit);
  const device = findDevice(name);
  if (device != 0) {
    const vport: usize = load<u32>(device, DEVICE_VPORT);
    if (vport != 0) notifyRemoval(vport);
    store<u32>(device, 0, DEVICE_IFINDEX);
  }
  unlock();
  return frameAt;
}

/** The device of this name, 0 none. */
export function findDevice(name: usize): usize {
  for (let i: u32 = 0; i < <u32>DEVICES_MAX; i++) {
    const device = deviceAt(i);
    if (load<u32>(device, DEVICE_IFINDEX) != 0 && sameName(device + DEVICE_NAME, name)) return device;
  }
  return 0;
}

export function isIfindexOfDevice(ifindex: u32): bool {
  for (let i: u32 = 0; i < <u32>DEVICES_MAX; i++) if (load<u32>(deviceAt(i), DEVICE_IFINDEX) == ifindex) return true;
  return false;
}

/** Why no vport can be made of the device, a negative errno; 0: it can. */
export function whyUnfit(device: usize): i32 {
  if (load<u32>(device, DEVICE_VPORT) != 0) return -EEXIST;
  const kind = load<u32>(device, DEVICE_KIND);
  if (kind == DEVICE_BUSY) return -EBUSY;
  return kind == DEVICE_ETHERNET ? 0 : -EINVAL;
}
