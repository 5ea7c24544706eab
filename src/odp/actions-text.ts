/*
 * Actions as text, as ovs-dpctl writes and reads them: `set(eth(dst=..)),push_vlan(vid=5,pcp=0),3`.
 *
 * What is read is more than ovs-dpctl reads: all that it prints, and what `exact` text adds to that. An action without a typed form is written
 * `actionN(hex bytes)`, and can be read back here.
 */

import { ACTION_NESTING_MAX, type FormatContext, isSameBytes, type ScanContext, scanHexBytes } from './action-codec.ts';
import { type ActionNumbering, actionNumber } from './action-numbers.ts';
import { CODECS_BY_WORD, codecOf } from './action-table.ts';
import type { Action } from './action-types.ts';
import { type ActionCodecOptions, decodeActions, encodeActions } from './actions.ts';
import { OdpFieldError } from './errors.ts';
import { hexBytes } from './hex.ts';
import { TextScanner } from './scanner.ts';

export interface FormatActionsOptions extends ActionCodecOptions {
  /** Names of ports by number. */
  names?: ReadonlyMap<number, string>;
  /**
   * Lose nothing: what ovs-dpctl's spelling would leave out (the bridge in a cookie, small probabilities, a reason to drop, masked-out bits of a set,
   * ...) is written in a longer form, `actionN(hex bytes)` if there is no other, so that parseActions gives the same bytes.
   */
  exact?: boolean;
}

export interface ParseActionsOptions {
  /** Numbers of ports by name. */
  names?: ReadonlyMap<string, number>;
  /**
   * Change what the text says as ovs-dpctl does: userdata is 48 zero bytes when there is none and filled with zeros up to 8 bytes when it is shorter,
   * parts of ct() that say nothing are dropped. Off: the actions are what the text says.
   */
  likeDpctl?: boolean;
}

const U32_MAX = 0xffffffff;
/** A port name or word: up to a delimiter or parenthesis. */
const NAME = /[^,() \t\r\n]+/y;
/** A name that stands as it is and reads as nothing else. */
const PLAIN_NAME = /^[a-zA-Z_][^,() \t\r\n"]*$/;
const QUOTED = /"(?:[^"\\]|\\.)*"/y;

/** Text of an action list, typed or as attributes; an empty one is `drop`. Throws as encodeActions does for values out of range. */
export function formatActions(actions: readonly Action[] | Uint8Array, options: FormatActionsOptions = {}): string {
  const list = actions instanceof Uint8Array ? decodeActions(actions, options) : actions;
  return new Formatter(options).list(list);
}

/** Actions whose text shows all there is to them, apart from the lists in them, which are looked at one by one. */
const WHOLE: ReadonlySet<string> = new Set(['output', 'sample', 'clone', 'checkPktLen', 'decTtl']);

class Formatter implements FormatContext {
  readonly exact: boolean;
  readonly #names: ReadonlyMap<number, string> | undefined;
  readonly #numbering: ActionNumbering;
  /** Ports by name, to read again what was written. */
  readonly #ports: ReadonlyMap<string, number> | undefined;
  #depth = -1;

  constructor({ exact = false, names, numbering = 'kernel' }: FormatActionsOptions) {
    this.exact = exact;
    this.#names = names;
    this.#numbering = numbering;
    if (exact && names !== undefined) this.#ports = new Map([...names].map(([number, name]) => [name, number]));
  }

  port(number: number): string {
    const name = this.#names?.get(number);
    if (name === undefined || (this.exact && this.#ports?.get(name) !== number)) return String(number);
    return PLAIN_NAME.test(name) && !isWord(name) ? name : JSON.stringify(name);
  }

  readonly list = (actions: readonly Action[]): string => {
    if (actions.length === 0) return 'drop';
    if (this.#depth === ACTION_NESTING_MAX)
      throw new OdpFieldError('actions', `lists more than ${ACTION_NESTING_MAX} deep`);
    this.#depth += 1;
    let text = '';
    for (const action of actions) text += (text === '' ? '' : ',') + this.#action(action);
    this.#depth -= 1;
    return text;
  };

  #action(action: Action): string {
    if (action.type === 'unknown') return unknownText(action.number, action.payload);
    const codec = codecOf(action.type);
    if (codec === undefined) throw new OdpFieldError('type', `${JSON.stringify(action.type)} is no action`);
    const text = codec.format(action, this);
    return this.exact && !WHOLE.has(action.type) ? this.#sureText(action, text) : text;
  }

  /** `text` if it reads as the same bytes, else these. */
  #sureText(action: Action, text: string): string {
    const numbering = this.#numbering;
    const bytes = encodeActions([action], { numbering });
    const again = encodeActions(parseActions(text, { names: this.#ports }), { numbering });
    if (isSameBytes(again, bytes)) return text;
    const size = bytes[0] | (bytes[1] << 8);
    return unknownText(actionNumber(action.type, numbering) ?? 0, bytes.subarray(4, size));
  }
}

function unknownText(number: number, payload: Uint8Array): string {
  return `action${number}${payload.length === 0 ? '' : `(${hexBytes(payload, ' ')})`}`;
}

/** Typed actions of text. `drop` and the empty text are the empty list. Throws OdpSyntaxError. */
export function parseActions(text: string, options: ParseActionsOptions = {}): Action[] {
  const parser = new Parser(text, options);
  const actions = parser.list();
  if (!parser.scanner.done) throw parser.scanner.error('an action');
  return actions;
}

class Parser implements ScanContext {
  readonly scanner: TextScanner;
  readonly likeDpctl: boolean;
  readonly #names: ReadonlyMap<string, number> | undefined;
  #depth = -1;

  constructor(text: string, options: ParseActionsOptions) {
    this.scanner = new TextScanner(text);
    this.likeDpctl = options.likeDpctl ?? false;
    this.#names = options.names;
  }

  port(): number | undefined {
    const { scanner } = this;
    const code = scanner.text.charCodeAt(scanner.position);
    if (code >= 0x30 && code <= 0x39) return scanner.number(U32_MAX);
    if (this.#names === undefined) return undefined;
    const start = scanner.position;
    const quoted = scanner.match(QUOTED);
    const name = quoted === undefined ? scanner.match(NAME) : unquote(quoted);
    const number = name === undefined ? undefined : this.#names.get(name);
    if (number === undefined) scanner.position = start;
    return number;
  }

  readonly list = (): Action[] => {
    const { scanner } = this;
    if (this.#depth === ACTION_NESTING_MAX) throw scanner.error(`lists at most ${ACTION_NESTING_MAX} deep`);
    this.#depth += 1;
    const actions: Action[] = [];
    const start = scanner.position;
    for (;;) {
      const separated = scanner.skipDelimiters();
      if (scanner.done || scanner.peek(')')) break;
      if (actions.length > 0 && !separated) throw scanner.error("','");
      actions.push(this.#action());
    }
    this.#depth -= 1;
    return isBareDrop(actions, scanner.text, start, scanner.position) ? [] : actions;
  };

  #action(): Action {
    const { scanner } = this;
    const port = this.port();
    if (port !== undefined) return { type: 'output', port };
    const start = scanner.position;
    const word = scanner.word();
    const codec = word === undefined ? undefined : CODECS_BY_WORD.get(word);
    if (word !== undefined && codec !== undefined) return codec.scan(this, word);
    const number = /^action([0-9]{1,5})$/.exec(word ?? '');
    if (number === null || Number(number[1]) > 0x3fff) {
      throw scanner.error(this.#names === undefined ? 'an action' : 'an action or a port', start);
    }
    const payload = scanner.take('(') ? scanHexBytes(scanner) : new Uint8Array(0);
    return { type: 'unknown', number: Number(number[1]), payload };
  }
}

/** `drop` alone is how an empty list is written; with a reason, or among others, it is the action. */
function isBareDrop(actions: readonly Action[], text: string, start: number, end: number): boolean {
  return actions.length === 1 && actions[0].type === 'drop' && !text.slice(start, end).includes('(');
}

function isWord(name: string): boolean {
  return CODECS_BY_WORD.has(name) || /^action[0-9]+$/.test(name);
}

function unquote(text: string): string | undefined {
  try {
    return JSON.parse(text) as string;
  } catch {
    return undefined;
  }
}
