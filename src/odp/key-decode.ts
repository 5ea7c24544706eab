/*
 * Netlink attributes (OVS_KEY_ATTR_*) into flat keys and matches: the converse of key-attributes.ts.
 *
 * A list is first split into its levels (one more for each ENCAP), where sizes and duplicates are checked; then the levels are read
 * from outside in, and what the types lead to is compared with what is there. Unknown attributes are kept as bytes. The bytes handed
 * out are new.
 */

import {
  KEY_ETH_TYPE,
  KEY_FLAG_ND_EXT,
  KEY_FLAGS,
  KEY_IN_PORT,
  KEY_IP_FRAG,
  KEY_MPLS_COUNT,
  KEY_MPLS_LSE0,
  KEY_NSH_FLAGS,
  KEY_NSH_MDTYPE,
  KEY_PACKET_TYPE,
  KEY_SIZE,
  MPLS_DEPTH_MAX,
} from '../../assembly/constants.ts';
import { ATTRIBUTE_HEADER_SIZE, type Attribute, checkSize, walkAttributes } from './attributes.ts';
import { VLAN_PRESENT } from './bitfields.ts';
import { OdpAttributeError } from './errors.ts';
import {
  ATTRIBUTES,
  ATTRIBUTES_BY_NUMBER,
  type KeyAttribute,
  METADATA,
  NSH_BASE_SIZE,
  NSH_MD1_SIZE,
} from './fields.ts';
import { KEY_ATTR, NSH_ATTR, NSH_MD1, networkOf, storeMaskPayload, storePayload } from './key-attributes.ts';
import { ctTupleOfType, isMplsType, isVlanType, readBe16, readBe32, TAGS, writeBe16 } from './layers.ts';
import { decodeTunnel } from './tunnel.ts';
import { ETH_TYPE_LLC } from './types.ts';

/**
 * How well a list says what its types lead to: `perfect`; `too-much`, attributes that nothing leads to or that are unknown;
 * `too-little`, one is missing. The kernel and Open vSwitch take only perfect keys.
 */
export type KeyFitness = 'perfect' | 'too-much' | 'too-little';

/** What a list says beside the fields. */
export interface KeyReport {
  fitness: KeyFitness;
  /** Names of attributes that are missing, and of those that nothing leads to. */
  missing: string[];
  extra: string[];
  /** Attributes without a field, as they were; nested ones of TUNNEL and NSH too. */
  unknown: { attribute: string; number: number; payload: Uint8Array }[];
}

/** The attributes of one level. They are few: looking one up is a walk. */
export class Level {
  /** All of them, in their order. */
  readonly attributes: readonly Attribute[];
  /** The level in their ENCAP. */
  readonly encap: Level | undefined;
  /** Those that nobody has taken. */
  readonly #open: (Attribute | undefined)[];

  constructor(attributes: Attribute[], encap?: Level) {
    this.attributes = attributes;
    this.#open = [...attributes];
    this.encap = encap;
  }

  /** The attribute, taken or not. */
  find(number: number): Attribute | undefined {
    for (const attribute of this.attributes) if (attribute.number === number) return attribute;
    return undefined;
  }

  /** Takes an attribute out, so that nobody else gets it. */
  take(number: number): Attribute | undefined {
    const open = this.#open;
    for (let i = 0; i < open.length; i++) {
      const attribute = open[i];
      if (attribute === undefined || attribute.number !== number) continue;
      open[i] = undefined;
      return attribute;
    }
    return undefined;
  }

  /** Takes all that are left, or those of which the table has something, and gives them to `use`. */
  takeAll<T>(use: (attribute: Attribute, entry: T) => void, table: readonly (T | undefined)[]): void {
    const open = this.#open;
    for (let i = 0; i < open.length; i++) {
      const attribute = open[i];
      const entry = attribute && table[attribute.number];
      if (attribute === undefined || entry === undefined) continue;
      open[i] = undefined;
      use(attribute, entry);
    }
  }

  /** Those that are left. */
  get rest(): Attribute[] {
    return this.#open.filter((attribute) => attribute !== undefined);
  }
}

export interface Reader {
  flat: Uint8Array;
  isMask: boolean;
  report: KeyReport;
}

const LLC_MAX = 0x05ff;
/** The kernel and Open vSwitch go deeper than there are tags only to find the extra one. */
const ENCAP_DEPTH_MAX = 16;
const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(KEY_ATTR).map(([name, number]) => [number, name]));
const METADATA_BY_NUMBER = byNumber([...METADATA, ATTRIBUTES.packetType, ATTRIBUTES.ctTuple4, ATTRIBUTES.ctTuple6]);
/** Sizes of attributes with one; nested ones and lists of labels have none. */
const SIZES: readonly (number | undefined)[] = byNumber([...ATTRIBUTES_BY_NUMBER.values()]).map((entry, number) =>
  number === KEY_ATTR.VLAN ? 2 : entry?.wireSize,
);

function byNumber(entries: readonly KeyAttribute[]): (KeyAttribute | undefined)[] {
  const table = new Array<KeyAttribute | undefined>(1 + Math.max(...entries.map(({ number }) => number))).fill(
    undefined,
  );
  for (const entry of entries) table[entry.number] = entry;
  return table;
}

function nameOf(number: number): string {
  return NAMES.get(number) ?? ATTRIBUTES_BY_NUMBER.get(number)?.text ?? String(number);
}

export function newReport(): KeyReport {
  return { fitness: 'perfect', missing: [], extra: [], unknown: [] };
}

export function judge(report: KeyReport): void {
  if (report.missing.length > 0) report.fitness = 'too-little';
  else if (report.extra.length > 0 || report.unknown.length > 0) report.fitness = 'too-much';
}

export function splitLevel(bytes: Uint8Array, offset: number, depth: number): Level {
  const attributes = walkAttributes(bytes, 'OVS_KEY_ATTR', offset);
  let encap: Level | undefined;
  for (let i = 0; i < attributes.length; i++) {
    const attribute = attributes[i];
    const { number } = attribute;
    const size = SIZES[number];
    if (size !== undefined && attribute.size !== size) checkSize(attribute, nameOf(number), size);
    for (let j = 0; j < i; j++) {
      if (attributes[j].number === number) throw new OdpAttributeError(nameOf(number), attribute.offset, 'given twice');
    }
    if (number !== KEY_ATTR.ENCAP) continue;
    if (depth === ENCAP_DEPTH_MAX) throw new OdpAttributeError('ENCAP', attribute.offset, 'nested too deep');
    encap = splitLevel(attribute.payload, attribute.offset + ATTRIBUTE_HEADER_SIZE, depth + 1);
  }
  return new Level(attributes, encap);
}

/**
 * Exact flat key of a list of key attributes. Throws OdpAttributeError for a list that is cut, an attribute that is there twice or
 * has a wrong size, and values that no packet has; what is missing or too much is in the report.
 */
export function decodeKeyAttributes(bytes: Uint8Array): KeyReport & { key: Uint8Array } {
  const key = new Uint8Array(KEY_SIZE);
  const { fitness, missing, extra, unknown } = decodeLevel(splitLevel(bytes, 0, 0), key);
  return { fitness, missing, extra, unknown, key };
}

/** The same of a list that was split, whose attributes are taken; `flat` is KEY_SIZE zeros that become the key. */
export function decodeLevel(level: Level, flat: Uint8Array): KeyReport {
  const reader: Reader = { flat, isMask: false, report: newReport() };
  readMetadata(reader, level);
  readTagged(reader, level, 0);
  const { report } = reader;
  const family = ctTupleOfType(flat);
  for (const tuple of [ATTRIBUTES.ctTuple4, ATTRIBUTES.ctTuple6])
    if (tuple !== family && level.find(tuple.number) !== undefined) report.extra.push(tuple.text);
  judge(report);
  return report;
}

export function readMetadata(reader: Reader, level: Level): void {
  const { flat, isMask } = reader;
  if (!isMask && level.find(ATTRIBUTES.inPort.number) === undefined) writePortNone(flat);
  level.takeAll((attribute, entry) => store(reader, entry, attribute), METADATA_BY_NUMBER);
  const tunnel = level.take(KEY_ATTR.TUNNEL);
  if (tunnel !== undefined) {
    const at = tunnel.offset + ATTRIBUTE_HEADER_SIZE;
    decodeTunnel(tunnel.payload, at, flat, isMask ? 'mask' : 'key', (attribute) => keep(reader, 'TUNNEL', attribute));
  }
  const eth = level.take(ATTRIBUTES.eth.number);
  const isTyped = readBe32(flat, KEY_PACKET_TYPE) !== 0;
  if (eth !== undefined && isTyped && !isMask) reader.report.extra.push('eth');
  else if (eth !== undefined) store(reader, ATTRIBUTES.eth, eth);
  else if (!isMask && !isTyped) {
    // A packet without an Ethernet header has its type as packet type.
    const type = level.find(KEY_ATTR.ETHERTYPE);
    if (type !== undefined) flat.set([0, 1, ...type.payload], KEY_PACKET_TYPE);
    else reader.report.missing.push('eth');
  }
}

function writePortNone(flat: Uint8Array): void {
  flat.set([0xff, 0xff, 0, 0], KEY_IN_PORT);
}

function keep(reader: Reader, owner: string, { number, payload }: Attribute): void {
  reader.report.unknown.push({ attribute: `${owner} ${number}`, number, payload: payload.slice() });
}

/** Writes an attribute of the field table; bits that no field has must be zero in a key and do not count in a mask. */
export function store({ flat, isMask }: Reader, entry: KeyAttribute, attribute: Attribute): void {
  const { bytes, start } = attribute;
  if (isMask) {
    storeMaskPayload(entry, bytes, start, flat);
    if (entry.isNarrow) for (const slot of entry.flat) clip(flat, slot.at, slot.kind.full);
    return;
  }
  if (entry.isNarrow) checkBits(entry, attribute);
  if (entry === ATTRIBUTES.arp && bytes[start + 8] !== 0)
    throw new OdpAttributeError('arp op', attribute.offset, `${readBe16(bytes, start + 8)} is above 255`);
  storePayload(entry, bytes, start, flat);
  if ((entry === ATTRIBUTES.ipv4 || entry === ATTRIBUTES.ipv6) && flat[KEY_IP_FRAG] > 2)
    throw new OdpAttributeError(`${entry.text} frag`, attribute.offset, `${flat[KEY_IP_FRAG]} is no fragment type`);
  if (entry === ATTRIBUTES.ndExt) flat[KEY_FLAGS] |= KEY_FLAG_ND_EXT;
}

function checkBits({ text, bits, wire = [] }: KeyAttribute, { bytes, start, offset }: Attribute): void {
  for (let i = 0; i < bits.length; i++) {
    if ((bytes[start + i] & ~bits[i]) === 0) continue;
    const name = wire.find(({ at, kind }) => i >= at && i < at + kind.size)?.name ?? '';
    throw new OdpAttributeError(`${text} ${name}`.trim(), offset, 'bits beyond the width of the field');
  }
}

function clip(flat: Uint8Array, at: number, full: Uint8Array): void {
  for (let i = 0; i < full.length; i++) flat[at + i] &= full[i];
}

function readTagged(reader: Reader, level: Level, index: number): void {
  const { flat, report } = reader;
  const type = level.find(KEY_ATTR.ETHERTYPE);
  const value = type === undefined ? undefined : readBe16(type.bytes, type.start);
  const vlan = level.take(KEY_ATTR.VLAN);
  const tci = vlan === undefined ? 0 : readBe16(vlan.bytes, vlan.start);
  const hasNoEthernet = readBe32(flat, KEY_PACKET_TYPE) !== 0;
  if (index === TAGS.length || hasNoEthernet || (vlan === undefined && !isVlanType(value ?? 0))) {
    if (vlan !== undefined) report.extra.push('VLAN');
    readNetwork(reader, level);
    return;
  }
  const encap = level.take(KEY_ATTR.ENCAP) && level.encap;
  if (vlan === undefined) report.missing.push('VLAN');
  if (encap === undefined) report.missing.push('ENCAP');
  if (vlan !== undefined && (tci & VLAN_PRESENT) === 0) {
    if (tci !== 0) throw new OdpAttributeError('VLAN', vlan.offset, 'without the bit that says that there is a tag');
    for (const { number } of encap?.attributes ?? []) report.extra.push(nameOf(number));
  }
  if (tci === 0) {
    // Cut in the tag: its type is the type of the frame. The kernel writes zero for it.
    if (value && !isVlanType(value)) throw new OdpAttributeError('ETHERTYPE', type?.offset ?? 0, 'no TPID before VLAN');
    level.take(KEY_ATTR.ETHERTYPE);
    writeBe16(flat, KEY_ETH_TYPE, value || 0x8100);
    finishLevel(reader, level);
    return;
  }
  if (value !== undefined && !isVlanType(value))
    throw new OdpAttributeError('ETHERTYPE', type?.offset ?? 0, 'no TPID before VLAN');
  level.take(KEY_ATTR.ETHERTYPE);
  if (type === undefined) report.missing.push('ETHERTYPE');
  writeBe16(flat, TAGS[index].tpid, value ?? 0);
  writeBe16(flat, TAGS[index].tci, tci);
  finishLevel(reader, level);
  if (encap !== undefined) readTagged(reader, encap, index + 1);
}

/** Whatever has not been taken is unknown or more than the types lead to. */
export function finishLevel(reader: Reader, level: Level): void {
  for (const attribute of level.rest) {
    const { number } = attribute;
    const known = NAMES.has(number) || ATTRIBUTES_BY_NUMBER.has(number);
    if (known) reader.report.extra.push(nameOf(number));
    else keep(reader, 'OVS_KEY_ATTR', attribute);
  }
}

function readNetwork(reader: Reader, level: Level): void {
  const { flat } = reader;
  const type = level.take(KEY_ATTR.ETHERTYPE);
  const value = type === undefined ? ETH_TYPE_LLC : readBe16(type.bytes, type.start);
  if (type !== undefined && value <= LLC_MAX)
    throw new OdpAttributeError('ETHERTYPE', type.offset, `0x${value.toString(16)} is a length`);
  writeBe16(flat, KEY_ETH_TYPE, value);
  if (isMplsType(value)) readLabels(reader, level);
  // Each layer is stored before the next is asked for: its protocol decides.
  let layers = networkOf(flat);
  for (let i = 0; i < layers.length; i++) {
    readLayer(reader, level, layers[i]);
    layers = networkOf(flat);
  }
  // What only userspace knows of neighbour discovery is there when the list has it.
  if (layers.at(-1) === ATTRIBUTES.nd) readLayer(reader, level, ATTRIBUTES.ndExt);
  finishLevel(reader, level);
}

function readLayer(reader: Reader, level: Level, entry: KeyAttribute): void {
  const attribute = entry.number === 0 ? undefined : level.take(entry.number);
  if (attribute === undefined) {
    if (!OPTIONAL.has(entry)) reader.report.missing.push(entry.text);
  } else if (entry === ATTRIBUTES.nsh) readNsh(reader, attribute);
  else store(reader, entry, attribute);
}

/** A key may do without these. */
const OPTIONAL: ReadonlySet<KeyAttribute> = new Set([
  ATTRIBUTES.ipv6Exthdrs,
  ATTRIBUTES.tcpFlags,
  ATTRIBUTES.ndExt,
  ATTRIBUTES.igmp,
]);

function readLabels(reader: Reader, level: Level): void {
  const { flat, report } = reader;
  const attribute = level.take(KEY_ATTR.MPLS);
  if (attribute === undefined) {
    report.missing.push('MPLS');
    return;
  }
  const size = labelsSize(attribute);
  // The kernel writes an empty one for a stack that has no bottom where it looks.
  if (size === 0) report.missing.push('MPLS');
  flat.set(attribute.payload.subarray(0, size), KEY_MPLS_LSE0);
  flat[KEY_MPLS_COUNT] = size / 4;
  if (size < attribute.size) report.extra.push('MPLS');
}

export function labelsSize(attribute: Attribute): number {
  const { size } = attribute;
  if (size % 4 !== 0)
    throw new OdpAttributeError('MPLS', attribute.offset, `payload of ${size} bytes, a multiple of 4 expected`);
  return Math.min(size, 4 * MPLS_DEPTH_MAX);
}

export function readNsh(reader: Reader, nsh: Attribute): void {
  const { flat, isMask } = reader;
  const seen = new Set<number>();
  for (const attribute of walkAttributes(nsh.payload, 'OVS_NSH_KEY_ATTR', nsh.offset + ATTRIBUTE_HEADER_SIZE)) {
    const { number, payload } = attribute;
    if (seen.has(number)) throw new OdpAttributeError(`NSH ${number}`, attribute.offset, 'given twice');
    seen.add(number);
    if (number === NSH_ATTR.BASE) {
      checkSize(attribute, 'NSH BASE', NSH_BASE_SIZE);
      flat.set(payload, KEY_NSH_FLAGS);
    } else if (number === NSH_ATTR.MD1) {
      checkSize(attribute, 'NSH MD1', NSH_MD1_SIZE);
      flat.set(payload, KEY_NSH_FLAGS + NSH_BASE_SIZE);
    } else keep(reader, 'NSH', attribute);
  }
  if (isMask) return;
  if (!seen.has(NSH_ATTR.BASE)) reader.report.missing.push('NSH BASE');
  if (seen.has(NSH_ATTR.MD1) && flat[KEY_NSH_MDTYPE] !== NSH_MD1)
    throw new OdpAttributeError('NSH MD1', nsh.offset, `with metadata type ${flat[KEY_NSH_MDTYPE]}`);
  if (!seen.has(NSH_ATTR.MD1) && flat[KEY_NSH_MDTYPE] === NSH_MD1) reader.report.missing.push('NSH MD1');
}
