/*
 * The userspace action and its cookie: what Open vSwitch puts into the userdata so that it knows why a packet came up.
 *
 * The cookie is 48 bytes in host layout: type u16 and padding, OpenFlow port u32, bridge UUID, then what its type says. Userdata of another size or
 * type is bytes to us and to ovs-dpctl. Joined with the other families in action-table.ts. Pure functions; cookies that come out hold no views.
 */

import { ACTIONS_SIZE_MAX } from '../../assembly/constants.ts';
import * as K from '../../assembly/netlink/openvswitch.ts';
import {
  AttributeWriter,
  bytesOf,
  type Codecs,
  type FormatContext,
  hexNumber,
  isSameBytes,
  readBigInt,
  type ScanContext,
  scanHexBytes,
  scanPort,
  u16,
  u32,
  type WriteContext,
  writeBigInt,
} from './action-codec.ts';
import type { UserspaceAction } from './action-types.ts';
import { type Attribute, checkSize, readU32, walkAttributes } from './attributes.ts';
import { decodeTci, encodeTci } from './bitfields.ts';
import { OdpAttributeError, OdpFieldError } from './errors.ts';
import { hexBytes } from './hex.ts';
import { readBe16 } from './layers.ts';
import type { TextScanner } from './scanner.ts';

/** Where the packet came in and which bridge asked; both default to none. */
interface CookieOrigin {
  /** OpenFlow port, 0xffff (OFPP_NONE) by default. */
  ofpInPort?: number;
  /** UUID of the bridge as its 16 bytes stand in the cookie (four u32 in host order), zeros by default. */
  bridge?: Uint8Array;
}

/** What Open vSwitch writes into userdata; the names are those of ovs-dpctl's text. */
export type UserspaceCookie = CookieOrigin &
  (
    | { type: 'sFlow'; vid: number; pcp: number; output: number }
    /** Bits: cfm 1, bfd 2, lacp 4, stp 8, lldp 16, action 32, match 64. */
    | { type: 'slowPath'; reason: number }
    | {
        type: 'flowSample';
        probability: number;
        collectorSetId: number;
        obsDomainId: number;
        obsPointId: number;
        outputPort: number;
        direction?: 'ingress' | 'egress';
      }
    | { type: 'ipfix'; outputPort: number }
    | {
        type: 'controller';
        reason: number;
        dontSend: boolean;
        continuation: boolean;
        recircId: number;
        /** 64 bits. */
        ruleCookie: bigint;
        controllerId: number;
        maxLen: number;
      }
  );

export const COOKIE_SIZE = 48;
const USERDATA_SIZE_MIN = 8;
const OFPP_NONE = 0xffff;
const BRIDGE = 8;
const BODY = 24;
const TYPES = [undefined, 'sFlow', 'slowPath', 'flowSample', 'ipfix', 'controller'] as const;
const DIRECTIONS = [undefined, 'ingress', 'egress'] as const;
const SLOW_REASONS = ['cfm', 'bfd', 'lacp', 'stp', 'lldp', 'action', 'match'];
const U32_MAX = 0xffffffff;

/** Userdata of a cookie, 48 bytes. Throws OdpFieldError. */
export function encodeCookie(cookie: UserspaceCookie): Uint8Array {
  const writer = new AttributeWriter();
  const type = TYPES.indexOf(cookie.type);
  if (type < 0) throw new OdpFieldError('cookie.type', `${JSON.stringify(cookie.type)} is none`);
  writer.u32(type);
  writer.u32(u32(cookie.ofpInPort ?? OFPP_NONE, 'cookie.ofpInPort'));
  const bridge = bytesOf(cookie.bridge ?? new Uint8Array(16), 16, 'cookie.bridge');
  if (bridge.length !== 16) throw new OdpFieldError('cookie.bridge', `${bridge.length} bytes, 16 expected`);
  writer.raw(bridge);
  writeBody(writer, cookie);
  writer.raw(new Uint8Array(COOKIE_SIZE - writer.size));
  return writer.finish();
}

function writeBody(writer: AttributeWriter, cookie: UserspaceCookie): void {
  const number = (value: number, name: string) => writer.u32(u32(value, `cookie.${name}`));
  const half = (value: number, name: string) => writer.u16(u16(value, `cookie.${name}`));
  switch (cookie.type) {
    case 'sFlow': {
      const { vid, pcp } = cookie;
      const tci = encodeTci({ vid, pcp }, 'cookie').value;
      writer.be16(vid === 0 && pcp === 0 ? 0 : tci);
      writer.u16(0);
      number(cookie.output, 'output');
      return;
    }
    case 'slowPath':
      writer.u32(0);
      number(cookie.reason, 'reason');
      return;
    case 'flowSample':
      half(cookie.probability, 'probability');
      writer.u16(0);
      number(cookie.collectorSetId, 'collectorSetId');
      number(cookie.obsDomainId, 'obsDomainId');
      number(cookie.obsPointId, 'obsPointId');
      number(cookie.outputPort, 'outputPort');
      number(DIRECTIONS.indexOf(cookie.direction), 'direction');
      return;
    case 'ipfix':
      number(cookie.outputPort, 'outputPort');
      return;
    case 'controller':
      writer.raw(Uint8Array.of(cookie.dontSend ? 1 : 0, cookie.continuation ? 1 : 0));
      half(cookie.reason, 'reason');
      number(cookie.recircId, 'recircId');
      if (typeof cookie.ruleCookie !== 'bigint' || cookie.ruleCookie < 0n || cookie.ruleCookie >> 64n !== 0n)
        throw new OdpFieldError('cookie.ruleCookie', `${String(cookie.ruleCookie)} is not a bigint of 64 bits`);
      writer.raw(writeBigInt(cookie.ruleCookie, 8, 'be'));
      half(cookie.controllerId, 'controllerId');
      half(cookie.maxLen, 'maxLen');
  }
}

/** The cookie in userdata, undefined when it is none (another size or type). */
export function decodeCookie(userdata: Uint8Array): UserspaceCookie | undefined {
  const type = userdata.length === COOKIE_SIZE ? TYPES[readHalf(userdata, 0)] : undefined;
  if (type === undefined) return undefined;
  const origin: CookieOrigin = {};
  const ofpInPort = readU32(userdata, 4);
  if (ofpInPort !== OFPP_NONE) origin.ofpInPort = ofpInPort;
  const bridge = userdata.slice(BRIDGE, BODY);
  if (bridge.some((byte) => byte !== 0)) origin.bridge = bridge;
  return { ...readBody(type, userdata), ...origin };
}

function readHalf(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8);
}

function readBody(type: UserspaceCookie['type'], bytes: Uint8Array): UserspaceCookie {
  const number = (index: number) => readU32(bytes, BODY + 4 * index);
  switch (type) {
    case 'sFlow': {
      const { vid, pcp } = decodeTci(readBe16(bytes, BODY));
      return { type, vid, pcp, output: number(1) };
    }
    case 'slowPath':
      return { type, reason: number(1) };
    case 'flowSample': {
      const sample = {
        probability: readHalf(bytes, BODY),
        collectorSetId: number(1),
        obsDomainId: number(2),
        obsPointId: number(3),
        outputPort: number(4),
      };
      const direction = DIRECTIONS[number(5)];
      return direction === undefined ? { type, ...sample } : { type, ...sample, direction };
    }
    case 'ipfix':
      return { type, outputPort: number(0) };
    case 'controller':
      return {
        type,
        dontSend: bytes[BODY] !== 0,
        continuation: bytes[BODY + 1] !== 0,
        reason: readHalf(bytes, BODY + 2),
        recircId: number(1),
        ruleCookie: readBigInt(bytes.subarray(BODY + 8, BODY + 16), 'be'),
        controllerId: readHalf(bytes, BODY + 16),
        maxLen: readHalf(bytes, BODY + 18),
      };
  }
}

// ---------------------------------------------------------------------------------------------------- text

function formatCookie(cookie: UserspaceCookie, context: FormatContext): string {
  switch (cookie.type) {
    case 'sFlow':
      return `sFlow(vid=${cookie.vid},pcp=${cookie.pcp},output=${cookie.output})`;
    case 'slowPath':
      return `slow_path(${formatReasons(cookie.reason)})`;
    case 'flowSample': {
      const { probability, collectorSetId, obsDomainId, obsPointId, outputPort, direction } = cookie;
      const ids = `collector_set_id=${collectorSetId},obs_domain_id=${obsDomainId},obs_point_id=${obsPointId}`;
      const suffix = direction === undefined ? '' : `,${direction}`;
      return `flow_sample(probability=${probability},${ids},output_port=${context.port(outputPort)}${suffix})`;
    }
    case 'ipfix':
      return `ipfix(output_port=${context.port(cookie.outputPort)})`;
    case 'controller': {
      const flags = `dont_send=${Number(cookie.dontSend)},continuation=${Number(cookie.continuation)}`;
      const { ruleCookie } = cookie;
      const ids = `recirc_id=${cookie.recircId},rule_cookie=${ruleCookie === 0n ? '0' : `0x${ruleCookie.toString(16)}`}`;
      return `controller(reason=${cookie.reason},${flags},${ids},controller_id=${cookie.controllerId},max_len=${cookie.maxLen})`;
    }
  }
}

function formatReasons(reason: number): string {
  if (reason === 0) return '0';
  const parts = SLOW_REASONS.filter((_, bit) => ((reason >>> bit) & 1) !== 0);
  const rest = reason >>> SLOW_REASONS.length;
  if (rest !== 0) parts.push(hexNumber((reason & ~((1 << SLOW_REASONS.length) - 1)) >>> 0));
  return parts.join(',');
}

/** Open vSwitch writes commas between the reasons and reads bars. */
function scanReasons(scanner: TextScanner): number {
  let reason = 0;
  while (!scanner.take(')')) {
    const start = scanner.position;
    const word = scanner.word();
    const bit = word === undefined ? -1 : SLOW_REASONS.indexOf(word);
    if (word !== undefined && bit < 0) throw scanner.error(`one of ${SLOW_REASONS.join(' ')}`, start);
    reason |= word === undefined ? scanner.number(U32_MAX) : 1 << bit;
    if (!scanner.take(',') && !scanner.take('|') && !scanner.peek(')')) throw scanner.error("',' or ')'");
  }
  return reason >>> 0;
}

/** A cookie that comes next, up to and with its closing parenthesis. */
function scanCookie(context: ScanContext): UserspaceCookie | undefined {
  const { scanner } = context;
  const field = (name: string, max = U32_MAX) => {
    scanner.expect(`${name}=`);
    return scanner.number(max);
  };
  const next = (name: string, max?: number) => {
    scanner.expect(',');
    return field(name, max);
  };
  let cookie: UserspaceCookie;
  if (scanner.take(',sFlow(')) {
    cookie = { type: 'sFlow', vid: field('vid', 0xfff), pcp: next('pcp', 7), output: next('output') };
  } else if (scanner.take(',slow_path(')) {
    return { type: 'slowPath', reason: scanReasons(scanner) };
  } else if (scanner.take(',flow_sample(')) {
    cookie = {
      type: 'flowSample',
      probability: field('probability', 0xffff),
      collectorSetId: next('collector_set_id'),
      obsDomainId: next('obs_domain_id'),
      obsPointId: next('obs_point_id'),
      outputPort: scanOutputPort(context, ',output_port='),
    };
    if (scanner.take(',ingress')) cookie.direction = 'ingress';
    else if (scanner.take(',egress')) cookie.direction = 'egress';
  } else if (scanner.take(',ipfix(')) {
    cookie = { type: 'ipfix', outputPort: scanOutputPort(context, 'output_port=') };
  } else if (scanner.take(',controller(')) {
    cookie = {
      type: 'controller',
      reason: field('reason', 0xffff),
      dontSend: next('dont_send', 0xff) !== 0,
      continuation: next('continuation', 0xff) !== 0,
      recircId: next('recirc_id'),
      ruleCookie: scanRuleCookie(scanner),
      controllerId: next('controller_id', 0xffff),
      maxLen: next('max_len', 0xffff),
    };
  } else return undefined;
  scanner.expect(')');
  return cookie;
}

const RULE_COOKIE = /(?:0[xX])?[0-9a-fA-F]{1,16}/y;

/** Hexadecimal, with or without 0x, as Open vSwitch reads it. */
function scanRuleCookie(scanner: TextScanner): bigint {
  scanner.expect(',rule_cookie=');
  const text = scanner.match(RULE_COOKIE);
  if (text === undefined) throw scanner.error('up to 16 hexadecimal digits');
  return BigInt(`0x${text.replace(/^0[xX]/, '')}`);
}

function scanOutputPort(context: ScanContext, name: string): number {
  context.scanner.expect(name);
  return scanPort(context);
}

// ---------------------------------------------------------------------------------------------------- the action

function write(action: UserspaceAction, { writer }: WriteContext): void {
  writer.putU32(K.OVS_USERSPACE_ATTR_PID, u32(action.pid, 'userspace.pid'));
  if (action.userdata !== undefined) {
    const userdata = bytesOf(action.userdata, ACTIONS_SIZE_MAX, 'userspace.userdata');
    writer.put(K.OVS_USERSPACE_ATTR_USERDATA, userdata, 'userspace.userdata');
  }
  if (action.tunnelOutPort !== undefined) {
    writer.putU32(K.OVS_USERSPACE_ATTR_EGRESS_TUN_PORT, u32(action.tunnelOutPort, 'userspace.tunnelOutPort'));
  }
  if (action.actions) writer.putFlag(K.OVS_USERSPACE_ATTR_ACTIONS);
}

function read(attribute: Attribute): UserspaceAction {
  let pid: number | undefined;
  const rest: Omit<UserspaceAction, 'type' | 'pid'> = {};
  for (const entry of walkAttributes(attribute.payload, 'OVS_USERSPACE_ATTR', attribute.offset + 4)) {
    switch (entry.number) {
      case K.OVS_USERSPACE_ATTR_PID:
        checkSize(entry, 'USERSPACE PID', 4);
        pid = readU32(entry.payload);
        break;
      case K.OVS_USERSPACE_ATTR_USERDATA:
        rest.userdata = entry.payload.slice();
        break;
      case K.OVS_USERSPACE_ATTR_EGRESS_TUN_PORT:
        checkSize(entry, 'USERSPACE EGRESS_TUN_PORT', 4);
        rest.tunnelOutPort = readU32(entry.payload);
        break;
      case K.OVS_USERSPACE_ATTR_ACTIONS:
        checkSize(entry, 'USERSPACE ACTIONS', 0);
        rest.actions = true;
        break;
      default:
        throw new OdpAttributeError(`OVS_USERSPACE_ATTR ${entry.number}`, entry.offset, 'unknown');
    }
  }
  if (pid === undefined) throw new OdpAttributeError('USERSPACE PID', attribute.offset, 'missing');
  return { type: 'userspace', pid, ...rest };
}

function format(action: UserspaceAction, context: FormatContext): string {
  const parts = [`pid=${action.pid}`];
  if (action.userdata !== undefined) parts.push(formatUserdata(action.userdata, context));
  if (action.actions) parts.push('actions');
  if (action.tunnelOutPort !== undefined) parts.push(`tunnel_out_port=${context.port(action.tunnelOutPort)}`);
  return `userspace(${parts.join(',')})`;
}

/** The cookie's words, or its bytes where the words would not bring all of them back and they must come back. */
function formatUserdata(userdata: Uint8Array, context: FormatContext): string {
  const cookie = decodeCookie(userdata);
  const words =
    cookie !== undefined &&
    (!context.exact || isSameBytes(encodeCookie({ ...cookie, ofpInPort: undefined, bridge: undefined }), userdata));
  return words ? formatCookie(cookie, context) : `userdata(${hexBytes(userdata)})`;
}

function scan(context: ScanContext): UserspaceAction {
  const { scanner } = context;
  scanner.expect('(pid=');
  const action: UserspaceAction = { type: 'userspace', pid: scanner.number(U32_MAX) };
  const cookie = scanCookie(context);
  let userdata = cookie === undefined ? undefined : encodeCookie(cookie);
  if (userdata === undefined && scanner.take(',userdata(')) userdata = scanHexBytes(scanner);
  if (context.likeDpctl) {
    const filled = new Uint8Array(Math.max(userdata?.length ?? COOKIE_SIZE, USERDATA_SIZE_MIN));
    filled.set(userdata ?? []);
    userdata = filled;
  }
  if (userdata !== undefined) action.userdata = userdata;
  if (scanner.take(',actions')) action.actions = true;
  if (scanner.take(',tunnel_out_port=')) action.tunnelOutPort = scanPort(context);
  scanner.expect(')');
  return action;
}

export const USERSPACE: Codecs<'userspace'> = { userspace: { words: ['userspace'], write, read, format, scan } };
