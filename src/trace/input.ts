/*
 * What a trace is asked for, as text: a packet in hexadecimal, a key as ovs-dpctl writes it, or a key's Netlink attributes in hexadecimal.
 *
 * Before it: the command line. After it: trace/trace.ts. Only a key as text has parentheses. Attributes in hexadecimal look like a packet, so they have
 * to be announced. Keeps nothing; any thread.
 */
import { decodeKeyAttributes, OdpSyntaxError, parseKey } from '../odp/index.ts';
import { hexDigit } from '../odp/scanner.ts';

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
  const bytes = parseHexBytes(text);
  if (!hexIsAttributes) return { kind: 'packet', packet: bytes };
  const { key, missing, extra, unknown } = decodeKeyAttributes(bytes);
  const remarks = [
    ...missing.map((name) => `attribute ${name} is missing`),
    ...extra.map((name) => `attribute ${name} belongs to no header of this key`),
    ...unknown.map((number) => `attribute ${number} is unknown`),
  ];
  return { kind: 'key', key, remarks };
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
  if (bytes.length === 0) throw new OdpSyntaxError(text, at, 'a packet in hexadecimal or a key');
  return Uint8Array.from(bytes);
}
