/*
 * Keys of many flows as text and back (KeyLines, AttributeMemory) beside what formats and reads one key, which is held against ovs-dpctl: the same for every key,
 * alike or not.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AttributeMemory } from '../src/odp/attribute-memory.ts';
import { encodeMatch, formatKeyAttributes, parseKeyAttributes } from '../src/odp/index.ts';
import { encodeMatchAttributes } from '../src/odp/key-attributes.ts';
import { KeyLines } from '../src/odp/key-lines.ts';
import { TextBytes } from '../src/odp/text-bytes.ts';
import { seed } from './support/odp.ts';
import { comparable, tunnelledMatch } from './support/odp-tunnel.ts';

console.log(`32.key-lines: SEED=${seed}`);
const RUNS = Number(process.env.CASES ?? 200);

const portName = (port: number): string | undefined => (port % 3 === 0 ? undefined : `p${port}`);
/** What `lines` puts for one key. */
function textOf(lines: KeyLines, key: Uint8Array, mask?: Uint8Array): string {
  const out = new TextBytes();
  lines.put(out, key, mask);
  return out.take();
}

/** What `work` gives, or how it fails. */
function outcome<T>(work: () => T): T | string {
  try {
    return work();
  } catch (error) {
    return `fails: ${(error as Error).message}`;
  }
}

const OPTIONS = [{}, { verbose: true }, { portName }, { verbose: true, portName }];

describe('keys of many flows', () => {
  it('are printed as one by one, whatever their bytes are, under masks that many share', () => {
    const lists = tunnelledMatch.map((typed) => encodeMatchAttributes(encodeMatch(comparable(typed))));
    const change = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }));
    const flows = fc.tuple(lists, fc.array(fc.array(change, { maxLength: 4 }), { maxLength: 6 }));
    const many = OPTIONS.map((options) => ({ options, lines: new KeyLines(options) }));
    fc.assert(
      fc.property(flows, fc.array(change, { maxLength: 2 }), ([{ key, mask }, others], maskChanges) => {
        const bent = mask.slice();
        for (const [at, byte] of maskChanges) if (payloadAt(key, at % key.length)) bent[at % bent.length] = byte;
        for (const bits of [mask, payloadsOnly(mask, bent)]) {
          for (const changes of [[], ...others]) {
            const other = key.slice();
            for (const [at, byte] of changes) if (payloadAt(key, at % key.length)) other[at % key.length] = byte;
            for (const { options, lines } of many)
              expect(outcome(() => textOf(lines, other, bits))).toEqual(
                outcome(() => formatKeyAttributes(other, bits, options)),
              );
          }
        }
      }),
      { seed, numRuns: RUNS },
    );
  });

  it('are printed as one by one behind each other, where only what has changed is written anew', () => {
    const lists = tunnelledMatch.map((typed) => encodeMatchAttributes(encodeMatch(comparable(typed))));
    const change = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }));
    const flows = fc.array(fc.tuple(fc.nat(3), fc.array(change, { maxLength: 3 })), { maxLength: 20 });
    const many = OPTIONS.map((options) => ({ options, lines: new KeyLines(options), out: new TextBytes() }));
    fc.assert(
      fc.property(fc.array(lists, { minLength: 1, maxLength: 4 }), flows, (kinds, changes) => {
        const keys = kinds.map(({ key }) => key.slice());
        const texts = many.map(() => '');
        for (const [kind, bytes] of changes) {
          const { mask } = kinds[kind % kinds.length];
          const key = keys[kind % kinds.length];
          for (const [at, byte] of bytes) if (payloadAt(key, at % key.length)) key[at % key.length] = byte;
          many.forEach(({ options, lines, out }, index) => {
            const text = outcome(() => formatKeyAttributes(key, mask, options));
            if (text.startsWith('fails: ')) return;
            lines.put(out, key, mask);
            out.putText('\n');
            texts[index] += `${text}\n`;
          });
        }
        expect(many.map(({ out }) => out.take())).toEqual(texts);
      }),
      { seed, numRuns: RUNS },
    );
  });

  it.each([
    'in_port(1),eth(),eth_type(0x0800),ipv4(frag=no)',
    'in_port(2/0xff),eth(src=02:00:00:00:00:01,dst=01:00:00:00:00:00/01:00:00:00:00:00),eth_type(0x86dd),ipv6(label=0x5/0xff,frag=first)',
    'recirc_id(0),ct_state(+trk-new),in_port(3),eth(),eth_type(0x0800),ipv4(proto=6,frag=no),tcp(src=0/0),tcp_flags(syn)',
    'in_port(1),packet_type(ns=1,id=0x800),eth_type(0x0800),ipv4(ttl=3,frag=later)',
    '<empty>',
  ])('%s', (text) => {
    const { key, mask } = parseKeyAttributes(text);
    for (const options of OPTIONS) {
      const lines = new KeyLines(options);
      for (let i = 0; i < 3; i++) expect(textOf(lines, key, mask)).toBe(formatKeyAttributes(key, mask, options));
      expect(textOf(lines, key)).toBe(formatKeyAttributes(key, undefined, options));
      const noType = removeType(key);
      expect(textOf(lines, noType, mask)).toBe(formatKeyAttributes(noType, mask, options));
    }
  });

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

  it('of more kinds than it has forms for are printed all the same', () => {
    const lines = new KeyLines();
    for (let round = 0; round < 3; round++) {
      for (let bits = 1; bits < 200; bits++) {
        const { key, mask } = parseKeyAttributes(`in_port(1),skb_mark(${bits}/${bits}),eth(),eth_type(0x0806)`);
        expect(textOf(lines, key, mask)).toBe(formatKeyAttributes(key, mask));
      }
    }
  });
});

/** Whether the byte at `position` of a list is in the payload of an attribute. */
function payloadAt(list: Uint8Array, position: number): boolean {
  for (let at = 0; at < list.length; ) {
    const size = list[at] | (list[at + 1] << 8);
    if (position >= at + 4 && position < at + size) return true;
    at += (size + 3) & ~3;
  }
  return false;
}

/** `bent` where `list` has payload, else `list`. */
function payloadsOnly(list: Uint8Array, bent: Uint8Array): Uint8Array {
  return list.map((byte, at) => (payloadAt(list, at) ? bent[at] : byte));
}

/** The list without its Ethernet type, so that only the mask has it. */
function removeType(list: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < list.length; ) {
    const size = ((list[at] | (list[at + 1] << 8)) + 3) & ~3;
    if (list[at + 2] !== 6) parts.push(list.subarray(at, at + size));
    at += size;
  }
  return new Uint8Array(Buffer.concat(parts));
}
