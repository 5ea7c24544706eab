/*
 * Capture files: what the reader gives for every variant of both formats, what it says of damaged ones, and what the
 * writer writes. The files are built byte by byte in test/support/pcap-bytes.ts; 10.pcap-oracles holds them against other
 * programs.
 */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import {
  encodePcap,
  PcapError,
  PcapReader,
  type PcapRecord,
  PcapWriter,
  parsePcap,
  readPcap,
} from '../src/pcap/index.ts';
import {
  block,
  classicFile,
  classicHeader,
  classicRecord,
  concat,
  enhancedBlock,
  interfaceBlock,
  obsoleteBlock,
  pack,
  type SamplePacket,
  sectionBlock,
  simpleBlock,
} from './support/pcap-bytes.ts';
import { plain, readFilePlain } from './support/pcap-read.ts';

const folder = mkdtempSync(join(tmpdir(), 'pcap-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 0x7fffffff));
console.log(`10.pcap: SEED=${seed}`);

/** A small generator of pseudo-random integers (mulberry32). */
function randomSource(start: number): (below: number) => number {
  let state = start >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

function samplePackets(count: number): SamplePacket[] {
  const random = randomSource(seed);
  return Array.from({ length: count }, (_, index) => {
    const data = Uint8Array.from({ length: random(index % 10 === 0 ? 3000 : 100) }, () => random(256));
    const timeNs = 1_700_000_000_000_000_000n + BigInt(index) * 1_234_567_000n;
    return { timeNs, wireSize: data.length + (index % 3 === 0 ? random(1000) : 0), data };
  });
}

const packets = samplePackets(50);

function sameRecord(one: PcapRecord, other: PcapRecord): boolean {
  return one.timeNs === other.timeNs && one.wireSize === other.wireSize && Buffer.compare(one.data, other.data) === 0;
}

/** toEqual takes seconds for thousands of typed arrays. */
function expectSame(records: readonly PcapRecord[], expected: readonly PcapRecord[]): void {
  expect(records.length).toBe(expected.length);
  expect(records.findIndex((record, index) => !sameRecord(record, expected[index]))).toBe(-1);
}

/** The packets before the error, and the error. */
function readUntilError(bytes: Uint8Array, lenient = false): { records: PcapRecord[]; error: PcapError | undefined } {
  const records: PcapRecord[] = [];
  try {
    for (const record of parsePcap(bytes, { lenient }, 'bad.pcap')) records.push(record);
  } catch (error) {
    if (!(error instanceof PcapError)) throw error;
    return { records, error };
  }
  return { records, error: undefined };
}

describe('pcap, the classic format', () => {
  for (const littleEndian of [true, false]) {
    for (const nsPerTick of [1, 1000] as const) {
      test(`${littleEndian ? 'little' : 'big'}-endian, ${nsPerTick === 1 ? 'nano' : 'micro'}seconds`, () => {
        const { linkType, format, records } = readPcap(classicFile(packets, littleEndian, nsPerTick));
        expect({ linkType, format }).toEqual({ linkType: 1, format: 'pcap' });
        expect(plain(records)).toEqual(packets);
      });
    }
  }

  test('a frame check sequence kept by the capture is taken off', () => {
    const packet = { timeNs: 5n, wireSize: 64, data: new Uint8Array(64).fill(1) };
    const cut = { timeNs: 6n, wireSize: 1000, data: new Uint8Array(64).fill(2) };
    const bytes = concat(classicHeader({ network: 0x24000001 }), classicRecord(packet), classicRecord(cut));
    const [first, second] = readPcap(bytes).records;
    expect([first.wireSize, first.data.length, second.wireSize, second.data.length]).toEqual([60, 60, 996, 64]);
  });

  test('a file with a header and no packets is an empty capture', () => {
    expect(readPcap(classicHeader()).records).toEqual([]);
  });
});

describe('pcapng', () => {
  for (const littleEndian of [true, false]) {
    test(`enhanced, obsolete and simple packets, ${littleEndian ? 'little' : 'big'}-endian`, () => {
      const [one, two, three] = packets;
      const whole = { ...three, wireSize: three.data.length };
      const bytes = concat(
        sectionBlock(littleEndian),
        interfaceBlock({ littleEndian }),
        enhancedBlock(one, one.timeNs / 1000n, 0, littleEndian),
        obsoleteBlock(two, two.timeNs / 1000n, 0, littleEndian),
        simpleBlock(whole, littleEndian),
      );
      const { format, records } = readPcap(bytes);
      expect(format).toBe('pcapng');
      expect(plain(records)).toEqual([one, two, { ...whole, timeNs: 0n }]);
    });
  }

  test('a simple packet is cut to the snap length of the first interface', () => {
    const kept = Uint8Array.of(1, 2, 3, 4, 5);
    const packet = { timeNs: 0n, wireSize: 900, data: kept };
    const bytes = concat(sectionBlock(), interfaceBlock({ snapSize: 5 }), simpleBlock(packet));
    expect(plain(readPcap(bytes).records)).toEqual([packet]);
  });

  test('several sections in either byte order, several interfaces, unknown blocks stepped over', () => {
    const parts: Uint8Array[] = [];
    const expected: SamplePacket[] = [];
    for (const littleEndian of [true, false, false, true]) {
      parts.push(
        sectionBlock(littleEndian),
        interfaceBlock({ littleEndian }),
        block(littleEndian, 0xbad, new Uint8Array(7)),
      );
      parts.push(interfaceBlock({ littleEndian, resolution: 9 }), block(littleEndian, 5, new Uint8Array(12)));
      for (const [index, packet] of packets.slice(0, 6).entries()) {
        const ticks = index % 2 === 1 ? packet.timeNs : packet.timeNs / 1000n;
        parts.push(enhancedBlock(packet, ticks, index % 2, littleEndian));
        expected.push(packet);
      }
    }
    expect(plain(readPcap(concat(...parts)).records)).toEqual(expected);
  });

  test.each([
    [0, 0n, 12n, 12_000_000_000n],
    [3, 0n, 1500n, 1_500_000_000n],
    [6, 0n, 1_500_001n, 1_500_001_000n],
    [9, 0n, 1_500_001n, 1_500_001n],
    [12, 0n, 1_500_999n, 1500n],
    [0x80 | 1, 0n, 3n, 1_500_000_000n],
    [0x80 | 10, 0n, 1536n, 1_500_000_000n],
    [0x80 | 32, 0n, 1n << 32n, 1_000_000_000n],
    [6, 100n, 1n, 100_000_001_000n],
    [6, -5n, 7_000_000n, 2_000_000_000n],
  ])('if_tsresol %i and if_tsoffset %i turn %i into %i ns', (resolution, offsetSeconds, ticks, timeNs) => {
    const packet = { timeNs, wireSize: 3, data: Uint8Array.of(1, 2, 3) };
    const bytes = concat(sectionBlock(), interfaceBlock({ resolution, offsetSeconds }), enhancedBlock(packet, ticks));
    expect(plain(readPcap(bytes).records)).toEqual([packet]);
  });
});

describe('reading in pieces', () => {
  test('a file longer than one chunk gives the same as its bytes at once, in batches', async () => {
    const many = samplePackets(5000);
    const path = join(folder, 'long.pcap');
    writeFileSync(path, classicFile(many, true, 1));
    expect(statSync(path).size).toBeGreaterThan(2 * 262144);
    expectSame(await readFilePlain(path), many);
    const reader = await PcapReader.open(path);
    const sizes: number[] = [];
    for await (const batch of reader.batches()) sizes.push(batch.length);
    expect(sizes.length).toBeGreaterThan(2);
    expect(Math.min(...sizes)).toBeGreaterThan(0);
    await reader.close();
    expect(await reader.nextBatch()).toBeUndefined();
  });

  test('a chunk that was handed out is not written to again', async () => {
    const path = join(folder, 'long.pcap');
    const reader = await PcapReader.open(path);
    const first = (await reader.nextBatch()) ?? [];
    const before = plain(first);
    while ((await reader.nextBatch()) !== undefined);
    expectSame(first, before);
    await reader.close();
  });

  test('leaving the loop early closes the file', async () => {
    const reader = await PcapReader.open(join(folder, 'long.pcap'));
    for await (const record of reader) {
      expect(record.timeNs).toBe(packets[0].timeNs);
      break;
    }
    await reader.close();
    expect(await reader.nextBatch()).toBeUndefined();
  });
});

const goodClassic = concat(classicHeader(), classicRecord(packets[1]), classicRecord(packets[2]));
const goodPcapng = concat(
  sectionBlock(),
  interfaceBlock(),
  enhancedBlock(packets[1], 1n),
  enhancedBlock(packets[2], 2n),
);
const longRecord = pack(true, [0, 4], [0, 4], [262145, 4], [262145, 4]);
const lyingWireSize = pack(true, [0, 4], [0, 4], [60, 4], [59, 4]);

/** Bytes with some of them replaced by a 32-bit little-endian number. */
function patched(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  new DataView(copy.buffer).setUint32(at < 0 ? bytes.length + at : at, value, true);
  return copy;
}

describe('bad files', () => {
  const enhanced = concat(sectionBlock(), interfaceBlock());
  test.each<[string, Uint8Array, string, number, RegExp]>([
    ['no bytes', new Uint8Array(0), 'ERR_PCAP_EMPTY', 0, /the file is empty/],
    ['three bytes', Uint8Array.of(0xd4, 0xc3, 0xb2), 'ERR_PCAP_TRUNCATED', 0, /inside its first four bytes/],
    ['half a header', classicHeader().subarray(0, 12), 'ERR_PCAP_TRUNCATED', 0, /inside the file header/],
    ['half a section header', sectionBlock().subarray(0, 16), 'ERR_PCAP_TRUNCATED', 0, /inside its section header/],
    ['no interface', sectionBlock(), 'ERR_PCAP_TRUNCATED', 28, /before its first interface/],
    ['unknown magic', new TextEncoder().encode('hello, world, this is no capture'), 'ERR_PCAP_MAGIC', 0, /68656c6c/],
    ['modified pcap', classicHeader({ magic: 0xa1b2cd34 }), 'ERR_PCAP_MAGIC', 0, /'modified' pcap.*editcap -F pcap/],
    ['modified pcap, swapped', classicHeader({ magic: 0x34cdb2a1 }), 'ERR_PCAP_MAGIC', 0, /'modified' pcap/],
    ['gzip', Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0), 'ERR_PCAP_MAGIC', 0, /gzip.*gunzip/],
    ['unknown version', classicHeader({ major: 3 }), 'ERR_PCAP_MAGIC', 4, /version 3\.4/],
    ['unknown pcapng version', sectionBlock(true, 2), 'ERR_PCAP_MAGIC', 12, /version 2\.0/],
    ['wrong byte-order magic', patched(sectionBlock(), 8, 0x12345678), 'ERR_PCAP_MAGIC', 8, /byte-order magic/],
    ['cooked Linux packets', classicHeader({ network: 113 }), 'ERR_PCAP_LINK_TYPE', 20, /113 \(LINUX_SLL\)/],
    ['raw IP packets', classicHeader({ network: 101 }), 'ERR_PCAP_LINK_TYPE', 20, /101 \(RAW\)/],
    ['link type without a name', classicHeader({ network: 4711 }), 'ERR_PCAP_LINK_TYPE', 20, /link type 4711,/],
    [
      'interface of another link type',
      concat(enhanced, interfaceBlock({ linkType: 276 })),
      'ERR_PCAP_LINK_TYPE',
      68,
      /276/,
    ],
    ['packet over the limit', concat(classicHeader(), longRecord), 'ERR_PCAP_RECORD', 32, /262145.*262144/],
    ['wire size below captured', concat(classicHeader(), lyingWireSize), 'ERR_PCAP_RECORD', 32, /only 59/],
    [
      'block length 8',
      concat(enhanced, pack(true, [6, 4], [8, 4], [8, 4])),
      'ERR_PCAP_RECORD',
      64,
      /block length of 8/,
    ],
    ['block length 33', concat(enhanced, pack(true, [6, 4], [33, 4], [0, 4])), 'ERR_PCAP_RECORD', 64, /length of 33/],
    ['endless block', concat(enhanced, pack(true, [6, 4], [2 ** 31, 4], [0, 4])), 'ERR_PCAP_RECORD', 64, /2147483648/],
    ['lengths that differ', patched(goodPcapng, -4, 36), 'ERR_PCAP_RECORD', goodPcapng.length - 4, /repeated as 36/],
    ['packet block too short', concat(enhanced, block(true, 6, new Uint8Array(16))), 'ERR_PCAP_RECORD', 64, /28 bytes/],
    [
      'simple packet too long',
      concat(enhanced, block(true, 3, pack(true, [99, 4]))),
      'ERR_PCAP_RECORD',
      72,
      /99 bytes/,
    ],
    ['unknown interface', concat(enhanced, enhancedBlock(packets[1], 0n, 1)), 'ERR_PCAP_RECORD', 68, /interface 1/],
    ['data over its block', patched(goodPcapng, 80, 9999), 'ERR_PCAP_RECORD', 88, /9999 bytes in a block/],
    ['option over its block', concat(sectionBlock(), longOption()), 'ERR_PCAP_RECORD', 44, /option 9 of 200 bytes/],
  ])('%s', async (name, bytes, code, offset, text) => {
    const { error } = readUntilError(bytes);
    expect({ code: error?.code, offset: error?.offset, file: error?.file }).toEqual({ code, offset, file: 'bad.pcap' });
    expect(error?.message).toMatch(text);
    expect(() => readPcap(bytes)).toThrow(PcapError);
    const path = join(folder, `${name.replaceAll(/\W/g, '-')}.pcap`);
    writeFileSync(path, bytes);
    await expect(readFilePlain(path)).rejects.toMatchObject({ code, offset, file: path });
  });

  function longOption(): Uint8Array {
    return block(true, 1, concat(pack(true, [1, 2], [0, 2], [0, 4]), pack(true, [9, 2], [200, 2])));
  }

  test('a packet of exactly the limit is read', () => {
    const packet = { timeNs: 1n, wireSize: 262144, data: new Uint8Array(262144).fill(7) };
    expect(readPcap(concat(classicHeader(), classicRecord(packet))).records[0].data.length).toBe(262144);
  });

  for (const [name, bytes] of [
    ['pcap', goodClassic],
    ['pcapng', goodPcapng],
  ] as const) {
    test(`${name} cut at every length: the packets before the cut, then the error; lenient: no error`, () => {
      const whole = plain(readPcap(bytes).records);
      const seen = new Set<string>();
      for (let size = 1; size < bytes.length; size += 1) {
        const { records, error } = readUntilError(bytes.subarray(0, size));
        if (records.some((record, index) => !sameRecord(record, whole[index]))) throw new Error(`cut at ${size}`);
        if (error !== undefined) {
          expect(error.code).toBe('ERR_PCAP_TRUNCATED');
          expect(error.recordCount).toBe(records.length);
        }
        seen.add(`${records.length} ${error?.code ?? 'ended'}`);
        const lenient = readUntilError(bytes.subarray(0, size), true);
        expect(lenient.records.length).toBe(records.length);
        if (error !== undefined && lenient.error !== undefined) expect(records.length).toBe(0);
      }
      expect([...seen].sort()).toEqual(['0 ERR_PCAP_TRUNCATED', '0 ended', '1 ERR_PCAP_TRUNCATED', '1 ended'].sort());
    });
  }

  test('lenient reading believes the captured size', () => {
    const bytes = concat(classicHeader(), lyingWireSize, new Uint8Array(60));
    expect(readPcap(bytes, { lenient: true }).records[0].wireSize).toBe(60);
  });

  test('a file that is not there, and a folder', async () => {
    const missing = join(folder, 'missing.pcap');
    await expect(PcapReader.open(missing)).rejects.toMatchObject({ code: 'ERR_PCAP_FILE', file: missing });
    await expect(PcapReader.open(folder)).rejects.toMatchObject({ code: 'ERR_PCAP_FILE' });
    expect(() => PcapWriter.create(join(folder, 'no', 'such.pcap'))).toThrow(/cannot be created/);
  });

  test('20,000 files with random damage give packets or a PcapError, nothing else', () => {
    const random = randomSource(seed + 1);
    const sources = [goodClassic, goodPcapng, classicFile(packets.slice(0, 5), false, 1000)];
    for (let round = 0; round < 20_000; round += 1) {
      const bytes = Uint8Array.from(sources[round % sources.length]);
      for (let count = 1 + random(3); count > 0; count -= 1) bytes[random(Math.min(bytes.length, 200))] = random(256);
      const { records } = readUntilError(bytes, round % 2 === 0);
      if (records.some((record) => record.wireSize < record.data.length)) throw new Error(`round ${round}`);
    }
  });
});

function packet(timeNs: bigint, size: number): PcapRecord {
  return { timeNs, wireSize: size, data: new Uint8Array(size).fill(size) };
}

describe('the writer', () => {
  test.each(['ns', 'us'] as const)('reads back what it wrote, in %s', async (precision) => {
    const path = join(folder, `written-${precision}.pcap`);
    const many = samplePackets(5000);
    const writer = PcapWriter.create(path, { precision });
    for (const record of many) writer.write(record);
    writer.close();
    writer.close();
    expect(writer.recordCount).toBe(5000);
    expectSame(await readFilePlain(path), many);
    expect(Buffer.compare(readFileSync(path), encodePcap(many, { precision }))).toBe(0);
  });

  test('what was flushed can be read while the file is still open', async () => {
    const path = join(folder, 'open.pcap');
    using writer = PcapWriter.create(path);
    writer.write(packet(1n, 3));
    writer.flush();
    writer.write(packet(2n, 1));
    expect(await readFilePlain(path)).toEqual([packet(1n, 3)]);
  });

  test('cuts packets to snapSize and notes the size on the wire', () => {
    const bytes = encodePcap(packets, { snapSize: 20 });
    for (const [index, record] of readPcap(bytes).records.entries()) {
      expect(record.wireSize).toBe(packets[index].wireSize);
      expect(Uint8Array.from(record.data)).toEqual(packets[index].data.slice(0, 20));
    }
  });

  test('refuses what the format cannot hold', () => {
    const path = join(folder, 'refused.pcap');
    const writer = PcapWriter.create(path);
    writer.write(packet(0n, 262144));
    writer.write(packet((1n << 32n) * 1_000_000_000n - 1n, 0));
    expect(() => writer.write(packet(0n, 262145))).toThrow(expect.objectContaining({ code: 'ERR_PCAP_RECORD' }));
    expect(() => writer.write(packet((1n << 32n) * 1_000_000_000n, 1))).toThrow(/1970 to 2106/);
    expect(() => writer.write(packet(-1n, 1))).toThrow(/1970 to 2106/);
    expect(() => writer.write({ ...packet(0n, 2), wireSize: 1 })).toThrow(/2 bytes \(1 on the wire\)/);
    writer.close();
    expect(() => writer.write(packet(0n, 1))).toThrow(TypeError);
    expect(() => PcapWriter.create(path, { snapSize: 0 })).toThrow(TypeError);
    expect(readPcap(new Uint8Array(readFileSync(path))).records.length).toBe(2);
  });
});
