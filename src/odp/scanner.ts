/*
 * Scanner: a cursor over text, shared by the key parser and the action parser.
 *
 * Every failure is an OdpSyntaxError that holds the position and what would have been right there. Characters are looked at
 * one by one where it matters: an expression costs more than a whole attribute may.
 */

import { OdpSyntaxError } from './errors.ts';

const BIG_NUMBER = /0[xX][0-9a-fA-F]+|[0-9]+/y;

/** What stands behind the name in `in_port(` and in `src=`. */
export const OPEN = 0x28;
export const EQUALS = 0x3d;

const ZERO = 0x30;
const NINE = 0x39;
const LOWER_A = 0x61;
const LOWER_Z = 0x7a;
const UNDERSCORE = 0x5f;
const LOWER_X = 0x78;
const UPPER_TO_LOWER = 0x20;

/** The value of a hexadecimal digit, 16 and more for anything else. */
export function hexDigit(code: number): number {
  if (code >= ZERO && code <= NINE) return code - ZERO;
  const lower = code | UPPER_TO_LOWER;
  return lower >= LOWER_A && lower <= LOWER_A + 5 ? lower - LOWER_A + 10 : 16;
}

export function isDigit(code: number): boolean {
  return code >= ZERO && code <= NINE;
}

function isDelimiter(code: number): boolean {
  return code === 0x2c || code === 0x20 || code === 0x09 || code === 0x0d || code === 0x0a;
}

export class TextScanner {
  readonly text: string;
  position = 0;

  constructor(text: string) {
    this.text = text;
  }

  get done(): boolean {
    return this.position >= this.text.length;
  }

  /** The error to throw: `expected` was not found at `position` (default: here). */
  error(expected: string, position = this.position): OdpSyntaxError {
    return new OdpSyntaxError(this.text, position, expected);
  }

  peek(literal: string): boolean {
    const { text, position } = this;
    for (let i = 0; i < literal.length; i++) {
      if (text.charCodeAt(position + i) !== literal.charCodeAt(i)) return false;
    }
    return true;
  }

  /** Steps over `literal` if it comes next. */
  take(literal: string): boolean {
    if (!this.peek(literal)) return false;
    this.position += literal.length;
    return true;
  }

  /** Steps over `name` and the character `end` behind it if they come next. */
  takeName(name: string, end: number): boolean {
    if (!this.peek(name) || this.text.charCodeAt(this.position + name.length) !== end) return false;
    this.position += name.length + 1;
    return true;
  }

  expect(literal: string): void {
    if (!this.take(literal)) throw this.error(`'${literal}'`);
  }

  /** Steps over what the sticky expression matches here and returns it, or returns undefined. */
  match(expression: RegExp): string | undefined {
    expression.lastIndex = this.position;
    const found = expression.exec(this.text);
    if (found === null) return undefined;
    this.position += found[0].length;
    return found[0];
  }

  /** Steps over commas and blanks; true when there was at least one. */
  skipDelimiters(): boolean {
    const start = this.position;
    while (isDelimiter(this.text.charCodeAt(this.position))) this.position++;
    return this.position !== start;
  }

  /** A lower-case name, or undefined when none comes next. */
  word(): string | undefined {
    const start = this.position;
    let at = start;
    for (; ; at++) {
      const code = this.text.charCodeAt(at);
      const letter = (code >= LOWER_A && code <= LOWER_Z) || code === UNDERSCORE;
      if (!letter && (at === start || !isDigit(code))) break;
    }
    if (at === start) return undefined;
    this.position = at;
    return this.text.slice(start, at);
  }

  /** An unsigned integer in decimal, 0x hexadecimal or 0 octal, at most `max`, which has at most 53 bits. */
  number(max: number): number {
    const { text, position: start } = this;
    let base = 10;
    let at = start;
    if (text.charCodeAt(at) === ZERO) {
      if ((text.charCodeAt(at + 1) | UPPER_TO_LOWER) === LOWER_X && hexDigit(text.charCodeAt(at + 2)) < 16) {
        base = 16;
        at += 2;
      } else if (isDigit(text.charCodeAt(at + 1))) base = 8;
    }
    const first = at;
    let value = 0;
    let valid = true;
    for (; ; at++) {
      const digit = hexDigit(text.charCodeAt(at));
      if (digit >= (base === 16 ? 16 : 10)) break;
      if (digit >= base) valid = false;
      if (value <= max) value = value * base + digit;
    }
    if (at === first) throw this.error('a number');
    if (!valid || value > max) throw this.error(`a number up to ${max}`, start);
    this.position = at;
    return value;
  }

  /** As number(), for what is wider than 53 bits. */
  bigNumber(max: bigint): bigint {
    const start = this.position;
    const text = this.match(BIG_NUMBER);
    if (text === undefined) throw this.error('a number');
    const value = parseInteger(text);
    if (value === undefined || value > max) throw this.error(`a number up to ${max}`, start);
    return value;
  }
}

/** Names that may come next in a text, each with what it stands for. They are told apart in place: nothing is cut out of the text. */
export class NameTable<T> {
  /** Rows by the first character of their name. */
  readonly #rows: (readonly [string, T])[][] = [];

  constructor(names: Iterable<readonly [string, T]>) {
    for (const row of names) {
      const first = row[0].charCodeAt(0);
      this.#rows[first] = [...(this.#rows[first] ?? []), row];
    }
  }

  /** Steps over one of the names and the `(` behind it, and gives what it stands for; else undefined, and the position stays. */
  take(scanner: TextScanner): T | undefined {
    const rows = this.#rows[scanner.text.charCodeAt(scanner.position)];
    if (rows === undefined) return undefined;
    for (const row of rows) if (scanner.takeName(row[0], OPEN)) return row[1];
    return undefined;
  }
}

function parseInteger(text: string): bigint | undefined {
  if (!/^0[0-9]/.test(text)) return BigInt(text);
  return /^[0-7]+$/.test(text) ? BigInt(`0o${text}`) : undefined;
}
