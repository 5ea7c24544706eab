/*
 * Keys and matches as text, written as ovs-dpctl writes them.
 *
 * Attributes come in the kernel's order. A tag opens an encap() that holds what follows it. ovs-dpctl always matches tags,
 * so it has no form of its own for a match that does not look at them: that is written `vlan(cfi=0/0)`, which in its grammar
 * reads as a tag with no mask bit.
 */

import { KEY_ETH_TYPE, KEY_PACKET_TYPE, KEY_TUN_DST, KEY_TUN_PROTO } from '../../assembly/constants.ts';
import { formatMpls, formatTci, MPLS_MASK_FULL } from './bitfields.ts';
import { ATTRIBUTES, type KeyAttribute } from './fields.ts';
import { formatGroup, groupHasBits } from './groups.ts';
import { metadataOf, mplsWords } from './key.ts';
import { checkKeySize, ctTupleOf, layersOf, readBe16, readBe32, TAGS, tagState } from './layers.ts';
import { hasPacketType, maskedKey, matchedAttributes, matchedLabels } from './match.ts';
import { encodeTunnel, hasTunnel, TUN_PROTO_IPV6 } from './tunnel.ts';
import { formatTunnel } from './tunnel-text.ts';
import { ETH_TYPE_LLC } from './types.ts';

const NSH_MD1 = 1;
const NSH_CONTEXT_SLOT = 6;

/** Text of an exact flat key. Metadata that is zero is left out, except recirc_id and in_port. Throws on a wrong size only. */
export function formatKey(flat: Uint8Array): string {
  checkKeySize(flat, 'key');
  const tuple = ctTupleOf(flat);
  const parts = [...metadataOf(flat), ...(tuple === undefined ? [] : [tuple])].map((entry) =>
    attributeText(entry, flat),
  );
  if (hasTunnel(flat))
    insertTunnel(parts, `tunnel(${formatTunnel(encodeTunnel(flat, flat), undefined, { complete: true })})`);
  if (readBe32(flat, KEY_PACKET_TYPE) !== 0) parts.push(attributeText(ATTRIBUTES.packetType, flat));
  else parts.push(attributeText(ATTRIBUTES.eth, flat));
  const labels = mplsWords(flat).map((value) => ({ value, mask: MPLS_MASK_FULL }));
  const type = readBe16(flat, KEY_ETH_TYPE);
  const inner = type === ETH_TYPE_LLC ? [] : [attributeText(ATTRIBUTES.ethType, flat)];
  if (labels.length > 0) inner.push(`mpls(${formatMpls(labels)})`);
  for (const entry of layersOf(flat)) if (entry.text !== '') inner.push(attributeText(entry, flat));
  return [...parts, ...wrapTags(flat, undefined, inner)].join(',');
}

/** Text of a match. Values outside the mask are not shown. Throws OdpFieldError on a wrong size only. */
export function formatMatch(key: Uint8Array, mask: Uint8Array): string {
  checkKeySize(key, 'key');
  checkKeySize(mask, 'mask');
  const masked = maskedKey(key, mask);
  const outer: string[] = [];
  const inner: string[] = [];
  const matched = matchedAttributes(masked, mask);
  for (const entry of matched) {
    if (entry === ATTRIBUTES.eth || entry === ATTRIBUTES.ethType || entry.text === '') continue;
    (isInner(entry) ? inner : outer).push(attributeText(entry, masked, mask));
  }
  if (hasTunnel(mask, true)) insertTunnel(outer, tunnelMatchText(masked, mask));
  const eth = groupHasBits(ATTRIBUTES.eth.flat, mask) ? attributeText(ATTRIBUTES.eth, masked, mask) : 'eth()';
  if (eth !== 'eth()' || !hasPacketType(mask)) outer.push(eth);
  const labels = matchedLabels(masked, mask);
  if (labels.length > 0) inner.unshift(`mpls(${formatMpls(labels)})`);
  if (matched.includes(ATTRIBUTES.ethType)) inner.unshift(...ethTypeText(masked, mask));
  return [...outer, ...wrapTags(masked, mask, inner)].join(',');
}

/** Before the input port, as in the kernel's order, or before the first attribute after its place. */
function insertTunnel(parts: string[], text: string): void {
  const before = parts.filter((part) => /^(recirc_id|dp_hash|skb_priority)\(/.test(part));
  parts.splice(before.length, 0, text);
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

function isInner(entry: KeyAttribute): boolean {
  return INNER.has(entry);
}

const INNER: ReadonlySet<KeyAttribute> = new Set([
  ATTRIBUTES.ipv4,
  ATTRIBUTES.ipv6,
  ATTRIBUTES.tcp,
  ATTRIBUTES.tcpFlags,
  ATTRIBUTES.udp,
  ATTRIBUTES.sctp,
  ATTRIBUTES.icmp,
  ATTRIBUTES.icmpv6,
  ATTRIBUTES.igmp,
  ATTRIBUTES.arp,
  ATTRIBUTES.nd,
  ATTRIBUTES.ndExt,
  ATTRIBUTES.nsh,
]);

/** An Ethernet type as text. */
function ethTypeText(key: Uint8Array, mask: Uint8Array): string[] {
  const bits = readBe16(mask, KEY_ETH_TYPE);
  const type = readBe16(key, KEY_ETH_TYPE);
  if (bits === 0xffff && type === ETH_TYPE_LLC) return ['eth_type(0/0xffff)'];
  return [attributeText(ATTRIBUTES.ethType, key, mask)];
}

function attributeText(entry: KeyAttribute, key: Uint8Array, mask?: Uint8Array): string {
  const context = entry !== ATTRIBUTES.nsh || mask !== undefined || key[entry.flat[2].at] === NSH_MD1;
  const slots = context ? entry.flat : entry.flat.slice(0, NSH_CONTEXT_SLOT);
  return `${entry.text}(${formatGroup(slots, key, mask)})`;
}

/** Puts the attributes after the tags into the encap() of the tags. */
function wrapTags(key: Uint8Array, mask: Uint8Array | undefined, inner: string[], index = 0): string[] {
  if (index === TAGS.length) return inner;
  const state = tagState(key, mask, index);
  const next = index + 1 < TAGS.length ? tagState(key, mask, index + 1) : state;
  if (state === 'none') return inner;
  if (state === 'any' && next === 'any') return ['vlan(cfi=0/0)', ...inner];
  if (state === 'cut') return [...inner, 'vlan(vid=0,pcp=0,cfi=0)', 'encap()'];
  const encap = wrapTags(key, mask, inner, index + 1);
  return [...tpidText(key, mask, index), tciText(key, mask, index), `encap(${encap.join(',')})`];
}

function tpidText(key: Uint8Array, mask: Uint8Array | undefined, index: number): string[] {
  const { tpid } = TAGS[index];
  const bits = mask === undefined ? 0xffff : readBe16(mask, tpid);
  if (bits === 0) return [];
  const kind = ATTRIBUTES.ethType.flat[0].kind;
  const value = key.subarray(tpid, tpid + 2);
  return [
    `eth_type(${bits === 0xffff || mask === undefined ? kind.format(value) : kind.formatMasked(value, mask.subarray(tpid, tpid + 2))})`,
  ];
}

function tciText(key: Uint8Array, mask: Uint8Array | undefined, index: number): string {
  const { tci } = TAGS[index];
  return `vlan(${formatTci(readBe16(key, tci), mask === undefined ? 0xffff : readBe16(mask, tci))})`;
}
