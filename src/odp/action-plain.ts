/*
 * Codecs of the actions that hold a number or nothing: output, drop, recirc, hash, trunc, meter, psample, the pops.
 *
 * Joined with the other families in action-table.ts. Pure functions.
 */

import * as K from '../../assembly/netlink/openvswitch.ts';
import {
  type ActionCodec,
  bytesOf,
  type Codecs,
  hexNumber,
  hexString,
  scanHexString,
  scanParenthesized,
  scanPort,
  u32,
} from './action-codec.ts';
import type { HashAction, PsampleAction } from './action-types.ts';
import { checkSize, readU32, walkAttributes } from './attributes.ts';
import type { TextScanner } from './scanner.ts';

const U32_MAX = 0xffffffff;
/** The kernel's OVS_PSAMPLE_COOKIE_MAX_SIZE. */
const PSAMPLE_COOKIE_SIZE_MAX = 16;
/** The kernel's parser of psample wants this bit in the attribute's type. */
export const NLA_F_NESTED = 0x8000;

/** An action that is one u32 in host order, `word(N)` in text. */
function number<A extends { type: string }>(
  type: A['type'],
  field: Exclude<keyof A, 'type'> & string,
  word: string,
  format: (value: number) => string = String,
): ActionCodec<A> {
  const numberOf = (action: A) => (action as unknown as Record<string, number>)[field];
  const make = (value: number) => ({ type, [field]: value }) as unknown as A;
  return {
    words: [word],
    write: (action, { writer }) => writer.u32(u32(numberOf(action), `${type}.${field}`)),
    read: (attribute) => {
      checkSize(attribute, word.toUpperCase(), 4);
      return make(readU32(attribute.payload));
    },
    format: (action) => `${word}(${format(numberOf(action))})`,
    scan: ({ scanner }) => make(scanParenthesized(scanner, U32_MAX)),
  };
}

/** An action without a payload. */
function flag<A extends { type: string }>(type: A['type'], word: string, text = word): ActionCodec<A> {
  const action = { type } as A;
  return {
    words: [word],
    write: () => {},
    read: (attribute) => {
      checkSize(attribute, word.toUpperCase(), 0);
      return { ...action };
    },
    format: () => text,
    scan: ({ scanner }) => {
      scanner.expect(text.slice(word.length));
      return { ...action };
    },
  };
}

const HASHES = ['l4', 'symL4'] as const;
const HASH_TEXTS = ['l4', 'sym_l4'];

function hashNumber(algorithm: HashAction['algorithm']): number {
  const index = HASHES.indexOf(algorithm as (typeof HASHES)[number]);
  return index >= 0 ? index : u32(algorithm, 'hash.algorithm');
}

function formatHash(action: HashAction): string {
  const algorithm = hashNumber(action.algorithm);
  const text = HASH_TEXTS[algorithm];
  return text === undefined ? `hash(Unknown hash algorithm(${algorithm}))` : `hash(${text}(${action.basis}))`;
}

function scanHash(scanner: TextScanner): HashAction {
  scanner.expect('(');
  if (scanner.take('Unknown hash algorithm')) {
    const algorithm = scanParenthesized(scanner, U32_MAX);
    scanner.expect(')');
    return hashAction(algorithm, 0);
  }
  const start = scanner.position;
  const word = scanner.word();
  const algorithm = HASH_TEXTS.indexOf(word ?? '');
  if (algorithm < 0) throw scanner.error('l4 or sym_l4', start);
  const basis = scanParenthesized(scanner, U32_MAX);
  scanner.expect(')');
  return hashAction(algorithm, basis);
}

function hashAction(algorithm: number, basis: number): HashAction {
  return { type: 'hash', algorithm: HASHES[algorithm] ?? algorithm, basis };
}

function scanPsample(scanner: TextScanner): PsampleAction {
  scanner.expect('(');
  const action: Partial<PsampleAction> = {};
  while (!scanner.take(')')) {
    const start = scanner.position;
    if (scanner.take('group=')) action.group = scanner.number(U32_MAX);
    else if (scanner.take('cookie=')) {
      action.cookie = scanHexString(scanner);
      if (action.cookie.length > PSAMPLE_COOKIE_SIZE_MAX) throw scanner.error('a cookie of at most 16 bytes', start);
    } else throw scanner.error('group= or cookie=');
    if (!scanner.skipDelimiters() && !scanner.peek(')')) throw scanner.error("',' or ')'");
  }
  if (action.group === undefined) throw scanner.error('group=', scanner.position - 1);
  return { type: 'psample', group: action.group, ...(action.cookie && { cookie: action.cookie }) };
}

export const PLAIN: Codecs<
  | 'output'
  | 'drop'
  | 'recirc'
  | 'hash'
  | 'trunc'
  | 'meter'
  | 'psample'
  | 'tunnelPop'
  | 'lbOutput'
  | 'popVlan'
  | 'popEth'
  | 'popNsh'
  | 'ctClear'
> = {
  output: {
    ...number('output', 'port', 'output'),
    words: [], // a number or a name; the driver of the text reads it
    format: (action, context) => context.port(action.port),
  },
  drop: {
    words: ['drop'],
    write: (action, { writer }) => writer.u32(u32(action.reason ?? 0, 'drop.reason')),
    read: (attribute) => {
      checkSize(attribute, 'DROP', 4);
      return { type: 'drop', reason: readU32(attribute.payload) };
    },
    format: (action, { exact }) => (exact ? `drop(${action.reason ?? 0})` : 'drop'),
    scan: ({ scanner }) => ({ type: 'drop', reason: scanner.peek('(') ? scanParenthesized(scanner, U32_MAX) : 0 }),
  },
  recirc: number('recirc', 'id', 'recirc', hexNumber),
  hash: {
    words: ['hash'],
    write: ({ algorithm, basis }, { writer }) => {
      writer.u32(hashNumber(algorithm));
      writer.u32(u32(basis, 'hash.basis'));
    },
    read: (attribute) => {
      checkSize(attribute, 'HASH', 8);
      return hashAction(readU32(attribute.payload), readU32(attribute.payload, 4));
    },
    format: formatHash,
    scan: ({ scanner }) => scanHash(scanner),
  },
  trunc: number('trunc', 'maxSize', 'trunc'),
  meter: number('meter', 'id', 'meter'),
  psample: {
    words: ['psample'],
    write: ({ group, cookie }, { writer }) => {
      writer.putU32(K.OVS_PSAMPLE_ATTR_GROUP, u32(group, 'psample.group'));
      if (cookie === undefined) return;
      const bytes = bytesOf(cookie, PSAMPLE_COOKIE_SIZE_MAX, 'psample.cookie');
      writer.put(K.OVS_PSAMPLE_ATTR_COOKIE, bytes, 'psample.cookie');
    },
    read: (attribute) => {
      const entries = [...walkAttributes(attribute.payload, 'OVS_PSAMPLE_ATTR', attribute.offset + 4)];
      const [group, cookie] = entries;
      if (group?.number !== K.OVS_PSAMPLE_ATTR_GROUP || entries.length > 2) return undefined;
      checkSize(group, 'PSAMPLE GROUP', 4);
      const action: PsampleAction = { type: 'psample', group: readU32(group.payload) };
      if (cookie === undefined) return action;
      if (cookie.number !== K.OVS_PSAMPLE_ATTR_COOKIE || cookie.payload.length > PSAMPLE_COOKIE_SIZE_MAX)
        return undefined;
      return { ...action, cookie: cookie.payload.slice() };
    },
    format: ({ group, cookie }, { exact }) =>
      `psample(group=${group}${cookie === undefined ? '' : `,cookie=${hexString(cookie, exact)}`})`,
    scan: ({ scanner }) => scanPsample(scanner),
  },
  tunnelPop: {
    ...number('tunnelPop', 'port', 'tnl_pop'),
    format: (action, context) => `tnl_pop(${context.port(action.port)})`,
    scan: (context) => {
      context.scanner.expect('(');
      const port = scanPort(context);
      context.scanner.expect(')');
      return { type: 'tunnelPop', port };
    },
  },
  lbOutput: number('lbOutput', 'bondId', 'lb_output'),
  popVlan: flag('popVlan', 'pop_vlan'),
  popEth: flag('popEth', 'pop_eth'),
  popNsh: flag('popNsh', 'pop_nsh', 'pop_nsh()'),
  ctClear: flag('ctClear', 'ct_clear'),
};
