/*
 * Key and mask attributes into a flat match: the mask side of key-decode.ts.
 *
 * The key is read first, and decides what a mask may hold: a mask attribute that the key's types do not lead to is one too much, and
 * one for a header is an error when the match does not fix the type before it. The bytes handed out are new.
 */

import {
  KEY_ETH_TYPE,
  KEY_FLAGS,
  KEY_IN_PORT,
  KEY_MPLS_COUNT,
  KEY_MPLS_LSE0,
  KEY_NSH_CONTEXT,
  KEY_NSH_MDTYPE,
  KEY_PACKET_TYPE,
  KEY_TUN_FLAGS,
  KEY_TUN_ID,
  KEY_TUN_PROTO,
  KEY_TUN_TP_DST,
} from '../../assembly/constants.ts';
import { ATTRIBUTE_HEADER_SIZE, type Attribute, walkAttributes } from './attributes.ts';
import { OdpAttributeError } from './errors.ts';
import { ATTRIBUTES, NSH_MD1_SIZE } from './fields.ts';
import { groupHasBits, isZeroAt } from './groups.ts';
import { KEY_ATTR, NSH_MD1, networkOf } from './key-attributes.ts';
import {
  decodeLevel,
  finishLevel,
  judge,
  type KeyReport,
  Level,
  labelsSize,
  newReport,
  type Reader,
  readMetadata,
  readNsh,
  splitLevel,
  store,
} from './key-decode.ts';
import { isMplsType, layersOf, missingPrerequisite, readBe16, TAGS, tagState, writeBe16 } from './layers.ts';
import { clearUnmatchedOf, type FlatMatch, matchUntagged, newFlatMatch } from './match.ts';
import { hasTunnel, setTunnelFlags, TUN_FLAG, TUNNEL_ATTR } from './tunnel.ts';
import type { FieldName } from './types.ts';

/**
 * Match of a list of key attributes and one of mask attributes. An attribute that the mask lacks is not matched, except that tags
 * always are; without a mask all that the key says is matched. Throws as decodeKeyAttributes, also for a mask whose attributes
 * differ in size from the key's, or that matches a header whose type it does not match whole.
 */
export function decodeMatchAttributes(key: Uint8Array, mask?: Uint8Array): KeyReport & FlatMatch {
  const keyLevel = splitLevel(key, 0, 0);
  const match = newFlatMatch();
  const flat = match.key;
  const report = decodeLevel(keyLevel, flat);
  const reader: Reader = { flat: match.mask, isMask: true, report: newReport() };
  const level = splitLevel(mask ?? exactMaskOf(key), 0, 0);
  checkSizes(keyLevel, level);
  if (hasEmptyLabels(level)) report.missing = report.missing.filter((name) => name !== 'MPLS');
  readMetadata(reader, level);
  // The kernel gives every mask a tunnel. For a key without one it says nothing, unless a field in it is matched.
  if (!hasTunnel(flat) && level.find(KEY_ATTR.TUNNEL) !== undefined) {
    reader.flat[KEY_TUN_PROTO] = 0;
    if (hasTunnel(reader.flat, true)) reader.flat[KEY_TUN_PROTO] = 0xff;
  }
  readTagMask(reader, level, match, 0);
  if (mask === undefined) fillExact(match);
  matchWhole(keyLevel, match);
  flat[KEY_MPLS_COUNT] = 0;
  flat[KEY_FLAGS] = 0;
  addNew(report.extra, reader.report.extra);
  addNew(report.unknown, reader.report.unknown);
  judge(report);
  clearUnmatchedOf(match);
  const { fitness, missing, extra, unknown } = report;
  return { fitness, missing, extra, unknown, key: flat, mask: match.mask };
}

function addNew<T>(list: T[], others: readonly T[]): void {
  list.push(...others.filter((one) => !list.includes(one)));
}

/** What the kernel matches whole however the mask looks: the input port, if at all, and that there is no Ethernet header. */
function matchWhole(keyLevel: Level, { key, mask }: FlatMatch): void {
  if (!isZeroAt(mask, KEY_IN_PORT, 4)) mask.fill(0xff, KEY_IN_PORT, KEY_IN_PORT + 4);
  if (isZeroAt(key, KEY_PACKET_TYPE, 4) || keyLevel.find(ATTRIBUTES.packetType.number) !== undefined) return;
  mask.fill(0xff, KEY_PACKET_TYPE, KEY_PACKET_TYPE + 2);
  writeBe16(mask, KEY_PACKET_TYPE + 2, readBe16(mask, KEY_ETH_TYPE));
}

/** Labels of which nothing is matched are an empty attribute in the kernel's answer, in key and mask. */
function hasEmptyLabels(level: Level): boolean {
  return level.encap === undefined ? level.find(KEY_ATTR.MPLS)?.size === 0 : hasEmptyLabels(level.encap);
}

/** The attributes of a key with all payload bits set, which is what a missing mask stands for. */
function exactMaskOf(key: Uint8Array): Uint8Array {
  const mask = key.slice();
  fillPayloads(mask, NESTED);
  return mask;
}

const NESTED: ReadonlySet<number> = new Set([KEY_ATTR.ENCAP, KEY_ATTR.TUNNEL, KEY_ATTR.NSH]);
const NESTED_IN_TUNNEL: ReadonlySet<number> = new Set([TUNNEL_ATTR.VXLAN_OPTS]);
const NO_NUMBERS: ReadonlySet<number> = new Set();

function fillPayloads(bytes: Uint8Array, nested: ReadonlySet<number>): void {
  for (const { number, payload } of walkAttributes(bytes, 'OVS_KEY_ATTR')) {
    if (!nested.has(number)) payload.fill(0xff);
    else if (nested !== NESTED) fillPayloads(payload, NO_NUMBERS);
    else
      fillPayloads(
        payload,
        number === KEY_ATTR.ENCAP ? NESTED : number === KEY_ATTR.TUNNEL ? NESTED_IN_TUNNEL : NO_NUMBERS,
      );
  }
}

/** What has no attribute in the key because it is zero or absent is matched too. */
function fillExact({ key, mask }: FlatMatch): void {
  mask.fill(0xff, KEY_ETH_TYPE, KEY_ETH_TYPE + 2);
  if (!hasTunnel(key)) return;
  mask.fill(0xff, KEY_TUN_ID, KEY_TUN_FLAGS);
  mask.fill(0xff, KEY_TUN_FLAGS + 2, KEY_TUN_TP_DST + 2);
  setTunnelFlags(mask, TUN_FLAG.KEY | TUN_FLAG.DONT_FRAGMENT | TUN_FLAG.CSUM | TUN_FLAG.OAM);
}

/** Masks of lists whose size the key chooses must have that size. */
function checkSizes(key: Level, mask: Level): void {
  requireSameSize('MPLS', key.find(KEY_ATTR.MPLS), mask.find(KEY_ATTR.MPLS));
  const [options, optionsMask] = [geneveOf(key.find(KEY_ATTR.TUNNEL)), geneveOf(mask.find(KEY_ATTR.TUNNEL))];
  requireSameSize('TUNNEL GENEVE_OPTS', options, optionsMask);
  if (key.encap !== undefined && mask.encap !== undefined) checkSizes(key.encap, mask.encap);
}

function requireSameSize(name: string, key: Attribute | undefined, mask: Attribute | undefined): void {
  if (key === undefined || mask === undefined || key.size === mask.size) return;
  const reason = `mask of ${mask.size} bytes for a key of ${key.size}`;
  throw new OdpAttributeError(name, mask.offset, reason);
}

function geneveOf(tunnel: Attribute | undefined): Attribute | undefined {
  if (tunnel === undefined) return undefined;
  const nested = walkAttributes(tunnel.payload, 'OVS_TUNNEL_KEY_ATTR', tunnel.offset + ATTRIBUTE_HEADER_SIZE);
  return [...nested].find((attribute) => attribute.number === TUNNEL_ATTR.GENEVE_OPTS);
}

/** The masks of the tags that the key has; tags that it does not have are matched as absent. */
function readTagMask(reader: Reader, level: Level, match: FlatMatch, index: number): void {
  const state = index === TAGS.length ? 'none' : tagState(match.key, undefined, index);
  if (state !== 'tag') {
    for (let i = index; i < TAGS.length; i++) matchUntagged(match, i);
    if (state === 'cut') {
      level.take(KEY_ATTR.VLAN);
      level.take(KEY_ATTR.ENCAP);
    }
    readNetworkMask(reader, level, match);
    return;
  }
  const { tpid, tci } = TAGS[index];
  const type = level.take(KEY_ATTR.ETHERTYPE);
  const vlan = level.take(KEY_ATTR.VLAN);
  const encap = level.take(KEY_ATTR.ENCAP) && level.encap;
  if (type !== undefined) writeBe16(reader.flat, tpid, readBe16(type.bytes, type.start));
  writeBe16(reader.flat, tci, vlan === undefined ? 0xffff : readBe16(vlan.bytes, vlan.start));
  finishLevel(reader, level);
  readTagMask(reader, encap ?? new Level([]), match, index + 1);
}

/** A key of another metadata type has no context, so that nothing of it is matched. */
function readNshMask(reader: Reader, key: Uint8Array, attribute: Attribute): void {
  readNsh(reader, attribute);
  if (key[KEY_NSH_MDTYPE] !== NSH_MD1) reader.flat.fill(0, KEY_NSH_CONTEXT, KEY_NSH_CONTEXT + NSH_MD1_SIZE);
}

function readNetworkMask(reader: Reader, level: Level, match: FlatMatch): void {
  const type = level.take(KEY_ATTR.ETHERTYPE);
  if (type !== undefined) writeBe16(reader.flat, KEY_ETH_TYPE, readBe16(type.bytes, type.start));
  const needed: [FieldName | 'mpls', number][] = [];
  const labels = isMplsType(readBe16(match.key, KEY_ETH_TYPE)) ? level.take(KEY_ATTR.MPLS) : undefined;
  if (labels !== undefined) {
    const bits = labels.payload.subarray(0, labelsSize(labels));
    reader.flat.set(bits, KEY_MPLS_LSE0);
    if (bits.some((byte) => byte !== 0)) needed.push(['mpls', labels.offset]);
  }
  for (const entry of networkOf(match.key)) {
    const attribute = entry.number === 0 ? undefined : level.take(entry.number);
    if (attribute === undefined) continue;
    if (entry === ATTRIBUTES.nsh) readNshMask(reader, match.key, attribute);
    else store(reader, entry, attribute);
    if (groupHasBits(entry.flat, reader.flat)) needed.push([entry.name, attribute.offset]);
  }
  const layers = layersOf(match.key, match.mask);
  for (const [name, offset] of needed) {
    const missing = missingPrerequisite(name, match.key, match.mask, layers);
    if (missing !== undefined) throw new OdpAttributeError(name, offset, `matched without ${missing} matched whole`);
  }
  finishLevel(reader, level);
}
