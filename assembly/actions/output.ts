/*
 * OUTPUT, TRUNC and DROP: where the packet goes, how much of it, or that it goes nowhere.
 *
 * Before it: validate.ts (the check functions) or execute.ts (the others). After it: io/transmit.ts. The worker that owns
 * the packet calls it; nothing is kept here.
 *
 * TRUNC cuts the end off what the next OUTPUT or USERSPACE sends; the packet itself stays whole. As in the kernel PACKET_CUT is what may
 * be sent when it comes to that, whatever happens to the packet in between, and an OUTPUT does not count the outermost tag.
 */
import {
  DROP_EXPLICIT,
  DROP_NO_ETHERNET,
  EINVAL,
  EXPLICIT_REASONS,
  FRAME_SIZE_MIN,
  PACKET_CUT,
  PORTS_MAX,
} from '../constants';
import { countDrop, countExplicit } from '../flow/counters';
import { transmit } from '../io/transmit';
import { isL3, lengthOf, sizeOf } from './packet';

export function checkOutput(payload: usize, size: u32): i32 {
  return size == 4 && load<u32>(payload) < <u32>PORTS_MAX ? 0 : -EINVAL;
}

@inline
export function output(packet: usize, payload: usize): void {
  if (isL3(packet)) countDrop(DROP_NO_ETHERNET);
  else transmit(packet, load<u32>(payload), sizeToSend(packet));
  store<u32>(packet, 0, PACKET_CUT);
}

@inline
function sizeToSend(packet: usize): u32 {
  const cut = load<u32>(packet, PACKET_CUT);
  return cut == 0 ? sizeOf(packet) : cutSize(packet, cut);
}

function cutSize(packet: usize, cut: u32): u32 {
  const length = lengthOf(packet);
  return sizeOf(packet) - length + min<u32>(length, cut);
}

/** Not shorter than an Ethernet header. */
export function checkTrunc(payload: usize, size: u32): i32 {
  return size == 4 && load<u32>(payload) >= <u32>FRAME_SIZE_MIN ? 0 : -EINVAL;
}

@inline
export function trunc(packet: usize, payload: usize): void {
  store<u32>(packet, load<u32>(payload), PACKET_CUT);
}

/** Any reason (u32) will do; nothing may follow. */
export function checkDrop(size: u32, last: bool): i32 {
  return size == 4 && last ? 0 : -EINVAL;
}

export function drop(payload: usize): void {
  countDrop(DROP_EXPLICIT);
  countExplicit(min<u32>(load<u32>(payload), EXPLICIT_REASONS - 1));
}
