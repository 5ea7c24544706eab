/*
 * Lists of Netlink port ids: who gets the upcalls of a vport, or of each worker. Blocks of the arena that are replaced as a whole, so that a worker
 * that looks one up reads the old list or the new one. Before it: datapath.ts, vports.ts. Threads: holders of the writer lock write, any may read.
 */
import { EINVAL, ENOMEM, PORT_IDS_COUNT, PORT_IDS_FIRST } from '../constants';
import { workers } from '../memory/layout';
import { allocate, retire } from '../memory/slab';
import { attrPayload, attrPayloadSize } from '../netlink/attribute';

/** 0, or -EINVAL when the payload of the attribute is not one or more u32. */
export function checkPortIds(attribute: usize): i32 {
  const size = attrPayloadSize(attribute);
  return size == 0 || size % 4 != 0 ? -EINVAL : 0;
}

/** The same for a vport, which has no more of them than there are workers (the kernel: CPUs). */
export function checkVportIds(attribute: usize): i32 {
  return attrPayloadSize(attribute) > workers << 2 ? -EINVAL : checkPortIds(attribute);
}

/** Replaces the list whose address is at `place` by the payload of an attribute. 0, -EINVAL, -ENOMEM. */
export function setPortIds(place: usize, attribute: usize): i32 {
  const status = checkPortIds(attribute);
  if (status != 0) return status;
  const size = attrPayloadSize(attribute);
  const ids = allocate(PORT_IDS_FIRST + size);
  if (ids == 0) return -ENOMEM;
  store<u32>(ids, size / 4, PORT_IDS_COUNT);
  memory.copy(ids + PORT_IDS_FIRST, attrPayload(attribute), size);
  const before = load<u32>(place);
  atomic.store<u32>(place, <u32>ids);
  retire(before, 0);
  return 0;
}

export function dropPortIds(place: usize): void {
  const before = load<u32>(place);
  atomic.store<u32>(place, 0);
  retire(before, 0);
}
