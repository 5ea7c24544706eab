/*
 * The nested attributes of OVS_KEY_ATTR_TUNNEL as text: what stands in `tunnel(...)`, as Open vSwitch writes it.
 *
 * Works on attribute payloads, so that a key, a mask or a set action can use it. Fields come in the order of the attributes; a mask
 * is a second list with attributes of the same numbers, and an attribute that it lacks is not matched.
 */

import { type Attribute, attributeBytes, concatBytes, readU32, walkAttributes } from './attributes.ts';
import { OdpSyntaxError } from './errors.ts';
import { formatExact, formatSigned } from './flags.ts';
import { formatBytes, formatHex } from './hex.ts';
import { hex, type ValueKind } from './kinds.ts';
import { TextScanner } from './scanner.ts';
import { ERSPAN_SIZE, TUNNEL_ATTR, VXLAN_EXT_GBP } from './tunnel.ts';
import { FLAG_BITS, FLAG_KEY, scanTunnel, TUNNEL_FIELDS, TUNNEL_FLAGS, type TunnelBytes } from './tunnel-scan.ts';
import { be16, be16hex, be32hex, u8, u8hex } from './value-kinds.ts';

const FIELD_BY_NUMBER = new Map(TUNNEL_FIELDS.map((field) => [field.number, field]));

/** How a tunnel is written. */
export interface TunnelTextOptions {
  /** Write fields that are not matched as well, as `value/0`. */
  verbose?: boolean;
  /**
   * Write what Open vSwitch leaves out, so that the text gives the same bytes again: `-key`, addresses that are there but not
   * matched, and options that its spelling loses part of as `keyN(hex)`.
   */
  complete?: boolean;
}

/** Text of the nested attributes in `key`, under the mask in `mask` if that is given. Unknown ones are written `keyN(hex)`. */
export function formatTunnel(key: Uint8Array, mask?: Uint8Array, options: TunnelTextOptions = {}): string {
  const masks = mask === undefined ? undefined : attributesByNumber(mask);
  const parts: string[] = [];
  let flags = 0;
  let flagsMask = 0;
  for (const attribute of walkAttributes(key, 'OVS_TUNNEL_KEY_ATTR')) {
    const { number, payload } = attribute;
    const bits = masks === undefined ? undefined : (masks.get(number)?.payload ?? wildcardOf(attribute));
    if (number === TUNNEL_ATTR.ID) {
      flags |= FLAG_KEY;
      flagsMask |= FLAG_KEY;
    }
    const flag = FLAG_BITS.find((entry) => entry[0] === number);
    if (flag !== undefined) flags |= flag[1];
    else if (number !== TUNNEL_ATTR.PAD) {
      const text = formatAttribute(attribute, payload, bits, options);
      if (text !== '') parts.push(text);
    }
  }
  if (masks !== undefined) {
    for (const [number, bit] of FLAG_BITS) if (masks.has(number)) flagsMask |= bit;
    if (options.complete && masks.has(TUNNEL_ATTR.ID)) flagsMask |= FLAG_KEY;
  }
  const text = formatFlags(flags, masks === undefined ? undefined : flagsMask, options.verbose ?? false);
  if (text !== '') parts.push(text);
  return parts.join(',');
}

function attributesByNumber(bytes: Uint8Array): Map<number, Attribute> {
  const found = new Map<number, Attribute>();
  for (const attribute of walkAttributes(bytes, 'OVS_TUNNEL_KEY_ATTR'))
    if (!found.has(attribute.number)) found.set(attribute.number, attribute);
  return found;
}

/** A mask that matches nothing of an attribute; a nested one has the same attributes inside. */
function wildcardOf({ number, payload }: Attribute): Uint8Array {
  if (number !== TUNNEL_ATTR.VXLAN_OPTS) return new Uint8Array(payload.length);
  return concatBytes(
    Array.from(walkAttributes(payload, 'OVS_VXLAN_EXT'), (inner) =>
      attributeBytes(inner.number, new Uint8Array(inner.payload.length)),
    ),
  );
}

function formatFlags(flags: number, mask: number | undefined, verbose: boolean): string {
  if (mask === 0) return verbose ? 'flags(0/0)' : '';
  const exact = mask === undefined || mask === 0xf;
  return `flags(${exact ? formatExact(TUNNEL_FLAGS, flags) : formatSigned(TUNNEL_FLAGS, flags, mask)})`;
}

type Masks = Uint8Array | undefined;

function formatAttribute(attribute: Attribute, key: Uint8Array, mask: Masks, options: TunnelTextOptions): string {
  const { verbose = false, complete = false } = options;
  const { number } = attribute;
  const field = FIELD_BY_NUMBER.get(number);
  if (field !== undefined && key.length === field.kind.size) {
    return part(field.text, field.kind, key, mask, 0, verbose || (complete && ADDRESSES.has(number)));
  }
  const text = formatOptions(number, key, mask, verbose || complete);
  return text === undefined || (complete && !isSame(text, key, mask)) ? formatRaw(number, key, mask) : text;
}

const ADDRESSES: ReadonlySet<number> = new Set([
  TUNNEL_ATTR.IPV4_SRC,
  TUNNEL_ATTR.IPV4_DST,
  TUNNEL_ATTR.IPV6_SRC,
  TUNNEL_ATTR.IPV6_DST,
]);

/** True when the text of an attribute gives its payload and mask again. */
function isSame(text: string, key: Uint8Array, mask: Masks): boolean {
  const again = tryScan(`${text})`);
  const payload = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset + 4, key.length);
  if (again === undefined || again.key.length < 4 + key.length) return false;
  return payload(again.key).equals(key) && (mask === undefined || payload(again.mask).equals(mask));
}

function tryScan(text: string): TunnelBytes | undefined {
  try {
    return scanTunnel(new TextScanner(text));
  } catch (error) {
    if (error instanceof OdpSyntaxError) return undefined;
    throw error;
  }
}

function formatRaw(number: number, key: Uint8Array, mask: Masks): string {
  const exact = mask === undefined || mask.every((byte) => byte === 0xff);
  return `key${number}(${formatBytes(key)}${exact ? '' : `/${formatBytes(mask)}`})`;
}

/** Text of one of the option attributes; undefined when it is none, or of a wrong size. */
function formatOptions(number: number, key: Uint8Array, mask: Masks, verbose: boolean): string | undefined {
  switch (number) {
    case TUNNEL_ATTR.VXLAN_OPTS:
      return `vxlan(${formatVxlan(key, mask, verbose)})`;
    case TUNNEL_ATTR.GENEVE_OPTS:
      return `geneve(${formatGeneve(key, mask, verbose)})`;
    case TUNNEL_ATTR.ERSPAN_OPTS:
      if (key.length === ERSPAN_SIZE && (readU32(key) === 1 || readU32(key) === 2))
        return `erspan(${formatErspan(key, mask, verbose)})`;
      break;
    case TUNNEL_ATTR.GTPU_OPTS:
      if (key.length === 2) {
        const parts = [part('flags', u8hex, key, mask, 0, verbose), part('msgtype', u8, key, mask, 1, verbose)];
        return `gtpu(${joinParts(parts)})`;
      }
  }
  return undefined;
}

function joinParts(parts: readonly string[]): string {
  return parts.filter((text) => text !== '').join(',');
}

/** `name=value[/mask]`, empty when it is not matched. */
function part(text: string, kind: ValueKind, key: Uint8Array, mask: Masks, at: number, verbose: boolean): string {
  if (mask === undefined || kind.isExact(mask, at)) return `${text}=${kind.format(key, at)}`;
  const wildcard = mask.subarray(at, at + kind.size).every((byte) => byte === 0);
  return wildcard && !verbose ? '' : `${text}=${kind.formatMasked(key, mask, at)}`;
}

function formatVxlan(key: Uint8Array, mask: Masks, verbose: boolean): string {
  const masks = mask === undefined ? [] : [...walkAttributes(mask, 'OVS_VXLAN_EXT')];
  const parts: string[] = [];
  for (const { number, payload } of walkAttributes(key, 'OVS_VXLAN_EXT')) {
    const bits = mask && (masks.find((entry) => entry.number === number)?.payload ?? new Uint8Array(payload.length));
    if (number !== VXLAN_EXT_GBP || payload.length !== 4) {
      parts.push(`key${number}(${formatBytes(payload)})`);
      continue;
    }
    // u32 of flags << 16 | policy: id is its low half, flags the low byte of its high half.
    const word = (bytes: Uint8Array) => {
      const value = readU32(bytes);
      return Uint8Array.of((value >>> 8) & 0xff, value & 0xff, (value >>> 16) & 0xff);
    };
    const fields = word(payload);
    const fieldBits = bits && word(bits);
    const inner = [
      part('id', be16, fields, fieldBits, 0, verbose),
      part('flags', u8hex, fields, fieldBits, 2, verbose),
    ];
    parts.push(`gbp(${joinParts(inner)})`);
  }
  return parts.join(',');
}

function formatGeneve(key: Uint8Array, mask: Masks, verbose: boolean): string {
  if (mask !== undefined && mask.length !== key.length)
    return `value len ${key.length} different from mask len ${mask.length}`;
  let text = '';
  for (let at = 0; at < key.length; ) {
    const left = key.length - at;
    if (left < 4) return `${text}opt len ${left} less than minimum 4`;
    const size = (key[at + 3] & 0x1f) * 4;
    if (4 + size > left) return `${text}opt len ${4 + size} greater than remaining ${left}`;
    text += `{${formatOption(key.subarray(at, at + 4 + size), mask?.subarray(at, at + 4 + size), verbose)}}`;
    at += 4 + size;
  }
  return text;
}

function formatOption(option: Uint8Array, mask: Masks, verbose: boolean): string {
  const size = option.length - 4;
  const lengthBits = mask === undefined ? 0xff : (mask[3] & 0x1f) === 0x1f ? 0xff : mask[3] & 0x1f;
  const parts = [
    part('class', be16hex, option, mask, 0, verbose),
    part('type', u8hex, option, mask, 2, verbose),
    part('len', u8, Uint8Array.of(size), Uint8Array.of(lengthBits), 0, verbose),
  ];
  const bits = mask?.subarray(4);
  if (size > 0 && (verbose || bits === undefined || bits.some((byte) => byte !== 0))) {
    const exact = bits === undefined || bits.every((byte) => byte === 0xff);
    parts.push(formatHex(option.subarray(4)) + (exact ? '' : `/${formatHex(bits)}`));
  }
  return joinParts(parts);
}

function formatErspan(key: Uint8Array, mask: Masks, verbose: boolean): string {
  const parts = [part('ver', u8, key, mask, 0, verbose)];
  const version = readU32(key);
  if (version === 1) {
    const index = (bytes: Uint8Array) => hex(Number(be32hex.toTyped(bytes, 4)));
    parts.push(`idx=${index(key)}${mask === undefined ? '' : `/${index(mask)}`}`);
  } else {
    const bits = (bytes: Uint8Array) => Uint8Array.of((bytes[11] >> 3) & 1, bytes[11] >> 4);
    // As masks these fields have one and four bits, which Open vSwitch does not take for a whole byte.
    const masked = mask && bits(mask);
    parts.push(part('dir', u8, bits(key), masked, 0, verbose), part('hwid', u8hex, bits(key), masked, 1, verbose));
  }
  return joinParts(parts);
}
