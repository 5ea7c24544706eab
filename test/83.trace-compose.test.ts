/*
 * Packets composed for keys: extraction gives the key back, and `ovs-ofctl parse-pcap` reads of the composed packet what it reads of the packet that the
 * key came from. Keys of captures, of one frame of each protocol and of generated frames. SEED sets the seed.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import * as C from '../assembly/constants.ts';
import { openKeyExtractor } from '../src/cli/key-extractor.ts';
import { composePacket, describeLayers, formatKey, readPcap } from '../src/index.ts';
import { differingFields } from '../src/trace/fields.ts';
import { frames, samples } from './support/frames.ts';
import { runOfctl } from './support/ofctl.ts';
import { requireProgram } from './support/require.ts';

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2147483647));
const GENERATED_COUNT = 10_000;
const IN_PORT = 5;
const capturesFolder = new URL('../examples/captures/', import.meta.url).pathname;
const extractor = openKeyExtractor();

/** What only packets have that are cut or break a rule: extension headers out of order or twice, stacks without a bottom, options that contradict. */
const BROKEN = [
  ...['key32', 'ipv6(proto)', 'ipv6(frag)', 'mpls depth', 'mpls[0]', 'mpls[1]', 'mpls[2]'],
  ...['nd(target)', 'nd(sll)', 'nd(tll)', 'nd_ext(nd_options_type)', 'nd_ext(nd_reserved)'],
];

function realFrames(): Uint8Array[] {
  const captured = readdirSync(capturesFolder)
    .filter((name) => name.endsWith('.pcap'))
    .flatMap((name) => readPcap(readFileSync(join(capturesFolder, name))).records.map(({ data }) => data));
  return [...samples().map(({ frame }) => frame), ...captured];
}

/** Fields in which the key of the packet that is composed for a frame's key is another. */
function lostFields(key: Uint8Array): string[] {
  const again = extractor.extractKey(composePacket(key), IN_PORT);
  return again === undefined ? ['everything'] : differingFields(key, again);
}

test('a packet composed for a key has that key', () => {
  const lost = new Map<string, number>();
  const all = realFrames();
  for (const frame of all) {
    const key = extractor.extractKey(frame, IN_PORT)!;
    for (const field of lostFields(key)) lost.set(`${field} of ${formatKey(key)}`, (lost.get(field) ?? 0) + 1);
    for (const { name, checksum } of describeLayers(composePacket(key)))
      expect(['ok', 'unchecked', undefined], name).toContain(checksum);
  }
  expect([...lost.keys()]).toEqual([]);
  expect(all.length).toBeGreaterThan(500);
});

test(`so does one of a generated frame, but for what only a broken packet has, SEED=${SEED}`, () => {
  const generated = frames(SEED);
  const lost = new Map<string, string>();
  let count = 0;
  for (let i = 0; i < GENERATED_COUNT; i++) {
    const frame = generated.next().value;
    const key = extractor.extractKey(frame, IN_PORT);
    if (key === undefined) continue;
    const fields = lostFields(key);
    if (fields.length === 0) count += 1;
    for (const field of fields) lost.set(field, formatKey(key));
  }
  console.log(`${count} of ${GENERATED_COUNT} generated keys were given back whole`);
  for (const [field, text] of lost) expect(BROKEN, text).toContain(field);
  expect(count).toBeGreaterThan(GENERATED_COUNT / 2);
});

test('ovs-ofctl reads the same of the composed packet', ({ skip }) => {
  const reason = requireProgram('ovs-ofctl');
  skip(reason !== undefined, reason);
  const real = realFrames().filter((frame) => frame.length >= C.FRAME_SIZE_MIN);
  const composed = real.map((frame) => composePacket(extractor.extractKey(frame, IN_PORT)!));
  const [before, after] = [runOfctl(real), runOfctl(composed)];
  expect(after.map(({ line }) => line)).toEqual(before.map(({ line }) => line));
});
