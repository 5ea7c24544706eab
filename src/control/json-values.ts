/*
 * JsonValues: JSON values out of a stream of bytes in which nothing separates them, as JSON-RPC 1.0 sends them over a stream socket.
 *
 * A value is an object or an array, and ends where its brackets do; brackets in strings do not count. The text is scanned once, whatever the pieces
 * it comes in, and is not checked beyond that: JSON.parse does the rest. Before it: a socket. After it: unixctl-server.ts, unixctl-client.ts.
 */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Nesting that Open vSwitch's own parser takes; nobody who speaks this protocol needs more than three. */
const DEPTH_MAX = 1000;

/** The stream is not one of JSON objects: whoever reads it gives it up. */
export class JsonStreamError extends Error {
  override readonly name = 'JsonStreamError';
}

export class JsonValues {
  readonly #sizeMax: number;
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  /** What came before the piece at hand and belongs to the value at hand. */
  #parts: string[] = [];
  #size = 0;
  #depth = 0;
  #quoted = false;
  #escaped = false;

  /** A value longer than `sizeMax` UTF-16 units is refused while it comes. */
  constructor(sizeMax: number) {
    this.#sizeMax = sizeMax;
  }

  /** The values that end in this piece. Throws JsonStreamError. */
  push(bytes: Uint8Array): unknown[] {
    const text = this.#decode(bytes);
    const values: unknown[] = [];
    let start = 0;
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (this.#quoted) this.#inString(code);
      else if (code === QUOTE) this.#quoted = this.#inValue();
      else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
        if (this.#depth === 0) start = at;
        if (++this.#depth > DEPTH_MAX) throw new JsonStreamError(`brackets more than ${DEPTH_MAX} deep`);
      } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
        this.#inValue();
        if (--this.#depth === 0) values.push(this.#take(text.slice(start, at + 1)));
      } else if (this.#depth === 0 && code > 0x20) this.#inValue();
    }
    if (this.#depth > 0) this.#keep(text.slice(start));
    return values;
  }

  #decode(bytes: Uint8Array): string {
    try {
      return this.#decoder.decode(bytes, { stream: true });
    } catch {
      throw new JsonStreamError('this is not UTF-8');
    }
  }

  #inString(code: number): void {
    if (this.#escaped) this.#escaped = false;
    else if (code === BACKSLASH) this.#escaped = true;
    else if (code === QUOTE) this.#quoted = false;
  }

  /** True within a value; between two there is only white space. */
  #inValue(): true {
    if (this.#depth === 0) throw new JsonStreamError('this is not a JSON object');
    return true;
  }

  #keep(part: string): void {
    this.#parts.push(part);
    this.#size += part.length;
    if (this.#size > this.#sizeMax) throw new JsonStreamError(`a message of more than ${this.#sizeMax} characters`);
  }

  #take(last: string): unknown {
    this.#keep(last);
    const text = this.#parts.join('');
    this.#parts = [];
    this.#size = 0;
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new JsonStreamError((error as Error).message);
    }
  }
}
