/*
 * Checksums over all bytes, the slow and obvious way: what the datapath's incremental ones must come to.
 */

/** Internet checksum (RFC 1071) of the parts one after the other; an odd byte is followed by a zero. */
export function internetChecksum(...parts: readonly Uint8Array[]): number {
  const data = Buffer.concat(parts);
  let sum = 0;
  for (let at = 0; at < data.length; at += 2) sum += (data[at]! << 8) | (data[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum ^ 0xffff;
}

/** The sum of the pseudo header of IPv4 or IPv6 goes in front: addresses, size, protocol. */
export function pseudoHeader(addresses: Uint8Array, size: number, proto: number): Uint8Array {
  const rest = Buffer.alloc(8);
  rest.writeUInt32BE(size, 0);
  rest.writeUInt32BE(proto, 4);
  return Buffer.concat([addresses, rest]);
}

/** CRC32c (Castagnoli), bit by bit; SCTP stores it with the lowest byte first. */
export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

/** What a checksum with an error in it becomes when the right one changes: the same error is still in it. */
export function carryError(before: number, rightBefore: number, rightAfter: number): number {
  return (before + rightAfter + (0xffff - rightBefore)) % 0xffff;
}
