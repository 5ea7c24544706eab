/*
 * Scanner: a cursor over text, shared by the key parser and the action parser.
 *
 * Every failure is an OdpSyntaxError that holds the position and what would have been right there.
 */

import { OdpSyntaxError } from './errors.ts';

const NUMBER = /0[xX][0-9a-fA-F]+|[0-9]+/y;
const WORD = /[a-z_][a-z_0-9]*/y;
const DELIMITERS = /[, \t\r\n]+/y;

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
    return this.text.startsWith(literal, this.position);
  }

  /** Steps over `literal` if it comes next. */
  take(literal: string): boolean {
    if (!this.peek(literal)) return false;
    this.position += literal.length;
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
    return this.match(DELIMITERS) !== undefined;
  }

  /** A lower-case name, or undefined when none comes next. */
  word(): string | undefined {
    return this.match(WORD);
  }

  /** An unsigned integer in decimal, 0x hexadecimal or 0 octal, at most `max`. */
  number(max: number): number {
    return Number(this.bigNumber(BigInt(max)));
  }

  /** As number(), for what is wider than 53 bits. */
  bigNumber(max: bigint): bigint {
    const start = this.position;
    const text = this.match(NUMBER);
    if (text === undefined) throw this.error('a number');
    const value = parseInteger(text);
    if (value === undefined || value > max) throw this.error(`a number up to ${max}`, start);
    return value;
  }
}

function parseInteger(text: string): bigint | undefined {
  if (!/^0[0-9]/.test(text)) return BigInt(text);
  return /^[0-7]+$/.test(text) ? BigInt(`0o${text}`) : undefined;
}
