/*
 * set_masked(nsh) on random network service headers beside a model of a few lines. No validator lets such an action into a flow, the kernel's
 * has never done, and Open vSwitch 3.1 cannot read one, so that no other datapath can be asked. SEED sets the seed.
 */
import { describe, expect, it } from 'vitest';
import { attribute, concat, le32 } from './support/action-list.ts';
import { BUILDS, SEED, stepsOf } from './support/datapath.ts';
import { Executor } from './support/executor.ts';
import { Random } from './support/frame-generator.ts';

const CASES = 2000;
const ETHERNET = Uint8Array.of(2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x89, 0x4f);
const OUTPUT = attribute(1, le32(2));
const CONTEXT_SIZE = 16;

interface Fields {
  /** Two bits: OAM and one that is reserved. */
  flags: number;
  /** Six bits. */
  ttl: number;
  /** SPI and SI. */
  path: Uint8Array;
  context: Uint8Array;
}

function randomFields(random: Random): Fields {
  return { flags: random.below(4), ttl: random.below(64), path: random.bytes(4), context: random.bytes(CONTEXT_SIZE) };
}

/** A header of metadata type 1 with its context, or of type 2 with variable metadata of whole words. */
function headerOf(fields: Fields, mdType: number, rest: Uint8Array): Uint8Array {
  const metadata = mdType === 1 ? fields.context : rest;
  const word = (fields.flags << 12) | (fields.ttl << 6) | ((8 + metadata.length) / 4);
  return concat(Uint8Array.of(word >> 8, word & 255, mdType, 1), fields.path, metadata);
}

const merged = (old: ArrayLike<number>, value: ArrayLike<number>, mask: ArrayLike<number>): Uint8Array =>
  Uint8Array.from(old, (bits, i) => (bits & ~mask[i]!) | (value[i]! & mask[i]!));

/** The payload that Open vSwitch has: each attribute its value, then its mask. */
function setNsh(value: Fields, mask: Fields, withContext: boolean): Uint8Array {
  const base = ({ flags, ttl, path }: Fields): Uint8Array => concat(Uint8Array.of(flags, ttl, 0, 0), path);
  const both = (type: number, bits: Uint8Array, bitsMask: Uint8Array): Uint8Array =>
    attribute(type, concat(merged(new Uint8Array(bits.length), bits, bitsMask), bitsMask));
  const parts = [both(1, base(value), base(mask))];
  if (withContext) parts.push(both(2, value.context, mask.context));
  return attribute(11, attribute(28, concat(...parts)));
}

describe.each(BUILDS)('set_masked(nsh), %s', (build) => {
  it(`changes what the mask has, and nothing else, ${CASES} headers, SEED=${SEED}`, async () => {
    await using executor = await Executor.open({ build });
    const random = new Random(SEED);
    const count = stepsOf(build, CASES);
    for (let index = 0; index < count; index++) {
      const [old, value, mask] = [randomFields(random), randomFields(random), randomFields(random)];
      const [mdType, withContext] = [random.oneIn(2) ? 1 : 2, random.oneIn(2)];
      const [rest, behind] = [random.bytes(4 * random.below(6)), random.bytes(random.below(40))];
      const frame = concat(ETHERNET, headerOf(old, mdType, rest), behind);
      const changed: Fields = {
        flags: merged([old.flags], [value.flags], [mask.flags])[0]!,
        ttl: merged([old.ttl], [value.ttl], [mask.ttl])[0]!,
        path: merged(old.path, value.path, mask.path),
        context: withContext ? merged(old.context, value.context, mask.context) : old.context,
      };
      const { frames, drops } = executor.execute(frame, concat(setNsh(value, mask, withContext), OUTPUT));
      expect(drops).toEqual({});
      const wanted = concat(ETHERNET, headerOf(changed, mdType, rest), behind);
      expect(Buffer.from(frames[0]!.data).toString('hex')).toBe(Buffer.from(wanted).toString('hex'));
    }
    executor.verify(count);
  });

  it('drops a packet without a whole header', async () => {
    await using executor = await Executor.open({ build });
    const random = new Random(SEED);
    const whole = concat(ETHERNET, headerOf(randomFields(random), 1, new Uint8Array(0)));
    const list = concat(setNsh(randomFields(random), randomFields(random), true), OUTPUT);
    for (let size = ETHERNET.length; size < whole.length; size++) {
      expect(executor.execute(whole.subarray(0, size), list), `${size} bytes`).toMatchObject({
        frames: [],
        drops: { action: 1 },
      });
    }
    expect(executor.execute(whole, list).frames).toHaveLength(1);
    executor.verify(whole.length - ETHERNET.length + 1);
  });
});
