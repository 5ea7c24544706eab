/*
 * Flat keys and matches to and from Netlink attributes (OVS_KEY_ATTR_*), in the kernel's order and with its rules of presence.
 *
 * Concepts. A list is read in any order; written, it has one canonical form: all metadata, zero or not, then Ethernet, an ENCAP for
 * each tag, the innermost type and what it announces. A mask has the same attributes as its key. What a key has too much or too
 * little of is no error but its fitness, as in Open vSwitch; what cannot be read at all is an OdpAttributeError.
 *
 * Before it: flow messages, dumps, upcalls. After it: flat keys and matches (key.ts, match.ts). Owns no memory; the bytes handed out
 * are new.
 */

import {
  KEY_ETH_TYPE,
  KEY_IN_PORT,
  KEY_MPLS_COUNT,
  KEY_MPLS_LSE0,
  KEY_NSH_FLAGS,
  KEY_NSH_MDTYPE,
  KEY_PACKET_TYPE,
  MPLS_DEPTH_MAX,
} from '../../assembly/constants.ts';
import { attributeBytes, concatBytes, readU32 } from './attributes.ts';
import { VLAN_PRESENT } from './bitfields.ts';
import { OdpFieldError } from './errors.ts';
import { ATTRIBUTES, type KeyAttribute, METADATA, NSH_BASE_SIZE, NSH_MD1_SIZE, type Slot } from './fields.ts';
import {
  checkKeySize,
  ctTupleOf,
  isMplsType,
  isVlanType,
  layersOf,
  readBe16,
  readBe32,
  TAGS,
  tagState,
} from './layers.ts';
import { type FlatMatch, maskedKey } from './match.ts';
import { encodeTunnel, hasTunnel } from './tunnel.ts';
import { ETH_TYPE_LLC } from './types.ts';

/** OVS_KEY_ATTR_* that are no row of the field table. */
export const KEY_ATTR = { ENCAP: 1, VLAN: 5, ETHERTYPE: 6, TUNNEL: 16, MPLS: 21, NSH: 28 } as const;

/** OVS_NSH_KEY_ATTR_* */
export const NSH_ATTR = { BASE: 1, MD1: 2, MD2: 3 } as const;

/** The port number that stands for no port in the kernel's keys (DP_MAX_PORTS). */
const IN_PORT_NONE = 0xffff;
/** The metadata type with four context words. */
export const NSH_MD1 = 1;

/** Where fields of one byte in one form are two in the other, the low one counts. */
function moveSlot(from: Uint8Array, source: Slot, to: Uint8Array, target: Slot): void {
  const count = Math.min(source.kind.size, target.kind.size);
  const start = source.at + source.kind.size - count;
  const at = target.at + target.kind.size - count;
  for (let i = 0; i < count; i++) to[at + i] = from[start + i];
}

/** Payload of an attribute of the field table. */
function payloadOf(entry: KeyAttribute, flat: Uint8Array): Uint8Array {
  const payload = new Uint8Array(entry.wireSize);
  const wire = entry.wire ?? [];
  for (let i = 0; i < wire.length; i++) moveSlot(flat, entry.flat[i], payload, wire[i]);
  return payload;
}

/** Writes a payload of the right size to a flat key or mask. */
export function storePayload(entry: KeyAttribute, payload: Uint8Array, flat: Uint8Array, isMask: boolean): void {
  const wire = entry.wire ?? [];
  for (const [index, slot] of entry.flat.entries()) {
    moveSlot(payload, wire[index], flat, slot);
    // A whole byte of an ICMP type is a whole port in the flat mask.
    if (isMask && slot.kind.size > wire[index].kind.size && flat[slot.at + 1] === 0xff) flat[slot.at] = 0xff;
  }
}

/** One list of attributes in the making: `key` decides which there are, `values` (the key or its mask) what they hold. */
interface Writer {
  key: Uint8Array;
  values: Uint8Array;
  isMask: boolean;
  /** Of a match its mask: a tuple is there for any bit in it. */
  match?: Uint8Array;
}

/** Canonical attributes of an exact flat key of KEY_SIZE bytes. Throws OdpFieldError on a wrong size. */
export function encodeKeyAttributes(key: Uint8Array): Uint8Array {
  checkKeySize(key, 'key');
  return encodeList({ key, values: key, isMask: false });
}

/**
 * Canonical attributes of a match, for a flow message. An input port or Ethernet type that is not matched at all is left out of both
 * lists, which is how the kernel is told so. Throws OdpFieldError for a match that leaves tags or their TPID open: attributes cannot
 * say that.
 */
export function encodeMatchAttributes(match: FlatMatch): FlatMatch {
  checkKeySize(match.key, 'key');
  checkKeySize(match.mask, 'mask');
  const key = maskedKey(match.key, match.mask);
  const typeMask = readBe16(match.mask, KEY_ETH_TYPE);
  if (typeMask !== 0 && typeMask !== 0xffff)
    throw new OdpFieldError('ethType', 'attributes match the whole type or none of it');
  if (typeMask === 0) key.set([0, ETH_TYPE_LLC], KEY_ETH_TYPE);
  if (readU32(match.mask, KEY_IN_PORT) === 0) key.fill(0xff, KEY_IN_PORT, KEY_IN_PORT + 4);
  else if (readU32(key, KEY_IN_PORT) > IN_PORT_NONE)
    throw new OdpFieldError('inPort', 'a port is below 65535; 65535 is none');
  for (const index of TAGS.keys()) checkTag(key, match.mask, index);
  checkNsh(key, match.mask);
  const labels = isMplsType(readBe16(key, KEY_ETH_TYPE)) ? labelDepth(match.mask) : 0;
  key[KEY_MPLS_COUNT] = labels;
  return {
    key: encodeList({ key, values: key, isMask: false, match: match.mask }),
    mask: encodeList({ key, values: match.mask, isMask: true, match: match.mask }),
  };
}

/** Attributes say of a tag that it is there, with its TPID, or that it is not. */
function checkTag(key: Uint8Array, mask: Uint8Array, index: number): void {
  const owner = index === 0 ? 'vlan' : 'cvlan';
  const state = tagState(key, mask, index);
  if (state === 'any') throw new OdpFieldError(owner, 'a match that does not look at tags has no attributes');
  if (state === 'tag' && readBe16(mask, TAGS[index].tpid) !== 0xffff)
    throw new OdpFieldError(`${owner}.tpid`, 'attributes match a tag with its whole TPID only');
  if (state === 'tag' && (readBe16(key, TAGS[index].tci) & VLAN_PRESENT) === 0)
    throw new OdpFieldError(`${owner}.cfi`, 'attributes match a tag that is there');
}

/** The context words of NSH belong to one metadata type. */
function checkNsh(key: Uint8Array, mask: Uint8Array): void {
  const context = mask.subarray(KEY_NSH_FLAGS + NSH_BASE_SIZE, KEY_NSH_FLAGS + NSH_BASE_SIZE + NSH_MD1_SIZE);
  if (key[KEY_NSH_MDTYPE] === NSH_MD1 || context.every((byte) => byte === 0)) return;
  throw new OdpFieldError('nsh', 'context words need nsh(mdtype=1)', 'nsh(mdtype=1)');
}

function labelDepth(mask: Uint8Array): number {
  for (let i = MPLS_DEPTH_MAX; i > 1; i--) if (readBe32(mask, KEY_MPLS_LSE0 + 4 * (i - 1)) !== 0) return i;
  return 1;
}

function encodeList(writer: Writer): Uint8Array {
  const { key, values, isMask } = writer;
  const parts: Uint8Array[] = [];
  const put = (entry: KeyAttribute) => parts.push(attributeBytes(entry.number, payloadOf(entry, values)));
  for (const entry of METADATA) {
    if (entry === ATTRIBUTES.inPort) {
      if (hasTunnel(key) || (isMask && hasTunnel(values, true)))
        parts.push(attributeBytes(KEY_ATTR.TUNNEL, encodeTunnel(values, key)));
      if (readU32(key, KEY_IN_PORT) >= IN_PORT_NONE && !(isMask && readU32(values, KEY_IN_PORT) !== 0)) continue;
    }
    put(entry);
  }
  const tuple = ctTupleOf(key, writer.match);
  if (tuple !== undefined) put(tuple);
  const packetType = readBe32(key, KEY_PACKET_TYPE);
  if (packetType !== 0 || (isMask && readBe32(values, KEY_PACKET_TYPE) !== 0)) put(ATTRIBUTES.packetType);
  if (packetType === 0) put(ATTRIBUTES.eth);
  parts.push(encodeTagged(writer, 0));
  return concatBytes(parts);
}

function be16Attribute(number: number, bytes: Uint8Array, at: number): Uint8Array {
  return attributeBytes(number, bytes.subarray(at, at + 2));
}

/** The tags from `index` on, one ENCAP in the other, and the network header in the innermost. */
function encodeTagged(writer: Writer, index: number): Uint8Array {
  const { key, values, isMask } = writer;
  const state = index === TAGS.length ? 'none' : tagState(key, undefined, index);
  if (state === 'none' || readBe32(key, KEY_PACKET_TYPE) !== 0) return encodeNetwork(writer);
  const { tpid, tci } = TAGS[index];
  if (state === 'cut') {
    const type = isMask ? Uint8Array.of(0xff, 0xff) : key.subarray(KEY_ETH_TYPE, KEY_ETH_TYPE + 2);
    return concatBytes([
      attributeBytes(KEY_ATTR.ETHERTYPE, type),
      be16Attribute(KEY_ATTR.VLAN, values, tci),
      attributeBytes(KEY_ATTR.ENCAP, new Uint8Array(0)),
    ]);
  }
  return concatBytes([
    be16Attribute(KEY_ATTR.ETHERTYPE, values, tpid),
    be16Attribute(KEY_ATTR.VLAN, values, tci),
    attributeBytes(KEY_ATTR.ENCAP, encodeTagged(writer, index + 1)),
  ]);
}

function encodeNetwork({ key, values, isMask }: Writer): Uint8Array {
  const type = readBe16(key, KEY_ETH_TYPE);
  const typeAttribute = be16Attribute(KEY_ATTR.ETHERTYPE, values, KEY_ETH_TYPE);
  if (type === ETH_TYPE_LLC) return isMask && readBe16(values, KEY_ETH_TYPE) !== 0 ? typeAttribute : new Uint8Array(0);
  const parts = [typeAttribute];
  if (isMplsType(type)) {
    const count = Math.min(key[KEY_MPLS_COUNT], MPLS_DEPTH_MAX);
    parts.push(attributeBytes(KEY_ATTR.MPLS, values.subarray(KEY_MPLS_LSE0, KEY_MPLS_LSE0 + 4 * count)));
  }
  for (const entry of networkOf(key)) {
    if (entry === ATTRIBUTES.nsh) parts.push(attributeBytes(KEY_ATTR.NSH, encodeNsh(values, isMask)));
    else if (entry.number !== 0) parts.push(attributeBytes(entry.number, payloadOf(entry, values)));
  }
  return isVlanType(type) ? typeAttribute : concatBytes(parts);
}

/** The layers of a key with the extension headers that every IPv6 key has as attributes. */
export function networkOf(key: Uint8Array): KeyAttribute[] {
  const layers = layersOf(key);
  if (layers[0] === ATTRIBUTES.ipv6 && layers[1] !== ATTRIBUTES.ipv6Exthdrs)
    layers.splice(1, 0, ATTRIBUTES.ipv6Exthdrs);
  return layers;
}

function encodeNsh(values: Uint8Array, isMask: boolean): Uint8Array {
  const context = KEY_NSH_FLAGS + NSH_BASE_SIZE;
  const base = attributeBytes(NSH_ATTR.BASE, values.subarray(KEY_NSH_FLAGS, context));
  if (!isMask && values[KEY_NSH_MDTYPE] !== NSH_MD1) return base;
  return concatBytes([base, attributeBytes(NSH_ATTR.MD1, values.subarray(context, context + NSH_MD1_SIZE))]);
}
