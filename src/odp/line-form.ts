/*
 * LineForm: what the lines of alike records have in common. A record is bytes that a line of text is made of, such as a message about a flow. A form is pieces of
 * text, and between them the fields that differ, with their places in the record. It fits a record that is the same as the one that it was made of wherever no field
 * is and the bytes are not said to be free.
 *
 * A form remembers the last record and the last line that it put, and where the fields of that line are: records are compared a word of four bytes at a time, of the
 * next line only the fields are written that have changed, and what is between is copied as it stands in the output. Most lines of a dump differ in few fields.
 *
 * Before it: line-forms.ts, and FormBuilder's users, which know the records: key-form.ts, dpctl/flow-form.ts. After it: TextBytes. A form holds copies, no views.
 */
import type { TextBytes } from './text-bytes.ts';

/** Puts the value at `at` of the bytes that the record is in. */
export type Put = (out: TextBytes, bytes: Uint8Array, at: number) => void;

/** A field, and the text before it. `at` counts from the start of the record. */
interface Field {
  readonly before: Uint8Array;
  readonly at: number;
  readonly size: number;
  readonly put: Put;
}

/** Bits that must not be set at a place of the record, and a largest value, for the form to fit. */
interface Guard {
  readonly at: number;
  readonly unused: number;
  readonly max: number;
}

export class LineForm {
  /** Words of the record. */
  readonly length: number;
  readonly #guards: readonly Guard[];
  readonly #fields: readonly Field[];
  readonly #end: Uint8Array;
  /** Words that are the same in every record: where they are, and what they are. */
  readonly #fixedAts: Int32Array;
  readonly #fixed: Int32Array;
  /** Words that fields are in: where they are, what they were in the last record, and the fields in them, from one to before another. */
  readonly #valueAts: Int32Array;
  readonly #values: Int32Array;
  readonly #firsts: Int32Array;
  readonly #ends: Int32Array;
  /** By field: whether it is another one than in the last line, and where its text is there. */
  readonly #changed: Uint8Array;
  readonly #textStarts: Int32Array;
  readonly #textEnds: Int32Array;
  #lineStart = 0;
  #lineEnd = 0;
  /** Where the line of the last record is; undefined when there is none. */
  #out: TextBytes | undefined;
  #epoch = 0;

  constructor(record: Int32Array, isFixed: Uint8Array, { guards, fields, end }: FormParts) {
    this.length = record.length;
    this.#guards = guards;
    this.#fields = fields;
    this.#end = end;
    const words = [...record.keys()];
    const fieldsIn = words.map((word) =>
      fields.flatMap(({ at, size }, i) => (at < 4 * word + 4 && at + size > 4 * word ? [i] : [])),
    );
    const valued = words.filter((word) => fieldsIn[word].length > 0);
    const fixed = words.filter((word) => isFixed[word] && fieldsIn[word].length === 0);
    this.#fixedAts = Int32Array.from(fixed);
    this.#fixed = Int32Array.from(fixed, (word) => record[word]);
    this.#valueAts = Int32Array.from(valued);
    this.#values = Int32Array.from(valued, (word) => record[word]);
    this.#firsts = Int32Array.from(valued, (word) => fieldsIn[word][0]);
    this.#ends = Int32Array.from(valued, (word) => fieldsIn[word].at(-1)! + 1);
    this.#changed = new Uint8Array(fields.length);
    this.#textStarts = new Int32Array(fields.length);
    this.#textEnds = new Int32Array(fields.length);
  }

  /** Puts the line of the record at `at` of the bytes, which lies at `wordAt` of the words; false, and nothing was put: it has another form. Nor was anything put when a field throws. */
  put(out: TextBytes, bytes: Uint8Array, at: number, words: Int32Array, wordAt: number): boolean {
    if (!this.#fits(words, wordAt)) return false;
    const isNext = this.#out === out && this.#epoch === out.epoch;
    this.#out = undefined;
    this.#look(words, wordAt);
    if (!this.#isGuarded(bytes, at)) return false;
    const start = out.size;
    try {
      if (isNext) this.#putChanged(out, bytes, at);
      else this.#putAll(out, bytes, at);
    } catch (error) {
      out.cut(start);
      throw error;
    }
    this.#out = out;
    this.#epoch = out.epoch;
    this.#lineStart = start;
    this.#lineEnd = out.size;
    return true;
  }

  #fits(words: Int32Array, wordAt: number): boolean {
    const ats = this.#fixedAts;
    const fixed = this.#fixed;
    for (let i = 0; i < ats.length; i++) if (words[wordAt + ats[i]] !== fixed[i]) return false;
    return true;
  }

  /** Marks what has changed since the last record, which this is from now on. */
  #look(words: Int32Array, wordAt: number): void {
    const ats = this.#valueAts;
    const values = this.#values;
    const changed = this.#changed;
    for (let i = 0; i < changed.length; i++) changed[i] = 0;
    for (let i = 0; i < ats.length; i++) {
      const value = words[wordAt + ats[i]];
      if (value === values[i]) continue;
      values[i] = value;
      for (let field = this.#firsts[i]; field < this.#ends[i]; field++) changed[field] = 1;
    }
  }

  /** Whether the values have their simple spelling. */
  #isGuarded(bytes: Uint8Array, start: number): boolean {
    const guards = this.#guards;
    for (let i = 0; i < guards.length; i++) {
      const { at, unused, max } = guards[i];
      const byte = bytes[start + at];
      if ((byte & unused) !== 0 || byte > max) return false;
    }
    return true;
  }

  #putAll(out: TextBytes, bytes: Uint8Array, start: number): void {
    const fields = this.#fields;
    for (let i = 0; i < fields.length; i++) {
      const { before, at, put } = fields[i];
      out.putBytes(before);
      this.#textStarts[i] = out.size;
      put(out, bytes, start + at);
      this.#textEnds[i] = out.size;
    }
    out.putBytes(this.#end);
  }

  #putChanged(out: TextBytes, bytes: Uint8Array, start: number): void {
    const fields = this.#fields;
    const changed = this.#changed;
    const starts = this.#textStarts;
    const ends = this.#textEnds;
    let copied = this.#lineStart;
    let shift = out.size - copied;
    for (let i = 0; i < changed.length; i++) {
      const textStart = starts[i];
      const textEnd = ends[i];
      if (changed[i] === 0) {
        starts[i] = textStart + shift;
        ends[i] = textEnd + shift;
        continue;
      }
      out.putAgain(copied, textStart);
      starts[i] = out.size;
      const { at, put } = fields[i];
      put(out, bytes, start + at);
      ends[i] = out.size;
      copied = textEnd;
      shift = out.size - textEnd;
    }
    out.putAgain(copied, this.#lineEnd);
  }
}

interface FormParts {
  readonly guards: readonly Guard[];
  readonly fields: readonly Field[];
  readonly end: Uint8Array;
}

/** Puts a form together: text and fields in the order of the line. Words of the record are fixed unless they are freed or a field is in them. */
export class FormBuilder {
  readonly #record: Int32Array;
  readonly #isFixed: Uint8Array;
  readonly #fields: Field[] = [];
  readonly #guards: Guard[] = [];
  /** Behind the last field. */
  #text = '';

  /** Of a record of whole words. */
  constructor(record: Uint8Array) {
    this.#record = new Int32Array(new Uint8Array(record).buffer);
    this.#isFixed = new Uint8Array(this.#record.length).fill(1);
  }

  text(text: string): void {
    this.#text += text;
  }

  field(at: number, size: number, put: Put): void {
    this.#fields.push({ before: this.#takeText(), at, size, put });
  }

  guard(at: number, unused: number, max: number): void {
    this.#guards.push({ at, unused, max });
  }

  /** The words that these bytes are in may differ; where no field is they do not matter. */
  free(at: number, size: number): void {
    this.#isFixed.fill(0, at >>> 2, (at + size + 3) >>> 2);
  }

  /** The words that these bytes are in are the same in every record. */
  fix(at: number, size: number): void {
    this.#isFixed.fill(1, at >>> 2, (at + size + 3) >>> 2);
  }

  form(): LineForm {
    return new LineForm(this.#record, this.#isFixed, {
      guards: this.#guards,
      fields: this.#fields,
      end: this.#takeText(),
    });
  }

  #takeText(): Uint8Array {
    const text = Buffer.from(this.#text);
    this.#text = '';
    return text;
  }
}
