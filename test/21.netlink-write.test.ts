/*
 * The builder of attributes, message headers, and the arithmetic of checksums: each alone, in both builds. SEED sets the
 * seed.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { crc32c, internetChecksum } from './reference/checksum.ts';
import { attribute, concat, le32 } from './support/action-list.ts';
import { ActionsInstance, type Build, compileActions } from './support/actions-wasm.ts';
import { Random } from './support/frames.ts';

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2147483647));
const AT = 0x20000;
const SOURCE = 0x30000;

describe.each<Build>(['debug', 'release'])('writing messages, %s build', (build) => {
  let instance: ActionsInstance;
  beforeAll(async () => {
    instance = new ActionsInstance(await compileActions(build));
  });

  /** One attribute of each kind, the last two in a nest; 0 at the first that does not fit. */
  function writeAll(room: number): number {
    const { putU16, putU32, putU64, putAttr, putFlag, nestStart, nestEnd } = instance.exports as Record<
      string,
      (...args: (number | bigint)[]) => number
    >;
    instance.bytes.fill(0xa5, AT, AT + 256);
    instance.bytes.set([1, 2, 3, 4, 5], SOURCE);
    const limit = AT + room;
    let at = putU16!(AT, limit, 1, 0x1234);
    at = putU32!(at, limit, 2, 0x12345678);
    at = putU64!(at, limit, 3, 0x0102030405060708n);
    at = putAttr!(at, limit, 4, SOURCE, 5);
    const nest = at;
    at = nestStart!(nest, limit, 5);
    at = putFlag!(at, limit, 6);
    at = putAttr!(at, limit, 7, SOURCE, 0);
    return nestEnd!(nest, at);
  }

  it('builds a list, padding zeroed', () => {
    const wanted = concat(
      attribute(1, [0x34, 0x12]),
      attribute(2, le32(0x12345678)),
      attribute(3, [8, 7, 6, 5, 4, 3, 2, 1]),
      attribute(4, [1, 2, 3, 4, 5]),
      attribute(5, concat(attribute(6, []), attribute(7, []))),
    );
    expect(writeAll(256) - AT).toBe(wanted.length);
    expect(instance.bytes.slice(AT, AT + wanted.length)).toEqual(wanted);
    expect(instance.bytes[AT + wanted.length]).toBe(0xa5);
  });

  it('goes quiet at the first attribute without room, and writes nothing behind the limit', () => {
    const size = writeAll(256) - AT;
    for (let room = 0; room <= size; room++) {
      expect(writeAll(room)).toBe(room < size ? 0 : AT + size);
      expect(instance.bytes.subarray(AT + room, AT + 256).every((byte) => byte === 0xa5)).toBe(true);
    }
    expect(instance.exports.putAttr!(AT, AT + 0x100000, 1, SOURCE, 65532)).toBe(0);
    expect(instance.exports.putAttr!(AT + 8, AT, 1, SOURCE, 0)).toBe(0);
    expect(instance.exports.nestEnd!(AT, AT + 65536)).toBe(0);
  });

  it('finds the last attribute of a type, inside the bounds', () => {
    const list = concat(attribute(1, [1]), attribute(2, [2]), attribute(1, [3]), Uint8Array.of(200, 0, 1, 0));
    instance.bytes.set(list, AT);
    expect(instance.exports.attrFind!(AT, list.length, 1)).toBe(AT + 16);
    expect(instance.exports.attrFind!(AT, 15, 1)).toBe(AT);
    expect(instance.exports.attrFind!(AT, list.length, 9)).toBe(0);
    expect(instance.exports.attrFind!(AT, 3, 1)).toBe(0);
  });

  it('writes and reads the headers', () => {
    const e = instance.exports;
    instance.bytes.fill(0xa5, AT, AT + 64);
    expect(e.beginMessage!(AT, AT + 23, 28, 5, 1, 2, -3)).toBe(0);
    const attrs = e.beginMessage!(AT, AT + 64, 28, 5, 1, 2, -3);
    expect(attrs).toBe(AT + 24);
    expect(e.endMessage!(AT, 0)).toBe(0);
    expect(e.endMessage!(AT, attrs + 8)).toBe(32);
    e.addressMessage!(AT, 77, 88);
    const hex = Buffer.from(instance.bytes.slice(AT, AT + 24)).toString('hex');
    expect(hex).toBe('200000001c0005004d0000005800000001020000fdffffff');
    const fields = ['Size', 'Family', 'Flags', 'Seq', 'Pid', 'Command', 'Version', 'DpIfindex'];
    expect(fields.map((name) => e[`message${name}`]!(AT))).toEqual([32, 28, 5, 77, 88, 1, 2, -3]);
    expect([23, 31, 32, 33].map((size) => e.checkMessage!(AT, size))).toEqual([0, 0, 1, 1]);
    instance.bytes[AT] = 23;
    expect(e.checkMessage!(AT, 64)).toBe(0);
  });

  it(`follows a change of bytes with both checksums, SEED=${SEED}`, () => {
    const random = new Random(SEED);
    const { applyDelta, applyCrcDifference } = instance.exports as unknown as {
      applyDelta: (check: number, delta: bigint) => number;
      applyCrcDifference: (crc: number, difference: number, size: number) => number;
    };
    for (let n = 0; n < 3000; n++) {
      const before = Buffer.from(random.bytes(4 + random.below(n < 20 ? 3 : 300) * 4));
      const after = Buffer.from(before);
      after.writeUInt32LE(random.oneIn(8) ? random.pick([0, 0xffffffff]) : random.below(4294967296), 0);
      const [old, changed] = [before.readUInt32LE(0), after.readUInt32LE(0)];
      const delta = BigInt(~old >>> 0) + BigInt(changed);
      const swap = (value: number) => ((value & 255) << 8) | (value >>> 8);
      const sum = swap(applyDelta(swap(internetChecksum(before)), delta));
      const wanted = internetChecksum(after);
      // All-zero data has two right answers, 0 and 0xffff.
      if (sum % 0xffff !== wanted % 0xffff) expect(sum).toBe(wanted);
      const crc = applyCrcDifference(crc32c(before), (old ^ changed) | 0, before.length) >>> 0;
      if (crc !== crc32c(after)) expect(crc).toBe(crc32c(after));
    }
  });
});
