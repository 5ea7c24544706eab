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
import { ATTRIBUTES, ATTRIBUTES_BY_TEXT, type KeyAttribute } from './fields.ts';
import { scanGroup } from './groups.ts';
import {
  isMplsType,
  isVlanType,
  layersOf,
  missingPrerequisite,
  mplsOffset,
  readBe16,
  TAGS,
  WHOLE_MASK,
  writeBe16,
  writeBe32,
} from './layers.ts';
import { clearUnmatchedOf, type FlatMatch, isEthTypeValid, matchUntagged, newFlatMatch } from './match.ts';
import { NameTable, TextScanner } from './scanner.ts';
import { decodeTunnel } from './tunnel.ts';
import { scanTunnel } from './tunnel-scan.ts';
import { ETH_TYPE_LLC, type FieldName } from './types.ts';

/** A word and where it stands in the text. */
interface PlacedWord extends MaskedWord {
  position: number;
}

/** One level of the text: the outermost, or the inside of an encap(). */
interface Level {
  position: number;
  ethType: PlacedWord | undefined;
  vlan: PlacedWord | undefined;
  encap: Level | undefined;
  /** Where the first attribute after the Ethernet type stands. */
  inner: number | undefined;
}

/** What a name in the text stands for: a row of the field table, or one of those that are none. */
interface Named {
  name: FieldName | 'vlan' | 'encap' | 'mpls' | 'tunnel';
  entry: KeyAttribute | undefined;
  /** It stands outside of encap(). */
  isOuter: boolean;
}

interface Parse {
  scanner: TextScanner;
  flat: FlatMatch;
  /** Attributes that may stand once, and where each was seen. */
  seen: Named[];
  positions: number[];
}

/** Attributes that do not belong inside the innermost encap(). */
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

const NAMES = new NameTable<Named>([
  ...Array.from(
    ATTRIBUTES_BY_TEXT,
    ([text, entry]) => [text, { name: entry.name, entry, isOuter: OUTER.has(text) }] as const,
  ),
  ...(['vlan', 'encap', 'mpls', 'tunnel'] as const).map(
    (name) => [name, { name, entry: undefined, isOuter: OUTER.has(name) }] as const,
  ),
]);

/** Key and mask of match text; a field without a mask is matched whole, an absent one not at all. */
export function parseMatch(text: string): FlatMatch {
  const parse = parseText(text, newFlatMatch());
  checkPrerequisites(parse, parse.flat.mask);
  const { flat } = parse;
  flat.key[KEY_MPLS_COUNT] = 0;
  clearUnmatchedOf(flat);
  return flat;
}

/** Where parseKey has the masks that it reads and forgets. */
const ignoredMask = new Uint8Array(KEY_SIZE);

/** Exact flat key of key text, as formatKey writes it. Masks are read and ignored; what is absent is zero. */
export function parseKey(text: string): Uint8Array {
  const key = new Uint8Array(KEY_SIZE);
  const parse = parseText(text, { key, mask: ignoredMask.fill(0) });
  if (readBe16(key, KEY_ETH_TYPE) === 0) writeBe16(key, KEY_ETH_TYPE, ETH_TYPE_LLC);
  if (!isEthTypeValid(readBe16(key, KEY_ETH_TYPE), 0xffff))
    throw parse.scanner.error('an Ethernet type of at least 0x0600', 0);
  for (const { tpid, tci } of TAGS) {
    if (readBe16(key, tci) !== 0 && !isVlanType(readBe16(key, tpid)))
      throw parse.scanner.error('eth_type(0x8100) or eth_type(0x88a8) before vlan()', 0);
  }
  checkPrerequisites(parse, WHOLE_MASK);
  if (parse.seen.some(({ name }) => name === 'ndExt')) key[KEY_FLAGS] |= KEY_FLAG_ND_EXT;
  if (!isMplsType(readBe16(key, KEY_ETH_TYPE))) key[KEY_MPLS_COUNT] = 0;
  return key;
}

function checkPrerequisites({ scanner, flat, seen, positions }: Parse, mask: Uint8Array): void {
  const layers = layersOf(flat.key, mask);
  for (let i = 0; i < seen.length; i++) {
    const { name, entry } = seen[i];
    const missing = missingPrerequisite(name as FieldName | 'mpls', flat.key, mask, layers);
    if (missing !== undefined) throw scanner.error(`${missing} before ${entry?.text ?? name}()`, positions[i]);
  }
}

function parseText(text: string, flat: FlatMatch): Parse {
  const parse: Parse = { scanner: new TextScanner(text), flat, seen: [], positions: [] };
  const level = parseLevel(parse, 0);
  if (!parse.scanner.done) throw parse.scanner.error('an attribute');
  resolveTags(parse, level, 0);
  return parse;
}

/** Attributes up to the end of the text or a closing parenthesis. */
function parseLevel(parse: Parse, depth: number): Level {
  const { scanner } = parse;
  const level: Level = {
    position: scanner.position,
    ethType: undefined,
    vlan: undefined,
    encap: undefined,
    inner: undefined,
  };
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
  const named = NAMES.take(scanner);
  if (named === undefined) {
    const name = scanner.word();
    if (name === undefined || !scanner.take('(')) throw scanner.error('an attribute');
    throw scanner.error('a known attribute', position);
  }
  switch (named.name) {
    case 'ethType':
      if (level.ethType !== undefined) throw scanner.error('one eth_type() at each level', position);
      level.ethType = scanEthType(scanner, position);
      return;
    case 'vlan':
      if (level.vlan !== undefined) throw scanner.error('one vlan() at each level', position);
      level.vlan = scanTag(scanner, position);
      return;
    case 'encap':
      if (level.encap !== undefined) throw scanner.error('one encap() at each level', position);
      if (depth === TAGS.length) throw scanner.error(`at most ${TAGS.length} nested encap()`, position);
      level.encap = parseLevel(parse, depth + 1);
      scanner.expect(')');
      return;
    default:
      parseGroup(parse, named, position);
      if (!named.isOuter) level.inner ??= position;
      else if (depth > 0) throw scanner.error(`${named.entry?.text ?? named.name}() outside of encap()`, position);
  }
}

function parseGroup(parse: Parse, named: Named, position: number): void {
  const { scanner, flat, seen, positions } = parse;
  const { name, entry } = named;
  if (seen.includes(named)) throw scanner.error(`${entry?.text ?? name}() once`, position);
  seen.push(named);
  positions.push(position);
  if (entry !== undefined) {
    scanGroup(scanner, entry, entry.flat, flat.key, flat.mask);
    if (entry === ATTRIBUTES.recircId) flat.mask.set(entry.flat[0].kind.full, entry.flat[0].at);
  } else if (name === 'tunnel') parseTunnel(parse, position);
  else parseLabels(parse);
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

function scanTag(scanner: TextScanner, position: number): PlacedWord {
  const { value, mask } = scanTci(scanner);
  return { value, mask, position };
}

function scanEthType(scanner: TextScanner, position: number): PlacedWord {
  const value = scanner.number(0xffff);
  const mask = scanner.take('/') ? scanner.number(0xffff) : 0xffff;
  scanner.expect(')');
  return { value, mask, position };
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
  if ((vlan.mask & VLAN_PRESENT) !== 0 && (vlan.value & VLAN_PRESENT) === 0)
    throw scanner.error('no vid or pcp in a tag that is not there', vlan.position);
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
