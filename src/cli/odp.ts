/*
 * wdp parse-actions and wdp parse-key: what a text, or attributes in hexadecimal, say: as ovs-dpctl writes it, as JSON, or as attributes.
 *
 * Before it: the command line (main.ts), which prints an error of the codecs as one line with its position and ends with status 1; the lines of what
 * came before the mistake are out by then, as with ovs-dpctl. Main thread.
 */
import {
  type Action,
  decodeActions,
  decodeMatch,
  decodeMatchAttributes,
  encodeActions,
  formatActions,
  formatKeyAttributes,
  parseActions,
  parseKeyAttributes,
} from '../odp/index.ts';
import { UsageError } from './failure.ts';

export interface OdpOptions {
  /** The arguments are attributes in hexadecimal, not text. */
  readonly attributes?: boolean;
  /** One JSON value an argument. */
  readonly json?: boolean;
  /** The attributes in hexadecimal; of a key those of its mask too, behind a slash. */
  readonly hex?: boolean;
}

/** Prints one line for each action list. */
export function printActions(lists: readonly string[], options: OdpOptions, out: NodeJS.WritableStream): void {
  checkForm(options);
  for (const list of lists) {
    const actions = options.attributes ? decodeActions(bytesOf(list)) : parseActions(list, { likeDpctl: true });
    out.write(`${actionsLine(actions, options)}\n`);
  }
}

function actionsLine(actions: readonly Action[], options: OdpOptions): string {
  if (options.json) return jsonOf(actions);
  return options.hex ? hexOf(encodeActions(actions)) : formatActions(actions);
}

/** Prints one line for each key, with its mask when there is one. */
export function printKeys(keys: readonly string[], options: OdpOptions, out: NodeJS.WritableStream): void {
  checkForm(options);
  for (const text of keys) {
    const { key, mask } = options.attributes ? attributesOf(text) : parseKeyAttributes(text);
    if (options.json) {
      const { key: flat, mask: flatMask, ...report } = decodeMatchAttributes(key, mask);
      out.write(`${jsonOf({ match: decodeMatch(flat, flatMask), ...report })}\n`);
    } else if (options.hex) out.write(`${hexOf(key)}${mask === undefined ? '' : `/${hexOf(mask)}`}\n`);
    else out.write(`${formatKeyAttributes(key, mask)}\n`);
  }
}

function checkForm({ json, hex }: OdpOptions): void {
  if (json && hex) throw new UsageError('--json or --hex, not both');
}

function attributesOf(text: string): { key: Uint8Array; mask?: Uint8Array } {
  const [key, mask, ...rest] = text.split('/');
  if (rest.length > 0) throw new UsageError('a key is given as KEY or KEY/MASK');
  return mask === undefined ? { key: bytesOf(key) } : { key: bytesOf(key), mask: bytesOf(mask) };
}

function bytesOf(text: string): Uint8Array {
  const digits = text.replaceAll(/[\s:]/g, '');
  const wrong = digits.search(/[^0-9a-fA-F]/);
  if (wrong >= 0 || digits.length % 2 !== 0) {
    const place = wrong >= 0 ? `${JSON.stringify(digits[wrong])} at position ${wrong}` : 'an odd number of digits';
    throw new UsageError(`attributes are pairs of hexadecimal digits: ${place}`);
  }
  return Uint8Array.from(Buffer.from(digits, 'hex'));
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** Bytes are written in hexadecimal, integers wider than 53 bits in decimal digits, both as strings. */
function jsonOf(value: unknown): string {
  return JSON.stringify(value, (_name, part: unknown) =>
    typeof part === 'bigint' ? String(part) : part instanceof Uint8Array ? hexOf(part) : part,
  );
}
