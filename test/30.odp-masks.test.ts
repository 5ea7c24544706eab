/*
 * Masks: the exact mask of a key, held against the text of the key, and masks built from names. SEED sets the seed.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { KEY_IN_PORT, KEY_SIZE, KEY_TCP_FLAGS } from '../assembly/constants.ts';
import {
  ETH_TYPE_LLC,
  encodeKey,
  exactMask,
  type FlowKey,
  fieldsMask,
  formatKey,
  formatMatch,
  maskedKey,
  OdpFieldError,
  parseKey,
  parseMatch,
} from '../src/odp/index.ts';
import { anyKey, nshKey, plainKey, seed } from './support/odp.ts';

console.log(`30.odp-masks: SEED=${seed}`);
const ETH = 'eth(src=00:11:22:33:44:55,dst=66:77:88:99:aa:bb)';
const IPV4 = 'eth_type(0x0800),ipv4(src=1.2.3.4,dst=5.6.7.8,proto=17,tos=0,ttl=64,frag=no)';

/** As toEqual on bytes, which takes milliseconds for a key. */
function expectSame(actual: Uint8Array, expected: Uint8Array): void {
  if (Buffer.compare(actual, expected) !== 0) expect(actual).toEqual(expected);
}

describe('masks', () => {
  /** Keys that differ in one shown field. */
  const matches = (key: Uint8Array, mask: Uint8Array, other: Uint8Array) =>
    key.every((byte, i) => ((byte ^ other[i]) & mask[i]) === 0);

  test('the exact mask tells any two keys apart', () => {
    const bare = (key: FlowKey): FlowKey => {
      const { skbPriority, skbMark, dpHash, ctState, ctZone, ctMark, ctLabel, ctTuple4, ctTuple6, tcpFlags, ...rest } =
        key;
      return tcpFlags === undefined ? rest : { ...rest, tcpFlags: 0 };
    };
    fc.assert(
      fc.property(anyKey, anyKey, (a, b) => {
        const [first, second] = [encodeKey(bare(a)), encodeKey(bare(b))];
        const mask = exactMask(first);
        expect(matches(first, mask, second)).toBe(formatKey(first) === formatKey(second));
        expect(
          exactMask(encodeKey(a), { metadata: true, tcpFlags: true }).every((byte, i) => (byte & mask[i]) === mask[i]),
        ).toBe(true);
      }),
      { seed, numRuns: 1000 },
    );
  });

  test('the exact mask as text is the text of the key', () => {
    const nsh = nshKey.map((headers) => ({
      inPort: 1,
      recircId: 0,
      eth: { src: 'a:0:0:0:0:1', dst: 'a:0:0:0:0:2' },
      ...headers,
    }));
    const keys = fc.oneof(
      plainKey.filter((key) => key.ethType !== ETH_TYPE_LLC),
      nsh,
    );
    fc.assert(
      fc.property(keys, (key) => {
        const { skbPriority, skbMark, dpHash, ...shown } = key as FlowKey;
        const flat = encodeKey(shown);
        const mask = exactMask(flat, { tcpFlags: true });
        const text = formatMatch(flat, mask);
        expect(text).toBe(formatKey(flat));
        const again = parseMatch(text);
        expectSame(again.key, maskedKey(flat, mask));
        expectSame(again.mask, mask);
      }),
      { seed, numRuns: 2000 },
    );
    const llc = parseKey(`recirc_id(0),in_port(1),${ETH}`);
    expect(formatMatch(llc, exactMask(llc))).toBe(`${formatKey(llc)},eth_type(0/0xffff)`);
  });

  test('options and output buffer', () => {
    const flat = parseKey(`in_port(1),${ETH},${IPV4.replace('proto=17', 'proto=6')},tcp(src=1,dst=2),tcp_flags(syn)`);
    expect(exactMask(flat)[KEY_TCP_FLAGS + 1]).toBe(0);
    expect([...exactMask(flat, { tcpFlags: true }).subarray(KEY_TCP_FLAGS, KEY_TCP_FLAGS + 2)]).toEqual([0x0f, 0xff]);
    const out = new Uint8Array(KEY_SIZE).fill(7);
    expect(exactMask(flat, {}, out)).toBe(out);
    expect(out).toEqual(exactMask(flat));
  });

  test('masks from names', () => {
    const mask = fieldsMask(['inPort', 'ethDst', 'vlan', 'tcpFlags', 'ipv6Label']);
    expect([...mask.subarray(KEY_IN_PORT, KEY_IN_PORT + 4)]).toEqual([255, 255, 255, 255]);
    expect(mask.reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0)).toBe(
      32 + 48 + 64 + 12 + 20,
    );
    const key = parseKey(`in_port(5),${ETH},${IPV4},udp(src=1,dst=2)`);
    expect(formatMatch(key, fieldsMask(['inPort', 'ethDst', 'vlan']))).toBe('in_port(5),eth(dst=66:77:88:99:aa:bb)');
    expect(formatMatch(key, fieldsMask(['inPort', 'ethDst']))).toBe(
      'in_port(5),eth(dst=66:77:88:99:aa:bb),vlan(cfi=0/0)',
    );
    expect(() => fieldsMask(['toString' as 'vlan'])).toThrow(OdpFieldError);
  });
});
