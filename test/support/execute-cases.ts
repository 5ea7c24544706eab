/*
 * Random packets with random action lists that mostly suit them, as attributes: for the executor and for the kernel beside it. The same
 * seed gives the same cases.
 */
import { layoutOf, withRightChecksums } from '../reference/actions.ts';
import { attribute, be16, concat, le32 } from './action-list.ts';
import { Random, randomFrame } from './frame-generator.ts';

export interface ExecuteCase {
  frame: Uint8Array;
  list: Uint8Array;
}

export const UPCALL_PID = 4242;
/** Nobody has it: what is sent there is lost. */
const LOST_PID = 4243;
/** enum ovs_action_attr */
const ACTION = {
  ...{ output: 1, userspace: 2, set: 3, pushVlan: 4, popVlan: 5, sample: 6, recirc: 7, pushMpls: 9, popMpls: 10 },
  ...{ setMasked: 11, trunc: 13, pushEth: 14, popEth: 15, ctClear: 16, pushNsh: 17, popNsh: 18, meter: 19, clone: 20 },
  ...{ checkPktLen: 21, addMpls: 22, decTtl: 23 },
} as const;
/** enum ovs_key_attr */
const KEY = {
  ...{ priority: 2, ethernet: 4, ipv4: 7, ipv6: 8, tcp: 9, udp: 10, mark: 15, sctp: 17, mpls: 21, nsh: 28 },
} as const;
const ALWAYS = 0xffffffff;
const DEPTH_MAX = 6;

/** What the kernel lets a list do depends on what it did so far. */
interface State {
  type: number;
  proto: number;
  frag: number;
  /** Tags that are certain. */
  tags: number;
  l3: boolean;
  /** Of the frame as it came. */
  size: number;
  /** A header was taken away and perhaps nothing is left; an upcall of an empty packet stops a Linux 6.1 dead. */
  empty: boolean;
}

export function* executeCases(seed: number): Generator<ExecuteCase, never> {
  const random = new Random(seed);
  for (;;) yield randomCase(random);
}

export function randomCase(random: Random): ExecuteCase {
  const made = randomFrame(random);
  const frame = made.length > 9000 ? made.slice(0, 9000) : made;
  const right = random.oneIn(3) ? frame : withRightChecksumsOr(frame);
  const { type, proto, l3 } = layoutOf(right);
  const frag = fragOf(right, type, l3);
  const state = { type, proto, frag, tags: tagCount(right), l3: false, size: right.length, empty: false };
  return { frame: right, list: randomList(random, state, 1 + random.below(6), 0) };
}

/** Frames whose layout lies are left with what they have. */
function withRightChecksumsOr(frame: Uint8Array): Uint8Array {
  try {
    return withRightChecksums(frame);
  } catch {
    return frame;
  }
}

export function tagCount(frame: Uint8Array): number {
  let at = 12;
  while (frame.length >= at + 6 && [0x8100, 0x88a8].includes((frame[at] << 8) | frame[at + 1])) at += 4;
  return (at - 12) / 4;
}

function fragOf(frame: Uint8Array, type: number, l3: number): number {
  if (type !== 0x0800 || frame.length < l3 + 20) return 0;
  const field = (frame[l3 + 6] << 8) | frame[l3 + 7];
  if (field & 0x1fff) return 2;
  return field & 0x2000 ? 1 : 0;
}

function randomList(random: Random, state: State, count: number, depth: number): Uint8Array {
  const parts = Array.from({ length: count }, () => randomAction(random, state, depth));
  if (random.oneIn(3)) parts.push(output(random));
  return concat(...parts);
}

function output(random: Random): Uint8Array {
  return attribute(ACTION.output, le32(1 + random.below(4)));
}

function randomAction(random: Random, state: State, depth: number): Uint8Array {
  const kind = random.below(100);
  if (kind < 26) return output(random);
  if (kind < 32) return state.empty ? output(random) : userspace(random);
  if (kind < 64) return randomSet(random, state);
  if (kind < 70) return pushVlan(random, state);
  if (kind < 74) return popVlan(state);
  if (kind < 80) return randomMpls(random, state);
  if (kind < 84) return randomHeader(random, state);
  if (kind < 88) return attribute(ACTION.trunc, le32(14 + random.below(120)));
  if (kind < 89) return attribute(ACTION.ctClear, []);
  if (kind < 90) return attribute(ACTION.meter, le32(random.below(100)));
  if (kind < 91 && !state.empty) return attribute(ACTION.recirc, le32(1 + random.below(3)));
  return randomNest(random, state, depth);
}

function userspace(random: Random): Uint8Array {
  const parts = [attribute(1, le32(random.oneIn(8) ? LOST_PID : UPCALL_PID))];
  if (random.oneIn(2)) parts.push(attribute(2, random.bytes(random.below(40))));
  if (random.oneIn(4)) parts.push(attribute(3, le32(1 + random.below(4))));
  if (random.oneIn(3)) parts.push(attribute(4, []));
  return attribute(ACTION.userspace, concat(...parts));
}

function pushVlan(random: Random, state: State): Uint8Array {
  state.tags++;
  const tci = random.below(65536) | 0x1000;
  return attribute(ACTION.pushVlan, concat(be16(random.pick([0x8100, 0x88a8])), be16(tci)));
}

function popVlan(state: State): Uint8Array {
  state.tags = Math.max(0, state.tags - 1);
  return attribute(ACTION.popVlan, []);
}

function lse(random: Random): Uint8Array {
  return random.bytes(4);
}

function randomMpls(random: Random, state: State): Uint8Array {
  const isMpls = state.type === 0x8847 || state.type === 0x8848;
  if (isMpls && random.oneIn(2)) {
    const type = random.pick([0x0800, 0x86dd, 0x8847, 0x8848, 0x6558]);
    state.type = type === 0x8847 || type === 0x8848 ? type : 0;
    return attribute(ACTION.popMpls, be16(type));
  }
  state.type = random.pick([0x8847, 0x8848]);
  if (random.oneIn(2)) return attribute(ACTION.pushMpls, concat(lse(random), be16(state.type), be16(0)));
  const flags = random.below(2);
  if (flags === 0) state.l3 = true;
  return attribute(ACTION.addMpls, concat(lse(random), be16(state.type), Uint8Array.of(flags, 0)));
}

/** A header before or instead of the Ethernet header. */
function randomHeader(random: Random, state: State): Uint8Array {
  if (state.l3 && random.oneIn(2)) {
    state.l3 = false;
    return attribute(ACTION.pushEth, random.bytes(12));
  }
  if (state.type === 0x894f && random.oneIn(2)) {
    state.type = 0;
    state.empty = true;
    return attribute(ACTION.popNsh, []);
  }
  state.l3 = true;
  if (random.oneIn(2)) {
    if (state.size < 100) state.empty = true;
    return attribute(ACTION.popEth, []);
  }
  state.type = 0x894f;
  const md1 = random.oneIn(2);
  const base = concat(Uint8Array.of(random.below(4), random.below(64), md1 ? 1 : 2, 0), random.bytes(4));
  const metadata = md1
    ? attribute(2, random.bytes(16))
    : attribute(3, concat(be16(0x10), Uint8Array.of(1, 4), random.bytes(4)));
  return attribute(ACTION.pushNsh, attribute(KEY.nsh, concat(attribute(1, base), metadata)));
}

function masked(random: Random, type: number, mask: Uint8Array): Uint8Array {
  const value = octets(random, mask.length).map((bits, at) => bits & mask[at]);
  return attribute(ACTION.setMasked, attribute(type, concat(value, mask)));
}

/** Bytes with many zeros and ones among them: that is where checksums have their corners. */
function octets(random: Random, size: number): Uint8Array {
  return Uint8Array.from({ length: size }, () => random.pick([0, 255, random.below(256), random.below(256)]));
}

function randomSet(random: Random, state: State): Uint8Array {
  const any = [KEY.ethernet, KEY.priority, KEY.mark];
  const fitting: number[] = [];
  if (state.type === 0x0800) fitting.push(KEY.ipv4, KEY.ipv4);
  if (state.type === 0x86dd) fitting.push(KEY.ipv6, KEY.ipv6);
  if (state.type === 0x0800 || state.type === 0x86dd) {
    if (state.proto === 6) fitting.push(KEY.tcp, KEY.tcp);
    if (state.proto === 17) fitting.push(KEY.udp, KEY.udp);
    if (state.proto === 132) fitting.push(KEY.sctp, KEY.sctp);
    fitting.push(ACTION.decTtl + 100);
  }
  if (state.type === 0x8847 || state.type === 0x8848) fitting.push(KEY.mpls);
  if (state.type === 0x894f) fitting.push(KEY.nsh, KEY.nsh);
  const field = fitting.length > 0 && !random.oneIn(4) ? random.pick(fitting) : random.pick(any);
  if (field === ACTION.decTtl + 100) return decTtl(random);
  return setField(random, state, field, random.oneIn(3));
}

function decTtl(random: Random): Uint8Array {
  return attribute(ACTION.decTtl, attribute(1, random.oneIn(3) ? [] : output(random)));
}

const SIZES: Record<number, number> = {
  ...{ [KEY.priority]: 4, [KEY.mark]: 4, [KEY.ethernet]: 12, [KEY.ipv4]: 12, [KEY.ipv6]: 40 },
  ...{ [KEY.tcp]: 4, [KEY.udp]: 4, [KEY.sctp]: 4, [KEY.mpls]: 4 },
};

function setField(random: Random, state: State, field: number, whole: boolean): Uint8Array {
  if (field === KEY.nsh) return setNsh(random);
  const size = SIZES[field];
  if (whole) {
    const value = octets(random, size);
    if (field === KEY.ipv4) value.set([state.proto, value[9], value[10], state.frag], 8);
    if (field === KEY.ipv6)
      value.set([0, value[33] & 15, value[34], value[35], state.proto, value[37], value[38], 0], 32);
    return attribute(ACTION.set, attribute(field, value));
  }
  const mask = octets(random, size);
  if (field === KEY.ipv4) mask[8] = mask[11] = 0;
  if (field === KEY.ipv6) {
    mask[32] = mask[36] = mask[39] = 0;
    mask[33] &= 15;
  }
  return masked(random, field, mask);
}

function setNsh(random: Random): Uint8Array {
  const baseMask = concat(Uint8Array.of(3, 63, 0, 0), octets(random, 4));
  const base = octets(random, 8).map((bits, at) => bits & baseMask[at]);
  const contextMask = octets(random, 16);
  const context = octets(random, 16).map((bits, at) => bits & contextMask[at]);
  const parts = [attribute(1, concat(base, baseMask))];
  if (random.oneIn(2)) parts.push(attribute(2, concat(context, contextMask)));
  return attribute(ACTION.setMasked, attribute(KEY.nsh, concat(...parts)));
}

function randomNest(random: Random, state: State, depth: number): Uint8Array {
  if (depth === DEPTH_MAX) return output(random);
  const inner = (): Uint8Array => randomList(random, { ...state }, 1 + random.below(3), depth + 1);
  const kind = random.below(3);
  if (kind === 0) return attribute(ACTION.clone, inner());
  if (kind === 1) {
    const probability = random.pick([0, ALWAYS, ALWAYS]);
    return attribute(ACTION.sample, concat(attribute(1, le32(probability)), attribute(2, inner())));
  }
  const limit = attribute(1, Uint8Array.of(Math.max(0, state.size - 5 + random.below(11)) & 255, 0));
  // in the order in which the kernel gives them back
  return attribute(ACTION.checkPktLen, concat(limit, attribute(3, inner()), attribute(2, inner())));
}
