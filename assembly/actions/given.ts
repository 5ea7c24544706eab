/*
 * What a message says of the packet that it has executed, and a received packet does not have: its MRU, the largest fragment it was put together
 * from, and its hash. CHECK_PKT_LEN goes by the one, and upcalls pass both on.
 *
 * Before it: kernel/packet.ts. After it: execute.ts, upcall/message.ts. Threads: one packet is executed at a time, so each instance has its own.
 */

/** 0: it was in one piece. */
export let givenMru: u32 = 0;
/** OVS_PACKET_ATTR_HASH, for packets with PACKET_FLAG_HASH_GIVEN. */
export let givenHash: u64 = 0;

/** For the packet to come; all 0 when it is done. */
export function giveAlong(mru: u32, hash: u64): void {
  givenMru = mru;
  givenHash = hash;
}
