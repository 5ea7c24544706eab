/*
 * netlink-oracle.py as functions: what python3's struct makes of attributes and messages. One process answers a whole list of questions.
 */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import type { AttributeBuilder, AttributeCursor } from '../../src/netlink/attributes.ts';
import type { Random } from './frame-generator.ts';

/** [kind, type, value]: integers as decimal text, bytes as hex, a nest as a list of these. */
export type Row = [kind: string, type: number, value: unknown];

export type Walked = { attributes: [type: number, flags: number, offset: number, hex: string][]; rest: number };
export type WalkedMessages = { messages: number[][]; rest: number };

export function askPython<T>(questions: readonly object[]): T[] {
  const input = questions.map((question) => JSON.stringify(question)).join('\n');
  const script = path.join(import.meta.dirname, 'netlink-oracle.py');
  const { status, stdout, stderr } = spawnSync('python3', [script], { input, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`netlink-oracle.py: ${stderr}`);
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as T);
}

const INTEGERS: Record<string, [min: bigint, max: bigint]> = {
  u8: [0n, 0xffn],
  u16: [0n, 0xffffn],
  u32: [0n, 0xffffffffn],
  u64: [0n, 0xffffffffffffffffn],
  uint: [0n, 0xffffffffffffffffn],
  s8: [-0x80n, 0x7fn],
  s16: [-0x8000n, 0x7fffn],
  s32: [-0x80000000n, 0x7fffffffn],
  s64: [-0x8000000000000000n, 0x7fffffffffffffffn],
  sint: [-0x8000000000000000n, 0x7fffffffffffffffn],
  be16: [0n, 0xffffn],
  be32: [0n, 0xffffffffn],
  be64: [0n, 0xffffffffffffffffn],
};
const OTHERS = ['flag', 'string', 'binary', 'bitfield32'];
const LONG = new Set(['u64', 's64', 'be64', 'uint', 'sint']);

function randomInteger(random: Random, [min, max]: [bigint, bigint]): bigint {
  if (random.oneIn(4)) return random.oneIn(2) ? min : max;
  let value = 0n;
  for (let i = 0; i < 5; i++) value = value * 65536n + BigInt(random.below(65536));
  return min + ((value >> BigInt(random.below(64))) % (max - min + 1n));
}

export function randomRows(random: Random, depth = 0): Row[] {
  return Array.from({ length: random.below(8) }, () => randomRow(random, depth));
}

function randomRow(random: Random, depth: number): Row {
  const type = random.oneIn(6) ? random.below(0x4000) : random.below(32);
  if (depth < 4 && random.oneIn(5)) return ['nest', type, randomRows(random, depth + 1)];
  const kind = random.pick([...Object.keys(INTEGERS), ...OTHERS]);
  if (kind in INTEGERS) return [kind, type, String(randomInteger(random, INTEGERS[kind]))];
  if (kind === 'string')
    return [kind, type, random.pick(['', 'a', 'eth0', 'Üñï', '漢字', 'x'.repeat(random.below(40))])];
  if (kind === 'binary') return [kind, type, Buffer.from(random.bytes(random.below(30))).toString('hex')];
  return [kind, type, kind === 'flag' ? null : [random.below(4294967296), random.below(4294967296)]];
}

/** Writes the rows with our builder. */
export function buildRows(builder: AttributeBuilder, rows: readonly Row[]): void {
  for (const [kind, type, value] of rows) {
    if (kind === 'nest') builder.nest(type, (inner) => buildRows(inner, value as Row[]));
    else if (kind === 'flag') builder.flag(type);
    else if (kind === 'string') builder.string(type, value as string);
    else if (kind === 'binary') builder.binary(type, Buffer.from(value as string, 'hex'));
    else if (kind === 'bitfield32') {
      const [bits, selector] = value as [number, number];
      builder.bitfield32(type, { value: bits, selector });
    } else if (LONG.has(kind)) builder[kind as 'u64'](type, BigInt(value as string));
    else builder[kind as 'u32'](type, Number(value));
  }
}

/** Reads the rows back with our cursor, by the kinds that are known. */
export function readRows(cursor: AttributeCursor, rows: readonly Row[]): Row[] {
  const read: Row[] = [];
  while (cursor.next()) {
    const [kind, , value] = rows[read.length];
    read.push([kind, cursor.type, readValue(cursor, kind, value)]);
  }
  return read;
}

function readValue(cursor: AttributeCursor, kind: string, value: unknown): unknown {
  if (kind === 'nest') return readRows(cursor.nested(), value as Row[]);
  if (kind === 'flag') return null;
  if (kind === 'string') return cursor.string();
  if (kind === 'binary') return Buffer.from(cursor.bytes()).toString('hex');
  if (kind === 'bitfield32') {
    const { value: bits, selector } = cursor.bitfield32();
    return [bits, selector];
  }
  return String(cursor[kind as 'u64']());
}

/** What our cursor makes of the bytes, in the oracle's form. */
export function walkOurs(cursor: AttributeCursor, size: number): Walked {
  const attributes: Walked['attributes'] = [];
  let end = 0;
  while (cursor.next()) {
    const flags = (cursor.isNested ? 2 : 0) | (cursor.isNetByteOrder ? 1 : 0);
    attributes.push([cursor.type, flags, cursor.offset, Buffer.from(cursor.view()).toString('hex')]);
    end = cursor.offset + ((cursor.payloadSize + 7) & ~3);
  }
  return { attributes, rest: Math.max(0, size - end) };
}
