/*
 * Hot flows (the option `offload` of AF_XDP ports): XDP programs forward what the datapath would have forwarded, to the same port, and nothing else; and what is
 * counted is the same. One of them is asked with the programs and without (test/support/lab-offload.mjs), and the other end of each wire sees what comes out.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Hits, PortStats } from '../src/datapath/stats.ts';
import type { DatapathStats } from '../src/index.ts';
import { expectAccounted, SEED } from './support/datapath.ts';
import { type Bytes, bytes, ethernet, frames, icmp, ipv4, ipv6, Random, tcp, udp } from './support/frames.ts';
import { runInLab, whyNoLab } from './support/lab.ts';
import { requireProgram } from './support/require.ts';

interface Comparison {
  /** Frames in hexadecimal, sorted, of each wire that they came out of. */
  caught: string[][];
  /** After each round. */
  hits: Hits[];
  stats: DatapathStats;
  ports: PortStats[];
  check: number;
  /** When the datapath was closed. */
  after: Hits;
}

const ROUNDS = 6;
const RANDOM_PLAIN = 600;
const RANDOM_ANY = 600;
const IPV4 = 0x0800;
const FRAME_MAX = 1514;

const TEN = new Uint8Array(10).fill(7);
const plain = (fields: object = {}): Bytes =>
  ethernet(IPV4, ipv4({ proto: 17, ...fields }, udp({ src: 1, dst: 2 }, TEN)));
const segment = (fields: object = {}): Bytes =>
  ethernet(IPV4, ipv4({ proto: 6 }, tcp({ src: 3, dst: 4, ...fields }, TEN)));
const tagged = (...tags: [number, number][]): Bytes =>
  ethernet(IPV4, ipv4({ proto: 17 }, udp({ src: 1, dst: 2 }, TEN)), { tags });

/** Each frame, and whether a program may forward it. */
const CASES: [name: string, frame: Bytes, isPlain: boolean][] = [
  ['UDP', plain(), true],
  ['TCP', segment(), true],
  ['another type of service', plain({ tos: 4 }), true],
  ['another TTL', plain({ ttl: 63 }), true],
  ['may be fragmented', plain({ frag: 0 }), true],
  ['the reserved bit of fragments', plain({ frag: 0x8000 }), true],
  ['another TCP flag', segment({ flags: 0x010 }), true],
  ['a flag in the upper byte', segment({ flags: 0x110 }), true],
  ['TCP options', segment({ options: bytes(1, 1, 1, 0) }), true],
  ['a tag', tagged([0x8100, 5]), true],
  ['another tag', tagged([0x8100, 6]), true],
  ['a tag of a priority', tagged([0x8100, 0x6005]), true],
  ['the tag of VLAN 0', tagged([0x8100, 0]), true],
  ['a tag with the bit that keys set for themselves', tagged([0x8100, 0x1005]), true],
  ['an empty datagram', ethernet(IPV4, ipv4({ proto: 17 }, udp({ src: 1, dst: 2 }, bytes()))), true],
  ['padding', bytes(plain(), 0, 0, 0, 0, 0, 0), true],
  ['a service tag', tagged([0x88a8, 5]), false],
  ['two tags', tagged([0x8100, 5], [0x8100, 6]), false],
  ['the first fragment', plain({ frag: 0x2000 }), false],
  ['a later fragment', plain({ frag: 7 }), false],
  ['IPv4 options', plain({ options: bytes(1, 1, 1, 0) }), false],
  ['a total length behind the end', plain({ totalSize: 60 }), false],
  ['a total length without a UDP header', plain({ totalSize: 27 }), false],
  ['a total length without a TCP header', ethernet(IPV4, ipv4({ proto: 6, totalSize: 39 }, tcp({}, TEN))), false],
  ['a TCP header of four words', segment({ words: 4 }), false],
  ['a TCP header behind the end', segment({ words: 15 }), false],
  ['half a UDP header', ethernet(IPV4, ipv4({ proto: 17 }, bytes(0, 1, 0, 2))), false],
  ['half a TCP header', ethernet(IPV4, ipv4({ proto: 6 }, tcp({}, bytes()).subarray(0, 19))), false],
  ['ICMP', ethernet(IPV4, ipv4({ proto: 1 }, icmp(8, 0, TEN))), false],
  ['IPv6', ethernet(0x86dd, ipv6({ next: 17 }, udp({ src: 1, dst: 2 }, TEN))), false],
  ['another version', bytes(plain().subarray(0, 14), 0x65, plain().subarray(15)), false],
  ['a checksum still to be made', withPseudoSum(plain()), false],
  ['a tag, and a checksum still to be made', withPseudoSum(tagged([0x8100, 5])), false],
];

/** The checksum is the sum of the pseudo header, not complemented, as it is where the sender left the rest to others. UDP. */
function withPseudoSum(frame: Bytes): Bytes {
  const copy = Uint8Array.from(frame);
  const view = new DataView(copy.buffer);
  const at = view.getUint16(12) === IPV4 ? 14 : 18;
  view.setUint16(at + 26, pseudoSum(view, at));
  return copy;
}

/** Of the packet whose IPv4 header is at `at`, without options. */
function pseudoSum(view: DataView, at: number): number {
  let sum = view.getUint8(at + 9) + view.getUint16(at + 2) - 20;
  for (let i = 12; i < 20; i += 2) sum += view.getUint16(at + i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** The same question asked of the bytes, by other code than the program's. */
function isPlain(frame: Bytes): boolean {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  if (frame.length < 42) return false;
  const at = view.getUint16(12) === 0x8100 ? 18 : 14;
  if (view.getUint16(at - 2) !== IPV4 || frame.length < at + 28 || frame[at] !== 0x45) return false;
  if ((view.getUint16(at + 6) & 0x3fff) !== 0) return false;
  const [total, proto] = [view.getUint16(at + 2), frame[at + 9]];
  if (at + total > frame.length) return false;
  if (proto === 17) return total >= 28 && !isPartial(view, at, 6);
  if (proto !== 6 || total < 40) return false;
  const header = (frame[at + 32] >> 4) * 4;
  return header >= 20 && 20 + header <= total && !isPartial(view, at, 16);
}

function isPartial(view: DataView, at: number, offset: number): boolean {
  return view.getUint16(at + 20 + offset) === pseudoSum(view, at);
}

function randomPlain(random: Random): Bytes {
  const proto = random.pick([6, 17]);
  // few values a field: frames that differ in one field only
  const ports = { src: random.below(3), dst: random.below(3) };
  const payload = random.bytes(random.below(40));
  const inner = proto === 6 ? tcp({ ...ports, flags: random.below(4096) }, payload) : udp(ports, payload);
  const fields = {
    proto,
    tos: random.below(3),
    ttl: random.below(3),
    frag: random.pick([0, 0x4000]),
    src: bytes(10, 0, 0, random.below(3)),
    dst: bytes(10, 0, 1, random.below(3)),
  };
  const tags: [number, number][] = random.oneIn(2) ? [] : [[0x8100, random.below(8192)]];
  return ethernet(IPV4, ipv4(fields, inner), {
    dst: bytes(2, 0, 0, 0, 0, random.below(3)),
    src: bytes(2, 0, 0, 0, 1, random.below(3)),
    tags,
  });
}

function corpus(): Bytes[] {
  const random = new Random(SEED);
  const list = CASES.map(([, frame]) => frame);
  for (let i = 0; i < RANDOM_PLAIN; i++) list.push(randomPlain(random));
  for (const frame of frames(SEED)) {
    if (frame.length <= FRAME_MAX) list.push(frame);
    if (list.length === CASES.length + RANDOM_PLAIN + RANDOM_ANY) break;
  }
  return list;
}

const whyNot = whyNoLab() ?? requireProgram('ethtool');

describe.skipIf(whyNot)(`offload${whyNot ? `: ${whyNot}` : ''}`, () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'wdp-offload-'));
  const list = corpus();
  const run = (frameList: Bytes[], offload: 'on' | 'off'): Promise<Comparison> => {
    const file = path.join(folder, `frames-${frameList.length}-${offload}.json`);
    writeFileSync(file, JSON.stringify(frameList.map((frame) => Buffer.from(frame).toString('hex'))));
    return runInLab<Comparison>('lab-offload', 'frames', file, String(ROUNDS), offload);
  };
  let on: Comparison;
  let off: Comparison;
  let few: Comparison;
  beforeAll(async () => {
    off = await run(list, 'off');
    on = await run(list, 'on');
    few = await run(
      CASES.map(([, frame]) => frame),
      'on',
    );
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('says of each case what the bytes say', () => {
    expect(CASES.map(([name, frame]) => [name, isPlain(frame)])).toEqual(CASES.map(([name, , is]) => [name, is]));
  });

  it('sends every frame where it goes without programs, and nothing else anywhere', () => {
    expect(off.caught.flat().length).toBeGreaterThan((list.length * ROUNDS) / 2);
    expect(on.caught).toEqual(off.caught);
  });

  it('forwards all plain frames by programs in the end, and no others', () => {
    const plainFrames = list.filter(isPlain).length;
    const inLastRound = ({ hits }: Comparison): number => hits[ROUNDS - 1].offload - hits[ROUNDS - 2].offload;
    expect(plainFrames).toBeGreaterThan(RANDOM_PLAIN);
    // of many keys three may belong to the same pair of entries
    expect(inLastRound(on)).toBeGreaterThan(0.97 * plainFrames);
    expect(inLastRound(on)).toBeLessThanOrEqual(plainFrames);
    expect(inLastRound(few)).toBe(CASES.filter(([, , isPlainCase]) => isPlainCase).length);
    expect(inLastRound(off)).toBe(0);
  });

  it('counts what it forwards as if workers had', () => {
    expectAccounted(on.stats);
    expect(on.check).toBe(0);
    // how many misses of a new key there are depends on who is faster
    const moved = ({ upcalls, ...rest }: PortStats): object => rest;
    expect(on.ports.map(moved)).toEqual(off.ports.map(moved));
    expect(on.stats.transmitted).toBe(off.stats.transmitted);
    expect(on.after).toEqual(on.stats.hits);
  });

  it('follows the flow and the interfaces', async () => {
    const { outcomes, stats, check } = await runInLab<{
      outcomes: Record<string, unknown>;
      stats: DatapathStats;
      check: number;
    }>('lab-offload', 'changes');
    const seen = (out: number[], offload: number, rest: object = {}) => ({
      out,
      offload,
      drops: {},
      upcalls: 0,
      ...rest,
    });
    expect(outcomes).toMatchObject({
      hot: seen([20, 0, 0], 20),
      counted: { packets: 24, bytes: 24 * 60, size: 60 },
      port: { rxPackets: 24, rxBytes: 24 * 60 },
      changed: seen([0, 20, 0], expect.any(Number) as number),
      hotAgain: seen([0, 20, 0], 20),
      countedOn: 64,
      two: seen([20, 20, 0], 0),
      long: seen([20, 0, 0], 20),
      fits: seen([20, 0, 0], 20),
      tooLong: { offload: 0 },
      noXdpFrames: seen([20, 0, 0], 0),
      described: 'mode native, offload, takes no XDP frames',
      xdpFramesAgain: seen([20, 0, 0], 20),
      down: seen([0, 0, 0], 0, { drops: { txDown: 20 } }),
      up: seen([20, 0, 0], 20),
      removed: seen([0, 0, 0], 0, { drops: { noPort: 20 } }),
      added: seen([20, 0, 0], 20),
      stopped: 20,
      deleted: seen([0, 0, 0], 0, { drops: { flow: 20 }, upcalls: 20 }),
      aged: { kept: true, hot: 20 },
    });
    expectAccounted(stats);
    expect(check).toBe(0);
  });

  it('loses and doubles nothing while flows come, change and go', async () => {
    const churn = await runInLab<{
      sent: number;
      caught: number[];
      ports: PortStats[];
      stats: DatapathStats;
      check: number;
    }>('lab-offload', 'churn', '3');
    expect(churn.stats.hits.offload).toBeGreaterThan(churn.sent / 10);
    expect(churn.stats.received).toBe(churn.sent);
    expect(churn.ports[0].rxPackets).toBe(churn.sent);
    expect(churn.ports.slice(1).map(({ txPackets }) => txPackets)).toEqual(churn.caught);
    expectAccounted(churn.stats);
    expect(churn.check).toBe(0);
  });
});
