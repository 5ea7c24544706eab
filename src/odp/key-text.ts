/*
 * Keys and matches as text, written as ovs-dpctl writes them.
 *
 * Attributes come in the kernel's order. A tag opens an encap() that holds what follows it. ovs-dpctl always matches tags,
 * so it has no form of its own for a match that does not look at them: that is written `vlan(cfi=0/0)`, which in its grammar
 * reads as a tag with no mask bit.
 */

import { KEY_ETH_TYPE, KEY_PACKET_TYPE, KEY_SIZE, KEY_TUN_DST, KEY_TUN_PROTO } from '../../assembly/constants.ts';
import { formatMpls, formatTci, MPLS_MASK_FULL } from './bitfields.ts';
import { ATTRIBUTES, type KeyAttribute, METADATA } from './fields.ts';
import { formatGroup, groupHasBits } from './groups.ts';
import { metadataOf, mplsWords } from './key.ts';
import { NSH_MD1 } from './key-attributes.ts';
import { checkKeySize, ctTupleOf, layersOf, readBe16, readBe32, TAGS, tagState } from './layers.ts';
import { clearUnmatched, hasPacketType, matchedLabels } from './match.ts';
import { encodeTunnel, hasTunnel, TUN_PROTO_IPV6 } from './tunnel.ts';
import { formatTunnel } from './tunnel-text.ts';
import { ETH_TYPE_LLC } from './types.ts';

const NSH_CONTEXT_SLOT = 6;

/** The masked key of the match at hand: a text keeps no bytes. */
const scratch = new Uint8Array(KEY_SIZE);

/** Text of an exact flat key. Metadata that is zero is left out, except recirc_id and in_port. Throws on a wrong size only. */
export function formatKey(flat: Uint8Array): string {
  checkKeySize(flat, 'key');
  const tuple = ctTupleOf(flat);
  const tunnel = hasTunnel(flat)
    ? `tunnel(${formatTunnel(encodeTunnel(flat, flat), undefined, { complete: true })})`
    : '';
  let text = metadataText(metadataOf(flat), tunnel, flat);
  if (tuple !== undefined) text = joined(text, attributeText(tuple, flat));
  const link = readBe32(flat, KEY_PACKET_TYPE) !== 0 ? ATTRIBUTES.packetType : ATTRIBUTES.eth;
  text = joined(text, attributeText(link, flat));
  const labels = mplsWords(flat).map((value) => ({ value, mask: MPLS_MASK_FULL }));
  let inner = readBe16(flat, KEY_ETH_TYPE) === ETH_TYPE_LLC ? '' : attributeText(ATTRIBUTES.ethType, flat);
  if (labels.length > 0) inner = joined(inner, `mpls(${formatMpls(labels)})`);
  for (const entry of layersOf(flat)) if (entry.text !== '') inner = joined(inner, attributeText(entry, flat));
  return joined(text, wrapTags(flat, undefined, inner));
}

function joined(text: string, more: string): string {
  return text === '' ? more : more === '' ? text : `${text},${more}`;
}

/** Metadata with the tunnel, unless it is empty, in its place before the input port. */
function metadataText(entries: readonly KeyAttribute[], tunnel: string, key: Uint8Array, mask?: Uint8Array): string {
  let text = '';
  let waiting = tunnel;
  for (const entry of entries) {
    if (waiting !== '' && !BEFORE_TUNNEL.has(entry)) {
      text = joined(text, waiting);
      waiting = '';
    }
    text = joined(text, attributeText(entry, key, mask));
  }
  return joined(text, waiting);
}

const BEFORE_TUNNEL: ReadonlySet<KeyAttribute> = new Set([
  ATTRIBUTES.recircId,
  ATTRIBUTES.dpHash,
  ATTRIBUTES.skbPriority,
]);

/** Text of a match. Values outside the mask are not shown. Throws OdpFieldError on a wrong size only. */
export function formatMatch(key: Uint8Array, mask: Uint8Array): string {
  checkKeySize(key, 'key');
  checkKeySize(mask, 'mask');
  const masked = scratch;
  masked.set(key);
  clearUnmatched(masked, mask);
  const tunnel = hasTunnel(mask, true) ? tunnelMatchText(masked, mask) : '';
  let text = metadataText(
    METADATA.filter((entry) => groupHasBits(entry.flat, mask)),
    tunnel,
    masked,
    mask,
  );
  const tuple = ctTupleOf(masked, mask);
  if (tuple !== undefined) text = joined(text, attributeText(tuple, masked, mask));
  if (hasPacketType(mask)) text = joined(text, attributeText(ATTRIBUTES.packetType, masked, mask));
  if (groupHasBits(ATTRIBUTES.eth.flat, mask)) text = joined(text, attributeText(ATTRIBUTES.eth, masked, mask));
  else if (!hasPacketType(mask)) text = joined(text, 'eth()');
  let inner = readBe16(mask, KEY_ETH_TYPE) === 0 ? '' : ethTypeText(masked, mask);
  const labels = matchedLabels(masked, mask);
  if (labels.length > 0) inner = joined(inner, `mpls(${formatMpls(labels)})`);
  for (const entry of layersOf(masked, mask)) {
    if (entry.text !== '' && groupHasBits(entry.flat, mask)) inner = joined(inner, attributeText(entry, masked, mask));
  }
  return joined(text, wrapTags(masked, mask, inner));
}

/**
 * Every field that the key or the mask has bits in is shown: a zero that is matched is no less a match. An IPv6 address is always
 * shown, because it tells the family.
 */
function tunnelMatchText(key: Uint8Array, mask: Uint8Array): string {
  const shown = key.map((byte, index) => byte | mask[index]);
  if (key[KEY_TUN_PROTO] === TUN_PROTO_IPV6) shown[KEY_TUN_DST] = 1;
  const attributes = encodeTunnel(key, key, shown);
  return `tunnel(${formatTunnel(attributes, encodeTunnel(mask, key, shown), { complete: true })})`;
}

/** An Ethernet type as text. */
function ethTypeText(key: Uint8Array, mask: Uint8Array): string {
  const bits = readBe16(mask, KEY_ETH_TYPE);
  const type = readBe16(key, KEY_ETH_TYPE);
  if (bits === 0xffff && type === ETH_TYPE_LLC) return 'eth_type(0/0xffff)';
  return attributeText(ATTRIBUTES.ethType, key, mask);
}

function attributeText(entry: KeyAttribute, key: Uint8Array, mask?: Uint8Array): string {
  const context = entry !== ATTRIBUTES.nsh || mask !== undefined || key[entry.flat[2].at] === NSH_MD1;
  const slots = context ? entry.flat : entry.flat.slice(0, NSH_CONTEXT_SLOT);
  return `${entry.text}(${formatGroup(slots, key, mask)})`;
}

/** Puts the attributes after the tags into the encap() of the tags. */
function wrapTags(key: Uint8Array, mask: Uint8Array | undefined, inner: string, index = 0): string {
  if (index === TAGS.length) return inner;
  const state = tagState(key, mask, index);
  const next = index + 1 < TAGS.length ? tagState(key, mask, index + 1) : state;
  if (state === 'none') return inner;
  if (state === 'any' && next === 'any') return joined('vlan(cfi=0/0)', inner);
  if (state === 'cut') return joined(inner, 'vlan(vid=0,pcp=0,cfi=0),encap()');
  const encap = wrapTags(key, mask, inner, index + 1);
  return joined(tpidText(key, mask, index), `${tciText(key, mask, index)},encap(${encap})`);
}

function tpidText(key: Uint8Array, mask: Uint8Array | undefined, index: number): string {
  const { tpid } = TAGS[index];
  const { kind } = ATTRIBUTES.ethType.flat[0];
  const bits = mask === undefined ? 0xffff : readBe16(mask, tpid);
  if (bits === 0) return '';
  return `eth_type(${bits === 0xffff || mask === undefined ? kind.format(key, tpid) : kind.formatMasked(key, mask, tpid)})`;
}

function tciText(key: Uint8Array, mask: Uint8Array | undefined, index: number): string {
  const { tci } = TAGS[index];
  return `vlan(${formatTci(readBe16(key, tci), mask === undefined ? 0xffff : readBe16(mask, tci))})`;
}
