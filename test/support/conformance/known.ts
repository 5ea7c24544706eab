/*
 * The differences between the kernel and ours that are meant: how to tell each, and why it is there. docs/compatibility.md has them in words.
 *
 * Before it: compare.ts, which found a difference. After it: the test, which counts those of each kind and fails on any that is not here.
 */
import * as C from '../../../assembly/constants.ts';
import { attributesOf, FAMILY_TYPE, type Line } from './canonical.ts';
import { type Difference, differingIn } from './compare.ts';
import {
  ACTION,
  DP_ATTR,
  FAMILIES,
  type Family,
  FLOW_ATTR,
  KEY,
  METER,
  METER_ATTR,
  PACKET_ATTR,
  VPORT,
  VPORT_ATTR,
  VPORT_TYPE,
} from './openvswitch.ts';
import { HEADERS_SIZE, type Step } from './scenario.ts';

const NLMSG_ERROR = 2;
const EBUSY = 16;
const EOPNOTSUPP = 95;
const SYMMETRIC_HASH = 1;
/** From here on the kernel knows no port numbers either. */
const KERNEL_PORTS_MAX = 65535;
/** Where it stands in struct ovs_dp_megaflow_stats. */
const N_MASKS = [8, 12] as const;

interface Message {
  family: Family;
  command: number;
  bytes: Uint8Array;
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** The messages that a step sends. */
function sentBy(step: Step): Message[] {
  if (step.do !== 'send' && step.do !== 'post') return [];
  const { bytes, fixes } = step.datagram;
  return fixes.flatMap((fix) => {
    if (!('family' in fix)) return [];
    const at = fix.at - 4;
    const message = bytes.subarray(at, at + viewOf(bytes).getUint32(at, true));
    return [{ family: fix.family, command: message[16] ?? 0, bytes: message }];
  });
}

/** What was received, but for acknowledgements. */
function received(lines: readonly Line[]): Message[] {
  return lines.flatMap(({ bytes }) => {
    const family = FAMILIES[viewOf(bytes).getUint16(4, true) - FAMILY_TYPE];
    return family === undefined ? [] : [{ family, command: bytes[16]!, bytes }];
  });
}

/** The payload of the last attribute of this type. */
function payloadOf(list: Uint8Array, type: number, start = HEADERS_SIZE): Uint8Array | undefined {
  let value: Uint8Array | undefined;
  for (const [found, from, to] of attributesOf(list, start, list.length)) {
    if (found === type) value = list.subarray(from, to);
  }
  return value;
}

const numberOf = (value: Uint8Array | undefined) =>
  value === undefined || value.length < 4 ? undefined : viewOf(value).getUint32(0, true);

const countOf = (list: Uint8Array | undefined) =>
  list === undefined ? 0 : [...attributesOf(list, 0, list.length)].length;

function hasErrno(lines: readonly Line[], errno: number): boolean {
  return lines.some(({ bytes }) => {
    const isError = bytes.length >= 20 && viewOf(bytes).getUint16(4, true) === NLMSG_ERROR;
    return isError && viewOf(bytes).getInt32(16, true) === -errno;
  });
}

function isOnlyIn(difference: Difference, ...parts: string[]): boolean {
  const found = differingIn(difference);
  return found !== undefined && found.length > 0 && found.every((part) => parts.includes(part));
}

const text = (lines: readonly Line[]) =>
  lines.map(({ socket, bytes }) => `${socket} ${Buffer.from(bytes).toString('hex')}`);

/** What the kernel sent and we did not. */
function onlyKernel({ kernel, ours }: Difference): Message[] {
  const mine = new Set(text(ours.messages));
  return received(kernel.messages.filter((line) => !mine.has(text([line])[0]!)));
}

function isHighPort({ family, bytes }: Message): boolean {
  const number = numberOf(payloadOf(bytes, VPORT_ATTR.PORT_NO)) ?? 0;
  return family === 'vport' && number >= C.PORTS_MAX && number < KERNEL_PORTS_MAX;
}

function isPastPorts(difference: Difference): boolean {
  const only = onlyKernel(difference);
  return [...sentBy(difference.step), ...only].some(isHighPort) && only.every(isHighPort);
}

function isMeterInTheWay({ step, kernel }: Difference): boolean {
  return (
    hasErrno(kernel.messages, EBUSY) &&
    sentBy(step).every(({ family, command }) => family === 'meter' && command === METER.SET)
  );
}

function isRefusedConntrack({ step, ours }: Difference): boolean {
  const [message] = sentBy(step);
  if (message === undefined || !hasErrno(ours.messages, EOPNOTSUPP)) return false;
  const type = message.family === 'flow' ? FLOW_ATTR.ACTIONS : PACKET_ATTR.ACTIONS;
  const actions = payloadOf(message.bytes, type);
  return actions !== undefined && payloadOf(actions, ACTION.CT, 0) !== undefined;
}

/** The meter has several bands, or had them once. */
function isOfRichMeter({ scenario, step, index }: Difference): boolean {
  const idOf = ({ bytes }: Message) => numberOf(payloadOf(bytes, METER_ATTR.ID));
  const isMeter = ({ family }: Message) => family === 'meter';
  const before = scenario.steps
    .slice(0, index + 1)
    .flatMap(sentBy)
    .filter(isMeter);
  const rich = before.filter(({ bytes }) => countOf(payloadOf(bytes, METER_ATTR.BANDS)) > 1).map(idOf);
  return sentBy(step)
    .filter(isMeter)
    .some((message) => rich.includes(idOf(message)));
}

/** A list of actions that kernel 6.1 does not know: drop, psample, the symmetric hash, and lb_output, which no kernel knows. */
function isNewer(actions: Uint8Array | undefined): boolean {
  if (actions === undefined) return false;
  const hash = numberOf(payloadOf(actions, ACTION.HASH, 0));
  return (
    hash === SYMMETRIC_HASH ||
    [ACTION.DROP, ACTION.PSAMPLE, ACTION.LB_OUTPUT].some((type) => payloadOf(actions, type, 0) !== undefined)
  );
}

/** The flow has such actions, or had them when it was put. */
function isOfNewerFlow({ scenario, step, index }: Difference): boolean {
  const keyOf = ({ bytes }: Message) => Buffer.from(payloadOf(bytes, FLOW_ATTR.KEY) ?? []).toString('hex');
  const [message] = sentBy(step);
  if (message?.family !== 'flow') return false;
  const before = scenario.steps.slice(0, index + 1).flatMap(sentBy);
  const newer = before.filter(({ family, bytes }) => family === 'flow' && isNewer(payloadOf(bytes, FLOW_ATTR.ACTIONS)));
  return newer.some((one) => keyOf(one) === keyOf(message));
}

/** The device was in a datapath before it came into the one that it is in. */
function isDeviceAgain(difference: Difference): boolean {
  if (!isOnlyIn(difference, 'vport STATS')) return false;
  const nameOf = (message: Message) => Buffer.from(payloadOf(message.bytes, VPORT_ATTR.NAME) ?? []).toString('hex');
  const before = difference.scenario.steps.slice(0, difference.index + 1).flatMap(sentBy);
  const made = before.filter(({ family, command }) => family === 'vport' && command === VPORT.NEW).map(nameOf);
  return onlyKernel(difference).every((message) => {
    const isDevice = numberOf(payloadOf(message.bytes, VPORT_ATTR.TYPE)) === VPORT_TYPE.NETDEV;
    return isDevice && made.filter((name) => name === nameOf(message)).length > 1;
  });
}

/** Nothing of it but one number of struct `type` differs, and that is larger in the kernel. */
function isMoreIn(difference: Difference, part: string, type: number, from: number, to: number): boolean {
  if (!isOnlyIn(difference, part)) return false;
  const [theirs, mine] = [difference.kernel, difference.ours].map(({ messages }) =>
    received(messages).map(({ bytes }) => Buffer.from(payloadOf(bytes, type) ?? [])),
  );
  return theirs!.every((stats, index) => {
    const ours = mine![index]!;
    if (stats.equals(ours)) return true;
    const isMore = stats.readUIntLE(from, to - from) > ours.readUIntLE(from, to - from);
    for (const side of [stats, ours]) side.fill(0, from, to);
    return isMore && stats.equals(ours);
  });
}

function hasTuple({ family, bytes }: Message): boolean {
  const key = family === 'flow' ? payloadOf(bytes, FLOW_ATTR.KEY) : undefined;
  return [KEY.CT_ORIG_TUPLE_IPV4, KEY.CT_ORIG_TUPLE_IPV6].some((type) => key && payloadOf(key, type, 0) !== undefined);
}

export interface KnownDifference {
  why: string;
  applies(difference: Difference): boolean;
  /** One of the two has now what the other has not. */
  isLasting?: boolean;
}

export const KNOWN: readonly KnownDifference[] = [
  {
    why: 'ovs_ct_limit is absent without conntrack',
    applies: ({ step }) => sentBy(step).some(({ family }) => family === 'ctLimit'),
  },
  { why: 'conntrack actions are checked, then refused', applies: isRefusedConntrack },
  {
    why: 'drop, psample and the symmetric hash are newer than kernel 6.1, lb_output is for userspace',
    applies: isOfNewerFlow,
  },
  { why: 'port numbers end at 1023', applies: isPastPorts, isLasting: true },
  {
    why: "two meters may have ids that meet in the kernel's table",
    applies: isMeterInTheWay,
    isLasting: true,
  },
  {
    why: 'a meter has up to eight bands',
    applies: (difference) => isOnlyIn(difference, 'meter MAX_BANDS') || isOfRichMeter(difference),
  },
  { why: 'what a device counted in another datapath, or before, is not counted again', applies: isDeviceAgain },
  {
    why: 'masks of the same bits are one',
    applies: (difference) => isMoreIn(difference, 'datapath MEGAFLOW_STATS', DP_ATTR.MEGAFLOW_STATS, ...N_MASKS),
  },
  {
    why: 'a connection tuple of the other IP version lies elsewhere',
    applies: (difference) => isOnlyIn(difference, 'flow KEY') && onlyKernel(difference).every(hasTuple),
  },
];

/** Why a difference is meant; undefined when it is not. */
export function reasonFor(difference: Difference): KnownDifference | undefined {
  return KNOWN.find(({ applies }) => applies(difference));
}
