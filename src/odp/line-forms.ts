/*
 * KeyLines: the text of many keys, as formatKeyAttributes writes it, many times faster where keys are alike.
 *
 * Concepts. The flows of a datapath have few masks, and under one mask keys have the same attributes. What their texts have in common is found once, as a form
 * (key-form.ts). Lists are compared a word of four bytes at a time.
 * Before it: dpctl/flow-lines.ts, with the flows of a dump. After it: TextBytes. One object a dump; it holds copies, and a view of the bytes that the last
 * key came in.
 */
import { type FormatKeyOptions, formatKeyAttributes } from './attributes-text.ts';
import { type KeyForm, ListWords, makeForm } from './key-form.ts';
import type { TextBytes } from './text-bytes.ts';

/** Forms that are tried, the last one used first. With more kinds of flows than this, most are formatted one by one. */
const FORMS_MAX = 16;
/** So many forms are made before it is asked whether they are used. */
const FREE_FORMS = 64;

export class KeyLines {
  readonly #options: FormatKeyOptions;
  readonly #forms: KeyForm[] = [];
  #made = 0;
  #fitted = 0;
  readonly #key = new ListWords();
  readonly #mask = new ListWords();

  constructor(options: FormatKeyOptions = {}) {
    this.#options = options;
  }

  /** Puts what formatKeyAttributes gives with this object's options. */
  put(out: TextBytes, key: Uint8Array, mask?: Uint8Array): void {
    const form = mask === undefined ? undefined : (this.#find(key, mask) ?? this.#make(key, mask));
    if (form === undefined || !form.isGuarded(key)) out.putText(formatKeyAttributes(key, mask, this.#options));
    else form.put(out, key, this.#key);
  }

  #find(key: Uint8Array, mask: Uint8Array): KeyForm | undefined {
    if (!this.#key.look(key) || !this.#mask.look(mask)) return undefined;
    const forms = this.#forms;
    for (let i = 0; i < forms.length; i++) {
      const form = forms[i];
      if (!form.fits(this.#key, this.#mask)) continue;
      this.#fitted += 1;
      if (i > 0) [forms[i], forms[i - 1]] = [forms[i - 1], form];
      return form;
    }
    return undefined;
  }

  /** A form for this key and others like it; none when forms do not pay, or when there is no such. */
  #make(key: Uint8Array, mask: Uint8Array): KeyForm | undefined {
    if (this.#made >= FREE_FORMS && this.#fitted < 4 * this.#made) return undefined;
    this.#made += 1;
    const form = makeForm(key, mask, this.#options);
    if (form?.fits(this.#key, this.#mask) !== true) return undefined;
    if (this.#forms.length === FORMS_MAX) this.#forms.pop();
    this.#forms.unshift(form);
    return form;
  }
}
