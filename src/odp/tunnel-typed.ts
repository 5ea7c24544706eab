/*
 * Tunnel metadata between its typed form and the tunnel part of a flat key and mask.
 *
 * Used by key.ts (exact keys) and match.ts. Plain fields go through the group codec; flags and options, which have no fixed place or
 * say more by being there, are written out here. All failures are OdpFieldError.
 */

import {
  KEY_TUN_DST,
  KEY_TUN_ERSPAN,
  KEY_TUN_ERSPAN_VER,
  KEY_TUN_GBP,
  KEY_TUN_GTPU_FLAGS,
  KEY_TUN_GTPU_MSGTYPE,
  KEY_TUN_ID,
  KEY_TUN_OPTS,
  KEY_TUN_OPTS_SIZE,
  KEY_TUN_PROTO,
  KEY_TUN_SRC,
  KEY_TUN_TOS,
  KEY_TUN_TP_DST,
  KEY_TUN_TP_SRC,
  KEY_TUN_TTL,
} from '../../assembly/constants.ts';
import { OdpFieldError } from './errors.ts';
import type { Slot } from './fields.ts';
import { decodeFields, decodeMaskedFields, encodeFields } from './groups.ts';
import { bytesOfHex, hexBytes } from './hex.ts';
import { numberKind, type ValueKind } from './kinds.ts';
import {
  ERSPAN_SIZE,
  GENEVE_OPTS_SIZE_MAX,
  setTunnelFlags,
  TUN_FLAG,
  TUN_PROTO_IPV4,
  TUN_PROTO_IPV6,
  tunnelFlags,
} from './tunnel.ts';
import type { GeneveOption, Masked, TunnelKey } from './types.ts';
import { be16, be32hex, ipv4Kind, ipv6Kind, u8 } from './value-kinds.ts';

const be64 = numberKind({ size: 8, order: 'be', base: 'hex' });
const u16le = numberKind({ size: 2, order: 'le', base: 'dec' });
/** Text shows the low byte only. */
const gbpFlags = numberKind({ size: 2, order: 'le', base: 'dec', width: 8 });

function slot(name: string, at: number, kind: ValueKind): Slot {
  return { name, text: name, at, kind };
}

const ID = slot('id', KEY_TUN_ID, be64);
const plain = (address: ValueKind): readonly Slot[] => [
  slot('src', KEY_TUN_SRC, address),
  slot('dst', KEY_TUN_DST, address),
  slot('tos', KEY_TUN_TOS, u8),
  slot('ttl', KEY_TUN_TTL, u8),
  slot('tpSrc', KEY_TUN_TP_SRC, be16),
  slot('tpDst', KEY_TUN_TP_DST, be16),
];
const PLAIN4 = plain(ipv4Kind);
const PLAIN6 = plain(ipv6Kind);
const GBP: readonly Slot[] = [slot('id', KEY_TUN_GBP, u16le), slot('flags', KEY_TUN_GBP + 2, gbpFlags)];
const GTPU: readonly Slot[] = [slot('flags', KEY_TUN_GTPU_FLAGS, u8), slot('msgtype', KEY_TUN_GTPU_MSGTYPE, u8)];

/** Some bits of one byte of the ERSPAN metadata. */
function bits(shift: number, width: number): ValueKind {
  const max = (1 << width) - 1;
  const number = numberKind({ size: 1, order: 'be', base: 'dec', width });
  const read = (bytes: Uint8Array, from = 0) => (bytes[from] >> shift) & max;
  return {
    ...number,
    full: Uint8Array.of(max << shift),
    isExact: (mask, from = 0) => read(mask, from) === max,
    toTyped: (value, from = 0) => read(value, from),
    toTypedMatch: (value, mask, from = 0) =>
      read(mask, from) === max ? read(value, from) : { value: read(value, from), mask: read(mask, from) },
    fromTyped: (input, field, value, mask, from) => {
      const pair = [new Uint8Array(1), new Uint8Array(1)];
      number.fromTyped(input, field, pair[0], pair[1], 0);
      value[from] = (value[from] & ~(max << shift)) | (pair[0][0] << shift);
      mask[from] = (mask[from] & ~(max << shift)) | (pair[1][0] << shift);
    },
  };
}

const ERSPAN1: readonly Slot[] = [slot('index', KEY_TUN_ERSPAN + 4, be32hex)];
const ERSPAN2: readonly Slot[] = [
  slot('timestamp', KEY_TUN_ERSPAN + 4, be32hex),
  slot('sgt', KEY_TUN_ERSPAN + 8, be16),
  slot('p', KEY_TUN_ERSPAN + 10, bits(7, 1)),
  slot('ft', KEY_TUN_ERSPAN + 10, bits(2, 5)),
  slot('hwidUpper', KEY_TUN_ERSPAN + 10, bits(0, 2)),
  slot('hwid', KEY_TUN_ERSPAN + 11, bits(4, 4)),
  slot('dir', KEY_TUN_ERSPAN + 11, bits(3, 1)),
  slot('gra', KEY_TUN_ERSPAN + 11, bits(1, 2)),
  slot('o', KEY_TUN_ERSPAN + 11, bits(0, 1)),
];

/** Bytes of which no field says anything: of the version's number the upper ones, in version 1 those behind the index. */
const ERSPAN2_REST = [1, 2, 3].map((at) => KEY_TUN_ERSPAN + at);
const ERSPAN1_REST = [...ERSPAN2_REST, ...[8, 9, 10, 11].map((at) => KEY_TUN_ERSPAN + at)];

const FLAGS = [
  ['df', TUN_FLAG.DONT_FRAGMENT],
  ['csum', TUN_FLAG.CSUM],
  ['oam', TUN_FLAG.OAM],
] as const;
const OPTIONS = ['geneve', 'vxlanGbp', 'erspan', 'gtpu'] as const;
const GENEVE_HEADER_SIZE = 4;
const GENEVE_DATA_SIZE_MAX = 124;

/** Writes a typed tunnel, exact or under masks, to the flat key and mask. `whole` demands every field of the outer headers. */
export function encodeTunnelKey(tunnel: Masked<TunnelKey>, key: Uint8Array, mask: Uint8Array, whole: boolean): void {
  const { id, df, csum, oam, geneve, vxlanGbp, erspan, gtpu, ...fields } = tunnel;
  const six = [fields.src, fields.dst].some((address) => address?.includes(':'));
  key[KEY_TUN_PROTO] = six ? TUN_PROTO_IPV6 : TUN_PROTO_IPV4;
  mask[KEY_TUN_PROTO] = 0xff;
  encodeFields('tunnel', six ? PLAIN6 : PLAIN4, fields, key, mask, whole);
  if (id !== undefined) {
    ID.kind.fromTyped(id, 'tunnel.id', key, mask, ID.at);
    setTunnelFlags(key, TUN_FLAG.KEY);
    setTunnelFlags(mask, TUN_FLAG.KEY);
  }
  for (const [name, flag] of FLAGS) {
    const value = { df, csum, oam }[name];
    if (value !== undefined) setTunnelFlags(mask, flag);
    if (value) setTunnelFlags(key, flag);
  }
  const given = OPTIONS.filter((name) => tunnel[name] !== undefined);
  if (given.length > 1) throw new OdpFieldError(`tunnel.${given[1]}`, `${given[0]} is given as well`);
  if (geneve !== undefined) encodeGeneve(geneve, key, mask);
  if (vxlanGbp !== undefined) encodeOption('vxlanGbp', TUN_FLAG.VXLAN_OPT, 4, GBP, vxlanGbp, key, mask, whole);
  if (gtpu !== undefined) encodeOption('gtpu', TUN_FLAG.GTPU_OPT, 2, GTPU, gtpu, key, mask, whole);
  if (erspan !== undefined) encodeErspan(erspan, key, mask);
}

function setOption(flag: number, size: number, key: Uint8Array, mask: Uint8Array): void {
  setTunnelFlags(key, flag);
  setTunnelFlags(mask, flag);
  key[KEY_TUN_OPTS_SIZE] = size;
  mask[KEY_TUN_OPTS_SIZE] = 0xff;
}

function encodeOption(
  name: string,
  flag: number,
  size: number,
  slots: readonly Slot[],
  typed: unknown,
  key: Uint8Array,
  mask: Uint8Array,
  whole: boolean,
): void {
  encodeFields(`tunnel.${name}`, slots, typed, key, mask, whole);
  setOption(flag, size, key, mask);
}

function encodeErspan(erspan: NonNullable<Masked<TunnelKey>['erspan']>, key: Uint8Array, mask: Uint8Array): void {
  const { version, data, ...fields } = erspan;
  if (data !== undefined) {
    if (Object.keys(erspan).length > 1) throw new OdpFieldError('tunnel.erspan.data', 'other fields are given as well');
    return encodeErspanData(data, key, mask);
  }
  if (version !== 1 && version !== 2) throw new OdpFieldError('tunnel.erspan.version', 'must be 1 or 2');
  encodeOption('erspan', TUN_FLAG.ERSPAN_OPT, ERSPAN_SIZE, version === 1 ? ERSPAN1 : ERSPAN2, fields, key, mask, false);
  key[KEY_TUN_ERSPAN] = version;
  mask.fill(0xff, KEY_TUN_ERSPAN, KEY_TUN_ERSPAN + 4);
  // Behind the index there is nothing in version 1, and that is matched, as it is in text.
  if (version === 1) mask.fill(0xff, KEY_TUN_ERSPAN + 8, KEY_TUN_ERSPAN + ERSPAN_SIZE);
  key[KEY_TUN_ERSPAN_VER] = version;
  mask[KEY_TUN_ERSPAN_VER] = 0xff;
}

function encodeErspanData(text: string, key: Uint8Array, mask: Uint8Array): void {
  const [data, bits] = hexWords(text, 'tunnel.erspan.data', ERSPAN_SIZE, ERSPAN_SIZE);
  key.set(data, KEY_TUN_ERSPAN);
  mask.set(bits, KEY_TUN_ERSPAN);
  key[KEY_TUN_ERSPAN_VER] = data[0];
  mask[KEY_TUN_ERSPAN_VER] = bits[0];
  setOption(TUN_FLAG.ERSPAN_OPT, ERSPAN_SIZE, key, mask);
}

function encodeGeneve(options: readonly (Masked<GeneveOption> | undefined)[], key: Uint8Array, mask: Uint8Array): void {
  let size = 0;
  for (const [index, option] of options.entries()) {
    const field = `tunnel.geneve[${index}]`;
    if (option === undefined) throw new OdpFieldError(field, 'missing');
    const [data, bits] = hexWords(option.data ?? '', `${field}.data`, 0, GENEVE_DATA_SIZE_MAX);
    const at = KEY_TUN_OPTS + size;
    size += GENEVE_HEADER_SIZE + data.length;
    if (size > GENEVE_OPTS_SIZE_MAX)
      throw new OdpFieldError(field, `more than ${GENEVE_OPTS_SIZE_MAX} bytes of options`);
    const { class: optionClass, type } = option;
    const slots = [slot('class', at, be16), slot('type', at + 2, u8)];
    encodeFields(field, slots, { class: optionClass, type }, key, mask);
    key[at + 3] = data.length / 4;
    mask[at + 3] = 0x1f;
    key.set(data, at + GENEVE_HEADER_SIZE);
    mask.set(bits, at + GENEVE_HEADER_SIZE);
  }
  setOption(TUN_FLAG.GENEVE_OPT, size, key, mask);
}

/** Data and mask of `digits` or `digits/digits`, `min` to `max` bytes in whole words. */
function hexWords(text: string, field: string, min: number, max: number): [Uint8Array, Uint8Array] {
  const [data, mask = 'f'.repeat(data.length), ...rest] = text.split('/');
  const valid = (part: string) => /^([0-9a-fA-F]{8})*$/.test(part) && part.length >= 2 * min && part.length <= 2 * max;
  if (!valid(data) || !valid(mask) || mask.length !== data.length || rest.length > 0) {
    const words = min === max ? `${min / 4}` : `${min / 4} to ${max / 4}`;
    throw new OdpFieldError(field, `${JSON.stringify(text)} is no hexadecimal data of ${words} words`);
  }
  return [bytesOfHex(data), bytesOfHex(mask)];
}

/** `digits`, with `/digits` of a mask that is not all ones. */
function wordsText(at: number, end: number, key: Uint8Array, mask?: Uint8Array): string {
  const data = hexBytes(key.subarray(at, end));
  const bits = mask && hexBytes(mask.subarray(at, end));
  return bits === undefined || /^f*$/.test(bits) ? data : `${data}/${bits}`;
}

/** Typed form of the tunnel part of an exact key. */
export function decodeTunnelKey(key: Uint8Array): TunnelKey {
  const typed: Record<string, unknown> = decodeFields(plainSlots(key), key);
  const flags = tunnelFlags(key);
  if ((flags & TUN_FLAG.KEY) !== 0) typed.id = ID.kind.toTyped(key, ID.at);
  for (const [name, flag] of FLAGS) if ((flags & flag) !== 0) typed[name] = true;
  if ((flags & TUN_FLAG.GENEVE_OPT) !== 0) typed.geneve = decodeGeneve(key);
  if ((flags & TUN_FLAG.VXLAN_OPT) !== 0) typed.vxlanGbp = decodeFields(GBP, key);
  if ((flags & TUN_FLAG.GTPU_OPT) !== 0) typed.gtpu = decodeFields(GTPU, key);
  if ((flags & TUN_FLAG.ERSPAN_OPT) !== 0)
    typed.erspan = isTypedErspan(key)
      ? { version: key[KEY_TUN_ERSPAN], ...decodeFields(erspanSlots(key), key) }
      : { data: erspanText(key) };
  return typed as unknown as TunnelKey; // the slots above name each property of TunnelKey
}

/** Typed form of the tunnel part of a match. */
export function decodeTunnelMatch(key: Uint8Array, mask: Uint8Array): Masked<TunnelKey> {
  const typed: Record<string, unknown> = decodeMaskedFields(plainSlots(key), key, mask);
  const flags = tunnelFlags(key);
  const matched = tunnelFlags(mask);
  if ((matched & TUN_FLAG.KEY) !== 0) typed.id = ID.kind.toTypedMatch(key, mask, ID.at);
  for (const [name, flag] of FLAGS) if ((matched & flag) !== 0) typed[name] = (flags & flag) !== 0;
  const options = flags & matched;
  if ((options & TUN_FLAG.GENEVE_OPT) !== 0) typed.geneve = decodeGeneve(key, mask);
  if ((options & TUN_FLAG.VXLAN_OPT) !== 0) typed.vxlanGbp = decodeMaskedFields(GBP, key, mask);
  if ((options & TUN_FLAG.GTPU_OPT) !== 0) typed.gtpu = decodeMaskedFields(GTPU, key, mask);
  if ((options & TUN_FLAG.ERSPAN_OPT) !== 0)
    typed.erspan = isTypedErspan(key, mask)
      ? { version: key[KEY_TUN_ERSPAN], ...decodeMaskedFields(erspanSlots(key), key, mask) }
      : { data: erspanText(key, mask) };
  return typed as Masked<TunnelKey>;
}

function plainSlots(key: Uint8Array): readonly Slot[] {
  return key[KEY_TUN_PROTO] === TUN_PROTO_IPV6 ? PLAIN6 : PLAIN4;
}

function erspanSlots(key: Uint8Array): readonly Slot[] {
  return key[KEY_TUN_ERSPAN] === 1 ? ERSPAN1 : ERSPAN2;
}

/** True when fields say all of the metadata: a version that has them, matched whole, and nothing where it has none. */
function isTypedErspan(key: Uint8Array, mask?: Uint8Array): boolean {
  const version = key[KEY_TUN_ERSPAN];
  if (version !== 1 && version !== 2) return false;
  if (mask !== undefined && mask[KEY_TUN_ERSPAN] !== 0xff) return false;
  return (version === 1 ? ERSPAN1_REST : ERSPAN2_REST).every(
    (at) => key[at] === 0 && (mask === undefined || mask[at] === 0xff),
  );
}

function erspanText(key: Uint8Array, mask?: Uint8Array): string {
  return wordsText(KEY_TUN_ERSPAN, KEY_TUN_ERSPAN + ERSPAN_SIZE, key, mask);
}

function decodeGeneve(key: Uint8Array, mask?: Uint8Array): unknown[] {
  const options: unknown[] = [];
  const end = KEY_TUN_OPTS + Math.min(key[KEY_TUN_OPTS_SIZE], GENEVE_OPTS_SIZE_MAX);
  for (let at = KEY_TUN_OPTS; at + GENEVE_HEADER_SIZE <= end; ) {
    const next = at + GENEVE_HEADER_SIZE + (key[at + 3] & 0x1f) * 4;
    if (next > end) throw new OdpFieldError('tunnel.geneve', 'an option is longer than the options');
    const slots = [slot('class', at, be16), slot('type', at + 2, u8)];
    const fields = mask === undefined ? decodeFields(slots, key) : decodeMaskedFields(slots, key, mask);
    options.push({ ...fields, data: wordsText(at + GENEVE_HEADER_SIZE, next, key, mask) });
    at = next;
  }
  return options;
}
