/*
 * The WASM datapaths of this process, by name and by dp_ifindex: what `netdev@NAME` means. Before it: Datapath, which enters itself. After it: the wasm
 * transport, which routes messages between them.
 *
 * Each datapath has devices of its own, as if each stood in a network namespace of its own; what they share is this list. A datapath whose name or
 * dp_ifindex is taken already works all the same, for the program that has it, and is not in the list. Threads: each has a list of its own.
 *
 * Numbers of devices. As in the kernel, the number of a datapath is that of its local port, and that of any of its internal ports stands for it in a request.
 * They are numbers of the datapath's own world and not of the host: a datapath has its number before it has any interface, and keeps it; its local port never is an
 * interface of the host; and other internal ports become interfaces (TAP) only after their vports were made, or never. Devices of different datapaths have different
 * numbers, so that none stands for two.
 */
import type { Datapath } from '../datapath/datapath.ts';

const datapaths: Datapath[] = [];

export function registeredDatapaths(): readonly Datapath[] {
  return datapaths;
}

export function findDatapath(name: string): Datapath | undefined {
  return datapaths.find((one) => one.name === name);
}

/** The datapath of this number, or the one with an internal port of this number. */
export function datapathWithIfindex(ifindex: number): Datapath | undefined {
  return datapathOf(ifindex) ?? datapaths.find(({ door }) => door.hasInternalPort(ifindex));
}

function datapathOf(dpIfindex: number): Datapath | undefined {
  return datapaths.find(({ door }) => door.dpIfindex === dpIfindex);
}

/** Devices that one datapath can make in its life before its numbers may meet those of another; and how many have numbers of their own. */
const DEVICE_NUMBERS = 1 << 20;
const NUMBER_RANGES = 2046;
let ranges = 0;

/** Where the numbers of the devices of a new datapath begin. */
export function firstDeviceIfindex(): number {
  return ((ranges++ % NUMBER_RANGES) + 1) * DEVICE_NUMBERS;
}

/** False when its name or its dp_ifindex is taken. */
export function registerDatapath(datapath: Datapath): boolean {
  const taken = findDatapath(datapath.name) !== undefined || datapathOf(datapath.door.dpIfindex) !== undefined;
  if (!taken) datapaths.push(datapath);
  return !taken;
}

export function unregisterDatapath(datapath: Datapath): void {
  const index = datapaths.indexOf(datapath);
  if (index >= 0) datapaths.splice(index, 1);
}

/** The lowest dp_ifindex that no datapath of the list has. */
export function freeIfindex(): number {
  let ifindex = 1;
  while (datapathWithIfindex(ifindex) !== undefined) ifindex++;
  return ifindex;
}
