/*
 * Bent action lists, as text and as attributes, and the laws that hold for whatever is made of them.
 *
 * A text is changed token by token (another word, another number, a piece of another list), so that many of them are still lists; now and
 * then by a character. Attributes are changed as a tree, so that sizes mostly stay right; now and then as bytes. A case is given by seed and
 * number. Used by 33.action-fuzz.test.ts.
 */
import fc from 'fast-check';
import {
  type Action,
  decodeActions,
  encodeActions,
  formatActions,
  OdpAttributeError,
  OdpFieldError,
  OdpSyntaxError,
  parseActions,
} from '../../src/odp/index.ts';
import { type Attr, bend, bendBytes, copyTree, encode } from '../support/attribute-tree.ts';
import { Random } from '../support/frame-generator.ts';
import { anyAction } from '../support/odp-actions.ts';

const POOL_SIZE = 1500;
/** More than all action attributes and those inside of them. */
const TYPES = 36;
const TOKEN = /[a-z_][a-z0-9_]*|0x[0-9a-f]+|[0-9a-f:.]*[0-9a-f][0-9a-f:.]*|[\s\S]/gi;
const NUMBERS = [
  '0',
  '1',
  '7',
  '8',
  '15',
  '255',
  '256',
  '4095',
  '4096',
  '65535',
  '65536',
  '0xfffff',
  '0x100000',
].concat([
  '4294967295',
  '4294967296',
  '0xffffffffffffffff',
  '00',
  '010',
  '08',
  '0x',
  '-1',
  '1.5',
  '100.0',
  '18446744073709551616',
]);
const CHARACTERS = '()=,/:.%+-|[]{}" 0x1f_';

type Kind = 'word' | 'number' | 'address' | 'sign';

function kindOf(token: string): Kind {
  if (/^[a-z_]{2}/i.test(token) && !/^[0-9a-f]+[:.]/i.test(token)) return 'word';
  if (/^(0x)?[0-9a-f]+$/i.test(token)) return 'number';
  return token.length > 1 ? 'address' : 'sign';
}

/** What cases are made of, the same for every run: random lists as tokens and as trees. */
export class ActionFuzz {
  readonly #texts: string[][] = [];
  readonly #trees: Attr[][] = [];
  readonly #tokens: Record<Kind, string[]> = { word: [], number: [...NUMBERS], address: [], sign: [...CHARACTERS] };
  /** What stood behind a word, by the word: mostly such values as it may have. */
  readonly #values = new Map<string, string[]>();

  constructor() {
    const lists = fc.sample(fc.array(anyAction, { minLength: 1, maxLength: 4 }), { seed: 1, numRuns: POOL_SIZE });
    for (const [index, list] of lists.entries()) {
      const tokens = formatActions(list, { exact: index % 2 === 0 }).match(TOKEN) ?? [];
      if (tokens.length < 500) this.#texts.push(tokens);
      for (const [at, token] of tokens.slice(0, 200).entries()) {
        this.#tokens[kindOf(token)].push(token);
        const word = wordBefore(tokens, at);
        this.#values.set(word, [...(this.#values.get(word) ?? []).slice(-100), token]);
      }
      const tree = treeOf(encodeActions(list));
      if (tree !== undefined) this.#trees.push(tree);
    }
  }

  /** A text that is a list, or nearly. */
  text(seed: number, index: number): string {
    const random = new Random(seed ^ Math.imul(index + 1, 0x9e3779b1));
    const tokens = [...random.pick(this.#texts)];
    for (let count = random.pick([1, 1, 1, 2, 3]); count > 0; count--) this.#bendTokens(random, tokens);
    const text = tokens.join('');
    if (!random.oneIn(8)) return text;
    const at = random.below(text.length + 1);
    const middle = random.oneIn(3) ? '' : random.pick([...CHARACTERS]);
    return random.oneIn(4) ? text.slice(0, at) : text.slice(0, at) + middle + text.slice(at + random.below(2));
  }

  #bendTokens(random: Random, tokens: string[]): void {
    const at = random.below(tokens.length);
    switch (random.below(20)) {
      case 0:
        tokens.splice(at, 1);
        return;
      case 1:
        tokens.splice(at, 0, tokens[random.below(tokens.length)] ?? '');
        return;
      case 2:
      case 3:
        tokens.splice(at, 1, ...group(random, random.pick(this.#texts)));
        return;
      case 4:
      case 5:
      case 6:
        tokens.push(random.pick([',', ' ', ',', '']), ...random.pick(this.#texts).slice(0, 200));
        return;
      case 7:
      case 8:
      case 9:
        if (tokens[at] !== undefined) tokens[at] = random.pick(this.#tokens[kindOf(tokens[at])]);
        return;
      default:
        this.#bendValue(random, tokens, at);
    }
  }

  /** Another value for the next field that has one. */
  #bendValue(random: Random, tokens: string[], start: number): void {
    const isValue = (token: string, at: number) =>
      at >= start && (kindOf(token) === 'number' || kindOf(token) === 'address');
    const at = tokens.findIndex(isValue);
    if (at >= 0) tokens[at] = random.pick(this.#values.get(wordBefore(tokens, at)) ?? NUMBERS);
  }

  /** Attributes that are a list, or nearly. */
  attributes(seed: number, index: number): Uint8Array {
    const random = new Random(seed ^ Math.imul(index + 1, 0x9e3779b1));
    const tree = copyTree(random.pick(this.#trees));
    for (let count = random.pick([1, 1, 2, 3]); count > 0; count--) bend(random, tree, TYPES);
    if (random.oneIn(6)) tree.push(...copyTree(random.pick(this.#trees)));
    const bytes = encode(tree);
    return random.oneIn(6) ? bendBytes(random, bytes) : bytes;
  }
}

/** The word that a token stands behind, with a sign in between. */
function wordBefore(tokens: readonly string[], at: number): string {
  return `${tokens[at - 2]}${tokens[at - 1]}`;
}

/** A word with what stands in parentheses behind it, somewhere in a list. */
function group(random: Random, tokens: readonly string[]): string[] {
  const start = random.below(tokens.length);
  let depth = 0;
  for (let end = start; end < tokens.length; end++) {
    if (tokens[end] === '(') depth++;
    if (tokens[end] === ')' && --depth <= 0) return tokens.slice(start, end + (depth < 0 ? 0 : 1));
    if (tokens[end] === ',' && depth === 0) return tokens.slice(start, end);
  }
  return tokens.slice(start);
}

/** Bytes as attributes, wherever they can be read so; undefined when they cannot. */
function treeOf(bytes: Uint8Array): Attr[] | undefined {
  const list: Attr[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = bytes[at]! | (bytes[at + 1]! << 8);
    const type = bytes[at + 2]! | ((bytes[at + 3]! & 0x3f) << 8);
    if (bytes.length - at < 4 || size < 4 || size > bytes.length - at || type >= TYPES) return undefined;
    const payload = bytes.slice(at + 4, at + size);
    list.push({ type, payload: (payload.length > 0 ? treeOf(payload) : undefined) ?? payload });
    at += (size + 3) & ~3;
  }
  return list;
}

/** An action given by number and bytes: these may be wrong, and have padding and flags that do not come back. */
const RAW = /action[0-9]/;

/** True when `text` is a list. Throws where a law is broken. */
export function judgeText(text: string, laws: readonly Law[] = LAWS): boolean {
  const actions = unless(OdpSyntaxError, () => parseActions(text));
  const like = unless(OdpSyntaxError, () => parseActions(text, { likeDpctl: true }));
  if (actions === undefined || like === undefined) return false;
  if (!RAW.test(text)) judgeActions(actions, laws);
  else unless(OdpFieldError, () => judgeAttributes(encodeActions(actions), laws));
  return true;
}

/** Which laws of a list are asked: each costs a few times what reading the list does. */
export type Law = 'attributes' | 'exact text' | 'text';
const LAWS: readonly Law[] = ['attributes', 'exact text', 'text'];

/** True when `bytes` are a list. Throws where a law is broken. */
export function judgeAttributes(bytes: Uint8Array, laws: readonly Law[] = LAWS): boolean {
  const actions = unless(OdpAttributeError, () => decodeActions(bytes));
  if (actions === undefined) return false;
  judgeActions(actions, laws);
  return true;
}

/** Attributes and exact text bring a list back; the text of ovs-dpctl is read as what is printed again as the same. */
function judgeActions(actions: readonly Action[], laws: readonly Law[]): void {
  const encoded = unless(OdpFieldError, () => encodeActions(actions));
  if (encoded === undefined) return;
  const decoded = decodeActions(encoded);
  if (laws.includes('attributes')) same(encodeActions(decoded), encoded, 'encode(decode(encode(x))) is encode(x)');
  if (laws.includes('exact text')) {
    const exact = formatActions(decoded, { exact: true });
    same(encodeActions(parseActions(exact)), encoded, `the exact text brings it back: ${exact}`);
  }
  if (!laws.includes('text')) return;
  const text = formatActions(decoded);
  const again = formatActions(parseActions(text));
  const third = formatActions(parseActions(again));
  if (third !== again) throw new Error(`printed ${again}\n   then ${third}`);
}

function same(left: Uint8Array, right: Uint8Array, law: string): void {
  if (Buffer.compare(left, right) === 0) return;
  throw new Error(`${law}\n${Buffer.from(left).toString('hex')}\n${Buffer.from(right).toString('hex')}`);
}

/** What `work` gives; undefined when it throws the error that it may throw. */
function unless<T>(documented: new (...args: never[]) => Error, work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof documented) return undefined;
    throw error;
  }
}
