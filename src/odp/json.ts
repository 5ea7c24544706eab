/*
 * Typed values as JSON text: bytes in hexadecimal, integers that may be wider than 53 bits in decimal digits, both as strings. Pure.
 */
import { hexBytes } from './hex.ts';

export function jsonText(value: unknown): string {
  return JSON.stringify(value, (_name, part: unknown) =>
    typeof part === 'bigint' ? String(part) : part instanceof Uint8Array ? hexBytes(part) : part,
  );
}
