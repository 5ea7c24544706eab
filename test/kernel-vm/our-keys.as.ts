/*
 * The datapath's answer to the question that keydump.c asks the kernel: which key does each frame get, as attributes?
 *
 * AssemblyScript; compiled by the kernel key test into a module of its own, in debug mode, on top of the datapath's
 * extraction (flow/extract.ts) and its writer of key attributes (netlink/key-put.ts). Frames and keys are in keydump's
 * format. The caller owns all memory given; one thread.
 */
import {
  FRAME_SIZE_MIN,
  KEY_SIZE,
  PACKET_DATA,
  PACKET_FLAG_KEY_COLD,
  PACKET_FLAGS,
  PACKET_IN_PORT,
  PACKET_KEY,
  PACKET_SIZE,
  PACKET_SIZEOF,
} from '../../assembly/constants';
import { extract } from '../../assembly/flow/extract';
import { KEY_ATTRS_SIZE_MAX, putKey } from '../../assembly/netlink/key-put';

/** Bytes in front of each frame and of each key. */
const FRAME_RECORD_HDRLEN: u32 = 4;
const KEY_RECORD_HDRLEN: u32 = 8;

export const KEY_RECORD_SIZE_MAX: u32 = KEY_RECORD_HDRLEN + KEY_ATTRS_SIZE_MAX;
export const SCRATCH_SIZE: u32 = PACKET_SIZEOF + KEY_SIZE;

/**
 * Writes one key record for each of `count` frame records. `scratch` is SCRATCH_SIZE zeroed bytes, `keys` has room for
 * `count` * KEY_RECORD_SIZE_MAX. A frame shorter than an Ethernet header gets an empty key. Returns the bytes written.
 */
export function writeKeys(frames: usize, count: u32, inPort: u32, keys: usize, scratch: usize): u32 {
  const packet = scratch;
  const key = scratch + PACKET_SIZEOF;
  store<u32>(packet, key, PACKET_KEY);
  store<u32>(packet, inPort, PACKET_IN_PORT);
  store<u16>(packet, PACKET_FLAG_KEY_COLD, PACKET_FLAGS);

  let at = keys;
  for (let index: u32 = 0; index < count; index++) {
    const size = load<u32>(frames);
    store<u32>(packet, frames + FRAME_RECORD_HDRLEN, PACKET_DATA);
    store<u32>(packet, size, PACKET_SIZE);
    const start = at + KEY_RECORD_HDRLEN;
    let end = start;
    if (size >= <u32>FRAME_SIZE_MIN && extract(packet) >= 0) {
      end = putKey(start, start + KEY_ATTRS_SIZE_MAX, key, key);
    }
    store<u32>(at, index);
    store<u32>(at, <u32>(end - start), 4);
    at = end;
    frames += FRAME_RECORD_HDRLEN + size;
  }
  return <u32>(at - keys);
}
