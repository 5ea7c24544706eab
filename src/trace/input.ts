/*
 * What a trace is asked for, as text: a packet in hexadecimal, a key as ovs-dpctl writes it, or a key's Netlink attributes in hexadecimal,
 * with those of its mask behind a slash or without: a packet is that of the key alone.
 *
 * Before it: the command line. After it: trace/trace.ts. Only a key as text has parentheses. Attributes in hexadecimal look like a packet, so they have
 * to be announced. Keeps nothing; any thread.
 */

import { parseHexBytes } from '../odp/hex.ts';
import { decodeKeyAttributes, OdpSyntaxError, parseKey } from '../odp/index.ts';

export type TraceInput =
  | { kind: 'packet'; packet: Uint8Array }
  | {
      kind: 'key';
      key: Uint8Array;
      /** Attributes that are missing, too many or unknown, by name. */
      remarks: string[];
    };

/** Throws OdpSyntaxError with the position in the text, OdpAttributeError with the byte, OdpFieldError. */
export function parseTraceInput(text: string, hexIsAttributes = false): TraceInput {
  if (text.includes('(')) return { kind: 'key', key: parseKey(text), remarks: [] };
  const bytes = parseHexBytes(hexIsAttributes ? text.replace(/\/.*$/s, '') : text);
  if (bytes.length === 0) throw new OdpSyntaxError(text, text.length, 'a packet in hexadecimal or a key');
  if (!hexIsAttributes) return { kind: 'packet', packet: bytes };
  const { key, missing, extra, unknown } = decodeKeyAttributes(bytes);
  const remarks = [
    ...missing.map((name) => `attribute ${name} is missing`),
    ...extra.map((name) => `attribute ${name} belongs to no header of this key`),
    ...unknown.map((number) => `attribute ${number} is unknown`),
  ];
  return { kind: 'key', key, remarks };
}
