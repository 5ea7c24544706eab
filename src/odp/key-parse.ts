/*
 * Keys and matches from text: what ovs-dpctl reads, and what key-text.ts writes.
 *
 * Attributes may come in any order, separated by commas or blanks. Each header needs its prerequisite, as in the kernel,
 * and each attribute may stand once. A text without vlan() means frames without a tag. All failures are OdpSyntaxError.
 */

import {
  KEY_ETH_TYPE,
  KEY_FLAG_ND_EXT,
  KEY_FLAGS,
  KEY_MPLS_COUNT,
  KEY_SIZE,
  MPLS_DEPTH_MAX,
} from '../../assembly/constants.ts';
import { type MaskedWord, scanMpls, scanTci, VLAN_PRESENT } from './bitfields.ts';
import { OdpAttributeError } from './errors.ts';
import { ATTRIBUTES, ATTRIBUTES_BY_TEXT } from './fields.ts';
import { scanGroup } from './groups.ts';
import {
  isMplsType,
  isVlanType,
  missingPrerequisite,
  mplsOffset,
  readBe16,
  TAGS,
  writeBe16,
  writeBe32,
} from './layers.ts';
import { type FlatMatch, isEthTypeValid, maskedKey, matchUntagged } from './match.ts';
import { TextScanner } from './scanner.ts';
import { decodeTunnel } from './tunnel.ts';
import { scanTunnel } from './tunnel-scan.ts';
import { ETH_TYPE_LLC, type FieldName } from './types.ts';

/** One level of the text: the outermost, or the inside of an encap(). */
interface Level {
  position: number;
  ethType?: MaskedWord & { position: number };
  vlan?: MaskedWord & { position: number };
  encap?: Level;
  /** Where the first attribute after the Ethernet type stands. */
  inner?: number;
}

/** What may stand once. */
type Seen = FieldName | 'mpls' | 'tunnel';

interface Parse {
  scanner: TextScanner;
  flat: FlatMatch;
  /** Attributes seen and where. */
  seen: Map<Seen, number>;
}

/** Attributes that belong inside the innermost encap(). */
const OUTER: ReadonlySet<string> = new Set([
  'recirc_id',
  'dp_hash',
  'skb_priority',
  'tunnel',
  'in_port',
  'skb_mark',
  'ct_state',
  'ct_zone',
  'ct_mark',
  'ct_label',
  'ct_tuple4',
  'ct_tuple6',
  'packet_type',
  'eth',
]);

/** Key and mask of match text; a field without a mask is matched whole, an absent one not at all. */
export function parseMatch(text: string): FlatMatch {
  const parse = parseText(text);
  for (const [name, position] of parse.seen) checkPrerequisite(parse, name, position, parse.flat.mask);
  parse.flat.key[KEY_MPLS_COUNT] = 0;
  return { key: maskedKey(parse.flat.key, parse.flat.mask), mask: parse.flat.mask };
}

/** Exact flat key of key text, as formatKey writes it. Masks are read and ignored; what is absent is zero. */
export function parseKey(text: string): Uint8Array {
  const parse = parseText(text);
  const { key } = parse.flat;
  if (readBe16(key, KEY_ETH_TYPE) === 0 && readBe16(parse.flat.mask, KEY_ETH_TYPE) === 0) {
    writeBe16(key, KEY_ETH_TYPE, ETH_TYPE_LLC);
  }
  const whole = new Uint8Array(KEY_SIZE).fill(0xff);
  for (const [name, position] of parse.seen) checkPrerequisite(parse, name, position, whole);
  if (parse.seen.has('ndExt')) key[KEY_FLAGS] |= KEY_FLAG_ND_EXT;
  if (!isMplsType(readBe16(key, KEY_ETH_TYPE))) key[KEY_MPLS_COUNT] = 0;
  return key;
}

function checkPrerequisite(parse: Parse, name: Seen, position: number, mask: Uint8Array): void {
  if (name === 'tunnel') return;
  const missing = missingPrerequisite(name, parse.flat.key, mask);
  if (missing !== undefined)
    throw parse.scanner.error(`${missing} before ${ATTRIBUTES[name as FieldName]?.text ?? name}()`, position);
}

function parseText(text: string): Parse {
  const flat = { key: new Uint8Array(KEY_SIZE), mask: new Uint8Array(KEY_SIZE) };
  const parse: Parse = { scanner: new TextScanner(text), flat, seen: new Map() };
  const level = parseLevel(parse, 0);
  if (!parse.scanner.done) throw parse.scanner.error('an attribute');
  resolveTags(parse, level, 0);
  return parse;
}

/** Attributes up to the end of the text or a closing parenthesis. */
function parseLevel(parse: Parse, depth: number): Level {
  const { scanner } = parse;
  const level: Level = { position: scanner.position };
  for (let first = true; ; first = false) {
    const separated = scanner.skipDelimiters();
    if (scanner.done || (depth > 0 && scanner.peek(')'))) return level;
    if (!first && !separated) throw scanner.error("','");
    parseAttribute(parse, level, depth);
  }
}

function parseAttribute(parse: Parse, level: Level, depth: number): void {
  const { scanner } = parse;
  const position = scanner.position;
  const name = scanner.word();
  if (name === undefined || !scanner.take('('))
    throw scanner.error('an attribute', name === undefined ? position : undefined);
  switch (name) {
    case 'eth_type':
      if (level.ethType !== undefined) throw scanner.error('one eth_type() at each level', position);
      level.ethType = { ...scanEthType(parse), position };
      return;
    case 'vlan':
      if (level.vlan !== undefined) throw scanner.error('one vlan() at each level', position);
      level.vlan = { ...scanTci(scanner), position };
      return;
    case 'encap':
      if (level.encap !== undefined) throw scanner.error('one encap() at each level', position);
      if (depth === TAGS.length) throw scanner.error(`at most ${TAGS.length} nested encap()`, position);
      level.encap = parseLevel(parse, depth + 1);
      scanner.expect(')');
      return;
    default:
      parseGroup(parse, level, name, position);
      if (!OUTER.has(name)) level.inner ??= position;
      else if (depth > 0) throw scanner.error(`${name}() outside of encap()`, position);
  }
}

function parseGroup(parse: Parse, level: Level, name: string, position: number): void {
  const { scanner, flat, seen } = parse;
  const entry = ATTRIBUTES_BY_TEXT.get(name);
  const key: Seen | undefined = entry?.name ?? (name === 'mpls' || name === 'tunnel' ? name : undefined);
  if (key === undefined) throw scanner.error('a known attribute', position);
  if (seen.has(key)) throw scanner.error(`${name}() once`, position);
  seen.set(key, position);
  if (entry !== undefined) {
    scanGroup(scanner, entry, entry.flat, flat.key, flat.mask);
    if (entry === ATTRIBUTES.recircId) flat.mask.set(entry.flat[0].kind.full, entry.flat[0].at);
  } else if (key === 'tunnel') {
    parseTunnel(parse, position);
  } else {
    parseLabels(parse);
    level.inner ??= position;
  }
}

function parseLabels({ scanner, flat }: Parse): void {
  const labels = scanMpls(scanner, MPLS_DEPTH_MAX);
  for (const [index, word] of labels.entries()) {
    writeBe32(flat.key, mplsOffset(index), word.value);
    writeBe32(flat.mask, mplsOffset(index), word.mask);
  }
  flat.key[KEY_MPLS_COUNT] = labels.length;
}

function parseTunnel({ scanner, flat }: Parse, position: number): void {
  const { key, mask } = scanTunnel(scanner);
  const decode = (bytes: Uint8Array, to: Uint8Array, form: 'mask' | 'partial key') =>
    decodeTunnel(bytes, 0, to, form, ({ number }) => {
      throw new OdpAttributeError(`TUNNEL ${number}`, 0, 'unknown');
    });
  try {
    decode(mask, flat.mask, 'mask');
    decode(key, flat.key, 'partial key');
  } catch (error) {
    if (!(error instanceof OdpAttributeError)) throw error;
    throw scanner.error(`a tunnel of one kind (${error.message})`, position);
  }
}

function scanEthType(parse: Parse): MaskedWord {
  const value = new Uint8Array(2);
  const mask = new Uint8Array(2);
  ATTRIBUTES.ethType.flat[0].kind.scan(parse.scanner, value, mask, 0);
  parse.scanner.expect(')');
  return { value: readBe16(value, 0), mask: readBe16(mask, 0) };
}

/** Writes the tags and the innermost Ethernet type once all levels are known. */
function resolveTags(parse: Parse, level: Level, index: number): void {
  const { scanner, flat } = parse;
  if (level.encap !== undefined) {
    if (level.inner !== undefined) throw scanner.error('headers inside of encap()', level.inner);
    resolveTag(parse, level, level.encap, index);
    return;
  }
  const { vlan } = level;
  if (vlan !== undefined && vlan.mask !== 0) throw scanner.error('encap() after vlan()', vlan.position);
  if (vlan === undefined) for (let i = index; i < TAGS.length; i++) matchUntagged(flat, i);
  if (level.ethType !== undefined) writeEthType(parse, level.ethType);
}

function resolveTag(parse: Parse, level: Level, encap: Level, index: number): void {
  const { scanner, flat } = parse;
  const { tpid, tci } = TAGS[index];
  const { vlan } = level;
  if (vlan === undefined) throw scanner.error('vlan() before encap()', encap.position);
  if (level.ethType !== undefined) {
    const { value, mask, position } = level.ethType;
    if (mask === 0xffff && !isVlanType(value))
      throw scanner.error('eth_type(0x8100) or eth_type(0x88a8) before vlan()', position);
    writeBe16(flat.key, tpid, value);
    writeBe16(flat.mask, tpid, mask);
  }
  const cut = (vlan.mask & VLAN_PRESENT) !== 0 && (vlan.value & vlan.mask) === 0;
  if (cut) {
    resolveCut(parse, level, encap, index);
    return;
  }
  writeBe16(flat.key, tci, vlan.value);
  writeBe16(flat.mask, tci, vlan.mask);
  resolveTags(parse, encap, index + 1);
}

/** A tag that the frame was too short for: no tag, and its type is the type of the frame. */
function resolveCut(parse: Parse, level: Level, encap: Level, index: number): void {
  const { scanner, flat } = parse;
  const type = level.ethType;
  if (type?.mask !== 0xffff) throw scanner.error('eth_type(0x8100) before a cut tag', level.vlan?.position);
  if (encap.ethType ?? encap.vlan ?? encap.encap ?? encap.inner)
    throw scanner.error('an empty encap() after a cut tag', encap.position);
  for (let i = index; i < TAGS.length; i++) matchUntagged(flat, i);
  writeBe16(flat.key, KEY_ETH_TYPE, type.value);
  writeBe16(flat.mask, KEY_ETH_TYPE, 0xffff);
}

function writeEthType(parse: Parse, type: MaskedWord & { position: number }): void {
  const { key, mask } = parse.flat;
  const whole = type.mask === 0xffff;
  const none = whole && type.value === 0;
  if (whole && !none && (type.value === ETH_TYPE_LLC || !isEthTypeValid(type.value, type.mask))) {
    throw parse.scanner.error('an Ethernet type of at least 0x0600', type.position);
  }
  writeBe16(key, KEY_ETH_TYPE, none ? ETH_TYPE_LLC : type.value);
  writeBe16(mask, KEY_ETH_TYPE, type.mask);
}
