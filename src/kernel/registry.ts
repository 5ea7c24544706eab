/*
 * The WASM datapaths of this process, by name and by dp_ifindex: what `netdev@NAME` means. Before it: Datapath, which enters itself. After it: the wasm
 * transport, which routes messages between them.
 *
 * Each datapath has devices of its own, as if each stood in a network namespace of its own; what they share is this list. A datapath whose name or
 * dp_ifindex is taken already works all the same, for the program that has it, and is not in the list. Threads: each has a list of its own.
 */
import type { Datapath } from '../datapath/datapath.ts';

const datapaths: Datapath[] = [];

export function registeredDatapaths(): readonly Datapath[] {
  return datapaths;
}

export function findDatapath(name: string): Datapath | undefined {
  return datapaths.find((one) => one.name === name);
}

export function datapathWithIfindex(ifindex: number): Datapath | undefined {
  return datapaths.find(({ door }) => door.dpIfindex === ifindex);
}

/** False when its name or its dp_ifindex is taken. */
export function registerDatapath(datapath: Datapath): boolean {
  const taken = findDatapath(datapath.name) !== undefined || datapathWithIfindex(datapath.door.dpIfindex) !== undefined;
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
