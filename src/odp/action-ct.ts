/*
 * The ct action: its nested attributes OVS_CT_ATTR_* and, inside of nat, OVS_NAT_ATTR_*.
 *
 * Joined with the other families in action-table.ts. Pure functions.
 */

import * as K from '../../assembly/netlink/openvswitch.ts';
import {
  type AttributeWriter,
  type Codecs,
  hexNumber,
  hexString,
  readBigInt,
  readU16,
  type ScanContext,
  u16,
  u32,
  type WriteContext,
  writeBigInt,
} from './action-codec.ts';
import type { CtAction, CtNat, NatRange } from './action-types.ts';
import { formatIpv4, formatIpv6, IPV4_SIZE, IPV6_SIZE, tryIpv4, tryIpv6 } from './addresses.ts';
import { type Attribute, checkSize, readU32, walkAttributes } from './attributes.ts';
import { OdpAttributeError, OdpFieldError } from './errors.ts';
import type { TextScanner } from './scanner.ts';

const LABEL_SIZE = 16;
const LABEL_MAX = (1n << 128n) - 1n;
/** Bytes of a name with its terminating zero. */
const HELPER_SIZE_MAX = 16;
const TIMEOUT_SIZE_MAX = 32;
const U32_MAX = 0xffffffff;

// ---------------------------------------------------------------------------------------------------- attributes

function write(action: CtAction, { writer }: WriteContext): void {
  if (action.commit) writer.putFlag(K.OVS_CT_ATTR_COMMIT);
  if (action.forceCommit) writer.putFlag(K.OVS_CT_ATTR_FORCE_COMMIT);
  if (action.zone !== undefined) writer.putU16(K.OVS_CT_ATTR_ZONE, u16(action.zone, 'ct.zone'));
  if (action.mark !== undefined) {
    const start = writer.open(K.OVS_CT_ATTR_MARK);
    writer.u32(u32(action.mark.value, 'ct.mark.value'));
    writer.u32(u32(action.mark.mask, 'ct.mark.mask'));
    writer.close(start, 'ct.mark');
  }
  if (action.label !== undefined) {
    const start = writer.open(K.OVS_CT_ATTR_LABELS);
    writer.raw(labelBytes(action.label.value, 'ct.label.value'));
    writer.raw(labelBytes(action.label.mask, 'ct.label.mask'));
    writer.close(start, 'ct.label');
  }
  if (action.helper !== undefined) writeName(writer, K.OVS_CT_ATTR_HELPER, action.helper, HELPER_SIZE_MAX, 'ct.helper');
  if (action.timeout !== undefined)
    writeName(writer, K.OVS_CT_ATTR_TIMEOUT, action.timeout, TIMEOUT_SIZE_MAX, 'ct.timeout');
  if (action.eventMask !== undefined) writer.putU32(K.OVS_CT_ATTR_EVENTMASK, u32(action.eventMask, 'ct.eventMask'));
  if (action.nat !== undefined) {
    const start = writer.open(K.OVS_CT_ATTR_NAT);
    writeNat(writer, action.nat);
    writer.close(start, 'ct.nat');
  }
}

function labelBytes(value: unknown, field: string): Uint8Array {
  if (typeof value !== 'bigint' || value < 0n || value > LABEL_MAX)
    throw new OdpFieldError(field, `${String(value)} is not a bigint of 128 bits`);
  return writeBigInt(value, LABEL_SIZE, 'le');
}

/** What may be a name: what text can hold and a zero can end. */
const NAME = /^[!-'*-+\--~]+$/;

function writeName(writer: AttributeWriter, type: number, name: string, sizeMax: number, field: string): void {
  if (typeof name !== 'string' || !NAME.test(name) || name.length >= sizeMax)
    throw new OdpFieldError(field, `${JSON.stringify(name)} is not 1 to ${sizeMax - 1} printable characters`);
  writer.put(type, new TextEncoder().encode(`${name}\0`), field);
}

function writeNat(writer: AttributeWriter, nat: CtNat): void {
  const { direction, address, port } = nat;
  if (direction === 'src') writer.putFlag(K.OVS_NAT_ATTR_SRC);
  else if (direction === 'dst') writer.putFlag(K.OVS_NAT_ATTR_DST);
  else if (direction !== undefined)
    throw new OdpFieldError('ct.nat.direction', `${String(direction)} is not src or dst`);
  if (address !== undefined) {
    const min = addressBytes(address.min, 'ct.nat.address.min');
    writer.put(K.OVS_NAT_ATTR_IP_MIN, min, 'ct.nat');
    if (address.max !== undefined) {
      const max = addressBytes(address.max, 'ct.nat.address.max');
      if (max.length !== min.length) throw new OdpFieldError('ct.nat.address', 'one IPv4 and one IPv6 address');
      writer.put(K.OVS_NAT_ATTR_IP_MAX, max, 'ct.nat');
    }
  }
  if (port !== undefined) {
    writer.putU16(K.OVS_NAT_ATTR_PROTO_MIN, u16(port.min, 'ct.nat.port.min'));
    if (port.max !== undefined) writer.putU16(K.OVS_NAT_ATTR_PROTO_MAX, u16(port.max, 'ct.nat.port.max'));
  }
  if (nat.persistent) writer.putFlag(K.OVS_NAT_ATTR_PERSISTENT);
  if (nat.hash) writer.putFlag(K.OVS_NAT_ATTR_PROTO_HASH);
  if (nat.random) writer.putFlag(K.OVS_NAT_ATTR_PROTO_RANDOM);
}

function addressBytes(text: string, field: string): Uint8Array {
  const bytes = typeof text === 'string' ? (tryIpv4(text) ?? tryIpv6(text)) : undefined;
  if (bytes === undefined) throw new OdpFieldError(field, `${JSON.stringify(text)} is no IP address`);
  return bytes;
}

function read(attribute: Attribute): CtAction | undefined {
  const action: CtAction = { type: 'ct' };
  for (const entry of walkAttributes(attribute.payload, 'OVS_CT_ATTR', attribute.offset + 4)) {
    const { payload } = entry;
    switch (entry.number) {
      case K.OVS_CT_ATTR_COMMIT:
        action.commit = isFlag(entry, 'CT COMMIT');
        break;
      case K.OVS_CT_ATTR_FORCE_COMMIT:
        action.forceCommit = isFlag(entry, 'CT FORCE_COMMIT');
        break;
      case K.OVS_CT_ATTR_ZONE:
        action.zone = readU16(entry, 'CT ZONE');
        break;
      case K.OVS_CT_ATTR_MARK:
        checkSize(entry, 'CT MARK', 8);
        action.mark = { value: readU32(payload), mask: readU32(payload, 4) };
        break;
      case K.OVS_CT_ATTR_LABELS:
        checkSize(entry, 'CT LABELS', 2 * LABEL_SIZE);
        action.label = { value: labelAt(payload, 0), mask: labelAt(payload, LABEL_SIZE) };
        break;
      case K.OVS_CT_ATTR_HELPER:
        action.helper = readName(entry, 'CT HELPER', HELPER_SIZE_MAX);
        break;
      case K.OVS_CT_ATTR_TIMEOUT:
        action.timeout = readName(entry, 'CT TIMEOUT', TIMEOUT_SIZE_MAX);
        break;
      case K.OVS_CT_ATTR_EVENTMASK:
        checkSize(entry, 'CT EVENTMASK', 4);
        action.eventMask = readU32(payload);
        break;
      case K.OVS_CT_ATTR_NAT:
        action.nat = readNat(entry);
        if (action.nat === undefined) return undefined;
        break;
      default:
        return undefined;
    }
  }
  return action;
}

function isFlag(attribute: Attribute, name: string): true {
  checkSize(attribute, name, 0);
  return true;
}

function labelAt(payload: Uint8Array, at: number): bigint {
  return readBigInt(payload.subarray(at, at + LABEL_SIZE), 'le');
}

/** A string with its terminating zero. */
function readName(attribute: Attribute, name: string, sizeMax: number): string {
  const { payload, offset } = attribute;
  const size = payload.indexOf(0);
  if (size < 1 || payload.length > sizeMax) {
    throw new OdpAttributeError(name, offset, `not a string of 1 to ${sizeMax - 1} bytes and a zero`);
  }
  return String.fromCharCode(...payload.subarray(0, size));
}

function readNat(attribute: Attribute): CtNat | undefined {
  const nat: CtNat = {};
  const range: Partial<NatRange> = {};
  const port: { min?: number; max?: number } = {};
  for (const entry of walkAttributes(attribute.payload, 'OVS_NAT_ATTR', attribute.offset + 4)) {
    switch (entry.number) {
      case K.OVS_NAT_ATTR_SRC:
      case K.OVS_NAT_ATTR_DST:
        if (nat.direction !== undefined) return undefined;
        isFlag(entry, 'NAT direction');
        nat.direction = entry.number === K.OVS_NAT_ATTR_SRC ? 'src' : 'dst';
        break;
      case K.OVS_NAT_ATTR_IP_MIN:
        range.min = readAddress(entry, 'NAT IP_MIN');
        break;
      case K.OVS_NAT_ATTR_IP_MAX:
        range.max = readAddress(entry, 'NAT IP_MAX');
        break;
      case K.OVS_NAT_ATTR_PROTO_MIN:
        port.min = readU16(entry, 'NAT PROTO_MIN');
        break;
      case K.OVS_NAT_ATTR_PROTO_MAX:
        port.max = readU16(entry, 'NAT PROTO_MAX');
        break;
      case K.OVS_NAT_ATTR_PERSISTENT:
        nat.persistent = isFlag(entry, 'NAT PERSISTENT');
        break;
      case K.OVS_NAT_ATTR_PROTO_HASH:
        nat.hash = isFlag(entry, 'NAT PROTO_HASH');
        break;
      case K.OVS_NAT_ATTR_PROTO_RANDOM:
        nat.random = isFlag(entry, 'NAT PROTO_RANDOM');
        break;
      default:
        return undefined;
    }
  }
  if (range.min !== undefined) nat.address = range as NatRange;
  if (port.min !== undefined) nat.port = port as { min: number; max?: number };
  const lost =
    (range.max !== undefined && range.min === undefined) || (port.max !== undefined && port.min === undefined);
  return lost || (range.max !== undefined && isIpv6(range.max) !== isIpv6(range.min ?? '')) ? undefined : nat;
}

function readAddress(attribute: Attribute, name: string): string {
  const { payload, offset } = attribute;
  if (payload.length === IPV4_SIZE) return formatIpv4(payload);
  if (payload.length === IPV6_SIZE) return formatIpv6(payload);
  throw new OdpAttributeError(name, offset, `payload of ${payload.length} bytes, 4 or 16 expected`);
}

function isIpv6(text: string): boolean {
  return text.includes(':');
}

// ---------------------------------------------------------------------------------------------------- text

function format(action: CtAction, exact: boolean): string {
  const parts: string[] = [];
  if (action.commit) parts.push('commit');
  if (action.forceCommit) parts.push('force_commit');
  if (action.zone !== undefined && (exact || action.zone !== 0)) parts.push(`zone=${action.zone}`);
  if (action.mark !== undefined) parts.push(`mark=${hexNumber(action.mark.value)}/${hexNumber(action.mark.mask)}`);
  if (action.label !== undefined) {
    const { value, mask } = action.label;
    parts.push(`label=${formatLabel(value)}${mask === LABEL_MAX ? '' : `/${formatLabel(mask)}`}`);
  }
  if (action.helper !== undefined) parts.push(`helper=${action.helper}`);
  if (action.timeout !== undefined) parts.push(`timeout=${action.timeout}`);
  if (exact && action.eventMask !== undefined) parts.push(`eventmask=${hexNumber(action.eventMask)}`);
  if (action.nat !== undefined) parts.push(formatNat(action.nat));
  return parts.length === 0 ? 'ct' : `ct(${parts.join(',')})`;
}

function formatLabel(value: bigint): string {
  return hexString(writeBigInt(value, LABEL_SIZE, 'be'));
}

function formatNat(nat: CtNat): string {
  const { direction, address, port } = nat;
  if (direction === undefined) return 'nat';
  const range = formatRange(address, port);
  const parts: string[] = [direction + (range === '' ? '' : `=${range}`)];
  if (nat.persistent) parts.push('persistent');
  if (nat.hash) parts.push('hash');
  if (nat.random) parts.push('random');
  return `nat(${parts.join(',')})`;
}

/** Open vSwitch leaves zeros and a maximum that equals the minimum out. */
function formatRange(address: CtNat['address'], port: CtNat['port']): string {
  const shown = port !== undefined && port.min !== 0;
  const bracketed = (text: string) => (shown && isIpv6(text) ? `[${text}]` : text);
  let text = '';
  if (address !== undefined) {
    const { min, max } = address;
    text = bracketed(min);
    if (max !== undefined && max !== min && !/^[0.:]*$/.test(max)) text += `-${bracketed(max)}`;
  }
  if (!shown) return text;
  const { min, max = 0 } = port;
  return max !== 0 && max !== min ? `${text}:${min}-${max}` : `${text}:${min}`;
}

const CT_NAME = /[^,) \t\r\n]+/y;

function scan(context: ScanContext): CtAction {
  const { scanner, likeDpctl } = context;
  const action: CtAction = { type: 'ct' };
  if (!scanner.take('(')) return action;
  for (;;) {
    scanner.skipDelimiters();
    if (scanner.take(')')) break;
    if (scanner.take('commit')) action.commit = true;
    else if (scanner.take('force_commit')) action.forceCommit = true;
    else if (scanner.take('zone=')) action.zone = scanner.number(0xffff);
    else if (scanner.take('mark=')) action.mark = scanMark(scanner);
    else if (scanner.take('label=')) action.label = scanLabel(scanner);
    else if (scanner.take('helper=')) action.helper = scanName(scanner, HELPER_SIZE_MAX);
    else if (scanner.take('timeout=')) action.timeout = scanName(scanner, TIMEOUT_SIZE_MAX);
    else if (scanner.take('eventmask=')) action.eventMask = scanner.number(U32_MAX);
    else if (scanner.take('nat')) action.nat = scanNat(scanner, likeDpctl);
    else throw scanner.error('commit, force_commit, zone=, mark=, label=, helper=, timeout=, eventmask= or nat');
    if (!scanner.skipDelimiters() && !scanner.peek(')')) throw scanner.error("',' or ')'");
  }
  if (likeDpctl) dropEmpty(action);
  return action;
}

/** What ovs-dpctl does not pass on. */
function dropEmpty(action: CtAction): void {
  if (action.zone === 0) delete action.zone;
  if (action.mark?.mask === 0) delete action.mark;
  if (action.label?.mask === 0n) delete action.label;
}

function scanMark(scanner: TextScanner): { value: number; mask: number } {
  return { value: scanHex(scanner), mask: scanner.take('/') ? scanHex(scanner) : U32_MAX };
}

const HEX = /(?:0[xX])?[0-9a-fA-F]+/y;

/** Hexadecimal, with or without 0x, as Open vSwitch reads a connection mark. */
function scanHex(scanner: TextScanner): number {
  const start = scanner.position;
  const text = scanner.match(HEX);
  const value = text === undefined ? Number.NaN : Number.parseInt(text, 16);
  if (!(value <= U32_MAX)) throw scanner.error('up to eight hexadecimal digits', start);
  return value;
}

function scanLabel(scanner: TextScanner): { value: bigint; mask: bigint } {
  return {
    value: scanner.bigNumber(LABEL_MAX),
    mask: scanner.take('/') ? scanner.bigNumber(LABEL_MAX) : LABEL_MAX,
  };
}

function scanName(scanner: TextScanner, sizeMax: number): string {
  const start = scanner.position;
  const name = scanner.match(CT_NAME);
  if (name === undefined || name.length >= sizeMax || !NAME.test(name))
    throw scanner.error(`a name of 1 to ${sizeMax - 1} characters`, start);
  return name;
}

function scanNat(scanner: TextScanner, likeDpctl: boolean): CtNat {
  const nat: CtNat = {};
  if (!scanner.take('(')) return nat;
  const start = scanner.position;
  for (;;) {
    scanner.skipDelimiters();
    if (scanner.take(')')) break;
    const word = ['src', 'dst', 'persistent', 'hash', 'random'].find((name) => scanner.take(name));
    if (word === 'src' || word === 'dst') {
      if (nat.direction !== undefined && nat.direction !== word) throw scanner.error('src or dst, not both', start);
      nat.direction = word;
      if (scanner.take('=')) scanRange(scanner, nat);
    } else if (word === 'persistent' || word === 'hash' || word === 'random') nat[word] = true;
    else throw scanner.error('src, dst, persistent, hash or random');
    if (!scanner.skipDelimiters() && !scanner.peek(')')) throw scanner.error("',' or ')'");
  }
  return likeDpctl ? natLikeDpctl(nat) : nat;
}

/** Options without a direction and ports without a minimum are nothing to ovs-dpctl. */
function natLikeDpctl(nat: CtNat): CtNat {
  if (nat.direction === undefined) return {};
  if (nat.port?.min === 0 || nat.address === undefined) delete nat.port;
  return nat;
}

const NAT_ADDRESS = /\[[0-9a-fA-F:.]+\]|[0-9]+\.[0-9.]+|[0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*/y;

function scanRange(scanner: TextScanner, nat: CtNat): void {
  if (!/^:[0-9]+[^0-9a-fA-F:]/.test(scanner.text.slice(scanner.position, scanner.position + 8))) {
    nat.address = { min: scanAddress(scanner) };
    if (scanner.take('-')) nat.address.max = scanAddress(scanner);
    const { min, max = min } = nat.address;
    if (isIpv6(min) !== isIpv6(max)) throw scanner.error('two addresses of one kind');
  }
  if (!scanner.take(':')) return;
  nat.port = { min: scanner.number(0xffff) };
  if (scanner.take('-')) nat.port.max = scanner.number(0xffff);
}

function scanAddress(scanner: TextScanner): string {
  const start = scanner.position;
  const text = (scanner.match(NAT_ADDRESS) ?? '').replace(/^\[|\]$/g, '');
  const four = tryIpv4(text);
  if (four !== undefined) return formatIpv4(four);
  const six = tryIpv6(text);
  if (six === undefined) throw scanner.error('an IP address', start);
  return formatIpv6(six);
}

export const CT: Codecs<'ct'> = {
  ct: {
    words: ['ct'],
    write,
    read,
    format: (action, { exact }) => format(action, exact),
    scan,
  },
};
