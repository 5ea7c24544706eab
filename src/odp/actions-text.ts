/*
 * Actions as text, as ovs-dpctl writes and reads them: `set(eth(dst=..)),push_vlan(vid=5,pcp=0),3`.
 *
 * An action without a typed form is written `actionN(hex bytes)`, and can be read back here.
 */

import { type Action, decodeActions, type PushVlanAction, type UserspaceAction } from './actions.ts';
import { decodeTci, encodeTci, formatTci, scanTci } from './bitfields.ts';
import { ETH_P_8021Q } from './layers.ts';
import { TextScanner } from './scanner.ts';
import { formatSet, type SetField, type SetMaskedField, scanSet } from './set-fields.ts';

const U32_MAX = 0xffffffff;
const HEX_BYTES = /[0-9a-fA-F \t\r\n]*/y;

export interface ParseActionsOptions {
  /**
   * Complete userdata as ovs-dpctl does: 48 zero bytes when there is none, zeros up to 8 bytes when it is shorter. Off: the
   * userdata is what the text says.
   */
  fillUserdata?: boolean;
}

const COOKIE_SIZE = 48;
const USERDATA_SIZE_MIN = 8;

/** Text of an action list, typed or as attributes; an empty one is `drop`. */
export function formatActions(actions: readonly Action[] | Uint8Array): string {
  const list = actions instanceof Uint8Array ? decodeActions(actions) : actions;
  return list.length === 0 ? 'drop' : list.map(formatAction).join(',');
}

function formatAction(action: Action): string {
  switch (action.type) {
    case 'output':
      return String(action.port);
    case 'drop':
      return 'drop';
    case 'userspace':
      return formatUserspace(action);
    case 'set':
      return `set(${formatSet(action.field, false)})`;
    case 'setMasked':
      return `set(${formatSet(action.field, true)})`;
    case 'pushVlan':
      return formatPushVlan(action);
    case 'popVlan':
      return 'pop_vlan';
    case 'trunc':
      return `trunc(${action.maxSize})`;
    case 'unknown':
      return `action${action.number}${action.payload.length === 0 ? '' : `(${hexBytes(action.payload, ' ')})`}`;
  }
}

function hexBytes(bytes: Uint8Array, separator: string): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(separator);
}

function formatUserspace(action: UserspaceAction): string {
  const parts = [`pid=${action.pid}`];
  if (action.userdata !== undefined) parts.push(`userdata(${hexBytes(action.userdata, '')})`);
  if (action.actions) parts.push('actions');
  if (action.tunnelOutPort !== undefined) parts.push(`tunnel_out_port=${action.tunnelOutPort}`);
  return `userspace(${parts.join(',')})`;
}

function formatPushVlan(action: PushVlanAction): string {
  const tpid = action.tpid ?? ETH_P_8021Q;
  const prefix = tpid === ETH_P_8021Q ? '' : `tpid=0x${tpid.toString(16).padStart(4, '0')},`;
  return `push_vlan(${prefix}${formatTci(encodeTci(action, 'pushVlan').value)})`;
}

/** Typed actions of text. `drop` and the empty text are the empty list. Throws OdpSyntaxError. */
export function parseActions(text: string, options: ParseActionsOptions = {}): Action[] {
  if (text === 'drop') return [];
  const scanner = new TextScanner(text);
  const actions: Action[] = [];
  for (;;) {
    const separated = scanner.skipDelimiters();
    if (scanner.done) return actions;
    if (actions.length > 0 && !separated) throw scanner.error("','");
    actions.push(scanAction(scanner, options));
  }
}

function scanAction(scanner: TextScanner, options: ParseActionsOptions): Action {
  const start = scanner.position;
  const name = scanner.word();
  switch (name) {
    case undefined:
      return { type: 'output', port: scanner.number(U32_MAX) };
    case 'drop':
      return { type: 'drop', reason: 0 };
    case 'pop_vlan':
      return { type: 'popVlan' };
    case 'trunc':
      return { type: 'trunc', maxSize: scanNumberInParentheses(scanner) };
    case 'push_vlan':
      return scanPushVlan(scanner);
    case 'userspace':
      return scanUserspace(scanner, options);
    case 'set': {
      scanner.expect('(');
      const { masked, field } = scanSet(scanner);
      scanner.expect(')');
      return masked ? { type: 'setMasked', field: field as SetMaskedField } : { type: 'set', field: field as SetField };
    }
    default:
      return scanUnknown(scanner, name, start);
  }
}

function scanNumberInParentheses(scanner: TextScanner): number {
  scanner.expect('(');
  const value = scanner.number(U32_MAX);
  scanner.expect(')');
  return value;
}

function scanPushVlan(scanner: TextScanner): PushVlanAction {
  scanner.expect('(');
  let tpid = ETH_P_8021Q;
  if (scanner.take('tpid=')) {
    tpid = scanner.number(0xffff);
    scanner.expect(',');
  }
  const start = scanner.position;
  const word = scanTci(scanner);
  if (word.mask !== 0xffff) throw scanner.error('vid= and pcp= without masks', start);
  return { type: 'pushVlan', tpid, ...decodeTci(word.value) };
}

function scanUserspace(scanner: TextScanner, options: ParseActionsOptions): UserspaceAction {
  scanner.expect('(');
  scanner.expect('pid=');
  const action: UserspaceAction = { type: 'userspace', pid: scanner.number(U32_MAX) };
  let userdata = scanner.take(',userdata(') ? scanHexBytes(scanner) : undefined;
  if (options.fillUserdata) {
    const size = userdata === undefined ? COOKIE_SIZE : Math.max(userdata.length, USERDATA_SIZE_MIN);
    const filled = new Uint8Array(size);
    filled.set(userdata ?? []);
    userdata = filled;
  }
  if (userdata !== undefined) action.userdata = userdata;
  if (scanner.take(',actions')) action.actions = true;
  if (scanner.take(',tunnel_out_port=')) action.tunnelOutPort = scanner.number(U32_MAX);
  scanner.expect(')');
  return action;
}

/** Bytes in hexadecimal, blanks between them allowed, up to and with the closing parenthesis. */
function scanHexBytes(scanner: TextScanner): Uint8Array {
  const start = scanner.position;
  const groups = (scanner.match(HEX_BYTES) ?? '').split(/[ \t\r\n]+/).filter((group) => group !== '');
  if (groups.some((group) => group.length % 2 !== 0)) throw scanner.error('pairs of hexadecimal digits', start);
  scanner.expect(')');
  return Uint8Array.from(groups.join('').match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

function scanUnknown(scanner: TextScanner, name: string, start: number): Action {
  const number = /^action([0-9]{1,5})$/.exec(name);
  if (number === null || Number(number[1]) > 0x3fff) throw scanner.error('an action', start);
  const payload = scanner.take('(') ? scanHexBytes(scanner) : new Uint8Array(0);
  return { type: 'unknown', number: Number(number[1]), payload };
}
