/*
 * OUTPUT, TRUNC and DROP: where the packet goes, how much of it, or that it goes nowhere.
 *
 * Before it: validate.ts (the check functions) or execute.ts (the others). After it: io/transmit.ts. The worker that owns
 * the packet calls it; nothing is kept here.
 *
 * TRUNC cuts the end off what the next OUTPUT or USERSPACE sends. PACKET_CUT holds how many bytes are left; the packet
 * itself stays whole, and as in the kernel the cut keeps the same number of bytes away when a tag is pushed or popped
 * between the two, and a TRUNC that would not shorten the packet changes nothing.
 */
import { EINVAL, FRAME_SIZE_MIN, PACKET_CUT, PORTS_MAX } from '../constants';
import { transmit } from '../io/transmit';
import { sizeOf } from './packet';

export function checkOutput(payload: usize, size: u32): i32 {
  return size == 4 && load<u32>(payload) < <u32>PORTS_MAX ? 0 : -EINVAL;
}

@inline
export function output(packet: usize, payload: usize): void {
  transmit(packet, load<u32>(payload));
  store<u32>(packet, 0, PACKET_CUT);
}

/** Not shorter than an Ethernet header. */
export function checkTrunc(payload: usize, size: u32): i32 {
  return size == 4 && load<u32>(payload) >= <u32>FRAME_SIZE_MIN ? 0 : -EINVAL;
}

export function trunc(packet: usize, payload: usize): void {
  const cut = load<u32>(payload);
  if (sizeOf(packet) > cut) store<u32>(packet, cut, PACKET_CUT);
}

/** The reason (u32) is the caller's business; nothing may follow. */
export function checkDrop(size: u32, last: bool): i32 {
  return size == 4 && last ? 0 : -EINVAL;
}
