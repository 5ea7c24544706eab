/*
 * Codecs of the actions that hold lists: sample, clone, check_pkt_len, dec_ttl.
 *
 * The driver (actions.ts, actions-text.ts) recurses into the lists and counts how deep it is. Joined with the other families in action-table.ts.
 */

import * as K from '../../assembly/netlink/openvswitch.ts';
import {
  type Codecs,
  type FormatContext,
  type ReadContext,
  readU16,
  type ScanContext,
  u16,
  u32,
} from './action-codec.ts';
import type { Action, CheckPktLenAction, SampleAction } from './action-types.ts';
import { type Attribute, checkSize, readU32, walkAttributes } from './attributes.ts';
import type { TextScanner } from './scanner.ts';

const ALWAYS = 0xffffffff;
const PERCENT = /(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?/y;

/** The attributes of a nest if they are these, in this order. */
function nestOf(attribute: Attribute, name: string, numbers: readonly number[]): Attribute[] | undefined {
  const entries = [...walkAttributes(attribute.payload, name, attribute.offset + 4)];
  const same = entries.length === numbers.length && numbers.every((number, index) => entries[index].number === number);
  return same ? entries : undefined;
}

function listIn(attribute: Attribute, context: ReadContext): Action[] {
  return context.list(attribute.payload, attribute.offset + 4);
}

function readSample(attribute: Attribute, context: ReadContext): SampleAction | undefined {
  const entries = nestOf(attribute, 'OVS_SAMPLE_ATTR', [K.OVS_SAMPLE_ATTR_PROBABILITY, K.OVS_SAMPLE_ATTR_ACTIONS]);
  if (entries === undefined) return undefined;
  const [probability, actions] = entries;
  checkSize(probability, 'SAMPLE PROBABILITY', 4);
  return { type: 'sample', probability: readU32(probability.payload), actions: listIn(actions, context) };
}

/** Per cent: one decimal place as in Open vSwitch, or as many as tell all probabilities apart. */
function formatPercent(probability: number, exact: boolean): string {
  const percent = (100 * probability) / ALWAYS;
  return exact ? percent.toFixed(10).replace(/(\.\d+?)0+$/, '$1') : percent.toFixed(1);
}

function scanSample({ scanner, list }: ScanContext): SampleAction {
  scanner.expect('(sample=');
  const start = scanner.position;
  const percent = Number(scanner.match(PERCENT) ?? Number.NaN);
  if (!(percent >= 0 && percent <= 100)) throw scanner.error('a percentage', start);
  scanner.expect('%,actions(');
  const actions = list();
  scanner.expect('))');
  return { type: 'sample', probability: Math.min(Math.floor(ALWAYS * (percent / 100) + 0.5), ALWAYS), actions };
}

/** Open vSwitch writes the list for larger packets first, the kernel the other one. */
function readCheckPktLen(attribute: Attribute, context: ReadContext): CheckPktLenAction | undefined {
  const [size, greater, lessEqual] = [
    K.OVS_CHECK_PKT_LEN_ATTR_PKT_LEN,
    K.OVS_CHECK_PKT_LEN_ATTR_ACTIONS_IF_GREATER,
    K.OVS_CHECK_PKT_LEN_ATTR_ACTIONS_IF_LESS_EQUAL,
  ];
  const name = 'OVS_CHECK_PKT_LEN_ATTR';
  const entries =
    nestOf(attribute, name, [size, greater, lessEqual]) ?? nestOf(attribute, name, [size, lessEqual, greater]);
  if (entries === undefined) return undefined;
  const [first, second] = entries.slice(1).map((entry) => listIn(entry, context));
  const inOrder = entries[1].number === greater;
  return {
    type: 'checkPktLen',
    size: readU16(entries[0], 'CHECK_PKT_LEN PKT_LEN'),
    greater: inOrder ? first : second,
    lessEqual: inOrder ? second : first,
  };
}

function scanCheckPktLen({ scanner, list }: ScanContext): CheckPktLenAction {
  scanner.expect('(size=');
  const size = scanner.number(0xffff);
  scanner.expect(',gt(');
  const greater = list();
  scanner.expect('),le(');
  const lessEqual = list();
  scanner.expect('))');
  return { type: 'checkPktLen', size, greater, lessEqual };
}

/** `(le_1(..))` or `(..)`: the list between `open` and as many closing parentheses. */
function scanList(scanner: TextScanner, list: () => Action[], open: string): Action[] {
  scanner.expect(open);
  const actions = list();
  scanner.expect(')'.repeat(open.split('(').length - 1));
  return actions;
}

export const NESTED: Codecs<'sample' | 'clone' | 'checkPktLen' | 'decTtl'> = {
  sample: {
    words: ['sample'],
    write: (action, { writer, list }) => {
      writer.putU32(K.OVS_SAMPLE_ATTR_PROBABILITY, u32(action.probability, 'sample.probability'));
      const start = writer.open(K.OVS_SAMPLE_ATTR_ACTIONS);
      list(action.actions, 'sample.actions');
      writer.close(start, 'sample.actions');
    },
    read: readSample,
    format: ({ probability, actions }, context: FormatContext) =>
      `sample(sample=${formatPercent(probability, context.exact)}%,actions(${context.list(actions)}))`,
    scan: scanSample,
  },
  clone: {
    words: ['clone'],
    write: (action, { list }) => list(action.actions, 'clone.actions'),
    read: (attribute, context) => ({ type: 'clone', actions: listIn(attribute, context) }),
    format: (action, context) => `clone(${context.list(action.actions)})`,
    scan: ({ scanner, list }) => ({ type: 'clone', actions: scanList(scanner, list, '(') }),
  },
  checkPktLen: {
    words: ['check_pkt_len'],
    write: (action, { writer, list }) => {
      writer.putU16(K.OVS_CHECK_PKT_LEN_ATTR_PKT_LEN, u16(action.size, 'checkPktLen.size'));
      const greater = writer.open(K.OVS_CHECK_PKT_LEN_ATTR_ACTIONS_IF_GREATER);
      list(action.greater, 'checkPktLen.greater');
      writer.close(greater, 'checkPktLen.greater');
      const lessEqual = writer.open(K.OVS_CHECK_PKT_LEN_ATTR_ACTIONS_IF_LESS_EQUAL);
      list(action.lessEqual, 'checkPktLen.lessEqual');
      writer.close(lessEqual, 'checkPktLen.lessEqual');
    },
    read: readCheckPktLen,
    format: ({ size, greater, lessEqual }, { list }) =>
      `check_pkt_len(size=${size},gt(${list(greater)}),le(${list(lessEqual)}))`,
    scan: scanCheckPktLen,
  },
  decTtl: {
    words: ['dec_ttl'],
    write: (action, { writer, list }) => {
      const start = writer.open(K.OVS_DEC_TTL_ATTR_ACTION);
      list(action.actions, 'decTtl.actions');
      writer.close(start, 'decTtl.actions');
    },
    read: (attribute, context) => {
      const entries = nestOf(attribute, 'OVS_DEC_TTL_ATTR', [K.OVS_DEC_TTL_ATTR_ACTION]);
      return entries && { type: 'decTtl', actions: listIn(entries[0], context) };
    },
    format: (action, { list }) => `dec_ttl(le_1(${list(action.actions)}))`,
    scan: ({ scanner, list }) => ({ type: 'decTtl', actions: scanList(scanner, list, '(le_1(') }),
  },
};
