/*
 * wdp parse-actions and wdp parse-key: what a text, or attributes in hexadecimal, say: as ovs-dpctl writes it, as JSON, or as attributes. And wdp
 * normalize-actions in the same forms, which as text prints what that of ovs-dpctl prints, to the byte.
 *
 * Before it: the command line (main.ts), which prints an error of the codecs as one line with its position and ends with status 1; the lines of what
 * came before the mistake are out by then, as with ovs-dpctl. Main thread.
 */

import { decodeTci } from '../odp/bitfields.ts';
import { hexBytes, parseHexBytes } from '../odp/hex.ts';
import {
  type Action,
  type ActionGroup,
  decodeActions,
  decodeKey,
  decodeKeyAttributes,
  decodeMatch,
  decodeMatchAttributes,
  encodeActions,
  type FlowKey,
  formatActions,
  formatKeyAttributes,
  normalizeActions,
  OdpFieldError,
  parseActions,
  parseKeyAttributes,
  type VlanKey,
} from '../odp/index.ts';
import { jsonText } from '../odp/json.ts';
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
    const actions = options.attributes ? decodeActions(parseHexBytes(list)) : parseActions(list, { likeDpctl: true });
    out.write(`${actionsLine(actions, options)}\n`);
  }
}

function actionsLine(actions: readonly Action[], options: OdpOptions): string {
  if (options.json) return jsonText(actions);
  return options.hex ? hexBytes(encodeActions(actions)) : formatActions(actions);
}

/** Prints one line for each key, with its mask when there is one. */
export function printKeys(keys: readonly string[], options: OdpOptions, out: NodeJS.WritableStream): void {
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

function checkForm({ json, hex }: OdpOptions): void {
  if (json && hex) throw new UsageError('--json or --hex, not both');
}

function attributesOf(text: string): { key: Uint8Array; mask?: Uint8Array } {
  const [key, mask, ...rest] = text.split('/');
  if (rest.length > 0) throw new UsageError('a key is given as KEY or KEY/MASK');
  return mask === undefined ? { key: parseHexBytes(key) } : { key: parseHexBytes(key), mask: parseHexBytes(mask) };
}

export interface NormalizeOptions extends OdpOptions {
  /** Print the actions as they were read, too. */
  readonly more?: boolean;
}

/**
 * Prints the flow, and its actions under the tags that a packet has when they happen. `ports` are `NAME=NUMBER`. As in ovs-dpctl no line of text ends
 * after a group; each group of attributes is a line.
 */
export function printNormalized(
  flow: string,
  list: string,
  ports: readonly string[],
  options: NormalizeOptions,
  out: NodeJS.WritableStream,
): void {
  checkForm(options);
  const { more = false } = options;
  const names = new Map(ports.map(portOf));
  const attributes = options.attributes
    ? parseHexBytes(flow)
    : parseKeyAttributes(flow, { portNumber: (name) => names.get(name) }).key;
  if (!options.json) {
    const text = options.hex ? hexBytes(attributes) : formatKeyAttributes(attributes, undefined, { verbose: more });
    out.write(`input flow: ${text}\n`);
  }
  const typed = wholeKey(attributes);
  const actions = options.attributes ? decodeActions(parseHexBytes(list)) : actionsToNormalize(list, names);
  const groups = normalizeActions(typed, actions);
  if (options.json) {
    const normalized = groups.map((group) => ({ tags: typedTags(group), actions: group.actions }));
    out.write(`${jsonText({ flow: typed, ...(more ? { actions } : {}), groups: normalized })}\n`);
    return;
  }
  if (more) out.write(`input actions: ${actionsLine(actions, options)}\n`);
  const mpls = typed.mpls?.[0];
  const label = mpls === undefined ? 'no mpls' : `mpls(label=${mpls.label},tc=${mpls.tc},ttl=${mpls.ttl})`;
  for (const group of groups) {
    out.write(`${tagsOf(group)}${label}: ${actionsLine(group.actions, options)}${options.hex ? '\n' : ''}`);
  }
}

/** A flow has to say all of its headers, or metadata alone. */
function wholeKey(attributes: Uint8Array): FlowKey {
  const { key, fitness, missing, extra } = decodeKeyAttributes(attributes);
  const metadataOnly = extra.length === 0 && missing.join() === 'eth';
  if (fitness !== 'perfect' && !metadataOnly) throw new OdpFieldError('flow', misfit(missing, extra));
  return decodeKey(key);
}

function portOf(port: string): [string, number] {
  const [, name, number] = /^([^=]{1,15})=(0[xX][0-9a-fA-F]+|[0-9]+)$/.exec(port) ?? [];
  if (number === undefined) throw new UsageError(`${port}: NAME=NUMBER was expected`);
  return [name, Number(number)];
}

function misfit(missing: readonly string[], extra: readonly string[]): string {
  return [
    missing.length > 0 && `without ${missing.join(', ')}`,
    extra.length > 0 && `with ${extra.join(', ')} that nothing leads to`,
  ]
    .filter(Boolean)
    .join(' and ');
}

/** `drop` is an action here, not an empty list. */
function actionsToNormalize(text: string, names: ReadonlyMap<string, number>): Action[] {
  const actions = parseActions(text, { likeDpctl: true, names });
  return actions.length === 0 && text.trim() === 'drop' ? [{ type: 'drop' }] : actions;
}

function presentTags({ tags }: ActionGroup): ActionGroup['tags'][number][] {
  const absent = tags.findIndex(({ tci }) => tci === 0);
  return tags.slice(0, absent < 0 ? undefined : absent);
}

function typedTags(group: ActionGroup): VlanKey[] {
  return presentTags(group).map(({ tpid, tci }) => ({ tpid, ...decodeTci(tci) }));
}

/** ovs-dpctl prints the two bytes of a TPID in the order of the host. */
function tagsOf(group: ActionGroup): string {
  const texts = presentTags(group).map(({ tpid, tci }) => {
    const swapped = (((tpid & 0xff) << 8) | (tpid >> 8)).toString(16).padStart(4, '0');
    return `vlan(${tpid === 0x8100 ? '' : `tpid=0x${swapped},`}vid=${tci & 0xfff},pcp=${tci >> 13}): `;
  });
  return texts.length === 0 ? 'no vlan: ' : texts.join('');
}
