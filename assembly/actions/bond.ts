/*
 * LB_OUTPUT: the packet goes to the member of a bond that its hash chooses; and the bonds, which the host makes.
 *
 * Before it: execute.ts, and the host (setBond, deleteBond, readBond). After it: output.ts. A bond is a list of 256 port numbers by the low eight
 * bits of the L4 hash, with the bytes that went to each, from which the host sees which one should move. They go with their datapath.
 *
 * Ownership. Bonds are blocks of the arena in a linked list, the newest first; one that is taken away is retired. Threads: lbOutput takes no lock; the
 * host's functions take the writer lock. A bond that gets other members keeps its bytes, and a packet finds the old member of a bucket or the new
 * one.
 */
import {
  BONDS_MAX,
  BOND_BUCKETS,
  BOND_BYTES,
  BOND_ID,
  BOND_NEXT,
  BOND_PORTS,
  BOND_SIZEOF,
  DROP_NO_PORT,
  EFBIG,
  ENOENT,
  ENOMEM,
  PACKET_CUT,
  SB_BONDS,
} from '../constants';
import { countDrop } from '../flow/counters';
import { sb } from '../memory/layout';
import { lock, unlock } from '../memory/lock';
import { allocate, retire } from '../memory/slab';
import { l4Hash } from './hash';
import { output } from './output';
import { sizeOf } from './packet';

const BUCKET_MASK: u32 = BOND_BUCKETS - 1;

/** Address of bond `id`, 0 none. */
function bondAt(id: u32): usize {
  let bond: usize = atomic.load<u32>(sb(SB_BONDS));
  while (bond != 0 && load<u32>(bond, BOND_ID) != id) bond = atomic.load<u32>(bond, BOND_NEXT);
  return bond;
}

/** Without its bond a packet is dropped like one without its port. False if the packet has no key any more. */
export function lbOutput(packet: usize, payload: usize): bool {
  const bond = bondAt(load<u32>(payload));
  if (bond == 0) {
    countDrop(DROP_NO_PORT);
    store<u32>(packet, 0, PACKET_CUT);
    return true;
  }
  const hash = l4Hash(packet);
  if (hash == 0) return false;
  const bucket = hash & BUCKET_MASK;
  atomic.add<u64>(bond + (bucket << 3), sizeOf(packet), BOND_BYTES);
  output(packet, bond + BOND_PORTS + (bucket << 2));
  return true;
}

/** Makes bond `id` or gives it other members: BOND_BUCKETS u32 at `ports`. 0; EFBIG: there are too many; ENOMEM. */
export function setBond(id: u32, ports: usize): u32 {
  lock();
  const bond = bondAt(id);
  const errno = bond == 0 ? addBond(id, ports) : 0;
  if (bond != 0) {
    for (let at: usize = 0; at < (<usize>BOND_BUCKETS) << 2; at += 4) {
      atomic.store<u32>(bond + at, load<u32>(ports + at), BOND_PORTS);
    }
  }
  unlock();
  return errno;
}

function addBond(id: u32, ports: usize): u32 {
  let count = 0;
  const first: usize = load<u32>(sb(SB_BONDS));
  for (let bond = first; bond != 0; bond = load<u32>(bond, BOND_NEXT)) count++;
  if (count >= BONDS_MAX) return EFBIG;
  const bond = allocate(BOND_SIZEOF);
  if (bond == 0) return ENOMEM;
  memory.fill(bond, 0, BOND_SIZEOF);
  store<u32>(bond, <u32>first, BOND_NEXT);
  store<u32>(bond, id, BOND_ID);
  memory.copy(bond + BOND_PORTS, ports, BOND_BUCKETS << 2);
  atomic.store<u32>(sb(SB_BONDS), <u32>bond);
  return 0;
}

/** ENOENT when there is none. */
export function deleteBond(id: u32): u32 {
  lock();
  let link = sb(SB_BONDS);
  while (load<u32>(link) != 0 && load<u32>(load<u32>(link), BOND_ID) != id) link = load<u32>(link) + BOND_NEXT;
  const bond: usize = load<u32>(link);
  if (bond != 0) {
    atomic.store<u32>(link, load<u32>(bond, BOND_NEXT));
    retire(bond, 0);
  }
  unlock();
  return bond != 0 ? 0 : ENOENT;
}

/** Takes all bonds away: their datapath goes. The caller has the writer lock. */
export function dropBonds(): void {
  let bond: usize = load<u32>(sb(SB_BONDS));
  atomic.store<u32>(sb(SB_BONDS), 0);
  while (bond != 0) {
    const next: usize = load<u32>(bond, BOND_NEXT);
    retire(bond, 0);
    bond = next;
  }
}

/** Copies the BOND_SIZEOF bytes of bond `id` to `out`. ENOENT when there is none. */
export function readBond(id: u32, out: usize): u32 {
  lock();
  const bond = bondAt(id);
  if (bond != 0) memory.copy(out, bond, BOND_SIZEOF);
  unlock();
  return bond != 0 ? 0 : ENOENT;
}
