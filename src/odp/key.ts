/*
 * Exact keys: a flat key (KEY_SIZE bytes, layout in assembly/constants.ts) to and from its typed form.
 *
 * Flat keys come from extraction, from upcalls or from text (key-parse.ts). Nothing here keeps a view of the bytes handed
 * in; the bytes handed out are new.
 */

import {
  KEY_ETH_TYPE,
  KEY_FLAG_ND_EXT,
  KEY_FLAGS,
  KEY_MPLS_COUNT,
  KEY_PACKET_TYPE,
  KEY_SIZE,
  MPLS_DEPTH_MAX,
} from '../../assembly/constants.ts';
import { decodeMplsEntry, decodeTci, encodeMplsEntry, encodeTci } from './bitfields.ts';
import { OdpFieldError } from './errors.ts';
import { ATTRIBUTES, type KeyAttribute, METADATA } from './fields.ts';
import { decodeGroup, encodeGroup, groupHasBits } from './groups.ts';
import {
  checkKeySize,
  ctTupleOf,
  isMplsType,
  layersOf,
  missingPrerequisite,
  mplsOffset,
  readBe16,
  readBe32,
  TAGS,
  tagState,
  WHOLE_MASK,
  writeBe16,
  writeBe32,
} from './layers.ts';
import { hasTunnel } from './tunnel.ts';
import { decodeTunnelKey, encodeTunnelKey } from './tunnel-typed.ts';
import type { FieldName, FlowKey, VlanKey } from './types.ts';

/** Metadata that an exact key always shows, zero or not. */
const ALWAYS: ReadonlySet<FieldName> = new Set(['inPort', 'recircId']);

/** Metadata attributes that an exact key shows, in order. */
export function metadataOf(flat: Uint8Array): KeyAttribute[] {
  return METADATA.filter((entry) => ALWAYS.has(entry.name) || groupHasBits(entry.flat, flat));
}

/** Label stack entries of an exact key, outermost first. */
export function mplsWords(flat: Uint8Array): number[] {
  if (!isMplsType(readBe16(flat, KEY_ETH_TYPE))) return [];
  const count = Math.min(flat[KEY_MPLS_COUNT], MPLS_DEPTH_MAX);
  return Array.from({ length: count }, (_, index) => readBe32(flat, mplsOffset(index)));
}

/** Typed form of a flat key of KEY_SIZE bytes. Throws OdpFieldError on a wrong size or a fragment type above 2. */
export function decodeKey(flat: Uint8Array): FlowKey {
  checkKeySize(flat, 'key');
  const typed: Record<string, unknown> = {};
  const tuple = ctTupleOf(flat);
  const attributes = [...metadataOf(flat), ...(tuple === undefined ? [] : [tuple])];
  if (readBe32(flat, KEY_PACKET_TYPE) !== 0) attributes.push(ATTRIBUTES.packetType);
  attributes.push(ATTRIBUTES.eth, ATTRIBUTES.ethType, ...layersOf(flat));
  for (const entry of attributes) typed[entry.name] = decodeGroup(entry, entry.flat, flat);
  const tags = TAGS.map((_, index) => decodeTag(flat, index));
  if (tags[0] !== undefined) typed.vlan = tags[0];
  if (tags[1] !== undefined) typed.cvlan = tags[1];
  const labels = mplsWords(flat);
  if (labels.length > 0) typed.mpls = labels.map(decodeMplsEntry);
  if (hasTunnel(flat)) typed.tunnel = decodeTunnelKey(flat);
  return typed as unknown as FlowKey; // the field table has a row for each property of FlowKey
}

function decodeTag(flat: Uint8Array, index: number): VlanKey | undefined {
  if (tagState(flat, undefined, index) !== 'tag') return undefined;
  return { tpid: readBe16(flat, TAGS[index].tpid), ...decodeTci(readBe16(flat, TAGS[index].tci)) };
}

/** Flat key of a typed one. Throws OdpFieldError, also for headers that the key's types do not lead to. */
export function encodeKey(key: FlowKey): Uint8Array {
  const flat = new Uint8Array(KEY_SIZE);
  const mask = new Uint8Array(KEY_SIZE);
  const { vlan, cvlan, mpls, tunnel, ...fields } = key;
  for (const [name, typed] of Object.entries(fields)) {
    const entry: KeyAttribute | undefined = ATTRIBUTES[name as FieldName];
    if (entry === undefined) throw new OdpFieldError(name, 'unknown field');
    encodeGroup(entry, entry.flat, typed, flat, mask, true);
  }
  for (const [index, tag] of [vlan, cvlan].entries()) if (tag !== undefined) encodeTag(flat, index, tag);
  if (mpls !== undefined) encodeLabels(flat, mpls);
  if (tunnel !== undefined) encodeTunnelKey(tunnel, flat, mask, true);
  if (key.ndExt !== undefined) flat[KEY_FLAGS] |= KEY_FLAG_ND_EXT;
  const layers = layersOf(flat, WHOLE_MASK);
  for (const name of Object.keys(key)) {
    const missing = missingPrerequisite(name as FieldName, flat, WHOLE_MASK, layers);
    if (missing !== undefined) throw new OdpFieldError(name, `needs ${missing}`, missing);
  }
  return flat;
}

function encodeTag(flat: Uint8Array, index: number, tag: VlanKey): void {
  const owner = index === 0 ? 'vlan' : 'cvlan';
  if (!Number.isInteger(tag.tpid) || tag.tpid < 0 || tag.tpid > 0xffff) {
    throw new OdpFieldError(`${owner}.tpid`, `${tag.tpid} is not an integer from 0 to 65535`);
  }
  if (tag.cfi === false) throw new OdpFieldError(`${owner}.cfi`, 'a tag that was cut is the ethType of its key');
  writeBe16(flat, TAGS[index].tpid, tag.tpid);
  writeBe16(flat, TAGS[index].tci, encodeTci(tag, owner).value);
}

function encodeLabels(flat: Uint8Array, labels: NonNullable<FlowKey['mpls']>): void {
  if (labels.length > MPLS_DEPTH_MAX) throw new OdpFieldError('mpls', `more than ${MPLS_DEPTH_MAX} entries`);
  for (const [index, entry] of labels.entries()) {
    writeBe32(flat, mplsOffset(index), encodeMplsEntry(entry, `mpls[${index}]`).value);
  }
  flat[KEY_MPLS_COUNT] = labels.length;
}
