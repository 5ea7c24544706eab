/*
 * The table of differences between kernel and userspace keys against Open vSwitch itself: `ovs-ofctl parse-pcap` on
 * valid, malformed and random frames must agree with our key field by field, but for the differences that the table
 * lists and that apply to the frame. SEED sets the seed, FRAMES the number of random frames.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { referenceExtract } from './reference/extract.ts';
import { differences } from './support/extract-differences.ts';
import { type Fields, keyFields, ofctlFields } from './support/flow-fields.ts';
import { frames, malformedCorpus, type NamedFrame, samples } from './support/frames.ts';
import { requireProgram } from './support/require.ts';

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 4294967296));
const COUNT = Number(process.env.FRAMES ?? 20_000);
const MISSING = requireProgram('ovs-ofctl');

/** A little-endian pcap file, link type Ethernet. */
function pcapFile(list: readonly NamedFrame[]): Buffer {
  const words = (...values: number[]): Buffer => Buffer.from(Uint32Array.from(values).buffer);
  const head = words(0xa1b2c3d4, 0x00040002, 0, 0, 262144, 1);
  return Buffer.concat([head, ...list.flatMap(({ frame }) => [words(0, 0, frame.length, frame.length), frame])]);
}

function parsePcap(list: readonly NamedFrame[]): Fields[] {
  const folder = mkdtempSync(join(tmpdir(), 'extract-'));
  try {
    const path = join(folder, 'frames.pcap');
    writeFileSync(path, pcapFile(list));
    const options = { encoding: 'utf8', maxBuffer: 1 << 28 } as const;
    return execFileSync('ovs-ofctl', ['parse-pcap', path], options).trimEnd().split('\n').map(ofctlFields);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The fields that differ without a listed difference; counts the differences that were needed. */
function unexplained(frame: Uint8Array, theirs: Fields, used: Map<string, number>): string[] {
  const key = referenceExtract(frame, 0);
  const ours = keyFields(key);
  const names = new Set([...ours.keys(), ...theirs.keys()]);
  return [...names].filter((name) => {
    if (ours.get(name) === theirs.get(name)) return false;
    const found = differences.find((one) => one.fields.includes(name) && one.applies(frame, key, theirs));
    if (found !== undefined) used.set(found.id, (used.get(found.id) ?? 0) + 1);
    return found === undefined;
  });
}

function compare(list: readonly NamedFrame[]): Map<string, number> {
  const used = new Map<string, number>();
  const theirs = parsePcap(list);
  expect(theirs.length).toBe(list.length);
  const wrong = list.flatMap(({ name, frame }, index) => {
    const fields = unexplained(frame, theirs[index], used);
    if (fields.length === 0) return [];
    const ours = keyFields(referenceExtract(frame, 0));
    const detail = fields.map((field) => `${field} ${ours.get(field) ?? 0} (theirs ${theirs[index].get(field) ?? 0})`);
    return [`${name}: ${detail.join(', ')}\n  ${Buffer.from(frame.subarray(0, 160)).toString('hex')}`];
  });
  expect(wrong.slice(0, 20)).toEqual([]);
  return used;
}

describe.skipIf(MISSING !== undefined)(`extraction and ovs-ofctl${MISSING ? ` (${MISSING})` : ''}`, () => {
  it('agree on valid frames, without any difference but the name of "no type"', () => {
    const used = compare(samples());
    expect([...used.keys()]).toEqual(['llc-type']);
  });

  it('agree on malformed frames but for the listed differences, each of which occurs', () => {
    const used = compare(malformedCorpus().filter(({ frame }) => frame.length <= 65535));
    const visible = differences.filter((one) => one.fields.length > 0).map((one) => one.id);
    expect([...used.keys()].toSorted()).toEqual(visible.toSorted());
  });

  it(`agree on ${COUNT} random frames but for the listed differences, SEED=${SEED}`, () => {
    const source = frames(SEED);
    const list = Array.from({ length: COUNT }, (_, i) => ({
      name: `SEED=${SEED} frame ${i}`,
      frame: source.next().value,
    }));
    compare(list);
  });
});
