/*
 * ARP and RARP for IPv4 over Ethernet.
 *
 * Before it: flow/extract.ts, by Ethernet type. After it: nothing, the key is complete. Reads the frame, writes the
 * key; owns no memory; any worker may call it. Anything but a whole Ethernet/IPv4 message leaves the key as it was.
 */
import { KEY_ARP_SHA, KEY_ARP_THA, KEY_IPV4_DST, KEY_IPV4_SRC, KEY_IP_PROTO } from '../constants';

export const ARP_SIZE: u32 = 28;
export const ARP_OPCODE: u32 = 6;
export const ARP_SHA: u32 = 8;
export const ARP_SPA: u32 = 14;
export const ARP_THA: u32 = 18;
export const ARP_TPA: u32 = 24;

/** Hardware type 1, protocol 0x0800, address sizes 6 and 4: the first six bytes as a little-endian load gives them. */
const ARP_ETHERNET_IPV4: u64 = 0x040600080100;
const ARP_FIXED_MASK: u64 = 0x0000ffffffffffff;

@inline
export function checkArp(header: usize, size: u32): bool {
  return size >= ARP_SIZE && (load<u64>(header) & ARP_FIXED_MASK) == ARP_ETHERNET_IPV4;
}

/** Fills protocol addresses, hardware addresses and the opcode; opcodes above 255 do not fit the field and give 0. */
export function parseArp(header: usize, size: u32, key: usize): void {
  if (!checkArp(header, size)) return;
  const opcode = <u32>bswap<u16>(load<u16>(header, ARP_OPCODE));
  if (opcode <= 255) store<u8>(key, opcode, KEY_IP_PROTO);
  store<u32>(key, load<u32>(header, ARP_SPA), KEY_IPV4_SRC);
  store<u32>(key, load<u32>(header, ARP_TPA), KEY_IPV4_DST);
  store<u32>(key, load<u32>(header, ARP_SHA), KEY_ARP_SHA);
  store<u16>(key, load<u16>(header, ARP_SHA + 4), KEY_ARP_SHA + 4);
  store<u32>(key, load<u32>(header, ARP_THA), KEY_ARP_THA);
  store<u16>(key, load<u16>(header, ARP_THA + 4), KEY_ARP_THA + 4);
}
