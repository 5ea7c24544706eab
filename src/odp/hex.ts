/*
 * Hexadecimal: numbers of any size, as Open vSwitch writes labels and option data (leading zeros are left out, zero is `0`), and
 * bytes one by one, as it writes attributes that it does not know.
 */

import { OdpSyntaxError } from './errors.ts';
import { hexDigit, type TextScanner } from './scanner.ts';

/** The two digits of each byte. */
export const HEX_OF_BYTE: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
  byte.toString(16).padStart(2, '0'),
);

/** Two digits a byte. */
export function hexBytes(bytes: Uint8Array, separator = ''): string {
  let text = '';
  for (let at = 0; at < bytes.length; at++) text += (at === 0 ? '' : separator) + HEX_OF_BYTE[bytes[at]];
  return text;
}

/** The bytes of an even number of hexadecimal digits. */
export function bytesOfHex(digits: string): Uint8Array {
  const bytes = new Uint8Array(digits.length / 2);
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = (hexDigit(digits.charCodeAt(2 * i)) << 4) | hexDigit(digits.charCodeAt(2 * i + 1));
  }
  return bytes;
}

/** `0x1002` of bytes in network order. */
export function formatHex(bytes: Uint8Array): string {
  const text = hexBytes(bytes).replace(/^0+/, '');
  return text === '' ? '0' : `0x${text}`;
}

/** Reads a number into the `size` bytes at `at`, in network order. */
export function scanHex(scanner: TextScanner, bytes: Uint8Array, at: number, size: number): void {
  let rest = scanner.bigNumber((1n << BigInt(size * 8)) - 1n);
  for (let i = at + size - 1; i >= at; i--) {
    bytes[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
}

/** `01 0a ff` */
export function formatBytes(bytes: Uint8Array): string {
  return hexBytes(bytes, ' ');
}

const PAIRS = /[0-9a-fA-F]{2}( ?[0-9a-fA-F]{2})*|/y;

/** Reads bytes and, behind a slash, their mask (else all ones), of `size` bytes if that is given. */
export function scanBytes(scanner: TextScanner, size?: number): { key: Uint8Array; mask: Uint8Array } {
  const start = scanner.position;
  const pairs = () =>
    Uint8Array.from((scanner.match(PAIRS) ?? '').match(/[^ ]{2}/g) ?? [], (pair) => Number.parseInt(pair, 16));
  const key = pairs();
  const mask = scanner.take('/') ? pairs() : new Uint8Array(key.length).fill(0xff);
  if (mask.length !== key.length || (size !== undefined && key.length !== size))
    throw scanner.error(`${size ?? 'as many'} bytes in hexadecimal${size === undefined ? ' in the mask' : ''}`, start);
  return { key, mask };
}

/** Bytes of two digits each; blanks, line ends and colons between them do not count, nor does `0x` in front. */
export function parseHexBytes(text: string): Uint8Array {
  const bytes: number[] = [];
  let at = /^\s*(0x)?/i.exec(text)?.[0].length ?? 0;
  while (at < text.length) {
    if (/[\s:]/.test(text[at])) {
      at += 1;
      continue;
    }
    for (const position of [at, at + 1]) {
      if (position >= text.length || hexDigit(text.charCodeAt(position)) > 15)
        throw new OdpSyntaxError(text, position, 'a hexadecimal digit');
    }
    bytes.push(hexDigit(text.charCodeAt(at)) * 16 + hexDigit(text.charCodeAt(at + 1)));
    at += 2;
  }
  return Uint8Array.from(bytes);
}
