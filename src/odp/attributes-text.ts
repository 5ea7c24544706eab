/*
 * Lists of key attributes (OVS_KEY_ATTR_*) as text, attribute by attribute, as `ovs-dpctl dump-flows` prints and `add-flow` reads them.
 *
 * Nothing is checked but the form: order, duplicates, unknown attributes and attributes that nothing leads to come through, in both
 * directions; key-decode.ts judges. An attribute that Open vSwitch has no spelling for, or that has a wrong size, is written
 * `keyN(hex bytes)`. The same field table serves here as for flat keys (key-text.ts, key-parse.ts).
 */

import { AttributeBuilder } from '../netlink/attributes.ts';
import { MessageBuffer } from '../netlink/buffer.ts';
import { ATTRIBUTE_HEADER_SIZE, type Attribute, readU32, u32Bytes, walkAttributes } from './attributes.ts';
import { formatDumpedTci, formatMpls, scanMpls, scanTci } from './bitfields.ts';
import { ATTRIBUTES, ATTRIBUTES_BY_NUMBER, ATTRIBUTES_BY_TEXT, type KeyAttribute, type Slot } from './fields.ts';
import { formatGroup, scanGroup } from './groups.ts';
import { formatBytes, scanBytes } from './hex.ts';
import { KEY_ATTR } from './key-attributes.ts';
import { hex } from './kinds.ts';
import { readBe16, readBe32, writeBe16, writeBe32 } from './layers.ts';
import { formatNsh, scanNsh } from './nsh-text.ts';
import { NameTable, TextScanner } from './scanner.ts';
import { scanTunnel } from './tunnel-scan.ts';
import { formatTunnel } from './tunnel-text.ts';
import { scanUfid } from './ufid.ts';

export interface FormatKeyOptions {
  /** Write what is not matched as well, as `dump-flows -m` does. */
  verbose?: boolean;
  /** Name of a datapath port, undefined when it has none. */
  portName?: (port: number) => string | undefined;
}

export interface ParseKeyOptions {
  /** Number of a named datapath port, undefined when there is none of that name. */
  portNumber?: (name: string) => number | undefined;
}

/** Key and mask attributes, and the UFID that stood before them. */
export interface KeyText {
  key: Uint8Array;
  mask: Uint8Array;
  ufid?: Uint8Array;
}

/** Attributes of a list stay below what one attribute can hold. */
const LIST_SIZE_MAX = 65531;
const NESTED_MAX = 32;
const MPLS_ENTRY_SIZE = 4;
const MPLS_COUNT_MAX = 3;

/** Text of a key list, under a mask list if that is given. Throws OdpAttributeError when a list is cut. */
export function formatKeyAttributes(key: Uint8Array, mask?: Uint8Array, options: FormatKeyOptions = {}): string {
  if (key.length === 0) return '<empty>';
  const masks = mask === undefined || mask.length === 0 ? undefined : firstOfEach(mask);
  const parts: string[] = [];
  let hasType = false;
  let hasPacketType = false;
  for (const attribute of walkAttributes(key, 'OVS_KEY_ATTR')) {
    const { number } = attribute;
    const bits = masks?.get(number)?.payload;
    const hidden = masks !== undefined && !options.verbose && isHidden(number, bits);
    if (number === KEY_ATTR.ETHERTYPE) hasType = true;
    if (number === ATTRIBUTES.packetType.number) hasPacketType = !hidden;
    if (!hidden)
      parts.push(formatAttribute(attribute, masks === undefined ? undefined : (bits ?? wildcard(attribute)), options));
    else if (number === ATTRIBUTES.eth.number && !hasPacketType) parts.push('eth()');
  }
  const type = hasType ? undefined : masks?.get(KEY_ATTR.ETHERTYPE);
  if (type?.payload.length === 2) parts.push(`eth_type(0/${hex(readBe16(type.payload, 0), 4)})`);
  return parts.join(',');
}

function firstOfEach(bytes: Uint8Array): Map<number, Attribute> {
  const found = new Map<number, Attribute>();
  for (const attribute of walkAttributes(bytes, 'OVS_KEY_ATTR'))
    if (!found.has(attribute.number)) found.set(attribute.number, attribute);
  return found;
}

function isNested(number: number): boolean {
  return number === KEY_ATTR.ENCAP || number === KEY_ATTR.TUNNEL || number === KEY_ATTR.NSH;
}

/** What is not matched is not shown; nested attributes are, and unknown ones whose mask is given. */
function isHidden(number: number, mask: Uint8Array | undefined): boolean {
  if (isNested(number)) return false;
  if (mask === undefined) return true;
  const used = USED_SIZE.get(number) ?? mask.length;
  const known = ATTRIBUTES_BY_NUMBER.has(number) || number === KEY_ATTR.VLAN || number === KEY_ATTR.MPLS;
  return known && number !== ATTRIBUTES.ipv6Exthdrs.number && isFilled(mask, 0, used);
}

/** True when the first `size` bytes are all `byte`. */
function isFilled(bytes: Uint8Array, byte: number, size = bytes.length): boolean {
  for (let i = 0; i < size && i < bytes.length; i++) if (bytes[i] !== byte) return false;
  return true;
}

/** Payloads that end with padding. */
const USED_SIZE: ReadonlyMap<number, number> = new Map([
  [ATTRIBUTES.arp.number, 22],
  [ATTRIBUTES.ctTuple4.number, 13],
  [ATTRIBUTES.ctTuple6.number, 37],
]);

/** The mask of an attribute that the mask list lacks. */
function wildcard({ number, payload }: Attribute): Uint8Array {
  return isNested(number) ? new Uint8Array(0) : new Uint8Array(payload.length);
}

function formatAttribute(attribute: Attribute, mask: Uint8Array | undefined, options: FormatKeyOptions): string {
  const { number, payload } = attribute;
  const { verbose = false } = options;
  const entry = ATTRIBUTES_BY_NUMBER.get(number);
  const fits = (size: number) => payload.length === size && (mask === undefined || mask.length === size);
  if (entry !== undefined && fits(entry.wireSize) && hasSpelling(entry, payload, mask))
    return `${entry.text}(${formatKnown(entry, payload, mask, options)})`;
  switch (number) {
    case KEY_ATTR.ENCAP: {
      const bits = mask === undefined || mask.length === 0 ? undefined : mask;
      // Without a mask for what is inside, all of it is shown.
      return `encap(${payload.length === 0 ? '' : formatKeyAttributes(payload, bits, { verbose })})`;
    }
    case KEY_ATTR.TUNNEL:
      return `tunnel(${formatTunnel(payload, mask, { verbose })})`;
    case KEY_ATTR.NSH: {
      const text = formatNsh(payload, mask);
      if (text !== undefined) return `nsh(${text})`;
      break;
    }
    case KEY_ATTR.VLAN:
      if (fits(2))
        return `vlan(${formatDumpedTci(readBe16(payload, 0), mask === undefined ? 0xffff : readBe16(mask, 0), verbose)})`;
      break;
    case KEY_ATTR.MPLS:
      if (payload.length > 0 && payload.length % MPLS_ENTRY_SIZE === 0 && fits(payload.length))
        return `mpls(${formatLabels(payload, mask)})`;
  }
  return `key${number}(${formatBytes(payload)}${mask === undefined ? '' : `/${formatBytes(mask)}`})`;
}

/** False for bits that the fields of an attribute do not have, and for a fragment type that is none or partly matched. */
function hasSpelling(entry: KeyAttribute, key: Uint8Array, mask: Uint8Array | undefined): boolean {
  for (const slot of entry.wire ?? []) {
    const { at, kind, text } = slot;
    const ok =
      text === 'frag'
        ? key[at] <= 2 && (mask === undefined || mask[at] === 0 || mask[at] === 0xff)
        : !isBeyond(slot, key) && (mask === undefined || kind.isExact(mask, at) || !isBeyond(slot, mask));
    if (!ok) return false;
  }
  return true;
}

function isBeyond({ at, kind }: Slot, bytes: Uint8Array): boolean {
  for (let i = 0; i < kind.size; i++) if ((bytes[at + i] & ~kind.full[i]) !== 0) return true;
  return false;
}

function formatLabels(key: Uint8Array, mask: Uint8Array | undefined): string {
  const words = Array.from({ length: key.length / MPLS_ENTRY_SIZE }, (_, index) => ({
    value: readBe32(key, index * MPLS_ENTRY_SIZE),
    mask: mask === undefined ? 0xffffffff : readBe32(mask, index * MPLS_ENTRY_SIZE),
  }));
  return formatMpls(words);
}

/** Text of an attribute of the field table. */
function formatKnown(
  entry: KeyAttribute,
  key: Uint8Array,
  mask: Uint8Array | undefined,
  options: FormatKeyOptions,
): string {
  const { verbose = false, portName } = options;
  const exact = mask === undefined || isFilled(mask, 0xff);
  if (entry === ATTRIBUTES.inPort && exact) return portName?.(readU32(key)) ?? String(readU32(key));
  if (entry === ATTRIBUTES.ctState && verbose) {
    const { kind } = ATTRIBUTES.ctMark.flat[0];
    return exact ? kind.format(key) : kind.formatMasked(key, mask);
  }
  return formatGroup(entry.wire ?? [], key, mask, verbose);
}

/** Attributes that Open vSwitch writes without their value when there is no mask list: `ct_zone()`. */
const CT_PLAIN: ReadonlySet<KeyAttribute> = new Set([ATTRIBUTES.ctZone, ATTRIBUTES.ctMark, ATTRIBUTES.ctLabel]);

interface Scan {
  scanner: TextScanner;
  options: ParseKeyOptions;
}

/** Key and mask lists in the making. They grow alike, but for an eth_type() without a key. */
class Lists {
  readonly buffers = { key: new MessageBuffer(), mask: new MessageBuffer() };
  readonly key = new AttributeBuilder(this.buffers.key);
  readonly mask = new AttributeBuilder(this.buffers.mask);

  put(number: number, key: Uint8Array, mask: Uint8Array): void {
    this.key.raw(number, key);
    this.mask.raw(number, mask);
  }
}

/**
 * Key and mask lists of a text; a field without a mask is matched whole. Reads all that formatKeyAttributes and ovs-dpctl write.
 * Throws OdpSyntaxError.
 */
export function parseKeyAttributes(text: string, options: ParseKeyOptions = {}): KeyText {
  const scan: Scan = { scanner: new TextScanner(text), options };
  const { scanner } = scan;
  scanner.skipDelimiters();
  const ufid = scanUfid(scanner);
  if (scanner.peek('<empty>')) scanner.take('<empty>');
  const lists = new Lists();
  scanList(scan, lists, 0);
  if (!scanner.done) throw scanner.error('an attribute');
  lists.key.finish();
  lists.mask.finish();
  const { key, mask } = lists.buffers;
  if (key.size > LIST_SIZE_MAX || mask.size > LIST_SIZE_MAX)
    throw scanner.error(`attributes of at most ${LIST_SIZE_MAX} bytes`, 0);
  const result: KeyText = { key: key.bytes, mask: mask.bytes };
  return ufid === undefined ? result : { ...result, ufid };
}

function scanList(scan: Scan, lists: Lists, depth: number): void {
  const { scanner } = scan;
  for (let first = true; ; first = false) {
    const separated = scanner.skipDelimiters();
    if (scanner.done || (depth > 0 && scanner.peek(')'))) return;
    if (!first && !separated) throw scanner.error("','");
    scanAttribute(scan, lists, depth);
  }
}

function scanAttribute(scan: Scan, lists: Lists, depth: number): void {
  const { scanner } = scan;
  const start = scanner.position;
  const named = NAMES.take(scanner);
  if (named === undefined) scanUnknown(scan, lists, start);
  else if (named === 'encap') {
    if (depth === NESTED_MAX - 1) throw scanner.error(`at most ${NESTED_MAX} levels`, start);
    scanEncap(scan, lists, depth);
  } else if (typeof named === 'function') named(scan, lists);
  else {
    const [key, mask] = [new Uint8Array(named.wireSize), new Uint8Array(named.wireSize)];
    if (!CT_PLAIN.has(named) || !scanner.take(')')) scanGroup(scanner, named, named.wire ?? [], key, mask);
    if (named === ATTRIBUTES.recircId) mask.fill(0xff);
    lists.put(named.number, key, mask);
  }
}

function scanEncap(scan: Scan, lists: Lists, depth: number): void {
  const { scanner } = scan;
  const start = scanner.position;
  const [key, mask] = [lists.key.nestStart(KEY_ATTR.ENCAP, 0), lists.mask.nestStart(KEY_ATTR.ENCAP, 0)];
  scanList(scan, lists, depth + 1);
  scanner.expect(')');
  const { buffers } = lists;
  if (Math.max(buffers.key.size - key, buffers.mask.size - mask) > LIST_SIZE_MAX)
    throw scanner.error(`attributes of at most ${LIST_SIZE_MAX} bytes`, start);
  lists.key.nestEnd(key);
  lists.mask.nestEnd(mask);
}

/** What has a spelling of its own. */
const SPECIAL: { readonly [name: string]: (scan: Scan, lists: Lists) => void } = {
  in_port: scanInPort,
  eth_type: scanEthType,
  vlan: ({ scanner }, lists) => {
    const { value, mask } = scanTci(scanner);
    lists.put(KEY_ATTR.VLAN, be16Bytes(value), be16Bytes(mask));
  },
  mpls: scanLabels,
  tunnel: ({ scanner }, lists) => {
    const { key, mask } = scanTunnel(scanner);
    lists.put(KEY_ATTR.TUNNEL, key, mask);
  },
  nsh: ({ scanner }, lists) => {
    const { key, mask } = scanNsh(scanner);
    lists.put(KEY_ATTR.NSH, key, mask);
  },
};

/** An attribute that is scanned by the field table, one that is not, or the nest. */
type Named = KeyAttribute | ((scan: Scan, lists: Lists) => void) | 'encap';

const NAMES = new NameTable<Named>([
  ...Object.entries(SPECIAL),
  ['encap', 'encap'],
  ...[...ATTRIBUTES_BY_TEXT].filter(
    ([name, { wire }]) => wire !== undefined && !(name in SPECIAL) && !name.startsWith('key'),
  ),
]);

function be16Bytes(value: number): Uint8Array {
  const bytes = new Uint8Array(2);
  writeBe16(bytes, 0, value);
  return bytes;
}

function scanInPort({ scanner, options }: Scan, lists: Lists): void {
  const start = scanner.position;
  const { kind } = ATTRIBUTES.inPort.flat[0];
  const [key, mask] = [new Uint8Array(kind.size), new Uint8Array(kind.size).fill(0xff)];
  if (/[0-9]/.test(scanner.text.charAt(start))) kind.scan(scanner, key, mask, 0);
  else {
    const name = scanner.match(/[^)]+/y);
    const port = name === undefined ? undefined : options.portNumber?.(name);
    if (port === undefined) throw scanner.error('a port number or the name of a port', start);
    key.set(u32Bytes(port));
  }
  scanner.expect(')');
  lists.put(ATTRIBUTES.inPort.number, key, mask);
}

/** `0/mask` is a mask without a key: frames that have no type. */
function scanEthType({ scanner }: Scan, lists: Lists): void {
  const none = scanner.peek('0/');
  const [key, mask] = [new Uint8Array(2), new Uint8Array(2)];
  ATTRIBUTES.ethType.flat[0].kind.scan(scanner, key, mask, 0);
  scanner.expect(')');
  if (none) lists.mask.raw(KEY_ATTR.ETHERTYPE, mask);
  else lists.put(KEY_ATTR.ETHERTYPE, key, mask);
}

function scanLabels({ scanner }: Scan, lists: Lists): void {
  const start = scanner.position;
  const words = scanMpls(scanner, MPLS_COUNT_MAX);
  if (words.length === 0) throw scanner.error('label=, tc=, ttl= or bos=', start);
  const [key, mask] = [new Uint8Array(words.length * 4), new Uint8Array(words.length * 4)];
  for (const [index, word] of words.entries()) {
    writeBe32(key, index * MPLS_ENTRY_SIZE, word.value);
    writeBe32(mask, index * MPLS_ENTRY_SIZE, word.mask);
  }
  lists.put(KEY_ATTR.MPLS, key, mask);
}

function scanUnknown({ scanner }: Scan, lists: Lists, start: number): void {
  const name = scanner.word();
  if (name === undefined || !scanner.take('(')) throw scanner.error('an attribute');
  const number = /^key([0-9]{1,5})$/.exec(name);
  if (number === null || Number(number[1]) > 0x3fff) throw scanner.error('a known attribute', start);
  const { key, mask } = scanBytes(scanner);
  scanner.expect(')');
  if (key.length + ATTRIBUTE_HEADER_SIZE > LIST_SIZE_MAX) throw scanner.error('fewer bytes', start);
  lists.put(Number(number[1]), key, mask);
}
