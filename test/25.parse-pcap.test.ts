/*
 * wdp parse-pcap beside `ovs-ofctl parse-pcap`, field by field and both ways: each field that they print is looked up in
 * our key, each field that our key has must be printed by them. On every shipped capture, and on more than 100,000 frames
 * that were generated, mutated, cut or made to break parsers. Where Open vSwitch's userspace and the kernel, whose key
 * ours is, see a packet differently, support/extract-differences.ts must have the field and the reason; how often each
 * difference was met is printed. Anything else fails, with the frame in hexadecimal. SEED sets the seed.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as K from '../assembly/constants.ts';
import { type KeyExtractor, openKeyExtractor } from '../src/cli/key-extractor.ts';
import { type ParsedPacket, type ParsePcapOptions, parsePcap } from '../src/cli/parse-pcap.ts';
import { decodeKey } from '../src/odp/key.ts';
import { parseKey } from '../src/odp/key-parse.ts';
import { formatKey } from '../src/odp/key-text.ts';
import { encodePcap, readPcap } from '../src/pcap/index.ts';
import { differences } from './support/extract-differences.ts';
import { ofctlFields } from './support/flow-fields.ts';
import { frames, malformedCorpus, Random, samples } from './support/frames.ts';
import { type OfctlPacket, runOfctl, runOfctlOnFile } from './support/ofctl.ts';
import { keyName, ourField, ourNames } from './support/ofctl-key.ts';
import { requireProgram } from './support/require.ts';

const capturesFolder = new URL('../examples/captures/', import.meta.url).pathname;
const captures = readdirSync(capturesFolder).filter((name) => name.endsWith('.pcap'));
const folder = mkdtempSync(join(tmpdir(), 'parse-pcap-'));
const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 4294967296));
const GENERATED_COUNT = 100_000;
const CHUNK_COUNT = 25_000;
/** ovs-ofctl refuses a file with a longer packet, and stops at a packet without any bytes. */
const OFCTL_SIZE_MIN = 1;
const OFCTL_SIZE_MAX = 65535;

/** Places in the key of what ovs-ofctl has no word for. */
const NOT_PRINTED = new Set([
  ...[K.KEY_VLAN_TPID, K.KEY_VLAN_TPID + 1, K.KEY_CVLAN_TPID, K.KEY_CVLAN_TPID + 1],
  ...[K.KEY_IPV6_EXTHDRS, K.KEY_IPV6_EXTHDRS + 1, K.KEY_MPLS_COUNT, K.KEY_FLAGS],
]);

const missing = requireProgram('ovs-ofctl');
let extractor: KeyExtractor;
/** Frames in which each listed difference was needed. */
const met = new Map<string, number>();
let comparedCount = 0;

beforeAll(() => {
  extractor = openKeyExtractor();
});

afterAll(() => {
  rmSync(folder, { recursive: true });
  if (comparedCount === 0) return;
  const counts = [...met].sort((one, other) => other[1] - one[1]).map(([id, count]) => `  ${id}: ${count}`);
  console.log(`${comparedCount} frames compared with ovs-ofctl, SEED=${seed}; frames with a listed difference:`);
  console.log(counts.join('\n'));
});

class Sink extends Writable {
  text = '';
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

/** The lines that wdp parse-pcap prints. */
async function linesOf(path: string, options: ParsePcapOptions = {}): Promise<string[]> {
  const sink = new Sink();
  await parsePcap(path, { extractor, ...options }, sink);
  expect(sink.text === '' || sink.text.endsWith('\n')).toBe(true);
  return sink.text.split('\n').slice(0, -1);
}

function capturedFrames(): Uint8Array[] {
  return captures
    .filter((name) => name.startsWith('host-'))
    .flatMap((name) => readPcap(new Uint8Array(readFileSync(join(capturesFolder, name)))).records)
    .map((record) => record.data);
}

/** The names of the fields in which the two differ. */
function differingFields(key: Uint8Array, theirs: OfctlPacket): string[] {
  const names: string[] = [];
  for (const [name, value] of theirs.fields) if (ourField(name, key) !== value) names.push(name);
  for (const name of ourNames(key)) if (!theirs.fields.has(name)) names.push(name);
  return names;
}

/** What is wrong with a frame, or undefined when all differences are listed ones; those are counted. */
function unexplained(frame: Uint8Array, theirs: OfctlPacket): string | undefined {
  comparedCount += 1;
  const key = extractor.extractKey(frame, 0);
  if (key === undefined)
    return explained(['frame-short'], frame.length < 14) ? undefined : `no key for ${hexOf(frame)}`;
  const names = differingFields(key, theirs);
  if (names.length === 0) return undefined;
  const theirFields = ofctlFields(theirs.line);
  const applying = differences.filter((one) => one.applies(frame, key, theirFields));
  const used = names.map((name) => applying.find((one) => one.fields.includes(keyName(name)))?.id);
  if (explained(used, true)) return undefined;
  const left = names.filter((_name, index) => used[index] === undefined);
  const detail = left.map((name) => `${name}=${ourField(name, key)}, theirs ${theirs.fields.get(name) ?? 'absent'}`);
  return `${detail.join('; ')}\n  frame  ${hexOf(frame)}\n  ours   ${formatKey(key)}\n  theirs ${theirs.line}`;
}

function explained(ids: readonly (string | undefined)[], condition: boolean): boolean {
  if (!condition || ids.includes(undefined)) return false;
  for (const id of new Set(ids as string[])) met.set(id, (met.get(id) ?? 0) + 1);
  return true;
}

function hexOf(frame: Uint8Array): string {
  return Buffer.from(frame).toString('hex');
}

/** Compares all frames, in runs of ovs-ofctl of CHUNK_COUNT. */
function compare(all: readonly Uint8Array[]): void {
  for (let first = 0; first < all.length; first += CHUNK_COUNT) {
    const chunk = all.slice(first, first + CHUNK_COUNT);
    const theirs = runOfctl(chunk);
    expect(theirs.length).toBe(chunk.length);
    const wrong = chunk.map((frame, index) => unexplained(frame, theirs[index])).filter((one) => one !== undefined);
    expect(wrong.slice(0, 10).join('\n'), `${wrong.length} of ${chunk.length} frames`).toBe('');
  }
}

describe('wdp parse-pcap', () => {
  test('prints a line a packet that reads back as the key', async () => {
    for (const name of captures) {
      const path = join(capturesFolder, name);
      const { records } = readPcap(new Uint8Array(readFileSync(path)));
      const lines = await linesOf(path);
      expect(lines.length, name).toBe(records.length);
      for (const [index, line] of lines.entries()) expect(formatKey(parseKey(line)), name).toBe(lines[index]);
    }
  });

  test('--json prints an object a packet with index, time, size, typed key and text', async () => {
    for (const name of captures) {
      const path = join(capturesFolder, name);
      const { records } = readPcap(new Uint8Array(readFileSync(path)));
      const texts = await linesOf(path);
      const packets = (await linesOf(path, { json: true })).map((line) => JSON.parse(line) as ParsedPacket);
      const expected = records.map(({ timeNs, wireSize, data }, index) => {
        const flat = extractor.extractKey(data, 0) ?? new Uint8Array(0);
        return { index, timeNs: String(timeNs), size: wireSize, key: decodeKey(flat), text: texts[index] };
      });
      expect(packets, name).toEqual(expected);
    }
  });

  test('says which frames a datapath would not take', async () => {
    const path = join(folder, 'sizes.pcap');
    const sizes = [0, 13, 14, 65535, 65536, 262144];
    const records = sizes.map((size) => ({ timeNs: 0n, wireSize: size, data: new Uint8Array(size) }));
    writeFileSync(path, encodePcap(records));
    const none = 'recirc_id(0),in_port(0),eth(src=00:00:00:00:00:00,dst=00:00:00:00:00:00)';
    const expected = ['drop(rx-short)', 'drop(rx-short)', none, none, 'drop(rx-long)', 'drop(rx-long)'];
    expect(await linesOf(path)).toEqual(expected);
    expect(JSON.parse((await linesOf(path, { json: true }))[0])).toEqual({
      index: 0,
      timeNs: '0',
      size: 0,
      text: 'drop(rx-short)',
    });
  });

  test('prints the packets before the damage of a damaged file, then throws', async () => {
    const path = join(folder, 'cut.pcap');
    const whole = readFileSync(join(capturesFolder, 'stp.pcap'));
    writeFileSync(path, whole.subarray(0, whole.length - 1));
    const sink = new Sink();
    await expect(parsePcap(path, { extractor }, sink)).rejects.toMatchObject({ code: 'ERR_PCAP_TRUNCATED' });
    expect(sink.text).toBe(`${(await linesOf(join(capturesFolder, 'stp.pcap'))).slice(0, -1).join('\n')}\n`);
    await expect(linesOf(join(folder, 'missing'))).rejects.toMatchObject({ code: 'ERR_PCAP_FILE' });
  });
});

describe.skipIf(missing !== undefined)(
  `wdp parse-pcap and ovs-ofctl${missing === undefined ? '' : ` (${missing})`}`,
  () => {
    test('agree on every shipped capture; only the name of "no type" and nothing else differs', () => {
      for (const name of captures) {
        const path = join(capturesFolder, name);
        const { records } = readPcap(new Uint8Array(readFileSync(path)));
        const theirs = runOfctlOnFile(path);
        expect(theirs.length, name).toBe(records.length);
        for (const [index, { data }] of records.entries())
          expect(unexplained(data, theirs[index]), name).toBeUndefined();
      }
      expect([...met.keys()]).toEqual(['llc-type']);
    });

    test('the comparison notices a change of any byte of the key that ovs-ofctl prints', () => {
      const all = capturedFrames();
      for (const [index, theirs] of runOfctl(all).entries()) {
        const key = extractor.extractKey(all[index], 0) ?? new Uint8Array(0);
        if (differingFields(key, theirs).length > 0) continue;
        for (let at = K.KEY_ETH_DST; at < K.KEY_HOT_SIZE; at += 1) {
          if (key[at] === 0 || NOT_PRINTED.has(at)) continue;
          const changed = key.with(at, at === K.KEY_IP_FRAG ? 3 - key[at] : key[at] ^ 1);
          if (differingFields(changed, theirs).length === 0) throw new Error(`byte ${at} of ${formatKey(key)}`);
        }
      }
    });

    test(`agree on ${GENERATED_COUNT} generated frames`, () => {
      const generator = frames(seed);
      for (let count = 0; count < GENERATED_COUNT; count += CHUNK_COUNT) {
        compare(Array.from({ length: CHUNK_COUNT }, () => generator.next().value));
      }
    });

    test('agree on malformed frames and on every protocol cut at every length', () => {
      const whole = [...malformedCorpus(), ...samples()].map(({ frame }) => frame);
      const cut = samples().flatMap(({ frame }) =>
        Array.from(frame.subarray(0, 256), (_, size) => frame.subarray(0, size)),
      );
      const fits = (size: number): boolean => size >= OFCTL_SIZE_MIN && size <= OFCTL_SIZE_MAX;
      compare([...whole, ...cut].filter((frame) => fits(frame.length)));
    });

    test('agree on the captured frames with bytes changed and ends cut off', () => {
      const random = new Random(seed ^ 0x5eed);
      const mutated = capturedFrames().flatMap((frame) => Array.from({ length: 40 }, () => mutate(random, frame)));
      compare(mutated);
    });
  },
);

/** One to three bytes of the headers changed; once in four times cut. */
function mutate(random: Random, frame: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(random.oneIn(4) ? frame.subarray(0, 14 + random.below(frame.length - 13)) : frame);
  const reach = Math.min(copy.length, 100);
  for (let count = 1 + random.below(3); count > 0; count -= 1) copy[random.below(reach)] = random.below(256);
  return copy;
}
