/*
 * normalize-actions, as text to the byte as ovs-dpctl prints it, as JSON, or as attributes in hexadecimal. Before it: the command line (cli/odp.ts) and the
 * control socket (unixctl.ts). After it: src/odp. What was written before a mistake stays, as in ovs-dpctl. Pure but for what it writes.
 */
import { decodeTci } from '../odp/bitfields.ts';
import { hexBytes, parseHexBytes } from '../odp/hex.ts';
import {
  type Action,
  type ActionGroup,
  decodeActions,
  decodeKey,
  decodeKeyAttributes,
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

export interface OdpForm {
  /** The arguments are attributes in hexadecimal, not text. */
  readonly attributes?: boolean;
  /** One JSON value an argument. */
  readonly json?: boolean;
  /** The attributes in hexadecimal; of a key those of its mask too, behind a slash. */
  readonly hex?: boolean;
}

export interface NormalizeOptions extends OdpForm {
  /** Print the actions as they were read, too. */
  readonly more?: boolean;
}

/** A port of the arguments, `NAME=NUMBER`; undefined when it is none. */
export function readPort(text: string): [string, number] | undefined {
  const [, name, number] = /^([^=]{1,15})=(0[xX][0-9a-fA-F]+|[0-9]+)$/.exec(text) ?? [];
  return number === undefined ? undefined : [name, Number(number)];
}

export function actionsLine(actions: readonly Action[], options: OdpForm): string {
  if (options.json) return jsonText(actions);
  return options.hex ? hexBytes(encodeActions(actions)) : formatActions(actions);
}

/**
 * Writes the flow, and its actions under the tags that a packet has when they happen. As in ovs-dpctl no line of text ends after a group; each group of
 * attributes is a line.
 */
export function writeNormalized(
  flow: string,
  list: string,
  names: ReadonlyMap<string, number>,
  options: NormalizeOptions,
  write: (text: string) => void,
): void {
  const { more = false } = options;
  const attributes = options.attributes
    ? parseHexBytes(flow)
    : parseKeyAttributes(flow, { portNumber: (name) => names.get(name) }).key;
  if (!options.json) {
    const text = options.hex ? hexBytes(attributes) : formatKeyAttributes(attributes, undefined, { verbose: more });
    write(`input flow: ${text}\n`);
  }
  const typed = wholeKey(attributes);
  const actions = options.attributes ? decodeActions(parseHexBytes(list)) : actionsToNormalize(list, names);
  const groups = normalizeActions(typed, actions);
  if (options.json) {
    const normalized = groups.map((group) => ({ tags: typedTags(group), actions: group.actions }));
    write(`${jsonText({ flow: typed, ...(more ? { actions } : {}), groups: normalized })}\n`);
    return;
  }
  if (more) write(`input actions: ${actionsLine(actions, options)}\n`);
  const mpls = typed.mpls?.[0];
  const label = mpls === undefined ? 'no mpls' : `mpls(label=${mpls.label},tc=${mpls.tc},ttl=${mpls.ttl})`;
  for (const group of groups) {
    write(`${tagsOf(group)}${label}: ${actionsLine(group.actions, options)}${options.hex ? '\n' : ''}`);
  }
}

/** A flow has to say all of its headers, or metadata alone. */
function wholeKey(attributes: Uint8Array): FlowKey {
  const { key, fitness, missing, extra } = decodeKeyAttributes(attributes);
  const metadataOnly = extra.length === 0 && missing.join() === 'eth';
  if (fitness !== 'perfect' && !metadataOnly) throw new OdpFieldError('flow', misfit(missing, extra));
  return decodeKey(key);
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
