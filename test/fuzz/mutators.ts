/*
 * Small changes to texts and attribute lists that were right, for the quick fuzz targets (quick.ts). Each costs about a microsecond: a
 * text is cut into its tokens once, a list is changed in bytes of the mutator's own.
 */
import type { Random } from '../support/frame-generator.ts';

const TOKEN = /[a-z_]+[0-9]*|0x[0-9a-f]+|[0-9a-f]+(?:[:.][0-9a-f:.]*)?|[\s\S]/gi;
const SIGNS = [...'()=,/:.%+-|[]{} \t"'];
const VALUES =
  '0 1 2 3 4 6 7 8 15 16 17 31 58 63 64 132 135 255 256 4095 4096 32767 65535 65536 0xfffff 4294967295 4294967296 18446744073709551615 0x0 0x1 0xff 0xffff 0xffffffff 00 010 08 0x -1 1.5 10.0.0.1 0.0.0.0 255.255.255.0 1.2.3 :: ::1 fe80::1 ::ffff:1.2.3.4 00:11:22:33:44:55 ff:ff:ff:ff:ff:ff 1:2 no first later key'.split(
    ' ',
  );

/** A text in its tokens: where each begins, and where the text ends. */
interface Tokens {
  text: string;
  starts: number[];
}

export class TextMutator {
  readonly #pool: Tokens[];
  readonly #words: string[];

  constructor(texts: readonly string[]) {
    this.#pool = texts.map((text) => {
      const starts = [...text.matchAll(TOKEN)].map(({ index }) => index);
      return { text, starts: [...starts, text.length] };
    });
    const words = this.#pool.flatMap(({ text, starts }) => starts.slice(1).map((end, i) => text.slice(starts[i], end)));
    this.#words = [...new Set(words)].filter((word) => word.length < 40);
  }

  case(random: Random): string {
    const from = random.pick(this.#pool);
    const text = this.#change(random, from);
    return random.oneIn(5) ? text.slice(0, random.below(text.length + 1)) : text;
  }

  #change(random: Random, { text, starts }: Tokens): string {
    const count = starts.length - 1;
    const at = random.below(count);
    const [start, end] = [starts[at], starts[at + 1]];
    switch (random.below(12)) {
      case 0:
        return text.slice(0, start) + text.slice(end);
      case 1:
        return text.slice(0, end) + text.slice(start);
      case 2:
        return text.slice(0, start) + random.pick(SIGNS) + text.slice(random.oneIn(2) ? start : end);
      case 3:
        return text.slice(0, start) + random.pick(this.#words) + text.slice(end);
      case 4:
      case 5: {
        // a piece of another text
        const other = random.pick(this.#pool);
        const from = random.below(other.starts.length - 1);
        const piece = other.text.slice(
          other.starts[from],
          other.starts[Math.min(from + 1 + random.below(8), other.starts.length - 1)],
        );
        return text.slice(0, start) + piece + text.slice(random.oneIn(2) ? start : end);
      }
      case 6: {
        const other = random.pick(this.#pool);
        return `${text}${random.pick([',', ' ', ',', ''])}${other.text}`;
      }
      default: {
        // another value for the next number or address
        let value = at;
        while (value < count && !isValue(text.charCodeAt(starts[value]))) value++;
        if (value === count) return text;
        const masked = random.oneIn(4) ? `/${random.pick(VALUES)}` : '';
        return text.slice(0, starts[value]) + random.pick(VALUES) + masked + text.slice(starts[value + 1]);
      }
    }
  }
}

function isValue(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/** Changes an attribute list in a copy of its own; the view handed out is valid until the next case. */
export class ListMutator {
  readonly #pool: readonly Uint8Array[];
  readonly #types: number;
  readonly #bytes = new Uint8Array(2048);

  constructor(pool: readonly Uint8Array[], types: number) {
    this.#pool = pool;
    this.#types = types;
  }

  case(random: Random): Uint8Array {
    const from = random.pick(this.#pool);
    this.#bytes.set(from);
    let { length } = from;
    for (let count = random.pick([0, 1, 1, 1, 2]); count > 0; count--) length = this.#change(random, length);
    return this.#bytes.subarray(0, length);
  }

  /** Where some attribute begins: of the list, or of one inside of another. */
  #place(random: Random, length: number): number {
    const bytes = this.#bytes;
    let chosen = 0;
    let count = 0;
    for (let at = 0; at + 4 <= length; ) {
      if (random.below(++count) === 0) chosen = at;
      const size = bytes[at] | (bytes[at + 1] << 8);
      // nests look like attributes from their beginning
      const nested = size >= 8 && bytes[at + 5] === 0 && bytes[at + 4] >= 4 && bytes[at + 4] <= size - 4;
      at += nested && random.oneIn(2) ? 4 : (Math.max(size, 4) + 3) & ~3;
    }
    return chosen;
  }

  #change(random: Random, length: number): number {
    const bytes = this.#bytes;
    if (length < 4) return length;
    const at = this.#place(random, length);
    const size = Math.min((Math.max(bytes[at] | (bytes[at + 1] << 8), 4) + 3) & ~3, length - at);
    switch (random.below(10)) {
      case 0:
        bytes.copyWithin(at, at + size, length);
        return length - size;
      case 1:
        if (length + size > bytes.length) return length;
        bytes.copyWithin(at + size, at, length);
        return length + size;
      case 2:
        bytes[at + 2] = random.below(this.#types);
        return length;
      case 3:
        bytes[at + 3] ^= random.pick([0x40, 0x80, 1]);
        return length;
      case 4:
        bytes[at] = random.oneIn(2) ? random.below(256) : bytes[at] + random.below(9) - 4;
        return length;
      case 5:
        return random.below(length + 1);
      default: {
        const place = at + 4 + random.below(Math.max(size - 4, 1));
        if (place < length) bytes[place] = random.pick([0, 1, 0x10, 0x81, 0xff, random.below(256), random.below(256)]);
        return length;
      }
    }
  }
}
