/*
 * LineForms: the lines of many records, many times faster where records are alike. The forms that were found are tried one after the other, the last ones used first;
 * a record that none fits gets one, unless it can have none or forms do not pay. Before it: dpctl/flow-lines.ts, with the flows of a dump. After it: line-form.ts.
 */
import type { LineForm } from './line-form.ts';
import type { TextBytes } from './text-bytes.ts';

/** Forms that are tried. With more kinds of records than this, most are formatted one by one. */
const FORMS_MAX = 32;
/** So many forms are made before it is asked whether they are used. */
const FREE_FORMS = 64;

export class LineForms {
  readonly #make: (record: Uint8Array) => LineForm | undefined;
  readonly #forms: LineForm[] = [];
  #made = 0;
  #fitted = 0;
  /** The bytes that records were in last, and the words there; the first words lie at `#base`, which is below 0 when words do not lie at their places. */
  #bytes: Uint8Array | undefined;
  #words: Int32Array = new Int32Array(0);
  #base = 0;

  /** `make` gives the form of a record and of others like it, undefined when there is none. */
  constructor(make: (record: Uint8Array) => LineForm | undefined) {
    this.#make = make;
  }

  /** Puts the line of a record of `size` bytes at `at`; false, and nothing was put: it has no form. */
  put(out: TextBytes, bytes: Uint8Array, at: number, size: number): boolean {
    if (bytes !== this.#bytes) this.#look(bytes);
    if (((at | size) & 3) !== 0 || this.#base < 0) return false;
    const forms = this.#forms;
    const wordAt = this.#base + (at >>> 2);
    for (let i = 0; i < forms.length; i++) {
      const form = forms[i];
      if (form.length !== size >>> 2 || !form.put(out, bytes, at, this.#words, wordAt)) continue;
      this.#fitted += 1;
      if (i > 0) {
        forms[i] = forms[i - 1];
        forms[i - 1] = form;
      }
      return true;
    }
    const form = this.#add(bytes.subarray(at, at + size));
    return form?.put(out, bytes, at, this.#words, wordAt) ?? false;
  }

  #look(bytes: Uint8Array): void {
    const { buffer, byteOffset } = bytes;
    if (this.#words.buffer !== buffer) this.#words = new Int32Array(buffer, 0, buffer.byteLength >>> 2);
    this.#bytes = bytes;
    this.#base = (byteOffset & 3) === 0 ? byteOffset >>> 2 : -1;
  }

  #add(record: Uint8Array): LineForm | undefined {
    if (this.#made >= FREE_FORMS && this.#fitted < 4 * this.#made) return undefined;
    this.#made += 1;
    const form = this.#make(record);
    if (form === undefined) return undefined;
    if (this.#forms.length === FORMS_MAX) this.#forms.pop();
    this.#forms.unshift(form);
    return form;
  }
}
