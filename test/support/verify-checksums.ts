/*
 * Checks the checksums of an untagged IPv4/UDP frame from scratch: the sum over all words, the checksum's own included, is 0xffff.
 */
function sum(bytes: Uint8Array, before = 0): number {
  let total = before;
  bytes.forEach((byte, i) => {
    total += i % 2 === 0 ? byte << 8 : byte;
  });
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

/** True when the IPv4 header's and the UDP datagram's checksums are right and the sizes say where the frame ends. */
export function verifyChecksums(frame: Uint8Array): boolean {
  const header = frame.subarray(14, 34);
  const datagram = frame.subarray(34);
  const totalSize = (frame[16] << 8) | frame[17];
  const udpSize = (frame[38] << 8) | frame[39];
  const pseudo = sum(frame.subarray(26, 34), 17 + udpSize);
  return (
    sum(header) === 0xffff &&
    sum(datagram, pseudo) === 0xffff &&
    totalSize === frame.length - 14 &&
    udpSize === datagram.length
  );
}
