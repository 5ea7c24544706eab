/*
 * KeyForm: what the texts of alike keys have in common. Pieces of text, and between them the fields that differ, with their places in the list. A form fits
 * a key whose mask is its mask and whose attribute headers are its headers.
 *
 * A form remembers the last line that it put, and where the fields of that line are: of the next one only the fields are written that have changed, and what is
 * between is copied as it stands in the output. Most keys of a dump differ in few fields.
 *
 * Keys that have no form, because something in them has no simple spelling (tags, labels, tunnels, stray bits), are formatted one by one. Before it:
 * key-lines.ts. After it: TextBytes. A form holds copies, no views.
 */

import { Attribute, readU32, walkAttributes } from './attributes.ts';
import { type FormatKeyOptions, firstOf, isHidden } from './attributes-text.ts';
import { ATTRIBUTES, ATTRIBUTES_BY_NUMBER, type KeyAttribute } from './fields.ts';
import { KEY_ATTR } from './key-attributes.ts';
import { hex, type ValueKind } from './kinds.ts';
import { FRAG_LATER, readBe16, readBe32 } from './layers.ts';
import type { TextBytes } from './text-bytes.ts';
import * as V from './value-kinds.ts';

/** Of a word of the list that is an attribute header. */
const HEADER = -1;

/** Puts the value at `at` of a list of attributes. */
type Put = (out: TextBytes, list: Uint8Array, at: number) => void;

/** A field of a form, and the text before it. */
interface Field {
  readonly before: Uint8Array;
  readonly at: number;
  readonly size: number;
  readonly put: Put;
}

/** Bits that must not be set at a place, and a largest value, for the form to fit. */
interface Guard {
  readonly at: number;
  readonly unused: number;
  readonly max: number;
}

/** A list of attributes as words of four bytes: where it lies in whatever memory it is in, usually a datagram that many lists are in. */
export class ListWords {
  words: Int32Array = new Int32Array(0);
  at = 0;
  size = 0;

  /** False when it does not lie at words. Netlink puts attributes at multiples of four bytes, and so are lists in its messages. */
  look({ buffer, byteOffset, length }: Uint8Array): boolean {
    if (((byteOffset | length) & 3) !== 0) return false;
    if (this.words.buffer !== buffer) this.words = new Int32Array(buffer, 0, buffer.byteLength >>> 2);
    this.at = byteOffset >>> 2;
    this.size = length >>> 2;
    return true;
  }
}

export class KeyForm {
  readonly #mask: Int32Array;
  readonly #guards: readonly Guard[];
  readonly #fields: readonly Field[];
  readonly #end: Uint8Array;
  /** The last key, in words; its headers are those of all. */
  readonly #key: Int32Array;
  /** By word of the key: the fields in it, from one to before another. */
  readonly #firsts: Int16Array;
  readonly #ends: Int16Array;
  /** By field: whether it is another one than in the last line, and where its value is there. */
  readonly #changed: Uint8Array;
  readonly #valueStarts: number[];
  readonly #valueEnds: number[];
  #lineStart = 0;
  #lineEnd = 0;
  /** Where the last line is; undefined before there is one. */
  #out: TextBytes | undefined;
  #epoch = 0;

  constructor(key: Uint8Array, mask: Uint8Array, headerAts: readonly number[], parts: FormParts) {
    this.#mask = copiedWords(mask);
    this.#key = copiedWords(key);
    const { guards, fields, end } = parts;
    this.#guards = guards;
    this.#fields = fields;
    this.#end = end;
    this.#firsts = new Int16Array(this.#key.length);
    this.#ends = new Int16Array(this.#key.length);
    fields.forEach(({ at, size }, index) => {
      for (let word = at >>> 2; word <= (at + size - 1) >>> 2; word++) {
        if (this.#ends[word] === 0) this.#firsts[word] = index;
        this.#ends[word] = index + 1;
      }
    });
    for (const at of headerAts) this.#firsts[at >>> 2] = HEADER;
    this.#changed = new Uint8Array(fields.length);
    this.#valueStarts = fields.map(() => 0);
    this.#valueEnds = fields.map(() => 0);
  }

  /** Whether it is the form of the key and the mask. What has changed since the last line is kept for `put`. */
  fits(list: ListWords, bits: ListWords): boolean {
    const [key, mask, changed] = [this.#key, this.#mask, this.#changed];
    if (key.length !== list.size || mask.length !== bits.size) return false;
    for (let i = 0; i < mask.length; i++) if (bits.words[bits.at + i] !== mask[i]) return false;
    for (let i = 0; i < changed.length; i++) changed[i] = 0;
    for (let i = 0; i < key.length; i++) {
      if (list.words[list.at + i] === key[i]) continue;
      if (this.#firsts[i] === HEADER) return false;
      for (let field = this.#firsts[i]; field < this.#ends[i]; field++) changed[field] = 1;
    }
    return true;
  }

  /** Whether the values of a key that fits have their simple spelling. */
  isGuarded(key: Uint8Array): boolean {
    for (const { at, unused, max } of this.#guards) if ((key[at] & unused) !== 0 || key[at] > max) return false;
    return true;
  }

  /** Puts the text of the key that was just found to fit. */
  put(out: TextBytes, list: Uint8Array, { words, at }: ListWords): void {
    const start = out.size;
    if (this.#out === out && this.#epoch === out.epoch) this.#putChanged(out, list);
    else this.#putAll(out, list);
    const key = this.#key;
    for (let i = 0; i < key.length; i++) key[i] = words[at + i];
    this.#out = out;
    this.#epoch = out.epoch;
    this.#lineStart = start;
    this.#lineEnd = out.size;
  }

  #putAll(out: TextBytes, list: Uint8Array): void {
    const fields = this.#fields;
    for (let i = 0; i < fields.length; i++) {
      const { before, at, put } = fields[i];
      out.putBytes(before);
      this.#valueStarts[i] = out.size;
      put(out, list, at);
      this.#valueEnds[i] = out.size;
    }
    out.putBytes(this.#end);
  }

  #putChanged(out: TextBytes, list: Uint8Array): void {
    const [fields, changed, starts, ends] = [this.#fields, this.#changed, this.#valueStarts, this.#valueEnds];
    let copied = this.#lineStart;
    let shift = out.size - copied;
    for (let i = 0; i < changed.length; i++) {
      const [start, end] = [starts[i], ends[i]];
      if (changed[i] === 0) {
        starts[i] = start + shift;
        ends[i] = end + shift;
        continue;
      }
      out.putAgain(copied, start);
      starts[i] = out.size;
      const { at, put } = fields[i];
      put(out, list, at);
      ends[i] = out.size;
      copied = end;
      shift = out.size - end;
    }
    out.putAgain(copied, this.#lineEnd);
  }
}

/** Whole words only: a form has no other lists. */
function copiedWords(bytes: Uint8Array): Int32Array {
  return new Int32Array(new Uint8Array(bytes).buffer);
}

interface FormParts {
  readonly guards: readonly Guard[];
  readonly fields: readonly Field[];
  readonly end: Uint8Array;
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
      this.fields.push({ before: this.takeText(), at: start + at, size: kind.size, put });
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
export function makeForm(key: Uint8Array, mask: Uint8Array, options: FormatKeyOptions): KeyForm | undefined {
  if (key.length === 0 || mask.length === 0 || ((key.length | mask.length) & 3) !== 0) return undefined;
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
  return new KeyForm(key, mask, headerAts, { guards: form.guards, fields: form.fields, end: form.takeText() });
}

/** Attributes that are rows of the field table and have a spelling for all that can be in them. */
const SIMPLE: ReadonlyMap<number, KeyAttribute> = new Map(
  [...ATTRIBUTES_BY_NUMBER].filter(([, entry]) => entry.wire !== undefined && entry !== ATTRIBUTES.ipv6Exthdrs),
);
