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
  KEY_SIZE,
  MPLS_DEPTH_MAX,
} from '../../assembly/constants.ts';
import { readU32 } from './attributes.ts';
import { VLAN_PRESENT } from './bitfields.ts';
import { OdpFieldError } from './errors.ts';
import { ATTRIBUTES, type KeyAttribute, METADATA, NSH_BASE_SIZE, NSH_MD1_SIZE } from './fields.ts';
import { isZeroAt } from './groups.ts';
import {
  checkKeySize,
  ctTupleOf,
  isMplsType,
  isVlanType,
  type Layers,
  layersOf,
  readBe16,
  readBe32,
  TAGS,
  tagState,
  WHOLE_MASK,
} from './layers.ts';
import { ListWriter } from './list-writer.ts';
import { clearUnmatched, type FlatMatch } from './match.ts';
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

/** Writes a payload of the right size, at `start` in `bytes`, to a flat key. */
export function storePayload(entry: KeyAttribute, bytes: Uint8Array, start: number, flat: Uint8Array): void {
  for (const [from, to, size] of entry.runs) for (let i = 0; i < size; i++) flat[to + i] = bytes[start + from + i];
}

/** The same for a mask: a whole byte of an ICMP type is a whole port there. */
export function storeMaskPayload(entry: KeyAttribute, bytes: Uint8Array, start: number, flat: Uint8Array): void {
  storePayload(entry, bytes, start, flat);
  if (entry.isWider) for (const { at } of entry.flat) if (flat[at + 1] === 0xff) flat[at] = 0xff;
}

/** What a list is made of: `key` decides which attributes there are, `values` (the key or its mask) what they hold. */
interface Source {
  key: Uint8Array;
  values: Uint8Array;
  isMask: boolean;
  /** Of a match its mask: a tuple is there for any bit in it. */
  match?: Uint8Array;
}

const list = new ListWriter();
const SCRATCH = new Uint8Array(KEY_SIZE);

/** Canonical attributes of an exact flat key of KEY_SIZE bytes. Throws OdpFieldError on a wrong size. */
export function encodeKeyAttributes(key: Uint8Array): Uint8Array {
  checkKeySize(key, 'key');
  list.begin();
  putList({ key, values: key, isMask: false });
  return list.take();
}

/**
 * Canonical attributes of a match, for a flow message. An input port or Ethernet type that is not matched at all is left out of both
 * lists, which is how the kernel is told so. Throws OdpFieldError for a match of a part of one of these, and for one that leaves tags or
 * their TPID open: attributes cannot say that.
 */
export function encodeMatchAttributes(match: FlatMatch): FlatMatch {
  checkKeySize(match.key, 'key');
  checkKeySize(match.mask, 'mask');
  const key = matchedKey(match);
  const typeMask = readBe16(match.mask, KEY_ETH_TYPE);
  if (typeMask !== 0 && typeMask !== 0xffff)
    throw new OdpFieldError('ethType', 'attributes match the whole type or none of it');
  if (typeMask === 0) key.set([0, ETH_TYPE_LLC], KEY_ETH_TYPE);
  const portMask = readU32(match.mask, KEY_IN_PORT);
  if (portMask !== 0 && portMask !== 0xffffffff)
    throw new OdpFieldError('inPort', 'attributes match the whole port or none of it');
  if (portMask === 0) key.fill(0xff, KEY_IN_PORT, KEY_IN_PORT + 4);
  else if (readU32(key, KEY_IN_PORT) > IN_PORT_NONE)
    throw new OdpFieldError('inPort', 'a port is below 65535; 65535 is none');
  for (const index of TAGS.keys()) checkTag(key, match.mask, index);
  checkNsh(key, match.mask);
  const labels = isMplsType(readBe16(key, KEY_ETH_TYPE)) ? labelDepth(match.mask) : 0;
  key[KEY_MPLS_COUNT] = labels;
  list.begin();
  putList({ key, values: key, isMask: false, match: match.mask });
  const { size } = list;
  putList({ key, values: match.mask, isMask: true, match: match.mask });
  // both in one allocation, which costs more than the bytes
  const bytes = list.take();
  return { key: bytes.subarray(0, size), mask: bytes.subarray(size) };
}

/** The key under its mask, in bytes that serve one match after the other. */
function matchedKey({ key, mask }: FlatMatch): Uint8Array {
  SCRATCH.set(key);
  clearUnmatched(SCRATCH, mask);
  return SCRATCH;
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
  if (key[KEY_NSH_MDTYPE] === NSH_MD1 || isZeroAt(mask, KEY_NSH_FLAGS + NSH_BASE_SIZE, NSH_MD1_SIZE)) return;
  throw new OdpFieldError('nsh', 'context words need nsh(mdtype=1)', 'nsh(mdtype=1)');
}

function labelDepth(mask: Uint8Array): number {
  for (let i = MPLS_DEPTH_MAX; i > 1; i--) if (readBe32(mask, KEY_MPLS_LSE0 + 4 * (i - 1)) !== 0) return i;
  return 1;
}

function putList(source: Source): void {
  const { key, values, isMask } = source;
  for (const entry of METADATA) {
    if (entry === ATTRIBUTES.inPort) {
      if (hasTunnel(key) || (isMask && hasTunnel(values, true))) list.put(KEY_ATTR.TUNNEL, encodeTunnel(values, key));
      if (readU32(key, KEY_IN_PORT) >= IN_PORT_NONE && !(isMask && readU32(values, KEY_IN_PORT) !== 0)) continue;
    }
    put(entry, values);
  }
  const tuple = ctTupleOf(key, source.match);
  if (tuple !== undefined) put(tuple, values);
  const packetType = readBe32(key, KEY_PACKET_TYPE);
  if (packetType !== 0 || (isMask && readBe32(values, KEY_PACKET_TYPE) !== 0)) put(ATTRIBUTES.packetType, values);
  if (packetType === 0) put(ATTRIBUTES.eth, values);
  putTagged(source, 0);
}

/** An attribute of the field table. */
function put(entry: KeyAttribute, flat: Uint8Array): void {
  const at = list.reserve(entry.number, entry.wireSize);
  const { bytes } = list;
  for (const [to, from, size] of entry.runs) for (let i = 0; i < size; i++) bytes[at + to + i] = flat[from + i];
}

/** The tags from `index` on, one ENCAP in the other, and the network header in the innermost. */
function putTagged(source: Source, index: number): void {
  const { key, values, isMask } = source;
  const state = index === TAGS.length ? 'none' : tagState(key, undefined, index);
  if (state === 'none' || readBe32(key, KEY_PACKET_TYPE) !== 0) {
    putNetwork(source);
    return;
  }
  const { tpid, tci } = TAGS[index];
  if (state !== 'cut') list.put(KEY_ATTR.ETHERTYPE, values, tpid, 2);
  else if (isMask) list.put(KEY_ATTR.ETHERTYPE, WHOLE_MASK, 0, 2);
  else list.put(KEY_ATTR.ETHERTYPE, key, KEY_ETH_TYPE, 2);
  list.put(KEY_ATTR.VLAN, values, tci, 2);
  const start = list.nestStart(KEY_ATTR.ENCAP);
  if (state !== 'cut') putTagged(source, index + 1);
  list.nestEnd(start);
}

function putNetwork({ key, values, isMask }: Source): void {
  const type = readBe16(key, KEY_ETH_TYPE);
  if (type === ETH_TYPE_LLC && !(isMask && readBe16(values, KEY_ETH_TYPE) !== 0)) return;
  list.put(KEY_ATTR.ETHERTYPE, values, KEY_ETH_TYPE, 2);
  if (type === ETH_TYPE_LLC || isVlanType(type)) return;
  if (isMplsType(type))
    list.put(KEY_ATTR.MPLS, values, KEY_MPLS_LSE0, 4 * Math.min(key[KEY_MPLS_COUNT], MPLS_DEPTH_MAX));
  for (const entry of networkOf(key)) {
    if (entry === ATTRIBUTES.nsh) putNsh(values, isMask);
    else if (entry.number !== 0) put(entry, values);
  }
}

/** The layers of a key with the extension headers that every IPv6 key has as attributes. */
export function networkOf(key: Uint8Array): Layers {
  return layersOf(key, undefined, true);
}

function putNsh(values: Uint8Array, isMask: boolean): void {
  const start = list.nestStart(KEY_ATTR.NSH);
  list.put(NSH_ATTR.BASE, values, KEY_NSH_FLAGS, NSH_BASE_SIZE);
  if (isMask || values[KEY_NSH_MDTYPE] === NSH_MD1)
    list.put(NSH_ATTR.MD1, values, KEY_NSH_FLAGS + NSH_BASE_SIZE, NSH_MD1_SIZE);
  list.nestEnd(start);
}
