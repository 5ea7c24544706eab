/*
 * Lists of key attributes (OVS_KEY_ATTR_*) as text, attribute by attribute, as `ovs-dpctl dump-flows` prints and `add-flow` reads them.
 *
 * Nothing is checked but the form: order, duplicates, unknown attributes and attributes that nothing leads to come through, in both
 * directions; key-decode.ts judges. An attribute that Open vSwitch has no spelling for, or that has a wrong size, is written
 * `keyN(hex bytes)`. The same field table serves here as for flat keys (key-text.ts, key-parse.ts).
 */

import type { AttributeMemory } from './attribute-memory.ts';
import { ATTRIBUTE_HEADER_SIZE, Attribute, readU32, u32Bytes, walkAttributes } from './attributes.ts';
import { formatDumpedTci, formatMpls, scanMpls, scanTci } from './bitfields.ts';
import { ATTRIBUTES, ATTRIBUTES_BY_NUMBER, ATTRIBUTES_BY_TEXT, type KeyAttribute, type Slot } from './fields.ts';
import { formatGroup, scanGroup } from './groups.ts';
import { formatBytes, scanBytes } from './hex.ts';
import { KEY_ATTR } from './key-attributes.ts';
import { hex } from './kinds.ts';
import { FRAG_LATER, readBe16, readBe32, writeBe16, writeBe32 } from './layers.ts';
import { ListWriter } from './list-writer.ts';
import { formatNsh, scanNsh } from './nsh-text.ts';
import { isDigit, NameTable, TextScanner } from './scanner.ts';
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
  /** For many texts that are alike. */
  memory?: AttributeMemory;
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
/** The largest payload of the field table: 40 bytes of IPv6 or of its tuple. */
const PAYLOAD_SIZE_MAX = 40;
const MPLS_ENTRY_SIZE = 4;
const MPLS_COUNT_MAX = 3;

/** Text of a key list, under a mask list if that is given. Throws OdpAttributeError when a list is cut. */
export function formatKeyAttributes(key: Uint8Array, mask?: Uint8Array, options: FormatKeyOptions = {}): string {
  if (key.length === 0) return '<empty>';
  const masks = mask === undefined || mask.length === 0 ? undefined : walkAttributes(mask, 'OVS_KEY_ATTR');
  let text = '';
  let hasType = false;
  let hasPacketType = false;
  for (const attribute of walkAttributes(key, 'OVS_KEY_ATTR')) {
    const { number } = attribute;
    const bits = masks && firstOf(masks, number);
    const hidden = masks !== undefined && !options.verbose && isHidden(number, bits);
    if (number === KEY_ATTR.ETHERTYPE) hasType = true;
    if (number === ATTRIBUTES.packetType.number) hasPacketType = !hidden;
    if (hidden && (number !== ATTRIBUTES.eth.number || hasPacketType)) continue;
    if (text !== '') text += ',';
    text += hidden ? 'eth()' : formatAttribute(attribute, masks && (bits ?? wildcard(attribute)), options);
  }
  const type = hasType ? undefined : masks && firstOf(masks, KEY_ATTR.ETHERTYPE);
  if (type?.size !== 2) return text;
  return `${text}${text === '' ? '' : ','}eth_type(0/${hex(readBe16(type.bytes, type.start), 4)})`;
}

export function firstOf(attributes: readonly Attribute[], number: number): Attribute | undefined {
  for (const attribute of attributes) if (attribute.number === number) return attribute;
  return undefined;
}

function isNested(number: number): boolean {
  return number === KEY_ATTR.ENCAP || number === KEY_ATTR.TUNNEL || number === KEY_ATTR.NSH;
}

/** What is not matched is not shown; nested attributes are, and unknown ones whose mask is given. */
export function isHidden(number: number, mask: Attribute | undefined): boolean {
  if (isNested(number)) return false;
  if (mask === undefined) return true;
  const known = ATTRIBUTES_BY_NUMBER.has(number) || number === KEY_ATTR.VLAN || number === KEY_ATTR.MPLS;
  return known && number !== ATTRIBUTES.ipv6Exthdrs.number && isFilled(mask, 0, USED_SIZE.get(number));
}

/** True when the first `size` bytes of the payload are all `byte`. */
function isFilled({ bytes, start, size }: Attribute, byte: number, sizeMax = size): boolean {
  const end = start + Math.min(size, sizeMax);
  for (let i = start; i < end; i++) if (bytes[i] !== byte) return false;
  return true;
}

/** Payloads that end with padding. */
const USED_SIZE: ReadonlyMap<number, number> = new Map([
  [ATTRIBUTES.arp.number, 22],
  [ATTRIBUTES.ctTuple4.number, 13],
  [ATTRIBUTES.ctTuple6.number, 37],
]);

/** The mask of an attribute that the mask list lacks. */
function wildcard({ number, offset, size }: Attribute): Attribute {
  const wanted = isNested(number) ? 0 : size;
  return new Attribute(number, offset, new Uint8Array(wanted), 0, wanted);
}

function formatAttribute(attribute: Attribute, mask: Attribute | undefined, options: FormatKeyOptions): string {
  const { number, size } = attribute;
  const entry = ATTRIBUTES_BY_NUMBER.get(number);
  const sameSize = mask === undefined || mask.size === size;
  if (entry !== undefined && sameSize && size === entry.wireSize && hasSpelling(entry, attribute, mask))
    return `${entry.text}(${formatKnown(entry, attribute, mask, options)})`;
  return formatSpecial(attribute, mask, options) ?? formatRaw(attribute, mask);
}

/** Text of what is no row of the field table, undefined when it has no spelling. */
function formatSpecial(
  { number, bytes, start, size, payload }: Attribute,
  mask: Attribute | undefined,
  { verbose = false }: FormatKeyOptions,
): string | undefined {
  const sameSize = mask === undefined || mask.size === size;
  switch (number) {
    case KEY_ATTR.ENCAP: {
      const bits = mask === undefined || mask.size === 0 ? undefined : mask.payload;
      // Without a mask for what is inside, all of it is shown.
      return `encap(${size === 0 ? '' : formatKeyAttributes(payload, bits, { verbose })})`;
    }
    case KEY_ATTR.TUNNEL:
      return `tunnel(${formatTunnel(payload, mask?.payload, { verbose })})`;
    case KEY_ATTR.NSH: {
      const text = formatNsh(payload, mask?.payload);
      return text && `nsh(${text})`;
    }
    case KEY_ATTR.VLAN: {
      if (size !== 2 || !sameSize) return undefined;
      const bits = mask === undefined ? 0xffff : readBe16(mask.bytes, mask.start);
      return `vlan(${formatDumpedTci(readBe16(bytes, start), bits, verbose)})`;
    }
    case KEY_ATTR.MPLS:
      if (size === 0 || size % MPLS_ENTRY_SIZE !== 0 || !sameSize) return undefined;
      return `mpls(${formatLabels(payload, mask?.payload)})`;
    default:
      return undefined;
  }
}

function formatRaw({ number, payload }: Attribute, mask: Attribute | undefined): string {
  return `key${number}(${formatBytes(payload)}${mask === undefined ? '' : `/${formatBytes(mask.payload)}`})`;
}

/** False for bits that the fields of an attribute do not have, and for a fragment type that is none. */
function hasSpelling(entry: KeyAttribute, key: Attribute, mask: Attribute | undefined): boolean {
  if (entry === ATTRIBUTES.ipv4 || entry === ATTRIBUTES.ipv6) {
    // the last byte of the structure
    if (key.bytes[key.start + entry.wireSize - 1] > FRAG_LATER) return false;
  }
  if (!entry.isNarrow) return true;
  for (const slot of entry.wire ?? []) {
    if (isBeyond(slot, key)) return false;
    if (mask !== undefined && !slot.kind.isExact(mask.bytes, mask.start + slot.at) && isBeyond(slot, mask))
      return false;
  }
  return true;
}

function isBeyond({ at, kind }: Slot, { bytes, start }: Attribute): boolean {
  for (let i = 0; i < kind.size; i++) if ((bytes[start + at + i] & ~kind.full[i]) !== 0) return true;
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
  { bytes, start }: Attribute,
  mask: Attribute | undefined,
  { verbose = false, portName }: FormatKeyOptions,
): string {
  if (entry === ATTRIBUTES.inPort && (mask === undefined || isFilled(mask, 0xff)))
    return portName?.(readU32(bytes, start)) ?? String(readU32(bytes, start));
  // of the state with its mask the numbers are wanted, which a mark has
  const slots = entry === ATTRIBUTES.ctState && verbose ? CT_MARK : entry.wire;
  return formatGroup(slots ?? [], bytes, mask?.bytes, verbose, start, mask?.start);
}

const CT_MARK = ATTRIBUTES.ctMark.wire;

/** Attributes that Open vSwitch writes without their value when there is no mask list: `ct_zone()`. */
const CT_PLAIN: ReadonlySet<KeyAttribute> = new Set([ATTRIBUTES.ctZone, ATTRIBUTES.ctMark, ATTRIBUTES.ctLabel]);

interface Scan {
  scanner: TextScanner;
  options: ParseKeyOptions;
}

/** Key and mask lists in the making. They grow alike, but for an eth_type() without a key. */
class Lists {
  readonly key = new ListWriter();
  readonly mask = new ListWriter();
  /** Where the payload of an attribute is scanned to before it goes into the lists. */
  readonly value = new Uint8Array(PAYLOAD_SIZE_MAX);
  readonly bits = new Uint8Array(PAYLOAD_SIZE_MAX);

  /** Of a nest, key and mask may differ in size; `size` is for those that stand in `value` and `bits`. */
  put(number: number, key: Uint8Array, mask: Uint8Array, size?: number): void {
    this.key.put(number, key, 0, size);
    this.mask.put(number, mask, 0, size);
  }

  /** Empties the first `size` bytes of `value` and `bits`. */
  clear(size: number): void {
    for (let i = 0; i < size; i++) this.value[i] = this.bits[i] = 0;
  }
}

/** The lists of the last text serve the next, unless it is read while they are in use: `portNumber` may do that. */
let spare: Lists | undefined;

/**
 * Key and mask lists of a text; a field without a mask is matched whole. Reads all that formatKeyAttributes and ovs-dpctl write.
 * Throws OdpSyntaxError.
 */
export function parseKeyAttributes(text: string, options: ParseKeyOptions = {}): KeyText {
  const lists = spare ?? new Lists();
  spare = undefined;
  lists.key.begin();
  lists.mask.begin();
  try {
    return parseLists({ scanner: new TextScanner(text), options }, lists);
  } finally {
    spare = lists;
  }
}

function parseLists(scan: Scan, lists: Lists): KeyText {
  const { scanner } = scan;
  scanner.skipDelimiters();
  const ufid = scanUfid(scanner);
  if (scanner.peek('<empty>')) scanner.take('<empty>');
  scanList(scan, lists, 0);
  if (!scanner.done) throw scanner.error('an attribute');
  if (lists.key.size > LIST_SIZE_MAX || lists.mask.size > LIST_SIZE_MAX)
    throw scanner.error(`attributes of at most ${LIST_SIZE_MAX} bytes`, 0);
  const [key, mask] = ListWriter.takeTwo(lists.key, lists.mask);
  const result: KeyText = { key, mask };
  return ufid === undefined ? result : { ...result, ufid };
}

function scanList(scan: Scan, lists: Lists, depth: number): void {
  const { scanner, options } = scan;
  const memory = depth === 0 ? options.memory : undefined;
  const { key, mask } = lists;
  for (let index = 0; ; index++) {
    const separated = scanner.skipDelimiters();
    if (scanner.done || (depth > 0 && scanner.peek(')'))) return;
    if (index > 0 && !separated) throw scanner.error("','");
    if (memory?.repeat(index, scanner, key, mask)) continue;
    const [start, keyAt, maskAt] = [scanner.position, key.size, mask.size];
    scanAttribute(scan, lists, depth);
    if (memory?.wants(index))
      memory.keep(index, scanner.text.slice(start, scanner.position), key.copyFrom(keyAt), mask.copyFrom(maskAt));
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
    const { value, bits } = lists;
    lists.clear(named.wireSize);
    if (!CT_PLAIN.has(named) || !scanner.take(')')) scanGroup(scanner, named, named.wire ?? [], value, bits);
    if (named === ATTRIBUTES.recircId) bits.fill(0xff, 0, named.wireSize);
    lists.put(named.number, value, bits, named.wireSize);
  }
}

function scanEncap(scan: Scan, lists: Lists, depth: number): void {
  const { scanner } = scan;
  const start = scanner.position;
  const [key, mask] = [lists.key.nestStart(KEY_ATTR.ENCAP), lists.mask.nestStart(KEY_ATTR.ENCAP)];
  scanList(scan, lists, depth + 1);
  scanner.expect(')');
  if (Math.max(lists.key.size - key, lists.mask.size - mask) > LIST_SIZE_MAX)
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
    writeBe16(lists.value, 0, value);
    writeBe16(lists.bits, 0, mask);
    lists.put(KEY_ATTR.VLAN, lists.value, lists.bits, 2);
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

function scanInPort({ scanner, options }: Scan, lists: Lists): void {
  const start = scanner.position;
  const { kind } = ATTRIBUTES.inPort.flat[0];
  const { value, bits } = lists;
  if (isDigit(scanner.text.charCodeAt(start))) kind.scan(scanner, value, bits, 0);
  else {
    const name = scanner.match(/[^)]+/y);
    const port = name === undefined ? undefined : options.portNumber?.(name);
    if (port === undefined) throw scanner.error('a port number or the name of a port', start);
    value.set(u32Bytes(port));
    bits.fill(0xff, 0, kind.size);
  }
  scanner.expect(')');
  lists.put(ATTRIBUTES.inPort.number, value, bits, kind.size);
}

/** `0/mask` is a mask without a key: frames that have no type. */
function scanEthType({ scanner }: Scan, { key, mask, value, bits }: Lists): void {
  const none = scanner.peek('0/');
  ATTRIBUTES.ethType.flat[0].kind.scan(scanner, value, bits, 0);
  scanner.expect(')');
  if (!none) key.put(KEY_ATTR.ETHERTYPE, value, 0, 2);
  mask.put(KEY_ATTR.ETHERTYPE, bits, 0, 2);
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
