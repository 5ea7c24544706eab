/*
 * The text in `tunnel(...)` into nested attributes of OVS_KEY_ATTR_TUNNEL: what tunnel-text.ts and Open vSwitch write.
 *
 * One list for the values and one for the masks, with the same numbers; a field without a mask is matched whole. Also holds the
 * tables of plain fields and flags that both directions use.
 */

import { attributeBytes, concatBytes, u32Bytes } from './attributes.ts';
import { scanFlags } from './flags.ts';
import { scanBytes, scanHex } from './hex.ts';
import { numberKind, type ValueKind } from './kinds.ts';
import type { TextScanner } from './scanner.ts';
import { ERSPAN_SIZE, GENEVE_OPTS_SIZE_MAX, TUNNEL_ATTR, VXLAN_EXT_GBP } from './tunnel.ts';
import { be16, be16hex, be32hex, ipv4Kind, ipv6Kind, u8, u8hex } from './value-kinds.ts';

/** The identifier is written with its prefix even when it is zero. */
const be64hex = numberKind({ size: 8, order: 'be', base: 'hex', digits: 1, maskDigits: 0 });

interface Field {
  text: string;
  number: number;
  kind: ValueKind;
}

export const TUNNEL_FIELDS: readonly Field[] = [
  { text: 'tun_id', number: TUNNEL_ATTR.ID, kind: be64hex },
  { text: 'src', number: TUNNEL_ATTR.IPV4_SRC, kind: ipv4Kind },
  { text: 'dst', number: TUNNEL_ATTR.IPV4_DST, kind: ipv4Kind },
  { text: 'ipv6_src', number: TUNNEL_ATTR.IPV6_SRC, kind: ipv6Kind },
  { text: 'ipv6_dst', number: TUNNEL_ATTR.IPV6_DST, kind: ipv6Kind },
  { text: 'tos', number: TUNNEL_ATTR.TOS, kind: u8hex },
  { text: 'ttl', number: TUNNEL_ATTR.TTL, kind: u8 },
  { text: 'tp_src', number: TUNNEL_ATTR.TP_SRC, kind: be16 },
  { text: 'tp_dst', number: TUNNEL_ATTR.TP_DST, kind: be16 },
];
const FIELD_BY_TEXT = new Map(TUNNEL_FIELDS.map((field) => [field.text, field]));

/** Flags as they stand in text, bit by bit; KEY says that there is a tun_id. */
export const TUNNEL_FLAGS = {
  size: 2,
  order: 'be',
  width: 4,
  names: ['oam', 'df', 'csum', 'key'],
  brackets: false,
} as const;
export const FLAG_KEY = 8;
export const FLAG_BITS: readonly (readonly [number, number])[] = [
  [TUNNEL_ATTR.DONT_FRAGMENT, 2],
  [TUNNEL_ATTR.CSUM, 4],
  [TUNNEL_ATTR.OAM, 1],
];

/** The two lists of nested attributes that a text stands for. */
export interface TunnelBytes {
  key: Uint8Array;
  mask: Uint8Array;
}

interface Scan {
  scanner: TextScanner;
  key: Uint8Array[];
  mask: Uint8Array[];
  seen: Set<string>;
}

/** Reads what formatTunnel writes, up to and with the closing parenthesis. A field without a mask is matched whole. */
export function scanTunnel(scanner: TextScanner): TunnelBytes {
  const scan: Scan = { scanner, key: [], mask: [], seen: new Set() };
  while (!scanner.take(')')) {
    scanPart(scan);
    if (!scanner.take(',') && !scanner.peek(')')) throw scanner.error("',' or ')'");
  }
  return { key: concatBytes(scan.key), mask: concatBytes(scan.mask) };
}

function put(scan: Scan, number: number, key: Uint8Array, mask: Uint8Array): void {
  scan.key.push(attributeBytes(number, key));
  scan.mask.push(attributeBytes(number, mask));
}

function scanPart(scan: Scan): void {
  const { scanner } = scan;
  const start = scanner.position;
  const name = scanner.word();
  if (name === undefined) throw scanner.error('a tunnel field');
  if (scan.seen.has(name)) throw scanner.error(`${name} once`, start);
  scan.seen.add(name);
  const field = FIELD_BY_TEXT.get(name);
  if (field !== undefined) {
    scanner.expect('=');
    const { size } = field.kind;
    const pair = { key: new Uint8Array(size), mask: new Uint8Array(size) };
    field.kind.scan(scanner, pair.key, pair.mask, 0);
    put(scan, field.number, pair.key, pair.mask);
    return;
  }
  const unknown = /^key([0-9]{1,5})$/.exec(name);
  if (unknown !== null && Number(unknown[1]) <= 0x3fff) {
    scanner.expect('(');
    const pair = scanBytes(scanner);
    scanner.expect(')');
    put(scan, Number(unknown[1]), pair.key, pair.mask);
    return;
  }
  const option = OPTIONS[name];
  if (option === undefined) throw scanner.error('a tunnel field', start);
  scanner.expect('(');
  option(scan);
}

const OPTIONS: { readonly [name: string]: (scan: Scan) => void } = {
  flags: scanTunnelFlags,
  vxlan: scanVxlan,
  geneve: scanGeneve,
  erspan: scanErspan,
  gtpu: (scan) => {
    const pair = scanSlots(scan.scanner, 2, [
      ['flags', u8hex, 0],
      ['msgtype', u8, 1],
    ]);
    put(scan, TUNNEL_ATTR.GTPU_OPTS, pair.key, pair.mask);
  },
};

function scanTunnelFlags(scan: Scan): void {
  const { scanner } = scan;
  const { value, mask } = scanner.peek(')') ? { value: 0, mask: 0xf } : scanFlags(TUNNEL_FLAGS, scanner);
  scanner.expect(')');
  const empty = new Uint8Array(0);
  for (const [number, bit] of FLAG_BITS) {
    if ((value & bit) !== 0) scan.key.push(attributeBytes(number, empty));
    if ((mask & bit) !== 0) scan.mask.push(attributeBytes(number, empty));
  }
  // An identifier that is there but not matched has no field of its own in text.
  const partial = mask !== 0xf && (mask & FLAG_KEY) !== 0 && !scan.seen.has('tun_id');
  if (!partial) return;
  const id = new Uint8Array(8);
  if ((value & FLAG_KEY) !== 0) scan.key.push(attributeBytes(TUNNEL_ATTR.ID, id));
  scan.mask.push(attributeBytes(TUNNEL_ATTR.ID, id));
}

/** Named fields up to and with the closing parenthesis; those left out are zero and not matched. */
function scanSlots(
  scanner: TextScanner,
  size: number,
  rows: readonly (readonly [string, ValueKind, number])[],
): TunnelBytes {
  const key = new Uint8Array(size);
  const mask = new Uint8Array(size);
  while (!scanner.take(')')) {
    const row = rows.find(([name]) => scanner.take(`${name}=`));
    if (row === undefined) throw scanner.error(`one of ${rows.map(([name]) => `${name}=`).join(' ')}`);
    row[1].scan(scanner, key, mask, row[2]);
    if (!scanner.take(',') && !scanner.peek(')')) throw scanner.error("',' or ')'");
  }
  return { key, mask };
}

function scanVxlan(scan: Scan): void {
  const { scanner } = scan;
  scanner.expect('gbp(');
  const pair = scanSlots(scanner, 3, [
    ['id', be16, 0],
    ['flags', u8hex, 2],
  ]);
  scanner.expect(')');
  const gbp = ([high, low, flags]: Uint8Array) =>
    attributeBytes(VXLAN_EXT_GBP, u32Bytes((flags << 16) | (high << 8) | low));
  put(scan, TUNNEL_ATTR.VXLAN_OPTS, gbp(pair.key), gbp(pair.mask));
}

function scanGeneve(scan: Scan): void {
  const { scanner } = scan;
  const start = scanner.position;
  const key: Uint8Array[] = [];
  const mask: Uint8Array[] = [];
  let size = 0;
  while (!scanner.take(')')) {
    const option = scanOption(scanner);
    size += option.key.length;
    if (size > GENEVE_OPTS_SIZE_MAX) throw scanner.error(`at most ${GENEVE_OPTS_SIZE_MAX} bytes of options`, start);
    key.push(option.key);
    mask.push(option.mask);
    scanner.take(',');
  }
  put(scan, TUNNEL_ATTR.GENEVE_OPTS, concatBytes(key), concatBytes(mask));
}

function scanOption(scanner: TextScanner): TunnelBytes {
  scanner.expect('{');
  const key = new Uint8Array(128);
  const mask = new Uint8Array(128);
  let size = 0;
  while (!scanner.take('}')) {
    if (scanner.take('class=')) be16hex.scan(scanner, key, mask, 0);
    else if (scanner.take('type=')) u8hex.scan(scanner, key, mask, 2);
    else if (scanner.take('len=')) {
      const start = scanner.position;
      u8.scan(scanner, key, mask, 3);
      size = key[3];
      if (size > 124 || size % 4 !== 0) throw scanner.error('a multiple of 4 up to 124', start);
      key[3] = size / 4;
      mask[3] &= 0x1f;
    } else if (scanner.peek('0') && size > 0) {
      scanHex(scanner, key, 4, size);
      if (scanner.take('/')) scanHex(scanner, mask, 4, size);
      else mask.fill(0xff, 4, 4 + size);
    } else throw scanner.error(size > 0 ? 'class=, type=, len= or 0x and data' : 'class=, type= or len=');
    if (!scanner.take(',') && !scanner.peek('}')) throw scanner.error("',' or '}'");
  }
  return { key: key.slice(0, 4 + size), mask: mask.slice(0, 4 + size) };
}

function scanErspan(scan: Scan): void {
  const { scanner } = scan;
  const start = scanner.position;
  const { key, mask } = scanSlots(scanner, 8, [
    ['ver', u8, 0],
    ['idx', be32hex, 1],
    ['dir', u8, 5],
    ['hwid', u8hex, 6],
  ]);
  if (key[0] !== 1 && key[0] !== 2) throw scanner.error('ver=1 or ver=2', start);
  if (key[5] > 1 || key[6] > 15) throw scanner.error('dir of one bit and hwid of four', start);
  const value = new Uint8Array(ERSPAN_SIZE);
  // What text does not show is matched, as Open vSwitch does.
  const bits = new Uint8Array(ERSPAN_SIZE).fill(0xff);
  value[0] = key[0];
  if (mask[0] !== 0xff) bits.fill(0, 0, 4)[0] = mask[0];
  if (key[0] === 1) {
    value.set(key.subarray(1, 5), 4);
    bits.set(mask.subarray(1, 5), 4);
  } else {
    value[11] = (key[6] << 4) | (key[5] << 3);
    bits[11] = ((mask[6] & 0xf) << 4) | ((mask[5] & 1) << 3) | 0x07;
  }
  put(scan, TUNNEL_ATTR.ERSPAN_OPTS, value, bits);
}
