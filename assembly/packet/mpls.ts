/*
 * MPLS label stack.
 *
 * Before it: flow/extract.ts, by Ethernet type. After it: nothing; what the labels carry is not looked at before they
 * are popped. Reads the frame, writes the key; owns no memory; any worker may call it.
 *
 * The stack is walked to its bottom, however deep, but only the outermost MPLS_DEPTH_MAX entries are kept. A frame that
 * ends before a bottom-of-stack entry leaves the entries it has and a count of zero: that is the kernel's key.
 */
import { KEY_MPLS_COUNT, KEY_MPLS_LSE0, MPLS_DEPTH_MAX } from '../constants';

export const MPLS_SIZE: u32 = 4;
/** Bottom of stack, in wire order of the whole entry. */
export const MPLS_BOTTOM_WIRE: u32 = 0x00010000;

export function parseMpls(header: usize, size: u32, key: usize): void {
  let count: u32 = 0;
  for (let offset: u32 = 0; size - offset >= MPLS_SIZE; offset += MPLS_SIZE) {
    const entry = load<u32>(header + offset);
    if (count < <u32>MPLS_DEPTH_MAX) {
      store<u32>(key + (count << 2), entry, KEY_MPLS_LSE0);
      count++;
    }
    if (entry & MPLS_BOTTOM_WIRE) {
      store<u8>(key, count, KEY_MPLS_COUNT);
      return;
    }
  }
}
