/*
 * Texts of many keys (AttributeMemory) beside what reads one key, which is held against ovs-dpctl: the same for every text, alike or not. The other way, keys of many
 * flows as text, is in 84.flow-lines.test.ts.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AttributeMemory } from '../src/odp/attribute-memory.ts';
import { encodeMatch, formatKeyAttributes, parseKeyAttributes } from '../src/odp/index.ts';
import { encodeMatchAttributes } from '../src/odp/key-attributes.ts';
import { seed } from './support/odp.ts';
import { comparable, tunnelledMatch } from './support/odp-tunnel.ts';

console.log(`32.key-memory: SEED=${seed}`);
const RUNS = Number(process.env.CASES ?? 200);

/** What `work` gives, or how it fails. */
function outcome<T>(work: () => T): T | string {
  try {
    return work();
  } catch (error) {
    return `fails: ${(error as Error).message}`;
  }
}

describe('texts of many keys', () => {
  it('are read as one by one, whatever they share with the last ones', () => {
    const lists = tunnelledMatch.map((typed) => encodeMatchAttributes(encodeMatch(comparable(typed))));
    const texts = fc.array(fc.tuple(lists, fc.nat(), fc.string({ maxLength: 2 }), fc.nat(9)), { maxLength: 12 });
    const portNumber = (name: string): number | undefined => (name === 'eth0' ? 7 : undefined);
    fc.assert(
      fc.property(texts, (flows) => {
        const memory = new AttributeMemory();
        let last = '';
        for (const [{ key, mask }, at, more, how] of flows) {
          // the last text with a change, or another one
          const text = how > 3 && last !== '' ? last : formatKeyAttributes(key, mask);
          last = how % 2 === 0 ? text : text.slice(0, at % text.length) + more + text.slice(at % text.length);
          if (how === 9) last = text.replace(/in_port\(\d+\)/, 'in_port(eth0)');
          expect(outcome(() => parseKeyAttributes(last, { portNumber, memory }))).toEqual(
            outcome(() => parseKeyAttributes(last, { portNumber })),
          );
        }
      }),
      { seed, numRuns: 2 * RUNS },
    );
  });

  it('are read anew where they name a port', () => {
    const memory = new AttributeMemory();
    for (const port of [3, 4]) {
      const { key } = parseKeyAttributes('in_port(eth0),eth()', { portNumber: () => port, memory });
      expect(key).toEqual(parseKeyAttributes(`in_port(${port}),eth()`).key);
    }
  });
});
