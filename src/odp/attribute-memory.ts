/*
 * AttributeMemory: for reading many texts of keys that are alike, as the lines of a file of flows are. The attributes of a text are kept with their bytes, by their
 * place in it; one that has the same text in the next, where it comes in the same place, is not scanned again.
 *
 * Before it: dpctl/flow-batch.ts makes one for its texts. After it: attributes-text.ts asks it. It holds copies of attributes and pieces of the texts.
 */
import type { ListWriter } from './list-writer.ts';
import type { TextScanner } from './scanner.ts';

/** Places that are remembered: keys have fewer attributes. */
const PLACES_MAX = 32;
/** One that was another so many times in a row is kept no more, but now and then. */
const MISSES_MAX = 8;
const NOW_AND_THEN = 64;

/** What a name of a port stands for may change. */
const NAMED_PORT = /in_port\([^0-9]/;

interface Place {
  text: string;
  key: Uint8Array;
  mask: Uint8Array;
  misses: number;
}

export class AttributeMemory {
  readonly #places: Place[] = [];

  /** Steps over the attribute that comes next, and puts it behind the lists, if it is the one that was kept of this place. */
  repeat(index: number, scanner: TextScanner, key: ListWriter, mask: ListWriter): boolean {
    const place = this.#places[index];
    if (place === undefined) return false;
    if (!scanner.text.startsWith(place.text, scanner.position)) {
      place.misses += 1;
      return false;
    }
    place.misses = 0;
    scanner.position += place.text.length;
    key.append(place.key);
    mask.append(place.mask);
    return true;
  }

  /** Whether the attribute of this place is worth to be kept. */
  wants(index: number): boolean {
    if (index >= this.#places.length) return index === this.#places.length && index < PLACES_MAX;
    const { misses } = this.#places[index];
    return misses <= MISSES_MAX || misses % NOW_AND_THEN === 0;
  }

  /** Keeps an attribute. The bytes are this object's from now on. */
  keep(index: number, text: string, key: Uint8Array, mask: Uint8Array): void {
    const misses = this.#places[index]?.misses ?? 0;
    if (!NAMED_PORT.test(text)) this.#places[index] = { text, key, mask, misses };
  }
}
