/*
 * Fields of flat keys by name: where two keys differ, what a mask looks at, and why a rule is not the packet's.
 *
 * Before it: flat keys, masks and rules. After it: lines of a trace. Names are those of ovs-dpctl: `ipv4(dst)`, `vlan`. Keeps nothing; any thread.
 */
import * as C from '../../assembly/constants.ts';
import type { FlatMatch } from '../datapath/flows.ts';
import { ATTRIBUTES, type KeyAttribute, METADATA, type Slot } from '../odp/fields.ts';
import { formatGroup } from '../odp/groups.ts';
import { hex } from '../odp/kinds.ts';
import { ctTupleOf, isMplsType, layersOf, mplsOffset, readBe16, TAGS } from '../odp/layers.ts';
import { encodeTunnel } from '../odp/tunnel.ts';
import { formatTunnel } from '../odp/tunnel-text.ts';

export interface KeyField {
  name: string;
  at: number;
  size: number;
  /** How its value is written; without it: bytes in hexadecimal. */
  slot?: Slot;
}

const TUNNEL: KeyField = { name: 'tunnel', at: C.KEY_TUN_ID, size: C.KEY_SIZE - C.KEY_TUN_ID };

/** The fields that a key (or, with `mask`, a match) can have, in order. */
export function fieldsOf(key: Uint8Array, mask?: Uint8Array): KeyField[] {
  const tuple = ctTupleOf(key, mask);
  const link = [...METADATA, ...(tuple === undefined ? [] : [tuple]), ATTRIBUTES.packetType, ATTRIBUTES.eth];
  const fields = link.flatMap(slotsOf);
  fields.push(TUNNEL);
  for (const [index, { tpid, tci }] of TAGS.entries()) {
    const name = index === 0 ? 'vlan' : 'inner vlan';
    fields.push({ name: `${name} tpid`, at: tpid, size: 2 }, { name: `${name} tci`, at: tci, size: 2 });
  }
  fields.push(...slotsOf(ATTRIBUTES.ethType));
  if (isMplsType(readBe16(key, C.KEY_ETH_TYPE))) {
    fields.push({ name: 'mpls depth', at: C.KEY_MPLS_COUNT, size: 1 });
    for (let i = 0; i < C.MPLS_DEPTH_MAX; i++) fields.push({ name: `mpls[${i}]`, at: mplsOffset(i), size: 4 });
  }
  fields.push(...layersOf(key, mask).flatMap(slotsOf));
  return fields;
}

function slotsOf(entry: KeyAttribute): KeyField[] {
  const text = entry.text || entry.name;
  return entry.flat.map((slot) => ({
    name: entry.single ? text : `${text}(${slot.text || slot.name})`,
    at: slot.at,
    size: slot.kind.size,
    slot,
  }));
}

/** Names of the fields in which a packet's key differs from the key asked for. */
export function differingFields(wanted: Uint8Array, got: Uint8Array): string[] {
  const fields = [...fieldsOf(wanted), ...fieldsOf(got)];
  const names = fields.filter(({ at, size }) => !isSame(wanted, got, at, size)).map(({ name }) => name);
  return [...new Set(names)];
}

function isSame(a: Uint8Array, b: Uint8Array, at: number, size: number): boolean {
  for (let i = at; i < at + size; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** What a flow with this mask looks at in a packet of this key. Bits where such a packet has no field are `other headers`: they match their absence. */
export function lookedAt(key: Uint8Array, mask: Uint8Array): string[] {
  const rest = mask.slice();
  const names: string[] = [];
  for (const { name, at, size } of fieldsOf(key)) {
    if (mask.subarray(at, at + size).some((bits) => bits !== 0)) names.push(name.replace(/vlan (tpid|tci)/, 'vlan'));
    rest.fill(0, at, at + size);
  }
  if (rest.some((bits) => bits !== 0)) names.push('other headers');
  return [...new Set(names)];
}

/** The first field that keeps a key from matching: `eth_type 0x0806, not 0x0800`. */
export function mismatch(key: Uint8Array, match: FlatMatch): string {
  for (const { name, at, size, slot } of fieldsOf(match.key, match.mask)) {
    const bits = match.mask.subarray(at, at + size);
    if (bits.every((bit, i) => ((key[at + i] ^ match.key[at + i]) & bit) === 0)) continue;
    if (slot === undefined) return `${name} ${bytesText(key, at, size)}, not ${maskedText(match, at, size)}`;
    const exact = slot.kind.isExact(match.mask, at);
    const wanted = exact ? slot.kind.format(match.key, at) : slot.kind.formatMasked(match.key, match.mask, at);
    return `${name} ${slot.kind.format(key, at)}, not ${wanted}`;
  }
  return 'other headers';
}

/** Fields beside the packet that an action changed, with their new values: `skb_mark(0x7)`. */
export function metadataChanges(before: Uint8Array, after: Uint8Array): string[] {
  const changed = METADATA.filter(({ flat }) => flat.some(({ at, kind }) => !isSame(before, after, at, kind.size)));
  const texts = changed.map(({ text, flat }) => `${text}(${formatGroup(flat, after)})`);
  if (isSame(before, after, TUNNEL.at, TUNNEL.size)) return texts;
  return [...texts, `tunnel(${formatTunnel(encodeTunnel(after, after), undefined, { complete: true })})`];
}

/** A tag that is not there is all zero. */
function bytesText(bytes: Uint8Array, at: number, size: number): string {
  if (size > 4) return 'differs';
  const value = bytes.subarray(at, at + size).reduce((sum, byte) => sum * 256 + byte, 0);
  return value === 0 ? 'none' : hex(value, size * 2);
}

function maskedText({ key, mask }: FlatMatch, at: number, size: number): string {
  const exact = mask.subarray(at, at + size).every((bits) => bits === 0xff);
  return exact || size > 4 ? bytesText(key, at, size) : `${bytesText(key, at, size)}/${bytesText(mask, at, size)}`;
}
