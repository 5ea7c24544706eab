/*
 * OUTPUT, TRUNC and DROP: where the packet goes, how much of it, or that it goes nowhere.
 *
 * Before it: execute.ts. After it: io/transmit.ts. The worker that owns the packet calls it; nothing is kept here.
 *
 * TRUNC cuts the end off what the next OUTPUT or USERSPACE sends; the packet itself stays whole. As in the kernel PACKET_CUT is what may
 * be sent when it comes to that, whatever happens to the packet in between, and an OUTPUT does not count the outermost tag.
 */
import { DROP_EXPLICIT, DROP_NO_ETHERNET, EXPLICIT_REASONS, PACKET_CUT } from '../constants';
import { countDrop, countExplicit } from '../flow/counters';
import { transmit } from '../io/transmit';
import { isL3, lengthOf, sizeOf } from './packet';

@inline
export function output(packet: usize, payload: usize): void {
  const cut = load<u32>(packet, PACKET_CUT);
  if (isL3(packet)) countDrop(DROP_NO_ETHERNET);
  else transmit(packet, load<u32>(payload), cut == 0 ? sizeOf(packet) : cutSize(packet, cut));
  if (cut != 0) store<u32>(packet, 0, PACKET_CUT);
}

function cutSize(packet: usize, cut: u32): u32 {
  const length = lengthOf(packet);
  return sizeOf(packet) - length + min<u32>(length, cut);
}

@inline
export function trunc(packet: usize, payload: usize): void {
  store<u32>(packet, load<u32>(payload), PACKET_CUT);
}

export function drop(payload: usize): void {
  countDrop(DROP_EXPLICIT);
  countExplicit(min<u32>(load<u32>(payload), EXPLICIT_REASONS - 1));
}
