/*
 * Matches: a flat key and a flat mask (KEY_SIZE bytes each) to and from the typed partial form.
 *
 * A match leads to an installed flow: key and mask go to the classifier or into Netlink attributes. Bits of the key outside
 * the mask are always written zero and ignored when read. The number of MPLS entries is never matched, as in the kernel: a
 * match on one entry also finds deeper stacks.
 */

import { KEY_ETH_TYPE, KEY_PACKET_TYPE, KEY_SIZE, MPLS_DEPTH_MAX } from '../../assembly/constants.ts';
import { decodeMaskedMplsEntry, decodeMaskedTci, encodeMplsEntry, encodeTci } from './bitfields.ts';
import { OdpFieldError } from './errors.ts';
import { ATTRIBUTES, type KeyAttribute, METADATA } from './fields.ts';
import { decodeMaskedGroup, encodeGroup, groupHasBits } from './groups.ts';
import {
  checkKeySize,
  ctTupleOf,
  fixedEthType,
  isMplsType,
  isVlanType,
  layersOf,
  missingPrerequisite,
  mplsMaskDepth,
  mplsOffset,
  readBe16,
  readBe32,
  TAGS,
  tagState,
  writeBe16,
  writeBe32,
} from './layers.ts';
import { hasTunnel } from './tunnel.ts';
import { decodeTunnelMatch, encodeTunnelKey } from './tunnel-typed.ts';
import { ETH_TYPE_LLC, type FieldName, type FlowMatch, type NumberMatch, type VlanMatch } from './types.ts';

/** 32-bit words of a flat key. */
const KEY_WORDS = KEY_SIZE / 4;
/** Smallest value of an Ethernet type field that is a type. */
const ETH_TYPE_MIN = 0x0600;

/** Key and mask, KEY_SIZE bytes each. */
export interface FlatMatch {
  key: Uint8Array;
  mask: Uint8Array;
}

/** A key and a mask without a bit, in one allocation: that of a flat key costs more than filling it. */
export function newFlatMatch(): FlatMatch {
  const bytes = new ArrayBuffer(2 * KEY_SIZE);
  return { key: new Uint8Array(bytes, 0, KEY_SIZE), mask: new Uint8Array(bytes, KEY_SIZE, KEY_SIZE) };
}

/** `key & mask`, new bytes. */
export function maskedKey(key: Uint8Array, mask: Uint8Array): Uint8Array {
  const masked = key.slice();
  clearUnmatched(masked, mask);
  return masked;
}

/** As maskedKey, in place. */
export function clearUnmatched(key: Uint8Array, mask: Uint8Array): void {
  if (key.length === KEY_SIZE && mask.length === KEY_SIZE && (key.byteOffset | mask.byteOffset) % 4 === 0) {
    const words = new Int32Array(key.buffer, key.byteOffset, KEY_WORDS);
    const bits = new Int32Array(mask.buffer, mask.byteOffset, KEY_WORDS);
    for (let i = 0; i < KEY_WORDS; i++) words[i] &= bits[i];
  } else {
    for (let i = 0; i < key.length; i++) key[i] &= mask[i];
  }
}

/** As clearUnmatched, for what newFlatMatch gave: one view over both. */
export function clearUnmatchedOf({ key }: FlatMatch): void {
  const words = new Int32Array(key.buffer);
  for (let i = 0; i < KEY_WORDS; i++) words[i] &= words[KEY_WORDS + i];
}

/** Marks a tag as absent: all bits of its words must be zero. */
export function matchUntagged(match: FlatMatch, index: number): void {
  for (const at of [TAGS[index].tpid, TAGS[index].tci]) {
    writeBe16(match.key, at, 0);
    writeBe16(match.mask, at, 0xffff);
  }
}

/** True for what may stand in the Ethernet type field of a match under this mask. */
export function isEthTypeValid(type: number, mask: number): boolean {
  return mask !== 0xffff || type >= ETH_TYPE_MIN || type === ETH_TYPE_LLC || type === 0;
}

/**
 * Flat form of a typed match. Throws OdpFieldError for unknown fields, values out of range, and fields whose prerequisite
 * is not matched whole (`requires` names it).
 */
export function encodeMatch(match: FlowMatch): FlatMatch {
  const flat = newFlatMatch();
  const { vlan, cvlan, mpls, tunnel, ...fields } = match;
  for (const [name, typed] of Object.entries(fields)) {
    if (typed === undefined) continue;
    const entry: KeyAttribute | undefined = ATTRIBUTES[name as FieldName];
    if (entry === undefined) throw new OdpFieldError(name, 'unknown field');
    encodeGroup(entry, entry.flat, typed, flat.key, flat.mask);
  }
  const typeMask = readBe16(flat.mask, KEY_ETH_TYPE);
  if (!isEthTypeValid(readBe16(flat.key, KEY_ETH_TYPE), typeMask)) {
    throw new OdpFieldError('ethType', 'below 0x0600 it is a length');
  }
  encodeTag(flat, 0, vlan);
  encodeTag(flat, 1, vlan === 'none' && cvlan === undefined ? 'none' : cvlan);
  if (mpls !== undefined) encodeLabels(flat, mpls);
  if (tunnel !== undefined) encodeTunnelKey(tunnel, flat.key, flat.mask, false);
  const layers = layersOf(flat.key, flat.mask);
  for (const name of Object.keys(match) as (keyof FlowMatch)[]) {
    if (match[name] === undefined || name === 'vlan' || name === 'cvlan' || name === 'tunnel') continue;
    const missing = missingPrerequisite(name, flat.key, flat.mask, layers);
    if (missing !== undefined) throw new OdpFieldError(name, `needs ${missing}`, missing);
  }
  clearUnmatchedOf(flat);
  return flat;
}

function encodeTag(flat: FlatMatch, index: number, tag: FlowMatch['vlan']): void {
  if (tag === undefined) return;
  if (tag === 'none') {
    matchUntagged(flat, index);
    return;
  }
  const owner = index === 0 ? 'vlan' : 'cvlan';
  if (tag.cfi === false) throw new OdpFieldError(`${owner}.cfi`, 'no tag is `none`; a tag that was cut is its ethType');
  const { tpid, ...tci } = tag;
  const word = encodeTci(tci, owner);
  writeBe16(flat.key, TAGS[index].tci, word.value);
  writeBe16(flat.mask, TAGS[index].tci, word.mask);
  if (tpid === undefined) return;
  const { value, mask } = typeof tpid === 'object' ? tpid : { value: tpid, mask: 0xffff };
  for (const part of [value, mask]) {
    if (!Number.isInteger(part) || part < 0 || part > 0xffff) {
      throw new OdpFieldError(`${owner}.tpid`, `${part} is not an integer from 0 to 65535`);
    }
  }
  if (mask === 0xffff && !isVlanType(value)) throw new OdpFieldError(`${owner}.tpid`, 'must be 0x8100 or 0x88a8');
  writeBe16(flat.key, TAGS[index].tpid, value);
  writeBe16(flat.mask, TAGS[index].tpid, mask);
}

function encodeLabels(flat: FlatMatch, labels: NonNullable<FlowMatch['mpls']>): void {
  if (labels.length > MPLS_DEPTH_MAX) throw new OdpFieldError('mpls', `more than ${MPLS_DEPTH_MAX} entries`);
  for (const [index, entry] of labels.entries()) {
    const word = encodeMplsEntry(entry, `mpls[${index}]`);
    writeBe32(flat.key, mplsOffset(index), word.value);
    writeBe32(flat.mask, mplsOffset(index), word.mask);
  }
}

/** Attributes that a match has mask bits in, tags and labels apart, in order. */
export function matchedAttributes(key: Uint8Array, mask: Uint8Array): KeyAttribute[] {
  const tuple = ctTupleOf(key, mask);
  const candidates = [
    ...METADATA,
    ...(tuple === undefined ? [] : [tuple]),
    ATTRIBUTES.packetType,
    ATTRIBUTES.eth,
    ATTRIBUTES.ethType,
    ...layersOf(key, mask),
  ];
  return candidates.filter((entry) => groupHasBits(entry.flat, mask));
}

/** Entries of the label stack that a match has mask bits in, outermost first. */
export function matchedLabels(key: Uint8Array, mask: Uint8Array): { value: number; mask: number }[] {
  if (!isMplsType(fixedEthType(key, mask))) return [];
  return Array.from({ length: mplsMaskDepth(mask) }, (_, index) => {
    const at = mplsOffset(index);
    return { value: readBe32(key, at), mask: readBe32(mask, at) };
  });
}

/**
 * Typed form of a match. Mask bits of headers that the key does not lead to (a transport port without a matched protocol)
 * have no typed form and are left out. Throws OdpFieldError on a wrong size or a fragment type above 2.
 */
export function decodeMatch(key: Uint8Array, mask: Uint8Array): FlowMatch {
  checkKeySize(key, 'key');
  checkKeySize(mask, 'mask');
  const masked = maskedKey(key, mask);
  const typed: Record<string, unknown> = {};
  for (const entry of matchedAttributes(masked, mask)) {
    typed[entry.name] = decodeMaskedGroup(entry, entry.flat, masked, mask);
  }
  const tags = TAGS.map((_, index) => decodeTag(masked, mask, index));
  if (tags[0] !== undefined) typed.vlan = tags[0];
  if (tags[1] !== undefined && tags[0] !== 'none') typed.cvlan = tags[1];
  const labels = matchedLabels(masked, mask);
  if (labels.length > 0) typed.mpls = labels.map(decodeMaskedMplsEntry);
  if (hasTunnel(mask, true)) typed.tunnel = decodeTunnelMatch(masked, mask);
  return typed as FlowMatch;
}

function decodeTag(key: Uint8Array, mask: Uint8Array, index: number): 'none' | VlanMatch | undefined {
  const state = tagState(key, mask, index);
  if (state !== 'tag') return state === 'any' ? undefined : 'none';
  const { tpid, tci } = TAGS[index];
  const tag = decodeMaskedTci({ value: readBe16(key, tci), mask: readBe16(mask, tci) });
  const tpidMask = readBe16(mask, tpid);
  const tpidMatch: NumberMatch =
    tpidMask === 0xffff ? readBe16(key, tpid) : { value: readBe16(key, tpid), mask: tpidMask };
  return tpidMask === 0 ? tag : { tpid: tpidMatch, ...tag };
}

/** True when a match says something of the packet type, which takes the place of the Ethernet header. */
export function hasPacketType(mask: Uint8Array): boolean {
  return readBe32(mask, KEY_PACKET_TYPE) !== 0;
}
