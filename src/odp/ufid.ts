/*
 * UFID: the 128-bit identity of a flow, and its text `ufid:` and a UUID.
 *
 * Open vSwitch hashes the key's attributes with a basis that is new in every process, so its UFIDs cannot be compared between
 * processes. Ours are the same everywhere: MurmurHash3 x86_128 with seed 0 over the canonical key attributes (encodeKeyAttributes),
 * its four 32-bit words in little-endian order. In text each of the four words is a number, as in Open vSwitch.
 */

import { TextScanner } from './scanner.ts';

export const UFID_SIZE = 16;
const UUID = /ufid:([0-9a-fA-F]{8})-([0-9a-fA-F]{4})-([0-9a-fA-F]{4})-([0-9a-fA-F]{4})-([0-9a-fA-F]{12})/y;

const C1 = 0x239b961b;
const C2 = 0xab0e9789;
const C3 = 0x38b34ae5;
const C4 = 0xa1e38b93;
const BLOCK_SIZE = 16;

function rotate(value: number, count: number): number {
  return (value << count) | (value >>> (32 - count));
}

function finish(value: number): number {
  let h = value ^ (value >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** Constants of the four lanes: multipliers, rotations of the word and of the lane, and what is added. */
const LANES: readonly (readonly [number, number, number, number, number])[] = [
  [C1, C2, 15, 19, 0x561ccd1b],
  [C2, C3, 16, 17, 0x0bcaa747],
  [C3, C4, 17, 15, 0x96cd1c35],
  [C4, C1, 18, 13, 0x32ac3b17],
];

/** MurmurHash3 x86_128 of some bytes: 16 bytes. */
export function murmur128(bytes: Uint8Array, seed = 0): Uint8Array {
  const h = [seed, seed, seed, seed];
  const word = (at: number, end: number) => {
    let value = 0;
    for (let i = Math.min(at + 4, end) - 1; i >= at; i--) value = (value << 8) | bytes[i];
    return value;
  };
  const mixed = (value: number, lane: number) => {
    const [first, second, turn] = LANES[lane];
    return Math.imul(rotate(Math.imul(value, first), turn), second);
  };
  const whole = bytes.length - (bytes.length % BLOCK_SIZE);
  for (let at = 0; at < whole; at += BLOCK_SIZE) {
    for (let lane = 0; lane < 4; lane++) {
      const [, , , turn, added] = LANES[lane];
      h[lane] = rotate(h[lane] ^ mixed(word(at + 4 * lane, whole), lane), turn);
      h[lane] = (Math.imul(h[lane] + h[(lane + 1) % 4], 5) + added) | 0;
    }
  }
  for (let lane = 0; lane < 4; lane++) h[lane] ^= mixed(word(whole + 4 * lane, bytes.length), lane);
  for (let lane = 0; lane < 4; lane++) h[lane] ^= bytes.length;
  mixLanes(h);
  for (let lane = 0; lane < 4; lane++) h[lane] = finish(h[lane]);
  mixLanes(h);
  const view = new DataView(new ArrayBuffer(UFID_SIZE));
  for (const [lane, value] of h.entries()) view.setUint32(4 * lane, value >>> 0, true);
  return new Uint8Array(view.buffer);
}

function mixLanes(h: number[]): void {
  h[0] = (h[0] + h[1] + h[2] + h[3]) | 0;
  for (let lane = 1; lane < 4; lane++) h[lane] = (h[lane] + h[0]) | 0;
}

/** UFID of a flow: 16 bytes for the canonical attributes of its key. Equal keys give equal UFIDs, in any process. */
export function flowUfid(keyAttributes: Uint8Array): Uint8Array {
  return murmur128(keyAttributes);
}

/** `ufid:` and the UUID of 16 bytes. Throws RangeError on another size. */
export function formatUfid(ufid: Uint8Array): string {
  if (ufid.length !== UFID_SIZE) throw new RangeError(`a UFID has ${UFID_SIZE} bytes, not ${ufid.length}`);
  const view = new DataView(ufid.buffer, ufid.byteOffset, UFID_SIZE);
  const [a, b, c, d] = [0, 4, 8, 12].map((at) => view.getUint32(at, true).toString(16).padStart(8, '0'));
  return `ufid:${a}-${b.slice(0, 4)}-${b.slice(4)}-${c.slice(0, 4)}-${c.slice(4)}${d}`;
}

/** Reads what formatUfid writes if it comes next; throws OdpSyntaxError for `ufid:` without a UUID. */
export function scanUfid(scanner: TextScanner): Uint8Array | undefined {
  const start = scanner.position;
  if (!scanner.peek('ufid:')) return undefined;
  const text = scanner.match(UUID);
  if (text === undefined) throw scanner.error('ufid: and a UUID', start);
  const digits = text.slice('ufid:'.length).replaceAll('-', '');
  const view = new DataView(new ArrayBuffer(UFID_SIZE));
  for (let at = 0; at < UFID_SIZE; at += 4)
    view.setUint32(at, Number.parseInt(digits.slice(2 * at, 2 * at + 8), 16), true);
  return new Uint8Array(view.buffer);
}

/** The 16 bytes of UFID text. Throws OdpSyntaxError. */
export function parseUfid(text: string): Uint8Array {
  const scanner = new TextScanner(text);
  const ufid = scanUfid(scanner);
  if (ufid === undefined || !scanner.done) throw scanner.error('ufid: and a UUID, and nothing else');
  return ufid;
}
