/*
 * Checksums from scratch: the Internet checksum (RFC 1071) and CRC-32C (RFC 9260, appendix A).
 *
 * Used to judge packets (layers.ts) and to finish composed ones (compose.ts). Deliberately nothing of the datapath's own arithmetic, which updates
 * checksums by differences: what one gets wrong the other sees. Any thread.
 */

/** The 16-bit sum, not inverted, of `bytes` behind `before`: 0xffff over what contains its own right checksum. */
export function internetSum(bytes: Uint8Array, before = 0): number {
  let sum = before;
  for (let i = 0; i < bytes.length; i++) sum += i % 2 === 0 ? bytes[i] << 8 : bytes[i];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** What addresses (both, one behind the other), protocol and size of the message add to the sum: the pseudo header. */
export function pseudoSum(addresses: Uint8Array, proto: number, size: number): number {
  return internetSum(addresses, proto + (size >>> 16) + (size & 0xffff));
}

const POLYNOMIAL = 0x82f63b78;
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (remainder & 1 ? POLYNOMIAL : 0);
  return remainder;
});

/** CRC-32C of `bytes`, with the four at `zeroAt` taken as zero. On the wire its lowest byte comes first. */
export function crc32c(bytes: Uint8Array, zeroAt: number): number {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) {
    const byte = i >= zeroAt && i < zeroAt + 4 ? 0 : bytes[i];
    crc = (crc >>> 8) ^ TABLE[(crc ^ byte) & 0xff];
  }
  return ~crc >>> 0;
}
