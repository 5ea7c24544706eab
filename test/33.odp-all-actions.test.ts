/*
 * Every action with every nested attribute: typed, as attributes and as text. Random nested lists go through every form and back;
 * `ovs-dpctl parse-actions` judges the text of those that it reads. SEED sets the seed, ACTION_LISTS the number of lists for ovs-dpctl.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Action,
  decodeActions,
  decodeCookie,
  decodeTunnelHeader,
  encodeActions,
  encodeCookie,
  encodeTunnelHeader,
  formatActions,
  parseActions,
} from '../src/odp/index.ts';
import { hex } from './support/action-vectors.ts';
import { dpctlParseActions } from './support/dpctl.ts';
import { seed } from './support/odp.ts';
import { anyAction, cookie, dpctlAction, plainAction } from './support/odp-actions.ts';
import { requireProgram } from './support/require.ts';

console.log(`33.odp-all-actions: SEED=${seed}`);
const noDpctl = requireProgram('ovs-dpctl');
const RUNS = 800;
const DPCTL_LISTS = Number(process.env.ACTION_LISTS ?? 12_000);

function lists(action: fc.Arbitrary<Action>, count: number): Action[][] {
  return fc.sample(fc.array(action, { minLength: 1, maxLength: 5 }), { seed, numRuns: count });
}

describe('there and back', () => {
  test('typed, attributes, typed, and exact text', () => {
    for (const list of lists(anyAction, RUNS)) {
      const encoded = encodeActions(list);
      const decoded = decodeActions(encoded);
      expect(hex(encodeActions(decoded))).toBe(hex(encoded));
      const text = formatActions(decoded, { exact: true });
      expect(hex(encodeActions(parseActions(text))), text).toBe(hex(encoded));
    }
  });

  test('text in the spelling of ovs-dpctl, where that keeps everything', () => {
    for (const list of lists(plainAction, RUNS)) {
      const encoded = encodeActions(list);
      const text = formatActions(list);
      expect(hex(encodeActions(parseActions(text))), text).toBe(hex(encoded));
      expect(formatActions(encoded)).toBe(text);
    }
  });

  test('any text that is written can be read', () => {
    for (const list of lists(anyAction, RUNS)) {
      const text = formatActions(list);
      const again = formatActions(parseActions(text));
      expect(formatActions(parseActions(again)), text).toBe(again);
    }
  });

  test.skipIf(noDpctl)('ovs-dpctl parse-actions prints the same', () => {
    const texts = lists(dpctlAction, DPCTL_LISTS).map((list) => formatActions(list));
    const theirs = dpctlParseActions(texts);
    for (const [index, text] of texts.entries()) {
      expect(theirs[index]).toBe(text);
      expect(formatActions(parseActions(text, { likeDpctl: true }))).toBe(text);
    }
    const count = texts.reduce((sum, text) => sum + text.split(/[a-z_]+\(/).length, 0);
    console.log(`33.odp-all-actions: ${texts.length} lists (${count} words) agree with ovs-dpctl parse-actions`);
  });

  test('cookies and tunnel headers', () => {
    fc.assert(
      fc.property(cookie, (value) => {
        expect(decodeCookie(encodeCookie(value))).toEqual(value);
      }),
      { seed, numRuns: RUNS },
    );
    for (const action of lists(anyAction, RUNS).flat()) {
      if (action.type !== 'tunnelPush') continue;
      const header = decodeTunnelHeader(action.tunnelType, action.header);
      if (header === undefined) continue;
      expect(decodeTunnelHeader(action.tunnelType, encodeTunnelHeader(header))).toEqual(header);
    }
  });
});
