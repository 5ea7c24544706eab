/*
 * Damaged action lists, as text and as attributes: what is not refused with an error that says where must come back the same.
 */
import { describe, expect, test } from 'vitest';
import {
  type Action,
  decodeActions,
  encodeActions,
  formatActions,
  OdpAttributeError,
  OdpSyntaxError,
  parseActions,
} from '../src/odp/index.ts';
import { bytes, hex, thrown, VECTORS } from './support/action-vectors.ts';

describe('bad input', () => {
  test('text cut at every byte and with any byte changed', () => {
    for (const [text] of VECTORS) {
      for (let size = 0; size < text.length; size++) {
        checkSyntax(text.slice(0, size));
        for (const char of '(),=0x "') checkSyntax(text.slice(0, size) + char + text.slice(size + 1));
      }
    }
  });

  test.each([
    ['hash(l5(0))', 5],
    ['recirc(0x100000000)', 7],
    ['push_mpls(label=1,tc=8,ttl=0,bos=0,eth_type=1)', 21],
    ['sample(sample=100.1%,actions(1))', 14],
    ['sample(sample=50%,actions(1)', 27],
    ['clone(1', 7],
    ['clone(1,nosuch)', 8],
    ['clone(1)2', 8],
    ['check_pkt_len(size=65536,gt(),le())', 19],
    ['ct(commit', 9],
    ['ct(mark=0x100000000)', 8],
    ['ct(helper=)', 10],
    ['ct(nat(src,dst))', 7],
    ['ct(nat(src=1.2.3))', 11],
    ['ct(nat(src=1.2.3.4-::1))', 22],
    ['psample(cookie=0x1)', 18],
    ['push_nsh(md3=1)', 9],
    ['userspace(pid=1,ipfix(output_port=x))', 34],
    ['tnl_push(tnl_port(1),header(size=5,type=4,data(00000000)),out_port(1))', 33],
  ])('refuses %s at %i', (text, position) => {
    const error = thrown(() => parseActions(text));
    expect(error).toBeInstanceOf(OdpSyntaxError);
    expect((error as OdpSyntaxError).position).toBe(position);
  });

  test('attributes of every size and number, nested and not', () => {
    const sizes = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 20, 65_531, 65_532, 65_535];
    for (let number = 0; number <= 30; number++) {
      for (const size of sizes) {
        for (const inner of [
          '',
          '0000',
          '0300 0100',
          '0400 0100',
          '0800 0100 01000000',
          '0400 0200 0400 0300',
          'ffff ffff',
        ]) {
          const body = bytes(inner);
          const header = [size, size >> 8, number, 0];
          checkAttributes(Uint8Array.from([...header, ...body]));
          checkAttributes(Uint8Array.from([body.length + 8, 0, number, 0, ...header, ...body]));
          checkAttributes(
            Uint8Array.from([12 + body.length, 0, 20, 0, body.length + 8, 0, number, 0, ...header, ...body]),
          );
        }
      }
    }
  });

  test('attributes cut at every byte and with any byte changed', () => {
    for (const [, , built] of VECTORS) {
      const whole = encodeActions(built);
      for (let at = 0; at < whole.length; at++) {
        checkAttributes(whole.subarray(0, at));
        for (const value of [0, 1, 3, 4, 5, 8, 0x7f, 0xff]) {
          const damaged = whole.slice();
          damaged[at] = value;
          checkAttributes(damaged);
        }
      }
    }
  });
});

function checkSyntax(text: string): void {
  let list: Action[];
  try {
    list = parseActions(text);
  } catch (error) {
    if (error instanceof OdpSyntaxError) return;
    throw error;
  }
  const exact = formatActions(list, { exact: true });
  expect(hex(encodeActions(parseActions(exact))), text).toBe(hex(encodeActions(list)));
}

function checkAttributes(list: Uint8Array): void {
  let decoded: Action[];
  try {
    decoded = decodeActions(list);
  } catch (error) {
    if (error instanceof OdpAttributeError) return;
    throw error;
  }
  const again = encodeActions(decoded);
  expect(hex(encodeActions(decodeActions(again)))).toBe(hex(again));
  expect(hex(encodeActions(parseActions(formatActions(decoded, { exact: true }))))).toBe(hex(again));
}
