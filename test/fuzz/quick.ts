/*
 * Quick fuzz targets of keys and actions, as text and as attributes: a case is one small change to something short that was right, and
 * costs some ten microseconds, so that ten million of them are an affair of minutes. The other targets (odp.ts, odp-keys.ts) change more
 * at once, in longer inputs.
 *
 * A case follows from its seed and its number. Each target says whether the input was taken, and throws when a law is broken. Run by
 * test/35.quick-fuzz.test.ts, in large by run.mjs.
 */
import fc from 'fast-check';
import {
  decodeMatchAttributes,
  encodeActions,
  encodeMatch,
  encodeMatchAttributes,
  type FlatMatch,
  formatActions,
  formatKeyAttributes,
  formatMatch,
  OdpAttributeError,
  OdpSyntaxError,
  parseKeyAttributes,
  parseMatch,
} from '../../src/odp/index.ts';
import type { DatapathMemory } from '../../src/wasm/memory.ts';
import { encode } from '../support/attribute-tree.ts';
import { randomKey } from '../support/flow-generator.ts';
import { Random } from '../support/frame-generator.ts';
import { anyAction } from '../support/odp-actions.ts';
import { comparable, tunnelledMatch } from '../support/odp-tunnel.ts';
import { KernelMatch } from './kernel-match.ts';
import { ListMutator, TextMutator } from './mutators.ts';
import { judgeAttributes, judgeText, type Law } from './odp.ts';
import { attempt, checkMatch, checkPrinted, isLossy } from './odp-keys.ts';

export interface Target {
  name: string;
  /** One case. True when the input was taken. */
  run(seed: number, index: number): boolean;
  /** What that case was given. */
  show(seed: number, index: number): string;
}

const POOL_SIZE = 3000;
const ACTION_TEXT_MAX = 90;
const KEY_TEXT_MAX = 200;
const LIST_MAX = 160;

function randomOf(seed: number, index: number): Random {
  return new Random(Math.imul(seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b));
}

function textTarget(name: string, texts: readonly string[], judge: (text: string, index: number) => boolean): Target {
  const mutator = new TextMutator(texts);
  const text = (seed: number, index: number): string => mutator.case(randomOf(seed, index));
  return { name, run: (seed, index) => judge(text(seed, index), index), show: text };
}

function listTarget(
  name: string,
  lists: readonly Uint8Array[],
  types: number,
  judge: (list: Uint8Array, index: number) => boolean,
): Target {
  const mutator = new ListMutator(lists, types);
  const list = (seed: number, index: number): Uint8Array => mutator.case(randomOf(seed, index));
  return {
    name,
    run: (seed, index) => judge(list(seed, index), index),
    show: (seed, index) => Buffer.from(list(seed, index)).toString('hex'),
  };
}

/** More than all action attributes and those inside of them. */
const ACTION_TYPES = 36;

/** Every case is read and written again; the laws of text, which cost most, are asked of some. */
const LAWS: readonly Law[][] = [['attributes'], ['exact text'], ['attributes'], ['text']];

function lawsOf(index: number): readonly Law[] {
  return LAWS[index % LAWS.length]!;
}

export function actionTargets(seed: number): Target[] {
  const actions = fc.sample(fc.array(anyAction, { minLength: 1, maxLength: 2 }), { seed, numRuns: POOL_SIZE });
  const texts = actions.flatMap((list) => [formatActions(list), formatActions(list, { exact: true })]);
  const lists = actions.map((list) => encodeActions(list));
  return [
    textTarget(
      'action texts',
      texts.filter((text) => text !== '' && text.length <= ACTION_TEXT_MAX),
      (text, index) => judgeText(text, lawsOf(index)),
    ),
    listTarget(
      'action lists',
      lists.filter(({ length }) => length > 0 && length <= LIST_MAX),
      ACTION_TYPES,
      (list, index) => judgeAttributes(list, lawsOf(index)),
    ),
  ];
}

/** Matches with little beside their headers: short, and of every protocol. */
function shortMatches(seed: number): FlatMatch[] {
  return fc.sample(tunnelledMatch, { seed, numRuns: POOL_SIZE }).map((typed, index) => {
    const { tunnel, ctState, ctZone, ctMark, ctLabel, ctTuple4, ctTuple6, skbMark, skbPriority, dpHash, ...rest } =
      typed;
    const extra = [
      { tunnel },
      { ctState, ctZone },
      { ctMark, ctLabel },
      { ctTuple4, ctTuple6 },
      { skbMark, skbPriority, dpHash },
    ];
    return encodeMatch(comparable({ ...rest, ...(index % 3 === 0 ? extra[(index / 3) % extra.length] : {}) }));
  });
}

/** One way of reading a case, by its number: what costs least is read oftener. */
function judgeKeyText(text: string, index: number): boolean {
  const lossy = isLossy(text);
  if (index % 2 === 0) {
    const match = attempt(OdpSyntaxError, () => parseMatch(text));
    if (match !== undefined && !lossy) checkMatch(match);
    return match !== undefined;
  }
  const lists = attempt(OdpSyntaxError, () => parseKeyAttributes(text));
  if (lists === undefined) return false;
  const decoded = attempt(OdpAttributeError, () => decodeMatchAttributes(lists.key, lists.mask));
  checkPrinted(lists.key, lists.mask, decoded?.fitness === 'perfect' && !lossy);
  return true;
}

const KEY_TYPES = 34;

/** `memory` is that of a datapath, whose parseMatch is what the kernel does. */
export function keyTargets(memory: DatapathMemory, seed: number): Target[] {
  const matches = shortMatches(seed);
  const texts = matches.flatMap((flat, index) => {
    const lists = encodeMatchAttributes(flat);
    const verbose = index % 2 === 0;
    return [formatMatch(flat.key, flat.mask), formatKeyAttributes(lists.key, lists.mask, { verbose })];
  });
  const random = new Random(seed);
  const lists = Array.from({ length: POOL_SIZE }, () => encode(randomKey(random).attrs));
  const kernel = new KernelMatch(memory);
  return [
    textTarget(
      'key texts',
      texts.filter(({ length }) => length > 0 && length <= KEY_TEXT_MAX),
      judgeKeyText,
    ),
    listTarget(
      'key lists',
      lists.filter(({ length }) => length > 0 && length <= LIST_MAX),
      KEY_TYPES,
      (key, index) => kernel.judge(key, index),
    ),
  ];
}
