/*
 * Action lists: the attributes of OVS_FLOW_ATTR_ACTIONS, stored once however many flows share them.
 *
 * A list is looked up by its bytes; equal lists are one block with a reference for each flow and holder. A block says in its head what
 * the pipeline needs to know without walking it: that it is a single OUTPUT (and to which port) or that it drops. Lists
 * come here validated (actions/validate.ts) and are trusted from then on.
 *
 * Threads. Writers hold the writer lock; the pipeline reads blocks of flows it holds. A block without references is retired.
 */
import {
  ACTIONS_ATTRS,
  ACTIONS_HASH,
  ACTIONS_KIND,
  ACTIONS_KIND_ANY,
  ACTIONS_KIND_DROP,
  ACTIONS_KIND_OUTPUT,
  ACTIONS_NEXT,
  ACTIONS_PORT,
  ACTIONS_REFS,
  ACTIONS_SIZE,
  PORTS_MAX,
  SB_ACTION_COUNT,
  SB_ACTION_INDEX,
} from '../constants';
import { ACTION_BUCKETS, sb, secrets } from '../memory/layout';
import { allocate, retire } from '../memory/slab';
import { finish, nhWord } from './hash';

const NLA_OUTPUT: u32 = (1 << 16) | 8; // type OVS_ACTION_ATTR_OUTPUT, length 8, as loaded from memory

@inline
function chain(hash: u32): usize {
  return load<u32>(sb(SB_ACTION_INDEX)) + ((hash & (ACTION_BUCKETS - 1)) << 2);
}

function hashBytes(data: usize, size: u32): u32 {
  let sum: u64 = nhWord(size, load<u64>(secrets));
  let rotation: u64 = 0;
  for (let at: u32 = 0; at < size; at += 4) {
    const secret = load<u64>(secrets + 8 + (((at >> 2) & 63) << 3)) + rotation;
    sum += nhWord(load<u32>(data + at), secret);
    rotation += 0x9e3779b97f4a7c15;
  }
  return finish(sum);
}

/** The block of these attributes (`size` a multiple of 4), with one more reference; 0 when the arena is full. */
export function acquireActions(attrs: usize, size: u32): usize {
  const hash = hashBytes(attrs, size);
  for (let block: usize = load<u32>(chain(hash)); block != 0; block = load<u32>(block, ACTIONS_NEXT)) {
    if (load<u32>(block, ACTIONS_HASH) != hash || load<u32>(block, ACTIONS_SIZE) != size) continue;
    if (memory.compare(block + ACTIONS_ATTRS, attrs, size) != 0) continue;
    store<u32>(block, load<u32>(block, ACTIONS_REFS) + 1, ACTIONS_REFS);
    return block;
  }
  const block = allocate(ACTIONS_ATTRS + size);
  if (block == 0) return 0;
  memory.copy(block + ACTIONS_ATTRS, attrs, size);
  store<u32>(block, 1, ACTIONS_REFS);
  store<u32>(block, size, ACTIONS_SIZE);
  store<u32>(block, hash, ACTIONS_HASH);
  classifyList(block, size);
  store<u32>(block, load<u32>(chain(hash)), ACTIONS_NEXT);
  store<u32>(chain(hash), <u32>block);
  store<u32>(sb(SB_ACTION_COUNT), load<u32>(sb(SB_ACTION_COUNT)) + 1);
  return block;
}

function classifyList(block: usize, size: u32): void {
  let kind: u32 = ACTIONS_KIND_ANY;
  if (size == 0) kind = ACTIONS_KIND_DROP;
  else if (size == 8 && load<u32>(block, ACTIONS_ATTRS) == NLA_OUTPUT) {
    const port = load<u32>(block, ACTIONS_ATTRS + 4);
    if (port < <u32>PORTS_MAX) {
      kind = ACTIONS_KIND_OUTPUT;
      store<u32>(block, port, ACTIONS_PORT);
    }
  }
  store<u32>(block, kind, ACTIONS_KIND);
}

/** One more reference to a block that the caller already holds. */
export function holdActions(block: usize): void {
  store<u32>(block, load<u32>(block, ACTIONS_REFS) + 1, ACTIONS_REFS);
}

/** Gives one reference back. */
export function releaseActions(block: usize): void {
  const refs = load<u32>(block, ACTIONS_REFS) - 1;
  store<u32>(block, refs, ACTIONS_REFS);
  if (refs != 0) return;
  let link = chain(load<u32>(block, ACTIONS_HASH));
  while (load<u32>(link) != <u32>block) link = load<u32>(link) + ACTIONS_NEXT;
  store<u32>(link, load<u32>(block, ACTIONS_NEXT));
  store<u32>(sb(SB_ACTION_COUNT), load<u32>(sb(SB_ACTION_COUNT)) - 1);
  retire(block, 0);
}
