/*
 * Messages as a person reads them: one line each, attributes by name. For what a failed comparison prints.
 */
import { attributesOf, FAMILY_TYPE, type Line, nameOf } from './canonical.ts';
import * as OVS from './openvswitch.ts';
import { type Datagram, HEADERS_SIZE, NLM_F, SOCKETS, type Step } from './scenario.ts';

const COMMANDS: Record<OVS.Family, Record<string, number>> = {
  datapath: OVS.DP,
  vport: OVS.VPORT,
  flow: OVS.FLOW,
  packet: OVS.PACKET,
  meter: OVS.METER,
  ctLimit: OVS.CT_LIMIT,
};

const ATTRIBUTES: Record<OVS.Family, Record<string, number>> = {
  datapath: OVS.DP_ATTR,
  vport: OVS.VPORT_ATTR,
  flow: OVS.FLOW_ATTR,
  packet: OVS.PACKET_ATTR,
  meter: OVS.METER_ATTR,
  ctLimit: { ZONE_LIMIT: OVS.CT_LIMIT_ATTR_ZONE_LIMIT },
};

const NESTS: Record<string, Record<string, number>> = { KEY: OVS.KEY, MASK: OVS.KEY, ACTIONS: OVS.ACTION };
const NLMSG: Record<number, string> = { 1: 'NOOP', 2: 'ERROR', 3: 'DONE', 4: 'OVERRUN' };
const ACK_ATTRIBUTES = ['', 'message', 'offset', 'cookie', 'policy', 'missingType', 'missingNest'];
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const HEX_SIZE_MAX = 96;
const ERRNO_SIZE = 4;

const nameIn = (table: Record<string, number>, value: number) =>
  Object.keys(table).find((name) => table[name] === value) ?? String(value);

function hex(bytes: Uint8Array): string {
  const shown = Buffer.from(bytes.subarray(0, HEX_SIZE_MAX)).toString('hex');
  return bytes.length > HEX_SIZE_MAX ? `${shown}...(${bytes.length})` : shown;
}

function list(bytes: Uint8Array, names: Record<string, number>): string {
  let end = 0;
  const parts = [...attributesOf(bytes, 0, bytes.length)].map(([type, from, to]) => {
    end = (to + 3) & ~3;
    const name = nameIn(names, type);
    const payload = bytes.subarray(from, to);
    const inner = NESTS[name];
    return inner === undefined ? `${name}=${value(name, payload)}` : `${name}{${list(payload, inner)}}`;
  });
  if (end < bytes.length) parts.push(`+${hex(bytes.subarray(end))}`);
  return parts.join(' ');
}

function value(name: string, payload: Uint8Array): string {
  const isText =
    name === 'NAME' && payload.at(-1) === 0 && payload.subarray(0, -1).every((byte) => byte > 32 && byte < 127);
  return isText ? `"${Buffer.from(payload.subarray(0, -1)).toString('latin1')}"` : hex(payload);
}

function flagNames(flags: number, family: OVS.Family | undefined): string {
  const names = ['REQUEST', 'MULTI', 'ACK', 'ECHO', 'CREATE', 'APPEND'] as const;
  const set: string[] = names.filter((name) => (flags & NLM_F[name]) !== 0);
  let rest = flags;
  for (const name of names) rest &= ~NLM_F[name];
  if (family !== undefined && (rest & NLM_F.DUMP) === NLM_F.DUMP) {
    set.push('DUMP');
    rest &= ~NLM_F.DUMP;
  }
  if (rest !== 0) set.push(`0x${rest.toString(16)}`);
  return set.join('|') || '0';
}

/** A message whose ids are names already. */
export function describeMessage(bytes: Uint8Array): string {
  if (bytes.length < 16) return `bytes ${hex(bytes)}`;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [size, type, flags] = [view.getUint32(0, true), view.getUint16(4, true), view.getUint16(6, true)];
  const family = OVS.FAMILIES[type - FAMILY_TYPE];
  const tail = `seq ${view.getUint32(8, true)} pid ${view.getUint32(12, true)}${size === bytes.length ? '' : ` size ${size}`}`;
  if (family === undefined)
    return `${NLMSG[type] ?? type} ${flagNames(flags, family)} ${tail} ${status(bytes, type, flags)}`;
  const head = `${family} ${nameIn(COMMANDS[family], bytes[16] ?? 0)} ${flagNames(flags, family)} ${tail}`;
  if (bytes.length < HEADERS_SIZE) return `${head} cut: ${hex(bytes.subarray(16))}`;
  const reserved = view.getUint16(18, true);
  const datapath = view.getUint32(20, true);
  const version = `v${bytes[17]}${reserved === 0 ? '' : ` reserved ${reserved}`} on ${nameOf(datapath) ?? datapath}`;
  return `${head} ${version}: ${list(bytes.subarray(HEADERS_SIZE), ATTRIBUTES[family])}`;
}

function status(bytes: Uint8Array, type: number, flags: number): string {
  if ((type !== 2 && type !== 3) || bytes.length < 20) return hex(bytes.subarray(16));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const errno = view.getInt32(16, true);
  if (type === 3) return `${errno} ${hex(bytes.subarray(20))}`;
  const size = flags & NLM_F_CAPPED ? 16 : (view.getUint32(16 + ERRNO_SIZE, true) + 3) & ~3;
  const echoed = describeMessage(bytes.subarray(20, 20 + size));
  const rest = bytes.subarray(20 + size);
  if ((flags & NLM_F_ACK_TLVS) === 0) return `errno ${errno}, to [${echoed}]${rest.length > 0 ? ` +${hex(rest)}` : ''}`;
  const told = [...attributesOf(rest, 0, rest.length)].map(([attribute, from, to]) => {
    const payload = rest.subarray(from, to);
    const shown = attribute === 1 ? Buffer.from(payload).toString('latin1').replace('\0', '') : hex(payload);
    return `${ACK_ATTRIBUTES[attribute] ?? attribute}=${shown}`;
  });
  return `errno ${errno} (${told.join(', ')}), to [${echoed}]`;
}

export function describeLine({ socket, bytes }: Line): string {
  return `${socket} < ${describeMessage(bytes)}`;
}

/** Family and command, or the errno: what kind of message it is. */
function outline(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const type = bytes.length < 16 ? 0 : view.getUint16(4, true);
  const family = OVS.FAMILIES[type - FAMILY_TYPE];
  if (family !== undefined) return `${family} ${nameIn(COMMANDS[family], bytes[16] ?? 0)}`;
  return (type === 2 || type === 3) && bytes.length >= 20
    ? `${NLMSG[type]} ${view.getInt32(16, true)}`
    : `${NLMSG[type] ?? type}`;
}

export function outlineOfLine({ socket, bytes }: Line): string {
  return `${socket} ${outline(bytes)}`;
}

export function outlineOf(datagram: Datagram): string {
  return messagesOf(datagram)
    .map(([bytes]) => outline(bytes))
    .join(' & ');
}

const whole = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** The parts in which two messages of one kind differ: `header`, or names of attributes. */
export function differingParts(one: Uint8Array, other: Uint8Array): string[] {
  if (Buffer.compare(one, other) === 0) return [];
  const family = OVS.FAMILIES[new DataView(one.buffer, one.byteOffset).getUint16(4, true) - FAMILY_TYPE];
  if (family === undefined) return ['what is said in the acknowledgement'];
  const values = [one, other].map((bytes) => {
    const found = new Map([['header', whole(bytes.subarray(4, HEADERS_SIZE))]]);
    for (const [type, from, to] of attributesOf(bytes, HEADERS_SIZE, bytes.length)) {
      found.set(nameIn(ATTRIBUTES[family], type), whole(bytes.subarray(from, to)));
    }
    return found;
  });
  const names = [...new Set(values.flatMap((found) => [...found.keys()]))];
  const differing = names.filter((name) => values[0]!.get(name) !== values[1]!.get(name));
  return (differing.length > 0 ? differing : ['padding, size or order']).map((name) => `${family} ${name}`);
}

/** The messages of a datagram, families by name, and the datapath of each. */
function messagesOf({ bytes, fixes }: Datagram): [Uint8Array, string | undefined][] {
  const named = bytes.slice();
  const view = new DataView(named.buffer);
  for (const fix of fixes) {
    if ('family' in fix) view.setUint16(fix.at, FAMILY_TYPE + OVS.FAMILIES.indexOf(fix.family), true);
  }
  const found: [Uint8Array, string | undefined][] = [];
  for (let at = 0; at < named.length; ) {
    const size = named.length - at < 4 ? 0 : view.getUint32(at, true);
    const end = size >= 16 && at + size <= named.length ? at + size : named.length;
    const device = fixes.find((fix) => 'ifindex' in fix && fix.at === at + HEADERS_SIZE - 4);
    found.push([named.subarray(at, end), device !== undefined && 'ifindex' in device ? device.ifindex : undefined]);
    at = (end + 3) & ~3;
  }
  return found;
}

function describeDatagram(datagram: Datagram): string {
  const parts = messagesOf(datagram).map(
    ([bytes, dp]) => describeMessage(bytes) + (dp === undefined ? '' : ` (dp ${dp})`),
  );
  return parts.join(' & ');
}

export function describeStep(step: Step): string {
  switch (step.do) {
    case 'send':
    case 'post':
      return `${step.from} (${SOCKETS[step.from].portId}) > ${describeDatagram(step.datagram)}`;
    case 'frame':
      return `frame at ${step.device}: ${hex(step.data)}`;
    case 'device':
    case 'remove':
      return `${step.do} ${step.name}`;
    case 'join':
    case 'leave':
      return `${step.socket} ${step.do}s ${step.family}`;
    case 'close':
      return `${step.socket} closes`;
  }
}
