/*
 * wdp parse-actions and wdp parse-key: what a text, or attributes in hexadecimal, say: as ovs-dpctl writes it, as JSON, or as attributes. And wdp
 * normalize-actions in the same forms, which as text prints what that of ovs-dpctl prints, to the byte.
 *
 * Before it: the command line (main.ts), which prints an error of the codecs as one line with its position and ends with status 1; the lines of what
 * came before the mistake are out by then, as with ovs-dpctl. Main thread.
 */

import { actionsLine, type NormalizeOptions, type OdpForm, readPort, writeNormalized } from '../dpctl/normalize.ts';
import { hexBytes, parseHexBytes } from '../odp/hex.ts';
import {
  decodeActions,
  decodeMatch,
  decodeMatchAttributes,
  formatKeyAttributes,
  parseActions,
  parseKeyAttributes,
} from '../odp/index.ts';
import { jsonText } from '../odp/json.ts';
import { UsageError } from './failure.ts';

export type { NormalizeOptions, OdpForm as OdpOptions } from '../dpctl/normalize.ts';

/** Prints one line for each action list. */
export function printActions(lists: readonly string[], options: OdpForm, out: NodeJS.WritableStream): void {
  checkForm(options);
  for (const list of lists) {
    const actions = options.attributes ? decodeActions(parseHexBytes(list)) : parseActions(list, { likeDpctl: true });
    out.write(`${actionsLine(actions, options)}\n`);
  }
}

/** Prints one line for each key, with its mask when there is one. */
export function printKeys(keys: readonly string[], options: OdpForm, out: NodeJS.WritableStream): void {
  checkForm(options);
  for (const text of keys) {
    const { key, mask } = options.attributes ? attributesOf(text) : parseKeyAttributes(text);
    if (options.json) {
      const { key: flat, mask: flatMask, ...report } = decodeMatchAttributes(key, mask);
      out.write(`${jsonText({ match: decodeMatch(flat, flatMask), ...report })}\n`);
    } else if (options.hex) out.write(`${hexBytes(key)}${mask === undefined ? '' : `/${hexBytes(mask)}`}\n`);
    else out.write(`${formatKeyAttributes(key, mask)}\n`);
  }
}

function checkForm({ json, hex }: OdpForm): void {
  if (json && hex) throw new UsageError('--json or --hex, not both');
}

function attributesOf(text: string): { key: Uint8Array; mask?: Uint8Array } {
  const [key, mask, ...rest] = text.split('/');
  if (rest.length > 0) throw new UsageError('a key is given as KEY or KEY/MASK');
  return mask === undefined ? { key: parseHexBytes(key) } : { key: parseHexBytes(key), mask: parseHexBytes(mask) };
}

/** Prints the flow and its actions; `ports` are `NAME=NUMBER`. */
export function printNormalized(
  flow: string,
  list: string,
  ports: readonly string[],
  options: NormalizeOptions,
  out: NodeJS.WritableStream,
): void {
  checkForm(options);
  const names = new Map(ports.map(portOf));
  writeNormalized(flow, list, names, options, (text) => out.write(text));
}

function portOf(text: string): [string, number] {
  const port = readPort(text);
  if (port === undefined) throw new UsageError(`${text}: NAME=NUMBER was expected`);
  return port;
}
