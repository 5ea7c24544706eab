/*
 * KeyLines: the text of many keys, as formatKeyAttributes writes it, many times faster where keys are alike.
 *
 * Concepts. The flows of a datapath have few masks, and under one mask keys have the same attributes. What their texts have in common is found once, as a
 * *form*: pieces of text, and between them the fields that differ, with their places in the list. A form fits a key whose mask is its mask and whose
 * attribute headers are its headers. Keys that have no form, because something in them has no simple spelling (tags, labels, tunnels, stray bits), are
 * formatted one by one.
 * Before it: dpctl/flow-lines.ts, with the flows of a dump. After it: TextBytes. One object a dump; forms hold copies, no views.
 */

import { Attribute, readU32, walkAttributes } from './attributes.ts';
import { type FormatKeyOptions, firstOf, formatKeyAttributes, isHidden } from './attributes-text.ts';
import { ATTRIBUTES, ATTRIBUTES_BY_NUMBER, type KeyAttribute } from './fields.ts';
import { KEY_ATTR } from './key-attributes.ts';
import { hex, type ValueKind } from './kinds.ts';
import { readBe16, readBe32 } from './layers.ts';
import type { TextBytes } from './text-bytes.ts';
import * as V from './value-kinds.ts';

/** Forms that are tried, the last one used first. With more kinds of flows than this, most are formatted one by one. */
const FORMS_MAX = 16;
/** So many forms are made before it is asked whether they are used. */
const FREE_FORMS = 64;
/** The last value of enum ovs_frag_type. */
const FRAG_LATER = 2;

/** Puts the value at `at` of a list of attributes. */
type Put = (out: TextBytes, list: Uint8Array, at: number) => void;

/** A field of a form, and the text before it. */
interface Field {
  readonly before: Uint8Array;
  readonly at: number;
  readonly put: Put;
}

/** Bits that must not be set at a place, and a largest value, for the form to fit. */
interface Guard {
  readonly at: number;
  readonly unused: number;
  readonly max: number;
}

interface Form {
  readonly keySize: number;
  readonly mask: Uint8Array;
  readonly headerAts: readonly number[];
  readonly headers: readonly number[];
  readonly guards: readonly Guard[];
  readonly fields: readonly Field[];
  readonly end: Uint8Array;
}

export class KeyLines {
  readonly #options: FormatKeyOptions;
  readonly #forms: Form[] = [];
  #made = 0;
  #fitted = 0;

  constructor(options: FormatKeyOptions = {}) {
    this.#options = options;
  }

  /** Puts what formatKeyAttributes gives with this object's options. */
  put(out: TextBytes, key: Uint8Array, mask?: Uint8Array): void {
    const form = mask === undefined ? undefined : (this.#find(key, mask) ?? this.#make(key, mask));
    if (form === undefined || !isGuarded(form, key)) out.putText(formatKeyAttributes(key, mask, this.#options));
    else fill(out, form, key);
  }

  #find(key: Uint8Array, mask: Uint8Array): Form | undefined {
    const forms = this.#forms;
    for (let i = 0; i < forms.length; i++) {
      const form = forms[i];
      if (form.keySize !== key.length || !fits(form, key) || Buffer.compare(form.mask, mask) !== 0) continue;
      this.#fitted += 1;
      if (i > 0) [forms[i], forms[i - 1]] = [forms[i - 1], form];
      return form;
    }
    return undefined;
  }

  /** A form for this key and others like it; none when forms do not pay, or when there is no such. */
  #make(key: Uint8Array, mask: Uint8Array): Form | undefined {
    if (this.#made >= FREE_FORMS && this.#fitted < 4 * this.#made) return undefined;
    this.#made += 1;
    const form = makeForm(key, mask, this.#options);
    if (form === undefined) return undefined;
    if (this.#forms.length === FORMS_MAX) this.#forms.pop();
    this.#forms.unshift(form);
    return form;
  }
}

function fits({ headerAts, headers }: Form, key: Uint8Array): boolean {
  for (let i = 0; i < headerAts.length; i++) if (readU32(key, headerAts[i]) !== headers[i]) return false;
  return true;
}

function isGuarded({ guards }: Form, key: Uint8Array): boolean {
  for (const { at, unused, max } of guards) if ((key[at] & unused) !== 0 || key[at] > max) return false;
  return true;
}

function fill(out: TextBytes, { fields, end }: Form, key: Uint8Array): void {
  for (let i = 0; i < fields.length; i++) {
    const { before, at, put } = fields[i];
    out.putBytes(before);
    put(out, key, at);
  }
  out.putBytes(end);
}

/** Collects the parts of a form. */
class FormBuilder {
  readonly fields: Field[] = [];
  readonly guards: Guard[] = [];
  readonly #options: FormatKeyOptions;
  /** Behind the last field. */
  #text = '';

  constructor(options: FormatKeyOptions) {
    this.#options = options;
  }

  /** An attribute of which nothing is shown but that it is there. */
  empty(name: string): void {
    this.#text += `${this.#separator}${name}()`;
  }

  /** What stands for an Ethernet type that only the mask has. */
  ethTypeMask(mask: Attribute | undefined): void {
    if (mask?.size === 2) this.#text += `${this.#separator}eth_type(0/${hex(readBe16(mask.bytes, mask.start), 4)})`;
  }

  /** The fields of an attribute whose payload begins at `start`; false when the mask has no spelling. */
  attribute(entry: KeyAttribute, start: number, mask: Attribute): boolean {
    const { verbose = false } = this.#options;
    this.#text += `${this.#separator}${entry.text}(`;
    let first = true;
    for (const { kind, at, text } of entry.wire ?? []) {
      const bits = mask.bytes.slice(mask.start + at, mask.start + at + kind.size);
      const isFrag = text === 'frag';
      if (isFrag ? bits[0] !== 0 && bits[0] !== 0xff : hasStray(bits, kind)) return false;
      this.#guard(start + at, kind, isFrag);
      if (text !== '') {
        if ((!verbose || isFrag) && bits.every((byte) => byte === 0)) continue;
        this.#text += `${first ? '' : ','}${text}=`;
        first = false;
      }
      const put = kind.isExact(bits) ? this.#exact(kind) : masked(kind, bits);
      this.fields.push({ before: this.takeText(), at: start + at, put });
    }
    this.#text += ')';
    return true;
  }

  takeText(): Uint8Array {
    const text = Buffer.from(this.#text);
    this.#text = '';
    return text;
  }

  get #separator(): string {
    return this.#text === '' && this.fields.length === 0 ? '' : ',';
  }

  #exact(kind: ValueKind): Put {
    const { portName } = this.#options;
    if (kind !== V.port || portName === undefined)
      return PUTS.get(kind) ?? ((out, list, at) => out.putText(kind.format(list, at)));
    return (out, list, at) => out.putText(portName(readU32(list, at)) ?? kind.format(list, at));
  }

  /** What must hold of the field's bytes in every key, so that they have the spelling. */
  #guard(at: number, { full }: ValueKind, isFrag: boolean): void {
    full.forEach((bits, i) => {
      if (isFrag || bits !== 0xff)
        this.guards.push({ at: at + i, unused: ~bits & 0xff, max: isFrag ? FRAG_LATER : 0xff });
    });
  }
}

/** Bits of a mask, not matched whole, that the field does not have. */
function hasStray(bits: Uint8Array, kind: ValueKind): boolean {
  return !kind.isExact(bits) && bits.some((byte, i) => (byte & ~kind.full[i]) !== 0);
}

function masked(kind: ValueKind, bits: Uint8Array): Put {
  return (out, list, at) => out.putText(kind.formatMasked(list.subarray(at, at + kind.size), bits, 0));
}

/** Kinds that are put without a string between. The port is the one field of in_port. */
const PUTS: ReadonlyMap<ValueKind, Put> = new Map<ValueKind, Put>([
  [V.u8, (out, list, at) => out.putDecimal(list[at])],
  [V.be16, (out, list, at) => out.putDecimal(readBe16(list, at))],
  [V.port, (out, list, at) => out.putDecimal(readU32(list, at))],
  [V.u8hex, (out, list, at) => out.putHex(list[at], 0)],
  [V.be16hex, (out, list, at) => out.putHex(readBe16(list, at), 0)],
  [V.be32hex, (out, list, at) => out.putHex(readBe32(list, at), 0)],
  [V.u32hex, (out, list, at) => out.putHex(readU32(list, at), 0)],
  [V.ethType, (out, list, at) => out.putHex(readBe16(list, at), 4)],
  [V.macKind, (out, list, at) => out.putMac(list, at)],
  [V.ipv4Kind, (out, list, at) => out.putIpv4(list, at)],
]);

/** Undefined when something in the key or its mask has no simple spelling. Throws OdpAttributeError when a list is cut. */
function makeForm(key: Uint8Array, mask: Uint8Array, options: FormatKeyOptions): Form | undefined {
  if (key.length === 0 || mask.length === 0) return undefined;
  const { verbose = false } = options;
  const masks = walkAttributes(mask, 'OVS_KEY_ATTR');
  const attributes = walkAttributes(key, 'OVS_KEY_ATTR');
  const form = new FormBuilder(options);
  let hasPacketType = false;
  for (const { number, size, start } of attributes) {
    const bits = firstOf(masks, number);
    const hidden = !verbose && isHidden(number, bits);
    if (number === ATTRIBUTES.packetType.number) hasPacketType = !hidden;
    if (hidden) {
      if (number === ATTRIBUTES.eth.number && !hasPacketType) form.empty('eth');
      continue;
    }
    const entry = SIMPLE.get(number);
    if (entry === undefined || size !== entry.wireSize || (verbose && entry === ATTRIBUTES.ctState)) return undefined;
    const shown = bits ?? new Attribute(number, 0, new Uint8Array(size), 0, size);
    if (shown.size !== size || !form.attribute(entry, start, shown)) return undefined;
  }
  if (!attributes.some(({ number }) => number === KEY_ATTR.ETHERTYPE))
    form.ethTypeMask(firstOf(masks, KEY_ATTR.ETHERTYPE));
  const headerAts = attributes.map(({ offset }) => offset);
  return {
    keySize: key.length,
    mask: mask.slice(),
    headerAts,
    headers: headerAts.map((at) => readU32(key, at)),
    guards: form.guards,
    fields: form.fields,
    end: form.takeText(),
  };
}

/** Attributes that are rows of the field table and have a spelling for all that can be in them. */
const SIMPLE: ReadonlyMap<number, KeyAttribute> = new Map(
  [...ATTRIBUTES_BY_NUMBER].filter(([, entry]) => entry.wire !== undefined && entry !== ATTRIBUTES.ipv6Exthdrs),
);
