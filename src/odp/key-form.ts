/*
 * The part of a form (line-form.ts) that is the text of a key under its mask, as formatKeyAttributes writes it: keys with the same mask and the same attribute headers
 * have it in common.
 *
 * Keys have no form when something in them has no simple spelling (tags, labels, tunnels, stray bits): they are formatted one by one. Before it: dpctl/flow-form.ts.
 */
import { ATTRIBUTE_HEADER_SIZE, Attribute, readU32, walkAttributes } from './attributes.ts';
import { type FormatKeyOptions, firstOf, isHidden } from './attributes-text.ts';
import { ATTRIBUTES, ATTRIBUTES_BY_NUMBER, type KeyAttribute } from './fields.ts';
import { KEY_ATTR } from './key-attributes.ts';
import { hex, type ValueKind } from './kinds.ts';
import { FRAG_LATER, readBe16, readBe32 } from './layers.ts';
import type { FormBuilder, Put } from './line-form.ts';
import * as V from './value-kinds.ts';

/**
 * Adds the text of the key whose list begins at `keyAt` of the record; its values become fields, and its headers are fixed. That the mask is the same is the caller's
 * to fix. False when there is no simple spelling, and the form is of no use. Throws OdpAttributeError when a list is cut.
 */
export function addKey(
  form: FormBuilder,
  keyAt: number,
  key: Uint8Array,
  mask: Uint8Array,
  options: FormatKeyOptions,
): boolean {
  if (key.length === 0 || mask.length === 0 || ((key.length | mask.length) & 3) !== 0) return false;
  const { verbose = false } = options;
  const masks = walkAttributes(mask, 'OVS_KEY_ATTR');
  const attributes = walkAttributes(key, 'OVS_KEY_ATTR');
  const part = new KeyPart(form, keyAt, options);
  form.free(keyAt, key.length);
  let hasPacketType = false;
  for (const { number, offset, size, start } of attributes) {
    form.fix(keyAt + offset, ATTRIBUTE_HEADER_SIZE);
    const bits = firstOf(masks, number);
    const hidden = !verbose && isHidden(number, bits);
    if (number === ATTRIBUTES.packetType.number) hasPacketType = !hidden;
    if (hidden) {
      if (number === ATTRIBUTES.eth.number && !hasPacketType) part.begin('eth()');
      continue;
    }
    const entry = SIMPLE.get(number);
    if (entry === undefined || size !== entry.wireSize || (verbose && entry === ATTRIBUTES.ctState)) return false;
    const shown = bits ?? new Attribute(number, 0, new Uint8Array(size), 0, size);
    if (shown.size !== size || !part.attribute(entry, start, shown)) return false;
  }
  if (!attributes.some(({ number }) => number === KEY_ATTR.ETHERTYPE))
    part.ethTypeMask(firstOf(masks, KEY_ATTR.ETHERTYPE));
  return true;
}

class KeyPart {
  readonly #form: FormBuilder;
  readonly #keyAt: number;
  readonly #options: FormatKeyOptions;
  #isFirst = true;

  constructor(form: FormBuilder, keyAt: number, options: FormatKeyOptions) {
    this.#form = form;
    this.#keyAt = keyAt;
    this.#options = options;
  }

  /** Text that an attribute begins with. */
  begin(text: string): void {
    this.#form.text(this.#isFirst ? text : `,${text}`);
    this.#isFirst = false;
  }

  /** What stands for an Ethernet type that only the mask has. */
  ethTypeMask(mask: Attribute | undefined): void {
    if (mask?.size === 2) this.begin(`eth_type(0/${hex(readBe16(mask.bytes, mask.start), 4)})`);
  }

  /** The fields of an attribute whose payload begins at `start` of the key; false when the mask has no spelling. */
  attribute(entry: KeyAttribute, start: number, mask: Attribute): boolean {
    const { verbose = false } = this.#options;
    this.begin(`${entry.text}(`);
    let first = true;
    for (const { kind, at, text } of entry.wire ?? []) {
      const bits = mask.bytes.slice(mask.start + at, mask.start + at + kind.size);
      const isFrag = text === 'frag';
      if (isFrag ? bits[0] !== 0 && bits[0] !== 0xff : hasStray(bits, kind)) return false;
      const valueAt = this.#keyAt + start + at;
      this.#guard(valueAt, kind, isFrag);
      if (text !== '') {
        if ((!verbose || isFrag) && bits.every((byte) => byte === 0)) continue;
        this.#form.text(`${first ? '' : ','}${text}=`);
        first = false;
      }
      this.#form.field(valueAt, kind.size, kind.isExact(bits) ? this.#exact(kind) : masked(kind, bits));
    }
    this.#form.text(')');
    return true;
  }

  #exact(kind: ValueKind): Put {
    const { portName } = this.#options;
    if (kind !== V.port || portName === undefined)
      return PUTS.get(kind) ?? ((out, bytes, at) => out.putText(kind.format(bytes, at)));
    return (out, bytes, at) => out.putText(portName(readU32(bytes, at)) ?? kind.format(bytes, at));
  }

  /** What must hold of the field's bytes in every key, so that they have the spelling. */
  #guard(at: number, { full }: ValueKind, isFrag: boolean): void {
    full.forEach((bits, i) => {
      if (isFrag || bits !== 0xff) this.#form.guard(at + i, ~bits & 0xff, isFrag ? FRAG_LATER : 0xff);
    });
  }
}

/** Bits of a mask, not matched whole, that the field does not have. */
function hasStray(bits: Uint8Array, kind: ValueKind): boolean {
  return !kind.isExact(bits) && bits.some((byte, i) => (byte & ~kind.full[i]) !== 0);
}

function masked(kind: ValueKind, bits: Uint8Array): Put {
  return (out, bytes, at) => out.putText(kind.formatMasked(bytes.subarray(at, at + kind.size), bits, 0));
}

/** Kinds that are put without a string between. The port is the one field of in_port. */
const PUTS: ReadonlyMap<ValueKind, Put> = new Map<ValueKind, Put>([
  [V.u8, (out, bytes, at) => out.putDecimal(bytes[at])],
  [V.be16, (out, bytes, at) => out.putDecimal(readBe16(bytes, at))],
  [V.port, (out, bytes, at) => out.putDecimal(readU32(bytes, at))],
  [V.u8hex, (out, bytes, at) => out.putHex(bytes[at], 0)],
  [V.be16hex, (out, bytes, at) => out.putHex(readBe16(bytes, at), 0)],
  [V.be32hex, (out, bytes, at) => out.putHex(readBe32(bytes, at), 0)],
  [V.u32hex, (out, bytes, at) => out.putHex(readU32(bytes, at), 0)],
  [V.ethType, (out, bytes, at) => out.putHex(readBe16(bytes, at), 4)],
  [V.macKind, (out, bytes, at) => out.putMac(bytes, at)],
  [V.ipv4Kind, (out, bytes, at) => out.putIpv4(bytes, at)],
]);

/** Attributes that are rows of the field table and have a spelling for all that can be in them. */
const SIMPLE: ReadonlyMap<number, KeyAttribute> = new Map(
  [...ATTRIBUTES_BY_NUMBER].filter(([, entry]) => entry.wire !== undefined && entry !== ATTRIBUTES.ipv6Exthdrs),
);
