/*
 * The frames of generators and benchmarks: UDP over IPv4 with right checksums, numbered flows. bench/ovs makes the same bytes for
 * Open vSwitch, so that both are measured with the same traffic.
 *
 * Flow i: 02:00:00:00:00:01 -> 02:00:00:00:00:02, 10.x.y.z -> 11.0.0.1, x.y.z = i; source port 1024 + i % 60000, destination port 4789.
 */

import { parseIpv4 } from '../odp/addresses.ts';
import { readBe32 } from '../odp/layers.ts';

const ETH_SIZE = 14;
const IPV4_SIZE = 20;
const UDP_SIZE = 8;
const FRAME_SIZE_MIN = 60;
const FRAME_SIZE_MAX = 9000;
const IPPROTO_UDP = 17;

/** Bytes a frame: one number, `low-high`, or the simple Internet mix (7 of 60, 4 of 590, 1 of 1514). */
export type FrameSizes = string | number;

/** Where a frame goes: IPv4 addresses as numbers or text, UDP ports. */
export interface UdpTuple {
  src: number | string;
  dst: number | string;
  srcPort: number;
  dstPort: number;
}

export interface FlowTuple extends UdpTuple {
  /** IPv4 addresses as numbers. */
  src: number;
  dst: number;
  srcPort: number;
  dstPort: number;
}

const SRC_BASE = 0x0a000000;
const DST_BASE = 0x0b000000;
const DST_PORT = 4789;

export function flowTuple(i: number): FlowTuple {
  return { src: SRC_BASE + (i & 0xffffff), dst: DST_BASE + 1, srcPort: 1024 + (i % 60000), dstPort: DST_PORT };
}

/** Flow i of a set spread over `subtables` masks: class i % subtables is a bit of the destination address. */
export function classTuple(i: number, subtables: number): FlowTuple {
  return { ...flowTuple(i), dst: DST_BASE + 2 ** (i % subtables) };
}

/** A frame of `size` bytes, FCS not included. */
export function udpFrame(tuple: UdpTuple, size = FRAME_SIZE_MIN): Uint8Array {
  const frame = new Uint8Array(size);
  const view = new DataView(frame.buffer);
  frame.set([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45]);
  view.setUint16(ETH_SIZE + 2, size - ETH_SIZE);
  frame[ETH_SIZE + 8] = 64;
  frame[ETH_SIZE + 9] = IPPROTO_UDP;
  view.setUint32(ETH_SIZE + 12, address(tuple.src));
  view.setUint32(ETH_SIZE + 16, address(tuple.dst));
  view.setUint16(ETH_SIZE + 10, checksum(view, ETH_SIZE, ETH_SIZE + IPV4_SIZE, 0));
  const udp = ETH_SIZE + IPV4_SIZE;
  const udpSize = size - udp;
  view.setUint16(udp, tuple.srcPort);
  view.setUint16(udp + 2, tuple.dstPort);
  view.setUint16(udp + 4, udpSize);
  // the addresses stand right before the datagram: one sum covers the pseudo-header and it
  view.setUint16(udp + 6, checksum(view, udp - UDP_SIZE, size, IPPROTO_UDP + udpSize) || 0xffff);
  return frame;
}

function address(ip: number | string): number {
  return typeof ip === 'number' ? ip : readBe32(parseIpv4(ip), 0);
}

function checksum(view: DataView, from: number, to: number, before: number): number {
  let sum = before;
  for (let at = from; at + 1 < to; at += 2) sum += view.getUint16(at);
  if ((to - from) % 2 === 1) sum += view.getUint8(to - 1) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

export interface SizeRange {
  low: number;
  high: number;
  mix: boolean;
}

/** Parses `60`, `60-1514` or `imix`. Throws RangeError for anything else. */
export function parseSizes(sizes: FrameSizes): SizeRange {
  if (sizes === 'imix') return { low: FRAME_SIZE_MIN, high: 1514, mix: true };
  const [low, high = low] = String(sizes).split('-').map(Number);
  if (
    !(Number.isInteger(low) && Number.isInteger(high) && low >= FRAME_SIZE_MIN && low <= high && high <= FRAME_SIZE_MAX)
  ) {
    throw new RangeError(`size must be ${FRAME_SIZE_MIN} to ${FRAME_SIZE_MAX}, a range of them, or imix; not ${sizes}`);
  }
  return { low, high, mix: false };
}

/** Size of frame i. */
export function sizeOf(range: SizeRange, i: number, seed: number): number {
  const random = mix32(i ^ Math.imul(seed, 0x9e3779b1));
  if (range.mix) return [60, 590, 1514][random % 12 < 7 ? 0 : random % 12 < 11 ? 1 : 2];
  return range.low + (random % (range.high - range.low + 1));
}

/** 0 .. count - 1 in an order that follows from the seed (Fisher and Yates). */
export function shuffled(count: number, seed: number): number[] {
  const order = Array.from({ length: count }, (_, i) => i);
  let state = seed >>> 0;
  for (let i = count - 1; i > 0; i--) {
    state = (state + 0x9e3779b9) >>> 0;
    const j = mix32(state) % (i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** A well-mixing permutation of 32-bit numbers (the finaliser of MurmurHash3, Appleby). */
function mix32(n: number): number {
  let h = n >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
