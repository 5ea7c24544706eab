/*
 * MessageBuffer against a model (a plain array and two counters): every operation in random order, over an own storage that grows and over the
 * caller's that does not; and what a full one does.
 */
import { describe, expect, it } from 'vitest';
import { BUFFER_SIZE_MAX, MessageBuffer } from '../src/netlink/buffer.ts';
import { SEED } from './support/datapath.ts';
import { Random } from './support/frame-generator.ts';

/** The slow and obvious one: content as an array; a fixed one knows its rooms. */
class Model {
  content: number[] = [];
  headroom: number;
  tailroom: number;
  failed = false;
  reserved: number;
  readonly fixed: boolean;

  constructor(capacity: number, headroom: number, fixed: boolean) {
    this.fixed = fixed;
    this.reserved = this.headroom = headroom;
    this.tailroom = capacity - headroom;
  }

  add(size: number, front: boolean): number {
    if (this.failed) return -1;
    if (this.fixed && size > (front ? this.headroom : this.tailroom)) {
      this.failed = true;
      return -1;
    }
    const at = front ? 0 : this.content.length;
    this.content.splice(at, 0, ...new Array(size).fill(0));
    if (front) this.headroom -= size;
    else this.tailroom -= size;
    return at;
  }

  remove(size: number, front: boolean): void {
    this.content.splice(front ? 0 : this.content.length - size, size);
    if (front) this.headroom += size;
    else this.tailroom += size;
  }

  clear(): void {
    this.tailroom += this.headroom + this.content.length - this.reserved;
    this.headroom = this.reserved;
    this.content = [];
    this.failed = false;
  }
}

function step(random: Random, buffer: MessageBuffer, model: Model): string {
  const size = random.oneIn(8) ? random.below(300) : random.below(20);
  const part = random.below(model.content.length + 1);
  const operation = random.below(9);
  if (operation < 3) expect(buffer.put(size)).toBe(model.add(size, false));
  else if (operation < 5) expect(buffer.push(size)).toBe(model.add(size, true));
  else if (operation === 5) {
    buffer.pull(part);
    model.remove(part, true);
  } else if (operation === 6) {
    buffer.trim(model.content.length - part);
    model.remove(part, false);
  } else if (operation === 7 && random.oneIn(4)) {
    buffer.clear();
    model.clear();
  } else if (part < model.content.length) {
    const value = random.below(256);
    buffer.setU8(part, value);
    model.content[part] = value;
  }
  return `operation ${operation} size ${size} part ${part}`;
}

function compare(buffer: MessageBuffer, model: Model, where: string): void {
  expect(buffer.size, where).toBe(model.content.length);
  expect([...buffer.bytes], where).toEqual(model.content);
  expect(buffer.error !== undefined, where).toBe(model.failed);
  if (model.fixed) {
    expect([buffer.headroom, buffer.tailroom], where).toEqual([model.headroom, model.tailroom]);
  }
}

describe('message buffer', () => {
  it.each([
    ['of its own', false],
    ["over the caller's bytes", true],
  ])(`%s does what the model does, SEED=${SEED}`, (_name, fixed) => {
    const random = new Random(SEED);
    for (let round = 0; round < 40; round++) {
      const capacity = random.below(600);
      const headroom = random.below(Math.min(capacity, 100) + 1);
      const view = new Uint8Array(capacity).fill(0xee);
      const buffer = fixed ? MessageBuffer.over(view, headroom) : new MessageBuffer(capacity - headroom, headroom);
      const model = new Model(capacity, headroom, fixed);
      for (let i = 0; i < 200; i++) compare(buffer, model, `round ${round} step ${i} ${step(random, buffer, model)}`);
    }
  });

  it('writes numbers little-endian, and nothing at the offset of a put that failed', () => {
    const buffer = MessageBuffer.over(new Uint8Array(8));
    const at = buffer.put(8);
    buffer.setU32(at, 0xfffefdfc);
    buffer.setU16(at + 4, 0x1234);
    buffer.setU8(at + 6, 0x56);
    expect([...buffer.bytes]).toEqual([0xfc, 0xfd, 0xfe, 0xff, 0x34, 0x12, 0x56, 0]);
    expect(buffer.u16(at + 4)).toBe(0x1234);
    expect(buffer.put(1)).toBe(-1);
    buffer.setU32(-1, 1);
    buffer.set(-1, Uint8Array.of(1));
    expect(buffer.size).toBe(8);
    expect(() => buffer.setU32(6, 0)).toThrow(RangeError);
    expect(() => buffer.setU16(8, 0)).toThrow(RangeError);
  });

  it("keeps the first error until it is cleared, and never writes outside of the caller's bytes", () => {
    const memory = new Uint8Array(64).fill(0xee);
    const buffer = MessageBuffer.over(memory.subarray(16, 48), 4);
    expect(buffer.put(28)).toBe(0);
    expect(buffer.put(0)).toBe(28);
    expect(buffer.put(1)).toBe(-1);
    expect(buffer.push(1)).toBe(-1);
    expect(() => buffer.check()).toThrow(expect.objectContaining({ code: 'ERR_NETLINK_TOO_LARGE' }));
    buffer.clear();
    expect(buffer.append(Uint8Array.of(1, 2, 3))).toBe(0);
    expect(buffer.align()).toBe(4);
    expect(buffer.push(5)).toBe(-1);
    expect([...memory.subarray(0, 20), ...memory.subarray(48)]).toEqual(new Array(36).fill(0xee));
  });

  it('works over shared WebAssembly memory', () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const buffer = MessageBuffer.over(new Uint8Array(memory.buffer, 100, 8));
    buffer.append(Uint8Array.of(7, 8));
    expect([...new Uint8Array(memory.buffer, 99, 4)]).toEqual([0, 7, 8, 0]);
    expect(buffer.put(7)).toBe(-1);
  });

  it('reserves headroom while it is empty', () => {
    const buffer = new MessageBuffer(4);
    buffer.reserve(100);
    expect(buffer.headroom).toBe(100);
    buffer.put(4);
    expect(() => buffer.reserve(1)).toThrow(TypeError);
    buffer.pull(4);
    buffer.clear();
    expect([buffer.headroom, buffer.size]).toEqual([100, 0]);
    const fixed = MessageBuffer.over(new Uint8Array(8));
    fixed.reserve(9);
    expect(() => fixed.check()).toThrow(expect.objectContaining({ code: 'ERR_NETLINK_TOO_LARGE' }));
  });

  it('has a limit, and refuses what is no size', () => {
    const buffer = new MessageBuffer();
    expect(buffer.put(BUFFER_SIZE_MAX + 1)).toBe(-1);
    expect(buffer.error?.code).toBe('ERR_NETLINK_TOO_LARGE');
    const other = new MessageBuffer(8, 8);
    for (const size of [-1, 1.5, Number.NaN]) {
      for (const use of ['put', 'push', 'pull', 'trim', 'reserve'] as const) {
        expect(() => other[use](size)).toThrow(RangeError);
      }
    }
    expect(() => other.pull(1)).toThrow(RangeError);
    expect(() => other.trim(1)).toThrow(RangeError);
    expect(() => MessageBuffer.over(new Uint8Array(3), 4)).toThrow(RangeError);
  });
});
