/*
 * Fuzz targets of flow keys and matches: texts whose tokens are changed, so that most still parse, and attribute lists whose tree is bent.
 * Each target checks the laws of one case, and throws when one is broken:
 *
 * - nothing but the documented error comes of bad input;
 * - what is printed reads as what it was printed from, and prints the same again;
 * - what is encoded decodes to what it was encoded from;
 * - a text that says what is outermost means the same read as a match, and read as attributes that are then decoded.
 *
 * A case follows from its seed and its number. Run by test/35.key-fuzz.test.ts, in large by run.mjs.
 */
import fc from 'fast-check';
import {
  decodeKeyAttributes,
  decodeMatchAttributes,
  encodeKey,
  encodeKeyAttributes,
  encodeMatch,
  encodeMatchAttributes,
  type FlatMatch,
  formatKey,
  formatKeyAttributes,
  formatMatch,
  OdpAttributeError,
  OdpFieldError,
  OdpSyntaxError,
  parseKey,
  parseKeyAttributes,
  parseMatch,
} from '../../src/odp/index.ts';
import { bend, bendBytes, encode } from '../support/attribute-tree.ts';
import { randomKey, randomMask } from '../support/flow-generator.ts';
import { Random } from '../support/frame-generator.ts';
import { comparable, tunnelled, tunnelledMatch } from '../support/odp-tunnel.ts';

const BASES = 200;
const KEY_TYPES = 34;

/** Values that stand in for a token of the same shape. */
const NUMBERS =
  '0 1 2 3 6 17 58 64 132 135 136 255 256 4095 65535 65536 0x0 0x1 0xff 0x800 0xffff 0xffffffff 0xfffff 010'.split(' ');
const ADDRESSES =
  '10.0.0.1 255.255.255.255 0.0.0.0 :: ::1 fe80::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 02:00:00:00:00:01 ff:ff:ff:ff:ff:ff'.split(
    ' ',
  );
const WORDS = 'no first later new est trk inv fin syn ack df csum oam key'.split(' ');
const NOISE = [...'()=,/:.0x1f+-|[]{} '];

/** What a case came to, for the count of each. */
export type Outcome = 'refused' | 'accepted';

export interface Bases {
  /** Attributes of each text, of both spellings: exact keys and matches, flat and as lists. */
  texts: string[][];
}

/** The texts that cases start from: the same for a seed. */
export function basesOf(seed: number): Bases {
  const keys = fc.sample(tunnelled, { seed, numRuns: BASES }).map((typed) => formatKey(encodeKey(typed)));
  const matches = fc.sample(tunnelledMatch, { seed, numRuns: BASES }).flatMap((typed) => {
    const flat = encodeMatch(comparable(typed));
    const lists = encodeMatchAttributes(flat);
    return [
      formatMatch(flat.key, flat.mask),
      formatKeyAttributes(lists.key, lists.mask),
      formatKeyAttributes(lists.key, lists.mask, { verbose: true }),
    ];
  });
  return { texts: [...keys, ...matches].map(splitAttributes) };
}

/** The attributes of the outermost level. */
function splitAttributes(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '(') depth++;
    else if (text[at] === ')') depth--;
    else if (text[at] === ',' && depth === 0) {
      parts.push(text.slice(start, at));
      start = at + 1;
    }
  }
  return [...parts, text.slice(start)];
}

/** The text of a case. */
export function textOf({ texts }: Bases, seed: number, index: number): string {
  const random = new Random(Math.imul(seed, 0x9e3779b1) + index);
  const parts = [...random.pick(texts)];
  for (let count = random.below(4); count > 0; count--) changeParts(random, parts, texts);
  let text = parts.join(random.oneIn(20) ? ', ' : ',');
  if (random.oneIn(8)) {
    const at = random.below(text.length);
    text = text.slice(0, at) + (random.oneIn(3) ? '' : random.pick(NOISE)) + text.slice(at + random.below(2));
  }
  return text;
}

function changeParts(random: Random, parts: string[], texts: string[][]): void {
  const at = random.below(parts.length);
  switch (random.below(8)) {
    case 0:
      if (parts.length > 1) parts.splice(at, 1);
      break;
    case 1:
      parts.push(...parts.splice(at, 1));
      break;
    case 2:
      parts.splice(at, 0, random.pick(random.pick(texts)));
      break;
    default:
      parts[at] = changeToken(random, parts[at]);
  }
}

const TOKEN = /[0-9a-f]+(?:[:.][0-9a-f:.]*)+|0x[0-9a-f]+|[0-9]+|[a-z_]+[0-9]*/g;

/** Another value in place of one, a mask more, or a mask less. */
function changeToken(random: Random, part: string): string {
  const tokens = [...part.matchAll(TOKEN)];
  const token = random.pick(tokens.length === 0 ? [undefined] : tokens);
  if (token === undefined) return part;
  const { 0: text, index: start } = token;
  const end = start + text.length;
  const isAddress = /[:.]/.test(text);
  const isNumber = !isAddress && /^[0-9]/.test(text);
  const value = random.pick(isAddress ? ADDRESSES : isNumber ? NUMBERS : WORDS);
  if (!isAddress && !isNumber && !/[=(|+-]/.test(part[start - 1] ?? '')) return part;
  const masked = part[end] === '/';
  if (random.oneIn(4) && !masked && part[start - 1] !== '/') return `${part.slice(0, end)}/${value}${part.slice(end)}`;
  if (random.oneIn(3) && masked) return part.slice(0, end) + part.slice(end).replace(/^\/[0-9a-fx.:]*/, '');
  return part.slice(0, start) + value + part.slice(end);
}

type ErrorClass = typeof OdpSyntaxError | typeof OdpFieldError | typeof OdpAttributeError;

/** What `work` gives, undefined when it throws the documented error. Other errors come through. */
export function attempt<T>(documented: ErrorClass, work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof documented) return undefined;
    throw error;
  }
}

function same(what: string, a: Uint8Array, b: Uint8Array): void {
  if (Buffer.compare(a, b) !== 0) {
    let at = 0;
    while (a[at] === b[at]) at++;
    throw new Error(`${what}: byte ${at} is ${a[at]} and ${b[at]}`);
  }
}

function sameMatch(what: string, a: FlatMatch, b: FlatMatch): void {
  same(`${what}, mask`, a.mask, b.mask);
  same(`${what}, key`, a.key, b.key);
}

function sameText(what: string, a: string, b: string): void {
  if (a !== b) throw new Error(`${what}:\n  ${a}\n  ${b}`);
}

/**
 * Texts that do not bring everything back: a tunnel key that is matched in its presence alone, or not at all, ERSPAN version 2, whose
 * fields Open vSwitch prints in part, a Geneve option whose size is under a mask, and NSH whose metadata type, which says whether there is context, is not shown.
 */
const LOSSY =
  /len=[0-9]+\/|key15\(|erspan\(ver=2|[+-]key\b|tun_id=[^,)]*\/0[,)x]|nsh\((?![^)]*mdtype=[0-9]+[,)])|mdtype=[0-9]+\/0/;

/** As attributes, a text with neither of these says that there is no Ethernet header; as a match it says nothing of it. */
const LINK = /eth\(|packet_type\(/;

export function isLossy(text: string): boolean {
  return LOSSY.test(text);
}

/** The laws of a text. */
export function checkText(text: string): Outcome {
  const lossy = isLossy(text);
  const match = attempt(OdpSyntaxError, () => parseMatch(text));
  if (match !== undefined && !lossy) checkMatch(match);
  const key = attempt(OdpSyntaxError, () => parseKey(text));
  if (key !== undefined) {
    const printed = formatKey(key);
    sameText('a key printed again', formatKey(parseKey(printed)), printed);
  }
  const lists = attempt(OdpSyntaxError, () => parseKeyAttributes(text));
  if (lists !== undefined) {
    const decoded = attempt(OdpAttributeError, () => decodeMatchAttributes(lists.key, lists.mask));
    const isPerfect = decoded?.fitness === 'perfect';
    checkPrinted(lists.key, lists.mask, isPerfect && !lossy);
    if (
      isPerfect &&
      match !== undefined &&
      LINK.test(text) &&
      attempt(OdpFieldError, () => encodeMatchAttributes(match)) !== undefined
    )
      sameMatch('text as attributes', decoded, match);
  }
  return match === undefined && lists === undefined ? 'refused' : 'accepted';
}

/** The laws of a flat match. */
export function checkMatch(match: FlatMatch): void {
  const printed = formatMatch(match.key, match.mask);
  const again = parseMatch(printed);
  sameMatch('a match printed and read', again, match);
  const lists = attempt(OdpFieldError, () => encodeMatchAttributes(match));
  if (lists !== undefined) sameMatch('a match encoded', decodeMatchAttributes(lists.key, lists.mask), match);
}

/** What is printed of lists that are right can be read, and prints the same. Open vSwitch has texts for others that nobody can read. */
export function checkPrinted(key: Uint8Array, mask: Uint8Array | undefined, isPerfect: boolean): void {
  for (const verbose of [false, true]) {
    const printed = attempt(OdpAttributeError, () => formatKeyAttributes(key, mask, { verbose }));
    if (printed === undefined) return;
    const read = attempt(OdpSyntaxError, () => parseKeyAttributes(printed));
    if (read === undefined && isPerfect) throw new Error(`printed and unreadable: ${printed}`);
    if (read === undefined || !isPerfect) continue;
    const again = formatKeyAttributes(read.key, mask === undefined ? undefined : read.mask, { verbose });
    sameText('attributes printed again', again, printed);
  }
}

/** The lists of a case; three out of four are bent. */
export function listsOf(seed: number, index: number): { key: Uint8Array; mask: Uint8Array | undefined } {
  const random = new Random(Math.imul(seed, 0x85ebca6b) + index);
  const { attrs } = randomKey(random);
  const maskAttrs = random.oneIn(4) ? undefined : randomMask(random, attrs);
  for (let count = random.pick([0, 1, 1, 2]); count > 0; count--)
    bend(random, random.oneIn(2) ? attrs : (maskAttrs ?? attrs), KEY_TYPES);
  const bytes = (list: Parameters<typeof encode>[0]) =>
    random.oneIn(16) ? bendBytes(random, encode(list)) : encode(list);
  return { key: bytes(attrs), mask: maskAttrs && bytes(maskAttrs) };
}

/**
 * The laws of attribute lists: only the documented errors; and what is encoded of a list that is right decodes, and encodes to the same.
 * It need not be what it was decoded from: masks of what the key does not have go.
 */
export function checkLists(key: Uint8Array, mask: Uint8Array | undefined): Outcome {
  const exact = attempt(OdpAttributeError, () => decodeKeyAttributes(key));
  if (exact?.fitness === 'perfect') {
    formatKey(exact.key);
    const list = encodeKeyAttributes(exact.key);
    same('a key encoded again', encodeKeyAttributes(decodeKeyAttributes(list).key), list);
  }
  for (const verbose of [false, true]) {
    const printed = attempt(OdpAttributeError, () => formatKeyAttributes(key, mask, { verbose }));
    if (printed !== undefined) attempt(OdpSyntaxError, () => parseKeyAttributes(printed));
  }
  const match = attempt(OdpAttributeError, () => decodeMatchAttributes(key, mask));
  if (match?.fitness !== 'perfect') return 'refused';
  const printed = formatMatch(match.key, match.mask);
  attempt(OdpSyntaxError, () => parseMatch(printed));
  const lists = attempt(OdpFieldError, () => encodeMatchAttributes(match));
  if (lists !== undefined) {
    const again = encodeMatchAttributes(decodeMatchAttributes(lists.key, lists.mask));
    same('key attributes encoded again', again.key, lists.key);
    same('mask attributes encoded again', again.mask, lists.mask);
  }
  return 'accepted';
}
