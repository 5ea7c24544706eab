/*
 * Capture files built byte by byte, for the tests of the reader: every variant of both formats, right or wrong.
 *
 * Written from the format descriptions and apart from src/pcap, so that a mistake there is not repeated here.
 */

export interface SamplePacket {
  timeNs: bigint;
  wireSize: number;
  data: Uint8Array;
}

export function concat(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** Numbers one after another, each with its size in bytes: [value, size]. */
export function pack(littleEndian: boolean, ...fields: [number | bigint, 1 | 2 | 4 | 8][]): Uint8Array {
  const bytes = new Uint8Array(fields.reduce((sum, [, size]) => sum + size, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [value, size] of fields) {
    if (size === 1) view.setUint8(at, Number(value));
    else if (size === 2) view.setUint16(at, Number(value), littleEndian);
    else if (size === 4) view.setUint32(at, Number(value), littleEndian);
    else view.setBigInt64(at, BigInt(value), littleEndian);
    at += size;
  }
  return bytes;
}

// ------------------------------------------------------------------------------------------------- pcap

export interface ClassicShape {
  littleEndian?: boolean;
  magic?: number;
  major?: number;
  network?: number;
}

export function classicHeader(shape: ClassicShape = {}): Uint8Array {
  const { littleEndian = true, magic = 0xa1b23c4d, major = 2, network = 1 } = shape;
  return pack(littleEndian, [magic, 4], [major, 2], [4, 2], [0, 4], [0, 4], [262144, 4], [network, 4]);
}

export function classicRecord(packet: SamplePacket, littleEndian = true, nsPerTick = 1): Uint8Array {
  const seconds = packet.timeNs / 1_000_000_000n;
  const ticks = (packet.timeNs % 1_000_000_000n) / BigInt(nsPerTick);
  const head = pack(littleEndian, [seconds, 4], [ticks, 4], [packet.data.length, 4], [packet.wireSize, 4]);
  return concat(head, packet.data);
}

export function classicFile(packets: readonly SamplePacket[], littleEndian: boolean, nsPerTick: 1 | 1000): Uint8Array {
  const header = classicHeader({ littleEndian, magic: nsPerTick === 1 ? 0xa1b23c4d : 0xa1b2c3d4 });
  return concat(header, ...packets.map((packet) => classicRecord(packet, littleEndian, nsPerTick)));
}

// ------------------------------------------------------------------------------------------------- pcapng

export function block(littleEndian: boolean, type: number, body: Uint8Array): Uint8Array {
  const padding = new Uint8Array((4 - (body.length % 4)) % 4);
  const size = 12 + body.length + padding.length;
  return concat(pack(littleEndian, [type, 4], [size, 4]), body, padding, pack(littleEndian, [size, 4]));
}

export function sectionBlock(littleEndian = true, major = 1): Uint8Array {
  return block(littleEndian, 0x0a0d0d0a, pack(littleEndian, [0x1a2b3c4d, 4], [major, 2], [0, 2], [-1n, 8]));
}

export function option(littleEndian: boolean, code: number, value: Uint8Array): Uint8Array {
  const padding = new Uint8Array((4 - (value.length % 4)) % 4);
  return concat(pack(littleEndian, [code, 2], [value.length, 2]), value, padding);
}

export interface InterfaceShape {
  littleEndian?: boolean;
  linkType?: number;
  snapSize?: number;
  resolution?: number;
  offsetSeconds?: bigint;
}

export function interfaceBlock(shape: InterfaceShape = {}): Uint8Array {
  const { littleEndian = true, linkType = 1, snapSize = 0, resolution, offsetSeconds } = shape;
  const parts = [pack(littleEndian, [linkType, 2], [0, 2], [snapSize, 4])];
  parts.push(option(littleEndian, 2, new TextEncoder().encode('eth0')));
  if (resolution !== undefined) parts.push(option(littleEndian, 9, Uint8Array.of(resolution)));
  if (offsetSeconds !== undefined) parts.push(option(littleEndian, 14, pack(littleEndian, [offsetSeconds, 8])));
  parts.push(pack(littleEndian, [0, 4]));
  return block(littleEndian, 1, concat(...parts));
}

/** `ticks` is the time in the unit of the interface. */
export function enhancedBlock(packet: SamplePacket, ticks: bigint, id = 0, littleEndian = true): Uint8Array {
  const head = pack(littleEndian, [id, 4], [ticks >> 32n, 4], [ticks & 0xffffffffn, 4]);
  return block(littleEndian, 6, concat(head, packetBody(packet, littleEndian)));
}

export function obsoleteBlock(packet: SamplePacket, ticks: bigint, id = 0, littleEndian = true): Uint8Array {
  const head = pack(littleEndian, [id, 2], [7, 2], [ticks >> 32n, 4], [ticks & 0xffffffffn, 4]);
  return block(littleEndian, 2, concat(head, packetBody(packet, littleEndian)));
}

export function simpleBlock(packet: SamplePacket, littleEndian = true): Uint8Array {
  return block(littleEndian, 3, concat(pack(littleEndian, [packet.wireSize, 4]), packet.data));
}

function packetBody(packet: SamplePacket, littleEndian: boolean): Uint8Array {
  const padding = new Uint8Array((4 - (packet.data.length % 4)) % 4);
  const comment = option(littleEndian, 1, new TextEncoder().encode('a comment'));
  const sizes = pack(littleEndian, [packet.data.length, 4], [packet.wireSize, 4]);
  return concat(sizes, packet.data, padding, comment, pack(littleEndian, [0, 4]));
}
