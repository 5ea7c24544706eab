/*
 * Attributes and messages in TypeScript against python3's struct: the bytes that the builder writes, what the cursors read, in good input and in
 * input cut or changed anywhere. Then the list of bad input, one by one, with the errors that it gets.
 */
import { describe, expect, it } from 'vitest';
import { AttributeBuilder, AttributeCursor } from '../src/netlink/attributes.ts';
import { MessageBuffer } from '../src/netlink/buffer.ts';
import * as K from '../src/netlink/constants.ts';
import { beginGenericMessage, beginMessage, endMessage, MessageCursor } from '../src/netlink/message.ts';
import { SEED } from './support/datapath.ts';
import { Random } from './support/frame-generator.ts';
import {
  askPython,
  buildRows,
  randomRows,
  readRows,
  type Walked,
  type WalkedMessages,
  walkOurs,
} from './support/netlink-oracle.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const malformed = (attributeOffset: number, attributeType?: number) =>
  expect.objectContaining({ code: 'ERR_NETLINK_MALFORMED', attributeOffset, attributeType });

function builtBytes(write: (builder: AttributeBuilder) => void): Uint8Array {
  const buffer = new MessageBuffer();
  const builder = new AttributeBuilder(buffer);
  write(builder);
  builder.finish();
  return buffer.bytes.slice();
}

/** Changes a few bytes, mostly of sizes, and cuts or adds some at the end. */
function mutate(random: Random, bytes: Uint8Array): Uint8Array {
  const changed = bytes.slice(0, random.oneIn(3) ? random.below(bytes.length + 1) : bytes.length);
  for (let count = random.below(4); count > 0 && changed.length > 0; count--) {
    changed[random.below(changed.length)] = random.pick([0, 1, 2, 3, 4, 5, 8, 0x7f, 0xff, random.below(256)]);
  }
  return random.oneIn(4) ? Uint8Array.of(...changed, ...random.bytes(random.below(8))) : changed;
}

describe('attributes beside python3', () => {
  const random = new Random(SEED);
  const cases = Array.from({ length: 600 }, () => randomRows(random));
  const built = cases.map((rows) => builtBytes((builder) => buildRows(builder, rows)));

  it(`are written byte for byte as by struct.pack, SEED=${SEED}`, () => {
    const theirs = askPython<{ hex: string }>(cases.map((build) => ({ build })));
    expect(built.map((bytes) => hex(bytes))).toEqual(theirs.map((answer) => answer.hex));
  });

  it(`are read back as they were given, SEED=${SEED}`, () => {
    for (const [index, rows] of cases.entries()) {
      const cursor = new AttributeCursor(built[index]);
      expect(readRows(cursor, rows)).toEqual(rows);
      cursor.check();
    }
  });

  it(`are walked alike when they are cut and changed, SEED=${SEED}`, () => {
    const inputs = built.concat(...Array.from({ length: 5 }, () => built.map((bytes) => mutate(random, bytes))));
    const theirs = askPython<Walked>(inputs.map((bytes) => ({ walk: hex(bytes) })));
    for (const [index, bytes] of inputs.entries()) {
      const cursor = new AttributeCursor(bytes);
      expect(walkOurs(cursor, bytes.length), hex(bytes)).toEqual(theirs[index]);
      expect(cursor.error !== undefined, hex(bytes)).toBe(theirs[index].rest > 0);
    }
  });
});

describe('messages beside python3', () => {
  it(`are walked alike, good and changed, SEED=${SEED}`, () => {
    const random = new Random(SEED + 1);
    const inputs = Array.from({ length: 2000 }, () => {
      const buffer = new MessageBuffer();
      for (let count = random.below(5); count > 0; count--) {
        const start = beginMessage(buffer, random.below(64), random.below(65536));
        buffer.put(random.below(40));
        endMessage(buffer, start);
      }
      return random.oneIn(3) ? buffer.bytes.slice() : mutate(random, buffer.bytes);
    });
    const theirs = askPython<WalkedMessages>(inputs.map((bytes) => ({ messages: hex(bytes) })));
    for (const [index, bytes] of inputs.entries()) {
      const cursor = new MessageCursor(bytes);
      const messages: number[][] = [];
      while (cursor.next()) {
        messages.push([cursor.offset, cursor.size, cursor.type, cursor.flags, cursor.seq, cursor.portId]);
      }
      expect(messages, hex(bytes)).toEqual(theirs[index].messages);
      expect(cursor.error !== undefined, hex(bytes)).toBe(theirs[index].rest > 0);
    }
  });
});

describe('bad attributes', () => {
  it.each([0, 1, 2, 3])('length %i', (size) => {
    const cursor = new AttributeCursor(Uint8Array.of(4, 0, 1, 0, size, 0, 2, 0));
    expect(cursor.next()).toBe(true);
    expect(cursor.next()).toBe(false);
    expect(cursor.next()).toBe(false);
    expect(() => cursor.check()).toThrow(malformed(4, 2));
  });

  it.each([9, 12, 65531, 65532, 65533, 65534, 65535])('length %i of 8 bytes', (size) => {
    const cursor = new AttributeCursor(Uint8Array.of(size & 255, size >> 8, 0x85, 0x80, 0, 0, 0, 0));
    expect(cursor.next()).toBe(false);
    expect(() => cursor.check()).toThrow(malformed(0, 0x85));
  });

  it.each([65531, 65532, 65533, 65534, 65535])('length %i when it is all there', (size) => {
    const bytes = new Uint8Array(size);
    bytes.set([size & 255, size >> 8, 1, 0]);
    const cursor = new AttributeCursor(bytes);
    expect(cursor.next()).toBe(true);
    expect(cursor.payloadSize).toBe(size - 4);
    expect(cursor.next()).toBe(false);
    cursor.check();
  });

  it('bytes left over, and the offset of the whole message in the error', () => {
    const message = Uint8Array.of(0xee, 0xee, 0xee, 0xee, 4, 0, 1, 0, 7, 7, 7);
    const cursor = new AttributeCursor(message, 4, 7, 2);
    expect(cursor.next()).toBe(true);
    expect(cursor.offset).toBe(2);
    expect(cursor.next()).toBe(false);
    expect(() => cursor.check()).toThrow(malformed(6));
  });

  it('a child larger than its parent: the error is also the parent', () => {
    const cursor = new AttributeCursor(Uint8Array.of(8, 0, 1, 0x80, 12, 0, 2, 0, 4, 0, 3, 0));
    expect(cursor.next()).toBe(true);
    const inner = cursor.nested();
    expect(inner.next()).toBe(false);
    expect(cursor.next()).toBe(false);
    expect(() => cursor.check()).toThrow(malformed(4, 2));
  });

  it('nesting 64 deep', () => {
    const deep = (builder: AttributeBuilder, depth: number): void => {
      if (depth > 0) builder.nest(depth, () => deep(builder, depth - 1));
      else builder.u32(1, 99);
    };
    let cursor = new AttributeCursor(builtBytes((builder) => deep(builder, 64)));
    for (let depth = 64; depth > 0; depth--) {
      expect(cursor.next()).toBe(true);
      expect([cursor.type, cursor.isNested]).toEqual([depth, true]);
      cursor = cursor.nested();
    }
    expect(cursor.next() && cursor.u32()).toBe(99);
  });

  it('duplicates, unknown types and flag bits are handed on; padding may be missing', () => {
    const bytes = Uint8Array.of(5, 0, 1, 0x40, 9, 0xaa, 0xbb, 0xcc, 5, 0, 1, 0xc0, 8);
    const cursor = new AttributeCursor(bytes);
    const found = [];
    while (cursor.next()) found.push(cursor.attribute());
    cursor.check();
    expect(found).toEqual([
      { type: 1, isNested: false, isNetByteOrder: true, payload: Uint8Array.of(9), offset: 0 },
      { type: 1, isNested: true, isNetByteOrder: true, payload: Uint8Array.of(8), offset: 8 },
    ]);
  });

  it('a payload too short for what is read from it', () => {
    for (const [read, size] of Object.entries({ u8: 1, s16: 2, be32: 4, u64: 8, uint: 4, bitfield32: 8 })) {
      const cursor = new AttributeCursor(builtBytes((builder) => builder.binary(7, new Uint8Array(size - 1))));
      cursor.next();
      cursor[read as 'u8']();
      expect(() => cursor.check(), read).toThrow(malformed(0, 7));
    }
  });

  it('what it hands out as copies does not change with the bytes', () => {
    const bytes = builtBytes((builder) => builder.string(1, 'eth0').binary(2, Uint8Array.of(1, 2)));
    const cursor = new AttributeCursor(bytes);
    cursor.next();
    const [name, attribute] = [cursor.string(), cursor.attribute()];
    cursor.next();
    const copy = cursor.bytes();
    bytes.fill(0xee);
    expect([name, hex(attribute.payload), hex(copy)]).toEqual(['eth0', '6574683000', '0102']);
  });
});

describe('the builder', () => {
  it('keeps the first error, writes nothing after it, and throws it at the end', () => {
    const buffer = new MessageBuffer();
    const builder = new AttributeBuilder(buffer);
    builder.u8(1, 256).u32(2, -1).flag(3);
    expect(buffer.size).toBe(0);
    expect(() => builder.finish()).toThrow(new RangeError('attribute 1: 256 is out of its range'));
  });

  it.each([
    ['s8', -129],
    ['s8', 128],
    ['u16', 65536],
    ['be16', -1],
    ['u32', 1.5],
    ['be32', 4294967296],
    ['s32', -2147483649],
    ['u64', 1n << 64n],
    ['be64', -1n],
    ['s64', 1n << 63n],
    ['sint', -(1n << 63n) - 1n],
    ['uint', -1n],
  ])('%s cannot hold %s', (kind, value) => {
    const builder = new AttributeBuilder(new MessageBuffer());
    builder[kind as 'u8'](5, value as number);
    expect(() => builder.finish()).toThrow(RangeError);
  });

  it('refuses a type that is none, an unaligned beginning and a string with a NUL inside', () => {
    for (const type of [-1, 0x4000, 1.5]) {
      expect(new AttributeBuilder(new MessageBuffer()).flag(type).error).toBeInstanceOf(RangeError);
      expect(new AttributeBuilder(new MessageBuffer()).nest(type, () => undefined).error).toBeInstanceOf(RangeError);
    }
    expect(new AttributeBuilder(new MessageBuffer()).string(1, 'a\0b').error).toBeInstanceOf(RangeError);
    const buffer = new MessageBuffer();
    buffer.put(3);
    expect(() => new AttributeBuilder(buffer)).toThrow(RangeError);
  });

  it('writes payloads of 65,531 bytes and no more, flat and nested', () => {
    expect(builtBytes((builder) => builder.binary(1, new Uint8Array(65531))).length).toBe(65536);
    const tooLarge = expect.objectContaining({ code: 'ERR_NETLINK_TOO_LARGE', attributeType: 1 });
    expect(() => builtBytes((builder) => builder.binary(1, new Uint8Array(65532)))).toThrow(tooLarge);
    const nested = (size: number) => builtBytes((b) => b.nest(1, (inner) => inner.binary(2, new Uint8Array(size))));
    expect(nested(65524).length).toBe(65532);
    expect(() => nested(65525)).toThrow(tooLarge);
  });

  it("keeps the error of a full buffer over the caller's bytes", () => {
    const builder = new AttributeBuilder(MessageBuffer.over(new Uint8Array(15)));
    builder.u32(1, 1).nest(2, (inner) => inner.u32(3, 3));
    expect(() => builder.finish()).toThrow(expect.objectContaining({ code: 'ERR_NETLINK_TOO_LARGE' }));
  });

  it('writes any type and flags raw, and nests without the flag where asked', () => {
    const bytes = builtBytes((b) => b.raw(0xc001, Uint8Array.of(1)).nest(2, () => undefined, 0));
    expect(hex(bytes)).toBe('050001c00100000004000200');
  });
});

/** A message of this type with these bytes behind nlmsghdr; `size` lies about its length. */
function message(type: number, flags: number, payload: Uint8Array, size = 16 + payload.length): Uint8Array {
  const bytes = new Uint8Array(16 + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, size, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  bytes.set(payload, 16);
  return bytes;
}

describe('messages', () => {
  it('are begun and ended one behind the other', () => {
    const buffer = new MessageBuffer();
    const first = beginGenericMessage(buffer, 0x1c, 3, 2, K.NLM_F_REQUEST);
    new AttributeBuilder(buffer).binary(1, Uint8Array.of(1)).finish();
    expect(endMessage(buffer, first)).toBe(28);
    const second = beginMessage(buffer, 18, K.NLM_F_DUMP);
    buffer.put(1);
    expect(endMessage(buffer, second)).toBe(17);
    expect(hex(buffer.bytes)).toBe(
      `1c0000001c000100${'00'.repeat(8)}0302000005000100010000001100000012000003${'00'.repeat(9)}`,
    );
    const cursor = new MessageCursor(buffer.bytes);
    expect(cursor.next()).toBe(true);
    expect([cursor.command, cursor.version, cursor.payloadOffset, cursor.payloadSize]).toEqual([3, 2, 16, 12]);
    const attributes = cursor.attributes(K.GENL_HDRLEN);
    expect(attributes.next() && [attributes.type, attributes.offset, attributes.u8()]).toEqual([1, 20, 1]);
    expect(cursor.next()).toBe(true);
    expect([cursor.offset, cursor.command, cursor.payloadSize]).toEqual([28, 0, 1]);
    const short = cursor.attributes(4);
    expect(short.next()).toBe(false);
    expect(() => short.check()).toThrow(expect.objectContaining({ code: 'ERR_NETLINK_MALFORMED' }));
  });

  it.each([
    ['shorter than its header', 15],
    ['of no length', 0],
    ['longer than the datagram', 25],
    ['of 4 GiB', 0xffffffff],
  ])('%s ends the walk', (_name, size) => {
    const cursor = new MessageCursor(message(20, 0, new Uint8Array(8), size));
    expect(cursor.next()).toBe(false);
    expect(() => cursor.check()).toThrow(expect.objectContaining({ code: 'ERR_NETLINK_MALFORMED' }));
  });

  it('of a datagram without bytes are none, and that is no error', () => {
    const cursor = new MessageCursor(new Uint8Array(0));
    expect(cursor.next()).toBe(false);
    cursor.check();
  });

  it.each([
    ['an acknowledgement', K.NLMSG_ERROR, [0, 0, 0, 0], 0],
    ['EPERM', K.NLMSG_ERROR, [0xff, 0xff, 0xff, 0xff], 1],
    ['a positive errno', K.NLMSG_ERROR, [1, 0, 0, 0], 71],
    ['an errno over 4095', K.NLMSG_ERROR, [0, 0xf0, 0xff, 0xff], 71],
    ['the smallest number', K.NLMSG_ERROR, [0, 0, 0, 0x80], 71],
    ['no room for an errno', K.NLMSG_ERROR, [0, 0, 0], 71],
    ['the end of a dump', K.NLMSG_DONE, [0, 0, 0, 0], 0],
    ['the end of a dump, bare', K.NLMSG_DONE, [], 0],
    ['a dump that failed', K.NLMSG_DONE, [0xfe, 0xff, 0xff, 0xff], 2],
    ['another message', 16, [0xfe, 0xff, 0xff, 0xff], 0],
  ])('%s: the errno', (_name, type, payload, errno) => {
    const cursor = new MessageCursor(message(type, 0, Uint8Array.from(payload)));
    cursor.next();
    expect(cursor.errno()).toBe(errno);
  });

  const said = builtBytes((b) => b.string(1, 'no').u32(2, 20).u32(5, 7).u32(6, 24).binary(3, Uint8Array.of(1)));
  const ack = { message: 'no', offset: 20, missingType: 7, missingNest: 24, cookie: Uint8Array.of(1) };
  const einval = [0xea, 0xff, 0xff, 0xff];
  const capped = K.NLM_F_CAPPED | K.NLM_F_ACK_TLVS;
  it.each([
    [
      'behind a capped request',
      K.NLMSG_ERROR,
      capped,
      [...einval, ...message(9, 0, Uint8Array.of(), 99), ...said],
      ack,
    ],
    [
      'behind a whole request',
      K.NLMSG_ERROR,
      K.NLM_F_ACK_TLVS,
      [...einval, ...message(9, 0, new Uint8Array(7)), 0, ...said],
      ack,
    ],
    ['behind a DONE', K.NLMSG_DONE, K.NLM_F_ACK_TLVS, [...einval, ...said], ack],
    ['not announced', K.NLMSG_ERROR, K.NLM_F_CAPPED, [...einval, ...message(9, 0, Uint8Array.of()), ...said], {}],
    ['cut', K.NLMSG_ERROR, capped, [...einval, ...message(9, 0, Uint8Array.of()), ...said.slice(0, -4)], {}],
    ['behind a lying request', K.NLMSG_ERROR, K.NLM_F_ACK_TLVS, [...einval, ...message(9, 0, said, 0xfffffff0)], {}],
    ['too short for all of it', K.NLMSG_ERROR, capped, einval, {}],
  ])('extended acknowledgement %s', (_name, type, flags, payload, expected) => {
    const cursor = new MessageCursor(message(type, flags, Uint8Array.from(payload)));
    cursor.next();
    expect(cursor.extendedAck()).toEqual(expected);
  });
});
